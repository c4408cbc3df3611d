"""Coverage: for how long a worker need not poll its call, because the follower asks Retell's list for ends.

Coverage is a lease, and plain polling is what happens without it. Retell documents neither how fresh its list
is nor what it lacks, so the list is believed only for as long as it does not contradict what get-call says.
Pure: no I/O, no clock. Times are in seconds; instants are those of the boot-time clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

#: How long coverage is granted, and what is left of it when it is renewed.
GRANT_SECONDS: Final = 90.0
RENEW_SECONDS: Final = 30.0
#: A follower whose last complete pass began longer ago than this, and the time between two passes, covers
#: nothing.
SILENT_SECONDS: Final = 8.0
#: The same while Retell answers that it is asked too often: polls would be refused, too.
THROTTLED_SECONDS: Final = 120.0
#: So many signs, within this time, that the list is wrong: it is not used for as long again.
SUSPICIONS: Final = 3
DISTRUST_SECONDS: Final = 600.0
#: A list that does not show an end so long after it is late: polling would have found the end sooner.
LATE_SECONDS: Final = 15.0

#: Ids in one question at first, and at least.
MOST_IDS: Final = 1000
FEWEST_IDS: Final = 16
#: Longest time between two passes that Retell wants slower.
SLOWEST_SECONDS: Final = 30.0

#: A covered call is polled at least so often: what a list that leaves out one call may cost.
SAFETY_SECONDS: Final = 240.0


class ListAnswer(StrEnum):
    """What came of a pass through the list."""

    LISTED = "listed"
    #: 429: ask more slowly.
    THROTTLED = "throttled"
    #: 400, 413 or 422: perhaps for the number of ids.
    TOO_MANY = "too_many"
    FAILED = "failed"


#: Statuses that mean something else than a failure.
_ANSWERS: Final = {
    400: ListAnswer.TOO_MANY,
    413: ListAnswer.TOO_MANY,
    422: ListAnswer.TOO_MANY,
    429: ListAnswer.THROTTLED,
}


def answer_of(status: int | None) -> ListAnswer:
    """What a refused question means, by its HTTP status; None: there was no answer."""
    return ListAnswer.FAILED if status is None else _ANSWERS.get(status, ListAnswer.FAILED)


@dataclass(frozen=True, kw_only=True)
class ListPace:
    """How the follower asks next."""

    #: Call ids in one question.
    ids: int = MOST_IDS
    #: Seconds until the next pass.
    seconds: float


def next_pace(
    pace: ListPace, answer: ListAnswer, *, interval: float, asked: int, retry_after: float | None = None
) -> ListPace:
    """The pace after an answer.

    Args:
        pace: the one before.
        answer: what came.
        interval: seconds between two passes, as set.
        asked: ids in the question that was answered.
        retry_after: for how long Retell asks to wait.
    """
    if answer is ListAnswer.THROTTLED:
        slower = max(2 * pace.seconds, interval, retry_after or 0.0)
        return replace(pace, seconds=min(slower, SLOWEST_SECONDS))
    if answer is ListAnswer.TOO_MANY:
        # Refused for something else: the next pass begins with as many as ever.
        fewer = MOST_IDS if asked <= FEWEST_IDS else max(FEWEST_IDS, min(pace.ids, asked) // 2)
        return ListPace(ids=fewer, seconds=interval)
    return replace(pace, seconds=interval)


class PollReason(StrEnum):
    """Why a covered call has to be polled now."""

    #: The list shows it as ended.
    ENDED = "ended"
    #: The list does not show it at all.
    UNLISTED = "unlisted"


class Suspicion(StrEnum):
    """A sign that the list is wrong."""

    #: get-call says that a call is live which the list shows as ended.
    FALSE_END = "false_end"
    #: A call had ended for a while, and the list did not say so.
    MISSED_END = "missed_end"


class Gap(StrEnum):
    """Why there is no coverage."""

    #: No pass has been complete since the follower started.
    NOT_YET = "not_yet"
    #: The follower does not report: it is gone, or frozen.
    SILENT = "silent"
    #: Its questions fail.
    FAILING = "failing"
    #: Retell has refused them as too many for too long.
    THROTTLED = "throttled"
    #: The list has contradicted get-call.
    DISTRUSTED = "distrusted"


@dataclass(frozen=True, kw_only=True)
class ListRecord:
    """What is known of follower and list."""

    #: When the latest complete pass began.
    listed_at: float | None = None
    #: The latest answer, and when its pass began.
    answer: ListAnswer | None = None
    answered_at: float = 0.0
    #: When the list was caught, the latest last.
    suspicions: tuple[tuple[float, Suspicion], ...] = ()
    distrusted_until: float = 0.0

    def after_pass(self, answer: ListAnswer, began: float) -> ListRecord:
        """With one more pass."""
        listed_at = began if answer is ListAnswer.LISTED else self.listed_at
        return replace(self, listed_at=listed_at, answer=answer, answered_at=began)

    def after_suspicion(self, suspicion: Suspicion, now: float) -> ListRecord:
        """With one more sign that the list is wrong; enough of one kind, and it is not used for a while."""
        recent = [entry for entry in self.suspicions if now - entry[0] < DISTRUST_SECONDS]
        recent.append((now, suspicion))
        if sum(kind is suspicion for _, kind in recent) < SUSPICIONS:
            return replace(self, suspicions=tuple(recent))
        return replace(self, suspicions=(), distrusted_until=now + DISTRUST_SECONDS)

    def after_restart(self) -> ListRecord:
        """With a new follower: what the list is worth has not changed."""
        return replace(self, listed_at=None, answer=None, answered_at=0.0)


def find_gap(record: ListRecord, now: float, *, interval: float) -> Gap | None:
    """Why no call is covered; None where calls may be.

    Args:
        record: of follower and list.
        now: seconds of the boot-time clock.
        interval: seconds between two passes, as set.
    """
    silent_after = SILENT_SECONDS + interval
    if now < record.distrusted_until:
        return Gap.DISTRUSTED
    if record.listed_at is None:
        return Gap.FAILING if record.answer is not None else Gap.NOT_YET
    since_list = now - record.listed_at
    if since_list <= silent_after:
        return None
    if record.answer is ListAnswer.THROTTLED:
        if now - record.answered_at > SILENT_SECONDS + SLOWEST_SECONDS:
            return Gap.SILENT
        return None if since_list <= THROTTLED_SECONDS else Gap.THROTTLED
    return Gap.SILENT if now - record.answered_at > silent_after else Gap.FAILING


def is_late(since_end: float | None) -> bool:
    """Whether an end so many seconds ago should have been in the list by now; None: nobody knows when."""
    return since_end is not None and since_end > LATE_SECONDS


def suspicion_of(*, woken: bool, is_over: bool, since_end: float | None) -> Suspicion | None:
    """What a get-call about a covered call says against the list.

    Args:
        woken: the list has shown the call as ended.
        is_over: what get-call says.
        since_end: seconds since the end, as get-call reports it.
    """
    if woken:
        return None if is_over else Suspicion.FALSE_END
    return Suspicion.MISSED_END if is_over and is_late(since_end) else None


def seconds_to_poll(*, since_answer: float, to_limit: float, jitter: float) -> float:
    """Seconds until a covered call is polled all the same; 0 or less: now.

    Args:
        since_answer: since Retell's last answer about it.
        to_limit: until a limit of the call passes (``rules.call_limits``); it is polled before it is stopped.
        jitter: from 0 to 1, so that calls of the same age are not polled together.
    """
    return min(SAFETY_SECONDS * (0.75 + 0.25 * jitter) - since_answer, to_limit)


def renewal_after(*, lease: float, interval: float, request: float) -> float:
    """Seconds after which a lease is renewed: half of it, or sooner where the next chance could be too late.

    Args:
        lease: how long it lasts.
        interval: between two polls.
        request: the longest that a poll may take.
    """
    return max(0.0, min(lease / 2, lease - interval - request))
