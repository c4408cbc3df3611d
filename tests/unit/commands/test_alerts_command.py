"""``speechctl alerts``: firing alerts with their remedy, and on request the quiet ones."""

from __future__ import annotations

from typing import Any

from speechaid.commands import fleet
from speechaid.rules.alerts import ALERTS
from speechctl.render.blocks import as_text
from speechctl.render.commands import render
from tests.support.fakes import FakeDaemon

FIRING = {
    "alert": "DatabaseAway",
    "severity": "critical",
    "since": "2026-05-04T12:00:00+00:00",
    "summary": "the database does not answer",
    "meaning": "nothing is dialled",
    "remedy": "bring it back",
}


class DaemonWithAlerts(FakeDaemon):
    """A daemon with firing alerts."""

    def __init__(self, *rows: dict[str, str]) -> None:
        super().__init__()
        self.rows = list(rows)

    def snapshot(self) -> dict[str, Any]:
        return {**super().snapshot(), "alerts": self.rows}


def shown(daemon: FakeDaemon, **args: bool) -> str:
    return as_text(render("alerts", fleet.alerts(daemon, {"all": False, **args})))


def test_a_firing_alert_is_shown_with_meaning_and_remedy() -> None:
    text = shown(DaemonWithAlerts(FIRING))
    for word in ("DatabaseAway (critical)", "does not answer", "nothing is dialled", "bring it back"):
        assert word in text


def test_without_firing_alerts_one_line_says_so() -> None:
    assert shown(DaemonWithAlerts()) == f"no alert fires; {len(ALERTS)} are quiet"


def test_all_lists_every_alert_once() -> None:
    text = shown(DaemonWithAlerts(FIRING), all=True)
    assert all(text.count(name) == 1 for name in ALERTS)


def test_status_shows_the_address_of_the_metrics() -> None:
    shown = as_text(render("status", {**FakeDaemon().snapshot(), "metrics": "127.0.0.1:9478"}))
    assert "metrics: http://127.0.0.1:9478/metrics" in shown


def test_status_shows_firing_alerts() -> None:
    daemon = DaemonWithAlerts(FIRING)
    assert "! alert DatabaseAway: the database does not answer" in as_text(
        render("status", fleet.status(daemon, {}))
    )
