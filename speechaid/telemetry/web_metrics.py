"""The metrics of the process of ``speechaid web``, which serves them itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from speechaid.telemetry.metric_table import WEB_METRICS
from speechaid.telemetry.metrics import families_of


class WebMetrics(Collector):
    """Counts and exposes what ``WEB_METRICS`` declares; for one event loop."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        # Memory, processor time and descriptors of this process.
        ProcessCollector(registry=self._registry)

    def count(self, name: str, by: float = 1.0, /, **labels: str) -> None:
        """Add to a counter, a gauge or a part of a histogram."""
        self._counts[name, tuple(labels.items())] += by  # type: ignore[assignment]

    def collect(self) -> Iterator[Metric]:
        """Collect for one scrape."""
        increments = ((name, dict(labels), value) for (name, labels), value in self._counts.items())
        return families_of(WEB_METRICS, increments)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, for an ``Accept`` header."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
