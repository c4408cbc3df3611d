"""Checks of the host: workers, disks, holds, breaker, Retell, settings, clocks, indexes. Pure.

``CHECKS`` lists all checks of ``doctor`` in the order in which an operator would ask. Each yields no finding,
one or several. The checks of a campaign's jobs are in ``job_checks``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from speechaid.commands.doctor import job_checks
from speechaid.commands.doctor.facts import NAMED, DoctorFacts, Findings, fault, intended, listed, warning
from speechaid.model.masking import mask_phone
from speechaid.monitoring.disks import STATE_DIRECTORY
from speechaid.protocol.translation import joined, say, say_later, say_n
from speechaid.rules import refusals
from speechaid.rules.check_findings import LITTLE_SPACE_MB, SHORT_LEASE, SHORT_LEASE_REMEDY, short_lease
from speechaid.rules.circuit_breaker import FaultKind
from speechaid.rules.repeated_failures import failing_sentences
from speechaid.settings.cleartext import cleartext_warnings
from speechaid.store.jobs import LIVE_NUMBER

#: A clock difference above this is a warning, in seconds.
_SKEW_SECONDS: Final = 2.0
#: Above this, in milliseconds, a ping delays each claim and each poll.
_SLOW_DATABASE_MS: Final = 100.0
_SLOW_RETELL_MS: Final = 3000.0
#: A longer lease delays every recovery by as much, in seconds.
_LONG_LEASE_SECONDS: Final = 3600.0
#: With a longer polling interval a worker notices the end of a call late, in seconds.
_SLOW_POLL_SECONDS: Final = 60.0
#: A daemon that has been up for longer, in seconds, should have workers.
_STARTING_SECONDS: Final = 30.0


#: What to do about the fault that opened the circuit breaker.
_REMEDIES: Final = {
    FaultKind.RATE_LIMITED: say_later(
        "ask Retell for a higher limit, or have fewer workers, if it does not pass"
    ),
    FaultKind.OUTAGE: say_later("check this host's network, RETELL_BASE_URL and Retell's status page"),
    FaultKind.AGENT: say_later(
        "call the agent from Retell's dashboard: its prompt, model, voice or webhook fails"
    ),
    FaultKind.CARRIER: say_later(
        "see a failed call in Retell's dashboard: the calling number's permissions and spam"
        " marks, the allowed countries, and the trunk at the carrier"
    ),
    FaultKind.UNPAID: say_later("add a payment method or credit in Retell's dashboard, or raise the budget"),
    FaultKind.BLOCKED: say_later(
        "correct what Retell reports: the key, the payment, the agent, or the request"
    ),
}


def _database(facts: DoctorFacts) -> Findings:
    if facts.database_fault is not None:
        yield fault(
            "database_away",
            say(
                "the database does not answer: no job is claimed; calls in progress are recorded"
                " once it is back"
            ),
            facts.database_fault,
            say("free space on its disk; it is then restarted automatically")
            if facts.supervisor.get("no_space")
            else say("check that it runs and can be reached from this host; speechaid check shows more"),
        )
    elif facts.database_ms is not None and facts.database_ms > _SLOW_DATABASE_MS:
        yield warning(
            "slow_database",
            say("the database is slow to answer: claims and dials wait for it"),
            say("a ping took {database_ms:.0f} ms", database_ms=facts.database_ms),
            say("check its load, and the network to it"),
        )


def _refused(facts: DoctorFacts) -> Findings:
    if facts.refused:
        yield fault(
            "database_refuses",
            say("the database answers, and refuses part of what is read here: findings about it are missing"),
            joined(
                "; ",
                (say("{step}: {error}", step=step, error=error) for step, error in facts.refused.items()),
            ),
            say(
                "see what the error names: a right that the login lacks, a document, or an ability"
                " of the server"
            ),
        )


def _workers(facts: DoctorFacts) -> Findings:
    supervisor, rows = facts.supervisor, facts.workers
    if not supervisor:
        return
    if reason := supervisor.get("overloaded"):
        yield warning(
            "overloaded",
            say("machine or database are overloaded: calls go on, slower, and no worker is started"),
            reason,
            say("look at the load of this host and of the database; speechctl scale N sets fewer workers"),
        )
    loops = supervisor.get("crash_loops") or []
    if loops:
        yield fault(
            "crash_loop",
            say("workers crash again and again when they start"),
            joined(", ", loops[:NAMED]),
            say(
                "the daemon's log has the reason; speechctl logs and speechctl events show the latest crashes"
            ),
        )
    if supervisor.get("dependency_away"):
        yield fault(
            "workers_cannot_start",
            say("workers cannot start: a service that they need is unavailable"),
            say(
                "{present} of {wanted} workers are running",
                present=supervisor.get("present"),
                wanted=supervisor.get("wanted"),
            ),
            say("the daemon's log names the service; the starts are retried automatically"),
        )
    if supervisor.get("wanted") == 0:
        yield intended(
            "no_workers", say("this host is scaled to 0 workers"), say("0 wanted"), say("speechctl scale N")
        )
    elif not any(row.get("pid") for row in rows) and _is_starting(facts):
        yield warning(
            "workers_starting",
            say("the daemon has just started: its workers are starting"),
            say(
                "up for {up_seconds:.0f} s, 0 of {wanted} workers are running",
                up_seconds=facts.up_seconds,
                wanted=supervisor.get("wanted"),
            ),
            say("wait a moment, then run speechctl doctor again"),
        )
    elif not any(row.get("pid") for row in rows):
        yield fault(
            "no_workers", say("no worker is running"), say("none has started"), say("see the daemon's log")
        )
    elif all(row.get("paused") for row in rows):
        yield intended(
            "all_workers_paused",
            say("every worker of this host is paused"),
            say_n("{count} worker", "{count} workers", len(rows)),
            say("speechctl resume-worker NAME"),
        )


def _failing_steps(facts: DoctorFacts) -> Findings:
    """Steps of workers and of housekeeping that fail each time, whatever the cause."""
    if facts.database_fault is not None:
        return
    sentences = failing_sentences(facts.workers, facts.snapshot.get("failing", {}))
    if sentences:
        more = (
            say("; and {sentences} more", sentences=len(sentences) - NAMED) if len(sentences) > NAMED else ""
        )
        yield fault(
            "failing_steps",
            say("steps of the workers or of housekeeping fail each time: what they do is not done"),
            joined("; ", sentences[:NAMED]) + more,
            say("correct what the error names; the steps are tried again all the time, and need no restart"),
        )


def _is_starting(facts: DoctorFacts) -> bool:
    """Whether the daemon's start explains missing workers; a worker that crashed at its start is a fault."""
    early = facts.up_seconds is not None and facts.up_seconds < _STARTING_SECONDS
    troubled = facts.supervisor.get("crash_loops") or facts.supervisor.get("dependency_away")
    return early and not troubled and not any(row.get("restarts") for row in facts.workers)


def _disks(facts: DoctorFacts) -> Findings:
    if reason := facts.supervisor.get("no_space"):
        yield fault(
            "no_space",
            say(
                "this host places no new calls: the disk of its database is full, or nearly; calls"
                " in progress are followed"
            ),
            reason,
            say("free disk space; calling then resumes automatically"),
        )
    for disk in facts.snapshot.get("disks") or []:
        yield from _disk(disk)


def _disk(disk: Mapping[str, Any]) -> Findings:
    """A disk that is full or nearly; that of the state directory stops no call."""
    text = say("{free_mb} MiB free in {path}", free_mb=disk["free_mb"], path=disk["path"])
    holds_results = disk["of"] != STATE_DIRECTORY
    if not disk["full"]:
        if disk["free_mb"] < LITTLE_SPACE_MB:
            yield warning(
                "disk_filling",
                say("the disk of the {of} is filling up", of=say(disk["of"])),
                text,
                say("free disk space: while the disk is full, no call can be recorded and none is placed")
                if holds_results
                else say(
                    "free disk space: while it is full, a restart loses holds, drains and paused workers"
                ),
            )
    elif holds_results:
        yield fault(
            "disk_full",
            say(
                "the disk of the {of} is full: calls that cannot be recorded are not placed",
                of=say(disk["of"]),
            ),
            text,
            say("free disk space; calling then resumes automatically"),
        )
    else:
        yield warning(
            "disk_full",
            say(
                "the disk of the {of} is full: hold, drain and paused workers may not be saved, and"
                " a restart loses them then; calls go on",
                of=say(disk["of"]),
            ),
            text,
            say("free disk space; what was ordered is then saved by itself"),
        )


def _holds(facts: DoctorFacts) -> Findings:
    not_saved = facts.supervisor.get("orders_not_kept")
    if not_saved is not None:
        yield warning(
            "orders_not_kept",
            say("hold, drain and paused workers of this host could not be saved: a restart will lose them"),
            not_saved,
            say("find out why that file cannot be written; the daemon tries again each second"),
        )
    if facts.supervisor.get("draining"):
        yield intended(
            "draining",
            say("no worker of this host takes a new job"),
            say("drained"),
            say("speechctl undrain"),
        )
    if facts.global_hold is not None:
        yield intended(
            "held", say("every dial on every host is held"), facts.global_hold, say("speechctl unhold")
        )
    elif facts.supervisor.get("held"):
        yield intended(
            "held_here",
            say("every dial of this host is held"),
            say("held on this host only"),
            say("speechctl unhold"),
        )
    if facts.too_old is not None:
        yield fault(
            "too_old",
            say("this daemon is too old for what is in the database: it places no call"),
            facts.too_old,
            say("install the newest version on this host (docs/upgrade.md)"),
        )
    if facts.batches_hold is not None:
        yield intended(
            "batches_held",
            say("a pause-all has not come to its end: every dial of every batch is held on every host"),
            facts.batches_hold,
            say("speechctl pause-all to finish it, or resume-all"),
        )
    if paused := facts.supervisor.get("paused_batches"):
        yield intended(
            "batches_held_here",
            say("batches are paused on this host alone: the database could not record it"),
            joined(", ", (name or say("all batches") for name in paused[:NAMED])),
            say("repeat pause-batch or pause-all, or resume-batch or resume-all"),
        )


def _breaker(facts: DoctorFacts) -> Findings:
    if facts.breaker is None:
        return
    probe = say(", next probe {until:%H:%M:%S} UTC", until=facts.breaker.until) if facts.breaker.until else ""
    yield fault(
        "breaker_open",
        say("dialling with this host's key is held by the circuit breaker"),
        say("{reason}{probe}", reason=facts.breaker.reason.rstrip("."), probe=probe),
        say(
            "{breaker_remedy}; the breaker tries one dial at a time and closes when one succeeds",
            breaker_remedy=_breaker_remedy(facts.breaker_kind, facts.breaker.reason),
        ),
    )


def _breaker_remedy(kind: FaultKind | None, reason: str) -> str:
    """What to do, from Retell's words where they are known, else from the kind of fault."""
    if kind is FaultKind.BLOCKED and (wording := refusals.wording_of(reason)) is not None and wording.remedy:
        return wording.remedy
    return (
        _REMEDIES.get(kind, say("correct what Retell reports"))
        if kind
        else say("correct what Retell reports")
    )


def _retell(facts: DoctorFacts) -> Findings:
    retell = facts.retell
    if retell.refused is not None:
        yield fault(
            "wrong_key",
            say("Retell refuses this host's key"),
            retell.refused,
            say("correct RETELL_API_KEY and restart the daemon; no job loses an attempt meanwhile"),
        )
    elif retell.unreachable is not None:
        yield fault(
            "retell_unreachable",
            say("Retell cannot be reached"),
            retell.unreachable,
            say(
                "check this host's network and RETELL_BASE_URL; calls in progress are followed once"
                " it answers"
            ),
        )
    elif retell.milliseconds is not None and retell.milliseconds > _SLOW_RETELL_MS:
        yield warning(
            "slow_retell",
            say("Retell is slow to answer: each dial and each poll waits for it"),
            say("one request took {milliseconds:.0f} ms", milliseconds=retell.milliseconds),
            say("wait, there is nothing to do on this host; RETELL_TIMEOUT_SECONDS limits each request"),
        )
    if retell.has_agent is False:
        yield fault(
            "unknown_agent",
            say("Retell does not have this host's agent: it refuses every call"),
            f"RETELL_AGENT_ID={facts.settings.retell.agent_id}",
            say("correct it and reload; speechctl agents lists the agents of this key's workspace"),
        )
    if retell.has_number is False:
        yield fault(
            "unknown_number",
            say("Retell does not have this host's calling number: it refuses every call"),
            f"RETELL_FROM_NUMBER={mask_phone(facts.settings.retell.from_number)}",
            say("correct it and reload; speechctl numbers lists the numbers of this key's workspace"),
        )
    if retell.batch_faults:
        yield fault(
            "batch_agent_unknown",
            say("Retell would refuse each call of active batches that have their own agent or number"),
            listed(retell.batch_faults),
            say("edit-batch gives them others; speechctl agents and numbers list those that Retell has"),
        )
    if retell.limit is not None and len(facts.workers) > retell.limit:
        yield warning(
            "concurrency_limit",
            say("there are more workers than Retell allows calls at a time"),
            say_n(
                "{count} worker on this host, {calls} allowed, {in_progress} in progress",
                "{count} workers on this host, {calls} allowed, {in_progress} in progress",
                len(facts.workers),
                calls=say_n("{count} call", "{count} calls", retell.limit),
                in_progress=retell.calls,
            ),
            say("lower the number of workers with speechctl scale, or ask Retell for a higher limit"),
        )


def _settings(facts: DoctorFacts) -> Findings:
    worker, call = facts.settings.worker, facts.settings.call
    if (figures := short_lease(facts.settings)) is not None:
        yield warning("short_lease", SHORT_LEASE, figures, SHORT_LEASE_REMEDY)
    if worker.lease_seconds > _LONG_LEASE_SECONDS:
        yield warning(
            "long_lease",
            say("after a power failure, jobs wait until their lease has run out"),
            f"LEASE_SECONDS={worker.lease_seconds:g}",
            say("lower LEASE_SECONDS to a few minutes: the lease is renewed while a call is followed"),
        )
    if call.polling_interval_seconds > _SLOW_POLL_SECONDS:
        yield warning(
            "slow_polling",
            say("a worker notices the end of a call late, and is not free for the next call until then"),
            f"CALL_POLLING_INTERVAL={call.polling_interval_seconds:g}",
            say("lower CALL_POLLING_INTERVAL: 5 to 10 seconds are usual"),
        )
    webhook = facts.settings.alerts.webhook_url
    for line in cleartext_warnings(
        mongo_uri=facts.settings.database.uri.get_secret_value(),
        retell_url=facts.settings.retell.base_url,
        webhook_url=webhook.get_secret_value() if webhook else "",
    ):
        variable = line.partition(" ")[0]
        yield warning(
            "cleartext",
            say("whoever can listen on the network reads what is sent, and may change it"),
            line,
            say(
                "set {variable} to an address with TLS, or to one of this machine (a tunnel, a proxy)",
                variable=variable,
            ),
        )


def _clocks(facts: DoctorFacts) -> Findings:
    if abs(facts.skew_seconds) > _SKEW_SECONDS:
        yield warning(
            "clock_skew",
            say("this host's clock differs from the database's"),
            say("{skew:.1f} s ahead", skew=facts.skew_seconds)
            if facts.skew_seconds > 0
            else say("{skew:.1f} s behind", skew=-facts.skew_seconds),
            say("synchronise the clocks of both (chrony, systemd-timesyncd)"),
        )
    if facts.retell.date is not None and facts.now is not None:
        apart = abs((facts.now - facts.retell.date) / timedelta(seconds=1))
        if apart > 60:
            yield warning(
                "clock_skew_retell",
                say(
                    "the database's clock differs from Retell's: unanswered dials are looked up, not replayed"
                ),
                say("{apart:.0f} s", apart=apart),
                say("synchronise the clock of the database's host (chrony, systemd-timesyncd)"),
            )


def _indexes(facts: DoctorFacts) -> Findings:
    missing = facts.missing_indexes
    if job_checks.shared_numbers(facts.dials):
        # A restart would not create it either; the finding ``shared_numbers`` says why.
        missing = [name for name in missing if not name.endswith(LIVE_NUMBER)]
    if missing:
        yield warning(
            "missing_indexes",
            say("indexes are missing: every claim reads the whole collection"),
            joined(", ", missing[:NAMED]),
            say("restart the daemon: it creates them"),
        )


CHECKS: Final[tuple[Callable[[DoctorFacts], Findings], ...]] = (
    _disks,
    _database,
    _refused,
    _workers,
    _failing_steps,
    _holds,
    _breaker,
    _retell,
    job_checks.batches,
    job_checks.windows,
    job_checks.credit,
    job_checks.refused_dials,
    job_checks.calls,
    job_checks.unreadable,
    job_checks.served_jobs,
    job_checks.unassigned_numbers,
    job_checks.calling_rules,
    job_checks.late_erasures,
    job_checks.unreadable_documents,
    job_checks.retries,
    _settings,
    _clocks,
    _indexes,
    job_checks.nothing_to_do,
)
