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

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from speechaid.model.batch import CallSettings
from speechaid.model.states import JobStatus, Outcome, Stopper, SuspendReason
from speechaid.rules.outcomes import bend

_SECONDS_AN_HOUR: Final = 3600.0


class Cause(StrEnum):
    """Why a job moved on as it did, for logs and metrics."""

    SERVED = "served"
    ROTATED = "rotated"
    RETRY = "retry"
    EXHAUSTED = "exhausted"
    ALL_PHONES_DEAD = "all_phones_dead"
    TEMPORARY = "temporary"
    DO_NOT_CALL = "do_not_call"
    NO_CREDIT = "no_credit"
    BLOCKED = "blocked"
    STOPPED_BY_OPERATOR = "stopped_by_operator"
    STOPPED_IN_RETELL = "stopped_in_retell"


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
    cause: Cause
    suspend_reason: SuspendReason | None = None
    cancel_reason: str | None = None
    #: A phone, as the contact lists it, that is dead from now on.
    dead_phone: str | None = None


class _Then(StrEnum):
    """The kinds of things that can follow a dial."""

    FINISH = "finish"
    NEXT_PHONE = "next_phone"
    TRY_AGAIN = "try_again"


class _Delay(StrEnum):
    NONE = "none"
    RETRY = "retry"
    NO_ANSWER = "no_answer"
    TEMPORARY = "temporary"


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """One row: what follows an outcome."""

    then: _Then
    #: Where it finishes or is tried again: what the job becomes, and why.
    status: JobStatus = JobStatus.PENDING
    cause: Cause = Cause.RETRY
    #: Where it goes to the next phone: the delay once the pass is over; else the delay itself.
    delay: _Delay = _Delay.NONE
    kills_phone: bool = False
    suspend_reason: SuspendReason | None = None
    cancel_reason: str | None = None


_SERVED: Final = _Rule(then=_Then.FINISH, status=JobStatus.DONE, cause=Cause.SERVED)
_UNANSWERED: Final = _Rule(then=_Then.NEXT_PHONE, delay=_Delay.NO_ANSWER)
_FAILED: Final = _Rule(then=_Then.NEXT_PHONE, delay=_Delay.RETRY)
_STOPPED_IN_RETELL: Final = _Rule(
    then=_Then.FINISH,
    status=JobStatus.SUSPENDED,
    cause=Cause.STOPPED_IN_RETELL,
    suspend_reason=SuspendReason.STOPPED_IN_RETELL,
)
_STOPPED_BY_OPERATOR: Final = _Rule(
    then=_Then.FINISH,
    status=JobStatus.CANCELLED,
    cause=Cause.STOPPED_BY_OPERATOR,
    cancel_reason="hang_up",
)

RULES: Final[Mapping[Outcome, _Rule]] = MappingProxyType(
    {
        Outcome.ANSWERED: _SERVED,
        Outcome.CALLBACK_REQUESTED: _SERVED,
        Outcome.VOICEMAIL: _UNANSWERED,
        Outcome.NO_ANSWER: _UNANSWERED,
        Outcome.BUSY: _FAILED,
        Outcome.FAILED: _FAILED,
        Outcome.INVALID_NUMBER: _Rule(then=_Then.NEXT_PHONE, delay=_Delay.RETRY, kills_phone=True),
        Outcome.DO_NOT_CALL: _Rule(
            then=_Then.FINISH,
            status=JobStatus.CANCELLED,
            cause=Cause.DO_NOT_CALL,
            cancel_reason="do_not_call",
            kills_phone=True,
        ),
        Outcome.STOPPED: _STOPPED_IN_RETELL,
        Outcome.TEMPORARY: _Rule(then=_Then.TRY_AGAIN, cause=Cause.TEMPORARY, delay=_Delay.TEMPORARY),
        Outcome.NO_CREDIT: _Rule(
            then=_Then.FINISH,
            status=JobStatus.SUSPENDED,
            cause=Cause.NO_CREDIT,
            suspend_reason=SuspendReason.NO_CREDIT,
        ),
        # No delay: the hold that a blocked dial puts on the API key paces it, and a host with a good key may
        # take the job at once.
        Outcome.BLOCKED: _Rule(then=_Then.TRY_AGAIN, cause=Cause.BLOCKED),
    }
)


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
    outcome = bend(outcome, connected=connected, stopped_by=stopped_by)
    rule = _rule(outcome, stopped_by, policy)
    dialled = position.phones[position.index] if 0 <= position.index < len(position.phones) else None
    dead_phone = dialled if rule.kills_phone else None
    if rule.then is _Then.NEXT_PHONE:
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


def skip_rest(position: Position, policy: RetryPolicy) -> NextStep:
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
    if step.cause is Cause.ALL_PHONES_DEAD and position.index == 0:
        # Not one dial was made in this pass.
        return NextStep(
            status=step.status,
            attempts=position.attempts,
            next_phone_index=0,
            delay_seconds=0.0,
            cause=step.cause,
        )
    return step


def is_exhausted(attempts: int, policy: RetryPolicy) -> bool:
    """Whether a job may not be dialled any more because its passes are used up.

    Possible on a pending job where the limit was lowered after its last dial.
    """
    return attempts >= policy.max_attempts


def _rule(outcome: Outcome, stopped_by: Stopper | None, policy: RetryPolicy) -> _Rule:
    if outcome is Outcome.VOICEMAIL and policy.voicemail_counts:
        return _SERVED
    if outcome is Outcome.STOPPED and stopped_by is Stopper.OPERATOR:
        return _STOPPED_BY_OPERATOR
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
            cause=Cause.ROTATED,
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
        cause=Cause.RETRY if goes_on else Cause.EXHAUSTED if dialable else Cause.ALL_PHONES_DEAD,
        dead_phone=dead_phone,
    )


def _seconds(delay: _Delay, policy: RetryPolicy, jitter: float) -> float:
    spread = policy.temporary_max_seconds - policy.temporary_min_seconds
    return {
        _Delay.NONE: 0.0,
        _Delay.RETRY: policy.retry_delay_seconds,
        _Delay.NO_ANSWER: policy.no_answer_delay_seconds,
        _Delay.TEMPORARY: policy.temporary_min_seconds + jitter * spread,
    }[delay]
