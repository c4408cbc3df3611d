"""``events`` and ``logs`` for people: one line each; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechctl.blocks import Block, harmless
from speechctl.words import instant

Result = Mapping[str, Any]
_HEAD = frozenset({"id", "at", "event", "job_id", "job", "worker"})


def logs(result: Result) -> list[Block]:
    """The answer to ``logs``."""
    return [log_line(line) for line in result["lines"]] or ["nothing is on record"]


def log_line(line: Result) -> str:
    """A line of ``call_logs``."""
    if line.get("event") == "command":
        given = " ".join(f"{name}={value}" for name, value in (line.get("args") or {}).items())
        what = " ".join(filter(None, [str(line.get("command")), given]))
        return harmless(f"{instant(line.get('at'))}  {line.get('actor')}: {what}: {line.get('outcome')}")
    return event_line({**line, "job": line.get("job_id")})


def event_line(item: Result) -> str:
    """Something that happened."""
    rest = " ".join(
        f"{name}={value}" for name, value in item.items() if name not in _HEAD and value not in (None, "")
    )
    parts = [
        instant(item.get("at")),
        str(item.get("worker") or ""),
        str(item.get("event")),
        item.get("job"),
        rest,
    ]
    return harmless("  ".join(str(part) for part in parts if part))
