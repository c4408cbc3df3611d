"""Phone numbers as people write them: which number is meant, and which spellings are one line."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.rules.numbers import (
    Fault,
    Number,
    is_placeholder,
    line_identity,
    read,
    read_cell,
    read_opt_out,
)


def number(text: str, country: str | None = "CL") -> str:
    found = read(text, country)
    assert isinstance(found, Number), f"{text!r}: {found}"
    assert found.is_valid
    return found.e164


@pytest.mark.parametrize(
    ("text", "country", "e164"),
    [
        ("955550101.0", "CL", "+56955550101"),
        ("56955550102,0", "CL", "+56955550102"),
        ("+56 (0) 9 5555 0103", "CL", "+56955550103"),
        ("09 5555 0101", "CL", "+56955550101"),
        ("02 2555 0102", "CL", "+56225550102"),
        ("56 09 5555 0101", "CL", "+56955550101"),
        ("(+56) 9-5555-0101", None, "+56955550101"),
        ("'+56955550101", "CL", "+56955550101"),
        ('="955550101"', "CL", "+56955550101"),
        ("955,550,101", "CL", "+56955550101"),
        ("９５５５５０１０１", "CL", "+56955550101"),  # noqa: RUF001 - full-width digits, as some phones copy them
        ("\u202a+56 9 5555 0101\u202c", "CL", "+56955550101"),
        ("tel:+56955550101", None, "+56955550101"),
        ("0055 51 98765-4321", "BR", "+5551987654321"),
        ("0055 31 98765-4322", "BR", "+5531987654322"),
        ("0055 11 98765-4323", "BR", "+5511987654323"),
        ("0 15 11 98765-4321", "BR", "+5511987654321"),
        ("+52 1 55 1234 5678", "MX", "+525512345678"),
        ("044 55 1234 5679", "MX", "+525512345679"),
        ("045 55 1234 5679", "MX", "+525512345679"),
        ("5215512345680", "MX", "+525512345680"),
        ("01 55 1234 5682", "MX", "+525512345682"),
        ("011 15 5555-0101", "AR", "+5491155550101"),
        ("+54 11 15 5555 0101", "AR", "+5491155550101"),
        ("+54 9 351 15 555 1234", "AR", "+5493515551234"),
        ("0057 300 1234567", "CO", "+573001234567"),
        ("03 300 1234567", "CO", "+573001234567"),
        ("+595 0981 123 456", "PY", "+595981123456"),
        ("+593 0991234567", "EC", "+593991234567"),
        ("+39 06 698 1234", "CL", "+39066981234"),
    ],
)
def test_the_spellings_of_each_country_are_read(text: str, country: str | None, e164: str) -> None:
    assert number(text, country) == e164


@pytest.mark.parametrize(
    ("text", "country", "e164", "assumed"),
    [
        ("+55 11 8765 4321", "BR", "+5511987654321", "the ninth digit of a mobile number"),
        ("(1) 234 5678", "CO", "+576012345678", "the 60 of landlines since 2021"),
    ],
)
def test_what_is_assumed_is_said(text: str, country: str, e164: str, assumed: str) -> None:
    found = read(text, country)
    assert isinstance(found, Number)
    assert (found.e164, found.assumed) == (e164, assumed)


@pytest.mark.parametrize(
    ("text", "country", "fault"),
    [
        ("", "CL", Fault.EMPTY),
        ("5.69E+10", "CL", Fault.ROUNDED),
        ("5,69e10", "CL", Fault.ROUNDED),
        ("22.222.222-2", "CL", Fault.NATIONAL_ID),
        ("22222222-2", "CL", Fault.NATIONAL_ID),
        ("22.222.2222", "CL", Fault.NATIONAL_ID),
        ("000000000", "CL", Fault.NOT_OF_THE_PLAN),
        ("955550101 NO LLAMAR", "CL", Fault.NOT_TO_BE_CALLED),
        ("955550101 (falleció, no es de ella)", "CL", Fault.NOT_TO_BE_CALLED),
        ("Número equivocado 955550101", "CL", Fault.NOT_TO_BE_CALLED),
        ("225550101 anexo 12", "CL", Fault.EXTENSION),
        ("225550101 #12", "CL", Fault.EXTENSION),
        ("9555O0101", "CL", Fault.LETTERS),
        ("95555010\u00b9", "CL", Fault.NOT_OF_THE_PLAN),
        ("1-800-FLOWERS", "US", Fault.LETTERS),
        ("955550101 casa 2", "CL", Fault.SEVERAL),
        ("112", "CL", Fault.TOO_SHORT),
        ("955550101", None, Fault.NO_COUNTRY),
        ("955550101", "Chile", Fault.NO_COUNTRY),
        ("525512345678", "CL", Fault.NO_PLUS),
        ("+999123456789", "CL", Fault.NOT_OF_THE_PLAN),
        ("9" * 10_000, "CL", Fault.TOO_LONG),
    ],
)
def test_what_is_no_number_has_its_reason(text: str, country: str | None, fault: Fault) -> None:
    assert read(text, country) is fault


def test_a_number_of_the_right_length_that_the_plan_lacks_is_possible_and_not_valid() -> None:
    found = read("09 1111 1111", "CL")
    assert isinstance(found, Number)
    assert (found.e164, found.is_valid) == ("+56911111111", False)


@pytest.mark.parametrize(
    ("text", "countries", "numbers"),
    [
        ("09-76543210", ["CL"], ["+56976543210"]),
        ("56976543210", [""], ["+56976543210"]),
        ("955550101 NO LLAMAR", ["CL"], ["+56955550101"]),
        ("Número equivocado: 955550101 (falleció)", ["CL"], ["+56955550101"]),
        ("225550101 anexo 12", ["CL"], ["+56225550101"]),
        ("955550101 casa 2 / 955550102", ["CL"], ["+56955550101", "+56955550102"]),
        ("955550101 955550102", ["CL"], ["+56955550101", "+56955550102"]),
        ("911111111", ["CL", "MX"], ["+56911111111"]),
        ("525512345678", ["CL"], ["+525512345678"]),
        ("300 123 4567", ["CL", "CO"], ["+563001234567", "+573001234567"]),
        ("955550101", ["CL", "CO"], ["+56955550101"]),
    ],
)
def test_an_opt_out_is_read_whatever_its_form(text: str, countries: list[str], numbers: list[str]) -> None:
    assert [number.e164 for number in read_opt_out(text, countries)] == numbers


@pytest.mark.parametrize("text", ["hello", "", "112", "12.345.678-5", "5.69E+10", "9765432", "9" * 10_000])
def test_what_no_job_can_be_dialled_with_is_no_opt_out(text: str) -> None:
    assert read_opt_out(text, ["CL"]) == []
    found = read(text, "CL")
    assert isinstance(found, Fault)


def test_a_note_is_kept_beside_the_number() -> None:
    found = read("cel: 955550101 (mamá)", "CL")
    assert isinstance(found, Number)
    assert (found.e164, found.note) == ("+56955550101", "cel mamá")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("955550101 / 955550102", ["+56955550101", "+56955550102"]),
        ("955550101/955550102", ["+56955550101", "+56955550102"]),
        ("955550101 - 225550102", ["+56955550101", "+56225550102"]),
        ("955550101 y 955550102, 955550103\n955550104", [f"+5695555010{n}" for n in (1, 2, 3, 4)]),
        ("+56 9 5555 0101; +1 305 555 0123", ["+56955550101", "+13055550123"]),
        ("955550101", ["+56955550101"]),
        ("", []),
    ],
)
def test_a_cell_may_hold_several_numbers(text: str, numbers: list[str]) -> None:
    found = [reading for _, reading in read_cell(text, "CL")]
    assert [reading.e164 if isinstance(reading, Number) else reading for reading in found] == numbers


def test_the_unread_part_of_a_cell_keeps_its_text_and_reason() -> None:
    good, bad = read_cell("955550101 / 02", "CL")
    assert isinstance(good[1], Number)
    assert bad == ("02", Fault.TOO_SHORT)


@pytest.mark.parametrize(
    "spellings",
    [
        ("+5215512345678", "+525512345678", "+520445512345678", "+52015512345678"),
        ("+541155550101", "+5491155550101", "+54111555550101"),
        ("+5511987654321", "+551187654321"),
        ("+56955550101", "+560955550101"),
        ("+576012345678", "+5712345678"),
    ],
)
def test_every_spelling_of_a_line_has_one_identity(spellings: tuple[str, ...]) -> None:
    assert len({line_identity(spelling) for spelling in spellings}) == 1


def test_different_lines_have_different_identities() -> None:
    assert (
        len({line_identity(n) for n in ("+56955550101", "+56955550102", "+56225550101", "+541155550101")})
        == 4
    )


@pytest.mark.parametrize(("text", "is_one"), [("999999999", True), ("912345678", True), ("955550101", False)])
def test_numbers_that_only_fill_a_field_are_recognised(text: str, is_one: bool) -> None:
    found = read(text, "CL")
    assert isinstance(found, Number)
    assert is_placeholder(found) is is_one


@pytest.mark.parametrize(
    ("text", "kind"),
    [("955550101", "mobile"), ("225550101", "landline"), ("600 600 6000", "service")],
)
def test_chilean_mobiles_landlines_and_services_are_told_apart(text: str, kind: str) -> None:
    found = read(text, "CL")
    assert isinstance(found, Number)
    assert found.kind == kind


#: Ways of writing ``n``, the national number, and ``c``, the country code, in each country.
WAYS = {
    "CL": ("{n}", "0{n}", "+{c}{n}", "00{c}{n}", "{c}{n}", "+{c} (0) {n}", "+{c}0{n}"),
    "AR": ("{n}", "0{n}", "+{c}{n}", "00{c}{n}", "+{c}0{n}"),
    "MX": ("{n}", "01{n}", "044{n}", "045{n}", "+{c}{n}", "+{c}1{n}", "{c}1{n}", "00{c}{n}"),
    "CO": ("{n}", "+{c}{n}", "00{c}{n}", "03{n}", "{c}{n}"),
    "PE": ("{n}", "0{n}", "+{c}{n}", "00{c}{n}", "{c}{n}"),
    "EC": ("{n}", "0{n}", "+{c}{n}", "00{c}{n}", "+{c}0{n}"),
    "BR": ("{n}", "0{n}", "+{c}{n}", "00{c}{n}", "015{n}", "+{c}0{n}"),
    "PY": ("{n}", "0{n}", "+{c}{n}", "00{c}{n}", "+{c} (0) {n}"),
    "BO": ("{n}", "0{n}", "+{c}{n}", "00{c}{n}"),
    "UY": ("{n}", "0{n}", "+{c}{n}", "00{c}{n}"),
    "US": ("{n}", "1{n}", "+{c}{n}", "00{c}{n}", "011{c}{n}"),
}


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str, str]:
    """A valid mobile number of a country, one of its spellings, and the country."""
    country = draw(st.sampled_from(sorted(WAYS)))
    example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    assert example is not None
    code, national = str(example.country_code), str(example.national_number)
    tail = draw(st.text("0123456789", min_size=5, max_size=5))
    national = national[:-5] + tail
    e164 = f"+{code}{national}"
    way = draw(st.sampled_from(WAYS[country])).format(n=national, c=code)
    mark = draw(st.sampled_from(["", " ", "-", "."]))
    places = draw(st.integers(min_value=3, max_value=4))
    spaced = way[:-places] + mark + way[-places:]
    around = draw(st.sampled_from(["{}", " {} ", "'{}", '="{}"', "{} (casa)", "cel {}"]))
    return e164, around.format(spaced), country


@given(written())
def test_any_valid_number_in_any_way_of_its_country_is_read_as_itself(case: tuple[str, str, str]) -> None:
    e164, text, country = case
    if not phonenumbers.is_valid_number(phonenumbers.parse(e164)):
        return
    found = read(text, country)
    assert isinstance(found, Number), (text, country, found)
    assert found.e164 == e164
    assert line_identity(found.e164) == line_identity(e164)


@given(st.text(max_size=200), st.sampled_from(["CL", "MX", "BR", None]))
def test_no_text_breaks_the_reading_and_what_is_read_is_stable(text: str, country: str | None) -> None:
    found = read(text, country)
    if isinstance(found, Number):
        again = read(found.e164, country)
        assert isinstance(again, Number)
        assert again.e164 == found.e164
        assert line_identity(found.e164) == line_identity(line_identity(found.e164))
    assert all(isinstance(reading, Number | Fault) for _, reading in read_cell(text, country))
