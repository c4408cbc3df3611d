"""Which ends of calls count as an attempt, and which as a contact, for caps. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from speechaid.model.states import Outcome


class CountsAs(Enum):
    """What a call with some outcome counts as."""

    #: A person answered: attempt, contact and talk.
    TALK = auto()
    #: A machine answered: a contact where a message was left, or may have been; else an attempt.
    MESSAGE = auto()
    #: An attempt; a talk where the call had connected, since then a person may have been on the line.
    TALK_IF_CONNECTED = auto()
    #: Nobody was reached.
    ATTEMPT = auto()
    #: No phone rang.
    NOTHING = auto()


#: Every outcome.
COUNTS_AS: Final[Mapping[Outcome, CountsAs]] = MappingProxyType(
    {
        Outcome.ANSWERED: CountsAs.TALK,
        Outcome.DO_NOT_CALL: CountsAs.TALK,
        Outcome.CALLBACK_REQUESTED: CountsAs.TALK,
        Outcome.VOICEMAIL: CountsAs.MESSAGE,
        Outcome.FAILED: CountsAs.TALK_IF_CONNECTED,
        Outcome.STOPPED: CountsAs.TALK_IF_CONNECTED,
        Outcome.NO_ANSWER: CountsAs.ATTEMPT,
        Outcome.BUSY: CountsAs.ATTEMPT,
        Outcome.INVALID_NUMBER: CountsAs.ATTEMPT,
        Outcome.TEMPORARY: CountsAs.NOTHING,
        Outcome.NO_CREDIT: CountsAs.NOTHING,
        Outcome.BLOCKED: CountsAs.NOTHING,
        Outcome.REJECTED: CountsAs.NOTHING,
    }
)
