"""What came of the demo: the figures, and how people are told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BAR_CHARACTERS = 30


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What came of it; ``--json`` prints just this."""

    #: Every job is done or failed, the books agree, and every dial was justified.
    ok: bool
    seed: int
    seconds: float
    jobs: int
    jobs_by_status: dict[str, int]
    calls_by_outcome: dict[str, int]
    calls_in_ledger: int
    calls_recorded: int
    ledger_and_results_agree: bool
    unjustified_dials: int
    minutes_talked: float
    cost: float
    #: What is wrong, a sentence each.
    faults: list[str] = field(default_factory=list)


def as_text(summary: Summary) -> str:
    """The report, some twenty lines."""
    agree = "agree call by call" if summary.ledger_and_results_agree else "DO NOT AGREE"
    talked = f"{summary.minutes_talked:g} minutes talked, cost {summary.cost:.2f}"
    books = f"{summary.calls_in_ledger}; recorded: {summary.calls_recorded}; they {agree}"
    lines = [
        "",
        f"{summary.jobs} jobs, {summary.calls_recorded} calls, {talked}, in {summary.seconds:.0f} seconds",
        "",
        "jobs",
        *_bars(summary.jobs_by_status),
        "",
        "calls",
        *_bars(summary.calls_by_outcome),
        "",
        f"calls truly placed (the simulator's ledger): {books}",
        f"dials that the rules do not justify: {summary.unjustified_dials}",
    ]
    if summary.faults:
        lines += ["", "what is wrong", *(f"  {fault}" for fault in summary.faults)]
    return "\n".join(lines)


def _bars(counts: Mapping[str, int]) -> list[str]:
    most = max(counts.values(), default=1)
    return [
        f"  {name.replace('_', ' '):<20} {count:>5}  {'#' * max(1, round(count / most * BAR_CHARACTERS))}"
        for name, count in counts.items()
    ]
