"""The look at everything that may forbid a dial, as the database has it, and the rules' judgement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from speechaid import breaker
from speechaid.kit import BreakerSeen, Kit
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.rules import eligibility, phones, retries
from speechaid.rules.eligibility import Judgement
from speechaid.rules.phones import Choice
from speechaid.rules.retries import NextStep


@dataclass(frozen=True, kw_only=True)
class Look:
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


def look(kit: Kit, job: Job) -> Look:
    """Read all that the rules judge.

    Raises:
        StoreUnavailable: what cannot be read cannot be judged; nothing is dialled.
    """
    store, whole = kit.store, look_without_job(kit)
    account = None if job.account_id is None else store.accounts.find(job.account_id)
    batch = None if job.batch_id is None else store.batches.find(job.batch_id)
    country = phones.country_of(batch, account, kit.settings.dialling.default_country)
    numbers = {number for phone in job.contact.phones if (number := phones.normalise(phone, country))}
    if job.dial is not None:
        numbers.add(job.dial.number)
    return replace(
        whole,
        batch=batch,
        account=account,
        listed=store.do_not_call.listed(numbers),
        country=country,
    )


def look_without_job(kit: Kit) -> Look:
    """The part of a look that is the same for every job: what holds the fleet or this host's key."""
    read_at = kit.clock.boottime()
    fleet, breaker_document = kit.store.holds.look(kit.retell.fingerprint)
    kit.breaker_seen = BreakerSeen(at=read_at, document=breaker_document)
    holds = breaker.holds(kit, breaker_document)
    if fleet is not None:
        holds.append(Hold(scope="fleet", reason=fleet.reason or "held by an operator", since=fleet.at))
    return Look(
        read_at=read_at,
        batch=None,
        account=None,
        holds=holds,
        listed=frozenset(),
        country=None,
        breaker_document=breaker_document,
    )


def next_phone(kit: Kit, job: Job, seen: Look) -> Choice | NextStep:
    """The phone to dial next; or, where there is none left, what becomes of the job."""
    policy = kit.retry_policy(seen.batch)
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


def judge(kit: Kit, job: Job, number: str, seen: Look, *, at: datetime | None = None) -> Judgement:
    """Whether this number of the job may be dialled, by what was seen; now, or at another moment."""
    return eligibility.judge(
        job=job,
        number=number,
        batch=seen.batch,
        account=seen.account,
        holds=seen.holds,
        on_dnc=number in seen.listed,
        defaults=kit.dialling_defaults(),
        own_reservation_key=None if job.dial is None else job.dial.key,
        now=at or kit.store.now(),
    )
