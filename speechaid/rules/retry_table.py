"""What follows each outcome of a dial, as a table; ``retries`` works it out for a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from speechaid.model.states import JobStatus, Outcome, SuspendReason


class RetryCause(StrEnum):
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


class Then(StrEnum):
    """The kinds of things that can follow a dial."""

    FINISH = "finish"
    NEXT_PHONE = "next_phone"
    TRY_AGAIN = "try_again"


class Delay(StrEnum):
    """Which of the policy's waits comes next."""

    NONE = "none"
    RETRY = "retry"
    NO_ANSWER = "no_answer"
    TEMPORARY = "temporary"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row: what follows an outcome."""

    then: Then
    #: Where it finishes or is tried again: what the job becomes, and why.
    status: JobStatus = JobStatus.PENDING
    cause: RetryCause = RetryCause.RETRY
    #: Where it goes to the next phone: the delay once the pass is over; else the delay itself.
    delay: Delay = Delay.NONE
    kills_phone: bool = False
    suspend_reason: SuspendReason | None = None
    cancel_reason: str | None = None


SERVED: Final = Rule(then=Then.FINISH, status=JobStatus.DONE, cause=RetryCause.SERVED)
_UNANSWERED: Final = Rule(then=Then.NEXT_PHONE, delay=Delay.NO_ANSWER)
_FAILED: Final = Rule(then=Then.NEXT_PHONE, delay=Delay.RETRY)
_STOPPED_IN_RETELL: Final = Rule(
    then=Then.FINISH,
    status=JobStatus.SUSPENDED,
    cause=RetryCause.STOPPED_IN_RETELL,
    suspend_reason=SuspendReason.STOPPED_IN_RETELL,
)
STOPPED_BY_OPERATOR: Final = Rule(
    then=Then.FINISH,
    status=JobStatus.CANCELLED,
    cause=RetryCause.STOPPED_BY_OPERATOR,
    cancel_reason="hang_up",
)

RULES: Final[Mapping[Outcome, Rule]] = MappingProxyType(
    {
        Outcome.ANSWERED: SERVED,
        Outcome.CALLBACK_REQUESTED: SERVED,
        Outcome.VOICEMAIL: _UNANSWERED,
        Outcome.NO_ANSWER: _UNANSWERED,
        Outcome.BUSY: _FAILED,
        Outcome.FAILED: _FAILED,
        Outcome.INVALID_NUMBER: Rule(then=Then.NEXT_PHONE, delay=Delay.RETRY, kills_phone=True),
        Outcome.DO_NOT_CALL: Rule(
            then=Then.FINISH,
            status=JobStatus.CANCELLED,
            cause=RetryCause.DO_NOT_CALL,
            cancel_reason="do_not_call",
            kills_phone=True,
        ),
        Outcome.STOPPED: _STOPPED_IN_RETELL,
        Outcome.TEMPORARY: Rule(then=Then.TRY_AGAIN, cause=RetryCause.TEMPORARY, delay=Delay.TEMPORARY),
        Outcome.NO_CREDIT: Rule(
            then=Then.FINISH,
            status=JobStatus.SUSPENDED,
            cause=RetryCause.NO_CREDIT,
            suspend_reason=SuspendReason.NO_CREDIT,
        ),
        # No delay: the hold that a blocked dial puts on the API key paces it, and a host with a good key may
        # take the job at once.
        Outcome.BLOCKED: Rule(then=Then.TRY_AGAIN, cause=RetryCause.BLOCKED),
    }
)
