"""The process that workers are forked from: single-threaded, imports done, nothing open but its line.

Started by exec, so that it has none of the supervisor's threads and descriptors. Messages on its line (a
``Channel`` to the supervisor):

    to it    {id, slot, host, settings} with the worker's end of its channel as SCM_RIGHTS
             {id, settings} with a spare's end of its line, on which it gets its slot (``fleet.spare``)
    from it  {ready: pid}            imports are done
             {id, pid}               the worker was forked, and is the supervisor's child
             {id, error}             it was not

It forks twice, so that the worker's parent exits at once and the worker becomes a child of the nearest
subreaper, the supervisor. End-of-file on the line is its order to leave.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

import setproctitle

from speechaid.errors import ExitStatus, FleetError, SpeechaidError
from speechaid.fleet.channel import MAX_MESSAGE_BYTES, Channel, decode, encode
from speechaid.fleet.messages import WorkerIdentity
from speechaid.fleet.processes import raise_oom_score
from speechaid.fleet.signals import ALL_SIGNALS, blocked, ignore
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.settings import Settings
from speechaid.telemetry.logs import get_logger

#: Calls ``link.ready()`` once it can work, and returns an exit status.
WorkerMain = Callable[[SupervisorLink, WorkerIdentity, Settings], int]
#: A ``WorkerMain`` with its settings bound.
PreparedMain = Callable[[SupervisorLink, WorkerIdentity], int]

#: Meant for the supervisor; ignored here (Ctrl-C in a terminal, ``pkill -HUP``).
_SUPERVISOR_SIGNALS: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)

log = get_logger("speechaid.fleet.zygote")  # not __name__: it runs as __main__


def main(arguments: list[str] | None = None) -> int:
    """Import and prepare, then fork a worker for each request until end-of-file."""
    parser = argparse.ArgumentParser(prog="speechaid-zygote")
    parser.add_argument("--line", type=int, required=True, help="descriptor of the supervisor's line")
    parser.add_argument("--target", required=True, help="module:function of the worker")
    options = parser.parse_args(arguments)
    setproctitle.setproctitle("speechaid: zygote")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, it would hide how a fork ended
    ignore(_SUPERVISOR_SIGNALS)
    faulthandler.enable()
    line = socket.socket(fileno=options.line)
    prepared = PreparedMains(options.target)
    line.send(encode({"ready": os.getpid()}))
    while serve_one(line, prepared):
        pass
    return 0


class PreparedMains:
    """What is done before the fork: the worker's module imported, and its preparation for given settings.

    Code runs here once; after the fork each worker copies every page that it touches, be it only to count a
    reference.
    """

    def __init__(self, target: str) -> None:
        name, _, function = target.partition(":")
        gc.disable()  # collecting now would leave holes in the pages that children share
        module = importlib.import_module(name)
        self._main: WorkerMain = getattr(module, function)
        self._prepare: Callable[[Settings], PreparedMain] = getattr(module, "prepare", self._bind_settings)
        self._wire: dict[str, Any] | None = None
        self._prepared: PreparedMain | None = None
        warm_up = getattr(module, "warm_up", None)
        if warm_up is not None:
            warm_up()
        _freeze()

    def main_for(self, wire: dict[str, Any]) -> PreparedMain:
        """The main function for these settings; prepared once, again where they change."""
        if self._prepared is None or wire != self._wire:
            self._prepared, self._wire = self._prepare(Settings.from_wire(wire)), wire
            _freeze()
        return self._prepared

    def _bind_settings(self, settings: Settings) -> PreparedMain:
        return lambda link, identity: self._main(link, identity, settings)


def _freeze() -> None:
    """Collect, then exclude all objects from collection: marking would copy every page in each worker."""
    gc.collect()
    gc.freeze()


def serve_one(line: socket.socket, prepared: PreparedMains) -> bool:
    """Serve one request; False at end-of-file."""
    try:
        data, descriptors, _, _ = socket.recv_fds(line, MAX_MESSAGE_BYTES, 1)
    except ConnectionResetError:
        return False
    if not data:
        return False
    request = decode(data) or {}
    try:
        worker_main = prepared.main_for(request["settings"])
        answer = {"id": request.get("id"), "pid": fork_worker(descriptors[0], request, worker_main)}
    except (OSError, LookupError, SpeechaidError) as exc:
        answer = {"id": request.get("id"), "error": str(exc)}
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    try:
        line.send(encode(answer))
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def fork_worker(descriptor: int, request: dict[str, Any], worker_main: PreparedMain) -> int:
    """Fork twice; the worker's pid, once it is the subreaper's child."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with blocked():  # no signal may reach the child before its own handlers are set
        middle = os.fork()
        if middle == 0:
            _fork_again(writer, descriptor, request, worker_main)
    os.close(writer)
    pid = os.read(reader, 32)  # one write, one read: end-of-file would wait for the worker to close its copy
    os.close(reader)
    # The worker has its new parent only once the middle process is gone: answered earlier, the supervisor
    # might wait for a process that is not its child yet.
    os.waitpid(middle, 0)
    if not pid:
        raise FleetError("the fork failed")
    return int(pid)


def _fork_again(writer: int, descriptor: int, request: dict[str, Any], worker_main: PreparedMain) -> NoReturn:
    """The short-lived middle process: fork the worker, send its pid, exit."""
    try:
        pid = os.fork()
        if pid == 0:
            run_worker(descriptor, request, worker_main)
        os.write(writer, str(pid).encode())
    finally:
        os._exit(0)  # never return into the zygote's loop


def run_worker(descriptor: int, request: dict[str, Any], worker_main: PreparedMain) -> NoReturn:
    """Run a worker from fork to exit; signals are blocked at the start."""
    status = int(ExitStatus.SOFTWARE)
    try:
        _close_all_but(descriptor)
        gc.enable()
        raise_oom_score()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if "slot" not in request:
            request, descriptor = _wait_for_slot(descriptor)
        identity = WorkerIdentity(slot=request["slot"], host=request["host"], pid=os.getpid())
        setproctitle.setproctitle(f"speechaid: {identity.slot} [starting]")
        link = SupervisorLink(Channel(socket.socket(fileno=descriptor)), identity)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL_SIGNALS)
        status = int(worker_main(link, identity))
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else status
    except BaseException:  # the last frame of the process: nothing may return into the zygote
        log.exception("worker.fault", worker=request.get("slot"))
    finally:
        _exit(status)


def _wait_for_slot(descriptor: int) -> tuple[dict[str, Any], int]:
    """Wait as a spare for the message with slot and channel; both."""
    setproctitle.setproctitle("speechaid: spare")
    with socket.socket(fileno=descriptor) as line:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL_SIGNALS)
        data, descriptors, _, _ = socket.recv_fds(line, MAX_MESSAGE_BYTES, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, ALL_SIGNALS)
    if not data:
        sys.exit(ExitStatus.OK)
    return decode(data) or {}, descriptors[0]


def _exit(status: int) -> NoReturn:
    """Exit with this status, even where no memory is left to clean up."""
    try:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    finally:
        os._exit(status)


def _close_all_but(keep: int) -> None:
    """Close every descriptor but stdio and ``keep``: the line, pipes, what a hook left open."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - touches a tenth of the pages of a Path
        number = int(name)
        if number > 2 and number != keep:
            with contextlib.suppress(OSError):  # the listing's own descriptor is closed already
                os.close(number)


if __name__ == "__main__":
    sys.exit(main())
