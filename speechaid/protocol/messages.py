"""The messages between daemon and clients. Standard library only.

Wire format: ZeroMQ, ROUTER in the daemon, DEALER in the client, JSON in UTF-8::

    request   frame 1   {"v": 1, "id": "7f3a", "command": "pause-batch", "args": {"batch": "batch-2026"}}
                        with "language": "es", sentences of the replies are in Spanish; else in English
              frame 2   the file's bytes; for commands that take a file, and only for these
    replies   any       {"v": 1, "id": "7f3a", "progress": {...}}      none or more, while the work goes on
              last      {"v": 1, "id": "7f3a", "ok": true, "result": {...}}
              or        {"v": 1, "id": "7f3a", "ok": false, "error": {"code": "...", "message": "..."}}

The web process says on whose behalf it asks, and with ``"v": 2``, so that a daemon which does not know
the field refuses the request and does not carry it out with all rights::

    {"v": 2, "id": "7f3a", "command": ..., "args": ..., "on_behalf": {"user": "maria", "role": "operator"}}

``on_behalf`` may have ``account``, an id to which the user is bound, and ``kind``: ``token`` for a program.

A client chooses the ``id`` and ignores replies with another one. A request whose id could not be read is
answered with ``"id": null``. The number after ``"v"`` grows when an old client would misunderstand a message.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.on_behalf import ON_BEHALF_VERSION, OnBehalf, read_on_behalf
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind, Runs
from speechaid.protocol.text import UNPRINTABLE, encode_json, printable_name
from speechaid.protocol.translation import ENGLISH, in_language, language_of, say, say_later

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ATTACHMENT_LIMIT",
    "COMMANDS",
    "EXIT_STATUS",
    "JSON_LIMIT",
    "ON_BEHALF_VERSION",
    "PROTOCOL_VERSION",
    "REVOKED",
    "SOCKET_PATH_LIMIT",
    "SYSTEM_SOCKET",
    "Access",
    "Argument",
    "ColumnKind",
    "CommandSpec",
    "ErrorCode",
    "Kind",
    "OnBehalf",
    "Peer",
    "Refusal",
    "Request",
    "Runs",
    "client_socket",
    "decode_request",
    "default_socket",
    "encode",
    "lock_path",
    "parse_duration",
    "path_fault",
    "validate",
]

PROTOCOL_VERSION: Final = 1
#: For a client on TCP, in answer to whatever it has sent.
REVOKED: Final = say_later("this client's key was revoked, or gives other access now")
#: Limit of a request's JSON, in bytes.
JSON_LIMIT: Final = 1024 * 1024
#: Limit of an attached file, in bytes.
ATTACHMENT_LIMIT: Final = 64 * 1024 * 1024
#: Limit of a text argument, in characters.
TEXT_LIMIT: Final = 4096
#: How often an option may be repeated.
REPEAT_LIMIT: Final = 200
#: Limit of a unix socket's path, in bytes: ``sun_path`` has 108 with its closing NUL.
SOCKET_PATH_LIMIT: Final = 107
#: The socket of root's daemon and of the system service.
SYSTEM_SOCKET: Final = "/run/speechaid/control.sock"


class ErrorCode(StrEnum):
    """Why a request was refused: for programs; the message is for people."""

    #: The first frame is not JSON.
    BAD_JSON = "bad_json"
    #: JSON, but not a request: a missing field, a wrong number of frames.
    BAD_REQUEST = "bad_request"
    BAD_VERSION = "bad_version"
    UNKNOWN_COMMAND = "unknown_command"
    BAD_ARGUMENT = "bad_argument"
    TOO_LARGE = "too_large"
    #: The client lacks the right to this command.
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    #: More than one id begins with the text given.
    AMBIGUOUS_ID = "ambiguous_id"
    #: Not carried out: too many requests are under way; the same one may succeed later.
    BUSY = "busy"
    #: Not carried out, for the reason in the message.
    REFUSED = "refused"
    #: The database or Retell is away; the same request may succeed later.
    UNAVAILABLE = "unavailable"
    #: The command did not end in time; the message says what is known.
    TIMEOUT = "timeout"
    #: A programming error of the daemon; its log has the details.
    INTERNAL = "internal"


class ColumnKind(StrEnum):
    """What the cells of an exported column are, where JSON cannot say it."""

    #: Never a number, even of digits alone: ids, phones, what people said.
    TEXT = "text"
    #: A number, yes or no, or a text, as it is stored.
    VALUE = "value"
    #: ``YYYY-MM-DD``.
    DAY = "day"
    #: ``YYYY-MM-DD HH:MM:SS`` in UTC.
    TIME = "time"


#: speechctl's exit status for each code: 1 refused, 2 wrong usage.
EXIT_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.BAD_JSON: 2,
    ErrorCode.BAD_REQUEST: 2,
    ErrorCode.BAD_VERSION: 2,
    ErrorCode.UNKNOWN_COMMAND: 2,
    ErrorCode.BAD_ARGUMENT: 2,
    ErrorCode.TOO_LARGE: 2,
    ErrorCode.FORBIDDEN: 1,
    ErrorCode.NOT_FOUND: 1,
    ErrorCode.AMBIGUOUS_ID: 1,
    ErrorCode.BUSY: 1,
    ErrorCode.REFUSED: 1,
    ErrorCode.UNAVAILABLE: 1,
    ErrorCode.TIMEOUT: 1,
    ErrorCode.INTERNAL: 1,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """The sender of a request: uid, gid and pid from the kernel, or None where they are unknown."""

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    #: Of a client on TCP: the name of its key, the public key itself, and its address.
    name: str | None = None
    key: str | None = None
    address: str | None = None
    #: The client's right; a client of the unix socket has passed its permission bits.
    access: Access = Access.WRITE
    #: For whom it asks, where it says so: believed of the web process alone (``control``).
    on_behalf: OnBehalf | None = None

    def may(self, access: Access) -> bool:
        """Whether the client may give commands that need this access."""
        return self.access.is_enough_for(access)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A valid request; ``args`` is complete, with defaults."""

    id: str
    command: CommandSpec
    #: May have a password, or people's numbers.
    args: Mapping[str, Any] = field(repr=False)
    attachment: bytes | None = field(default=None, repr=False)
    peer: Peer = Peer()
    #: The socket's routing id of the client, and whether it is connected over TCP.
    route: bytes = b""
    remote: bool = False
    #: Of the sentences in its answers.
    language: str = ENGLISH

    @property
    def account_id(self) -> str | None:
        """The account to which the user is bound for whom it is sent; None: to none."""
        return None if self.peer.on_behalf is None else self.peer.on_behalf.account

    @property
    def client(self) -> str:
        """Who sends it, for limits: the user, the key of a client on TCP, or the process."""
        if self.peer.on_behalf is not None:
            return self.peer.on_behalf.actor
        if self.peer.name is not None:
            return f"key {self.peer.name}"
        return f"pid {self.peer.pid}" if self.peer.pid is not None else f"route {self.route.hex()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a request is refused. ``id`` is None where it could not be read."""

    code: ErrorCode
    message: str
    id: str | None = None
    #: Of its client, as far as it could be read.
    language: str = ENGLISH


def encode(message: Mapping[str, Any]) -> bytes:
    """Encode a message; times become ISO 8601 text, and numbers that JSON does not have null."""
    version = PROTOCOL_VERSION if message.get("on_behalf") is None else ON_BEHALF_VERSION
    whole = {"v": version, **message}
    try:
        return encode_json(whole, **_ENCODING)
    except ValueError:  # a stored document may hold NaN, which costs a copy of the answer
        return encode_json(_finite(whole), **_ENCODING)


def decode_request(frame: bytes, attachment: bytes | None = None) -> Request | Refusal:
    """Decode and validate a request; returns a refusal where it is invalid, and never raises."""
    if len(frame) > JSON_LIMIT:
        return _too_large(say("the request"), len(frame), JSON_LIMIT)
    if attachment is not None and len(attachment) > ATTACHMENT_LIMIT:
        return _too_large(say("the attached file"), len(attachment), ATTACHMENT_LIMIT)
    try:
        header = _DECODER.decode(frame.decode("utf-8"))
    except RecursionError:
        return Refusal(code=ErrorCode.BAD_JSON, message=say("the request is nested too deeply"))
    except ValueError as exc:
        return Refusal(
            code=ErrorCode.BAD_JSON, message=say("the request is not JSON in UTF-8: {exc}", exc=exc)
        )
    return validate(header, attachment)


def encode_refusal(refusal: Refusal) -> bytes:
    """The answer of a request that was not done."""
    message = in_language(refusal.message, refusal.language)
    return encode({"id": refusal.id, "ok": False, "error": {"code": refusal.code, "message": message}})


def validate(header: object, attachment: bytes | None = None) -> Request | Refusal:
    """Validate a decoded request; returns a refusal that names the fault where it is invalid."""
    language = language_of(header.get("language", ENGLISH)) if isinstance(header, dict) else ENGLISH
    return replace(_validated(header, attachment), language=language)


def _validated(header: object, attachment: bytes | None) -> Request | Refusal:
    if not isinstance(header, dict):
        return Refusal(
            code=ErrorCode.BAD_REQUEST,
            message=say(
                "a request is a JSON object with v, id, command and args, not {type_name}",
                type_name=_type_name(header),
            ),
        )
    request_id = header.get("id")
    if not isinstance(request_id, str) or not _ID.fullmatch(request_id):
        return Refusal(
            code=ErrorCode.BAD_REQUEST,
            message=say("id: 1 to 64 letters, digits or .:_- are required, chosen by the client"),
        )
    fault = _fault_of_header(header)
    if fault is not None:
        return Refusal(id=request_id, code=fault[0], message=fault[1])
    on_behalf = _on_behalf(header)
    spec = COMMANDS[header["command"]]
    if (spec.needs_file and attachment is None) or (attachment is not None and not spec.takes_file):
        wanted = say("needs a file in a second frame") if spec.takes_file else say("takes no attached file")
        return Refusal(
            id=request_id,
            code=ErrorCode.BAD_REQUEST,
            message=say("{name} {wanted}", name=spec.name, wanted=wanted),
        )
    checked = _check_arguments(spec, header.get("args", {}))
    if isinstance(checked, str):
        return Refusal(
            id=request_id,
            code=ErrorCode.BAD_ARGUMENT,
            message=say("{name}: {checked}", name=spec.name, checked=checked),
        )
    return Request(
        id=request_id, command=spec, args=checked, attachment=attachment, peer=Peer(on_behalf=on_behalf)
    )


def default_socket(environment: Mapping[str, str] | None = None, uid: int | None = None) -> Path:
    """The default socket of the daemon."""
    from pathlib import Path  # noqa: PLC0415 - a tenth of the time of ``speechctl --help``

    environment = os.environ if environment is None else environment
    uid = os.getuid() if uid is None else uid
    if environment.get("SPEECHAID_SOCKET"):
        return Path(environment["SPEECHAID_SOCKET"]).expanduser().absolute()
    if environment.get("RUNTIME_DIRECTORY"):
        # systemd lists all directories of the unit, separated by colons.
        return Path(environment["RUNTIME_DIRECTORY"].split(":")[0]) / "control.sock"
    if uid == 0:
        return Path(SYSTEM_SOCKET)
    if environment.get("XDG_RUNTIME_DIR"):
        return Path(environment["XDG_RUNTIME_DIR"]) / "speechaid" / "control.sock"
    return Path(f"/tmp/speechaid-{uid}/control.sock")  # noqa: S108 - the directory's owner is checked


def client_socket(
    environment: Mapping[str, str] | None = None, uid: int | None = None, system: Path | None = None
) -> Path:
    """The default socket of a client: that of the user's daemon, else that of the system service.

    Args:
        environment: the process's own unless given.
        uid: the process's own unless given.
        system: the service's socket, ``SYSTEM_SOCKET`` unless given. It is also returned to users who may not
            enter its directory, so that the error names the group that may.
    """
    environment = os.environ if environment is None else environment
    own = default_socket(environment, uid)
    system = type(own)(SYSTEM_SOCKET) if system is None else system
    if environment.get("SPEECHAID_SOCKET") or not system.parent.is_dir():
        return own
    return own if own.exists() and _is_trusted(own.parent, uid) else system


def _is_trusted(directory: Path, uid: int | None) -> bool:
    """Whether no stranger made the directory: anybody can make one of that name in ``/tmp``."""
    return directory.stat().st_uid in {0, os.geteuid(), uid}


def lock_path(socket_path: Path) -> Path:
    """The file that the daemon locks, and that has its pid."""
    return socket_path.with_name(socket_path.name + ".lock")


def path_fault(socket_path: Path) -> str | None:
    """Why this path cannot be used for a unix socket, or None."""
    if UNPRINTABLE.search(str(socket_path)):
        # ZeroMQ's binding encodes an address as UTF-8 alone.
        shown = say(
            "{socket_path} (set SPEECHAID_SOCKET to another one)", socket_path=printable_name(socket_path)
        )
        return say("the socket path is not UTF-8, or has control characters: {shown}", shown=shown)
    length = len(os.fsencode(socket_path))
    if length <= SOCKET_PATH_LIMIT:
        return None
    return say(
        "the socket path has {length} bytes, the system allows {SOCKET_PATH_LIMIT}:"
        " {socket_path} (set SPEECHAID_SOCKET to a shorter one)",
        length=length,
        SOCKET_PATH_LIMIT=SOCKET_PATH_LIMIT,
        socket_path=socket_path,
    )


def parse_duration(text: str) -> float:
    """Seconds from ``90s``, ``5m``, ``1.5h`` or ``2d``.

    Raises:
        ValueError: the text is not a duration. A number alone is none: ``--ring-timeout 2`` may mean minutes.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            say("{text!r} is not a duration with its unit: write 90s, 5m, 1.5h or 2d", text=text)
        )
    return float(match[1]) * _UNIT_SECONDS[match[2]]


_ID: Final = re.compile(r"[A-Za-z0-9.:_-]{1,64}")
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])")
_UNIT_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _fault_of_header(header: Mapping[str, Any]) -> tuple[ErrorCode, str] | None:
    version = header.get("v")
    wanted = PROTOCOL_VERSION if header.get("on_behalf") is None else ON_BEHALF_VERSION
    if isinstance(version, bool) or version != wanted:
        message = say(
            "the daemon speaks version {wanted} of the protocol, the request says v ="
            " {version}: use the speechctl of the daemon's installation",
            wanted=wanted,
            version=_shown(version),
        )
        return ErrorCode.BAD_VERSION, message
    command = header.get("command")
    if not isinstance(command, str):
        return ErrorCode.BAD_REQUEST, say(
            "command: a text is required, not {type_name}", type_name=_type_name(command)
        )
    if command not in COMMANDS or COMMANDS[command].runs is Runs.CLIENT:
        message = say(
            "there is no command {command}{did_you_mean}",
            command=_shown(command),
            did_you_mean=_did_you_mean(command, COMMANDS),
        )
        return ErrorCode.UNKNOWN_COMMAND, message
    if header.get("on_behalf") is not None and isinstance(text := read_on_behalf(header["on_behalf"]), str):
        return ErrorCode.BAD_REQUEST, f"on_behalf: {text}"
    return None


def _on_behalf(header: Mapping[str, Any]) -> OnBehalf | None:
    """For whom the request is, of a header without a fault."""
    found = None if header.get("on_behalf") is None else read_on_behalf(header["on_behalf"])
    return found if isinstance(found, OnBehalf) else None


def _check_arguments(spec: CommandSpec, given: object) -> dict[str, Any] | str:
    """All arguments with defaults, or the first fault."""
    if not isinstance(given, dict):
        return say("args: a JSON object is required, not {type_name}", type_name=_type_name(given))
    known = {argument.name: argument for argument in spec.wire_arguments}
    for name in given:
        if name not in known:
            allowed = ", ".join(known) or say("none")
            return say(
                "no argument {name}{did_you_mean}; allowed: {allowed}",
                name=_shown(name),
                did_you_mean=_did_you_mean(name, known),
                allowed=allowed,
            )
    checked: dict[str, Any] = {}
    for name, argument in known.items():
        value = given.get(name)
        if value is None:
            if argument.required:
                return say("{name} is missing: {help}", name=name, help=say(argument.help))
            checked[name] = False if argument.kind is Kind.FLAG else argument.default
            continue
        fault = _fault_of_value(argument, value)
        if fault is not None:
            return say("{name}: {fault}", name=name, fault=fault)
        checked[name] = value
    return checked


def _fault_of_value(argument: Argument, value: object) -> str | None:
    if not argument.repeatable:
        return _fault_of_one(argument, value)
    if not isinstance(value, list) or len(value) > REPEAT_LIMIT:
        return say("a list of at most {REPEAT_LIMIT} texts is required", REPEAT_LIMIT=REPEAT_LIMIT)
    return next(filter(None, (_fault_of_one(argument, part) for part in value)), None)


def _fault_of_one(argument: Argument, value: object) -> str | None:
    if argument.kind is Kind.FLAG:
        return (
            None
            if isinstance(value, bool)
            else say("true or false is required, not {type_name}", type_name=_type_name(value))
        )
    if argument.kind in {Kind.TEXT, Kind.FILE}:
        return _fault_of_text(argument, value)
    whole = argument.kind is Kind.INTEGER
    wanted = (
        say("a whole number")
        if whole
        else say("a number of seconds")
        if argument.kind is Kind.DURATION
        else say("a number")
    )
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return say("{wanted} is required, not {type_name}", wanted=wanted, type_name=_type_name(value))
    low, high = argument.minimum, argument.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        allowed = say("allowed are {low} to {high}", low=_number(low), high=_number(high))
        return say("{value} is out of range: {allowed}", value=_shown(value), allowed=allowed) + (
            say(" ({help})", help=say(argument.help)) if argument.help else ""
        )
    return None


def _fault_of_text(argument: Argument, value: object) -> str | None:
    if not isinstance(value, str):
        return say("a text is required, not {type_name}", type_name=_type_name(value))
    if not value.strip():
        return say("the text is empty")
    if len(value) > TEXT_LIMIT:
        return say(
            "{value} characters are too many: at most {TEXT_LIMIT} are allowed",
            value=len(value),
            TEXT_LIMIT=TEXT_LIMIT,
        )
    if UNPRINTABLE.search(value):
        return say("the text has control characters, or is not UTF-8")
    if argument.choices and value not in argument.choices:
        hint = _did_you_mean(value, argument.choices)
        return say(
            "{value} is not allowed{hint}; allowed: {choices}",
            value=_shown(value),
            hint=hint,
            choices=", ".join(argument.choices),
        )
    return None


def _did_you_mean(word: object, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    import difflib  # noqa: PLC0415 - only after a mistake

    close = difflib.get_close_matches(str(word)[:64], list(known), n=1)
    return say(" (did you mean {close}?)", close=close[0]) if close else ""


def _too_large(what: str, size: int, limit: int) -> Refusal:
    return Refusal(
        code=ErrorCode.TOO_LARGE,
        message=say(
            "{what} has {size} bytes; at most {limit} are allowed", what=what, size=size, limit=limit
        ),
    )


def _type_name(value: object) -> str:
    """The JSON name of a value's type."""
    if value is None:
        return "null"
    names = {
        bool: say("true or false"),
        int: say("a number"),
        float: say("a number"),
        str: say("a text"),
        list: say("a list"),
    }
    return names.get(type(value), say("an object"))


def _shown(value: object) -> str:
    """A client's value, shortened and printable."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 64 else text[:60] + "..."


def _number(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _jsonable(value: object) -> object:
    """A JSON-compatible form of other types."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return str(value)


def _finite(value: object) -> object:
    """A copy with null for numbers that are infinite or none."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _no_constant(name: str) -> float:
    raise ValueError(say("{name} is not JSON", name=name))


_ENCODING: Final[Mapping[str, Any]] = {"default": _jsonable, "allow_nan": False, "separators": (",", ":")}
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
