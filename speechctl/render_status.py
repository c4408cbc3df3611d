"""``status`` for people: the whole daemon on one screen; pure.

What the loop knows is always there; what the clerk last read of the database may be missing or old, and the
screen says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from speechctl.blocks import Block, Heading, grid
from speechctl.render_alerts import summary_of
from speechctl.words import call_word, duration, instant, paused, plural, zoned

Result = Mapping[str, Any]
#: More workers than this are summed up by state; --json has them all.
_MOST_WORKERS: Final = 60
#: Jobs are counted in this order, so that two looks can be compared; what is not here comes last.
_STATUSES: Final = ("pending", "in_progress", "done", "failed", "suspended", "cancelled", "scheduled")
_QUEUE_ORDER: Final = {word: place for place, word in enumerate(_STATUSES)}


def status(result: Result) -> list[Block]:
    """The answer to ``status``."""
    supervisor = result["supervisor"]
    blocks: list[Block] = [Heading(text=head_of(supervisor)), *_warnings(result)]
    blocks.append(_fleet_line(supervisor, result["workers"]))
    if result.get("database"):
        blocks.append(_database_line(result["database"]))
    if result.get("counted_at"):
        blocks.append(_queue_line(result))
    if result.get("metrics"):
        blocks.append(f"metrics: http://{result['metrics']}/metrics")
    blocks += _workers(result["workers"])
    if result.get("batches"):
        odd = _not_understood(result).get("named", [])
        rows = [
            [row["batch_id"], row.get("name"), _batch_state(row, odd), *_job_cells(row.get("jobs", {}))]
            for row in result["batches"]
        ]
        blocks.append(grid("batches", "batch name state #pending #in_progress #done #failed #other", rows))
    if result.get("batches_left_out"):
        blocks.append(f"and {plural(result['batches_left_out'], 'batch', 'batches')} more: speechctl batches")
    return blocks


def warnings_of(result: Result) -> list[str]:
    """What an operator must not overlook, as lines."""
    return [str(line) for line in _warnings(result)]


def head_of(supervisor: Result) -> str:
    """Who and where the daemon is, and how it fares."""
    started = supervisor.get("started_at")
    since = f", up since {zoned(started)}" if started else ""
    return (
        f"speechaid {supervisor.get('version')} on {supervisor.get('host')}, pid {supervisor.get('pid')}: "
        f"{supervisor.get('state')}{since}"
    )


def _warnings(result: Result) -> list[Block]:
    """What an operator must not overlook, each with its remedy."""
    supervisor = result["supervisor"]
    lines: list[Block] = []
    hold = result.get("fleet_hold")
    if hold:
        why = f": {hold['reason']}" if hold.get("reason") else ""
        lines.append(
            f"! HELD on all hosts by {hold.get('by')} since {instant(hold.get('at'))}{why} (speechctl unhold)"
        )
    elif supervisor.get("held"):
        lines.append("! HELD on this host: no new dial (speechctl unhold)")
    if supervisor.get("no_space"):
        lines.append(f"! HELD on this host for want of room: {supervisor['no_space']}")
    if supervisor.get("orders_not_kept"):
        lines.append(
            f"! these orders stand, but a restart would not know them: {supervisor['orders_not_kept']}"
        )
    lines += [
        f"! the disk of the {disk['of']} is full: {disk['free_mb']} MiB free in {disk['path']} (make room)"
        for disk in result.get("disks") or []
        if disk["full"]
    ]
    if supervisor.get("draining"):
        lines.append("! draining: no worker of this host takes a new job (speechctl undrain)")
    if supervisor.get("wanted") == 0:
        lines.append("! this host is scaled to 0 workers: it places no call (speechctl scale N)")
    if supervisor.get("dependency_away"):
        lines.append("! workers cannot start: something that they need is away (see the log)")
    loops = supervisor.get("crash_loops") or []
    if loops:
        lines.append(f"! crash loop: {', '.join(loops)} (see the log)")
    lines += [f"! {_breaker(row)}" for row in result.get("breakers") or [] if row.get("state") != "closed"]
    lines += [f"! alert {row.get('alert')}: {summary_of(row)}" for row in result.get("alerts") or []]
    odd = _not_understood(result)
    if odd.get("count"):
        names = ", ".join(odd["named"]) + (", ..." if odd["count"] > len(odd["named"]) else "")
        lines.append(
            f"! {plural(odd['count'], 'batch', 'batches')} not dialled, call settings not understood:"
            f" {names} (speechctl batches says why)"
        )
    return lines


def _not_understood(result: Result) -> Result:
    """Batches that are not called because nobody can tell when or how often they may be."""
    return (result.get("census") or {}).get("not_understood") or {}


def _breaker(row: Result) -> str:
    probe = f", next probe {instant(row['probe_at'])}" if row.get("probe_at") else ""
    key = str(row.get("_id", "")).removeprefix("key:")
    why = row.get("reason") or row.get("kind")
    return (
        f"dialling with key {key} is held, circuit breaker {row.get('state')}: {str(why).rstrip('.')}{probe}"
    )


def _fleet_line(supervisor: Result, workers: list[Result]) -> str:
    calls = sum(1 for worker in workers if worker.get("call"))
    jobs = sum(1 for worker in workers if worker.get("job"))
    parts = [
        f"workers: {supervisor.get('present')} of {supervisor.get('wanted')}",
        f"{plural(jobs, 'job')} in hand, {plural(calls, 'call')} going on",
        f"{plural(int(supervisor.get('calls_done') or 0), 'call')} done",
        plural(int(supervisor.get("restarts") or 0), "restart"),
    ]
    return "; ".join(parts)


def _database_line(database: Result) -> str:
    state = database.get("state")
    if state == "up":
        return "database: up"
    if state == "unknown":
        return "database: not asked yet"
    return f"! database: {state}: {database.get('error') or 'no answer'}"


def _queue_line(result: Result) -> str:
    queue = sorted(result["queue"].items(), key=lambda item: _QUEUE_ORDER.get(item[0], len(_QUEUE_ORDER)))
    counts = ", ".join(f"{number} {call_word(word)}" for word, number in queue) or "none"
    return f"jobs: {counts} (as of {instant(result['counted_at'])})"


def _workers(workers: list[Result]) -> list[Block]:
    if len(workers) > _MOST_WORKERS:
        states: dict[str, int] = {}
        for worker in workers:
            states[_worker_state(worker)] = states.get(_worker_state(worker), 0) + 1
        rows = sorted(states.items(), key=lambda item: -item[1])
        return [grid("workers by state (--json lists them)", "state #workers", rows)]
    return [
        grid(
            "workers",
            "worker state job call #for #calls #restarts",
            [
                [
                    worker["slot"],
                    _worker_state(worker),
                    worker.get("job"),
                    worker.get("call"),
                    duration(worker.get("for_seconds")),
                    worker.get("calls_done"),
                    sum(worker.get("restarts", {}).values()),
                ]
                for worker in workers
            ],
        )
    ]


def _worker_state(worker: Result) -> str:
    state = str(worker.get("state"))
    if worker.get("starts_in_seconds"):
        state = f"starts in {duration(worker['starts_in_seconds'])}"
    marks = [word for word in ("crash_loop", "leaving", "paused") if worker.get(word) and word != state]
    return ", ".join([call_word(state), *(call_word(mark) for mark in marks)])


def _batch_state(row: Result, not_understood: Sequence[str]) -> str:
    if row.get("active") is None:
        return "not dialled: there is no such batch"
    if row["active"]:
        odd = row["batch_id"] in not_understood
        return "not dialled: settings not understood" if odd else "active"
    return paused(row.get("pause"))


def _job_cells(counts: Mapping[str, int]) -> list[object]:
    shown = ("pending", "in_progress", "done", "failed")
    other = sum(number for word, number in counts.items() if word not in shown)
    return [*(counts.get(word, 0) for word in shown), other]
