"""How the campaign goes, on a terminal as it moves, elsewhere as a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

#: Between two lines where nothing can move.
LINE_SECONDS = 2.0
LAST_OUTCOMES = 6
#: Calls in progress that fit on a screen of 24 lines.
MOST_CALLS = 8

STYLES = {
    "answered": "green",
    "callback_requested": "green",
    "no_answer": "yellow",
    "voicemail": "yellow",
    "busy": "yellow",
    "invalid_number": "red",
    "failed": "red",
}


@dataclass(frozen=True, kw_only=True)
class CallInProgress:
    """One worker's call; a second of it passes faster than a second."""

    worker: str
    #: Masked.
    number: str
    #: Ringing or talking, and for how long.
    state: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A call that is over."""

    #: Masked.
    number: str
    name: str
    outcome: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class CampaignView:
    """The campaign at one moment."""

    jobs: int
    by_status: dict[str, int]
    calls_ended: int
    in_progress: Sequence[CallInProgress]
    last: Sequence[Ended]

    @property
    def finished(self) -> int:
        """Jobs of which nothing more is to be done."""
        return sum(self.by_status.get(status, 0) for status in ("done", "failed", "cancelled"))


class Progress(Protocol):
    """What the campaign is shown on; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, picture: CampaignView) -> None:
        """The campaign has moved."""


def progress(*, silent: bool) -> Progress:
    """The kind of progress that standard output can show."""
    if silent:
        return _Silent()
    return _Screen() if sys.stdout.isatty() else _Lines()


class _Silent:
    """Shows nothing: standard output belongs to a program."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def show(self, picture: CampaignView) -> None:
        """Nothing."""


class _Lines(_Silent):
    """A line every two seconds, if anything has changed."""

    def __init__(self) -> None:
        self._told = ""
        self._due = 0.0

    def show(self, picture: CampaignView) -> None:
        line = (
            f"{picture.finished}/{picture.jobs} jobs finished ({_statuses(picture)}), "
            f"{picture.calls_ended} calls ended, {len(picture.in_progress)} in progress"
        )
        if line != self._told and (time.monotonic() >= self._due or picture.finished == picture.jobs):
            print(f"  {line}", flush=True)
            self._told, self._due = line, time.monotonic() + LINE_SECONDS


class _Screen(_Silent):
    """A bar, the calls in progress and the last outcomes, redrawn in place."""

    def __init__(self) -> None:
        self._live = Live(console=Console(), refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, exc, trace)

    def show(self, picture: CampaignView) -> None:
        self._live.update(_drawn(picture))


def _drawn(picture: CampaignView) -> RenderableType:
    head = Table.grid(padding=(0, 1))
    head.add_row(
        Text(f"{picture.finished}/{picture.jobs} jobs", style="bold"),
        ProgressBar(total=picture.jobs, completed=picture.finished, width=36),
        Text(f"{picture.calls_ended} calls ended"),
    )
    calls = Table(title="calls in progress", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("worker", "number", "state", "for"):
        calls.add_column(name)
    for call in picture.in_progress[:MOST_CALLS]:
        calls.add_row(call.worker, call.number, call.state, f"{call.seconds:.0f} s")
    last = Table(title="last outcomes", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("person", "number", "outcome", "talked"):
        last.add_column(name)
    for ended in picture.last[:LAST_OUTCOMES]:
        outcome = Text(ended.outcome.replace("_", " "), style=STYLES.get(ended.outcome, ""))
        last.add_row(ended.name, ended.number, outcome, f"{ended.seconds:.0f} s" if ended.seconds else "")
    return Group(head, Text(_statuses(picture), style="dim"), "", calls, "", last)


def _statuses(picture: CampaignView) -> str:
    return ", ".join(
        f"{count} {status.replace('_', ' ')}" for status, count in sorted(picture.by_status.items())
    )
