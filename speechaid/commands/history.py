"""``logs``: what is on record of jobs and of operators' commands, on all hosts."""

from __future__ import annotations

from speechaid.commands.ids import the_job
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.commands.jobs import event_row
from speechaid.protocol.messages import ErrorCode


def logs(context: HandlerContext, command: Invocation) -> Result:
    """The latest lines, oldest first; ``place`` is where whoever follows goes on."""
    word = command.args["job"]
    job_id = None if word is None else the_job(context.store, word).job_id
    try:
        lines, place = context.store.logs.latest(
            command.args["limit"],
            job_id=job_id,
            commands=command.args["commands"],
            after=command.args["after"],
        )
    except ValueError as exc:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, f"after: {exc}") from exc
    rows = [{"id": str(line["_id"]), "job_id": line.get("job_id"), **event_row(line)} for line in lines]
    return {"lines": rows, "place": place}
