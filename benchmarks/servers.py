"""The database of a benchmark: a given one, the embedded one, or a fast one.

``--mongo URI`` uses any server. ``--server embedded`` starts what ``MONGO_URI=embedded:`` starts, and
``--server fast`` its sibling in Rust (``secantusd-rs``; README.md says how to install it), found on PATH or
named by ``SPEECHAID_BENCH_MONGO``. Both sync each commit to disk, as a production server's journal does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from benchmarks.processes import until
from speechaid.embedded.database import EmbeddedDatabase

FAST_BINARY = "secantusd-rs"
FAST_VARIABLE = "SPEECHAID_BENCH_MONGO"
FAST_SESSIONS = 4_000
START_SECONDS = 60.0

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running database server."""

    kind: str
    uri: str
    #: None for a server of ``--mongo``, whose processes are not measured.
    pid: int | None
    version: str

    def client(self, **options: Any) -> MongoClient[Document]:
        """A new connection."""
        return MongoClient(self.uri, tz_aware=True, serverSelectionTimeoutMS=20_000, **options)


def fast_binary() -> str | None:
    """The path of the fast server's program; None where it is not installed."""
    return os.environ.get(FAST_VARIABLE) or shutil.which(FAST_BINARY)


@contextlib.contextmanager
def open_server(*, mongo: str | None, kind: str) -> Iterator[Server]:
    """A running server; one that is started here has an empty directory and ends with the block."""
    if mongo is not None:
        yield Server(kind="given", uri=mongo, pid=None, version=_version(mongo))
        return
    start = _fast if kind == "fast" else _embedded
    with (
        tempfile.TemporaryDirectory(prefix="speechaid-bench-", ignore_cleanup_errors=True) as place,
        start(Path(place)) as server,
    ):
        yield server


@contextlib.contextmanager
def _embedded(place: Path) -> Iterator[Server]:
    database = EmbeddedDatabase(place / "database")
    uri = database.start()
    try:
        yield Server(kind="embedded", uri=uri, pid=database.pid, version=_version(uri))
    finally:
        database.stop()


@contextlib.contextmanager
def _fast(place: Path) -> Iterator[Server]:
    binary = fast_binary()
    if binary is None:
        raise SystemExit(f"no {FAST_BINARY} on PATH, none named by {FAST_VARIABLE}: see benchmarks/README.md")
    log = place / "server.log"
    command = [binary, "--port", "0", "--storage-path", str(place / "data"), "--sync-on-commit"]
    command += ["--session-max", str(FAST_SESSIONS), "--log-level", "ERROR"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)

    def address() -> str | None:
        if process.poll() is not None:
            raise SystemExit(f"{binary} ended at once: {log.read_text()[-500:]}")
        said = log.read_text(errors="replace")
        return said.partition("listening on ")[2].split()[0] if "listening on " in said else None

    try:
        uri = f"mongodb://{until(address, 'the fast server to listen', seconds=START_SECONDS)}"
        yield Server(kind="fast", uri=uri, pid=process.pid, version=_version(uri))
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _version(uri: str) -> str:
    with MongoClient[Document](uri, serverSelectionTimeoutMS=20_000) as client:
        info = client.admin.command("buildInfo")
    extra = {name: info[name] for name in ("secantus", "secantusVersion") if info.get(name)}
    return f"{info.get('version')} {extra or ''}".strip()
