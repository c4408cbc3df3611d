"""A worker process: claim, dial, rest, and look after what the dead left behind; one call at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from logging import ERROR, WARNING

from speechaid import __version__
from speechaid.dialer import dial, recovery
from speechaid.dialer.claim import Turns
from speechaid.dialer.context import Kit, LetGo, log
from speechaid.errors import ExitStatus, LeaseLost, StoreError, StoreUnavailable
from speechaid.fleet.messages import Command, Order, WorkerIdentity
from speechaid.fleet.supervisor_link import Seat
from speechaid.model.masking import mask_phone
from speechaid.model.states import WorkerState
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import RetellError
from speechaid.rules import phones
from speechaid.settings import Settings
from speechaid.store.connection import REHEARSALS, Store, connect, rehearse, warm_up_driver
from speechaid.telemetry import logs

#: Rest of a worker that found nothing to do, in seconds: between these, longer the longer nothing comes.
IDLE_REST_SECONDS = (0.5, 3.0)
#: A worker looks for lapsed leases so often, in seconds, give or take a half.
RECOVERY_EVERY_SECONDS = 5.0
#: Rest while the database is away, in seconds: between these.
AWAY_REST_SECONDS = (1.0, 10.0)


def prepare(settings: Settings) -> Callable[[Seat, WorkerIdentity], ExitStatus]:
    """Make what a worker of these settings needs, and nothing that is open: called before the fork.

    A driver's client that has never been used has no thread, no connection and no lock in use, and may be
    forked; the store opens it at its first use.
    """
    wanted = settings.logging
    logs.configure(wanted.level, wanted.format, file=wanted.file, secrets=settings.secrets())
    rehearse(settings.database)
    retell = open_retell(settings)
    retell.prepare()
    tools = Tools(settings=settings, store=connect(settings.database), retell=retell)
    return lambda seat, identity: _work(seat, identity, tools)


def main(seat: Seat, identity: WorkerIdentity, settings: Settings) -> ExitStatus:
    """Work until told to leave; the exit status says why it left."""
    return prepare(settings)(seat, identity)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What workers of the same settings begin with; nothing in it is open yet."""

    settings: Settings
    store: Store
    retell: RetellClient


def _work(seat: Seat, identity: WorkerIdentity, tools: Tools) -> ExitStatus:
    logs.set_context(worker=identity.slot)
    worker = Worker(seat, identity, tools)
    try:
        return worker.run()
    finally:
        worker.close()


class Worker:
    """One worker's round."""

    def __init__(self, seat: Seat, identity: WorkerIdentity, tools: Tools) -> None:
        self.seat = seat
        self.identity = identity
        tools.retell.observe = self._observe
        self.kit = Kit(
            store=tools.store,
            retell=tools.retell,
            settings=tools.settings,
            seat=seat,
            worker_id=identity.worker_id,
            rest=self.rest,
        )
        self.turns = Turns(self.kit)
        self._recovery_due_at = 0.0
        self._idle_rounds = 0
        self._away_rounds = 0

    def run(self) -> ExitStatus:
        """The whole worker on one screen."""
        self.seat.ready()
        while True:
            self.heed(self.seat.commands(0))
            if (status := self.leaving()) is not None:
                return status
            try:
                worked = self.recover() or self.claim_and_dial()
            except LetGo:
                continue
            except LeaseLost as lost:
                log.event(WARNING, "lease.lost", text=str(lost))
                self.seat.count("speechaid_lease_losses_total")
                continue
            except StoreUnavailable as away:
                self.rest_while_away(away)
                continue
            except (StoreError, RetellError) as fault:
                # Not passing by itself, as far as we can tell: say so, and go on slowly with other jobs.
                log.event(ERROR, "worker.fault", error=str(fault), kind=type(fault).__name__)
                self.seat.count("speechaid_worker_faults_total", kind=type(fault).__name__)
                self.rest(IDLE_REST_SECONDS[1])
                continue
            self._away_rounds = 0
            if worked:
                self._idle_rounds = 0
            else:
                self.rest_idle()

    def leaving(self) -> ExitStatus | None:
        """Why to leave between two calls, if at all."""
        if self.seat.stop_requested or self.seat.let_go_requested:
            self.seat.bye("stopped")
            return ExitStatus.OK
        if self.seat.orphaned:
            log.event(WARNING, "worker.orphaned")
            return ExitStatus.ORPHANED
        if self._spent():
            self.seat.bye("recycled")
            return ExitStatus.RECYCLE
        return None

    def recover(self) -> bool:
        """Now and then, take over a job whose lease ran out; True where there was one."""
        now = self.kit.clock.boottime()
        if now < self._recovery_due_at:
            return False
        if recovery.take_over_one(self.kit):
            return True  # there may be more: look again at once
        self._recovery_due_at = now + RECOVERY_EVERY_SECONDS * (0.5 + self.kit.random.random())
        return False

    def claim_and_dial(self) -> bool:
        """Claim the job whose turn it is and take it through a call; False where there is none."""
        if not self.seat.may_claim:
            return False
        self.kit.report(WorkerState.CLAIMING, "claim")
        began = self.kit.clock.boottime()
        claimed = self.turns.claim()
        if claimed is None:
            return False
        self.seat.count("speechaid_claims_total")
        self.kit.observe("speechaid_claim_duration_seconds", self.kit.clock.boottime() - began)
        if claimed.job.dial is not None:  # another program put a job with an open dial back to pending
            recovery.take_up(self.kit, claimed.job)
        else:
            dial.run(self.kit, claimed.job, claimed.seen)
        return True

    # -- resting -----------------------------------------------------------------------------------------

    def rest_idle(self) -> None:
        """Nothing to do: rest, longer the longer nothing comes."""
        least, most = IDLE_REST_SECONDS
        pause = min(most, least * 1.5**self._idle_rounds) * (0.5 + self.kit.random.random())
        self._idle_rounds = min(self._idle_rounds + 1, 10)
        state = WorkerState.IDLE
        if self.seat.paused:
            state = WorkerState.PAUSED
        elif self.seat.draining:
            state = WorkerState.DRAINING
        self.kit.report(state, "rest", seconds=pause)
        self.rest(pause)

    def rest_while_away(self, away: StoreUnavailable) -> None:
        """The database is away: hold, and look again with growing rests; nothing is given up."""
        if self._away_rounds == 0:
            log.event(WARNING, "database.away", error=str(away))
        self.seat.count("speechaid_database_faults_total", step="round")
        least, most = AWAY_REST_SECONDS
        pause = min(most, least * 2**self._away_rounds) * (0.5 + self.kit.random.random())
        self._away_rounds = min(self._away_rounds + 1, 10)
        self.kit.report(WorkerState.IDLE, "database away", seconds=pause)
        self.rest(pause)

    def rest(self, seconds: float) -> None:
        """Rest so long, or until an order or a signal comes."""
        self.heed(self.seat.commands(max(0.0, seconds)))

    # -- orders ------------------------------------------------------------------------------------------

    def heed(self, commands: list[Command]) -> None:
        """Obey the orders that the seat itself does not: those about settings and logs."""
        for command in commands:
            if command.order is Order.SETTINGS:
                self.kit.settings = Settings.from_wire(command.data["wire"])
                self.kit.retell.timeout_seconds = self.kit.settings.retell.timeout_seconds
                logs.set_level(self.kit.settings.logging.level)
            elif command.order is Order.LOG_LEVEL:
                logs.set_level(str(command.data["level"]))

    def close(self) -> None:
        """Let go of connections."""
        self.kit.retell.close()
        self.kit.store.close()

    def _spent(self) -> bool:
        """Whether this process has done its share, where the settings give it one."""
        worker = self.kit.settings.worker
        if worker.recycle_calls is not None and self.seat.calls_done >= worker.recycle_calls:
            return True
        return worker.recycle_memory_mb is not None and _resident_mb() >= worker.recycle_memory_mb

    def _observe(self, endpoint: str, code: str, seconds: float) -> None:
        self.seat.count("speechaid_retell_requests_total", endpoint=endpoint, code=code)
        self.kit.observe("speechaid_retell_request_duration_seconds", seconds, endpoint=endpoint)


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
    for last in range(REHEARSALS):
        mask_phone(phones.normalise(f"+569123456{last:02}", "CL") or "")


def _resident_mb() -> float:
    """Resident memory of this process in MiB; 0 where the kernel does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - a pseudo-file, read often
            return int(statm.read().split()[1]) * 4096 / 2**20
    except (OSError, ValueError, IndexError):
        return 0.0
