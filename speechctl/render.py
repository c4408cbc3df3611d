"""Answers for people: from a result to blocks; pure. A command without a row here is shown field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from speechctl import render_insight, render_lists, render_orders
from speechctl.blocks import WIDEST, Block, Heading, as_text, grid, harmless
from speechctl.render_alerts import alerts
from speechctl.render_history import logs
from speechctl.render_report import report
from speechctl.render_status import status
from speechctl.words import call_word, duration, instant, paused, plural

__all__ = ["as_text", "progress_line", "render"]

Result = Mapping[str, Any]
#: Rows of bad lines shown one by one; --json has them all.
_MOST_SHOWN: Final = 50
#: What a progress counts, by what is being done.
_COUNTED: Final = {
    "importing": "contacts",
    "listing": "numbers",
    "exporting": "rows",
    "releasing": "jobs",
    "changing": "jobs",
}
_STATUSES: Final = ("pending", "in_progress", "done", "failed", "suspended", "cancelled")


def render(command: str, result: Result) -> list[Block]:
    """The answer to a command."""
    renderer = _RENDERERS.get(command)
    blocks = renderer(result) if renderer is not None else _fields(result)
    if result.get("not_kept"):
        blocks = [*blocks, f"! it holds, but a restart would not know it: {result['not_kept']}"]
    return [harmless(block) if isinstance(block, str) else block for block in blocks]


def progress_line(progress: Result) -> str:
    """How far the daemon is, in one line; empty where it is not worth one."""
    state = progress.get("state")
    if state == "waiting":
        return f"done; waiting for {plural(int(progress['on_their_way']), 'dial')} on the way ..."
    if state in _COUNTED:
        of = f" of {progress['of']}" if "of" in progress else ""
        return f"{state}: {progress['done']}{of} {_COUNTED[state]} ..."
    if state == "draining":
        calls = plural(int(progress["calls_in_hand"]), "call")
        return (
            f"draining: {calls} in hand, {duration(progress['seconds'])} so far{_left(progress['left'])} ..."
        )
    return "" if state == "accepted" else f"{state} ..."


def _drain(result: Result) -> list[Block]:
    calls = int(result["calls_in_hand"])
    if result.get("stopped"):
        return ["the daemon has stopped; it starts drained: speechctl undrain lets it call again"]
    if result.get("drained"):
        return ["drained: no worker of this host takes jobs, no call is in hand; undrain ends this"]
    stopping = "; the daemon stops after the last one, and starts drained" if result.get("stopping") else ""
    in_hand = f"{plural(calls, 'call')} in hand{_left(result)}" if calls else "no call in hand"
    return [f"draining: no worker of this host takes a new job; {in_hand}{stopping}"]


def _left(drain: Result) -> str:
    """How long the calls in hand may go on yet."""
    estimate, at_most = drain.get("estimate_seconds"), drain.get("at_most_seconds")
    if not at_most:
        return ""
    usual = "" if estimate is None else f", about {duration(estimate)} left"
    return f"{usual}, at most {duration(at_most)}"


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
    return lines


def _log_level(result: Result) -> list[Block]:
    return [f"logging from {result['level']} on, until the next reload"]


def _shutdown(result: Result) -> list[Block]:
    calls = int(result["calls_in_hand"])
    if not calls:
        return ["stopping: no call in hand"]
    if result["now"]:
        return [f"stopping: {plural(calls, 'call')} in hand, handed over to the next start"]
    return [f"stopping: {plural(calls, 'call in hand finishes first', 'calls in hand finish first')}"]


def _create_batch(result: Result) -> list[Block]:
    state = "" if result["active"] else " (paused; resume-batch starts it)"
    return [
        f"{result['batch_id']}: {result['name']}{state}",
        *_warning(result),
        f"fill it: speechctl import FILE --batch {result['batch_id']}",
    ]


def _warning(result: Result) -> list[Block]:
    return [f"! {result['warning']}"] if result.get("warning") else []


def _pause_batch(result: Result) -> list[Block]:
    return [f"{_batch_name(result)} is paused: no new call of it is placed", *render_orders.quiet(result)]


def _resume_batch(result: Result) -> list[Block]:
    lines: list[Block] = [
        f"{_batch_name(result)} {'was active already' if result['was_active'] else 'is active again'}"
    ]
    if result.get("fault"):
        lines.append(
            f"! it is not dialled all the same: {result['fault']}; correct the batch's call_settings"
        )
    return lines


def _hold(result: Result) -> list[Block]:
    if not result["held"]:
        return ["dials may go out again" if result["was_held"] else "there was no hold"]
    return ["HELD: no new dial on any host until unhold", *render_orders.quiet(result)]


def _batches(result: Result) -> list[Block]:
    rows = [
        [row["batch_id"], row["name"], _state(row), *(row["jobs"].get(word, "") for word in _STATUSES)]
        for row in result["batches"]
    ]
    blocks: list[Block] = [grid("", f"batch name state {' '.join('#' + word for word in _STATUSES)}", rows)]
    if not rows:
        blocks = ["there are no batches; make one with: speechctl import FILE"]
    # What the table has no room for is the whole of what there is to mend.
    cut = [row for row in result["batches"] if row.get("fault") and len(_state(row)) > WIDEST]
    blocks += [f"{row['batch_id']} is {_state(row)}" for row in cut]
    if result.get("without_batch"):
        blocks.append(f"jobs without a batch: {_counts(result['without_batch'])}")
    return blocks


def _state(row: Result) -> str:
    if row["active"]:
        return f"not dialled: {row['fault']}" if row.get("fault") else "active"
    return paused(row.get("pause"))


def _jobs(result: Result) -> list[Block]:
    rows = [
        [
            row["job_id"],
            call_word(row["status"]),
            row["name"],
            row["attempts"],
            f"{min(row['phone'] + 1, row['phones_count'])}/{row['phones_count']}",
            call_word(row["outcome"] or ""),
            instant(row["due_at"] or row["lease_until"]),
        ]
        for row in result["jobs"]
    ]
    if not rows:
        return ["there are no such jobs"]
    blocks: list[Block] = [grid("", "job status name #attempts phone last_outcome due_or_leased_until", rows)]
    if len(rows) >= result["limit"]:
        blocks.append(f"the first {len(rows)}; --limit shows more")
    return blocks


def _job(result: Result) -> list[Block]:
    hidden = {"job_id", "status", "phone", "phones_count", "calls", "events", "dial", "request"}
    shown = {
        name: value
        for name, value in result.items()
        if name not in hidden and (name, value) != ("crashes", 0)
    }
    shown["next_phone"] = f"{result['phone'] + 1} of {result['phones_count']}"
    blocks: list[Block] = [
        Heading(text=f"{result['job_id']}: {call_word(result['status'])}"),
        *_fields(shown),
    ]
    if result.get("dial"):
        blocks.append(f"open dial: {_pairs(result['dial'])}")
    if result.get("request"):
        blocks.append(f"asked for, done when the call has ended: {_pairs(result['request'])}")
    calls = [
        [
            instant(row.get("created_at")),
            row.get("call_id"),
            row.get("phone"),
            call_word(row.get("outcome") or row.get("call_status") or ""),
            row.get("disconnection_reason"),
            duration(float(row.get("duration_ms") or 0) / 1000),
        ]
        for row in result["calls"]
    ]
    blocks.append(
        grid("calls", "ended call phone outcome reason #talked", calls) if calls else "no calls yet"
    )
    blocks += [_analysis(row) for row in result["calls"] if row.get("analysis") or row.get("analysis_due_at")]
    events = [
        [instant(row.get("at")), row.get("event"), _pairs(row, without={"at", "event"})]
        for row in result["events"]
    ]
    if events:
        blocks.append(grid("events", "at event details", events))
    return blocks


def _analysis(call: Result) -> str:
    """What Retell made of a call."""
    found = call.get("analysis")
    if not found:
        return f"analysis of {call['call_id']}: asked for {instant(call['analysis_due_at'])}"
    verdict = {True: "successful", False: "not successful"}.get(found.get("call_successful"))
    parts = [verdict, found.get("user_sentiment"), "voicemail" if found.get("in_voicemail") else None]
    words = ", ".join(str(part) for part in parts if part)
    summary = found.get("call_summary")
    return f"analysis of {call['call_id']}: {words}{f': {summary}' if summary else ''}"


def _import(result: Result) -> list[Block]:
    there = f"; {result['already_there']} were there already" if result["already_there"] else ""
    if result["dry_run"]:
        head = f"{result['file']}: {plural(int(result['would_import']), 'contact')} would be imported{there}"
    else:
        head = f"{_batch_name(result)}: {plural(int(result['imported']), 'contact')} imported{there}"
        head += "" if result["active"] else " (paused; resume-batch starts it)"
    blocks: list[Block] = [head, *_warning(result)]
    blocks += _listed(result, "bad_rows", "bad row", "reason")
    if result.get("bad_rows_file"):
        blocks.append(f"bad rows are written to {result['bad_rows_file']}: mend them and import that file")
    blocks += _listed(result, "remarks", "remark", "text")
    return blocks


def _listed(result: Result, name: str, noun: str, field: str) -> list[Block]:
    count, rows = int(result[f"{name}_count"]), result[name][:_MOST_SHOWN]
    if not count:
        return []
    lines: list[Block] = [f"{plural(count, noun)}{', not imported' if name == 'bad_rows' else ''}:"]
    lines += [f"  line {row['line']}: {row[field]}" for row in rows]
    if count > len(rows):
        where = "--bad-rows FILE writes them down" if name == "bad_rows" else "--json lists them"
        lines.append(f"  and {count - len(rows)} more ({where})")
    return lines


def _batch_name(result: Result) -> str:
    name = result.get("name")
    return f"{result['batch_id']} ({name})" if name else str(result["batch_id"])


def _counts(counts: Result) -> str:
    return ", ".join(f"{number} {call_word(word)}" for word, number in counts.items()) or "none"


def _fields(result: Result) -> list[Block]:
    """Any answer: one line a field, empty ones left out."""
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
    return instant(value) if _is_instant(value) else str(value)


def _is_instant(value: object) -> bool:
    if not isinstance(value, str) or len(value) < 19 or value[10] != "T":
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _pairs(fields: Result, without: frozenset[str] | set[str] = frozenset()) -> str:
    return " ".join(
        f"{name}={_value(value)}"
        for name, value in fields.items()
        if name not in without and value is not None
    )


_RENDERERS: Final[Mapping[str, Callable[[Result], list[Block]]]] = {
    "status": status,
    "alerts": alerts,
    "drain": _drain,
    "undrain": _undrain,
    "pause-worker": _worker,
    "resume-worker": _worker,
    "scale": _scale,
    "reload": _reload,
    "log-level": _log_level,
    "shutdown": _shutdown,
    "batches": _batches,
    "create-batch": _create_batch,
    "pause-batch": _pause_batch,
    "resume-batch": _resume_batch,
    "import": _import,
    "jobs": _jobs,
    "job": _job,
    "hold": _hold,
    "unhold": _hold,
    "report": report,
    "promises": render_lists.promises,
    "export": render_lists.export,
    "imports": render_lists.imports,
    "dnc": render_lists.dnc,
    "dnc-add": render_lists.dnc_add,
    "dnc-remove": render_lists.dnc_remove,
    "dnc-import": render_lists.dnc_import,
    "pause-all": render_orders.pause_all,
    "resume-all": render_orders.resume_all,
    "cancel-batch": render_orders.cancel_batch,
    "suspend-job": render_orders.job_order,
    "resume-job": render_orders.job_order,
    "cancel-job": render_orders.job_order,
    "hang-up": render_orders.hang_up,
    "release-stuck": render_orders.release,
    "reset-jobs": render_orders.reset,
    "suspend-account": render_orders.account,
    "resume-account": render_orders.account,
    "explain": render_insight.explain,
    "forecast": render_insight.forecast,
    "doctor": render_insight.doctor,
    "keys": render_insight.keys,
    "ids": render_insight.ids,
    "logs": logs,
}
