"""Notifications to systemd (``sd_notify(3)``), without a library."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

#: Each notification during an orderly stop asks systemd for this much more time.
STOP_EXTENSION_SECONDS: Final = 30.0


class SystemdNotifier:
    """Sends to ``NOTIFY_SOCKET``; without one, does nothing.

    Attributes:
        watchdog_seconds: longest time between two ``WATCHDOG=1`` that systemd allows; None: no watchdog.
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
        self._ready_sent = False
        self._status_sent = ""

    def notify(self, status: str, *, up: bool, supervising: bool, leaving: bool) -> None:
        """Send status and watchdog, each second; what systemd could not take is sent again.

        Args:
            status: one line for ``systemctl status``.
            up: there are workers; the first time, this sends READY.
            supervising: the last tick of the fleet succeeded; a loop whose ticks fail must not feed the
                watchdog.
            leaving: the stop has begun, and takes as long as the live calls.
        """
        self._is_up = self._is_up or (up and not leaving)
        if self._is_up and not self._ready_sent and not leaving:
            self._ready_sent = self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")
        if status != self._status_sent and self._send(f"STATUS={status}"):
            self._status_sent = status
        if supervising and self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")
        if supervising and leaving:
            self.extend(STOP_EXTENSION_SECONDS)

    def reloading(self) -> None:
        """Report that settings are being read; ``Type=notify-reload`` needs the time."""
        if self._is_up:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self) -> None:
        """Report the end of a reload, done or refused."""
        if self._is_up:
            self._ready_sent = self._send("READY=1")

    def stopping(self, status: str) -> None:
        """Report that the stop has begun."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def extend(self, seconds: float) -> None:
        """Ask for this much more time to stop, from now, beyond what the unit allows."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, text: str) -> bool:
        """Whether it was sent; a systemd that is away or slow must never block the loop."""
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode(), self._address)
        except OSError:
            return False
        return True
