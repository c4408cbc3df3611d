"""The error tree, and the exit statuses with a phrase each."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class SpeechaidError(Exception):
    """Base of every error that speechaid raises on purpose; its text is fit for an operator."""


class ConfigError(SpeechaidError):
    """The settings cannot be used.

    Attributes:
        faults: one line a fault, each naming the variable, its value (never a secret's) and what is allowed.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class StoreError(SpeechaidError):
    """The database refused or could not do what was asked."""


class StoreUnavailable(StoreError):  # noqa: N818 - a condition of the world, not a mistake
    """The database is away; the same request may succeed later."""


class StoreForbidden(StoreError):  # noqa: N818 - as above
    """The database does not know our user and password, or does not let that user do what was asked."""


class LeaseLost(StoreError):  # noqa: N818 - a condition of the world, not a mistake
    """The job is no longer ours: another worker holds it, or an operator took it. Stop writing."""


class NumberBusy(StoreError):  # noqa: N818 - a condition of the world, not a mistake
    """The phone number has an open dial or a live call in another job."""


class NotFound(StoreError):  # noqa: N818 - as above
    """No such document; the text says which."""


class ControlError(SpeechaidError):
    """A control request was refused, or the daemon could not be asked."""


class FleetError(SpeechaidError):
    """A process could not be started, reached or stopped."""


class OutputLost(SpeechaidError):  # noqa: N818 - as above
    """What was to be printed could not be."""


class TelemetryError(SpeechaidError):
    """The metrics cannot be served where the settings say."""


class ImportFailed(SpeechaidError):  # noqa: N818 - the deed failed
    """A contacts file cannot be used as a whole; bad single rows are reported, not raised."""


class ExitStatus(IntEnum):
    """Exit statuses of ``speechaid`` and of its workers (sysexits.h where one fits)."""

    OK = 0, "done"
    REFUSED = 1, "refused or failed"
    USAGE = 2, "wrong usage"
    UNREACHABLE = 3, "the daemon cannot be reached"
    RECYCLE = 10, "recycled between calls, as the settings ask"
    ORPHANED = 11, "the supervisor is gone; finished the call in hand and left"
    UNAVAILABLE = 69, "a dependency is away (EX_UNAVAILABLE)"
    SOFTWARE = 70, "an internal fault (EX_SOFTWARE)"
    CANTCREAT = 73, "a socket or file is taken or cannot be made (EX_CANTCREAT)"
    CONFIG = 78, "settings that cannot be used (EX_CONFIG)"

    phrase: str

    def __new__(cls, value: int, phrase: str) -> Self:
        """Carry the phrase beside the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.phrase = phrase
        return member
