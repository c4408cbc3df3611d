"""The few words that systemd wants to hear (``sd_notify(3)``), without a library."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

#: While it leaves as it should, systemd is asked each time for so much more patience.
LEAVING_SECONDS: Final = 30.0


class SystemdNotifier:
    """Sends to ``NOTIFY_SOCKET``; without one, says nothing.

    Attributes:
        watchdog_seconds: how often systemd wants a sign of life at the least; None where it wants none.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the NUL of an abstract address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        meant_for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "")
        wanted = meant_for_us and microseconds.isdigit() and int(microseconds) > 0
        self.watchdog_seconds = int(microseconds) / 1e6 if wanted else None
        self._is_up = False
        self._ready_heard = False
        self._status_heard = ""

    def notify(self, status: str, *, up: bool, supervising: bool, leaving: bool) -> None:
        """How things stand, as often as the loop looks; what systemd could not take is said again.

        Args:
            status: one line for ``systemctl status``.
            up: there are workers; the first time, this is the end of the start.
            supervising: the fleet is truly looked after: a loop that merely turns deserves no trust.
            leaving: the stop has begun, and takes as long as the calls in hand.
        """
        self._is_up = self._is_up or (up and not leaving)
        if self._is_up and not self._ready_heard and not leaving:
            self._ready_heard = self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")
        if status != self._status_heard and self._send(f"STATUS={status}"):
            self._status_heard = status
        if supervising and self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")
        if supervising and leaving:
            self.extend(LEAVING_SECONDS)

    def reloading(self) -> None:
        """Settings are being read again; ``Type=notify-reload`` wants the time."""
        if self._is_up:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self) -> None:
        """The new settings are in force, or refused."""
        if self._is_up:
            self._ready_heard = self._send("READY=1")

    def stopping(self, status: str) -> None:
        """The stop has begun."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def extend(self, seconds: float) -> None:
        """So much more time for the stop, from now, whatever the unit allows."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, text: str) -> bool:
        """Whether it was taken; a systemd that is away or slow to read must never hold up the loop."""
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode(), self._address)
        except OSError:
            return False
        return True
