"""What to do about a dial of which nobody knows whether it became a call. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Retell remembers an idempotency key for one hour from its first use (its API reference).
KEY_HOUR_SECONDS: Final = 3600.0
#: A replay comes no later than this after the intent: a quarter of an hour of margin for slow requests and
#: clocks.
REPLAY_WITHIN_SECONDS: Final = 2700.0
#: The longest that Retell lets a phone ring (its API reference).
LONGEST_RING_SECONDS: Final = 300.0
#: Spacing of look-ups: soon at first, since a lost answer usually shows up within seconds.
REST_SECONDS: Final = ((60.0, 10.0), (600.0, 60.0), (KEY_HOUR_SECONDS, 300.0))
#: Spacing of the look-ups that count.
COUNTED_REST_SECONDS: Final = 60.0


class SearchAction(StrEnum):
    """What an empty look-up leads to."""

    LOOK_AGAIN = "look_again"
    PRESUME_NOT_PLACED = "presume_not_placed"


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """How to go about one ambiguous dial now."""

    #: Whether the same create may be sent again under its key.
    may_replay: bool
    #: Whether an empty look-up now says anything: every call that the dial can have made is over by now.
    counts: bool
    #: What to do if this look-up, too, finds nothing.
    then: SearchAction
    #: Seconds until the next look-up.
    rest_seconds: float


def next_lookup(age_seconds: float, empty_lookups: int, longest_call_seconds: float, needed: int) -> Lookup:
    """Judge an ambiguous dial.

    Args:
        age_seconds: since the intent was written, by the database's clock; a negative one (the clock was set
            back) allows nothing but waiting.
        empty_lookups: look-ups so far that counted and found nothing.
        longest_call_seconds: the longest that the call may have lasted.
        needed: empty look-ups that count, this one included, before the call is presumed not placed.
    """
    over_by = KEY_HOUR_SECONDS + LONGEST_RING_SECONDS + longest_call_seconds
    counts = age_seconds > over_by
    presume = counts and empty_lookups + 1 >= needed
    rest = (
        COUNTED_REST_SECONDS
        if counts
        else next((rest for age, rest in REST_SECONDS if age_seconds < age), 300.0)
    )
    return Lookup(
        may_replay=0 <= age_seconds <= REPLAY_WITHIN_SECONDS,
        counts=counts,
        then=SearchAction.PRESUME_NOT_PLACED if presume else SearchAction.LOOK_AGAIN,
        rest_seconds=rest,
    )
