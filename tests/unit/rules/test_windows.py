"""When a batch may be called, by local time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechaid.rules.windows import (
    ALL_DAYS,
    Window,
    WindowFault,
    is_open,
    next_opening,
    read_window,
)

SANTIAGO, NEW_YORK, BERLIN = "America/Santiago", "America/New_York", "Europe/Berlin"
#: Its daylight saving shift is half an hour.
LORD_HOWE = "Australia/Lord_Howe"


def read(hours: Any = None, days: Any = None, zone: Any = None, **defaults: Any) -> Window | WindowFault:
    known = {"default_hours": None, "default_days": None, "default_timezone": "UTC"}
    return read_window(hours, days, zone, **(known | defaults))


def window(start: str, end: str, days: Any = None, zone: str = "UTC") -> Window:
    result = read({"start": start, "end": end}, days, zone)
    assert isinstance(result, Window)
    return result


def at(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


class TestReading:
    def test_nothing_set_is_always_open(self) -> None:
        result = read()
        assert isinstance(result, Window)
        assert result.is_always
        assert str(result) == "00:00-24:00 every day UTC"

    def test_defaults_fill_what_the_batch_leaves_out(self) -> None:
        class Hours(NamedTuple):
            start: str
            end: str

        defaults = {"default_days": (1, 2), "default_timezone": SANTIAGO}
        for hours in (Hours("09:00", "18:30"), {"start": "09:00", "end": "18:30"}):
            assert read(default_hours=hours, **defaults) == Window(
                start_seconds=9 * 3600,
                end_seconds=18 * 3600 + 1800,
                days=frozenset({1, 2}),
                zone=ZoneInfo(SANTIAGO),
            )

    def test_the_batch_overrides_the_defaults(self) -> None:
        result = read(
            {"start": "8:00", "end": "24:00"},
            [6],
            BERLIN,
            default_hours={"start": "09:00", "end": "18:00"},
            default_days=(1,),
            default_timezone=SANTIAGO,
        )
        assert str(result) == "08:00-24:00 days 6 Europe/Berlin"

    @pytest.mark.parametrize(
        ("days", "read_as"),
        [
            ([1, 2, 3, 4, 5], {1, 2, 3, 4, 5}),
            ([0], {7}),
            ([0, 7, 7], {7}),
            (["1", " 5 "], {1, 5}),
            ([1.0, 2.0], {1, 2}),
            ((3,), {3}),
            (None, set(ALL_DAYS)),
        ],
    )
    def test_days(self, days: Any, read_as: set[int]) -> None:
        result = read(days=days)
        assert isinstance(result, Window)
        assert result.days == read_as

    @pytest.mark.parametrize(
        ("hours", "word"),
        [
            ("9am", "9am"),
            ("09:00-18:00", "09:00-18:00"),
            ({"start": "9am", "end": "18:00"}, "9am"),
            ({"start": "09:00"}, "09:00"),
            ({"start": None, "end": None}, "None"),
            ({}, "{}"),
            ([], "[]"),
            ("", "''"),
            (9, "9"),
            (True, "True"),
            ({"start": 9, "end": 18}, "18"),
            ({"start": "25:00", "end": "26:00"}, "25:00"),
            ({"start": "09:60", "end": "18:00"}, "09:60"),
            ({"start": "24:00", "end": "09:00"}, "24:00"),
            ({"start": "09:00", "end": "24:01"}, "24:01"),
            ({"start": "09:00", "end": "09:00"}, "same time"),
            ({"start": "-9:00", "end": "18:00"}, "-9:00"),
        ],
    )
    def test_invalid_hours_are_a_fault_that_quotes_them(self, hours: Any, word: str) -> None:
        result = read(hours)
        assert isinstance(result, WindowFault)
        assert "allowed_hours" in result.sentence
        assert word in result.sentence

    @pytest.mark.parametrize(
        "days", [[], ["monday"], [8], [-1], [1, None], [True], [1.5], "1-5", 3, {"monday": True}, [[1]]]
    )
    def test_invalid_days_are_a_fault(self, days: Any) -> None:
        result = read(days=days)
        assert isinstance(result, WindowFault)
        assert "days_of_week" in result.sentence

    @pytest.mark.parametrize(
        "zone",
        ["Mars/Olympus", "", "America", "../etc/passwd", "/etc/localtime", -3, "UTC-3x", ["UTC"], "a\0b"],
    )
    def test_an_unknown_zone_is_a_fault(self, zone: Any) -> None:
        result = read(zone=zone)
        assert isinstance(result, WindowFault)
        assert "timezone" in result.sentence

    def test_an_account_s_unknown_zone_is_a_fault_too(self) -> None:
        assert isinstance(read(default_timezone="Chile/Nowhere"), WindowFault)

    def test_a_fault_quotes_at_most_one_line(self) -> None:
        result = read("x" * 10_000)
        assert isinstance(result, WindowFault)
        assert len(result.sentence) < 200


# 2026-03-02 is a Monday.
@pytest.mark.parametrize(
    ("hours", "days", "moment", "expected"),
    [
        (("09:00", "18:00"), None, "2026-03-02T09:00:00", True),
        (("09:00", "18:00"), None, "2026-03-02T08:59:59.999999", False),
        (("09:00", "18:00"), None, "2026-03-02T17:59:59.999999", True),
        (("09:00", "18:00"), None, "2026-03-02T18:00:00", False),
        (("09:00", "18:00"), [1, 2, 3, 4, 5], "2026-03-07T12:00:00", False),
        (("09:00", "18:00"), [0], "2026-03-08T12:00:00", True),
        (("09:00", "24:00"), None, "2026-03-02T23:59:59", True),
        (("22:00", "02:00"), None, "2026-03-02T23:00:00", True),
        (("22:00", "02:00"), None, "2026-03-02T01:59:59", True),
        (("22:00", "02:00"), None, "2026-03-02T02:00:00", False),
        (("22:00", "02:00"), None, "2026-03-02T12:00:00", False),
        (("22:00", "02:00"), [5], "2026-03-06T23:00:00", True),
        (("22:00", "02:00"), [5], "2026-03-07T01:00:00", True),
        (("22:00", "02:00"), [5], "2026-03-06T01:00:00", False),
        (("22:00", "02:00"), [7], "2026-03-09T01:00:00", True),
        (("18:00", "00:00"), [1], "2026-03-02T23:59:59", True),
        (("18:00", "00:00"), [1], "2026-03-03T00:00:00", False),
    ],
    ids=[
        "opening",
        "just before opening",
        "just before closing",
        "closing",
        "a day that is not allowed",
        "0 is Sunday",
        "until the day's end",
        "over midnight, before it",
        "over midnight, after it",
        "over midnight, closing",
        "over midnight, at noon",
        "Friday night, before midnight",
        "Friday night, on Saturday",
        "Friday's small hours are Thursday's night",
        "Sunday night, on Monday",
        "until midnight",
        "at midnight",
    ],
)
def test_whether_a_window_is_open(hours: tuple[str, str], days: Any, moment: str, expected: bool) -> None:
    assert is_open(window(*hours, days), at(moment)) is expected


def test_hours_are_local_to_the_zone() -> None:
    morning = window("09:00", "10:00", zone=SANTIAGO)
    assert is_open(morning, at("2026-07-01T13:30:00"))
    assert not is_open(morning, at("2026-07-01T09:30:00"))


class TestOpening:
    def test_an_open_window_opens_now(self) -> None:
        now = at("2026-03-02T12:00:00")
        assert next_opening(window("09:00", "18:00"), now) == now

    def test_a_closed_window_opens_on_its_next_day(self) -> None:
        weekdays = window("09:00", "18:00", [1, 2, 3, 4, 5])
        assert next_opening(weekdays, at("2026-03-06T18:00:00")) == at("2026-03-09T09:00:00")

    def test_an_opening_in_a_skipped_hour_is_the_end_of_that_hour(self) -> None:
        # New York, 2026-03-08: 02:00 becomes 03:00.
        early = window("02:30", "05:00", zone=NEW_YORK)
        assert next_opening(early, at("2026-03-08T01:00:00", NEW_YORK)) == at("2026-03-08T07:00:00")

    def test_a_window_inside_a_skipped_hour_opens_the_week_after(self) -> None:
        sundays = window("02:15", "02:45", [7], NEW_YORK)
        found = next_opening(sundays, at("2026-03-07T12:00:00", NEW_YORK))
        assert found == at("2026-03-15T02:15:00", NEW_YORK)

    def test_a_day_that_begins_in_a_skipped_hour_opens_after_it(self) -> None:
        # Santiago, 2026-09-06: 00:00 becomes 01:00.
        sunday = window("00:00", "12:00", [7], SANTIAGO)
        assert next_opening(sunday, at("2026-09-05T12:00:00", SANTIAGO)) == at("2026-09-06T04:00:00")

    def test_a_window_that_ends_in_a_repeated_hour_closes_and_opens_again(self) -> None:
        night = window("00:30", "01:30", zone=NEW_YORK)
        first_end = at("2026-11-01T05:30:00")
        assert is_open(night, first_end - timedelta(seconds=1))
        assert not is_open(night, first_end)
        assert next_opening(night, first_end) == at("2026-11-01T06:00:00")

    def test_a_window_that_begins_in_a_repeated_hour_opens_twice(self) -> None:
        morning = window("01:30", "05:00", zone=NEW_YORK)
        turned_back = at("2026-11-01T06:00:00")
        assert is_open(morning, turned_back - timedelta(seconds=1))
        assert not is_open(morning, turned_back)
        assert next_opening(morning, turned_back) == at("2026-11-01T06:30:00")


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(st.integers(0, 95)) * 900
    end = draw(st.integers(1, 96).map(lambda quarter: quarter * 900).filter(lambda end: end != start))
    return Window(
        start_seconds=start,
        end_seconds=end,
        days=draw(st.frozensets(st.integers(1, 7), min_size=1)),
        zone=ZoneInfo(draw(st.sampled_from([SANTIAGO, NEW_YORK, BERLIN, LORD_HOWE, "Asia/Kolkata"]))),
    )


#: Weeks with a clock change in the zones above, and one without.
WEEKS = [
    "2026-03-07",
    "2026-03-28",
    "2026-04-04",
    "2026-09-05",
    "2026-10-03",
    "2026-10-24",
    "2026-10-31",
    "2026-06-01",
]
moments = st.builds(
    lambda week, seconds: at(week) + timedelta(seconds=seconds),
    st.sampled_from(WEEKS),
    st.integers(0, 4 * 86_400),
)


def sampled(first: datetime, last: datetime) -> list[datetime]:
    """Instants from the first until just before the last, every 15 minutes of local time."""
    start = first.replace(minute=0, second=0, microsecond=0)
    count = int((last - start) / timedelta(minutes=15)) + 1
    steps = [start + timedelta(minutes=15 * step) for step in range(count)]
    return [first, *(moment for moment in steps if first <= moment < last), last - timedelta(microseconds=1)]


@settings(max_examples=150, deadline=None)
@given(windows(), moments)
def test_the_next_opening_is_open_and_nothing_before_it_is(shape: Window, now: datetime) -> None:
    found = next_opening(shape, now)
    assert found is not None
    assert found.tzinfo is UTC
    assert is_open(shape, found)
    if found > now:
        assert not any(is_open(shape, moment) for moment in sampled(now, found))


class TestStart:
    """A window that is closed before a moment, by the clock of its own zone."""

    def starting(self, start: object, hours: Any = None, zone: str = SANTIAGO) -> Window:
        found = read_window(
            hours, None, zone, start, default_hours=None, default_days=None, default_timezone="UTC"
        )
        assert isinstance(found, Window)
        return found

    def test_it_is_closed_before_its_start_and_open_from_it_on(self) -> None:
        found = self.starting("2026-12-01T09:00")
        assert not found.is_always
        assert str(found) == "00:00-24:00 every day America/Santiago, not before 2026-12-01 09:00"
        assert not is_open(found, at("2026-12-01T08:59:59", SANTIAGO))
        assert is_open(found, at("2026-12-01T09:00", SANTIAGO))
        assert next_opening(found, at("2026-11-30T12:00", SANTIAGO)) == at("2026-12-01T09:00", SANTIAGO)

    def test_a_start_outside_the_hours_waits_for_them(self) -> None:
        found = self.starting("2027-06-05T22:00", {"start": "09:00", "end": "18:00"})
        # More than three weeks ahead: it is looked for from the start on.
        assert next_opening(found, at("2026-12-01T10:00", SANTIAGO)) == at("2027-06-06T09:00", SANTIAGO)
        assert not is_open(found, at("2027-06-05T23:00", SANTIAGO))

    @pytest.mark.parametrize(
        ("stored", "moment"),
        [
            ("2026-12-01T09:00-05:00", datetime(2026, 12, 1, 14, tzinfo=UTC)),
            (datetime(2026, 12, 1, 14, tzinfo=UTC), datetime(2026, 12, 1, 14, tzinfo=UTC)),
            (datetime(2026, 12, 1, 14), datetime(2026, 12, 1, 14, tzinfo=UTC)),  # noqa: DTZ001 - as a driver may read it
            ("2026-12-01T09:00", datetime(2026, 12, 1, 12, tzinfo=UTC)),
        ],
    )
    def test_what_another_program_stores_is_read(self, stored: object, moment: datetime) -> None:
        assert self.starting(stored).starts_at == moment

    @pytest.mark.parametrize(
        "stored", ["soon", "", 7, True, [], "0001-01-01T00:00+14:00", "2026-13-01T09:00"]
    )
    def test_what_is_no_time_forbids_calls(self, stored: object) -> None:
        found = read_window(
            None, None, None, stored, default_hours=None, default_days=None, default_timezone="UTC"
        )
        assert isinstance(found, WindowFault)
        assert "start_at" in found.sentence
