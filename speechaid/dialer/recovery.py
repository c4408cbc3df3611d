"""What a dead worker left behind: lapsed leases, found as part of every worker's round.

A job whose dial is decided is settled on; one with a live call is adopted and followed; one whose create may
or may not have made a call is resolved, by replay under the same key or by Retell's call list; one without a
dial goes back to ``pending`` untouched. Nobody has to restart anything for it.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from logging import WARNING

from speechaid.dialer import circuit_breaker, dial, follow, legacy_reservations, settlement
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.preflight import read_preflight
from speechaid.errors import NumberBusy
from speechaid.model.call import Call
from speechaid.model.job import Dial, Job
from speechaid.model.reading import instant, mapping, number
from speechaid.model.states import WorkerState
from speechaid.retell.faults import Ambiguous, CallUnknown, NotPlaced, RetellError
from speechaid.retell.requests_body import DIAL_KEY
from speechaid.rules import phones
from speechaid.rules.ambiguous_dials import SearchAction, next_lookup
from speechaid.telemetry import call_metrics

#: Lapsed jobs that one look finds; more than one, so that workers do not all reach for the same.
LAPSED_AT_ONCE = 16
#: A job of which Retell could not be asked is looked at again so much later.
RETELL_REST_SECONDS = 15.0
#: Another program's job without a call is left alone for so long after it began: its call may still be going
#: on.
LEGACY_RETRY_SECONDS = 3600.0
#: A dial under a key that is not ours is left to the hosts that have it, and looked at again so much later.
OTHER_KEY_REST_SECONDS = 120.0
#: Clocks of ours and of Retell's that differ by more than this say nothing about the key's hour: no replay.
CLOCKS_AGREE_SECONDS = 300.0


def recover_one(context: WorkerContext) -> bool:
    """Take over one job whose lease has run out and see it through; False where there is none."""
    context.report_step(WorkerState.RECOVERING, "look for lapsed leases")
    candidates = context.store.jobs.lapsed(LAPSED_AT_ONCE)
    context.random.shuffle(candidates)
    for candidate in candidates:
        job = context.store.jobs.adopt(
            candidate,
            worker_id=context.worker_id,
            token=context.new_token(),
            lease_seconds=context.settings.worker.lease_seconds,
        )
        if job is not None:
            try:
                recover(context, job)
            except RetellError as fault:
                # Nothing can be learnt of this call now: look again soon, and do not keep it from the others.
                context.emit("job.unresolved", job, level=WARNING, error=str(fault))
                context.store.jobs.release_lease(
                    job, until=context.store.now() + timedelta(seconds=RETELL_REST_SECONDS)
                )
            return True
    return False


def recover(context: WorkerContext, job: Job) -> None:
    """Go on with a job from wherever its last holder left it."""
    if job.dial is None and job.foreign:
        recover_legacy_job(context, job)
    elif job.dial is None:
        context.emit("job.returned", job)
        context.link.count("speechaid_recoveries_total", how="returned")
        context.store.jobs.requeue(job)
    elif job.dial.verdict is not None:
        context.link.count("speechaid_recoveries_total", how="settled")
        settlement.apply(context, job)
    elif job.dial.call_id is not None:
        context.emit("call.adopted", job)
        context.link.count("speechaid_recoveries_total", how="adopted")
        follow.run(context, job, None)
    else:
        context.link.count("speechaid_recoveries_total", how="resolved")
        resolve_ambiguous_dial(context, job)


# -- a create whose answer was lost ------------------------------------------------------------------------


def resolve_ambiguous_dial(context: WorkerContext, job: Job) -> None:
    """Find out whether a dial became a call, and go on accordingly; not knowing, look again later."""
    assert job.dial is not None  # noqa: S101
    age = (context.store.now() - job.dial.intent_at) / timedelta(seconds=1)
    step = next_lookup(
        age, job.dial.empty_lookups, longest_call_seconds(job.dial), context.settings.call.ambiguous_lookups
    )
    answer = (
        replay(context, job)
        if step.may_replay and _clocks_agree(context) and _own_key(context, job.dial)
        else None
    )
    answer = answer or search_call_list(context, job)
    if answer is not None:
        context.emit("dial.resolved", answer[0], placed=True)
        follow.run(context, *answer)
    elif step.action_if_empty is SearchAction.PRESUME_NOT_PLACED and _own_key(context, job.dial):
        context.emit("dial.presumed_not_placed", job, level=WARNING, lookups=job.dial.empty_lookups)
        context.link.count("speechaid_presumed_not_placed_total")
        dial.withdraw(context, job, "presumed_not_placed")
    else:
        rest = (
            step.delay_seconds
            if _own_key(context, job.dial)
            else max(step.delay_seconds, OTHER_KEY_REST_SECONDS)
        )
        until = context.store.now() + timedelta(seconds=rest)
        # Only look-ups past the moment when any call must be over and listed prove anything by being empty.
        empty = job.dial.empty_lookups + (1 if step.counts and _own_key(context, job.dial) else 0)
        job = context.store.jobs.note_on_dial(job, empty_lookups=empty, next_lookup_at=until)
        context.emit("dial.unresolved", job, level=WARNING, again_at=until.isoformat())
        context.store.jobs.release_lease(job, until=until)


def replay(context: WorkerContext, job: Job) -> tuple[Job, Call] | None:
    """The same create again under its key, if a call may be placed now; None where that is not plain."""
    cleared = dial.clear_to_dial(context, job, read_preflight(context, job))
    if isinstance(cleared, dial.Obstacle):
        context.emit("dial.not_replayed", job, reason=cleared.reason)
        return None
    try:
        return dial.post(context, job)
    except (NotPlaced, Ambiguous) as fault:
        # A refusal proves that this request made no call, not that the first one did not.
        context.emit("dial.replay_unclear", job, level=WARNING, error=str(fault))
        return None


def search_call_list(context: WorkerContext, job: Job) -> tuple[Job, Call] | None:
    """The dial's call in Retell's list; None where it is not there, or the list cannot be had."""
    assert job.dial is not None  # noqa: S101
    context.report_step(
        WorkerState.RECOVERING, "list calls", job, seconds=2 * context.settings.retell.timeout_seconds
    )
    try:
        found = context.retell.find_calls(metadata={DIAL_KEY: job.dial.key}, limit=1) or [
            call
            for call in context.retell.find_calls(
                to_number=job.dial.number, started_after=job.dial.intent_at - timedelta(minutes=2)
            )
            if call.metadata.get(DIAL_KEY) == job.dial.key
        ]
    except RetellError as fault:
        circuit_breaker.after_query_fault(context, fault)
        raise
    if not found:
        return None
    context.link.count_once(*call_metrics.placed(job.dial.key))
    job = context.retry_until_available(
        WorkerState.RECOVERING,
        "record call",
        job,
        lambda: context.store.jobs.record_call(job, found[0].call_id),
    )
    return job, found[0]


def longest_call_seconds(open_dial: Dial) -> float:
    """The longest that the dial's call may have lasted, from its own request."""
    try:
        body = mapping(json.loads(open_dial.body))
    except ValueError:
        body = {}
    agent = mapping(mapping(body.get("agent_override")).get("agent"))
    return (number(agent.get("max_call_duration_ms")) or 3_600_000) / 1000


def _own_key(context: WorkerContext, open_dial: Dial) -> bool:
    return open_dial.api_key_fingerprint == context.retell.fingerprint


def _clocks_agree(context: WorkerContext) -> bool:
    theirs = context.retell.server_now()
    return (
        theirs is None or abs((context.store.now() - theirs) / timedelta(seconds=1)) <= CLOCKS_AGREE_SECONDS
    )


# -- what SpeechAI left behind -------------------------------------------------------------------------------


def recover_legacy_job(context: WorkerContext, job: Job) -> None:
    """Go on with a job that another program left in progress: follow its call if it has one.

    The mark ``foreign`` stays on the job until that is known, also when whoever looks here dies or cannot ask
    Retell; a job of ours without a dial would be put back, and a person on the phone called again.
    """
    if job.call_id is not None and context.store.results.of_call(job.call_id) is None:
        follow_legacy_call(context, job, job.call_id, known_call(context, job.call_id))
    elif (call := find_legacy_call(context, job)) is not None:
        follow_legacy_call(context, job, call.call_id, call)
    elif _may_still_ring(context, job):
        context.store.jobs.release_lease(
            job, until=context.store.now() + timedelta(seconds=LEGACY_RETRY_SECONDS / 6)
        )
    else:
        context.emit("job.returned", job, foreign=True)
        context.link.count("speechaid_recoveries_total", how="returned")
        context.store.jobs.requeue(job)


def known_call(context: WorkerContext, call_id: str) -> Call | None:
    """The call as Retell tells it; None where Retell knows no such call: it is followed, and parked."""
    try:
        return context.retell.get_call(call_id)
    except CallUnknown:
        return None


def find_legacy_call(context: WorkerContext, job: Job) -> Call | None:
    """The call of such a job by number and time, if there is one that nobody recorded."""
    country = _country(context, job)
    began = _began_at(job)
    if began is None:
        return None
    for number_ in filter(None, (phones.normalise(phone, country) for phone in job.contact.phones)):
        for call in context.retell.find_calls(to_number=number_, started_after=began - timedelta(minutes=2)):
            if DIAL_KEY not in call.metadata and context.store.results.of_call(call.call_id) is None:
                return call
    return None


def follow_legacy_call(context: WorkerContext, job: Job, call_id: str, call: Call | None) -> None:
    """Make another program's call a dial of ours from here on."""
    country = _country(context, job)
    numbers = [phones.normalise(phone, country) for phone in job.contact.phones]
    # A dial has a number, whatever Retell tells; a made-up one at least stands in nobody's way.
    called = (call.to_number if call else None) or next(filter(None, numbers), call_id)
    now = context.store.now()
    adopted = Dial(
        key=context.new_token(),
        number=called,
        phone_index=numbers.index(called) if called in numbers else job.contact.next_phone_index,
        attempt=job.attempts,
        intent_at=now,
        body="",
        api_key_fingerprint=context.retell.fingerprint,
        account_id=job.account_id,
        batch_id=job.batch_id,
        call_id=call_id,
        placed_at=(call.started_at if call else None) or now,
    )
    job = legacy_reservations.release_legacy_reservation(context, job)
    settlement.add_reservation_entries(context, job, adopted)
    try:
        job = context.store.jobs.record_intent(job, adopted)
    except NumberBusy:
        settlement.release_reservation_entries(context, adopted)
        context.emit("dial.number_busy", job, phone=called)
        context.store.jobs.release_lease(
            job, until=context.store.now() + timedelta(seconds=RETELL_REST_SECONDS)
        )
        return
    context.emit("call.adopted", job, foreign=True)
    context.link.count("speechaid_recoveries_total", how="adopted")
    follow.run(context, job, call)


def _country(context: WorkerContext, job: Job) -> str | None:
    batch = None if job.batch_id is None else context.store.batches.find(job.batch_id)
    account = None if job.account_id is None else context.store.accounts.find(job.account_id)
    return phones.country_of(batch, account, context.settings.dialling.default_country)


def _began_at(job: Job) -> datetime | None:
    """When another program took the job in hand, at the earliest."""
    told = (instant(job.document.get(name)) for name in ("started_at", "updated_at", "created_at"))
    return next(filter(None, told), None)


def _may_still_ring(context: WorkerContext, job: Job) -> bool:
    began = _began_at(job)
    return began is not None and (context.store.now() - began) / timedelta(seconds=1) < LEGACY_RETRY_SECONDS
