"""How many values of an open label are told apart: a metric must not grow with what somebody types."""

from __future__ import annotations

from speechaid.telemetry.metric_table import MAX_VALUES, METRICS, OTHER

#: A metric's name and its labels, in the order in which they were counted.
Key = tuple[str, tuple[tuple[str, str], ...]]


class LabelLimits:
    """The values of open labels that have been counted since the start."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def limited(self, key: Key) -> Key:
        """The key under which an increment counts."""
        name, labels = key
        metric = METRICS.get(name)
        if metric is None or metric.open_label is None:
            return key
        return name, tuple(
            (label, self._told_apart(name, value) if label == metric.open_label else value)
            for label, value in labels
        )

    def _told_apart(self, name: str, value: str) -> str:
        known = self._known.setdefault(name, set())
        if value in known:
            return value
        if len(known) >= MAX_VALUES:
            return OTHER
        known.add(value)
        return value
