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


#: What a recorded command was, in the words of "who did what".
COMMANDS: Final[Mapping[str, str]] = {
    "import": N_("imported contacts"),
    "create-batch": N_("created the campaign"),
    "edit-batch": N_("changed the settings"),
    "pause-batch": N_("paused it"),
    "resume-batch": N_("let it call"),
    "cancel-batch": N_("cancelled it"),
    "redial-batch": N_("had those not reached called again"),
    "undo-import": N_("took an import back"),
    "reset-jobs": N_("started finished people again"),
    "cancel-job": N_("cancelled a person"),
    "suspend-job": N_("set a person aside"),
    "resume-job": N_("let a person be called again"),
    "hang-up": N_("ended a call"),
    "opt-out": N_("noted that a person wants no calls"),
    "paid": N_("noted a payment"),
    "test-call": N_("made a test call"),
}


def of_command(name: object) -> str:
    """What somebody did, by the name of the recorded command."""
    known = COMMANDS.get(str(name))
    return str(name) if known is None else say(known)


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
