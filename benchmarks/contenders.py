"""The contenders, each started as its documentation says, with the same jobs.

A contender is a context manager over a ``Task``. It adds the jobs to its queue, starts its processes, and
yields what is measured: the roots of its own processes and those of its broker.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import campaign, setup
from benchmarks.processes import tree, until
from benchmarks.servers import Server
from benchmarks.setup import ROOT
from benchmarks.stub import StubProcess
from speechaid.demo.daemon import DaemonProcess
from speechaid.embedded.files import port_is_free

STOP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """The jobs, the servers and the directory of one run."""

    place: Path
    server: Server
    database: str
    stub: StubProcess
    jobs: list[str]
    workers: int
    #: Which writes are made, a key of ``benchmarks.peers.work.STEPS``.
    writes: str = "same"
    poll_seconds: str = campaign.POLL_SECONDS
    #: Further settings of speechaid.
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def pids(self) -> Path:
        """Each worker of a peer creates a file here, named by its pid, when it is connected."""
        place = self.place / "pids"
        place.mkdir(exist_ok=True)
        return place

    def write(self, jobs: list[str]) -> str:
        """A file of these jobs, one a line."""
        path = self.place / "jobs"
        path.write_text("\n".join(jobs))
        return str(path)

    def last_words(self) -> str:
        """The end of each log of its processes."""
        logs = {path.name: path.read_text(errors="replace")[-1500:] for path in self.place.glob("*.log")}
        return "\n".join(f"{name}: {text}" for name, text in logs.items())


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running contender."""

    roots: list[int]
    broker: list[int] = field(default_factory=list)
    #: Adds more jobs, which are in the database already, to the contender's queue.
    feed: Callable[[list[str]], None] = lambda _jobs: None


Contender = Callable[[Task], "contextlib.AbstractContextManager[Running]"]


def environ_of(task: Task, **more: str) -> dict[str, str]:
    """The environment of a peer's processes."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "BENCH_URI": task.server.uri,
        "BENCH_DATABASE": task.database,
        "BENCH_RETELL": task.stub.base_url,
        "BENCH_WRITES": task.writes,
        "BENCH_POLL_SECONDS": task.poll_seconds,
        "BENCH_PIDS": str(task.pids),
        **more,
    }


@contextlib.contextmanager
def process(task: Task, name: str, command: list[str], environ: dict[str, str]) -> Iterator[int]:
    """A process of the task; it and its descendants end with the block."""
    with (task.place / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(
            command, env=environ, cwd=task.place, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield started.pid
    finally:
        below = tree(started.pid)
        started.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(STOP_SECONDS)
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        started.wait()


@contextlib.contextmanager
def _redis(task: Task) -> Iterator[tuple[str, int]]:
    """A Redis that syncs each command to disk before it answers; yields its address and pid."""
    port = next(port for port in range(21_000, 31_000) if port_is_free(port))
    command = [setup.redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(task.place)]
    command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    with process(task, "redis", command, environ_of(task)) as pid:
        until(lambda: not port_is_free(port), "redis to listen")
        yield f"redis://127.0.0.1:{port}/0", pid


def _queue(task: Task, module: str, environ: dict[str, str]) -> Callable[[list[str]], None]:
    """Add the task's jobs to a peer's queue; returns a function that adds more."""

    def feed(jobs: list[str]) -> None:
        command = [setup.python(), "-m", "benchmarks.peers.enqueue", module, task.write(jobs)]
        subprocess.run(command, env=environ, cwd=task.place, check=True)

    feed(task.jobs)
    return feed


# -- the contenders ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def floor(task: Task, **environ: str) -> Iterator[Running]:
    """A bare loop of the same requests and the same durable writes."""
    command = [sys.executable, "-m", "benchmarks.peers.floor", str(task.workers), task.write(task.jobs)]
    with process(task, "floor", command, environ_of(task, **environ)) as pid:
        yield Running(roots=[pid])


#: The same, with requests by the standard library only.
barest_floor: Contender = functools.partial(floor, BENCH_HTTP="bare")


@contextlib.contextmanager
def speechaid(task: Task) -> Iterator[Running]:
    """The daemon as an operator starts it."""
    changes = {"WORKER_COUNT": str(task.workers), "CALL_POLLING_INTERVAL": task.poll_seconds, **task.settings}
    environ = campaign.environ_for(task.server.uri, task.database, task.stub.base_url, task.place, **changes)
    daemon = DaemonProcess(task.place, environ)
    try:
        daemon.start()
        yield Running(roots=[supervisor(daemon)])
    finally:
        daemon.stop(at_once=True)


def supervisor(daemon: DaemonProcess) -> int:
    """The supervisor's pid."""
    return int(daemon.ask("status")["supervisor"]["pid"])


@contextlib.contextmanager
def speechai(task: Task) -> Iterator[Running]:
    """The script that speechaid replaces."""
    command = [sys.executable, "-m", "benchmarks.peers.speechai", str(task.workers)]
    with process(task, "speechai", command, environ_of(task)) as pid:
        yield Running(roots=[pid])


@contextlib.contextmanager
def celery(task: Task) -> Iterator[Running]:
    """Celery's prefork pool."""
    with _redis(task) as (url, redis):
        environ = environ_of(task, BENCH_REDIS=url)
        feed = _queue(task, "celery_app", environ)
        command = [setup.python(), "-m", "celery", "-A", "benchmarks.peers.celery_app", "worker"]
        command += ["--pool", "prefork", "--concurrency", str(task.workers), "--loglevel", "WARNING"]
        with process(task, "celery", command, environ) as pid:
            yield Running(roots=[pid], broker=[redis], feed=feed)


@contextlib.contextmanager
def dramatiq(task: Task) -> Iterator[Running]:
    """Dramatiq with a process a worker, one thread each."""
    with _redis(task) as (url, redis):
        environ = environ_of(task, BENCH_REDIS=url)
        feed = _queue(task, "dramatiq_app", environ)
        command = [setup.python(), "-m", "dramatiq", "benchmarks.peers.dramatiq_app"]
        command += ["--processes", str(task.workers), "--threads", "1"]
        with process(task, "dramatiq", command, environ) as pid:
            yield Running(roots=[pid], broker=[redis], feed=feed)


@contextlib.contextmanager
def rq(task: Task) -> Iterator[Running]:
    """RQ's pool of workers."""
    with _redis(task) as (url, redis):
        environ = environ_of(task, BENCH_REDIS=url)
        feed = _queue(task, "rq_app", environ)
        command = [str(setup.environment() / "bin" / "rq"), "worker-pool", "--url", url, "--quiet"]
        command += ["--num-workers", str(task.workers)]
        with process(task, "rq", command, environ) as pid:
            yield Running(roots=[pid], broker=[redis], feed=feed)


@contextlib.contextmanager
def huey(task: Task) -> Iterator[Running]:
    """Huey with a process a worker, its queue a file of SQLite."""
    environ = environ_of(task, BENCH_SQLITE=str(task.place / "huey.db"))
    feed = _queue(task, "huey_app", environ)
    command = [setup.python(), "-m", "huey.bin.huey_consumer", "benchmarks.peers.huey_app.huey"]
    command += ["--worker-type", "process", "--workers", str(task.workers), "--quiet"]
    with process(task, "huey", command, environ) as pid:
        yield Running(roots=[pid], feed=feed)
