"""The alert monitor: one status a second in, alerts out; the test moves the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.fleet.messages import Counts, count_key
from speechaid.monitoring.alerts import AlertMonitor
from speechaid.settings import get_settings
from speechaid.telemetry.snapshot import SnapshotHolder
from speechctl.render.alerts import summary_of

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
WORKER = {"slot": "worker-1", "state": "idle", "job": None, "call": None, "paused": False, "leaving": False}


class ManualClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1000.0)

    def boottime(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        raise AssertionError


def supervisor(**fields: Any) -> dict[str, Any]:
    return {
        "host": "host-a",
        "started_at": START.isoformat(),
        "state": "running",
        "wanted": 2,
        "present": 2,
        "draining": False,
        "held": False,
        "no_space": None,
        "overloaded": None,
        "database_probe_seconds": 0.004,
        "crash_loops": [],
        "zygote": {"restarts": 0},
        "follower": {"covered": 0, "unusable": False, "restarts": 0},
        **fields,
    }


def queue_stats(**fields: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"count": 0, "named": []}
    return {
        "due": 0,
        "callable": 0,
        "ready": 0,
        "oldest_due_seconds": 0.0,
        "lapsed": 0,
        "oldest_lapsed_seconds": 0.0,
        "parked": 0,
        "batch_states": {},
        "paused_unexpectedly": nothing,
        "not_understood": nothing,
        "accounts": [],
        **fields,
    }


class Watch:
    """An alert monitor and its input."""

    def __init__(self, environ: dict[str, str], **changes: str) -> None:
        self.environ = environ
        self.clock = ManualClock()
        self.holder = SnapshotHolder(self.clock)
        self.alert_monitor = AlertMonitor(
            self.settings(**changes), holder=self.holder, webhook=None, clock=self.clock
        )
        self.counts: Counts = {}
        self.supervisor = supervisor()
        self.queue_stats = queue_stats()
        self.stats: dict[str, Any] = {"database": {"state": "up"}, "counted_at": START.isoformat()}

    def settings(self, **changes: str) -> Any:
        return get_settings(self.environ | changes, env_file=None)

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        key = count_key(name, labels)
        self.counts[key] = self.counts.get(key, 0) + value

    def passes(self, seconds: int) -> set[str]:
        """Update once a second; return the alerts that fire in the end."""
        for _ in range(seconds):
            self.clock.seconds += 1
            status = {
                **self.stats,
                "supervisor": self.supervisor,
                "workers": [WORKER, WORKER],
                "census": self.queue_stats,
            }
            self.alert_monitor.update(status, dict(self.counts), None, self.clock.seconds)
        return {row["alert"] for row in self.alert_monitor.firing()}


@pytest.fixture
def watch(environ: dict[str, str]) -> Watch:
    return Watch(environ)


def test_without_faults_nothing_fires_and_a_snapshot_is_published(watch: Watch) -> None:
    assert watch.passes(5) == set()
    snapshot = watch.holder.latest()
    assert snapshot is not None
    assert (snapshot.boottime, snapshot.firing) == (watch.clock.seconds, frozenset())


def test_a_backlog_fires_after_five_minutes_and_the_snapshot_shows_it(watch: Watch) -> None:
    watch.passes(1)
    watch.queue_stats = queue_stats(callable=150)
    assert watch.passes(300) == set()
    assert watch.passes(1) == {"PendingBacklog"}
    (row,) = watch.alert_monitor.firing()
    assert "150 jobs" in row["summary"]
    assert row["since"] == watch.clock.now().isoformat()
    snapshot = watch.holder.latest()
    assert snapshot is not None
    assert snapshot.firing == {"PendingBacklog"}
    watch.queue_stats = queue_stats(callable=2)
    assert watch.passes(59) == {"PendingBacklog"}
    assert watch.passes(2) == set()


def test_firing_and_resolved_alerts_are_logged(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "speechaid"):
        watch.supervisor = supervisor(crash_loops=["worker-2"])
        watch.passes(3)
        watch.supervisor = supervisor()
        watch.passes(130)
    logged = [(record.levelname, record.msg % record.args) for record in caplog.records]
    assert logged == [("WARNING", "alert.firing"), ("INFO", "alert.resolved")]


def test_the_success_rate_counts_the_calls_of_the_last_half_hour(watch: Watch) -> None:
    watch.passes(1)
    watch.count("speechaid_calls_ended_total", 10, outcome="no_answer")
    watch.count("speechaid_calls_ended_total", 30, outcome="temporary")
    assert watch.passes(120) == set()
    watch.count("speechaid_calls_ended_total", 10, outcome="failed")
    watch.count("speechaid_calls_succeeded_total", 3)
    assert watch.passes(62) == {"LowSuccessRate"}
    assert watch.passes(1200) == {"LowSuccessRate"}
    assert watch.passes(900) == set()


def test_a_hung_worker_fires_for_a_quarter_of_an_hour(watch: Watch) -> None:
    watch.passes(1)
    watch.count("speechaid_worker_restarts_total", cause="killed")
    assert watch.passes(5) == set()
    watch.count("speechaid_worker_restarts_total", cause="hung")
    assert watch.passes(1) == {"WorkerHung"}
    assert watch.passes(850) == {"WorkerHung"}
    assert watch.passes(100) == set()


def test_holds_are_named_with_who_and_why(watch: Watch) -> None:
    watch.queue_stats = queue_stats(ready=2)
    watch.supervisor = supervisor(held=True)
    assert watch.passes(1) == {"DiallingHeld"}
    assert watch.alert_monitor.firing()[0]["summary"] == "held on this host by an operator; 2 jobs wait"
    watch.stats["fleet_hold"] = {"by": "maria", "reason": "complaints", "at": None}
    watch.stats |= {"key_held": True, "key_reason": "401 from Retell"}
    watch.passes(1)
    summary = watch.alert_monitor.firing()[0]["summary"]
    sentences = ("held on all hosts by maria: complaints", "the circuit breaker is open: 401 from Retell")
    assert summary == "; ".join((*sentences, "2 jobs wait"))


def test_held_dialling_is_no_alert_while_nothing_is_due(watch: Watch) -> None:
    watch.supervisor = supervisor(held=True)
    watch.stats |= {"key_held": True, "key_reason": "429 from Retell"}
    assert watch.passes(100) == set()
    watch.queue_stats = queue_stats(ready=1)
    assert watch.passes(1) == {"DiallingHeld"}


def test_refused_dials_fire_though_no_call_has_ended(watch: Watch) -> None:
    watch.passes(1)
    watch.count("speechaid_dials_refused_total", 9, outcome="temporary")
    assert watch.passes(2) == set()
    watch.count("speechaid_dials_refused_total", 5, outcome="invalid_number")
    assert watch.passes(1) == {"DialsRefused"}
    counts = {"calls_ended": 0, "calls_succeeded": 0, "dials_refused": 5}
    assert watch.alert_monitor.recent_counts() == {"minutes": 30, **counts}


def test_an_alert_whose_cause_is_gone_says_when_it_clears(watch: Watch) -> None:
    watch.queue_stats = queue_stats(ready=2)
    watch.supervisor = supervisor(held=True)
    watch.passes(1)
    (row,) = watch.alert_monitor.firing()
    assert row["clears_in_seconds"] is None
    watch.supervisor = supervisor()
    watch.passes(6)
    (row,) = watch.alert_monitor.firing()
    assert row["clears_in_seconds"] == 25
    held = "held on this host by an operator; 2 jobs wait"
    assert summary_of(row) == f"the cause is gone; clears in 25s unless it returns (it was: {held})"
    watch.supervisor = supervisor(held=True)
    watch.passes(1)
    (row,) = watch.alert_monitor.firing()
    assert summary_of(row) == held


def test_no_call_finished_counts_only_time_in_which_jobs_were_callable(environ: dict[str, str]) -> None:
    watch = Watch(environ, SPEECHAID_ALERT_STALLED_MINUTES="1")
    assert watch.passes(100) == set()  # no job is callable
    watch.queue_stats = queue_stats(callable=1)
    assert watch.passes(60) == set()
    assert watch.passes(2) == {"NoCallFinished"}
    watch.count("speechaid_calls_ended_total", outcome="busy")
    assert watch.passes(1) == set()
    watch.passes(50)
    watch.supervisor = supervisor(draining=True)
    watch.passes(1)
    watch.supervisor = supervisor()
    assert watch.passes(50) == set()  # the time starts again after a drain


def test_while_the_database_is_away_only_that_alert_fires(environ: dict[str, str]) -> None:
    watch = Watch(environ, SPEECHAID_ALERT_STALLED_MINUTES="1")
    watch.queue_stats = queue_stats(callable=500)
    watch.stats["database"] = {"state": "away"}
    assert watch.passes(1000) == {"DatabaseAway"}


def test_workers_that_stop_with_the_daemon_are_not_missing(watch: Watch) -> None:
    watch.supervisor = supervisor(present=1)
    assert watch.passes(62) == {"WorkersMissing"}
    watch.supervisor = supervisor(state="stopping", present=0)
    assert watch.passes(1) == set()


def test_critical_alerts_come_first(watch: Watch) -> None:
    watch.queue_stats = queue_stats(parked=1)
    watch.passes(1)
    watch.supervisor = supervisor(crash_loops=["worker-1"])
    watch.passes(1)
    assert [row["alert"] for row in watch.alert_monitor.firing()] == ["WorkersCrashLooping", "ParkedCalls"]


def test_a_reload_changes_the_thresholds(watch: Watch) -> None:
    watch.queue_stats = queue_stats(accounts=[{"account_id": "acc-1", "calls_left": 30.0}])
    assert watch.passes(62) == set()
    watch.alert_monitor.apply_settings(watch.settings(SPEECHAID_ALERT_CALLS_LEFT="40"))
    assert watch.passes(62) == {"AccountNearlyOutOfCredit"}


def test_polls_that_retell_refuses_are_reported_until_five_minutes_after_the_last(watch: Watch) -> None:
    watch.count("speechaid_retell_requests_total", 3, endpoint="get-call", code="401")
    watch.passes(1)
    watch.count("speechaid_retell_requests_total", endpoint="get-call", code="200")
    watch.count("speechaid_retell_requests_total", endpoint="get-call", code="500")
    watch.count("speechaid_retell_requests_total", endpoint="create-phone-call", code="401")
    assert watch.passes(1) == set()
    watch.count("speechaid_retell_requests_total", endpoint="get-call", code="403")
    assert watch.passes(1) == {"PollsRefused"}
    assert watch.passes(290) == {"PollsRefused"}
    assert watch.passes(75) == set()
