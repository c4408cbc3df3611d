"""The level, text and remedy of the findings of ``speechaid check``."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from speechaid.rules import check_findings
from speechaid.rules.check_findings import (
    NO_SPACE_MB,
    SPACE_MARGIN_MB,
    CheckFinding,
    Level,
    OtherWorkers,
    Topology,
)
from speechaid.settings import get_settings

AT = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
NO_WORKER = OtherWorkers(jobs=0, worker=None, last_at=None)
SCRIPT = OtherWorkers(jobs=3, worker="bot-7", last_at=AT)


def server(
    *, replica_set: str | None = None, members: int = 0, sharded: bool = False, writable: bool = True
) -> Topology:
    return Topology(replica_set=replica_set, members=members, sharded=sharded, writable=writable)


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (check_findings.topology(server(replica_set="rs0", members=3), embedded=False), Level.OK),
        (check_findings.topology(server(sharded=True), embedded=False), Level.OK),
        (check_findings.topology(server(), embedded=False), Level.WARN),
        (check_findings.topology(server(), embedded=True), Level.OK),
        (check_findings.topology(server(replica_set="rs0", writable=False), embedded=False), Level.FAIL),
        (check_findings.database_away("away", "mongodb://db/"), Level.FAIL),
        (check_findings.durable_write(0.01, None), Level.OK),
        (check_findings.durable_write(0.9, None), Level.WARN),
        (check_findings.durable_write(None, "no majority"), Level.FAIL),
        (check_findings.missing_indexes([]), Level.OK),
        (check_findings.missing_indexes(["jobs.speechaid_claim"]), Level.WARN),
        (check_findings.clock(-1.9), Level.OK),
        (check_findings.clock(3600.0), Level.WARN),
        (check_findings.clock(-3600.0), Level.WARN),
        (check_findings.other_workers(NO_WORKER), Level.OK),
        (check_findings.other_workers(SCRIPT), Level.WARN),
        (check_findings.retell_answered(current=2, limit=20, workers=20), Level.OK),
        (check_findings.retell_answered(current=2, limit=20, workers=21), Level.WARN),
        (check_findings.retell_refused("HTTP 401"), Level.FAIL),
        (check_findings.retell_away("no answer", before_start=False), Level.FAIL),
        (check_findings.retell_away("no answer", before_start=True), Level.WARN),
        (check_findings.agent_known("agent_1", "Ana", published=None), Level.OK),
        (check_findings.agent_known("agent_1", None, published=False), Level.OK),
        (check_findings.agent_unknown("agent_1", before_start=False), Level.FAIL),
        (check_findings.agent_unknown("agent_1", before_start=True), Level.WARN),
        (check_findings.number_known(["CL"]), Level.OK),
        (check_findings.number_unknown(before_start=False), Level.FAIL),
        (check_findings.number_unknown(before_start=True), Level.WARN),
        (check_findings.batch_agents(2, {}), Level.OK),
        (check_findings.batch_agents(2, {"batch-1": "Retell has no agent x"}), Level.WARN),
        (check_findings.not_checked("agent", "no answer"), Level.WARN),
        (check_findings.descriptors(limit=1024, needed=524, least=140, workers=6), Level.OK),
        (check_findings.descriptors(limit=None, needed=524, least=140, workers=6), Level.OK),
        (check_findings.descriptors(limit=523, needed=524, least=140, workers=6), Level.WARN),
        (check_findings.descriptors(limit=139, needed=524, least=140, workers=6), Level.FAIL),
        (check_findings.socket_held("/run/s", "7", before_start=False), Level.OK),
        (check_findings.socket_held("/run/s", "7", before_start=True), Level.FAIL),
        (check_findings.socket_unusable("/run/s", "exists and is not a socket"), Level.FAIL),
        (check_findings.port("metrics port", "127.0.0.1:9478", fault=None, daemon_runs=False), Level.OK),
        (
            check_findings.port("metrics port", "127.0.0.1:9478", fault="is in use", daemon_runs=True),
            Level.OK,
        ),
        (
            check_findings.port("metrics port", "127.0.0.1:9478", fault="is in use", daemon_runs=False),
            Level.FAIL,
        ),
        (check_findings.directory("state directory", "/s", fault=None, free_mb=5000), Level.OK),
        (check_findings.directory("state directory", "/s", fault=None, free_mb=500), Level.WARN),
        (check_findings.directory("state directory", "/s", fault=None, free_mb=5), Level.FAIL),
        (
            check_findings.directory(
                "state directory", "/s", fault="this user may not write to /s", free_mb=None
            ),
            Level.FAIL,
        ),
        (check_findings.embedded_missing(), Level.FAIL),
        (check_findings.embedded_at_rest("/s"), Level.OK),
    ],
)
def test_a_finding_has_a_level_and_a_remedy_unless_it_is_ok(finding: CheckFinding, level: Level) -> None:
    assert finding.level is level
    assert (finding.remedy is None) == (level is Level.OK)


def test_the_worst_finding_is_the_level_of_the_report() -> None:
    fine, warning, failure = (
        CheckFinding(name="x", level=level, text="") for level in (Level.OK, Level.WARN, Level.FAIL)
    )
    assert check_findings.worst([fine]) is Level.OK
    assert check_findings.worst([fine, warning]) is Level.WARN
    assert check_findings.worst([failure, warning, fine]) is Level.FAIL


def test_another_programs_worker_is_named_with_the_time_of_its_last_update() -> None:
    text = check_findings.other_workers(SCRIPT).text
    assert text == "3 jobs are in progress under another program, the latest by bot-7 at 12:30:00 UTC"


@pytest.mark.parametrize(
    ("free_mb", "held", "enough"),
    [
        (NO_SPACE_MB, False, True),
        (NO_SPACE_MB - 1, False, False),
        (NO_SPACE_MB, True, False),
        (NO_SPACE_MB + SPACE_MARGIN_MB, True, True),
    ],
)
def test_dialling_stops_without_disk_space_and_resumes_with_a_margin(
    free_mb: int, held: bool, enough: bool
) -> None:
    assert (check_findings.no_space("/d", free_mb, held=held) is None) == enough


@pytest.mark.parametrize(("seconds", "level"), [("74", Level.WARN), ("75", Level.OK)])
def test_a_lease_that_a_short_delay_makes_lapse_is_a_warning(seconds: str, level: Level) -> None:
    required = {"RETELL_API_KEY": "k", "RETELL_AGENT_ID": "a", "RETELL_FROM_NUMBER": "+15005550006"}
    settings = get_settings({**required, "LEASE_SECONDS": seconds}, env_file=None)
    found = check_findings.check_lease(settings)  # a request of 30 s and two polls of 10
    assert found.level is level
    assert f"LEASE_SECONDS={seconds}" in found.text
