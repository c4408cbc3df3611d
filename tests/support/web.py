"""``speechaid web`` as a process beside a daemon, and tokens for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from speechaid.demo.daemon import INHERITED_VARIABLES
from speechaid.model.identity import Role
from speechaid.store.connection import Store

START_SECONDS = 180.0
STOP_SECONDS = 30.0


class WebProcess:
    """``speechaid web`` on a free port; ``client`` gives an HTTP client with a token."""

    command: tuple[str, ...] = (sys.executable, "-m", "speechaid", "web")

    def __init__(self, directory: Path, variables: Mapping[str, str]) -> None:
        self.log = directory / "web.log"
        self._directory = directory
        self._variables = {"SPEECHAID_WEB_ADDRESS": "127.0.0.1:0", **variables}
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def start(self) -> None:
        """Start it and wait until it serves."""
        kept = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
        offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self._directory,
                env=kept | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not (found := re.search(r"web\.started address=(\S+)", self.text()[offset:])):
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.05)
        self.address = f"http://{found[1]}"
        # The address stands in the log before the server accepts; the kernel keeps the connection meanwhile.
        httpx.get(f"{self.address}/", timeout=30)

    def text(self) -> str:
        """Its log."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def client(self, token: str | None = None, **more: Any) -> httpx.Client:
        """A client, with a token or without."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=more.pop("timeout", 60), **more)

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        """Stop it; its exit status."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def make_token(store: Store, name: str, role: Role, account_id: str | None = None) -> str:
    """A token's secret."""
    return store.identities.create_token(
        name, role=role, account_id=account_id, lasts_seconds=None, by="test"
    )[0]


@contextmanager
def running_web(directory: Path, variables: Mapping[str, str]) -> Iterator[WebProcess]:
    """A web process that is stopped in the end."""
    web = WebProcess(directory, variables)
    web.start()
    try:
        yield web
    finally:
        web.stop()
