"""What speechctl watches over time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from speechctl.client import Client, Unanswered, Unreachable

_LOOK_AGAIN_SECONDS: Final = 0.5
_STATUS_TIMEOUT_SECONDS: Final = 10.0


def wait_for_drain(
    client: Client, result: Mapping[str, Any], *, stop: bool, tell: Callable[[Mapping[str, Any]], None] | None
) -> dict[str, Any]:
    """Return when the last call of the host has ended; with ``stop``, when the daemon has.

    Raises:
        Unreachable: the daemon went away before, and was not told to.
    """
    began = time.monotonic()
    calls = int(result.get("calls_in_hand", 0))
    while calls or stop:
        if tell is not None:
            tell({"state": "draining", "calls_in_hand": calls, "seconds": time.monotonic() - began})
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
    waited = round(time.monotonic() - began, 1)
    return {**result, "calls_in_hand": 0, "drained": True, "stopped": stop, "waited_seconds": waited}
