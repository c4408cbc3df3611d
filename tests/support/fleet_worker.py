"""A worker without a database: a file in ``FLEET_WORKER_DIR`` is its task.

``<slot>`` holds one of: ``call`` (in a call until the file is gone), ``hang`` (no more reports), ``query``
(the same, in a step that waits for the database), ``spin`` (the same, in a loop without end), ``exit N``,
``crash`` (an exception), ``not-ready`` (it exits before it is ready), ``ask`` (it asks for turns, and uses
none), ``ask and look`` (it finds nothing by them). Without a file it idles. ``every`` holds a task for all
slots. Files named ``<slot>.<reason>`` show the test how a worker exited.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from speechaid.errors import ExitStatus
from speechaid.fleet.messages import WorkerIdentity
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.model.states import WorkerState
from speechaid.settings import Settings


def main(link: SupervisorLink, identity: WorkerIdentity, settings: Settings) -> int:
    directory = Path(os.environ["FLEET_WORKER_DIR"])
    in_call = False
    if _task(directory, identity.slot) == "not-ready":
        return ExitStatus.SOFTWARE
    link.ready()
    while True:
        task = _task(directory, identity.slot)
        if in_call and task != "call":
            link.call_finished()
            link.count("fleet_calls_total", outcome="answered")
        in_call = task == "call"
        _ask(link, task)
        if link.hand_over_requested or (not in_call and (link.stop_requested or link.orphaned)):
            return _exit(link, directory, in_call=in_call)
        _perform(link, task)
        state = (
            WorkerState.FOLLOWING if in_call else WorkerState.IDLE if link.may_claim else WorkerState.PAUSED
        )
        job, call = ("job-7", "call-7") if in_call else (None, None)
        link.report_step(state, "waiting", within_seconds=30, job=job, call=call)
        link.commands(0.02)


def _ask(link: SupervisorLink, task: str) -> None:
    if task.startswith("ask") and not link.wants_turn:
        link.ask_for_turn(after_job=False)
    if task == "ask and look":
        link.take_turn()
        link.end_turn()


def _task(directory: Path, slot: str) -> str:
    for name in (slot, "every"):
        try:
            return (directory / name).read_text().strip()
        except FileNotFoundError:
            continue
    return "idle"


def _perform(link: SupervisorLink, task: str) -> None:
    if task == "crash":
        raise RuntimeError("a fault on purpose")
    if task in {"hang", "query", "spin"}:
        step = {"hang": "get_call", "query": "find", "spin": "compute"}[task]
        report = partial(link.report_step, WorkerState.FOLLOWING, step, within_seconds=0.1)
        report(job="job-9", call="call-9", database=task == "query")
        while task == "spin":
            pass
        time.sleep(3600)
    if task.startswith("exit"):
        raise SystemExit(int(task.split()[1]))


def _exit(link: SupervisorLink, directory: Path, *, in_call: bool) -> int:
    reason = "handed_over" if in_call else "orphaned" if link.orphaned else "finished"
    (directory / f"{link.identity.slot}.{reason}").touch()
    link.bye(reason)
    return ExitStatus.ORPHANED if link.orphaned else ExitStatus.OK
