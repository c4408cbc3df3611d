"""The demo's result, and the report for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from speechaid.protocol.money import RETELL_CURRENCY, money
from speechaid.protocol.translation import say

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
    agree = say("they agree call by call") if summary.ledger_and_results_agree else say("they DO NOT AGREE")
    lines = [
        "",
        say(
            "{jobs} jobs, {calls} calls, {minutes:g} minutes talked, cost {cost}, in {seconds:.0f} seconds",
            jobs=summary.jobs,
            calls=summary.calls_recorded,
            minutes=summary.minutes_talked,
            cost=money(summary.cost, RETELL_CURRENCY),
            seconds=summary.seconds,
        ),
        "",
        say("jobs"),
        *_bars(summary.jobs_by_status),
        "",
        say("calls"),
        *_bars(summary.calls_by_outcome),
        "",
        say(
            "calls placed (the simulator's record): {placed}; recorded: {recorded}; {agree}",
            placed=summary.calls_in_ledger,
            recorded=summary.calls_recorded,
            agree=agree,
        ),
        say("dials that the rules do not allow: {dials}", dials=summary.unjustified_dials),
    ]
    if summary.faults:
        lines += ["", say("what is wrong"), *(f"  {fault}" for fault in summary.faults)]
    return "\n".join(lines)


def _bars(counts: Mapping[str, int]) -> list[str]:
    most = max(counts.values(), default=1)
    return [
        f"  {say(name.replace('_', ' ')):<20} {count:>5}  {_bar(count / most)}"
        for name, count in counts.items()
    ]


def _bar(share: float) -> str:
    return "#" * max(1, round(share * BAR_CHARACTERS))
