"""What is read of bare digits is what ``phonenumbers`` reads, for every country and country code."""

from __future__ import annotations

from typing import Final

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumberType

from speechaid.rules.numbering_plans import Described, describe, with_country_code

COUNTRIES: Final = sorted(phonenumbers.SUPPORTED_REGIONS)
CODES: Final = sorted(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
TYPES: Final = sorted(PhoneNumberType.values())
E164: Final = phonenumbers.PhoneNumberFormat.E164


def metadata_of(country: str) -> PhoneMetadata:
    found = PhoneMetadata.metadata_for_region(country)
    assert found is not None
    return found


def by_library(digits: str) -> Described | None:
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return None
    assert phonenumbers.is_valid_number(parsed) == (
        phonenumbers.number_type(parsed) != PhoneNumberType.UNKNOWN
    )
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    return Described(
        code=str(parsed.country_code),
        national=phonenumbers.national_significant_number(parsed),
        country=phonenumbers.region_code_for_number(parsed),
        type=phonenumbers.number_type(parsed),
        is_possible=reason == phonenumbers.ValidationResult.IS_POSSIBLE,
    )


def national_by_library(digits: str, country: str) -> str | None:
    try:
        parsed = phonenumbers.parse(digits, country)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(parsed, E164).removeprefix("+")


def some_digits(at_least: int, at_most: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=at_least, max_size=at_most)


@st.composite
def national_numbers(draw: st.DrawFn, country: str) -> str:
    """Numbers of the plan with some digits changed, prefixes of every kind before them, or any digits."""
    number = phonenumbers.example_number_for_type(country, draw(st.sampled_from(TYPES)))
    if number is None:
        return draw(some_digits(0, 18))
    digits = list(phonenumbers.national_significant_number(number))
    for position in draw(st.lists(st.integers(0, len(digits) - 1), max_size=5)):
        digits[position] = draw(some_digits(1, 1))
    metadata = metadata_of(country)
    prefixes = ["", "", "0", "00", "1", "8", "9", "15", "0015", metadata.national_prefix or ""]
    middle = draw(st.integers(0, len(digits)))
    inside = draw(st.sampled_from(["", "", "", "15", "0"]))
    before = draw(st.sampled_from([*prefixes, str(metadata.country_code)]))
    return before + "".join(digits[:middle]) + inside + "".join(digits[middle:])


@given(country=st.sampled_from(COUNTRIES), data=st.data())
def test_international_digits_are_described_as_the_library_does(country: str, data: st.DataObject) -> None:
    code = str(metadata_of(country).country_code)
    digits = code + data.draw(national_numbers(country))
    assert describe(digits) == by_library(digits)


@given(code=st.sampled_from(CODES), rest=some_digits(0, 19))
@example(code="800", rest="12345678")
@example(code="39", rest="066981234")
@example(code="1", rest="8095550101")
@example(code="54", rest="01115555101")
@example(code="999", rest="12345678")
@example(code="0", rest="56955550101")
@example(code="", rest="")
def test_any_digits_behind_a_country_code_are_described_as_the_library_does(code: str, rest: str) -> None:
    assert describe(code + rest) == by_library(code + rest)


@given(country=st.sampled_from(COUNTRIES), data=st.data())
def test_national_digits_become_international_as_with_the_library(country: str, data: st.DataObject) -> None:
    digits = data.draw(national_numbers(country) | some_digits(1, 18))
    found = with_country_code(digits, country)
    assert found is None or found == national_by_library(digits, country)


@pytest.mark.parametrize("country", COUNTRIES)
def test_national_digits_as_people_dial_them_need_no_second_reading(country: str) -> None:
    number = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
    number = number or phonenumbers.example_number(country)
    assert number is not None
    national = phonenumbers.national_significant_number(number)
    assert with_country_code(national, country) == national_by_library(national, country) is not None
