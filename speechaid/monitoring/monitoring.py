"""All monitoring of the daemon as one object: open it, update it each second, close it.

The metrics address is bound before anything else is started, so that an address in use stops the start.
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
    """Metrics, health and alerts; updated by the supervisor's loop, which never waits for it.

    Raises:
        TelemetryError: the metrics address is in use, or not one of this machine.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._holder = SnapshotHolder(self._clock)
        address = settings.telemetry.metrics_address
        hosts = settings.telemetry.metrics_hosts or ()
        self._server = None if address == OFF else MetricsServer(address, self._holder, hosts)
        self._webhook: Webhook | None = None
        self._concurrency: RetellConcurrencyMonitor | None = None
        self._alert_monitor: AlertMonitor | None = None

    @property
    def address(self) -> str | None:
        """The address of the metrics; None where they are off."""
        return None if self._server is None else self._server.address

    def start(self) -> None:
        """Start the threads and serve the metrics."""
        alerts = self._settings.alerts
        if alerts.webhook_url is not None:
            secret = alerts.webhook_secret
            self._webhook = Webhook(
                alerts.webhook_url.get_secret_value(), None if secret is None else secret.get_secret_value()
            )
        settings = self._settings
        self._concurrency = RetellConcurrencyMonitor(
            lambda observe: open_retell(settings, observe=observe), self._clock
        )
        self._alert_monitor = AlertMonitor(
            settings, holder=self._holder, webhook=self._webhook, clock=self._clock
        )
        if self._server is not None:
            self._server.start()

    def update(self, status: Mapping[str, Any], counts: Counts, now: float) -> Counts:
        """Update alerts and snapshot; return what was counted meanwhile, to be added to the sums."""
        if self._alert_monitor is None or self._concurrency is None:
            return {}
        self._alert_monitor.update(status, dict(counts), self._concurrency.latest(), now)
        return self._concurrency.take_counts()

    @property
    def retell_answered_at(self) -> float | None:
        """When Retell last answered this process, in seconds of boot time; None where it does not answer."""
        latest = None if self._concurrency is None else self._concurrency.latest()
        return None if latest is None else latest.at

    def firing(self) -> list[dict[str, Any]]:
        """The firing alerts, ready for JSON."""
        return [] if self._alert_monitor is None else self._alert_monitor.firing()

    def recent_counts(self) -> dict[str, float]:
        """Counts of the last minutes (``AlertMonitor.recent_counts``)."""
        return {} if self._alert_monitor is None else self._alert_monitor.recent_counts()

    def apply_settings(self, settings: Settings) -> None:
        """Take over new settings after a reload."""
        if self._alert_monitor is not None:
            self._alert_monitor.apply_settings(settings)

    def close(self) -> None:
        """Stop serving; undelivered alerts are tried once more, within a bound."""
        if self._server is not None:
            self._server.close()
        if self._concurrency is not None:
            self._concurrency.close()
        if self._webhook is not None:
            self._webhook.close()
