"""``opt-out``: a person is not called again, on any number, by any batch.

The person's national id goes onto the do-not-call list, with every number that a job has; both are in force
for the next look before a dial. Every step may be repeated: a command that broke off is completed by the same
command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from speechaid.campaign.national_ids import wrong_id
from speechaid.campaign.person_search import Meaning, Reading, id_alone
from speechaid.commands.bulk_actions import in_portions
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.people import Countries, Found, Person, countries_in_use, the_person
from speechaid.commands.person import account_of
from speechaid.model.levels import Level
from speechaid.model.masking import mask_each
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.rules.retry_table import ALL_LISTED
from speechaid.store.do_not_call import ANY_ACCOUNT

#: Numbers listed, or jobs cancelled, by one task of the database thread.
_PORTION: Final = 200


def opt_out(context: HandlerContext, command: Invocation) -> Result | Continue:
    """List the person; what was typed is listed where no job is of such a person."""
    account = account_of(context, command)
    person, found = the_person(context, command.args["person"], account)
    if person is None:
        return _list_unknown(context, command, found, account)
    numbers = Countries(context).numbers_of(person.jobs)
    answer: Result = {
        "known": True,
        "understood_as": [str(person.meaning)],
        "name": person.name,
        "dni": person.dni,
        "accounts": person.accounts,
        "as_person": person.id_key is not None,
        "phones": mask_each(numbers),
        "jobs": len(person.jobs),
        "more": person.has_more,
        "remark": None,
    }
    was_listed = True
    if person.id_key is not None:
        new = _list_id(context, command, person.id_key, person.accounts)
        was_listed = not new
    return _list_numbers(context, command, _Numbers(person, numbers, answer, was_listed), 0)


class _Numbers:
    """What is still to be listed of a person."""

    def __init__(self, person: Person, numbers: list[str], answer: Result, was_listed: bool) -> None:
        self.person = person
        self.numbers = numbers
        self.answer = answer
        self.was_listed = was_listed


def _list_id(
    context: HandlerContext, command: Invocation, id_key: str, accounts: Sequence[str | None]
) -> bool:
    """List the person in these accounts, which an older daemon would not heed; whether that is new in one."""
    context.store.holds.require_level(Level.PEOPLE_AND_AGENTS, by=command.actor)
    source = _source(command)
    added = [context.store.do_not_call.add_person(one, id_key, source=source) for one in accounts]
    return any(added)


def _list_numbers(
    context: HandlerContext, command: Invocation, work: _Numbers, position: int
) -> Result | Continue:
    """List the numbers of one portion, then cancel the jobs that wait."""
    portion = work.numbers[position : position + _PORTION]
    listing, person = context.store.do_not_call, work.person
    listed = listing.listed(portion)
    new = [number for number in portion if number not in listed]
    if new:
        work.was_listed = False
    if person.id_key is not None:
        account, source = person.accounts[0], _source(command)
        listing.add_numbers_of_person(account, person.id_key, portion, source=source)
    else:
        for number in portion:
            listing.add(number, source=_source(command))
    if position + _PORTION < len(work.numbers):
        return Continue(
            after_seconds=0.0,
            step=lambda context: _list_numbers(context, command, work, position + _PORTION),
        )
    ids = [job.id for job in person.jobs]
    changes = {"cancel_reason": ALL_LISTED.cancel_reason}

    def cancel(context: HandlerContext) -> int:
        chunk = [ids.pop() for _ in range(min(_PORTION, len(ids)))]
        done = context.store.operator_actions.cancel_jobs(chunk, changes) if chunk else 0
        # A portion without a change is no end while others are left.
        return done or (cancel(context) if ids else 0)

    def finish(context: HandlerContext, cancelled: int) -> Result:
        # Read now: a call that was placed before the list was in force goes on, and is named.
        in_call = context.store.people.with_open_dial([job.id for job in person.jobs])
        was_listed = work.was_listed and not cancelled
        return {**work.answer, "was_listed": was_listed, "cancelled": cancelled, "in_call": in_call}

    return in_portions(command, cancel, finish)


def _list_unknown(context: HandlerContext, command: Invocation, found: Found, account: str | None) -> Result:
    """List an id or a number of which there is no job; a name alone names nobody."""
    chosen = _chosen(found.readings)
    if not chosen:
        message = say("no job is of a person of that name: give the national id or the number")
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    numbers = [number for way in chosen for number in way.numbers]
    was_listed = True
    remark = None
    for way in chosen:
        if way.meaning is Meaning.ID:
            for key in way.keys:
                if _list_id(context, command, key, [account or ANY_ACCOUNT]):
                    was_listed = False
            default = countries_in_use(context)[0]
            remark = wrong_id(id_alone(command.args["person"].strip()), default) if default else None
    listed = context.store.do_not_call.listed(numbers)
    for number in numbers:
        if number not in listed:
            was_listed = False
        # Listed through a person, it is listed for itself now.
        context.store.do_not_call.add(number, source=_source(command))
    return {
        "known": False,
        "understood_as": [str(way.meaning) for way in chosen],
        "name": None,
        "dni": None,
        "accounts": [account] if account else [],
        "as_person": any(way.meaning is Meaning.ID for way in chosen),
        "phones": mask_each(numbers),
        "jobs": 0,
        "more": False,
        "remark": remark,
        "in_call": [],
        "was_listed": was_listed,
        "cancelled": 0,
    }


def _chosen(ways: Sequence[Reading]) -> list[Reading]:
    """The readings that are listed: all that are certain, else the number, else the id."""
    exact = [way for way in ways if way.meaning is not Meaning.NAME]
    certain = [way for way in exact if way.is_certain]
    by_number = [way for way in exact if way.meaning is Meaning.PHONE]
    return certain or by_number or exact


def _source(command: Invocation) -> str:
    reason = command.args["reason"]
    return f"{command.actor}: {reason}" if reason else command.actor
