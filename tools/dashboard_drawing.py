"""The dashboard, drawn from a real campaign: ``python -m tools.dashboard_drawing docs/dashboard.svg``.

It needs no Grafana: it sends every query of the dashboard to a real Prometheus and draws the answers in the
dashboard's layout.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from html import escape
from pathlib import Path
from typing import Any, Final

from speechaid.demo.contacts import IMPORT_OPTIONS, contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.demo.simulator.settings import TYPICAL_ODDS
from speechaid.embedded.database import published_uri
from speechaid.rules.alerting import Thresholds
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import connect
from speechaid.telemetry.alert_rules import rules_file
from tests.support.prometheus import Prometheus
from tools.grafana_dashboard import dashboard

SECONDS: Final = 90.0
JOBS: Final = 160
#: Size of one column and one line of the dashboard's grid, in pixels.
COLUMN: Final = 50
LINE: Final = 24
COLOURS: Final = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d")
UNITS: Final = {"s": " s", "cpm": "/min", "percentunit": " %", "bytes": " MiB"}
SCALES: Final = {"percentunit": 100.0, "bytes": 2.0**-20}

Series = tuple[str, list[tuple[float, float]]]


def main(target: Path) -> None:
    """Run the campaign, and draw what Prometheus recorded."""
    place = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    place.mkdir(mode=0o700)
    with ExitStack() as leaving:
        leaving.callback(shutil.rmtree, place)
        simulator = leaving.enter_context(SimulatorProcess(speed=30.0, seed=4, odds=TYPICAL_ODDS))
        daemon = DaemonProcess(place, variables(place, simulator))
        leaving.callback(daemon.stop, at_once=True)
        daemon.start()
        prometheus = Prometheus(
            place / "prometheus", daemon.ask("status")["metrics"], rules_file(Thresholds())
        )
        prometheus.start()
        leaving.callback(prometheus.stop)
        time.sleep(3)
        with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
            account = {"account_id": "acme", "plan_type": "minutes_based", "minutes_purchased": 900}
            store.accounts.table.insert(account)
        sent = {"filename": "c.csv", "name": "campaign", "country": "CL", "account": "acme"}
        daemon.ask("import", contacts(JOBS), **sent, **IMPORT_OPTIONS)
        began = time.monotonic()
        for at, action in ((25, kill), (30, kill), (50, kill), (60, hold), (66, unhold)):
            time.sleep(max(0.0, began + at - time.monotonic()))
            action(daemon)
        time.sleep(max(0.0, began + SECONDS - time.monotonic()))
        target.write_text("\n".join(drawing(prometheus)) + "\n", encoding="utf-8")


def kill(daemon: DaemonProcess) -> None:
    """Kill a worker that follows a call."""
    rows = daemon.ask("status")["workers"]
    os.kill(next(row["pid"] for row in rows if row["state"] == "following"), signal.SIGKILL)


def hold(daemon: DaemonProcess) -> None:
    daemon.ask("hold", reason="a check")


def unhold(daemon: DaemonProcess) -> None:
    daemon.ask("unhold")


def variables(place: Path, simulator: SimulatorProcess) -> dict[str, str]:
    return {
        "MONGO_URI": f"embedded:{place / 'database'}",
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "5",
        "WORKER_COUNT": "8",
        "LEASE_SECONDS": "20",
        "RETRY_DELAY_MINUTES": "0.3",
        "NO_ANSWER_RETRY_MINUTES": "0.4",
        "CALL_POLLING_INTERVAL": "0.2",
        "SPEECHAID_STATE_DIR": str(place / "state"),
    }


def drawing(prometheus: Prometheus) -> Iterator[str]:
    """The whole dashboard, as lines of SVG."""
    panels = dashboard()["panels"]
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {lines * LINE}"'
        ' font-family="sans-serif" font-size="11">'
    )
    yield '<rect width="100%" height="100%" fill="#111217"/>'
    for panel in panels:
        grid = panel["gridPos"]
        box = (grid["x"] * COLUMN + 3, grid["y"] * LINE + 3, grid["w"] * COLUMN - 6, grid["h"] * LINE - 6)
        if panel["type"] == "row":
            yield text(box[0] + 4, box[1] + 14, panel["title"], "#ffffff", 14)
            continue
        yield f'<rect x="{box[0]}" y="{box[1]}" width="{box[2]}" height="{box[3]}" rx="3" fill="#181b1f"/>'
        yield text(box[0] + 8, box[1] + 16, panel["title"], "#ccccdc", 12)
        found = list(answers(prometheus, panel))
        unit = panel["fieldConfig"]["defaults"]["unit"]
        yield from {"stat": stat, "bargauge": bars}.get(panel["type"], curves)(box, found, unit)
    yield "</svg>"


def answers(prometheus: Prometheus, panel: dict[str, Any]) -> Iterator[Series]:
    """The series of a panel: legend, and points of (Unix time, value in the panel's unit)."""
    scale = SCALES.get(panel["fieldConfig"]["defaults"]["unit"], 1.0)
    for target in panel["targets"]:
        expression = target["expr"]
        for variable, value in {
            "$job": "speechaid",
            "$instance": ".*",
            "$__rate_interval": "15s",
            "$__range": "3m",
        }.items():
            expression = expression.replace(variable, value)
        for row in prometheus.range_query(expression, SECONDS + 3):
            labels = row["metric"]
            legend = target["legendFormat"]
            for label, label_value in labels.items():
                legend = legend.replace(f"{{{{{label}}}}}", label_value)
            values = [(float(at), float(value) * scale) for at, value in row["values"] if value != "NaN"]
            if values:
                yield legend, values


Box = tuple[int, int, int, int]


def stat(box: Box, found: list[Series], unit: str) -> Iterator[str]:
    value = shown(found[0][1][-1][1], unit) if found else "no data"
    yield text(box[0] + box[2] // 2, box[1] + box[3] // 2 + 18, value, COLOURS[0], 34, anchor="middle")


def bars(box: Box, found: list[Series], unit: str) -> Iterator[str]:
    rows = sorted(((legend, values[-1][1]) for legend, values in found), key=lambda row: -row[1])[:9]
    most = max((value for _, value in rows), default=1.0) or 1.0
    height = min(16.0, (box[3] - 34) / max(1, len(rows)))
    for number, (legend, value) in enumerate(rows):
        y = box[1] + 28 + number * height
        width = (box[2] - 170) * value / most
        yield text(box[0] + 8, y + height - 4, legend, "#ccccdc", 10)
        yield rect(box[0] + 110, y + 1, width, height - 3, COLOURS[number % len(COLOURS)])
        yield text(box[0] + 116 + width, y + height - 4, shown(value, unit), "#ccccdc", 10)


def curves(box: Box, found: list[Series], unit: str) -> Iterator[str]:
    if not found:
        yield text(box[0] + box[2] // 2, box[1] + box[3] // 2, "none", "#6e7280", 12, anchor="middle")
        return
    top = max(value for _, values in found for _, value in values) or 1.0
    end = max(values[-1][0] for _, values in found)
    left, right, high, low = box[0] + 50, box[0] + box[2] - 8, box[1] + 26, box[1] + box[3] - 24
    pace = (right - left) / (SECONDS + 3)
    for share in (0.0, 0.5, 1.0):
        y = low - share * (low - high)
        yield f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="#2c3035"/>'
        yield text(left - 5, y + 4, shown(top * share, unit), "#8e8e99", 9, anchor="end")
    legend_x = float(left)
    for number, (legend, values) in enumerate(found):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(
            f"{right - (end - at) * pace:.1f},{low - value / top * (low - high):.1f}" for at, value in values
        )
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
        if legend_x + 6 * len(legend) + 16 < right:
            yield text(legend_x, box[1] + box[3] - 7, f"— {legend}", colour, 9.5)
            legend_x += 5.6 * len(legend) + 20


def shown(value: float, unit: str) -> str:
    return f"{value:.3g}{UNITS.get(unit, '')}" if value < 1000 else f"{value:,.0f}{UNITS.get(unit, '')}"


def text(x: float, y: float, words: str, colour: str, size: float, *, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(words)}</text>"


def rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


if __name__ == "__main__":
    main(Path(sys.argv[1]))
