"""What keeps jobs from being called: batches, windows, credit, calls, the jobs themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from speechaid.commands.doctor.facts import (
    COUNTED,
    NAMED,
    DoctorFacts,
    Findings,
    fault,
    listed,
    ordered,
    warning,
)
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.protocol.text import plural
from speechaid.rules import metering

#: Shares of recent calls and of jobs that are worth a word, given enough of them.
_ENOUGH: Final = 20
_FEW_ANSWERED: Final = 0.2
_MANY_FAULTS: Final = 0.25
_MANY_RETRIED: Final = 0.5


def batches(chart: DoctorFacts) -> Findings:
    """Batches that are paused, or are not there."""
    named = [name for name in chart.waiting if name is not None]
    orphans = {name: chart.waiting[name] for name in named if name not in chart.batches}
    if orphans and not chart.database_fault:
        yield fault(
            "orphaned_jobs",
            "jobs whose batch does not exist are not called",
            listed({name: plural(jobs, "job") for name, jobs in orphans.items()}),
            "make the batch again under its id, or have the jobs cancelled",
        )
    yield from _paused(chart, [chart.batches[name] for name in named if name in chart.batches])


def _paused(chart: DoctorFacts, batches: list[Batch]) -> Findings:
    """Those that nobody on record paused come first, then those that keep most jobs waiting."""
    paused = sorted(
        (batch.batch_id for batch in batches if not batch.is_active),
        key=lambda name: (_has_owner(chart.batches[name]), -chart.waiting[name], name),
    )
    for name in paused[:NAMED]:
        pause = chart.batches[name].pause or {}
        by = pause.get("by") or "nobody on record: is_active was written in the database"
        why = f": {pause['reason']}" if pause.get("reason") else ""
        yield ordered(
            "batch_paused",
            f"batch {name} is paused",
            f"by {by}{why}; {plural(chart.waiting[name], 'job waits', 'jobs wait')}",
            "speechctl resume-all" if pause.get("all") else f"speechctl resume-batch {name}",
        )
    folded = paused[NAMED:]
    if folded:
        waiting = sum(chart.waiting[name] for name in folded)
        found = f"{len(folded)} more, in which {plural(waiting, 'job waits', 'jobs wait')}"
        yield ordered("batches_paused", "more batches are paused", found, "speechctl batches")


def _has_owner(batch: Batch) -> bool:
    return bool((batch.pause or {}).get("by"))


def windows(chart: DoctorFacts) -> Findings:
    """When batches may be called."""
    for name, sentence in list(chart.window_faults.items())[:NAMED]:
        yield fault(
            "window_fault",
            f"the call settings of batch {name} cannot be understood, so it is not called",
            sentence,
            "correct the batch's call_settings",
        )
    closed = {name: at for name, at in chart.opens_at.items() if at is not None}
    if closed and len(closed) == len(chart.opens_at):
        first = min(closed.values())
        yield ordered(
            "windows_closed",
            "every batch with waiting jobs is outside its calling window",
            plural(len(closed), "batch", "batches"),
            f"the first opens {first:%Y-%m-%d %H:%M} UTC",
        )
    if chart.without_hours:
        yield warning(
            "no_allowed_hours",
            "batches without allowed_hours are called day and night",
            listed(dict.fromkeys(chart.without_hours, "")),
            "give them hours, or set SPEECHAID_DEFAULT_ALLOWED_HOURS",
        )


def credit(chart: DoctorFacts) -> Findings:
    """Who pays."""
    jobs = chart.suspended.get("no_credit", 0)
    if jobs:
        yield fault(
            "no_credit",
            "jobs are suspended because their account has no credit left",
            plural(jobs, "job"),
            "add credit: they return by themselves within a minute",
        )
    unknown = chart.unknown_accounts
    if unknown:
        yield fault(
            "account_unknown",
            "jobs are not called because their account does not exist",
            listed({account_id: plural(count, "job") for account_id, count in unknown.items()}),
            "make the account under that account_id: they return by themselves within a minute",
        )
    for account in chart.accounts.values():
        if account.status != "active":
            yield ordered(
                "account_inactive",
                f"account {account.account_id} is {account.status}: its jobs are not called",
                f"status {account.status}",
                f"speechctl resume-account {account.account_id}",
            )
        elif account.plan is not None and not metering.has_balance(account) and not jobs:
            yield fault(
                "balance_used_up",
                f"account {account.account_id} has no balance left beside what calls in progress hold",
                f"plan {account.plan}",
                "add credit",
            )


def retries(chart: DoctorFacts) -> Findings:
    """What calls come to."""
    calls = sum(chart.outcomes.values())
    if calls >= _ENOUGH:
        good = sum(
            n for (outcome, _), n in chart.outcomes.items() if outcome in {"answered", "callback_requested"}
        )
        bad = {key: n for key, n in chart.outcomes.items() if key[0] == "failed"}
        if good / calls < _FEW_ANSWERED:
            yield warning(
                "few_answered",
                "few calls are answered",
                f"{good} of {calls} in a day; most often {_most(chart.outcomes)}",
                "look at the hours, the numbers and the calling number's reputation",
            )
        if sum(bad.values()) / calls > _MANY_FAULTS:
            yield warning(
                "many_failed_calls",
                "many calls fail",
                f"{sum(bad.values())} of {calls} in a day; most often {_most(bad)}",
                "the reason is Retell's own word: its dashboard shows such a call in full",
            )
    jobs = sum(chart.tried_again.values())
    again = sum(n for attempts, n in chart.tried_again.items() if attempts > 0)
    if jobs >= _ENOUGH and again / jobs > _MANY_RETRIED:
        yield warning(
            "many_retries",
            "most jobs that are not done have been tried in vain",
            f"{again} of {jobs} pending or failed jobs have used up a pass or more",
            "speechctl report shows the outcomes by attempt and by hour",
        )


def calls(chart: DoctorFacts) -> Findings:
    """Dials and calls that do not end."""
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
        yield fault(
            "parked_calls",
            "Retell does not confirm the end of calls that are past their limits",
            _jobs(parked),
            "look for them in Retell's dashboard; they are asked for every other minute",
        )
    if hanging:
        yield warning(
            "hanging_calls",
            "calls go on far longer than they may",
            _jobs(hanging),
            "speechctl explain JOB; speechctl hang-up JOB ends one",
        )
    if ambiguous:
        yield warning(
            "ambiguous_dials",
            "of some dials nobody knows yet whether they became calls",
            _jobs(ambiguous),
            "nothing: they are looked up in Retell's list until that is plain, and never dialled twice",
        )
    if chart.lapsed:
        yield fault(
            "stuck_jobs",
            "jobs in progress that nobody has taken over",
            f"{chart.lapsed} leases ran out more than 5 minutes ago",
            "a worker must be free to take them over; speechctl release-stuck returns those without a call",
        )


def unreadable(chart: DoctorFacts) -> Findings:
    """Documents that others have written, and in which nothing is where it belongs."""
    if chart.unreadable:
        count = len(chart.unreadable)
        yield warning(
            "unreadable_jobs",
            "jobs in which no phone can be read fail, or have failed, as all_phones_dead without a call",
            f"{'at least ' if count >= COUNTED else ''}{plural(count, 'job')}: "
            + listed(dict.fromkeys(chart.unreadable, "")),
            "contact.phones must be a list of texts: mend it in the database and say speechctl reset-jobs, "
            "or speechctl cancel-job JOB",
        )


def nothing_to_do(chart: DoctorFacts) -> Findings:
    """A queue that is empty."""
    if not chart.jobs_waiting and chart.database_fault is None:
        yield ordered("nothing_waits", "no job waits to be called", "0 pending", "speechctl import FILE")


def _jobs(jobs: list[Job]) -> str:
    return listed({job.job_id: "" for job in jobs})


def _most(counts: Mapping[tuple[str, str], int]) -> str:
    outcome, reason = max(counts, key=lambda key: counts[key])
    return f"{outcome} ({reason})" if reason not in {"None", outcome} else outcome
