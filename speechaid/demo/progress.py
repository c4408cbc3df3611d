"""Progress of the campaign: a live view on a terminal, otherwise a line every few seconds."""

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

from speechaid.protocol.translation import say, say_n

#: Seconds between lines where there is no live view.
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
    "rejected": "red",
}


@dataclass(frozen=True, kw_only=True)
class CallInProgress:
    """One worker's live call; its seconds are call seconds, which pass faster than real ones."""

    worker: str
    #: Masked.
    number: str
    #: Ringing or talking.
    state: str
    #: In this state.
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Ended:
    """An ended call."""

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
        """Jobs with a final status."""
        return sum(self.by_status.get(status, 0) for status in ("done", "failed", "cancelled"))


class Progress(Protocol):
    """Shows the campaign; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, view: CampaignView) -> None:
        """Show the campaign's new state."""


def progress(*, silent: bool) -> Progress:
    """The progress display for this standard output."""
    if silent:
        return _Silent()
    return _Screen() if sys.stdout.isatty() else _Lines()


class _Silent:
    """Shows nothing: a program reads standard output."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""

    def show(self, view: CampaignView) -> None:
        """Show nothing."""


class _Lines(_Silent):
    """Prints a line every two seconds, if anything has changed."""

    def __init__(self) -> None:
        self._last_line = ""
        self._next_at = 0.0

    def show(self, view: CampaignView) -> None:
        line = say(
            "{finished}/{jobs} jobs finished ({statuses}), {ended} calls ended, {live} in progress",
            finished=view.finished,
            jobs=view.jobs,
            statuses=_statuses(view),
            ended=view.calls_ended,
            live=len(view.in_progress),
        )
        if line != self._last_line and (time.monotonic() >= self._next_at or view.finished == view.jobs):
            print(f"  {line}", flush=True)
            self._last_line, self._next_at = line, time.monotonic() + LINE_SECONDS


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

    def show(self, view: CampaignView) -> None:
        self._live.update(_render(view))


def _render(view: CampaignView) -> RenderableType:
    head = Table.grid(padding=(0, 1))
    head.add_row(
        Text(say("{finished}/{jobs} jobs", finished=view.finished, jobs=view.jobs), style="bold"),
        ProgressBar(total=view.jobs, completed=view.finished, width=36),
        Text(say("{ended} calls ended", ended=view.calls_ended)),
    )
    calls = Table(title=say("calls in progress"), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in (say("worker"), say("number"), say("state"), say("for")):
        calls.add_column(name)
    for call in view.in_progress[:MOST_CALLS]:
        calls.add_row(call.worker, call.number, say(call.state), f"{call.seconds:.0f} s")
    last = Table(title=say("last outcomes"), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in (say("person"), say("number"), say("outcome"), say("talked")):
        last.add_column(name)
    for ended in view.last[:LAST_OUTCOMES]:
        outcome = Text(say(ended.outcome.replace("_", " ")), style=STYLES.get(ended.outcome, ""))
        last.add_row(ended.name, ended.number, outcome, f"{ended.seconds:.0f} s" if ended.seconds else "")
    return Group(head, Text(_statuses(view), style="dim"), "", calls, "", last)


def _statuses(view: CampaignView) -> str:
    return ", ".join(_counted(status, count) for status, count in sorted(view.by_status.items()))


def _counted(status: str, count: int) -> str:
    """As ``speechctl`` counts by status: ``5 pending``."""
    sentence = "{count} " + status.replace("_", " ")
    return say_n(sentence, sentence, count)
