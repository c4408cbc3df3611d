"""Notifications to systemd, received on a plain datagram socket in its place."""

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


def received_by(listener: socket.socket) -> list[list[str]]:
    """The lines of every datagram that has arrived."""
    received = []
    listener.setblocking(False)
    while True:
        try:
            received.append(listener.recv(4096).decode().split("\n"))
        except BlockingIOError:
            return received


def notify(
    notifier: SystemdNotifier, status: str, *, leaving: bool = False, supervising: bool = True
) -> None:
    notifier.notify(status, up=True, supervising=supervising, leaving=leaving)


def test_each_notification_is_one_datagram(systemd: tuple[socket.socket, str]) -> None:
    listener, address = systemd
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"})
    notify(notifier, "running")
    notifier.reloading()
    notifier.reloaded()
    notifier.stopping("stopping")
    notify(notifier, "leaving", leaving=True)
    received = received_by(listener)
    reloading = received.pop(3)
    assert reloading[0] == "RELOADING=1"
    assert int(reloading[1].removeprefix("MONOTONIC_USEC=")) > 0
    assert received == [
        ["READY=1", "STATUS=running", f"MAINPID={os.getpid()}"],
        ["STATUS=running"],
        ["WATCHDOG=1"],
        ["READY=1"],
        ["STOPPING=1", "STATUS=stopping"],
        ["STATUS=leaving"],
        ["WATCHDOG=1"],
        ["EXTEND_TIMEOUT_USEC=30000000"],
    ]


def test_ready_is_sent_once_there_are_workers_and_status_when_it_changes(
    systemd: tuple[socket.socket, str],
) -> None:
    listener, address = systemd
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address})
    notifier.notify("0 of 2 workers", up=False, supervising=True, leaving=False)
    notifier.reloading()  # a reload does not end the start
    notifier.reloaded()
    assert received_by(listener) == [["STATUS=0 of 2 workers"]]
    notify(notifier, "2 workers")
    notify(notifier, "2 workers")
    assert received_by(listener) == [
        ["READY=1", "STATUS=2 workers", f"MAINPID={os.getpid()}"],
        ["STATUS=2 workers"],
    ]


def test_a_loop_whose_ticks_fail_neither_feeds_the_watchdog_nor_asks_for_time(
    systemd: tuple[socket.socket, str],
) -> None:
    listener, address = systemd
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"})
    notify(notifier, "running", supervising=False)
    notify(notifier, "stopping", supervising=False, leaving=True)
    assert not {"WATCHDOG", "EXTEND_TIMEOUT_USEC"} & {m[0].split("=")[0] for m in received_by(listener)}


def test_what_systemd_could_not_take_is_sent_again_without_waiting(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address})
    notify(notifier, "running")  # no listener yet
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        for number in range(1000):  # more than the socket buffers
            notify(notifier, f"status {number}")
        assert received_by(listener)[0][0] == "READY=1"
        notify(notifier, "status 999")
        assert received_by(listener) == [["STATUS=status 999"]]


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
def test_the_watchdog_is_fed_only_where_it_is_for_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert SystemdNotifier(environment).watchdog_seconds == seconds


def test_without_systemd_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        notify(SystemdNotifier(environment), "running")
