"""Whatever fails at the birth or the end of a worker: its slot is filled again, and a stop ends.

The failures are real ones: no descriptor left, a zygote that does not answer.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from speechaid.fleet import workers
from speechaid.fleet.messages import Beat
from speechaid.fleet.slots import SlotState
from speechaid.rules import overload
from speechaid.rules.respawn import ExitCause, RespawnPolicy
from tests.integration.fleet.test_fleet import TIMEOUTS, RecordingListener, Stage, now, stage

__all__ = ["stage"]

#: A slot whose start failed is filled again soon.
EAGER = replace(TIMEOUTS, respawn=RespawnPolicy(first_delay_seconds=0.01, longest_delay_seconds=0.05))


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Leave this process no descriptor to open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


def children() -> set[int]:
    """The children of this process that are alive or not reaped."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.update(map(int, (task / "children").read_text().split()))
    return found


def ready_zygote(stage: Stage) -> int:
    stage.until(lambda: stage.fleet.spawner.can_ask, "a zygote")
    assert stage.fleet.spawner.pid is not None
    return stage.fleet.spawner.pid


def given_up(stage: Stage) -> bool:
    return any(cause is ExitCause.NOT_SPAWNED for _, _, cause in stage.listener.ends)


def test_a_worker_whose_process_cannot_be_opened_is_given_up_and_its_slot_filled_again(stage: Stage) -> None:
    stage.fleet.timeouts = EAGER
    ready_zygote(stage)
    before = children()
    stage.fleet.scale(1)
    stage.until(lambda: stage.fleet.slots and stage.fleet.slots[1].state is SlotState.SPAWNING, "a request")
    with no_descriptors():
        stage.until(lambda: given_up(stage), "the end of the attempt")
    stage.start(1)
    assert stage.fleet.slots[1].restarts[ExitCause.NOT_SPAWNED] >= 1
    known = before | stage.fleet.pids()
    stage.until(lambda: children() <= known | stage.fleet.pids(), "the end of the worker without a slot")


def test_a_fleet_with_a_birth_that_failed_comes_to_its_end(stage: Stage) -> None:
    ready_zygote(stage)
    stage.fleet.scale(1)
    stage.until(lambda: stage.fleet.slots and stage.fleet.slots[1].state is SlotState.SPAWNING, "a request")
    with no_descriptors():
        stage.until(lambda: given_up(stage), "the end of the attempt")
        stage.fleet.stop()
        stage.until(lambda: stage.fleet.empty, "the end of the fleet")


def test_without_descriptors_no_worker_starts_and_the_others_are_watched(stage: Stage) -> None:
    stage.fleet.timeouts = EAGER
    stage.start(1)
    victim = stage.pids("idle")["worker-1"]
    stage.until(lambda: stage.fleet.spawner._spares.child is not None, "a spare")
    stage.task("worker-1", "hang")
    with no_descriptors():
        stage.fleet.scale(3)
        stage.until(lambda: given_up(stage), "starts that failed")
        stage.until(
            lambda: ("worker-1", "job-9", ExitCause.HUNG) in stage.listener.ends, "the hung one's end"
        )
    stage.task("worker-1", "idle")
    stage.start(3)
    assert stage.pids("idle")["worker-1"] != victim


def test_a_fork_that_never_comes_is_given_up_counted_and_asked_for_again(stage: Stage) -> None:
    stage.fleet.timeouts = replace(EAGER, birth_seconds=0.3)
    zygote = ready_zygote(stage)
    os.kill(zygote, signal.SIGSTOP)
    before = children()
    stage.fleet.scale(1)
    stage.until(lambda: given_up(stage), "the end of the attempt")
    stage.fleet.timeouts = EAGER
    os.kill(zygote, signal.SIGCONT)
    stage.start(1)
    assert stage.fleet.slots[1].restarts[ExitCause.NOT_SPAWNED] >= 1
    # The late fork finds its channel closed, and leaves.
    stage.until(lambda: children() <= before | stage.fleet.pids(), "the end of the late fork")


class FailingListener(RecordingListener):
    """A listener that fails each time."""

    def on_worker_exit(self, worker_id: str, beat: Beat | None, cause: ExitCause) -> None:
        super().on_worker_exit(worker_id, beat, cause)
        raise RuntimeError("a fault on purpose")


def test_a_slot_is_filled_again_whatever_becomes_of_the_note_of_its_workers_end(stage: Stage) -> None:
    stage.fleet._listener = stage.listener = FailingListener()
    stage.start(2)
    victims = set(stage.pids("idle").values())
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    stage.until(lambda: len(set(stage.pids("idle").values()) - victims) == 2, "their successors")
    assert [cause for _, _, cause in stage.listener.ends] == [ExitCause.KILLED] * 2


class SettableProbe:
    """A probe of a database that is as slow as the test wants."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def took_seconds(self) -> float:
        return self.seconds

    def silent_seconds(self) -> float:
        return self.seconds


@pytest.fixture
def probe(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> SettableProbe:
    monkeypatch.setattr(workers, "EXTENSION_SECONDS", 0.1)
    probe = SettableProbe()
    stage.fleet._probe = probe
    return probe


def test_a_worker_that_waits_for_a_slow_database_gets_more_time(
    stage: Stage, probe: SettableProbe, caplog: pytest.LogCaptureFixture
) -> None:
    stage.start(1)
    pid = stage.pids("idle")["worker-1"]
    slot = stage.fleet.slots[1]
    probe.seconds = 3.0
    stage.task("worker-1", "query")
    stage.until(lambda: slot.overloaded, "the extension")
    late = slot.due
    stage.until(lambda: slot.due != late, "another extension")
    assert stage.pids("following") == {"worker-1": pid}
    assert "worker.slowed" in caplog.text
    assert "worker.hung" not in caplog.text
    probe.seconds = 0.0  # the database is back, and this one still waits
    stage.until(lambda: stage.listener.ends, "its end")
    assert stage.listener.ends == [("worker-1", "job-9", ExitCause.HUNG)]


def test_a_worker_that_waits_too_long_for_a_slow_database_is_killed_and_no_crash(
    stage: Stage, probe: SettableProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overload, "DATABASE_LIMIT_SECONDS", 1.0)
    monkeypatch.setattr(overload, "LEAST_EXTENSION_SECONDS", 0.5)
    stage.start(1)
    probe.seconds = 3.0
    stage.task("worker-1", "query")
    stage.until(lambda: stage.listener.ends, "its end")
    assert stage.listener.ends == [("worker-1", "job-9", ExitCause.OVERLOADED)]


def test_a_step_without_the_database_gets_no_more_time_for_it(stage: Stage, probe: SettableProbe) -> None:
    stage.start(1)
    probe.seconds = 3.0
    stage.task("worker-1", "hang")
    stage.until(lambda: stage.listener.ends, "its end")
    assert stage.listener.ends == [("worker-1", "job-9", ExitCause.HUNG)]


def test_in_overload_mode_no_worker_is_started(stage: Stage, probe: SettableProbe) -> None:
    stage.start(2)
    probe.seconds = 3.0
    stage.until(lambda: stage.fleet.overload.reason, "overload mode")
    stage.fleet.scale(4)
    os.kill(stage.pids("idle")["worker-2"], signal.SIGKILL)
    stage.until(lambda: stage.fleet.slots[2].state is SlotState.WAITING, "its end")
    reviewed = 0

    def review() -> bool:
        nonlocal reviewed
        stage.fleet._review_at = 0.0
        reviewed += 1
        return reviewed > 20

    stage.until(review, "reviews")
    assert stage.pids("idle").keys() == {"worker-1"}
    assert {slot.state for slot in stage.fleet.slots.values()} == {SlotState.RUNNING, SlotState.WAITING}
    probe.seconds = 0.0
    stage.fleet.overload = replace(stage.fleet.overload, sign_at=now() - overload.CLEAN_SECONDS)
    stage.start(4)


def test_in_overload_mode_the_first_worker_is_started(stage: Stage, probe: SettableProbe) -> None:
    """A database that is always slow must not keep the fleet from working at all."""
    probe.seconds = 3.0
    stage.fleet.scale(3)
    stage.until(lambda: stage.pids("idle"), "a worker")
    assert stage.fleet.overload.reason is not None
    assert len(stage.pids("idle")) == 1
