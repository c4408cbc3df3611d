"""Checks of a campaign: batches, windows, credit, calls, the jobs themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from speechaid.commands.doctor.facts import (
    COUNTED,
    NAMED,
    DoctorFacts,
    Findings,
    by_jobs,
    fault,
    intended,
    listed,
    warning,
)
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.states import SUCCESSFUL_OUTCOMES, SuspendReason
from speechaid.protocol.text import plural
from speechaid.rules import metering

#: Shares of recent calls and of jobs that are a finding, given at least ``_ENOUGH`` of them.
_ENOUGH: Final = 20
_FEW_ANSWERED: Final = 0.2
_MANY_FAULTS: Final = 0.25
_MANY_RETRIED: Final = 0.5


def batches(facts: DoctorFacts) -> Findings:
    """Batches that are paused or do not exist."""
    named = [name for name in facts.waiting if name is not None]
    orphans = {name: facts.waiting[name] for name in named if name not in facts.batches}
    if orphans and not facts.database_fault:
        yield fault(
            "orphaned_jobs",
            "jobs whose batch does not exist are not called",
            listed(by_jobs(orphans)),
            "create the batch again under its id, or cancel the jobs",
        )
    imported = facts.suspended.get(SuspendReason.NOT_STARTED, 0)
    if imported:
        yield intended(
            "not_started",
            "contacts that were imported into an active batch are not started",
            plural(imported, "job"),
            "speechctl resume-batch BATCH; speechctl imports lists where they came in",
        )
    yield from _paused(facts, [facts.batches[name] for name in named if name in facts.batches])


def _paused(facts: DoctorFacts, batches: list[Batch]) -> Findings:
    """Batches without a recorded pause come first, then those with the most waiting jobs."""
    paused = sorted(
        (batch.batch_id for batch in batches if not batch.is_active),
        key=lambda name: (_is_recorded(facts.batches[name]), -facts.waiting[name], name),
    )
    for name in paused[:NAMED]:
        pause = facts.batches[name].pause or {}
        by = (
            f"by {pause['by']}"
            if pause.get("by")
            else "not by speechctl: is_active was changed in the database"
        )
        reason = f": {pause['reason']}" if pause.get("reason") else ""
        yield intended(
            "batch_paused",
            f"batch {name} is paused",
            f"{by}{reason}; {plural(facts.waiting[name], 'job waits', 'jobs wait')}",
            "speechctl resume-all" if pause.get("all") else f"speechctl resume-batch {name}",
        )
    others = paused[NAMED:]
    if others:
        waiting = sum(facts.waiting[name] for name in others)
        found = f"{len(others)} more, with {plural(waiting, 'waiting job')}"
        yield intended("batches_paused", "more batches are paused", found, "speechctl batches")


def _is_recorded(batch: Batch) -> bool:
    """Whether the batch was paused by a command, and not by another program in the database."""
    return bool((batch.pause or {}).get("by"))


def windows(facts: DoctorFacts) -> Findings:
    """Calling windows: invalid, closed, or missing."""
    for name, sentence in sorted(facts.window_faults.items())[:NAMED]:
        yield fault(
            "window_fault",
            f"the call settings of batch {name} cannot be understood, so it is not called",
            sentence,
            "correct the batch's call_settings",
        )
    closed = {name: at for name, at in facts.opens_at.items() if at is not None}
    if closed and len(closed) == len(facts.opens_at):
        first = min(closed.values())
        yield intended(
            "windows_closed",
            "every batch with waiting jobs is outside its calling window",
            plural(len(closed), "batch", "batches"),
            f"the first opens {first:%Y-%m-%d %H:%M} UTC",
        )
    if facts.without_hours:
        yield warning(
            "no_allowed_hours",
            "batches without allowed_hours are called day and night",
            listed(dict.fromkeys(sorted(facts.without_hours), "")),
            "set their allowed_hours, or SPEECHAID_DEFAULT_ALLOWED_HOURS",
        )


def credit(facts: DoctorFacts) -> Findings:
    """Accounts and their balance."""
    jobs = facts.suspended.get("no_credit", 0)
    if jobs:
        yield fault(
            "no_credit",
            "jobs are suspended because their account has no credit left",
            plural(jobs, "job"),
            "add credit: the jobs resume automatically within a minute",
        )
    unknown = facts.unknown_accounts
    if unknown:
        yield fault(
            "account_unknown",
            "jobs are not called because their account does not exist",
            listed(by_jobs(unknown)),
            "create the account under that account_id: the jobs resume automatically within a minute",
        )
    for _, account in sorted(facts.accounts.items()):
        if account.status != "active":
            yield intended(
                "account_inactive",
                f"account {account.account_id} is {account.status}: its jobs are not called",
                f"status {account.status}",
                f"speechctl resume-account {account.account_id}",
            )
        elif account.plan is not None and not metering.has_balance(account) and not jobs:
            yield fault(
                "balance_used_up",
                f"account {account.account_id} has no balance left beyond what calls in progress reserve",
                f"plan {account.plan}",
                "add credit",
            )


def retries(facts: DoctorFacts) -> Findings:
    """Outcomes of recent calls, and attempts used."""
    calls = sum(facts.outcomes.values())
    if calls >= _ENOUGH:
        good = sum(n for (outcome, _), n in facts.outcomes.items() if outcome in SUCCESSFUL_OUTCOMES)
        bad = {key: n for key, n in facts.outcomes.items() if key[0] == "failed"}
        if good / calls < _FEW_ANSWERED:
            yield warning(
                "few_answered",
                "few calls are answered",
                f"{good} of {calls} in 24 hours; most often {_most_frequent(facts.outcomes)}",
                "check the calling hours, the numbers, and the reputation of the calling number",
            )
        if sum(bad.values()) / calls > _MANY_FAULTS:
            yield warning(
                "many_failed_calls",
                "many calls fail",
                f"{sum(bad.values())} of {calls} in 24 hours; most often {_most_frequent(bad)}",
                "the reason is Retell's: its dashboard shows the details of such a call",
            )
    jobs = sum(facts.tried_again.values())
    again = sum(n for attempts, n in facts.tried_again.items() if attempts > 0)
    if jobs >= _ENOUGH and again / jobs > _MANY_RETRIED:
        yield warning(
            "many_retries",
            "most unfinished jobs have been called without success",
            f"{again} of {jobs} pending or failed jobs have used an attempt or more",
            "speechctl report shows the outcomes by attempt and by hour",
        )


def calls(facts: DoctorFacts) -> Findings:
    """Dials and calls that do not end, and leases that have lapsed."""
    if facts.now is None:
        return
    longest = timedelta(minutes=2 * facts.settings.call.max_duration_minutes)
    parked = [job for job in facts.dials if job.dial and job.dial.parked_at]
    hanging = [
        job
        for job in facts.dials
        if job.dial
        and job.dial.placed_at
        and not job.dial.parked_at
        and facts.now - job.dial.placed_at > longest
    ]
    ambiguous = [
        job
        for job in facts.dials
        if job.dial and job.dial.is_ambiguous and job.dial.next_lookup_at is not None
    ]
    if parked:
        yield fault(
            "parked_calls",
            "Retell does not confirm the end of calls that are past their limits",
            _ids(parked),
            "look for them in Retell's dashboard; they are polled every two minutes",
        )
    if hanging:
        yield warning(
            "hanging_calls",
            "calls last far longer than their limit",
            _ids(hanging),
            "speechctl explain JOB shows one; speechctl hang-up JOB ends it",
        )
    if ambiguous:
        yield warning(
            "ambiguous_dials",
            "it is not yet known whether some dials became calls",
            _ids(ambiguous),
            "nothing to do: they are looked up in Retell's call list, and never dialled twice",
        )
    if facts.lapsed:
        yield fault(
            "stuck_jobs",
            "jobs in progress have lost their worker, and no other has taken them over",
            f"{facts.lapsed} leases ran out more than 5 minutes ago",
            "have a worker free to take them over; speechctl release-stuck requeues those without a call",
        )


def unreadable(facts: DoctorFacts) -> Findings:
    """Documents of other programs whose fields are not where they belong."""
    if facts.unreadable:
        count = len(facts.unreadable)
        yield warning(
            "unreadable_jobs",
            "jobs without a readable phone fail, or have failed, with all_phones_dead and without a call",
            f"{'at least ' if count >= COUNTED else ''}{plural(count, 'job')}: "
            + listed(dict.fromkeys(sorted(facts.unreadable), "")),
            "contact.phones must be a list of texts: correct it in the database and run "
            "speechctl reset-jobs, or run speechctl cancel-job JOB",
        )


def nothing_to_do(facts: DoctorFacts) -> Findings:
    """The empty queue."""
    if not facts.jobs_waiting and facts.database_fault is None:
        yield intended(
            "nothing_waits", "no job is waiting to be called", "0 pending", "speechctl import FILE"
        )


def _ids(jobs: list[Job]) -> str:
    return listed(dict.fromkeys(sorted(job.job_id for job in jobs), ""))


def _most_frequent(counts: Mapping[tuple[str, str], int]) -> str:
    outcome, reason = min(counts, key=lambda key: (-counts[key], key))
    return f"{outcome} ({reason})" if reason not in {"None", outcome} else outcome
