"""What follows each outcome of a dial, as a table; ``retries`` applies it to a job.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from speechaid.model.states import JobStatus, Outcome, SuspendReason


class RetryCause(StrEnum):
    """Why a job got its next step; stable values for logs and metrics."""

    #: The call was successful: the job is done.
    SERVED = "served"
    #: Next phone of the same attempt, at once.
    ROTATED = "rotated"
    #: The attempt is spent; the next one follows after a delay.
    RETRY = "retry"
    #: The last attempt is spent: the job failed.
    EXHAUSTED = "exhausted"
    ALL_PHONES_DEAD = "all_phones_dead"
    #: No phone is left but those on the do-not-call list: the job is cancelled.
    ON_DO_NOT_CALL_LIST = "on_do_not_call_list"
    TEMPORARY = "temporary"
    DO_NOT_CALL = "do_not_call"
    NO_CREDIT = "no_credit"
    BLOCKED = "blocked"
    #: Retell cannot take this job's request: the job failed.
    REJECTED = "rejected"
    #: An operator's ``hang-up``.
    STOPPED_BY_OPERATOR = "stopped_by_operator"
    #: Another program's call of which Retell knows nothing, also long after any call must be over.
    CALL_UNKNOWN = "call_unknown"
    #: Stopped outside speechaid, in Retell's dashboard or API.
    STOPPED_IN_RETELL = "stopped_in_retell"
    #: Retell's answers about the job's call cannot be read: the job failed, whatever its outcome allows.
    ANSWER_UNREADABLE = "answer_unreadable"


class NextAction(StrEnum):
    """The kinds of steps after a dial."""

    #: Give the job a final status, or suspend it.
    FINISH = "finish"
    #: Dial the next phone, or end the pass after the last one.
    NEXT_PHONE = "next_phone"
    #: Dial the same phone again; nothing is spent.
    TRY_AGAIN = "try_again"


class Delay(StrEnum):
    """Which of the policy's delays applies."""

    NONE = "none"
    RETRY = "retry"
    NO_ANSWER = "no_answer"
    TEMPORARY = "temporary"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row: what follows an outcome."""

    action: NextAction
    #: For ``FINISH`` and ``TRY_AGAIN``: the job's new status, and why.
    status: JobStatus = JobStatus.PENDING
    cause: RetryCause = RetryCause.RETRY
    #: For ``NEXT_PHONE``: the delay after the pass ends; otherwise the delay itself.
    delay: Delay = Delay.NONE
    marks_phone_dead: bool = False
    suspend_reason: SuspendReason | None = None
    cancel_reason: str | None = None


SUCCESS: Final = Rule(action=NextAction.FINISH, status=JobStatus.DONE, cause=RetryCause.SERVED)
_UNANSWERED: Final = Rule(action=NextAction.NEXT_PHONE, delay=Delay.NO_ANSWER)
_FAILED: Final = Rule(action=NextAction.NEXT_PHONE, delay=Delay.RETRY)
_STOPPED_IN_RETELL: Final = Rule(
    action=NextAction.FINISH,
    status=JobStatus.SUSPENDED,
    cause=RetryCause.STOPPED_IN_RETELL,
    suspend_reason=SuspendReason.STOPPED_IN_RETELL,
)
STOPPED_BY_OPERATOR: Final = Rule(
    action=NextAction.FINISH,
    status=JobStatus.CANCELLED,
    cause=RetryCause.STOPPED_BY_OPERATOR,
    cancel_reason="hang_up",
)
#: As after a request not to be called; but an operator's reset revives the job: the list protects anyway.
ALL_LISTED: Final = Rule(
    action=NextAction.FINISH,
    status=JobStatus.CANCELLED,
    cause=RetryCause.ON_DO_NOT_CALL_LIST,
    cancel_reason="on_do_not_call_list",
)

RULES: Final[Mapping[Outcome, Rule]] = MappingProxyType(
    {
        Outcome.ANSWERED: SUCCESS,
        Outcome.CALLBACK_REQUESTED: SUCCESS,
        Outcome.VOICEMAIL: _UNANSWERED,
        Outcome.NO_ANSWER: _UNANSWERED,
        Outcome.BUSY: _FAILED,
        Outcome.FAILED: _FAILED,
        Outcome.INVALID_NUMBER: Rule(action=NextAction.NEXT_PHONE, delay=Delay.RETRY, marks_phone_dead=True),
        Outcome.DO_NOT_CALL: Rule(
            action=NextAction.FINISH,
            status=JobStatus.CANCELLED,
            cause=RetryCause.DO_NOT_CALL,
            cancel_reason="do_not_call",
            marks_phone_dead=True,
        ),
        Outcome.STOPPED: _STOPPED_IN_RETELL,
        Outcome.TEMPORARY: Rule(
            action=NextAction.TRY_AGAIN, cause=RetryCause.TEMPORARY, delay=Delay.TEMPORARY
        ),
        Outcome.NO_CREDIT: Rule(
            action=NextAction.FINISH,
            status=JobStatus.SUSPENDED,
            cause=RetryCause.NO_CREDIT,
            suspend_reason=SuspendReason.NO_CREDIT,
        ),
        # No delay: a blocked dial opens the circuit breaker of the API key, and a host with another key may
        # claim the job at once.
        Outcome.BLOCKED: Rule(action=NextAction.TRY_AGAIN, cause=RetryCause.BLOCKED),
        Outcome.REJECTED: Rule(action=NextAction.FINISH, status=JobStatus.FAILED, cause=RetryCause.REJECTED),
    }
)
