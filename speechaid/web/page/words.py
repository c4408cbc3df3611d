"""Words of the page for what has a code: states, outcomes, times that have passed; pure.

The texts are translatable: the template puts them into the reader's language.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from speechaid.model.batch import BatchStatus
from speechaid.model.identity import Role
from speechaid.protocol.translation import N_, say, say_n

#: Each state of a batch: its word, and the shape beside it, so that no state is known by colour alone.
CAMPAIGN_STATES: Final[Mapping[str, tuple[str, str]]] = {
    BatchStatus.RUNNING: (N_("running"), "▶"),
    BatchStatus.PAUSED: (N_("paused"), "❚❚"),
    BatchStatus.COMPLETED: (N_("finished"), "✓"),
    BatchStatus.CANCELLED: (N_("cancelled for good"), "✕"),
}
#: Settings of a campaign that its screen shows, with their names.
SETTINGS: Final[Mapping[str, str]] = {
    "max_attempts": N_("Attempts at most"),
    "retry_delay_hours": N_("Next attempt after"),
    "max_concurrent_calls": N_("Calls at a time"),
    "agent": N_("Agent"),
    "agent_version": N_("Version of the agent"),
    "from_number": N_("Calls come from"),
    "purpose": N_("What the calls are for"),
    "pack_variant": N_("Calling rules by the name of"),
}
#: What calls are for, by the code of a purpose.
PURPOSES: Final[Mapping[str, str]] = {
    "collection": N_("collection of a debt"),
    "reminder": N_("a reminder"),
    "survey": N_("a survey"),
    "marketing": N_("advertising"),
}
#: What people of a campaign are, by the status of their job.
PEOPLE_STATES: Final[Mapping[str, str]] = {
    "pending": N_("waiting"),
    "scheduled": N_("to be called later"),
    "in_progress": N_("in a call"),
    "done": N_("finished"),
    "failed": N_("not reached"),
    "suspended": N_("set aside"),
    "cancelled": N_("not called any more"),
}
ROLES: Final[Mapping[str, str]] = {
    Role.VIEWER: N_("viewer"),
    Role.OPERATOR: N_("operator"),
    Role.MANAGER: N_("manager"),
    Role.ADMIN: N_("administrator"),
}
LANGUAGE_NAMES: Final[Mapping[str, str]] = {"en": "English", "es": "Español"}
#: What stands where there is no value.
NOTHING: Final = "\N{EN DASH}"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def of_code(code: object) -> str:
    """A status or an outcome in words: ``no answer``."""
    return say(str(code).replace("_", " "))


#: What a recorded command was, in the words of "who did what"; a test compares it with the command table.
COMMANDS: Final[Mapping[str, str]] = {
    "hold": N_("stopped all calls"),
    "unhold": N_("allowed calls again"),
    "pause-all": N_("paused all campaigns"),
    "resume-all": N_("let all campaigns call again"),
    "import": N_("imported contacts"),
    "create-batch": N_("created the campaign"),
    "edit-batch": N_("changed the settings"),
    "pause-batch": N_("paused it"),
    "resume-batch": N_("let it call"),
    "cancel-batch": N_("cancelled it"),
    "delete-batch": N_("deleted it"),
    "redial-batch": N_("had those not reached called again"),
    "undo-import": N_("took an import back"),
    "reset-jobs": N_("started finished people again"),
    "release-stuck": N_("released calls that hung"),
    "cancel-job": N_("cancelled a person"),
    "suspend-job": N_("set a person aside"),
    "resume-job": N_("let a person be called again"),
    "hang-up": N_("ended a call"),
    "opt-out": N_("noted that a person wants no calls"),
    "paid": N_("noted a payment"),
    "forget": N_("erased a person's data"),
    "test-call": N_("made a test call"),
    "test-number-add": N_("registered a telephone for test calls"),
    "test-number-remove": N_("took a telephone for test calls off"),
    "create-account": N_("created an account"),
    "edit-account": N_("changed an account"),
    "top-up": N_("topped up a balance"),
    "suspend-account": N_("suspended an account"),
    "resume-account": N_("let an account call again"),
    "dnc-add": N_("put a number on the do-not-call list"),
    "dnc-remove": N_("took a number off the do-not-call list"),
    "dnc-import": N_("imported a do-not-call list"),
    "user-add": N_("made a user"),
    "user-edit": N_("changed a user"),
    "user-password": N_("set a user's password"),
    "user-disable": N_("disabled a user"),
    "user-enable": N_("let a user log in again"),
    "user-logout": N_("ended a user's sessions"),
    "token-add": N_("made a token"),
    "token-revoke": N_("revoked a token"),
    "set-pack": N_("put calling rules in force"),
    "drain": N_("took the dialling service out of service"),
    "undrain": N_("put the dialling service into service again"),
    "scale": N_("changed the number of workers"),
    "pause-worker": N_("paused a worker"),
    "resume-worker": N_("let a worker call again"),
    "reload": N_("had the settings read again"),
    "log-level": N_("changed the detail of the logs"),
    "shutdown": N_("ended the dialling service"),
}
#: What somebody looked at, by the command that showed it; those that show people, and no others.
READS: Final[Mapping[str, str]] = {
    "jobs": N_("the people of a campaign"),
    "job": N_("a person"),
    "person": N_("a person, in all campaigns"),
    "evidence": N_("the calls to a person, with their rules"),
    "call": N_("a call and what was said in it"),
    "recording": N_("the recording of a call"),
    "explain": N_("why a person is called or not"),
    "forecast": N_("who would be called"),
    "promises": N_("who promised to pay"),
    "export": N_("calls or people, as a file"),
    "events": N_("what happens, live"),
    "logs": N_("the recorded events"),
    "dnc": N_("an entry of the do-not-call list"),
    "import": N_("the rows of a file"),
    "test-result": N_("a test call"),
    "test-numbers": N_("the telephones for test calls"),
    "report": N_("results of the calls"),
    "ids": N_("ids of people"),
}
#: Retell's ``user_sentiment``.
_MOODS: Final[Mapping[str, str]] = {
    "positive": N_("friendly"),
    "neutral": N_("neutral"),
    "negative": N_("annoyed"),
    "unknown": N_("not known"),
}
#: Arguments of a recorded command that say what it was about, not how.
_SUBJECTS: Final = ("account", "name", "worker", "number", "country", "to")
#: Arguments that a list of changes does not show: they have a column, or say nothing to its reader.
_UNSHOWN: Final = frozenset({*_SUBJECTS, "batch", "job", "idempotency_key", "return_bad_rows", "filename"})


def of_command(name: object) -> str:
    """What somebody did, by the name of the recorded command."""
    known = COMMANDS.get(str(name))
    return str(name) if known is None else say(known)


def of_read(name: object) -> str:
    """What somebody looked at, by the name of the recorded command."""
    known = READS.get(str(name))
    return str(name) if known is None else say(known)


def subject_of(args: Mapping[str, object]) -> str:
    """What a recorded command was about, where that is no campaign and no person: an account, a user."""
    return next((str(args[name]) for name in _SUBJECTS if args.get(name)), "")


def details_of(args: Mapping[str, object]) -> list[tuple[str, str]]:
    """How a recorded command was given: its other arguments by their names in words; a flag has no value."""
    return [
        (name.replace("_", " "), _given(name, value))
        for name, value in args.items()
        if name not in _UNSHOWN and value is not None
    ]


def _given(name: str, value: object) -> str:
    if value is True:
        return ""
    if name == "expires" and isinstance(value, int | float):
        return say_n("{count} day", "{count} days", int(value // _DAY))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def of_mood(sentiment: object) -> str:
    """How a person sounded, by the word of Retell's analysis."""
    known = _MOODS.get(str(sentiment).lower())
    return str(sentiment) if known is None else say(known)


def people_state(status: object) -> str:
    """The state of a person in a campaign."""
    known = PEOPLE_STATES.get(str(status))
    return of_code(status) if known is None else say(known)


def duration(seconds: float | None) -> str:
    """``42 s``, ``3 min 05 s``, ``2 h 10 min``; a dash for None."""
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"


def time_distance(value: object, now: datetime | None = None) -> str:
    """How long ago, or in how long: ``20 minutes ago``, ``in 3 hours``; empty for what is no time."""
    try:
        read = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return ""
    moment = read if read.tzinfo else read.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    size = abs(seconds)
    if size < _MINUTE:
        return say("just now") if seconds >= 0 else say("in a moment")
    if size < _HOUR:
        count = int(size // _MINUTE)
        return (
            say_n("{count} minute ago", "{count} minutes ago", count)
            if seconds > 0
            else say_n("in {count} minute", "in {count} minutes", count)
        )
    if size < _DAY:
        count = int(size // _HOUR)
        return (
            say_n("{count} hour ago", "{count} hours ago", count)
            if seconds > 0
            else say_n("in {count} hour", "in {count} hours", count)
        )
    count = int(size // _DAY)
    return (
        say_n("{count} day ago", "{count} days ago", count)
        if seconds > 0
        else say_n("in {count} day", "in {count} days", count)
    )
