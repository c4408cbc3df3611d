"""The zygote as a real process; this one requests workers and is their subreaper."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechaid.clock import SystemClock
from speechaid.fleet.channel import Channel
from speechaid.fleet.messages import Order, encode_command
from speechaid.fleet.processes import Child, Exit, become_subreaper, reap_strays
from speechaid.fleet.spawner import ForkResult, Spawner, ZygoteState
from tests.support.fleet_harness import (
    TARGET,
    is_alive,
    parent_of,
    settings,
    title_of,
    until,
    use_environment,
)

now = SystemClock().boottime


@pytest.fixture
def spawner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spawner]:
    use_environment(monkeypatch, tmp_path)
    become_subreaper()
    before = _children()
    spawner = Spawner(TARGET)
    yield spawner
    spawner.close()
    until(lambda: _children() <= before, "the end of every child", between=lambda: reap_strays(set()))


def _children() -> set[int]:
    """All children of this process; the database of the test run may be among them."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.update(map(int, (task / "children").read_text().split()))
    return found


def wait_ready(spawner: Spawner) -> int:
    """The pid of a zygote that is ready."""
    until(lambda: spawner.can_ask, "a zygote", between=lambda: spawner.tick(now()))
    assert spawner.pid is not None
    return spawner.pid


def request_worker(spawner: Spawner, directory: Path, slot: str = "worker-1") -> Channel:
    """Request a worker; our end of its channel."""
    ours, theirs = Channel.pair()
    request = {"slot": slot, "host": "here", "settings": settings(directory).to_wire()}
    with theirs:
        assert spawner.ask(request, theirs.fileno(), now()) is not None
    return ours


def fork_results(spawner: Spawner) -> list[ForkResult]:
    return until(lambda: spawner.tick(now()), "a result of the zygote")


def spawn(spawner: Spawner, directory: Path) -> tuple[Child, Channel]:
    """A worker that has sent a report."""
    channel = request_worker(spawner, directory)
    (result,) = fork_results(spawner)
    assert result.pid is not None
    until(channel.receive, "a worker's first report")
    return Child(result.pid), channel


def end(child: Child) -> Exit:
    return until(child.reap, "the worker's end")


def test_a_worker_is_our_child_and_inherits_its_channel_and_stdio_only(
    spawner: Spawner, tmp_path: Path
) -> None:
    zygote = wait_ready(spawner)
    child, channel = spawn(spawner, tmp_path)
    assert parent_of(child.pid) == os.getpid()
    assert title_of(zygote) == "speechaid: zygote"
    assert title_of(child.pid).startswith("speechaid: worker-1 [")
    sockets = [
        target
        for number in Path(f"/proc/{child.pid}/fd").iterdir()
        if int(number.name) > 2 and (target := str(number.readlink())).startswith("socket:")
    ]
    assert len(sockets) == 1
    channel.send(encode_command(Order.STOP, {}))
    assert end(child) == Exit(status=0)
    channel.close()


def test_a_worker_exits_when_its_channel_is_closed(spawner: Spawner, tmp_path: Path) -> None:
    wait_ready(spawner)
    child, channel = spawn(spawner, tmp_path)
    channel.close()
    assert end(child) == Exit(status=11)


def test_a_fault_in_a_worker_ends_that_worker_alone(spawner: Spawner, tmp_path: Path) -> None:
    zygote = wait_ready(spawner)
    (tmp_path / "tasks" / "worker-1").write_text("crash")
    child, channel = spawn(spawner, tmp_path)
    assert end(child) == Exit(status=70)
    assert spawner.pid == zygote
    assert is_alive(zygote)
    channel.close()


def test_a_killed_zygote_is_replaced_and_its_workers_live_on(spawner: Spawner, tmp_path: Path) -> None:
    first = wait_ready(spawner)
    child, channel = spawn(spawner, tmp_path)
    os.kill(first, signal.SIGKILL)
    until(
        lambda: spawner.state is ZygoteState.AWAY,
        "the end of the zygote",
        between=lambda: spawner.tick(now()),
    )
    assert wait_ready(spawner) != first
    assert spawner.restarts == 1
    assert child.reap() is None
    until(channel.receive, "the worker's next report")
    other, other_channel = spawn(spawner, tmp_path)
    for each, line in ((child, channel), (other, other_channel)):
        line.close()
        end(each)


def test_a_hung_zygote_is_replaced_and_its_requests_fail(spawner: Spawner, tmp_path: Path) -> None:
    first = wait_ready(spawner)
    os.kill(first, signal.SIGSTOP)
    spawner._answer_seconds = 0.2
    channel = request_worker(spawner, tmp_path)
    (result,) = fork_results(spawner)
    assert result.pid is None
    assert result.error is not None
    assert "did not answer" in result.error
    until(lambda: not is_alive(first), "the end of the hung one")
    assert wait_ready(spawner) != first
    channel.close()


def test_a_request_that_dies_with_its_zygote_leaves_no_worker(spawner: Spawner, tmp_path: Path) -> None:
    first = wait_ready(spawner)
    os.kill(first, signal.SIGSTOP)
    channel = request_worker(spawner, tmp_path)
    os.kill(first, signal.SIGKILL)
    (result,) = fork_results(spawner)
    assert result.pid is None
    until(lambda: channel.receive() == [] and channel.eof, "end-of-file")
    channel.close()


def test_a_target_that_cannot_be_imported_is_retried_with_growing_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_environment(monkeypatch, tmp_path)
    become_subreaper()
    before = _children()
    spawner = Spawner("tests.no_such_module:main")
    until(lambda: spawner.restarts == 2, "two zygotes' ends", between=lambda: spawner.tick(now()))
    assert not spawner.can_ask
    wait = spawner.next_tick_at()
    assert wait is not None
    assert wait > now()
    spawner.close()
    until(lambda: _children() <= before, "the end of every child", between=lambda: reap_strays(set()))


def wait_for_spare(spawner: Spawner) -> int:
    """The pid of a spare that waits for its slot."""

    def waiting() -> int | None:
        return next((pid for pid in spawner.pids if title_of(pid) == "speechaid: spare"), None)

    return until(waiting, "a spare", between=lambda: spawner.tick(now()))


def test_the_next_worker_is_the_spare_and_another_spare_follows(spawner: Spawner, tmp_path: Path) -> None:
    wait_ready(spawner)
    first, first_channel = spawn(spawner, tmp_path)
    spare = wait_for_spare(spawner)
    second, second_channel = spawn(spawner, tmp_path)
    assert second.pid == spare
    assert spare not in spawner.pids
    assert parent_of(spare) == os.getpid()
    assert title_of(spare).startswith("speechaid: worker-1 [")
    second_channel.send(encode_command(Order.STOP, {}))
    assert end(second) == Exit(status=0)
    assert wait_for_spare(spawner) != spare
    first_channel.close()
    end(first)
    second_channel.close()


def test_a_spare_serves_a_request_while_there_is_no_zygote(spawner: Spawner, tmp_path: Path) -> None:
    zygote = wait_ready(spawner)
    first, first_channel = spawn(spawner, tmp_path)
    spare = wait_for_spare(spawner)
    os.kill(zygote, signal.SIGKILL)
    until(
        lambda: spawner.state is ZygoteState.AWAY,
        "the end of the zygote",
        between=lambda: spawner.tick(now()),
    )
    second, second_channel = spawn(spawner, tmp_path)
    assert second.pid == spare
    for child, channel in ((first, first_channel), (second, second_channel)):
        channel.close()
        end(child)


@pytest.mark.parametrize("noticed", [True, False])
def test_a_spare_that_died_costs_no_worker_and_is_replaced(
    spawner: Spawner, tmp_path: Path, noticed: bool
) -> None:
    wait_ready(spawner)
    first, first_channel = spawn(spawner, tmp_path)
    spare = wait_for_spare(spawner)
    os.kill(spare, signal.SIGTERM)
    until(lambda: not is_alive(spare), "its end")
    if noticed:
        spawner.tick(now())
        assert spare not in spawner.pids
    second, second_channel = spawn(spawner, tmp_path)
    assert second.pid != spare
    assert wait_for_spare(spawner) != spare
    for child, channel in ((first, first_channel), (second, second_channel)):
        channel.close()
        end(child)


def test_a_spare_of_other_settings_exits_and_the_zygote_forks_instead(
    spawner: Spawner, tmp_path: Path
) -> None:
    wait_ready(spawner)
    first, first_channel = spawn(spawner, tmp_path)
    spare = wait_for_spare(spawner)
    other = tmp_path / "other"
    other.mkdir()
    second, second_channel = spawn(spawner, other)
    assert second.pid != spare
    until(lambda: not is_alive(spare), "its end")
    for child, channel in ((first, first_channel), (second, second_channel)):
        channel.close()
        end(child)
