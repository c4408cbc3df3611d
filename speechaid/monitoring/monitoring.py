"""Everything that watches the daemon, as one thing to open, feed each second, and close.

The address for metrics is taken before anything else is started, so that a taken one stops the start; it is
served from the first picture to the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechaid.clock import Clock, SystemClock
from speechaid.fleet.messages import Counts
from speechaid.monitoring.alerts import AlertMonitor
from speechaid.monitoring.retell_concurrency import RetellConcurrencyMonitor
from speechaid.retell.client import open_retell
from speechaid.settings import Settings
from speechaid.telemetry.alerts import Webhook
from speechaid.telemetry.http import MetricsServer
from speechaid.telemetry.snapshot import SnapshotHolder

OFF = "off"


class Monitoring:
    """Metrics, health, alerts and what they need; fed by the supervisor's loop, which never waits for it.

    Raises:
        TelemetryError: the address for metrics is taken, or none of this machine's.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._board = SnapshotHolder(self._clock)
        address = settings.telemetry.metrics_address
        self._server = None if address == OFF else MetricsServer(address, self._board)
        self._webhook: Webhook | None = None
        self._concurrency: RetellConcurrencyMonitor | None = None
        self._lookout: AlertMonitor | None = None

    @property
    def address(self) -> str | None:
        """Where metrics are served; None where they are not."""
        return None if self._server is None else self._server.address

    def start(self) -> None:
        """Begin to watch and to answer."""
        alerts = self._settings.alerts
        if alerts.webhook_url is not None:
            secret = alerts.webhook_secret
            self._webhook = Webhook(
                alerts.webhook_url.get_secret_value(), None if secret is None else secret.get_secret_value()
            )
        settings = self._settings
        self._concurrency = RetellConcurrencyMonitor(lambda observe: open_retell(settings, observe=observe))
        self._lookout = AlertMonitor(
            settings, snapshots=self._board, webhook=self._webhook, clock=self._clock
        )
        if self._server is not None:
            self._server.start()

    def update(self, snapshot: Mapping[str, Any], counts: Counts, now: float) -> Counts:
        """One second's look; what was counted here meanwhile, to be added to the sums."""
        if self._lookout is None or self._concurrency is None:
            return {}
        self._lookout.update(snapshot, dict(counts), self._concurrency.latest(), now)
        return self._concurrency.take_counts()

    def firing(self) -> list[dict[str, Any]]:
        """The alerts that fire, ready for JSON."""
        return [] if self._lookout is None else self._lookout.firing()

    def apply_settings(self, settings: Settings) -> None:
        """New settings after a reload."""
        if self._lookout is not None:
            self._lookout.apply_settings(settings)

    def close(self) -> None:
        """Answer no more; what was not delivered is tried once more, within a bound."""
        if self._server is not None:
            self._server.close()
        if self._concurrency is not None:
            self._concurrency.close()
        if self._webhook is not None:
            self._webhook.close()
