"""Turn a snapshot into the samples of every gauge, and of the supervisor's own counters."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from speechaid.model.reading import as_printable
from speechaid.rules.alerts import ALERTS
from speechaid.telemetry import logs
from speechaid.telemetry.metric_table import Increment
from speechaid.telemetry.snapshot import Snapshot

#: Workers in these states would claim a job, if they had none.
FREE_STATES = frozenset({"idle", "claiming", "recovering"})


def samples(snapshot: Snapshot) -> Iterator[Increment]:
    """Yield each sample as (name, labels, value)."""
    yield from _fleet(snapshot)
    yield from _queue(snapshot.stats)
    yield from _outside(snapshot)
    yield from _daemon(snapshot)


def idle_workers(workers: list[Mapping[str, Any]]) -> int:
    """Count workers that could claim a job and have none."""
    return sum(
        row["state"] in FREE_STATES and not row["job"] and not row["paused"] and not row["leaving"]
        for row in workers
    )


def missing_workers(supervisor: Mapping[str, Any]) -> int:
    """Count workers that should run and do not; 0 while the daemon stops."""
    if supervisor["state"] != "running":
        return 0
    return max(0, int(supervisor["wanted"]) - int(supervisor["present"]))


def holds(snapshot: Snapshot) -> dict[str, bool]:
    """Whether dialling is held, by scope."""
    stats = snapshot.stats
    return {
        "fleet": bool(stats.get("fleet_hold")),
        "host": bool(snapshot.supervisor["held"] or snapshot.supervisor["no_space"] or stats.get("too_old")),
        "key": bool(stats.get("key_held")),
    }


def database_up(stats: Mapping[str, Any]) -> bool:
    """Whether the database answered the last query; the daemon does not start without it."""
    return bool(stats.get("database", {}).get("state") != "away")


def _fleet(snapshot: Snapshot) -> Iterator[Increment]:
    supervisor, workers = snapshot.supervisor, snapshot.workers
    for state, count in Counter(str(row["state"]) for row in workers).items():
        yield "speechaid_workers", {"state": state}, count
    steps = Counter(step for row in workers for step in row.get("failing", {}))
    for step, count in (*steps.items(), *((task, 1) for task in snapshot.stats.get("failing", {}))):
        yield "speechaid_steps_failing", {"step": step}, count
    yield "speechaid_workers_wanted", {}, supervisor["wanted"]
    yield "speechaid_workers_present", {}, supervisor["present"]
    yield "speechaid_workers_missing", {}, missing_workers(supervisor)
    yield "speechaid_workers_idle", {}, idle_workers(list(workers))
    yield "speechaid_workers_crash_looping", {}, len(supervisor["crash_loops"])
    yield "speechaid_calls_in_progress", {}, sum(bool(row["call"]) for row in workers)
    follower = supervisor["follower"]
    yield "speechaid_calls_covered", {}, follower["covered"]
    yield "speechaid_call_list_unusable", {}, follower["unusable"]
    yield "speechaid_follower_restarts_total", {}, follower["restarts"]
    yield "speechaid_zygote_restarts_total", {}, supervisor["zygote"]["restarts"]
    yield "speechaid_draining", {}, supervisor["draining"]
    yield "speechaid_overloaded", {}, supervisor["overloaded"] is not None


def _queue(stats: Mapping[str, Any]) -> Iterator[Increment]:
    """The database thread's counts; nothing before the first count, rather than a wrong 0."""
    if stats.get("counted_at") is None:
        return
    counted = datetime.fromisoformat(stats["counted_at"])
    yield "speechaid_counted_timestamp_seconds", {}, counted.timestamp()
    for status, jobs in stats.get("queue", {}).items():
        yield "speechaid_jobs", {"status": status}, jobs
    yield "speechaid_documents_unreadable", {}, stats.get("unreadable", {"count": 0})["count"]
    queue_stats = _queue_stats(stats)
    if not queue_stats:
        return
    yield "speechaid_jobs_due", {}, queue_stats["due"]
    yield "speechaid_jobs_callable", {}, queue_stats["callable"]
    yield "speechaid_jobs_ready", {}, queue_stats["ready"]
    yield "speechaid_oldest_due_age_seconds", {}, queue_stats["oldest_due_seconds"]
    yield "speechaid_jobs_lapsed", {}, queue_stats["lapsed"]
    yield "speechaid_oldest_lapsed_lease_seconds", {}, queue_stats["oldest_lapsed_seconds"]
    yield "speechaid_parked_calls", {}, queue_stats["parked"]
    for state, batches in queue_stats["batch_states"].items():
        yield "speechaid_batches", {"state": state}, batches
    yield "speechaid_batches_paused_unexpectedly", {}, queue_stats["paused_unexpectedly"]["count"]
    for row in queue_stats["accounts"]:
        labels = {"account": as_printable(row["account_id"])}
        yield "speechaid_account_calls_left", labels, row["calls_left"]
        if "talk_left_seconds" in row:
            yield "speechaid_account_talk_left_seconds", labels, row["talk_left_seconds"]
        if "credit_left" in row:
            yield "speechaid_account_credit_left", labels, row["credit_left"]


def _outside(snapshot: Snapshot) -> Iterator[Increment]:
    for scope, held in holds(snapshot).items():
        yield "speechaid_dialling_held", {"scope": scope}, held
    yield "speechaid_database_up", {}, database_up(snapshot.stats)
    yield "speechaid_database_probe_seconds", {}, snapshot.supervisor["database_probe_seconds"]
    yield "speechaid_stalled_seconds", {}, snapshot.stalled_seconds
    if snapshot.concurrency is not None:
        yield "speechaid_retell_concurrency_used", {}, snapshot.concurrency.used
        yield "speechaid_retell_concurrency_limit", {}, snapshot.concurrency.limit


def _daemon(snapshot: Snapshot) -> Iterator[Increment]:
    for alert in ALERTS.values():
        labels = {"alert": alert.name, "severity": alert.severity.value}
        yield "speechaid_alert_active", labels, alert.name in snapshot.firing
    yield "speechaid_log_lines_dropped_total", {}, logs.dropped_lines()
    versions = {"version": snapshot.version, "python": platform.python_version()}
    yield "speechaid_build_info", versions, 1
    yield "speechaid_start_timestamp_seconds", {}, snapshot.started_at.timestamp()
    yield "speechaid_snapshot_timestamp_seconds", {}, snapshot.at.timestamp()


def _queue_stats(stats: Mapping[str, Any]) -> Mapping[str, Any]:
    queue_stats: Mapping[str, Any] = stats.get("census") or {}
    return queue_stats
