"""The result of ``status`` as blocks: the whole daemon on one screen; pure.

The supervisor's own state is always current. What its database thread read last may be missing or old, and
is shown with its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from speechaid.protocol.translation import say, say_n
from speechctl.render.alerts import summary_of
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import (
    as_words,
    counted_words,
    duration,
    local_time,
    local_time_with_zone,
    pause_text,
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
        blocks.append(say("metrics: http://{metrics}/metrics", metrics=result["metrics"]))
    blocks += _workers(result["workers"])
    if result.get("batches"):
        invalid = _not_understood(result).get("named", [])
        rows = [
            [row["batch_id"], row.get("name"), _batch_state(row, invalid), *_job_cells(row.get("jobs", {}))]
            for row in result["batches"]
        ]
        title = say("batches")
        if result.get("counted_at"):
            title += say(", their jobs as of {counted_at}", counted_at=local_time(result["counted_at"]))
        blocks.append(table(title, "batch name state #pending #in_progress #done #failed #other", rows))
    if result.get("batches_left_out"):
        blocks.append(
            say_n(
                "and {count} batch more: speechctl batches",
                "and {count} batches more: speechctl batches",
                result["batches_left_out"],
            )
        )
    return blocks


def warnings_of(result: Result) -> list[str]:
    """The warnings, one line each."""
    return [str(line) for line in _warnings(result)]


def head_of(supervisor: Result) -> str:
    """Version, host, pid, state and start of the daemon."""
    started = supervisor.get("started_at")
    since = (
        say(", up since {local_time_with_zone}", local_time_with_zone=local_time_with_zone(started))
        if started
        else ""
    )
    return say(
        "speechaid {version} on {host}, pid {pid}: {state}{since}",
        version=supervisor.get("version"),
        host=supervisor.get("host"),
        pid=supervisor.get("pid"),
        state=as_words(supervisor.get("state")),
        since=since,
    )


def _holds(result: Result) -> list[Block]:
    """Operators' holds and the pauses that are not in the database."""
    supervisor = result["supervisor"]
    lines: list[Block] = [*_hold_lines(result)]
    pausing = result.get("batches_hold")
    if pausing:
        since = local_time(pausing.get("at"))
        lines.append(
            say(
                "! all batches HELD by a pause-all of {by} since {since} that has not ended (repeat"
                " pause-all, or resume-all)",
                by=pausing.get("by"),
                since=since,
            )
        )
    if paused := supervisor.get("paused_batches"):
        names = ", ".join(name or say("all batches") for name in paused[:_MAX_NAMED])
        more = ", ..." if len(paused) > _MAX_NAMED else ""
        lines.append(
            say(
                "! paused on this host alone, the database could not record it: {names}{more}"
                " (pause it again, or resume it)",
                names=names,
                more=more,
            )
        )
    return lines


def _warnings(result: Result) -> list[Block]:
    """What an operator must notice, each with its remedy."""
    supervisor = result["supervisor"]
    lines: list[Block] = []
    lines += _holds(result)
    if supervisor.get("overloaded"):
        lines.append(
            say(
                "! overloaded, so that no worker is started: {overloaded}",
                overloaded=supervisor["overloaded"],
            )
        )
    if supervisor.get("orders_not_kept"):
        lines.append(
            say(
                "! in effect, but not saved, so a restart would lose it: {orders_not_kept}",
                orders_not_kept=supervisor["orders_not_kept"],
            )
        )
    lines += [
        say(
            "! the disk of the {of} is full: {free_mb} MiB free in {path} (free space)",
            of=say(disk["of"]),
            free_mb=disk["free_mb"],
            path=disk["path"],
        )
        for disk in result.get("disks") or []
        if disk["full"]
    ]
    if supervisor.get("draining"):
        lines.append(say("! draining: no worker of this host takes a new job (speechctl undrain)"))
    if supervisor.get("wanted") == 0:
        lines.append(say("! this host is scaled to 0 workers: it places no call (speechctl scale N)"))
    if supervisor.get("dependency_away"):
        lines.append(say("! workers cannot start: a service that they need is away (see the log)"))
    loops = supervisor.get("crash_loops") or []
    if loops:
        lines.append(say("! crash loop: {loops} (see the log)", loops=", ".join(loops)))
    lines += [f"! {_breaker(row)}" for row in result.get("breakers") or [] if row.get("state") != "closed"]
    lines += _refused(result.get("recent") or {})
    lines += [
        say("! alert {alert}: {summary_of}", alert=row.get("alert"), summary_of=summary_of(row))
        for row in result.get("alerts") or []
    ]
    invalid = _not_understood(result)
    if invalid.get("count"):
        names = ", ".join(invalid["named"]) + (", ..." if invalid["count"] > len(invalid["named"]) else "")
        lines.append(
            say_n(
                "! {count} batch not dialled, call settings not understood: {names} (speechctl"
                " batches says why)",
                "! {count} batches not dialled, call settings not understood: {names} (speechctl"
                " batches says why)",
                invalid["count"],
                names=names,
            )
        )
    return lines


def _refused(recent: Result) -> list[str]:
    """Dials that Retell refused lately, where more than calls ended: no other figure shows them."""
    refused, ended = round(recent.get("dials_refused", 0)), round(recent.get("calls_ended", 0))
    if refused <= ended:
        return []
    within = say_n(
        "in the last {minutes:g} min, {count} call ended (speechctl doctor)",
        "in the last {minutes:g} min, {count} calls ended (speechctl doctor)",
        ended,
        minutes=recent["minutes"],
    )
    return [
        say_n(
            "! Retell refused {count} dial {within}",
            "! Retell refused {count} dials {within}",
            refused,
            within=within,
        )
    ]


def _hold_lines(result: Result) -> list[str]:
    """What keeps every dial of this host from being placed."""
    supervisor, hold = result["supervisor"], result.get("fleet_hold")
    lines = []
    if hold:
        why = f": {hold['reason']}" if hold.get("reason") else ""
        since = local_time(hold.get("at"))
        lines.append(
            say(
                "! HELD on all hosts by {by} since {since}{why} (speechctl unhold)",
                by=hold.get("by"),
                since=since,
                why=why,
            )
        )
    elif supervisor.get("held"):
        lines.append(say("! HELD on this host: no new dial (speechctl unhold)"))
    if result.get("too_old"):
        lines.append(say("! HELD on this host: {too_old}", too_old=result["too_old"]))
    if supervisor.get("no_space"):
        lines.append(say("! HELD on this host, no disk space: {no_space}", no_space=supervisor["no_space"]))
    return lines


def _not_understood(result: Result) -> Result:
    """Batches that are not called because their call settings cannot be understood: count and first names."""
    return (result.get("census") or {}).get("not_understood") or {}


def _breaker(row: Result) -> str:
    probe = (
        say(", next probe {probe_at}", probe_at=local_time(row["probe_at"])) if row.get("probe_at") else ""
    )
    key = str(row.get("_id", "")).removeprefix("key:")
    why = row.get("reason") or row.get("kind")
    return say(
        "dialling with key {key} is held, circuit breaker {state}: {why}{probe}",
        key=key,
        state=as_words(row.get("state")),
        why=str(why).rstrip("."),
        probe=probe,
    )


def _fleet_line(supervisor: Result, workers: list[Result]) -> str:
    calls = sum(1 for worker in workers if worker.get("call"))
    jobs = _jobs_in_hand(workers)
    parts = [
        say(
            "workers: {present} of {wanted}",
            present=supervisor.get("present"),
            wanted=supervisor.get("wanted"),
        ),
        say_n(
            "{count} job in hand, {calls} going on",
            "{count} jobs in hand, {calls} going on",
            jobs,
            calls=say_n("{count} call", "{count} calls", calls),
        ),
        say_n("{count} call done", "{count} calls done", int(supervisor.get("calls_done") or 0)),
        say_n("{count} restart", "{count} restarts", int(supervisor.get("restarts") or 0)),
    ]
    return "; ".join(parts)


def _database_line(database: Result, read_at: str | None) -> str:
    state = database.get("state")
    if state == "up":
        return say("database: up")
    if state == "unknown":
        return say("database: not checked yet")
    older = say("; what it holds is shown as of {read_at}", read_at=local_time(read_at)) if read_at else ""
    return say(
        "! database: {state}: {error}{older}",
        state=as_words(state),
        error=database.get("error") or say("no answer"),
        older=older,
    )


def _queue_line(result: Result) -> str:
    queue = sorted(result["queue"].items(), key=lambda item: _QUEUE_ORDER.get(item[0], len(_QUEUE_ORDER)))
    counts = counted_words(dict(queue)) or say("none")
    older = (
        say(", before the last command; counting takes long") if result.get("counted_before_command") else ""
    )
    return say(
        "jobs: {counts} (as of {counted_at}{older})",
        counts=counts,
        counted_at=local_time(result["counted_at"]),
        older=older,
    )


def _in_progress_line(result: Result) -> list[Block]:
    """Where the jobs in progress are: those in hand here are of this moment, the others as counted."""
    total = int(result["queue"].get("in_progress") or 0)
    here = _jobs_in_hand(result["workers"])
    if total <= here:
        return []
    census = result.get("census") or {}
    parked, lapsed = int(census.get("parked") or 0), int(census.get("lapsed") or 0)
    elsewhere = total - here - parked - lapsed
    parts = [say("{here} in hand on this host", here=here)]
    parts += (
        [say("{parked} parked: Retell does not confirm the end of the call", parked=parked)] if parked else []
    )
    parts += [say("{lapsed} waiting for a worker, the lease has run out", lapsed=lapsed)] if lapsed else []
    parts += (
        [say("{elsewhere} on another host, or claimed or settled just now", elsewhere=elsewhere)]
        if elsewhere > 0
        else []
    )
    return [
        say_n(
            "of the {count} job in progress: {parts}",
            "of the {count} jobs in progress: {parts}",
            total,
            parts="; ".join(parts),
        )
    ]


def _jobs_in_hand(workers: Sequence[Result]) -> int:
    """Jobs that workers of this host hold, from claim to settlement: what drain and shutdown count."""
    return sum(1 for worker in workers if worker.get("job"))


def _workers(workers: list[Result]) -> list[Block]:
    if len(workers) > _MAX_WORKERS:
        states: dict[str, int] = {}
        for worker in workers:
            states[_worker_state(worker)] = states.get(_worker_state(worker), 0) + 1
        rows = sorted(states.items(), key=lambda item: -item[1])
        return [table(say("workers by state (--json lists them)"), "state #workers", rows)]
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
        state = say("starts in {starts_in_seconds}", starts_in_seconds=duration(worker["starts_in_seconds"]))
    flags = [flag for flag in ("crash_loop", "leaving", "paused") if worker.get(flag) and flag != state]
    return ", ".join([as_words(state), *(as_words(flag) for flag in flags)])


def _batch_state(row: Result, not_understood: Sequence[str]) -> str:
    if row.get("active") is None:
        return say("not dialled: there is no such batch")
    if row["active"]:
        is_invalid = row["batch_id"] in not_understood
        raised = f", {priority_text(row)}" if priority_text(row) else ""
        return say("not dialled: settings not understood") if is_invalid else f"{say('active')}{raised}"
    return pause_text(row.get("pause"))


def _job_cells(counts: Mapping[str, int]) -> list[object]:
    shown = ("pending", "in_progress", "done", "failed")
    other = sum(number for name, number in counts.items() if name not in shown)
    return [*(counts.get(name, 0) for name in shown), other]
