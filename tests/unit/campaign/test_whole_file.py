"""What only the whole file shows about its rows."""

from __future__ import annotations

import pytest

from speechaid.campaign.importer import Choices, Parsed
from speechaid.campaign.kinds import Kind
from tests.support.contacts import parse_contacts


def read(*lines: str, refused: Kind | None = None, country: str = "CL") -> Parsed:
    choices = Choices(refused=frozenset() if refused is None else frozenset({refused}))
    return parse_contacts("\n".join(lines).encode(), choices=choices, country=country)


def texts(parsed: Parsed, kind: Kind) -> list[str]:
    return [remark.text for remark in parsed.remarks if remark.kind is kind]


# -- numbers of several people -----------------------------------------------------------------------------

SHARED = (
    "rut;celular;fijo",
    "12345678-5;955550299;",
    "9876543-3;955550299;",
    "11222333-9;955550299;225550101",
)


def test_a_number_of_three_people_is_named_by_column_and_lines() -> None:
    parsed = read(*SHARED)
    assert [bad.line for bad in parsed.bad_rows] == [2, 3]
    expected = "celular: the number +569******99 stands under 3 people (lines 2, 3, 4), as a placeholder does"
    assert {bad.reason for bad in parsed.bad_rows} == {expected}
    assert texts(parsed, Kind.SHARED) == [expected]
    assert [row.phones for row in parsed.rows] == [("+56225550101",)]


def test_a_row_of_a_bad_rows_file_stays_bad_until_its_number_is_another() -> None:
    first, second = read(*SHARED).bad_rows
    again = read(
        "_line;_reason;rut;celular;fijo",
        f"2;{first.reason};12345678-5;955550299;",
        f"3;{second.reason};9876543-3;955550398;",
        f"4;{second.reason};11222333-9;955551200;",
    )
    (bad,) = again.bad_rows
    assert (bad.line, bad.kind) == (2, Kind.SHARED)
    assert "of the file that this row comes from" in bad.reason
    # A reason of the second time keeps it bad as well.
    third = read("_line;_reason;rut;celular;fijo", f"2;{bad.reason};12345678-5;955550299;")
    assert [row.kind for row in third.bad_rows] == [Kind.SHARED]
    assert [row.phones for row in again.rows] == [("+56955550398",), ("+56955551200",)]


# -- amounts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "others"),
    [("1,200", ("65.000", "12.000.000")), ("1.500", ("65,000", "310,000")), ("1,200", ("51000,00", "5"))],
)
def test_an_amount_with_another_mark_than_the_column_is_remarked(odd: str, others: tuple[str, str]) -> None:
    lines = ["celular;monto", *(f"95555000{place};{text}" for place, text in enumerate((odd, *others)))]
    parsed = read(*lines)
    assert [(remark.line, remark.kind) for remark in parsed.remarks] == [(2, Kind.ASSUMED)]
    assert odd in parsed.remarks[0].text
    assert [bad.line for bad in read(*lines, refused=Kind.ASSUMED).bad_rows] == [2]


def test_a_column_with_one_mark_is_not_remarked() -> None:
    assert read("celular;monto", "955550001;1.500", "955550002;1.250.000,00", "955550003;80000").remarks == []
    assert read("celular;monto", "955550001;1,500", "955550002;1,250,000.00").remarks == []


# -- the same debt -----------------------------------------------------------------------------------------


def test_the_same_debt_under_another_form_of_its_reference_is_remarked() -> None:
    lines = (
        "rut;celular;operacion;monto;vencimiento",
        "12345678-5;955550001;000128;53.000;08/12/2026",
        "12.345.678-5;955550001;128;53.000;08/12/2026",
        "12.345.678-5;955550001;0128;54.000;08/12/2026",
        "12.345.678-5;955550001;129;53.000;08/12/2026",
        "9876543-3;955550002;128;53.000;08/12/2026",
    )
    parsed = read(*lines)
    assert [(remark.line, remark.kind) for remark in parsed.remarks] == [(3, Kind.REPEATED)]
    assert "as on line 2" in parsed.remarks[0].text
    assert len(parsed.rows) == 5
    assert [bad.line for bad in read(*lines, refused=Kind.REPEATED).bad_rows] == [3]
