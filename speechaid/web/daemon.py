"""The daemon as the API asks it: over its control socket, on behalf of a user.

The daemon is the one authority: it checks the user's role and account again, records who did what, and
answers a pause only when it is kept. Commands that stop calls have places of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol

from speechaid.model.identity import Principal, PrincipalKind
from speechaid.protocol.client import Client, Progress, Refused, Unanswered, Unreachable
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.on_behalf import OnBehalf
from speechaid.protocol.specs.specification import CommandSpec
from speechaid.protocol.translation import ENGLISH, say
from speechaid.telemetry.logs import get_logger
from speechaid.web.problems import Problem, refusal_problem

log = get_logger("speechaid.web")

#: Commands under way at once: ordinary ones, those that may take minutes, and those that stop calls. The
#: daemon takes eight ordinary ones of one process.
_PLACES: Final = {"ordinary": 3, "scan": 2, "long": 3, "urgent": 8}
#: Commands that may have the database read a whole collection: the embedded one does so for each.
SCANS: Final = frozenset({"jobs", "export", "person", "promises", "report", "forecast", "check-agent"})
#: After such a command its place rests for so many times as long as it took, and at most for
#: some seconds: whatever clients poll, workers have the database for most of the time.
_REST_FACTOR: Final = 3.0
_LONGEST_REST_SECONDS: Final = 5.0
_LONG_SECONDS: Final = 300.0
#: Files that are in memory at once.
_FILES: Final = 2
#: Seconds that a command waits for a place.
PLACE_SECONDS: Final = 10.0
#: For so many seconds the daemon counts as up, or away, for ``health``.
_PRESENCE_SECONDS: Final = 2.0
_STATUS_SECONDS: Final = 2.0
#: Seconds after which a command without an answer makes one ask whether the daemon answers at all.
_PATIENCE_SECONDS: Final = 10.0

#: The language of the daemon's sentences in answers to the request that is being served.
answer_language: ContextVar[str] = ContextVar("answer_language", default=ENGLISH)


class Attachable(Protocol):
    """A file that a command takes."""

    async def read(self) -> bytes:
        """The whole file."""


class DaemonConnection:
    """Asks the daemon of one control socket; for one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = {
            kind: ThreadPoolExecutor(places, thread_name_prefix=kind) for kind, places in _PLACES.items()
        }
        self._places = {kind: asyncio.Semaphore(places) for kind, places in _PLACES.items()}
        self._files = asyncio.Semaphore(_FILES)
        self._presence_thread = ThreadPoolExecutor(1, thread_name_prefix="presence")
        #: When the daemon was last asked, and whether it answered.
        self._presence: tuple[float, bool] = (float("-inf"), False)
        self._asking_status: asyncio.Future[bool] | None = None

    async def ask(
        self,
        principal: Principal,
        command: str,
        args: Mapping[str, Any],
        *,
        attachment: bytes | None = None,
        on_progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Have the daemon carry out a command; its result.

        What was sent goes on when the HTTP client leaves: only its answer is lost. ``on_progress`` is called
        in another thread.

        Raises:
            Problem: the daemon refused, is away, or did not answer in time.
        """
        spec = COMMANDS[command]
        kind = _kind_of(spec)
        language = answer_language.get()
        if kind != "urgent" and self._was_away and not await self.is_up():
            raise daemon_away()
        try:
            await asyncio.wait_for(self._places[kind].acquire(), PLACE_SECONDS)
        except TimeoutError as exc:
            text = say("other requests to the daemon are under way: try again later")
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code=ErrorCode.BUSY) from exc

        def work() -> dict[str, Any]:
            with Client(self._path, on_behalf=on_behalf(principal), language=language) as client:
                return client.ask(
                    spec.name,
                    args,
                    attachment=attachment,
                    timeout_seconds=spec.timeout_seconds,
                    on_progress=on_progress,
                )

        loop, began = asyncio.get_running_loop(), time.monotonic()
        task = loop.run_in_executor(self._threads[kind], work)
        task.add_done_callback(
            lambda _: loop.call_later(_rest(kind, time.monotonic() - began), self._places[kind].release)
        )
        try:
            return await self._answer_of(task)
        except Refused as exc:
            raise refusal_problem(exc.code, str(exc)) from exc
        except Unanswered as exc:
            raise _unanswered() from exc
        except Unreachable as exc:
            self._presence = (time.monotonic(), False)
            log.warning("web.daemon_away", text=str(exc))
            raise daemon_away() from exc

    async def _answer_of(self, task: asyncio.Future[dict[str, Any]]) -> dict[str, Any]:
        """Wait for an answer for as long as the daemon answers others: one that hangs holds up no client.

        Raises:
            Problem: the daemon has the request, or may have it, and answers nobody.
        """
        while True:
            done, _ = await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
            if done:
                return task.result()
            if not await self.is_up() and not task.done():
                # Its end is of no interest to anybody any more.
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
                raise _unanswered()

    @property
    def _was_away(self) -> bool:
        at, is_up = self._presence
        return at > float("-inf") and not is_up

    @contextlib.asynccontextmanager
    async def place_for(self, file: Attachable | None) -> AsyncIterator[bytes | None]:
        """The content of a file, in memory until the block ends; None without one.

        Raises:
            Problem: others' files are under way.
        """
        if file is None:
            yield None
            return
        try:
            await asyncio.wait_for(self._files.acquire(), PLACE_SECONDS)
        except TimeoutError as exc:
            text = say("other files are under way: try again later")
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code=ErrorCode.BUSY) from exc
        try:
            yield await file.read()
        finally:
            self._files.release()

    async def is_up(self) -> bool:
        """Whether a daemon answers; asked at most every two seconds, for all who want to know."""
        at, is_up = self._presence
        if time.monotonic() - at < _PRESENCE_SECONDS:
            return is_up
        if self._asking_status is None or self._asking_status.done():
            loop = asyncio.get_running_loop()
            self._asking_status = loop.run_in_executor(self._presence_thread, self._ask_status)
        return await asyncio.shield(self._asking_status)

    def _ask_status(self) -> bool:
        is_up = True
        try:
            with Client(self._path) as client:
                client.ask("status", {}, timeout_seconds=_STATUS_SECONDS)
        except Refused:
            is_up = True
        except Unreachable:
            is_up = False
        self._presence = (time.monotonic(), is_up)
        return is_up

    def close(self) -> None:
        """Take no more commands; those under way go on in the daemon."""
        for threads in (*self._threads.values(), self._presence_thread):
            threads.shutdown(wait=False, cancel_futures=True)


def _kind_of(spec: CommandSpec) -> str:
    if spec.urgent:
        return "urgent"
    if spec.name in SCANS:
        return "scan"
    return "long" if spec.timeout_seconds > _LONG_SECONDS else "ordinary"


def _rest(kind: str, took: float) -> float:
    """For how many seconds the place of a command stays taken after it."""
    return min(took * _REST_FACTOR, _LONGEST_REST_SECONDS) if kind == "scan" else 0.0


def on_behalf(principal: Principal) -> OnBehalf:
    """Who asks, as the request's envelope names them."""
    kind = "token" if principal.kind is PrincipalKind.TOKEN else "user"
    return OnBehalf(user=principal.name, role=str(principal.role), account=principal.account_id, kind=kind)


def daemon_away() -> Problem:
    """The daemon cannot be asked; why is in the log, since it names files of the host."""
    text = say("the daemon is away, and this needs it: try again later")
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code=ErrorCode.UNAVAILABLE)


def _unanswered() -> Problem:
    text = say("the daemon did not answer in time; what was asked for may still be carried out")
    return Problem(HTTPStatus.GATEWAY_TIMEOUT, text, code=ErrorCode.TIMEOUT)
