"""Caps over the ledger: whose entries count, how many are allowed, and when the next chance is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechaid.compliance.caps import (
    OPEN_RETRY,
    CapDecision,
    LedgerEntry,
    PlannedDial,
    SharedLines,
    check_caps,
    counts_against,
)
from speechaid.compliance.pack_files import shipped_packs
from speechaid.compliance.packs import Cap, Scope, Span, Unit
from speechaid.model.states import Outcome, Purpose
from tests.unit.compliance.samples import cap, pack

SANTIAGO = ZoneInfo("America/Santiago")
DIAL = PlannedDial(ids=frozenset({"1-9"}), numbers=frozenset({"+56911111111"}), account="acme")
NO_ANSWER, ANSWERED, VOICEMAIL = Outcome.NO_ANSWER, Outcome.ANSWERED, Outcome.VOICEMAIL


def at(text: str, zone: ZoneInfo = SANTIAGO, fold: int = 0) -> datetime:
    """2026-11-30 is a Monday."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def call(moment: str | datetime, outcome: Outcome | None = NO_ANSWER, **more: Any) -> LedgerEntry:
    when = at(moment) if isinstance(moment, str) else moment
    known: dict[str, Any] = {"key": f"k-{when}", "ids": DIAL.ids, "account": "acme", "outcome": outcome}
    return LedgerEntry(at=when, **(known | more))


def check(
    caps: Sequence[Cap], entries: Sequence[LedgerEntry], moment: str | datetime, **more: Any
) -> CapDecision:
    when = at(moment) if isinstance(moment, str) else moment
    known: dict[str, Any] = {"dial": DIAL, "zones": [SANTIAGO]}
    return check_caps(packs=[pack(*caps)], entries=entries, at=when, **(known | more))


class TestWhoseEntriesCount:
    @pytest.mark.parametrize(
        ("entry", "dial", "together", "apart"),
        [
            ({"ids": {"a"}}, {"ids": {"a"}}, True, True),
            ({"ids": {"a", "b"}}, {"ids": {"b", "c"}}, True, True),
            ({"ids": {"a"}}, {"ids": {"b"}}, False, False),
            ({"ids": {"a"}, "numbers": {"1"}}, {"ids": {"b"}, "numbers": {"1"}}, True, False),
            ({"ids": {"a"}, "numbers": {"1"}}, {"numbers": {"1"}}, True, True),
            ({"numbers": {"1"}}, {"ids": {"a"}, "numbers": {"1"}}, True, True),
            ({"numbers": {"1", "2"}}, {"numbers": {"2", "3"}}, True, True),
            ({"numbers": {"1"}}, {"numbers": {"2"}}, False, False),
            ({}, {}, False, False),
            ({"ids": {"a"}}, {"numbers": {"1"}}, False, False),
        ],
    )
    def test_a_shared_id_or_number(
        self, entry: dict[str, set[str]], dial: dict[str, set[str]], together: bool, apart: bool
    ) -> None:
        sets = {name: frozenset(values) for name, values in entry.items()}
        one = LedgerEntry(key="k", at=at("2026-11-30T10:00"), **sets)  # type: ignore[arg-type]
        for shared, counts in ((SharedLines.TOGETHER, together), (SharedLines.APART, apart)):
            planned = {name: frozenset(values) for name, values in dial.items()}
            who = PlannedDial(shared_lines=shared, **planned)  # type: ignore[arg-type]
            assert counts_against(one, who) is counts

    def test_people_are_not_joined_by_a_number_that_both_share_with_a_third(self) -> None:
        third = call("2026-11-30T10:00", ids=frozenset(), numbers=frozenset({"1", "2"}))
        first = call("2026-11-30T11:00", ids=frozenset({"a"}), numbers=frozenset({"1"}))
        dial = PlannedDial(ids=frozenset({"b"}), numbers=frozenset({"2"}), account="acme")
        assert [counts_against(one, dial) for one in (third, first)] == [True, False]

    def test_accounts_are_apart_and_the_own_entry_does_not_count(self) -> None:
        assert not counts_against(call("2026-11-30T10:00", account="other"), DIAL)
        assert not counts_against(call("2026-11-30T10:00", account=None), DIAL)
        own = PlannedDial(key="own", ids=DIAL.ids, account="acme")
        assert not counts_against(call("2026-11-30T10:00", key="own"), own)

    def test_calls_of_other_purposes_do_not_count_and_of_unknown_ones_do(self) -> None:
        once = [cap(Unit.ATTEMPT, 1, Span.CALENDAR_DAY)]
        for purpose, allowed in (
            (Purpose.COLLECTION, False),
            (Purpose.REMINDER, False),
            (Purpose.SURVEY, True),
            (None, False),
        ):
            entry = call("2026-11-30T10:00", purpose=purpose)
            assert check(once, [entry], "2026-11-30T15:00").allowed is allowed

    def test_a_cap_of_a_debt_counts_its_calls_and_those_of_no_known_debt(self) -> None:
        once = [cap(Unit.ATTEMPT, 1, Span.CALENDAR_DAY, scope=Scope.DEBT)]
        for debt, dialled, allowed in (
            ("d", "d", False),
            ("e", "d", True),
            (None, "d", False),
            ("e", None, False),
        ):
            dial = PlannedDial(ids=DIAL.ids, account="acme", debt=dialled)
            entry = call("2026-11-30T10:00", debt=debt)
            assert check(once, [entry], "2026-11-30T15:00", dial=dial).allowed is allowed


DAY, WEEK = Span.CALENDAR_DAY, Span.CALENDAR_WEEK
ONCE_A_DAY = cap(Unit.ATTEMPT, 1, DAY)
CONTACT_A_WEEK = cap(Unit.CONTACT, 1, WEEK)
SEVEN = cap(Unit.ATTEMPT, 7, Span.ROLLING_DAYS, 7)
THREE = cap(Unit.ATTEMPT, 3, Span.ROLLING_HOURS, 24)
AFTER_TALK = cap(Unit.CONTACT, 0, Span.DAYS_AFTER_TALK, 7)
ONE_MORE = cap(Unit.CONTACT, 1, WEEK, one_more_same_day=True)
UNANSWERED = cap(Unit.UNANSWERED_ATTEMPT, 3, WEEK, name="unanswered")


@pytest.mark.parametrize(
    ("caps", "entries", "moment", "next_at"),
    [
        ([], [call("2026-11-30T10:00")] * 9, "2026-11-30T11:00", "2026-11-30T11:00"),
        ([ONCE_A_DAY], [], "2026-11-30T10:00", "2026-11-30T10:00"),
        ([ONCE_A_DAY], [call("2026-11-30T00:00")], "2026-11-30T23:59", "2026-12-01T00:00"),
        ([ONCE_A_DAY], [call("2026-11-29T23:59")], "2026-11-30T00:00", "2026-11-30T00:00"),
        ([CONTACT_A_WEEK], [call("2026-11-30T10:00")] * 3, "2026-12-01T10:00", "2026-12-01T10:00"),
        ([CONTACT_A_WEEK], [call("2026-11-30T10:00", ANSWERED)], "2026-12-06T23:00", "2026-12-07T00:00"),
        ([CONTACT_A_WEEK], [call("2026-11-29T10:00", ANSWERED)], "2026-11-30T10:00", "2026-11-30T10:00"),
        ([CONTACT_A_WEEK], [call("2026-11-30T10:00", VOICEMAIL)], "2026-12-01T10:00", "2026-12-07T00:00"),
        (
            [CONTACT_A_WEEK],
            [call("2026-11-30T10:00", VOICEMAIL, message_left=False)],
            "2026-12-01T10:00",
            "2026-12-01T10:00",
        ),
        (
            [THREE],
            [call(f"2026-11-30T{hour}:00") for hour in (10, 12, 14)],
            "2026-11-30T15:00",
            "2026-12-01T10:00",
        ),
        (
            [THREE],
            [call(f"2026-11-30T{hour}:00") for hour in (10, 11, 12, 14)],
            "2026-11-30T15:00",
            "2026-12-01T11:00",
        ),
        ([THREE], [call("2026-11-30T10:00")] * 3, "2026-12-01T10:00", "2026-12-01T10:00"),
        (
            [SEVEN, AFTER_TALK],
            [call("2026-11-30T10:00"), call("2026-12-01T10:00", ANSWERED)],
            "2026-12-02T10:00",
            "2026-12-08T10:00",
        ),
        ([AFTER_TALK], [call("2026-12-01T10:00", VOICEMAIL)], "2026-12-02T10:00", "2026-12-02T10:00"),
        (
            [SEVEN],
            [call(f"2026-12-0{day}T10:00") for day in range(1, 8)],
            "2026-12-07T11:00",
            "2026-12-08T10:00",
        ),
        ([ONE_MORE], [call("2026-12-01T10:00", ANSWERED)], "2026-12-01T11:00", "2026-12-01T11:00"),
        ([ONE_MORE], [call("2026-12-01T10:00", ANSWERED)], "2026-12-02T10:00", "2026-12-07T00:00"),
        (
            [ONE_MORE],
            [call("2026-12-01T10:00", ANSWERED), call("2026-12-01T11:00")],
            "2026-12-01T12:00",
            "2026-12-07T00:00",
        ),
        (
            [ONE_MORE],
            [call("2026-12-01T10:00", ANSWERED), call("2026-12-01T11:00", ANSWERED)],
            "2026-12-01T12:00",
            "2026-12-07T00:00",
        ),
        (
            [ONE_MORE],
            [call("2026-12-01T10:00"), call("2026-12-01T10:00", ANSWERED)],
            "2026-12-01T11:00",
            "2026-12-07T00:00",
        ),
        (
            [ONE_MORE, UNANSWERED],
            [call("2026-11-30T10:00"), call("2026-12-01T09:00"), call("2026-12-01T10:00", ANSWERED)],
            "2026-12-01T11:00",
            "2026-12-01T11:00",
        ),
        (
            [UNANSWERED, ONE_MORE],
            [call(f"2026-12-0{day}T10:00") for day in (1, 2, 3)],
            "2026-12-04T10:00",
            "2026-12-07T00:00",
        ),
        ([ONCE_A_DAY], [call("2026-12-02T10:00")], "2026-12-01T10:00", "2026-12-03T00:00"),
        ([ONCE_A_DAY], [call("2026-12-01T10:00", void=True)], "2026-12-01T11:00", "2026-12-01T11:00"),
        ([ONCE_A_DAY], [call("2026-12-01T10:00", None)], "2026-12-01T11:00", "2026-12-02T00:00"),
        ([ONCE_A_DAY], [call("2026-12-01T10:00", Outcome.TEMPORARY)], "2026-12-01T11:00", "2026-12-01T11:00"),
    ],
    ids=[
        *("no cap", "no entry", "a day ends at local midnight", "yesterday's", "unanswered calls"),
        *("a week ends on Sunday", "last week's", "a message is a contact", "without a message"),
        *("rolling hours", "the fourth has to lapse too", "lapsed to the minute", "after a talk"),
        *(
            "a message is no talk",
            "seven in seven days",
            "one more",
            "not on another day",
            "one more is used",
        ),
        *("one more was answered", "two at one instant", "one more beside unanswered", "three unanswered"),
        *("an entry ahead of the clock", "void", "nobody can explain it", "no phone rang"),
    ],
)
def test_when_caps_allow_a_call_next(
    caps: list[Cap], entries: list[LedgerEntry], moment: str, next_at: str
) -> None:
    unique = [LedgerEntry(**{**vars(entry), "key": str(place)}) for place, entry in enumerate(entries)]
    found = check(caps, unique, moment)
    assert found.next_at == at(next_at)
    assert found.allowed is (moment == next_at)


class TestOpenEntries:
    def test_they_count_as_attempt_contact_and_talk_however_old(self) -> None:
        for one in (ONCE_A_DAY, CONTACT_A_WEEK, THREE, AFTER_TALK):
            number = one.number or 1
            entries = [call("2026-11-30T10:00", None, open=True, key=str(place)) for place in range(number)]
            found = check([one], entries, "2026-11-30T15:00")
            assert (found.allowed, found.only_open) == (False, True)
            assert found.next_at == at("2026-11-30T15:00") + OPEN_RETRY
            assert "calls under way included" in found.sentence

    def test_they_do_not_move_a_chance_that_closed_ones_decide(self) -> None:
        entries = [call("2026-11-30T10:00"), call("2026-11-30T11:00", None, open=True)]
        found = check([ONCE_A_DAY], entries, "2026-11-30T15:00")
        assert (found.only_open, found.next_at) == (False, at("2026-12-01T00:00"))

    def test_of_racing_dials_each_sees_the_others(self) -> None:
        entries = [call("2026-11-30T10:00", None, open=True, key=key) for key in "ab"]
        for key in "ab":
            dial = PlannedDial(key=key, ids=DIAL.ids, account="acme")
            assert not check([CONTACT_A_WEEK], entries, "2026-11-30T10:00", dial=dial).allowed


def test_a_refusal_names_cap_count_source_and_next_chance() -> None:
    entries = [call("2026-12-01T10:00", ANSWERED)]
    cl = shipped_packs()["CL", Purpose.COLLECTION]
    found = check_caps(packs=[cl], entries=entries, dial=DIAL, zones=[SANTIAGO], at=at("2026-12-02T10:00"))
    assert (found.rule, found.count) == ("CL collection: weekly_contact", 1)
    assert found.source == "Ley 21.320; Ley 19.496 art. 37; Garrigues 2021; emerix.net"
    assert found.sentence == (
        "1 contact a calendar week per person: 1 counted; next chance 2026-12-07 00:00 in America/Santiago"
    )


def test_days_are_the_callees_and_each_possible_zone_has_to_allow() -> None:
    tijuana, cancun = ZoneInfo("America/Tijuana"), ZoneInfo("America/Cancun")
    entry = call(at("2026-11-30T22:30", tijuana))
    moment = at("2026-12-01T00:15", tijuana)
    assert check([ONCE_A_DAY], [entry], moment, zones=[tijuana]).allowed
    assert not check([ONCE_A_DAY], [entry], moment, zones=[cancun]).allowed
    both = check([ONCE_A_DAY], [entry], moment, zones=[tijuana, cancun])
    # Midnight in Cancún comes first, but the day in Tijuana has begun already.
    assert both.next_at == at("2026-12-02T00:00", cancun)


def test_a_day_that_begins_with_a_skipped_hour_begins_after_it() -> None:
    # Chile's clocks go from 24:00 on Saturday to 1:00 on Sunday.
    found = check([ONCE_A_DAY], [call("2026-09-05T10:00")], "2026-09-05T15:00")
    assert found.next_at == at("2026-09-06T01:00")
    # And from 24:00 back to 23:00: Saturday has 25 hours.
    found = check([ONCE_A_DAY], [call("2026-04-04T23:30")], at("2026-04-04T23:30", fold=1))
    assert found.next_at == at("2026-04-05T00:00")


def test_entries_of_a_far_future_end_in_no_chance() -> None:
    found = check([ONCE_A_DAY], [call("2030-01-01T10:00")], "2026-12-01T10:00")
    assert (found.allowed, found.next_at) == (False, None)
    assert "there is no next chance" in found.sentence


_CAPS = st.lists(
    st.sampled_from([ONCE_A_DAY, CONTACT_A_WEEK, SEVEN, THREE, AFTER_TALK, ONE_MORE, UNANSWERED]),
    min_size=1,
    max_size=3,
)
_START = at("2026-08-31T00:00")


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    _CAPS,
    st.lists(
        st.tuples(st.integers(0, 14 * 48), st.sampled_from([NO_ANSWER, ANSWERED, VOICEMAIL])), max_size=12
    ),
    st.integers(0, 14 * 48),
)
def test_the_next_chance_is_the_first_allowed_half_hour(
    caps: list[Cap], calls: list[tuple[int, Outcome]], step: int
) -> None:
    half_hour = timedelta(minutes=30)
    begin = _START.astimezone(UTC)
    entries = [
        call(begin + half_hour * ahead, outcome, key=str(place))
        for place, (ahead, outcome) in enumerate(calls)
        if ahead <= step
    ]
    moment = begin + half_hour * step
    found = check(caps, entries, moment)
    assert found.next_at is not None
    steps = int((found.next_at - moment) / half_hour)
    assert found.next_at == moment + half_hour * steps
    assert found.allowed is (steps == 0)
    assert not any(check(caps, entries, moment + half_hour * ahead).allowed for ahead in range(steps))
    assert check(caps, entries, found.next_at).allowed


class TestSpreadAttempts:
    """With ``spread_attempts`` an attempt that reached nobody keeps its part of the day free for 24 hours."""

    SPREAD = pack().model_copy(update={"spread_attempts": True})

    def decide(self, entries: Sequence[LedgerEntry], moment: str) -> CapDecision:
        return check_caps(packs=[self.SPREAD], entries=entries, dial=DIAL, zones=[SANTIAGO], at=at(moment))

    @pytest.mark.parametrize(
        ("moment", "next_at"),
        [
            ("2026-11-30T11:00", "2026-11-30T12:00"),  # the afternoon of the same day
            ("2026-11-30T12:00", "2026-11-30T12:00"),
            ("2026-12-01T08:00", "2026-12-01T10:00"),  # the same part, a day later
            ("2026-12-01T10:00", "2026-12-01T10:00"),
        ],
    )
    def test_after_an_attempt_in_the_morning(self, moment: str, next_at: str) -> None:
        found = self.decide([call("2026-11-30T10:00")], moment)
        assert found.next_at == at(next_at)
        assert found.allowed is (moment == next_at)
        if not found.allowed:
            assert found.rule == f"{self.SPREAD.name}: spread_attempts"

    def test_after_one_in_each_part_the_first_part_comes_again(self) -> None:
        tried = [call(f"2026-11-30T{hour}:00") for hour in (10, 14, 18)]
        assert self.decide(tried, "2026-11-30T19:00").next_at == at("2026-12-01T00:00") + timedelta(hours=10)

    def test_a_talk_keeps_no_part_free_and_a_call_under_way_does(self) -> None:
        assert self.decide([call("2026-11-30T10:00", ANSWERED)], "2026-11-30T11:00").allowed
        under_way = self.decide([call("2026-11-30T10:00", None, open=True)], "2026-11-30T11:00")
        assert (under_way.allowed, under_way.only_open) == (False, True)

    def test_off_it_asks_nothing(self) -> None:
        found = check_caps(
            packs=[pack()],
            entries=[call("2026-11-30T10:00")],
            dial=DIAL,
            zones=[SANTIAGO],
            at=at("2026-11-30T11:00"),
        )
        assert found.allowed
        assert not any(one.spread_attempts for one in shipped_packs().values())
