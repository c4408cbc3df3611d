"""``top``: the daemon on one screen, live. What is shown is worked out apart from the terminal.

With more workers than lines, those in a call come first, the longest call on top; the rest is summed up.
"""

from __future__ import annotations

import contextlib
import select
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from speechctl.blocks import harmless
from speechctl.client import Client
from speechctl.render_status import head_of, warnings_of
from speechctl.words import call_word, duration

Result = Mapping[str, Any]
#: Rates are taken over so many seconds.
_RATE_SECONDS: Final = 60.0
_ASK_SECONDS: Final = 10.0
_MOST_WARNINGS: Final = 3
_MOST_BATCHES: Final = 3
#: What every character of a bar chart of states stands for is written beside it.
_WORK_LEFT: Final = ("pending", "scheduled", "in_progress")
_QUEUE: Final = ("pending", "in_progress", "done", "failed", "suspended", "cancelled")


@dataclass
class Rates:
    """Calls ended a minute, from one look to the next."""

    looks: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, calls_done: int) -> None:
        """One look more; a count that went back is a daemon that started anew."""
        if self.looks and calls_done < self.looks[-1][1]:
            self.looks.clear()
        self.looks.append((now, calls_done))
        while now - self.looks[0][0] > _RATE_SECONDS:
            self.looks.popleft()

    def per_minute(self) -> float | None:
        """None until there are two looks."""
        if len(self.looks) < 2:
            return None
        (began, before), (now, after) = self.looks[0], self.looks[-1]
        return (after - before) * 60 / max(now - began, 0.001)


def lines(result: Result, rates: Rates, *, width: int, height: int) -> list[str]:
    """The screen, at most ``height`` lines of at most ``width`` characters."""
    supervisor, workers = result["supervisor"], result["workers"]
    calls_done = int(supervisor.get("calls_done") or 0)
    rates.note(time.monotonic(), calls_done)
    rate = rates.per_minute()
    per_minute = "-" if rate is None else f"{rate:.1f}"
    in_call = [row for row in workers if row.get("call")]
    fleet = f"workers {supervisor.get('present')}/{supervisor.get('wanted')}"
    head = [
        head_of(supervisor),
        f"{fleet}  calls {len(in_call)}  ended {calls_done}  a minute {per_minute}  {_states(workers)}",
        _queue(result),
        *warnings_of(result)[:_MOST_WARNINGS],
        *_batches(result),
    ]
    room = height - len(head) - 2
    body = _workers(workers, room, width)
    return [harmless(line)[:width] for line in [*head, "", *body]][:height]


def _states(workers: list[Result]) -> str:
    counts = Counter(str(row.get("state")) for row in workers)
    return " ".join(f"{call_word(state)}:{count}" for state, count in counts.most_common())


def _queue(result: Result) -> str:
    queue = result.get("queue") or {}
    known = " ".join(f"{call_word(word)} {queue[word]}" for word in _QUEUE if queue.get(word))
    state = (result.get("database") or {}).get("state")
    return f"jobs: {known or 'none'}" + ("" if state in {"up", None} else f"  (database {state})")


def _batches(result: Result) -> list[str]:
    """The batches with work left, by what is left."""

    def left(row: Result) -> int:
        jobs = row.get("jobs") or {}
        return sum(int(jobs.get(status, 0)) for status in _WORK_LEFT)

    rows = sorted((row for row in result.get("batches") or [] if left(row)), key=left, reverse=True)
    shown = []
    for row in rows[:_MOST_BATCHES]:
        total = sum((row.get("jobs") or {}).values())
        done = total - left(row)
        state = "" if row.get("active") else " PAUSED" if row.get("active") is False else " MISSING"
        shown.append(
            f"  {row['batch_id']} {_bar(done, total)} {done}/{total}{state}  {row.get('name') or ''}"
        )
    # Status names some of the batches, and counts all.
    more = max(len(rows), int(result.get("batches_with_work") or 0)) - len(shown)
    return shown + ([f"  and {more} more batches with work left"] if more > 0 else [])


def _bar(done: int, total: int, width: int = 16) -> str:
    filled = 0 if total == 0 else done * width // total
    return "[" + "#" * filled + "." * (width - filled) + "]"


def _workers(workers: list[Result], room: int, width: int) -> list[str]:
    """Those in a call, longest first, then the others that are about something; the rest is summed up."""
    if room < 2:
        return []
    ordered = sorted(workers, key=_weight)
    calm = [row for row in ordered if not row.get("job") and not _marks(row)]
    busy = [row for row in ordered if row.get("job") or _marks(row)]
    shown = busy if len(busy) + len(calm) > room - 1 else ordered
    head = f"{'worker':<11}{'state':<12}{'for':>8}  {'job':<22}{'call':<{max(4, width - 65)}} {'calls':>5}"
    rows = [_row(row, width) for row in shown[: room - 1]]
    left = len(workers) - len(rows)
    if left > 0:
        rows = rows[: room - 2]
        left = len(workers) - len(rows)
        rows.append(
            f"... and {left} more: {_states([row for row in ordered if row not in shown[: len(rows)]])}"
        )
    return [head, *rows]


def _weight(row: Result) -> tuple[int, float, int]:
    busy = 0 if row.get("call") else 1 if row.get("job") or _marks(row) else 2
    return busy, -float(row.get("call_for_seconds") or row.get("for_seconds") or 0), _number(row)


def _number(row: Result) -> int:
    digits = str(row.get("slot", "")).rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _row(row: Result, width: int) -> str:
    since = row.get("call_for_seconds") if row.get("call") else row.get("for_seconds")
    state = call_word(row.get("state")) + (f" ({_marks(row)})" if _marks(row) else "")
    room = max(4, width - 65)
    return (
        f"{row.get('slot', '')!s:<11.11}{state:<12.12}{duration(since):>8}  {row.get('job') or '':<22.22}"
        f"{row.get('call') or '':<{room}.{room}} {row.get('calls_done') or 0:>5}"
    )


def _marks(row: Result) -> str:
    return ",".join(
        word for word in ("paused", "leaving", "crash_loop") if row.get(word) and word != row.get("state")
    )


def run(client: Client, *, interval_seconds: float, once: bool, as_json: bool) -> int:
    """Show it until q or Ctrl-C; once, as plain text, where nobody watches."""
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
    """Where no keyboard is: Ctrl-C alone ends it."""
    time.sleep(seconds)
    return ""


def _size() -> tuple[int, int]:
    import shutil

    found = shutil.get_terminal_size((80, 24))
    return found.columns, found.lines


def _draw(shown: list[str], height: int) -> None:
    """Over what stands there, line by line, so that nothing flickers."""
    body = "\r\n".join(f"{line}\x1b[K" for line in shown[:height])
    sys.stdout.write(f"\x1b[H{body}\x1b[J")
    sys.stdout.flush()


@contextlib.contextmanager
def _screen() -> Iterator[Any]:
    """A screen of its own, given back however this ends; yields what waits for a key."""
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
