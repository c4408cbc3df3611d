"""``paid``: a person has paid, or the people of a file: what waits is cancelled, and the payment is recorded.

On each job of the person ``paid {by, at, note}`` is recorded once; the amount stands on the latest job alone,
and what is recorded there stays. So the same command, repeated after a crash or sent on two hosts, counts no
amount twice. ``--correct`` replaces an amount that was recorded wrongly, and keeps the old one beside the new
one: only a different amount is replaced, so that nothing is corrected twice either. A call in progress goes
on; what it would leave waiting is cancelled then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.campaign.id_list import ListedId
from speechaid.campaign.person_search import Meaning, readings_of
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.people import countries_in_use, the_person
from speechaid.commands.person import account_of
from speechaid.commands.reading import await_reader
from speechaid.importing.ids import IdsReading
from speechaid.model.job import Job
from speechaid.model.masking import mask_prose
from speechaid.model.reading import Document, mapping, number, text
from speechaid.model.states import JobStatus
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.money import exact_amount
from speechaid.protocol.translation import joined, say
from speechaid.store.operator_requests import Requested
from speechaid.store.people import People

#: People of a file that one task of the database thread records.
_PORTION: Final = 20
#: Jobs of one person that are read.
_MAX_JOBS: Final = 2000
#: Lines and ids that the answer lists; of the others it has the number.
_MAX_LISTED: Final = 1000
_REASON: Final = "paid"
_CALLED_OFF: Final = frozenset(
    {JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.SUSPENDED, JobStatus.IN_PROGRESS}
)


@dataclass(kw_only=True)
class _Work:
    """The state of one command."""

    account: str | None
    dry_run: bool
    by: str
    note: str | None
    #: Replace an amount that is recorded already.
    correct: bool
    counts: Counter[str] = field(default_factory=Counter)
    not_found: list[Result] = field(default_factory=list)
    in_call: list[str] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)
    #: Amounts that were replaced, with old and new value.
    changes: list[Result] = field(default_factory=list)
    #: Amounts that differ from the recorded one, which stays.
    different: list[Result] = field(default_factory=list)


def paid(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Record the payment of one person, or of each person of a file."""
    args = command.args
    if (args["person"] is None) == (args["file"] is None):
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("give either a person or --file FILE"))
    note = args["note"]
    work = _Work(
        account=account_of(context, command),
        dry_run=args["dry_run"],
        by=command.actor,
        note=None if note is None else mask_prose(note),
        correct=args["correct"],
    )
    if work.correct and args["amount"] is None and args["amount_column"] is None:
        message = say("correct: give the right amount with --amount, or with --amount-column of a file")
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    if args["person"] is not None:
        return _one(context, command, work)
    if args["amount"] is not None:
        message = say("amount: of the people of a file it stands in a column of it: --amount-column TITLE")
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    reading = IdsReading(
        context.readers,
        command.attachment or b"",
        args["file"],
        country=countries_in_use(context)[0] or "CL",
        column=args["column"],
        amounts=args["amount_column"],
    )

    def record(context: HandlerContext) -> Result | Continue:
        work.bad = reading.ids.bad
        return _record_file(context, command, work, reading.ids.good, 0)

    return await_reader(context, command, reading, record, needs_client=work.dry_run)


def _one(context: HandlerContext, command: Invocation, work: _Work) -> Result:
    person, _ = the_person(context, command.args["person"], work.account)
    if person is None:
        message = say(
            "no job is of such a person, so there is nothing to record (speechctl person shows more)"
        )
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    if len(_accounts(person.jobs)) > 1:
        message = say(
            "that person has jobs of several accounts, so give --account: {named_accounts}",
            named_accounts=_named_accounts(person.jobs),
        )
        raise CommandRefused(ErrorCode.AMBIGUOUS_ID, message)
    _record_person(context, work, person.jobs, command.args["amount"])
    return {**_answer(command, work), "name": person.name, "dni": person.dni}


def _record_file(
    context: HandlerContext, command: Invocation, work: _Work, ids: Sequence[ListedId], position: int
) -> Result | Continue:
    """Record the people of one portion."""
    for one in ids[position : position + _PORTION]:
        jobs = _jobs_of_id(context.store.people, one.dni, work.account)
        if len(_accounts(jobs)) > 1:
            reason = say(
                "this person has jobs of several accounts, so give --account: {named_accounts}",
                named_accounts=_named_accounts(jobs),
            )
            work.bad.append((one.line, reason))
            continue
        if jobs:
            _record_person(context, work, jobs, one.amount, one.currency)
            continue
        work.counts["not_found"] += 1
        if len(work.not_found) < _MAX_LISTED:
            work.not_found.append({"line": one.line, "dni": one.dni})
    position += _PORTION
    if position >= len(ids):
        return _answer(command, work)
    command.progress({"state": "changing", "done": position, "of": len(ids)})
    return Continue(
        after_seconds=0.0, step=lambda context: _record_file(context, command, work, ids, position)
    )


def _jobs_of_id(people: People, dni: str, account: str | None) -> list[Job]:
    queries: list[Document] = []
    for way in readings_of(dni, []):
        if way.meaning is Meaning.ID:
            queries += people.of_id(way.keys, way.spellings, account)
    return [Job.read(row) for row in people.find(queries, _MAX_JOBS)]


def _accounts(jobs: list[Job]) -> list[str]:
    """The accounts of jobs: a debt that is paid to one is not paid to another; jobs without one go along."""
    return sorted({job.account_id for job in jobs if job.account_id is not None})


def _named_accounts(jobs: list[Job]) -> str:
    return joined(", ", _accounts(jobs))


def _record_person(
    context: HandlerContext,
    work: _Work,
    jobs: list[Job],
    amount: float | None,
    currency: str | None = None,
) -> None:
    """Record the payment on every job, then the amount on the latest; cancel what waits."""
    work.counts["people"] += 1
    for job in jobs:
        _record_job(context, work, job)
    if amount is not None:
        _record_amount(context, work, jobs, amount, currency)


def _record_amount(
    context: HandlerContext, work: _Work, jobs: list[Job], amount: float, currency: str | None
) -> None:
    """Record an amount on the latest job, or replace the one that is recorded, where that is asked for."""
    by_age = sorted(jobs, key=lambda job: (str(job.document.get("created_at") or ""), str(job.id)))
    with_amount = [job for job in by_age if _recorded(job).get("amount") is not None]
    target = with_amount[-1] if work.correct and with_amount else by_age[-1]
    recorded = _recorded(target)
    currency = currency or text(mapping(target.document.get("payload")).get("currency"))
    if recorded.get("amount") is None:
        is_new = work.dry_run or context.store.operator_actions.set_paid_amount(target, amount, currency)
        work.counts["amounts" if is_new else "amounts_known"] += 1
        return
    old, old_currency = number(recorded["amount"]), text(recorded.get("currency"))
    if old is not None and exact_amount(old) == exact_amount(amount) and old_currency == currency:
        work.counts["amounts_known"] += 1
        return
    change = {
        "option": "amount",
        "job_id": target.job_id,
        "old": old,
        "old_currency": old_currency,
        "new": amount,
        "currency": currency,
    }
    correct = context.store.operator_actions.correct_paid_amount
    if work.correct and (work.dry_run or correct(target, amount, currency, by=work.by) is not None):
        work.counts["amounts_corrected"] += 1
        work.changes.append(change)
    else:
        work.counts["amounts_different"] += 1
        work.different.append(change)


def _recorded(job: Job) -> Mapping[str, Any]:
    return mapping(job.document.get("paid"))


def _record_job(context: HandlerContext, work: _Work, job: Job) -> None:
    """Record the payment on one job, and cancel it where it waits, or at the end of its call."""
    paid: dict[str, Any] = {"by": work.by, "at": context.store.now()}
    if work.note:
        paid["note"] = work.note
    is_new = (
        job.document.get("paid") is None
        if work.dry_run
        else context.store.operator_actions.mark_paid(job, paid)
    )
    work.counts["recorded" if is_new else "recorded_before"] += 1
    if job.status not in _CALLED_OFF:
        work.counts["ended"] += 1
        return
    if work.dry_run:
        answer = Requested.RECORDED if job.dial is not None else Requested.DONE
    else:
        answer = context.store.requests.ask(job.job_id, "cancel", reason=_REASON, by=work.by)
    if answer is Requested.DONE:
        work.counts["cancelled"] += 1
    elif answer is Requested.RECORDED:
        work.in_call.append(job.job_id)
    else:
        work.counts["ended"] += 1


def _answer(command: Invocation, work: _Work) -> Result:
    return {
        "dry_run": work.dry_run,
        "file": command.args["file"],
        "people": work.counts["people"],
        "not_found_count": work.counts["not_found"],
        "not_found": work.not_found,
        "cancelled": work.counts["cancelled"],
        "in_call": sorted(work.in_call),
        "ended": work.counts["ended"],
        "recorded": work.counts["recorded"],
        "recorded_before": work.counts["recorded_before"],
        "amounts": work.counts["amounts"],
        "amounts_known": work.counts["amounts_known"],
        "amounts_corrected": work.counts["amounts_corrected"],
        # Under its other name it is recorded as a change.
        "would_change" if work.dry_run else "changes": work.changes[:_MAX_LISTED],
        "amounts_different": work.counts["amounts_different"],
        "different": work.different[:_MAX_LISTED],
        "bad_rows_count": len(work.bad),
        "bad_rows": [{"line": line, "reason": reason} for line, reason in work.bad[:_MAX_LISTED]],
    }
