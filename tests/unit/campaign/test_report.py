"""Query results to a report, as JSON and as Markdown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from speechaid.campaign.report import shape, to_markdown
from speechaid.model.reading import Document
from speechaid.model.states import Outcome
from speechaid.store.report_queries import ReportFigures

EMPTY: dict[str, Any] = {
    "at": datetime(2026, 7, 3, 12, tzinfo=UTC),
    "zone": "America/Santiago",
    "batch_id": None,
    "jobs": {},
    "names": {},
    "outcomes": [],
    "attempts": [],
    "hours": [],
    "promises": [],
}


def report(**fields: Any) -> Document:
    shaped = shape(ReportFigures(**{**EMPTY, **fields}))
    json.dumps(shaped)  # it must be JSON-compatible in every case
    return shaped


def outcome_row(
    batch_id: str | None, outcome: str | None, calls: int, account: str | None = None, **sums: float
) -> Document:
    key = {"batch_id": batch_id, "outcome": outcome, "account_id": account}
    return {"_id": key, "calls": calls, **sums}


CAMPAIGN: dict[str, Any] = {
    "jobs": {
        "b1": {"done": 3, "completed": 1, "pending": 6},
        "b2": {"failed": 2, "odd": 1},
        None: {"done": 1},
    },
    "names": {"b1": "July | *collection*", "b2": None},
    "outcomes": [
        outcome_row("b1", "answered", 3, connected=3, duration_ms=360_000, cost=0.6, charged_minutes=6),
        outcome_row("b1", "no_answer", 5),
        outcome_row("b1", "temporary", 40),
        outcome_row("b2", "callback_requested", 1, connected=1, duration_ms=30_000, cost=0.1),
        outcome_row("b2", "busy", 1, charged_credit=0.05),
        outcome_row(None, None, 2, connected=2, duration_ms=90_000, retell_cents=250),
    ],
    "attempts": [
        {"_id": {"attempt": 1, "outcome": "answered"}, "calls": 1},
        {"_id": {"attempt": 0, "outcome": "answered"}, "calls": 2},
        {"_id": {"attempt": 0, "outcome": "no_answer"}, "calls": 6},
        {"_id": {}, "calls": 2},
    ],
    "hours": [
        {"_id": {"hour": "2026-07-03T14:00:00", "half": False, "outcome": "answered"}, "calls": 2},
        {"_id": {"hour": "2026-07-04T14:00:00", "half": True, "outcome": "busy"}, "calls": 2},
        {"_id": {"hour": "2026-01-04T13:00:00", "half": False, "outcome": "busy"}, "calls": 1},
        {"_id": {"hour": None, "half": False}, "calls": 9},
    ],
    "promises": [
        {"_id": {"day": "2026-07-31", "amount": "150.000"}, "jobs": 2},
        {"_id": {"day": "31/07/2026", "amount": 1000.125}, "jobs": 1},
        {"_id": {"day": "when I can", "amount": None}, "jobs": 1},
    ],
}


def test_calls_are_summed_over_batches_and_outcomes() -> None:
    calls = report(**CAMPAIGN)["calls"]
    assert calls["total"] == 52
    assert calls["by_outcome"] == {
        "answered": 3,
        "no_answer": 5,
        "busy": 1,
        "callback_requested": 1,
        "temporary": 40,
        "unrecorded": 2,
    }
    assert (calls["connected"], calls["minutes"]) == (6, 8.0)
    charged = calls["charged"]
    assert (charged["minutes"], charged["credit"]) == (6, 0.05)
    assert charged["by_currency"] == [{"currency": None, "credit": 0.05}]


def test_the_price_of_speechais_results_is_retells_in_cents() -> None:
    calls = report(**CAMPAIGN)["calls"]
    assert calls["cost"] == 3.2
    assert calls["cost_per_success"] == 0.8


def test_rates_leave_out_outcomes_that_say_nothing_about_people() -> None:
    calls = report(**CAMPAIGN)["calls"]
    assert (calls["successful"], calls["success_rate"]) == (4, 0.4)


def test_every_outcome_is_counted_under_its_name() -> None:
    calls = report(outcomes=[outcome_row("b", outcome, 1) for outcome in Outcome])["calls"]
    assert list(calls["by_outcome"]) == list(Outcome)


def test_statuses_are_in_order_and_speechais_completed_counts_as_done() -> None:
    jobs = report(**CAMPAIGN)["jobs"]
    assert jobs == {"total": 14, "by_status": {"pending": 6, "done": 5, "failed": 2, "odd": 1}}


def test_attempts_count_from_one() -> None:
    assert report(**CAMPAIGN)["attempts"] == [
        {"attempt": 1, "calls": 8, "successful": 2, "success_rate": 0.25},
        {"attempt": 2, "calls": 1, "successful": 1, "success_rate": 1.0},
    ]


def test_hours_are_those_of_the_zone_in_summer_and_winter() -> None:
    hours = {row["hour"]: row["calls"] for row in report(**CAMPAIGN)["hours"]}
    assert hours == {10: 5}
    half_an_hour_apart = report(**CAMPAIGN | {"zone": "Asia/Kolkata"})["hours"]
    assert {row["hour"]: row["calls"] for row in half_an_hour_apart} == {18: 1, 19: 2, 20: 2}


def test_promises_are_summed_as_far_as_they_can_be_read() -> None:
    assert report(**CAMPAIGN)["promises"] == {
        "jobs": 4,
        "amount": 301_000.12,
        "by_currency": [{"currency": None, "amount": 301_000.12, "jobs": 3}],
        "jobs_without_amount": 1,
        "by_day": [{"day": None, "jobs": 1}, {"day": "2026-07-31", "jobs": 3}],
    }


def test_promises_in_several_currencies_have_a_sum_each() -> None:
    def told(amount: str, currency: str | None) -> Document:
        return {"_id": {"day": None, "amount": amount, "currency": currency}, "jobs": 1}

    rows = [told("1000", "CLP"), told("$ 500", None), told("20", "USD"), told("US$ 5", "CLP")]
    shaped = report(promises=rows, country="CL")
    assert shaped["promises"]["amount"] is None
    assert shaped["promises"]["by_currency"] == [
        {"currency": "CLP", "amount": 1500, "jobs": 2},
        {"currency": "USD", "amount": 25, "jobs": 2},
    ]
    assert "1,500 CLP, 25.00 USD altogether" in to_markdown(shaped)


def test_batches_are_sorted_by_calls_and_include_those_without_calls() -> None:
    rows = report(**CAMPAIGN | {"jobs": {**CAMPAIGN["jobs"], "b3": {"pending": 9}}})["batches"]
    assert [(row["batch_id"], row["calls"], row["jobs"]) for row in rows] == [
        ("b1", 48, 10),
        ("b2", 2, 3),
        (None, 2, 1),
        ("b3", 0, 9),
    ]
    assert rows[0]["success_rate"] == 0.375


def test_a_campaign_without_calls_has_a_report() -> None:
    shaped = report()
    assert (shaped["calls"]["success_rate"], shaped["calls"]["cost_per_success"]) == (None, None)
    assert "**Success rate**: -" in to_markdown(shaped)


def test_markdown_has_a_table_for_each_part_and_escapes_names() -> None:
    text = to_markdown(report(**CAMPAIGN))
    assert "- **Jobs**: 14 (6 pending, 5 done, 2 failed, 1 odd)" in text
    assert "- **Success rate**: 40.0% (4 calls)" in text
    assert "| no_answer | 5 | 9.6% |" in text
    assert "| 10:00 | 5 | 2 | 40.0% |" in text
    assert "| b1 | July \\| \\*collection\\* | 10 | 48 | 3 | 37.5% | 6.0 | 0.60 USD |" in text
    assert "| 2026-07-31 | 3 |" in text
    tables = [line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(tables) == {3, 4, 5, 9}


def test_jobs_that_the_do_not_call_list_ended_are_named() -> None:
    shaped = report(jobs={"b1": {"cancelled": 3}}, jobs_on_list=2)
    assert shaped["jobs_on_do_not_call_list"] == 2
    assert "- **Cancelled by the do-not-call list**: 2 jobs\n" in to_markdown(shaped)
    assert "do-not-call" not in to_markdown(report(jobs={"b1": {"cancelled": 3}}))


def test_what_accounts_were_charged_is_summed_for_each_currency() -> None:
    rows = [
        outcome_row("b1", "answered", 1, charged_credit=0.1, account="acme"),
        outcome_row("b1", "busy", 1, charged_credit=0.2, account="acme"),
        outcome_row("b2", "answered", 1, charged_credit=9000, account="other"),
    ]
    shaped = report(outcomes=rows, currencies={"acme": "USD", "other": "CLP"})
    assert shaped["calls"]["charged"]["by_currency"] == [
        {"currency": "CLP", "credit": 9000},
        {"currency": "USD", "credit": 0.3},
    ]
    assert "- **Charged to accounts**: 9,000 CLP, 0.30 USD" in to_markdown(shaped)
