"""The results of actions on jobs, batches and accounts as blocks; pure."""

from __future__ import annotations

from typing import Final

from speechctl.render.blocks import Block, Result, table
from speechctl.render.text import as_words, local_time, plural

_MAX_SHOWN: Final = 20


def dial_wait(result: Result) -> list[Block]:
    """What pause, hold and cancel report of open dials and live calls."""
    lines: list[Block] = []
    if result.get("waited_for"):
        lines.append(f"waited for {plural(int(result['waited_for']), 'dial')} in flight")
    if result.get("live_calls"):
        lines.append(f"{plural(int(result['live_calls']), 'call')} in progress, not interrupted")
    if result.get("ambiguous"):
        dials = plural(int(result["ambiguous"]), "ambiguous dial")
        lines.append(f"{dials}: looked up at Retell, and not sent again")
    return lines


def pause_all(result: Result) -> list[Block]:
    """The result of ``pause-all``."""
    paused = int(result["paused"])
    batches = plural(paused, "batch", "batches")
    head = f"{batches} paused: no new call of any batch is placed; resume-all ends this"
    return [head if paused else "no batch was active", *dial_wait(result)]


def resume_all(result: Result) -> list[Block]:
    """The result of ``resume-all``."""
    resumed = int(result["resumed"])
    return [
        f"{plural(resumed, 'batch', 'batches')} active again"
        if resumed
        else "none of the paused batches was paused by pause-all"
    ]


def cancel_batch(result: Result) -> list[Block]:
    """The result of ``cancel-batch``."""
    name = f"{result['batch_id']} ({result['name']})" if result.get("name") else result["batch_id"]
    if result["dry_run"]:
        jobs = ", ".join(f"{count} {as_words(word)}" for word, count in result["jobs"].items()) or "no jobs"
        return [f"{name} has {jobs}; nothing was changed"]
    later = int(result["when_their_calls_end"])
    lines: list[Block] = [f"{name} is cancelled: {plural(int(result['cancelled']), 'job')} cancelled"]
    if later:
        lines.append(f"{plural(later, 'more job')} when their calls have ended")
    return lines + dial_wait(result)


def job_action(result: Result) -> list[Block]:
    """The result of ``cancel-job``, ``suspend-job`` and ``resume-job``."""
    if result["how"] == "recorded":
        call = f" (call {result['live_call']})" if result.get("live_call") else ""
        until = f"until then the job is {as_words(result['status'])}"
        return [f"{result['job_id']} has an open dial{call}: applied when it has ended; {until}"]
    if result["how"] == "taken back":
        return [f"{result['job_id']}: the requested suspension, not applied yet, is withdrawn"]
    return [f"{result['job_id']} is {as_words(result['status'])}"]


def hang_up(result: Result) -> list[Block]:
    """The result of ``hang-up``."""
    call = result.get("call_id") or "id not known yet"
    return [f"{result['job_id']}: the worker that follows its call ({call}) will stop it at the next poll"]


def release(result: Result) -> list[Block]:
    """The result of ``release-stuck``."""
    would = "would be " if result["dry_run"] else ""
    lines: list[Block] = [f"{plural(int(result['released']), 'job')} {would}released"]
    left = int(result["left_to_workers"])
    if left:
        idle = "" if result["workers_at_work"] else " (no worker of this host is at work)"
        lines.append(f"{plural(left, 'job')} with a call or an open dial left to the workers{idle}")
    if given_up := int(result.get("given_up") or 0):
        calls = plural(given_up, "job with a call", "jobs with calls")
        lines.append(
            f"{calls} that Retell does not know: closed within two minutes, if it answers the same then"
            if not result["dry_run"]
            else f"{calls} that Retell does not know would be closed"
        )
    if result["moved_meanwhile"]:
        lines.append(f"{plural(int(result['moved_meanwhile']), 'job was', 'jobs were')} taken over meanwhile")
    rows = [
        [row["job_id"], row["batch_id"], row["worker"], local_time(row["lease_until"]), as_words(row["then"])]
        for row in result["jobs"][:_MAX_SHOWN]
    ]
    return [*lines, table("", "job batch worker lease_ran_out then", rows)] if rows else lines


def reset(result: Result) -> list[Block]:
    """The result of ``reset-jobs``."""
    left = left_out_line(result)
    if result["dry_run"]:
        return [f"{plural(int(result['would_reset']), 'job')} would be reset; nothing was changed", *left]
    return [f"{plural(int(result['reset']), 'job')} reset: pending, no attempt used, first phone", *left]


def left_out_line(result: Result) -> list[Block]:
    """How many people are not called again, by why."""
    left = ", ".join(f"{count} {as_words(why)}" for why, count in result.get("left_out", {}).items())
    return [f"left out: {left}"] if left else []


def account(result: Result) -> list[Block]:
    """The result of ``suspend-account`` and ``resume-account``."""
    lines: list[Block] = [f"account {result['account_id']} is {result['status']} (was {result['was']})"]
    if result.get("live_calls"):
        lines.append(f"{plural(int(result['live_calls']), 'call')} of it in progress, not interrupted")
    if result.get("jobs_resumed"):
        lines.append(f"{plural(int(result['jobs_resumed']), 'job')} pending again")
    return lines


def forget(result: Result) -> list[Block]:
    """The result of ``forget``."""
    jobs, calls = plural(int(result["jobs"]), "job"), plural(int(result["calls"]), "call")
    who = ", ".join(str(result[name]) for name in ("name", "dni") if result.get(name))
    whom = f"{who or 'the person'} is erased in {jobs} and {calls}"
    lines: list[Block] = [f"{whom}; amounts, costs, outcomes and dates are kept"]
    if result["cancelled"]:
        lines.append(f"{plural(int(result['cancelled']), 'job')} that waited cancelled")
    later = list(result["later"])
    if later:
        shown = ", ".join(later[:_MAX_SHOWN]) + (" and more" if len(later) > _MAX_SHOWN else "")
        jobs = plural(len(later), "more job")
        lines.append(f"{jobs} erased without another command, once the call is over and settled: {shown}")
    if result["has_more"]:
        lines.append("! there are more jobs than one command erases: give it again")
    kept = ["the number"] if result["number_kept"] else []
    kept += ["the national id"] if result["id_kept"] else []
    if kept:
        lines.append(f"the do-not-call list keeps {' and '.join(kept)}, so that nobody calls the person")
    return [*lines, str(result["retell"])]
