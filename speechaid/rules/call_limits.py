"""How long a call is waited for, and what to do with one that does not end by itself. Pure.

A call without a terminal status is never given up and dialled again: past its limits it is stopped, and asked
for until Retell confirms the end; where Retell does not, the job is parked, and looked at now and then.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FollowAction(StrEnum):
    """What to do next about a call that is not over."""

    WAIT = "wait"
    #: Ask Retell to stop it.
    STOP = "stop"
    #: Let go of it; whoever has time asks for it again later.
    PARK = "park"


@dataclass(frozen=True, kw_only=True)
class CallLimits:
    """How long a call may take, in seconds."""

    #: Longest wait for a call that has not connected, or of which Retell tells nothing.
    poll_timeout_seconds: float
    #: Longest that a connected call may last; Retell enforces the same, so a margin is added to it.
    longest_call_seconds: float
    #: Polls come so far apart: a limit is not passed before a poll could have shown the end.
    polling_interval_seconds: float


@dataclass(frozen=True, kw_only=True)
class CallProgress:
    """What is known of a call that is not over, in seconds."""

    #: Since the call was placed.
    since_placed_seconds: float
    #: Since it connected, as Retell tells; None where it has not.
    since_connected_seconds: float | None
    #: Since Retell last told anything of this call, or since it began to be followed.
    since_heard_seconds: float
    #: Whether the latest poll told anything.
    last_poll_told: bool
    #: Since we asked for its stop; None where we did not.
    since_stop_seconds: float | None
    #: Retell says that it knows no such call.
    unknown_to_retell: bool


def next_action(progress: CallProgress, limits: CallLimits) -> FollowAction:
    """Whether to wait, to stop the call, or to park its job."""
    if progress.since_stop_seconds is not None:
        return (
            FollowAction.PARK
            if progress.since_stop_seconds > limits.poll_timeout_seconds
            else FollowAction.WAIT
        )
    if progress.unknown_to_retell:
        return FollowAction.STOP
    if progress.since_connected_seconds is not None:
        # Nothing heard for long is no reason to stop a call that may be going well: it has its own time.
        margin = 2 * limits.polling_interval_seconds
        late = progress.since_connected_seconds > limits.longest_call_seconds + margin
    elif progress.last_poll_told:
        late = progress.since_placed_seconds > limits.poll_timeout_seconds
    else:
        # Somebody may be on the phone by now: an adopted call whose first poll fails does not ring too long.
        late = progress.since_heard_seconds > limits.poll_timeout_seconds
    return FollowAction.STOP if late else FollowAction.WAIT
