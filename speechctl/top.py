"""``top``: the daemon on one screen, live. The lines are computed apart from the terminal.

With more workers than lines, those in a call come first, the longest call on top; the rest are counted.
"""

from __future__ import annotations

import contextlib
import select
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.protocol.client import Client
from speechaid.protocol.translation import say
from speechctl.render.blocks import Result, sanitized
from speechctl.render.status import head_of, warnings_of
from speechctl.render.text import as_words, dials_first, duration, local_time, priority_text

#: Rates are averages over this time.
_RATE_SECONDS: Final = 60.0
_ASK_SECONDS: Final = 10.0
_MAX_WARNINGS: Final = 3
_MAX_BATCHES: Final = 3
#: Statuses of jobs that are not finished.
_WORK_LEFT: Final = ("pending", "scheduled", "in_progress")
_QUEUE: Final = ("pending", "in_progress", "done", "failed", "suspended", "cancelled")


@dataclass
class Rates:
    """Ended calls a minute, from samples of their count."""

    #: Monotonic time in seconds, and the count.
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, calls_done: int) -> None:
        """Add a sample; a lower count means that the daemon has restarted, and drops the older samples."""
        if self.samples and calls_done < self.samples[-1][1]:
            self.samples.clear()
        self.samples.append((now, calls_done))
        while now - self.samples[0][0] > _RATE_SECONDS:
            self.samples.popleft()

    def per_minute(self) -> float | None:
        """The rate; None with fewer than two samples."""
        if len(self.samples) < 2:
            return None
        (began, before), (now, after) = self.samples[0], self.samples[-1]
        return (after - before) * 60 / max(now - began, 0.001)


def lines(result: Result, rates: Rates, *, width: int, height: int) -> list[str]:
    """The screen, at most ``height`` lines of at most ``width`` characters."""
    supervisor, workers = result["supervisor"], result["workers"]
    calls_done = int(supervisor.get("calls_done") or 0)
    rates.note(time.monotonic(), calls_done)
    rate = rates.per_minute()
    per_minute = "-" if rate is None else say("{rate:.1f}", rate=rate)
    in_call = [row for row in workers if row.get("call")]
    fleet = say(
        "workers {present}/{wanted}", present=supervisor.get("present"), wanted=supervisor.get("wanted")
    )
    head = [
        head_of(supervisor),
        say(
            "{fleet}  calls {in_call}  ended {calls_done}  a minute {per_minute}  {states}",
            fleet=fleet,
            in_call=len(in_call),
            calls_done=calls_done,
            per_minute=per_minute,
            states=_states(workers),
        ),
        _queue(result),
        *warnings_of(result)[:_MAX_WARNINGS],
        *_batches(result),
    ]
    room = height - len(head) - 2
    body = _workers(workers, room, width)
    return [sanitized(line)[:width] for line in [*head, "", *body]][:height]


def _states(workers: list[Result]) -> str:
    counts = Counter(str(row.get("state")) for row in workers)
    return " ".join(f"{as_words(state)}:{count}" for state, count in counts.most_common())


def _queue(result: Result) -> str:
    queue = result.get("queue") or {}
    counts = " ".join(f"{as_words(status)} {queue[status]}" for status in _QUEUE if queue.get(status))
    state = (result.get("database") or {}).get("state")
    as_of = (
        say("  (as of {counted_at})", counted_at=local_time(result["counted_at"]))
        if result.get("counted_at")
        else ""
    )
    return say("jobs: {counts}{as_of}", counts=counts or say("none"), as_of=as_of) + (
        "" if state in {"up", None} else say("  (database {state})", state=state)
    )


def _batches(result: Result) -> list[str]:
    """The batches with work left, as they are dialled: by priority, else the most first."""

    def left(row: Result) -> int:
        jobs = row.get("jobs") or {}
        return sum(int(jobs.get(status, 0)) for status in _WORK_LEFT)

    def place(row: Result) -> tuple[bool, int, int]:
        return bool(row.get("active")), int(row.get("priority") or 1), left(row)

    rows = sorted((row for row in result.get("batches") or [] if left(row)), key=place, reverse=True)
    shown = []
    for row in rows[:_MAX_BATCHES]:
        total = sum((row.get("jobs") or {}).values())
        done = total - left(row)
        state = (
            ""
            if row.get("active")
            else f" {say('PAUSED')}"
            if row.get("active") is False
            else f" {say('MISSING')}"
        )
        raised = f" {priority_text(row).upper()}" if priority_text(row) else ""
        shown.append(
            f"  {row['batch_id']} {_bar(done, total)} {done}/{total}{state}{raised}  {row.get('name') or ''}"
        )
    if first := dials_first(rows):
        shown.insert(0, f"  {first}")
    # The daemon lists only some of the batches, and counts all.
    more = max(len(rows), int(result.get("batches_with_work") or 0)) - min(len(rows), _MAX_BATCHES)
    return shown + ([say("  and {more} more batches with work left", more=more)] if more > 0 else [])


def _bar(done: int, total: int, width: int = 16) -> str:
    filled = 0 if total == 0 else done * width // total
    return "[" + "#" * filled + "." * (width - filled) + "]"


def _workers(workers: list[Result], room: int, width: int) -> list[str]:
    """Workers in a call, longest first, then others with a job or a flag; the rest are counted by state."""
    if room < 2:
        return []
    ordered = sorted(workers, key=_sort_key)
    busy = [row for row in ordered if row.get("job") or _flags(row)]
    shown = busy if len(ordered) > room - 1 else ordered
    head = (
        f"{say('worker'):<11.11}{say('state'):<12.12}{say('for'):>8}  {say('job'):<22}"
        f"{say('call'):<{max(4, width - 65)}} {say('calls'):>5.5}"
    )
    rows = [_row(row, width) for row in shown[: room - 1]]
    left = len(workers) - len(rows)
    if left > 0:
        rows = rows[: room - 2]
        left = len(workers) - len(rows)
        rows.append(
            say(
                "... and {left} more: {states}",
                left=left,
                states=_states([row for row in ordered if row not in shown[: len(rows)]]),
            )
        )
    return [head, *rows]


def _sort_key(row: Result) -> tuple[int, float, int]:
    group = 0 if row.get("call") else 1 if row.get("job") or _flags(row) else 2
    return group, -float(row.get("call_for_seconds") or row.get("for_seconds") or 0), _number(row)


def _number(row: Result) -> int:
    digits = str(row.get("slot", "")).rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _row(row: Result, width: int) -> str:
    since = row.get("call_for_seconds") if row.get("call") else row.get("for_seconds")
    state = as_words(row.get("state")) + (f" ({_flags(row)})" if _flags(row) else "")
    room = max(4, width - 65)
    return (
        f"{row.get('slot', '')!s:<11.11}{state:<12.12}{duration(since):>8}  {row.get('job') or '':<22.22}"
        f"{row.get('call') or '':<{room}.{room}} {row.get('calls_done') or 0:>5}"
    )


def _flags(row: Result) -> str:
    return ",".join(
        as_words(flag)
        for flag in ("paused", "leaving", "crash_loop")
        if row.get(flag) and flag != row.get("state")
    )


def run(client: Client, *, interval_seconds: float, once: bool, as_json: bool) -> int:
    """Show the screen until q or Ctrl-C; only once, as plain text, where stdout is no terminal."""
    if once or not sys.stdout.isatty():
        result = client.ask("status", {}, timeout_seconds=_ASK_SECONDS)
        if as_json:
            import json

            print(json.dumps(result, indent=2, ensure_ascii=False))
        else:
            print("\n".join(lines(result, Rates(), width=120, height=10_000)))
        return 0
    rates = Rates()
    with _screen() as key:
        while True:
            result = client.ask("status", {}, timeout_seconds=_ASK_SECONDS)
            size = _size()
            _draw(lines(result, rates, width=size[0], height=size[1]), size[1])
            if key(interval_seconds) in {"q", "Q"}:
                return 0


def _no_key(seconds: float) -> str:
    """Wait where there is no keyboard; only Ctrl-C ends ``top`` then."""
    time.sleep(seconds)
    return ""


def _size() -> tuple[int, int]:
    import shutil

    size = shutil.get_terminal_size((80, 24))
    return size.columns, size.lines


def _draw(shown: list[str], height: int) -> None:
    """Overwrite the screen line by line, which does not flicker."""
    body = "\r\n".join(f"{line}\x1b[K" for line in shown[:height])
    sys.stdout.write(f"\x1b[H{body}\x1b[J")
    sys.stdout.flush()


@contextlib.contextmanager
def _screen() -> Iterator[Any]:
    """Use the alternate screen, and restore the terminal at the end; yields a function to wait for a key."""
    import termios
    import tty

    def key(seconds: float) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return sys.stdin.read(1) if ready else ""

    before = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")
    try:
        if before is not None:
            tty.setcbreak(sys.stdin)
            yield key
        else:
            yield _no_key
    finally:
        if before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
