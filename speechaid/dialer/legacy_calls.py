"""Recover jobs that SpeechAI or another program left in progress: find their call and follow it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from speechaid.dialer import calling_rules, deleted_jobs, follow, legacy_reservations, settlement
from speechaid.dialer.context import WorkerContext
from speechaid.errors import JobDeleted, NumberBusy
from speechaid.model.call import Call, ReportedCall
from speechaid.model.job import Dial, Job
from speechaid.model.reading import instant
from speechaid.retell.faults import AnswerUnreadable, CallUnknown
from speechaid.retell.requests_body import DIAL_KEY
from speechaid.rules import phones
from speechaid.rules.numbers import dialled_spellings, line_identity

#: A job without a known call is left alone for this long after it began: its call may still be going on.
POSSIBLE_CALL_SECONDS = 3600.0
#: Meanwhile it is checked again at this interval.
CHECK_AGAIN_SECONDS = POSSIBLE_CALL_SECONDS / 6
#: A job whose number has an open dial of another job is tried again after this many seconds.
NUMBER_BUSY_RETRY_SECONDS = 15.0


def recover_legacy_job(context: WorkerContext, job: Job) -> None:
    """Continue a job that another program left in progress: follow its call if it has one.

    The field ``foreign`` stays on the job until that is known, even if this worker dies or Retell does not
    answer. Without it the job would be requeued like ours without a dial, and a person on the phone called
    again.

    Raises:
        RetellError: Retell could not be asked; the job is unchanged.
    """
    if job.call_id is not None and context.store.results.of_call(job.call_id) is None:
        follow_legacy_call(context, job, job.call_id, get_call(context, job.call_id))
    elif (found := find_legacy_call(context, job)) is not None:
        follow_legacy_call(context, job, found.call_id, found)
    elif _may_have_call(context, job):
        until = context.store.now() + timedelta(seconds=CHECK_AGAIN_SECONDS)
        context.store.jobs.release_lease(job, until=until)
    else:
        context.emit("job.returned", job, foreign=True)
        context.link.count("speechaid_recoveries_total", how="returned")
        context.store.jobs.requeue(job)


def get_call(context: WorkerContext, call_id: str) -> Call | None:
    """The call as get-call reports it; None if that knows no such call, or its answer cannot be read.

    It is followed then too, and parked, or settled by what the list tells.
    """
    try:
        return context.retell.get_call(call_id)
    except (CallUnknown, AnswerUnreadable):
        return None


def find_legacy_call(context: WorkerContext, job: Job) -> ReportedCall | None:
    """Search Retell by number and time for the job's call: one without our dial key and without a result.

    The list leads to the call; what counts is what get-call tells of it.
    """
    country = _country(context, job)
    began = _began_at(job)
    if began is None:
        return None
    for number in _numbers_to_search(job, country):
        for listed in context.retell.find_calls(to_number=number, started_after=began - timedelta(minutes=2)):
            if DIAL_KEY in listed.metadata or context.store.results.of_call(listed.call_id) is not None:
                continue
            call = get_call(context, listed.call_id)
            if call is None or DIAL_KEY not in call.metadata:
                return call or listed
    return None


def _numbers_to_search(job: Job, country: str | None) -> list[str]:
    """The job's numbers in each spelling: it is unknown in which one the other program dialled."""
    numbers = filter(None, (phones.normalise(phone, country) for phone in job.contact.phones))
    return list(dict.fromkeys(form for number in numbers for form in (number, *dialled_spellings(number))))


def follow_legacy_call(context: WorkerContext, job: Job, call_id: str, call: ReportedCall | None) -> None:
    """Record another program's call as a dial of ours, and follow it."""
    adopted = _adopted_dial(context, job, call_id, call)
    job = legacy_reservations.release_legacy_reservation(context, job)
    settlement.add_reservation_entries(context, job, adopted)
    try:
        job = context.store.jobs.record_intent(job, adopted)
    except JobDeleted:
        job = deleted_jobs.keep_deleted_job(context, replace(job, dial=adopted))
    except NumberBusy:
        settlement.release_reservation_entries(context, adopted)
        context.emit("dial.number_busy", job, phone=adopted.number)
        until = context.store.now() + timedelta(seconds=NUMBER_BUSY_RETRY_SECONDS)
        context.store.jobs.release_lease(job, until=until)
        return
    if adopted.calling_rule is not None:
        context.store.ledger.enter_open(
            adopted.key, adopted.calling_rule, job=job.id, at=adopted.placed_at or adopted.intent_at
        )
    context.emit("call.adopted", job, foreign=True)
    context.link.count("speechaid_recoveries_total", how="adopted")
    follow.run(context, job, call)


def _adopted_dial(context: WorkerContext, job: Job, call_id: str, call: ReportedCall | None) -> Dial:
    country = _country(context, job)
    numbers = [phones.normalise(phone, country) for phone in job.contact.phones]
    # A dial needs a number even if Retell reports none; the call's id as a number blocks no other dial.
    called = (call.to_number if call else None) or next(filter(None, numbers), call_id)
    lines = [None if number is None else line_identity(number) for number in numbers]
    line = line_identity(called)
    now = context.store.now()
    return Dial(
        key=context.new_dial_key(),
        number=called,
        phone_index=lines.index(line) if line in lines else job.contact.next_phone_index,
        attempt=job.attempts,
        intent_at=now,
        body="",
        api_key_fingerprint=context.retell.fingerprint,
        account_id=job.account_id,
        batch_id=job.batch_id,
        call_id=call_id,
        placed_at=(call.started_at if call else None) or now,
        calling_rule=calling_rules.facts_without_rule(
            job, called, numbers=set(filter(None, numbers)), in_force=context.store.packs.in_force()
        ),
    )


def _country(context: WorkerContext, job: Job) -> str | None:
    batch = None if job.batch_id is None else context.store.batches.find(job.batch_id)
    account = None if job.account_id is None else context.store.accounts.find(job.account_id)
    return phones.country_of(batch, account, context.settings.dialling.default_country)


def _began_at(job: Job) -> datetime | None:
    """The earliest time at which the other program may have started on the job."""
    dates = (instant(job.document.get(name)) for name in ("started_at", "updated_at", "created_at"))
    return next(filter(None, dates), None)


def _may_have_call(context: WorkerContext, job: Job) -> bool:
    began = _began_at(job)
    if began is None:
        return False
    return (context.store.now() - began) / timedelta(seconds=1) < POSSIBLE_CALL_SECONDS
