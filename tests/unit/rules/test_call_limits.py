"""How long a call is waited for: every row of the decision."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.rules.call_limits import CallLimits, CallProgress, FollowAction, next_action

#: Waited for 300 s, may last 600 s, polled every 10 s: a connected call is late past 620 s.
LIMITS = CallLimits(poll_timeout_seconds=300, longest_call_seconds=600, polling_interval_seconds=10)


def progress(**changes: Any) -> CallProgress:
    """A call placed a minute ago that rings, as Retell told just now."""
    fields: dict[str, Any] = {
        "since_placed_seconds": 60.0,
        "since_connected_seconds": None,
        "since_heard_seconds": 0.0,
        "last_poll_told": True,
        "since_stop_seconds": None,
        "unknown_to_retell": False,
    }
    return CallProgress(**fields | changes)


RINGING = [
    pytest.param(0.0, FollowAction.WAIT, id="just placed"),
    pytest.param(300.0, FollowAction.WAIT, id="at the limit"),
    pytest.param(300.1, FollowAction.STOP, id="past the limit"),
]
SILENT = [
    pytest.param(301.0, 10.0, FollowAction.WAIT, id="old, silent for a poll"),
    pytest.param(5000.0, 300.0, FollowAction.WAIT, id="old, silent as long as may be"),
    pytest.param(5000.0, 300.1, FollowAction.STOP, id="old, silent for too long"),
    pytest.param(10.0, 300.1, FollowAction.STOP, id="young by a clock set back, silent for too long"),
]
CONNECTED = [
    pytest.param(0.0, 0.0, FollowAction.WAIT, id="just connected"),
    pytest.param(600.0, 0.0, FollowAction.WAIT, id="at its limit: Retell ends it"),
    pytest.param(620.0, 0.0, FollowAction.WAIT, id="two polls past its limit"),
    pytest.param(620.1, 0.0, FollowAction.STOP, id="longer"),
    pytest.param(610.0, 610.0, FollowAction.WAIT, id="never heard of since it connected"),
    pytest.param(620.1, 620.1, FollowAction.STOP, id="longer, and never heard of"),
]
STOPPED = [
    pytest.param(0.0, FollowAction.WAIT, id="just asked"),
    pytest.param(300.0, FollowAction.WAIT, id="at the limit"),
    pytest.param(300.1, FollowAction.PARK, id="past the limit"),
    pytest.param(float("inf"), FollowAction.PARK, id="parked before"),
]


@pytest.mark.parametrize(("placed", "expected"), RINGING)
def test_a_call_that_retell_says_is_ringing_has_the_poll_timeout(
    placed: float, expected: FollowAction
) -> None:
    assert next_action(progress(since_placed_seconds=placed), LIMITS) is expected


@pytest.mark.parametrize(("placed", "heard", "expected"), SILENT)
def test_where_polls_fail_only_the_silence_counts(
    placed: float, heard: float, expected: FollowAction
) -> None:
    told = progress(since_placed_seconds=placed, since_heard_seconds=heard, last_poll_told=False)
    assert next_action(told, LIMITS) is expected


@pytest.mark.parametrize(("connected", "heard", "expected"), CONNECTED)
def test_a_conversation_has_its_own_time_whatever_the_polls_say(
    connected: float, heard: float, expected: FollowAction
) -> None:
    told = progress(
        since_placed_seconds=5000.0,
        since_connected_seconds=connected,
        since_heard_seconds=heard,
        last_poll_told=heard == 0,
    )
    assert next_action(told, LIMITS) is expected


@pytest.mark.parametrize(("since_stop", "expected"), STOPPED)
def test_a_call_asked_to_stop_is_waited_for_and_then_parked(
    since_stop: float, expected: FollowAction
) -> None:
    assert next_action(progress(since_stop_seconds=since_stop), LIMITS) is expected


def test_a_call_that_retell_does_not_know_is_stopped_at_once_and_once() -> None:
    assert next_action(progress(unknown_to_retell=True), LIMITS) is FollowAction.STOP
    assert next_action(progress(unknown_to_retell=True, since_stop_seconds=1.0), LIMITS) is FollowAction.WAIT


seconds = st.floats(min_value=0, max_value=1e6)


@given(
    placed=seconds,
    connected=st.none() | seconds,
    heard=seconds,
    told=st.booleans(),
    stop=st.none() | seconds,
    unknown=st.booleans(),
)
def test_nothing_is_parked_that_was_not_asked_to_stop_and_nothing_stopped_twice(
    *, placed: float, connected: float | None, heard: float, told: bool, stop: float | None, unknown: bool
) -> None:
    decided = next_action(
        CallProgress(
            since_placed_seconds=placed,
            since_connected_seconds=connected,
            since_heard_seconds=heard,
            last_poll_told=told,
            since_stop_seconds=stop,
            unknown_to_retell=unknown,
        ),
        LIMITS,
    )
    assert decided is not (FollowAction.PARK if stop is None else FollowAction.STOP)
