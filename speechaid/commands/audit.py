"""The record of operators' commands: every write, who asked for it, and what came of it."""

from __future__ import annotations

import pwd
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from speechaid.commands.interfaces import HandlerContext, SubmitTask
from speechaid.errors import SpeechaidError, StoreError, StoreUnavailable
from speechaid.model.masking import mask_phone
from speechaid.protocol.messages import Peer, Request
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)

#: What is not yet on record is offered again so much later, in seconds.
_RETRY_SECONDS: Final = 30.0
#: Lines kept for a database that is away; the log has them all.
_KEPT: Final = 10_000


def actor_of(peer: Peer) -> str:
    """Who a peer is, for people: ``maria (uid 1000)``. May ask the user database, so never in the loop."""
    if peer.name is not None:
        return f"{peer.name} (key, {peer.address})"
    if peer.uid is None:
        return "unknown client"
    try:
        return f"{pwd.getpwuid(peer.uid).pw_name} (uid {peer.uid})"
    except KeyError:
        return f"uid {peer.uid}"


def _who(peer: Peer) -> dict[str, Any]:
    """As fields of a log line."""
    if peer.name is not None:
        return {"client": peer.name, "address": peer.address}
    return {"uid": peer.uid, "pid": peer.pid}


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One command as it goes on record."""

    peer: Peer
    command: str
    args: dict[str, Any]
    outcome: str


class AuditLog:
    """Writes the lines in order, by one task at a time: while the database is away they queue here, and do
    not keep the clerk from other work.
    """

    def __init__(self, submit: SubmitTask) -> None:
        self._submit = submit
        self._lines: deque[_Line] = deque(maxlen=_KEPT)
        self._writing = False

    def record(self, request: Request, outcome: str) -> None:
        """Put a command on record, now or when the database is back."""
        name, peer = request.command.name, request.peer
        log.info("command", command=name, outcome=str(outcome), **_who(peer))
        given = {
            key: mask_phone(value) if key == "number" else value
            for key, value in request.args.items()
            if value is not None and value is not False
        }
        self._lines.append(_Line(peer=peer, command=name, args=given, outcome=str(outcome)))
        self._write(0.0)

    def _write(self, delay_seconds: float) -> None:
        if self._writing or not self._lines:
            return
        line = self._lines[0]
        try:
            self._submit(
                lambda context: _write_line(context, line), self._written, delay_seconds=delay_seconds
            )
        except SpeechaidError as exc:
            log.warning("command.not_recorded", command=line.command, text=str(exc))
            return
        self._writing = True

    def _written(self, fault: StoreError | None) -> None:
        self._writing = False
        if isinstance(fault, StoreUnavailable):
            self._write(_RETRY_SECONDS)
            return
        line = self._lines.popleft()
        if fault is not None:
            log.error("command.not_recorded", command=line.command, text=str(fault))
        self._write(0.0)


def _write_line(context: HandlerContext, line: _Line) -> StoreError | None:
    try:
        context.store.logs.audit(
            actor=actor_of(line.peer), command=line.command, args=line.args, outcome=line.outcome
        )
    except StoreError as exc:
        return exc
    return None
