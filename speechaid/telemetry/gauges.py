"""From the picture on the board to the samples of every gauge, and of what the supervisor itself counts."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from speechaid.rules.alerts import ALERTS
from speechaid.telemetry import logs
from speechaid.telemetry.metric_table import Increment
from speechaid.telemetry.snapshot import Snapshot

#: Workers in these states would take a job, if they had none.
FREE_STATES = frozenset({"idle", "claiming", "recovering"})


def samples(picture: Snapshot) -> Iterator[Increment]:
    """Each as (name, labels, value)."""
    yield from _fleet(picture)
    yield from _queue(picture.figures)
    yield from _outside(picture)
    yield from _daemon(picture)


def idle_workers(workers: list[Mapping[str, Any]]) -> int:
    """Workers that might take a job and have none in hand."""
    return sum(
        row["state"] in FREE_STATES and not row["job"] and not row["paused"] and not row["leaving"]
        for row in workers
    )


def missing_workers(supervisor: Mapping[str, Any]) -> int:
    """Workers that ought to run and do not."""
    if supervisor["state"] != "running":
        return 0
    return max(0, int(supervisor["wanted"]) - int(supervisor["present"]))


def holds(picture: Snapshot) -> dict[str, bool]:
    """Whether dialling is held, by scope."""
    figures = picture.figures
    return {
        "fleet": bool(figures.get("fleet_hold")),
        "host": bool(picture.supervisor["held"] or picture.supervisor["no_space"]),
        "key": bool(figures.get("key_held")),
    }


def database_up(figures: Mapping[str, Any]) -> bool:
    """Whether the database answered when it was asked last; no daemon starts without it."""
    return bool(figures.get("database", {}).get("state") != "away")


def _fleet(picture: Snapshot) -> Iterator[Increment]:
    supervisor, workers = picture.supervisor, picture.workers
    for state, count in Counter(str(row["state"]) for row in workers).items():
        yield "speechaid_workers", {"state": state}, count
    yield "speechaid_workers_wanted", {}, supervisor["wanted"]
    yield "speechaid_workers_present", {}, supervisor["present"]
    yield "speechaid_workers_missing", {}, missing_workers(supervisor)
    yield "speechaid_workers_idle", {}, idle_workers(list(workers))
    yield "speechaid_workers_crash_looping", {}, len(supervisor["crash_loops"])
    yield "speechaid_calls_in_progress", {}, sum(bool(row["call"]) for row in workers)
    yield "speechaid_zygote_restarts_total", {}, supervisor["zygote"]["restarts"]
    yield "speechaid_draining", {}, supervisor["draining"]


def _queue(figures: Mapping[str, Any]) -> Iterator[Increment]:
    """What the clerk counted; nothing before its first count, rather than a wrong 0."""
    if figures.get("counted_at") is None:
        return
    counted = datetime.fromisoformat(figures["counted_at"])
    yield "speechaid_counted_timestamp_seconds", {}, counted.timestamp()
    for status, jobs in figures.get("queue", {}).items():
        yield "speechaid_jobs", {"status": status}, jobs
    census = _queue_stats(figures)
    if not census:
        return
    yield "speechaid_jobs_due", {}, census["due"]
    yield "speechaid_jobs_callable", {}, census["callable"]
    yield "speechaid_oldest_due_age_seconds", {}, census["oldest_due_seconds"]
    yield "speechaid_jobs_lapsed", {}, census["lapsed"]
    yield "speechaid_oldest_lapsed_lease_seconds", {}, census["oldest_lapsed_seconds"]
    yield "speechaid_parked_calls", {}, census["parked"]
    for state, batches in census["batch_states"].items():
        yield "speechaid_batches", {"state": state}, batches
    yield "speechaid_batches_paused_unexpectedly", {}, census["paused_unexpectedly"]["count"]
    for row in census["accounts"]:
        labels = {"account": str(row["account_id"])}
        yield "speechaid_account_calls_left", labels, row["calls_left"]
        if "talk_left_seconds" in row:
            yield "speechaid_account_talk_left_seconds", labels, row["talk_left_seconds"]
        if "credit_left" in row:
            yield "speechaid_account_credit_left", labels, row["credit_left"]


def _outside(picture: Snapshot) -> Iterator[Increment]:
    for scope, held in holds(picture).items():
        yield "speechaid_dialling_held", {"scope": scope}, held
    yield "speechaid_database_up", {}, database_up(picture.figures)
    yield "speechaid_stalled_seconds", {}, picture.stalled_seconds
    if picture.concurrency is not None:
        yield "speechaid_retell_concurrency_used", {}, picture.concurrency.used
        yield "speechaid_retell_concurrency_limit", {}, picture.concurrency.limit


def _daemon(picture: Snapshot) -> Iterator[Increment]:
    for alert in ALERTS.values():
        labels = {"alert": alert.name, "severity": alert.severity.value}
        yield "speechaid_alert_active", labels, alert.name in picture.firing
    yield "speechaid_log_lines_dropped_total", {}, logs.dropped_lines()
    versions = {"version": picture.version, "python": platform.python_version()}
    yield "speechaid_build_info", versions, 1
    yield "speechaid_start_timestamp_seconds", {}, picture.started_at.timestamp()
    yield "speechaid_snapshot_timestamp_seconds", {}, picture.at.timestamp()


def _queue_stats(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    census: Mapping[str, Any] = figures.get("census") or {}
    return census
