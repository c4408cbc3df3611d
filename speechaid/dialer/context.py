"""The worker context: store, Retell client, settings, supervisor link, and how to wait.

``dial``, ``settlement`` and ``recovery`` take a context and a job. They use the supervisor link only by the
methods declared here, so that they stay below the processes in the layers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from logging import INFO
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from speechaid.clock import Clock, SystemClock
from speechaid.errors import StoreUnavailable
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.masking import mask_phone, mask_prose
from speechaid.model.reading import Document
from speechaid.model.states import NoNewCalls, WorkerState
from speechaid.retell.client import RetellClient
from speechaid.rules import retries
from speechaid.rules.agent_choice import AgentChoice, choose_agent
from speechaid.rules.coverage import PollReason, Suspicion
from speechaid.rules.eligibility import DiallingDefaults
from speechaid.rules.retries import RetryPolicy
from speechaid.settings import Settings
from speechaid.store.connection import Store
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.metric_table import observe

Result = TypeVar("Result")

log = get_logger("speechaid.worker")

#: Longest that a step of one database operation may take: above ``store.connection.OPERATION_SECONDS``.
DATABASE_STEP_SECONDS = 40.0
#: Wait between tries of one operation while the database is unavailable: (minimum, maximum) seconds of an
#: exponential back-off with jitter.
OPERATION_RETRY_SECONDS = (0.5, 5.0)


#: A job whose document cannot be claimed, read or written is left out for this many seconds: at first, and at
#: most.
FIRST_LEFT_OUT_SECONDS = 15.0
LEFT_OUT_SECONDS = 600.0
#: Fields of an event that may quote a document or Retell, and so a number.
QUOTING = frozenset({"error", "why", "reason"})
#: Such jobs that a worker leaves out at most; of more, the latest.
LEFT_OUT_AT_MOST = 1000


class HandOver(Exception):  # noqa: N818 - a request, not an error
    """The worker must release its call at once and leave the rest to the worker that adopts it."""


class SupervisorLink(Protocol):
    """The part of a worker's supervisor link that a dial needs."""

    hand_over_requested: bool

    def read_orders(self) -> NoNewCalls | None:
        """Take in the orders and signals that have come, without waiting; why no new call may be placed."""

    def is_batch_paused(self, batch_id: str | None, name: str | None) -> bool:
        """Whether dials of this batch are held on this host, by the orders taken in so far."""

    def report_step(
        self,
        state: WorkerState,
        step: str,
        *,
        within_seconds: float,
        job: str | None = None,
        call: str | None = None,
        database: bool = False,
    ) -> None:
        """Report what is done next, and by when the next report comes."""

    def count(self, name: str, value: float = 1, /, **labels: str) -> None:
        """Add to a counter."""

    def count_once(self, once: str, increments: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        """Add to counters once under the name ``once``, however often it is repeated and by whom."""

    def emit(self, name: str, /, **fields: Any) -> None:
        """Send an event to the supervisor."""

    def covered_until(self, call_id: str) -> float:
        """Until when this call need not be polled, in seconds of the boot-time clock; 0: it must be."""

    def take_poll(self, call_id: str) -> PollReason | None:
        """Why this call has to be polled now; once for each order."""

    def take_hang_up(self, job_id: str) -> bool:
        """Whether the hang-up of this job's call was asked for; once for each order."""

    def suspect_list(self, call_id: str, suspicion: Suspicion) -> None:
        """Report that get-call contradicts Retell's list about this call."""

    def call_finished(self) -> None:
        """Count one more call that is over and settled."""


@dataclass(frozen=True, kw_only=True)
class BreakerReading:
    """The stored circuit breaker of this host's key, as read at ``at`` seconds of boot time."""

    at: float
    document: Document | None


class LeftOut:
    """Jobs whose documents could not be claimed, read or written: left out for a while."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: ``_id``, until when, and for how long; by the ``repr`` of the ``_id``, which may be of any type.
        self._jobs: dict[str, tuple[Any, float, float]] = {}

    def add(self, job_id: Any) -> float:
        """Leave this job out, unless it is already; return for how many seconds from now.

        At first ``FIRST_LEFT_OUT_SECONDS``, each further time twice as long: where the database refused every
        job (a full disk), they are called soon after it is well again.
        """
        name, now = repr(job_id), self._clock.boottime()
        _, until, seconds = self._jobs.pop(name, (None, now, 0.0))
        if until <= now:
            seconds = min(2 * seconds or FIRST_LEFT_OUT_SECONDS, LEFT_OUT_SECONDS)
            until = now + seconds
        self._jobs[name] = job_id, until, seconds
        if len(self._jobs) > LEFT_OUT_AT_MOST:
            del self._jobs[next(iter(self._jobs))]
        return until - now

    def clear(self) -> None:
        """Leave none out: a query that has to name them is refused."""
        self._jobs.clear()

    def job_ids(self) -> list[Any]:
        """``_id`` of the jobs that are left out now."""
        now = self._clock.boottime()
        # Remembered beyond its time: the next one is longer.
        self._jobs = {name: entry for name, entry in self._jobs.items() if entry[1] + LEFT_OUT_SECONDS > now}
        return [job_id for job_id, until, _ in self._jobs.values() if until > now]


@dataclass(kw_only=True)
class WorkerContext:
    """What a worker works with; a reload may replace ``settings`` between two steps."""

    store: Store
    retell: RetellClient
    settings: Settings
    link: SupervisorLink
    worker_id: str
    #: Wait this many seconds, or less if a command arrives; commands are handled there. True: it was less.
    wait: Callable[[float], bool | None]
    clock: Clock = field(default_factory=SystemClock)
    random: random.Random = field(default_factory=random.Random)
    #: As the latest preflight read it.
    breaker_reading: BreakerReading | None = None
    #: Whether this process knows that the database requires the level of what it writes.
    level_is_required: bool = False
    left_out: LeftOut = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no job left out."""
        self.left_out = LeftOut(self.clock)

    def new_token(self) -> str:
        """A fresh claim token."""
        return uuid4().hex

    def new_dial_key(self) -> str:
        """A fresh dial key: eight hexadecimal digits of the time in seconds, then random ones."""
        return f"{int(self.store.now().timestamp()):08x}{uuid4().hex[8:]}"

    def report_step(
        self,
        state: WorkerState,
        step: str,
        job: Job | None = None,
        *,
        seconds: float | None = None,
        database: bool = False,
    ) -> None:
        """Report a step before it may block.

        Args:
            state: the worker's state.
            step: what it does next, in a few words.
            job: the claimed job.
            seconds: longest that the step may take; None: as long as one database operation may.
            database: the step waits for the database; always where ``seconds`` is None.
        """
        self.link.report_step(
            state,
            step,
            within_seconds=DATABASE_STEP_SECONDS if seconds is None else seconds,
            job=None if job is None else job.job_id,
            call=None if job is None or job.dial is None else job.dial.call_id,
            database=database or seconds is None,
        )

    def emit(self, event: str, job: Job, *, level: int = INFO, **fields: Any) -> None:
        """Write one event of a job's life to the log, and send it to the supervisor for the job's history."""
        facts = {"job": job.job_id, "batch": job.batch_id, **fields}
        if job.dial is not None:
            facts = {"call": job.dial.call_id, "phone": job.dial.number, **facts}
        facts = {name: value for name, value in facts.items() if value is not None}
        log.event(level, event, **facts)
        if "phone" in facts:
            facts["phone"] = mask_phone(str(facts["phone"]))
        for name in QUOTING.intersection(facts):
            facts[name] = mask_prose(str(facts[name]))
        self.link.emit(event, at=self.clock.now().isoformat(), **facts)

    def observe(self, metric: str, value: float, **labels: str) -> None:
        """Add one value to a histogram."""
        observe(self.link.count, metric, value, **labels)

    def retry_until_available(
        self, state: WorkerState, step: str, job: Job, operation: Callable[[], Result]
    ) -> Result:
        """Run a database operation, retrying until the database answers: results must not be lost.

        Raises:
            HandOver: the worker must leave; the adopter gets the same result from Retell.
        """
        tries = 0
        while True:
            self.report_step(state, step, job)
            try:
                return operation()
            except StoreUnavailable as exc:
                if tries == 0:
                    self.emit("database.away", job, step=step, error=str(exc))
                    self.link.count("speechaid_database_faults_total", step=step)
                if self.link.hand_over_requested:
                    raise HandOver from exc
                least, most = OPERATION_RETRY_SECONDS
                pause = min(most, least * 2**tries) * (0.5 + self.random.random())
                self.report_step(
                    state,
                    f"{step} (database away)",
                    job,
                    seconds=pause + DATABASE_STEP_SECONDS,
                    database=True,
                )
                self.wait(pause)
                tries = min(tries + 1, 10)

    def retry_policy(self, batch: Batch | None) -> RetryPolicy:
        """The policy for a batch's jobs: the batch's settings before the environment's."""
        call, worker = self.settings.call, self.settings.worker
        defaults = RetryPolicy(
            max_attempts=worker.max_attempts,
            retry_delay_seconds=worker.retry_delay_minutes * 60,
            no_answer_delay_seconds=call.no_answer_retry_minutes * 60,
            temporary_min_seconds=call.temporary_retry_min_seconds,
            temporary_max_seconds=call.temporary_retry_max_seconds,
            voicemail_is_success=call.voicemail_counts,
        )
        return retries.policy_for(defaults, None if batch is None else batch.call_settings)

    def dialling_defaults(self) -> DiallingDefaults:
        """The settings for what batch and account leave open."""
        return dialling_defaults(self.settings)


def agent_choice(settings: Settings, batch: Batch | None) -> AgentChoice:
    """Agent, version and number of a batch's next dial."""
    retell = settings.retell
    return choose_agent(batch, default_agent=retell.agent_id, default_number=retell.from_number)


def dialling_defaults(settings: Settings) -> DiallingDefaults:
    """The settings for what batch and account leave open."""
    dialling = settings.dialling
    return DiallingDefaults(
        timezone=dialling.default_timezone,
        hours=dialling.default_allowed_hours,
        days=dialling.default_days,
        country=dialling.default_country,
        estimate_minutes=dialling.estimate_minutes,
    )
