"""The record of every placed call, and of overlapping calls to one number.

Each line of the file is one complete call at one event (``placed``, ``stopped``), written before the request
is answered; the last line of a ``call_id`` is valid. The file survives SIGKILL, and a simulator started with
the same file continues with its calls.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from speechaid.demo.simulator.calls import Call
from speechaid.model.states import CallStatus


class PlacedCallsFile:
    """Appends calls to a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        _terminate_last_line(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, event: str, call: Call) -> None:
        """Append one line with one write, so that a kill leaves it complete or absent."""
        line = json.dumps({"event": event, **asdict(call)}) + "\n"
        os.write(self._descriptor, line.encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _terminate_last_line(path: Path) -> None:
    """Terminate a line that a power failure cut off, so that the next line starts on its own."""
    if path.exists() and (text := path.read_bytes()) and not text.endswith(b"\n"):
        path.write_bytes(text + b"\n")


def read_calls(path: Path) -> list[Call]:
    """Read the calls of a file in order of placement; broken lines are skipped."""
    calls: dict[str, Call] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        fields.pop("event", None)
        fields["end_status"] = CallStatus(fields["end_status"])
        calls[fields["call_id"]] = Call(**fields)
    return sorted(calls.values(), key=lambda call: call.serial)


def entry(call: Call, now: float) -> dict[str, Any]:
    """One call's entry; None for what has not happened yet. Instants are seconds since the epoch."""
    over = call.is_over(now)
    connected = call.connects_at is not None and now >= call.connects_at
    return {
        "call_id": call.call_id,
        "to_number": call.to_number,
        "from_number": call.from_number,
        "agent_id": call.agent_id,
        "agent_version": call.agent_version,
        "agent_override": call.override,
        "idempotency_key": call.idempotency_key,
        "metadata": call.metadata,
        "api_key_fingerprint": call.key_fingerprint,
        "call_status": call.status(now).value,
        "rang": call.rings,
        "placed_at": call.placed_at,
        "connected_at": call.connects_at if connected else None,
        "ended_at": call.ends_at if over else None,
        "disconnection_reason": call.end_reason if over else None,
        "duration_ms": round(call.talk_seconds * 1000) if over else None,
        "cost_cents": call.cost_cents if over else None,
    }


def overlaps(calls: Iterable[Call], now: float) -> list[dict[str, Any]]:
    """Pairs of calls to one number of which the second was placed before the first ended.

    A call that was refused at once has no duration and overlaps with none.
    """
    ordered = sorted(calls, key=lambda call: (call.to_number, call.placed_at, call.serial))
    lasting = (call for call in ordered if call.ends_at > call.placed_at)
    return [
        pair for _, group in groupby(lasting, key=lambda call: call.to_number) for pair in _pairs(group, now)
    ]


def _pairs(calls: Iterator[Call], now: float) -> Iterator[dict[str, Any]]:
    longest: Call | None = None
    for call in calls:
        if longest is not None and call.placed_at < longest.ends_at:
            shared = min(call.ends_at, longest.ends_at, now) - call.placed_at
            yield {
                "to_number": call.to_number,
                "call_ids": [longest.call_id, call.call_id],
                "seconds": max(0.0, shared),
            }
        if longest is None or call.ends_at > longest.ends_at:
            longest = call
