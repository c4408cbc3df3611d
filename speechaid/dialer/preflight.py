"""The preflight: everything that may forbid a dial, read from the database, and its evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from speechaid.campaign.people import id_key_of
from speechaid.compliance.rule_case import PersonUnderRules
from speechaid.dialer import circuit_breaker
from speechaid.dialer.calling_rules import read_person
from speechaid.dialer.context import BreakerReading, WorkerContext
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.model.test_calls import TESTS
from speechaid.protocol.translation import say
from speechaid.rules import eligibility, phones, retries
from speechaid.rules.eligibility import Evaluation
from speechaid.rules.phones import Choice, PhoneState
from speechaid.rules.retries import NextStep
from speechaid.store.do_not_call import person_forms
from speechaid.store.holds import BATCHES, FLEET, LEVEL, HoldsReading
from speechaid.store.jobs import Candidate
from speechaid.store.packs import NOT_READ, PacksInForce
from speechaid.store.preflight import PreflightDocuments


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What the database said at one moment."""

    #: When reading began, in seconds of boot time.
    read_at: float

    batch: Batch | None
    account: Account | None
    holds: list[Hold]
    #: The job's numbers whose line is on the do-not-call list, in E.164: all where the person is listed.
    listed: frozenset[str]
    #: Of a test call: the numbers that are registered for tests of its account.
    registered: frozenset[str] = frozenset()
    #: Of phones in national form.
    country: str | None
    #: The stored circuit breaker of this host's key.
    breaker_document: Document | None
    #: Whether the job's person is on the do-not-call list, for the job's account or for all.
    is_person_listed: bool = False
    #: The job's numbers in E.164, with that of its open dial.
    numbers: frozenset[str] = frozenset()
    #: The packs in force.
    packs: PacksInForce = NOT_READ
    #: The job's person under the calling rules of the batch's purpose; None: it names none.
    person: PersonUnderRules | None = None


@dataclass(frozen=True, kw_only=True)
class ClaimedJob:
    """A job that this worker has just claimed, and its preflight."""

    job: Job
    preflight: Preflight


def read_claimed_job(
    context: WorkerContext, candidate: Candidate, batch_id: str | None, token: str
) -> ClaimedJob | None:
    """Read a job that has just been claimed, with its preflight; None if the claim is already lost.

    This takes one round trip if the job still has the account, batch and phones under which it was claimed,
    and the default country is right for its phones.

    Raises:
        StoreUnavailable: the job stays claimed until its lease lapses.
    """
    read_at = context.clock.boottime()
    of_test = batch_id == TESTS
    asked_batch = candidate.tested_batch_id if of_test else batch_id
    found = context.store.preflight.read_with_job(
        candidate.id,
        token,
        context.retell.fingerprint,
        account_id=candidate.account_id,
        batch_id=asked_batch,
        numbers=_normalised(candidate.phones, context.settings.dialling.default_country),
        person=person_forms(candidate.account_id, id_key_of(candidate.dni)),
        of_test=of_test,
    )
    if found is None:
        return None
    job, documents = found
    as_claimed = (job.account_id, job.settings_batch_id) == (candidate.account_id, asked_batch)
    if as_claimed and of_test is (job.test is not None):
        preflight = _complete(context, job, read_at, documents)
    else:
        preflight = read_preflight(context, job)
    return ClaimedJob(job=job, preflight=preflight)


def read_preflight(context: WorkerContext, job: Job, *, country: str | None = None) -> Preflight:
    """Read everything that the rules evaluate, in one round trip if ``country`` is right for the phones.

    Args:
        context: the worker's.
        job: names batch, account and phones.
        country: of phones in national form, from an earlier preflight.

    Raises:
        StoreUnavailable: without these data nothing may be dialled.
    """
    default = context.settings.dialling.default_country
    read_at = context.clock.boottime()
    documents = context.store.preflight.read(
        job.id,
        context.retell.fingerprint,
        account_id=job.account_id,
        batch_id=job.settings_batch_id,
        numbers=_numbers(job, country or default),
        person=forms_of_person(job),
        of_test=job.test is not None,
    )
    return _complete(context, job, read_at, documents)


def read_last_preflight(
    context: WorkerContext, job: Job, *, leased_seconds: float, country: str | None = None
) -> Preflight | None:
    """As ``read_preflight``, of a job with an open dial, if this worker may dial it without another write.

    Args:
        context: the worker's.
        job: as claimed.
        leased_seconds: for how long from now the lease must last.
        country: of phones in national form, from an earlier preflight.

    Returns:
        None where the claim is lost, the lease too short, or an operator's request recorded.

    Raises:
        StoreUnavailable: without these data nothing may be dialled.
    """
    read_at = context.clock.boottime()
    documents = context.store.preflight.read_to_dial(
        job,
        context.retell.fingerprint,
        leased_until=context.store.now() + timedelta(seconds=leased_seconds),
        account_id=job.account_id,
        batch_id=job.settings_batch_id,
        numbers=_numbers(job, country or context.settings.dialling.default_country),
        person=forms_of_person(job),
        of_test=job.test is not None,
    )
    return None if documents is None else _complete(context, job, read_at, documents)


def _complete(context: WorkerContext, job: Job, read_at: float, documents: PreflightDocuments) -> Preflight:
    """Look up on the do-not-call list what was not asked: numbers of the batch's country, the person."""
    country = phones.country_of(documents.batch, documents.account, context.settings.dialling.default_country)
    numbers = _numbers(job, country)
    listed = (documents.listed & numbers) | context.store.do_not_call.listed(numbers - documents.asked)
    is_person_listed = documents.is_person_listed
    if not is_person_listed and (further := set(forms_of_person(job)) - documents.asked_person):
        is_person_listed = bool(context.store.do_not_call.listed_people(sorted(further)))
    return Preflight(
        read_at=read_at,
        batch=documents.batch,
        account=documents.account,
        holds=_holds(context, read_at, documents.holds),
        listed=frozenset(numbers) if is_person_listed else listed,
        is_person_listed=is_person_listed,
        registered=documents.registered,
        country=country,
        breaker_document=documents.holds.breaker,
        numbers=frozenset(numbers),
        packs=documents.holds.packs,
        # After the documents: an entry that was announced before a dial's own is seen.
        person=read_person(context.store, job, documents.batch, documents.holds.packs, numbers),
    )


def read_holds_only(context: WorkerContext) -> Preflight:
    """The part of a preflight that is equal for every job: operators' holds and that of this host's key."""
    read_at = context.clock.boottime()
    reading = context.store.holds.read(context.retell.fingerprint)
    return Preflight(
        read_at=read_at,
        batch=None,
        account=None,
        holds=_holds(context, read_at, reading),
        listed=frozenset(),
        country=None,
        breaker_document=reading.breaker,
    )


def forms_of_person(job: Job) -> list[str]:
    """The entries of the do-not-call list that concern the job's person; none without a national id."""
    return person_forms(job.account_id, id_key_of(job.contact.dni))


def _numbers(job: Job, country: str | None) -> set[str]:
    """The job's numbers in E.164, with that of its open dial."""
    numbers = _normalised(job.contact.phones, country)
    return numbers if job.dial is None else numbers | {job.dial.number}


def _normalised(texts: Iterable[str], country: str | None) -> set[str]:
    return {number for text in texts if (number := phones.normalise(text, country))}


def _holds(context: WorkerContext, read_at: float, reading: HoldsReading) -> list[Hold]:
    """What holds dials; the context keeps the breaker as read."""
    context.breaker_reading = BreakerReading(at=read_at, document=reading.breaker)
    holds = circuit_breaker.holds(context, reading.breaker)
    if reading.too_old is not None:
        holds.append(Hold(scope=LEVEL, reason=reading.too_old))
    for scope, hold in ((FLEET, reading.hold), (BATCHES, reading.batches_hold)):
        if hold is not None:
            holds.append(
                Hold(
                    scope=scope,
                    reason=hold.reason or say("held by an operator"),
                    since=hold.at,
                    batches_only=scope == BATCHES,
                )
            )
    return holds


def next_phone(context: WorkerContext, job: Job, preflight: Preflight) -> Choice | NextStep:
    """The phone to dial next; if none is left, or the job was served already, the next step of the job."""
    if job.is_served:
        return retries.already_served(job.attempts, job.contact.next_phone_index)
    policy = context.retry_policy(preflight.batch)
    if retries.is_exhausted(job.attempts, policy):
        return retries.exhausted(job.attempts)
    choice = phones.choose(
        job.contact.phones,
        job.contact.next_phone_index,
        job.dead_phones | preflight.listed,
        preflight.country,
        accept_unassigned=phones.accepts_unassigned(job, preflight.batch),
    )
    if choice is not None:
        return choice
    states = states_of_phones(job, preflight)
    position = retries.Position(
        phones=job.contact.phones,
        dead=frozenset(phone for phone, state in states.items() if state is not PhoneState.DIALLED),
        index=job.contact.next_phone_index,
        attempts=job.attempts,
    )
    return retries.no_phone_left(position, policy, listed=PhoneState.LISTED in states.values())


def states_of_phones(job: Job, preflight: Preflight) -> dict[str, PhoneState]:
    """The state of each phone of the job, as it lists them."""
    return phones.phone_states(
        job.contact.phones,
        dead=job.dead_phones,
        listed=preflight.listed,
        country=preflight.country,
        accept_unassigned=phones.accepts_unassigned(job, preflight.batch),
    )


def evaluate(
    context: WorkerContext, job: Job, number: str, preflight: Preflight, *, at: datetime | None = None
) -> Evaluation:
    """Evaluate whether this number of the job may be dialled now, or at another moment."""
    return eligibility.evaluate(
        job=job,
        number=number,
        batch=preflight.batch,
        account=preflight.account,
        holds=preflight.holds,
        on_dnc=number in preflight.listed,
        is_registered=number in preflight.registered,
        defaults=context.dialling_defaults(),
        own_reservation_key=None if job.dial is None else job.dial.key,
        person=preflight.person,
        now=at or context.store.now(),
    )
