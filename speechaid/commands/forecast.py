"""``forecast``: a dry run of what the workers would do with the waiting jobs.

The worker's functions evaluate which number is dialled and when, and rank the batches. Assumptions: each call
takes as long as recent ones did, each job gets one dial, and only this host's workers dial.

Every waiting job is read and evaluated once, in portions; of each only what the schedule needs is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from speechaid.commands.dry_run import dry_run_context
from speechaid.commands.forecast_schedule import (
    CONCURRENCY,
    Queue,
    Schedule,
    Skipped,
    WaitingDial,
)
from speechaid.commands.ids import resolve_batch_id
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.compliance.caps import LedgerEntry
from speechaid.compliance.rule_case import PersonUnderRules
from speechaid.dialer.calling_rules import person_of, with_entries
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.preflight import Preflight, evaluate, forms_of_person, next_phone, read_holds_only
from speechaid.model.account import Account, Plan
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.reading import number
from speechaid.model.states import Outcome, Priority
from speechaid.protocol.money import PLACES
from speechaid.protocol.translation import say
from speechaid.rules import metering, phones
from speechaid.rules.checks import Reason, document_check
from speechaid.rules.eligibility import Evaluation
from speechaid.rules.phones import Choice
from speechaid.rules.retries import NextStep
from speechaid.rules.retry_table import RetryCause
from speechaid.store.holds import BATCHES, FLEET
from speechaid.store.packs import PacksInForce

#: Jobs that are evaluated together: their numbers are looked up in one query.
_PORTION: Final = 500
#: Upper bound of the results that give the length of a call.
_RECENT_CALLS: Final = 200
#: Set-up and ringing of a call, beside its talk time, in seconds.
_SETUP_SECONDS: Final = 20.0
#: Results of other programs may hold any length.
_LONGEST_CALL_SECONDS: Final = 86_400.0

#: Jobs of one key that are due in the same minute are evaluated alike: batch, account, reservation, minute.
_Alike = tuple[str | None, str | None, float, datetime]


def forecast(context: HandlerContext, command: Invocation) -> Result:
    """Which jobs would be dialled, when, on which number and at what cost; which not, and why."""
    worker_context, limit = dry_run_context(context), int(command.args["limit"])
    wanted = resolve_batch_id(context.store, command.args["batch"])
    inputs = _Inputs(worker_context, wanted)
    unheld = inputs.lift_hold() or bool(command.snapshot.get("supervisor", {}).get("held"))
    skipped = Skipped()
    queues = inputs.queues_of(context.store.diagnostics.stream_waiting(wanted), skipped)
    workers, seconds, cost = _workers(worker_context, command.snapshot), *_recent(context)
    costs = _Costs(inputs, limit)

    def place(queue: Queue, dial: WaitingDial, at: datetime) -> None:
        costs.add(queue, dial, at)
        inputs.note_placed(dial, at)

    schedule = Schedule(
        queues,
        now=inputs.now,
        workers=workers,
        call_seconds=seconds,
        evaluate=inputs.evaluate_again,
        place=place,
        skipped=skipped,
    )
    schedule.run()
    return {
        "at": inputs.now,
        "batch_id": wanted,
        "as_if_resumed": inputs.is_resumed,
        "as_if_unheld": unheld,
        "dials": costs.rows,
        "skipped": [
            {"reason": reason, "jobs": jobs, "examples": skipped.examples[reason]}
            for reason, jobs in sorted(skipped.jobs.items(), key=lambda row: (-row[1], row[0]))
        ],
        "kept_back": [
            {"rule": rule, "jobs": jobs, "first_at": first}
            for rule, (jobs, first) in sorted(inputs.kept_back.items())
        ],
        "pending": schedule.placed + skipped.jobs.total(),
        "dials_total": schedule.placed,
        "beyond": schedule.placed - len(costs.rows),
        "ends_at": schedule.ends_at,
        "calls_at_once": schedule.calls_at_once,
        "workers": workers,
        "call_seconds": round(seconds, 1),
        "minutes": round(costs.minutes, 2),
        "credit": round(sum(costs.credit.values()), PLACES),
        "credit_by_currency": [
            {"currency": code, "credit": round(costs.credit[code], PLACES)}
            for code in sorted(costs.credit, key=lambda code: code or "")
        ],
        "retell_cost": None if cost is None else round(cost * schedule.placed, PLACES),
    }


class _Inputs:
    """Everything that the evaluation needs; batches and accounts are read when a job first names them."""

    def __init__(self, worker_context: WorkerContext, wanted: str | None) -> None:
        self.worker_context = worker_context
        self.now = worker_context.store.now()
        self.preflight = read_holds_only(worker_context)
        self.is_resumed = False
        self.accounts: dict[str, Account | None] = {}
        self._wanted = wanted
        self._batches: dict[str, Batch | None] = {}
        self._alike: dict[_Alike, Evaluation] = {}
        #: As read when a job first needs them.
        self._in_force: PacksInForce | None = None
        #: Jobs that a rule keeps back, and the first time at which one of them may be called.
        self.kept_back: dict[str, tuple[int, datetime | None]] = {}
        self._kept: set[tuple[str, str]] = set()
        #: The dials that are scheduled already, by ids and lines of their people.
        self._placed: defaultdict[str, list[LedgerEntry]] = defaultdict(list)
        #: Of each queue one job, which stands for the others.
        self._samples: dict[tuple[str | None, str | None], Job] = {}

    def lift_hold(self) -> bool:
        """Forecast as if no operator held dials, so that an operator sees what ``unhold`` would do."""
        others = [hold for hold in self.preflight.holds if hold.scope not in {FLEET, BATCHES}]
        lifted = len(others) < len(self.preflight.holds)
        self.preflight = replace(self.preflight, holds=others)
        return lifted

    def queues_of(self, jobs: Iterator[Job], skipped: Skipped) -> list[Queue]:
        """The possible dials of these jobs, by batch and account; the other jobs are skipped."""
        found: defaultdict[tuple[str | None, str | None], list[WaitingDial]] = defaultdict(list)
        while portion := list(islice(jobs, _PORTION)):
            for job, dial in self._dials(portion, skipped):
                key = (job.batch_id, job.account_id)
                found[key].append(dial)
                self._samples.setdefault(key, job)
        return [self._queue(key, dials) for key, dials in sorted(found.items(), key=lambda row: str(row[0]))]

    def evaluate_again(self, queue: Queue, dial: WaitingDial, at: datetime) -> Evaluation:
        """Evaluate a dial at a moment, after the dials that are scheduled already."""
        sample = self._samples[queue.batch_id, queue.account_id]
        if dial.reserved or metering.reserved_for(sample):
            sample = replace(sample, document={"_id": sample.id, "reserved_amount": dial.reserved})
        preflight = replace(
            self.preflight,
            batch=self._batches.get(queue.batch_id or ""),
            account=self.accounts.get(queue.account_id or ""),
            person=self._with_placed(dial),
        )
        evaluation = evaluate(self.worker_context, sample, dial.number, preflight, at=at)
        self._note_rule(dial.job_id, evaluation)
        return evaluation

    def note_placed(self, dial: WaitingDial, at: datetime) -> None:
        """Count a scheduled dial in the caps of its person: as one that is answered, since it may be."""
        if dial.person is None or not dial.person.has_caps:
            return
        planned = dial.person.planned_dial(dial.number)
        entry = LedgerEntry(
            key=f"{dial.job_id} {at.isoformat()}",
            ids=planned.ids,
            numbers=planned.numbers,
            account=planned.account,
            debt=planned.debt,
            purpose=dial.person.purpose,
            at=at,
            outcome=Outcome.ANSWERED,
        )
        for key in (*planned.ids, *planned.numbers):
            self._placed[key].append(entry)

    def _with_placed(self, dial: WaitingDial) -> PersonUnderRules | None:
        """The person with the dials that are scheduled before this one."""
        if dial.person is None or not self._placed:
            return dial.person
        planned = dial.person.planned_dial(dial.number)
        found = {
            entry.key: entry
            for key in (*planned.ids, *planned.numbers)
            for entry in self._placed.get(key, ())
        }
        return replace(dial.person, entries=(*dial.person.entries, *found.values()))

    def _queue(self, key: tuple[str | None, str | None], dials: list[WaitingDial]) -> Queue:
        batch, account = self._batches.get(key[0] or ""), self.accounts.get(key[1] or "")
        return Queue(
            batch_id=key[0],
            account_id=key[1],
            priority=Priority.NORMAL if batch is None else batch.priority,
            dials=sorted(dials, key=lambda dial: dial.earliest, reverse=True),
            limits={
                f"batch {key[0]}": batch.call_settings.max_concurrent_calls if batch else None,
                f"account {key[1]}": account.max_concurrent_calls if account else None,
            },
            not_before=self.now,
        )

    def _dials(self, jobs: Sequence[Job], skipped: Skipped) -> Iterator[tuple[Job, WaitingDial]]:
        store = self.worker_context.store
        self._read_named(jobs)
        numbers = {number for job in jobs for number in self._numbers(job)}
        listed, busy = store.do_not_call.listed(numbers), store.diagnostics.busy_numbers(numbers)
        people = {form for job in jobs for form in forms_of_person(job)}
        listed_people = store.do_not_call.listed_people(sorted(people))
        under_rules = self._people(jobs)
        for job in jobs:
            is_person_listed = not listed_people.isdisjoint(forms_of_person(job))
            own = frozenset(self._numbers(job)) if is_person_listed or listed else frozenset()
            preflight = replace(
                self.preflight,
                batch=self._batches.get(job.batch_id or ""),
                account=self.accounts.get(job.account_id or ""),
                listed=own if is_person_listed else listed & own,
                is_person_listed=is_person_listed,
                country=self._country(job),
                person=under_rules.get(job.job_id),
            )
            dial = self._dial(job, preflight, busy, skipped)
            if dial is not None:
                yield job, dial

    def _people(self, jobs: Sequence[Job]) -> dict[str, PersonUnderRules]:
        """The people of jobs whose batch names a purpose, under the calling rules; one query for all."""
        store = self.worker_context.store
        if self._in_force is None:
            self._in_force = store.packs.in_force()
        found = {
            job.job_id: person
            for job in jobs
            if (
                person := person_of(
                    store, job, self._batches.get(job.batch_id or ""), self._in_force, self._numbers(job)
                )
            )
            is not None
        }
        people = map(_with_ended_calls, with_entries(store, list(found.values()))) if found else ()
        return dict(zip(found, people, strict=True))

    def _read_named(self, jobs: Iterable[Job]) -> None:
        """Read the batches and accounts of these jobs that were not read before."""
        store = self.worker_context.store
        jobs = list(jobs)
        names = sorted({job.batch_id for job in jobs if job.batch_id} - self._batches.keys())
        self._batches |= dict.fromkeys(names)
        for batch in store.batches.among(names):
            # Calls in progress are left out: the dry run counts its own calls against the limits.
            self._batches[batch.batch_id] = self._as_if_resumed(replace(batch, open_dials=frozenset()))
        ids = sorted({job.account_id for job in jobs if job.account_id} - self.accounts.keys())
        self.accounts |= dict.fromkeys(ids)
        for account in store.accounts.among(ids):
            self.accounts[account.account_id] = replace(account, reservations=())

    def _as_if_resumed(self, batch: Batch) -> Batch:
        """The batch that is asked for as if it were not paused: an operator sees what resuming would do."""
        if batch.batch_id != self._wanted or batch.is_active or batch.cancelled is not None:
            return batch
        self.is_resumed = True
        return replace(batch, is_active=True)

    def _country(self, job: Job) -> str | None:
        """The country of phones in national form, as in ``preflight``."""
        batch, account = self._batches.get(job.batch_id or ""), self.accounts.get(job.account_id or "")
        return phones.country_of(batch, account, self.worker_context.settings.dialling.default_country)

    def _numbers(self, job: Job) -> list[str]:
        """The job's phones in E.164."""
        found = (phones.normalise(phone, self._country(job)) for phone in job.contact.phones)
        return [number for number in found if number is not None]

    def _dial(
        self, job: Job, preflight: Preflight, busy: frozenset[str], skipped: Skipped
    ) -> WaitingDial | None:
        """The job's next dial, or None where the job is skipped."""
        if not document_check(job).passed:
            skipped.add(job.job_id, Reason.JOB_UNREADABLE)
            return None
        choice = next_phone(self.worker_context, job, preflight)
        if not isinstance(choice, Choice):
            is_served = choice.cause is RetryCause.SERVED
            skipped.add(job.job_id, say("already served") if is_served else _no_phone(choice))
            return None
        if choice.number in busy:
            skipped.add(job.job_id, say("number in a live call"))
            return None
        due = max(self.now, job.reserved_until or self.now)
        evaluation = self._evaluate(job, choice.number, preflight, due)
        earliest = due
        self._note_rule(job.job_id, evaluation)
        if not evaluation.may_dial and evaluation.reason not in CONCURRENCY:
            if evaluation.next_eligible_at is None:
                skipped.add(job.job_id, str(evaluation.reason))
                return None
            earliest = max(due, evaluation.next_eligible_at)
        return WaitingDial(
            job_id=job.job_id,
            number=choice.number,
            phone_index=choice.index,
            attempt=job.attempts,
            earliest=earliest,
            due=job.reserved_until,
            reserved=metering.reserved_for(job),
            person=preflight.person,
        )

    def _note_rule(self, job_id: str, evaluation: Evaluation) -> None:
        """Count a job that a rule of a pack keeps back, once for each rule."""
        refusal = evaluation.refusal
        if refusal is None or refusal.rule is None or (job_id, refusal.rule) in self._kept:
            return
        self._kept.add((job_id, refusal.rule))
        jobs, first = self.kept_back.get(refusal.rule, (0, None))
        at = refusal.next_eligible_at
        self.kept_back[refusal.rule] = (jobs + 1, min(filter(None, (first, at)), default=None))

    def _evaluate(self, job: Job, number: str, preflight: Preflight, due: datetime) -> Evaluation:
        """Evaluate when it is due; what differs within a minute is found out when its turn comes."""
        if preflight.person is not None:
            return evaluate(self.worker_context, job, number, preflight, at=due)
        minute = due.replace(second=0, microsecond=0)
        key = (job.batch_id, job.account_id, metering.reserved_for(job), minute)
        found = self._alike.get(key)
        if found is None:
            found = evaluate(self.worker_context, job, number, preflight, at=due)
            self._alike[key] = found
        return found


def _with_ended_calls(person: PersonUnderRules) -> PersonUnderRules:
    """The person as if calls under way were answered: nobody knows when they end otherwise."""
    entries = [
        replace(entry, open=False, outcome=Outcome.ANSWERED) if entry.open else entry
        for entry in person.entries
    ]
    return replace(person, entries=entries)


class _Costs:
    """The dials of the schedule: the first ones in full, of all what they cost."""

    def __init__(self, inputs: _Inputs, limit: int) -> None:
        self._inputs = inputs
        self._limit = limit
        self._defaults = inputs.worker_context.dialling_defaults()
        self.rows: list[Result] = []
        self.minutes = 0.0
        self.credit: defaultdict[str | None, float] = defaultdict(float)

    def add(self, queue: Queue, dial: WaitingDial, starts: datetime) -> None:
        """Add a dial, and its estimated cost to the account."""
        account = self._inputs.accounts.get(queue.account_id or "")
        reserve = metering.Reserve(minutes=0.0, credit=0.0)
        if account is not None:
            reserve = metering.estimate(account, self._defaults)
            day = metering.account_day(account, self._defaults.timezone, starts)
            self._inputs.accounts[account.account_id] = replace(
                account,
                minutes_used=account.minutes_used + reserve.minutes,
                credit_used=account.credit_used + reserve.credit,
                calls_today=metering.calls_today(account, day) + 1,
                calls_today_date=day,
            )
        metered = account is not None and account.plan is not Plan.UNLIMITED
        currency = account.currency if account is not None and metered else None
        self.minutes += reserve.minutes
        if reserve.credit:
            self.credit[currency] += reserve.credit
        if len(self.rows) < self._limit:
            self.rows.append(
                {
                    "job_id": dial.job_id,
                    "batch_id": queue.batch_id,
                    "at": starts,
                    "phone": mask_phone(dial.number),
                    "phone_index": dial.phone_index,
                    "attempt": dial.attempt,
                    "minutes": reserve.minutes if metered else None,
                    "credit": reserve.credit if metered else None,
                    "currency": currency,
                }
            )


def _no_phone(step: NextStep) -> str:
    """Why a job has no phone to dial."""
    if step.cause is RetryCause.ON_DO_NOT_CALL_LIST:
        return say("its phones are on the do-not-call list")
    return say("no phone: {cause}", cause=step.cause)


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
