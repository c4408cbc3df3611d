"""``export``: page after page from the daemon into one file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from speechaid.protocol.messages import ErrorCode
from speechctl.client import Client, Refused
from speechctl.sheets import write

Progress = Callable[[Mapping[str, Any]], None]
#: A database that goes away amid the pages is waited for so long, in seconds, and asked again so often.
PATIENCE_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 1.0


def run(
    client: Client, path: str, args: Mapping[str, Any], *, timeout_seconds: float, tell: Progress | None
) -> dict[str, Any]:
    """Write all pages to ``path``; what was written.

    Raises:
        SheetError: the file cannot be written.
    """
    first = client.ask("export", args, timeout_seconds=timeout_seconds)
    written = 0

    def rows() -> Iterator[list[Any]]:
        nonlocal written
        page = first
        while True:
            for row in page["rows"]:
                written += 1
                yield row
            if page["next"] is None:
                return
            if tell is not None:
                tell({"state": "exporting", "done": written})
            page = _next(client, {**args, "after": page["next"]}, timeout_seconds)

    write(path, [(str(first["what"]).capitalize(), first["columns"], rows())])
    return {"what": first["what"], "output": path, "rows": written}


def _next(client: Client, args: Mapping[str, Any], timeout_seconds: float) -> dict[str, Any]:
    """The page behind the last one: rows that are written already are not thrown away for a restart."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return client.ask("export", args, timeout_seconds=timeout_seconds)
        except Refused as refused:
            if refused.code != ErrorCode.UNAVAILABLE or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)
