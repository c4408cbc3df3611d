"""The Grafana dashboard, written from a table of panels: ``python -m tools.grafana_dashboard``.

Four rows for an operator's four questions: is it calling, how well, what waits, what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from speechaid.rules.alerts import UNRATED_OUTCOME

DASHBOARD_FILE: Final = Path(__file__).parents[1] / "speechaid" / "data" / "dashboard.json"

#: Selects the daemons that are chosen at the top of the dashboard.
_SELECTED: Final = 'job=~"$job", instance=~"$instance"'
_WIDTH: Final = 24
_HEIGHT: Final = 7
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, kw_only=True)
class Query:
    """One series, or one for each label value."""

    expr: str
    legend: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel of the dashboard."""

    title: str
    #: Its description, shown at the panel's info mark.
    text: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "short"
    #: In columns of the grid, which has 24.
    width: int = 8
    stacked: bool = False
    #: Value from which a stat is shown in red.
    red_from: float | None = None


def _sum(name: str, by: str = "", labels: str = "") -> str:
    grouped = f"sum by ({by}) " if by else "sum "
    return f"{grouped}({_named(name, labels)})"


def _rate(name: str, by: str = "", labels: str = "") -> str:
    grouped = f"sum by ({by}) " if by else "sum "
    return f"{grouped}(rate({_named(name, labels)}[$__rate_interval]))"


def _increase(name: str, by: str = "", labels: str = "") -> str:
    grouped = f"sum by ({by}) " if by else "sum "
    return f"round({grouped}(increase({_named(name, labels)}[$__range])))"


def _occurring(expression: str, by: str) -> str:
    """Only the label values that occurred in the shown time, with their zeros: stacks must have no gaps."""
    return f"{expression} and on ({by}) max_over_time(({expression})[$__range:]) > 0"


def _quantile(share: float, name: str, by: str = "le") -> str:
    return f"histogram_quantile({share}, sum by ({by}) (rate({_named(name + '_bucket')}[$__rate_interval])))"


def _max(name: str, by: str = "") -> str:
    """For facts about the database: every host exports the same value."""
    return f"max by ({by}) ({_named(name)})" if by else f"max ({_named(name)})"


def _named(name: str, labels: str = "") -> str:
    return f"{name}{{{_SELECTED}{', ' + labels if labels else ''}}}"


def _stat(title: str, text: str, expr: str, *, unit: str = "short", red_from: float | None = None) -> Panel:
    query = Query(expr=expr, legend=title)
    return Panel(title=title, text=text, queries=(query,), kind="stat", unit=unit, width=4, red_from=red_from)


_PER_MINUTE: Final = "cpm"
_ENDED: Final = "speechaid_calls_ended_total"
#: Temporary faults, such as Retell's limit of calls, say nothing about success.
_RATED: Final = f'outcome!="{UNRATED_OUTCOME}"'

ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Is it calling?": (
        _stat("Calls now", "Calls that workers follow.", _sum("speechaid_calls_in_progress")),
        _stat("Workers up", "Workers that run and report.", _sum("speechaid_workers_present")),
        _stat(
            "Workers missing",
            "Workers that should run and do not.",
            _sum("speechaid_workers_missing"),
            red_from=1,
        ),
        _stat(
            "Dialling held",
            "1 while an operator or the circuit breaker holds all dials.",
            _max("speechaid_dialling_held"),
            red_from=1,
        ),
        _stat("Database", "1 while it answers.", f"min ({_named('speechaid_database_up')})"),
        _stat(
            "Alerts",
            "Alerts that fire, as the daemons evaluate them.",
            _sum("speechaid_alert_active"),
            red_from=1,
        ),
        Panel(
            title="Calls placed and ended",
            text="Calls a minute; refused: dials that never became calls.",
            unit=_PER_MINUTE,
            queries=(
                Query(expr=f"60 * {_rate('speechaid_calls_placed_total')}", legend="placed"),
                Query(expr=f"60 * {_rate(_ENDED)}", legend="ended"),
                Query(expr=f"60 * {_rate('speechaid_dials_refused_total')}", legend="refused"),
            ),
        ),
        Panel(
            title="What workers do",
            text="Workers by state.",
            stacked=True,
            queries=(
                Query(expr=_occurring(_sum("speechaid_workers", "state"), "state"), legend="{{state}}"),
            ),
        ),
        Panel(
            title="Calls at once in Retell",
            text="The whole workspace, as Retell counts it, and its limit.",
            queries=(
                Query(expr=_max("speechaid_retell_concurrency_used"), legend="used"),
                Query(expr=_max("speechaid_retell_concurrency_limit"), legend="limit"),
            ),
        ),
    ),
    "How well?": (
        Panel(
            title="Success",
            text="Share of the calls that ended in the shown time and served their purpose.",
            kind="stat",
            unit="percentunit",
            width=4,
            queries=(
                Query(
                    expr=f"{_increase('speechaid_calls_succeeded_total')}"
                    f" / {_increase(_ENDED, labels=_RATED)}",
                    legend="success",
                ),
            ),
        ),
        Panel(
            title="Outcomes in the shown time",
            text="Calls by outcome.",
            kind="bargauge",
            width=8,
            queries=(Query(expr=f"{_increase(_ENDED, 'outcome')} > 0", legend="{{outcome}}"),),
        ),
        Panel(
            title="Outcomes",
            text="Calls a minute by outcome.",
            unit=_PER_MINUTE,
            stacked=True,
            width=12,
            queries=(
                Query(expr=_occurring(f"60 * {_rate(_ENDED, 'outcome')}", "outcome"), legend="{{outcome}}"),
            ),
        ),
        Panel(
            title="Talking time",
            text="Of calls that connected.",
            unit="s",
            width=6,
            queries=(
                Query(expr=_quantile(0.5, "speechaid_call_duration_seconds"), legend="median"),
                Query(expr=_quantile(0.95, "speechaid_call_duration_seconds"), legend="95 %"),
            ),
        ),
        Panel(
            title="From dial to answer",
            text="Of calls that connected.",
            unit="s",
            width=6,
            queries=(
                Query(expr=_quantile(0.5, "speechaid_dial_to_answer_seconds"), legend="median"),
                Query(expr=_quantile(0.95, "speechaid_dial_to_answer_seconds"), legend="95 %"),
            ),
        ),
        Panel(
            title="Tried again",
            text="Jobs a minute that go to their next phone, or wait for another attempt.",
            unit=_PER_MINUTE,
            width=6,
            queries=(
                Query(expr=f"60 * {_rate('speechaid_rotations_total')}", legend="next phone"),
                Query(
                    expr=_occurring(f"60 * {_rate('speechaid_retries_total', 'cause')}", "cause"),
                    legend="again after {{cause}}",
                ),
            ),
        ),
        Panel(
            title="Analyses of calls",
            text="Ended calls a minute whose analysis by Retell was added to their records, or did not come.",
            unit=_PER_MINUTE,
            width=6,
            queries=(
                Query(
                    expr=_occurring(f"60 * {_rate('speechaid_analyses_total', 'result')}", "result"),
                    legend="{{result}}",
                ),
            ),
        ),
    ),
    "What waits?": (
        _stat("Due now", "Pending jobs whose time has come.", _max("speechaid_jobs_due")),
        _stat("May be called", "Due jobs that nothing forbids.", _max("speechaid_jobs_callable")),
        _stat(
            "Waiting for",
            "How long the oldest due job that may be called has waited.",
            _max("speechaid_oldest_due_age_seconds"),
            unit="s",
        ),
        Panel(
            title="Jobs by status",
            text="As last counted in the database.",
            width=12,
            queries=(
                Query(expr=_occurring(_max("speechaid_jobs", "status"), "status"), legend="{{status}}"),
            ),
        ),
        Panel(
            title="Batches",
            text="Batches by state.",
            stacked=True,
            queries=(
                Query(expr=_occurring(_max("speechaid_batches", "state"), "state"), legend="{{state}}"),
            ),
        ),
        Panel(
            title="Calls left by account",
            text="Calls that the balance pays for, for the accounts with the least left.",
            queries=(Query(expr=_max("speechaid_account_calls_left", "account"), legend="{{account}}"),),
        ),
        Panel(
            title="Claims",
            text="Time that a worker needed to claim a job.",
            unit="s",
            queries=(
                Query(expr=_quantile(0.5, "speechaid_claim_duration_seconds"), legend="median"),
                Query(expr=_quantile(0.95, "speechaid_claim_duration_seconds"), legend="95 %"),
            ),
        ),
    ),
    "What is wrong?": (
        Panel(
            title="Alerts that fire",
            text="As the daemons evaluate them; docs/alerts.md says what to do.",
            width=12,
            queries=(
                Query(
                    expr=_occurring(f"max by (alert) ({_named('speechaid_alert_active')})", "alert"),
                    legend="{{alert}}",
                ),
            ),
        ),
        Panel(
            title="Workers replaced",
            text="Workers that ended and were replaced, by cause.",
            kind="bargauge",
            width=12,
            queries=(Query(expr=_increase("speechaid_worker_restarts_total", "cause"), legend="{{cause}}"),),
        ),
        Panel(
            title="Retell's answers",
            text="Requests a minute, by endpoint and HTTP status or kind of fault.",
            unit=_PER_MINUTE,
            queries=(
                Query(
                    expr=_occurring(
                        f"60 * {_rate('speechaid_retell_requests_total', 'endpoint, code')}", "endpoint, code"
                    ),
                    legend="{{endpoint}} {{code}}",
                ),
            ),
        ),
        Panel(
            title="Retell's latency",
            text="95 % of the requests took no longer.",
            unit="s",
            queries=(
                Query(
                    expr=_quantile(0.95, "speechaid_retell_request_duration_seconds", "le, endpoint"),
                    legend="{{endpoint}}",
                ),
            ),
        ),
        Panel(
            title="Recoveries",
            text="Jobs of dead workers by how they were recovered, and leases that were lost.",
            queries=(
                Query(expr=_increase("speechaid_recoveries_total", "how"), legend="{{how}}"),
                Query(expr=_increase("speechaid_lease_losses_total"), legend="lease lost"),
            ),
        ),
        Panel(
            title="Requeued undialled",
            text="Claimed jobs a minute that the preflight forbade, by reason.",
            unit=_PER_MINUTE,
            queries=(
                Query(
                    expr=_occurring(f"60 * {_rate('speechaid_put_back_total', 'reason')}", "reason"),
                    legend="{{reason}}",
                ),
            ),
        ),
        Panel(
            title="Database faults",
            text="Failed database operations a minute, by step.",
            unit=_PER_MINUTE,
            queries=(
                Query(expr=f"60 * {_rate('speechaid_database_faults_total', 'step')}", legend="{{step}}"),
            ),
        ),
        Panel(
            title="Supervisor's memory",
            text="Resident memory of the supervising process.",
            unit="bytes",
            queries=(Query(expr=_max("process_resident_memory_bytes", "instance"), legend="{{instance}}"),),
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """The whole dashboard as Grafana imports it."""
    return {
        "title": "speechaid",
        "uid": "speechaid",
        "tags": ["speechaid"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_data_source(), _choice("job"), _choice("instance")]},
        "annotations": {"list": []},
        "panels": list(_panels()),
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _choice(label: str) -> dict[str, Any]:
    chosen = 'speechaid_build_info{job=~"$job"}' if label == "instance" else "speechaid_build_info"
    return {
        "name": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": f"label_values({chosen}, {label})", "refId": label},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, panels in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1},
        }
        top, left = top + 1, 0
        for panel in panels:
            if left + panel.width > _WIDTH:
                top, left = top + _HEIGHT, 0
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": _HEIGHT})
            left += panel.width
        top += _HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    instant = panel.kind != "timeseries"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "expr": query.expr,
                "legendFormat": query.legend,
                "datasource": _SOURCE,
                "instant": instant,
                "range": not instant,
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.unit, "min": 0}
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    field["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.kind == "timeseries":
        field["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
    return field


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "bargauge":
        return {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic"}
    return {"reduceOptions": reduced, "colorMode": "value", "graphMode": "none"}


def dashboard_text() -> str:
    """The text of the shipped file."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    DASHBOARD_FILE.write_text(dashboard_text(), encoding="utf-8")
