"""Commands that run until something has happened, or until Ctrl-C.

``drain --wait``, ``events``, ``logs --follow``, ``test-call``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from speechaid.protocol.client import Client, Progress, Unanswered, Unreachable
from speechaid.protocol.log_pages import LogPages
from speechaid.protocol.translation import say

_POLL_SECONDS: Final = 0.5
_STATUS_TIMEOUT_SECONDS: Final = 10.0
_LOGS_TIMEOUT_SECONDS: Final = 60.0
_MAX_LINES: Final = 1000
#: States of a worker that has no job and claims none.
_CLAIM_NOTHING: Final = frozenset({"draining", "paused", "starting", "stopping"})


class Pace:
    """How fast a command goes on, from its progress messages: by state, since reading and writing differ."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._state: object = None
        self._began: tuple[float, int] = (0.0, 0)

    def add_to(self, progress: Mapping[str, Any]) -> Mapping[str, Any]:
        """The message with ``per_second``, and with ``seconds_left`` where it says of how many."""
        done = progress.get("done")
        if not isinstance(done, int):
            return progress
        now = self._now()
        if progress.get("state") != self._state:
            self._state, self._began = progress.get("state"), (now, done)
        seconds, count = now - self._began[0], done - self._began[1]
        if seconds <= 0 or count <= 0:
            return progress
        paced = {**progress, "per_second": count / seconds}
        if "of" in progress:
            paced["seconds_left"] = (progress["of"] - done) * seconds / count
        return paced


def wait_for_drain(
    client: Client, result: Mapping[str, Any], *, stop: bool, on_progress: Progress | None
) -> dict[str, Any]:
    """Return when the last call of the host has ended; with ``stop``, when the daemon has.

    Raises:
        Unreachable: the daemon went away before that, and was not asked to stop.
    """
    began = time.monotonic()
    while True:
        try:
            status = client.ask("status", {}, timeout_seconds=_STATUS_TIMEOUT_SECONDS)
        except Unanswered:
            raise
        except Unreachable:
            if not stop:
                raise
            break
        workers = status.get("workers", [])
        if not stop and not any(_may_get_job(worker) for worker in workers):
            break
        if on_progress is not None:
            jobs = sum(1 for worker in workers if worker.get("job"))
            waited, left = time.monotonic() - began, status.get("drain", {})
            on_progress({"state": "draining", "calls_in_hand": jobs, "seconds": waited, "left": left})
        time.sleep(_POLL_SECONDS)
    waited = round(time.monotonic() - began, 1)
    return {**result, "calls_in_hand": 0, "drained": True, "stopped": stop, "waited_seconds": waited}


def follow_test(
    client: Client, begun: Mapping[str, Any], *, on_state: Callable[[Mapping[str, Any]], None]
) -> dict[str, Any]:
    """Return when a test call is over; ``on_state`` is told how far it is."""
    while True:
        result = client.ask("test-result", {"test": begun["test"]}, timeout_seconds=_STATUS_TIMEOUT_SECONDS)
        if result["state"] == "over":
            return result
        on_state(result)
        time.sleep(_POLL_SECONDS)


def _may_get_job(worker: Mapping[str, Any]) -> bool:
    """Whether a worker has a job, or may be claiming one: it has not reported yet that it claims nothing."""
    may_claim = worker.get("turn") == "claim" or worker.get("state") not in _CLAIM_NOTHING
    return bool(worker.get("job") or (worker.get("pid") and may_claim))


def follow_events(client: Client, args: Mapping[str, Any], *, as_json: bool, timeout_seconds: float) -> int:
    """Print events as they happen, until Ctrl-C."""
    from speechctl.render.history import event_line

    for item in client.stream("events", args, timeout_seconds=timeout_seconds):
        if item.get("missed"):
            print(
                say("({missed} events were not shown: this terminal is too slow)", missed=item["missed"]),
                file=sys.stderr,
            )
        if "event" not in item:
            continue
        print(
            json.dumps(item["event"], ensure_ascii=False) if as_json else event_line(item["event"]),
            flush=True,
        )
    return 0


def follow_logs(client: Client, args: Mapping[str, Any], first: Mapping[str, Any], *, as_json: bool) -> int:
    """Print log entries as they are written, until Ctrl-C; those of ``first`` were printed already."""
    from speechctl.render.history import log_line

    pages = LogPages(first["place"], (line["id"] for line in first["lines"]))
    result = first
    while True:
        if not result.get("next"):  # a full page: more lines are there already
            time.sleep(_POLL_SECONDS)
        page = {**args, "after": pages.after, "limit": _MAX_LINES}
        result = client.ask("logs", page, timeout_seconds=_LOGS_TIMEOUT_SECONDS)
        for line in pages.take(result):
            print(json.dumps(line, ensure_ascii=False) if as_json else log_line(line), flush=True)
