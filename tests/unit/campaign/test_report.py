"""Documents to a report, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from speechaid.campaign.day_range import DayRange
from speechaid.campaign.report import shape
from speechaid.campaign.report_markdown import to_markdown
from speechaid.campaign.report_reading import AccountFacts, ReportReading, Scope
from speechaid.model.reading import Document
from speechaid.model.states import ANSWERED_BY, Outcome
from speechaid.protocol.translation import in_language

SANTIAGO, MEXICO, KOLKATA = map(ZoneInfo, ("America/Santiago", "America/Mexico_City", "Asia/Kolkata"))
AT = datetime(2026, 7, 5, 12, tzinfo=UTC)
Documents = Iterable[Document]


def report(
    calls: Documents = (),
    jobs: Documents = (),
    payments: Documents = (),
    names: dict[str, str | None] | None = None,
    **scope: Any,
) -> Document:
    standard: dict[str, Any] = {"at": AT, "default": AccountFacts(zone=SANTIAGO)}
    reading = ReportReading(Scope(**{**standard, **scope}))
    for call in calls:
        reading.add_call(call)
    for job in jobs:
        reading.add_job(job)
    for payment in payments:
        reading.add_payment(payment)
    reading.finish()
    shaped = shape(reading, names)
    json.dumps(shaped)  # it must be JSON-compatible in every case
    return shaped


def result(outcome: str | None, batch: str | None = None, **fields: Any) -> Document:
    document: Document = {} if outcome is None else {"outcome": outcome}
    return {**document, **({} if batch is None else {"batch_id": batch}), **fields}


def day(month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=UTC)


CALLS = [
    *(result("answered", "b1", duration_ms=120_000, cost=0.2, charged={"minutes": 2}) for _ in range(3)),
    *(result("no_answer", "b1") for _ in range(5)),
    *(result("temporary", "b1") for _ in range(40)),
    result("callback_requested", "b2", duration_ms=30_000, cost=0.1),
    result("busy", "b2", charged={"credit": 0.05}),
    result(None, duration_ms=45_000, call_data={"call_cost": {"combined_cost": 100}}),
    result(None, duration_ms=45_000, call_data={"call_cost": {"combined_cost": 150}}),
]
JOBS = [
    *({"job_id": f"a{number}", "batch_id": "b1", "status": "done"} for number in range(3)),
    {"job_id": "b", "batch_id": "b1", "status": "completed"},
    *({"job_id": f"c{number}", "batch_id": "b1", "status": "pending"} for number in range(6)),
    *({"job_id": f"d{number}", "batch_id": "b2", "status": "failed"} for number in range(2)),
    {"job_id": "e", "batch_id": "b2", "status": "odd"},
    {"job_id": "f", "status": "done"},
]
NAMES = {"b1": "July | *collection*", "b2": None}
ATTEMPTS = [
    result("answered", attempt=1),
    *(result("answered", attempt=0) for _ in range(2)),
    *(result("no_answer", attempt=0) for _ in range(6)),
    *(result(None) for _ in range(2)),
]
HOURS = [
    *(result("answered", placed_at=day(7, 3, 14, 10)) for _ in range(2)),
    *(result("busy", placed_at=day(7, 4, 14, 30)) for _ in range(2)),
    result("busy", placed_at=day(1, 4, 13)),
    *(result(None, placed_at="odd") for _ in range(9)),
]
PROMISES: list[Document] = [
    *(
        {"job_id": f"p{n}", "fecha_pago_cliente": "2026-07-31", "monto_pago_cliente": "150.000"}
        for n in range(2)
    ),
    {"job_id": "p2", "fecha_pago_cliente": "31/07/2026", "monto_pago_cliente": 1000.125},
    {"job_id": "p3", "fecha_pago_cliente": "when I can", "monto_pago_cliente": None},
]


def test_calls_are_summed_over_batches_and_outcomes() -> None:
    calls = report(CALLS, JOBS)["calls"]
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
    assert [(row["currency"], row["credit"]) for row in charged["by_currency"]] == [(None, 0.05)]


def test_the_price_of_speechais_results_is_retells_in_cents() -> None:
    calls = report(CALLS, JOBS)["calls"]
    assert calls["cost"] == 3.2
    assert calls["cost_per_success"] == 0.8


def test_rates_leave_out_outcomes_that_say_nothing_about_people() -> None:
    calls = report(CALLS, JOBS)["calls"]
    assert (calls["successful"], calls["success_rate"]) == (4, 0.4)


def test_every_outcome_is_counted_under_its_name() -> None:
    calls = report([result(outcome) for outcome in Outcome])["calls"]
    assert list(calls["by_outcome"]) == list(Outcome)


def test_of_every_outcome_it_is_known_who_answered() -> None:
    assert set(ANSWERED_BY) == set(Outcome)


def test_statuses_are_in_order_and_speechais_completed_counts_as_done() -> None:
    jobs = report(CALLS, JOBS)["jobs"]
    assert jobs == {"total": 14, "by_status": {"pending": 6, "done": 5, "failed": 2, "odd": 1}}


def test_attempts_count_from_one() -> None:
    rows = report(ATTEMPTS)["attempts"]
    assert [
        {name: row[name] for name in ("attempt", "calls", "successful", "success_rate")} for row in rows
    ] == [
        {"attempt": 1, "calls": 8, "successful": 2, "success_rate": 0.25},
        {"attempt": 2, "calls": 1, "successful": 1, "success_rate": 1.0},
    ]


def test_hours_are_those_of_the_zone_in_summer_and_winter() -> None:
    hours = {row["hour"]: row["calls"] for row in report(HOURS)["hours"]}
    assert hours == {10: 5}
    half_an_hour_apart = report(HOURS, default=AccountFacts(zone=KOLKATA))["hours"]
    assert {row["hour"]: row["calls"] for row in half_an_hour_apart} == {18: 1, 19: 2, 20: 2}


def test_days_and_hours_are_those_of_each_accounts_own_zone() -> None:
    accounts = {"cl": AccountFacts(zone=SANTIAGO), "mx": AccountFacts(zone=MEXICO)}
    moment = day(7, 3, 5, 30)
    calls = [result("answered", account_id=name, placed_at=moment) for name in accounts]
    shaped = report(calls, accounts=accounts)
    assert [(row["day"], row["calls"]) for row in shaped["days"]] == [("2026-07-02", 1), ("2026-07-03", 1)]
    assert [(row["hour"], row["calls"]) for row in shaped["hours"]] == [(1, 1), (23, 1)]
    assert shaped["timezones"] == [
        {"timezone": "America/Mexico_City", "accounts": ["mx"]},
        {"timezone": "America/Santiago", "accounts": ["cl"]},
    ]
    zones = "each account's own zone: America/Mexico_City (mx); America/Santiago (cl)."
    assert zones in to_markdown(shaped)


def test_a_day_of_a_report_is_that_of_each_account() -> None:
    accounts = {"cl": AccountFacts(zone=SANTIAGO), "mx": AccountFacts(zone=MEXICO)}
    moments = (day(7, 3, 4, 30), day(7, 3, 5, 30), day(7, 4, 3, 59), day(7, 4, 5, 59))
    calls = [
        result("busy", account_id=name, placed_at=moment, job_id="j")
        for name in accounts
        for moment in moments
    ]
    days = DayRange.read(day="2026-07-03", first=None, last=None)
    shaped = report(calls, accounts=accounts, days=days)
    assert {row["timezone"]: row["accounts"] for row in shaped["timezones"]} == {
        "America/Mexico_City": ["mx"],
        "America/Santiago": ["cl"],
    }
    # Santiago is four hours behind UTC on that day, Mexico City six.
    assert shaped["calls"]["total"] == 3 + 2
    assert (shaped["from"], shaped["to"]) == ("2026-07-03", "2026-07-03")


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ({"day": "30-11-2026"}, "day: '30-11-2026' is not a day; write it as 2026-11-30, or today"),
        ({"first": "2026-02-30"}, "from: '2026-02-30' is not a day"),
        ({"day": "today", "last": "2026-11-30"}, "give either --day, or --from and --to"),
    ],
)
def test_what_is_no_day_is_refused_with_what_is_allowed(typed: dict[str, str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        DayRange.read(**{"day": None, "first": None, "last": None, **typed})


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    days = DayRange.read(day=None, first="today", last="yesterday")
    with pytest.raises(ValueError, match="to: 2026-07-04 is before --from 2026-07-05"):
        days.span_in(SANTIAGO, AT)


def test_a_day_of_a_clock_change_has_23_or_25_hours() -> None:
    def hours(typed: str) -> float:
        days = DayRange.read(day=typed, first=None, last=None)
        begin, end = days.span_in(SANTIAGO, AT)
        assert begin is not None
        assert end is not None
        return (end - begin).total_seconds() / 3600

    # Chile sets its clocks back at the end of 4 April 2026, and forward at midnight of 6 September.
    assert hours("2026-04-04") == 25
    assert hours("2026-04-05") == 24
    assert hours("2026-09-05") == 24
    assert hours("2026-09-06") == 23


def test_people_are_counted_once_and_reached_by_calls_that_a_person_answered() -> None:
    def call(outcome: str, dni: str | None, job: str, account: str = "a") -> Document:
        return result(outcome, job_id=job, account_id=account, contact={"dni": dni})

    calls = [
        call("no_answer", "12.345.678-5", "j1"),
        call("answered", "12345678-5", "j2"),
        call("do_not_call", "9.876.543-3", "j3"),
        call("voicemail", None, "j4"),
        call("busy", None, "j4"),
        # The same id in another account is another debtor.
        call("busy", "12345678-5", "j5", account="b"),
        # No call was placed: nobody was called.
        call("temporary", "11.111.111-1", "j6"),
    ]
    shaped = report(calls)
    assert shaped["people"] == {"called": 4, "reached": 2, "contact_rate": 0.5}


def test_what_the_later_analysis_calls_a_machine_is_no_person() -> None:
    def call(outcome: str | None, job: str, **more: Any) -> Document:
        analysis = {"in_voicemail": job == "machine"}
        return result(outcome, job_id=job, call_data={"call_analysis": analysis}, **more)

    calls = [call("answered", "machine"), call("answered", "person"), call("voicemail", "told")]
    calls.append(call(None, "of SpeechAI", is_successful=True))
    shaped = report(calls)
    told = {name: shaped["calls"][name] for name in ("by_person", "by_machine", "machines_found_later")}
    assert told == {"by_person": 2, "by_machine": 2, "machines_found_later": 1}
    assert (shaped["people"]["called"], shaped["people"]["reached"]) == (4, 2)


def test_header_and_tables_add_up() -> None:
    calls = [
        result(
            outcome,
            f"b{number % 3}",
            job_id=f"j{number}",
            placed_at=day(7, 1 + number % 4, number % 24),
            duration_ms=number,
            charged={"credit": 0.1 * number, "minutes": 0.3},
            cost=0.07,
            attempt=number % 2,
        )
        for number, outcome in enumerate([*Outcome] * 20)
    ]
    shaped = report(calls)
    for table in ("days", "hours", "attempts", "batches"):
        assert sum(row["calls"] for row in shaped[table]) == shaped["calls"]["total"] == len(calls)
        assert sum(row["by_person"] for row in shaped[table]) == shaped["calls"]["by_person"]
    for table in ("days", "batches"):
        credit = sum(row["charged"]["by_currency"][0]["credit"] for row in shaped[table])
        assert round(credit, 6) == shaped["calls"]["charged"]["credit"]


def test_promises_are_summed_as_far_as_they_can_be_read() -> None:
    assert report(jobs=PROMISES)["promises"] == {
        "jobs": 4,
        "amount": 301_000.12,
        "by_currency": [{"currency": None, "amount": 301_000.12, "jobs": 3}],
        "jobs_without_amount": 1,
        "by_day": [{"day": None, "jobs": 1}, {"day": "2026-07-31", "jobs": 3}],
    }


def test_promises_in_several_currencies_have_a_sum_each() -> None:
    def told(name: str, amount: str, currency: str | None) -> Document:
        return {"job_id": name, "monto_pago_cliente": amount, "payload": {"currency": currency}}

    jobs = [
        told("a", "1000", "CLP"),
        told("b", "$ 500", None),
        told("c", "20", "USD"),
        told("d", "US$ 5", "CLP"),
    ]
    shaped = report(jobs=jobs, default=AccountFacts(zone=SANTIAGO, country="CL"))
    assert shaped["promises"]["amount"] is None
    assert shaped["promises"]["by_currency"] == [
        {"currency": "CLP", "amount": 1500, "jobs": 2},
        {"currency": "USD", "amount": 25, "jobs": 2},
    ]
    assert "1,500 CLP, 25.00 USD altogether" in to_markdown(shaped)


def test_a_promise_belongs_to_the_day_of_its_call_and_counts_once() -> None:
    def call(amount: int, placed_at: datetime, *, stored: bool) -> Document:
        collected = {"monto_pago_cliente": str(amount), "fecha_pago_cliente": "2026-08-01"}
        promised = {"promised": {"amount": str(amount), "day": "2026-08-01", "currency": "CLP"}}
        told = promised if stored else {"call_data": {"collected_dynamic_variables": collected}}
        return result("answered", job_id="j", placed_at=placed_at, **told)

    calls = [call(5000, day(7, 2, 15), stored=True), call(3000, day(7, 1, 15), stored=False)]
    # A later promise has replaced the earlier one in the job.
    job = {"job_id": "j", "monto_pago_cliente": "5000", "payload": {"currency": "CLP"}}
    shaped = report(calls, [job])
    assert shaped["promises"]["by_currency"] == [{"currency": "CLP", "amount": 5000, "jobs": 1}]
    assert [(row["day"], row["promised"]["by_currency"][0]["amount"]) for row in shaped["days"]] == [
        ("2026-07-01", 3000),
        ("2026-07-02", 5000),
    ]
    only = DayRange.read(day="2026-07-01", first=None, last=None)
    of_day = report(calls, [job], days=only)
    assert of_day["promises"]["by_currency"] == [{"currency": "CLP", "amount": 3000, "jobs": 1}]


def test_a_promise_whose_call_was_erased_counts_as_the_job_has_it() -> None:
    """Of a result that a version up to 0.2 wrote; later ones keep the promise itself."""
    erased = {"collected_dynamic_variables": {"monto_pago_cliente": "erased", "fecha_pago_cliente": "erased"}}
    call = result("answered", job_id="j", placed_at=day(7, 1, 15), call_data=erased)
    job = {"job_id": "j", "monto_pago_cliente": 700, "payload": {"currency": "CLP"}}
    shaped = report([call], [job])
    assert shaped["promises"]["by_currency"] == [{"currency": "CLP", "amount": 700, "jobs": 1}]
    assert shaped["days"][0]["promised"]["by_currency"][0]["amount"] == 700


def test_a_debt_counts_once_for_a_job_and_its_redials() -> None:
    def job(name: str, amount: object, redial_of: str | None = None) -> Document:
        return {
            "job_id": name,
            "redial_of": redial_of,
            "payload": {"debt_amount": amount, "currency": "CLP"},
        }

    jobs: list[Document] = [
        job("second", 700, "first"),
        job("first", 700),
        job("other", "1.500"),
        job("of another", 9, "x"),
    ]
    jobs += [job("unreadable", "25 mil"), {"job_id": "none", "payload": {}}]
    assert report(jobs=jobs)["debt"] == {
        "jobs": 4,
        "by_currency": [{"currency": "CLP", "amount": 2209, "jobs": 3}],
        "jobs_without_amount": 1,
    }


def test_what_was_recovered_belongs_to_the_day_on_which_it_was_recorded() -> None:
    def payment(amount: float, at: datetime, currency: str | None = None) -> Document:
        paid = {"at": at, "amount": amount, "currency": currency}
        return {"paid": paid, "payload": {"currency": "CLP"}}

    payments = [payment(100, day(7, 2, 3)), payment(50, day(7, 2, 5)), payment(7.5, day(7, 2, 5), "USD")]
    shaped = report(payments=payments)
    assert shaped["recovered"]["by_currency"] == [
        {"currency": "CLP", "amount": 150, "jobs": 2},
        {"currency": "USD", "amount": 7.5, "jobs": 1},
    ]
    assert [(row["day"], row["recovered"]["jobs"]) for row in shaped["days"]] == [
        ("2026-07-01", 1),
        ("2026-07-02", 2),
    ]
    assert "- **Recovered**: 150 CLP, 7.50 USD" in to_markdown(shaped)


def test_batches_are_sorted_by_calls_and_include_those_without_calls() -> None:
    waiting = [{"job_id": f"w{number}", "batch_id": "b3", "status": "pending"} for number in range(9)]
    rows = report(CALLS, [*JOBS, *waiting])["batches"]
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
    assert shaped["people"] == {"called": 0, "reached": 0, "contact_rate": None}
    assert "**Success rate**: -" in to_markdown(shaped)


def test_markdown_has_a_table_for_each_part_and_escapes_names() -> None:
    text = to_markdown(report(CALLS, JOBS, names=NAMES))
    assert "- **Jobs**: 14 (6 pending, 5 done, 2 failed, 1 odd)" in text
    assert "- **Success rate**: 40.0% (4 calls)" in text
    assert "| no answer | 5 | 9.6% |" in text
    row = "| b1 | July \\| \\*collection\\* | 10 | 48 | 3 | 3 | 37.5% | 6.0 | 0.60 USD | 6 minutes |"
    assert row in text
    text += to_markdown(report(HOURS, PROMISES))
    assert "| 10:00 | 5 | 2 | 2 | 40.0% |" in text
    assert "| 2026-07-31 | 3 |" in text
    tables = [line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(tables) == {3, 4, 6, 10, 11}


def test_markdown_can_be_put_into_the_reader_s_language_and_stays_escaped() -> None:
    shaped = report(CALLS, JOBS, names=NAMES)
    text = in_language(to_markdown(shaped), "es")
    assert text.startswith("# Informe de campaña: todos los lotes\n")
    assert "- **Tasa de éxito**: 40,0% (4 llamadas)" in text
    assert "| no contesta | 5 | 9,6% |" in text
    assert "| b1 | July \\| \\*collection\\* | 10 | 48 |" in text
    assert "- **Trabajos**: 14 (6 pendientes," in text
    english = [line for line in to_markdown(shaped).splitlines() if line.startswith(("#", "- **"))]
    assert not set(english) & set(text.splitlines())


def test_the_contact_rate_is_explained_beside_the_figure() -> None:
    text = to_markdown(report([result("answered", job_id="j"), result("busy", job_id="k")]))
    assert "- **Contact rate**: 50.0% (the share of the people called whom" in text


def test_jobs_that_the_do_not_call_list_ended_are_named() -> None:
    reasons = ("on_do_not_call_list", "on_do_not_call_list", "do_not_call")
    jobs: list[Document] = [
        {"job_id": f"j{number}", "status": "cancelled", "cancel_reason": reason}
        for number, reason in enumerate(reasons)
    ]
    shaped = report(jobs=jobs)
    assert shaped["jobs_on_do_not_call_list"] == 2
    assert "- **Cancelled by the do-not-call list**: 2 jobs\n" in to_markdown(shaped)
    assert "do-not-call" not in to_markdown(report(jobs=jobs[2:]))


def test_what_accounts_were_charged_is_summed_for_each_currency() -> None:
    def call(outcome: str, account: str, credit: float, job: str) -> Document:
        return result(outcome, account_id=account, charged={"credit": credit}, job_id=job)

    calls = [
        call("answered", "acme", 0.1, "a"),
        call("busy", "acme", 0.2, "b"),
        call("answered", "other", 9000, "c"),
        call("answered", "other", 0, "d"),
    ]
    accounts = {
        "acme": AccountFacts(zone=SANTIAGO, currency="USD"),
        "other": AccountFacts(zone=SANTIAGO, currency="CLP"),
    }
    shaped = report(calls, accounts=accounts)
    assert shaped["calls"]["charged"]["by_currency"] == [
        {"currency": "CLP", "credit": 9000, "people_reached": 2, "per_person_reached": 4500},
        {"currency": "USD", "credit": 0.3, "people_reached": 1, "per_person_reached": 0.3},
    ]
    text = to_markdown(shaped)
    assert "- **Charged to accounts**: 9,000 CLP, 0.30 USD" in text
    assert "- **Charged for each person reached**: 4,500 CLP, 0.30 USD" in text
