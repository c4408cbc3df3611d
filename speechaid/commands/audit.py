"""The audit log of operators' commands: every write, who sent it, and its outcome."""

from __future__ import annotations

import pwd
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from speechaid.commands.interfaces import HandlerContext, SubmitTask
from speechaid.errors import SpeechaidError, StoreError, StoreUnavailable
from speechaid.model.masking import mask_phone, mask_prose
from speechaid.protocol.messages import Peer, Request
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)

#: Delay before a line is written again after a failure, in seconds.
_RETRY_SECONDS: Final = 30.0
#: Lines kept while the database is away; the daemon's log has them all.
_MAX_LINES: Final = 10_000


def actor_of(peer: Peer) -> str:
    """A peer's name for people: ``maria (uid 1000)``. May query the user database: not in the loop thread."""
    if peer.on_behalf is not None:
        return peer.on_behalf.actor
    if peer.name is not None:
        return f"{peer.name} (key, {peer.address})"
    if peer.uid is None:
        return "unknown client"
    try:
        return f"{pwd.getpwuid(peer.uid).pw_name} (uid {peer.uid})"
    except KeyError:
        return f"uid {peer.uid}"


def recorded_args(request: Request) -> dict[str, Any]:
    """The given arguments as they are recorded: phone numbers masked in whatever people type."""
    prose = (argument.name for argument in request.command.wire_arguments if argument.is_prose)
    masked: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(prose, _mask),
        "number": mask_phone,
        "person": _hide,
    }
    secrets = {argument.name for argument in request.command.secrets}
    return {
        name: masked.get(name, _as_given)(value)
        for name, value in request.args.items()
        if value is not None and value is not False and name not in secrets
    }


def _mask(value: Any) -> Any:
    return [mask_prose(str(part)) for part in value] if isinstance(value, list) else mask_prose(str(value))


def _hide(_value: Any) -> str:
    """Whoever is asked for is not recorded: a name is no more to be kept than a number."""
    return "***"


def _as_given(value: Any) -> Any:
    return value


def _masked_change(change: Mapping[str, Any]) -> dict[str, Any]:
    """Old and new value of a setting: a name or a description may quote a phone number."""
    return {key: mask_prose(value) if isinstance(value, str) else value for key, value in change.items()}


def peer_fields(peer: Peer) -> dict[str, Any]:
    """A peer as fields of a log line."""
    if peer.on_behalf is not None:
        return {"client": peer.on_behalf.actor, "uid": peer.uid}
    if peer.name is not None:
        return {"client": peer.name, "address": peer.address}
    return {"uid": peer.uid, "pid": peer.pid}


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One command as it is recorded."""

    peer: Peer
    command: str
    args: dict[str, Any]
    outcome: str
    batch: str | None
    changes: Sequence[dict[str, Any]]


class AuditLog:
    """Writes the lines in order, one task at a time.

    While the database is away they queue here, and do not occupy the database thread.
    """

    def __init__(self, submit: SubmitTask) -> None:
        self._submit = submit
        self._lines: deque[_Line] = deque(maxlen=_MAX_LINES)
        self._writing = False

    def record(self, request: Request, outcome: str, result: Mapping[str, Any] | None = None) -> None:
        """Record a command, now or once the database is back.

        Of its result the batch's full id is recorded, and the changes with their old and new values.
        """
        name, peer = request.command.name, request.peer
        log.info("command", command=name, outcome=str(outcome), **peer_fields(peer))
        result = result or {}
        line = _Line(
            peer=peer,
            command=name,
            args=recorded_args(request),
            outcome=str(outcome),
            batch=result.get("batch_id"),
            changes=[_masked_change(change) for change in result.get("changes") or ()],
        )
        self._lines.append(line)
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
            actor=actor_of(line.peer),
            command=line.command,
            args=line.args,
            outcome=line.outcome,
            batch=line.batch,
            changes=line.changes,
        )
    except StoreError as exc:
        return exc
    return None
