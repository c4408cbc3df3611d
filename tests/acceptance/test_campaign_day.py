"""A day of a small company, typed as an operator types it: two files, a test call, edits, a second call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.terminal import Terminal, open_terminal

Document = dict[str, Any]
COLLECTION = ("agent_demo", "+12125550100")
REMINDERS = ("agent_demo_flow", "+56220000000")
TESTER = "+56955550190"
ANA, LUIS, EVA, JUAN = (f"+5695555001{digit}" for digit in range(1, 5))
ROSA, PEDRO = "+56955550021", "+56955550022"
DEBTORS = f"""rut;nombre;telefono;monto
12.345.678-5;Ana Rojas;{ANA};150.000
11.111.112-K;Luis Soto;{LUIS};80.000
1.111.111-4;Eva Luna;{EVA};25.000
2.222.222-8;Juan Paz;{JUAN};40.000
"""
PATIENTS = f"nombre;telefono;fecha\nRosa Díaz;{ROSA};2027-01-15\nPedro Gil;{PEDRO};2027-01-16\n"


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with open_terminal(DEFAULT_COUNTRY="CL") as terminal:
        yield terminal


def an_hour_of_another_day() -> tuple[str, ...]:
    """A calling window that is closed now, in any time zone."""
    day = (datetime.now(UTC) + timedelta(days=3)).isoweekday()
    return "--hours", "09:00-10:00", "--days", str(day)


def load(terminal: Terminal, name: str, contents: str, agent: str, number: str) -> str:
    file = terminal.place / f"{name}.csv"
    file.write_text(contents)
    options = ("--name", name, "--agent", agent, "--from-number", number, "--max-attempts", "1")
    return str(terminal.ask("import", str(file), *options, *an_hour_of_another_day())["batch_id"])


@pytest.mark.timeout(400)
def test_a_day_with_two_campaigns(terminal: Terminal) -> None:
    # Two campaigns, each with an agent and a number of its own; nobody answers Luis the first time.
    terminal.simulator.script({LUIS: ["dial_no_answer", "agent_hangup"]})
    debts = load(terminal, "cobranza", DEBTORS, *COLLECTION)
    reminders = load(terminal, "recordatorios", PATIENTS, *REMINDERS)

    # It is heard before it starts.
    terminal.type("test-number-add", TESTER, "--note", "the manager's telephone")
    heard = terminal.type("test-call", "--to", TESTER, "--batch", "cobranza", "--row", "1")
    assert "Ana Rojas" in heard

    # Reminders go out at once; debtors only in the hours, which are not now.
    terminal.type("resume-batch", "recordatorios", "--hours", "00:00-24:00", "--days", "1-7")
    terminal.type("resume-batch", "cobranza")
    terminal.until(lambda: len(terminal.jobs(reminders, "done")) == 2)
    assert len(terminal.jobs(debts, "pending")) == 4

    # A debtor rings in and wants no calls; two have paid, one of them is in the file of the bank.
    assert "cobranza" in terminal.type("person", "12345678-5")
    assert "1 job cancelled" in terminal.type("opt-out", "12.345.678-5", "--reason", "rang in", "--yes")
    payers = terminal.place / "banco.csv"
    payers.write_text("1.111.111-4\n")
    assert "1 person recorded as paid" in terminal.type("paid", "--file", str(payers))

    # The hours are edited while it runs, and calls begin.
    terminal.type("edit-batch", "cobranza", "--hours", "00:00-24:00", "--days", "1-7")
    terminal.until(lambda: terminal.jobs(debts, "done") and terminal.jobs(debts, "failed"))
    assert {job["status"] for job in terminal.jobs(debts)} == {"done", "failed", "cancelled"}

    # Who was not reached is called again, with agent and number of the first campaign.
    again = terminal.ask("redial-batch", "cobranza", "--outcomes", "no_answer")
    assert again["added"] == 1
    terminal.type("resume-batch", again["batch_id"])
    terminal.until(lambda: terminal.jobs(again["batch_id"], "done"))

    # Then Retell placed these calls, and no other.
    placed: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for call in terminal.simulator.placed_calls():
        batch = call["metadata"]["batch_id"]
        assert (call["metadata"].get("test") == "true") is (call["to_number"] == TESTER)
        placed[call["to_number"]].append((call["agent_id"], call["from_number"], batch))
    assert placed == {
        TESTER: [(*COLLECTION, debts)],
        ROSA: [(*REMINDERS, reminders)],
        PEDRO: [(*REMINDERS, reminders)],
        LUIS: [(*COLLECTION, debts), (*COLLECTION, again["batch_id"])],
        JUAN: [(*COLLECTION, debts)],
    }
    # And each is recorded with the agent, version and number that Retell says it had.
    for call in terminal.simulator.placed_calls():
        result = terminal.database.call_results.find_one({"call_id": call["call_id"]})
        assert result is not None
        for name in ("agent_id", "agent_version", "from_number"):
            assert result[name] == call[name]
    shown = terminal.type("batch", "cobranza")
    assert "edit-batch" in shown
    assert "agent_demo" in shown
