"""The look at everything that may forbid a dial, as the database has it, and the rules' judgement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from speechaid.dialer import circuit_breaker
from speechaid.dialer.context import BreakerReading, WorkerContext
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.rules import eligibility, phones, retries
from speechaid.rules.eligibility import Evaluation
from speechaid.rules.phones import Choice
from speechaid.rules.retries import NextStep
from speechaid.store.holds import FleetHold
from speechaid.store.jobs import Candidate
from speechaid.store.preflight import PreflightDocuments


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What was seen at one moment."""

    #: When reading began, in seconds of boot time.
    read_at: float

    batch: Batch | None
    account: Account | None
    holds: list[Hold]
    #: Those of the job's numbers that are on the do-not-call list, in E.164.
    listed: frozenset[str]
    #: For phones in national form.
    country: str | None
    #: The stored circuit breaker of this host's key.
    breaker_document: Document | None


@dataclass(frozen=True, kw_only=True)
class ClaimedJob:
    """A job that this worker has just claimed, and what was seen with it."""

    job: Job
    preflight: Preflight


def read_claimed_job(
    context: WorkerContext, candidate: Candidate, batch_id: str | None, token: str
) -> ClaimedJob | None:
    """The job of a claim that has just been written, and the look that goes with it.

    None where it is ours no more. One round trip, where the job still has the account and batch by which it
    was claimed and its phones stand there in E.164.

    Raises:
        StoreUnavailable: the job stays claimed until its lease lapses.
    """
    read_at = context.clock.boottime()
    found = context.store.preflight.read_with_job(
        candidate.id, token, context.retell.fingerprint, account_id=candidate.account_id, batch_id=batch_id
    )
    if found is None:
        return None
    job, seen = found
    moved = (job.account_id, job.batch_id) != (candidate.account_id, batch_id)
    return ClaimedJob(
        job=job, preflight=read_preflight(context, job) if moved else _complete(context, job, read_at, seen)
    )


def read_preflight(context: WorkerContext, job: Job, *, country: str | None = None) -> Preflight:
    """Read all that the rules judge, in one round trip where ``country`` is the right one for the phones.

    Args:
        context: the worker's things.
        job: names batch, account and phones.
        country: of the phones in national form, as an earlier look had it.

    Raises:
        StoreUnavailable: what cannot be read cannot be judged; nothing is dialled.
    """
    default = context.settings.dialling.default_country
    read_at = context.clock.boottime()
    seen = context.store.preflight.read(
        job.id,
        context.retell.fingerprint,
        account_id=job.account_id,
        batch_id=job.batch_id,
        numbers=_numbers(job, country or default),
    )
    return _complete(context, job, read_at, seen)


def _complete(context: WorkerContext, job: Job, read_at: float, seen: PreflightDocuments) -> Preflight:
    """What was seen, and those numbers on the do-not-call list that only the batch's country tells."""
    country = phones.country_of(seen.batch, seen.account, context.settings.dialling.default_country)
    not_asked = _numbers(job, country) - seen.asked
    return Preflight(
        read_at=read_at,
        batch=seen.batch,
        account=seen.account,
        holds=_holds(context, read_at, seen.fleet, seen.breaker),
        listed=seen.listed | context.store.do_not_call.listed(not_asked),
        country=country,
        breaker_document=seen.breaker,
    )


def read_holds_only(context: WorkerContext) -> Preflight:
    """The part of a look that is the same for every job: what holds the fleet or this host's key."""
    read_at = context.clock.boottime()
    fleet, breaker_document = context.store.holds.read(context.retell.fingerprint)
    return Preflight(
        read_at=read_at,
        batch=None,
        account=None,
        holds=_holds(context, read_at, fleet, breaker_document),
        listed=frozenset(),
        country=None,
        breaker_document=breaker_document,
    )


def _numbers(job: Job, country: str | None) -> set[str]:
    """The job's numbers in E.164, that of its open dial among them."""
    numbers = {number for phone in job.contact.phones if (number := phones.normalise(phone, country))}
    return numbers if job.dial is None else numbers | {job.dial.number}


def _holds(
    context: WorkerContext, read_at: float, fleet: FleetHold | None, breaker_document: Document | None
) -> list[Hold]:
    """What stops every dial; the breaker is kept in mind as it was seen."""
    context.breaker_reading = BreakerReading(at=read_at, document=breaker_document)
    holds = circuit_breaker.holds(context, breaker_document)
    if fleet is not None:
        holds.append(Hold(scope="fleet", reason=fleet.reason or "held by an operator", since=fleet.at))
    return holds


def next_phone(context: WorkerContext, job: Job, seen: Preflight) -> Choice | NextStep:
    """The phone to dial next; or, where there is none left, what becomes of the job."""
    policy = context.retry_policy(seen.batch)
    if retries.is_exhausted(job.attempts, policy):
        return retries.exhausted(job.attempts)
    dead = phones.undialable(job.contact.phones, job.dead_phones | seen.listed, seen.country)
    choice = phones.choose(job.contact.phones, job.contact.next_phone_index, dead, seen.country)
    if choice is not None:
        return choice
    position = retries.Position(
        phones=job.contact.phones, dead=dead, index=job.contact.next_phone_index, attempts=job.attempts
    )
    return retries.no_phone_left(position, policy)


def evaluate(
    context: WorkerContext, job: Job, number: str, seen: Preflight, *, at: datetime | None = None
) -> Evaluation:
    """Whether this number of the job may be dialled, by what was seen; now, or at another moment."""
    return eligibility.evaluate(
        job=job,
        number=number,
        batch=seen.batch,
        account=seen.account,
        holds=seen.holds,
        on_dnc=number in seen.listed,
        defaults=context.dialling_defaults(),
        own_reservation_key=None if job.dial is None else job.dial.key,
        now=at or context.store.now(),
    )
