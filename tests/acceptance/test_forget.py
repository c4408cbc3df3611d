"""A daemon that is killed while it forgets a person: the next one completes it, and nobody is called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from speechaid.demo.daemon import DaemonProcess
from tests.support.terminal import Terminal, open_terminal, variables

NAME, DNI = "Rosa Quilapan", "9.876.543-3"
JOBS = 60


def stored_with(terminal: Terminal, *words: str) -> list[str]:
    """Documents of any collection that hold one of the words."""
    names = terminal.database.list_collection_names()
    stored = [repr(document) for name in names for document in terminal.database[name].find({})]
    return [text for text in stored if any(word in text for word in words)]


def restart(terminal: Terminal, changes: dict[str, str], *, start: bool = True) -> None:
    """Stop the daemon, where it runs, and make the next one in its place."""
    terminal.daemon.stop(at_once=True)
    terminal.daemon = DaemonProcess(terminal.place, variables(terminal.place, terminal.simulator) | changes)
    if start:
        terminal.daemon.start()


def add_jobs(terminal: Terminal, batch: str) -> None:
    contact = {"name": NAME, "dni": DNI, "next_phone_index": 0}
    terminal.database.jobs.insert_many(
        [
            {
                "job_id": f"job-of-rosa-{number}",
                "batch_id": batch,
                "status": "pending",
                "contact": {**contact, "phones": [f"+1212555{number:04d}"]},
                "person_keys": ["id:98765433"],
                "payload": {"note": f"for {NAME}"},
                "attempts": 0,
                "revision": 0,
            }
            for number in range(JOBS)
        ]
    )


@pytest.mark.slow
def test_a_daemon_that_is_killed_while_it_forgets_is_completed_by_the_next() -> None:
    with open_terminal() as terminal:
        batch = terminal.ask("create-batch", "all-day", "--hours", "00:00-24:00")["batch_id"]
        terminal.type("pause-batch", batch)
        add_jobs(terminal, batch)
        pid = terminal.ask("status")["supervisor"]["pid"]
        erased = {"erased.what": "person"}
        command = [sys.executable, "-m", "speechctl", "forget", DNI, "--yes"]
        with subprocess.Popen([*command, "--socket", str(terminal.daemon.socket)]) as typed:
            terminal.until(lambda: terminal.database.jobs.count_documents(erased) > 0)
            os.kill(pid, signal.SIGKILL)
            typed.kill()  # nobody answers it any more
        restart(terminal, {}, start=False)
        half = terminal.database.jobs.count_documents(erased)
        assert 0 < half < JOBS
        # Whatever could be called is due, and its batch is active: only the mark keeps the person from it.
        terminal.database.batches.update_one({"batch_id": batch}, {"$set": {"is_active": True}})

        terminal.daemon.start()
        terminal.until(lambda: terminal.database.jobs.count_documents(erased) == JOBS)

        assert stored_with(terminal, NAME, "Quilapan", "9.876.543", "98765433", "+1212555") == []
        assert terminal.simulator.placed_calls() == []
        assert terminal.database.jobs.count_documents({"cancel_reason": "forgotten"}) == JOBS


@pytest.mark.slow
def test_a_daemon_erases_what_is_older_than_its_settings_allow() -> None:
    days = {"SPEECHAID_JOB_RETENTION_DAYS": "30", "SPEECHAID_UPLOAD_RETENTION_DAYS": "30"}
    with open_terminal(start=False) as terminal:
        restart(terminal, days)
        old, late = (datetime.now(UTC) - timedelta(days=days) for days in (31, 29))
        contact = {"name": NAME, "dni": DNI, "phones": ["+12125550199"]}
        terminal.database.jobs.insert_many(
            [
                {"job_id": "old", "status": "done", "finished_at": old, "contact": contact},
                {"job_id": "late", "status": "done", "finished_at": late, "contact": {"name": "Eva Diaz"}},
            ]
        )
        restart(terminal, days)  # a walk that found nothing rests before the next one
        terminal.until(lambda: not stored_with(terminal, NAME))
        assert "not stored any more (erased" in terminal.type("jobs", "--status", "done")
        assert "Eva Diaz" in terminal.type("jobs", "--status", "done")
        (line,) = terminal.database.call_logs.find({"event": "erased"})
        assert (line["actor"], line["jobs"]) == ("retention", 1)
