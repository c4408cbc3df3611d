"""From the result of any command to blocks; pure. A command without a renderer is shown field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from speechaid.protocol.translation import N_, say, say_n
from speechctl.render import (
    accounts,
    actions,
    agents,
    batches,
    diagnostics,
    identity,
    imports,
    lists,
    packs,
    people,
    test_calls,
)
from speechctl.render.alerts import alerts
from speechctl.render.blocks import MAX_CELL_WIDTH, Block, Heading, Result, sanitized, table
from speechctl.render.history import logs
from speechctl.render.report import report
from speechctl.render.status import status
from speechctl.render.text import (
    ERASED_WORDS,
    as_words,
    cause_text,
    counted_words,
    dials_first,
    duration,
    erased_text,
    local_time,
    local_time_with_zone,
    priority_text,
    zone_name,
)

#: What a progress message counts, by its state.
_PROGRESS_UNITS: Final = {
    "reading": N_("rows"),
    "importing": N_("contacts"),
    "listing": N_("numbers"),
    "exporting": N_("rows"),
    "releasing": N_("jobs"),
    "changing": N_("jobs"),
    "deleting": N_("contacts"),
    "comparing": N_("contacts"),
}
_STATUSES: Final = ("pending", "in_progress", "done", "failed", "suspended", "cancelled")


def render(command: str, result: Result) -> list[Block]:
    """A command's result as blocks."""
    renderer = _RENDERERS.get(command)
    blocks = renderer(result) if renderer is not None else _fields(result)
    if result.get("not_kept"):
        blocks = [
            *blocks,
            say(
                "! in effect, but not saved, so a restart would lose it: {not_kept}",
                not_kept=result["not_kept"],
            ),
        ]
    return [sanitized(block) if isinstance(block, str) else block for block in blocks]


def progress_line(progress: Result) -> str:
    """A progress message in one line; empty for those that say nothing to a person."""
    state = progress.get("state")
    if state == "waiting":
        return say_n(
            "done; waiting for {count} dial in flight ...",
            "done; waiting for {count} dials in flight ...",
            int(progress["on_their_way"]),
        )
    if state in _PROGRESS_UNITS and "done" in progress:
        of = say(" of {of}", of=progress["of"]) if "of" in progress else ""
        return f"{as_words(state)}: {progress['done']}{of} {say(_PROGRESS_UNITS[state])}{_pace(progress)} ..."
    if state == "draining":
        jobs = say_n("{count} job", "{count} jobs", int(progress["calls_in_hand"]))
        return say(
            "draining: {jobs} in hand, {seconds} so far{left} ...",
            jobs=jobs,
            seconds=duration(progress["seconds"]),
            left=_left(progress["left"]),
        )
    return "" if state == "accepted" else f"{as_words(state)} ..."


def _pace(progress: Result) -> str:
    if "per_second" not in progress:
        return ""
    left = (
        say(", {seconds_left} left", seconds_left=duration(progress["seconds_left"]))
        if "seconds_left" in progress
        else ""
    )
    return say(", {per_second:.0f} a second{left}", per_second=progress["per_second"], left=left)


def _drain(result: Result) -> list[Block]:
    jobs = int(result["calls_in_hand"])
    if result.get("stopped"):
        return [
            say("the daemon has stopped; it will start drained: speechctl undrain then lets it call again")
        ]
    if result.get("drained"):
        return [say("drained: no worker of this host takes jobs, no job is in hand; undrain ends this")]
    stopping = (
        say("; the daemon stops after the last one, and starts drained") if result.get("stopping") else ""
    )
    in_hand = (
        say_n("{count} job in hand{left}", "{count} jobs in hand{left}", jobs, left=_left(result))
        if jobs
        else say("no job in hand")
    )
    return [
        say(
            "draining: no worker of this host takes a new job; {in_hand}{stopping}",
            in_hand=in_hand,
            stopping=stopping,
        )
    ]


def _left(drain: Result) -> str:
    """How long the calls of the jobs in hand may still take."""
    estimate, at_most = drain.get("estimate_seconds"), drain.get("at_most_seconds")
    if not at_most:
        return ""
    estimated = "" if estimate is None else say(", about {estimate} left", estimate=duration(estimate))
    return say("{estimated}, at most {at_most}", estimated=estimated, at_most=duration(at_most))


def _undrain(_: Result) -> list[Block]:
    return [say("workers of this host take jobs again")]


def _worker(result: Result) -> list[Block]:
    if result["paused"]:
        return [say("{worker} is paused", worker=result["worker"])]
    return [say("{worker} takes jobs again", worker=result["worker"])]


def _scale(result: Result) -> list[Block]:
    return [
        say_n(
            "{count} worker wanted (before: {before})",
            "{count} workers wanted (before: {before})",
            int(result["wanted"]),
            before=result["before"],
        )
    ]


def _reload(result: Result) -> list[Block]:
    applied = ", ".join(result.get("applied", [])) or say("nothing new")
    lines: list[Block] = [say("settings read again; applied: {applied}", applied=applied)]
    if result.get("needs_restart"):
        lines.append(
            say("needs a restart: {needs_restart}", needs_restart=", ".join(result["needs_restart"]))
        )
    return [*lines, *(f"! {warning}" for warning in result.get("warnings", ()))]


def _log_level(result: Result) -> list[Block]:
    return [say("the log level is {level} until the next reload", level=result["level"])]


def _shutdown(result: Result) -> list[Block]:
    jobs = int(result["calls_in_hand"])
    if not jobs:
        return [say("stopping: no job in hand")]
    if result["now"]:
        return [
            say_n(
                "stopping: {count} job in hand, left to the next start or another host",
                "stopping: {count} jobs in hand, left to the next start or another host",
                jobs,
            )
        ]
    return [
        say_n(
            "stopping: {count} job in hand finishes first",
            "stopping: {count} jobs in hand finish first",
            jobs,
        )
    ]


def _create_batch(result: Result) -> list[Block]:
    state = "" if result["active"] else say(" (paused; resume-batch starts it)")
    return [
        f"{result['batch_id']}: {result['name']}{state}",
        *_warning(result),
        say("to add contacts: speechctl import FILE --batch {batch_id}", batch_id=result["batch_id"]),
    ]


def _warning(result: Result) -> list[Block]:
    return [f"! {result['warning']}"] if result.get("warning") else []


def _pause_batch(result: Result) -> list[Block]:
    return [
        say("{batch_name} is paused: no new call of it is placed", batch_name=_batch_name(result)),
        *actions.dial_wait(result),
    ]


def _resume_batch(result: Result) -> list[Block]:
    lines: list[Block] = [
        say("{name} was active already", name=_batch_name(result))
        if result["was_active"]
        else say("{name} is active again", name=_batch_name(result))
    ]
    lines += batches.change_lines(result)
    if result.get("started"):
        lines.append(
            say_n(
                "{count} imported contact started",
                "{count} imported contacts started",
                int(result["started"]),
            )
        )
    if result.get("first_calls") and not result.get("fault"):
        first = str(result["first_calls"]["text"])
        # Of a batch that was active nothing begins now that had not begun before.
        lines.append(say("nothing was changed; {first}", first=first) if _nothing_began(result) else first)
    lines += [*_warning(result), *agents.start_warning(result)]
    if result.get("fault"):
        lines.append(say("! it is still not dialled: {fault}; edit-batch corrects it", fault=result["fault"]))
    return lines


def _nothing_began(result: Result) -> bool:
    return bool(result["was_active"]) and not result.get("started")


def _hold(result: Result) -> list[Block]:
    if not result["held"]:
        if result["was_held"]:
            return [say("dialling is allowed again")]
        if result.get("was_held_here"):
            return [say("dialling is allowed again on this host; there was no hold of all hosts")]
        return [say("there was no hold")]
    return [say("HELD: no new dial on any host until unhold"), *actions.dial_wait(result)]


def _batches(result: Result) -> list[Block]:
    rows = [
        [row["batch_id"], row["name"], _state(row), *(row["jobs"].get(word, "") for word in _STATUSES)]
        for row in result["batches"]
    ]
    title = (
        say("as of {local_time_with_zone}", local_time_with_zone=local_time_with_zone(result["as_of"]))
        if result.get("as_of")
        else ""
    )
    blocks: list[Block] = [
        table(title, f"batch name state {' '.join('#' + word for word in _STATUSES)}", rows)
    ]
    if not rows:
        blocks = [say("there are no batches; speechctl import FILE creates one")]
    if first := dials_first(result["batches"]):
        blocks.append(first)
    # The table cuts long faults; an operator needs the whole text to correct the batch.
    cut = [row for row in result["batches"] if row.get("fault") and len(_state(row)) > MAX_CELL_WIDTH]
    blocks += [say("{batch_id} is {state}", batch_id=row["batch_id"], state=_state(row)) for row in cut]
    if result.get("left_out"):
        blocks.append(
            say_n(
                "and {count} older batch with jobs: --limit N",
                "and {count} older batches with jobs: --limit N",
                result["left_out"],
            )
        )
    for name, jobs in (result.get("missing") or {}).items():
        blocks.append(
            say("{name} does not exist, its jobs are not dialled: {counts}", name=name, counts=_counts(jobs))
        )
    if result.get("without_batch"):
        blocks.append(say("jobs without a batch: {counts}", counts=_counts(result["without_batch"])))
    return blocks


def _state(row: Result) -> str:
    if row["active"]:
        raised = f", {priority_text(row)}" if priority_text(row) else ""
        return (
            say("not dialled: {fault}", fault=row["fault"])
            if row.get("fault")
            else f"{say('active')}{raised}"
        )
    return batches.batch_state(row)


def _jobs(result: Result) -> list[Block]:
    rows = [
        [
            row["job_id"],
            as_words(row["status"]),
            row["name"] or erased_text(row),
            row["attempts"],
            f"{min(row['phone'] + 1, row['phones_count'])}/{row['phones_count']}",
            as_words(row["outcome"] or ""),
            local_time(row["due_at"] or row["lease_until"]),
        ]
        for row in result["jobs"]
    ]
    if not rows:
        return [say("there are no such jobs")]
    blocks: list[Block] = [
        table("", "job status name #attempts phone last_outcome due_or_leased_until", rows)
    ]
    if any(row[-1] for row in rows):
        blocks.append(say("times in {zone_name}", zone_name=zone_name(result.get("as_of"))))
    if len(rows) >= result["limit"]:
        blocks.append(say("the first {rows} are shown; --limit shows more", rows=len(rows)))
    return blocks


def _job(result: Result) -> list[Block]:
    hidden = {
        "job_id",
        "status",
        "phone",
        "phones_count",
        "calls",
        "events",
        "dial",
        "request",
        "erased",
        "paid",
    }
    shown = {
        name: value
        for name, value in result.items()
        if name not in hidden and (name, value) != ("crashes", 0)
    }
    if shown.get("outcome"):
        shown["outcome"] = as_words(shown["outcome"])
    shown["next_phone"] = say(
        "{phone} of {phones_count}", phone=result["phone"] + 1, phones_count=result["phones_count"]
    )
    blocks: list[Block] = [
        Heading(
            text=say(
                "{job_id}: {status}, times in {zone_name}",
                job_id=result["job_id"],
                status=as_words(result["status"]),
                zone_name=zone_name(),
            )
        ),
        *_fields(shown),
    ]
    if result.get("paid"):
        blocks += people.paid_lines(result["paid"])
    if result.get("erased"):
        blocks.append(f"{say(ERASED_WORDS[result['erased']['what']])}: {erased_text(result)}")
    if result.get("dial"):
        blocks.append(say("open dial: {pairs}", pairs=_pairs(result["dial"])))
    if result.get("request"):
        blocks.append(
            say("requested, applied when the call has ended: {pairs}", pairs=_pairs(result["request"]))
        )
    calls = [
        [
            local_time(row.get("created_at")),
            row.get("call_id"),
            row.get("phone"),
            as_words(row.get("outcome") or row.get("call_status") or ""),
            row.get("disconnection_reason"),
            duration(float(row.get("duration_ms") or 0) / 1000),
            _agent_of(row),
        ]
        for row in result["calls"]
    ]
    blocks.append(
        table("calls", "ended call phone outcome reason #talked agent", calls)
        if calls
        else say("no calls yet")
    )
    blocks += [_analysis(row) for row in result["calls"] if row.get("analysis") or row.get("analysis_due_at")]
    events = [
        [local_time(row.get("at")), row.get("event"), _pairs(row, without={"at", "event"})]
        for row in result["events"]
    ]
    if events:
        blocks.append(table("events", "at event details", events))
    return blocks


def _agent_of(call: Result) -> str:
    """``agent_1 v3`` of a call; an earlier version recorded none."""
    version = call.get("agent_version")
    return f"{call.get('agent_id') or ''}{'' if version is None else f' v{version}'}"


def _analysis(call: Result) -> str:
    """Retell's analysis of a call."""
    analysis = call.get("analysis")
    if not analysis:
        return say(
            "analysis of {call_id}: will be read {analysis_due_at}",
            call_id=call["call_id"],
            analysis_due_at=local_time(call["analysis_due_at"]),
        )
    success = {True: say("successful"), False: say("not successful")}.get(analysis.get("call_successful"))
    parts = [
        success,
        say(str(analysis.get("user_sentiment") or "")),
        say("voicemail") if analysis.get("in_voicemail") else None,
    ]
    judged = ", ".join(str(part) for part in parts if part)
    summary = analysis.get("call_summary")
    return say(
        "analysis of {call_id}: {judged}{summary}",
        call_id=call["call_id"],
        judged=judged,
        summary=(f": {summary}" if summary else ""),
    )


def _batch_name(result: Result) -> str:
    name = result.get("name")
    return f"{result['batch_id']} ({name})" if name else str(result["batch_id"])


def _counts(counts: Result) -> str:
    return counted_words(counts) or say("none")


def _fields(result: Result) -> list[Block]:
    """Any result: one line for each field that is not empty."""
    return [
        f"{as_words(name)}: {_value(value)}"
        for name, value in result.items()
        if value not in (None, "", [], {})
    ]


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return _pairs(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_value, value))
    return local_time(value) if _is_time(value) else str(value)


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or len(value) < 19 or value[10] != "T":
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _pairs(fields: Result, without: frozenset[str] | set[str] = frozenset()) -> str:
    return " ".join(
        f"{name}={cause_text(value) if name == 'cause' else _value(value)}"
        for name, value in fields.items()
        if name not in without and value is not None
    )


#: A command's name, and what renders its result.
_RENDERERS: Final[Mapping[str, Callable[[Result], list[Block]]]] = {
    "status": status,
    "alerts": alerts,
    **dict.fromkeys(
        ("user-add", "user-edit", "user-password", "user-disable", "user-enable"), identity.one_user
    ),
    "users": identity.users,
    "user-sessions": identity.user_sessions,
    "user-logout": identity.ended_sessions,
    "token-add": identity.new_token,
    "tokens": identity.tokens,
    "token-revoke": identity.revoked_token,
    "drain": _drain,
    "undrain": _undrain,
    "pause-worker": _worker,
    "resume-worker": _worker,
    "scale": _scale,
    "reload": _reload,
    "log-level": _log_level,
    "shutdown": _shutdown,
    "batches": _batches,
    "batch": batches.batch,
    "edit-batch": batches.edit_batch,
    "redial-batch": batches.redial_batch,
    "delete-batch": batches.delete_batch,
    "create-batch": _create_batch,
    "pause-batch": _pause_batch,
    "resume-batch": _resume_batch,
    "check-agent": agents.check_agent,
    "agents": agents.agents,
    "numbers": agents.numbers,
    "packs": packs.packs,
    "pack": packs.pack,
    "check-pack": packs.check_pack,
    "set-pack": packs.set_pack,
    "import": imports.contacts_import,
    "undo-import": imports.undo_import,
    "forget": actions.forget,
    "jobs": _jobs,
    "job": _job,
    "hold": _hold,
    "unhold": _hold,
    "report": report,
    "promises": lists.promises,
    "export": lists.export,
    "imports": lists.imports,
    "dnc": lists.dnc,
    "dnc-add": lists.dnc_add,
    "dnc-remove": lists.dnc_remove,
    "dnc-import": lists.dnc_import,
    "pause-all": actions.pause_all,
    "resume-all": actions.resume_all,
    "cancel-batch": actions.cancel_batch,
    "suspend-job": actions.job_action,
    "resume-job": actions.job_action,
    "cancel-job": actions.job_action,
    "hang-up": actions.hang_up,
    "release-stuck": actions.release,
    "reset-jobs": actions.reset,
    "accounts": accounts.accounts,
    "account": accounts.account,
    "create-account": accounts.create_account,
    "edit-account": accounts.edit_account,
    "top-up": accounts.top_up,
    "transactions": accounts.transactions,
    "suspend-account": actions.account,
    "resume-account": actions.account,
    "person": people.person,
    "evidence": people.evidence,
    "opt-out": people.opt_out,
    "paid": people.paid,
    "explain": diagnostics.explain,
    "forecast": diagnostics.forecast,
    "doctor": diagnostics.doctor,
    "keys": lists.keys,
    "ids": lists.ids,
    "logs": logs,
    "call": test_calls.call,
    "recording": test_calls.recording,
    "test-call": test_calls.test_call,
    "test-result": test_calls.test_result,
    "test-numbers": test_calls.test_numbers,
    "test-number-add": test_calls.test_number_add,
    "test-number-remove": test_calls.test_number_remove,
}
