"""An operator's overlay can only make a pack stricter; what is looser needs an exemption with a name."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.compliance.caps import LedgerEntry, PlannedDial, check_caps
from speechaid.compliance.hours import is_pack_open
from speechaid.compliance.overlays import apply_overlay, is_stricter
from speechaid.compliance.pack_files import shipped_packs
from speechaid.compliance.packs import (
    SPANS_WITH_LENGTH,
    Cap,
    DayHours,
    Exemption,
    HolidayRule,
    LooserPart,
    Overlay,
    Pack,
    Scope,
    Span,
    Unit,
)
from speechaid.model.states import Outcome, Purpose
from tests.unit.compliance.samples import HOUSE, cap, hours, pack

CL = shipped_packs()["CL", Purpose.COLLECTION]
PY = shipped_packs()["PY", Purpose.COLLECTION]
SANTIAGO = ZoneInfo("America/Santiago")


def overlay(**values: Any) -> Overlay:
    known: dict[str, Any] = {"kind": "overlay", "format": 1, "country": "CL", "purpose": Purpose.COLLECTION}
    return Overlay(**(known | values))


def exemption(*loosens: LooserPart, name: str = "our_lawyer") -> Exemption:
    return Exemption(name=name, loosens=loosens, said_by="A. Soto", at=date(2026, 12, 1), reason="her letter")


def day(days: list[int], start: str, end: str) -> DayHours:
    return DayHours(days=tuple(days), start=start, end=end)


@pytest.mark.parametrize(
    ("values", "windows"),
    [
        ({"hours": (day([1, 2], "09:00", "18:00"),)}, "Wed-Sat 08:00-20:00, Mon-Tue 09:00-18:00"),
        ({"hours": (day([6], "10:00", "12:00"), day([6], "12:00", "14:00"))}, None),
        ({"closed_days": (6,)}, "Mon-Fri 08:00-20:00"),
        ({"closed_days": (1, 2, 3, 4, 5, 6)}, "no calls"),
        ({"options": ("saturday_morning",), "closed_days": (1,)}, "Tue-Fri 08:00-20:00, Sat 10:00-13:00"),
    ],
    ids=["fewer hours", "two spans", "a closed day", "closed all week", "an option, and a closed day"],
)
def test_stricter_hours_replace_those_of_their_days(values: dict[str, Any], windows: str | None) -> None:
    result, faults = apply_overlay(CL, overlay(**values))
    assert faults == []
    assert windows is None or str(result.windows) == windows


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (
            {"hours": (day([7], "10:00", "12:00"),)},
            "hours: Sun is wider than in the pack; allowed: no call, or",
        ),
        (
            {"hours": (day([1], "07:59", "12:00"),)},
            "hours: Mon is wider than in the pack; allowed: 08:00-20:00",
        ),
        ({"hours": (day([1], "08:00", "20:01"),)}, "hours: Mon is wider"),
        (
            {"holidays": HolidayRule.IGNORED},
            "holidays: ignored may allow what barred does not; allowed: barred",
        ),
        ({"holidays": HolidayRule.AS_SUNDAY}, "holidays: as_sunday may allow"),
        (
            {"caps": (cap(Unit.CONTACT, 2, Span.CALENDAR_WEEK, name="weekly_contact"),)},
            "caps weekly_contact: looser than in the pack; allowed: at most 1 contact a calendar week",
        ),
        ({"caps": (cap(Unit.CONTACT, 1, Span.CALENDAR_DAY, name="weekly_contact"),)}, "caps weekly_contact"),
        (
            {"caps": (cap(Unit.CONTACT, 1, Span.CALENDAR_WEEK, name="weekly_contact", scope=Scope.DEBT),)},
            "caps weekly_contact",
        ),
        ({"records_days": 730}, "records_days: shorter than in the pack; allowed: at least 731"),
        ({"options": ("none",)}, "options: none is no option of CL collection"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_looser_value_is_refused_without_an_exemption(values: dict[str, Any], fault: str) -> None:
    _, faults = apply_overlay(CL, overlay(**values))
    assert len(faults) == 1
    assert faults[0].startswith(fault)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"hours": (day([7], "10:00", "12:00"),)}, LooserPart.HOURS),
        ({"holidays": HolidayRule.IGNORED}, LooserPart.HOLIDAYS),
        ({"caps": (cap(Unit.CONTACT, 2, Span.CALENDAR_WEEK, name="weekly_contact"),)}, LooserPart.CAPS),
        ({"records_days": 30}, LooserPart.RECORDS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_exemption_allows_the_part_that_it_names_and_stays_on_record(
    values: dict[str, Any], part: LooserPart
) -> None:
    named = exemption(part)
    result, faults = apply_overlay(CL, overlay(**values, exemptions=(named,)))
    assert faults == []
    assert result.exemptions == (named,)
    others = [other for other in LooserPart if other not in {part, LooserPart.CALLER_NUMBERS}]
    assert apply_overlay(CL, overlay(**values, exemptions=(exemption(*others),)))[1]


def test_an_exemption_from_calling_numbers_is_one_that_the_pack_knows() -> None:
    known = exemption(LooserPart.CALLER_NUMBERS, name="retail_financiero")
    assert apply_overlay(CL, overlay(exemptions=(known,)))[1] == []
    unknown = exemption(LooserPart.CALLER_NUMBERS)
    (fault,) = apply_overlay(CL, overlay(exemptions=(unknown,)))[1]
    assert fault.endswith("allowed: retail_financiero")


def test_a_cap_of_a_new_name_holds_beside_the_others() -> None:
    more = cap(Unit.ATTEMPT, 3, Span.CALENDAR_DAY, name="three_a_day")
    result, faults = apply_overlay(CL, overlay(caps=(more,)))
    assert faults == []
    assert result.caps == (*CL.caps, more)


def test_holidays_are_added_to_those_of_the_pack() -> None:
    values = {"extra_holidays": (date(2026, 12, 31), date(2026, 12, 24)), "subdivisions": ("AP",)}
    result, faults = apply_overlay(CL, overlay(**values))
    assert faults == []
    assert result.holidays is not None
    assert result.holidays.extra == (date(2026, 12, 24), date(2026, 12, 31))
    assert result.holidays.subdivisions == ("AP",)


def test_a_pack_without_hours_and_holidays_is_made_stricter_by_hours_alone() -> None:
    plain = pack()
    result, faults = apply_overlay(plain, overlay(hours=(day([1], "09:00", "10:00"),), closed_days=(7,)))
    assert faults == []
    assert str(result.windows) == "Tue-Sat 00:00-24:00, Mon 09:00-10:00"
    assert apply_overlay(plain, overlay(holidays=HolidayRule.BARRED))[1]
    assert apply_overlay(plain, overlay(records_days=9))[1]


_TIMES = st.integers(0, 23).flatmap(
    lambda start: st.integers(start + 1, 24).map(lambda end: (f"{start:02}:00", f"{end:02}:00"))
)
_HOURS = st.builds(
    lambda days, span: day(sorted(days), *span), st.sets(st.integers(1, 7), min_size=1), _TIMES
)
_INSTANTS = st.integers(0, 3 * 365 * 24).map(
    lambda hours: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
)


@given(st.lists(_HOURS, max_size=4), st.sets(st.integers(1, 7)), _INSTANTS, st.sampled_from([CL, PY]))
def test_what_an_accepted_overlay_allows_the_pack_allows_too(
    wanted: list[DayHours], closed: set[int], at: datetime, shipped: Pack
) -> None:
    values = overlay(hours=tuple(wanted), closed_days=tuple(sorted(closed)), extra_holidays=(at.date(),))
    result, faults = apply_overlay(shipped, values)
    if not faults:
        for ahead in range(48):
            moment = at + timedelta(minutes=30 * ahead)
            assert not is_pack_open(result, SANTIAGO, moment) or is_pack_open(shipped, SANTIAGO, moment)


def _caps() -> st.SearchStrategy[Cap]:
    def make(unit: Unit, number: int, span: tuple[Span, int], scope: Scope, more: bool) -> Cap:
        kind, length = span
        if kind is Span.DAYS_AFTER_TALK:
            unit, number = Unit.CONTACT, 0
        is_calendar = kind not in SPANS_WITH_LENGTH
        return Cap(
            name="cap",
            unit=unit,
            number=number,
            span=kind,
            length=None if is_calendar else length,
            scope=scope,
            one_more_same_day=more and is_calendar and unit is Unit.CONTACT,
            **HOUSE,
        )

    return st.builds(
        make,
        st.sampled_from(Unit),
        st.integers(1, 3),
        st.tuples(st.sampled_from(Span), st.integers(1, 9)),
        st.sampled_from(Scope),
        st.booleans(),
    )


_ENTRIES = st.lists(
    st.builds(
        lambda hours, outcome, debt, key: LedgerEntry(
            key=str(key),
            ids=frozenset({"a"}),
            debt=debt,
            at=datetime(2026, 11, 16, 15, tzinfo=UTC) + timedelta(hours=hours),
            outcome=outcome,
        ),
        st.integers(0, 24 * 14),
        st.sampled_from([Outcome.ANSWERED, Outcome.NO_ANSWER, Outcome.VOICEMAIL]),
        st.sampled_from([None, "d", "e"]),
        st.uuids(),
    ),
    max_size=5,
)


@given(_caps(), _caps(), _ENTRIES, st.sampled_from([None, "d"]))
def test_a_stricter_cap_refuses_whatever_the_other_refuses(
    one: Cap, other: Cap, entries: list[LedgerEntry], debt: str | None
) -> None:
    if is_stricter(one, other):
        for ahead in range(0, 24 * 15, 9):
            allowed = [
                check_caps(
                    packs=[pack(each)],
                    entries=entries,
                    dial=PlannedDial(ids=frozenset({"a"}), debt=debt),
                    zones=[SANTIAGO],
                    at=datetime(2026, 11, 16, 15, tzinfo=UTC) + timedelta(hours=ahead),
                ).allowed
                for each in (one, other)
            ]
            assert allowed != [True, False]


def test_hours_of_samples_are_as_written() -> None:
    assert str(hours(([1, 2, 3, 5], "09:00", "12:00"))) == "Mon-Wed, Fri 09:00-12:00"
