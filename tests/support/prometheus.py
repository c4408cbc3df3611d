"""A real Prometheus as a child process, and a TCP proxy between daemon and database that can be cut."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: Where ``scripts/test`` puts Debian's package; a system installation is also used.
FETCHED = ROOT / ".tools" / "prometheus" / "usr" / "bin"
START_SECONDS = 60.0


def tool(name: str) -> str:
    """``prometheus`` or ``promtool``; without it the test is skipped, never in CI."""
    found = shutil.which(name, path=f"{FETCHED}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        message = f"{name} is not installed: scripts/test fetches it where apt-get is there"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """A Prometheus that scrapes each second, with a rules file."""

    def __init__(self, directory: Path, target: str, rules: str) -> None:
        self._directory = directory
        self._url = f"http://127.0.0.1:{free_port()}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        directory.mkdir()
        (directory / "rules.yml").write_text(rules)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "speechaid", "static_configs": [{"targets": [target]}]}],
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    tool("prometheus"),
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    f"--web.listen-address={self._url.removeprefix('http://')}",
                ],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            output = (self._directory / "log").read_text()
            assert self._process.poll() is None, output
            assert time.monotonic() < deadline, output
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Run an instant query; return labels and value of each series."""
        return [
            (row["metric"], float(row["value"][1])) for row in self._api("query", query=expression)["result"]
        ]

    def range_query(self, expression: str, seconds: float) -> list[Any]:
        """Query the series of the last ``seconds``."""
        now = time.time()
        answer = self._api("query_range", query=expression, start=now - seconds, end=now, step=1)
        return list(answer["result"])

    def value(self, expression: str) -> float | None:
        """The value of the only series; None where there is none."""
        rows = self.query(expression)
        assert len(rows) <= 1, rows
        return rows[0][1] if rows else None

    def by(self, label: str, expression: str) -> dict[str, float]:
        """The values other than 0, by a label."""
        return {labels[label]: value for labels, value in self.query(expression) if value}

    def firing(self) -> set[str]:
        """The alerts that fire in Prometheus."""
        return {labels["alertname"] for labels, _ in self.query('ALERTS{alertstate="firing"}')}

    def _api(self, what: str, **parameters: object) -> dict[str, Any]:
        url = f"{self._url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with self._opener.open(url, timeout=30) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as exc:
            with exc:
                raise AssertionError(f"{parameters}: {exc.read().decode()}") from exc
        assert answer["status"] == "success", answer
        return dict(answer["data"])

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError), self._opener.open(f"{self._url}/-/ready", timeout=5) as response:
            return bool(response.status == 200)
        return False


class Wire:
    """A TCP proxy to a server on this machine, which can be cut, slowed down and restored."""

    def __init__(self, port: int) -> None:
        self._port = port
        #: By so many seconds what a client sends is delayed.
        self.delay_seconds = 0.0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Refuse new connections, and break existing ones."""
        with self._lock:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
            self._listener.close()
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def mend(self) -> None:
        self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                with self._lock:
                    self._open += [near, far]
                threading.Thread(target=self._forward, args=(near, far), daemon=True).start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        """Forward in both directions, until either end is closed."""
        with near, far:
            back = threading.Thread(target=_pump, args=(far, near, lambda: 0.0), daemon=True)
            back.start()
            _pump(near, far, lambda: self.delay_seconds)
            back.join()


def _pump(source: socket.socket, sink: socket.socket, delay_seconds: Callable[[], float]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            time.sleep(delay_seconds())
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
