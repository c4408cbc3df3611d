"""``forecast``: a dry run of what the workers would do with the jobs that wait.

Who is called on which number, and from when on, is judged by the worker's own functions; whose turn it is by
its own order. What cannot be known is assumed, and said: each call takes as long as recent ones did, and each
job is looked at for its next dial alone. Only workers of this host are reckoned with.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from speechaid.commands.dry_run import dry_run_context
from speechaid.commands.ids import the_batch
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.preflight import Preflight, evaluate, next_phone, read_holds_only
from speechaid.model.account import Account, Plan
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.states import Priority
from speechaid.rules import fair_share, metering, phones
from speechaid.rules.checks import Reason
from speechaid.rules.eligibility import Evaluation
from speechaid.rules.fair_share import EligibleBatch
from speechaid.rules.phones import Choice
from speechaid.store.holds import FLEET

#: Batches that are looked into, and results from which a call's length is taken, at most.
_MOST_BATCHES: Final = 200
_RECENT_CALLS: Final = 200
#: Ringing and setting up beside the talk, in seconds.
_AROUND_SECONDS: Final = 20.0
#: Jobs named of each reason to skip.
_EXAMPLES: Final = 5
#: Full houses empty by themselves: a matter of waiting, not of being skipped.
_FULL: Final = frozenset({Reason.ACCOUNT_CONCURRENCY, Reason.BATCH_CONCURRENCY})


@dataclass(frozen=True, kw_only=True)
class _Dial:
    """A dial that may be made from a moment on."""

    job: Job
    choice: Choice
    earliest: datetime


@dataclass(kw_only=True)
class _Plan:
    """What the dry run has come to so far."""

    rows: list[Result] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def skip(self, job: Job, reason: str) -> None:
        self.skipped[reason] += 1
        if len(self.examples[reason]) < _EXAMPLES:
            self.examples[reason].append(job.job_id)


def forecast(context: HandlerContext, command: Invocation) -> Result:
    """What would be dialled, when, on which number and at what cost; what not, and why."""
    worker_context, limit = dry_run_context(context), int(command.args["limit"])
    wanted = (
        None if command.args["batch"] is None else the_batch(context.store, command.args["batch"]).batch_id
    )
    waiting_jobs = _waiting(context, wanted)
    world = _World.read(worker_context, list(waiting_jobs)[:_MOST_BATCHES], limit)
    unheld = _lift_hold(world) or bool(command.fleet.get("supervisor", {}).get("held"))
    resumed = wanted is not None and _resume(world, wanted)
    plan = _Plan()
    waiting = {batch_id: world.dials(batch_id, plan) for batch_id in world.jobs}
    workers, seconds, cost = _workers(worker_context, command.fleet), *_recent(context)
    _run(world, waiting, plan, workers=workers, call_seconds=seconds, limit=limit)
    looked_at = len(plan.rows) + sum(plan.skipped.values())
    pending = sum(waiting_jobs.values())
    return {
        "at": world.now,
        "batch_id": wanted,
        "as_if_resumed": resumed,
        "as_if_unheld": unheld,
        "dials": plan.rows,
        "skipped": [
            {"reason": reason, "jobs": jobs, "examples": plan.examples[reason]}
            for reason, jobs in plan.skipped.most_common()
        ],
        "pending": pending,
        "beyond": max(0, pending - looked_at),
        "workers": workers,
        "call_seconds": round(seconds, 1),
        "minutes": round(sum(row["minutes"] or 0 for row in plan.rows), 2),
        "credit": round(sum(row["credit"] or 0 for row in plan.rows), 4),
        "retell_cost": None if cost is None else round(cost * len(plan.rows), 4),
    }


@dataclass(kw_only=True)
class _World:
    """Everything that the judgement needs, read once for all jobs."""

    worker_context: WorkerContext
    now: datetime
    seen: Preflight
    batches: dict[str, Batch]
    accounts: dict[str, Account]
    #: Waiting jobs by batch, soonest due first.
    jobs: dict[str | None, list[Job]]
    listed: frozenset[str]
    busy: frozenset[str]

    @classmethod
    def read(cls, worker_context: WorkerContext, names: list[str | None], limit: int) -> _World:
        """Look at the database; bounded by ``limit`` jobs a batch."""
        store = worker_context.store
        jobs = {name: store.diagnostics.pending_of(name, limit) for name in names}
        everyone = [job for found in jobs.values() for job in found]
        batches = {batch.batch_id: batch for batch in store.batches.among([name for name in names if name])}
        payers = sorted({job.account_id for job in everyone if job.account_id is not None})
        accounts = {account.account_id: account for account in store.accounts.among(payers)}
        world = cls(
            worker_context=worker_context,
            now=store.now(),
            seen=read_holds_only(worker_context),
            # Calls in progress will be over: the lanes of the dry run stand for the limits.
            batches={name: replace(batch, open_dials=frozenset()) for name, batch in batches.items()},
            accounts={name: replace(account, reservations=()) for name, account in accounts.items()},
            jobs=jobs,
            listed=frozenset(),
            busy=frozenset(),
        )
        numbers = {number for job in everyone for number in world.numbers(job)}
        world.listed, world.busy = store.do_not_call.listed(numbers), store.diagnostics.busy_numbers(numbers)
        return world

    def country(self, job: Job) -> str | None:
        """For phones in national form, as ``look`` has it."""
        batch, account = self.batches.get(job.batch_id or ""), self.accounts.get(job.account_id or "")
        return phones.country_of(batch, account, self.worker_context.settings.dialling.default_country)

    def numbers(self, job: Job) -> list[str]:
        """The job's phones in E.164."""
        found = (phones.normalise(phone, self.country(job)) for phone in job.contact.phones)
        return [number for number in found if number is not None]

    def look(self, job: Job) -> Preflight:
        """What ``look`` would see for this job, from what was read for all."""
        return replace(
            self.seen,
            batch=self.batches.get(job.batch_id or ""),
            account=self.accounts.get(job.account_id or ""),
            listed=self.listed & set(self.numbers(job)),
            country=self.country(job),
        )

    def judge(self, dial: _Dial, at: datetime) -> Evaluation:
        """Whether this dial may go out at that moment, after those that the plan has by now."""
        return evaluate(self.worker_context, dial.job, dial.choice.number, self.look(dial.job), at=at)

    def dials(self, batch_id: str | None, plan: _Plan) -> list[_Dial]:
        """The dials that a batch's jobs may come to, soonest first; the others are skipped in the plan."""
        dials = []
        for job in self.jobs[batch_id]:
            dial = self.dial(job, plan)
            if dial is not None:
                dials.append(dial)
        return sorted(dials, key=lambda dial: dial.earliest)

    def dial(self, job: Job, plan: _Plan) -> _Dial | None:
        """The job's next dial, or None where it is skipped."""
        seen = self.look(job)
        choice = next_phone(self.worker_context, job, seen)
        if not isinstance(choice, Choice):
            plan.skip(job, f"no phone: {choice.cause}")
        elif choice.number in self.busy:
            plan.skip(job, "number in a live call")
        else:
            due = max(self.now, job.reserved_until or self.now)
            judgement = evaluate(self.worker_context, job, choice.number, seen, at=due)
            if judgement.may_dial or judgement.reason in _FULL:
                return _Dial(job=job, choice=choice, earliest=due)
            if judgement.next_chance is not None:
                return _Dial(job=job, choice=choice, earliest=judgement.next_chance)
            plan.skip(job, str(judgement.reason))
        return None


def _lift_hold(world: _World) -> bool:
    """Judge as if no operator held dialling: who holds it wants to know what lifting it would do."""
    others = [hold for hold in world.seen.holds if hold.scope != FLEET]
    lifted = len(others) < len(world.seen.holds)
    world.seen = replace(world.seen, holds=others)
    return lifted


def _resume(world: _World, batch_id: str) -> bool:
    """Judge one batch as if it were not paused: who asks for it by name wants to know before resuming it."""
    batch = world.batches.get(batch_id)
    if batch is None or batch.is_active:
        return False
    world.batches[batch_id] = replace(batch, is_active=True)
    return True


def _run(
    world: _World,
    waiting: Mapping[str | None, list[_Dial]],
    plan: _Plan,
    *,
    workers: int,
    call_seconds: float,
    limit: int,
) -> None:
    """Let the workers take turns until the bound is reached or nothing waits."""
    lanes = [world.now] * workers
    rooms: dict[str, list[datetime]] = {}
    served: dict[str | None, int] = {}
    queues = {batch_id: dials[::-1] for batch_id, dials in waiting.items() if dials}
    while queues and lanes and len(plan.rows) < limit:
        free = max(lanes[0], min(queue[-1].earliest for queue in queues.values()))
        turn = fair_share.order(_turns(world, queues, free), served)[0]
        queue = queues[turn.batch_id]
        dial = queue.pop()
        served[turn.batch_id] = len(plan.rows)
        room = _room(world, rooms, dial.job)
        starts = max([free, *(places[0] for places in room)])
        judgement = world.judge(dial, starts)
        if judgement.may_dial or judgement.reason in _FULL:
            _place(world, plan, dial, starts)
            over = starts + timedelta(seconds=call_seconds)
            for places in (lanes, *room):
                heapq.heapreplace(places, over)
        elif judgement.reason is Reason.OUTSIDE_WINDOW and judgement.next_chance is not None:
            queue.append(dial)
            _put_off(queue, dial.job.account_id, judgement.next_chance)
        else:
            plan.skip(dial.job, f"{judgement.reason} by then")
        if not queue:
            del queues[turn.batch_id]


def _put_off(queue: list[_Dial], account_id: str | None, until: datetime) -> None:
    """The batch's window, which is that of all its jobs with this account, is closed until then.

    All at once: a window that is short and a batch that is long would be judged a thousand times a day.
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


def _turns(world: _World, queues: Mapping[str | None, list[_Dial]], free: datetime) -> list[EligibleBatch]:
    turns = []
    for batch_id, queue in queues.items():
        if queue[-1].earliest <= free:
            batch = world.batches.get(batch_id or "")
            priority = Priority.NORMAL if batch is None else batch.priority
            turns.append(
                EligibleBatch(batch_id=batch_id, priority=priority, first_due=queue[-1].job.reserved_until)
            )
    return turns


def _room(world: _World, rooms: dict[str, list[datetime]], job: Job) -> list[list[datetime]]:
    """The places that the job's batch and account have for calls at a time, by when each is free."""
    batch, account = world.batches.get(job.batch_id or ""), world.accounts.get(job.account_id or "")
    limits = {
        f"batch {job.batch_id}": batch.call_settings.max_concurrent_calls if batch else None,
        f"account {job.account_id}": account.max_concurrent_calls if account else None,
    }
    return [
        rooms.setdefault(name, [world.now] * limit)
        for name, limit in limits.items()
        if limit is not None and limit > 0
    ]


def _place(world: _World, plan: _Plan, dial: _Dial, starts: datetime) -> None:
    """Put a dial into the plan, and its estimate on the account."""
    job, account = dial.job, world.accounts.get(dial.job.account_id or "")
    held = metering.Reserve(minutes=0.0, credit=0.0)
    if account is not None:
        held = metering.estimate(account, world.worker_context.dialling_defaults())
        world.accounts[account.account_id] = replace(
            account,
            minutes_used=account.minutes_used + held.minutes,
            credit_used=account.credit_used + held.credit,
            calls_today=account.calls_today + 1,
        )
    metered = account is not None and account.plan is not Plan.UNLIMITED
    plan.rows.append(
        {
            "job_id": job.job_id,
            "batch_id": job.batch_id,
            "at": starts,
            "phone": mask_phone(dial.choice.number),
            "phone_index": dial.choice.index,
            "attempt": job.attempts,
            "minutes": held.minutes if metered else None,
            "credit": held.credit if metered else None,
        }
    )


def _waiting(context: HandlerContext, wanted: str | None) -> dict[str | None, int]:
    """Waiting jobs by batch, for one batch or for all that have any."""
    counts = {
        batch_id: sum(by_status.get(status, 0) for status in ("pending", "scheduled"))
        for batch_id, by_status in context.store.jobs.counts_by_batch().items()
    }
    return {name: jobs for name, jobs in counts.items() if jobs and (wanted is None or name == wanted)}


def _workers(worker_context: WorkerContext, fleet: Mapping[str, Any]) -> int:
    """Workers of this host that may claim; as many as the settings say where none is at work."""
    rows = fleet.get("workers", [])
    free = sum(1 for row in rows if row.get("pid") and not row.get("paused") and not row.get("leaving"))
    return free or worker_context.settings.worker.count


def _recent(context: HandlerContext) -> tuple[float, float | None]:
    """How long a call takes and what Retell asks for one, from the latest results."""
    calls = context.store.diagnostics.recent_calls(_RECENT_CALLS)
    if not calls:
        return context.settings.dialling.estimate_minutes * 60 + _AROUND_SECONDS, None
    talked = sum(float(call.get("duration_ms") or 0) for call in calls) / 1000 / len(calls)
    return talked + _AROUND_SECONDS, sum(float(call.get("cost") or 0) for call in calls) / len(calls)
