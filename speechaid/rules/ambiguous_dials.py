"""What to do about an ambiguous dial: one that may or may not have become a call. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Retell remembers an idempotency key for one hour from its first use (its API reference).
KEY_HOUR_SECONDS: Final = 3600.0
#: No replay later than this after the intent: a margin of 15 minutes for slow requests and clock skew.
REPLAY_WITHIN_SECONDS: Final = 2700.0
#: The longest that Retell lets a phone ring (its API reference).
LONGEST_RING_SECONDS: Final = 300.0
#: (age of the dial below, seconds between look-ups): short at first, since a call whose answer was lost
#: usually shows up within seconds.
LOOKUP_INTERVALS: Final = ((60.0, 10.0), (600.0, 60.0), (KEY_HOUR_SECONDS, 300.0))
#: Seconds between look-ups that count.
COUNTED_INTERVAL_SECONDS: Final = 60.0


class SearchAction(StrEnum):
    """What to do after a look-up that found no call."""

    SEARCH_AGAIN = "search_again"
    PRESUME_NOT_PLACED = "presume_not_placed"


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """How to resolve one ambiguous dial now."""

    #: Whether the same create request may be sent again under its idempotency key.
    may_replay: bool
    #: Whether an empty look-up counts as evidence: any call that the dial made must be over by now.
    counts: bool
    #: What to do if this look-up finds no call either.
    action_if_empty: SearchAction
    #: Seconds until the next look-up.
    delay_seconds: float


def next_lookup(age_seconds: float, empty_lookups: int, longest_call_seconds: float, needed: int) -> Lookup:
    """Decide how to resolve an ambiguous dial.

    Args:
        age_seconds: since the intent was written, by the database's clock; if negative (the clock was set
            back), only waiting is allowed.
        empty_lookups: look-ups so far that counted and found no call.
        longest_call_seconds: the longest that the call can have lasted.
        needed: counted empty look-ups, this one included, after which the call is presumed not placed.
    """
    over_after = KEY_HOUR_SECONDS + LONGEST_RING_SECONDS + longest_call_seconds
    counts = age_seconds > over_after
    presume = counts and empty_lookups + 1 >= needed
    delay = (
        COUNTED_INTERVAL_SECONDS
        if counts
        else next((interval for age, interval in LOOKUP_INTERVALS if age_seconds < age), 300.0)
    )
    return Lookup(
        may_replay=0 <= age_seconds <= REPLAY_WITHIN_SECONDS,
        counts=counts,
        action_if_empty=SearchAction.PRESUME_NOT_PLACED if presume else SearchAction.SEARCH_AGAIN,
        delay_seconds=delay,
    )
