"""Which calls of this host are covered: the supervisor's part between its workers and its follower.

The follower (``speechaid.follower``) asks Retell's list which of the host's calls have ended. It is told
which calls these are (order FOLLOW), and reports each pass through the list, and the ended calls. A worker
whose call was in a complete pass is told that it need not poll for a while (COVERED), and when it has to
(POLL).
Everything here may be lost, late or repeated: then workers poll, as without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from speechaid.fleet.messages import Counts, EndedCalls, ListPass, Order, SuspectList, count_key
from speechaid.fleet.slots import Slot, SlotState
from speechaid.model.states import WorkerState
from speechaid.rules.coverage import (
    DISTRUST_SECONDS,
    GRANT_SECONDS,
    RENEW_SECONDS,
    Gap,
    ListRecord,
    Suspicion,
    find_gap,
)
from speechaid.telemetry.logs import get_logger

#: Name of the follower's slot.
FOLLOWER: Final = "follower"
#: Time between two comparisons of the calls with what the follower was told.
COMPARE_SECONDS: Final = 1.0
#: Ids in one order, which keeps it well under the channel's limit.
IDS_PER_ORDER: Final = 400

log = get_logger(__name__)


@dataclass
class WatchedCall:
    """One call that the follower was told to ask about."""

    slot: Slot
    #: Number of the order that named it.
    told_in: int
    #: Until when its worker was told that it is covered; 0: it was not.
    covered_until: float = 0.0


class CallWatch:
    """Calls, coverage and the list's record; owned by the fleet's loop.

    Attributes:
        interval: seconds between two passes; 0: there is no follower, and every worker polls.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._calls: dict[str, WatchedCall] = {}
        self._record = ListRecord()
        self._orders = 0
        #: The last order that a complete pass had received.
        self._listed_order = 0
        self._follower_id = ""
        self._gap: Gap | None = Gap.NOT_YET
        self._due_at = 0.0
        self._has_calls = False
        #: Calls that the list was suspected for, and when: one call is evidence once.
        self._evidence: dict[str, float] = {}

    @property
    def needs_follower(self) -> bool:
        """Whether a follower has something to do."""
        return self.interval > 0 and self._has_calls

    @property
    def next_at(self) -> float:
        """When the next comparison is due, in seconds of the boot-time clock."""
        return self._due_at

    def update(self, workers: Iterable[Slot], follower: Slot, now: float) -> Counts:
        """Tell the follower of calls that began and ended, and the workers whether they are covered.

        Returns:
            Increments of metrics.
        """
        if now < self._due_at:
            return {}
        self._due_at = now + COMPARE_SECONDS
        live = {} if self.interval <= 0 else _live_calls(workers)
        self._has_calls = bool(live)
        covered = sum(
            watched.covered_until > now for call_id, watched in self._calls.items() if call_id in live
        )
        if follower.worker_id != self._follower_id:
            self._forget_follower(follower.worker_id)
        found = find_gap(self._record, now, interval=self.interval) if self.interval > 0 else Gap.NOT_YET
        if follower.state is SlotState.RUNNING:
            self._send_changes({} if found is Gap.DISTRUSTED else live, follower)
        counts = self._note_gap(found, covered)
        if found is None:
            self._cover(now)
        return counts

    def handle_pass(self, report: ListPass, now: float) -> None:
        """Take the result of one pass through the list."""
        self._record = self._record.after_pass(report.answer, report.began)
        if self._record.listed_at == report.began:
            self._listed_order = max(self._listed_order, report.order)
        for call_id in report.late:
            self._suspect(call_id, Suspicion.MISSED_END, now)
        self._due_at = min(self._due_at, now)

    def handle_ended(self, report: EndedCalls) -> None:
        """Have the workers of these calls poll them now."""
        for call_id in report.calls:
            watched = self._calls.get(call_id)
            if watched is not None and _call_of(watched.slot) == call_id:
                watched.slot.send_order(Order.POLL, call=call_id, why=report.why.value)

    def handle_suspicion(self, report: SuspectList, now: float) -> None:
        """Take what a worker's get-call says against the list."""
        self._suspect(report.call, report.suspicion, now)

    def follower_ended(self) -> None:
        """Uncover all calls at the next comparison: the follower is gone."""
        self._due_at = 0.0

    def row(self, follower: Slot, now: float) -> dict[str, Any]:
        """The follower as ``status`` shows it."""
        child = follower.child
        return {
            "pid": None if child is None else child.pid,
            "state": follower.state.value if self.interval > 0 else "off",
            "calls": len(self._calls),
            "covered": sum(watched.covered_until > now for watched in self._calls.values()),
            "gap": None if self._gap is None else self._gap.value,
            "unusable": self.needs_follower and self._gap not in {None, Gap.NOT_YET},
            "restarts": follower.restarts.total(),
        }

    def _forget_follower(self, worker_id: str) -> None:
        """Begin anew with another follower process, or with none."""
        self._follower_id = worker_id
        self._record = self._record.after_restart()
        for watched in self._calls.values():
            _uncover(watched)
        self._calls.clear()

    def _send_changes(self, live: Mapping[str, Slot], follower: Slot) -> None:
        dropped = [call_id for call_id in self._calls if call_id not in live]
        added = [call_id for call_id in live if call_id not in self._calls]
        for first in range(0, max(len(dropped), len(added)), IDS_PER_ORDER):
            self._orders += 1
            drop, add = dropped[first : first + IDS_PER_ORDER], added[first : first + IDS_PER_ORDER]
            follower.send_order(Order.FOLLOW, order=self._orders, add=add, drop=drop)
            for call_id in drop:
                _uncover(self._calls.pop(call_id))
            for call_id in add:
                self._calls[call_id] = WatchedCall(slot=live[call_id], told_in=self._orders)
        for call_id, slot in live.items():
            # Handed over within this host: the other worker has to be covered anew.
            if self._calls[call_id].slot is not slot:
                self._calls[call_id] = WatchedCall(slot=slot, told_in=self._calls[call_id].told_in)

    def _note_gap(self, found: Gap | None, covered: int) -> Counts:
        """Uncover all calls where there is no coverage; ``covered``: how many were."""
        before, self._gap = self._gap, found
        if found is None:
            if before is not None and before is not Gap.NOT_YET:
                log.info("coverage.restored")
            return {}
        for watched in self._calls.values():
            _uncover(watched)
        if not covered:
            return {}
        cause = Gap.SILENT if found is Gap.NOT_YET else found  # a new follower: the one before is gone
        log.warning("coverage.lost", cause=cause.value, calls=covered)
        return {count_key("speechaid_coverage_losses_total", {"cause": cause.value}): 1.0}

    def _cover(self, now: float) -> None:
        for call_id, watched in self._calls.items():
            if watched.told_in <= self._listed_order and watched.covered_until - now < RENEW_SECONDS:
                watched.covered_until = now + GRANT_SECONDS
                watched.slot.send_order(Order.COVERED, call=call_id, until=watched.covered_until)

    def _suspect(self, call_id: str, kind: Suspicion, now: float) -> None:
        self._evidence = {call: at for call, at in self._evidence.items() if now - at < DISTRUST_SECONDS}
        if call_id in self._evidence:
            return
        self._evidence[call_id] = now
        log.warning("list.suspected", call=call_id, kind=kind.value)
        self._record = self._record.after_suspicion(kind, now)


def _call_of(slot: Slot) -> str | None:
    """The call that its worker follows, by its last beat."""
    beat = slot.beat
    if slot.state is not SlotState.RUNNING or beat is None or beat.state is not WorkerState.FOLLOWING:
        return None
    return beat.call


def _live_calls(workers: Iterable[Slot]) -> dict[str, Slot]:
    return {call_id: slot for slot in workers if (call_id := _call_of(slot)) is not None}


def _uncover(watched: WatchedCall) -> None:
    """Tell a worker that was covered to poll again, if it still runs."""
    if watched.covered_until:
        watched.covered_until = 0.0
        watched.slot.send_order(Order.UNCOVERED)
