"""Counts for metrics and alerts, in the database thread: waiting and stuck jobs, accounts low on credit.

No dial depends on them. They use the same rules as a dial, so that a batch outside its calling window is no
backlog.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from speechaid.dialer.context import dialling_defaults
from speechaid.model.account import Account, Plan
from speechaid.model.batch import Batch
from speechaid.model.states import JobStatus, Purpose
from speechaid.rules import eligibility, metering, windows
from speechaid.rules.defaults import DiallingDefaults
from speechaid.rules.windows import Window, WindowFault
from speechaid.settings import Settings
from speechaid.store.batches import PAUSED_BY_SPEECHAID
from speechaid.store.connection import Store
from speechaid.store.queue_stats import DueJobs, QueueStats

#: Accounts reported at most, those with the least left first.
ACCOUNTS_SHOWN = 20
#: Batches queried at most for their longest waiting job, one by one.
MAX_BATCH_QUERIES = 20
#: Batches with a fault that are named at most.
BATCHES_NAMED = 10
#: A batch with jobs in one of these statuses has work left.
OPEN_STATUSES = (JobStatus.PENDING, JobStatus.IN_PROGRESS, JobStatus.SCHEDULED)

Counts = Mapping[str | None, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class _Readings:
    """What the counts are evaluated with."""

    batches: Mapping[str, Batch]
    accounts: Mapping[str, Account]
    defaults: DiallingDefaults
    held: bool
    now: datetime
    #: Purposes whose calling rules cannot be read.
    without_rules: frozenset[tuple[Purpose, str | None]] = frozenset()


class QueueStatsCollector:
    """Collects the counts of batches, jobs and accounts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queries = QueueStats(store.jobs.table, store.now)

    def collect(
        self, settings: Settings, counts: Counts, batches: Mapping[str, Batch], *, held: bool
    ) -> dict[str, Any]:
        """Collect all counts, ready for JSON.

        Args:
            settings: the current ones.
            counts: jobs by batch and status.
            batches: those of ``counts`` that exist.
            held: whether no dial of this host may go out at all.
        """
        store = self._store
        due = self._queries.due()
        owners = (*(batch.account_id for batch in batches.values()), *(entry.account_id for entry in due))
        names = {name for name in owners if name is not None}
        readings = _Readings(
            batches=batches,
            accounts={account.account_id: account for account in store.accounts.among(sorted(names))},
            defaults=dialling_defaults(settings),
            held=held,
            now=store.now(),
            without_rules=self._without_rules(batches.values()),
        )
        working = {name for name, by_status in counts.items() if _has_work(by_status)}
        return {
            **self._waiting(readings, due),
            **self._stuck(readings),
            **_batches(readings, counts, working, due),
            "accounts": _accounts(readings, counts),
        }

    def _without_rules(self, batches: Iterable[Batch]) -> frozenset[tuple[Purpose, str | None]]:
        wanted = {(purpose, variant) for purpose, variant in map(_rules_of, batches) if purpose is not None}
        if not wanted:
            return frozenset()
        packs = self._store.packs
        in_force = packs.in_force()
        return frozenset(one for one in wanted if packs.fault_of(one[0], in_force, one[1]) is not None)

    def _waiting(self, readings: _Readings, due: list[DueJobs]) -> dict[str, Any]:
        ready = [entry for entry in due if _may_be_called(readings, entry)]
        callable_now = [] if readings.held else ready
        return {
            "due": sum(entry.jobs for entry in due),
            "ready": sum(entry.jobs for entry in ready),
            "callable": sum(entry.jobs for entry in callable_now),
            "oldest_due_seconds": self._oldest(readings, callable_now),
        }

    def _oldest(self, readings: _Readings, due: list[DueJobs]) -> float:
        moments = [entry.since for entry in due if entry.since is not None]
        batches = [*dict.fromkeys(entry.batch_id for entry in due)][:MAX_BATCH_QUERIES]
        untimed = [self._queries.waiting_since(batch_id) for batch_id in batches]
        moments += [moment for moment in untimed if moment is not None]
        return max((_seconds(readings.now - moment) for moment in moments), default=0.0)

    def _stuck(self, readings: _Readings) -> dict[str, Any]:
        found = self._queries.in_progress()
        since = found.lapsed_since
        return {
            "lapsed": found.lapsed,
            "oldest_lapsed_seconds": 0.0 if since is None else _seconds(readings.now - since),
            "parked": found.parked,
        }


def _has_work(by_status: Mapping[str, int]) -> bool:
    return any(by_status.get(status) for status in OPEN_STATUSES)


def _may_be_called(readings: _Readings, due: DueJobs) -> bool:
    """Whether the batch and the account of these jobs allow one of them to be dialled now."""
    batch = None if due.batch_id is None else readings.batches.get(due.batch_id)
    if due.batch_id is not None and (batch is None or not eligibility.batch_has_room(batch)):
        return False
    name = due.account_id or (None if batch is None else batch.account_id)
    account = None if name is None else readings.accounts.get(name)
    if name is not None and (
        account is None or not eligibility.account_is_open(account, readings.defaults, readings.now)
    ):
        return False
    zone = None if account is None else account.timezone
    return eligibility.batch_may_be_called(batch, zone, readings.defaults, readings.now)


def _account(readings: _Readings, batch: Batch) -> Account | None:
    return None if batch.account_id is None else readings.accounts.get(batch.account_id)


def _batches(
    readings: _Readings, counts: Counts, working: set[str | None], due: Iterable[DueJobs]
) -> dict[str, Any]:
    """Batches by state, and the names of those with a fault."""
    accounts = {entry.account_id for entry in due if entry.account_id is not None} & readings.accounts.keys()
    faulty = {name for name in accounts if readings.accounts[name].faults}
    stopped = {entry.batch_id for entry in due if entry.account_id in faulty}
    states: dict[str, int] = {}
    unexpected: list[str] = []
    not_understood: list[str] = []
    for name in counts:
        if name is None:
            continue
        state = _state(readings, name, stopped) if name in working else "finished"
        states[state] = states.get(state, 0) + 1
        if state == "paused" and (paused := _unexpected_pause(readings.batches[name])) is not None:
            unexpected.append(paused)
        elif state == "not_understood":
            not_understood.append(name)
    return {
        "batch_states": states,
        "paused_unexpectedly": _named(unexpected),
        "not_understood": _named(not_understood),
    }


def _unexpected_pause(batch: Batch) -> str | None:
    """The batch's name, with the reason if speechaid paused it; None where an operator did."""
    if not batch.pause:
        return batch.batch_id
    if batch.pause.get("by") == PAUSED_BY_SPEECHAID:
        return f"{batch.batch_id} (paused by speechaid: {batch.pause.get('reason')})"
    return None


def _state(readings: _Readings, name: str, stopped: Container[str | None]) -> str:
    """The state of a batch; of ``stopped`` ones due jobs have an account that cannot be understood."""
    batch = readings.batches.get(name)
    if batch is None:
        return "missing"
    account = _account(readings, batch)
    of_account = name in stopped or (account is not None and bool(account.faults))
    if batch.active_fault is not None or (batch.is_active and (batch.faults or of_account)):
        return "not_understood"
    if not batch.is_active:
        return "paused"
    window = eligibility.window_for(batch, None if account is None else account.timezone, readings.defaults)
    if isinstance(window, WindowFault) or _rules_of(batch) in readings.without_rules:
        return "not_understood"
    assert isinstance(window, Window)  # noqa: S101
    return "dialling" if windows.is_open(window, readings.now) else "outside_window"


def _named(names: Iterable[str]) -> dict[str, Any]:
    """The number of names, and the first few."""
    listed = sorted(names)
    return {"count": len(listed), "named": listed[:BATCHES_NAMED]}


def _accounts(readings: _Readings, counts: Counts) -> list[dict[str, Any]]:
    """Accounts of batches with work left, those with the least left first; without unlimited ones.

    Jobs that are suspended without credit count as work left.
    """
    wanted = {
        batch.account_id
        for name, batch in readings.batches.items()
        if _has_work(counts[name]) or counts[name].get(JobStatus.SUSPENDED)
    }
    rows = [
        row
        for account in readings.accounts.values()
        if account.account_id in wanted and (row := _balance(account, readings.defaults)) is not None
    ]
    return sorted(rows, key=lambda row: (row["calls_left"], row["account_id"]))[:ACCOUNTS_SHOWN]


def _balance(account: Account, defaults: DiallingDefaults) -> dict[str, Any] | None:
    """What is left, and how many calls of the estimated length it pays for; None without a limit."""
    if account.plan is Plan.MINUTES:
        minutes = metering.minutes_left(account)
        calls = minutes / defaults.estimate_minutes
        return _row(account, calls) | {"talk_left_seconds": round(max(0.0, minutes * 60), 3)}
    if account.plan is Plan.CREDIT:
        credit = metering.credit_left(account)
        price = account.cost_per_call_setup + defaults.estimate_minutes * account.cost_per_minute
        if price > 0:
            return _row(account, credit / price) | {"credit_left": max(0.0, credit)}
    return None


def _row(account: Account, calls: float) -> dict[str, Any]:
    return {"account_id": account.account_id, "calls_left": round(max(0.0, calls), 1)}


def _seconds(span: timedelta) -> float:
    return round(max(0.0, span / timedelta(seconds=1)), 3)


def _rules_of(batch: Batch) -> tuple[Purpose | None, str | None]:
    """Which packs a batch asks for."""
    return batch.call_settings.purpose, batch.call_settings.pack_variant
