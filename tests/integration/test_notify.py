"""What systemd would hear, on a plain datagram socket in its place."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechaid.fleet.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket, and its address as ``NOTIFY_SOCKET`` would name it."""
    named = str(tmp_path / "notify") if request.param == "path" else f"@speechaid-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(named.replace("@", "\0", 1) if named.startswith("@") else named)
        listener.settimeout(10)
        yield listener, named


def test_each_word_arrives_as_one_datagram(systemd: tuple[socket.socket, str]) -> None:
    listener, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"})
    notifier.ready("running, 6 workers")
    notifier.reloading()
    notifier.watchdog()
    notifier.status("running, 7 workers")
    notifier.stopping("stopping")
    heard = [listener.recv(4096).decode().split("\n") for _ in range(5)]
    assert heard[0] == ["READY=1", "STATUS=running, 6 workers", f"MAINPID={os.getpid()}"]
    assert heard[1][0] == "RELOADING=1"
    assert heard[1][1].startswith("MONOTONIC_USEC=")
    assert heard[2:] == [["WATCHDOG=1"], ["STATUS=running, 7 workers"], ["STOPPING=1", "STATUS=stopping"]]


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
    assert Notifier(environment).watchdog_seconds == seconds


def test_without_systemd_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        Notifier(environment).ready("running")
