"""What systemd would hear, on a plain datagram socket in its place."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechaid.fleet.systemd import SystemdNotifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket, and its address as ``NOTIFY_SOCKET`` would name it."""
    named = str(tmp_path / "notify") if request.param == "path" else f"@speechaid-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(named.replace("@", "\0", 1) if named.startswith("@") else named)
        listener.settimeout(10)
        yield listener, named


def heard_by(listener: socket.socket) -> list[list[str]]:
    """Every datagram that lies there, its lines."""
    heard = []
    listener.setblocking(False)
    while True:
        try:
            heard.append(listener.recv(4096).decode().split("\n"))
        except BlockingIOError:
            return heard


def tell(notifier: SystemdNotifier, status: str, *, leaving: bool = False, supervising: bool = True) -> None:
    notifier.notify(status, up=True, supervising=supervising, leaving=leaving)


def test_each_word_arrives_as_one_datagram(systemd: tuple[socket.socket, str]) -> None:
    listener, address = systemd
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"})
    tell(notifier, "running")
    notifier.reloading()
    notifier.reloaded()
    notifier.stopping("stopping")
    tell(notifier, "leaving", leaving=True)
    heard = heard_by(listener)
    reloading = heard.pop(3)
    assert reloading[0] == "RELOADING=1"
    assert int(reloading[1].removeprefix("MONOTONIC_USEC=")) > 0
    assert heard == [
        ["READY=1", "STATUS=running", f"MAINPID={os.getpid()}"],
        ["STATUS=running"],
        ["WATCHDOG=1"],
        ["READY=1"],
        ["STOPPING=1", "STATUS=stopping"],
        ["STATUS=leaving"],
        ["WATCHDOG=1"],
        ["EXTEND_TIMEOUT_USEC=30000000"],
    ]


def test_it_is_ready_once_there_are_workers_and_a_status_is_told_when_it_changes(
    systemd: tuple[socket.socket, str],
) -> None:
    listener, address = systemd
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address})
    notifier.notify("0 of 2 workers", up=False, supervising=True, leaving=False)
    notifier.reloading()  # a start is not over for being interrupted
    notifier.reloaded()
    assert heard_by(listener) == [["STATUS=0 of 2 workers"]]
    tell(notifier, "2 workers")
    tell(notifier, "2 workers")
    assert heard_by(listener) == [
        ["READY=1", "STATUS=2 workers", f"MAINPID={os.getpid()}"],
        ["STATUS=2 workers"],
    ]


def test_a_loop_that_does_not_supervise_neither_feeds_the_watchdog_nor_asks_for_time(
    systemd: tuple[socket.socket, str],
) -> None:
    listener, address = systemd
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"})
    tell(notifier, "running", supervising=False)
    tell(notifier, "stopping", supervising=False, leaving=True)
    assert not {"WATCHDOG", "EXTEND_TIMEOUT_USEC"} & {m[0].split("=")[0] for m in heard_by(listener)}


def test_a_systemd_that_is_behind_is_told_again_and_never_waited_for(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address})
    tell(notifier, "running")  # nobody listens yet
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        for number in range(1000):  # more than a socket takes
            tell(notifier, f"status {number}")
        assert heard_by(listener)[0][0] == "READY=1"
        tell(notifier, "status 999")
        assert heard_by(listener) == [["STATUS=status 999"]]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_only_where_it_is_ours(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert SystemdNotifier(environment).watchdog_seconds == seconds


def test_without_systemd_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        tell(SystemdNotifier(environment), "running")
