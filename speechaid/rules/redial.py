"""Who of a batch may be called again, in a new one or after a reset. Pure: no I/O, no clock.

The outcomes come from the retry table: those after which a job tries its next phone, and that leave the phone
usable. Whoever was reached, opted out, paid or was cancelled is left out, and so is who waits for a call
already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from speechaid.model.erasure import FORGETTING, of_person
from speechaid.model.job import Job
from speechaid.model.reading import instant
from speechaid.model.states import OUTCOME_CLASSES, JobStatus, Outcome, OutcomeClass
from speechaid.rules.retry_table import RULES, NextAction

#: Outcomes of a last call that reached nobody, and after which another call makes sense.
NOT_REACHED: Final = tuple(
    outcome
    for outcome, rule in RULES.items()
    if rule.action is NextAction.NEXT_PHONE
    and not rule.marks_phone_dead
    and OUTCOME_CLASSES[outcome] is OutcomeClass.NO_SUCCESS
)
#: The statuses of a job that is over without its person having been reached: done by a voicemail that counts.
OVER: Final = (JobStatus.FAILED, JobStatus.DONE)
_WAITS: Final = frozenset(
    {JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.SUSPENDED, JobStatus.IN_PROGRESS}
)
_OPTED_OUT: Final = "do_not_call"
_PAID: Final = "paid"
_ENDED_AT: Final = ("finished_at", "completed_at", "failed_at", "updated_at", "created_at")


class LeftOut(StrEnum):
    """Why a job's person is not called again."""

    OPTED_OUT = "opted_out"
    PAID = "paid"
    CANCELLED = "cancelled"
    REACHED = "reached"
    WAITING = "waiting"
    #: Every phone is dead, or is no number.
    NO_PHONE = "no_phone"
    #: The last call ended with an outcome that was not asked for, or that cannot be asked for.
    OTHER_OUTCOME = "other_outcome"
    #: Nobody knows any more whose job it was.
    ERASED = "erased"


def left_out(
    job: Job, others: Iterable[Job], *, family: Collection[str], is_listed: bool, has_phone: bool
) -> LeftOut | None:
    """Why the person of a job is not called again; None: the person is.

    Args:
        job: of the batch, over, its last call with an outcome of ``NOT_REACHED``.
        others: the other jobs of the same person in the account, those of the new batch apart.
        family: the batch and the batches that called its people again: their jobs count whenever they ended,
            those of other batches if they ended after ``job``.
        is_listed: whether one of the person's phones is on the do-not-call list.
        has_phone: whether a phone is left that may be dialled.
    """
    if is_listed:
        return LeftOut.OPTED_OUT
    ended_at = _ended_at(job)
    reasons = {_own_reason(job), *(_reason(other, family, ended_at) for other in others)}
    found = next((reason for reason in LeftOut if reason in reasons), None)
    return found or (None if has_phone else LeftOut.NO_PHONE)


def left_out_of_batch(job: Job) -> LeftOut:
    """Why the person of a batch's job is not called again whose last call had none of the asked outcomes."""
    gone = _gone(job)
    if gone is not None:
        return gone
    if job.status in _WAITS:
        return LeftOut.WAITING
    if job.status is JobStatus.CANCELLED:
        return LeftOut.CANCELLED
    reached = job.is_served or _was_reached(job, job.document.get("last_outcome"))
    return LeftOut.REACHED if reached else LeftOut.OTHER_OUTCOME


def left_out_of_reset(job: Job, *, is_listed: bool) -> LeftOut | None:
    """Why a job that is over is not started again; None: it may be.

    Args:
        job: over, without a call.
        is_listed: whether the person, or each phone, is on the do-not-call list now.
    """
    return LeftOut.OPTED_OUT if is_listed and _gone(job) is None else _gone(job)


def _gone(job: Job) -> LeftOut | None:
    """Why nobody calls a job's person in this matter again."""
    document = job.document
    if of_person(document) is not None or FORGETTING in document:
        return LeftOut.ERASED
    if _OPTED_OUT in (document.get("cancel_reason"), document.get("last_outcome")):
        return LeftOut.OPTED_OUT
    if document.get("cancel_reason") == _PAID or document.get("paid") is not None:
        return LeftOut.PAID
    return None


def _own_reason(job: Job) -> LeftOut | None:
    if job.document.get("paid") is not None:
        return LeftOut.PAID
    return LeftOut.REACHED if job.is_served else None


def _reason(other: Job, family: Collection[str], ended_at: datetime) -> LeftOut | None:
    document = other.document
    cancel_reason, outcome = document.get("cancel_reason"), document.get("last_outcome")
    if _OPTED_OUT in (cancel_reason, outcome):
        return LeftOut.OPTED_OUT
    if cancel_reason == _PAID or (document.get("paid") is not None and other.batch_id in family):
        return LeftOut.PAID
    if other.status in _WAITS:
        return LeftOut.WAITING
    if other.batch_id not in family and _ended_at(other) <= ended_at:
        return None
    if other.status is JobStatus.CANCELLED:
        return LeftOut.CANCELLED if other.batch_id in family else None
    return LeftOut.REACHED if other.is_served or _was_reached(other, outcome) else None


def _was_reached(job: Job, outcome: object) -> bool:
    """A job of another program that is done says no outcome: its person counts as reached."""
    if outcome in set(Outcome):
        return OUTCOME_CLASSES[Outcome(str(outcome))] is OutcomeClass.SUCCESS
    return job.status is JobStatus.DONE


def _ended_at(job: Job) -> datetime:
    stamps = [instant(job.document.get(name)) for name in _ENDED_AT]
    return next((stamp for stamp in stamps if stamp is not None), datetime.min.replace(tzinfo=UTC))
