"""From the result of any command to blocks; pure. A command without a renderer is shown field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

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
    dials_first,
    duration,
    erased_text,
    local_time,
    local_time_with_zone,
    plural,
    priority_text,
    zone_name,
)

#: What a progress message counts, by its state.
_PROGRESS_UNITS: Final = {
    "reading": "rows",
    "importing": "contacts",
    "listing": "numbers",
    "exporting": "rows",
    "releasing": "jobs",
    "changing": "jobs",
    "deleting": "contacts",
    "comparing": "contacts",
}
_STATUSES: Final = ("pending", "in_progress", "done", "failed", "suspended", "cancelled")


def render(command: str, result: Result) -> list[Block]:
    """A command's result as blocks."""
    renderer = _RENDERERS.get(command)
    blocks = renderer(result) if renderer is not None else _fields(result)
    if result.get("not_kept"):
        blocks = [*blocks, f"! in effect, but not saved, so a restart would lose it: {result['not_kept']}"]
    return [sanitized(block) if isinstance(block, str) else block for block in blocks]


def progress_line(progress: Result) -> str:
    """A progress message in one line; empty for those that say nothing to a person."""
    state = progress.get("state")
    if state == "waiting":
        return f"done; waiting for {plural(int(progress['on_their_way']), 'dial')} in flight ..."
    if state in _PROGRESS_UNITS and "done" in progress:
        of = f" of {progress['of']}" if "of" in progress else ""
        return f"{state}: {progress['done']}{of} {_PROGRESS_UNITS[state]}{_pace(progress)} ..."
    if state == "draining":
        jobs = plural(int(progress["calls_in_hand"]), "job")
        return (
            f"draining: {jobs} in hand, {duration(progress['seconds'])} so far{_left(progress['left'])} ..."
        )
    return "" if state == "accepted" else f"{state} ..."


def _pace(progress: Result) -> str:
    if "per_second" not in progress:
        return ""
    left = f", {duration(progress['seconds_left'])} left" if "seconds_left" in progress else ""
    return f", {progress['per_second']:.0f} a second{left}"


def _drain(result: Result) -> list[Block]:
    jobs = int(result["calls_in_hand"])
    if result.get("stopped"):
        return ["the daemon has stopped; it will start drained: speechctl undrain then lets it call again"]
    if result.get("drained"):
        return ["drained: no worker of this host takes jobs, no job is in hand; undrain ends this"]
    stopping = "; the daemon stops after the last one, and starts drained" if result.get("stopping") else ""
    in_hand = f"{plural(jobs, 'job')} in hand{_left(result)}" if jobs else "no job in hand"
    return [f"draining: no worker of this host takes a new job; {in_hand}{stopping}"]


def _left(drain: Result) -> str:
    """How long the calls of the jobs in hand may still take."""
    estimate, at_most = drain.get("estimate_seconds"), drain.get("at_most_seconds")
    if not at_most:
        return ""
    estimated = "" if estimate is None else f", about {duration(estimate)} left"
    return f"{estimated}, at most {duration(at_most)}"


def _undrain(_: Result) -> list[Block]:
    return ["workers of this host take jobs again"]


def _worker(result: Result) -> list[Block]:
    return [f"{result['worker']} {'is paused' if result['paused'] else 'takes jobs again'}"]


def _scale(result: Result) -> list[Block]:
    return [f"{plural(int(result['wanted']), 'worker')} wanted (before: {result['before']})"]


def _reload(result: Result) -> list[Block]:
    applied = ", ".join(result.get("applied", [])) or "nothing new"
    lines: list[Block] = [f"settings read again; applied: {applied}"]
    if result.get("needs_restart"):
        lines.append(f"needs a restart: {', '.join(result['needs_restart'])}")
    return [*lines, *(f"! {warning}" for warning in result.get("warnings", ()))]


def _log_level(result: Result) -> list[Block]:
    return [f"the log level is {result['level']} until the next reload"]


def _shutdown(result: Result) -> list[Block]:
    jobs = int(result["calls_in_hand"])
    if not jobs:
        return ["stopping: no job in hand"]
    if result["now"]:
        return [f"stopping: {plural(jobs, 'job')} in hand, left to the next start or another host"]
    return [f"stopping: {plural(jobs, 'job in hand finishes first', 'jobs in hand finish first')}"]


def _create_batch(result: Result) -> list[Block]:
    state = "" if result["active"] else " (paused; resume-batch starts it)"
    return [
        f"{result['batch_id']}: {result['name']}{state}",
        *_warning(result),
        f"to add contacts: speechctl import FILE --batch {result['batch_id']}",
    ]


def _warning(result: Result) -> list[Block]:
    return [f"! {result['warning']}"] if result.get("warning") else []


def _pause_batch(result: Result) -> list[Block]:
    return [f"{_batch_name(result)} is paused: no new call of it is placed", *actions.dial_wait(result)]


def _resume_batch(result: Result) -> list[Block]:
    lines: list[Block] = [
        f"{_batch_name(result)} {'was active already' if result['was_active'] else 'is active again'}"
    ]
    lines += batches.change_lines(result)
    if result.get("started"):
        lines.append(f"{plural(int(result['started']), 'imported contact')} started")
    if result.get("first_calls") and not result.get("fault"):
        first = str(result["first_calls"]["text"])
        # Of a batch that was active nothing begins now that had not begun before.
        lines.append(f"nothing was changed; {first}" if _nothing_began(result) else first)
    lines += [*_warning(result), *agents.start_warning(result)]
    if result.get("fault"):
        lines.append(f"! it is still not dialled: {result['fault']}; edit-batch corrects it")
    return lines


def _nothing_began(result: Result) -> bool:
    return bool(result["was_active"]) and not result.get("started")


def _hold(result: Result) -> list[Block]:
    if not result["held"]:
        if result["was_held"]:
            return ["dialling is allowed again"]
        if result.get("was_held_here"):
            return ["dialling is allowed again on this host; there was no hold of all hosts"]
        return ["there was no hold"]
    return ["HELD: no new dial on any host until unhold", *actions.dial_wait(result)]


def _batches(result: Result) -> list[Block]:
    rows = [
        [row["batch_id"], row["name"], _state(row), *(row["jobs"].get(word, "") for word in _STATUSES)]
        for row in result["batches"]
    ]
    title = f"as of {local_time_with_zone(result['as_of'])}" if result.get("as_of") else ""
    blocks: list[Block] = [
        table(title, f"batch name state {' '.join('#' + word for word in _STATUSES)}", rows)
    ]
    if not rows:
        blocks = ["there are no batches; speechctl import FILE creates one"]
    if first := dials_first(result["batches"]):
        blocks.append(first)
    # The table cuts long faults; an operator needs the whole text to correct the batch.
    cut = [row for row in result["batches"] if row.get("fault") and len(_state(row)) > MAX_CELL_WIDTH]
    blocks += [f"{row['batch_id']} is {_state(row)}" for row in cut]
    if result.get("left_out"):
        blocks.append(
            f"and {plural(result['left_out'], 'older batch', 'older batches')} with jobs: --limit N"
        )
    for name, jobs in (result.get("missing") or {}).items():
        blocks.append(f"{name} does not exist, its jobs are not dialled: {_counts(jobs)}")
    if result.get("without_batch"):
        blocks.append(f"jobs without a batch: {_counts(result['without_batch'])}")
    return blocks


def _state(row: Result) -> str:
    if row["active"]:
        raised = f", {priority_text(row)}" if priority_text(row) else ""
        return f"not dialled: {row['fault']}" if row.get("fault") else f"active{raised}"
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
        return ["there are no such jobs"]
    blocks: list[Block] = [
        table("", "job status name #attempts phone last_outcome due_or_leased_until", rows)
    ]
    if any(row[-1] for row in rows):
        blocks.append(f"times in {zone_name(result.get('as_of'))}")
    if len(rows) >= result["limit"]:
        blocks.append(f"the first {len(rows)} are shown; --limit shows more")
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
    shown["next_phone"] = f"{result['phone'] + 1} of {result['phones_count']}"
    blocks: list[Block] = [
        Heading(text=f"{result['job_id']}: {as_words(result['status'])}, times in {zone_name()}"),
        *_fields(shown),
    ]
    if result.get("paid"):
        blocks += people.paid_lines(result["paid"])
    if result.get("erased"):
        blocks.append(f"{ERASED_WORDS[result['erased']['what']]}: {erased_text(result)}")
    if result.get("dial"):
        blocks.append(f"open dial: {_pairs(result['dial'])}")
    if result.get("request"):
        blocks.append(f"requested, applied when the call has ended: {_pairs(result['request'])}")
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
        table("calls", "ended call phone outcome reason #talked agent", calls) if calls else "no calls yet"
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
        return f"analysis of {call['call_id']}: will be read {local_time(call['analysis_due_at'])}"
    success = {True: "successful", False: "not successful"}.get(analysis.get("call_successful"))
    parts = [success, analysis.get("user_sentiment"), "voicemail" if analysis.get("in_voicemail") else None]
    judged = ", ".join(str(part) for part in parts if part)
    summary = analysis.get("call_summary")
    return f"analysis of {call['call_id']}: {judged}{f': {summary}' if summary else ''}"


def _batch_name(result: Result) -> str:
    name = result.get("name")
    return f"{result['batch_id']} ({name})" if name else str(result["batch_id"])


def _counts(counts: Result) -> str:
    return ", ".join(f"{number} {as_words(word)}" for word, number in counts.items()) or "none"


def _fields(result: Result) -> list[Block]:
    """Any result: one line for each field that is not empty."""
    return [
        f"{name.replace('_', ' ')}: {_value(value)}"
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
    "opt-out": people.opt_out,
    "paid": people.paid,
    "explain": diagnostics.explain,
    "forecast": diagnostics.forecast,
    "doctor": diagnostics.doctor,
    "keys": lists.keys,
    "ids": lists.ids,
    "logs": logs,
    "test-call": test_calls.test_call,
    "test-result": test_calls.test_result,
    "test-numbers": test_calls.test_numbers,
    "test-number-add": test_calls.test_number_add,
    "test-number-remove": test_calls.test_number_remove,
}
