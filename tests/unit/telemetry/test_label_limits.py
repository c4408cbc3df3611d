"""A metric does not grow with what somebody types."""

from __future__ import annotations

from speechaid.telemetry.label_limits import LabelLimits
from speechaid.telemetry.metric_table import MAX_VALUES, METRICS, OTHER


def test_the_first_agents_are_told_apart_and_all_others_are_one() -> None:
    limits = LabelLimits()
    name = "speechaid_agent_calls_ended_total"
    found = [
        limits.limited((name, (("agent", f"agent_{number}"), ("outcome", "busy"))))[1][0][1]
        for number in [*range(MAX_VALUES + 5), 0]
    ]
    assert found == [*(f"agent_{number}" for number in range(MAX_VALUES)), *[OTHER] * 5, "agent_0"]


def test_an_open_label_is_a_label_of_its_metric() -> None:
    assert all(metric.open_label is None or metric.open_label in metric.labels for metric in METRICS.values())


def test_other_metrics_are_counted_as_they_are() -> None:
    key = ("speechaid_calls_ended_total", (("outcome", "busy"),))
    assert LabelLimits().limited(key) == key
