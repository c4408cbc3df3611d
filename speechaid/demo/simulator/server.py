"""The command line: ``python -m speechaid.demo.simulator``.

Prints one line with its address once it listens; SIGTERM and SIGINT end it with status 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import uvicorn
from pydantic import ValidationError

from speechaid.demo.simulator import control, placed_calls
from speechaid.demo.simulator.app import AdjustableClock, Simulator, build
from speechaid.demo.simulator.broken_responses import ResettableProtocol
from speechaid.demo.simulator.settings import Settings
from speechaid.demo.simulator.workspace import Workspace
from speechaid.errors import ExitStatus
from speechaid.fleet.systemd import SystemdNotifier

#: Environment variable for the key: every user of the machine can read the command line.
KEY_VARIABLE: Final = "SIMULATOR_API_KEY"
#: The address line starts with this.
GREETING: Final = "Retell simulator listening on"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator until a signal ends it; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = Settings.model_validate(_settings(options))
    except (TypeError, ValueError, OSError) as exc:
        parser.error(_reason(exc))
    try:
        listener = _listen(options.host, options.port)
    except OSError as exc:
        print(f"cannot listen on {options.host}:{options.port}: {exc.strerror}", file=sys.stderr)
        return ExitStatus.CANTCREAT
    address = f"http://{options.host}:{listener.getsockname()[1]}"
    simulator = _simulator(settings, options.ledger)
    server = _server(simulator)
    # uvicorn handles signals only while it serves, and raises them again after its orderly end: an earlier
    # signal must not be lost, a repeated one must not kill.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    if options.port_file is not None:
        options.port_file.write_text(address.rsplit(":", 1)[1] + "\n")
    print(f"{GREETING} {address}", flush=True)
    SystemdNotifier().notify(address, up=True, supervising=False, leaving=False)
    asyncio.run(_serve(server, listener, watch_input=options.exit_with_parent))
    return ExitStatus.OK


def _server(simulator: Simulator) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            build(simulator, control.routes(simulator)),
            http=ResettableProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            access_log=False,
            log_level="critical",
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=75,
        )
    )


async def _serve(server: uvicorn.Server, listener: socket.socket, *, watch_input: bool) -> None:
    if watch_input:
        _exit_at_end_of_input(server)
    await server.serve(sockets=[listener])


def _exit_at_end_of_input(server: uvicorn.Server) -> None:
    """Exit when standard input ends, which it does when the parent dies in any way."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            server.should_exit = True

    loop.add_reader(0, read)


def _simulator(settings: Settings, path: Path | None) -> Simulator:
    placed = [] if path is None else placed_calls.read_calls(path)
    workspace = Workspace(settings, None if path is None else placed_calls.PlacedCallsFile(path))
    workspace.restore(placed)
    return Simulator(workspace, AdjustableClock(time.time))


def _listen(host: str, port: int) -> socket.socket:
    # asyncio disables Nagle's algorithm only if the socket has an explicit protocol: 40 ms per answer
    # otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Listen before the address is printed, so that no client connects too early.
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="speechaid simulator",
        description="A Retell-compatible server that places no real calls. Ring, talk and analysis seconds"
        " are call seconds: --speed of them pass in one second.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): a free port")
    parser.add_argument("--port-file", type=Path, metavar="FILE", help="write the port to FILE")
    parser.add_argument(
        "--api-key",
        action="append",
        dest="api_keys",
        metavar="KEY",
        help=f"accepted API key; may be repeated. Default: the value of {KEY_VARIABLE}",
    )
    parser.add_argument(
        "--ledger",
        type=Path,
        metavar="FILE",
        help="record placed calls in FILE; continue with the calls in it",
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="exit when standard input ends")
    parser.add_argument("--seed", type=int, help="the same seed gives the same outcomes")
    parser.add_argument("--speed", type=float, help="call seconds that pass in one second (default: 1)")
    parser.add_argument("--ring-seconds", metavar="A,B", help="default: 3,20")
    parser.add_argument("--talk-seconds", metavar="A,B", help="default: 15,120")
    parser.add_argument("--analysis-delay-seconds", type=float, help="default: 5")
    parser.add_argument(
        "--odds", metavar="FILE-OR-JSON", help='weights, such as {"user_hangup": 2, "dial_busy": 1}'
    )
    parser.add_argument(
        "--script",
        metavar="FILE-OR-JSON",
        help='outcomes by number, such as {"+56...": ["dial_busy", "user_hangup"]}',
    )
    parser.add_argument("--promise-odds", type=float, help="fraction of answered calls with a promise to pay")
    parser.add_argument("--concurrency", type=int, dest="concurrency_limit", help="default: 20")
    parser.add_argument("--reserved-inbound", type=int, help="slots that outbound calls may not use")
    parser.add_argument("--burst", action="store_true", default=None, help="burst concurrency")
    parser.add_argument("--calls-per-second", type=float, help="limit per from_number; more get 429")
    parser.add_argument(
        "--list-delay-seconds", type=float, help="a call appears in lists only after this time (default: 0)"
    )
    parser.add_argument("--key-seconds", type=float, help="lifetime of idempotency keys (default: 3600)")
    parser.add_argument("--settings", metavar="FILE-OR-JSON", help="any other settings, by name")
    return parser


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The given settings by name; the others keep their defaults."""
    fields = _json(options.settings) if options.settings else {}
    for name in Settings.model_fields:
        value = getattr(options, name, None)
        if value is not None:
            fields[name] = value
    for name in ("ring_seconds", "talk_seconds"):
        if isinstance(fields.get(name), str):
            fields[name] = tuple(fields[name].split(","))
    for name in ("odds", "script"):
        if isinstance(fields.get(name), str):
            fields[name] = _json(fields[name])
    if "api_keys" not in fields and os.environ.get(KEY_VARIABLE):
        fields["api_keys"] = [os.environ[KEY_VARIABLE]]
    return fields


def _json(text: str) -> dict[str, Any]:
    """Parse JSON text, or the file of that name."""
    try:
        document = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except ValueError as exc:
        raise ValueError(f"not JSON: {text[:60]}: {exc}") from exc
    if not isinstance(document, dict):
        raise TypeError(f"not a JSON object: {text[:60]}")
    return document


def _reason(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        first = exc.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(exc)
