"""Alerts: what each fires on, when, and when it is over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speechaid.rules.alerting import Alert, AlertFacts, Severity, Thresholds, evaluate
from speechaid.rules.alerts import ALERTS, promql_span
from speechaid.rules.increase import Increase
from speechaid.telemetry.alert_rules import DOWN, RULES_FILE, TABLE_BEGINS, alerts_table, rules_file
from speechaid.telemetry.metric_table import METRICS

ROOT = Path(__file__).parents[3]
LIMITS = Thresholds()
WELL = AlertFacts(workers_wanted=6, workers_idle=2)

#: What each alert fires on, and the nearest that it does not.
EDGES: dict[str, list[tuple[dict[str, Any], bool]]] = {
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
    "WorkersCrashLooping": [({"crash_loops": ("worker-1",)}, True), ({}, False)],
    "WorkerHung": [({"hung_workers": 1}, True), ({}, False)],
    "WorkersMissing": [({"workers_missing": 1}, True), ({}, False)],
    "DiallingHeld": [({"holds": ("held on this host",)}, True), ({}, False)],
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
}


@pytest.mark.parametrize(
    ("name", "facts", "holds"), [(name, *edge) for name, edges in EDGES.items() for edge in edges]
)
def test_an_alert_looks_for_just_that(name: str, facts: dict[str, Any], holds: bool) -> None:
    reason = ALERTS[name].condition(replace(WELL, **facts), LIMITS)
    assert (reason is not None) is holds
    assert reason is None or (reason.strip() and not reason.endswith("."))


def test_every_alert_has_its_edges_here() -> None:
    assert EDGES.keys() == ALERTS.keys()
    assert all(any(holds for _, holds in edges) for edges in EDGES.values())
    assert all(any(not holds for _, holds in edges) for edges in EDGES.values())


def test_a_daemon_that_is_well_fires_nothing() -> None:
    states, changes = evaluate(ALERTS, {}, WELL, LIMITS, 0.0)
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
def test_a_threshold_is_a_setting(setting: str, value: Any, name: str, facts: dict[str, Any]) -> None:
    seen = replace(WELL, **facts)
    assert ALERTS[name].condition(seen, LIMITS) is None
    limits = replace(LIMITS, **{setting: value})
    assert ALERTS[name].condition(seen, limits) is not None
    assert ALERTS[name].promql(limits) != ALERTS[name].promql(LIMITS)


# -- for how long ------------------------------------------------------------------------------------------


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
    """What changed when: (moment, firing, summary)."""
    states: dict[str, Any] = {}
    told = []
    for now, calls in parked.items():
        facts = AlertFacts(parked_calls=calls)
        states, changes = evaluate(alerts, states, facts, Thresholds(patience=patience), now)
        told += [(now, change.firing, change.summary) for change in changes]
    return told


def test_it_fires_once_the_condition_has_lasted_and_is_over_once_it_has_been_gone() -> None:
    parked = {0.0: 1, 9.0: 1, 10.0: 2, 20.0: 3, 21.0: 0, 24.0: 0, 25.0: 0, 26.0: 0}
    assert history(alert(), parked) == [(10.0, True, "2 parked"), (26.0, False, "3 parked")]


def test_a_condition_that_comes_and_goes_never_fires() -> None:
    parked = {float(now): now % 9 for now in range(100)}
    assert history(alert(), parked) == []


def test_an_alert_that_fires_does_not_flap_with_its_condition() -> None:
    parked = {float(now): int(now < 12 or now % 4 == 0) for now in range(60)}
    assert history(alert(), parked) == [(10.0, True, "1 parked")]


def test_one_without_times_fires_and_is_over_at_once() -> None:
    parked = {0.0: 0, 1.0: 1, 2.0: 0, 3.0: 1}
    told = [(now, firing) for now, firing, _ in history(alert(0, 0), parked)]
    assert told == [(1.0, True), (2.0, False), (3.0, True)]


def test_patience_stretches_and_shrinks_both_times() -> None:
    parked = {0.0: 1, 1.0: 1, 2.0: 0, 2.5: 0}
    assert [now for now, *_ in history(alert(), parked, patience=0.1)] == [1.0, 2.5]


# -- sums over a window --------------------------------------------------------------------------------------


def test_an_increase_counts_what_came_within_the_window_and_forgets_the_rest() -> None:
    sum_ = Increase(60.0)
    assert sum_.note(0.0, 100.0) == 0.0
    assert sum_.note(30.0, 103.0) == 3.0
    assert sum_.note(60.0, 103.0) == 3.0
    assert sum_.note(90.0, 103.0) == 0.0
    assert sum_.note(1000.0, 104.0) == 1.0


def test_an_increase_remembers_a_bounded_past() -> None:
    sum_ = Increase(60.0)
    for tick in range(10_000):
        grown = sum_.note(tick / 10, float(tick))
    assert 600 <= grown <= 620
    assert len(sum_._past) <= 63


# -- the same for Prometheus -------------------------------------------------------------------------------


def test_the_shipped_rules_are_what_the_table_says() -> None:
    assert RULES_FILE.read_text(encoding="utf-8") == rules_file(LIMITS), (
        "run: python -m speechaid.telemetry.alert_rules"
    )


def test_the_page_in_the_docs_is_what_the_table_says() -> None:
    _, _, table = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8").partition(TABLE_BEGINS)
    assert table == alerts_table(), "run: python -m speechaid.telemetry.alert_rules"


def test_rules_for_other_settings_hold_their_thresholds_and_times() -> None:
    text = rules_file(Thresholds(backlog_jobs=7, success_rate=0.5, patience=0.05))
    assert "speechaid_jobs_callable > 7 and" in text
    assert "[90s]" in text
    assert "for: 15s" in text
    assert "keep_firing_for: 3s" in text


def test_every_rule_asks_for_metrics_that_exist() -> None:
    names = set(METRICS) | {f"{name}_bucket" for name in METRICS}
    for row in (*ALERTS.values(), DOWN):
        expression = row.promql(LIMITS)
        asked = {word for word in _words(expression) if word.startswith("speechaid_")}
        assert asked <= names, row.name
        assert asked, row.name


def _words(expression: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "_" else " " for c in expression).split()


@pytest.mark.parametrize(
    ("seconds", "text"), [(1800, "30m"), (90, "90s"), (7200, "2h"), (0.5, "500ms"), (1.5, "1500ms")]
)
def test_a_duration_is_written_as_prometheus_reads_it(seconds: float, text: str) -> None:
    assert promql_span(seconds) == text
