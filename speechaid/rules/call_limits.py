"""How long to wait for a call, and what to do if it does not end by itself. Pure: no I/O, no clock.

A call without a terminal status is never abandoned and dialled again. Past its limits it is stopped, and
polled until Retell confirms the end; if Retell does not, the job is parked and polled slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FollowAction(StrEnum):
    """What to do next with a call that has not ended."""

    WAIT = "wait"
    #: Ask Retell to stop the call.
    STOP = "stop"
    #: Release the job's lease; an idle worker polls the call again later.
    PARK = "park"


@dataclass(frozen=True, kw_only=True)
class CallLimits:
    """Limits of a call, in seconds."""

    #: Longest wait for a call that has not connected, or whose polls fail.
    poll_timeout_seconds: float
    #: Longest duration of a connected call; Retell enforces it too, so a margin is added here.
    longest_call_seconds: float
    #: Time between polls; the margin is two of them, so that a poll can show the end before the limit passes.
    polling_interval_seconds: float


@dataclass(frozen=True, kw_only=True)
class CallProgress:
    """What is known about a call that has not ended; times in seconds."""

    #: Since the call was placed.
    since_placed_seconds: float
    #: Since it connected, as Retell reports; None: not connected.
    since_connected_seconds: float | None
    #: Since Retell's last answer about this call, or since following began.
    since_answer_seconds: float
    #: Whether the latest poll was answered.
    last_poll_answered: bool
    #: Since the stop request; None: not requested.
    since_stop_seconds: float | None
    #: Retell answers that no such call exists.
    unknown_to_retell: bool


def next_action(progress: CallProgress, limits: CallLimits) -> FollowAction:
    """Decide whether to wait, stop the call, or park its job."""
    late = seconds_to_limit(progress, limits) < 0
    if progress.since_stop_seconds is not None:
        return FollowAction.PARK if late else FollowAction.WAIT
    return FollowAction.STOP if late or progress.unknown_to_retell else FollowAction.WAIT


def seconds_to_limit(progress: CallProgress, limits: CallLimits) -> float:
    """Seconds until ``next_action`` is another one, if nothing more becomes known; below 0: it is already."""
    if progress.since_stop_seconds is not None:
        return limits.poll_timeout_seconds - progress.since_stop_seconds
    if progress.since_connected_seconds is not None:
        # Failing polls are no reason to stop a conversation that may be going well: only its own limit
        # counts.
        margin = 2 * limits.polling_interval_seconds
        return limits.longest_call_seconds + margin - progress.since_connected_seconds
    if progress.last_poll_answered:
        return limits.poll_timeout_seconds - progress.since_placed_seconds
    # The call may have connected by now: an adopted call whose first poll fails is not ringing for too
    # long.
    return limits.poll_timeout_seconds - progress.since_answer_seconds
