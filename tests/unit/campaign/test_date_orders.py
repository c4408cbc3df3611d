"""The order of day and month is that of the whole column."""

from __future__ import annotations

from itertools import permutations

import pytest

from speechaid.campaign.importer import Choices, Parsed
from speechaid.campaign.kinds import Kind
from speechaid.errors import ImportFailed
from tests.support.contacts import parse_contacts

MONTH_FIRST = ("12/31/2026", "05/06/2027", "01/02/2027", "06/06/2027", "2027-03-04")


def read(
    *dates: str, mapping: str | None = None, accepted: Kind | None = None, country: str = "CL"
) -> Parsed:
    lines = [f"+5695555{number:04};{text}" for number, text in enumerate(dates, 1000)]
    choices = Choices(
        mapping={} if mapping is None else {"Due Date": mapping},
        accepted=frozenset() if accepted is None else frozenset({accepted}),
    )
    data = "\n".join(["celular;Due Date", *lines]).encode()
    return parse_contacts(data, country=country, choices=choices)


def days(parsed: Parsed) -> list[str | None]:
    return [row.due_date for row in parsed.rows]


def test_a_column_of_a_month_first_program_is_read_month_first_and_said_once() -> None:
    parsed = read(*MONTH_FIRST)
    assert days(parsed) == ["2026-12-31", "2027-05-06", "2027-01-02", "2027-06-06", "2027-03-04"]
    (remark,) = parsed.remarks
    assert remark.kind is Kind.COLUMN
    assert "month first" in remark.text
    assert "'12/31/2026' on line 2" in remark.text
    assert "--map 'Due Date=due-date:dmy'" in remark.text


@pytest.mark.parametrize("country", ["CL", "US"])
def test_the_order_of_the_values_does_not_matter(country: str) -> None:
    for order in permutations(MONTH_FIRST[:3]):
        parsed = read(*order, country=country)
        assert sorted(map(str, days(parsed))) == ["2026-12-31", "2027-01-02", "2027-05-06"]


def test_a_value_in_another_slice_of_the_file_counts() -> None:
    parsed = read(*["05/06/2027"] * 250, "12/31/2026")
    assert days(parsed) == ["2027-05-06"] * 250 + ["2026-12-31"]
    assert len(parsed.remarks) == 1


def test_dates_in_the_country_s_order_are_no_remark() -> None:
    parsed = read("31/12/2026", "05/06/2027")
    assert (days(parsed), parsed.remarks) == (["2026-12-31", "2027-06-05"], [])
    assert days(read("05/06/2027")) == ["2027-06-05"]
    assert days(read("05/06/2027", country="US")) == ["2027-05-06"]


def test_a_day_first_column_in_a_month_first_country_is_read_day_first() -> None:
    assert days(read("31/12/2026", "05/06/2027", country="US")) == ["2026-12-31", "2027-06-05"]


def test_ambiguous_dates_of_a_column_with_both_orders_are_not_guessed() -> None:
    parsed = read("12/31/2026", "31/12/2026", "05/06/2027", "06/06/2027")
    assert days(parsed) == ["2026-12-31", "2026-12-31", "2027-06-06"]
    (bad,) = parsed.bad_rows
    assert (bad.line, bad.kind) == (4, Kind.DATE_ORDER)
    assert "may be 2027-06-05 or 2027-05-06" in bad.reason
    assert "--map 'Due Date=due-date:dmy'" in bad.reason
    assert parsed.remarks == []
    # The same cell alone in a file of bad rows would be read as the country writes.
    assert bad.cells[1] == "2027-06-05 or 2027-05-06"
    assert [row.reason for row in read(str(bad.cells[1])).bad_rows] == [
        "Due Date: '2027-06-05 or 2027-05-06': this is not a date"
    ]


def test_ambiguous_dates_are_kept_in_the_country_s_order_where_that_is_accepted() -> None:
    parsed = read("12/31/2026", "31/12/2026", "05/06/2027", accepted=Kind.DATE_ORDER)
    assert days(parsed) == ["2026-12-31", "2026-12-31", "2027-06-05"]
    assert [(remark.line, remark.kind) for remark in parsed.remarks] == [(4, Kind.DATE_ORDER)]


@pytest.mark.parametrize(("order", "day"), [("mdy", "2027-05-06"), ("dmy", "2027-06-05")])
def test_the_owner_says_the_order(order: str, day: str) -> None:
    parsed = read("12/31/2026", "31/12/2026", "05/06/2027", mapping=f"due-date:{order}")
    assert days(parsed) == ["2026-12-31", "2026-12-31", day]
    (remark,) = parsed.remarks
    assert remark.kind is Kind.DATE
    assert "not in the order that --map says" in remark.text


def test_another_order_is_refused() -> None:
    with pytest.raises(ImportFailed, match="due-date:dmy or due-date:mdy"):
        read("31/12/2026", mapping="due-date:ymd")


def test_a_bad_row_keeps_its_date_in_a_file_without_the_other_rows() -> None:
    data = b"celular;Due Date\n+56955550001;12/31/2026\nno;05/06/2027\n"
    parsed = parse_contacts(data)
    (bad,) = parsed.bad_rows
    assert bad.cells == ["no", "2027-05-06"]


def test_rows_of_countries_with_different_orders_are_looked_at_separately() -> None:
    lines = ("celular;pais;vencimiento", "2125550110;US;12/31/2026", "955550001;CL;01/02/2027")
    assert days(parse_contacts("\n".join(lines).encode())) == ["2026-12-31", "2027-02-01"]
