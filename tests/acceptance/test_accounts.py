"""Accounts as an operator types them, with a whole daemon and its calls; and a daemon killed at a top-up."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from speechaid.demo.daemon import DaemonProcess
from speechaid.protocol.client import Client, Unreachable
from tests.support.terminal import Terminal, open_terminal, variables

#: When the daemon is killed, in seconds after the top-up was sent: before, between and after its writes.
KILLED_AFTER = (0.0, 0.003, 0.006, 0.012, 0.025, 0.05)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with open_terminal() as opened:
        yield opened


@pytest.mark.slow
def test_an_account_is_made_paid_for_called_for_and_read(terminal: Terminal) -> None:
    made = terminal.type(
        *("create-account", "acme", "--plan", "credit_based", "--name", "Acme Chile", "--country", "CL"),
        *("--currency", "USD", "--timezone", "America/Santiago"),
    )
    assert "account acme (Acme Chile) is made (credit based, USD)" in made
    assert "--cost-per-minute" in made
    edited = terminal.type("edit-account", "acme", "--cost-per-minute", "0.085", "--daily-call-limit", "400")
    assert "cost-per-minute: default -> 0.085 USD" in edited
    assert "currency: 'pesos' is not known; write one of" in terminal.refused(
        "edit-account", "acme", "--currency", "pesos", status=2
    )
    added = terminal.type("top-up", "acme", "--credit", "100.10", "--note", "invoice 7")
    assert "+100.10 USD added (key " in added
    key = re.findall(r"\(key (\w+)\)", added)[0]
    again = terminal.type("top-up", "acme", "--credit", "100.10", "--idempotency-key", key)
    assert "was added already" in again
    assert "100.10 USD left of 100.10 USD" in terminal.type("account", "acme")
    assert "100.10 USD" in terminal.type("accounts")

    batch = terminal.import_contacts(3, "paid", "--account", "acme")
    terminal.until(lambda: len(terminal.jobs(batch, "done")) == 3)
    answer = terminal.ask("account", "acme")
    assert answer["last_call_settings"]["from_batch"] == batch
    assert answer["calls_today"] == 3
    rows = terminal.ask("transactions", "acme")["transactions"]
    assert [row["type"] for row in rows] == ["call", "call", "call", "topup"]
    charged = -sum(row["credit"] for row in rows[:3])
    assert answer["balance"]["used"] == pytest.approx(charged, abs=1e-6)
    assert charged > 0
    report = terminal.ask("report", "--batch", batch)
    (sum_of_report,) = report["calls"]["charged"]["by_currency"]
    assert (sum_of_report["currency"], sum_of_report["credit"]) == ("USD", answer["balance"]["used"])
    each = sum_of_report["credit"] / sum_of_report["people_reached"]
    assert sum_of_report["per_person_reached"] == pytest.approx(each, abs=1e-6)
    shown = terminal.type("transactions", "acme")
    assert "+100.10 USD" in shown
    assert "invoice 7" in shown


@pytest.mark.slow
def test_an_edit_holds_for_the_next_dial(terminal: Terminal) -> None:
    terminal.type("create-account", "acme", "--plan", "unlimited", "--max-concurrent-calls", "1")
    batch = terminal.import_contacts(6, "limited", "--account", "acme")
    terminal.a_live_call(batch)
    terminal.type("edit-account", "acme", "--status", "suspended")
    terminal.type("drain", "--wait")
    placed = len(terminal.simulator.placed_calls())
    terminal.type("undrain")
    terminal.until(lambda: "suspended" in terminal.type("doctor"))
    assert len(terminal.simulator.placed_calls()) == placed
    terminal.type("edit-account", "acme", "--status", "active")
    terminal.until(lambda: len(terminal.jobs(batch, "done")) == 6)


@pytest.mark.slow
def test_a_top_up_repeated_under_its_key_after_a_kill_counts_once(terminal: Terminal) -> None:
    terminal.type("create-account", "acme", "--plan", "credit_based", "--currency", "USD")
    for number, seconds in enumerate(KILLED_AFTER):
        key = f"invoice-{number}"
        supervisor = terminal.ask("status")["supervisor"]["pid"]
        killer = threading.Timer(seconds, os.kill, (supervisor, signal.SIGKILL))
        with Client(terminal.daemon.socket) as client:
            killer.start()
            args = {"account": "acme", "credit": 0.1, "idempotency_key": key}
            with suppress(Unreachable):  # it may have been added, or not: the operator cannot know
                client.ask("top-up", args, timeout_seconds=2.0)
        killer.join()
        assert "--idempotency-key" in terminal.refused("top-up", "acme", "--credit", "0.1", status=3)
        terminal.daemon.stop()
        terminal.daemon = DaemonProcess(terminal.place, variables(terminal.place, terminal.simulator))
        terminal.daemon.start()
        terminal.type("top-up", "acme", "--credit", "0.1", "--idempotency-key", key)
    count = len(KILLED_AFTER)
    answer = terminal.ask("account", "acme")
    assert answer["balance"]["bought"] == round(count / 10, 1)
    rows = terminal.ask("transactions", "acme")["transactions"]
    assert sorted(row["key"] for row in rows) == [f"invoice-{number}" for number in range(count)]
    assert rows[0]["after"] == answer["balance"]["bought"]
