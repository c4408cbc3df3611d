"""The demo's result, and the report for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from speechaid.protocol.money import RETELL_CURRENCY, money

BAR_CHARACTERS = 30


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The result; ``--json`` prints these fields."""

    #: Every job is done or failed, the records agree, and the rules allow every dial.
    ok: bool
    seed: int
    seconds: float
    jobs: int
    jobs_by_status: dict[str, int]
    calls_by_outcome: dict[str, int]
    #: Calls that the simulator placed.
    calls_in_ledger: int
    calls_recorded: int
    ledger_and_results_agree: bool
    unjustified_dials: int
    minutes_talked: float
    cost: float
    #: What is wrong, one sentence each.
    faults: list[str] = field(default_factory=list)


def as_text(summary: Summary) -> str:
    """The report, about twenty lines."""
    agree = "agree call by call" if summary.ledger_and_results_agree else "DO NOT AGREE"
    talked = f"{summary.minutes_talked:g} minutes talked, cost {money(summary.cost, RETELL_CURRENCY)}"
    comparison = f"{summary.calls_in_ledger}; recorded: {summary.calls_recorded}; they {agree}"
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
        f"calls placed (the simulator's record): {comparison}",
        f"dials that the rules do not allow: {summary.unjustified_dials}",
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
