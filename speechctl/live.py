"""What speechctl watches over time."""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from speechctl.client import Client, Unanswered, Unreachable

_LOOK_AGAIN_SECONDS: Final = 0.5
_STATUS_TIMEOUT_SECONDS: Final = 10.0
_LOGS_TIMEOUT_SECONDS: Final = 60.0
_MOST_LINES: Final = 1000
#: Lines whose ids are remembered: more than are written between two looks and a little before.
_REMEMBERED: Final = 20_000


def wait_for_drain(
    client: Client, result: Mapping[str, Any], *, stop: bool, tell: Callable[[Mapping[str, Any]], None] | None
) -> dict[str, Any]:
    """Return when the last call of the host has ended; with ``stop``, when the daemon has.

    Raises:
        Unreachable: the daemon went away before, and was not told to.
    """
    began = time.monotonic()
    calls, left = int(result.get("calls_in_hand", 0)), result
    while calls or stop:
        if tell is not None:
            waited = time.monotonic() - began
            tell({"state": "draining", "calls_in_hand": calls, "seconds": waited, "left": left})
        time.sleep(_LOOK_AGAIN_SECONDS)
        try:
            status = client.ask("status", {}, timeout_seconds=_STATUS_TIMEOUT_SECONDS)
        except Unanswered:
            raise
        except Unreachable:
            if not stop:
                raise
            break
        calls = sum(1 for worker in status.get("workers", []) if worker.get("job"))
        left = status.get("drain", {})
    waited = round(time.monotonic() - began, 1)
    return {**result, "calls_in_hand": 0, "drained": True, "stopped": stop, "waited_seconds": waited}


def follow_events(client: Client, args: Mapping[str, Any], *, as_json: bool) -> int:
    """Show what happens until the operator has seen enough."""
    from speechctl.render_history import event_line

    for item in client.stream("events", args):
        if item.get("missed"):
            print(f"({item['missed']} events were not shown: this terminal is too slow)", file=sys.stderr)
        if "event" not in item:
            continue
        print(
            json.dumps(item["event"], ensure_ascii=False) if as_json else event_line(item["event"]),
            flush=True,
        )
    return 0


def follow_logs(client: Client, args: Mapping[str, Any], first: Mapping[str, Any], *, as_json: bool) -> int:
    """Go on with what is written from now on; a line that was shown is not shown again."""
    from speechctl.render_history import log_line

    seen: OrderedDict[str, None] = OrderedDict((line["id"], None) for line in first["lines"])
    place = first["place"]
    while True:
        time.sleep(_LOOK_AGAIN_SECONDS)
        asked = {**args, "after": place, "limit": _MOST_LINES}
        result = client.ask("logs", asked, timeout_seconds=_LOGS_TIMEOUT_SECONDS)
        place = result["place"]
        for line in result["lines"]:
            if line["id"] in seen:
                continue
            seen[line["id"]] = None
            print(json.dumps(line, ensure_ascii=False) if as_json else log_line(line), flush=True)
        while len(seen) > _REMEMBERED:
            seen.popitem(last=False)
