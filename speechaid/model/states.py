"""Statuses and states of jobs, calls and workers, and the outcomes of calls; imports nothing of speechaid.

The allowed changes of a job's status are data (``ALLOWED_TRANSITIONS``): every status that the store writes
to an existing job passes ``transition``, which checks them. The write's filter names the expected status or
the claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum, IntEnum, StrEnum, auto
from types import MappingProxyType
from typing import Final


class JobStatus(StrEnum):
    """A job's status."""

    #: Ready to be claimed, or scheduled where ``reserved_until`` lies ahead.
    PENDING = "pending"
    #: Claimed by a worker under a lease (``worker_id``, ``reserved_until``).
    IN_PROGRESS = "in_progress"
    #: A call succeeded.
    DONE = "done"
    #: No attempts left; final until an operator resets it.
    FAILED = "failed"
    #: Set aside; ``suspend_reason`` says why.
    SUSPENDED = "suspended"
    #: Batch or job cancelled, or the person asked not to be called.
    CANCELLED = "cancelled"
    #: SpeechAI's name for a pending job with a time in the future.
    SCHEDULED = "scheduled"


#: Other spellings found in SpeechAI's database.
STATUS_ALIASES: Final = {"completed": JobStatus.DONE}

#: The statuses that each status may change to. Any other change is a bug.
ALLOWED_TRANSITIONS: Final[dict[JobStatus, frozenset[JobStatus]]] = {
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

#: Final until an operator resets the job.
FINISHED: Final = frozenset({JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED})


def spellings_of(status: JobStatus) -> list[str]:
    """The status as it may be written in the database: ours, and SpeechAI's."""
    return [str(status), *(alias for alias, meaning in STATUS_ALIASES.items() if meaning is status)]


def counts_by_status(found: Mapping[str, int]) -> dict[str, int]:
    """Counts under our own names of the statuses, in their order; others come last."""
    counts: dict[str, int] = {}
    for status, jobs in found.items():
        name = str(STATUS_ALIASES.get(status, status))
        counts[name] = counts.get(name, 0) + jobs
    places = {str(status): place for place, status in enumerate(JobStatus)}
    return dict(sorted(counts.items(), key=lambda row: (places.get(row[0], len(places)), row[0])))


#: The dates that SpeechAI's reports read, by the status that sets them; every status has a row.
STATUS_DATES: Final[Mapping[JobStatus, tuple[str, ...]]] = MappingProxyType(
    {
        JobStatus.PENDING: (),
        JobStatus.IN_PROGRESS: (),
        JobStatus.DONE: ("completed_at", "finished_at"),
        JobStatus.FAILED: ("failed_at", "finished_at"),
        JobStatus.SUSPENDED: ("suspended_at",),
        JobStatus.CANCELLED: ("finished_at",),
        JobStatus.SCHEDULED: (),
    }
)


def status_dates(status: str, now: datetime) -> dict[str, datetime]:
    """The dates to set with a status, whatever leads to it."""
    return dict.fromkeys(STATUS_DATES[JobStatus(status)], now)


def transition(status: str, *origins: JobStatus) -> JobStatus:
    """Return ``status``, if a job may change to it from each of the origins; it may also stay as it is.

    Raises:
        ValueError: ``ALLOWED_TRANSITIONS`` forbids it, or there is no such status: a bug.
    """
    wanted = JobStatus(status)
    for origin in origins:
        if wanted is not origin and wanted not in ALLOWED_TRANSITIONS[origin]:
            raise ValueError(f"a job cannot change from {origin} to {wanted}")
    return wanted


class Outcome(StrEnum):
    """What a call's end means for the job; ``rules.outcomes`` maps Retell's reasons to these."""

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
    #: Retell cannot take this job's request, whatever is dialled.
    REJECTED = "rejected"


class OutcomeClass(Enum):
    """What an outcome says about the person called."""

    #: The call did what it was placed for.
    SUCCESS = auto()
    #: The dial reached a phone or a number, without success.
    NO_SUCCESS = auto()
    #: No phone rang: free of charge, not counted as a call, and left out of rates.
    NO_CALL = auto()


#: The class of every outcome.
OUTCOME_CLASSES: Final[Mapping[Outcome, OutcomeClass]] = MappingProxyType(
    {
        Outcome.ANSWERED: OutcomeClass.SUCCESS,
        Outcome.VOICEMAIL: OutcomeClass.NO_SUCCESS,
        Outcome.NO_ANSWER: OutcomeClass.NO_SUCCESS,
        Outcome.BUSY: OutcomeClass.NO_SUCCESS,
        Outcome.FAILED: OutcomeClass.NO_SUCCESS,
        Outcome.INVALID_NUMBER: OutcomeClass.NO_SUCCESS,
        Outcome.DO_NOT_CALL: OutcomeClass.NO_SUCCESS,
        Outcome.CALLBACK_REQUESTED: OutcomeClass.SUCCESS,
        Outcome.STOPPED: OutcomeClass.NO_SUCCESS,
        Outcome.TEMPORARY: OutcomeClass.NO_CALL,
        Outcome.NO_CREDIT: OutcomeClass.NO_CALL,
        Outcome.BLOCKED: OutcomeClass.NO_CALL,
        Outcome.REJECTED: OutcomeClass.NO_CALL,
    }
)
SUCCESSFUL_OUTCOMES: Final = frozenset(
    outcome for outcome, group in OUTCOME_CLASSES.items() if group is OutcomeClass.SUCCESS
)
NO_CALL_OUTCOMES: Final = frozenset(
    outcome for outcome, group in OUTCOME_CLASSES.items() if group is OutcomeClass.NO_CALL
)


class AnsweredBy(StrEnum):
    """Who or what answered a call, as far as its outcome tells."""

    PERSON = "person"
    MACHINE = "machine"
    #: Nobody, or it is not known who.
    NOBODY = "nobody"


#: Of every outcome. Retell's later analysis may still call a machine what was taken for a person.
ANSWERED_BY: Final[Mapping[Outcome, AnsweredBy]] = MappingProxyType(
    {
        Outcome.ANSWERED: AnsweredBy.PERSON,
        Outcome.VOICEMAIL: AnsweredBy.MACHINE,
        Outcome.NO_ANSWER: AnsweredBy.NOBODY,
        Outcome.BUSY: AnsweredBy.NOBODY,
        Outcome.FAILED: AnsweredBy.NOBODY,
        Outcome.INVALID_NUMBER: AnsweredBy.NOBODY,
        Outcome.DO_NOT_CALL: AnsweredBy.PERSON,
        Outcome.CALLBACK_REQUESTED: AnsweredBy.PERSON,
        Outcome.STOPPED: AnsweredBy.NOBODY,
        Outcome.TEMPORARY: AnsweredBy.NOBODY,
        Outcome.NO_CREDIT: AnsweredBy.NOBODY,
        Outcome.BLOCKED: AnsweredBy.NOBODY,
        Outcome.REJECTED: AnsweredBy.NOBODY,
    }
)


class CallStatus(StrEnum):
    """Retell's ``call_status``."""

    REGISTERED = "registered"
    ONGOING = "ongoing"
    ENDED = "ended"
    NOT_CONNECTED = "not_connected"
    ERROR = "error"


#: A call with one of these statuses has ended.
TERMINAL_CALL_STATUSES: Final = frozenset({CallStatus.ENDED, CallStatus.NOT_CONNECTED, CallStatus.ERROR})


class SuspendReason(StrEnum):
    """Why a job is ``suspended``."""

    NO_CREDIT = "no_credit"
    OPERATOR = "operator"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_SUSPENDED = "account_suspended"
    STOPPED_IN_RETELL = "stopped_in_retell"
    #: Imported into an active batch, and not started yet: ``resume-batch`` starts it.
    NOT_STARTED = "not_started"


class Stopper(StrEnum):
    """Who asked Retell to stop a live call."""

    #: The call exceeded one of speechaid's limits.
    LIMIT = "limit"
    #: An operator's ``hang-up``, or the cancellation of a job with a live call.
    OPERATOR = "operator"


class WorkerState(StrEnum):
    """What a worker is doing; reported with every beat."""

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


#: The step of a dial whose request leaves this machine.
CREATE_CALL_STEP: Final = "create call"


class NoNewCalls(StrEnum):
    """Why a worker places no new call: what its supervisor ordered, in the order in which it is named."""

    #: ``hold`` was typed on this host, or its database's disk is full.
    HOST_HELD = "host_held"
    #: It is leaving: ordered or signalled to stop or to hand over, or its supervisor is gone.
    STOPPING = "stopping"
    DRAINING = "draining"
    WORKER_PAUSED = "worker_paused"


class Priority(IntEnum):
    """A batch's priority, as SpeechAI numbers it."""

    NORMAL = 1
    HIGH = 2
    URGENT = 3


class Purpose(StrEnum):
    """What a call is for; the law differs by it."""

    COLLECTION = "collection"
    MARKETING = "marketing"
    SURVEY = "survey"
    REMINDER = "reminder"
