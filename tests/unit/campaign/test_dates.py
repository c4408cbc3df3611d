"""Dates as people of a country write them: the day, no date, or a reason."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.campaign.dates import DateFault, DateOrder, Day, order_of, read_date


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("viernes, 31 de julio de 2026", date(2026, 7, 31)),
        ("vie 31/07/2026", date(2026, 7, 31)),
        ("31/jul/26", date(2026, 7, 31)),
        ("20261231", date(2026, 12, 31)),
        ("31-12-2026 12:00:00 a. m.", date(2026, 12, 31)),
        ("31/07/2026 10:20:30 p.m.", date(2026, 7, 31)),
        ("31 dic 2026", date(2026, 12, 31)),
        ("31 dic. 2026", date(2026, 12, 31)),
        ("2026-12-31T00:00:00.000Z", date(2026, 12, 31)),
        ("2026/07/31 10:20", date(2026, 7, 31)),
        ("31.12.2026", date(2026, 12, 31)),
        ("1/2/26", date(2026, 2, 1)),
        ("1º de enero del 2027", date(2027, 1, 1)),
        ("31 dezembro 2026", date(2026, 12, 31)),
        ("5 setiembre 2026", date(2026, 9, 5)),
        ("mar 5, 2026", date(2026, 3, 5)),
        ("mar 05/03/2026", date(2026, 3, 5)),
        ("December 31st, 2026", date(2026, 12, 31)),
    ],
)
def test_the_usual_forms_are_read(text: str, day: date) -> None:
    assert read_date(text, DateOrder.DAY_FIRST) == Day(day=day)


@pytest.mark.parametrize("text", ["0000-00-00", "00/00/0000", "0000-00-00 00:00:00", "00/01/1900", "0"])
def test_a_date_of_zeros_is_no_date(text: str) -> None:
    assert read_date(text, DateOrder.DAY_FIRST) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Dic-26", DateFault.NO_DAY),
        ("dic 2026", DateFault.NO_DAY),
        ("12/2026", DateFault.NO_DAY),
        ("2026-12", DateFault.NO_DAY),
        ("30/02/2026", DateFault.NOT_IN_THE_CALENDAR),
        ("99999999", DateFault.NOT_IN_THE_CALENDAR),
        ("31/12/1026", DateFault.OUT_OF_RANGE),
        ("mañana", DateFault.NOT_A_DATE),
        ("31 de diciembre", DateFault.NOT_A_DATE),
        ("3/4-2026", DateFault.NOT_A_DATE),
        ("150000", DateFault.NOT_A_DATE),
        ("1e5", DateFault.NOT_A_DATE),
        ("x" * 10_000, DateFault.NOT_A_DATE),
        (" " * 10_000 + "x", DateFault.NOT_A_DATE),
        ("1" * 100 + "/", DateFault.NOT_A_DATE),
    ],
)
def test_what_is_no_date_has_its_reason(text: str, fault: DateFault) -> None:
    assert read_date(text, DateOrder.DAY_FIRST) is fault


def test_a_spreadsheets_number_of_the_day_is_said_to_be_one() -> None:
    assert read_date("46387", DateOrder.DAY_FIRST) == Day(
        day=date(2026, 12, 31), assumed="a spreadsheet's number of the day"
    )


def test_day_and_month_are_in_the_order_that_is_asked_for() -> None:
    for order, day, other in (
        ("dmy", date(2026, 3, 2), date(2026, 2, 3)),
        ("mdy", date(2026, 2, 3), date(2026, 3, 2)),
    ):
        found = read_date("02/03/2026", DateOrder(order))
        assert isinstance(found, Day)
        assert (found.day, found.other_day, found.written_in) == (day, other, None)


@pytest.mark.parametrize("order", DateOrder)
def test_a_date_that_can_only_be_in_one_order_says_which(order: DateOrder) -> None:
    for text, written_in in (("12/31/2026", "mdy"), ("31/12/2026", "dmy"), ("31122026", "dmy")):
        found = read_date(text, order)
        assert isinstance(found, Day)
        assert (found.day, found.other_day, found.written_in) == (date(2026, 12, 31), None, written_in)
    for text in ("06/06/2026", "2026-05-06", "5 de junio de 2026", "20260506"):
        found = read_date(text, order)
        assert isinstance(found, Day)
        assert (found.other_day, found.written_in) == (None, None)


@given(
    st.dates(min_value=date(1900, 1, 2), max_value=date(2199, 12, 31)),
    st.sampled_from(
        ["%Y-%m-%d", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%Y%m%d", "%d %b %Y", "%B %d, %Y", "%d de %B de %Y"]
    ),
)
def test_every_day_is_read_back(day: date, form: str) -> None:
    assert read_date(day.strftime(form), DateOrder.DAY_FIRST) == Day(day=day)


@given(st.text(max_size=130), st.sampled_from(["CL", "US"]))
def test_no_text_breaks_the_reading(text: str, country: str) -> None:
    assert read_date(text, order_of(country)) is None or isinstance(
        read_date(text, order_of(country)), Day | DateFault
    )


def day(text: str, country: str) -> date | None:
    """The date alone; None where there is none."""
    found = read_date(text, order_of(country))
    return found.day if isinstance(found, Day) else None


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("2026-07-31", "CL", date(2026, 7, 31)),
        ("2026-07-31 00:00:00", "CL", date(2026, 7, 31)),
        ("2026-07-31T04:00:00Z", "CL", date(2026, 7, 31)),
        ("2026/7/1", "CL", date(2026, 7, 1)),
        ("31/07/2026", "CL", date(2026, 7, 31)),
        ("31-07-2026", "CL", date(2026, 7, 31)),
        ("31.7.2026", "CL", date(2026, 7, 31)),
        ("5/6/26", "CL", date(2026, 6, 5)),
        ("5/6/26", "US", date(2026, 5, 6)),
        ("07/31/2026", "CL", date(2026, 7, 31)),
        ("07/31/2026", "US", date(2026, 7, 31)),
        ("31/07/2026", "US", date(2026, 7, 31)),
        ("31 de julio de 2026", "CL", date(2026, 7, 31)),
        ("1 de Septiembre del 2026", "CL", date(2026, 9, 1)),
        ("3-ene-2026", "CL", date(2026, 1, 3)),
        ("3 dic. 2026", "CL", date(2026, 12, 3)),
        ("July 31, 2026", "US", date(2026, 7, 31)),
        ("31 August 2026", "US", date(2026, 8, 31)),
        ("31/02/2026", "CL", None),
        ("fin de mes", "CL", None),
        ("32/01/2026", "CL", None),
        ("2026-13-01", "CL", None),
        ("1/1/0001", "CL", None),
        ("", "CL", None),
    ],
)
def test_a_date_is_read_in_the_usual_forms(text: str, country: str, expected: date | None) -> None:
    assert day(text, country) == expected


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2199, 12, 31)))
def test_every_date_is_read_from_the_unambiguous_forms(value: date) -> None:
    for form in ("%Y-%m-%d", "%d/%m/%Y", "%d-%m-%Y", "%d %b %Y"):
        assert day(value.strftime(form), "CL") == value
