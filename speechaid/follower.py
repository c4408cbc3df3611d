"""The follower: one process a host that asks Retell's list which of the host's calls have ended.

It asks for ends only: pages are tiny, calls that still ring may be missing from the list, and a list that is
behind is merely late. What it finds only wakes the worker of a call, which settles by get-call alone. It
writes nothing and has nothing to lose; without it every worker polls. Its faults never count in the circuit
breaker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from logging import INFO, WARNING
from typing import Final

from speechaid.clock import Clock, SystemClock
from speechaid.errors import ExitStatus
from speechaid.fleet.messages import Command, EndedCalls, ListPass, Order
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.model.call import ListedCall
from speechaid.model.states import WorkerState
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import RetellError
from speechaid.rules.coverage import ListAnswer, ListPace, PollReason, answer_of, is_late, next_pace
from speechaid.settings import Settings
from speechaid.telemetry import logs
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.metric_table import observe

#: Longest that one question may take: a list that needs longer is no help.
REQUEST_SECONDS: Final = 5.0
#: Time between two questions for all calls, ended or not: what the list lacks is polled by its worker.
CHECK_SECONDS: Final = 60.0
#: A call that its worker has not settled is reported again after this time.
AGAIN_SECONDS: Final = 10.0
#: Longest time between two reports of a follower that has nothing to ask.
IDLE_SECONDS: Final = 60.0
#: Ids in one report, which keeps it well under the channel's limit.
IDS_PER_REPORT: Final = 400

log = get_logger("speechaid.follower")


def run(link: SupervisorLink, retell: RetellClient, settings: Settings) -> ExitStatus:
    """Ask until the supervisor has gone, or wants this process to leave."""
    return Follower(link, retell, settings).run()


class Asked:
    """One call that the list is asked about."""

    def __init__(self, since: float) -> None:
        #: When the first question about it may have been sent, in seconds of the boot-time clock.
        self.since = since
        #: By Retell's clock: when the list last did not show it as ended; None: it was not asked yet.
        self.not_ended_at: datetime | None = None
        #: When its worker was last woken, in seconds of the boot-time clock.
        self.woken_at: float | None = None

    def may_wake(self, now: float) -> bool:
        """Whether its worker may be woken now: for a call that the list shows wrongly, not each time."""
        return self.woken_at is None or now - self.woken_at >= AGAIN_SECONDS


class Follower:
    """The follower's loop."""

    def __init__(
        self,
        link: SupervisorLink,
        retell: RetellClient,
        settings: Settings,
        clock: Clock | None = None,
    ) -> None:
        self._link = link
        self._retell = retell
        self._interval = settings.list_interval
        self._clock = clock or SystemClock()
        self._calls: dict[str, Asked] = {}
        #: Number of the last order to follow.
        self._order = 0
        self._pace = ListPace(seconds=self._interval)
        self._check_at = self._clock.boottime() + CHECK_SECONDS
        retell.observe = self._observe

    def run(self) -> ExitStatus:
        """Pass after pass; the exit status says why it ended."""
        self._link.ready()
        pass_at = 0.0
        while True:
            self._handle(self._link.commands(0))
            if self._link.orphaned:
                return ExitStatus.ORPHANED
            if self._link.stop_requested or self._link.hand_over_requested:
                self._link.bye("stopped")
                return ExitStatus.OK
            now = self._clock.boottime()
            if self._calls and now >= pass_at:
                pass_at = self.ask()
            else:
                pause = pass_at - now if self._calls else IDLE_SECONDS
                self._report_step(WorkerState.FOLLOWING if self._calls else WorkerState.IDLE, "wait", pause)
                self._handle(self._link.commands(pause))

    def ask(self) -> float:
        """Ask once about all calls, and report what was found; when to ask next (boot-time clock)."""
        began, order, asked = self._clock.boottime(), self._order, list(self._calls)
        late: list[str] = []
        answer, wait = ListAnswer.LISTED, self._interval
        try:
            for ids in self._portions(asked):
                late += self._note_ended(ids, self._list(ids, ended_only=True))
            if began >= self._check_at:
                self._check_at = began + CHECK_SECONDS
                for ids in self._portions(asked):
                    self._note_checked(ids, self._list(ids, ended_only=False), began)
            self._pace = next_pace(self._pace, ListAnswer.LISTED, interval=self._interval, asked=len(asked))
        except RetellError as fault:
            answer = answer_of(fault.status)
            wait = self._slow_down(answer, fault, min(len(asked), self._pace.ids))
        self._link.report(ListPass(order=order, began=began, answer=answer, late=late[:IDS_PER_REPORT]))
        return began + wait

    def _slow_down(self, answer: ListAnswer, fault: RetellError, asked: int) -> float:
        """Seconds until the next pass, after a question that was refused or failed."""
        log.event(
            WARNING if answer is ListAnswer.TOO_MANY else INFO,
            "list.failed",
            answer=answer.value,
            status=fault.status,
            ids=asked,
            error=str(fault),
        )
        self._pace = next_pace(
            self._pace,
            answer,
            interval=self._interval,
            asked=asked,
            retry_after=fault.retry_after_seconds,
        )
        # With fewer ids it is worth another try at once.
        return 0.0 if answer is ListAnswer.TOO_MANY and self._pace.ids < asked else self._pace.seconds

    def _portions(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        for first in range(0, len(ids), self._pace.ids):
            yield ids[first : first + self._pace.ids]

    def _list(self, ids: Sequence[str], *, ended_only: bool) -> list[ListedCall]:
        self._report_step(WorkerState.FOLLOWING, "list calls", REQUEST_SECONDS)
        return self._retell.list_calls(ids, ended_only=ended_only, seconds=REQUEST_SECONDS)

    def _note_ended(self, ids: Sequence[str], ended: Sequence[ListedCall]) -> list[str]:
        """Wake the workers of ended calls; those calls that the list showed too late."""
        late = []
        for call in ended:
            asked = self._calls[call.call_id]
            if asked.woken_at is not None:
                continue
            lag = _lag(asked, call)
            if lag is not None:
                observe(self._link.count, "speechaid_call_list_lag_seconds", lag)
            if is_late(lag):
                late.append(call.call_id)
        self._wake([call.call_id for call in ended], PollReason.ENDED)
        shown, now = {call.call_id for call in ended}, self._retell_now()
        for call_id in ids:
            if call_id not in shown:
                self._calls[call_id].not_ended_at = now
        return late

    def _note_checked(self, ids: Sequence[str], listed: Sequence[ListedCall], now: float) -> None:
        """Wake the workers of calls that the list lacks, or shows as ended only without the filter."""
        self._wake([call.call_id for call in listed if call.is_over], PollReason.UNLISTED)
        shown = {call.call_id for call in listed}
        lacking = [
            call_id
            for call_id in ids
            if call_id not in shown and now - self._calls[call_id].since >= CHECK_SECONDS
        ]
        self._wake(lacking, PollReason.UNLISTED)

    def _wake(self, ids: Sequence[str], why: PollReason) -> None:
        now = self._clock.boottime()
        due = [call_id for call_id in ids if self._calls[call_id].may_wake(now)]
        for first in range(0, len(due), IDS_PER_REPORT):
            portion = due[first : first + IDS_PER_REPORT]
            # A report that is lost is sent again by the next pass.
            if self._link.report(EndedCalls(calls=portion, why=why)):
                for call_id in portion:
                    self._calls[call_id].woken_at = now

    def _handle(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command.order:
                case Order.FOLLOW:
                    self._order = int(command.data["order"])
                    for call_id in command.data["drop"]:
                        self._calls.pop(call_id, None)
                    for call_id in command.data["add"]:
                        self._calls[call_id] = Asked(self._clock.boottime())
                case Order.SETTINGS:
                    settings = Settings.from_wire(command.data["wire"])
                    self._interval = settings.list_interval
                    logs.set_level(settings.logging.level)
                case Order.LOG_LEVEL:
                    logs.set_level(str(command.data["level"]))

    def _report_step(self, state: WorkerState, step: str, seconds: float) -> None:
        self._link.report_step(state, step, within_seconds=seconds)

    def _retell_now(self) -> datetime:
        """Retell's time, or this machine's where Retell does not say."""
        return self._retell.server_now() or datetime.now(UTC)

    def _observe(self, endpoint: str, code: str, seconds: float) -> None:
        self._link.count("speechaid_retell_requests_total", endpoint=endpoint, code=code)
        observe(self._link.count, "speechaid_retell_request_duration_seconds", seconds, endpoint=endpoint)


def _lag(asked: Asked, call: ListedCall) -> float | None:
    """For how long, at least, the list did not show the end of a call; None: nobody knows.

    A question that came before the end says nothing, and a list that shows the end at the first question
    after it has no lag.
    """
    if asked.not_ended_at is None or call.ended_at is None:
        return None
    return max(0.0, (asked.not_ended_at - call.ended_at).total_seconds())
