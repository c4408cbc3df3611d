"""The page for Prometheus, from a snapshot's sums and gauges; only ``telemetry`` uses prometheus_client.

Workers do not use the library: the supervisor sums their increments, so that no multiprocess files are needed
and no count is lost with a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from speechaid.telemetry.gauges import samples
from speechaid.telemetry.metric_table import DECLARED, INFINITE, METRICS, Increment, Kind
from speechaid.telemetry.metric_table import Metric as Declared
from speechaid.telemetry.snapshot import Snapshot, SnapshotHolder

#: Sums of one metric by label values, which are in the order of the declared labels.
_Series = dict[tuple[str, ...], float]
_SUM: Final = "_sum"


class SnapshotCollector(Collector):
    """Collects every declared metric from the latest snapshot."""

    def __init__(self, holder: SnapshotHolder) -> None:
        self._holder = holder

    def collect(self) -> Iterator[Metric]:
        """Collect for one scrape; nothing before the first snapshot."""
        snapshot = self._holder.latest()
        return iter(()) if snapshot is None else families(snapshot)


class Exposition:
    """The whole page, in the format that the client accepts."""

    def __init__(self, holder: SnapshotHolder) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(SnapshotCollector(holder))
        # The supervisor's own memory, processor time and descriptors.
        ProcessCollector(registry=self._registry)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, for an ``Accept`` header."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield every metric of the daemon, also those not counted yet."""
    return families_of(METRICS, (*_counted(snapshot), *samples(snapshot)))


def families_of(declared: Mapping[str, Declared], increments: Iterable[Increment]) -> Iterator[Metric]:
    """Yield every one of these metrics with its increments; what is not declared is left out."""
    collected: dict[str, _Series] = {}
    for name, labels, value in increments:
        key = _label_values(name, labels)
        if key is not None:
            series = collected.setdefault(name, {})
            series[key] = series.get(key, 0.0) + float(value)
    for metric in declared.values():
        series = collected.get(metric.name, {})
        if metric.kind is Kind.HISTOGRAM:
            yield _histogram(metric, series, collected.get(metric.name + _SUM, {}))
        else:
            yield _plain(metric, series)


def undeclared(increments: Iterable[Increment]) -> list[str]:
    """The increments whose name or labels are not declared: bugs, found by tests."""
    return [f"{name} {labels}" for name, labels, _ in increments if _label_values(name, labels) is None]


def _counted(snapshot: Snapshot) -> Iterator[Increment]:
    for (name, labels), value in snapshot.counts.items():
        yield name, dict(labels), value


def _label_values(name: str, labels: Mapping[str, str]) -> tuple[str, ...] | None:
    """The label values in their declared order; None where name or labels are not declared."""
    metric = DECLARED.get(name) or DECLARED.get(name.removesuffix(_SUM))
    if metric is None:
        return None
    wanted = metric.labels
    if metric.kind is Kind.HISTOGRAM and name == metric.name:
        wanted = (*wanted, "le")
    return tuple(str(labels[label]) for label in wanted) if labels.keys() == set(wanted) else None


def _plain(metric: Declared, series: _Series) -> Metric:
    family = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(
        metric.name, metric.help, labels=metric.labels
    )
    known: _Series = {(value,): 0.0 for value in metric.values}
    if not metric.labels and metric.kind is Kind.COUNTER:
        known = {(): 0.0}
    for values, total in sorted((known | series).items()):
        family.add_metric(values, total)
    return family


def _histogram(metric: Declared, buckets: _Series, sums: _Series) -> Metric:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    known = {values[:-1] for values in buckets} | (set() if metric.labels else {()})
    for values in sorted(known):
        total, cumulative = 0.0, []
        for bound in metric.bounds:
            total += buckets.get((*values, bound), 0.0)
            cumulative.append((bound if bound == INFINITE else str(float(bound)), total))
        family.add_metric(values, cumulative, sum_value=sums.get(values, 0.0))
    return family
