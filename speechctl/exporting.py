"""``export``: page after page from the daemon into one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from speechctl.client import Client
from speechctl.sheets import write

Progress = Callable[[Mapping[str, Any]], None]


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
            following = {**args, "after": page["next"]}
            page = client.ask("export", following, timeout_seconds=timeout_seconds)

    write(path, [(str(first["what"]).capitalize(), first["columns"], rows())])
    return {"what": first["what"], "output": path, "rows": written}
