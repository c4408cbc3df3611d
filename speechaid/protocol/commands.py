"""The table of control commands, from which parser, dispatch, ``--help``, completion and manual are made.

Standard library only, and light: ``speechctl`` imports it at every start. ``speechaid.commands.registry`` has
the handler of each row; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


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


def _loop(
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


def _write(
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


_BATCH: Final = Argument(
    name="batch",
    help="the batch's id, its name, or the unique beginning of its id",
    positional=True,
    required=True,
    completes="batch",
)
_JOB: Final = Argument(
    name="job",
    help="the job's id, or its unique beginning",
    positional=True,
    required=True,
    completes="job",
)
_ACCOUNT: Final = Argument(
    name="account",
    help="the account's id, or its unique beginning",
    positional=True,
    required=True,
    completes="account",
)
_OF_BATCH: Final = Argument(
    name="batch", help="of this batch only (id, name, or unique beginning of the id)", completes="batch"
)
#: Every outcome of a call; a test compares them with ``model.states.Outcome``.
OUTCOMES: Final = (
    *("answered", "voicemail", "no_answer", "busy", "failed", "invalid_number", "do_not_call"),
    *("callback_requested", "stopped", "temporary", "no_credit", "blocked", "rejected"),
)
_DATES: Final = (
    Argument(name="from", is_id=True, help="from this day on, in the default zone: 2026-11-30"),
    Argument(name="to", is_id=True, help="up to this day, which counts too: 2026-11-30"),
)
_FILTERS: Final = (
    _OF_BATCH,
    Argument(name="account", help="of this account only (id, or its unique beginning)", completes="account"),
    Argument(name="outcome", choices=OUTCOMES, help="only where the last call, or the call, ended so"),
    Argument(name="number", help="only of this phone number: +56912345678, or national"),
    Argument(name="agent", is_id=True, help="only where the last call, or the call, had this agent (its id)"),
    Argument(name="from_number", help="only where the last call, or the call, came from this number"),
    *_DATES,
)
_WORKER: Final = Argument(
    name="worker",
    help="the worker's name in status: worker-3",
    positional=True,
    required=True,
    completes="worker",
)
_REASON: Final = Argument(name="reason", help="the reason; recorded with author and time, numbers masked")
_COUNTRY: Final = Argument(name="country", help="country of numbers without a country code: CL")
_PERSON: Final = Argument(
    name="person",
    positional=True,
    required=True,
    help="a national id, a phone number, or the beginning of a name",
)
_IN_ACCOUNT: Final = Argument(name="account", help="in this account only", completes="account")
_NUMBER: Final = Argument(
    name="number", positional=True, required=True, help="the phone number: +56912345678, or national"
)
_LISTED: Final = "the phone number, or the national id of a person: +56912345678, 12.345.678-5"
_LISTED_NUMBER: Final = Argument(name="number", positional=True, required=True, help=_LISTED)
_OPTIONAL_NUMBER: Final = Argument(name="number", positional=True, help=_LISTED)
_DRY_RUN: Final = Argument(name="dry_run", kind=Kind.FLAG, help="show what would happen, and change nothing")

_HOURS: Final = Argument(
    name="hours", help="when people may be called: 09:00-18:00; 24:00 is the end of the day"
)
_DAYS: Final = Argument(name="days", help="on which weekdays, Monday is 1: 1-5 or 1,3,5")
_TIMEZONE: Final = Argument(name="timezone", help="IANA name of the zone of hours and days: America/Santiago")
#: What a call is for, as ``model.states.Purpose``; a test compares them.
PURPOSES: Final = ("collection", "marketing", "survey", "reminder")
_BATCH_OPTIONS: Final = (
    Argument(name="description", help="what the campaign is about"),
    Argument(name="account", is_id=True, help="the account that pays (account_id)", completes="account"),
    Argument(name="country", help="country of phones without a country code: CL (default: the account's)"),
    Argument(
        name="priority",
        help="which batch goes first: urgent before high before normal (the default)",
        choices=("normal", "high", "urgent"),
    ),
    _HOURS,
    _DAYS,
    _TIMEZONE,
    Argument(
        name="max_attempts",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=100,
        help="attempts, each a pass through a contact's phones",
    ),
    Argument(
        name="retry_delay_hours",
        kind=Kind.NUMBER,
        minimum=0,
        maximum=8760,
        help="delay between two attempts, instead of both delays of the settings",
    ),
    Argument(
        name="ring_timeout",
        kind=Kind.DURATION,
        minimum=5,
        maximum=300,
        help="how long a phone may ring: 45s",
    ),
    Argument(
        name="max_call_duration",
        kind=Kind.DURATION,
        minimum=60,
        maximum=7200,
        help="how long a call may last: 10m",
    ),
    Argument(
        name="max_concurrent_calls",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=100_000,
        help="calls at a time; for none use pause-batch",
    ),
    Argument(
        name="voicemail_counts", kind=Kind.FLAG, help="a call that reaches a voicemail completes the job"
    ),
    Argument(
        name="no_voicemail_counts",
        kind=Kind.FLAG,
        help="a call that reaches a voicemail does not complete the job, whatever the settings say",
    ),
    Argument(
        name="agent",
        is_id=True,
        help="Retell's id of the agent that speaks, as speechctl agents lists it (default: RETELL_AGENT_ID)",
    ),
    Argument(
        name="agent_version",
        is_id=True,
        help="the agent's version: a number, a tag, latest or latest_published (default: the start's)",
    ),
    Argument(
        name="from_number",
        help="the number that calls, as speechctl numbers lists it (default: RETELL_FROM_NUMBER)",
    ),
    Argument(name="language", is_id=True, help="the agent's language: es-419 (default: the agent's own)"),
    Argument(
        name="voicemail_option",
        help="at a voicemail: hangup, 'leave TEXT', or agent for the agent's own setting (the default)",
    ),
    Argument(
        name="dnc_detection",
        choices=("yes", "no"),
        help="whether the agent listens for a wish not to be called again (default: yes)",
    ),
    Argument(
        name="purpose",
        choices=PURPOSES,
        help="what the calls are for: the law of each number's country for it holds (default: none does)",
    ),
)
_COPY_FROM: Final = Argument(
    name="copy_from",
    help="take the settings of this batch; options that are given win",
    completes="batch",
)
_BATCH_SETTINGS: Final = (
    *_BATCH_OPTIONS,
    _COPY_FROM,
    Argument(name="paused", kind=Kind.FLAG, help="do not start calling before resume-batch"),
)
#: The plans of ``model.account.Plan``, and the statuses of ``model.faults``; a test compares them.
PLANS: Final = ("minutes_based", "credit_based", "unlimited")
ACCOUNT_STATUSES: Final = ("active", "suspended", "expired", "pending_activation")
_ACCOUNT_OPTIONS: Final = (
    Argument(name="name", help="the customer's name"),
    Argument(name="country", help="country of phones without a country code: CL"),
    Argument(name="timezone", help="IANA name of the zone in which its days are counted: America/Santiago"),
    Argument(name="currency", is_id=True, help="ISO 4217 code of its sums: CLP (default: its country's)"),
    *(
        Argument(name=name, kind=Kind.NUMBER, minimum=0, maximum=1_000_000_000, help=text)
        for name, text in (
            ("cost_per_minute", "credit plan: price of a minute of talk, in the account's currency"),
            ("cost_per_call_setup", "credit plan: price of a call that connects, beside its minutes"),
            ("cost_failed_call", "credit plan: price of a call that does not connect"),
        )
    ),
    Argument(
        name="max_concurrent_calls",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=100_000,
        help="calls at a time, over all hosts; for none use suspend-account",
    ),
    Argument(
        name="daily_call_limit",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=10_000_000,
        help="calls a day, over all hosts; for none use suspend-account",
    ),
)
#: The roles of ``model.identity.Role``; a test compares them.
ROLES: Final = ("viewer", "operator", "manager", "admin")
#: What ``edit-batch --unset`` takes: the options of a batch, without what every batch has.
_UNSETTABLE: Final = tuple(
    argument.name.replace("_", "-") for argument in _BATCH_OPTIONS if argument.name != "no_voicemail_counts"
)

_USER: Final = Argument(name="name", positional=True, required=True, is_id=True, help="the user's name")
_TOKEN: Final = Argument(name="name", positional=True, required=True, is_id=True, help="the token's name")
_ROLE: Final = Argument(name="role", required=True, choices=ROLES, help="what may be seen and done")
_BOUND_TO: Final = Argument(
    name="account",
    completes="account",
    help="only what is of this account (id, or its unique beginning; default: all accounts)",
)
_PASSWORD: Final = Argument(name="password", required=True, is_id=True, help="at least 12 characters")
_PASSWORD_FILE: Final = Argument(
    name="password_file",
    local=True,
    help="read the password from this file (- is stdin; default: it is asked)",
)


def _identity(
    name: str,
    text: str,
    *arguments: Argument,
    access: Access = Access.WRITE,
    secrets: tuple[Argument, ...] = (),
) -> CommandSpec:
    """A command about users or tokens of the HTTP API."""
    return CommandSpec(
        name=name, help=text, access=access, arguments=arguments, is_local=True, secrets=secrets
    )


_TABLE: Final = (
    CommandSpec(
        name="status",
        help="supervisor, workers, queue, batches, alerts and holds",
        access=Access.STATUS,
        runs=Runs.LOOP,
        timeout_seconds=5.0,
    ),
    _loop(
        "drain",
        "stop taking new jobs on this host; calls in progress finish; stays after a restart",
        Argument(name="wait", kind=Kind.FLAG, local=True, help="return when the last call has ended"),
        Argument(name="stop", kind=Kind.FLAG, help="then stop the daemon (it starts drained)"),
        urgent=True,
    ),
    _loop("undrain", "take new jobs on this host again"),
    _loop(
        "pause-worker",
        "one worker takes no new job, nor do its replacements; stays after a restart",
        _WORKER,
        urgent=True,
    ),
    _loop("resume-worker", "one worker takes jobs again", _WORKER),
    _loop(
        "scale",
        "set the number of workers: more at once, fewer as their calls end",
        Argument(
            name="count",
            kind=Kind.INTEGER,
            positional=True,
            required=True,
            minimum=0,
            maximum=2000,
            help="workers wanted",
        ),
    ),
    _loop("reload", "read the settings again; if one is invalid, all are refused and the old ones stay"),
    _loop(
        "log-level",
        "how much the daemon logs, until the next reload",
        Argument(
            name="level",
            positional=True,
            required=True,
            choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
            help="the lowest level that is logged",
        ),
    ),
    _loop(
        "shutdown",
        "stop the daemon: calls in progress finish first, or are handed over with --now",
        Argument(name="now", kind=Kind.FLAG, help="hand over live calls; the next start follows them"),
        question="Stop the daemon?",
        urgent=True,
    ),
    CommandSpec(
        name="batches",
        help="the batches, newest first, with their jobs by status",
        access=Access.STATUS,
        arguments=(
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=20,
                help="show at most this many",
            ),
        ),
    ),
    _write(
        "create-batch",
        "create an empty batch; import fills it",
        Argument(name="name", positional=True, required=True, help="the batch's name"),
        *_BATCH_SETTINGS,
    ),
    CommandSpec(
        name="batch",
        help="one batch with all its settings, where each comes from, counts, cost, imports and who did what",
        access=Access.READ,
        arguments=(_BATCH,),
        timeout_seconds=120.0,
    ),
    _write(
        "edit-batch",
        "change settings of a batch, in force for the next dial on every host; the others stay",
        _BATCH,
        Argument(name="name", help="the batch's new name"),
        *_BATCH_OPTIONS,
        Argument(
            name="unset",
            repeatable=True,
            choices=_UNSETTABLE,
            help="back to the default, for example hours; may be given several times",
        ),
        timeout_seconds=600.0,
    ),
    _write(
        "redial-batch",
        "a new batch, paused, of those of a batch whom no call reached",
        _BATCH,
        Argument(
            name="outcomes",
            is_id=True,
            required=True,
            help="the last call's outcomes: no-answer,busy,voicemail,failed",
        ),
        Argument(name="name", help="the new batch's name"),
        _DRY_RUN,
        timeout_seconds=600.0,
    ),
    _write(
        "delete-batch",
        "delete a batch of which nobody was called, with its contacts",
        _BATCH,
        _DRY_RUN,
        question="Delete the batch {batch} and all its contacts?",
        timeout_seconds=600.0,
    ),
    _write(
        "pause-batch",
        "stop new calls of this batch on all hosts, from the answer on",
        _BATCH,
        _REASON,
        timeout_seconds=120.0,
        urgent=True,
    ),
    _write(
        "resume-batch",
        "allow calls of the batch, and start what was imported into it",
        _BATCH,
        _HOURS,
        _DAYS,
        _TIMEZONE,
        timeout_seconds=600.0,
    ),
    _write(
        "pause-all",
        "pause every active batch, as pause-batch does",
        _REASON,
        timeout_seconds=120.0,
        urgent=True,
    ),
    _write("resume-all", "resume the batches that pause-all paused, and no others"),
    _write(
        "cancel-batch",
        "cancel a batch: waiting jobs at once, jobs in a call when it ends",
        _BATCH,
        _REASON,
        _DRY_RUN,
        question="Cancel every job of {batch} that is not finished?",
        timeout_seconds=600.0,
        urgent=True,
    ),
    _write(
        "import",
        "read contacts from a CSV or XLSX file into a batch; bad rows are listed, good ones imported",
        Argument(
            name="filename",
            kind=Kind.FILE,
            positional=True,
            required=True,
            help="the contacts file (CSV, XLSX)",
        ),
        Argument(
            name="batch",
            completes="batch",
            help="add to this batch; without it a new one is created with the settings below",
        ),
        Argument(name="name", help="the new batch's name (default: the file's)"),
        Argument(
            name="start",
            kind=Kind.FLAG,
            help="call these people as soon as the calling hours allow; else resume-batch starts it",
        ),
        Argument(name="sheet", help="the workbook's sheet: its name, or its number from 1"),
        Argument(
            name="header_row",
            kind=Kind.INTEGER,
            minimum=1,
            maximum=40,
            help="the line with the columns' titles, from 1 (default: it is searched for)",
        ),
        Argument(
            name="with_hidden_rows", kind=Kind.FLAG, help="read the rows that a filter or a person has hidden"
        ),
        Argument(
            name="map",
            repeatable=True,
            help="what a column is, as TITLE=ROLE: 'Fono Casa=phone'; kept for the account and these titles",
        ),
        Argument(name="accept", help="kinds of remark whose rows are kept: unassigned,shared"),
        Argument(name="refuse", help="kinds of remark whose rows are bad: foreign,landline"),
        Argument(name="remarks_are_bad", kind=Kind.FLAG, help="refuse every kind that may be refused"),
        Argument(name="strict", kind=Kind.FLAG, help="import nothing if any row is bad"),
        Argument(
            name="duplicates",
            choices=("leave-out", "keep"),
            default="leave-out",
            help="people of the account who wait already, or were called or paid in the last days",
        ),
        Argument(
            name="row",
            kind=Kind.INTEGER,
            minimum=1,
            maximum=10_000_000,
            help="with --dry-run: what this line's person is told, and on which phones",
        ),
        Argument(
            name="show_values",
            kind=Kind.FLAG,
            help="with --dry-run: show phones and ids in full; recorded",
        ),
        Argument(name="return_bad_rows", kind=Kind.FLAG, help="return the bad rows as written"),
        Argument(
            name="bad_rows",
            local=True,
            help="write the bad rows, with what to mend, to this CSV or XLSX file in the input's form",
        ),
        _DRY_RUN,
        *_BATCH_SETTINGS,
        timeout_seconds=600.0,
    ),
    _write(
        "forget",
        "erase what is stored about a person; opt-outs, amounts, costs and dates stay",
        _PERSON,
        _IN_ACCOUNT,
        _REASON,
        question="Erase for good what is stored about {person}?",
        timeout_seconds=600.0,
    ),
    _write(
        "undo-import",
        "take back an import of which nobody was called: its contacts are deleted, and its batch if empty",
        Argument(
            name="import",
            positional=True,
            required=True,
            is_id=True,
            help="the import's id, or its batch's: then the latest import",
        ),
        _DRY_RUN,
        question="Delete all contacts of the import {import}?",
        timeout_seconds=600.0,
    ),
    CommandSpec(
        name="imports",
        help="the imports with their ids: progress or result of each",
        access=Access.READ,
        arguments=(
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=20,
                help="show at most this many",
            ),
        ),
    ),
    CommandSpec(
        name="jobs",
        help="jobs, one line each",
        access=Access.READ,
        arguments=(
            *_FILTERS,
            Argument(
                name="status",
                choices=("pending", "in_progress", "done", "failed", "suspended", "cancelled", "scheduled"),
                help="only jobs with this status",
            ),
            Argument(name="tests", kind=Kind.FLAG, help="test calls, which are left out otherwise, alone"),
            Argument(name="after", is_id=True, help="the position that an earlier page gave as its next"),
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=50,
                help="show at most this many",
            ),
        ),
    ),
    CommandSpec(
        name="job",
        help="one job with its whole history: every call, every event",
        access=Access.READ,
        arguments=(_JOB,),
    ),
    CommandSpec(
        name="person",
        help="one person: every job and call of all batches, opt-outs, and the next dial",
        access=Access.READ,
        arguments=(
            _PERSON,
            _IN_ACCOUNT,
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=50,
                help="at most this many jobs and calls, the latest (default 50)",
            ),
        ),
    ),
    CommandSpec(
        name="evidence",
        help="the calls to a person: each with its rule, the hour where it rang, and what it counts as",
        access=Access.READ,
        arguments=(
            _PERSON,
            _IN_ACCOUNT,
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=100,
                help="at most this many calls, the latest (default 100)",
            ),
        ),
    ),
    _write(
        "paid",
        "a person has paid, or those of a file: their waiting jobs are cancelled, and it is recorded",
        Argument(
            name="person", positional=True, help="a national id, a phone number, or the beginning of a name"
        ),
        Argument(name="file", kind=Kind.FILE, help="a CSV or XLSX file of national ids, instead of a person"),
        Argument(name="column", help="the file's column of ids, where its title is not a usual one"),
        Argument(name="amount_column", help="the file's column of amounts"),
        _IN_ACCOUNT,
        Argument(
            name="amount", kind=Kind.NUMBER, minimum=0, maximum=1e12, help="how much the person has paid"
        ),
        Argument(
            name="correct",
            kind=Kind.FLAG,
            help="replace an amount that was recorded before; the old one is kept beside it",
        ),
        Argument(name="note", help="a note; recorded with author and time, numbers masked"),
        _DRY_RUN,
        timeout_seconds=600.0,
    ),
    CommandSpec(
        name="explain",
        help="why this person is, or is not, being called right now, and when the next chance comes",
        access=Access.READ,
        arguments=(_JOB,),
    ),
    CommandSpec(
        name="forecast",
        help="a dry run: who would be called, when, on which number, at what cost; who not, and why",
        access=Access.READ,
        timeout_seconds=300.0,
        arguments=(
            _OF_BATCH,
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=50,
                help="show at most this many",
            ),
        ),
    ),
    _write("suspend-job", "set a job aside; if it is in a call, when the call ends", _JOB, _REASON),
    _write("resume-job", "allow calls of a suspended job again", _JOB),
    _write(
        "cancel-job",
        "cancel a job; a call in progress is not ended",
        _JOB,
        _REASON,
        question="Cancel {job}?",
        urgent=True,
    ),
    _write(
        "hang-up",
        "stop a job's live call in Retell; the job is cancelled",
        _JOB,
        _REASON,
        question="Stop the call of {job}?",
        urgent=True,
    ),
    _write(
        "release-stuck",
        "requeue jobs whose worker is gone, except those with a call, which workers adopt",
        Argument(
            name="older_than",
            kind=Kind.DURATION,
            minimum=0,
            maximum=31_536_000,
            default=300,
            help="minimum time since the lease ran out: 5m",
        ),
        Argument(
            name="unknown_calls",
            kind=Kind.FLAG,
            help="also close jobs whose call Retell has long answered not to know: they fail, uncharged",
        ),
        _DRY_RUN,
        timeout_seconds=300.0,
    ),
    _write(
        "reset-jobs",
        "start finished jobs again, with all attempts and the first phone; history is kept",
        Argument(
            name="status",
            choices=("failed", "cancelled", "suspended", "done"),
            default="failed",
            help="only jobs with this status",
        ),
        Argument(
            name="max_age_hours",
            kind=Kind.NUMBER,
            minimum=0,
            maximum=87_600,
            help="only jobs that ended within this many hours",
        ),
        _OF_BATCH,
        _DRY_RUN,
        question="Call all these people again, from the beginning?",
        timeout_seconds=600.0,
    ),
    CommandSpec(
        name="accounts",
        help="the accounts with plan, balance and what is left of their limits",
        access=Access.READ,
        arguments=(
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=100,
                help="show at most this many",
            ),
            Argument(name="after", is_id=True, help="only those after this account, as an earlier page said"),
        ),
    ),
    CommandSpec(
        name="account",
        help="one account with balance, prices, limits, and the call settings that it used last",
        access=Access.READ,
        arguments=(_ACCOUNT,),
    ),
    _write(
        "create-account",
        "create an account; top-up fills its balance",
        Argument(
            name="account",
            positional=True,
            required=True,
            is_id=True,
            help="the account's id: letters, digits, '-', '_' and '.'",
        ),
        Argument(
            name="plan",
            required=True,
            choices=PLANS,
            help="what its calls are paid with: minutes bought, credit, or without limit",
        ),
        *_ACCOUNT_OPTIONS,
    ),
    _write(
        "edit-account",
        "change settings of an account, in force for the next dial on every host; the others stay",
        _ACCOUNT,
        *_ACCOUNT_OPTIONS,
        Argument(name="plan", choices=PLANS, help="its new plan; calls in progress are charged by it"),
        Argument(
            name="status",
            choices=ACCOUNT_STATUSES,
            help="its new status; only an active account's people are called",
        ),
        Argument(
            name="unset",
            repeatable=True,
            choices=tuple(argument.name.replace("_", "-") for argument in _ACCOUNT_OPTIONS),
            help="back to the default, for example daily-call-limit; may be given several times",
        ),
        timeout_seconds=600.0,
    ),
    _write(
        "top-up",
        "add minutes or credit to an account's balance, once under its key",
        _ACCOUNT,
        Argument(
            name="minutes",
            kind=Kind.NUMBER,
            minimum=-1_000_000_000,
            maximum=1_000_000_000,
            help="minutes to add, on a minutes plan; below 0 takes back",
        ),
        Argument(
            name="credit",
            kind=Kind.NUMBER,
            minimum=-1_000_000_000,
            maximum=1_000_000_000,
            help="credit to add, in the account's currency, on a credit plan; below 0 takes back",
        ),
        Argument(name="note", help="what for: an invoice, a payment; recorded, numbers masked"),
        Argument(
            name="idempotency_key",
            help="its key: with the same one nothing is added twice (default: speechctl makes one)",
        ),
    ),
    CommandSpec(
        name="transactions",
        help="what moved an account's balance, newest first: top-ups and charges of calls",
        access=Access.READ,
        arguments=(
            _ACCOUNT,
            *_DATES,
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=50,
                help="show at most this many",
            ),
            Argument(name="after", is_id=True, help="the position that an earlier page gave as its next"),
        ),
    ),
    _write("suspend-account", "stop new calls of this account until resume-account", _ACCOUNT, _REASON),
    _write("resume-account", "allow calls of a suspended account again", _ACCOUNT, _REASON),
    _write(
        "hold",
        "emergency stop: no new dial on any host, from the answer on, until unhold",
        _REASON,
        timeout_seconds=120.0,
        urgent=True,
    ),
    _write("unhold", "end the hold: dials are placed again"),
    CommandSpec(
        name="report",
        help="what the calls achieved: people reached, outcomes, minutes, cost, debt, promised, recovered",
        access=Access.READ,
        timeout_seconds=300.0,
        arguments=(
            _OF_BATCH,
            Argument(
                name="account",
                help="of this account only (id, or its unique beginning)",
                completes="account",
            ),
            Argument(name="agent", is_id=True, help="only calls of this agent (its id)"),
            Argument(name="number", help="only calls to this phone number: +56912345678, or national"),
            Argument(name="from_number", help="only calls from this number"),
            Argument(
                name="day",
                is_id=True,
                help="calls that were placed on this day of the account's zone: 2026-11-30, today, yesterday",
            ),
            Argument(name="from", is_id=True, help="from this day of the account's zone on: 2026-11-30"),
            Argument(name="to", is_id=True, help="up to this day, which counts too: 2026-11-30"),
            Argument(
                name="format",
                choices=("terminal", "markdown", "json", "xlsx"),
                default="terminal",
                help="output format; xlsx needs --output",
            ),
            Argument(name="output", local=True, help="write it to this file"),
            Argument(
                name="directory",
                local=True,
                help="write a file for each account into this directory: report-ACCOUNT-DAY.xlsx",
            ),
            Argument(
                name="replace",
                kind=Kind.FLAG,
                local=True,
                help="with --directory: write anew what is there already",
            ),
        ),
    ),
    CommandSpec(
        name="promises",
        help="who promised to pay, how much and when",
        access=Access.READ,
        arguments=(
            _OF_BATCH,
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=5000,
                default=200,
                help="show at most this many",
            ),
        ),
    ),
    CommandSpec(
        name="export",
        help="calls, jobs, promises to pay or the do-not-call list into a CSV or XLSX file",
        access=Access.READ,
        arguments=(
            Argument(
                name="output",
                positional=True,
                required=True,
                local=True,
                help="the file to write: results.csv, results.xlsx, or - for CSV on the terminal",
            ),
            Argument(
                name="what",
                choices=("calls", "jobs", "promises", "dnc"),
                default="calls",
                help="what to export, one row each",
            ),
            *_FILTERS,
            Argument(
                name="locale",
                is_id=True,
                help="who opens the CSV file, by language and country: es_CL, es_MX (default: the account's)",
            ),
            Argument(name="after", is_id=True, help="the position that an earlier page gave as its next"),
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=5000,
                # Other commands run between two pages.
                default=1000,
                help="rows of one request; a file gets all pages, whatever this says",
            ),
        ),
        timeout_seconds=120.0,
    ),
    CommandSpec(
        name="dnc",
        help="the do-not-call list: its length, and whether a number or a person is on it",
        access=Access.READ,
        arguments=(_OPTIONAL_NUMBER, _COUNTRY),
    ),
    _write(
        "dnc-add",
        "put a number on the do-not-call list: no host dials it",
        _NUMBER,
        _COUNTRY,
        _REASON,
    ),
    _write(
        "dnc-remove",
        "take a number, or a person with the numbers of opt-out, off the do-not-call list",
        _LISTED_NUMBER,
        _COUNTRY,
        question="Allow these calls again?",
    ),
    _write(
        "opt-out",
        "a person is not to be called again: all numbers and the national id go on the do-not-call list",
        _PERSON,
        _IN_ACCOUNT,
        _REASON,
        question="Never call {person} again, on any number?",
        timeout_seconds=600.0,
    ),
    _write(
        "dnc-import",
        "put the numbers of a CSV or XLSX file on the do-not-call list",
        Argument(
            name="filename",
            kind=Kind.FILE,
            positional=True,
            required=True,
            help="one number per line, or a table with a phone column",
        ),
        _COUNTRY,
        _DRY_RUN,
        timeout_seconds=600.0,
    ),
    CommandSpec(
        name="test-numbers",
        help="the numbers that are registered for test calls",
        access=Access.READ,
    ),
    _write(
        "test-number-add",
        "register a number for test calls: only such numbers get them",
        _NUMBER,
        _COUNTRY,
        Argument(name="note", help="whose telephone it is; numbers in it are masked"),
        Argument(
            name="account",
            completes="account",
            help="only for batches of this account (id, or its unique beginning)",
        ),
    ),
    _write(
        "test-number-remove",
        "take a number off the list for test calls",
        _NUMBER,
        _COUNTRY,
    ),
    _write(
        "test-call",
        "hear a batch before it starts: call a registered number as a row of it would be called",
        Argument(name="to", required=True, help="a number of test-numbers: +56912345678, or national"),
        Argument(
            name="batch",
            required=True,
            completes="batch",
            help="the batch whose agent, number and settings are tried (id, name, or beginning of the id)",
        ),
        Argument(
            name="row",
            kind=Kind.INTEGER,
            minimum=1,
            maximum=1_000_000,
            help="whose variables the agent gets, from 1 in the order of the import (default: the first)",
        ),
        Argument(name="job", completes="job", help="the same by the job's id, or its unique beginning"),
        _COUNTRY,
        Argument(
            name="no_wait",
            kind=Kind.FLAG,
            local=True,
            help="do not follow the call; test-result shows it",
        ),
    ),
    CommandSpec(
        name="test-result",
        help="how far a test call is; then what was said, and the variables sent and collected",
        access=Access.READ,
        arguments=(
            Argument(
                name="test",
                positional=True,
                required=True,
                completes="job",
                help="the id that test-call gave, or its unique beginning",
            ),
        ),
    ),
    CommandSpec(
        name="top",
        help="workers, calls, queue and rates on one screen, live; q or Ctrl-C ends it",
        access=Access.STATUS,
        arguments=(
            Argument(
                name="interval",
                kind=Kind.DURATION,
                minimum=0.2,
                maximum=3600,
                default=1,
                help="refresh interval: 2s",
            ),
            Argument(name="once", kind=Kind.FLAG, help="print once, as plain text"),
        ),
        runs=Runs.CLIENT,
        timeout_seconds=5.0,
    ),
    CommandSpec(
        name="events",
        help="events of this host as they happen, until Ctrl-C",
        access=Access.READ,
        arguments=(
            Argument(name="job", help="of this job only", completes="job"),
            Argument(name="worker", help="of this worker only", completes="worker"),
            Argument(name="batch", help="of this batch only (id, or its beginning)", completes="batch"),
            Argument(name="agent", is_id=True, help="of calls with this agent only (its id)"),
        ),
        runs=Runs.STREAM,
    ),
    CommandSpec(
        name="logs",
        help="recorded events of jobs on all hosts, and operators' commands",
        access=Access.READ,
        arguments=(
            Argument(name="job", help="of this job only (id, or its unique beginning)", completes="job"),
            _OF_BATCH,
            Argument(name="agent", is_id=True, help="of calls with this agent only (its id)"),
            *_DATES,
            Argument(name="commands", kind=Kind.FLAG, help="commands that changed something, only"),
            Argument(name="reads", kind=Kind.FLAG, help="who read people's data, only"),
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=30,
                help="show the latest, at most this many",
            ),
            Argument(name="after", is_id=True, help="only lines after the place that an earlier answer gave"),
            Argument(name="follow", kind=Kind.FLAG, local=True, short="f", help="keep printing new lines"),
        ),
    ),
    CommandSpec(
        name="alerts",
        help="firing alerts: since when, what they mean and what to do",
        access=Access.STATUS,
        arguments=(Argument(name="all", kind=Kind.FLAG, help="show the quiet alerts too"),),
        runs=Runs.LOOP,
        timeout_seconds=5.0,
    ),
    CommandSpec(
        name="doctor",
        help="what keeps calls from being made, with evidence and remedy",
        access=Access.READ,
    ),
    CommandSpec(
        name="check-agent",
        access=Access.READ,
        help="which variables the agent's prompt names, and whether the people of a batch have them",
        arguments=(
            Argument(
                name="batch",
                help="compare with the waiting jobs of this batch (id, or its unique beginning)",
                completes="batch",
            ),
            Argument(name="agent", is_id=True, help="the agent's id at Retell (default: the one that calls)"),
        ),
    ),
    CommandSpec(
        name="agents",
        access=Access.READ,
        help="the agents that Retell has: version, language, whether published",
        arguments=(
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=200,
                default=20,
                help="show at most this many; each is a request to Retell",
            ),
        ),
    ),
    CommandSpec(
        name="numbers",
        access=Access.READ,
        help="the phone numbers that Retell has: their agents, and the countries that they may call",
        arguments=(
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=100,
                help="show at most this many",
            ),
        ),
    ),
    _identity(
        "user-add",
        "create a user of the HTTP API, with a password",
        _USER,
        _ROLE,
        _BOUND_TO,
        _PASSWORD_FILE,
        secrets=(_PASSWORD,),
    ),
    _identity("users", "the users of the HTTP API", _BOUND_TO, access=Access.READ),
    _identity(
        "user-edit",
        "change a user's role or account, in force for the next request",
        _USER,
        Argument(name="role", choices=ROLES, help="what may be seen and done"),
        Argument(
            name="account",
            completes="account",
            help="only what is of this account (id, or its unique beginning)",
        ),
        Argument(name="all_accounts", kind=Kind.FLAG, help="bound to no account any more"),
    ),
    _identity(
        "user-password",
        "set a user's password; the user's sessions end",
        _USER,
        _PASSWORD_FILE,
        secrets=(_PASSWORD,),
    ),
    _identity("user-disable", "refuse a user's logins; the user's sessions end", _USER),
    _identity("user-enable", "allow a disabled user to log in again", _USER),
    _identity("user-sessions", "where a user is logged in", _USER, access=Access.READ),
    _identity(
        "user-logout",
        "end the sessions of a user, or one of them",
        _USER,
        Argument(name="session", is_id=True, help="this one only, by its key in user-sessions"),
    ),
    _identity(
        "token-add",
        "create a bearer token of the HTTP API, for a program; it is shown once",
        _TOKEN,
        _ROLE,
        _BOUND_TO,
        Argument(
            name="expires",
            kind=Kind.DURATION,
            minimum=60,
            maximum=315_360_000,
            default=31_536_000,
            help="how long it is valid: 90d",
        ),
    ),
    _identity("tokens", "the tokens of the HTTP API, without their secrets", _BOUND_TO, access=Access.READ),
    _identity("token-revoke", "revoke a token, at once and for good", _TOKEN),
    CommandSpec(
        name="packs",
        access=Access.READ,
        help="the calling rules by country: those in force in this database, else those of this version",
    ),
    CommandSpec(
        name="pack",
        access=Access.READ,
        help="the calling rules of a country for a purpose: hours, holidays, caps, sources",
        arguments=(
            Argument(name="country", positional=True, required=True, is_id=True, help="ISO 3166 code: CL"),
            Argument(
                name="purpose",
                positional=True,
                required=True,
                choices=PURPOSES,
                help="what the calls are for",
            ),
        ),
    ),
    CommandSpec(
        name="check-pack",
        access=Access.READ,
        help="check a file with stricter calling rules of your own, and show what would hold with it",
        arguments=(
            Argument(name="filename", kind=Kind.FILE, positional=True, required=True, help="a TOML file"),
        ),
    ),
    _write(
        "set-pack",
        "put calling rules in force on every host: those of a file, or all that this version ships",
        Argument(
            name="filename", kind=Kind.FILE, positional=True, help="a TOML file, as check-pack reads it"
        ),
        Argument(
            name="shipped", kind=Kind.FLAG, help="all packs of this version, in the place of stricter ones"
        ),
        question="Change the calling rules of every batch with a purpose, on every host?",
    ),
    CommandSpec(
        name="keys",
        help="keys for control over TCP: make the server's, add or revoke a client's, list them",
        access=Access.STATUS,
        arguments=(
            Argument(
                name="action",
                positional=True,
                required=True,
                choices=("server", "add", "revoke", "list"),
                help="what to do with the keys on this machine",
            ),
            Argument(name="name", positional=True, help="the client's name: maria"),
            Argument(
                name="access",
                choices=tuple(Access),
                default=Access.READ,
                help="what the client may do: see counts and health, see people's data, or command",
            ),
            Argument(
                name="dir", help="the directory of the keys (default: the daemon's SPEECHAID_CONTROL_KEYS)"
            ),
            Argument(name="out", help="the client's key file to write (default: NAME.key)"),
        ),
        runs=Runs.CLIENT,
    ),
    CommandSpec(
        name="completion",
        help='a shell\'s completion script: eval "$(speechctl completion bash)"',
        access=Access.STATUS,
        arguments=(
            Argument(
                name="shell",
                positional=True,
                required=True,
                choices=("bash", "zsh", "fish"),
                help="the shell",
            ),
        ),
        runs=Runs.CLIENT,
    ),
    CommandSpec(
        name="ids",
        help="ids with a prefix, for shell completion",
        access=Access.READ,
        arguments=(
            Argument(
                name="kind",
                positional=True,
                required=True,
                choices=("batch", "job", "account"),
                help="what the ids name",
            ),
            Argument(name="prefix", positional=True, is_id=True, help="the beginning of the ids"),
        ),
        timeout_seconds=2.0,
    ),
)

#: Every command by name, in the order of the help.
COMMANDS: Final = {spec.name: spec for spec in _TABLE}
#: The commands by what they are about, in the order of ``--help``; a test asserts that each stands once.
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "see what happens": ("status", "top", "events", "logs", "alerts", "doctor"),
    "stop every call": ("hold", "unhold", "pause-all", "resume-all"),
    "batches": (
        *("batches", "batch", "create-batch", "edit-batch", "pause-batch", "resume-batch"),
        *("redial-batch", "cancel-batch", "delete-batch", "forecast"),
    ),
    "contacts": ("import", "undo-import", "imports"),
    "jobs and calls": (
        *("jobs", "job", "explain", "suspend-job", "resume-job", "cancel-job", "hang-up"),
        *("reset-jobs", "release-stuck"),
    ),
    "people": ("person", "evidence", "opt-out", "paid", "forget"),
    "test calls": ("test-call", "test-result", "test-numbers", "test-number-add", "test-number-remove"),
    "accounts": (
        *("accounts", "account", "create-account", "edit-account", "top-up", "transactions"),
        *("suspend-account", "resume-account"),
    ),
    "do-not-call list": ("dnc", "dnc-add", "dnc-remove", "dnc-import"),
    "results": ("report", "promises", "export"),
    "agents at Retell": ("agents", "numbers", "check-agent"),
    "users of the HTTP API": (
        *("user-add", "users", "user-edit", "user-password", "user-disable", "user-enable"),
        *("user-sessions", "user-logout", "token-add", "tokens", "token-revoke"),
    ),
    "calling rules": ("packs", "pack", "check-pack", "set-pack"),
    "this host": (
        *("drain", "undrain", "scale", "pause-worker", "resume-worker"),
        *("reload", "log-level", "shutdown"),
    ),
    "speechctl itself": ("keys", "completion", "ids"),
}
