"""Hours of packs and batches: whether a call is allowed, why, and when it is next."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays as library
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechaid.compliance.hours import (
    BATCH_RULE,
    HORIZON_DAYS,
    HoursDecision,
    check_hours,
    is_pack_open,
    next_pack_opening,
)
from speechaid.compliance.pack_files import shipped_packs
from speechaid.compliance.packs import DayHours, HolidayRule, InvalidPack, Pack, Windows
from speechaid.model.states import Purpose
from speechaid.rules.windows import ALL_DAYS, Window, WindowFault, is_open
from tests.unit.compliance.samples import HOUSE, holidays, hours, pack

COLLECTION = Purpose.COLLECTION
DAY = 86_400


def window(start: int = 0, end: int = 24, days: frozenset[int] = ALL_DAYS, zone: str = "UTC") -> Window:
    return Window(start_seconds=start * 3600, end_seconds=end * 3600, days=days, zone=ZoneInfo(zone))


def at(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def check(
    packs: list[Pack | InvalidPack],
    moment: datetime,
    *,
    batch: Window | WindowFault | None = None,
    zones: tuple[str, ...] = ("America/Santiago",),
    country: str = "CL",
) -> HoursDecision:
    return check_hours(
        country=country,
        purpose=COLLECTION,
        packs=packs,
        batch=window() if batch is None else batch,
        zones=[ZoneInfo(zone) for zone in zones],
        at=moment,
    )


#: Of each shipped pack: an instant, and when it is next allowed; equal where it is allowed then.
#: 2026-11-30 is a Monday.
CASES = {
    "AR": [
        ("2026-11-30T08:59", "2026-11-30T09:00"),
        ("2026-11-30T19:59", "2026-11-30T19:59"),
        ("2026-11-27T20:00", "2026-11-30T09:00"),
        ("2026-12-04T20:00", "2026-12-09T09:00"),
        ("2026-12-24T20:00", "2026-12-28T09:00"),
    ],
    "CL": [
        ("2026-11-30T07:59", "2026-11-30T08:00"),
        ("2026-12-05T19:59", "2026-12-05T19:59"),
        ("2026-12-05T20:00", "2026-12-07T08:00"),
        ("2026-12-06T12:00", "2026-12-07T08:00"),
        ("2026-12-08T12:00", "2026-12-09T08:00"),
        ("2026-12-31T20:00", "2027-01-02T08:00"),
        ("2027-09-16T20:00", "2027-09-20T08:00"),
    ],
    "CO": [
        ("2026-11-30T06:59", "2026-11-30T07:00"),
        ("2026-11-30T19:00", "2026-12-01T07:00"),
        ("2026-12-05T07:30", "2026-12-05T08:00"),
        ("2026-12-05T15:00", "2026-12-07T07:00"),
        ("2027-01-09T15:00", "2027-01-12T07:00"),
    ],
    "EC": [
        ("2026-11-30T20:00", "2026-12-01T07:00"),
        ("2026-12-04T20:00", "2026-12-07T07:00"),
        ("2027-02-05T21:00", "2027-02-10T07:00"),
    ],
    "MX": [
        ("2026-11-30T21:59", "2026-11-30T21:59"),
        ("2026-11-30T22:00", "2026-12-01T07:00"),
        ("2026-12-05T10:00", "2026-12-07T07:00"),
        ("2026-12-24T23:00", "2026-12-28T07:00"),
    ],
    "PE": [
        ("2026-11-30T20:00", "2026-12-01T07:00"),
        ("2026-12-07T20:30", "2026-12-10T07:00"),
        ("2027-03-24T20:30", "2027-03-29T07:00"),
    ],
    "PY": [
        ("2026-11-30T18:00", "2026-12-01T08:00"),
        ("2026-12-05T11:59", "2026-12-05T11:59"),
        ("2026-12-05T12:00", "2026-12-07T08:00"),
        ("2026-12-08T10:00", "2026-12-09T08:00"),
    ],
}


def test_every_shipped_pack_has_cases() -> None:
    assert {*CASES} == {country for country, _ in shipped_packs()}


@pytest.mark.parametrize("purpose", [Purpose.COLLECTION, Purpose.REMINDER])
@pytest.mark.parametrize(
    ("country", "moment", "opening"), [(country, *case) for country, cases in CASES.items() for case in cases]
)
def test_a_shipped_pack_allows_what_its_law_allows(
    country: str, purpose: Purpose, moment: str, opening: str
) -> None:
    shipped = shipped_packs()[country, purpose]
    zone = shipped.zones[0]
    found = check([shipped], at(moment, zone), zones=(zone,), country=country)
    assert found.next_at == at(opening, zone)
    assert found.allowed is (moment == opening)
    assert found.rule.startswith(f"{country} {purpose}: ")
    assert found.source


class TestReasons:
    cl = shipped_packs()["CL", COLLECTION]

    def sentence(self, moment: str) -> str:
        return check([self.cl], at(moment, "America/Santiago")).sentence

    def test_a_time_of_day(self) -> None:
        opens = "it opens at 2026-12-01 08:00 America/Santiago"
        expected = f"21:30 is outside 08:00-20:00, in America/Santiago; {opens}"
        assert self.sentence("2026-11-30T21:30") == expected

    def test_a_weekday(self) -> None:
        assert self.sentence("2026-12-06T12:00").startswith("no calls on Sun, in America/Santiago; it opens")

    def test_a_holiday(self) -> None:
        found = check([self.cl], at("2026-12-25T12:00", "America/Santiago"))
        assert found.sentence.startswith(
            "2026-12-25 is a holiday (Christmas Day), barred, in America/Santiago"
        )
        assert found.rule == "CL collection: holidays"
        assert "Ley 21.320" in found.source

    def test_an_allowed_time(self) -> None:
        assert self.sentence("2026-11-30T10:00") == (
            "Mon-Sat 08:00-20:00 allows: Mon 10:00 in America/Santiago"
        )

    def test_the_hours_of_the_batch_hold_too_in_its_own_zone(self) -> None:
        batch = window(9, 12, frozenset({1}), "America/Bogota")
        found = check([self.cl], at("2026-11-30T10:00", "America/Santiago"), batch=batch)
        assert not found.allowed
        assert (found.rule, found.source) == (BATCH_RULE, "the batch")
        assert found.next_at == at("2026-11-30T09:00", "America/Bogota")

    def test_without_a_pack_the_hours_of_the_batch_hold_and_no_rule_is_known(self) -> None:
        found = check([], at("2026-11-30T03:00", "UTC"), country="BR", zones=())
        assert found.allowed
        assert found.sentence.startswith("no rule is known for BR collection")
        closed = check([], at("2026-11-30T03:00", "UTC"), country="BR", zones=(), batch=window(9, 18))
        assert closed.next_at == at("2026-11-30T09:00", "UTC")

    def test_a_broken_pack_allows_nothing(self) -> None:
        broken = InvalidPack(country="CL", purpose=COLLECTION, faults=("mine.toml: caps: 3",))
        found = check([broken], at("2026-11-30T10:00", "America/Santiago"))
        assert (found.allowed, found.next_at) == (False, None)
        assert found.sentence == "the pack CL collection cannot be used: mine.toml: caps: 3"

    def test_hours_of_a_batch_that_cannot_be_understood_allow_nothing(self) -> None:
        fault = WindowFault(sentence="allowed_hours '9am' cannot be understood")
        found = check([self.cl], at("2026-11-30T10:00", "America/Santiago"), batch=fault)
        assert (found.allowed, found.next_at, found.sentence) == (False, None, fault.sentence)

    def test_a_pack_needs_the_zone_of_the_person(self) -> None:
        found = check([self.cl], at("2026-11-30T10:00", "America/Santiago"), zones=())
        assert (found.allowed, found.next_at) == (False, None)

    def test_what_never_opens_says_never(self) -> None:
        sundays = window(9, 18, frozenset({7}), "America/Santiago")
        found = check([self.cl], at("2026-11-30T10:00", "America/Santiago"), batch=sundays)
        assert (found.allowed, found.next_at) == (False, None)
        assert found.sentence.endswith("it never opens")

    def test_a_number_of_two_zones_is_called_when_both_allow(self) -> None:
        mx = shipped_packs()["MX", COLLECTION]
        zones = ("America/Tijuana", "America/Mexico_City")
        found = check([mx], at("2026-11-30T07:00", "America/Mexico_City"), zones=zones)
        assert found.next_at == at("2026-11-30T07:00", "America/Tijuana")
        late = check([mx], at("2026-11-30T22:00", "America/Mexico_City"), zones=zones)
        assert late.next_at == at("2026-12-01T07:00", "America/Tijuana")


class TestHolidays:
    week = hours(([1, 2, 3, 4, 5], "09:00", "18:00"), ([7], "11:00", "13:00"))
    #: A Wednesday.
    day = date(2026, 12, 2)

    def opening(self, rule: HolidayRule) -> datetime | None:
        one = pack(windows=self.week, holidays=holidays(rule, self.day))
        return next_pack_opening(one, ZoneInfo("UTC"), datetime(2026, 12, 2, 0, tzinfo=UTC))

    def test_barred_as_sunday_ignored(self) -> None:
        assert self.opening(HolidayRule.BARRED) == datetime(2026, 12, 3, 9, tzinfo=UTC)
        assert self.opening(HolidayRule.AS_SUNDAY) == datetime(2026, 12, 2, 11, tzinfo=UTC)
        assert self.opening(HolidayRule.IGNORED) == datetime(2026, 12, 2, 9, tzinfo=UTC)

    def test_holidays_are_of_the_callees_date(self) -> None:
        one = pack(holidays=holidays(HolidayRule.BARRED, self.day))
        tokyo, lima = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/Lima")
        moment = datetime(2026, 12, 1, 20, tzinfo=UTC)
        assert (is_pack_open(one, tokyo, moment), is_pack_open(one, lima, moment)) == (False, True)
        assert next_pack_opening(one, tokyo, moment) == at("2026-12-03T00:00", "Asia/Tokyo")

    def test_a_pack_without_hours_bars_its_holidays_alone(self) -> None:
        one = pack(holidays=holidays(HolidayRule.BARRED, self.day))
        assert is_pack_open(one, ZoneInfo("UTC"), datetime(2026, 12, 3, 3, tzinfo=UTC))

    def test_barred_for_longer_than_is_searched_is_never(self) -> None:
        days = [self.day + timedelta(days=ahead) for ahead in range(HORIZON_DAYS + 2)]
        one = pack(holidays=holidays(HolidayRule.BARRED, *days))
        assert next_pack_opening(one, ZoneInfo("UTC"), datetime(2026, 12, 2, 0, tzinfo=UTC)) is None
        some = pack(holidays=holidays(HolidayRule.BARRED, *days[: HORIZON_DAYS - 1]))
        assert next_pack_opening(some, ZoneInfo("UTC"), datetime(2026, 12, 2, 0, tzinfo=UTC)) is not None


# Zones that change at midnight, by half an hour, that skip a day, or are far from UTC.
ZONES = (
    *("America/Santiago", "America/Asuncion", "America/Tijuana", "America/New_York", "Europe/Berlin"),
    *("Australia/Lord_Howe", "Pacific/Apia", "Pacific/Easter", "America/St_Johns", "Africa/Cairo", "UTC"),
)
#: From 2009 to 2031.
MOMENTS = st.integers(0, 22 * 365 * 24 * 60).map(
    lambda minutes: datetime(2009, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
_SPANS = st.sampled_from(
    [
        *(("00:00", "24:00"), ("00:00", "01:30"), ("01:30", "02:15"), ("02:00", "02:30"), ("02:30", "03:00")),
        *(("08:00", "20:00"), ("23:15", "24:00"), ("00:15", "00:45"), ("12:00", "12:15")),
    ]
)
_ROWS = st.lists(st.tuples(st.sets(st.integers(1, 7), min_size=1), _SPANS), min_size=1, max_size=3)


def _windows(rows: list[tuple[set[int], tuple[str, str]]]) -> Windows:
    return Windows.model_construct(
        hours=tuple(DayHours(days=tuple(sorted(days)), start=span[0], end=span[1]) for days, span in rows),
        **HOUSE,
    )


@settings(max_examples=100, deadline=None)
@given(
    _ROWS,
    st.sampled_from(ZONES),
    st.sampled_from(HolidayRule),
    MOMENTS,
)
@example(
    [({7}, ("00:00", "01:30"))],
    "America/Santiago",
    HolidayRule.BARRED,
    datetime(2026, 9, 6, 3, 30, tzinfo=UTC),
)
@example(
    [({7}, ("02:00", "02:30"))], "Europe/Berlin", HolidayRule.IGNORED, datetime(2026, 10, 24, 23, tzinfo=UTC)
)
@example(
    [({5}, ("00:00", "24:00"))], "Pacific/Apia", HolidayRule.IGNORED, datetime(2011, 12, 29, 12, tzinfo=UTC)
)
def test_the_next_opening_is_the_first_open_minute(
    rows: list[tuple[set[int], tuple[str, str]]], zone_name: str, rule: HolidayRule, moment: datetime
) -> None:
    # Hours of one day may overlap here, as no file may have them.
    one = pack(holidays=holidays(rule)).model_copy(update={"windows": _windows(rows)})
    zone, start = ZoneInfo(zone_name), moment
    found = next_pack_opening(one, zone, start)
    # Every change of hours and clocks falls on a quarter: of each, one minute stands for the others.
    first_quarter = start.replace(minute=0)
    quarters = (first_quarter + timedelta(minutes=15 * ahead) for ahead in range(4 * 24 * 16))
    first = next((each for each in [start, *quarters] if each >= start and _brute(one, zone, each)), None)
    if found is None or (first is None and found > start + timedelta(days=15)):
        assert first is None
    else:
        assert found == first


@lru_cache
def _chilean_holidays(year: int) -> frozenset[date]:
    return frozenset(library.country_holidays("CL", years=year))


def _brute(one: Pack, zone: ZoneInfo, moment: datetime) -> bool:
    """Written apart from the rule: by text of the local time."""
    local = moment.astimezone(zone)
    assert one.windows is not None
    assert one.holidays is not None
    day, rule = local.isoweekday(), one.holidays.rule
    if local.date() in _chilean_holidays(local.year):
        if rule is HolidayRule.BARRED:
            return False
        day = 7 if rule is HolidayRule.AS_SUNDAY else day
    return any(day in each.days and each.start <= f"{local:%H:%M}" < each.end for each in one.windows.hours)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(shipped_packs())),
    st.sampled_from(ZONES),
    st.integers(0, 23),
    st.sets(st.integers(1, 7), min_size=1),
    MOMENTS,
)
def test_pack_and_batch_are_open_together_at_the_next_opening_and_not_before(
    key: tuple[str, Purpose], batch_zone: str, start: int, days: set[int], moment: datetime
) -> None:
    shipped = shipped_packs()[key]
    batch = window(start, (start + 7) % 24, frozenset(days), batch_zone)
    zone = ZoneInfo(shipped.zones[0])
    begin = moment.replace(minute=0)
    found = check([shipped], begin, batch=batch, zones=(zone.key,), country=key[0])

    def both(each: datetime) -> bool:
        return is_open(batch, each) and is_pack_open(shipped, zone, each)

    assert found.allowed is both(begin)
    assert found.next_at is None or both(found.next_at)
    end = found.next_at or begin + timedelta(days=60)
    steps = int((end - begin) / timedelta(minutes=30))
    assert not any(both(begin + timedelta(minutes=30 * step)) for step in range(steps))
