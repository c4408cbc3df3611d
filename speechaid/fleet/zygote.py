"""The process that workers are forked from: single-threaded, imports warm, nothing open but its line.

Started once by exec, so that it has none of the supervisor's threads and descriptors. Messages on its line:

    to it    {id, slot, host, settings} with the worker's end of its channel as SCM_RIGHTS
             {id, settings} with a spare's end of its line: it learns its slot there (``fleet.spare``)
    from it  {ready: pid}            imports are warm
             {id, pid}               that worker was forked, and is the supervisor's child
             {id, error}             it was not

It forks twice, so that the worker's parent is gone at once and the worker falls to the nearest subreaper:
the supervisor. End-of-file on the line is its order to leave.
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
from speechaid.fleet.processes import be_first_to_go
from speechaid.fleet.signals import ALL_SIGNALS, blocked, ignore
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.settings import Settings
from speechaid.telemetry.logs import get_logger

#: Says ``seat.ready()`` once it is able to work, and returns an exit status.
WorkerMain = Callable[[SupervisorLink, WorkerIdentity, Settings], int]
#: The same with its settings in it already.
PreparedMain = Callable[[SupervisorLink, WorkerIdentity], int]

#: Meant for the supervisor; a terminal's Ctrl-C and a ``pkill -HUP`` pass by.
_FOREIGN_SIGNALS: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)

log = get_logger("speechaid.fleet.zygote")  # not __name__: it runs as __main__


def main(arguments: list[str] | None = None) -> int:
    """Warm up, then fork a worker for each request until the line ends."""
    parser = argparse.ArgumentParser(prog="speechaid-zygote")
    parser.add_argument("--line", type=int, required=True, help="descriptor of the supervisor's line")
    parser.add_argument("--target", required=True, help="module:function of the worker")
    options = parser.parse_args(arguments)
    setproctitle.setproctitle("speechaid: zygote")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, it would hide how a fork ended
    ignore(_FOREIGN_SIGNALS)
    faulthandler.enable()
    line = socket.socket(fileno=options.line)
    nursery = PreparedMains(options.target)
    line.send(encode({"ready": os.getpid()}))
    while serve_one(line, nursery):
        pass
    return 0


class PreparedMains:
    """What workers have from before their birth: the module, warm, and what it prepares for their settings.

    What runs here runs once; what a worker runs after the fork copies each page that it touches, be it only
    to count a reference.
    """

    def __init__(self, target: str) -> None:
        name, _, function = target.partition(":")
        gc.disable()  # garbage found now would leave holes in the pages that children share
        module = importlib.import_module(name)
        self._main: WorkerMain = getattr(module, function)
        self._prepare: Callable[[Settings], PreparedMain] = getattr(module, "prepare", self._bare)
        self._wire: dict[str, Any] | None = None
        self._prepared: PreparedMain | None = None
        warm_up = getattr(module, "warm_up", None)
        if warm_up is not None:
            warm_up()
        _freeze()

    def main_for(self, wire: dict[str, Any]) -> PreparedMain:
        """What a worker of these settings runs; prepared once for as long as the settings stay the same."""
        if self._prepared is None or wire != self._wire:
            self._prepared, self._wire = self._prepare(Settings.from_wire(wire)), wire
            _freeze()
        return self._prepared

    def _bare(self, settings: Settings) -> PreparedMain:
        return lambda link, identity: self._main(link, identity, settings)


def _freeze() -> None:
    """Collect, and hide what is left from the collector: its marks would copy every page in each worker."""
    gc.collect()
    gc.freeze()


def serve_one(line: socket.socket, nursery: PreparedMains) -> bool:
    """Take one request and answer it; False at the end of the line."""
    try:
        data, descriptors, _, _ = socket.recv_fds(line, MAX_MESSAGE_BYTES, 1)
    except ConnectionResetError:
        return False
    if not data:
        return False
    request = decode(data) or {}
    try:
        worker_main = nursery.main_for(request["settings"])
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
    """Fork twice; the worker's pid, once it has become the subreaper's child."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with blocked():  # a signal must not hit the child before its own handlers stand
        middle = os.fork()
        if middle == 0:
            _fork_again(writer, descriptor, request, worker_main)
    os.close(writer)
    told = os.read(reader, 32)  # one write, one read: end-of-file would wait for the worker to close its copy
    os.close(reader)
    # Only once the middle one is gone has the worker its new parent: answering earlier, the supervisor
    # might wait for a child that is not yet its own.
    os.waitpid(middle, 0)
    if not told:
        raise FleetError("the fork failed")
    return int(told)


def _fork_again(writer: int, descriptor: int, request: dict[str, Any], worker_main: PreparedMain) -> NoReturn:
    """The short-lived middle process: fork the worker, tell its pid, leave."""
    try:
        pid = os.fork()
        if pid == 0:
            run_worker(descriptor, request, worker_main)
        os.write(writer, str(pid).encode())
    finally:
        os._exit(0)  # never back into the zygote's own loop


def run_worker(descriptor: int, request: dict[str, Any], worker_main: PreparedMain) -> NoReturn:
    """The worker's life, from fork to exit; signals are blocked when it begins."""
    status = int(ExitStatus.SOFTWARE)
    try:
        _close_all_but(descriptor)
        gc.enable()
        be_first_to_go()
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
    except BaseException:  # the last frame of the process: nothing may climb into the zygote
        log.exception("worker.fault", worker=request.get("slot"))
    finally:
        _leave(status)


def _wait_for_slot(descriptor: int) -> tuple[dict[str, Any], int]:
    """A spare's life: until it is told which worker it is, and given that worker's end of its channel."""
    setproctitle.setproctitle("speechaid: spare")
    with socket.socket(fileno=descriptor) as line:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL_SIGNALS)
        data, descriptors, _, _ = socket.recv_fds(line, MAX_MESSAGE_BYTES, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, ALL_SIGNALS)
    if not data:
        sys.exit(ExitStatus.OK)
    return decode(data) or {}, descriptors[0]


def _leave(status: int) -> NoReturn:
    """End this process with that status, also where there is no memory left to do it tidily."""
    try:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    finally:
        os._exit(status)


def _close_all_but(keep: int) -> None:
    """Close every descriptor but stdio and the worker's own: the line, pipes, what a hook left open."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a tenth of the pages that a Path touches
        number = int(name)
        if number > 2 and number != keep:
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone already
                os.close(number)


if __name__ == "__main__":
    sys.exit(main())
