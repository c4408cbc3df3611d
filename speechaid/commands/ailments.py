"""What facts of the daemon, the database and Retell mean: cause, evidence and remedy. Pure; one row each.

``AILMENTS`` is the whole of it, in the order in which an operator would ask. A row finds nothing, one thing,
or several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.rules import metering
from speechaid.settings import Settings

#: A clock that is off by more than this, in seconds, is worth a word.
_SKEW_SECONDS: Final = 2.0
#: Slower than this, in milliseconds, and each claim and each poll suffer.
_SLOW_DATABASE_MS: Final = 100.0
_SLOW_RETELL_MS: Final = 3000.0
#: Shares of recent calls and of jobs that are worth a word, given enough of them.
_ENOUGH: Final = 20
_FEW_ANSWERED: Final = 0.2
_MANY_FAULTS: Final = 0.25
_MANY_RETRIED: Final = 0.5
#: An idle fleet notices a free job this late, and a lease longer than this delays every rescue, in seconds.
_LONG_LEASE_SECONDS: Final = 3600.0
_SLOW_POLL_SECONDS: Final = 60.0
_NAMED: Final = 5


class Weight(StrEnum):
    """How grave a finding is, gravest first."""

    #: Calls are not made that should be.
    FAULT = "fault"
    #: Somebody wanted it so; it may have been forgotten.
    ORDERED = "ordered"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    code: str
    weight: Weight
    cause: str
    evidence: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class RetellFacts:
    """What became of one question to Retell."""

    refused: str | None = None
    unreachable: str | None = None
    milliseconds: float | None = None
    calls: int | None = None
    limit: int | None = None
    date: datetime | None = None


@dataclass(kw_only=True)
class Chart:
    """All that was found out; what could not be is empty."""

    fleet: Mapping[str, Any]
    settings: Settings
    retell: RetellFacts
    database_fault: str | None = None
    database_ms: float | None = None
    now: datetime | None = None
    skew_seconds: float = 0.0
    fleet_hold: str | None = None
    #: The breaker of this host's key: as a hold where it holds dials at this moment.
    breaker: Hold | None = None
    #: Waiting jobs by batch.
    waiting: dict[str | None, int] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    #: Of active batches with waiting jobs: when their window opens; None where it is open.
    opens_at: dict[str | None, datetime | None] = field(default_factory=dict)
    window_faults: dict[str, str] = field(default_factory=dict)
    without_hours: list[str] = field(default_factory=list)
    suspended: dict[str, int] = field(default_factory=dict)
    #: Pending and failed jobs by passes used up.
    tried_again: dict[int, int] = field(default_factory=dict)
    #: A day's calls by outcome and Retell's reason.
    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)
    dials: list[Job] = field(default_factory=list)
    #: Jobs whose lease ran out more than five minutes ago.
    lapsed: int = 0
    missing_indexes: list[str] = field(default_factory=list)

    @property
    def supervisor(self) -> Mapping[str, Any]:
        """The loop's own state."""
        found = self.fleet.get("supervisor", {})
        return found if isinstance(found, Mapping) else {}

    @property
    def workers(self) -> list[Mapping[str, Any]]:
        """One row a worker."""
        return list(self.fleet.get("workers", []))

    @property
    def jobs_waiting(self) -> int:
        """Jobs that could be called if nothing forbade it."""
        return sum(self.waiting.values())


Findings = Iterator[Finding]


def _database(chart: Chart) -> Findings:
    if chart.database_fault is not None:
        yield _fault(
            "database_away",
            "the database cannot be asked: nothing is claimed, calls in hand are kept until it is back",
            chart.database_fault,
            "see that it runs and can be reached from here; speechaid check tells more",
        )
    elif chart.database_ms is not None and chart.database_ms > _SLOW_DATABASE_MS:
        yield _warning(
            "slow_database",
            "the database is slow to answer: claims and dials wait for it",
            f"a ping took {chart.database_ms:.0f} ms",
            "look at its load and at the network between",
        )


def _workers(chart: Chart) -> Findings:
    supervisor, rows = chart.supervisor, chart.workers
    if not supervisor:
        return
    loops = supervisor.get("crash_loops") or []
    if loops:
        yield _fault(
            "crash_loop",
            "workers die again and again as they start",
            ", ".join(loops[:_NAMED]),
            "the log tells why; speechctl logs and speechctl events show the last ones",
        )
    if supervisor.get("dependency_away"):
        yield _fault(
            "workers_cannot_start",
            "workers cannot start: something that they need is away",
            f"{supervisor.get('present')} of {supervisor.get('wanted')} are there",
            "the log says what; they are tried again by themselves",
        )
    if supervisor.get("wanted") == 0:
        yield _ordered("no_workers", "no worker is wanted on this host", "scaled to 0", "speechctl scale N")
    elif not any(row.get("pid") for row in rows):
        yield _fault("no_workers", "no worker is there", "none has started", "see the log of the daemon")
    elif all(row.get("paused") for row in rows):
        yield _ordered(
            "all_workers_paused",
            "every worker of this host is paused",
            f"{len(rows)} workers",
            "speechctl resume-worker NAME",
        )


def _orders(chart: Chart) -> Findings:
    if chart.supervisor.get("draining"):
        yield _ordered("draining", "no worker of this host takes a new job", "drained", "speechctl undrain")
    if chart.fleet_hold is not None:
        yield _ordered("held", "every dial on every host is held", chart.fleet_hold, "speechctl unhold")
    elif chart.supervisor.get("held"):
        yield _ordered("held_here", "every dial of this host is held", "held here alone", "speechctl unhold")


def _breaker(chart: Chart) -> Findings:
    if chart.breaker is None:
        return
    probe = f", next probe {chart.breaker.until:%H:%M:%S} UTC" if chart.breaker.until else ""
    yield _fault(
        "breaker_open",
        "dialling with this host's key is held by the circuit breaker",
        f"{chart.breaker.reason.rstrip('.')}{probe}",
        "it lets one call through at a time until that proves the fault gone; the reason says whose it is",
    )


def _retell(chart: Chart) -> Findings:
    facts = chart.retell
    if facts.refused is not None:
        yield _fault(
            "wrong_key",
            "Retell refuses this host's key",
            facts.refused,
            "check RETELL_API_KEY, restart; jobs keep their attempts meanwhile",
        )
    elif facts.unreachable is not None:
        yield _fault(
            "retell_unreachable",
            "Retell cannot be reached",
            facts.unreachable,
            "check the network of this host and RETELL_BASE_URL; calls going on are followed once it is back",
        )
    elif facts.milliseconds is not None and facts.milliseconds > _SLOW_RETELL_MS:
        yield _warning(
            "slow_retell",
            "Retell is slow to answer: each dial and each poll waits for it",
            f"one question took {facts.milliseconds:.0f} ms",
            "nothing to do here but to wait; RETELL_TIMEOUT_SECONDS is the longest that one may take",
        )
    if facts.limit is not None and len(chart.workers) > facts.limit:
        yield _warning(
            "concurrency_limit",
            "more workers than Retell allows calls at a time",
            f"{len(chart.workers)} workers here, {facts.limit} calls allowed, {facts.calls} going on",
            "speechctl scale, or have Retell raise the limit",
        )


def _batches(chart: Chart) -> Findings:
    named = [name for name in chart.waiting if name is not None]
    orphans = {name: chart.waiting[name] for name in named if name not in chart.batches}
    if orphans and not chart.database_fault:
        yield _fault(
            "orphaned_jobs",
            "jobs whose batch does not exist are not called",
            _listed({name: f"{jobs} jobs" for name, jobs in orphans.items()}),
            "make the batch again under its id, or have the jobs cancelled",
        )
    paused = [name for name in named if name in chart.batches and not chart.batches[name].is_active]
    for name in paused[:_NAMED]:
        pause = chart.batches[name].pause or {}
        by = pause.get("by") or "nobody on record: is_active was written in the database"
        why = f": {pause['reason']}" if pause.get("reason") else ""
        yield _ordered(
            "batch_paused",
            f"batch {name} is paused",
            f"by {by}{why}; {chart.waiting[name]} jobs wait",
            "speechctl resume-all" if pause.get("all") else f"speechctl resume-batch {name}",
        )
    if len(paused) > _NAMED:
        yield _ordered(
            "batches_paused", "more batches are paused", f"{len(paused) - _NAMED} more", "speechctl batches"
        )


def _windows(chart: Chart) -> Findings:
    for name, sentence in list(chart.window_faults.items())[:_NAMED]:
        yield _fault(
            "window_fault",
            f"the call settings of batch {name} cannot be understood, so it is not called",
            sentence,
            "correct the batch's call_settings",
        )
    closed = {name: at for name, at in chart.opens_at.items() if at is not None}
    if closed and len(closed) == len(chart.opens_at):
        first = min(closed.values())
        yield _ordered(
            "windows_closed",
            "every batch with waiting jobs is outside its calling window",
            f"{len(closed)} batches",
            f"the first opens {first:%Y-%m-%d %H:%M} UTC",
        )
    if chart.without_hours:
        yield _warning(
            "no_allowed_hours",
            "batches without allowed_hours are called day and night",
            _listed(dict.fromkeys(chart.without_hours, "")),
            "give them hours, or set SPEECHAID_DEFAULT_ALLOWED_HOURS",
        )


def _credit(chart: Chart) -> Findings:
    jobs = chart.suspended.get("no_credit", 0)
    if jobs:
        yield _fault(
            "no_credit",
            "jobs are suspended because their account has no credit left",
            f"{jobs} jobs",
            "add credit: they return by themselves within a minute",
        )
    unknown = chart.suspended.get("account_unknown", 0)
    if unknown:
        yield _fault(
            "account_unknown",
            "jobs are suspended because their account does not exist",
            f"{unknown} jobs",
            "make the account, then speechctl resume-account",
        )
    for account in chart.accounts.values():
        if account.status != "active":
            yield _ordered(
                "account_inactive",
                f"account {account.account_id} is {account.status}: its jobs are not called",
                f"status {account.status}",
                f"speechctl resume-account {account.account_id}",
            )
        elif account.plan is not None and not metering.has_balance(account) and not jobs:
            yield _fault(
                "balance_used_up",
                f"account {account.account_id} has no balance left beside what calls in progress hold",
                f"plan {account.plan}",
                "add credit",
            )


def _retries(chart: Chart) -> Findings:
    calls = sum(chart.outcomes.values())
    if calls >= _ENOUGH:
        good = sum(
            n for (outcome, _), n in chart.outcomes.items() if outcome in {"answered", "callback_requested"}
        )
        bad = {key: n for key, n in chart.outcomes.items() if key[0] == "failed"}
        if good / calls < _FEW_ANSWERED:
            yield _warning(
                "few_answered",
                "few calls are answered",
                f"{good} of {calls} in a day; most often {_most(chart.outcomes)}",
                "look at the hours, the numbers and the calling number's reputation",
            )
        if sum(bad.values()) / calls > _MANY_FAULTS:
            yield _warning(
                "many_failed_calls",
                "many calls fail",
                f"{sum(bad.values())} of {calls} in a day; most often {_most(bad)}",
                "the reason is Retell's own word: its dashboard shows such a call in full",
            )
    jobs = sum(chart.tried_again.values())
    again = sum(n for attempts, n in chart.tried_again.items() if attempts > 0)
    if jobs >= _ENOUGH and again / jobs > _MANY_RETRIED:
        yield _warning(
            "many_retries",
            "most jobs that are not done have been tried in vain",
            f"{again} of {jobs} pending or failed jobs have used up a pass or more",
            "speechctl report shows the outcomes by attempt and by hour",
        )


def _calls(chart: Chart) -> Findings:
    if chart.now is None:
        return
    longest = timedelta(minutes=2 * chart.settings.call.max_duration_minutes)
    parked = [job for job in chart.dials if job.dial and job.dial.parked_at]
    hanging = [
        job
        for job in chart.dials
        if job.dial
        and job.dial.placed_at
        and not job.dial.parked_at
        and chart.now - job.dial.placed_at > longest
    ]
    ambiguous = [
        job
        for job in chart.dials
        if job.dial and job.dial.is_ambiguous and job.dial.next_lookup_at is not None
    ]
    if parked:
        yield _fault(
            "parked_calls",
            "Retell does not confirm the end of calls that are past their limits",
            _jobs(parked),
            "look for them in Retell's dashboard; they are asked for every other minute",
        )
    if hanging:
        yield _warning(
            "hanging_calls",
            "calls go on far longer than they may",
            _jobs(hanging),
            "speechctl explain JOB; speechctl hang-up JOB ends one",
        )
    if ambiguous:
        yield _warning(
            "ambiguous_dials",
            "of some dials nobody knows yet whether they became calls",
            _jobs(ambiguous),
            "nothing: they are looked up in Retell's list until that is plain, and never dialled twice",
        )
    if chart.lapsed:
        yield _fault(
            "stuck_jobs",
            "jobs in progress that nobody has taken over",
            f"{chart.lapsed} leases ran out more than 5 minutes ago",
            "a worker must be free to take them over; speechctl release-stuck returns those without a call",
        )


def _settings(chart: Chart) -> Findings:
    worker, call, retell = chart.settings.worker, chart.settings.call, chart.settings.retell
    shortest = retell.timeout_seconds + 2 * call.polling_interval_seconds
    if worker.lease_seconds < 1.5 * shortest:
        yield _warning(
            "short_lease",
            "the lease is hardly longer than a request and two polls: a slow moment loses it",
            f"LEASE_SECONDS={worker.lease_seconds:g}, a request and two polls take up to {shortest:g}",
            "raise LEASE_SECONDS or lower CALL_POLLING_INTERVAL",
        )
    if worker.lease_seconds > _LONG_LEASE_SECONDS:
        yield _warning(
            "long_lease",
            "after a power cut jobs wait for their lease to run out",
            f"LEASE_SECONDS={worker.lease_seconds:g}",
            "a few minutes are enough: it is renewed while a call is followed",
        )
    if call.polling_interval_seconds > _SLOW_POLL_SECONDS:
        yield _warning(
            "slow_polling",
            "a worker hears of a call's end late, and is not free for the next",
            f"CALL_POLLING_INTERVAL={call.polling_interval_seconds:g}",
            "5 to 10 seconds are usual",
        )


def _clocks(chart: Chart) -> Findings:
    if abs(chart.skew_seconds) > _SKEW_SECONDS:
        yield _warning(
            "clock_skew",
            "this host's clock differs from the database's",
            f"{abs(chart.skew_seconds):.1f} s {'ahead' if chart.skew_seconds > 0 else 'behind'}",
            "run a time service (chrony, systemd-timesyncd) on both",
        )
    if chart.retell.date is not None and chart.now is not None:
        apart = abs((chart.now - chart.retell.date) / timedelta(seconds=1))
        if apart > 60:
            yield _warning(
                "clock_skew_retell",
                "the database's clock differs from Retell's: lost dials are looked up, not replayed",
                f"{apart:.0f} s",
                "set the database host's clock",
            )


def _indexes(chart: Chart) -> Findings:
    if chart.missing_indexes:
        yield _warning(
            "missing_indexes",
            "indexes are missing: every claim scans",
            ", ".join(chart.missing_indexes[:_NAMED]),
            "the next start of the daemon makes them",
        )


def _nothing_to_do(chart: Chart) -> Findings:
    if not chart.jobs_waiting and chart.database_fault is None:
        yield _ordered("nothing_waits", "no job waits to be called", "0 pending", "speechctl import FILE")


AILMENTS: Final[tuple[Callable[[Chart], Findings], ...]] = (
    _database,
    _workers,
    _orders,
    _breaker,
    _retell,
    _batches,
    _windows,
    _credit,
    _calls,
    _retries,
    _settings,
    _clocks,
    _indexes,
    _nothing_to_do,
)


def _fault(code: str, cause: str, evidence: str, remedy: str) -> Finding:
    return Finding(code=code, weight=Weight.FAULT, cause=cause, evidence=evidence, remedy=remedy)


def _ordered(code: str, cause: str, evidence: str, remedy: str) -> Finding:
    return Finding(code=code, weight=Weight.ORDERED, cause=cause, evidence=evidence, remedy=remedy)


def _warning(code: str, cause: str, evidence: str, remedy: str) -> Finding:
    return Finding(code=code, weight=Weight.WARNING, cause=cause, evidence=evidence, remedy=remedy)


def _listed(rows: Mapping[str, str]) -> str:
    shown = [f"{name} ({what})" if what else name for name, what in list(rows.items())[:_NAMED]]
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return ", ".join(shown) + more


def _jobs(jobs: list[Job]) -> str:
    return _listed({job.job_id: "" for job in jobs})


def _most(counts: Mapping[tuple[str, str], int]) -> str:
    outcome, reason = max(counts, key=lambda key: counts[key])
    return f"{outcome} ({reason})" if reason not in {"None", outcome} else outcome
