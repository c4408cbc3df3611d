"""``person``: every job, call and opt-out of one person over all batches, and the next dial."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from speechaid.commands.explain import describe_status, explain_job
from speechaid.commands.ids import resolve_account
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.commands.jobs import paid_fields
from speechaid.commands.people import MAX_NAMED, Found, Person, find_people
from speechaid.model.job import Job
from speechaid.model.masking import mask_each, mask_phone, mask_phones, mask_prose
from speechaid.model.reading import Document, instant, mapping, text
from speechaid.model.states import JobStatus
from speechaid.protocol.translation import say, say_later
from speechaid.rules import phones
from speechaid.rules.numbers import line_identity
from speechaid.store.do_not_call import ANY_ACCOUNT

#: Waiting jobs that are evaluated for the next dial; each costs some reads.
_MAX_EVALUATED: Final = 10
_WAITS: Final = frozenset(
    {JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.SUSPENDED, JobStatus.IN_PROGRESS}
)
_NOT_FOUND_SO: Final = say_later(
    "jobs that another program wrote are found by an id or a number in its usual"
    " spellings only, and by the beginning of a name as it is written there"
)


def person(context: HandlerContext, command: Invocation) -> Result:
    """The one person of whom was typed, or those who may be meant."""
    account = account_of(context, command)
    found = find_people(context, command.args["person"], account)
    answer: Result = {
        "as_of": context.store.now(),
        "understood_as": [str(way.meaning) for way in found.readings],
        "account": account,
        "people": [candidate_row(one) for one in found.people[:MAX_NAMED]],
        "more_people": found.has_more or len(found.people) > MAX_NAMED,
        "jobs": [],
        "calls": [],
        "more": False,
        "opt_outs": [],
        "next_dial": None,
        "note": None if found.people else _NOT_FOUND_SO,
    }
    if not found.people:
        return {**answer, "opt_outs": _opt_outs_of_typed(context, found, account)}
    answer["understood_as"] = sorted({str(one.meaning) for one in found.people})
    if len(found.people) > 1:
        return answer
    return {**answer, **_all_of(context, command, found.people[0], account)}


def account_of(context: HandlerContext, command: Invocation) -> str | None:
    """The full id of the account that was given; None where none was."""
    given = command.args["account"]
    return None if given is None else resolve_account(context.store, given).account_id


def candidate_row(person: Person) -> Result:
    """A person in a list of those who may be meant."""
    numbers = list(dict.fromkeys(phone for job in person.jobs for phone in job.contact.phones))
    return {
        "name": person.name,
        "dni": person.dni,
        "accounts": person.accounts,
        "phones": mask_each(numbers),
        "jobs": len(person.jobs),
        "understood_as": str(person.meaning),
    }


def _all_of(context: HandlerContext, command: Invocation, person: Person, account: str | None) -> Result:
    store, limit = context.store, command.args["limit"]
    # The latest jobs: they are sorted from the oldest.
    jobs = person.jobs[-limit:]
    names = {batch.batch_id: batch.name for batch in store.batches.among(_batch_ids(jobs))}
    numbers = list(dict.fromkeys(phone for job in person.jobs for phone in job.contact.phones))
    shown = dict(zip(numbers, mask_each(numbers), strict=True))
    calls = store.people.calls_of([job.job_id for job in person.jobs], limit + 1)
    return {
        "jobs": [_job_row(job, names, shown, store.now()) for job in jobs],
        "calls": [_call_row(call, names, shown) for call in calls[:limit]],
        "more": person.has_more or len(person.jobs) > limit or len(calls) > limit,
        "opt_outs": _opt_outs(context, person, shown, account),
        "next_dial": _next_dial(context, command, person, names),
    }


def _batch_ids(jobs: list[Job]) -> list[str]:
    return sorted({job.batch_id for job in jobs if job.batch_id is not None})


def _job_row(job: Job, names: dict[str, str | None], shown: dict[str, str], now: datetime) -> Result:
    return {
        "job_id": job.job_id,
        "batch_id": job.batch_id,
        "batch_name": names.get(job.batch_id or ""),
        "account_id": job.account_id,
        "status": job.status,
        "why": _masked(describe_status(job, now)),
        "attempts": job.attempts,
        "phones": [shown[phone] for phone in job.contact.phones],
        "paid": paid_fields(job),
    }


def _call_row(call: Document, names: dict[str, str | None], shown: dict[str, str]) -> Result:
    data, used = mapping(call.get("call_data")), text(mapping(call.get("contact")).get("phone_used"))
    batch_id = text(call.get("batch_id"))
    from_number = text(call.get("from_number")) or text(data.get("from_number"))
    return {
        "at": call.get("placed_at") or call.get("created_at"),
        "call_id": call.get("call_id"),
        "job_id": call.get("job_id"),
        "batch_id": batch_id,
        "batch_name": names.get(batch_id or ""),
        "outcome": call.get("outcome") or call.get("call_status"),
        "duration_ms": call.get("duration_ms"),
        "phone": None if used is None else shown.get(used, mask_phone(used)),
        "agent": text(call.get("agent_id")) or text(data.get("agent_id")),
        "from_number": None if from_number is None else mask_phone(from_number),
    }


def _opt_outs(
    context: HandlerContext, person: Person, shown: dict[str, str], account: str | None
) -> list[Result]:
    """The person's entries on the do-not-call list, and those of the numbers."""
    listing = context.store.do_not_call
    found: list[Result] = []
    if person.id_key is not None:
        entries = listing.people_entries(person.id_key, account)
        found += [opt_out_row(_what(entry), entry) for entry in entries]
    default = context.settings.dialling.default_country
    e164 = {phone: number for phone in shown if (number := phones.normalise(phone, default))}
    entries_of = listing.entries_of_lines(e164.values())
    return found + [
        opt_out_row(shown[phone], entry)
        for phone, number in e164.items()
        if (entry := entries_of.get(line_identity(number))) is not None
    ]


def _opt_outs_of_typed(context: HandlerContext, found: Found, account: str | None) -> list[Result]:
    """Entries of what was typed, where no job is of it."""
    listing = context.store.do_not_call
    rows: list[Result] = []
    for way in found.readings:
        rows += [
            opt_out_row(mask_phone(number), entry)
            for number in way.numbers
            if (entry := listing.entry(number)) is not None
        ]
        if not way.numbers:
            rows += [
                opt_out_row(_what(entry), entry)
                for key in way.keys
                for entry in listing.people_entries(key, account)
            ]
    return rows


def _what(entry: Document) -> str:
    account = text(entry.get("account_id"))
    if account == ANY_ACCOUNT:
        return say("the person, in all accounts")
    return say("the person") if account is None else say("the person, in account {account}", account=account)


def opt_out_row(what: str, entry: Document) -> Result:
    """An entry of the do-not-call list: what is listed, since when, and by whom or what."""
    return {
        "what": what,
        "since": instant(entry.get("at")),
        "by": mask_prose(text(entry.get("source")) or "") or None,
        "job": text(entry.get("job_id")),
    }


def _next_dial(
    context: HandlerContext, command: Invocation, person: Person, names: dict[str, str | None]
) -> Result | None:
    """The job that is dialled next as ``explain`` sees it; None where none waits."""
    waiting = [job for job in person.jobs if job.status in _WAITS]
    if not waiting:
        return None
    rows = [explain_job(context, command.snapshot, job) for job in waiting[:_MAX_EVALUATED]]
    first = min(rows, key=_soonest)
    return {
        "job_id": first["job_id"],
        "batch_id": first["batch_id"],
        "batch_name": names.get(first["batch_id"] or ""),
        "sentence": _masked(first["sentence"]),
        "at": first["next_chance"],
        "phone": first["phone"],
        "waiting_jobs": len(waiting),
    }


def _soonest(row: Result) -> tuple[int, Any]:
    """A job in a worker's hand or ready first, then by the next chance, then those with none."""
    failed = any(not check["passed"] for check in row["checks"])
    if row["status"] is JobStatus.IN_PROGRESS or (not failed and row["next_chance"] is not None):
        return 0, 0.0
    chance = row["next_chance"]
    return (2, 0.0) if chance is None else (1, chance.timestamp())


def _masked(text: str) -> str:
    """The text with phone numbers masked; one without any stays translatable."""
    masked = mask_phones(text)
    return text if masked == text else masked
