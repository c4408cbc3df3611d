"""A placed call, followed to its end: polled, its lease renewed, its limits kept, then settled."""

from __future__ import annotations

from datetime import datetime, timedelta
from logging import WARNING

from speechaid.dialer import circuit_breaker, settlement
from speechaid.dialer.context import Kit, LetGo
from speechaid.dialer.preflight import Look
from speechaid.errors import StoreError, StoreUnavailable
from speechaid.model.batch import Batch
from speechaid.model.call import Call
from speechaid.model.job import Dial, Job
from speechaid.model.states import Stopper, WorkerState
from speechaid.retell.faults import CallUnknown, RetellError, RetellUnavailable
from speechaid.rules.call_limits import Limits, Progress, Watch, watch

#: A lease is renewed when this share of it has passed.
RENEW_AT = 1 / 3
#: A parked call is asked for again after so many seconds.
PARKED_REST_SECONDS = 120.0


def run(kit: Kit, job: Job, call: Call | None, seen: Look | None = None) -> None:
    """Follow the call of a job's open dial to its end, and settle it.

    Args:
        kit: the worker's things.
        job: in hand, its dial's ``call_id`` known.
        call: as Retell told it last; None where it has yet to be asked for.
        seen: the look behind which this worker has just placed the call.

    Raises:
        LeaseLost: the job belongs to somebody else now.
        LetGo: told to leave; the lease is released, the call goes on, and the next to look adopts it.
    """
    vigil = Vigil(kit, job, call, seen)
    try:
        vigil.keep()
    except LetGo:
        hand_over(kit, vigil.job)
        raise


def hand_over(kit: Kit, job: Job) -> None:
    """Release the lease, so that the call is adopted at once; without the database it lapses by itself."""
    try:
        kit.store.jobs.let_go(job)
        kit.tell("call.handed_over", job)
    except StoreError as exc:
        kit.tell("call.handed_over", job, error=str(exc))


class Vigil:
    """One call being followed."""

    def __init__(self, kit: Kit, job: Job, call: Call | None, seen: Look | None) -> None:
        self.kit = kit
        self.job = job
        self.call = call
        self.unknown = self._told = False
        now = kit.clock.boottime()
        self._began_at = now
        self._age_at_first = self._since(self._dial.placed_at)
        self._heard_at = now
        self._renewed_at = now
        self._stop_asked_at = now if self._dial.stop_asked_by is not None else None
        #: Whether Retell has heard of the stop; whoever asked before us may have died before that.
        self._stop_heard = False
        self._connected_seen_at: float | None = None
        self._seen = seen
        self._batch_limit = _limit(seen.batch) if seen is not None else self._longest_call()
        if call is not None:
            self._hear(call)

    def keep(self) -> None:
        """Poll until the call is over, then settle; or park it where Retell never says so."""
        if self.call is None:
            self.poll()
        just_written = self._seen is not None
        while not (self.call is not None and self.call.is_over):
            if not just_written:
                self.tend()
            just_written = False
            match watch(self.progress(), self.limits()):
                case Watch.STOP:
                    self.stop(Stopper.LIMIT)
                case Watch.PARK:
                    self.repeat_stop()
                    self.park()
                    return
                case Watch.WAIT:
                    self.repeat_stop()
                    self.wait()
            self.poll()
        settlement.ended(self.kit, self.job, self.call, self._seen)

    def wait(self) -> None:
        """Rest until the next poll."""
        kit = self.kit
        seconds = kit.settings.call.polling_interval_seconds
        kit.report(WorkerState.FOLLOWING, "wait", self.job, seconds=seconds)
        kit.rest(seconds)
        if kit.seat.let_go_requested:
            raise LetGo

    def poll(self) -> None:
        """Ask Retell for the call; what cannot be asked now is asked at the next poll."""
        kit = self.kit
        kit.report(WorkerState.FOLLOWING, "get call", self.job, seconds=kit.settings.retell.timeout_seconds)
        try:
            call = kit.retell.get_call(self._call_id)
        except CallUnknown:
            self.unknown = True
            return
        except RetellError as fault:
            self._told = False
            circuit_breaker.after_question_fault(kit, fault)
            return
        self._hear(call)

    def _hear(self, call: Call) -> None:
        """Take in what Retell tells."""
        kit = self.kit
        self.unknown, self._told = False, True
        self._heard_at = kit.clock.boottime()
        if call.connected and self._connected_seen_at is None:
            self._connected_seen_at = self._heard_at
            if call.started_at is not None and self._dial.placed_at is not None:
                answered_after = (call.started_at - self._dial.placed_at) / timedelta(seconds=1)
                kit.observe("speechaid_dial_to_answer_seconds", max(0.0, answered_after))
        self.call = call

    def tend(self) -> None:
        """Renew the lease in good time, and see whether an operator wants something of this call."""
        kit = self.kit
        kit.report(WorkerState.FOLLOWING, "renew", self.job)
        try:
            lease = kit.settings.worker.lease_seconds
            if kit.clock.boottime() - self._renewed_at >= lease * RENEW_AT:
                kit.store.jobs.renew(self.job, lease)
                self._renewed_at = kit.clock.boottime()
            self.job = kit.store.jobs.look(self.job)
        except StoreUnavailable as exc:
            # The call goes on whether or not the database is there; so does the following of it.
            kit.tell("database.away", self.job, step="renew", error=str(exc))
            return
        if (self.job.request or {}).get("action") == "hang_up" and self._dial.stop_asked_by is None:
            self.stop(Stopper.OPERATOR)

    def stop(self, by: Stopper) -> None:
        """Ask Retell to end the call. Who asked is written first: it decides what the end means."""
        kit = self.kit
        self.job = kit.insist(
            WorkerState.FOLLOWING,
            "note stop",
            self.job,
            lambda: kit.store.jobs.note_on_dial(self.job, stop_asked_by=by),
        )
        self._stop_asked_at = kit.clock.boottime()
        kit.tell("call.stop_asked", self.job, level=WARNING, by=by, unknown_to_retell=self.unknown)
        self.repeat_stop()

    def repeat_stop(self) -> None:
        """Send the stop that was asked for, unless Retell has heard it; else an outage would swallow it."""
        kit = self.kit
        if self._dial.stop_asked_by is None or self._stop_heard:
            return
        kit.report(WorkerState.FOLLOWING, "stop call", self.job, seconds=kit.settings.retell.timeout_seconds)
        try:
            kit.retell.stop_call(self._call_id)
        except RetellUnavailable as fault:
            kit.tell("call.stop_failed", self.job, level=WARNING, error=str(fault))
            return
        except RetellError as fault:
            # Refused: it is over, or unknown. The polls will tell; to insist would change nothing.
            kit.tell("call.stop_failed", self.job, level=WARNING, error=str(fault))
        self._stop_heard = True

    def park(self) -> None:
        """Leave a call whose end Retell does not confirm to whoever has time, now and then."""
        kit, now = self.kit, self.kit.store.now()
        until = now + timedelta(seconds=PARKED_REST_SECONDS)

        def deed() -> None:
            if self._dial.parked_at is None:
                self.job = kit.store.jobs.note_on_dial(self.job, parked_at=now)
            kit.store.jobs.let_go(self.job, until=until)

        kit.insist(WorkerState.FOLLOWING, "park", self.job, deed)
        kit.tell("call.parked", self.job, level=WARNING)
        kit.seat.count("speechaid_call_parkings_total")

    def progress(self) -> Progress:
        """What is known of the call now."""
        now = self.kit.clock.boottime()
        stop = self._stop_asked_at
        # A parked call that is looked at again has had its time for a stop.
        since_stop = (
            float("inf") if self._dial.parked_at is not None else None if stop is None else now - stop
        )
        return Progress(
            since_placed_seconds=self._since_placed(),
            since_connected_seconds=self._since_connected(),
            since_heard_seconds=now - self._heard_at,
            last_poll_told=self._told,
            since_stop_seconds=since_stop,
            unknown_to_retell=self.unknown,
        )

    def limits(self) -> Limits:
        """The settings of the moment, and the batch's."""
        call = self.kit.settings.call
        return Limits(
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
        return 0.0 if moment is None else (self.kit.store.now() - moment) / timedelta(seconds=1)

    def _since_placed(self) -> float:
        """Seconds since the dial, by a clock that nobody sets: one set forward must hang up on nobody."""
        return self._age_at_first + self.kit.clock.boottime() - self._began_at

    def _since_connected(self) -> float | None:
        """Seconds since the call connected: by Retell's stamp or since we saw it, whichever is longer ago."""
        if self._connected_seen_at is None:
            return None
        seen = self.kit.clock.boottime() - self._connected_seen_at
        return max(seen, min(self._told_age(), self._since_placed()))

    def _told_age(self) -> float:
        """Seconds since the start that Retell tells, by Retell's own clock where its answers show it."""
        if self.call is None or self.call.started_at is None:
            return 0.0
        now = self.kit.retell.server_now() or self.kit.store.now()
        return (now - self.call.started_at) / timedelta(seconds=1)

    def _longest_call(self) -> float | None:
        """The batch's own limit; the environment's holds where it cannot be read."""
        if self._dial.batch_id is None:
            return None
        try:
            batch = self.kit.store.batches.find(self._dial.batch_id)
        except StoreUnavailable:
            return None
        return _limit(batch)


def _limit(batch: Batch | None) -> float | None:
    return None if batch is None else batch.call_settings.max_call_duration
