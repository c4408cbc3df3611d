"""The result of ``status`` as blocks: the whole daemon on one screen; pure.

The supervisor's own state is always current. What its database thread read last may be missing or old, and
is shown with its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from speechctl.render.alerts import summary_of
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import (
    as_words,
    duration,
    local_time,
    local_time_with_zone,
    pause_text,
    plural,
    priority_text,
)

#: More workers than this are counted by state; --json lists all.
_MAX_WORKERS: Final = 60
#: Paused batches that a warning names.
_MAX_NAMED: Final = 5
#: Order of the counts, the same each time so that two readings can be compared; other statuses come last.
_STATUSES: Final = ("pending", "in_progress", "done", "failed", "suspended", "cancelled", "scheduled")
_QUEUE_ORDER: Final = {status: place for place, status in enumerate(_STATUSES)}


def status(result: Result) -> list[Block]:
    """The result of ``status``."""
    supervisor = result["supervisor"]
    blocks: list[Block] = [Heading(text=head_of(supervisor)), *_warnings(result)]
    blocks.append(_fleet_line(supervisor, result["workers"]))
    if result.get("database"):
        blocks.append(_database_line(result["database"], result.get("read_at")))
    if result.get("counted_at"):
        blocks.append(_queue_line(result))
        blocks += _in_progress_line(result)
    if result.get("metrics"):
        blocks.append(f"metrics: http://{result['metrics']}/metrics")
    blocks += _workers(result["workers"])
    if result.get("batches"):
        invalid = _not_understood(result).get("named", [])
        rows = [
            [row["batch_id"], row.get("name"), _batch_state(row, invalid), *_job_cells(row.get("jobs", {}))]
            for row in result["batches"]
        ]
        title = "batches"
        if result.get("counted_at"):
            title += f", their jobs as of {local_time(result['counted_at'])}"
        blocks.append(table(title, "batch name state #pending #in_progress #done #failed #other", rows))
    if result.get("batches_left_out"):
        blocks.append(f"and {plural(result['batches_left_out'], 'batch', 'batches')} more: speechctl batches")
    return blocks


def warnings_of(result: Result) -> list[str]:
    """The warnings, one line each."""
    return [str(line) for line in _warnings(result)]


def head_of(supervisor: Result) -> str:
    """Version, host, pid, state and start of the daemon."""
    started = supervisor.get("started_at")
    since = f", up since {local_time_with_zone(started)}" if started else ""
    return (
        f"speechaid {supervisor.get('version')} on {supervisor.get('host')}, pid {supervisor.get('pid')}: "
        f"{supervisor.get('state')}{since}"
    )


def _holds(result: Result) -> list[Block]:
    """Operators' holds and the pauses that are not in the database."""
    supervisor = result["supervisor"]
    lines: list[Block] = [*_hold_lines(result)]
    pausing = result.get("batches_hold")
    if pausing:
        since = local_time(pausing.get("at"))
        lines.append(
            f"! all batches HELD by a pause-all of {pausing.get('by')} since {since} that has not ended"
            " (repeat pause-all, or resume-all)"
        )
    if paused := supervisor.get("paused_batches"):
        names = ", ".join(name or "all batches" for name in paused[:_MAX_NAMED])
        more = ", ..." if len(paused) > _MAX_NAMED else ""
        lines.append(
            f"! paused on this host alone, the database could not record it: {names}{more} (pause it again,"
            " or resume it)"
        )
    return lines


def _warnings(result: Result) -> list[Block]:
    """What an operator must notice, each with its remedy."""
    supervisor = result["supervisor"]
    lines: list[Block] = []
    lines += _holds(result)
    if supervisor.get("overloaded"):
        lines.append(f"! overloaded, so that no worker is started: {supervisor['overloaded']}")
    if supervisor.get("orders_not_kept"):
        lines.append(
            f"! in effect, but not saved, so a restart would lose it: {supervisor['orders_not_kept']}"
        )
    lines += [
        f"! the disk of the {disk['of']} is full: {disk['free_mb']} MiB free in {disk['path']} (free space)"
        for disk in result.get("disks") or []
        if disk["full"]
    ]
    if supervisor.get("draining"):
        lines.append("! draining: no worker of this host takes a new job (speechctl undrain)")
    if supervisor.get("wanted") == 0:
        lines.append("! this host is scaled to 0 workers: it places no call (speechctl scale N)")
    if supervisor.get("dependency_away"):
        lines.append("! workers cannot start: a service that they need is away (see the log)")
    loops = supervisor.get("crash_loops") or []
    if loops:
        lines.append(f"! crash loop: {', '.join(loops)} (see the log)")
    lines += [f"! {_breaker(row)}" for row in result.get("breakers") or [] if row.get("state") != "closed"]
    lines += _refused(result.get("recent") or {})
    lines += [f"! alert {row.get('alert')}: {summary_of(row)}" for row in result.get("alerts") or []]
    invalid = _not_understood(result)
    if invalid.get("count"):
        names = ", ".join(invalid["named"]) + (", ..." if invalid["count"] > len(invalid["named"]) else "")
        lines.append(
            f"! {plural(invalid['count'], 'batch', 'batches')} not dialled, call settings not understood:"
            f" {names} (speechctl batches says why)"
        )
    return lines


def _refused(recent: Result) -> list[str]:
    """Dials that Retell refused lately, where more than calls ended: no other figure shows them."""
    refused, ended = round(recent.get("dials_refused", 0)), round(recent.get("calls_ended", 0))
    if refused <= ended:
        return []
    within = f"in the last {recent['minutes']:g} min, {plural(ended, 'call')} ended (speechctl doctor)"
    return [f"! Retell refused {plural(refused, 'dial')} {within}"]


def _hold_lines(result: Result) -> list[str]:
    """What keeps every dial of this host from being placed."""
    supervisor, hold = result["supervisor"], result.get("fleet_hold")
    lines = []
    if hold:
        why = f": {hold['reason']}" if hold.get("reason") else ""
        since = local_time(hold.get("at"))
        lines.append(f"! HELD on all hosts by {hold.get('by')} since {since}{why} (speechctl unhold)")
    elif supervisor.get("held"):
        lines.append("! HELD on this host: no new dial (speechctl unhold)")
    if result.get("too_old"):
        lines.append(f"! HELD on this host: {result['too_old']}")
    if supervisor.get("no_space"):
        lines.append(f"! HELD on this host, no disk space: {supervisor['no_space']}")
    return lines


def _not_understood(result: Result) -> Result:
    """Batches that are not called because their call settings cannot be understood: count and first names."""
    return (result.get("census") or {}).get("not_understood") or {}


def _breaker(row: Result) -> str:
    probe = f", next probe {local_time(row['probe_at'])}" if row.get("probe_at") else ""
    key = str(row.get("_id", "")).removeprefix("key:")
    why = row.get("reason") or row.get("kind")
    return (
        f"dialling with key {key} is held, circuit breaker {row.get('state')}: {str(why).rstrip('.')}{probe}"
    )


def _fleet_line(supervisor: Result, workers: list[Result]) -> str:
    calls = sum(1 for worker in workers if worker.get("call"))
    jobs = _jobs_in_hand(workers)
    parts = [
        f"workers: {supervisor.get('present')} of {supervisor.get('wanted')}",
        f"{plural(jobs, 'job')} in hand, {plural(calls, 'call')} going on",
        f"{plural(int(supervisor.get('calls_done') or 0), 'call')} done",
        plural(int(supervisor.get("restarts") or 0), "restart"),
    ]
    return "; ".join(parts)


def _database_line(database: Result, read_at: str | None) -> str:
    state = database.get("state")
    if state == "up":
        return "database: up"
    if state == "unknown":
        return "database: not checked yet"
    older = f"; what it holds is shown as of {local_time(read_at)}" if read_at else ""
    return f"! database: {state}: {database.get('error') or 'no answer'}{older}"


def _queue_line(result: Result) -> str:
    queue = sorted(result["queue"].items(), key=lambda item: _QUEUE_ORDER.get(item[0], len(_QUEUE_ORDER)))
    counts = ", ".join(f"{number} {as_words(name)}" for name, number in queue) or "none"
    older = ", before the last command; counting takes long" if result.get("counted_before_command") else ""
    return f"jobs: {counts} (as of {local_time(result['counted_at'])}{older})"


def _in_progress_line(result: Result) -> list[Block]:
    """Where the jobs in progress are: those in hand here are of this moment, the others as counted."""
    total = int(result["queue"].get("in_progress") or 0)
    here = _jobs_in_hand(result["workers"])
    if total <= here:
        return []
    census = result.get("census") or {}
    parked, lapsed = int(census.get("parked") or 0), int(census.get("lapsed") or 0)
    elsewhere = total - here - parked - lapsed
    parts = [f"{here} in hand on this host"]
    parts += [f"{parked} parked: Retell does not confirm the end of the call"] if parked else []
    parts += [f"{lapsed} waiting for a worker, the lease has run out"] if lapsed else []
    parts += [f"{elsewhere} on another host, or claimed or settled just now"] if elsewhere > 0 else []
    return [f"of the {plural(total, 'job')} in progress: {'; '.join(parts)}"]


def _jobs_in_hand(workers: Sequence[Result]) -> int:
    """Jobs that workers of this host hold, from claim to settlement: what drain and shutdown count."""
    return sum(1 for worker in workers if worker.get("job"))


def _workers(workers: list[Result]) -> list[Block]:
    if len(workers) > _MAX_WORKERS:
        states: dict[str, int] = {}
        for worker in workers:
            states[_worker_state(worker)] = states.get(_worker_state(worker), 0) + 1
        rows = sorted(states.items(), key=lambda item: -item[1])
        return [table("workers by state (--json lists them)", "state #workers", rows)]
    return [
        table(
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
    flags = [flag for flag in ("crash_loop", "leaving", "paused") if worker.get(flag) and flag != state]
    return ", ".join([as_words(state), *(as_words(flag) for flag in flags)])


def _batch_state(row: Result, not_understood: Sequence[str]) -> str:
    if row.get("active") is None:
        return "not dialled: there is no such batch"
    if row["active"]:
        is_invalid = row["batch_id"] in not_understood
        raised = f", {priority_text(row)}" if priority_text(row) else ""
        return "not dialled: settings not understood" if is_invalid else f"active{raised}"
    return pause_text(row.get("pause"))


def _job_cells(counts: Mapping[str, int]) -> list[object]:
    shown = ("pending", "in_progress", "done", "failed")
    other = sum(number for name, number in counts.items() if name not in shown)
    return [*(counts.get(name, 0) for name in shown), other]
