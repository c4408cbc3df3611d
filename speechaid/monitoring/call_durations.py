"""How long calls take, from what workers tell, and by when those in hand will be over: for ``drain``."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

#: Calls remembered: the latest say most about the next.
_REMEMBERED: Final = 200
#: Calls going on that are remembered; more than any fleet of one host has.
_GOING_ON: Final = 20_000
#: Of ten calls nine are shorter than the estimate reckons with.
_SHARE: Final = 0.9
_BEGINS: Final = frozenset({"call.placed", "call.adopted"})
_ENDS: Final = frozenset({"call.settled", "call.parked", "call.handed_over"})


class CallDurations:
    """A listener of the supervisor's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: OrderedDict[str, float] = OrderedDict()
        self._lengths: deque[float] = deque(maxlen=_REMEMBERED)

    def note(self, _slot: str, event: str, fields: Mapping[str, Any]) -> None:
        """An event of a worker."""
        call = fields.get("call")
        if not isinstance(call, str):
            return
        if event in _BEGINS:
            self._began[call] = self._clock()
            if len(self._began) > _GOING_ON:
                self._began.popitem(last=False)
        elif event in _ENDS:
            began = self._began.pop(call, None)
            if began is not None and event == "call.settled":
                self._lengths.append(self._clock() - began)

    def elapsed(self, call: str | None) -> float | None:
        """For how many seconds a call has been followed."""
        began = self._began.get(call or "")
        return None if began is None else round(self._clock() - began, 1)

    def left(self, elapsed: Sequence[float], longest_seconds: float) -> dict[str, float | None]:
        """Seconds until the last of some calls is over: as calls went lately, and at the very most.

        The estimate is None where no call has ended yet from which to tell.

        Args:
            elapsed: for how many seconds each of them has been followed.
            longest_seconds: that a call may take.
        """
        if not elapsed:
            return {"estimate_seconds": 0.0, "at_most_seconds": 0.0}
        at_most = max(0.0, longest_seconds - min(elapsed))
        if not self._lengths:
            return {"estimate_seconds": None, "at_most_seconds": round(at_most, 1)}
        lengths = sorted(self._lengths)
        usual = lengths[min(len(lengths) - 1, int(len(lengths) * _SHARE))]
        # One that has outlasted nine of ten may go on as long as the longest did.
        ends = [(usual if seconds < usual else max(lengths[-1], seconds)) - seconds for seconds in elapsed]
        return {"estimate_seconds": round(max(ends), 1), "at_most_seconds": round(at_most, 1)}
