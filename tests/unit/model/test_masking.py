"""Masked phone numbers, and fingerprints of secrets."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.model.masking import (
    fingerprint,
    mask_bare_phones,
    mask_each,
    mask_phone,
    mask_phones,
    mask_prose,
)

MASKED = [
    ("+56912345634", "+569******34"),
    ("+12025550134", "+120******34"),
    ("+56 9 1234 5634", "+569******34"),
    ("56912345634", "569******34"),
    ("+123456789", "+*******89"),
    ("+1234567", "+*******"),
    ("911", "***"),
    ("", ""),
]


@pytest.mark.parametrize(("number", "shown"), MASKED)
def test_a_number_keeps_its_first_three_and_last_two_digits(number: str, shown: str) -> None:
    assert mask_phone(number) == shown


IN_TEXT = [
    ("dialling +56912345634 now", "dialling +569******34 now"),
    ("a (+56 9 1234-5634), b", "a (+569******34), b"),
    ("?to=%2B56912345634&x=1", "?to=+569******34&x=1"),
    ("+56912345634+12025550134", "+569******34+120******34"),
    ("2026-05-04T12:00:00+00:00", "2026-05-04T12:00:00+00:00"),
    ("+5691234563456912345634", "+569*****************34"),
    ("started 1746360000123", "started 1746360000123"),
    ("1+1 = 2", "1+1 = 2"),
]


@pytest.mark.parametrize(("text", "shown"), IN_TEXT)
def test_only_numbers_in_international_form_are_masked_in_a_text(text: str, shown: str) -> None:
    assert mask_phones(text) == shown


BARE = [
    ("912345678", "*******78"),
    ("9 1234 5678 / 2 2345 6789", "*******78 / *******89"),
    ("job-17", "job-17"),
    ("a1234567890b", "a1234567890b"),
    ("12", "12"),
]


@pytest.mark.parametrize(("text", "shown"), BARE)
def test_in_a_field_of_numbers_those_without_a_plus_are_masked_too(text: str, shown: str) -> None:
    assert mask_bare_phones(text) == shown


PROSE = [
    ("Ana, 912345678, complained", "Ana, *******78, complained"),
    ("9 1234 5678 or +56 9 1234 5634", "*******78 or +569******34"),
    ("no calls before 2026-11-20", "no calls before 2026-11-20"),
    ("closed 20/11/2026 and 1.12.2026", "closed 20/11/2026 and 1.12.2026"),
    ("2026-11-20 09:00, call 912345678", "2026-11-20 09:00, call *******78"),
    ("2026-11-20 912345678", "2026-11-20 *******78"),
    ("2026-13-20", "******20"),
    ("Chile_2026-11-20.csv", "Chile_2026-11-20.csv"),
    ("fonos 912345678.csv", "fonos *******78.csv"),
    ("batch-20261130-1", "batch-20261130-1"),
    ("batch-20261130", "batch-20261130"),
    (
        "of batch-20261130-40831234, test-20261130-4083c120",
        "of batch-20261130-40831234, test-20261130-4083c120",
    ),
    ("rut-20261130-1", "rut-*******01"),
    ("batch-56912345678", "batch-569******78"),
]


@pytest.mark.parametrize(("text", "shown"), PROSE)
def test_in_what_people_type_numbers_are_masked_and_dates_stay(text: str, shown: str) -> None:
    assert mask_prose(text) == shown


@given(st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True), st.sampled_from(["", " ", "x", "\n", "(", ","]))
def test_every_number_is_masked_whatever_surrounds_it(number: str, around: str) -> None:
    shown = mask_phones(f"{around}{number}{around}")
    assert not re.search(r"\d{4}", shown)


def test_a_fingerprint_identifies_a_secret_without_revealing_it() -> None:
    assert fingerprint("key_a") == fingerprint("key_a") != fingerprint("key_b")
    assert re.fullmatch("[0-9a-f]{12}", fingerprint("key_a"))


def test_two_phones_of_a_person_are_told_apart_though_masked() -> None:
    masked = mask_each(["+56912345634", "+56912345671", "+56998765434"])
    assert masked == ["+569******34 (1)", "+569******71", "+569******34 (3)"]
