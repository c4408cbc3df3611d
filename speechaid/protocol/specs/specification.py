"""What a control command is: its name, arguments, access, and the thread that runs it.

Standard library only, and light: ``speechctl`` imports it at every start.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The type of an argument, on the command line and on the wire."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    #: Absent is False.
    FLAG = "flag"
    #: ``90s``, ``5m``, ``1.5h``, ``2d`` on the command line; seconds on the wire.
    DURATION = "duration"
    #: A path on the command line; its last part on the wire, and the contents as the attachment.
    FILE = "file"


class Access(StrEnum):
    """The access that a client needs for a command; each one includes those before it."""

    #: Counts and health: no name, number, variable or job of a person, and no text that somebody typed.
    STATUS = "status"
    #: People's data.
    READ = "read"
    WRITE = "write"

    def is_enough_for(self, other: Access) -> bool:
        """Whether a client with this access may give commands that need the other."""
        order = list(Access)
        return order.index(self) >= order.index(other)


class Runs(StrEnum):
    """Which thread of the daemon runs a command."""

    #: The loop thread: answered at once, whatever the database does.
    LOOP = "loop"
    #: The database thread, or for an urgent command the emergency thread: acknowledged at once, answered when
    #: done.
    BACKGROUND = "background"
    #: The loop thread: a stream without a last answer, which the client ends by leaving.
    STREAM = "stream"
    #: None: speechctl carries it out, with other commands or without a daemon.
    CLIENT = "client"


@dataclass(frozen=True, kw_only=True, slots=True)
class Argument:
    """One argument of a command. ``name`` is used on the wire; the flag has hyphens for underscores."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    positional: bool = False
    required: bool = False
    default: str | float | None = None
    choices: tuple[str, ...] = ()
    #: Bounds of a number, inclusive; seconds for a duration.
    minimum: float | None = None
    maximum: float | None = None
    #: What shell completion offers: ``batch``, ``job`` or ``worker``.
    completes: str | None = None
    #: Used by speechctl only, and never sent.
    local: bool = False
    #: A one-letter flag: ``f`` for ``-f``.
    short: str | None = None
    #: May be given several times: a list of texts on the wire.
    repeatable: bool = False
    #: An id, or a position in a list, that ``completes`` does not tell to be one.
    is_id: bool = False

    @property
    def flag(self) -> str:
        """As written on the command line: ``--older-than``."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_prose(self) -> bool:
        """Whether people type what they like: it may quote a phone number, so records mask it."""
        is_text = self.kind in {Kind.TEXT, Kind.FILE} and not self.choices
        return is_text and self.completes is None and not self.is_id


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandSpec:
    """One command: its name, arguments, required access and thread."""

    name: str
    help: str
    access: Access
    arguments: tuple[Argument, ...] = ()
    runs: Runs = Runs.BACKGROUND
    #: It stops calls: it waits for no other command, and no limit of other commands concerns it.
    urgent: bool = False
    #: The confirmation that speechctl asks for unless ``--yes``; ``{name}`` is replaced by an argument.
    question: str | None = None
    #: A client's default time-out for the answer, in seconds.
    timeout_seconds: float = 60.0
    #: Not over TCP, whatever the key's access.
    is_local: bool = False
    #: On the wire alone: never on a command line, neither logged nor recorded. speechctl asks for them.
    secrets: tuple[Argument, ...] = ()

    @property
    def takes_file(self) -> bool:
        """Whether a request may carry an attachment."""
        return any(argument.kind is Kind.FILE for argument in self.arguments)

    @property
    def needs_file(self) -> bool:
        """Whether every request carries an attachment."""
        return any(argument.kind is Kind.FILE and argument.required for argument in self.arguments)

    @property
    def wire_arguments(self) -> tuple[Argument, ...]:
        """The arguments that a request may carry."""
        return (*(argument for argument in self.arguments if not argument.local), *self.secrets)


def loop_write(
    name: str, text: str, *arguments: Argument, question: str | None = None, urgent: bool = False
) -> CommandSpec:
    """A write that the loop thread does at once."""
    return CommandSpec(
        name=name,
        help=text,
        arguments=arguments,
        access=Access.WRITE,
        runs=Runs.LOOP,
        urgent=urgent,
        question=question,
        timeout_seconds=5.0,
    )


def background_write(
    name: str,
    text: str,
    *arguments: Argument,
    question: str | None = None,
    timeout_seconds: float = 60.0,
    urgent: bool = False,
) -> CommandSpec:
    """A write that the database thread does, or the emergency thread where it is urgent."""
    return CommandSpec(
        name=name,
        help=text,
        arguments=arguments,
        access=Access.WRITE,
        urgent=urgent,
        question=question,
        timeout_seconds=timeout_seconds,
    )
