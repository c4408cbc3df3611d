"""What a command has answered stands in the next ``status``; every figure has its time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.support.terminal import Terminal, open_terminal

Document = dict[str, Any]


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    with open_terminal() as terminal:
        yield terminal


def batch_in_status(terminal: Terminal, batch_id: str) -> Document:
    rows: list[Document] = terminal.ask("status")["batches"]
    return next(row for row in rows if row["batch_id"] == batch_id)


def test_each_command_shows_in_the_next_status(terminal: Terminal) -> None:
    terminal.type("drain")
    batch = terminal.import_contacts(30, "shown")
    assert batch_in_status(terminal, batch)["jobs"] == {"pending": 30}
    for command, active in (("pause-batch", False), ("resume-batch", True)):
        terminal.type(command, batch)
        assert batch_in_status(terminal, batch)["active"] is active
    first, second = (row["job_id"] for row in terminal.jobs(batch)[:2])
    terminal.type("cancel-job", first, "--yes")
    terminal.type("suspend-job", second)
    assert batch_in_status(terminal, batch)["jobs"] == {"pending": 28, "suspended": 1, "cancelled": 1}
    terminal.type("cancel-batch", batch, "--yes")
    row = batch_in_status(terminal, batch)
    assert (row["active"], row["jobs"]) == (False, {"cancelled": 30})
    assert batch_in_status(terminal, batch)["pause"]["by"]


def test_a_hold_and_its_end_show_in_status_and_alerts_at_once(terminal: Terminal) -> None:
    # A hold is an alert while a job waits that could be called.
    terminal.type("drain")
    batch = terminal.import_contacts(1, "held")
    terminal.type("hold")
    assert terminal.ask("status")["fleet_hold"]
    assert [row["alert"] for row in terminal.ask("alerts")["firing"]] == ["DiallingHeld"]
    terminal.type("unhold")
    terminal.type("cancel-batch", batch, "--yes")
    terminal.type("undrain")
    status = terminal.ask("status")
    assert (status["fleet_hold"], status["supervisor"]["held"]) == (None, False)
    assert [row["clears_in_seconds"] is not None for row in status["alerts"]] == [True]


def test_figures_have_their_time_and_status_and_batches_agree(terminal: Terminal) -> None:
    terminal.type("drain")
    batch = terminal.import_contacts(3, "timed")
    listed = terminal.ask("batches")
    status = terminal.ask("status")
    for moment in (status["as_of"], status["read_at"], status["counted_at"], listed["as_of"]):
        assert datetime.fromisoformat(moment).tzinfo is not None
    row = next(row for row in listed["batches"] if row["batch_id"] == batch)
    assert row["jobs"] == batch_in_status(terminal, batch)["jobs"]
    terminal.type("cancel-batch", batch, "--yes")
    terminal.type("undrain")


def test_a_request_about_a_live_call_shows_in_explain(terminal: Terminal) -> None:
    terminal.type("undrain")
    batch = terminal.import_contacts(1, "requested")
    job = terminal.a_live_call(batch)["job_id"]
    terminal.type("cancel-job", job, "--yes")
    assert "the job is cancelled when its call has ended (by " in terminal.ask("explain", job)["sentence"]
