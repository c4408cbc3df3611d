"""The fleet with real processes; the test runs its loop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from speechaid.clock import SystemClock
from speechaid.errors import FleetError
from speechaid.fleet.messages import Beat, Counts, Event, IdempotentCount
from speechaid.fleet.processes import become_subreaper
from speechaid.fleet.slots import ALLOWED_TRANSITIONS, Slot, SlotState
from speechaid.fleet.spawner import Spawner
from speechaid.fleet.workers import Fleet, Timeouts
from speechaid.rules.respawn import ExitCause, RespawnPolicy
from tests.support.fleet_harness import TARGET, settings, until, use_environment

now = SystemClock().boottime
#: After a slot's second quick end in a row the next start comes too late for any test.
TIMEOUTS = Timeouts(
    grace_seconds=0.5,
    dump_seconds=0.3,
    respawn=RespawnPolicy(first_delay_seconds=300, longest_delay_seconds=300, outage_delay_seconds=300),
)


class RecordingListener:
    """A listener that records."""

    def __init__(self) -> None:
        self.counts: Counts = {}
        self.ends: list[tuple[str, str | None, ExitCause]] = []

    def on_counts(self, counts: Counts) -> None:
        for key, value in counts.items():
            self.counts[key] = self.counts.get(key, 0) + value

    def on_idempotent_count(self, count: IdempotentCount) -> None:
        self.on_counts(count.counts)

    def on_worker_event(self, slot: str, event: Event) -> None:
        pass

    def on_worker_exit(self, worker_id: str, beat: Beat | None, cause: ExitCause) -> None:
        self.ends.append((worker_id.partition("@")[0], beat.job if beat else None, cause))


class Stage:
    """A fleet, its listener, and the tasks of its workers."""

    def __init__(self, directory: Path) -> None:
        self.listener = RecordingListener()
        self.tasks = directory / "tasks"
        wire = settings(directory).to_wire()
        self.fleet = Fleet(Spawner(TARGET), self.listener, host="here", wire=wire, timeouts=TIMEOUTS)

    def until(self, condition: Callable[[], object], what: str) -> None:
        until(condition, what, between=lambda: self.fleet.tick(now()))

    def start(self, workers: int) -> None:
        self.fleet.scale(workers)
        self.until(lambda: len(self.pids("idle", "paused")) == workers, f"{workers} workers at work")

    def pids(self, *states: str) -> dict[str, int]:
        return {r["slot"]: r["pid"] for r in self.fleet.rows(now()) if r["pid"] and r["state"] in states}

    def has(self, **fields: object) -> bool:
        """Whether the first worker's row has these values."""
        row = self.fleet.rows(now())[0]
        return all(row[name] == value for name, value in fields.items())

    def task(self, slot: str, text: str) -> None:
        fresh = self.tasks / ".fresh"
        fresh.write_text(text)
        fresh.replace(self.tasks / slot)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    use_environment(monkeypatch, tmp_path)
    become_subreaper()
    stage = Stage(tmp_path)
    yield stage
    for path in stage.tasks.iterdir():
        path.unlink()
    stage.fleet.hand_over()
    stage.fleet.kill()
    stage.until(lambda: stage.fleet.empty, "the end of the fleet")
    stage.fleet.close()


def test_a_killed_worker_is_replaced_at_once_and_its_job_is_reported(stage: Stage) -> None:
    stage.start(2)
    stage.task("worker-2", "call")
    stage.until(lambda: stage.pids("following"), "a call")
    victim = stage.pids("following")["worker-2"]
    os.kill(victim, signal.SIGKILL)
    stage.until(lambda: stage.pids("following").get("worker-2", victim) != victim, "a successor at work")
    assert stage.listener.ends == [("worker-2", "job-7", ExitCause.KILLED)]
    assert stage.fleet.rows(now())[1]["restarts"] == {"killed": 1}


def test_a_hung_worker_is_logged_dumped_killed_and_replaced(
    stage: Stage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    stage.fleet.timeouts = replace(TIMEOUTS, dump_seconds=300)  # until the test has seen it
    stage.start(1)
    victim = stage.pids("idle")["worker-1"]
    slot = stage.fleet.slots[1]
    stage.task("worker-1", "hang")
    stage.until(lambda: slot.state is SlotState.HUNG, "the state hung")
    stderr: list[str] = []

    def dumped() -> bool:
        stderr.append(capfd.readouterr().err)
        return "in _perform" in "".join(stderr)  # the innermost frame of the stack

    stage.until(dumped, "its stack")
    stage.task("worker-1", "idle")
    slot.due = stage.fleet._review_at = now()
    stage.until(lambda: stage.pids("idle").get("worker-1", victim) != victim, "a successor")
    assert stage.listener.ends == [("worker-1", "job-9", ExitCause.HUNG)]
    logged = next(vars(record)["fields"] for record in caplog.records if record.message == "worker.hung")
    assert logged["worker_id"].startswith("worker-1@here")
    assert (logged["step"], logged["job"], logged["call"]) == ("get_call", "job-9", "call-9")


def test_a_worker_that_was_only_late_is_not_killed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.fleet.timeouts = replace(TIMEOUTS, dump_seconds=300)
    stage.start(1)
    pid = stage.pids("idle")["worker-1"]
    slot = stage.fleet.slots[1]

    def overdue() -> bool:
        if slot.state is SlotState.RUNNING:
            slot.due = stage.fleet._review_at = now()
        return slot.state is SlotState.HUNG

    os.kill(pid, signal.SIGSTOP)
    stage.until(overdue, "the state hung")
    os.kill(pid, signal.SIGCONT)
    stage.until(lambda: stage.pids("idle") == {"worker-1": pid}, "its next report")
    assert "worker.late" in caplog.text
    assert not slot.was_hung


def test_time_in_which_the_supervisor_did_not_run_makes_no_worker_hung(stage: Stage) -> None:
    stage.fleet.timeouts = replace(TIMEOUTS, grace_seconds=300)  # until its last beat has been received
    stage.start(1)
    slot = stage.fleet.slots[1]
    stage.task("worker-1", "hang")
    stage.until(lambda: slot.doing == "following", "the last report")
    slot.due = now()
    stage.fleet.extend_deadlines(1000.0, now())
    stage.fleet._review_at = 0.0
    stage.fleet.tick(now())
    assert slot.state is SlotState.RUNNING


def test_a_slot_whose_workers_crash_backs_off_and_the_others_work_on(stage: Stage) -> None:
    stage.start(2)
    stage.task("worker-1", "crash")
    stage.until(lambda: len(stage.listener.ends) == 2, "two crashes")
    assert {cause for _, _, cause in stage.listener.ends} == {ExitCause.CRASHED}
    row = stage.fleet.rows(now())[0]
    assert row["state"] == "waiting"
    assert row["starts_in_seconds"] > 100
    assert stage.pids("idle").keys() == {"worker-2"}


@pytest.mark.parametrize(
    ("status", "cause"), [(0, ExitCause.QUIT), (10, ExitCause.RECYCLED), (69, ExitCause.UNAVAILABLE)]
)
def test_a_worker_that_exits_by_itself_has_its_cause_reported(
    stage: Stage, status: int, cause: ExitCause
) -> None:
    stage.start(1)
    stage.task("worker-1", f"exit {status}")
    stage.until(lambda: stage.listener.ends, "its end")
    assert stage.listener.ends[0] == ("worker-1", None, cause)
    assert stage.fleet.dependency_away == (cause is ExitCause.UNAVAILABLE)


def test_counts_and_calls_survive_the_worker(stage: Stage) -> None:
    stage.start(1)
    for calls in (1, 2):
        stage.task("worker-1", "call")
        stage.until(lambda: stage.pids("following"), "a call")
        stage.task("worker-1", "idle")
        stage.until(partial(stage.has, calls_done=calls), "the call's end")
        os.kill(stage.pids("idle")["worker-1"], signal.SIGKILL)
        stage.until(partial(stage.has, restarts={"killed": calls}, state="idle"), "a successor")
    assert stage.listener.counts == {("fleet_calls_total", (("outcome", "answered"),)): 2}
    stage.fleet.scale(0)
    stage.until(lambda: not stage.fleet.slots, "its exit")
    stage.start(1)
    assert stage.has(calls_done=0, restarts={})  # the slot's counts start anew, the fleet's go on
    assert (stage.fleet.calls_done, stage.fleet.restarts) == (2, 2)


def test_scaling_down_lets_surplus_workers_finish_their_calls(stage: Stage) -> None:
    stage.start(3)
    stage.task("worker-3", "call")
    stage.until(lambda: stage.pids("following"), "a call")
    stage.fleet.scale(1)
    stage.until(lambda: len(stage.fleet.slots) == 2, "the exit of the idle one")
    assert stage.pids("following").keys() == {"worker-3"}
    stage.task("worker-3", "idle")
    stage.until(lambda: len(stage.fleet.slots) == 1, "the end of the surplus")
    assert [cause for _, _, cause in stage.listener.ends] == [ExitCause.ASKED, ExitCause.ASKED]
    stage.start(2)  # and up again
    assert stage.pids("idle").keys() == {"worker-1", "worker-2"}


def test_a_surplus_worker_that_is_wanted_again_is_replaced_once_it_has_left(stage: Stage) -> None:
    stage.start(2)
    stage.task("worker-2", "call")
    stage.until(lambda: stage.pids("following"), "a call")
    leaving = stage.pids("following")["worker-2"]
    stage.fleet.scale(1)
    stage.fleet.tick(now())
    stage.fleet.scale(2)
    stage.task("worker-2", "idle")
    stage.until(lambda: stage.pids("idle").get("worker-2", leaving) != leaving, "its successor")


def test_a_pause_holds_for_the_successor_of_a_worker(stage: Stage) -> None:
    stage.start(2)
    stage.fleet.pause("worker-1", True)
    stage.until(lambda: stage.pids("paused"), "the pause")
    paused = stage.pids("paused")["worker-1"]
    os.kill(paused, signal.SIGKILL)
    stage.until(lambda: stage.pids("paused").get("worker-1", paused) != paused, "a paused successor")
    stage.fleet.pause("worker-1", False)
    stage.until(lambda: len(stage.pids("idle")) == 2, "both at work")


def test_a_worker_that_does_not_exist_cannot_be_paused(stage: Stage) -> None:
    stage.fleet.scale(2)
    stage.fleet.tick(now())
    with pytest.raises(FleetError, match="worker-1 to worker-2"):
        stage.fleet.require("worker-9")


def test_every_state_of_a_slot_has_transitions_and_move_enforces_them() -> None:
    assert set(ALLOWED_TRANSITIONS) == set(SlotState)
    with pytest.raises(FleetError, match="running from waiting"):
        Slot(1, 0.0).move(SlotState.RUNNING, None)


@pytest.mark.slow
def test_sixty_four_workers_start_and_stop(stage: Stage) -> None:
    stage.start(64)
    stage.fleet.stop()
    stage.until(lambda: stage.fleet.empty, "all to have left")
    assert {cause for _, _, cause in stage.listener.ends} == {ExitCause.ASKED}
    assert len(stage.listener.ends) == 64


def test_a_crash_loop_is_over_once_the_worker_runs_well(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.fleet.timeouts = replace(
        TIMEOUTS, respawn=RespawnPolicy(crash_loop_after=1, first_delay_seconds=0.01)
    )
    stage.start(2)
    stage.task("worker-1", "crash")
    stage.until(lambda: stage.fleet.crash_loops == ["worker-1"], "a crash loop")
    stage.task("worker-1", "idle")
    stage.until(lambda: "worker-1" in stage.pids("idle"), "a worker that lives")
    assert stage.fleet.crash_loops == ["worker-1"]  # it has not finished a call or run long enough
    stage.fleet.timeouts = replace(TIMEOUTS, respawn=RespawnPolicy(stable_after_seconds=0.01))
    with caplog.at_level("INFO"):
        stage.until(lambda: not stage.fleet.crash_loops, "the loop's end")
    assert "worker.well" in caplog.text
