"""What is written that an older daemon would dial against, by levels.

The database names the level that every daemon must have reached before it dials (``store.holds``). A daemon
below it places no call and says so. Versions up to 0.2.0 do not know the level: they must be stopped first.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from speechaid.protocol.translation import say, say_later


class Level(IntEnum):
    """What a daemon heeds; each level includes those below."""

    #: Up to 0.2.0, which does not read the database's level.
    FIRST = 1
    #: Opt-outs of a person, agents and numbers of a batch.
    PEOPLE_AND_AGENTS = 2
    #: A batch's purpose, and by it the calling rules of packs with the ledger of their caps.
    CALLING_RULES = 3
    #: What was decided about a call stands in its result, and no longer in the job.
    DECISIONS_IN_RESULTS = 4
    #: The moment from which a batch is called.
    START_TIMES = 5


#: The level of this version.
OWN: Final = max(Level)
#: What each level added; stored with it, so that a daemon below it can say so.
ADDED: Final[Mapping[Level, str]] = MappingProxyType(
    {
        Level.FIRST: say_later("dialling as versions up to 0.2.0 do it"),
        Level.PEOPLE_AND_AGENTS: say_later("opt-outs of a person, and agents and numbers of a batch"),
        Level.CALLING_RULES: say_later("hours, holidays and caps by the law of a country"),
        Level.DECISIONS_IN_RESULTS: say_later("decisions about calls that stand in their results"),
        Level.START_TIMES: say_later("batches that start at a given time"),
    }
)


def reason_too_old(needed: int | None, why: str | None = None, *, own: int = OWN) -> str | None:
    """Why a daemon of this level may not dial; None where it may.

    Args:
        needed: the database's level; None: it cannot be read, which forbids every dial.
        why: what was written that needs it, as the database has it.
        own: the daemon's.
    """
    if needed is None:
        return say("the level that the database requires of a daemon cannot be read")
    if needed <= own:
        return None
    of_it = "" if why is None else say(" ({why})", why=why)
    return say(
        "the database requires level {needed}{of_it}, and this daemon has level {own}: upgrade this host",
        needed=needed,
        of_it=of_it,
        own=own,
    )
