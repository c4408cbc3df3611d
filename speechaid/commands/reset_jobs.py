"""``reset-jobs``: jobs that are over start again, with all attempts and the first phone.

Left out, and counted, is who asked not to be called, is on the do-not-call list now, has paid or was
forgotten. Jobs of cancelled batches stay as they are.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.commands.ids import resolve_open_batch
from speechaid.commands.interfaces import Continue, HandlerContext, Invocation, Result
from speechaid.commands.people import Countries, all_listed
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.model.states import JobStatus, spellings_of
from speechaid.protocol.translation import say
from speechaid.rules.redial import LeftOut, left_out_of_reset

#: Jobs read, or changed, by one task of the database thread.
_PORTION: Final = 500


@dataclass(kw_only=True)
class _Reset:
    """The state of one reset."""

    batch_id: str | None
    #: The jobs that are asked for.
    rows: Generator[Job]
    #: Selects those that may be reset, whatever the list says.
    query: Document
    countries: Countries
    #: ``_id`` of the jobs that may be reset.
    ids: list[Any] = field(default_factory=list)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    done: int = 0


def reset_jobs(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Choose who may be called again, then requeue their jobs without their attempts."""
    named, hours = command.args["batch"], command.args["max_age_hours"]
    batch_id = (
        None if named is None else resolve_open_batch(context.store, named, say("called again")).batch_id
    )
    actions = context.store.operator_actions
    query = actions.resettable(
        spellings_of(JobStatus(command.args["status"])),
        max_age_seconds=None if hours is None else hours * 3600,
        batch_id=batch_id,
        without=() if batch_id is not None else context.store.batches.cancelled_ids(),
    )
    work = _Reset(
        batch_id=batch_id,
        rows=actions.find_to_reset(query),
        query=query,
        countries=Countries(context),
    )
    return _choose(context, command, work)


def _choose(context: HandlerContext, command: Invocation, work: _Reset) -> Result | Continue:
    """Choose who of one portion may be called again."""
    portion = list(itertools.islice(work.rows, _PORTION))
    listed = all_listed(context, portion, work.countries)
    for job in portion:
        reason = left_out_of_reset(job, is_listed=job.id in listed)
        if reason is None:
            work.ids.append(job.id)
        else:
            work.left_out[reason] += 1
    if len(portion) == _PORTION:
        command.progress({"state": "comparing", "done": len(work.ids) + work.left_out.total()})
        return Continue(after_seconds=0.0, step=lambda context: _choose(context, command, work))
    if command.args["dry_run"]:
        return _answer(command, work, reset=0) | {"would_reset": len(work.ids)}
    return _reset(context, command, work, 0)


def _reset(context: HandlerContext, command: Invocation, work: _Reset, position: int) -> Result | Continue:
    """Reset the jobs of one portion."""
    ids = work.ids[position : position + _PORTION]
    if not ids:
        return _answer(command, work, reset=work.done)
    query = {**work.query, "_id": {"$in": ids}}
    work.done += context.store.operator_actions.reset(query, len(ids))
    command.progress({"state": "changing", "done": work.done})
    after = position + len(ids)
    return Continue(after_seconds=0.0, step=lambda context: _reset(context, command, work, after))


def _answer(command: Invocation, work: _Reset, *, reset: int) -> Result:
    return {
        "dry_run": command.args["dry_run"],
        "status": JobStatus(command.args["status"]),
        "batch_id": work.batch_id,
        "max_age_hours": command.args["max_age_hours"],
        "left_out": {str(reason): work.left_out[reason] for reason in LeftOut if work.left_out[reason]},
        "reset": reset,
    }
