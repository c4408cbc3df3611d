"""Commands about the do-not-call list: look up, add, remove, import numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from speechaid.campaign.number_list import NumberList
from speechaid.campaign.person_search import Meaning, readings_of
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.people import countries_in_use
from speechaid.commands.reading import await_reader
from speechaid.importing.numbers import NumbersReading
from speechaid.model.masking import mask_each, mask_phone
from speechaid.model.reading import Document, instant, sequence, text
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.rules.numbers import Fault, is_valid, line_identity, read_cell, read_opt_out
from speechaid.store.do_not_call import FOR_ITSELF

#: Numbers written by one task of the database thread.
_CHUNK: Final = 1000
#: Lines without a number that the answer lists.
_MAX_LISTED: Final = 1000


def dnc(context: HandlerContext, command: Invocation) -> Result:
    """The length of the list; for a number, whether, since when and why it is listed."""
    listing = context.store.do_not_call
    answer: Result = {"listed_numbers": listing.size(), "listed_people": listing.people_size()}
    if command.args["number"] is None:
        return answer
    person = _person_entries(context, command)
    if person:
        came = {text(one) or "" for entry in person for one in sequence(entry.get("numbers"))}
        shared = {text(one) or "" for entry in person for one in sequence(entry.get("shared"))}
        of_people = {one for one in shared if (listing.entry(one) or {}).get(FOR_ITSELF) is False}
        # One of them may have been taken off by itself.
        numbers = sorted(listing.listed(came | of_people))
        return answer | {
            "number": str(command.args["number"]).strip(),
            "listed": True,
            "source": text(person[0].get("source")),
            "job": text(person[0].get("job_id")),
            "at": None if (at := instant(person[0].get("at"))) is None else at.isoformat(),
            "accounts": [text(entry.get("account_id")) for entry in person],
            "numbers": mask_each(numbers),
        }
    numbers = _numbers(context, command)
    entries = [entry for one in numbers if (entry := context.store.do_not_call.entry(one)) is not None]
    entry = entries[0] if entries else None
    at = None if entry is None else instant(entry.get("at"))
    return answer | {
        "number": mask_phone(numbers[0]),
        "listed": entry is not None,
        "source": None if entry is None else text(entry.get("source")),
        "job": None if entry is None else text(entry.get("job_id")),
        "at": None if at is None else at.isoformat(),
    }


def dnc_add(context: HandlerContext, command: Invocation) -> Result:
    """Add a number: the next preflight forbids it. A call in progress is reported, not stopped.

    What is not valid is listed in each form that a job could be dialled in, and the answer names them all.
    What no job could be dialled with is refused: listing it would protect no one.
    """
    numbers = _numbers(context, command)
    known = context.store.do_not_call.listed(numbers)
    reason = command.args["reason"]
    source = f"{command.actor}: {reason}" if reason else command.actor
    for number in numbers:
        context.store.do_not_call.add(number, source=source)
    return {
        "number": mask_phone(numbers[0]),
        "numbers": [mask_phone(number) for number in numbers],
        "valid": all(is_valid(number) for number in numbers),
        "was_listed": known == set(numbers),
        "in_call": bool(context.store.diagnostics.busy_numbers(numbers)),
    }


def dnc_remove(context: HandlerContext, command: Invocation) -> Result:
    """Remove a number, in each form in which ``dnc-add`` lists it; jobs that ended by it stay cancelled.

    With a person go the numbers that are listed through it alone; the answer names those that stay, and why.
    """
    person = _person_entries(context, command)
    if person:
        listing = context.store.do_not_call
        came = {number for entry in person for number in map(str, sequence(entry.get("numbers")))}
        shared = {number for entry in person for number in map(str, sequence(entry.get("shared")))}
        entries = [str(entry["_id"]) for entry in person]
        gone, kept = [], []
        known = listing.listed(came | shared)
        for number in sorted(known):
            stays = listing.release(number, entries, came_with=number in came)
            if stays is None:
                gone.append(number)
            else:
                why = say("another person") if stays.get(FOR_ITSELF) is False else "itself"
                kept.append({"number": mask_phone(number), "listed_for": why})
        # Last, so that a repeated command finds the rest of the numbers.
        was_listed = [listing.remove_person(entry) for entry in person]
        shown = str(command.args["number"]).strip()
        return {"number": shown, "was_listed": any(was_listed), "numbers": mask_each(gone), "kept": kept}
    numbers = _numbers(context, command)
    removed = [context.store.do_not_call.remove(number) for number in numbers]
    return {"number": mask_phone(numbers[0]), "was_listed": any(removed)}


def dnc_import(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Add the numbers of a file in chunks, after the whole file has been read."""
    reading = NumbersReading(
        context.readers,
        command.attachment or b"",
        command.args["filename"],
        countries=_countries(context, command),
    )
    return await_reader(
        context,
        command,
        reading,
        lambda context: _list(context, command, reading.numbers),
        needs_client=command.args["dry_run"],
    )


def _list(context: HandlerContext, command: Invocation, numbers: NumberList) -> Result | Continue:
    if command.args["dry_run"]:
        of_line = {line_identity(number): number for number in numbers.good}
        return _compare(context, command, numbers, list(of_line.values()), 0)
    return _write(context, command, numbers, numbers.good, 0)


def _compare(
    context: HandlerContext, command: Invocation, numbers: NumberList, remaining: Sequence[str], new: int
) -> Result | Continue:
    """Count the numbers of one chunk that are not listed yet."""
    chunk, rest = remaining[:_CHUNK], remaining[_CHUNK:]
    new += len(chunk) - len(context.store.do_not_call.listed(chunk))
    if not rest:
        return _answer(numbers, command, added=0) | {"would_add": new}
    command.progress({"state": "comparing", "done": len(numbers.good) - len(rest), "of": len(numbers.good)})
    return Continue(after_seconds=0.0, step=lambda context: _compare(context, command, numbers, rest, new))


def _write(
    context: HandlerContext, command: Invocation, numbers: NumberList, remaining: Sequence[str], added: int
) -> Result | Continue:
    chunk, rest = remaining[:_CHUNK], remaining[_CHUNK:]
    added += context.store.do_not_call.add_many(chunk, source=f"{command.actor}: {command.args['filename']}")
    if not rest:
        return _answer(numbers, command, added=added)
    command.progress({"state": "listing", "done": len(numbers.good) - len(rest), "of": len(numbers.good)})
    return Continue(after_seconds=0.0, step=lambda context: _write(context, command, numbers, rest, added))


def _answer(numbers: NumberList, command: Invocation, *, added: int) -> Result:
    return {
        "file": command.args["filename"],
        "dry_run": command.args["dry_run"],
        "numbers": len(numbers.good),
        "added": added,
        "bad_rows_count": len(numbers.bad),
        "bad_rows": [{"line": line, "reason": reason} for line, reason in numbers.bad[:_MAX_LISTED]],
    }


def _person_entries(context: HandlerContext, command: Invocation) -> list[Document]:
    """The entries of the person whose national id was typed; none where it is a number, or not listed."""
    typed = str(command.args["number"])
    ways = readings_of(typed, _countries(context, command))
    keys = [key for way in ways if way.meaning is Meaning.ID for key in way.keys]
    return [entry for key in keys for entry in context.store.do_not_call.people_entries(key)]


def _numbers(context: HandlerContext, command: Invocation) -> list[str]:
    """The numbers that are meant, in E.164: one where it is valid."""
    written, countries = command.args["number"], _countries(context, command)
    numbers = read_opt_out(written, countries)
    if not numbers:
        readings = (reading for _, reading in read_cell(written, countries[0]))
        fault = say(next((one for one in readings if isinstance(one, Fault)), Fault.EMPTY))
        message = say(
            "that is not a phone number ({fault}): no job could be dialled with it, so nothing"
            " is changed; write it with its country code, +56..., or give --country",
            fault=fault,
        )
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return [number.e164 for number in numbers]


def _countries(context: HandlerContext, command: Invocation) -> list[str]:
    return countries_in_use(context, command.args["country"])
