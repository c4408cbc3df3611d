"""The results of actions on jobs, batches and accounts as blocks; pure."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.translation import say, say_n
from speechctl.render.blocks import Block, Result, table
from speechctl.render.text import as_words, counted_words, local_time

_MAX_SHOWN: Final = 20


def dial_wait(result: Result) -> list[Block]:
    """What pause, hold and cancel report of open dials and live calls."""
    lines: list[Block] = []
    if result.get("waited_for"):
        lines.append(
            say_n(
                "waited for {count} dial in flight",
                "waited for {count} dials in flight",
                int(result["waited_for"]),
            )
        )
    if result.get("live_calls"):
        lines.append(
            say_n(
                "{count} call in progress, not interrupted",
                "{count} calls in progress, not interrupted",
                int(result["live_calls"]),
            )
        )
    if result.get("ambiguous"):
        dials = say_n("{count} ambiguous dial", "{count} ambiguous dials", int(result["ambiguous"]))
        lines.append(say("{dials}: looked up at Retell, and not sent again", dials=dials))
    return lines


def pause_all(result: Result) -> list[Block]:
    """The result of ``pause-all``."""
    paused = int(result["paused"])
    batches = say_n("{count} batch", "{count} batches", paused)
    head = say("{batches} paused: no new call of any batch is placed; resume-all ends this", batches=batches)
    return [head if paused else say("no batch was active"), *dial_wait(result)]


def resume_all(result: Result) -> list[Block]:
    """The result of ``resume-all``."""
    resumed = int(result["resumed"])
    return [
        say_n("{count} batch active again", "{count} batches active again", resumed)
        if resumed
        else say("none of the paused batches was paused by pause-all")
    ]


def cancel_batch(result: Result) -> list[Block]:
    """The result of ``cancel-batch``."""
    name = f"{result['batch_id']} ({result['name']})" if result.get("name") else result["batch_id"]
    if result["dry_run"]:
        jobs = counted_words(result["jobs"]) or say("no jobs")
        return [say("{name} has {jobs}; nothing was changed", name=name, jobs=jobs)]
    later = int(result["when_their_calls_end"])
    lines: list[Block] = [
        say_n(
            "{name} is cancelled: {count} job cancelled",
            "{name} is cancelled: {count} jobs cancelled",
            int(result["cancelled"]),
            name=name,
        )
    ]
    if later:
        lines.append(
            say_n(
                "{count} more job when their calls have ended",
                "{count} more jobs when their calls have ended",
                later,
            )
        )
    return lines + dial_wait(result)


def job_action(result: Result) -> list[Block]:
    """The result of ``cancel-job``, ``suspend-job`` and ``resume-job``."""
    if result["how"] == "recorded":
        call = say(" (call {live_call})", live_call=result["live_call"]) if result.get("live_call") else ""
        until = say("until then the job is {status}", status=as_words(result["status"]))
        return [
            say(
                "{job_id} has an open dial{call}: applied when it has ended; {until}",
                job_id=result["job_id"],
                call=call,
                until=until,
            )
        ]
    if result["how"] == "taken back":
        return [
            say("{job_id}: the requested suspension, not applied yet, is withdrawn", job_id=result["job_id"])
        ]
    return [say("{job_id} is {status}", job_id=result["job_id"], status=as_words(result["status"]))]


def hang_up(result: Result) -> list[Block]:
    """The result of ``hang-up``."""
    call = result.get("call_id") or say("id not known yet")
    return [
        say(
            "{job_id}: the worker that follows its call ({call}) will stop it at the next poll",
            job_id=result["job_id"],
            call=call,
        )
    ]


def release(result: Result) -> list[Block]:
    """The result of ``release-stuck``."""
    released = int(result["released"])
    lines: list[Block] = [
        say_n("{count} job would be released", "{count} jobs would be released", released)
        if result["dry_run"]
        else say_n("{count} job released", "{count} jobs released", released)
    ]
    left = int(result["left_to_workers"])
    if left:
        idle = "" if result["workers_at_work"] else say(" (no worker of this host is at work)")
        lines.append(
            say_n(
                "{count} job with a call or an open dial left to the workers{idle}",
                "{count} jobs with a call or an open dial left to the workers{idle}",
                left,
                idle=idle,
            )
        )
    if given_up := int(result.get("given_up") or 0):
        calls = say_n("{count} job with a call", "{count} jobs with calls", given_up)
        lines.append(
            say(
                "{calls} that Retell does not know: closed within two minutes, if it answers the same then",
                calls=calls,
            )
            if not result["dry_run"]
            else say("{calls} that Retell does not know would be closed", calls=calls)
        )
    if result["moved_meanwhile"]:
        lines.append(
            say_n(
                "{count} job was taken over meanwhile",
                "{count} jobs were taken over meanwhile",
                int(result["moved_meanwhile"]),
            )
        )
    rows = [
        [row["job_id"], row["batch_id"], row["worker"], local_time(row["lease_until"]), as_words(row["then"])]
        for row in result["jobs"][:_MAX_SHOWN]
    ]
    return [*lines, table("", "job batch worker lease_ran_out then", rows)] if rows else lines


def reset(result: Result) -> list[Block]:
    """The result of ``reset-jobs``."""
    left = left_out_line(result)
    if result["dry_run"]:
        return [
            say_n(
                "{count} job would be reset; nothing was changed",
                "{count} jobs would be reset; nothing was changed",
                int(result["would_reset"]),
            ),
            *left,
        ]
    return [
        say_n(
            "{count} job reset: pending, no attempt used, first phone",
            "{count} jobs reset: pending, no attempt used, first phone",
            int(result["reset"]),
        ),
        *left,
    ]


def left_out_line(result: Result) -> list[Block]:
    """How many people are not called again, by why."""
    left = ", ".join(f"{count} {as_words(why)}" for why, count in result.get("left_out", {}).items())
    return [say("left out: {left}", left=left)] if left else []


def account(result: Result) -> list[Block]:
    """The result of ``suspend-account`` and ``resume-account``."""
    lines: list[Block] = [
        say(
            "account {account_id} is {status} (was {was})",
            account_id=result["account_id"],
            status=as_words(result["status"]),
            was=as_words(result["was"]),
        )
    ]
    if result.get("live_calls"):
        lines.append(
            say_n(
                "{count} call of it in progress, not interrupted",
                "{count} calls of it in progress, not interrupted",
                int(result["live_calls"]),
            )
        )
    if result.get("jobs_resumed"):
        lines.append(
            say_n("{count} job pending again", "{count} jobs pending again", int(result["jobs_resumed"]))
        )
    return lines


def forget(result: Result) -> list[Block]:
    """The result of ``forget``."""
    jobs, calls = (
        say_n("{count} job", "{count} jobs", int(result["jobs"])),
        say_n("{count} call", "{count} calls", int(result["calls"])),
    )
    who = ", ".join(str(result[name]) for name in ("name", "dni") if result.get(name))
    lines: list[Block] = [
        say(
            "{who} is erased in {jobs} and {calls}; amounts, costs, outcomes and dates are kept",
            who=who or say("the person"),
            jobs=jobs,
            calls=calls,
        )
    ]
    if result["cancelled"]:
        lines.append(
            say_n(
                "{count} job that waited cancelled",
                "{count} jobs that waited cancelled",
                int(result["cancelled"]),
            )
        )
    later = list(result["later"])
    if later:
        shown = ", ".join(later[:_MAX_SHOWN]) + (say(" and more") if len(later) > _MAX_SHOWN else "")
        jobs = say_n("{count} more job", "{count} more jobs", len(later))
        lines.append(
            say(
                "{jobs} erased without another command, once the call is over and settled: {shown}",
                jobs=jobs,
                shown=shown,
            )
        )
    if result["has_more"]:
        lines.append(say("! there are more jobs than one command erases: give it again"))
    kept = [say("the number")] if result["number_kept"] else []
    kept += [say("the national id")] if result["id_kept"] else []
    if kept:
        what = say(" and ").join(kept)
        lines.append(say("the do-not-call list keeps {what}, so that nobody calls the person", what=what))
    return [*lines, str(result["retell"])]
