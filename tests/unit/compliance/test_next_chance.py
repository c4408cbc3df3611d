"""Hours and caps together."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from speechaid.compliance.caps import OPEN_RETRY, LedgerEntry, PlannedDial
from speechaid.compliance.next_chance import RuleDecision, check_rules
from speechaid.compliance.pack_files import shipped_packs
from speechaid.compliance.packs import InvalidPack, Pack
from speechaid.model.states import Outcome, Purpose
from speechaid.rules.windows import ALL_DAYS, Window

SANTIAGO = ZoneInfo("America/Santiago")
CL = shipped_packs()["CL", Purpose.COLLECTION]


def at(text: str) -> datetime:
    """2026-11-30 is a Monday."""
    return datetime.fromisoformat(text).replace(tzinfo=SANTIAGO)


def check(
    moment: str,
    *entries: LedgerEntry,
    packs: tuple[Pack | InvalidPack, ...] = (CL,),
    days: frozenset[int] = ALL_DAYS,
) -> RuleDecision:
    return check_rules(
        country="CL",
        purpose=Purpose.COLLECTION,
        packs=packs,
        batch=Window(start_seconds=9 * 3600, end_seconds=18 * 3600, days=days, zone=SANTIAGO),
        zones=[SANTIAGO],
        entries=entries,
        dial=PlannedDial(ids=frozenset({"a"})),
        at=at(moment),
    )


def call(moment: str, outcome: Outcome | None = Outcome.ANSWERED, *, is_open: bool = False) -> LedgerEntry:
    return LedgerEntry(key=moment, ids=frozenset({"a"}), at=at(moment), outcome=outcome, open=is_open)


def test_a_cap_moves_the_chance_into_the_next_hours() -> None:
    found = check("2026-12-01T10:00", call("2026-11-30T10:00"))
    assert (found.allowed, found.hours.allowed) == (False, True)
    assert found.next_at == at("2026-12-07T09:00")


def test_hours_that_open_when_a_cap_has_ended_decide_alone() -> None:
    found = check("2026-12-04T19:00", call("2026-12-04T10:00"), days=frozenset({5, 6}))
    assert found.next_at == at("2026-12-11T09:00")
    assert check("2026-12-05T10:00", call("2026-11-28T10:00")).allowed


def test_only_an_open_call_is_looked_at_again_soon() -> None:
    entry = call("2026-11-30T10:00", None, is_open=True)
    assert check("2026-11-30T10:00", entry).next_at == at("2026-11-30T10:00") + OPEN_RETRY
    # Not after the hours of the day.
    assert check("2026-11-30T17:59", entry).next_at == at("2026-12-01T09:00")


def test_a_broken_pack_asks_no_caps_and_has_no_chance() -> None:
    broken = InvalidPack(country="CL", purpose=Purpose.COLLECTION, faults=("x",))
    found = check("2026-11-30T10:00", packs=(broken,))
    assert (found.allowed, found.caps, found.next_at) == (False, None, None)


def test_a_batch_of_sundays_has_no_chance() -> None:
    found = check("2026-11-30T10:00", days=frozenset({7}))
    assert (found.allowed, found.next_at) == (False, None)


def test_without_a_pack_no_cap_holds() -> None:
    assert check("2026-11-30T10:00", call("2026-11-30T09:00"), packs=()).allowed
