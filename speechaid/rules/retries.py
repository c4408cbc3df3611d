"""What happens to a job after a dial: phone rotation, attempts, delays; see ``decide``.

Pure: no I/O, no clock.

An attempt is one pass through the contact's phones. A failed dial rotates to the next phone at once; the last
phone ends the pass, which costs an attempt and a delay. Dead phones (not a number, on the do-not-call list)
are skipped, and so is a phone that the contact lists twice.

A call that broke off *after it had connected* does not rotate. It ends the pass: the attempt is spent, and
the next pass begins with the first phone after the retry delay. This gives three guarantees: a person who was
just on the phone is not called again at once on another phone, every pass tries the phones in order from the
first, and attempts stay bounded however often the agent fails.

Only ``temporary`` and ``blocked`` cost nothing, so only a series of these can keep a job pending without
limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from speechaid.model.batch import CallSettings
from speechaid.model.job import Job
from speechaid.model.reading import instant, mapping
from speechaid.model.states import JobStatus, Outcome, Stopper, SuspendReason
from speechaid.rules.outcomes import reclassify
from speechaid.rules.retry_table import (
    ALL_LISTED,
    RULES,
    STOPPED_BY_OPERATOR,
    SUCCESS,
    Delay,
    NextAction,
    RetryCause,
    Rule,
)

__all__ = [
    "NextStep",
    "Position",
    "RetryCause",
    "RetryPolicy",
    "decide",
    "is_exhausted",
    "moved_retry",
    "no_phone_left",
    "policy_for",
]

_SECONDS_PER_HOUR: Final = 3600.0
#: The database keeps times to the millisecond.
_SAME_TIME: Final = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how soon to retry."""

    max_attempts: int
    #: After a pass whose last dial failed for a reason other than no answer or voicemail.
    retry_delay_seconds: float
    #: After a pass whose last dial was not answered, or reached a machine.
    no_answer_delay_seconds: float
    #: Bounds of the random delay after a temporary fault.
    temporary_min_seconds: float
    temporary_max_seconds: float
    #: Whether reaching a voicemail completes the job (``voicemail_counts`` of a batch and of the settings).
    voicemail_is_success: bool


@dataclass(frozen=True, kw_only=True)
class Position:
    """A job's phones and attempts at the time of a dial."""

    #: As the contact lists them.
    phones: tuple[str, ...]
    #: Those of ``phones``, as listed, that must not be dialled; see ``phones.undialable``.
    dead: frozenset[str]
    #: Index of the dialled phone.
    index: int
    #: Attempts spent before this one.
    attempts: int


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """The changes to write to the job."""

    status: JobStatus
    attempts: int
    next_phone_index: int
    #: Seconds until the job is due again; 0: at once.
    delay_seconds: float
    cause: RetryCause
    suspend_reason: SuspendReason | None = None
    cancel_reason: str | None = None
    #: A phone, as the contact lists it, that must not be dialled any more.
    dead_phone: str | None = None


def policy_for(defaults: RetryPolicy, settings: CallSettings | None) -> RetryPolicy:
    """The policy of a batch: its ``call_settings``, with the defaults for what they leave out."""
    if settings is None:
        return defaults
    hours = settings.retry_delay_hours
    delay = None if hours is None else hours * _SECONDS_PER_HOUR
    counts = settings.voicemail_counts
    return RetryPolicy(
        max_attempts=defaults.max_attempts if settings.max_attempts is None else settings.max_attempts,
        retry_delay_seconds=defaults.retry_delay_seconds if delay is None else delay,
        no_answer_delay_seconds=defaults.no_answer_delay_seconds if delay is None else delay,
        temporary_min_seconds=defaults.temporary_min_seconds,
        temporary_max_seconds=defaults.temporary_max_seconds,
        voicemail_is_success=defaults.voicemail_is_success if counts is None else counts,
    )


def decide(
    outcome: Outcome,
    *,
    position: Position,
    connected: bool,
    stopped_by: Stopper | None,
    policy: RetryPolicy,
    jitter: float,
) -> NextStep:
    """Decide what happens to the job after a dial.

    Args:
        outcome: of the dial.
        position: the dialled phone, and the attempts before it.
        connected: whether a person or a machine answered the call.
        stopped_by: who on our side asked Retell to stop the call; None: no stop was requested.
        policy: of the batch.
        jitter: in [0, 1), spreads the delays after temporary faults.
    """
    outcome = reclassify(outcome, connected=connected, stopped_by=stopped_by)
    rule = _rule(outcome, stopped_by, policy)
    dialled = position.phones[position.index] if 0 <= position.index < len(position.phones) else None
    dead_phone = dialled if rule.marks_phone_dead else None
    if rule.action is NextAction.NEXT_PHONE:
        return _next_phone(
            position,
            policy,
            dead_phone=dead_phone,
            pass_is_over=connected and outcome is Outcome.FAILED,
            delay_seconds=_seconds(rule.delay, policy, jitter),
        )
    return NextStep(
        status=rule.status,
        attempts=position.attempts,
        next_phone_index=position.index,
        delay_seconds=_seconds(rule.delay, policy, jitter),
        cause=rule.cause,
        suspend_reason=rule.suspend_reason,
        cancel_reason=rule.cancel_reason,
        dead_phone=dead_phone,
    )


def no_phone_left(position: Position, policy: RetryPolicy, *, listed: bool = False) -> NextStep:
    """The next step of a claimed job that has no phone to dial from ``position.index`` on.

    Numbers can be put on the do-not-call list between two dials. The rest of the pass is skipped, with the
    retry delay; if no phone is left at all, the job ends at once.

    Args:
        position: with the listed phones among the dead ones.
        policy: of the batch.
        listed: whether one of the phones is not dialled only because it is on the do-not-call list.
    """
    step = _next_phone(
        position,
        policy,
        dead_phone=None,
        pass_is_over=True,
        delay_seconds=policy.retry_delay_seconds,
    )
    if step.cause is not RetryCause.ALL_PHONES_DEAD:
        return step
    # Without a dial in this pass no attempt is spent.
    ended = replace(step, attempts=position.attempts) if position.index == 0 else step
    if not listed:
        return ended
    return replace(
        ended, status=ALL_LISTED.status, cause=ALL_LISTED.cause, cancel_reason=ALL_LISTED.cancel_reason
    )


def exhausted(attempts: int) -> NextStep:
    """The end of a job whose attempts are used up before a dial (``is_exhausted``)."""
    return NextStep(
        status=JobStatus.FAILED,
        attempts=attempts,
        next_phone_index=0,
        delay_seconds=0.0,
        cause=RetryCause.EXHAUSTED,
    )


def already_served(attempts: int, next_phone_index: int) -> NextStep:
    """The end of a job that says before a dial that it was served (``Job.is_served``)."""
    return NextStep(
        status=JobStatus.DONE,
        attempts=attempts,
        next_phone_index=next_phone_index,
        delay_seconds=0.0,
        cause=RetryCause.SERVED,
    )


def is_exhausted(attempts: int, policy: RetryPolicy) -> bool:
    """Whether a job may not be dialled any more because its attempts are spent.

    A pending job can be exhausted if the limit was lowered after its last dial.
    """
    return attempts >= policy.max_attempts


def moved_retry(job: Job, before: RetryPolicy, after: RetryPolicy) -> datetime | None:
    """When a job that waits for its next attempt is due under another policy; None: it does not wait for one.

    It waits for one if it is due when ``before`` says, from the end of its last call: after a temporary fault
    or an operator's word it is due at another time, which stays.

    Args:
        job: as read.
        before: the policy under which its last call was settled.
        after: the new policy.
    """
    outcome = job.document.get("last_outcome")
    if job.status is not JobStatus.PENDING or outcome not in set(Outcome):
        return None
    rule = _rule(Outcome(outcome), None, before)
    ended_at = instant(mapping(job.document.get("call_result")).get("timestamp"))
    starts_over = job.attempts > 0 and job.contact.next_phone_index == 0
    if rule.action is not NextAction.NEXT_PHONE or not starts_over or ended_at is None:
        return None
    waits = timedelta(seconds=_seconds(rule.delay, before, 0.0))
    if job.reserved_until is None or abs(job.reserved_until - ended_at - waits) > _SAME_TIME:
        return None
    due = ended_at + timedelta(seconds=_seconds(rule.delay, after, 0.0))
    return None if due == job.reserved_until else due


def _rule(outcome: Outcome, stopped_by: Stopper | None, policy: RetryPolicy) -> Rule:
    if outcome is Outcome.VOICEMAIL and policy.voicemail_is_success:
        return SUCCESS
    if outcome is Outcome.STOPPED and stopped_by is Stopper.OPERATOR:
        return STOPPED_BY_OPERATOR
    return RULES[outcome]


def _next_phone(
    position: Position,
    policy: RetryPolicy,
    *,
    dead_phone: str | None,
    pass_is_over: bool,
    delay_seconds: float,
) -> NextStep:
    dead = position.dead | {dead_phone} if dead_phone is not None else position.dead
    dialable = [
        index
        for index, phone in enumerate(position.phones)
        if phone not in dead and phone not in position.phones[:index]
    ]
    ahead = [index for index in dialable if index > position.index]
    if ahead and not pass_is_over:
        return NextStep(
            status=JobStatus.PENDING,
            attempts=position.attempts,
            next_phone_index=ahead[0],
            delay_seconds=0.0,
            cause=RetryCause.ROTATED,
            dead_phone=dead_phone,
        )
    # The limit may have been lowered during the call: never count beyond it, nor backwards.
    attempts = max(position.attempts, min(position.attempts + 1, policy.max_attempts))
    retries = bool(dialable) and not is_exhausted(attempts, policy)
    if retries:
        cause = RetryCause.RETRY
    elif dialable:
        cause = RetryCause.EXHAUSTED
    else:
        cause = RetryCause.ALL_PHONES_DEAD
    return NextStep(
        status=JobStatus.PENDING if retries else JobStatus.FAILED,
        attempts=attempts,
        next_phone_index=0,
        delay_seconds=delay_seconds if retries else 0.0,
        cause=cause,
        dead_phone=dead_phone,
    )


def _seconds(delay: Delay, policy: RetryPolicy, jitter: float) -> float:
    spread = policy.temporary_max_seconds - policy.temporary_min_seconds
    return {
        Delay.NONE: 0.0,
        Delay.RETRY: policy.retry_delay_seconds,
        Delay.NO_ANSWER: policy.no_answer_delay_seconds,
        Delay.TEMPORARY: policy.temporary_min_seconds + jitter * spread,
    }[delay]
