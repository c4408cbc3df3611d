"""The findings of ``doctor``: one for each cause, none for a healthy campaign."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.commands.doctor.facts import DoctorFacts, DoctorFinding, FindingSeverity, RetellFacts
from speechaid.commands.doctor.host_checks import CHECKS
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.rules.circuit_breaker import FaultKind
from speechaid.rules.refusals import WORDINGS, Blame, Wording
from speechaid.settings import Settings, get_settings

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
UNLIMITED = {"account_id": "a", "plan_type": "unlimited"}


def snapshot(**fields: Any) -> dict[str, Any]:
    workers = [{"slot": "worker-1", "pid": 7, "paused": False}]
    return {"supervisor": {"wanted": 1, "present": 1, **fields}, "workers": workers}


def facts(settings: Settings, **fields: Any) -> DoctorFacts:
    """The facts of a healthy campaign, changed by ``fields``."""
    healthy: dict[str, Any] = {
        "snapshot": snapshot(),
        "settings": settings,
        "retell": RetellFacts(milliseconds=80.0, calls=1, limit=20, date=NOW),
        "database_ms": 1.0,
        "now": NOW,
        "waiting": {"b1": 5},
        "batches": {"b1": Batch.read({"batch_id": "b1"})},
        "opens_at": {"b1": None},
    }
    return DoctorFacts(**(healthy | fields))


def findings(of: DoctorFacts) -> list[DoctorFinding]:
    return [finding for check in CHECKS for finding in check(of)]


def codes(of: DoctorFacts) -> set[str]:
    return {finding.code for finding in findings(of)}


def dial(**fields: Any) -> Job:
    old = NOW - timedelta(hours=2)
    open_dial = {"key": "k", "number": "+56912345671", "intent_at": old, **fields}
    return Job.read({"_id": 1, "job_id": "job-1", "status": "in_progress", "dial": open_dial})


def test_a_healthy_campaign_has_no_finding(settings: Settings) -> None:
    assert codes(facts(settings)) == set()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"database_fault": "the database is away"}, "database_away"),
        ({"database_ms": 400.0}, "slow_database"),
        ({"snapshot": snapshot(no_space="3 MiB free on the disk of /d, 64 needed")}, "no_space"),
        ({"snapshot": snapshot(crash_loops=["worker-1"])}, "crash_loop"),
        ({"snapshot": snapshot(overloaded="the database is slow")}, "overloaded"),
        ({"snapshot": snapshot(dependency_away=True)}, "workers_cannot_start"),
        ({"snapshot": snapshot(wanted=0)}, "no_workers"),
        ({"snapshot": snapshot() | {"workers": [{"slot": "worker-1", "pid": None}]}}, "no_workers"),
        ({"snapshot": snapshot() | {"workers": []}, "up_seconds": 500.0}, "no_workers"),
        (
            {
                "snapshot": snapshot() | {"workers": [{"pid": None, "restarts": {"crash": 1}}]},
                "up_seconds": 1.0,
            },
            "no_workers",
        ),
        ({"snapshot": snapshot() | {"workers": []}, "up_seconds": 1.0}, "workers_starting"),
        ({"unreadable": ["job-1"]}, "unreadable_jobs"),
        (
            {"snapshot": snapshot() | {"workers": [{"slot": "w", "pid": 1, "paused": True}]}},
            "all_workers_paused",
        ),
        ({"snapshot": snapshot(draining=True)}, "draining"),
        ({"global_hold": "by maria: fire"}, "held"),
        ({"too_old": "the database requires level 3"}, "too_old"),
        ({"snapshot": snapshot(held=True)}, "held_here"),
        ({"breaker": Hold(scope="key", reason="401")}, "breaker_open"),
        ({"rejected": ["job-1"]}, "rejected_jobs"),
        ({"retell": RetellFacts(refused="401")}, "wrong_key"),
        ({"retell": RetellFacts(unreachable="no route")}, "retell_unreachable"),
        ({"retell": RetellFacts(milliseconds=9000.0)}, "slow_retell"),
        ({"retell": RetellFacts(milliseconds=1.0, has_agent=False)}, "unknown_agent"),
        ({"retell": RetellFacts(milliseconds=1.0, has_number=False)}, "unknown_number"),
        (
            {"retell": RetellFacts(milliseconds=1.0, batch_faults={"b1": "Retell has no agent x"})},
            "batch_agent_unknown",
        ),
        ({"retell": RetellFacts(milliseconds=1.0, calls=0, limit=0)}, "concurrency_limit"),
        ({"retell": RetellFacts(milliseconds=1.0, date=NOW - timedelta(hours=1))}, "clock_skew_retell"),
        ({"batches": {}}, "orphaned_jobs"),
        ({"batches": {"b1": Batch.read({"batch_id": "b1", "is_active": False})}}, "batch_paused"),
        ({"window_faults": {"b1": "start 9am is not understood"}}, "window_fault"),
        ({"opens_at": {"b1": NOW + timedelta(hours=1)}}, "windows_closed"),
        ({"without_hours": ["b1"]}, "no_allowed_hours"),
        ({"suspended": {"no_credit": 3}}, "no_credit"),
        ({"suspended": {"not_started": 3}}, "not_started"),
        ({"unknown_accounts": {"acme": 3}}, "account_unknown"),
        (
            {"accounts": {"a": Account.read({**UNLIMITED, "status": "suspended"})}},
            "account_inactive",
        ),
        ({"accounts": {"a": Account.read({**UNLIMITED, "daily_call_limit": "x"})}}, "account_fault"),
        ({"accounts": {"a": Account.read({"account_id": "a", "plan_type": "gold"})}}, "account_fault"),
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
    assert code in codes(facts(settings, **fields))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"LEASE_SECONDS": "55"}, "short_lease"),
        ({"LEASE_SECONDS": "7200"}, "long_lease"),
        ({"CALL_POLLING_INTERVAL": "90", "LEASE_SECONDS": "600"}, "slow_polling"),
        ({"MONGO_URI": "mongodb://db.internal"}, "cleartext"),
        ({"SPEECHAID_ALERT_WEBHOOK_URL": "http://alerts.internal/"}, "cleartext"),
    ],
)
def test_settings_that_contradict_each_other_are_a_finding(
    environ: dict[str, str], changes: dict[str, str], code: str
) -> None:
    assert code in codes(facts(get_settings(environ | changes, env_file=None)))


def test_every_finding_has_cause_evidence_and_remedy(settings: Settings) -> None:
    sick = facts(settings, lapsed=1, without_hours=["b1"], global_hold="by maria", skew_seconds=9.0)
    for finding in findings(sick):
        assert finding.cause
        assert finding.evidence
        assert finding.remedy


def test_a_few_bad_calls_are_no_finding(settings: Settings) -> None:
    assert codes(facts(settings, outcomes={("no_answer", "dial_no_answer"): 5})) == set()


def test_a_closed_window_is_no_finding_while_another_is_open(settings: Settings) -> None:
    opens = {"b1": None, "b2": NOW + timedelta(hours=1)}
    assert "windows_closed" not in codes(facts(settings, opens_at=opens))


def test_a_hold_is_intended_and_no_fault(settings: Settings) -> None:
    held = facts(settings, global_hold="by maria")
    assert {finding.severity for finding in findings(held)} == {FindingSeverity.INTENDED}


def test_pauses_without_a_record_come_first_then_those_with_the_most_waiting_jobs(settings: Settings) -> None:
    imported = {"by": "root (uid 0)", "reason": "imported paused"}
    batches = {f"b{n}": {"batch_id": f"b{n}", "is_active": False, "pause": imported} for n in range(1, 8)}
    batches["z"] = {"batch_id": "z", "is_active": False}
    waiting: dict[str | None, int] = {"z": 2, **{f"b{n}": n for n in range(1, 8)}}
    paused = facts(
        settings,
        waiting=waiting,
        batches={name: Batch.read(document) for name, document in batches.items()},
        opens_at={},
    )
    rows = findings(paused)
    assert [row.cause for row in rows if row.code == "batch_paused"] == [
        f"batch {name} is paused" for name in ("z", "b7", "b6", "b5", "b4")
    ]
    assert [row.evidence for row in rows if row.code == "batches_paused"] == ["3 more, with 6 waiting jobs"]


def test_what_a_finding_lists_has_an_order_of_its_own_whatever_the_database_gives(settings: Settings) -> None:
    names = [f"b{number}" for number in range(9)]
    jobs = [
        Job.read({"_id": name, "job_id": name, "status": "in_progress", "dial": parked_dial()})
        for name in names
    ]

    def of(order: int) -> DoctorFacts:
        def turned(mapping: dict[Any, Any]) -> dict[Any, Any]:
            return dict(list(mapping.items())[::order])

        return facts(
            settings,
            waiting=turned(
                {name: 1 + number % 3 for number, name in enumerate(names)} | {"lost": 2, "gone": 2}
            ),
            batches=turned({name: Batch.read({"batch_id": name}) for name in names}),
            accounts=turned(
                {name: Account.read({"account_id": name, "status": "suspended"}) for name in names}
            ),
            window_faults=turned(dict.fromkeys(names, "9am is no time")),
            without_hours=names[::order],
            unknown_accounts=turned({"a": 2, "b": 2, "c": 5}),
            unreadable=names[::order],
            dials=jobs[::order],
            outcomes=turned({("failed", "x"): 20, ("failed", "y"): 20}),
        )

    assert findings(of(1)) == findings(of(-1))
    (unknown,) = [finding for finding in findings(of(1)) if finding.code == "account_unknown"]
    assert unknown.evidence == "c (5 jobs), a (2 jobs), b (2 jobs)"


def parked_dial() -> dict[str, Any]:
    return {"key": "k", "number": "+56912345671", "intent_at": NOW, "parked_at": NOW}


def remedy_for(settings: Settings, kind: FaultKind, reason: str) -> str:
    (finding,) = findings(facts(settings, breaker=Hold(scope="key", reason=reason), breaker_kind=kind))
    return finding.remedy


@pytest.mark.parametrize(
    "wording", [row for row in WORDINGS if row.blame is Blame.ACCOUNT], ids=lambda row: row.name
)
def test_the_remedy_of_a_refusal_follows_from_its_words(settings: Settings, wording: Wording) -> None:
    for example in wording.examples:
        text = f"Retell answered 400: {example}"
        assert remedy_for(settings, FaultKind.BLOCKED, text).startswith(wording.remedy)


def test_every_kind_of_fault_has_a_remedy_of_its_own(settings: Settings) -> None:
    remedies = {remedy_for(settings, kind, "calls end with x") for kind in FaultKind}
    assert len(remedies) == len(FaultKind)


def test_a_step_that_fails_again_and_again_is_a_fault_with_its_error(settings: Settings) -> None:
    workers = [{"slot": "worker-1", "pid": 7, "failing": {"claim": "the database refused: no (code 51091)"}}]
    failing = {**snapshot(), "workers": workers, "failing": {"counts": "refused"}}
    (found,) = findings(facts(settings, snapshot=failing))
    assert (found.code, found.severity) == ("failing_steps", FindingSeverity.FAULT)
    assert found.evidence == (
        "claim of worker-1: the database refused: no (code 51091); housekeeping (counts): refused"
    )
    assert codes(facts(settings, snapshot=failing, database_fault="away")) == {"database_away"}


def test_a_database_that_refuses_one_question_is_not_said_to_be_away(settings: Settings) -> None:
    refused = facts(
        settings, refused={"calls": "no such stage"}, waiting={"gone": 3}, batches={}, opens_at={}
    )
    (found,) = findings(refused)
    assert (found.code, found.severity, found.evidence) == (
        "database_refuses",
        FindingSeverity.FAULT,
        "calls: no such stage",
    )


def test_dials_that_retell_refuses_are_shown_with_its_words_and_the_remedy(settings: Settings) -> None:
    recent = {"minutes": 30.0, "dials_refused": 200.0, "calls_ended": 3.0}
    dead = "Retell answered 400: Destination Number {} is invalid D11"
    said = [dead.format("+56911111111"), "Retell answered 400: Something", dead.format("+56922222222")]
    (found,) = findings(facts(settings, snapshot={**snapshot(), "recent": recent}, refusals=said))
    assert (found.code, found.severity) == ("dials_refused", FindingSeverity.WARNING)
    assert found.evidence == (
        "200 dials in the last 30 min, 3 calls ended; of the latest: Retell answered 400: Destination Number "
        "+569******11 is invalid D11 (2); Retell answered 400: Something (1)"
    )
    assert found.remedy == "correct the number in the contact"


def test_a_few_refused_dials_beside_as_many_calls_are_no_finding(settings: Settings) -> None:
    recent = {"minutes": 30.0, "dials_refused": 4.0, "calls_ended": 4.0}
    assert codes(facts(settings, snapshot={**snapshot(), "recent": recent}, refusals=["x"])) == set()


@pytest.mark.parametrize(
    ("of", "free_mb", "expected", "words"),
    [
        ("embedded database", 3, ("disk_full", FindingSeverity.FAULT), "are not placed"),
        ("embedded database", 300, ("disk_filling", FindingSeverity.WARNING), "is filling up"),
        ("state directory", 0, ("disk_full", FindingSeverity.WARNING), "calls go on"),
        ("state directory", 300, ("disk_filling", FindingSeverity.WARNING), "is filling up"),
    ],
)
def test_a_full_disk_stops_calls_only_where_results_are_stored(
    settings: Settings, of: str, free_mb: int, expected: tuple[str, FindingSeverity], words: str
) -> None:
    disk = {"of": of, "path": "/var/lib/x", "free_mb": free_mb, "full": free_mb < 64}
    (found,) = findings(facts(settings, snapshot={**snapshot(), "disks": [disk]}))
    assert (found.code, found.severity) == expected
    assert words in found.cause
    loses_calls = expected[0] == "disk_filling" and of != "state directory"
    assert ("no call can be recorded" in found.remedy) is loses_calls
