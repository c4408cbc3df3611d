"""What facts of the daemon, the database and Retell mean: cause, evidence and remedy. Pure; one row each.

``AILMENTS`` is the whole of it, in the order in which an operator would ask. A row finds nothing, one thing,
or several. What concerns the jobs of a campaign stands in ``ailments_of_jobs``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from speechaid.commands.doctor import job_checks as of_jobs
from speechaid.commands.doctor.facts import NAMED, DoctorFacts, Findings, fault, ordered, warning
from speechaid.protocol.text import plural
from speechaid.rules.check_findings import LITTLE_SPACE_MB

#: A clock that is off by more than this, in seconds, is worth a word.
_SKEW_SECONDS: Final = 2.0
#: Slower than this, in milliseconds, and each claim and each poll suffer.
_SLOW_DATABASE_MS: Final = 100.0
_SLOW_RETELL_MS: Final = 3000.0
#: An idle fleet notices a free job this late, and a lease longer than this delays every rescue, in seconds.
_LONG_LEASE_SECONDS: Final = 3600.0
_SLOW_POLL_SECONDS: Final = 60.0
#: A daemon that has been up for longer, in seconds, ought to have workers.
_STARTING_SECONDS: Final = 30.0


def _database(chart: DoctorFacts) -> Findings:
    if chart.database_fault is not None:
        yield fault(
            "database_away",
            "the database cannot be asked: nothing is claimed, calls in hand are kept until it is back",
            chart.database_fault,
            "make room on its disk; it is started anew by itself"
            if chart.supervisor.get("no_space")
            else "see that it runs and can be reached from here; speechaid check tells more",
        )
    elif chart.database_ms is not None and chart.database_ms > _SLOW_DATABASE_MS:
        yield warning(
            "slow_database",
            "the database is slow to answer: claims and dials wait for it",
            f"a ping took {chart.database_ms:.0f} ms",
            "look at its load and at the network between",
        )


def _workers(chart: DoctorFacts) -> Findings:
    supervisor, rows = chart.supervisor, chart.workers
    if not supervisor:
        return
    loops = supervisor.get("crash_loops") or []
    if loops:
        yield fault(
            "crash_loop",
            "workers die again and again as they start",
            ", ".join(loops[:NAMED]),
            "the log tells why; speechctl logs and speechctl events show the last ones",
        )
    if supervisor.get("dependency_away"):
        yield fault(
            "workers_cannot_start",
            "workers cannot start: something that they need is away",
            f"{supervisor.get('present')} of {supervisor.get('wanted')} are there",
            "the log says what; they are tried again by themselves",
        )
    if supervisor.get("wanted") == 0:
        yield ordered("no_workers", "no worker is wanted on this host", "scaled to 0", "speechctl scale N")
    elif not any(row.get("pid") for row in rows) and _is_starting(chart):
        yield warning(
            "workers_starting",
            "the daemon has just begun: its workers are being started",
            f"up for {chart.up_seconds:.0f} s, none of {supervisor.get('wanted')} is there yet",
            "wait a moment and ask again",
        )
    elif not any(row.get("pid") for row in rows):
        yield fault("no_workers", "no worker is there", "none has started", "see the log of the daemon")
    elif all(row.get("paused") for row in rows):
        yield ordered(
            "all_workers_paused",
            "every worker of this host is paused",
            plural(len(rows), "worker"),
            "speechctl resume-worker NAME",
        )


def _is_starting(chart: DoctorFacts) -> bool:
    """Whether it is too early to miss a worker; one that died at its start is not."""
    early = chart.up_seconds is not None and chart.up_seconds < _STARTING_SECONDS
    troubled = chart.supervisor.get("crash_loops") or chart.supervisor.get("dependency_away")
    return early and not troubled and not any(row.get("restarts") for row in chart.workers)


def _disks(chart: DoctorFacts) -> Findings:
    if why := chart.supervisor.get("no_space"):
        yield fault(
            "no_space",
            "this host places no call: its database's disk is full, or nearly; calls in hand are followed",
            why,
            "make room; all goes on by itself then",
        )
    for disk in chart.fleet.get("disks") or []:
        text = f"{disk['free_mb']} MiB free in {disk['path']}"
        if disk["full"]:
            yield fault(
                "disk_full",
                f"the disk of the {disk['of']} is full: what cannot be recorded is not dialled",
                text,
                "make room; all goes on by itself then",
            )
        elif disk["free_mb"] < LITTLE_SPACE_MB:
            yield warning(
                "disk_filling",
                f"the disk of the {disk['of']} is filling up",
                text,
                "make room before it is full: then no call can be recorded, and none is placed",
            )


def _orders(chart: DoctorFacts) -> Findings:
    not_kept = chart.supervisor.get("orders_not_kept")
    if not_kept is not None:
        yield warning(
            "orders_not_kept",
            "hold, drain and paused workers of this host stand, but a restart would not know them",
            not_kept,
            "see why that file cannot be written; it is tried each second",
        )
    if chart.supervisor.get("draining"):
        yield ordered("draining", "no worker of this host takes a new job", "drained", "speechctl undrain")
    if chart.fleet_hold is not None:
        yield ordered("held", "every dial on every host is held", chart.fleet_hold, "speechctl unhold")
    elif chart.supervisor.get("held"):
        yield ordered("held_here", "every dial of this host is held", "held here alone", "speechctl unhold")


def _breaker(chart: DoctorFacts) -> Findings:
    if chart.breaker is None:
        return
    probe = f", next probe {chart.breaker.until:%H:%M:%S} UTC" if chart.breaker.until else ""
    yield fault(
        "breaker_open",
        "dialling with this host's key is held by the circuit breaker",
        f"{chart.breaker.reason.rstrip('.')}{probe}",
        "it lets one call through at a time until that proves the fault gone; the reason says whose it is",
    )


def _retell(chart: DoctorFacts) -> Findings:
    facts = chart.retell
    if facts.refused is not None:
        yield fault(
            "wrong_key",
            "Retell refuses this host's key",
            facts.refused,
            "check RETELL_API_KEY, restart; jobs keep their attempts meanwhile",
        )
    elif facts.unreachable is not None:
        yield fault(
            "retell_unreachable",
            "Retell cannot be reached",
            facts.unreachable,
            "check the network of this host and RETELL_BASE_URL; calls going on are followed once it is back",
        )
    elif facts.milliseconds is not None and facts.milliseconds > _SLOW_RETELL_MS:
        yield warning(
            "slow_retell",
            "Retell is slow to answer: each dial and each poll waits for it",
            f"one question took {facts.milliseconds:.0f} ms",
            "nothing to do here but to wait; RETELL_TIMEOUT_SECONDS is the longest that one may take",
        )
    if facts.limit is not None and len(chart.workers) > facts.limit:
        yield warning(
            "concurrency_limit",
            "more workers than Retell allows calls at a time",
            f"{plural(len(chart.workers), 'worker')} here, {plural(facts.limit, 'call')} allowed, "
            f"{facts.calls} going on",
            "speechctl scale, or have Retell raise the limit",
        )


def _settings(chart: DoctorFacts) -> Findings:
    worker, call, retell = chart.settings.worker, chart.settings.call, chart.settings.retell
    shortest = retell.timeout_seconds + 2 * call.polling_interval_seconds
    if worker.lease_seconds < 1.5 * shortest:
        yield warning(
            "short_lease",
            "the lease is hardly longer than a request and two polls: a slow moment loses it",
            f"LEASE_SECONDS={worker.lease_seconds:g}, a request and two polls take up to {shortest:g}",
            "raise LEASE_SECONDS or lower CALL_POLLING_INTERVAL",
        )
    if worker.lease_seconds > _LONG_LEASE_SECONDS:
        yield warning(
            "long_lease",
            "after a power cut jobs wait for their lease to run out",
            f"LEASE_SECONDS={worker.lease_seconds:g}",
            "a few minutes are enough: it is renewed while a call is followed",
        )
    if call.polling_interval_seconds > _SLOW_POLL_SECONDS:
        yield warning(
            "slow_polling",
            "a worker hears of a call's end late, and is not free for the next",
            f"CALL_POLLING_INTERVAL={call.polling_interval_seconds:g}",
            "5 to 10 seconds are usual",
        )


def _clocks(chart: DoctorFacts) -> Findings:
    if abs(chart.skew_seconds) > _SKEW_SECONDS:
        yield warning(
            "clock_skew",
            "this host's clock differs from the database's",
            f"{abs(chart.skew_seconds):.1f} s {'ahead' if chart.skew_seconds > 0 else 'behind'}",
            "run a time service (chrony, systemd-timesyncd) on both",
        )
    if chart.retell.date is not None and chart.now is not None:
        apart = abs((chart.now - chart.retell.date) / timedelta(seconds=1))
        if apart > 60:
            yield warning(
                "clock_skew_retell",
                "the database's clock differs from Retell's: lost dials are looked up, not replayed",
                f"{apart:.0f} s",
                "set the database host's clock",
            )


def _indexes(chart: DoctorFacts) -> Findings:
    if chart.missing_indexes:
        yield warning(
            "missing_indexes",
            "indexes are missing: every claim scans",
            ", ".join(chart.missing_indexes[:NAMED]),
            "the next start of the daemon makes them",
        )


AILMENTS: Final[tuple[Callable[[DoctorFacts], Findings], ...]] = (
    _disks,
    _database,
    _workers,
    _orders,
    _breaker,
    _retell,
    of_jobs.batches,
    of_jobs.windows,
    of_jobs.credit,
    of_jobs.calls,
    of_jobs.unreadable,
    of_jobs.retries,
    _settings,
    _clocks,
    _indexes,
    of_jobs.nothing_to_do,
)
