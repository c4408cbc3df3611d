"""``forget``: erases what is stored about a person, and keeps what the law and the accounts need.

All jobs of the person are marked first: none of them is dialled any more, and whoever goes on after a crash,
this command typed again or the housekeeping of any host, finds what is left to do. A call that is under way
is not ended: what it leaves is erased when it is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.people import Countries, Person, the_person
from speechaid.commands.person import account_of
from speechaid.maintenance.erasing import Counts, count_erased
from speechaid.maintenance.forgetting import begin_forgetting, erase_orphans, forget_job
from speechaid.model.erasure import Erasure, What
from speechaid.model.levels import Level
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say, say_later
from speechaid.rules.numbers import all_spellings
from speechaid.store.call_logs import new_record_id

#: Jobs that are erased by one task of the database thread.
_PORTION: Final = 20
_RETELL: Final = say_later(
    "Retell keeps transcript and recording of each call for as long as"
    " data_storage_retention_days of its agent says: erase them in its dashboard"
)


@dataclass(kw_only=True)
class _Forget:
    """The state of one command."""

    person: Person
    erasure: Erasure
    #: In E.164.
    numbers: list[str]
    is_number_listed: bool
    is_id_listed: bool
    waiting: list[Any]
    cancelled: int = 0
    counts: Counts = field(default_factory=Counts)
    #: Names of jobs that are erased later, since a call is under way or a reservation is to be given back.
    later: list[str] = field(default_factory=list)


def forget(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Erase a person from jobs, results and history; refuse where the text may mean several people."""
    person, _ = the_person(context, command.args["person"], account_of(context, command))
    if person is None:
        message = say("nobody of whom a job is stored is meant by that: nothing was erased")
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    store, numbers = context.store, Countries(context).numbers_of(person.jobs)
    store.holds.require_level(Level.PEOPLE_AND_AGENTS, by=command.actor)
    work = _Forget(
        person=person,
        erasure=Erasure(at=store.now(), by=command.actor, what=What.PERSON),
        numbers=numbers,
        # The list keeps them.
        is_number_listed=bool(store.do_not_call.listed(numbers)),
        is_id_listed=person.id_key is not None and bool(store.do_not_call.people_entries(person.id_key)),
        # A test call had the variables of one of the jobs, and another's telephone.
        waiting=[
            *(job.id for job in person.jobs),
            *store.erasures.tests_of([job.job_id for job in person.jobs]),
        ],
    )
    work.cancelled = begin_forgetting(store, work.waiting, by=command.actor, reason=command.args["reason"])
    return _erase(context, command, work)


def _erase(context: HandlerContext, command: Invocation, work: _Forget) -> Result | Continue:
    portion, work.waiting = work.waiting[:_PORTION], work.waiting[_PORTION:]
    counts = Counts()
    try:
        for job_id in portion:
            left = forget_job(context.store, job_id, work.erasure, counts)
            work.cancelled += left.was_cancelled
            if left.later is not None:
                work.later.append(left.later)
        if not work.waiting:
            written = {phone for job in work.person.jobs for phone in job.contact.phones}
            forms = written.union(*map(all_spellings, work.numbers))
            erase_orphans(context.store, sorted(forms), work.person.dni, work.erasure, counts)
    finally:
        work.counts.add(counts)
        count_erased(context.counters, counts, by="forget")
    if work.waiting:
        command.progress({"state": "changing", "done": work.counts.jobs})
        return Continue(after_seconds=0.0, step=lambda context: _erase(context, command, work))
    return _finish(context, command, work)


def _finish(context: HandlerContext, command: Invocation, work: _Forget) -> Result:
    context.store.logs.note_erasure(new_record_id(), by=command.actor, **work.counts.as_fields())
    return {
        # Of the answer alone: nothing keeps it.
        "name": work.person.name,
        "dni": work.person.dni,
        "jobs": work.counts.jobs,
        "calls": work.counts.results,
        "cancelled": work.cancelled,
        "later": work.later,
        "has_more": work.person.has_more,
        "number_kept": work.is_number_listed,
        "id_kept": work.is_id_listed,
        "retell": _RETELL,
    }
