"""An edit of a batch is in force for the next dial, whatever a worker has read and kept before."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer import dial
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.store.jobs import Jobs
from speechaid.store.preflight import PreflightDocuments, PreflightQueries
from tests.support.stage import Document, Stage

A, B = "+56912345671", "+56912345672"
OPEN: Document = {"allowed_hours": {"start": "00:00", "end": "24:00"}}


def edit(stage: Stage, batch_id: str, **changes: object) -> None:
    """As ``edit-batch`` writes it; of ``call_settings``, but for the priority."""
    paths = {
        name if name == "priority" else f"call_settings.{name}": value for name, value in changes.items()
    }
    assert stage.store.batches.write_settings(stage.store.batches.get(batch_id), paths, by="maria")


def closed_hours(stage: Stage) -> Document:
    """Hours that begin in two hours, in UTC."""
    begins = stage.store.now() + timedelta(hours=2)
    return {"start": f"{begins:%H:%M}", "end": f"{begins + timedelta(hours=1):%H:%M}"}


def closes(stage: Stage, what: str, batch_id: str) -> None:
    """Change the batch so that it may not be dialled."""
    match what:
        case "hours":
            edit(stage, batch_id, timezone="Etc/UTC", allowed_hours=closed_hours(stage))
        case "days":
            other = stage.store.now().isoweekday() % 7 + 1
            edit(stage, batch_id, timezone="Etc/UTC", days_of_week=[other % 7 + 1])
        case "calls at a time":
            stage.store.batches.register_live_dial(batch_id, "of another worker")
            edit(stage, batch_id, max_concurrent_calls=1)
        case "cancelled":
            stage.store.batches.cancel(batch_id, by="maria", reason=None)


@pytest.mark.parametrize("what", ["hours", "days", "calls at a time", "cancelled"])
def test_a_batch_that_closes_during_the_way_to_a_dial_is_not_dialled(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The batch was read with the job, and changes before it is read for the last time."""
    batch_id = stage.add_batch(call_settings=OPEN)
    stage.add_job(A, batch_id=batch_id)
    read = PreflightQueries.read_to_dial

    def meanwhile(queries: PreflightQueries, *args: Any, **fields: Any) -> PreflightDocuments | None:
        closes(stage, what, batch_id)
        return read(queries, *args, **fields)

    monkeypatch.setattr(PreflightQueries, "read_to_dial", meanwhile)
    assert stage.dial_next(stage.context())
    assert stage.placed_calls() == []
    assert (stage.job()["status"], stage.job()["attempts"]) == ("pending", 0)


def next_of(claimer: JobClaimer, context: WorkerContext) -> str | None:
    """The batch of the job that this claimer takes next; it has what it has read and kept before."""
    claimed = claimer.claim()
    if claimed is None:
        return None
    dial.run(context, claimed.job, claimed.preflight)
    return claimed.job.batch_id


def test_a_claimer_that_has_read_a_batch_before_goes_by_its_new_priority(stage: Stage) -> None:
    first, other = (stage.add_batch(name, call_settings=OPEN) for name in ("batch-1", "batch-2"))
    for number in range(8):
        stage.add_job(f"+5691234568{number}", job_id=f"a{number}", batch_id=first)
        stage.add_job(f"+5691234569{number}", job_id=f"b{number}", batch_id=other)
    context = stage.context()
    claimer = JobClaimer(context)
    assert {next_of(claimer, context), next_of(claimer, context)} == {first, other}
    edit(stage, other, priority=3)
    deadline = time.monotonic() + 60
    # What a claimer has read of the batches it keeps for a second, on a slow machine for longer.
    while claimer._batches[other].priority != 3 and time.monotonic() < deadline:
        time.sleep(0.05)
        claimer._refresh()
    assert [next_of(claimer, context) for _ in range(3)] == [other, other, other]


def test_fewer_attempts_end_a_job_that_waits_for_its_next_one_without_a_call(stage: Stage) -> None:
    batch_id = stage.add_batch(call_settings=OPEN)
    stage.add_job(A, batch_id=batch_id, attempts=2)
    edit(stage, batch_id, max_attempts=2)
    assert stage.dial_next(stage.context())
    assert stage.placed_calls() == []
    assert stage.job()["status"] == "failed"


def test_ring_and_call_limits_of_an_edit_go_to_retell_with_the_next_call(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = stage.add_batch(call_settings={**OPEN, "ring_timeout": 60, "max_call_duration": 600})
    stage.add_job(A, batch_id=batch_id)
    context = stage.context()
    claimer = JobClaimer(context)
    claimer._refresh()
    edit(stage, batch_id, ring_timeout=20, max_call_duration=90)
    bodies: list[Document] = []
    record = Jobs.record_intent

    def recorded(jobs: Jobs, job: Any, intent: Any) -> Any:
        bodies.append(json.loads(intent.body))
        return record(jobs, job, intent)

    monkeypatch.setattr(Jobs, "record_intent", recorded)
    assert next_of(claimer, context) == batch_id
    assert bodies[0]["agent_override"]["agent"] == {
        "ring_duration_ms": 20_000,
        "max_call_duration_ms": 90_000,
        "timezone": context.settings.dialling.default_timezone,
        "enable_dnc_detection": True,
    }
