"""Metrics: one table of declarations, and the page that Prometheus scrapes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from speechaid.fleet.messages import count_key
from speechaid.fleet.slots import SlotState
from speechaid.model.states import JobStatus, Outcome, WorkerState
from speechaid.model.verdict import AccountCharge, Verdict
from speechaid.rules.alerts import ALERTS
from speechaid.telemetry import call_metrics
from speechaid.telemetry.metric_table import DECLARED, METRICS, WORKER_STATES, Kind, observation
from speechaid.telemetry.metrics import Exposition, undeclared
from speechaid.telemetry.snapshot import STALE_SECONDS, ConcurrencyReading, Snapshot, SnapshotHolder
from tools.metrics_page import TABLE_BEGINS, metrics_table

ROOT = Path(__file__).parents[3]
AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
#: Labels that would grow without bound.
UNBOUNDED = {"phone", "number", "job", "job_id", "call", "call_id", "batch", "batch_id", "worker", "pid"}
#: Functions whose first argument names a metric.
COUNTING = {"count", "observe", "observation", "count_key"}


class StillClock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return AT

    def boottime(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        raise AssertionError


def worker(state: str = "idle", **fields: Any) -> dict[str, Any]:
    return {"state": state, "job": None, "call": None, "paused": False, "leaving": False, **fields}


SUPERVISOR = {
    "state": "running",
    "wanted": 3,
    "present": 3,
    "draining": False,
    "held": False,
    "no_space": None,
    "overloaded": None,
    "database_probe_seconds": 0.004,
    "crash_loops": [],
    "zygote": {"restarts": 1},
    "follower": {"covered": 2, "unusable": False, "restarts": 3},
}
QUEUE_STATS = {
    "due": 9,
    "callable": 7,
    "ready": 7,
    "oldest_due_seconds": 12.5,
    "lapsed": 1,
    "oldest_lapsed_seconds": 3.0,
    "parked": 2,
    "batch_states": {"dialling": 1, "paused": 2},
    "paused_unexpectedly": {"count": 1, "named": ["b"]},
    "not_understood": {"count": 0, "named": []},
    "accounts": [
        {"account_id": "acc-1", "calls_left": 4.0, "talk_left_seconds": 720.0},
        {"account_id": "acc-2", "calls_left": 8.0, "credit_left": 31.5},
    ],
}
STATS = {
    "database": {"state": "up"},
    "queue": {"pending": 9, "done": 4},
    "counted_at": AT.isoformat(),
    "fleet_hold": None,
    "key_held": True,
    "census": QUEUE_STATS,
}


def snapshot(counts: list[tuple[str, dict[str, str], float]] | None = None, **fields: Any) -> Snapshot:
    standard: dict[str, Any] = {
        "at": AT,
        "boottime": 100.0,
        "started_at": AT,
        "version": "1.2.3",
        "supervisor": SUPERVISOR,
        "workers": [worker(), worker("following", job="j", call="c"), worker("paused", paused=True)],
        "counts": {count_key(name, labels): value for name, labels, value in counts or []},
        "stats": STATS,
        "concurrency": ConcurrencyReading(used=3, limit=20, at=0.0),
        "firing": frozenset({"DatabaseAway"}),
    }
    return Snapshot(**{**standard, **fields})


def holding(published: Snapshot | None) -> SnapshotHolder:
    holder = SnapshotHolder(StillClock())
    if published is not None:
        holder.publish(published)
    return holder


def scraped(published: Snapshot) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    page, _ = Exposition(holding(published)).page("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in plain(page.decode())
        for sample in family.samples
        if sample.name.startswith("speechaid_")
    }


def value(found: dict[Any, float], name: str, /, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


# -- the table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DECLARED)
def test_a_metric_follows_the_conventions(name: str) -> None:
    metric = DECLARED[name]
    assert re.fullmatch(r"speechaid_[a-z][a-z_]*[a-z]", name)
    assert name.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert bool(metric.buckets) is (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.help.endswith(".")
    assert not UNBOUNDED & set(metric.labels)
    assert not metric.values or len(metric.labels) == 1
    assert not re.search(r"_(ms|minutes|hours|milliseconds)(_|$)", name)


def test_no_metric_has_the_name_of_another_metric_s_sample() -> None:
    for metric in DECLARED.values():
        for other in DECLARED.values():
            stem = other.name.removesuffix("_total")
            suffixes = ("_sum", "_count", "_bucket") if other.kind is Kind.HISTOGRAM else ("", "_total")
            assert metric is other or metric.name not in {stem + suffix for suffix in suffixes}


def test_every_state_of_a_worker_has_its_series() -> None:
    states = (set(SlotState) - {SlotState.RUNNING}) | set(WorkerState)
    assert set(WORKER_STATES) == {str(state) for state in states}


def counted_in_the_code() -> Iterator[tuple[str, str, set[str] | None]]:
    """Each metric that the code counts or observes under a literal name: place, name, labels."""
    for file in sorted((ROOT / "speechaid").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0] if node.args else None
            name = str(first.value) if isinstance(first, ast.Constant) else ""
            if called in COUNTING and name.startswith("speechaid_"):
                place = f"{file.relative_to(ROOT)}:{node.lineno}"
                named = {str(keyword.arg) for keyword in node.keywords}
                yield place, name, None if called == "count_key" else named


def test_the_code_counts_only_declared_metrics_with_their_labels() -> None:
    found = list(counted_in_the_code())
    assert len(found) > 15
    for place, name, labels in found:
        assert name in DECLARED, f"{place}: {name} is not declared"
        assert labels is None or labels == set(DECLARED[name].labels), f"{place}: {name} {labels}"


def test_every_counter_and_histogram_is_counted_somewhere() -> None:
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "speechaid").rglob("*.py")]
    for metric in DECLARED.values():
        mentions = sum(f'"{metric.name}"' in text for text in texts)
        assert mentions >= 2, f"{metric.name} is declared and never counted"


def test_the_page_in_the_docs_matches_the_declarations() -> None:
    _, _, table = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").partition(TABLE_BEGINS)
    assert table == metrics_table(), "run: python -m tools.metrics_page"


# -- the page ----------------------------------------------------------------------------------------------


def test_sums_and_gauges_are_exposed_under_their_names() -> None:
    counts = [
        ("speechaid_calls_placed_total", {}, 5.0),
        ("speechaid_calls_ended_total", {"outcome": "busy"}, 2.0),
        ("speechaid_retell_requests_total", {"endpoint": "get-call", "code": "200"}, 40.0),
    ]
    found = scraped(snapshot(counts, stalled_seconds=6.5))
    assert value(found, "speechaid_calls_placed_total") == 5
    assert value(found, "speechaid_calls_ended_total", outcome="busy") == 2
    assert value(found, "speechaid_retell_requests_total", endpoint="get-call", code="200") == 40
    assert value(found, "speechaid_workers", state="following") == 1
    assert value(found, "speechaid_workers_idle") == 1
    assert value(found, "speechaid_calls_in_progress") == 1
    assert value(found, "speechaid_jobs", status="pending") == 9
    assert value(found, "speechaid_jobs_callable") == 7
    assert value(found, "speechaid_batches", state="paused") == 2
    assert value(found, "speechaid_account_talk_left_seconds", account="acc-1") == 720
    assert value(found, "speechaid_account_credit_left", account="acc-2") == 31.5
    assert value(found, "speechaid_dialling_held", scope="key") == 1
    assert value(found, "speechaid_dialling_held", scope="fleet") == 0
    assert value(found, "speechaid_retell_concurrency_limit") == 20
    assert value(found, "speechaid_stalled_seconds") == 6.5
    assert value(found, "speechaid_alert_active", alert="DatabaseAway", severity="critical") == 1
    assert value(found, "speechaid_alert_active", alert="StuckJobs", severity="warning") == 0
    assert value(found, "speechaid_zygote_restarts_total") == 1
    assert value(found, "speechaid_follower_restarts_total") == 3
    assert value(found, "speechaid_calls_covered") == 2
    assert value(found, "speechaid_call_list_unusable") == 0


def test_declared_series_are_0_from_the_start() -> None:
    found = scraped(snapshot())
    assert value(found, "speechaid_calls_placed_total") == 0
    assert all(value(found, "speechaid_calls_ended_total", outcome=outcome) == 0 for outcome in Outcome)
    assert value(found, "speechaid_worker_restarts_total", cause="hung") == 0
    assert value(found, "speechaid_call_duration_seconds_count") == 0
    assert value(found, "speechaid_workers", state="hung") == 0
    assert all(value(found, "speechaid_jobs", status=status) >= 0 for status in JobStatus)
    alerts = {dict(labels)["alert"] for name, labels in found if name == "speechaid_alert_active"}
    assert alerts == ALERTS.keys()


def test_gauges_of_the_database_are_absent_before_the_first_count() -> None:
    found = scraped(snapshot(stats={"database": {"state": "unknown"}}, concurrency=None))
    names = {name for name, _ in found}
    assert not {"speechaid_jobs_due", "speechaid_jobs_callable", "speechaid_retell_concurrency_used"} & names
    assert value(found, "speechaid_database_up") == 1


def test_observations_of_many_workers_form_one_cumulative_histogram() -> None:
    counts: dict[Any, float] = {}
    for seconds in (0.001, 0.01, 0.02, 3.0, 99.0):
        for name, labels, by in observation("speechaid_claim_duration_seconds", seconds):
            key = count_key(name, labels)
            counts[key] = counts.get(key, 0.0) + by
    found = scraped(Snapshot(**{**vars(snapshot()), "counts": counts}))
    expected = {"0.005": 1, "0.01": 2, "0.025": 3, "2.5": 3, "5.0": 4, "10.0": 4, "+Inf": 5}
    for bound, total in expected.items():
        assert value(found, "speechaid_claim_duration_seconds_bucket", le=bound) == total
    assert value(found, "speechaid_claim_duration_seconds_count") == 5
    assert value(found, "speechaid_claim_duration_seconds_sum") == pytest.approx(102.031)


def test_undeclared_increments_are_left_out_and_reported() -> None:
    wrong = [
        ("speechaid_made_up_total", {}, 1.0),
        ("speechaid_calls_ended_total", {"job": "j-1"}, 1.0),
        ("speechaid_calls_placed_total", {"outcome": "busy"}, 1.0),
    ]
    assert len(undeclared(wrong)) == 3
    assert scraped(snapshot(wrong)) == scraped(snapshot())


def test_the_page_parses_in_both_formats_of_prometheus() -> None:
    exposition = Exposition(holding(snapshot()))
    page, content_type = exposition.page("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = {family.name for family in openmetrics(page.decode())}  # type: ignore[no-untyped-call]
    page, content_type = exposition.page("")
    assert content_type.startswith("text/plain")
    assert families >= {name.removesuffix("_total") for name in METRICS}


def test_before_the_first_snapshot_the_page_is_empty_and_health_fails() -> None:
    bare = holding(None)
    page, _ = Exposition(bare).page("")
    assert b"speechaid_" not in page
    assert bare.unhealthy()
    assert bare.not_ready()


# -- health ------------------------------------------------------------------------------------------------


def test_a_hanging_loop_is_unhealthy() -> None:
    clock = StillClock()
    holder = SnapshotHolder(clock)
    holder.publish(snapshot())
    assert holder.unhealthy() == []
    clock.seconds += STALE_SECONDS + 1
    assert "has not run" in holder.unhealthy()[0]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"supervisor": {**SUPERVISOR, "state": "stopping"}}, "the daemon is stopping"),
        ({"supervisor": {**SUPERVISOR, "present": 0}}, "no worker is up"),
        ({"supervisor": {**SUPERVISOR, "draining": True}}, "the host is draining"),
        ({"stats": {**STATS, "database": {"state": "away"}}}, "the database is away"),
    ],
)
def test_readiness_gives_the_reason_why_no_job_would_be_dialled(fields: dict[str, Any], reason: str) -> None:
    assert holding(snapshot()).not_ready() == []
    assert holding(snapshot(**fields)).not_ready() == [reason]


# -- the increments of one call ------------------------------------------------------------------------------


def verdict(outcome: Outcome, cause: str, status: JobStatus, result: dict[str, Any] | None) -> Verdict:
    return Verdict(outcome=outcome, cause=cause, status=status, job={}, result=result, charge=AccountCharge())


TALKED = {"connected": True, "duration_ms": 30_500}
RANG = {"connected": False, "duration_ms": 0}
ENDED = {"next_steps", "calls_ended", "agent_calls_ended"}
DURATION = {"call_duration_seconds", "call_duration_seconds_sum"}
COUNTED = [
    (
        verdict(Outcome.ANSWERED, "served", JobStatus.DONE, TALKED),
        {*ENDED, *DURATION, "calls_succeeded"},
    ),
    (verdict(Outcome.BUSY, "rotated", JobStatus.PENDING, RANG), {*ENDED, "rotations"}),
    (verdict(Outcome.BUSY, "retry", JobStatus.PENDING, RANG), {*ENDED, "retries"}),
    (verdict(Outcome.BUSY, "exhausted", JobStatus.FAILED, RANG), ENDED),
    (
        verdict(Outcome.BLOCKED, "blocked", JobStatus.PENDING, None),
        {"next_steps", "dials_refused", "retries"},
    ),
]


@pytest.mark.parametrize(("decided", "names"), COUNTED)
def test_a_settled_call_is_counted_by_its_outcome(decided: Verdict, names: set[str]) -> None:
    once, increments = call_metrics.settled("key-1", decided)
    counted = {name.removeprefix("speechaid_").removesuffix("_total") for name, _, _ in increments}
    assert counted == names
    assert undeclared(increments) == []
    assert once == "settled:key-1"


def test_a_placed_call_is_counted_once_per_dial() -> None:
    once, increments = call_metrics.placed("key-1")
    assert (once, increments) == ("placed:key-1", [("speechaid_calls_placed_total", {}, 1.0)])
