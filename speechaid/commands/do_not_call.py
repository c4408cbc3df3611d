"""The do-not-call list: who is on it, and numbers put on it and taken off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from speechaid.campaign.number_list import Numbers, read_numbers
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.model.masking import mask_phone
from speechaid.model.reading import instant, text
from speechaid.protocol.messages import ErrorCode
from speechaid.rules.phones import normalise

#: Numbers written between two looks at what else the clerk has to do.
_CHUNK: Final = 1000
#: Lines without a number that are told one by one.
_MOST_LISTED: Final = 1000


def dnc(context: HandlerContext, command: Invocation) -> Result:
    """How long the list is; of one number, whether it is on it, and since when and why."""
    listing: Result = {"listed_numbers": context.store.do_not_call.size()}
    if command.args["number"] is None:
        return listing
    number = _the_number(context, command)
    entry = context.store.do_not_call.entry(number)
    at = None if entry is None else instant(entry.get("at"))
    return listing | {
        "number": mask_phone(number),
        "listed": entry is not None,
        "source": None if entry is None else text(entry.get("source")),
        "job": None if entry is None else text(entry.get("job_id")),
        "at": None if at is None else at.isoformat(),
    }


def dnc_add(context: HandlerContext, command: Invocation) -> Result:
    """Nobody dials this number from the next look on; a call that is on its way is told, not stopped."""
    number = _the_number(context, command)
    already = context.store.do_not_call.entry(number) is not None
    reason = command.args["reason"]
    context.store.do_not_call.add(number, source=f"{command.actor}: {reason}" if reason else command.actor)
    busy = context.store.diagnostics.busy_numbers([number])
    return {"number": mask_phone(number), "was_listed": already, "in_call": bool(busy)}


def dnc_remove(context: HandlerContext, command: Invocation) -> Result:
    """Jobs may dial this number again; jobs that were cancelled for it stay so."""
    number = _the_number(context, command)
    return {"number": mask_phone(number), "was_listed": context.store.do_not_call.remove(number)}


def dnc_import(context: HandlerContext, command: Invocation) -> Result | Continue:
    """A file of numbers on the list, in chunks; the whole file is read first."""
    filename = command.args["filename"]
    numbers = read_numbers(command.attachment or b"", filename, country=_country(context, command))
    if command.args["dry_run"]:
        fresh = len(numbers.good) - len(context.store.do_not_call.listed(numbers.good))
        return _told(numbers, command, added=0) | {"would_add": fresh}
    return _write(context, command, numbers, numbers.good, 0)


def _write(
    context: HandlerContext, command: Invocation, numbers: Numbers, left: Sequence[str], added: int
) -> Result | Continue:
    chunk, rest = left[:_CHUNK], left[_CHUNK:]
    added += context.store.do_not_call.add_many(chunk, source=f"{command.actor}: {command.args['filename']}")
    if not rest:
        return _told(numbers, command, added=added)
    command.progress({"state": "listing", "done": len(numbers.good) - len(rest), "of": len(numbers.good)})
    return Continue(after_seconds=0.0, step=lambda context: _write(context, command, numbers, rest, added))


def _told(numbers: Numbers, command: Invocation, *, added: int) -> Result:
    return {
        "file": command.args["filename"],
        "dry_run": command.args["dry_run"],
        "numbers": len(numbers.good),
        "added": added,
        "bad_rows_count": len(numbers.bad),
        "bad_rows": [{"line": line, "reason": reason} for line, reason in numbers.bad[:_MOST_LISTED]],
    }


def _the_number(context: HandlerContext, command: Invocation) -> str:
    number = normalise(command.args["number"], _country(context, command))
    if number is None:
        message = "that is not a phone number; write it with its country code, +56..., or say --country"
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return number


def _country(context: HandlerContext, command: Invocation) -> str:
    return str(command.args["country"] or context.settings.dialling.default_country or "")
