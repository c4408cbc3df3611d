"""The sums and gauges of the board in Prometheus' words; the only home of prometheus_client.

Workers do not know the library: their increments are summed by the supervisor, so that no multiprocess files
are needed and nothing is lost with a worker.
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
from speechaid.telemetry.metric_table import INFINITE, METRICS, Increment, Kind
from speechaid.telemetry.metric_table import Metric as Declared
from speechaid.telemetry.snapshot import Snapshot, SnapshotHolder

#: Sums of one metric by label values, in the order of the declared labels.
_Series = dict[tuple[str, ...], float]
_SUM: Final = "_sum"


class SnapshotCollector(Collector):
    """Every declared metric, from whatever picture hangs on the board."""

    def __init__(self, snapshots: SnapshotHolder) -> None:
        self._board = snapshots

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for; nothing before the first picture."""
        picture = self._board.snapshot()
        return iter(()) if picture is None else families(picture)


class Exposition:
    """The whole page, in the form that a client asks for."""

    def __init__(self, snapshots: SnapshotHolder) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(SnapshotCollector(snapshots))
        # The supervisor's own memory, processor time and descriptors.
        ProcessCollector(registry=self._registry)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, for an ``Accept`` header."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def families(picture: Snapshot) -> Iterator[Metric]:
    """Every declared metric, also those of which nothing has been heard yet."""
    collected: dict[str, _Series] = {}
    for name, labels, value in (*_counted(picture), *samples(picture)):
        key = _label_values(name, labels)
        if key is not None:
            series = collected.setdefault(name, {})
            series[key] = series.get(key, 0.0) + float(value)
    for metric in METRICS.values():
        series = collected.get(metric.name, {})
        if metric.kind is Kind.HISTOGRAM:
            yield _histogram(metric, series, collected.get(metric.name + _SUM, {}))
        else:
            yield _plain(metric, series)


def undeclared(increments: Iterable[Increment]) -> list[str]:
    """What no metric of the table can take: a fault of ours, that tests look for."""
    return [f"{name} {labels}" for name, labels, _ in increments if _label_values(name, labels) is None]


def _counted(picture: Snapshot) -> Iterator[Increment]:
    for (name, labels), value in picture.counts.items():
        yield name, dict(labels), value


def _label_values(name: str, labels: Mapping[str, str]) -> tuple[str, ...] | None:
    """The label values in their declared order; None where name or labels are not declared."""
    metric = METRICS.get(name) or METRICS.get(name.removesuffix(_SUM))
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
