"""The exception hierarchy, and the exit statuses with their phrases."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class SpeechaidError(Exception):
    """Base of every error that speechaid raises on purpose; its text is for an operator."""


class ConfigError(SpeechaidError):
    """The settings cannot be used.

    Attributes:
        faults: one line each, with the variable, its value (hidden where secret) and what is allowed.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class StoreError(SpeechaidError):
    """The database refused or failed an operation."""


class StoreUnavailable(StoreError):  # noqa: N818 - a condition, not a mistake
    """The database is away; the operation may succeed later."""


class StoreForbidden(StoreError):  # noqa: N818 - as above
    """The database rejects our user and password, or that user lacks the right for the operation."""


class LeaseLost(StoreError):  # noqa: N818 - a condition, not a mistake
    """The claim is lost: another worker or an operator has the job. Stop writing."""


class JobDeleted(LeaseLost):
    """The claim is lost because the job's document is gone: another program deleted it."""


class NumberBusy(StoreError):  # noqa: N818 - a condition, not a mistake
    """The phone number has an open dial or a live call in another job."""


class NotFound(StoreError):  # noqa: N818 - as above
    """No such document; the text names it."""


class LoginRefused(SpeechaidError):  # noqa: N818 - a regular answer
    """Name or password is wrong, or the user is disabled: the text does not say which."""


class TooManyTries(LoginRefused):
    """Too many logins have failed for this user or from this address.

    Attributes:
        seconds: the next try is looked at after so many seconds.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__("too many failed logins: try again later")
        self.seconds = seconds


class LoginsBusy(SpeechaidError):  # noqa: N818 - a condition, not a mistake
    """Too many passwords are being checked just now; the same login may succeed later."""


class ControlError(SpeechaidError):
    """A control request was refused, or the daemon could not be asked."""


class FleetError(SpeechaidError):
    """A process could not be started, reached or stopped."""


class OutputLost(SpeechaidError):  # noqa: N818 - as above
    """Output could not be printed."""


class TelemetryError(SpeechaidError):
    """The metrics cannot be served at the configured address."""


class ImportFailed(SpeechaidError):  # noqa: N818 - names the event
    """A contacts file is unusable as a whole; single bad rows are reported, not raised."""


class ExitStatus(IntEnum):
    """Exit statuses of ``speechaid`` and of its workers (sysexits.h where one fits)."""

    OK = 0, "done"
    REFUSED = 1, "refused or failed"
    USAGE = 2, "wrong usage"
    UNREACHABLE = 3, "the daemon cannot be reached"
    RECYCLE = 10, "recycled between calls, as configured"
    ORPHANED = 11, "the supervisor is gone; finished the live call and left"
    UNAVAILABLE = 69, "a dependency is away (EX_UNAVAILABLE)"
    SOFTWARE = 70, "an internal fault (EX_SOFTWARE)"
    CANTCREAT = 73, "a socket or file is in use or cannot be made (EX_CANTCREAT)"
    CONFIG = 78, "the settings cannot be used (EX_CONFIG)"

    phrase: str

    def __new__(cls, value: int, phrase: str) -> Self:
        """Attach the phrase to the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.phrase = phrase
        return member
