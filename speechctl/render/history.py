"""Lines of ``events`` and ``logs``; pure."""

from __future__ import annotations

from speechaid.protocol.translation import say, say_n
from speechctl.render.batches import change_text
from speechctl.render.blocks import Block, Result, sanitized
from speechctl.render.text import cause_text, local_time

_HEAD = frozenset({"id", "at", "event", "job_id", "job", "worker"})


def logs(result: Result) -> list[Block]:
    """The result of ``logs``."""
    return [log_line(line) for line in result["lines"]] or [say("there are no such entries")]


def log_line(line: Result) -> str:
    """An entry of ``call_logs``."""
    if line.get("event") in {"command", "read"}:
        given = " ".join(f"{name}={value}" for name, value in (line.get("args") or {}).items())
        what = " ".join(filter(None, [str(line.get("command")), given]))
        changed = "; ".join(map(change_text, line.get("changes") or ()))
        done = f"{line.get('outcome')}{_read(line)}{f' ({changed})' if changed else ''}"
        return sanitized(f"{local_time(line.get('at'))}  {line.get('actor')}: {what}: {done}")
    return event_line({**line, "job": line.get("job_id")})


def _read(line: Result) -> str:
    """What the record of a client's reads counts; empty for other commands."""
    if line.get("documents") is None:
        return ""
    requests = int(line.get("requests") or 1)
    until = (
        say(" in {requests} requests until {until}", requests=requests, until=local_time(line.get("until")))
        if requests > 1
        else ""
    )
    return f", {say_n('{count} document', '{count} documents', int(line['documents']))}{until}"


def event_line(item: Result) -> str:
    """An event of a job or a worker."""
    fields = " ".join(
        f"{name}={cause_text(value) if name == 'cause' else value}"
        for name, value in item.items()
        if name not in _HEAD and value not in (None, "")
    )
    parts = [
        local_time(item.get("at")),
        str(item.get("worker") or ""),
        str(item.get("event")),
        item.get("job"),
        fields,
    ]
    return sanitized("  ".join(str(part) for part in parts if part))
