"""A worker process: recover jobs whose lease has expired, claim and dial due ones, wait; one at a time.

It looks for either when the supervisor gives it a turn (``rules.turn``), and by itself where the supervisor
does not answer. An idle worker touches no database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from logging import ERROR, WARNING

from speechaid import follower
from speechaid.dialer import dial, recovery
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import HandOver, WorkerContext, log
from speechaid.errors import ExitStatus, JobDeleted, LeaseLost, StoreError, StoreUnavailable
from speechaid.fleet.call_watch import FOLLOWER
from speechaid.fleet.messages import Command, Order, WorkerIdentity
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.model.masking import mask_phone
from speechaid.model.states import WorkerState
from speechaid.retell.client import RetellClient, open_retell
from speechaid.retell.faults import RetellError
from speechaid.rules import phones
from speechaid.rules.repeated_failures import RepeatedFailures
from speechaid.rules.turn import NO_ANSWER_SECONDS, Turn, TurnKind, TurnRequest
from speechaid.settings import Settings
from speechaid.settings.zone_data import use_newest_zone_data
from speechaid.store.connection import (
    OPERATION_SECONDS,
    WARM_UP_PASSES,
    Store,
    connect,
    warm_up_driver,
    warm_up_queries,
)
from speechaid.telemetry import logs

#: A worker waits so long after a fault that is probably permanent.
FAULT_WAIT_SECONDS = 3.0
#: Wait while the database is unavailable: (minimum, maximum) seconds of an exponential back-off with jitter.
DATABASE_AWAY_SECONDS = (1.0, 10.0)


def prepare(settings: Settings) -> Callable[[SupervisorLink, WorkerIdentity], ExitStatus]:
    """Make what a worker needs, without opening a connection or starting a thread; called before fork().

    A driver's client that has never been used has no thread, no connection and no lock in use, and may be
    forked; the store opens it at its first use.
    """
    use_newest_zone_data()
    logging = settings.logging
    logs.configure(logging.level, logging.format, file=logging.file, secrets=settings.secrets())
    warm_up_queries(settings.database)
    retell = open_retell(settings)
    retell.prepare()
    store = connect(settings.database, operation_seconds=OPERATION_SECONDS)
    parts = WorkerParts(settings=settings, store=store, retell=retell)
    return lambda link, identity: _work(link, identity, parts)


def main(link: SupervisorLink, identity: WorkerIdentity, settings: Settings) -> ExitStatus:
    """Work until asked to leave; the exit status says why the worker left."""
    return prepare(settings)(link, identity)


@dataclass(frozen=True, kw_only=True)
class WorkerParts:
    """What workers of the same settings start with; nothing in it is open yet."""

    settings: Settings
    store: Store
    retell: RetellClient


def _work(link: SupervisorLink, identity: WorkerIdentity, parts: WorkerParts) -> ExitStatus:
    logs.set_context(worker=identity.slot)
    if identity.slot == FOLLOWER:
        with parts.retell:
            return follower.run(link, parts.retell, parts.settings)
    worker = Worker(link, identity, parts)
    try:
        return worker.run()
    finally:
        worker.close()


class Worker:
    """The worker's loop."""

    def __init__(self, link: SupervisorLink, identity: WorkerIdentity, parts: WorkerParts) -> None:
        self.link = link
        self.identity = identity
        parts.retell.observe = self._observe
        self.context = WorkerContext(
            store=parts.store,
            retell=parts.retell,
            settings=parts.settings,
            link=link,
            worker_id=identity.worker_id,
            wait=self.wait,
        )
        self.claimer = JobClaimer(self.context)
        self._request = TurnRequest()
        #: A job was in hand since the last turn was asked for.
        self._after_job = False
        #: The state that was reported last while idle, and until when no other report was promised.
        self._idle_report: tuple[WorkerState, float] | None = None
        #: Consecutive passes without the database.
        self._away_passes = 0
        #: The step of the pass.
        self._step = ""
        self._failures = RepeatedFailures()

    def run(self) -> ExitStatus:
        """Work until there is a reason to leave."""
        self.link.ready()
        while True:
            self.handle_commands(self.link.commands(0))
            if (status := self.exit_status()) is not None:
                return status
            self.work_once()

    def exit_status(self) -> ExitStatus | None:
        """Why to leave between two calls; None to stay."""
        if self.link.stop_requested or self.link.hand_over_requested:
            self.link.bye("stopped")
            return ExitStatus.OK
        if self.link.orphaned:
            log.event(WARNING, "worker.orphaned")
            return ExitStatus.ORPHANED
        if self._is_due_for_recycling():
            self.link.bye("recycled")
            return ExitStatus.RECYCLE
        return None

    def work_once(self) -> None:
        """Look for a job and take it through a call, or wait for the turn to look."""
        now = self.context.clock.boottime()
        if (turn := self.link.take_turn()) is not None:
            self._request.note_turn()
            if now <= turn.until:
                self._look(turn)
            else:  # given long ago: another has looked
                self.link.end_turn(declined=True)
        elif self._request.may_search_alone(now):
            self._request.note_alone(now, self.context.random.random())
            self.link.begin_alone()
            self._look(None)
        else:
            self._wait_for_turn(now)

    def _look(self, turn: Turn | None) -> None:
        """Recover or dial one job, by this turn or (None) without one; wait if the database is away."""
        self._idle_report = None
        next_due_at = None
        try:
            worked = False
            if turn is None or turn.kind is TurnKind.RECOVER:
                worked = self._attempt("recovery", self.recover)
            if not worked and (turn is None or turn.kind is TurnKind.CLAIM):
                worked = self._attempt("claim", lambda: self.claim_and_dial(turn))
                next_due_at = None if worked else self.claimer.next_due_at()
        except HandOver:
            pass  # the call is released; the next pass leaves
        except StoreUnavailable as away:
            self.link.end_turn(failed=True)
            self.wait_for_database(away)
        else:
            self._away_passes = 0
            self._after_job = self._after_job or worked
            self.link.end_turn(got=worked, next_due_at=next_due_at)

    def _attempt(self, step: str, operation: Callable[[], bool]) -> bool:
        """Carry out one step; True if the pass is over. A step that fails stops no other one.

        Raises:
            HandOver: the worker is to leave.
            StoreUnavailable: the database is away.
        """
        self._step = step
        try:
            worked = operation()
        except JobDeleted as deleted:
            # Without a call: a job whose dial was open is kept (``dialer.deleted_jobs``).
            log.event(WARNING, "job.deleted", text=str(deleted))
            self.link.count("speechaid_jobs_deleted_total")
            return True
        except LeaseLost as lost:
            log.event(WARNING, "lease.lost", text=str(lost))
            self.link.count("speechaid_lease_losses_total")
            return True
        except StoreUnavailable as away:
            self._note_failure(str(away))
            raise
        except (StoreError, RetellError) as fault:
            # Probably permanent: log it, and go on slowly with other jobs.
            log.event(ERROR, "worker.fault", error=str(fault), kind=type(fault).__name__, step=self._step)
            self.link.count("speechaid_worker_faults_total", kind=type(fault).__name__)
            self._note_failure(str(fault))
            if self._step != "dial":  # it may be that the query cannot name one of these
                self.context.left_out.clear()
            self.link.end_turn(failed=True)
            if step == "recovery":
                return False
            self.wait(FAULT_WAIT_SECONDS)
            return True
        self._note_success()
        return worked

    def _note_failure(self, error: str) -> None:
        self._failures.note_failure(self._step, error)
        self.link.failing = self._failures.repeated_errors()

    def _note_success(self) -> None:
        self._failures.note_success(self._step)
        self.link.failing = self._failures.repeated_errors()

    def recover(self) -> bool:
        """Recover a job whose lease ran out; True if there was one."""
        return recovery.recover_one(self.context)

    def claim_and_dial(self, turn: Turn | None) -> bool:
        """Claim the next job and take it through a call; False if there is none."""
        # What was ordered while the turn was on its way counts.
        if self.link.read_orders() is not None:
            return False
        self.context.report_step(WorkerState.CLAIMING, "claim")
        began = self.context.clock.boottime()
        claimed = (
            self.claimer.claim(fresh=True)
            if turn is None
            else self.claimer.claim(fresh=turn.is_fresh, served=turn.served)
        )
        if claimed is None:
            return False
        self.link.note_claim(more=self.claimer.has_more(), served=claimed.job.batch_id)
        self.link.count("speechaid_claims_total")
        self.context.observe("speechaid_claim_duration_seconds", self.context.clock.boottime() - began)
        self._note_success()
        self._step = "dial"
        if claimed.job.faults:
            dial.put_aside(self.context, claimed.job, "; ".join(claimed.job.faults))
        elif claimed.job.dial is not None:  # another program put a job with an open dial back to pending
            recovery.recover(self.context, claimed.job)
        else:
            dial.run(self.context, claimed.job, claimed.preflight)
        return True

    # -- waiting -----------------------------------------------------------------------------------------

    def _wait_for_turn(self, now: float) -> None:
        """Ask for a turn if that is due, and wait until something comes or the next question is due."""
        if (seconds := self.link.take_wait()) is not None:
            self._request.note_wait(seconds, now)
        if self._request.must_ask(now):
            self.link.ask_for_turn(after_job=self._after_job)
            self._request.note_asked(now)
            self._after_job = False
            # The answer will be to wait for about so long: one report for both.
            self._report_idle(now, now + NO_ANSWER_SECONDS + self._request.usual_wait)
        wake_at = self._request.next_at(now)
        self._report_idle(now, wake_at)
        self.wait(wake_at - now)

    def _report_idle(self, now: float, until: float) -> None:
        """Report the wait, unless a report that still holds says so."""
        state = self._idle_state()
        if self._idle_report is None or self._idle_report[0] is not state or self._idle_report[1] < until:
            self._idle_report = state, until
            self.context.report_step(state, "wait", seconds=until - now)

    def _idle_state(self) -> WorkerState:
        """What a worker without a job is: one that may claim, or by which order it may not."""
        if self.link.paused:
            return WorkerState.PAUSED
        return WorkerState.DRAINING if self.link.draining else WorkerState.IDLE

    def wait_for_database(self, away: StoreUnavailable) -> None:
        """Wait because the database is away: longer with each pass, without end."""
        if self._away_passes == 0:
            log.event(WARNING, "database.away", error=str(away))
        self.link.count("speechaid_database_faults_total", step="round")
        least, most = DATABASE_AWAY_SECONDS
        pause = min(most, least * 2**self._away_passes) * (0.5 + self.context.random.random())
        self._away_passes = min(self._away_passes + 1, 10)
        self.context.report_step(self._idle_state(), "database away", seconds=pause)
        self.wait(pause)

    def wait(self, seconds: float) -> bool:
        """Wait this long, or until a command or a signal arrives; whether one cut the wait short."""
        until = self.context.clock.boottime() + seconds
        self.handle_commands(self.link.commands(max(0.0, seconds)))
        return self.context.clock.boottime() < until

    # -- commands ----------------------------------------------------------------------------------------

    def handle_commands(self, commands: list[Command]) -> None:
        """Apply settings and log-level orders; the supervisor link has handled the others."""
        for command in commands:
            if command.order is Order.SETTINGS:
                self.context.settings = Settings.from_wire(command.data["wire"])
                self.context.retell.timeout_seconds = self.context.settings.retell.timeout_seconds
                logs.set_level(self.context.settings.logging.level)
            elif command.order is Order.LOG_LEVEL:
                logs.set_level(str(command.data["level"]))

    def close(self) -> None:
        """Close the connections."""
        self.context.retell.close()
        self.context.store.close()

    def _is_due_for_recycling(self) -> bool:
        worker = self.context.settings.worker
        if worker.recycle_calls is not None and self.link.calls_done >= worker.recycle_calls:
            return True
        return worker.recycle_memory_mb is not None and _resident_mb() >= worker.recycle_memory_mb

    def _observe(self, endpoint: str, code: str, seconds: float) -> None:
        self.link.count("speechaid_retell_requests_total", endpoint=endpoint, code=code)
        self.context.observe("speechaid_retell_request_duration_seconds", seconds, endpoint=endpoint)


def warm_up() -> None:
    """Do once in the zygote what is costly the first time, so that its workers share the memory."""
    warm_up_driver()
    for last in range(WARM_UP_PASSES):
        mask_phone(phones.normalise(f"+569123456{last:02}", "CL") or "")


def _resident_mb() -> float:
    """Resident memory of this process in MiB; 0 if the kernel does not show it."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - a pseudo-file, read often
            return int(statm.read().split()[1]) * 4096 / 2**20
    except (OSError, ValueError, IndexError):
        return 0.0
