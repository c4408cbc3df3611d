"""The process of ``speechaid web``: settings, log, listener, signals, a bounded stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from typing import Final

import uvicorn

from speechaid.errors import ConfigError, ExitStatus, SpeechaidError, TelemetryError
from speechaid.fleet.systemd import SystemdNotifier
from speechaid.model.identity import Principal
from speechaid.settings import Settings, get_web_settings, settings_warnings
from speechaid.telemetry import logs
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.sink import file_fault, log_refused
from speechaid.web.app import build
from speechaid.web.connections import TimedConnection
from speechaid.web.daemon import DaemonConnection
from speechaid.web.database import DatabaseReader
from speechaid.web.idempotency import IdempotencyKeys
from speechaid.web.limits import HEAD_BYTES
from speechaid.web.problems import Problem
from speechaid.web.services import Services

log = get_logger("speechaid.web")

#: Seconds for requests under way at a stop; what they asked the daemon for goes on without them.
STOP_SECONDS: Final = 10
#: Seconds that an idle connection is kept.
_IDLE_SECONDS: Final = 75
_TICK_SECONDS: Final = 1.0


def serve() -> ExitStatus:
    """Serve the API until a signal ends it.

    Raises:
        ConfigError: the settings cannot be used.
        TelemetryError: the address cannot be had.
    """
    settings = get_web_settings()
    _open_log(settings)
    for warning in settings_warnings():
        log.warning("settings.warning", text=warning)
    listener = _listen(settings.web.address)
    try:
        asyncio.run(_serve(settings, listener))
    finally:
        listener.close()
    log.info("web.stopped")
    if threading.active_count() > 1:
        # Threads that wait for the daemon's answers: minutes, of an import. Nobody waits for them any more.
        os._exit(ExitStatus.OK)
    return ExitStatus.OK


async def _serve(settings: Settings, listener: socket.socket) -> None:
    reader = DatabaseReader(settings.database)
    daemon = DaemonConnection(settings.control.socket)
    services = Services(reader=reader, daemon=daemon, keys=IdempotencyKeys(reader))

    async def find(token: str, _address: str) -> Principal | None:
        return await reader.on_identities(lambda store: store.identities.find_token(token))

    proxies = list(settings.web.proxies or ())
    server = uvicorn.Server(
        uvicorn.Config(
            build(services, find, settings.web),
            http=TimedConnection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            access_log=False,
            log_config=None,
            date_header=True,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=proxies,
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
    # uvicorn handles signals only while it serves, and raises them again after its orderly end: an earlier
    # one must not be lost, a repeated one must not kill.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    place = listener.getsockname()
    address = f"{place[0]}:{place[1]}" if listener.family == socket.AF_INET else f"[{place[0]}]:{place[1]}"
    log.info("web.started", address=address, database=settings.database.shown_uri)
    tasks = [asyncio.create_task(_notify(server, address)), asyncio.create_task(_warn_of_no_token(reader))]
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in tasks:
            task.cancel()
        daemon.close()
        reader.close()


async def _warn_of_no_token(reader: DatabaseReader) -> None:
    """Say once how the first token is made, where there is none."""
    try:
        found = await reader.on_identities(lambda store: store.identities.find_tokens())
    except (SpeechaidError, Problem):
        return  # the database is away: each answer says so
    if not found:
        text = "no token works yet: speechctl token-add NAME --role ROLE makes one (docs/api.md)"
        log.warning("web.no_token", text=text)


async def _notify(server: uvicorn.Server, address: str) -> None:
    """Each second: tell systemd that the loop runs."""
    systemd = SystemdNotifier()
    while True:
        leaving = server.should_exit
        status = "stopping" if leaving else f"serving {address}"
        systemd.notify(status, up=server.started, supervising=True, leaving=False)
        if leaving:
            systemd.stopping(status)
        await asyncio.sleep(_TICK_SECONDS)


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        family, kind, proto, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
    except OSError as exc:
        text = f"the API cannot be served on {address}: {exc.strerror or exc}; set SPEECHAID_WEB_ADDRESS"
        raise TelemetryError(text) from exc
    return listener


def _open_log(settings: Settings) -> None:
    own = settings.logging
    if own.file is not None and (fault := file_fault(own.file)) is not None:
        raise ConfigError([log_refused(own.file, fault)])
    logs.configure(own.level, own.format, file=own.file, secrets=settings.secrets())
