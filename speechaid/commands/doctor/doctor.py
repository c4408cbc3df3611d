"""``doctor``: gathers the facts and evaluates the checks of ``host_checks`` and ``job_checks``.

A source that does not answer is itself a finding: the command must work when something is broken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeVar

from speechaid.clock import SystemClock
from speechaid.commands.batch_agent import BatchChoice, faults_at_retell, own_choices
from speechaid.commands.doctor.facts import COUNTED, DoctorFacts, DoctorFinding, FindingSeverity, RetellFacts
from speechaid.commands.doctor.host_checks import CHECKS
from speechaid.commands.dry_run import dry_run_context
from speechaid.commands.interfaces import Continue, HandlerContext, Invocation, Result
from speechaid.commands.retell_questions import ask_retell
from speechaid.compliance.pack_files import pack_warnings
from speechaid.compliance.packs import Pack
from speechaid.dialer.context import dialling_defaults
from speechaid.errors import StoreError, StoreUnavailable
from speechaid.maintenance.document_scan import DocumentScan, UnreadableDocument
from speechaid.model.batch import Batch
from speechaid.model.erasure import What
from speechaid.model.hold import Hold
from speechaid.model.reading import Document, instant
from speechaid.model.states import JobStatus, Purpose
from speechaid.protocol.translation import say
from speechaid.retell.client import RetellClient
from speechaid.retell.directory import RetellDirectory
from speechaid.retell.faults import Blocked, ItemUnknown, RetellError
from speechaid.rules import eligibility, windows
from speechaid.rules.circuit_breaker import Breaker, BreakerState
from speechaid.rules.windows import WindowFault
from speechaid.settings import Settings
from speechaid.store.connection import Store
from speechaid.store.holds import GlobalHold
from speechaid.store.inspection import missing_indexes

#: How far back calls are counted, in seconds.
_RECENT_SECONDS: Final = 86_400.0
#: Upper bound of the open dials and of the stuck jobs that are read.
_MAX_DIALS: Final = 2000
#: The longest that all requests to Retell may take, in seconds.
_RETELL_SECONDS: Final = 5.0
#: Longest look for documents that cannot be read; the housekeeper looks at all of them, in portions.
_SCAN_SECONDS: Final = 2.0
#: Data that should have been erased more than so many days ago are kept too long.
_LATE_DAYS: Final = 2
_WAITING: Final = (JobStatus.PENDING, JobStatus.SCHEDULED)

T = TypeVar("T")


def doctor(context: HandlerContext, command: Invocation) -> Result | Continue:
    """What keeps calls from being placed, most severe first."""

    def then(context: HandlerContext, answer: RetellFacts | RetellError) -> Result:
        if isinstance(answer, RetellError):
            answer = RetellFacts(unreachable=str(answer))
        return _diagnose(context, command, answer)

    settings, choices = context.settings, _own_choices(context)
    return ask_retell(
        context, lambda client: _retell(client, settings, choices), then, within_seconds=_RETELL_SECONDS
    )


def _own_choices(context: HandlerContext) -> list[BatchChoice]:
    """What batches have chosen themselves; where the database is away, its own finding says so."""
    try:
        return own_choices(context.store, context.settings)
    except StoreError:
        return []


def _diagnose(context: HandlerContext, command: Invocation, retell: RetellFacts) -> Result:
    facts = DoctorFacts(snapshot=command.snapshot, settings=context.settings, retell=retell)
    started_at = instant(facts.supervisor.get("started_at"))
    if started_at is not None:
        facts.up_seconds = (SystemClock().now() - started_at).total_seconds()
    try:
        _read_database(context, facts)
    except StoreUnavailable as exc:
        facts.database_fault = str(exc)
    except StoreError as exc:
        facts.refused["ping"] = str(exc)
    findings = [finding for check in CHECKS for finding in check(facts)]
    order = list(FindingSeverity)
    findings.sort(key=lambda finding: order.index(finding.severity))
    return {
        "findings": [_row(finding) for finding in findings],
        "healthy": not any(finding.severity is FindingSeverity.FAULT for finding in findings),
        "database_ms": facts.database_ms,
        "retell_ms": facts.retell.milliseconds,
    }


def _row(finding: DoctorFinding) -> Result:
    return {
        "code": finding.code,
        "weight": finding.severity,
        "cause": finding.cause,
        "evidence": finding.evidence,
        "remedy": finding.remedy,
    }


def _described(hold: GlobalHold | None) -> str | None:
    return (
        None
        if hold is None
        else say("by {by}: {reason}", by=hold.by, reason=hold.reason or say("no reason given"))
    )


def _read_database(context: HandlerContext, facts: DoctorFacts) -> None:
    """Read each kind of facts; one that the database refuses costs its own findings alone.

    Raises:
        StoreUnavailable: the database is away.
    """
    store = context.store
    facts.database_ms = _milliseconds(store.ping)
    facts.now = store.now()
    facts.skew_seconds = store.skew_seconds()
    for name, read in _READINGS.items():
        try:
            read(context, facts)
        except StoreUnavailable:
            raise
        except StoreError as exc:
            facts.refused[name] = str(exc)


def _read_holds(context: HandlerContext, facts: DoctorFacts) -> None:
    reading = context.store.holds.read(dry_run_context(context).retell.fingerprint)
    facts.global_hold, facts.batches_hold = _described(reading.hold), _described(reading.batches_hold)
    facts.too_old = reading.too_old
    facts.breaker, facts.breaker_kind = _breaker(reading.breaker), Breaker.read(reading.breaker).kind


def _read_waiting(context: HandlerContext, facts: DoctorFacts) -> None:
    counts = context.store.jobs.counts_by_batch()
    facts.waiting = {
        name: waiting
        for name, by_status in counts.items()
        if (waiting := sum(by_status.get(status, 0) for status in _WAITING))
    }


def _read_batches(context: HandlerContext, facts: DoctorFacts) -> None:
    store = context.store
    names = sorted(name for name in facts.waiting if name is not None)
    facts.batches = {batch.batch_id: batch for batch in store.batches.among(names)}
    account_ids = sorted(
        {batch.account_id for batch in facts.batches.values() if batch.account_id is not None}
    )
    facts.accounts = {account.account_id: account for account in store.accounts.among(account_ids)}
    _read_windows(context, facts)
    _read_calling_rules(context, facts)


def _read_calling_rules(context: HandlerContext, facts: DoctorFacts) -> None:
    """What the packs in force say of batches with waiting jobs."""
    packs, today = context.store.packs, context.store.now().date()
    in_force = packs.in_force()
    rules = {
        name: (purpose, batch.call_settings.pack_variant)
        for name, batch in facts.batches.items()
        if (purpose := batch.call_settings.purpose) is not None
    }
    faults = {one: packs.fault_of(one[0], in_force, one[1]) for one in set(rules.values())}
    facts.rule_faults = {
        name: sentence for name, one in rules.items() if (sentence := faults[one]) is not None
    }
    if in_force.fault is None:
        facts.without_purpose = sorted(facts.batches.keys() - rules.keys())
        facts.is_filling_ledger = bool(rules) and not in_force.is_ready
        found = packs.all_in_force().values() if rules else ()
        usable = [pack for pack in found if isinstance(pack, Pack)]
        facts.rule_exemptions = _exemptions_of(rules, usable)
        facts.pack_warnings = [warning for pack in usable for warning in pack_warnings(pack, today)]


def _exemptions_of(rules: Mapping[str, tuple[Purpose, str | None]], packs: Iterable[Pack]) -> dict[str, str]:
    """The exemptions that may hold for calls of each batch, with who said so."""
    named = [
        (pack, f"{pack.name}: {one.name} ({one.said_by}, {one.at.isoformat()})")
        for pack in packs
        for one in pack.exemptions
    ]
    found = {
        name: [text for pack, text in named if pack.purpose is purpose and pack.variant in {None, variant}]
        for name, (purpose, variant) in rules.items()
    }
    return {name: "; ".join(texts) for name, texts in sorted(found.items()) if texts}


def _read_suspended(context: HandlerContext, facts: DoctorFacts) -> None:
    facts.suspended = context.store.diagnostics.suspended_for()
    facts.unknown_accounts = _unknown_accounts(context.store)


def _read_calls(context: HandlerContext, facts: DoctorFacts) -> None:
    diagnostics = context.store.diagnostics
    facts.tried_again = diagnostics.tried_again()
    facts.outcomes = diagnostics.recent_outcomes(_RECENT_SECONDS)
    facts.unreadable_answers = diagnostics.unreadable_answers(_RECENT_SECONDS, COUNTED)


def _read_refusals(context: HandlerContext, facts: DoctorFacts) -> None:
    minutes = facts.snapshot.get("recent", {}).get("minutes")
    if minutes:
        facts.refusals = context.store.logs.refusals(minutes * 60, COUNTED)


def _read_dials(context: HandlerContext, facts: DoctorFacts) -> None:
    facts.dials = context.store.diagnostics.open_dials(_MAX_DIALS)
    facts.lapsed = len(context.store.operator_actions.stuck(300, _MAX_DIALS))


def _read_jobs(context: HandlerContext, facts: DoctorFacts) -> None:
    diagnostics = context.store.diagnostics
    facts.rejected = diagnostics.rejected_jobs(COUNTED)
    facts.unreadable = diagnostics.unreadable(COUNTED)
    facts.served = diagnostics.served_jobs(COUNTED)


def _scan_documents(context: HandlerContext, facts: DoctorFacts) -> None:
    """What a short scan finds now, and what the housekeeper's rounds have found beyond it."""
    scan = DocumentScan(context.store)
    country = context.settings.dialling.default_country
    scan.check_more(SystemClock(), _SCAN_SECONDS, default_country=country)
    facts.documents, facts.unassigned = scan.all_found(), scan.unassigned_numbers()
    if scan.is_complete:
        return
    known = {(one.collection, one.name, one.fault.field) for one in facts.documents}
    earlier = map(UnreadableDocument.read, facts.snapshot.get("unreadable", {"named": []})["named"])
    facts.documents += [one for one in earlier if (one.collection, one.name, one.fault.field) not in known]
    counted: Mapping[str, int] = facts.snapshot.get("unassigned", {})
    if sum(counted.values()) > sum(facts.unassigned.values()):
        facts.unassigned = dict(counted)


def _read_indexes(context: HandlerContext, facts: DoctorFacts) -> None:
    facts.missing_indexes = missing_indexes(context.store)


def _read_retention(context: HandlerContext, facts: DoctorFacts) -> None:
    days, now = context.settings.retention, context.store.now()
    for variable, span, what in (
        ("SPEECHAID_JOB_RETENTION_DAYS", days.job_days, What.PERSON),
        ("SPEECHAID_TRANSCRIPT_RETENTION_DAYS", days.transcript_days, What.CALLS),
    ):
        before = now - timedelta(days=span + _LATE_DAYS)
        late = context.store.erasures.count_late(before, what, COUNTED) if span else 0
        if late:
            facts.kept_too_long[variable] = late


#: What is read from the database, in this order, by the name under which a refusal is shown.
_READINGS: Final[Mapping[str, Callable[[HandlerContext, DoctorFacts], None]]] = {
    "holds": _read_holds,
    "waiting jobs": _read_waiting,
    "batches and accounts": _read_batches,
    "suspended jobs": _read_suspended,
    "calls": _read_calls,
    "refused dials": _read_refusals,
    "open dials": _read_dials,
    "unreadable jobs": _read_jobs,
    "documents": _scan_documents,
    "indexes": _read_indexes,
    "data kept too long": _read_retention,
}


def _unknown_accounts(store: Store) -> dict[str, int]:
    """Jobs by account that does not exist; waiting ones are suspended when they are due."""
    counts = store.diagnostics.awaiting_account()
    existing = {account.account_id for account in store.accounts.among(sorted(counts))}
    return {name: jobs for name, jobs in counts.items() if name not in existing}


def _breaker(document: Document | None) -> Hold | None:
    """The breaker of this host's key, also while it lets a probe through; None while it is closed."""
    breaker = Breaker.read(document)
    if breaker.state is BreakerState.CLOSED:
        return None
    return Hold(
        scope="key",
        reason=breaker.reason or str(breaker.kind),
        since=breaker.opened_at,
        until=breaker.probe_at,
    )


def _read_windows(context: HandlerContext, facts: DoctorFacts) -> None:
    """When the windows of batches with waiting jobs open, and which windows are invalid or missing."""
    defaults, now = dialling_defaults(context.settings), context.store.now()
    for name in facts.waiting:
        batch = None if name is None else facts.batches.get(name)
        if name is not None and batch is None:
            continue
        zone = _zone(facts, batch)
        window = eligibility.window_for(batch, zone, defaults)
        if batch is not None and (sentence := eligibility.batch_fault(batch, zone, defaults)) is not None:
            facts.window_faults[str(name)] = sentence
        elif isinstance(window, WindowFault):
            facts.window_faults[str(name)] = window.sentence
        elif batch is None or batch.is_active:
            opens = windows.next_opening(window, now)
            facts.opens_at[name] = None if opens is None or opens <= now + timedelta(seconds=1) else opens
        if batch is not None and batch.call_settings.allowed_hours is None and defaults.hours is None:
            facts.without_hours.append(str(name))


def _zone(facts: DoctorFacts, batch: Batch | None) -> str | None:
    account = facts.accounts.get(batch.account_id or "") if batch is not None else None
    return None if account is None else account.timezone


def _retell(client: RetellClient, settings: Settings, choices: Sequence[BatchChoice]) -> RetellFacts:
    """Ask Retell with this host's key, in a thread of its own: key and limits, then agents and numbers."""
    started = time.monotonic()
    try:
        concurrency = client.get_concurrency()
    except Blocked as exc:
        return RetellFacts(refused=str(exc))
    except RetellError as exc:
        return RetellFacts(unreachable=str(exc))
    facts = RetellFacts(
        milliseconds=round((time.monotonic() - started) * 1000, 1),
        calls=concurrency.current,
        limit=concurrency.limit,
        date=client.server_date,
    )
    directory = RetellDirectory(client, _RETELL_SECONDS - (time.monotonic() - started))
    facts = replace(
        facts,
        has_agent=_has(lambda: directory.get_agent(settings.retell.agent_id)),
        has_number=_has(lambda: directory.get_number(settings.retell.from_number)),
    )
    try:
        return replace(facts, batch_faults=faults_at_retell(directory, choices))
    except RetellError:
        return facts


def _has(get: Callable[[], object]) -> bool | None:
    """Whether Retell has it; None where it does not say."""
    try:
        get()
    except ItemUnknown:
        return False
    except RetellError:
        return None
    return True


def _milliseconds(operation: Callable[[], T]) -> float:
    started = time.monotonic()
    operation()
    return round((time.monotonic() - started) * 1000, 1)
