"""What happens to a job after a dial: rotation, passes, delays. Pure; ``decide`` is the door.

An attempt is one pass through the contact's phones. A failed dial moves on to the next phone at once; the
last phone of the pass ends it, which costs an attempt and a delay. Phones that are dead (not a number, on the
do-not-call list) are left out of a pass, and so is a phone that the contact lists twice.

A call that broke off *after it had connected* does not rotate. It ends the pass where it stands: the attempt
is spent, the next pass begins with the first phone after the retry delay. That keeps three promises at once:
a person who was on the phone a moment ago is not rung again at once on another phone, every pass tries the
phones in order from the first, and attempts stay bounded however often the agent breaks.

Only ``temporary`` and ``blocked`` cost nothing, so only a stream of these can keep a job alive for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from speechaid.model.batch import CallSettings
from speechaid.model.states import JobStatus, Outcome, Stopper, SuspendReason
from speechaid.rules.outcomes import reclassify
from speechaid.rules.retry_table import RULES, SERVED, STOPPED_BY_OPERATOR, Delay, RetryCause, Rule, Then

__all__ = [
    "NextStep",
    "Position",
    "RetryCause",
    "RetryPolicy",
    "decide",
    "is_exhausted",
    "no_phone_left",
    "policy_for",
]

_SECONDS_AN_HOUR: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how soon to try again."""

    max_attempts: int
    #: After a pass whose last dial was anything but unanswered.
    retry_delay_seconds: float
    #: After a pass whose last dial was not answered, or reached a machine.
    no_answer_delay_seconds: float
    #: Bounds of the random wait after a temporary fault.
    temporary_min_seconds: float
    temporary_max_seconds: float
    #: Whether a voicemail reached serves the call's purpose.
    voicemail_counts: bool


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a job stands in its phones and passes."""

    #: As the contact lists them.
    phones: tuple[str, ...]
    #: Those of ``phones``, as listed, that are never to be dialled (again); see ``phones.undialable``.
    dead: frozenset[str]
    #: The phone that was dialled.
    index: int
    #: Passes used up before this one.
    attempts: int


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """What to write on the job."""

    status: JobStatus
    attempts: int
    next_phone_index: int
    #: Seconds until the job is due again; 0 is at once.
    delay_seconds: float
    cause: RetryCause
    suspend_reason: SuspendReason | None = None
    cancel_reason: str | None = None
    #: A phone, as the contact lists it, that is dead from now on.
    dead_phone: str | None = None


def policy_for(defaults: RetryPolicy, settings: CallSettings | None) -> RetryPolicy:
    """The policy of a batch: what its ``call_settings`` say, the environment's for the rest."""
    if settings is None:
        return defaults
    hours = settings.retry_delay_hours
    delay = None if hours is None else hours * _SECONDS_AN_HOUR
    counts = settings.voicemail_counts
    return RetryPolicy(
        max_attempts=defaults.max_attempts if settings.max_attempts is None else settings.max_attempts,
        retry_delay_seconds=defaults.retry_delay_seconds if delay is None else delay,
        no_answer_delay_seconds=defaults.no_answer_delay_seconds if delay is None else delay,
        temporary_min_seconds=defaults.temporary_min_seconds,
        temporary_max_seconds=defaults.temporary_max_seconds,
        voicemail_counts=defaults.voicemail_counts if counts is None else counts,
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
    """Say what becomes of the job after a dial.

    Args:
        outcome: what the dial came to.
        position: the phone that was dialled, and the passes before it.
        connected: whether somebody or something had taken the call.
        stopped_by: who of us asked Retell to stop it.
        policy: the batch's.
        jitter: in [0, 1), spreads temporary waits.
    """
    outcome = reclassify(outcome, connected=connected, stopped_by=stopped_by)
    rule = _rule(outcome, stopped_by, policy)
    dialled = position.phones[position.index] if 0 <= position.index < len(position.phones) else None
    dead_phone = dialled if rule.kills_phone else None
    if rule.then is Then.NEXT_PHONE:
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


def no_phone_left(position: Position, policy: RetryPolicy) -> NextStep:
    """What becomes of a job that has no phone to dial from ``position.index`` on, though nothing was dialled.

    Numbers may land on the do-not-call list between two dials. The rest of the pass is left out: the pass is
    over, with the retry delay; where no phone is left at all, the job fails at once.
    """
    step = _next_phone(
        position,
        policy,
        dead_phone=None,
        pass_is_over=True,
        delay_seconds=policy.retry_delay_seconds,
    )
    if step.cause is RetryCause.ALL_PHONES_DEAD and position.index == 0:
        # Not one dial was made in this pass.
        return NextStep(
            status=step.status,
            attempts=position.attempts,
            next_phone_index=0,
            delay_seconds=0.0,
            cause=step.cause,
        )
    return step


def exhausted(attempts: int) -> NextStep:
    """The end of a job whose passes are used up before a dial (``is_exhausted``)."""
    return NextStep(
        status=JobStatus.FAILED,
        attempts=attempts,
        next_phone_index=0,
        delay_seconds=0.0,
        cause=RetryCause.EXHAUSTED,
    )


def is_exhausted(attempts: int, policy: RetryPolicy) -> bool:
    """Whether a job may not be dialled any more because its passes are used up.

    Possible on a pending job where the limit was lowered after its last dial.
    """
    return attempts >= policy.max_attempts


def _rule(outcome: Outcome, stopped_by: Stopper | None, policy: RetryPolicy) -> Rule:
    if outcome is Outcome.VOICEMAIL and policy.voicemail_counts:
        return SERVED
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
    # The limit may have been lowered while the call went on: never count past it, nor back.
    attempts = max(position.attempts, min(position.attempts + 1, policy.max_attempts))
    goes_on = bool(dialable) and not is_exhausted(attempts, policy)
    return NextStep(
        status=JobStatus.PENDING if goes_on else JobStatus.FAILED,
        attempts=attempts,
        next_phone_index=0,
        delay_seconds=delay_seconds if goes_on else 0.0,
        cause=RetryCause.RETRY
        if goes_on
        else RetryCause.EXHAUSTED
        if dialable
        else RetryCause.ALL_PHONES_DEAD,
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
