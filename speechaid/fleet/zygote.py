"""The process that workers are forked from: single-threaded, imports warm, nothing open but its line.

Started once by exec, so that it has none of the supervisor's threads and descriptors. Messages on its line:

    to it    {id, slot, target, settings} with the worker's end of its channel as SCM_RIGHTS
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
from pathlib import Path
from typing import Any, Final, NoReturn

import setproctitle

from speechaid.errors import ExitStatus, FleetError
from speechaid.fleet.channel import MAX_MESSAGE_BYTES, Channel, decode, encode
from speechaid.fleet.messages import WorkerIdentity
from speechaid.fleet.processes import give_up_shelter
from speechaid.fleet.seat import Seat
from speechaid.fleet.signals import ALL_SIGNALS, blocked, ignore
from speechaid.settings import Settings

#: Says ``seat.ready()`` once it is able to work, and returns an exit status.
WorkerMain = Callable[[Seat, WorkerIdentity, Settings], int]

#: Meant for the supervisor; a terminal's Ctrl-C and a ``pkill -HUP`` pass by.
_FOREIGN_SIGNALS: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Warm up, then fork a worker for each request until the line ends."""
    parser = argparse.ArgumentParser(prog="speechaid-zygote")
    parser.add_argument("--line", type=int, required=True, help="descriptor of the supervisor's line")
    parser.add_argument("--target", required=True, help="module:function of the worker")
    options = parser.parse_args(arguments)
    setproctitle.setproctitle("speechaid: zygote")
    os.setsid()  # a terminal's signals are for the supervisor alone
    ignore(_FOREIGN_SIGNALS)
    faulthandler.enable()
    line = socket.socket(fileno=options.line)
    warm_up(options.target)
    line.send(encode({"ready": os.getpid()}))
    while serve_one(line):
        pass
    return 0


def warm_up(target: str) -> None:
    """Import what workers use, and freeze it, so that no collection ever touches (and copies) those pages."""
    gc.disable()  # garbage found now would leave holes in the pages that children share
    module = importlib.import_module(target.partition(":")[0])
    hook = getattr(module, "warm_up", None)
    if hook is not None:
        hook()
    gc.collect()
    gc.freeze()


def serve_one(line: socket.socket) -> bool:
    """Take one request and answer it; False at the end of the line."""
    try:
        data, descriptors, _, _ = socket.recv_fds(line, MAX_MESSAGE_BYTES, 1)
    except ConnectionResetError:
        return False
    if not data:
        return False
    request = decode(data) or {}
    try:
        answer = {"id": request.get("id"), "pid": fork_worker(descriptors[0], request)}
    except (OSError, IndexError, FleetError) as exc:
        answer = {"id": request.get("id"), "error": str(exc)}
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    try:
        line.send(encode(answer))
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def fork_worker(descriptor: int, request: dict[str, Any]) -> int:
    """Fork twice; the worker's pid, once it has become the subreaper's child."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with blocked():  # a signal must not hit the child before its own handlers stand
        middle = os.fork()
        if middle == 0:
            _fork_again(writer, descriptor, request)
    os.close(writer)
    told = os.read(reader, 32)  # one write, one read: end-of-file would wait for the worker to close its copy
    os.close(reader)
    # Only once the middle one is gone has the worker its new parent: answering earlier, the supervisor
    # might wait for a child that is not yet its own.
    os.waitpid(middle, 0)
    if not told:
        raise FleetError("the fork failed")
    return int(told)


def _fork_again(writer: int, descriptor: int, request: dict[str, Any]) -> NoReturn:
    """The short-lived middle process: fork the worker, tell its pid, leave."""
    try:
        pid = os.fork()
        if pid == 0:
            run_worker(descriptor, request)
        os.write(writer, str(pid).encode())
    finally:
        os._exit(0)  # never back into the zygote's own loop


def run_worker(descriptor: int, request: dict[str, Any]) -> NoReturn:
    """The worker's life, from fork to exit; signals are blocked when it begins."""
    status = int(ExitStatus.SOFTWARE)
    try:
        _close_all_but(descriptor)
        gc.enable()
        give_up_shelter()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        identity = WorkerIdentity(slot=request["slot"], host=request["host"], pid=os.getpid())
        setproctitle.setproctitle(f"speechaid: {identity.slot} [starting]")
        seat = Seat(Channel(socket.socket(fileno=descriptor)), identity)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL_SIGNALS)
        module, _, name = request["target"].partition(":")
        worker_main: WorkerMain = getattr(importlib.import_module(module), name)
        settings = Settings.from_wire(request["settings"])
        status = int(worker_main(seat, identity, settings))
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else status
    except BaseException:  # the last frame of the process: nothing may climb into the zygote
        log.exception("worker %s ends by a fault of its own", request.get("slot"))
    finally:
        _leave(status)


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
    for entry in list(Path("/proc/self/fd").iterdir()):
        number = int(entry.name)
        if number > 2 and number != keep:
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone already
                os.close(number)


if __name__ == "__main__":
    sys.exit(main())
