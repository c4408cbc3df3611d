"""The few words that systemd wants to hear (``sd_notify(3)``), without a library."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
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

    def ready(self, status: str) -> None:
        """Started, or done with reloading."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """Settings are being read again; ``ready`` ends it. ``Type=notify-reload`` wants the time."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        """The stop has begun."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def watchdog(self) -> None:
        """The loop still turns."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # systemd that cannot be reached, or is slow to read, must never hold up the loop.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._address)
