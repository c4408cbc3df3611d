"""Settle an ended dial exactly once: result, do-not-call list, account, batch, and last the job.

The verdict (``verdict``) is stored before any of it is applied: the result holds it, and its insert is the
first step. Of two results of one dial the first stands, and whoever comes second goes on by its verdict; so
does an adopter (``recovery``). Where there was no call there is no result, and the verdict is stored with the
dial. Each step is idempotent: it removes its own entry (reservation entries in account and batch, the job's
token) or has a unique key (the result). So a worker that continues after a crash repeats no step and skips
none, and a worker that was frozen meanwhile changes nothing.

The order is get-call's answer, then the job under its token, then the decision. The insert of the result
names no token: a worker that has lost its job, and decided all the same, would decide without what an
operator asked of the adopter. As it is, whoever decides had the job when the call was over already.

After the last write the event ``call.settled`` reaches ``call_logs`` by another path, for information only:
``context.emit``, the supervisor link, ``Supervisor.on_worker_event``, ``DatabaseThread.note_event``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from logging import WARNING

from speechaid.campaign.people import id_key_of
from speechaid.dialer import calling_rules, circuit_breaker, legacy_reservations, verdict
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.preflight import Preflight
from speechaid.dialer.verdict import (
    STORED_ANSWER_BYTES,
    WITHDRAWN,
    BillingView,
    DecisionInputs,
    DialEnd,
)
from speechaid.errors import LeaseLost, StoreError, StoreForbidden, StoreUnavailable
from speechaid.model.account import Reservation
from speechaid.model.batch import Batch
from speechaid.model.call import Call, ListedCall
from speechaid.model.job import Dial, Job
from speechaid.model.levels import Level
from speechaid.model.masking import fingerprint
from speechaid.model.reading import Document
from speechaid.model.states import NO_CALL_OUTCOMES, Outcome, WorkerState
from speechaid.model.verdict import Verdict
from speechaid.rules import operator_requests, outcomes
from speechaid.rules.analysis import AnalysisPolicy, first_query_delay
from speechaid.rules.numbers import line_identity
from speechaid.rules.retries import NextStep, RetryCause
from speechaid.store.batches import PAUSED_BY_SPEECHAID
from speechaid.telemetry import call_metrics

#: A preflight's batch and account may be used this long after it was read to settle the call it admitted.
PREFLIGHT_REUSE_SECONDS = 3.0
#: Invalid numbers of so many different people in a row are a bad list: its batch is paused.
BAD_LIST_PEOPLE = 5


def settle_ended_call(
    context: WorkerContext, job: Job, call: Call, preflight: Preflight | None = None
) -> None:
    """Settle a call that get-call reports as over; ``preflight`` is the one that admitted the call.

    Raises:
        TypeError: the call is not get-call's answer: an item of the list has no transcript.
    """
    require_whole_answer(call)
    job, billing = _read_to_decide(context, job, preflight)
    dial = _dial_of(job)
    classified = outcomes.classify(call, stopped_by=dial.stop_asked_by)
    if not classified.known:
        context.emit(
            "call.unknown_end", job, level=WARNING, reason=call.disconnection_reason, status=call.call_status
        )
        context.link.count("speechaid_unknown_ends_total")
    in_a_row = circuit_breaker.after_call(context, classified, dial)
    excused = outcomes.is_excused(classified, numbers_in_a_row=in_a_row, excused_before=job.excused_faults)
    outcome = outcomes.outcome_for_job(classified, excused=excused)
    end = DialEnd(outcome=outcome, call=call, connected=classified.connected, excused=excused)
    _settle_call(context, job, end, billing)


def require_whole_answer(call: object) -> None:
    """Refuse what a create or the list tells of a call.

    Raises:
        TypeError: the call is not get-call's answer.
    """
    if not isinstance(call, Call):
        raise TypeError(f"a call is settled from get-call's answer, not from {type(call).__name__}")


def settle_unreadable_call(context: WorkerContext, job: Job, listed: ListedCall | None, error: str) -> None:
    """Settle a call about which get-call's answer cannot be read, and end its job.

    It is charged by what the list tells; without that, as a call that never connected.

    Args:
        context: the worker's.
        job: with the call's open dial.
        listed: the ended call as the list shows it; None where the list has no such call.
        error: what is wrong with get-call's answer.
    """
    job, billing = _read_to_decide(context, job, None)
    dial = _dial_of(job)
    assert dial.call_id is not None  # noqa: S101
    known = listed or ListedCall.read({"call_id": dial.call_id})
    classified = outcomes.classify(known, stopped_by=dial.stop_asked_by)
    context.emit("call.settled_unreadable", job, level=WARNING, error=error, listed=listed is not None)
    context.link.count("speechaid_unreadable_answers_total")
    end = DialEnd(
        outcome=classified.outcome,
        call=known,
        connected=classified.connected,
        error=error,
        unreadable=True,
    )
    _settle_call(context, job, end, billing)


def settle_refusal(
    context: WorkerContext, job: Job, outcome: Outcome, error: str, *, excused: bool = False
) -> None:
    """Settle a dial whose create Retell refused: there was no call."""
    end = DialEnd(outcome=outcome, call=None, connected=False, error=error, excused=excused)

    def decide_and_store() -> tuple[Job, BillingView]:
        billing = _read_billing_view(context, _dial_of(job))
        return context.store.jobs.record_verdict(job, _decide(context, job, end, billing).document()), billing

    apply_stored(
        context, *context.retry_until_available(WorkerState.SETTLING, "verdict", job, decide_and_store)
    )


def settle_withdrawal(context: WorkerContext, job: Job, *, delay_seconds: float) -> None:
    """Withdraw a dial that surely made no call: the job is pending again, and nothing is spent.

    This verdict, too, is stored under the job's token before any entry is released: a worker that has lost
    the job must not release the entries of a dial that the adopter may be placing.

    Raises:
        LeaseLost: another worker has the dial now; nothing was written.
    """

    def decide_and_store() -> Job:
        decided = verdict.withdrawal(context.store.now(), delay_seconds=delay_seconds)
        return context.store.jobs.record_verdict(job, decided.document())

    stored = context.retry_until_available(WorkerState.SETTLING, "withdraw", job, decide_and_store)
    apply_stored(context, stored)


def settle_unknown_call(context: WorkerContext, job: Job) -> None:
    """Close a job whose call Retell does not know; its entries in account and batch are released."""

    def decide_and_store() -> Job:
        return context.store.jobs.record_verdict(job, verdict.unknown_call(context.store.now()).document())

    stored = context.retry_until_available(WorkerState.SETTLING, "verdict", job, decide_and_store)
    apply_stored(context, stored)


def _read_to_decide(context: WorkerContext, job: Job, preflight: Preflight | None) -> tuple[Job, BillingView]:
    """The job as it is now under its token, with batch and account; once get-call has told the end.

    Raises:
        LeaseLost: another worker has the job, and decides.
        JobDeleted: another program removed the job.
    """

    def read() -> tuple[Job, BillingView]:
        known = None if preflight is None or not _is_recent(context, preflight) else preflight
        if known is not None:
            return context.store.jobs.reread(job), BillingView(batch=known.batch, account=known.account)
        found = context.store.preflight.read_with_job(
            job.id,
            job.claim_token or "",
            context.retell.fingerprint,
            account_id=_dial_of(job).account_id,
            batch_id=_dial_of(job).batch_id,
            numbers=(),
        )
        if found is None:
            current = context.store.jobs.reread(job)
            return current, _read_billing_view(context, _dial_of(current))
        return found[0], BillingView(batch=found[1].batch, account=found[1].account)

    current, billing = context.retry_until_available(WorkerState.SETTLING, "read job", job, read)
    if current.dial is None or current.dial.key != _dial_of(job).key:
        raise LeaseLost(f"job {job.job_id} has another open dial")
    return current, billing


def _settle_call(context: WorkerContext, job: Job, end: DialEnd, billing: BillingView) -> None:
    """Decide about a call, store the decision in its result, apply it; retries until the database answers."""

    def decide_and_store() -> Verdict | None:
        require_level(context)
        decided = _decide(context, job, end, billing)
        try:
            return _record(context, decided)
        except (LeaseLost, StoreForbidden, StoreUnavailable):
            raise
        except StoreError as refused:
            # Whatever it is that the database does not take: the call's facts alone must be recorded.
            context.emit("call.answer_not_stored", job, level=WARNING, error=str(refused))
            return _record(context, _decide(context, job, end, billing, answer_bytes=0))

    def store_with_dial() -> Job:
        decided = _decide(context, job, end, billing, answer_bytes=0)
        return context.store.jobs.record_verdict(job, decided.document())

    if _dial_of(job).verdict is not None:
        apply_stored(context, job, billing)
        return
    stands = context.retry_until_available(WorkerState.SETTLING, "result", job, decide_and_store)
    if stands is None:
        # There is a result that holds no decision: one of an earlier version, or without it (erased).
        kept = context.retry_until_available(WorkerState.SETTLING, "verdict", job, store_with_dial)
        apply_stored(context, kept, billing)
        return
    log_cuts(context, job, stands)
    apply(context, job, stands, billing)


def _record(context: WorkerContext, decided: Verdict) -> Verdict | None:
    """Insert the result with its decision; the verdict that stands, None where the result there has none."""
    results = context.store.results
    if results.record(verdict.result_with_decision(decided)):
        return decided
    assert decided.result is not None  # noqa: S101
    found = results.with_decision(str(decided.result["dial_key"]))
    return None if found is None else verdict.read_decision(found)


def stored_decision(context: WorkerContext, dial: Dial) -> Verdict | None:
    """What was decided about a dial's call, from its result; None where that is not recorded yet."""
    found = context.store.results.with_decision(dial.key)
    return None if found is None else verdict.read_decision(found)


def _decide(
    context: WorkerContext,
    job: Job,
    end: DialEnd,
    billing: BillingView,
    *,
    answer_bytes: int = STORED_ANSWER_BYTES,
) -> Verdict:
    inputs = replace(decision_inputs(context, billing.batch), answer_bytes=answer_bytes)
    return verdict.decide(job, _dial_of(job), end, billing=billing, inputs=inputs, now=context.store.now())


def require_level(context: WorkerContext) -> None:
    """An earlier version does not find a decision in a result, and would make another one."""
    if not context.level_is_required:
        context.store.holds.require_level(Level.DECISIONS_IN_RESULTS, by="the end of a call")
        context.level_is_required = True


def log_cuts(context: WorkerContext, job: Job, decided: Verdict) -> None:
    """Log which fields of Retell's answer were too long to be stored whole."""
    cuts = (decided.result or {}).get("cut_fields")
    if cuts:
        fields = ", ".join(
            f"{cut['field']} {cut['bytes']} B to {cut['kept_bytes']}" for cut in cuts if "field" in cut
        )
        context.emit("call.answer_cut", job, level=WARNING, fields=fields[:1000])


def _is_recent(context: WorkerContext, preflight: Preflight) -> bool:
    return context.clock.boottime() - preflight.read_at <= PREFLIGHT_REUSE_SECONDS


def _read_billing_view(context: WorkerContext, dial: Dial) -> BillingView:
    """The dial's batch and account."""
    return BillingView(
        batch=None if dial.batch_id is None else context.store.batches.find(dial.batch_id),
        account=None if dial.account_id is None else context.store.accounts.find(dial.account_id),
    )


def _dial_of(job: Job) -> Dial:
    assert job.dial is not None  # noqa: S101
    return job.dial


def decision_inputs(context: WorkerContext, batch: Batch | None) -> DecisionInputs:
    """What a verdict depends on besides the dial, the batch and the account."""
    settings = context.settings
    return DecisionInputs(
        retry_policy=context.retry_policy(batch),
        default_timezone=settings.dialling.default_timezone,
        default_country=settings.dialling.default_country,
        analysis_after_seconds=first_query_delay(AnalysisPolicy.read(settings.call)),
        worker_id=context.worker_id,
        jitter=context.random.random(),
    )


def apply_stored(context: WorkerContext, job: Job, billing: BillingView | None = None) -> None:
    """Apply the verdict that is stored with the dial: there was no call, or an earlier version decided."""
    stored = Verdict.read(_dial_of(job).verdict or {})
    if (result := stored.result) is not None:
        context.retry_until_available(
            WorkerState.SETTLING, "result", job, lambda: context.store.results.record(result)
        )
    apply(context, job, stored, billing)


def apply(context: WorkerContext, job: Job, stored: Verdict, billing: BillingView | None = None) -> None:
    """Write what the stored verdict says, from wherever an earlier worker stopped; the result is recorded.

    ``billing`` saves reading batch and account again where they were read to decide.
    """
    dial = _dial_of(job)

    def step(name: str, operation: Callable[[], object]) -> None:
        context.retry_until_available(WorkerState.SETTLING, name, job, operation)

    if stored.do_not_call is not None:
        number = stored.do_not_call
        step("do-not-call", lambda: _list_person(context, job, dial, number))
    step("marks", lambda: settle_reservation_entries(context, dial, stored, billing))
    if (facts := dial.calling_rule) is not None:
        end = calling_rules.entry_end(dial, stored)
        step(
            "ledger",
            lambda: context.store.ledger.settle(dial.key, facts, at=dial.intent_at, end=end),
        )
    if stored.outcome is Outcome.INVALID_NUMBER and dial.batch_id is not None:
        batch_id = dial.batch_id
        step("bad list", lambda: pause_bad_list(context, job, batch_id, dial.number))
    if stored.cause != WITHDRAWN and job.test is None:
        # Before the last write: the count has an id, so a repeat adds nothing.
        context.link.count_once(*call_metrics.settled(dial.key, stored))
    step("job", lambda: _finish_or_facts(context, job, stored))
    if stored.cause == WITHDRAWN:
        return  # there was no call to report
    context.link.call_finished()
    agent = (stored.result or {}).get("agent_id") or dial.agent_id
    context.emit(
        "call.settled", job, outcome=stored.outcome, cause=stored.cause, status=stored.status, agent=agent
    )


def _list_person(context: WorkerContext, job: Job, dial: Dial, number: str) -> None:
    """List the number called and, where the job has a national id, the person, for the dial's account."""
    context.store.do_not_call.add(number, source="call", job_id=job.job_id)
    key = id_key_of(job.contact.dni)
    if key is not None:
        context.store.holds.require_level(Level.PEOPLE_AND_AGENTS, by="an opt-out at the end of a call")
        context.store.do_not_call.add_person(dial.account_id, key, source="call", job_id=job.job_id)


def settle_reservation_entries(
    context: WorkerContext, dial: Dial, stored: Verdict, billing: BillingView | None
) -> None:
    """Charge the account and add to the batch's sums; an entry that is gone was settled already.

    Where the batch has no entry of the dial, the result holds what is to be added (``store.batch_sums``).
    """
    charge = stored.charge
    if dial.account_id is not None:
        context.store.accounts.settle(
            dial.account_id,
            dial.key,
            minutes=charge.minutes,
            credit=charge.credit,
            calls=charge.calls,
            day=charge.day,
            as_read=None if billing is None else billing.account,
        )
    if dial.batch_id is None:
        return
    batch = None if billing is None else billing.batch
    ends_invalid_run = stored.outcome not in NO_CALL_OUTCOMES | {Outcome.INVALID_NUMBER}
    if dial.is_entered_in_batch:
        context.store.batches.settle_dial(
            dial.batch_id, dial.key, stored.figures, ends_invalid_run=ends_invalid_run, as_read=batch
        )
    elif ends_invalid_run and (batch is None or "invalid_run" in batch.document):
        context.store.batches.end_invalid_run(dial.batch_id)


def pause_bad_list(context: WorkerContext, job: Job, batch_id: str, number: str) -> None:
    """Pause the batch if the numbers of ``BAD_LIST_PEOPLE`` different people in a row are invalid."""
    reason = f"the numbers of {BAD_LIST_PEOPLE} people in a row are invalid: check the list, then resume"
    paused = context.store.batches.note_invalid_number(
        batch_id, fingerprint(job.contact.dni or line_identity(number)), people=BAD_LIST_PEOPLE, reason=reason
    )
    if paused:
        context.emit("batch.paused", job, level=WARNING, by=PAUSED_BY_SPEECHAID, reason=reason)


def _finish_or_facts(context: WorkerContext, job: Job, stored: Verdict) -> None:
    """The last write; without Retell's answer where the job's document does not take that."""
    try:
        finish(context, job, stored)
    except (LeaseLost, StoreForbidden, StoreUnavailable):
        raise
    except StoreError as refused:
        if not stored.job.get("call_result"):
            raise
        context.emit("call.answer_not_stored", job, level=WARNING, error=str(refused))
        finish(context, job, replace(stored, job=verdict.without_summary(stored.job)))


def finish(context: WorkerContext, job: Job, stored: Verdict) -> None:
    """The last write; an operator request recorded during the call may override the new status."""
    changes = as_job_fields(job, stored.job)
    while not context.store.jobs.finish(job, operator_requests.apply_request(changes, job.request)):
        job = context.store.jobs.reread(job)


def as_job_fields(job: Job, changes: Document) -> Document:
    """A verdict stores field names; translate them to dotted paths of the job document."""
    fields = dict(changes)
    if verdict.NEXT_PHONE_INDEX in fields:
        index = fields.pop(verdict.NEXT_PHONE_INDEX)
        # The contact of SpeechAI's flat jobs may be null; no field can be set inside a null.
        if isinstance(job.document.get("contact", {}), dict):
            fields["contact.next_phone_index"] = index
        else:
            fields["contact"] = {verdict.NEXT_PHONE_INDEX: index}
    return fields


def apply_next_step(context: WorkerContext, job: Job, step: NextStep) -> None:
    """Apply a rule's decision to a claimed job without a dial, and release the claim."""
    job = legacy_reservations.release_legacy_reservation(context, job)
    changes = as_job_fields(job, verdict.position_fields(step, context.store.now()))
    if step.cause is RetryCause.SERVED and job.document.get("completed_at"):
        changes["completed_at"] = job.document["completed_at"]  # it was served then, not now
    context.store.jobs.requeue(job, delay_seconds=step.delay_seconds, changes=changes)


# -- reservation entries -------------------------------------------------------------------------------------


def add_reservation_entries(context: WorkerContext, job: Job, dial: Dial) -> None:
    """Add the entries of a dial whose call exists, regardless of limits, so that it counts and is charged."""
    if dial.batch_id is not None and dial.is_entered_in_batch:
        context.store.batches.register_live_dial(dial.batch_id, dial.key, job_id=job.job_id)
    if dial.account_id is None:
        return
    empty = Reservation(key=dial.key, minutes=0.0, credit=0.0)
    while (account := context.store.accounts.find(dial.account_id)) is not None:
        entered = any(entry.key == dial.key for entry in account.reservations)
        if entered or context.store.accounts.reserve(account, empty, job_id=job.job_id):
            return


def release_reservation_entries(context: WorkerContext, dial: Dial) -> None:
    """Release what a dial that made no call holds of its account and batch."""
    if dial.account_id is not None:
        context.store.accounts.settle(dial.account_id, dial.key, minutes=0, credit=0, calls=0, day="")
    if dial.batch_id is not None and dial.is_entered_in_batch:
        context.store.batches.settle_dial(dial.batch_id, dial.key, {})
