"""``doctor``: the facts for the diagnosis, gathered; what they mean is ``commands.ailments``'.

Whatever cannot be asked is itself a finding: a doctor that fails when something is broken is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from speechaid.clock import SystemClock
from speechaid.commands.doctor.facts import COUNTED, DoctorFacts, DoctorFinding, FindingSeverity, RetellFacts
from speechaid.commands.doctor.host_checks import AILMENTS
from speechaid.commands.dry_run import dry_run_context, retell_of
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.dialer.context import dialling_defaults
from speechaid.errors import StoreError
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.reading import Document, instant
from speechaid.model.states import JobStatus
from speechaid.retell.faults import Blocked, RetellError
from speechaid.rules import eligibility, windows
from speechaid.rules.circuit_breaker import Breaker, BreakerState
from speechaid.rules.windows import WindowFault
from speechaid.store.connection import Store
from speechaid.store.inspection import missing_indexes

#: Calls of so many seconds back are looked at.
_RECENT_SECONDS: Final = 86_400.0
#: Open dials looked at, and accounts and batches.
_MOST_DIALS: Final = 2000
#: Longest wait for Retell, in seconds.
_RETELL_SECONDS: Final = 5.0
_WAITING: Final = (JobStatus.PENDING, JobStatus.SCHEDULED)

T = TypeVar("T")


def doctor(context: HandlerContext, command: Invocation) -> Result:
    """What keeps calls from being made, gravest first."""
    chart = DoctorFacts(fleet=command.fleet, settings=context.settings, retell=_retell(context))
    started_at = instant(chart.supervisor.get("started_at"))
    if started_at is not None:
        chart.up_seconds = (SystemClock().now() - started_at).total_seconds()
    try:
        _examine(context, chart)
    except StoreError as exc:
        chart.database_fault = str(exc)
    findings = [finding for ailment in AILMENTS for finding in ailment(chart)]
    order = list(FindingSeverity)
    findings.sort(key=lambda finding: order.index(finding.weight))
    return {
        "findings": [vars_of(finding) for finding in findings],
        "healthy": not any(finding.weight is FindingSeverity.FAULT for finding in findings),
        "database_ms": chart.database_ms,
        "retell_ms": chart.retell.milliseconds,
    }


def vars_of(finding: DoctorFinding) -> Result:
    """A finding as it travels."""
    return {
        "code": finding.code,
        "weight": finding.weight,
        "cause": finding.cause,
        "evidence": finding.evidence,
        "remedy": finding.remedy,
    }


def _examine(context: HandlerContext, chart: DoctorFacts) -> None:
    store, now = context.store, context.store.now()
    chart.database_ms = _milliseconds(store.ping)
    chart.now = now
    chart.skew_seconds = store.skew_seconds()
    fleet = store.holds.fleet()
    chart.fleet_hold = None if fleet is None else f"by {fleet.by}: {fleet.reason or 'no reason given'}"
    worker_context = dry_run_context(context)
    _, document = store.holds.read(worker_context.retell.fingerprint)
    chart.breaker = _breaker(document)
    counts = store.jobs.counts_by_batch()
    chart.waiting = {
        name: waiting
        for name, by_status in counts.items()
        if (waiting := sum(by_status.get(status, 0) for status in _WAITING))
    }
    names = sorted(name for name in chart.waiting if name is not None)
    chart.batches = {batch.batch_id: batch for batch in store.batches.among(names)}
    payers = sorted({batch.account_id for batch in chart.batches.values() if batch.account_id is not None})
    chart.accounts = {account.account_id: account for account in store.accounts.among(payers)}
    _look_at_windows(context, chart)
    chart.suspended = store.diagnostics.suspended_for()
    chart.unknown_accounts = _unknown_accounts(store)
    chart.tried_again = store.diagnostics.tried_again()
    chart.outcomes = store.diagnostics.recent_outcomes(_RECENT_SECONDS)
    chart.dials = store.diagnostics.open_dials(_MOST_DIALS)
    chart.lapsed = len(store.operator_actions.stuck(300, _MOST_DIALS))
    chart.unreadable = store.diagnostics.unreadable(COUNTED)
    chart.missing_indexes = missing_indexes(store)


def _unknown_accounts(store: Store) -> dict[str, int]:
    """Jobs by an account that does not exist, most first; those that wait are suspended at their turn."""
    named = store.diagnostics.awaiting_account()
    known = {account.account_id for account in store.accounts.among(sorted(named))}
    return dict(
        sorted(((name, n) for name, n in named.items() if name not in known), key=lambda row: -row[1])
    )


def _breaker(document: Document | None) -> Hold | None:
    """The breaker of this host's key, unless it is closed; also while it lets a probe through."""
    found = Breaker.read(document)
    if found.state is BreakerState.CLOSED:
        return None
    return Hold(
        scope="key", reason=found.reason or str(found.kind), since=found.opened_at, until=found.probe_at
    )


def _look_at_windows(context: HandlerContext, chart: DoctorFacts) -> None:
    """Which batches with waiting jobs may be called now, when the next may, and which are not understood."""
    defaults, now = dialling_defaults(context.settings), context.store.now()
    for name in chart.waiting:
        batch = None if name is None else chart.batches.get(name)
        if name is not None and batch is None:
            continue
        zone = _zone(chart, batch)
        window = eligibility.window_for(batch, zone, defaults)
        if isinstance(window, WindowFault):
            chart.window_faults[str(name)] = window.sentence
        elif batch is None or batch.is_active:
            opens = windows.next_opening(window, now)
            chart.opens_at[name] = None if opens is None or opens <= now + timedelta(seconds=1) else opens
        if batch is not None and batch.call_settings.allowed_hours is None and defaults.hours is None:
            chart.without_hours.append(str(name))


def _zone(chart: DoctorFacts, batch: Batch | None) -> str | None:
    account = chart.accounts.get(batch.account_id or "") if batch is not None else None
    return None if account is None else account.timezone


def _retell(context: HandlerContext) -> RetellFacts:
    """Whether Retell can be reached with this host's key."""
    timeout_seconds = min(_RETELL_SECONDS, context.settings.retell.timeout_seconds)
    began = time.monotonic()
    with retell_of(context, timeout_seconds) as client:
        try:
            concurrency = client.get_concurrency()
        except Blocked as exc:
            return RetellFacts(refused=str(exc))
        except RetellError as exc:
            return RetellFacts(unreachable=str(exc))
        return RetellFacts(
            milliseconds=round((time.monotonic() - began) * 1000, 1),
            calls=concurrency.current,
            limit=concurrency.limit,
            date=client.server_date,
        )


def _milliseconds(operation: Callable[[], T]) -> float:
    began = time.monotonic()
    operation()
    return round((time.monotonic() - began) * 1000, 1)
