"""What the doctor makes of the facts: each cause has its finding, and health has none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.commands.doctor.facts import DoctorFacts, FindingSeverity, RetellFacts
from speechaid.commands.doctor.host_checks import AILMENTS
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.settings import Settings, get_settings

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


def fleet(**fields: Any) -> dict[str, Any]:
    workers = [{"slot": "worker-1", "pid": 7, "paused": False}]
    return {"supervisor": {"wanted": 1, "present": 1, **fields}, "workers": workers}


def chart(settings: Settings, **fields: Any) -> DoctorFacts:
    """A healthy campaign, but for what the fields say."""
    healthy: dict[str, Any] = {
        "fleet": fleet(),
        "settings": settings,
        "retell": RetellFacts(milliseconds=80.0, calls=1, limit=20, date=NOW),
        "database_ms": 1.0,
        "now": NOW,
        "waiting": {"b1": 5},
        "batches": {"b1": Batch.read({"batch_id": "b1"})},
        "opens_at": {"b1": None},
    }
    return DoctorFacts(**(healthy | fields))


def codes(found: DoctorFacts) -> set[str]:
    return {finding.code for ailment in AILMENTS for finding in ailment(found)}


def dial(**fields: Any) -> Job:
    old = NOW - timedelta(hours=2)
    open_dial = {"key": "k", "number": "+56912345671", "intent_at": old, **fields}
    return Job.read({"_id": 1, "job_id": "job-1", "status": "in_progress", "dial": open_dial})


def test_a_healthy_campaign_has_no_finding(settings: Settings) -> None:
    assert codes(chart(settings)) == set()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"database_fault": "the database is away"}, "database_away"),
        ({"database_ms": 400.0}, "slow_database"),
        ({"fleet": fleet(no_space="3 MiB free on the disk of /d, 64 needed")}, "no_space"),
        ({"fleet": fleet(crash_loops=["worker-1"])}, "crash_loop"),
        ({"fleet": fleet(dependency_away=True)}, "workers_cannot_start"),
        ({"fleet": fleet(wanted=0)}, "no_workers"),
        ({"fleet": fleet() | {"workers": [{"slot": "worker-1", "pid": None}]}}, "no_workers"),
        ({"fleet": fleet() | {"workers": []}, "up_seconds": 500.0}, "no_workers"),
        (
            {"fleet": fleet() | {"workers": [{"pid": None, "restarts": {"crash": 1}}]}, "up_seconds": 1.0},
            "no_workers",
        ),
        ({"fleet": fleet() | {"workers": []}, "up_seconds": 1.0}, "workers_starting"),
        ({"unreadable": ["job-1"]}, "unreadable_jobs"),
        ({"fleet": fleet() | {"workers": [{"slot": "w", "pid": 1, "paused": True}]}}, "all_workers_paused"),
        ({"fleet": fleet(draining=True)}, "draining"),
        ({"fleet_hold": "by maria: fire"}, "held"),
        ({"fleet": fleet(held=True)}, "held_here"),
        ({"breaker": Hold(scope="key", reason="401")}, "breaker_open"),
        ({"retell": RetellFacts(refused="401")}, "wrong_key"),
        ({"retell": RetellFacts(unreachable="no route")}, "retell_unreachable"),
        ({"retell": RetellFacts(milliseconds=9000.0)}, "slow_retell"),
        ({"retell": RetellFacts(milliseconds=1.0, calls=0, limit=0)}, "concurrency_limit"),
        ({"retell": RetellFacts(milliseconds=1.0, date=NOW - timedelta(hours=1))}, "clock_skew_retell"),
        ({"batches": {}}, "orphaned_jobs"),
        ({"batches": {"b1": Batch.read({"batch_id": "b1", "is_active": False})}}, "batch_paused"),
        ({"window_faults": {"b1": "start 9am is not understood"}}, "window_fault"),
        ({"opens_at": {"b1": NOW + timedelta(hours=1)}}, "windows_closed"),
        ({"without_hours": ["b1"]}, "no_allowed_hours"),
        ({"suspended": {"no_credit": 3}}, "no_credit"),
        ({"unknown_accounts": {"acme": 3}}, "account_unknown"),
        ({"accounts": {"a": Account.read({"account_id": "a", "status": "suspended"})}}, "account_inactive"),
        (
            {"accounts": {"a": Account.read({"account_id": "a", "plan_type": "minutes_based"})}},
            "balance_used_up",
        ),
        ({"outcomes": {("no_answer", "dial_no_answer"): 40}}, "few_answered"),
        ({"outcomes": {("failed", "error_asr"): 20, ("answered", "agent_hangup"): 20}}, "many_failed_calls"),
        ({"tried_again": {0: 5, 1: 20}}, "many_retries"),
        ({"dials": [dial(call_id="c", placed_at=NOW - timedelta(hours=2))]}, "hanging_calls"),
        ({"dials": [dial(call_id="c", placed_at=NOW, parked_at=NOW)]}, "parked_calls"),
        ({"dials": [dial(next_lookup_at=NOW)]}, "ambiguous_dials"),
        ({"lapsed": 2}, "stuck_jobs"),
        ({"skew_seconds": 30.0}, "clock_skew"),
        ({"missing_indexes": ["jobs.speechaid_turn"]}, "missing_indexes"),
        ({"waiting": {}, "opens_at": {}}, "nothing_waits"),
    ],
)
def test_each_cause_has_its_finding(settings: Settings, fields: dict[str, Any], code: str) -> None:
    assert code in codes(chart(settings, **fields))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"LEASE_SECONDS": "55"}, "short_lease"),
        ({"LEASE_SECONDS": "7200"}, "long_lease"),
        ({"CALL_POLLING_INTERVAL": "90", "LEASE_SECONDS": "600"}, "slow_polling"),
    ],
)
def test_settings_at_odds_are_told(environ: dict[str, str], changes: dict[str, str], code: str) -> None:
    assert code in codes(chart(get_settings(environ | changes, env_file=None)))


def test_every_finding_says_what_was_found_and_what_to_do(settings: Settings) -> None:
    sick = chart(settings, lapsed=1, without_hours=["b1"], fleet_hold="by maria", skew_seconds=9.0)
    for finding in (finding for ailment in AILMENTS for finding in ailment(sick)):
        assert finding.cause
        assert finding.evidence
        assert finding.remedy


def test_a_few_bad_calls_are_no_finding(settings: Settings) -> None:
    assert codes(chart(settings, outcomes={("no_answer", "dial_no_answer"): 5})) == set()


def test_a_window_that_is_closed_beside_one_that_is_open_is_no_finding(settings: Settings) -> None:
    opens = {"b1": None, "b2": NOW + timedelta(hours=1)}
    assert "windows_closed" not in codes(chart(settings, opens_at=opens))


def test_orders_are_no_faults(settings: Settings) -> None:
    held = chart(settings, fleet_hold="by maria")
    weights = {finding.weight for ailment in AILMENTS for finding in ailment(held)}
    assert weights == {FindingSeverity.ORDERED}


def test_pauses_of_nobody_on_record_come_first_then_those_that_keep_most_jobs(settings: Settings) -> None:
    imported = {"by": "root (uid 0)", "reason": "imported paused"}
    batches = {f"b{n}": {"batch_id": f"b{n}", "is_active": False, "pause": imported} for n in range(1, 8)}
    batches["z"] = {"batch_id": "z", "is_active": False}
    waiting: dict[str | None, int] = {"z": 2, **{f"b{n}": n for n in range(1, 8)}}
    found = chart(
        settings,
        waiting=waiting,
        batches={name: Batch.read(document) for name, document in batches.items()},
        opens_at={},
    )
    rows = [finding for ailment in AILMENTS for finding in ailment(found)]
    assert [row.cause for row in rows if row.code == "batch_paused"] == [
        f"batch {name} is paused" for name in ("z", "b7", "b6", "b5", "b4")
    ]
    assert [row.evidence for row in rows if row.code == "batches_paused"] == ["3 more, in which 6 jobs wait"]
