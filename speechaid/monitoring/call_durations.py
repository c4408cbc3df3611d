"""Durations of calls, from the workers' events, and an estimate of when the live ones end: for ``drain``."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

#: Ended calls kept: the latest predict the next best.
_MAX_ENDED: Final = 200
#: Live calls kept; more than any fleet of one host has.
_MAX_LIVE: Final = 20_000
#: The estimate is this quantile of the durations.
_QUANTILE: Final = 0.9
_BEGINS: Final = frozenset({"call.placed", "call.adopted"})
_ENDS: Final = frozenset({"call.settled", "call.parked", "call.handed_over"})


class CallDurations:
    """A listener to the workers' events."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: OrderedDict[str, float] = OrderedDict()
        self._lengths: deque[float] = deque(maxlen=_MAX_ENDED)

    def note(self, _slot: str, event: str, fields: Mapping[str, Any]) -> None:
        """Note an event of a worker."""
        call = fields.get("call")
        if not isinstance(call, str):
            return
        if event in _BEGINS:
            self._began[call] = self._clock()
            if len(self._began) > _MAX_LIVE:
                self._began.popitem(last=False)
        elif event in _ENDS:
            began = self._began.pop(call, None)
            if began is not None and event == "call.settled":
                self._lengths.append(self._clock() - began)

    def elapsed(self, call: str | None) -> float | None:
        """For how many seconds a call has been followed; None where it is unknown."""
        began = self._began.get(call or "")
        return None if began is None else round(self._clock() - began, 1)

    def left(self, elapsed: Sequence[float], longest_seconds: float) -> dict[str, float | None]:
        """Seconds until the last of some calls has ended: estimated from recent calls, and at most.

        The estimate is None where no call has ended yet.

        Args:
            elapsed: for how many seconds each call has been followed.
            longest_seconds: the maximum duration of a call.
        """
        if not elapsed:
            return {"estimate_seconds": 0.0, "at_most_seconds": 0.0}
        at_most = max(0.0, longest_seconds - min(elapsed))
        if not self._lengths:
            return {"estimate_seconds": None, "at_most_seconds": round(at_most, 1)}
        lengths = sorted(self._lengths)
        usual = lengths[min(len(lengths) - 1, int(len(lengths) * _QUANTILE))]
        # A call past the quantile may take as long as the longest did.
        ends = [(usual if seconds < usual else max(lengths[-1], seconds)) - seconds for seconds in elapsed]
        return {"estimate_seconds": round(max(ends), 1), "at_most_seconds": round(at_most, 1)}
