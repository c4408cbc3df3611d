"""Any valid number, in any way that its country writes it, is itself on import, list and look-up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import phonenumbers
from hypothesis import assume, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType

from speechaid.campaign.importer import Choices
from speechaid.campaign.kinds import KINDS
from speechaid.campaign.number_list import read_numbers
from speechaid.rules.numbers import (
    Number,
    all_spellings,
    dialled_spellings,
    line_identity,
    read,
    read_opt_out,
)
from tests.support.contacts import parse_contacts

#: Everywhere: ``n`` is the national number, ``c`` the country code.
_INTERNATIONAL: Final = ("{n}", "+{c}{n}", "00{c}{n}", "+{c} {n}", "(+{c}) {n}", "tel:+{c}{n}")
_TRUNK: Final = ("0{n}", "+{c}0{n}", "+{c} (0) {n}", "00{c}0{n}")
_OF_COUNTRY: Final = {
    "CL": (*_TRUNK, "{c}{n}", "{c}0{n}"),
    "AR": ("0{n}", "+{c}0{n}"),
    "MX": ("01{n}", "044{n}", "045{n}", "+{c}1{n}", "{c}1{n}", "+{c}01{n}", "+{c}044{n}", "{c}{n}"),
    "BR": ("0{n}", "+{c}0{n}", "015{n}", "021{n}", "+{c} (0) {n}"),
    "CO": ("{c}{n}",),
    "PE": (*_TRUNK, "{c}{n}"),
    "EC": _TRUNK,
    "UY": ("0{n}", "+{c}0{n}", "+{c} (0) {n}"),
    "BO": ("0{n}", "+{c}0{n}", "+{c} (0) {n}"),
    "PY": ("0{n}", "+{c}0{n}", "+{c} (0) {n}"),
    "US": ("1{n}", "011{c}{n}", "+{c} (0) {n}"),
    "ES": ("{c}{n}",),
}


def _argentine(national: str) -> list[str]:
    """With 15 behind the area of a mobile, in place of the 9 before it."""
    area, rest = national[1:3], national[3:]
    return [f"0{area}15{rest}", f"0{area} 15 {rest}", f"+54{area}15{rest}", f"+549{area}15{rest}"]


def _brazilian(national: str) -> list[str]:
    """A mobile without its ninth digit."""
    area, rest = national[:2], national[3:]
    return [f"{area}{rest}", f"0{area}{rest}", f"+55{area}{rest}", f"0055{area}{rest}"]


def _colombian(national: str) -> list[str]:
    """A landline as before 2021, without 60."""
    return [national[2:], f"+57{national[2:]}", f"0057{national[2:]}"]


#: Ways that change the national number itself, by the first digits of the number.
_REWRITTEN: Final[dict[str, Callable[[str], list[str]]]] = {
    "+549": _argentine,
    "+55119": _brazilian,
    "+5760": _colombian,
    "+573": lambda national: [f"03{national}"],
}


@dataclass(frozen=True)
class Written:
    """A valid number, and two ways in which its country writes it."""

    country: str
    e164: str
    text: str
    other: str


@st.composite
def written(draw: st.DrawFn) -> Written:
    country = draw(st.sampled_from(sorted(_OF_COUNTRY)))
    kind = draw(st.sampled_from([PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE]))
    example = phonenumbers.example_number_for_type(country, kind)
    assert example is not None
    code, national = str(example.country_code), str(example.national_number)
    national = national[:-5] + draw(st.text("0123456789", min_size=5, max_size=5))
    e164 = f"+{code}{national}"
    assume(phonenumbers.is_valid_number(phonenumbers.parse(e164)))
    ways = [way.format(n=national, c=code) for way in (*_INTERNATIONAL, *_OF_COUNTRY[country])]
    for prefix, rewritten in _REWRITTEN.items():
        ways += rewritten(national) if e164.startswith(prefix) else []
    text, other = draw(st.sampled_from(ways)), draw(st.sampled_from(ways))
    mark, place = draw(st.sampled_from(["", " ", "-", "."])), draw(st.integers(min_value=3, max_value=4))
    around = draw(st.sampled_from(["{}", " {} ", "'{}", '="{}"', "{} (casa)", "cel {}"]))
    return Written(country, e164, around.format(text[:-place] + mark + text[-place:]), other)


@given(written())
def test_a_number_is_read_as_itself(case: Written) -> None:
    found = read(case.text, case.country)
    assert isinstance(found, Number), (case, found)
    assert (found.e164, found.is_valid) == (case.e164, True)


@given(written())
def test_an_import_has_it_as_itself(case: Written) -> None:
    # A random number may look like one that only fills the field, or lie in a range of services.
    choices = Choices(accepted=frozenset(kind for kind, policy in KINDS.items() if policy.can_change))
    cell = case.text.replace('"', '""')
    parsed = parse_contacts(
        f'nombre;telefono\nAna;"{cell}"\n'.encode(), country=case.country, choices=choices
    )
    assert [row.phones for row in parsed.rows] == [(case.e164,)], (case, parsed.bad_rows)


@given(written())
def test_a_list_has_it_as_itself(case: Written) -> None:
    assert [number.e164 for number in read_opt_out(case.text, [case.country])] == [case.e164]
    cell = case.text.replace('"', '""')
    found = read_numbers(f'nota;telefono\nx;"{cell}"\n'.encode(), "list.csv", countries=[case.country])
    assert found.good == [case.e164]


@given(written())
def test_what_is_listed_in_one_way_is_found_in_every_other(case: Written) -> None:
    listed, dialled = read(case.text, case.country), read(case.other, case.country)
    assert isinstance(listed, Number)
    assert isinstance(dialled, Number)
    assert line_identity(listed.e164) == line_identity(dialled.e164)
    assert set(dialled_spellings(listed.e164)) & set(all_spellings(dialled.e164))
    # A daemon of an earlier version looks up no more than the number that it dials.
    assert dialled.e164 in dialled_spellings(listed.e164)


def read_by_version_0_2(text: str, country: str) -> str | None:
    """What ``rules.phones.normalise`` of version 0.2 listed and dialled."""
    try:
        parsed = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


@given(written())
def test_what_an_earlier_version_listed_is_found_in_every_way(case: Written) -> None:
    number = read_by_version_0_2(case.other, case.country)
    # It took some national forms for numbers of another country.
    assume(number is not None and line_identity(number) == line_identity(case.e164))
    assert number in all_spellings(case.e164)


@given(written())
def test_every_spelling_of_a_line_has_the_same_spellings(case: Written) -> None:
    line = line_identity(case.e164)
    assert line_identity(line) == line
    for spelling in all_spellings(case.e164):
        assert line_identity(spelling) == line
        assert dialled_spellings(spelling) == dialled_spellings(case.e164)
