"""A placed call, followed to its end: polled, its lease renewed, its limits kept, then settled."""

from __future__ import annotations

from datetime import datetime, timedelta
from logging import WARNING

from speechaid.dialer import circuit_breaker, settlement
from speechaid.dialer.context import HandOver, WorkerContext
from speechaid.dialer.preflight import Preflight
from speechaid.errors import StoreError, StoreUnavailable
from speechaid.model.batch import Batch
from speechaid.model.call import Call
from speechaid.model.job import Dial, Job
from speechaid.model.states import Stopper, WorkerState
from speechaid.retell.faults import CallUnknown, RetellError, RetellUnavailable
from speechaid.rules.call_limits import CallLimits, CallProgress, FollowAction, next_action

#: A lease is renewed when this share of it has passed.
RENEW_AT = 1 / 3
#: A parked call is asked for again after so many seconds.
PARKED_RETRY_SECONDS = 120.0


def run(context: WorkerContext, job: Job, call: Call | None, seen: Preflight | None = None) -> None:
    """Follow the call of a job's open dial to its end, and settle it.

    Args:
        context: the worker's things.
        job: in hand, its dial's ``call_id`` known.
        call: as Retell told it last; None where it has yet to be asked for.
        seen: the look behind which this worker has just placed the call.

    Raises:
        LeaseLost: the job belongs to somebody else now.
        HandOver: told to leave; the lease is released, the call goes on, and the next to look adopts it.
    """
    follower = CallFollower(context, job, call, seen)
    try:
        follower.run()
    except HandOver:
        hand_over(context, follower.job)
        raise


def hand_over(context: WorkerContext, job: Job) -> None:
    """Release the lease, so that the call is adopted at once; without the database it lapses by itself."""
    try:
        context.store.jobs.release_lease(job)
        context.emit("call.handed_over", job)
    except StoreError as exc:
        context.emit("call.handed_over", job, error=str(exc))


class CallFollower:
    """One call being followed."""

    def __init__(self, context: WorkerContext, job: Job, call: Call | None, seen: Preflight | None) -> None:
        self.context = context
        self.job = job
        self.call = call
        self.unknown = self._answered = False
        now = context.clock.boottime()
        self._began_at = now
        self._age_at_first = self._since(self._dial.placed_at)
        self._answered_at = now
        self._renewed_at = now
        self._stop_asked_at = now if self._dial.stop_asked_by is not None else None
        #: Whether Retell has heard of the stop; whoever asked before us may have died before that.
        self._stop_accepted = False
        self._connected_seen_at: float | None = None
        self._preflight = seen
        self._batch_limit = _limit(seen.batch) if seen is not None else self._longest_call()
        if call is not None:
            self._note_answer(call)

    def run(self) -> None:
        """Poll until the call is over, then settle; or park it where Retell never says so."""
        if self.call is None:
            self.poll()
        just_written = self._preflight is not None
        while not (self.call is not None and self.call.is_over):
            if not just_written:
                self.renew_lease()
            just_written = False
            match next_action(self.progress(), self.limits()):
                case FollowAction.STOP:
                    self.stop_call(Stopper.LIMIT)
                case FollowAction.PARK:
                    self.resend_stop()
                    self.park()
                    return
                case FollowAction.WAIT:
                    self.resend_stop()
                    self.wait()
            self.poll()
        settlement.settle_ended_call(self.context, self.job, self.call, self._preflight)

    def wait(self) -> None:
        """Rest until the next poll."""
        context = self.context
        seconds = context.settings.call.polling_interval_seconds
        context.report_step(WorkerState.FOLLOWING, "wait", self.job, seconds=seconds)
        context.wait(seconds)
        if context.link.hand_over_requested:
            raise HandOver

    def poll(self) -> None:
        """Ask Retell for the call; what cannot be asked now is asked at the next poll."""
        context = self.context
        context.report_step(
            WorkerState.FOLLOWING, "get call", self.job, seconds=context.settings.retell.timeout_seconds
        )
        try:
            call = context.retell.get_call(self._call_id)
        except CallUnknown:
            self.unknown = True
            return
        except RetellError as fault:
            self._answered = False
            circuit_breaker.after_query_fault(context, fault)
            return
        self._note_answer(call)

    def _note_answer(self, call: Call) -> None:
        """Take in what Retell tells."""
        context = self.context
        self.unknown, self._answered = False, True
        self._answered_at = context.clock.boottime()
        if call.connected and self._connected_seen_at is None:
            self._connected_seen_at = self._answered_at
            if call.started_at is not None and self._dial.placed_at is not None:
                answered_after = (call.started_at - self._dial.placed_at) / timedelta(seconds=1)
                context.observe("speechaid_dial_to_answer_seconds", max(0.0, answered_after))
        self.call = call

    def renew_lease(self) -> None:
        """Renew the lease in good time, and see whether an operator wants something of this call."""
        context = self.context
        context.report_step(WorkerState.FOLLOWING, "renew", self.job)
        try:
            lease = context.settings.worker.lease_seconds
            if context.clock.boottime() - self._renewed_at >= lease * RENEW_AT:
                context.store.jobs.renew(self.job, lease)
                self._renewed_at = context.clock.boottime()
            self.job = context.store.jobs.reread(self.job)
        except StoreUnavailable as exc:
            # The call goes on whether or not the database is there; so does the following of it.
            context.emit("database.away", self.job, step="renew", error=str(exc))
            return
        if (self.job.request or {}).get("action") == "hang_up" and self._dial.stop_asked_by is None:
            self.stop_call(Stopper.OPERATOR)

    def stop_call(self, by: Stopper) -> None:
        """Ask Retell to end the call. Who asked is written first: it decides what the end means."""
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
        """Send the stop that was asked for, unless Retell has heard it; else an outage would swallow it."""
        context = self.context
        if self._dial.stop_asked_by is None or self._stop_accepted:
            return
        context.report_step(
            WorkerState.FOLLOWING, "stop call", self.job, seconds=context.settings.retell.timeout_seconds
        )
        try:
            context.retell.stop_call(self._call_id)
        except RetellUnavailable as fault:
            context.emit("call.stop_failed", self.job, level=WARNING, error=str(fault))
            return
        except RetellError as fault:
            # Refused: it is over, or unknown. The polls will tell; to insist would change nothing.
            context.emit("call.stop_failed", self.job, level=WARNING, error=str(fault))
        self._stop_accepted = True

    def park(self) -> None:
        """Leave a call whose end Retell does not confirm to whoever has time, now and then."""
        context, now = self.context, self.context.store.now()
        until = now + timedelta(seconds=PARKED_RETRY_SECONDS)

        def operation() -> None:
            if self._dial.parked_at is None:
                self.job = context.store.jobs.note_on_dial(self.job, parked_at=now)
            context.store.jobs.release_lease(self.job, until=until)

        context.retry_until_available(WorkerState.FOLLOWING, "park", self.job, operation)
        context.emit("call.parked", self.job, level=WARNING)
        context.link.count("speechaid_call_parkings_total")

    def progress(self) -> CallProgress:
        """What is known of the call now."""
        now = self.context.clock.boottime()
        stop = self._stop_asked_at
        # A parked call that is looked at again has had its time for a stop.
        since_stop = (
            float("inf") if self._dial.parked_at is not None else None if stop is None else now - stop
        )
        return CallProgress(
            since_placed_seconds=self._since_placed(),
            since_connected_seconds=self._since_connected(),
            since_answer_seconds=now - self._answered_at,
            last_poll_answered=self._answered,
            since_stop_seconds=since_stop,
            unknown_to_retell=self.unknown,
        )

    def limits(self) -> CallLimits:
        """The settings of the moment, and the batch's."""
        call = self.context.settings.call
        return CallLimits(
            poll_timeout_seconds=call.poll_timeout_seconds,
            longest_call_seconds=self._batch_limit or call.max_duration_minutes * 60,
            polling_interval_seconds=call.polling_interval_seconds,
        )

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
        """Seconds since the dial, by a clock that nobody sets: one set forward must hang up on nobody."""
        return self._age_at_first + self.context.clock.boottime() - self._began_at

    def _since_connected(self) -> float | None:
        """Seconds since the call connected: by Retell's stamp or since we saw it, whichever is longer ago."""
        if self._connected_seen_at is None:
            return None
        seen = self.context.clock.boottime() - self._connected_seen_at
        return max(seen, min(self._reported_age(), self._since_placed()))

    def _reported_age(self) -> float:
        """Seconds since the start that Retell tells, by Retell's own clock where its answers show it."""
        if self.call is None or self.call.started_at is None:
            return 0.0
        now = self.context.retell.server_now() or self.context.store.now()
        return (now - self.call.started_at) / timedelta(seconds=1)

    def _longest_call(self) -> float | None:
        """The batch's own limit; the environment's holds where it cannot be read."""
        if self._dial.batch_id is None:
            return None
        try:
            batch = self.context.store.batches.find(self._dial.batch_id)
        except StoreUnavailable:
            return None
        return _limit(batch)


def _limit(batch: Batch | None) -> float | None:
    return None if batch is None else batch.call_settings.max_call_duration
