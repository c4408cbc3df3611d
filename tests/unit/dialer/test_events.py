"""What a job's event holds on its way to ``call_logs``: no full number, wherever it stands."""

from __future__ import annotations

from typing import Any, cast

from speechaid.dialer.context import WorkerContext
from speechaid.model.job import Job


class RecordingLink:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def emit(self, name: str, /, **fields: Any) -> None:
        self.events.append({"event": name, **fields})


def test_numbers_are_masked_in_what_quotes_a_document_or_retell() -> None:
    link, nothing = RecordingLink(), cast("Any", None)
    context = WorkerContext(
        store=nothing,
        retell=nothing,
        settings=nothing,
        link=cast("Any", link),
        worker_id="worker-1@host-a:1",
        wait=lambda _seconds: None,
    )
    job = Job.read({"_id": 1, "job_id": "job-56912345671", "batch_id": "b"})
    fault = "ValueError: '+56912345671' and 912345671"
    context.emit("job.unreadable", job, why=fault, error=fault, reason=fault)
    (event,) = link.events
    masked = "ValueError: '+569******71' and *******71"
    assert (event["why"], event["error"], event["reason"]) == (masked, masked, masked)
    assert event["job"] == "job-56912345671"
