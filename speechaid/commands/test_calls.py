"""``test-call`` and ``test-result``: hear a batch before the people of its list do.

A test call is a job of its own, marked (``model.test_calls``), which a worker takes through the same steps as
any other. Its agent, number and other settings are those of the batch, its variables those of one row.
"""

from __future__ import annotations

import json
import secrets
from datetime import datetime, timedelta
from typing import Final

from speechaid.commands.calls import call_content
from speechaid.commands.dry_run import dry_run_context
from speechaid.commands.ids import resolve_job, resolve_open_batch, resolve_test
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.commands.jobs import erased_fields
from speechaid.commands.test_numbers import typed_number
from speechaid.dialer.dial import NO_CAPACITY, new_dial
from speechaid.dialer.preflight import evaluate, next_phone, read_preflight
from speechaid.model.batch import Batch
from speechaid.model.erasure import of_person
from speechaid.model.job import Job
from speechaid.model.masking import mask_bare_phones, mask_phone
from speechaid.model.reading import Document, mapping, text
from speechaid.model.states import JobStatus
from speechaid.model.test_calls import TESTS, BatchTest
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say
from speechaid.rules import phones
from speechaid.rules.numbers import Number
from speechaid.rules.phones import Choice
from speechaid.store.test_calls import RegisteredNumber

#: A test that no worker has placed after so many seconds is given up.
WAIT_SECONDS: Final = 300.0
#: Fields of a result in the answer: who spoke.
_SPEAKER_FIELDS: Final = ("agent_id", "agent_version", "from_number", "language")


# -- test-call ---------------------------------------------------------------------------------------------


def test_call(context: HandlerContext, command: Invocation) -> Result:
    """Have a worker call a registered number as it would call a row of the batch."""
    batch = resolve_open_batch(context.store, command.args["batch"], "tested")
    number = typed_number(context, command, command.args["to"])
    row = _row(context, batch, command)
    if (erased := of_person(row.document)) is not None:
        message = say(
            "whose row {job_id} was is {sentence}: choose another with --row",
            job_id=row.job_id,
            sentence=erased.sentence,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    account_id = row.account_id or batch.account_id
    registered = _registered(context, number, account_id)
    now = context.store.now()
    mark = BatchTest(
        batch_id=batch.batch_id,
        job_id=row.job_id,
        by=command.actor,
        until=now + timedelta(seconds=WAIT_SECONDS),
    )
    document = document_of_test(row, mark, number=number.e164, account_id=account_id, now=now)
    remarks = _remarks(context, command, batch, number)
    speaker = _forbid_or_describe(context, Job.read({**document, "_id": row.id}), remarks)
    running = context.store.test_calls.find_open(registered)
    if running is not None or not context.store.test_calls.create(registered, document, mark.until):
        which = "" if running is None else f" {running.job_id}"
        message = say(
            "a test call to this number is not over yet:{which}", which=which or say(" it has just begun")
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    return {
        "test": document["job_id"],
        "batch_id": batch.batch_id,
        "name": batch.name,
        "row": row.job_id,
        "number": mask_phone(number.e164),
        "until": mark.until,
        **speaker,
        "remarks": remarks,
    }


def document_of_test(
    row: Job, mark: BatchTest, *, number: str, account_id: str | None, now: datetime
) -> Document:
    """The job of a test call: the row's variables, for somebody else's telephone.

    What tells who the row's person is stands among the variables alone. It is not that person who is called:
    neither the person's opt-out nor a search for the person's jobs must meet this one.
    """
    contact = mapping(row.document.get("contact"))
    person = {"name": row.contact.name, "dni": row.contact.dni}
    variables = {
        **mapping(row.document.get("payload")),
        **{name: value for name, value in contact.items() if name != "phones"},
        **{name: value for name, value in person.items() if value is not None},
    }
    return {
        "job_id": f"test-{now:%Y%m%d}-{secrets.token_hex(4)}",
        "batch_id": TESTS,
        "test": mark.document(),
        "account_id": account_id,
        "contact": {"phones": [number], "next_phone_index": 0},
        "payload": variables,
        "status": JobStatus.PENDING,
        "attempts": 0,
        "reserved_until": now,
        "created_at": now,
        "updated_at": now,
    }


def _row(context: HandlerContext, batch: Batch, command: Invocation) -> Job:
    position, name = command.args["row"], command.args["job"]
    if name is not None:
        if position is not None:
            raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("--row and --job exclude each other"))
        job = resolve_job(context.store, name)
        if job.batch_id != batch.batch_id:
            raise CommandRefused(
                ErrorCode.NOT_FOUND,
                say("{job_id} is no job of batch {batch_id}", job_id=job.job_id, batch_id=batch.batch_id),
            )
        return job
    found = context.store.test_calls.find_row(batch.batch_id, position)
    if found is None:
        which = say("row with a phone") if position is None else say("row {position}", position=position)
        raise CommandRefused(
            ErrorCode.NOT_FOUND, say("batch {batch_id} has no {which}", batch_id=batch.batch_id, which=which)
        )
    return found


def _registered(context: HandlerContext, number: Number, account_id: str | None) -> RegisteredNumber:
    found = context.store.test_calls.find_number(number.e164)
    if found is None or not found.may_serve(account_id):
        # In the same words: a user of one account must not learn what another has registered.
        message = say(
            "{e164} is not registered for test calls of this batch's account: speechctl"
            " test-number-add NUMBER; test-numbers lists them",
            e164=mask_phone(number.e164),
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    return found


def _remarks(context: HandlerContext, command: Invocation, batch: Batch, number: Number) -> list[str]:
    remarks = []
    account = None if batch.account_id is None else context.store.accounts.find(batch.account_id)
    country = phones.country_of(batch, account, context.settings.dialling.default_country)
    if country is not None and number.country is not None and country.upper() != number.country:
        remarks.append(
            say(
                "the number is of {country}, the batch's people are of {country_2}",
                country=number.country,
                country_2=country.upper(),
            )
        )
    workers = [row for row in command.snapshot.get("workers", []) if row.get("pid")]
    free = [row for row in workers if not (row.get("job") or row.get("paused") or row.get("leaving"))]
    supervisor = command.snapshot.get("supervisor", {})
    if supervisor.get("held") or supervisor.get("draining") or supervisor.get("no_space"):
        remarks.append(say("this host takes no jobs now; another host's worker may place the call"))
    elif not free:
        minutes = WAIT_SECONDS / 60
        remarks.append(
            say(
                "no worker of this host is free: the first that is takes it, within {minutes:g} minutes",
                minutes=minutes,
            )
        )
    return remarks


def _forbid_or_describe(context: HandlerContext, job: Job, remarks: list[str]) -> Result:
    """Who will speak.

    Raises:
        CommandRefused: the call may not be placed now, with each reason.
    """
    worker_context = dry_run_context(context)
    preflight = read_preflight(worker_context, job)
    choice = next_phone(worker_context, job, preflight)
    if not isinstance(choice, Choice):
        message = say("the number is on the do-not-call list: dnc-remove allows calls to it again")
        raise CommandRefused(ErrorCode.REFUSED, message)
    evaluation = evaluate(worker_context, job, choice.number, preflight)
    failed = [check for check in evaluation.checks if not check.passed]
    if any(check.reason not in NO_CAPACITY for check in failed):
        reasons = joined(
            "; ", (say("{name}: {value}", name=check.name, value=check.value) for check in failed)
        )
        raise CommandRefused(
            ErrorCode.REFUSED, say("a test call is not placed now: {reasons}", reasons=reasons)
        )
    remarks += [
        say("it waits for a place: {name}: {value}", name=check.name, value=check.value) for check in failed
    ]
    # The request that a worker would send now.
    body = mapping(json.loads(new_dial(worker_context, job, choice, preflight).body))
    return {
        "agent_id": body.get("override_agent_id"),
        "agent_version": body.get("override_agent_version"),
        "from_number": body.get("from_number"),
    }


# -- test-result -------------------------------------------------------------------------------------------


def test_result(context: HandlerContext, command: Invocation) -> Result:
    """How far a test call is; when it is over, what was said, and the variables sent and collected."""
    job = resolve_test(context.store, command.args["test"])
    if job.test is None:
        raise CommandRefused(
            ErrorCode.NOT_FOUND, say("{job_id} is no test call: speechctl job shows it", job_id=job.job_id)
        )
    state, since = _state(job)
    results = context.store.results.of_job(job.job_id)
    return {
        "test": job.job_id,
        "batch_id": job.test.batch_id,
        "row": job.test.job_id,
        "by": job.test.by,
        "number": mask_phone(job.contact.phones[0]) if job.contact.phones else None,
        "state": state,
        "since": since,
        "at": context.store.now(),
        "until": job.test.until,
        "why": _why_not(job) if state == "over" and not results else None,
        "call": _call(context, results[-1]) if results and state == "over" else None,
        **erased_fields(job.document),
    }


def _state(job: Job) -> tuple[str, datetime | None]:
    """A test's state in a word, and since when."""
    dial = job.dial
    if job.status not in {JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.IN_PROGRESS}:
        return "over", None
    if dial is None:
        return "queued", job.reserved_until
    if dial.verdict is not None:
        return "ended", None
    if dial.call_id is None:
        return ("dialling" if dial.next_lookup_at is None else "unclear"), dial.intent_at
    if dial.connected_at is None:
        return "ringing", dial.placed_at
    return "talking", dial.connected_at


def _why_not(job: Job) -> str:
    """Why there was no call."""
    fields = ("cancel_reason", "last_error", "suspend_reason")
    found = next((found for name in fields if (found := text(job.document.get(name)))), str(job.status))
    return mask_bare_phones(found)  # Retell's words may quote the number


def _call(context: HandlerContext, result: Document) -> Result:
    """What a call was: who spoke, how it ended, what was said."""
    return {
        "call_id": result.get("call_id"),
        "outcome": result.get("outcome"),
        "disconnection_reason": result.get("disconnection_reason"),
        "placed_at": result.get("placed_at"),
        "duration_ms": result.get("duration_ms"),
        "cost": result.get("cost"),
        "charged": result.get("charged"),
        **{name: result.get(name) for name in _SPEAKER_FIELDS},
        **call_content(context.store, result),
    }
