"""Alerts: the condition of each, and when it fires and resolves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speechaid.rules.alerting import Alert, AlertFacts, Severity, Thresholds, evaluate
from speechaid.rules.alerts import ALERTS, promql_span
from speechaid.rules.increase import Increase
from speechaid.telemetry.alert_rules import DOWN, RULES_FILE, TABLE_BEGINS, WEB_DOWN, alerts_table, rules_file
from speechaid.telemetry.metric_table import METRICS

ROOT = Path(__file__).parents[3]
LIMITS = Thresholds()
HEALTHY = AlertFacts(workers_wanted=6, workers_idle=2)

#: Facts that just fire each alert, and facts that just do not.
THRESHOLD_CASES: dict[str, list[tuple[dict[str, Any], bool]]] = {
    "PendingBacklog": [
        ({"jobs_callable": 101, "workers_idle": 1}, True),
        ({"jobs_callable": 100, "workers_idle": 1}, False),
        ({"jobs_callable": 101, "workers_idle": 0}, False),
        ({"jobs_callable": 101, "workers_idle": 1, "database_up": False}, False),
    ],
    "StuckJobs": [({"oldest_lapsed_seconds": 301.0}, True), ({"oldest_lapsed_seconds": 300.0}, False)],
    "LowSuccessRate": [
        ({"calls_ended": 20, "calls_succeeded": 3}, True),
        ({"calls_ended": 20, "calls_succeeded": 0}, True),
        ({"calls_ended": 20, "calls_succeeded": 4}, False),
        ({"calls_ended": 19, "calls_succeeded": 0}, False),
        ({"calls_ended": 0, "calls_succeeded": 0}, False),
    ],
    "BatchPausedUnexpectedly": [({"batches_paused": ("batch-1",)}, True), ({}, False)],
    "BatchNotUnderstood": [({"batches_not_understood": ("batch-1",)}, True), ({}, False)],
    "UnreadableDocuments": [({"unreadable": ("jobs job-1 (attempts)",)}, True), ({}, False)],
    "WorkersCrashLooping": [({"crash_loops": ("worker-1",)}, True), ({}, False)],
    "WorkerHung": [({"hung_workers": 1}, True), ({}, False)],
    "StepsFailing": [
        ({"failing": ("claim of worker-1: refused",)}, True),
        ({}, False),
        ({"failing": ("claim of worker-1: refused",), "database_up": False}, False),
    ],
    "WorkersMissing": [({"workers_missing": 1}, True), ({}, False)],
    "DiallingHeld": [
        ({"holds": ("held on this host",), "jobs_ready": 1}, True),
        ({"holds": ("held on this host",), "jobs_ready": 0}, False),
        ({"jobs_ready": 1}, False),
    ],
    "DialsRefused": [
        ({"dials_refused": 5}, True),
        ({"dials_refused": 4}, False),
        ({"dials_refused": 9, "calls_ended": 8}, True),
        ({"dials_refused": 9, "calls_ended": 9}, False),
    ],
    "Overloaded": [
        ({"overloaded": "the database is slow"}, True),
        ({}, False),
        ({"overloaded": "the database is slow", "database_up": False}, False),
    ],
    "CallListUnusable": [({"call_list_gap": "failing"}, True), ({}, False)],
    "DatabaseAway": [({"database_up": False}, True), ({}, False)],
    "AccountNearlyOutOfCredit": [
        ({"accounts": {"rich": 900.0, "poor": 19.9}}, True),
        ({"accounts": {"rich": 900.0, "poor": 20.0}}, False),
    ],
    "NoCallFinished": [
        ({"stalled_seconds": 1801.0}, True),
        ({"stalled_seconds": 1800.0}, False),
        ({"stalled_seconds": 1801.0, "database_up": False}, False),
    ],
    "ParkedCalls": [({"parked_calls": 1}, True), ({}, False)],
    "PollsRefused": [({"polls_refused": 1}, True), ({}, False)],
}


@pytest.mark.parametrize(
    ("name", "facts", "holds"), [(name, *edge) for name, edges in THRESHOLD_CASES.items() for edge in edges]
)
def test_the_condition_of_an_alert_holds_just_beyond_its_threshold(
    name: str, facts: dict[str, Any], holds: bool
) -> None:
    reason = ALERTS[name].condition(replace(HEALTHY, **facts), LIMITS)
    assert (reason is not None) is holds
    assert reason is None or (reason.strip() and not reason.endswith("."))


def test_every_alert_has_threshold_cases() -> None:
    assert THRESHOLD_CASES.keys() == ALERTS.keys()
    assert all(any(holds for _, holds in edges) for edges in THRESHOLD_CASES.values())
    assert all(any(not holds for _, holds in edges) for edges in THRESHOLD_CASES.values())


def test_a_healthy_daemon_fires_no_alert() -> None:
    states, changes = evaluate(ALERTS, {}, HEALTHY, LIMITS, 0.0)
    assert changes == []
    assert not any(state.firing for state in states.values())


@pytest.mark.parametrize(
    ("setting", "value", "name", "facts"),
    [
        ("backlog_jobs", 5, "PendingBacklog", {"jobs_callable": 6, "workers_idle": 1}),
        ("stuck_seconds", 5.0, "StuckJobs", {"oldest_lapsed_seconds": 6.0}),
        ("success_rate", 0.9, "LowSuccessRate", {"calls_ended": 20, "calls_succeeded": 17}),
        ("success_calls", 2, "LowSuccessRate", {"calls_ended": 2}),
        ("stalled_seconds", 5.0, "NoCallFinished", {"stalled_seconds": 6.0}),
        ("calls_left", 100.0, "AccountNearlyOutOfCredit", {"accounts": {"a": 99.0}}),
    ],
)
def test_thresholds_are_settings(setting: str, value: Any, name: str, facts: dict[str, Any]) -> None:
    changed = replace(HEALTHY, **facts)
    assert ALERTS[name].condition(changed, LIMITS) is None
    limits = replace(LIMITS, **{setting: value})
    assert ALERTS[name].condition(changed, limits) is not None
    assert ALERTS[name].promql(limits) != ALERTS[name].promql(LIMITS)


# -- durations ---------------------------------------------------------------------------------------------


def alert(for_seconds: float = 10, keep_seconds: float = 5) -> dict[str, Alert]:
    row = Alert(
        name="Test",
        severity=Severity.WARNING,
        condition=lambda facts, _: f"{facts.parked_calls} parked" if facts.parked_calls else None,
        promql=lambda _: "",
        for_seconds=for_seconds,
        keep_seconds=keep_seconds,
        meaning="",
        remedy="",
    )
    return {"Test": row}


def history(
    alerts: dict[str, Alert], parked: dict[float, int], patience: float = 1.0
) -> list[tuple[float, bool, str]]:
    """The changes as (time, firing, summary)."""
    states: dict[str, Any] = {}
    happened = []
    for now, calls in parked.items():
        facts = AlertFacts(parked_calls=calls)
        states, changes = evaluate(alerts, states, facts, Thresholds(patience=patience), now)
        happened += [(now, change.firing, change.summary) for change in changes]
    return happened


def test_an_alert_fires_after_for_seconds_and_resolves_after_keep_seconds() -> None:
    parked = {0.0: 1, 9.0: 1, 10.0: 2, 20.0: 3, 21.0: 0, 24.0: 0, 25.0: 0, 26.0: 0}
    assert history(alert(), parked) == [(10.0, True, "2 parked"), (26.0, False, "3 parked")]


def test_a_flapping_condition_never_fires() -> None:
    parked = {float(now): now % 9 for now in range(100)}
    assert history(alert(), parked) == []


def test_a_firing_alert_does_not_flap_with_its_condition() -> None:
    parked = {float(now): int(now < 12 or now % 4 == 0) for now in range(60)}
    assert history(alert(), parked) == [(10.0, True, "1 parked")]


def test_an_alert_without_durations_fires_and_resolves_at_once() -> None:
    parked = {0.0: 0, 1.0: 1, 2.0: 0, 3.0: 1}
    changes = [(now, firing) for now, firing, _ in history(alert(0, 0), parked)]
    assert changes == [(1.0, True), (2.0, False), (3.0, True)]


def test_patience_scales_both_durations() -> None:
    parked = {0.0: 1, 1.0: 1, 2.0: 0, 2.5: 0}
    assert [now for now, *_ in history(alert(), parked, patience=0.1)] == [1.0, 2.5]


# -- increase over a window
# --------------------------------------------------------------------------------------


def test_an_increase_counts_only_growth_within_the_window() -> None:
    increase = Increase(60.0)
    assert increase.note(0.0, 100.0) == 0.0
    assert increase.note(30.0, 103.0) == 3.0
    assert increase.note(60.0, 103.0) == 3.0
    assert increase.note(90.0, 103.0) == 0.0
    assert increase.note(1000.0, 104.0) == 1.0


def test_an_increase_keeps_a_bounded_number_of_samples() -> None:
    increase = Increase(60.0)
    for tick in range(10_000):
        grown = increase.note(tick / 10, float(tick))
    assert 600 <= grown <= 620
    assert len(increase._past) <= 63


# -- Prometheus rules -------------------------------------------------------------------------------


def test_the_shipped_rules_file_matches_the_table() -> None:
    assert RULES_FILE.read_text(encoding="utf-8") == rules_file(LIMITS), (
        "run: python -m speechaid.telemetry.alert_rules"
    )


def test_the_documentation_page_matches_the_table() -> None:
    _, _, table = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8").partition(TABLE_BEGINS)
    assert table == alerts_table(), "run: python -m speechaid.telemetry.alert_rules"


def test_rules_for_other_settings_contain_their_thresholds_and_durations() -> None:
    text = rules_file(Thresholds(backlog_jobs=7, success_rate=0.5, patience=0.05))
    assert "speechaid_jobs_callable > 7 and" in text
    assert "[90s]" in text
    assert "for: 15s" in text
    assert "keep_firing_for: 3s" in text


def test_every_rule_queries_existing_metrics() -> None:
    names = set(METRICS) | {f"{name}_bucket" for name in METRICS}
    for row in (*ALERTS.values(), DOWN):
        expression = row.promql(LIMITS)
        queried = {word for word in _words(expression) if word.startswith("speechaid_")}
        assert queried <= names, row.name
        assert queried, row.name


def test_the_alert_of_the_http_api_is_about_another_scrape_job_than_the_daemons() -> None:
    assert 'job=~"speechaid-web.*"' in WEB_DOWN.promql(LIMITS)
    assert 'job!~"speechaid-web.*"' in DOWN.promql(LIMITS)


def _words(expression: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "_" else " " for c in expression).split()


@pytest.mark.parametrize(
    ("seconds", "text"), [(1800, "30m"), (90, "90s"), (7200, "2h"), (0.5, "500ms"), (1.5, "1500ms")]
)
def test_durations_are_in_prometheus_format(seconds: float, text: str) -> None:
    assert promql_span(seconds) == text
