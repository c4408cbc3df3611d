"""The words for where a job, a call and a worker stand; imports nothing of ours.

Arrows between job statuses are data (``ARROWS``): the one door through which a status changes checks them.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class JobStatus(StrEnum):
    """Where a job stands."""

    #: Ready to be claimed, or scheduled where ``reserved_until`` lies ahead.
    PENDING = "pending"
    #: A worker holds it under a lease (``worker_id``, ``reserved_until``).
    IN_PROGRESS = "in_progress"
    #: The call served its purpose.
    DONE = "done"
    #: No more attempts; the end until an operator resets it.
    FAILED = "failed"
    #: No credit, or an operator's word; ``suspend_reason`` says which.
    SUSPENDED = "suspended"
    #: Batch or job called off, or the person asked not to be called.
    CANCELLED = "cancelled"
    #: SpeechAI's word for pending with a time ahead.
    SCHEDULED = "scheduled"


#: Other spellings found in SpeechAI's database.
STATUS_ALIASES: Final = {"completed": JobStatus.DONE}

#: What a job may become, from what. Everything else is a fault of ours.
ARROWS: Final[dict[JobStatus, frozenset[JobStatus]]] = {
    JobStatus.PENDING: frozenset(
        {JobStatus.IN_PROGRESS, JobStatus.SUSPENDED, JobStatus.CANCELLED, JobStatus.FAILED}
    ),
    JobStatus.IN_PROGRESS: frozenset(
        {
            JobStatus.PENDING,
            JobStatus.DONE,
            JobStatus.FAILED,
            JobStatus.SUSPENDED,
            JobStatus.CANCELLED,
        }
    ),
    JobStatus.DONE: frozenset({JobStatus.PENDING}),
    JobStatus.FAILED: frozenset({JobStatus.PENDING, JobStatus.CANCELLED}),
    JobStatus.SUSPENDED: frozenset({JobStatus.PENDING, JobStatus.CANCELLED}),
    JobStatus.CANCELLED: frozenset({JobStatus.PENDING}),
    JobStatus.SCHEDULED: frozenset(
        {JobStatus.PENDING, JobStatus.IN_PROGRESS, JobStatus.SUSPENDED, JobStatus.CANCELLED}
    ),
}

#: Nothing more happens to these by itself.
FINISHED: Final = frozenset({JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED})


class Outcome(StrEnum):
    """What a call's end means for the job (SPEC section 3)."""

    ANSWERED = "answered"
    VOICEMAIL = "voicemail"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    FAILED = "failed"
    INVALID_NUMBER = "invalid_number"
    DO_NOT_CALL = "do_not_call"
    CALLBACK_REQUESTED = "callback_requested"
    STOPPED = "stopped"
    TEMPORARY = "temporary"
    NO_CREDIT = "no_credit"
    BLOCKED = "blocked"


class CallStatus(StrEnum):
    """Retell's ``call_status``."""

    REGISTERED = "registered"
    ONGOING = "ongoing"
    ENDED = "ended"
    NOT_CONNECTED = "not_connected"
    ERROR = "error"


#: A call with one of these is over.
TERMINAL_CALL_STATUSES: Final = frozenset({CallStatus.ENDED, CallStatus.NOT_CONNECTED, CallStatus.ERROR})


class SuspendReason(StrEnum):
    """Why a job is ``suspended``."""

    NO_CREDIT = "no_credit"
    OPERATOR = "operator"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_SUSPENDED = "account_suspended"
    STOPPED_IN_RETELL = "stopped_in_retell"


class Stopper(StrEnum):
    """Who asked Retell to stop a live call."""

    #: The call passed one of our own limits.
    LIMIT = "limit"
    #: An operator's ``hang-up``, or a cancellation of what has a live call.
    OPERATOR = "operator"


class WorkerState(StrEnum):
    """What a worker is about; reported with every beat."""

    STARTING = "starting"
    IDLE = "idle"
    CLAIMING = "claiming"
    DIALLING = "dialling"
    FOLLOWING = "following"
    SETTLING = "settling"
    RECOVERING = "recovering"
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPING = "stopping"


class Priority(IntEnum):
    """A batch's priority, as SpeechAI numbers it."""

    NORMAL = 1
    HIGH = 2
    URGENT = 3
