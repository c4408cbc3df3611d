"""A worker process: claim, dial, rest, and look after what the dead left behind; one call at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from logging import ERROR, WARNING

from speechaid import __version__
from speechaid.dialer import dial, recovery
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import HandOver, WorkerContext, log
from speechaid.errors import ExitStatus, LeaseLost, StoreError, StoreUnavailable
from speechaid.fleet.messages import Command, Order, WorkerIdentity
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.model.masking import mask_phone
from speechaid.model.states import WorkerState
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import RetellError
from speechaid.rules import phones
from speechaid.settings import Settings
from speechaid.store.connection import WARM_UP_PASSES, Store, connect, warm_up_driver, warm_up_queries
from speechaid.telemetry import logs

#: Rest of a worker that found nothing to do, in seconds: between these, longer the longer nothing comes.
IDLE_WAIT_SECONDS = (0.5, 3.0)
#: A worker looks for lapsed leases so often, in seconds, give or take a half.
RECOVERY_EVERY_SECONDS = 5.0
#: Rest while the database is away, in seconds: between these.
DATABASE_RETRY_SECONDS = (1.0, 10.0)


def prepare(settings: Settings) -> Callable[[SupervisorLink, WorkerIdentity], ExitStatus]:
    """Make what a worker of these settings needs, and nothing that is open: called before the fork.

    A driver's client that has never been used has no thread, no connection and no lock in use, and may be
    forked; the store opens it at its first use.
    """
    wanted = settings.logging
    logs.configure(wanted.level, wanted.format, file=wanted.file, secrets=settings.secrets())
    warm_up_queries(settings.database)
    retell = open_retell(settings)
    retell.prepare()
    tools = WorkerParts(settings=settings, store=connect(settings.database), retell=retell)
    return lambda link, identity: _work(link, identity, tools)


def main(link: SupervisorLink, identity: WorkerIdentity, settings: Settings) -> ExitStatus:
    """Work until told to leave; the exit status says why it left."""
    return prepare(settings)(link, identity)


@dataclass(frozen=True, kw_only=True)
class WorkerParts:
    """What workers of the same settings begin with; nothing in it is open yet."""

    settings: Settings
    store: Store
    retell: RetellClient


def _work(link: SupervisorLink, identity: WorkerIdentity, tools: WorkerParts) -> ExitStatus:
    logs.set_context(worker=identity.slot)
    worker = Worker(link, identity, tools)
    try:
        return worker.run()
    finally:
        worker.close()


class Worker:
    """One worker's round."""

    def __init__(self, link: SupervisorLink, identity: WorkerIdentity, tools: WorkerParts) -> None:
        self.link = link
        self.identity = identity
        tools.retell.observe = self._observe
        self.context = WorkerContext(
            store=tools.store,
            retell=tools.retell,
            settings=tools.settings,
            link=link,
            worker_id=identity.worker_id,
            wait=self.wait,
        )
        self.claimer = JobClaimer(self.context)
        self._recovery_due_at = 0.0
        self._idle_rounds = 0
        self._away_rounds = 0

    def run(self) -> ExitStatus:
        """The whole worker on one screen."""
        self.link.ready()
        while True:
            self.handle_commands(self.link.commands(0))
            if (status := self.leaving()) is not None:
                return status
            try:
                worked = self.recover() or self.claim_and_dial()
            except HandOver:
                continue
            except LeaseLost as lost:
                log.event(WARNING, "lease.lost", text=str(lost))
                self.link.count("speechaid_lease_losses_total")
                continue
            except StoreUnavailable as away:
                self.wait_for_database(away)
                continue
            except (StoreError, RetellError) as fault:
                # Not passing by itself, as far as we can tell: say so, and go on slowly with other jobs.
                log.event(ERROR, "worker.fault", error=str(fault), kind=type(fault).__name__)
                self.link.count("speechaid_worker_faults_total", kind=type(fault).__name__)
                self.wait(IDLE_WAIT_SECONDS[1])
                continue
            self._away_rounds = 0
            if worked:
                self._idle_rounds = 0
            else:
                self.wait_idle()

    def leaving(self) -> ExitStatus | None:
        """Why to leave between two calls, if at all."""
        if self.link.stop_requested or self.link.hand_over_requested:
            self.link.bye("stopped")
            return ExitStatus.OK
        if self.link.orphaned:
            log.event(WARNING, "worker.orphaned")
            return ExitStatus.ORPHANED
        if self._spent():
            self.link.bye("recycled")
            return ExitStatus.RECYCLE
        return None

    def recover(self) -> bool:
        """Now and then, take over a job whose lease ran out; True where there was one."""
        now = self.context.clock.boottime()
        if now < self._recovery_due_at:
            return False
        if recovery.recover_one(self.context):
            return True  # there may be more: look again at once
        self._recovery_due_at = now + RECOVERY_EVERY_SECONDS * (0.5 + self.context.random.random())
        return False

    def claim_and_dial(self) -> bool:
        """Claim the job whose turn it is and take it through a call; False where there is none."""
        if not self.link.may_claim:
            return False
        self.context.report_step(WorkerState.CLAIMING, "claim")
        began = self.context.clock.boottime()
        claimed = self.claimer.claim()
        if claimed is None:
            return False
        self.link.count("speechaid_claims_total")
        self.context.observe("speechaid_claim_duration_seconds", self.context.clock.boottime() - began)
        if claimed.job.dial is not None:  # another program put a job with an open dial back to pending
            recovery.recover(self.context, claimed.job)
        else:
            dial.run(self.context, claimed.job, claimed.preflight)
        return True

    # -- resting -----------------------------------------------------------------------------------------

    def wait_idle(self) -> None:
        """Nothing to do: rest, longer the longer nothing comes."""
        least, most = IDLE_WAIT_SECONDS
        pause = min(most, least * 1.5**self._idle_rounds) * (0.5 + self.context.random.random())
        self._idle_rounds = min(self._idle_rounds + 1, 10)
        state = WorkerState.IDLE
        if self.link.paused:
            state = WorkerState.PAUSED
        elif self.link.draining:
            state = WorkerState.DRAINING
        self.context.report_step(state, "rest", seconds=pause)
        self.wait(pause)

    def wait_for_database(self, away: StoreUnavailable) -> None:
        """The database is away: hold, and look again with growing rests; nothing is given up."""
        if self._away_rounds == 0:
            log.event(WARNING, "database.away", error=str(away))
        self.link.count("speechaid_database_faults_total", step="round")
        least, most = DATABASE_RETRY_SECONDS
        pause = min(most, least * 2**self._away_rounds) * (0.5 + self.context.random.random())
        self._away_rounds = min(self._away_rounds + 1, 10)
        self.context.report_step(WorkerState.IDLE, "database away", seconds=pause)
        self.wait(pause)

    def wait(self, seconds: float) -> None:
        """Rest so long, or until an order or a signal comes."""
        self.handle_commands(self.link.commands(max(0.0, seconds)))

    # -- orders ------------------------------------------------------------------------------------------

    def handle_commands(self, commands: list[Command]) -> None:
        """Obey the orders that the seat itself does not: those about settings and logs."""
        for command in commands:
            if command.order is Order.SETTINGS:
                self.context.settings = Settings.from_wire(command.data["wire"])
                self.context.retell.timeout_seconds = self.context.settings.retell.timeout_seconds
                logs.set_level(self.context.settings.logging.level)
            elif command.order is Order.LOG_LEVEL:
                logs.set_level(str(command.data["level"]))

    def close(self) -> None:
        """Let go of connections."""
        self.context.retell.close()
        self.context.store.close()

    def _spent(self) -> bool:
        """Whether this process has done its share, where the settings give it one."""
        worker = self.context.settings.worker
        if worker.recycle_calls is not None and self.link.calls_done >= worker.recycle_calls:
            return True
        return worker.recycle_memory_mb is not None and _resident_mb() >= worker.recycle_memory_mb

    def _observe(self, endpoint: str, code: str, seconds: float) -> None:
        self.link.count("speechaid_retell_requests_total", endpoint=endpoint, code=code)
        self.context.observe("speechaid_retell_request_duration_seconds", seconds, endpoint=endpoint)


def open_retell(
    settings: Settings, *, observe: Callable[[str, str, float], None] | None = None
) -> RetellClient:
    """A client under the settings' key; it connects at its first request."""
    return RetellClient(
        base_url=str(settings.retell.base_url),
        api_key=settings.retell.api_key.get_secret_value(),
        timeout_seconds=settings.retell.timeout_seconds,
        user_agent=f"speechaid/{__version__} ({socket.gethostname()})",
        observe=observe,
    )


def warm_up() -> None:
    """Run once by the zygote: build and drop what is costly the first time, so that workers share it."""
    warm_up_driver()
    for last in range(WARM_UP_PASSES):
        mask_phone(phones.normalise(f"+569123456{last:02}", "CL") or "")


def _resident_mb() -> float:
    """Resident memory of this process in MiB; 0 where the kernel does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - a pseudo-file, read often
            return int(statm.read().split()[1]) * 4096 / 2**20
    except (OSError, ValueError, IndexError):
        return 0.0
