"""``logs``: the recorded events of jobs and operators' commands, of all hosts."""

from __future__ import annotations

from speechaid.commands.filters import date_range
from speechaid.commands.ids import resolve_batch_id, resolve_job
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.commands.jobs import event_row
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.store.call_logs import COMMAND, READ


def logs(context: HandlerContext, command: Invocation) -> Result:
    """The latest lines, or the first after a place; oldest first.

    ``place`` is the position to continue from; ``next``, where more lines follow at once, the last line's
    id. ``after_is_stored`` says whether ``after`` is the id of a line that is stored.
    """
    job = command.args["job"]
    job_id = None if job is None else resolve_job(context.store, job).job_id
    if command.args["commands"] and command.args["reads"]:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("--commands and --reads exclude each other"))
    event = COMMAND if command.args["commands"] else READ if command.args["reads"] else None
    after, limit, store_logs = command.args["after"], command.args["limit"], context.store.logs
    batch, agent = resolve_batch_id(context.store, command.args["batch"]), command.args["agent"]
    try:
        is_stored = after is not None and store_logs.has_line(
            after, job_id=job_id, event=event, batch=batch, agent=agent, by=command.args["by"]
        )
        lines, place = store_logs.latest(
            limit,
            job_id=job_id,
            event=event,
            batch=batch,
            agent=agent,
            by=command.args["by"],
            days=date_range(context, command.args),
            after=after,
        )
    except ValueError as exc:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("after: {exc}", exc=exc)) from exc
    rows = [{"id": str(line["_id"]), "job_id": line.get("job_id"), **event_row(line)} for line in lines]
    following = rows[-1]["id"] if after is not None and len(rows) == limit else None
    return {"lines": rows, "place": place, "next": following, "after_is_stored": is_stored}
