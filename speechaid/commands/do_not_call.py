"""Commands about the do-not-call list: look up, add, remove, import numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from speechaid.campaign.number_list import NumberList
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.reading import await_reader
from speechaid.importing.numbers import NumbersReading
from speechaid.model.masking import mask_phone
from speechaid.model.reading import instant, text
from speechaid.protocol.messages import ErrorCode
from speechaid.rules.phones import normalise

#: Numbers written by one task of the database thread.
_CHUNK: Final = 1000
#: Lines without a number that the answer lists.
_MAX_LISTED: Final = 1000


def dnc(context: HandlerContext, command: Invocation) -> Result:
    """The length of the list; for a number, whether, since when and why it is listed."""
    answer: Result = {"listed_numbers": context.store.do_not_call.size()}
    if command.args["number"] is None:
        return answer
    number = _normalised(context, command)
    entry = context.store.do_not_call.entry(number)
    at = None if entry is None else instant(entry.get("at"))
    return answer | {
        "number": mask_phone(number),
        "listed": entry is not None,
        "source": None if entry is None else text(entry.get("source")),
        "job": None if entry is None else text(entry.get("job_id")),
        "at": None if at is None else at.isoformat(),
    }


def dnc_add(context: HandlerContext, command: Invocation) -> Result:
    """Add a number: the next preflight forbids it. A call in progress is reported, not stopped."""
    number = _normalised(context, command)
    already = context.store.do_not_call.entry(number) is not None
    reason = command.args["reason"]
    context.store.do_not_call.add(number, source=f"{command.actor}: {reason}" if reason else command.actor)
    busy = context.store.diagnostics.busy_numbers([number])
    return {"number": mask_phone(number), "was_listed": already, "in_call": bool(busy)}


def dnc_remove(context: HandlerContext, command: Invocation) -> Result:
    """Remove a number; jobs that were cancelled because of it stay cancelled."""
    number = _normalised(context, command)
    return {"number": mask_phone(number), "was_listed": context.store.do_not_call.remove(number)}


def dnc_import(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Add the numbers of a file in chunks, after the whole file has been read."""
    reading = NumbersReading(
        context.readers,
        command.attachment or b"",
        command.args["filename"],
        country=_country(context, command),
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
        new = len(numbers.good) - len(context.store.do_not_call.listed(numbers.good))
        return _answer(numbers, command, added=0) | {"would_add": new}
    return _write(context, command, numbers, numbers.good, 0)


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


def _normalised(context: HandlerContext, command: Invocation) -> str:
    number = normalise(command.args["number"], _country(context, command))
    if number is None:
        message = "that is not a phone number; write it with its country code, +56..., or give --country"
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return number


def _country(context: HandlerContext, command: Invocation) -> str:
    return str(command.args["country"] or context.settings.dialling.default_country or "")
