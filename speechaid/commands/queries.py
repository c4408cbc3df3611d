"""Reports, forecasts and exports: made in a process of their own, since they may read a whole collection.

What comes back is checked for being an answer, and bounded in size; the client shows it as any text of the
database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from speechaid.commands import export, forecast, report
from speechaid.commands.interfaces import (
    BackgroundHandler,
    CommandRefused,
    Continue,
    HandlerContext,
    Invocation,
    Result,
)
from speechaid.commands.reading import await_reader
from speechaid.importing.process import Reader, ReaderPool, Work
from speechaid.model.masking import fingerprint
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import read_wire_text, say, say_later
from speechaid.settings import Settings

#: What the process carries out.
HANDLERS: Final[Mapping[str, BackgroundHandler]] = {
    "report": report.report,
    "forecast": forecast.forecast,
    "export": export.export,
    "promises": export.promises,
}
_SMALLER: Final = say_later("ask for one batch with --batch")
_OTHER: Final = say_later("ask again; speechctl doctor names documents that cannot be read")


class Query:
    """A command whose answer a process makes; ``poll`` until it is finished."""

    def __init__(self, pool: ReaderPool, name: str, command: Invocation, settings: Settings) -> None:
        """Begin as soon as there is a place."""
        wire = settings.of_database_reader().to_wire()
        self.reader: Reader = pool.begin(
            Work(
                module="speechaid.commands.query_process",
                task=name,
                arguments={
                    "command": name,
                    "args": dict(command.args),
                    "actor": command.actor,
                    "settings": wire,
                    "snapshot": _needed_of(command.snapshot),
                    "fingerprint": fingerprint(settings.retell.api_key.get_secret_value()),
                },
                subject=say("the answer to {name}", name=name),
                smaller=_SMALLER,
                other=_OTHER,
                connects_to_database=True,
                keep_for=hashlib.sha256(json.dumps(wire).encode()).hexdigest(),
            )
        )
        self.answer: dict[str, Any] = {}
        self._parts: list[bytes] = []

    def poll(self) -> bool:
        """Take what the process has sent; whether it has come to the end.

        Raises:
            ReaderFailed: the process has failed.
            SpeechaidError: of the command, in the process.
        """
        self._parts += self.reader.poll()
        if not self.reader.is_finished:
            return False
        self.reader.take_checked(self._read_answer)
        return True

    def take_result(self) -> Result:
        """The command's result.

        Raises:
            CommandRefused: the command is refused.
        """
        refused = self.answer.get("refused")
        if refused is not None:
            raise CommandRefused(ErrorCode(refused["code"]), read_wire_text(refused["message"]))
        result: Result = self.answer["result"]
        return result

    def _read_answer(self) -> None:
        answer = json.loads(b"".join(self._parts))
        refused = answer.get("refused")
        is_refusal = isinstance(refused, dict) and isinstance(refused.get("message"), str)
        if is_refusal:
            ErrorCode(refused["code"])
        elif not isinstance(answer.get("result"), dict):
            raise ValueError(say("no answer"))
        self.answer = answer


def _needed_of(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """What a forecast must know of the daemon: whether it is held, and which workers may claim."""
    if not snapshot:
        return {}
    workers = [
        {field: row.get(field) for field in ("pid", "paused", "leaving")}
        for row in snapshot.get("workers", [])
    ]
    return {"supervisor": {"held": snapshot.get("supervisor", {}).get("held")}, "workers": workers}


def in_process(name: str) -> BackgroundHandler:
    """The handler that has a process carry out this command."""

    def handler(context: HandlerContext, command: Invocation) -> Result | Continue:
        query = Query(context.readers, name, command, context.settings)
        return await_reader(
            context,
            command,
            query,
            lambda _context: query.take_result(),
            needs_client=True,
            shows_progress=False,
        )

    return handler
