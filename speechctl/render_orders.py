"""Answers to orders about jobs, batches and accounts, for people; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from speechctl.blocks import Block, grid
from speechctl.words import call_word, instant, plural

Result = Mapping[str, Any]
_MOST_SHOWN: Final = 20


def quiet(result: Result) -> list[Block]:
    """What pause, hold and cancel say of the dials that they waited for."""
    lines: list[Block] = []
    if result.get("waited_for"):
        lines.append(f"waited for {plural(int(result['waited_for']), 'dial')} on the way")
    if result.get("live_calls"):
        lines.append(f"{plural(int(result['live_calls']), 'call')} going on, left alone")
    if result.get("ambiguous"):
        lines.append(f"{plural(int(result['ambiguous']), 'dial')} unsettled: looked up, never replayed")
    return lines


def pause_all(result: Result) -> list[Block]:
    """The answer to ``pause-all``."""
    paused = int(result["paused"])
    what = plural(paused, "batch", "batches")
    head = f"{what} paused: no new call of any batch is placed; resume-all ends this"
    return [head if paused else "no batch was active", *quiet(result)]


def resume_all(result: Result) -> list[Block]:
    """The answer to ``resume-all``."""
    resumed = int(result["resumed"])
    return [
        f"{plural(resumed, 'batch', 'batches')} active again"
        if resumed
        else "pause-all had paused none of the batches that are paused"
    ]


def cancel_batch(result: Result) -> list[Block]:
    """The answer to ``cancel-batch``."""
    name = f"{result['batch_id']} ({result['name']})" if result.get("name") else result["batch_id"]
    if result["dry_run"]:
        jobs = ", ".join(f"{count} {call_word(word)}" for word, count in result["jobs"].items()) or "no jobs"
        return [f"{name} has {jobs}; nothing was changed"]
    later = int(result["when_their_calls_end"])
    lines: list[Block] = [f"{name} is called off: {plural(int(result['cancelled']), 'job')} cancelled"]
    if later:
        lines.append(f"{plural(later, 'job')} more when their calls have ended")
    return lines + quiet(result)


def job_order(result: Result) -> list[Block]:
    """The answer to ``cancel-job``, ``suspend-job``, ``resume-job`` and ``hang-up``."""
    if result["how"] == "recorded":
        call = f" (call {result['live_call']})" if result.get("live_call") else ""
        return [
            f"{result['job_id']} is in a dial{call}: done when that is over; until then {result['status']}"
        ]
    if result["how"] == "taken back":
        return [f"{result['job_id']}: the suspension that waited for its call is taken back"]
    return [f"{result['job_id']} is {call_word(result['status'])}"]


def hang_up(result: Result) -> list[Block]:
    """The answer to ``hang-up``."""
    call = result.get("call_id") or "not known yet"
    return [
        f"{result['job_id']}: its call ({call}) is stopped by the worker that follows it, at its next look"
    ]


def release(result: Result) -> list[Block]:
    """The answer to ``release-stuck``."""
    would = "would be " if result["dry_run"] else ""
    lines: list[Block] = [f"{plural(int(result['released']), 'job')} {would}given back"]
    left = int(result["left_to_workers"])
    if left:
        who = "workers" if result["workers_at_work"] else "workers, of whom none is at work here,"
        lines.append(f"{plural(left, 'job')} with a call or a dial: {who} follow them on and settle them")
    if result["moved_meanwhile"]:
        lines.append(f"{plural(int(result['moved_meanwhile']), 'job was', 'jobs were')} taken over meanwhile")
    rows = [
        [row["job_id"], row["batch_id"], row["worker"], instant(row["lease_until"]), call_word(row["then"])]
        for row in result["jobs"][:_MOST_SHOWN]
    ]
    return [*lines, grid("", "job batch worker lease_ran_out then", rows)] if rows else lines


def reset(result: Result) -> list[Block]:
    """The answer to ``reset-jobs``."""
    if result["dry_run"]:
        return [f"{plural(int(result['would_reset']), 'job')} would begin anew; nothing was changed"]
    reset = plural(int(result["reset"]), "job begins", "jobs begin")
    return [f"{reset} anew: pending, no attempt spent, first phone"]


def account(result: Result) -> list[Block]:
    """The answer to ``suspend-account`` and ``resume-account``."""
    lines: list[Block] = [f"account {result['account_id']} is {result['status']} (was {result['was']})"]
    if result.get("live_calls"):
        lines.append(f"{plural(int(result['live_calls']), 'call')} of it going on, left alone")
    if result.get("jobs_resumed"):
        lines.append(f"{plural(int(result['jobs_resumed']), 'job')} pending again")
    return lines
