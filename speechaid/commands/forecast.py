"""``forecast``: a dry run of what the workers would do with the waiting jobs.

The worker's functions evaluate which number is dialled and when, and select the next batch. Assumptions: each
call takes as long as recent ones did, each job gets one dial, and only this host's workers dial.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from speechaid.commands.dry_run import dry_run_context
from speechaid.commands.ids import resolve_batch_id
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.preflight import Preflight, evaluate, forms_of_person, next_phone, read_holds_only
from speechaid.model.account import Account, Plan
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.reading import number
from speechaid.model.states import Priority
from speechaid.protocol.money import PLACES
from speechaid.protocol.translation import say
from speechaid.rules import fair_share, metering, phones
from speechaid.rules.checks import Reason
from speechaid.rules.eligibility import Evaluation
from speechaid.rules.fair_share import EligibleBatch
from speechaid.rules.phones import Choice
from speechaid.rules.retries import NextStep
from speechaid.rules.retry_table import RetryCause
from speechaid.store.holds import BATCHES, FLEET

#: Upper bounds of the batches that are read, and of the results that give the length of a call.
_MAX_BATCHES: Final = 200
_RECENT_CALLS: Final = 200
#: Set-up and ringing of a call, beside its talk time, in seconds.
_SETUP_SECONDS: Final = 20.0
#: Results of other programs may hold any length.
_LONGEST_CALL_SECONDS: Final = 86_400.0
#: Job ids given for each reason to skip.
_EXAMPLES: Final = 5
#: Limits of calls at a time: a job waits for them, and is not skipped.
_CONCURRENCY: Final = frozenset({Reason.ACCOUNT_CONCURRENCY, Reason.BATCH_CONCURRENCY})


@dataclass(frozen=True, kw_only=True)
class _Dial:
    """A dial that is possible from ``earliest`` on."""

    job: Job
    choice: Choice
    earliest: datetime


@dataclass(kw_only=True)
class _Schedule:
    """The result of the dry run so far."""

    rows: list[Result] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def skip(self, job: Job, reason: str) -> None:
        self.skipped[reason] += 1
        if len(self.examples[reason]) < _EXAMPLES:
            self.examples[reason].append(job.job_id)


def forecast(context: HandlerContext, command: Invocation) -> Result:
    """Which jobs would be dialled, when, on which number and at what cost; which not, and why."""
    worker_context, limit = dry_run_context(context), int(command.args["limit"])
    wanted = resolve_batch_id(context.store, command.args["batch"])
    jobs_by_batch = _waiting(context, wanted)
    inputs = _Inputs.read(worker_context, list(jobs_by_batch)[:_MAX_BATCHES], limit)
    unheld = _lift_hold(inputs) or bool(command.snapshot.get("supervisor", {}).get("held"))
    resumed = wanted is not None and _resume(inputs, wanted)
    schedule = _Schedule()
    waiting = {batch_id: inputs.dials(batch_id, schedule) for batch_id in inputs.jobs}
    workers, seconds, cost = _workers(worker_context, command.snapshot), *_recent(context)
    _run(inputs, waiting, schedule, workers=workers, call_seconds=seconds, limit=limit)
    considered = len(schedule.rows) + sum(schedule.skipped.values())
    pending = sum(jobs_by_batch.values())
    return {
        "at": inputs.now,
        "batch_id": wanted,
        "as_if_resumed": resumed,
        "as_if_unheld": unheld,
        "dials": schedule.rows,
        "skipped": [
            {"reason": reason, "jobs": jobs, "examples": schedule.examples[reason]}
            for reason, jobs in sorted(schedule.skipped.items(), key=lambda row: (-row[1], row[0]))
        ],
        "pending": pending,
        "beyond": max(0, pending - considered),
        "workers": workers,
        "call_seconds": round(seconds, 1),
        "minutes": round(sum(row["minutes"] or 0 for row in schedule.rows), 2),
        "credit": round(sum(row["credit"] or 0 for row in schedule.rows), PLACES),
        "credit_by_currency": _credit_by_currency(schedule.rows),
        "retell_cost": None if cost is None else round(cost * len(schedule.rows), PLACES),
    }


@dataclass(kw_only=True)
class _Inputs:
    """Everything that the evaluation needs, read once for all jobs."""

    worker_context: WorkerContext
    now: datetime
    preflight: Preflight
    batches: dict[str, Batch]
    accounts: dict[str, Account]
    #: Waiting jobs by batch, soonest due first.
    jobs: dict[str | None, list[Job]]
    listed: frozenset[str]
    #: The entries of people on the do-not-call list.
    listed_people: frozenset[str]
    busy: frozenset[str]

    @classmethod
    def read(cls, worker_context: WorkerContext, names: list[str | None], limit: int) -> _Inputs:
        """Read the database, at most ``limit`` jobs of each batch."""
        store = worker_context.store
        jobs = {name: store.diagnostics.pending_of(name, limit) for name in names}
        all_jobs = [job for of_batch in jobs.values() for job in of_batch]
        batches = {batch.batch_id: batch for batch in store.batches.among([name for name in names if name])}
        account_ids = sorted({job.account_id for job in all_jobs if job.account_id is not None})
        accounts = {account.account_id: account for account in store.accounts.among(account_ids)}
        inputs = cls(
            worker_context=worker_context,
            now=store.now(),
            preflight=read_holds_only(worker_context),
            # Calls in progress are left out: the dry run counts its own calls against the limits.
            batches={name: replace(batch, open_dials=frozenset()) for name, batch in batches.items()},
            accounts={name: replace(account, reservations=()) for name, account in accounts.items()},
            jobs=jobs,
            listed=frozenset(),
            listed_people=frozenset(),
            busy=frozenset(),
        )
        numbers = {number for job in all_jobs for number in inputs.numbers(job)}
        inputs.listed = store.do_not_call.listed(numbers)
        people = {form for job in all_jobs for form in forms_of_person(job)}
        inputs.listed_people = store.do_not_call.listed_people(sorted(people))
        inputs.busy = store.diagnostics.busy_numbers(numbers)
        return inputs

    def country(self, job: Job) -> str | None:
        """The country of phones in national form, as in ``preflight``."""
        batch, account = self.batches.get(job.batch_id or ""), self.accounts.get(job.account_id or "")
        return phones.country_of(batch, account, self.worker_context.settings.dialling.default_country)

    def numbers(self, job: Job) -> list[str]:
        """The job's phones in E.164."""
        found = (phones.normalise(phone, self.country(job)) for phone in job.contact.phones)
        return [number for number in found if number is not None]

    def preflight_of(self, job: Job) -> Preflight:
        """The job's preflight, from what was read for all jobs."""
        numbers = frozenset(self.numbers(job))
        is_person_listed = not self.listed_people.isdisjoint(forms_of_person(job))
        return replace(
            self.preflight,
            batch=self.batches.get(job.batch_id or ""),
            account=self.accounts.get(job.account_id or ""),
            listed=numbers if is_person_listed else self.listed & numbers,
            is_person_listed=is_person_listed,
            country=self.country(job),
        )

    def evaluate(self, dial: _Dial, at: datetime) -> Evaluation:
        """Evaluate a dial at a moment, after the dials that are scheduled already."""
        return evaluate(self.worker_context, dial.job, dial.choice.number, self.preflight_of(dial.job), at=at)

    def dials(self, batch_id: str | None, schedule: _Schedule) -> list[_Dial]:
        """The possible dials of a batch's jobs, soonest first; the other jobs are recorded as skipped."""
        dials = []
        for job in self.jobs[batch_id]:
            dial = self.dial(job, schedule)
            if dial is not None:
                dials.append(dial)
        return sorted(dials, key=lambda dial: dial.earliest)

    def dial(self, job: Job, schedule: _Schedule) -> _Dial | None:
        """The job's next dial, or None where the job is skipped."""
        if job.faults:
            schedule.skip(job, Reason.JOB_UNREADABLE)
            return None
        preflight = self.preflight_of(job)
        choice = next_phone(self.worker_context, job, preflight)
        if not isinstance(choice, Choice) and choice.cause is RetryCause.SERVED:
            schedule.skip(job, say("already served"))
        elif not isinstance(choice, Choice):
            schedule.skip(job, _no_phone(choice))
        elif choice.number in self.busy:
            schedule.skip(job, say("number in a live call"))
        else:
            due = max(self.now, job.reserved_until or self.now)
            evaluation = evaluate(self.worker_context, job, choice.number, preflight, at=due)
            if evaluation.may_dial or evaluation.reason in _CONCURRENCY:
                return _Dial(job=job, choice=choice, earliest=due)
            if evaluation.next_eligible_at is not None:
                return _Dial(job=job, choice=choice, earliest=evaluation.next_eligible_at)
            schedule.skip(job, str(evaluation.reason))
        return None


def _lift_hold(inputs: _Inputs) -> bool:
    """Forecast as if no operator held dials, so that an operator sees what ``unhold`` would do."""
    others = [hold for hold in inputs.preflight.holds if hold.scope not in {FLEET, BATCHES}]
    lifted = len(others) < len(inputs.preflight.holds)
    inputs.preflight = replace(inputs.preflight, holds=others)
    return lifted


def _resume(inputs: _Inputs, batch_id: str) -> bool:
    """Forecast as if this batch were not paused, so that an operator sees what resuming it would do."""
    batch = inputs.batches.get(batch_id)
    if batch is None or batch.is_active or batch.cancelled is not None:
        return False
    inputs.batches[batch_id] = replace(batch, is_active=True)
    return True


def _run(
    inputs: _Inputs,
    waiting: Mapping[str | None, list[_Dial]],
    schedule: _Schedule,
    *,
    workers: int,
    call_seconds: float,
    limit: int,
) -> None:
    """Schedule dials until the limit is reached or no dial is left.

    ``lanes`` holds when each worker is free, ``places`` the same for each place of a concurrency limit.
    """
    lanes = [inputs.now] * workers
    places: dict[str, list[datetime]] = {}
    served: dict[str | None, int] = {}
    queues = {batch_id: dials[::-1] for batch_id, dials in waiting.items() if dials}
    while queues and lanes and len(schedule.rows) < limit:
        free = max(lanes[0], min(queue[-1].earliest for queue in queues.values()))
        selected = fair_share.order(_eligible(inputs, queues, free), served)[0]
        queue = queues[selected.batch_id]
        dial = queue.pop()
        served[selected.batch_id] = len(schedule.rows)
        limited = _places(inputs, places, dial.job, workers)
        starts = max([free, *(free_at[0] for free_at in limited)])
        evaluation = inputs.evaluate(dial, starts)
        if evaluation.may_dial or evaluation.reason in _CONCURRENCY:
            _add_dial(inputs, schedule, dial, starts)
            ends = starts + timedelta(seconds=call_seconds)
            for free_at in (lanes, *limited):
                heapq.heapreplace(free_at, ends)
        elif evaluation.reason is Reason.OUTSIDE_WINDOW and evaluation.next_eligible_at is not None:
            queue.append(dial)
            _postpone(queue, dial.job.account_id, evaluation.next_eligible_at)
        else:
            schedule.skip(dial.job, say("{reason} by then", reason=evaluation.reason))
        if not queue:
            del queues[selected.batch_id]


def _postpone(queue: list[_Dial], account_id: str | None, until: datetime) -> None:
    """Postpone all dials of the account in this batch to the next opening of their common window.

    All at once: with a short window and a long batch, each dial would be evaluated again every day.
    """
    queue[:] = sorted(
        (
            replace(dial, earliest=until)
            if dial.job.account_id == account_id and dial.earliest < until
            else dial
            for dial in queue
        ),
        key=lambda dial: dial.earliest,
        reverse=True,
    )


def _eligible(
    inputs: _Inputs, queues: Mapping[str | None, list[_Dial]], free: datetime
) -> list[EligibleBatch]:
    eligible = []
    for batch_id, queue in queues.items():
        if queue[-1].earliest <= free:
            batch = inputs.batches.get(batch_id or "")
            priority = Priority.NORMAL if batch is None else batch.priority
            eligible.append(
                EligibleBatch(batch_id=batch_id, priority=priority, first_due=queue[-1].job.reserved_until)
            )
    return eligible


def _places(
    inputs: _Inputs, places: dict[str, list[datetime]], job: Job, workers: int
) -> list[list[datetime]]:
    """When each place for a call at a time is free, for the limits of the job's batch and of its account.

    A limit that the workers cannot reach limits nothing, and may be any number.
    """
    batch, account = inputs.batches.get(job.batch_id or ""), inputs.accounts.get(job.account_id or "")
    limits = {
        f"batch {job.batch_id}": batch.call_settings.max_concurrent_calls if batch else None,
        f"account {job.account_id}": account.max_concurrent_calls if account else None,
    }
    return [
        places.setdefault(name, [inputs.now] * limit)
        for name, limit in limits.items()
        if limit is not None and 0 < limit < workers
    ]


def _add_dial(inputs: _Inputs, schedule: _Schedule, dial: _Dial, starts: datetime) -> None:
    """Add a dial to the schedule, and its estimated cost to the account."""
    job, account = dial.job, inputs.accounts.get(dial.job.account_id or "")
    reserve = metering.Reserve(minutes=0.0, credit=0.0)
    if account is not None:
        reserve = metering.estimate(account, inputs.worker_context.dialling_defaults())
        inputs.accounts[account.account_id] = replace(
            account,
            minutes_used=account.minutes_used + reserve.minutes,
            credit_used=account.credit_used + reserve.credit,
            calls_today=account.calls_today + 1,
        )
    metered = account is not None and account.plan is not Plan.UNLIMITED
    schedule.rows.append(
        {
            "job_id": job.job_id,
            "batch_id": job.batch_id,
            "at": starts,
            "phone": mask_phone(dial.choice.number),
            "phone_index": dial.choice.index,
            "attempt": job.attempts,
            "minutes": reserve.minutes if metered else None,
            "credit": reserve.credit if metered else None,
            "currency": account.currency if account is not None and metered else None,
        }
    )


def _credit_by_currency(rows: Sequence[Result]) -> list[Result]:
    """The estimated credit of these dials, one sum for each currency."""
    sums: defaultdict[str | None, float] = defaultdict(float)
    for row in rows:
        if row["credit"]:
            sums[row["currency"]] += row["credit"]
    return [
        {"currency": code, "credit": round(sums[code], PLACES)}
        for code in sorted(sums, key=lambda code: code or "")
    ]


def _no_phone(step: NextStep) -> str:
    """Why a job has no phone to dial."""
    if step.cause is RetryCause.ON_DO_NOT_CALL_LIST:
        return say("its phones are on the do-not-call list")
    return say("no phone: {cause}", cause=step.cause)


def _waiting(context: HandlerContext, wanted: str | None) -> dict[str | None, int]:
    """The number of waiting jobs by batch, of one batch or of all that have any."""
    counts = {
        batch_id: sum(by_status.get(status, 0) for status in ("pending", "scheduled"))
        for batch_id, by_status in context.store.jobs.counts_by_batch().items()
    }
    waiting = {name: jobs for name, jobs in counts.items() if jobs and (wanted is None or name == wanted)}
    return dict(sorted(waiting.items(), key=lambda row: (row[0] is not None, str(row[0]))))


def _workers(worker_context: WorkerContext, snapshot: Mapping[str, Any]) -> int:
    """The workers of this host that may claim, or the number in the settings where there is none."""
    rows = snapshot.get("workers", [])
    free = sum(1 for row in rows if row.get("pid") and not row.get("paused") and not row.get("leaving"))
    return free or worker_context.settings.worker.count


def _recent(context: HandlerContext) -> tuple[float, float | None]:
    """The mean length of a call in seconds, and Retell's mean price, from the latest results."""
    calls = context.store.diagnostics.recent_calls(_RECENT_CALLS)
    if not calls:
        return context.settings.dialling.estimate_minutes * 60 + _SETUP_SECONDS, None
    talked = sum(number(call.get("duration_ms")) or 0.0 for call in calls) / 1000 / len(calls)
    talked = min(max(talked, 0.0), _LONGEST_CALL_SECONDS)
    return talked + _SETUP_SECONDS, sum(number(call.get("cost")) or 0.0 for call in calls) / len(calls)
