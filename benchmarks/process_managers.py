"""Process managers without a queue: supervisord, circus, a fork loop; and gunicorn as a reference."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks import setup
from benchmarks.contenders import Running, Task, environ_of, process
from speechaid.embedded.files import port_is_free

SUPERVISORD = """[supervisord]
nodaemon=true
logfile={place}/supervisord.out
pidfile={place}/supervisord.pid
[program:solo]
command={python} -m benchmarks.peers.solo
process_name=%(program_name)s_%(process_num)s
numprocs={workers}
startsecs=0
autorestart=true
startretries=1000
"""
CIRCUS = """[circus]
endpoint = ipc://{place}/circus.endpoint
pubsub_endpoint = ipc://{place}/circus.pubsub
[watcher:solo]
cmd = {python} -m benchmarks.peers.solo
numprocesses = {workers}
copy_env = True
max_retry = -1
"""


@contextlib.contextmanager
def supervisord(task: Task) -> Iterator[Running]:
    """supervisord with one program of ``task.workers`` processes."""
    file = _configuration(task, "supervisord.conf", SUPERVISORD)
    command = [setup.python(), "-m", "supervisor.supervisord", "--configuration", file]
    with process(task, "supervisord", command, environ_of(task)) as pid:
        yield Running(roots=[pid])


@contextlib.contextmanager
def circus(task: Task) -> Iterator[Running]:
    """circusd with one watcher of ``task.workers`` processes."""
    command = [setup.python(), "-m", "circus.circusd", _configuration(task, "circus.ini", CIRCUS)]
    with process(task, "circus", command, environ_of(task)) as pid:
        yield Running(roots=[pid])


@contextlib.contextmanager
def fork_loop(task: Task) -> Iterator[Running]:
    """A parent that forks, waits, and forks again: the lower bound."""
    command = [setup.python(), "-m", "benchmarks.peers.solo", str(task.workers)]
    with process(task, "fork-loop", command, environ_of(task)) as pid:
        yield Running(roots=[pid])


@contextlib.contextmanager
def gunicorn(task: Task) -> Iterator[Running]:
    """Gunicorn's master with preloaded workers, connected and idle."""
    port = next(port for port in range(21_000, 31_000) if port_is_free(port))
    command = [setup.python(), "-m", "gunicorn", "--preload", "--workers", str(task.workers)]
    command += ["--config", str(setup.ROOT / "benchmarks/peers/web.py"), "--bind", f"127.0.0.1:{port}"]
    with process(task, "gunicorn", [*command, "benchmarks.peers.web:app"], environ_of(task)) as pid:
        yield Running(roots=[pid])


def _configuration(task: Task, name: str, text: str) -> str:
    path = task.place / name
    path.write_text(text.format(place=task.place, python=setup.python(), workers=task.workers))
    return str(path)
