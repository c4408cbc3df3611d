"""The increments of a placed and of a settled call; counted once per dial, also if settlement is repeated.

Of test calls their number alone is counted: the others are the metrics of campaigns.
"""

from __future__ import annotations

from speechaid.model.states import JobStatus
from speechaid.model.verdict import Verdict
from speechaid.rules.retry_table import RetryCause
from speechaid.telemetry.metric_table import Increment, observation

#: The label of a call whose agent neither the request nor Retell names: another program placed it.
UNKNOWN_AGENT = "unknown"


def placed(key: str, *, is_test: bool = False) -> tuple[str, list[Increment]]:
    """For a dial that became a call: the name under which it counts once, and its increments."""
    metric = "speechaid_test_calls_total" if is_test else "speechaid_calls_placed_total"
    return f"placed:{key}", [(metric, {}, 1.0)]


def settled(key: str, verdict: Verdict) -> tuple[str, list[Increment]]:
    """For a dial with a verdict, likewise."""
    outcome = str(verdict.outcome)
    increments: list[Increment] = [("speechaid_next_steps_total", {"cause": verdict.cause}, 1.0)]
    if verdict.cause == RetryCause.ROTATED:
        increments.append(("speechaid_rotations_total", {"cause": outcome}, 1.0))
    elif verdict.status is JobStatus.PENDING:
        increments.append(("speechaid_retries_total", {"cause": outcome}, 1.0))
    if verdict.cause == RetryCause.CALL_UNKNOWN:
        return f"settled:{key}", increments
    if verdict.result is None:
        return f"settled:{key}", [*increments, ("speechaid_dials_refused_total", {"outcome": outcome}, 1.0)]
    increments.append(("speechaid_calls_ended_total", {"outcome": outcome}, 1.0))
    agent = str(verdict.result.get("agent_id") or UNKNOWN_AGENT)
    increments.append(("speechaid_agent_calls_ended_total", {"agent": agent, "outcome": outcome}, 1.0))
    if verdict.status is JobStatus.DONE:
        increments.append(("speechaid_calls_succeeded_total", {}, 1.0))
    if verdict.result.get("connected"):
        seconds = float(verdict.result.get("duration_ms") or 0) / 1000
        increments += observation("speechaid_call_duration_seconds", seconds)
    return f"settled:{key}", increments
