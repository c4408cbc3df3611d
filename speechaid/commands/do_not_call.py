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


def dnc(context: HandlerContext, call: Invocation) -> Result:
    """How long the list is; of one number, whether it is on it, and since when and why."""
    listing: Result = {"listed_numbers": context.store.do_not_call.size()}
    if call.args["number"] is None:
        return listing
    number = _the_number(context, call)
    entry = context.store.do_not_call.entry(number)
    at = None if entry is None else instant(entry.get("at"))
    return listing | {
        "number": mask_phone(number),
        "listed": entry is not None,
        "source": None if entry is None else text(entry.get("source")),
        "job": None if entry is None else text(entry.get("job_id")),
        "at": None if at is None else at.isoformat(),
    }


def dnc_add(context: HandlerContext, call: Invocation) -> Result:
    """Nobody dials this number from the next look on; a call that is on its way is told, not stopped."""
    number = _the_number(context, call)
    already = context.store.do_not_call.entry(number) is not None
    reason = call.args["reason"]
    context.store.do_not_call.add(number, source=f"{call.actor}: {reason}" if reason else call.actor)
    busy = context.store.diagnostics.busy_numbers([number])
    return {"number": mask_phone(number), "was_listed": already, "in_call": bool(busy)}


def dnc_remove(context: HandlerContext, call: Invocation) -> Result:
    """Jobs may dial this number again; jobs that were cancelled for it stay so."""
    number = _the_number(context, call)
    return {"number": mask_phone(number), "was_listed": context.store.do_not_call.remove(number)}


def dnc_import(context: HandlerContext, call: Invocation) -> Result | Continue:
    """A file of numbers on the list, in chunks; the whole file is read first."""
    filename = call.args["filename"]
    numbers = read_numbers(call.attachment or b"", filename, country=_country(context, call))
    if call.args["dry_run"]:
        fresh = len(numbers.good) - len(context.store.do_not_call.listed(numbers.good))
        return _told(numbers, call, added=0) | {"would_add": fresh}
    return _write(context, call, numbers, numbers.good, 0)


def _write(
    context: HandlerContext, call: Invocation, numbers: Numbers, left: Sequence[str], added: int
) -> Result | Continue:
    chunk, rest = left[:_CHUNK], left[_CHUNK:]
    added += context.store.do_not_call.add_many(chunk, source=f"{call.actor}: {call.args['filename']}")
    if not rest:
        return _told(numbers, call, added=added)
    call.progress({"state": "listing", "done": len(numbers.good) - len(rest), "of": len(numbers.good)})
    return Continue(after_seconds=0.0, step=lambda context: _write(context, call, numbers, rest, added))


def _told(numbers: Numbers, call: Invocation, *, added: int) -> Result:
    return {
        "file": call.args["filename"],
        "dry_run": call.args["dry_run"],
        "numbers": len(numbers.good),
        "added": added,
        "bad_rows_count": len(numbers.bad),
        "bad_rows": [{"line": line, "reason": reason} for line, reason in numbers.bad[:_MOST_LISTED]],
    }


def _the_number(context: HandlerContext, call: Invocation) -> str:
    number = normalise(call.args["number"], _country(context, call))
    if number is None:
        message = "that is not a phone number; write it with its country code, +56..., or say --country"
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return number


def _country(context: HandlerContext, call: Invocation) -> str:
    return str(call.args["country"] or context.settings.dialling.default_country or "")
