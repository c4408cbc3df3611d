"""Recover jobs whose lease ran out; every worker does this as part of its loop.

A job with a stored verdict is settled; one with a live call is adopted and followed; one whose create may or
may not have made a call is resolved, by a replay under the same key or by Retell's call list; one without a
dial goes back to ``pending`` untouched. No restart and no operator is needed.
"""

from __future__ import annotations

from datetime import timedelta
from logging import WARNING

from speechaid.dialer import (
    circuit_breaker,
    confirmation,
    deleted_jobs,
    dial,
    follow,
    legacy_calls,
    settlement,
)
from speechaid.dialer.context import HandOver, WorkerContext, log
from speechaid.dialer.preflight import read_preflight
from speechaid.errors import JobDeleted, LeaseLost, StoreError, StoreUnavailable
from speechaid.model.call import ListedCall, ReportedCall
from speechaid.model.job import Dial, Job
from speechaid.model.reading import as_printable, mapping, number
from speechaid.model.states import WorkerState
from speechaid.retell.client import names_dial
from speechaid.retell.faults import Ambiguous, NotPlaced, RetellError, RetellUnavailable, WrongCall
from speechaid.retell.requests_body import DIAL_KEY
from speechaid.rules.ambiguous_dials import SearchAction, next_lookup
from speechaid.store.jobs import Candidate
from speechaid.telemetry import call_metrics

#: Lapsed jobs that one query fetches; more than one, so that workers do not all try the same job.
LAPSED_AT_ONCE = 16
#: Listed calls that get-call is asked about, where the list leaves the metadata out.
MOST_CONFIRMED = 5
#: A job whose call could not be looked up at Retell is tried again after this many seconds.
RETELL_RETRY_SECONDS = 15.0
#: A dial under another host's key is left to the hosts that have the key, and tried again after this.
OTHER_KEY_RETRY_SECONDS = 120.0
#: If our clock and Retell's differ by more, our age of a dial does not show that its key is still valid at
#: Retell: no replay.
CLOCKS_AGREE_SECONDS = 300.0


def recover_one(context: WorkerContext) -> bool:
    """Take over one job whose lease has run out and continue it; False if there is none."""
    context.report_step(WorkerState.RECOVERING, "look for lapsed leases")
    candidates = context.store.jobs.lapsed(LAPSED_AT_ONCE, without=context.left_out.job_ids())
    context.random.shuffle(candidates)
    for candidate in candidates:
        job = _adopt(context, candidate)
        if job is not None:
            try:
                recover(context, job)
            except RetellError as fault:
                # Retell does not answer about this call now: release the job for a retry by any worker.
                context.emit("job.unresolved", job, level=WARNING, error=str(fault))
                context.store.jobs.release_lease(
                    job, until=context.store.now() + timedelta(seconds=RETELL_RETRY_SECONDS)
                )
            except (LeaseLost, StoreUnavailable, HandOver):
                raise
            except Exception as fault:  # noqa: BLE001 - one document must not stop the others
                _leave(context, job, f"{type(fault).__name__}: {fault}")
            return True
    return False


def _adopt(context: WorkerContext, candidate: Candidate) -> Job | None:
    """Take over a lapsed job; None where another worker did, or its document takes no claim."""
    try:
        return context.store.jobs.adopt(
            candidate,
            worker_id=context.worker_id,
            token=context.new_token(),
            lease_seconds=context.settings.worker.lease_seconds,
        )
    except (LeaseLost, StoreUnavailable):
        raise
    except StoreError as fault:
        log.event(WARNING, "job.unreadable", id=as_printable(candidate.id), why=str(fault))
        context.left_out.add(candidate.id)
        return None


def _leave(context: WorkerContext, job: Job, why: str) -> None:
    """Leave a job for a while whose document cannot be read or written; a call that it may have is kept."""
    context.emit("job.unreadable", job, level=WARNING, why=why)
    until = context.store.now() + timedelta(seconds=context.left_out.add(job.id))
    context.store.jobs.release_lease(job, until=until)


def recover(context: WorkerContext, job: Job) -> None:
    """Continue a job from the step at which its last holder stopped."""
    try:
        _continue(context, job)
    except JobDeleted:
        if job.dial is None:
            raise
        recover(context, deleted_jobs.keep_deleted_job(context, job))


def _continue(context: WorkerContext, job: Job) -> None:
    if job.has_unreadable_dial:
        _leave(context, job, "; ".join(job.faults))
    elif job.dial is None and job.foreign:
        legacy_calls.recover_legacy_job(context, job)
    elif job.dial is None:
        context.emit("job.returned", job)
        context.link.count("speechaid_recoveries_total", how="returned")
        context.store.jobs.requeue(job)
    elif job.dial.verdict is not None:
        context.link.count("speechaid_recoveries_total", how="settled")
        settlement.apply_stored(context, job)
    elif (decided := settlement.stored_decision(context, job.dial)) is not None:
        context.link.count("speechaid_recoveries_total", how="settled")
        settlement.apply(context, job, decided)
    elif job.dial.call_id is not None:
        context.emit("call.adopted", job)
        context.link.count("speechaid_recoveries_total", how="adopted")
        follow.run(context, job, None)
    else:
        context.link.count("speechaid_recoveries_total", how="resolved")
        resolve_ambiguous_dial(context, job, job.dial)


# -- a create whose answer was lost ------------------------------------------------------------------------


def resolve_ambiguous_dial(context: WorkerContext, job: Job, open_dial: Dial) -> None:
    """Find out whether a dial became a call, and continue accordingly; while that is unknown, retry later."""
    own_key = open_dial.api_key_fingerprint == context.retell.fingerprint
    age = (context.store.now() - open_dial.intent_at) / timedelta(seconds=1)
    step = next_lookup(
        age, open_dial.empty_lookups, longest_call_seconds(open_dial), context.settings.call.ambiguous_lookups
    )
    may_replay = step.may_replay and _clocks_agree(context) and own_key and not job.deleted_in_call
    placed = (replay(context, job) if may_replay else None) or search_call_list(context, job, open_dial)
    if placed is not None:
        context.emit("dial.resolved", placed[0], placed=True)
        follow.run(context, *placed)
    elif step.action_if_empty is SearchAction.PRESUME_NOT_PLACED and own_key:
        context.emit("dial.presumed_not_placed", job, level=WARNING, lookups=open_dial.empty_lookups)
        context.link.count("speechaid_presumed_not_placed_total")
        dial.withdraw(context, job, "presumed_not_placed")
    else:
        delay = step.delay_seconds if own_key else max(step.delay_seconds, OTHER_KEY_RETRY_SECONDS)
        until = context.store.now() + timedelta(seconds=delay)
        # An empty list proves something only once any call must be over and listed.
        empty_lookups = open_dial.empty_lookups + (1 if step.counts and own_key else 0)
        job = context.store.jobs.note_on_dial(job, empty_lookups=empty_lookups, next_lookup_at=until)
        context.emit("dial.unresolved", job, level=WARNING, again_at=until.isoformat())
        context.store.jobs.release_lease(job, until=until)


def replay(context: WorkerContext, job: Job) -> tuple[Job, ReportedCall] | None:
    """Send the same create again under its key, if a call may be placed now; None if that settles nothing.

    If the first create was lost on its way, this one is the person's call: whatever forbids a first dial
    forbids it, the orders to this worker included.
    """
    cleared = dial.clear_to_dial(context, job, read_preflight(context, job), is_replay=True)
    if isinstance(cleared, dial.Obstacle):
        context.emit("dial.not_replayed", job, reason=cleared.reason)
        return None
    try:
        return dial.post(context, job, cleared, is_replay=True)
    except (NotPlaced, Ambiguous) as fault:
        # A refusal proves that this request made no call, not that the first one did not.
        context.emit("dial.replay_unclear", job, level=WARNING, error=str(fault))
        return None


def search_call_list(context: WorkerContext, job: Job, open_dial: Dial) -> tuple[Job, ReportedCall] | None:
    """The dial's call in Retell's list; None if it is not there.

    Raises:
        RetellError: the list could not be read, or get-call does not tell whose call a listed one is.
    """
    context.report_step(
        WorkerState.RECOVERING, "list calls", job, seconds=2 * context.settings.retell.timeout_seconds
    )
    try:
        listed = context.retell.find_calls(metadata={DIAL_KEY: open_dial.key})
        # A dial of a deleted job, found by its reservation entries, has no number but its key.
        if not listed and open_dial.number != open_dial.key:
            since = open_dial.intent_at - timedelta(minutes=2)
            listed = [
                call
                for call in context.retell.find_calls(to_number=open_dial.number, started_after=since)
                if names_dial(call, open_dial.key)
            ]
    except RetellError as fault:
        circuit_breaker.after_query_fault(context, fault)
        raise
    call = _confirmed(context, job, open_dial, listed)
    if call is None:
        return None
    context.link.count_once(*call_metrics.placed(open_dial.key, is_test=job.test is not None))
    job = context.retry_until_available(
        WorkerState.RECOVERING,
        "record call",
        job,
        lambda: context.store.jobs.record_call(job, call.call_id, context.settings.worker.lease_seconds),
    )
    return job, call


def _confirmed(
    context: WorkerContext, job: Job, open_dial: Dial, listed: list[ListedCall]
) -> ReportedCall | None:
    """The first listed call that is the dial's: one that names it, else one that get-call confirms.

    Raises:
        RetellUnavailable: get-call does not tell about one of them.
    """
    listed = sorted(listed, key=lambda call: not names_dial(call, open_dial.key))
    for call in listed[:MOST_CONFIRMED]:
        try:
            return confirmation.confirm_call(context, job, call)
        except WrongCall as fault:
            confirmation.report_wrong_call(context, job, fault)
        except Ambiguous as fault:
            raise RetellUnavailable(str(fault)) from fault
    return None


def longest_call_seconds(open_dial: Dial) -> float:
    """The longest that the dial's call may have lasted, from its stored request."""
    agent = mapping(mapping(open_dial.request.get("agent_override")).get("agent"))
    return (number(agent.get("max_call_duration_ms")) or 3_600_000) / 1000


def _clocks_agree(context: WorkerContext) -> bool:
    server_now = context.retell.server_now()
    if server_now is None:
        return True
    return abs((context.store.now() - server_now) / timedelta(seconds=1)) <= CLOCKS_AGREE_SECONDS
