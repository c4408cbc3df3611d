"""Follow a placed call to its end: poll it, renew its lease, enforce its limits, then settle it."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum, auto
from logging import WARNING

from speechaid.dialer import circuit_breaker, deleted_jobs, settlement
from speechaid.dialer.context import HandOver, WorkerContext
from speechaid.dialer.preflight import Preflight
from speechaid.errors import JobDeleted, StoreError, StoreUnavailable
from speechaid.model.batch import Batch
from speechaid.model.call import Call, ListedCall, ReportedCall
from speechaid.model.job import Dial, Job
from speechaid.model.reading import Document
from speechaid.model.states import Stopper, WorkerState
from speechaid.retell.client import names_dial
from speechaid.retell.faults import AnswerUnreadable, Blocked, CallUnknown, RetellError, RetellUnavailable
from speechaid.retell.requests_body import DIAL_KEY, DURATION_LIMITS_MS
from speechaid.rules import operator_requests
from speechaid.rules.ambiguous_dials import LONGEST_RING_SECONDS, Lookup, SearchAction, next_lookup
from speechaid.rules.call_limits import (
    CallLimits,
    CallProgress,
    FollowAction,
    next_action,
    seconds_to_limit,
)
from speechaid.rules.coverage import PollReason, renewal_after, seconds_to_poll, suspicion_of

#: That answers cannot be read is the call's own fault once it lasts for so many seconds of polls, and so many
#: polls at least; then, and again after as many, the call list is asked. A Retell that answers everybody with
#: a proxy's page for some minutes must cost no job its further attempts.
UNREADABLE_SECONDS = 300.0
UNREADABLE_TRIES = 5
#: A lease is renewed as well if it is due in so few seconds: a wait may end a little early.
EARLY_SECONDS = 1.0
#: The longest call that Retell allows, in seconds.
LONGEST_CALL_SECONDS = DURATION_LIMITS_MS[1] / 1000
#: Statuses that refuse the key or the payment, not the request: it has to be sent again.
KEY_REFUSED = frozenset({401, 402, 403})
#: The event that Retell refuses to tell about a call.
POLL_REFUSED = "call.poll_refused"
#: An event that may repeat with each poll of a call is logged at most once in this many seconds.
REPEATED_LOG_SECONDS = 300.0
#: A test call is polled at least as often, since somebody looks on.
TEST_POLL_SECONDS = 2.0
#: A parked call is polled again after this many seconds.
PARKED_RETRY_SECONDS = 120.0


class NextStep(Enum):
    """What a worker does next with a covered call."""

    POLL = auto()
    RENEW = auto()
    #: Its coverage ends, unless it was renewed.
    READ_COVERAGE = auto()


def run(
    context: WorkerContext, job: Job, reported: ReportedCall | None, preflight: Preflight | None = None
) -> None:
    """Follow the call of a job's open dial to its end, and settle it by what get-call tells.

    Args:
        context: the worker's.
        job: claimed by this worker, its dial's ``call_id`` known.
        reported: the call as an answer to a create, or the list, shows it; None where neither does.
        preflight: the one that admitted the call, if this worker has just placed it.

    Raises:
        LeaseLost: another worker has the job now.
        HandOver: the worker must leave; the lease is released, and another worker adopts the call.
    """
    follower = CallFollower(context, job, reported, preflight)
    try:
        follower.run()
    except HandOver:
        hand_over(context, follower.job)
        raise
    except JobDeleted:
        run(context, deleted_jobs.keep_deleted_job(context, follower.job), follower.reported)


def hand_over(context: WorkerContext, job: Job) -> None:
    """Release the lease, so that the call is adopted at once.

    If the database is unavailable, the lease expires and the call is adopted then.
    """
    try:
        deleted_jobs.release_lease(context, job)
        context.emit("call.handed_over", job)
    except StoreError as exc:
        context.emit("call.handed_over", job, error=str(exc))


class CallFollower:
    """Follows one call."""

    def __init__(
        self, context: WorkerContext, job: Job, reported: ReportedCall | None, preflight: Preflight | None
    ) -> None:
        self.context = context
        self.job = job
        #: As get-call last reported it: the only source of a settlement.
        self.call: Call | None = None
        self.reported: ReportedCall | None = None
        #: Whether Retell does not know the call.
        self.unknown = False
        #: Whether the latest poll was answered.
        self._last_poll_answered = False
        #: Answers in a row that could not be read, and what was wrong with the latest.
        self._unreadable = 0
        self._unreadable_error = ""
        #: When an event that may repeat with each poll was last logged.
        self._logged_at: dict[str, float] = {}
        #: Whether the breaker has counted a failed poll since the last answer: one call votes once.
        self._poll_fault_counted = False
        now = context.clock.boottime()
        self._began_at = now
        self._age_at_start = self._since(self._dial.placed_at)
        self._last_answer_at = now
        #: When the lease is renewed next.
        self._renewal_due_at = now + self._renewal_after()
        #: Why the follower has woken this worker; whether its call was covered until now.
        self._woken: PollReason | None = None
        self._covered = False
        self._stop_asked_at = now if self._dial.stop_asked_by is not None else None
        #: Whether Retell has received the stop; an earlier worker may have died before sending it.
        self._stop_accepted = False
        #: When a poll first showed the call connected.
        self._connected_at: float | None = None
        self._preflight = preflight
        self._batch_limit = self._longest_call() if preflight is None else _limit(preflight.batch)
        if reported is not None:
            self._note_answer(reported)

    def run(self) -> None:
        """Poll until the call is over, then settle it; or park it if Retell never confirms the end."""
        if self.reported is None or self.reported.is_over:
            self.poll()
        lease_is_fresh = self._preflight is not None
        while self.call is None or not self.call.is_over:
            if self.settle_unreadable():
                return
            if not lease_is_fresh:
                self.renew_lease()
            lease_is_fresh = False
            if self.unknown:
                self.find_other_id()
            match next_action(self.progress(), self.limits()):
                case FollowAction.STOP:
                    self.stop_call(Stopper.LIMIT)
                case FollowAction.PARK:
                    self.resend_stop()
                    if self.is_given_up():
                        settlement.settle_unknown_call(self.context, self.job)
                    else:
                        self.park()
                    return
                case FollowAction.WAIT:
                    self.resend_stop()
                    self.wait()
            self.poll()
            self.note_connected()
        settlement.settle_ended_call(self.context, self.job, self.call, self._preflight)

    def poll(self) -> None:
        """Ask Retell for the call; a poll that fails is repeated at the next interval."""
        context = self.context
        context.report_step(
            WorkerState.FOLLOWING, "get call", self.job, seconds=context.settings.retell.timeout_seconds
        )
        unreadable, self._unreadable = self._unreadable, 0
        try:
            call = context.retell.get_call(self._call_id)
        except CallUnknown:
            self.unknown = True
            return
        except RetellError as fault:
            self._last_poll_answered = False
            if isinstance(fault, AnswerUnreadable):
                self._unreadable, self._unreadable_error = unreadable + 1, str(fault)
            elif isinstance(fault, Blocked):
                # Following goes on, but nobody sees the call until the key is accepted.
                self._emit_seldom(POLL_REFUSED, fault)
            if not self._poll_fault_counted:
                self._poll_fault_counted = True
                circuit_breaker.after_query_fault(context, fault)
            return
        self.call = call
        self._logged_at.pop(POLL_REFUSED, None)
        self._compare_with_list(call)
        self._note_answer(call)

    def _compare_with_list(self, call: Call) -> None:
        """Report it where this answer shows that Retell's list was wrong about a covered call."""
        woken, covered, self._woken, self._covered = self._woken, self._covered, None, False
        if not covered and woken is None:
            return
        since_end = None if call.ended_at is None else (self._retell_now() - call.ended_at).total_seconds()
        suspicion = suspicion_of(woken=woken is PollReason.ENDED, is_over=call.is_over, since_end=since_end)
        if suspicion is not None:
            self.context.emit(
                "call.list_wrong", self.job, level=WARNING, kind=suspicion.value, since_end=since_end
            )
            self.context.link.suspect_list(call.call_id, suspicion)

    def note_connected(self) -> None:
        """Of a test call, write once since when it is connected: somebody looks on."""
        if self.job.test is None or self._connected_at is None or self._dial.connected_at is not None:
            return
        with suppress(StoreUnavailable):
            at = self.context.store.now() - timedelta(seconds=self._since_connected() or 0.0)
            self.job = self.context.store.jobs.note_on_dial(self.job, connected_at=at)

    def settle_unreadable(self) -> bool:
        """Settle a call about which no answer can be read, by the facts of Retell's list; True if it is done.

        Only if the list shows its end, or, where the list has no such call, once any call must be over. Where
        the list cannot be read either, it is not this call's own fault, and following goes on.
        """
        context = self.context
        parked = self._dial.parked_at is not None
        polls = UNREADABLE_SECONDS / context.settings.call.polling_interval_seconds
        if not self._unreadable or (
            self._unreadable % max(math.ceil(polls), UNREADABLE_TRIES) and not parked
        ):
            return False
        context.emit("call.unreadable", self.job, level=WARNING, error=self._unreadable_error)
        try:
            listed = self._listed()
        except RetellError as fault:
            circuit_breaker.after_query_fault(context, fault)
            return False
        if listed is None and self._since_placed() <= self._longest_possible():
            return False
        if listed is not None and not listed.is_over:
            return False
        settlement.settle_unreadable_call(context, self.job, listed, self._unreadable_error)
        return True

    def _listed(self) -> ListedCall | None:
        """The call in Retell's list."""
        context = self.context
        context.report_step(
            WorkerState.FOLLOWING, "list calls", self.job, seconds=context.settings.retell.timeout_seconds
        )
        return next(iter(context.retell.find_calls(call_id=self._call_id)), None)

    def find_other_id(self) -> None:
        """Take over the call that Retell lists under this dial's key, where it does not know our call's id.

        The answer to the create may have named another id than that of the call which was placed.
        """
        context, dial = self.context, self._dial
        if dial.is_of_another_program or dial.api_key_fingerprint != context.retell.fingerprint:
            return
        context.report_step(
            WorkerState.FOLLOWING, "list calls", self.job, seconds=context.settings.retell.timeout_seconds
        )
        try:
            listed = context.retell.find_calls(metadata={DIAL_KEY: dial.key})
        except RetellError as fault:
            circuit_breaker.after_query_fault(context, fault)
            return
        call_id = next((call.call_id for call in listed if names_dial(call, dial.key)), self._call_id)
        if call_id == self._call_id:
            return
        context.emit("call.other_id", self.job, level=WARNING, listed=call_id)
        context.link.count("speechaid_wrong_calls_total")
        self.job = context.retry_until_available(
            WorkerState.FOLLOWING, "record call", self.job, lambda: self._record_other_id(call_id)
        )
        self.unknown, self._stop_accepted = False, False
        self._stop_asked_at = None if self._dial.stop_asked_by is None else context.clock.boottime()
        self.poll()

    def _record_other_id(self, call_id: str) -> Job:
        jobs, dial = self.context.store.jobs, self._dial
        job = jobs.record_call(self.job, call_id, self.context.settings.worker.lease_seconds)
        # A stop because Retell did not know the other id was not meant for this call.
        stopper = None if dial.stop_asked_by is Stopper.LIMIT else dial.stop_asked_by
        return jobs.note_on_dial(
            job, placed_at=dial.placed_at, stop_asked_by=stopper, parked_at=None, unknown_at=None
        )

    def _longest_possible(self) -> float:
        """Seconds after which the call must be over, whatever its limits are now."""
        return LONGEST_RING_SECONDS + LONGEST_CALL_SECONDS + self.limits().poll_timeout_seconds

    def _emit_seldom(self, event: str, fault: RetellError) -> None:
        """Log an event that repeats with each poll: at first, and then every five minutes."""
        now = self.context.clock.boottime()
        if now - self._logged_at.get(event, float("-inf")) >= REPEATED_LOG_SECONDS:
            self._logged_at[event] = now
            self.context.emit(event, self.job, level=WARNING, status=fault.status, error=str(fault))

    def renew_lease(self) -> None:
        """Renew the lease after half of it, and reread the job for a hang-up request."""
        context = self.context
        context.report_step(WorkerState.FOLLOWING, "renew", self.job)
        now = context.clock.boottime()
        try:
            if now >= self._renewal_due_at - EARLY_SECONDS:
                self._renewal_due_at = now + context.settings.call.polling_interval_seconds  # if it fails
                context.store.jobs.renew(self.job, context.settings.worker.lease_seconds)
                self._renewal_due_at = now + self._renewal_after()
            self.job = context.store.jobs.reread(self.job)
        except StoreUnavailable as exc:
            # The call goes on without the database, and so does following it.
            context.emit("database.away", self.job, step="renew", error=str(exc))
            return
        if (self.job.request or {}).get("action") == "hang_up" and self._dial.stop_asked_by is None:
            self.stop_call(Stopper.OPERATOR)

    def _renewal_after(self) -> float:
        settings = self.context.settings
        return renewal_after(
            lease=settings.worker.lease_seconds,
            interval=settings.call.polling_interval_seconds,
            request=settings.retell.timeout_seconds,
        )

    def progress(self) -> CallProgress:
        """What is known of the call now."""
        now = self.context.clock.boottime()
        if self._dial.parked_at is not None:
            since_stop: float | None = float("inf")  # a parked call has had its time to stop
        else:
            since_stop = None if self._stop_asked_at is None else now - self._stop_asked_at
        return CallProgress(
            since_placed_seconds=self._since_placed(),
            since_connected_seconds=self._since_connected(),
            since_answer_seconds=now - self._last_answer_at,
            last_poll_answered=self._last_poll_answered,
            since_stop_seconds=since_stop,
            unknown_to_retell=self.unknown,
        )

    def limits(self) -> CallLimits:
        """The limits of the current settings and of the batch."""
        call = self.context.settings.call
        return CallLimits(
            poll_timeout_seconds=call.poll_timeout_seconds,
            longest_call_seconds=self._batch_limit or call.max_duration_minutes * 60,
            polling_interval_seconds=call.polling_interval_seconds,
        )

    def stop_call(self, by: Stopper) -> None:
        """Ask Retell to end the call; ``by`` is recorded before, because the outcome depends on it."""
        context = self.context
        self.job = context.retry_until_available(
            WorkerState.FOLLOWING,
            "note stop",
            self.job,
            lambda: context.store.jobs.note_on_dial(self.job, stop_asked_by=by),
        )
        self._stop_asked_at = context.clock.boottime()
        context.emit("call.stop_asked", self.job, level=WARNING, by=by, unknown_to_retell=self.unknown)
        self.resend_stop()

    def resend_stop(self) -> None:
        """Repeat a stop request until Retell has received it: an outage must not lose it."""
        context = self.context
        if self._dial.stop_asked_by is None or self._stop_accepted:
            return
        context.report_step(
            WorkerState.FOLLOWING, "stop call", self.job, seconds=context.settings.retell.timeout_seconds
        )
        try:
            context.retell.stop_call(self._call_id)
        except RetellError as fault:
            self._emit_seldom("call.stop_failed", fault)
            if isinstance(fault, RetellUnavailable) or fault.status in KEY_REFUSED:
                return
            # The call is over or unknown, and the polls will show which. Repeating changes nothing.
        self._stop_accepted = True

    def is_given_up(self) -> bool:
        """Whether a parked call that Retell has just answered not to know is no longer waited for.

        An operator says so, or, for a call of another program, as many polls do as empty searches presume a
        dial not placed (``rules.ambiguous_dials``). Otherwise its job would hold a place of the account, and
        its number, for ever. A worker with another API key proves nothing.
        """
        dial, context = self._dial, self.context
        if not self.unknown or dial.api_key_fingerprint != context.retell.fingerprint:
            return False
        if (self.job.request or {}).get(operator_requests.GIVE_UP):
            return True
        presumed = self._unknown_poll().action_if_empty is SearchAction.PRESUME_NOT_PLACED
        return dial.is_of_another_program and presumed

    def _unknown_poll(self) -> Lookup:
        """What a poll proves that Retell answered with 404, counted like an empty search."""
        needed = self.context.settings.call.ambiguous_lookups
        dial = self._dial
        return next_lookup(self._since_placed(), dial.empty_lookups, LONGEST_CALL_SECONDS, needed)

    def park(self) -> None:
        """Release a job whose call's end Retell does not confirm; any worker polls it every two minutes."""
        context, now = self.context, self.context.store.now()
        until = now + timedelta(seconds=PARKED_RETRY_SECONDS)
        notes: Document = {} if self._dial.parked_at is not None else {"parked_at": now}
        if self.unknown != (self._dial.unknown_at is not None):
            notes["unknown_at"] = now if self.unknown else None
        own_key = self._dial.api_key_fingerprint == context.retell.fingerprint
        if self.unknown and own_key and self._dial.is_of_another_program and self._unknown_poll().counts:
            notes["empty_lookups"] = self._dial.empty_lookups + 1

        def mark_and_release() -> None:
            if notes:
                self.job = context.store.jobs.note_on_dial(self.job, **notes)
            context.store.jobs.release_lease(self.job, until=until)

        context.retry_until_available(WorkerState.FOLLOWING, "park", self.job, mark_and_release)
        context.emit("call.parked", self.job, level=WARNING)
        context.link.count("speechaid_call_parkings_total")

    def wait(self) -> None:
        """Wait until the next poll: an interval, or longer while the call is covered.

        Orders end the wait only where they concern this call: a broadcast must not make every worker poll.

        Raises:
            HandOver: the supervisor asked for it.
        """
        context, link = self.context, self.context.link
        poll_at = context.clock.boottime() + self._interval()
        jitter = context.random.random()
        self._covered = False
        while True:
            if link.take_hang_up(self.job.job_id):
                self.renew_lease()  # which reads the request
            self._woken = link.take_poll(self._call_id)
            now = context.clock.boottime()
            was_covered, until = self._covered, self._covered_until()
            self._covered = until > now
            if self._woken is not None:
                self._note_covered_time(now)
                return
            if was_covered and not self._covered:
                # Many calls lose their coverage at the same time.
                poll_at = now + context.random.random() * self._interval()
                self._note_covered_time(now)
            next_step, seconds = (
                self._next_when_covered(now, until, jitter)
                if self._covered
                else (NextStep.POLL, poll_at - now)
            )
            if seconds > 0:
                context.report_step(WorkerState.FOLLOWING, "wait", self.job, seconds=seconds)
                cut_short = context.wait(seconds)
                if link.hand_over_requested:
                    raise HandOver
                if cut_short:
                    continue
            if next_step is NextStep.POLL:
                self._note_covered_time(context.clock.boottime())
                return
            if next_step is NextStep.RENEW:
                self.renew_lease()

    def _next_when_covered(self, now: float, until: float, jitter: float) -> tuple[NextStep, float]:
        """What comes first while a call is covered, and in how many seconds."""
        to_poll = seconds_to_poll(
            since_answer=now - self._last_answer_at,
            to_limit=seconds_to_limit(self.progress(), self.limits()),
            jitter=jitter,
        )
        steps = {
            NextStep.POLL: to_poll,
            NextStep.RENEW: self._renewal_due_at - now,
            NextStep.READ_COVERAGE: until - now,
        }
        return min(steps.items(), key=lambda step: step[1])

    def _note_covered_time(self, now: float) -> None:
        """As if a poll had been answered an interval ago: none was due while the call was covered."""
        if self._last_poll_answered:
            self._last_answer_at = max(self._last_answer_at, now - self._interval())

    def _covered_until(self) -> float:
        return self.context.link.covered_until(self._call_id) if self._may_be_covered() else 0.0

    def _interval(self) -> float:
        """Seconds between two polls of a call that is not covered."""
        seconds = self.context.settings.call.polling_interval_seconds
        return seconds if self.job.test is None else min(seconds, TEST_POLL_SECONDS)

    def _may_be_covered(self) -> bool:
        """Whether nothing but the call's end is waited for; of a test call somebody sees each state."""
        dial = self._dial
        return (
            self.job.test is None
            and self._last_poll_answered
            and not self.unknown
            and dial.stop_asked_by is None
            and dial.parked_at is None
            and dial.api_key_fingerprint == self.context.retell.fingerprint
        )

    # -- what is known of the call -----------------------------------------------------------------------

    def _note_answer(self, call: ReportedCall) -> None:
        context = self.context
        self.unknown, self._last_poll_answered, self._poll_fault_counted = False, True, False
        self._last_answer_at = context.clock.boottime()
        if call.connected and self._connected_at is None:
            self._connected_at = self._last_answer_at
            if call.started_at is not None and self._dial.placed_at is not None and self.job.test is None:
                answered_after = (call.started_at - self._dial.placed_at) / timedelta(seconds=1)
                context.observe("speechaid_dial_to_answer_seconds", max(0.0, answered_after))
        self.reported = call

    @property
    def _dial(self) -> Dial:
        assert self.job.dial is not None  # noqa: S101
        return self.job.dial

    @property
    def _call_id(self) -> str:
        assert self._dial.call_id is not None  # noqa: S101
        return self._dial.call_id

    def _since(self, moment: datetime | None) -> float:
        return 0.0 if moment is None else (self.context.store.now() - moment) / timedelta(seconds=1)

    def _since_placed(self) -> float:
        """Seconds since the dial, by the boot-time clock: a forward clock jump must not end calls."""
        return self._age_at_start + self.context.clock.boottime() - self._began_at

    def _since_connected(self) -> float | None:
        """Seconds since the call connected: by Retell's timestamp or by our polls, whichever is more."""
        if self._connected_at is None:
            return None
        polled = self.context.clock.boottime() - self._connected_at
        return max(polled, min(self._reported_age(), self._since_placed()))

    def _reported_age(self) -> float:
        """Seconds since the start that Retell reports, by Retell's clock if its answers show it."""
        if self.reported is None or self.reported.started_at is None:
            return 0.0
        return (self._retell_now() - self.reported.started_at) / timedelta(seconds=1)

    def _retell_now(self) -> datetime:
        """Retell's time, or the database's where Retell does not say."""
        return self.context.retell.server_now() or self.context.store.now()

    def _longest_call(self) -> float | None:
        """The batch's limit in seconds; None (the environment's applies) if there is none or no database."""
        test = self.job.test
        batch_id = self._dial.batch_id if test is None else test.batch_id
        if batch_id is None:
            return None
        try:
            batch = self.context.store.batches.find(batch_id)
        except StoreUnavailable:
            return None
        return _limit(batch)


def _limit(batch: Batch | None) -> float | None:
    return None if batch is None else batch.call_settings.max_call_duration
