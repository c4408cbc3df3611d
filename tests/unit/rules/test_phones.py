"""From a contact's phones to the number that Retell dials."""

from __future__ import annotations

import pytest

from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.rules.phones import (
    Choice,
    PhoneState,
    accepts_unassigned,
    choose,
    country_of,
    is_country,
    normalise,
    phone_states,
    undialable,
)


@pytest.mark.parametrize(
    ("raw", "country", "number"),
    [
        ("+56912345678", None, "+56912345678"),
        ("+56 9 1234 5678", None, "+56912345678"),
        (" (+56) 9-1234-5678 ", "CL", "+56912345678"),
        ("912345678", "CL", "+56912345678"),
        ("912345678", "cl", "+56912345678"),
        ("56912345678", "CL", "+56912345678"),
        ("0056912345678", "CL", "+56912345678"),
        ("tel:+56912345678", None, "+56912345678"),
        ("+44 (0)7700 900123", None, "+447700900123"),
        ("(55) 1234-5678", "MX", "+525512345678"),
        ("+1 202 555 0143", "CL", "+12025550143"),
        ("912345678", None, None),
        ("912345678", "Chile", None),
        ("12345", "CL", None),
        ("+569111", "CL", None),
        ("5550100", "US", None),
        ("912345678 / 987654321", "CL", None),
        ("+56912345678 ext 3", None, None),
        ("1-800-FLOWERS", "US", None),
        ("+999123456789", None, None),
        ("ask for Ana", "CL", None),
        ("", "CL", None),
        ("+", "CL", None),
    ],
)
def test_a_written_number_becomes_e164_or_none(raw: str, country: str | None, number: str | None) -> None:
    assert normalise(raw, country) == number


A, B, C = "+56911111111", "922222222", "+56933333333"


def test_the_phone_at_the_index_is_chosen_with_its_number() -> None:
    assert choose((A, B, C), 1, frozenset(), "CL") == Choice(index=1, raw=B, number="+56922222222")


@pytest.mark.parametrize("dead", [{B}, {"+56922222222"}, {"+56 9 2222 2222"}])
def test_a_dead_phone_is_skipped_in_any_spelling(dead: set[str]) -> None:
    assert choose((A, B, C), 1, dead, "CL") == Choice(index=2, raw=C, number=C)


def test_text_that_is_no_number_is_skipped() -> None:
    assert choose(("none", "", A), 0, frozenset(), "CL") == Choice(index=2, raw=A, number=A)


def test_a_finished_pass_has_no_phone_left_even_if_the_contact_has_one() -> None:
    assert choose((A, B), 1, {B}, "CL") is None
    assert choose((A, B), 0, {B}, "CL") == Choice(index=0, raw=A, number=A)
    assert choose((), 0, frozenset(), "CL") is None


@pytest.mark.parametrize("index", [2, 7, -1])
def test_an_index_outside_the_list_starts_with_the_first_phone(index: int) -> None:
    choice = choose((A, B), index, frozenset(), "CL")
    assert choice is not None
    assert choice.index == 0


def test_a_second_spelling_of_the_same_number_is_not_dialled() -> None:
    assert undialable((A, "9 1111 1111", B), frozenset(), "CL") == {"9 1111 1111"}
    assert choose((A, "9 1111 1111"), 1, frozenset(), "CL") is None


@pytest.mark.parametrize(
    ("phones", "country"),
    [
        (("+54 9 11 5555 0101", "+54 11 5555 0101", "011 15 5555-0101"), "AR"),
        (("+52 1 55 1234 5678", "55 1234 5678"), "MX"),
        (("(11) 8765-4321", "+55 11 98765 4321"), "BR"),
        (("1 234 5678", "+57 601 234 5678"), "CO"),
    ],
)
def test_spellings_of_one_line_are_one_phone(phones: tuple[str, ...], country: str) -> None:
    assert undialable(phones, frozenset(), country) == set(phones[1:])
    for spelling in phones:
        assert undialable(phones, {spelling}, country) == set(phones)
        states = phone_states(phones, dead=(), listed=[spelling], country=country)
        assert set(states.values()) == {PhoneState.LISTED}


def test_a_number_that_the_plan_lacks_is_dialled_only_where_the_batch_accepts_it() -> None:
    lacking, valid = "+56911111111", "+56976543210"
    phones = (lacking, "hello", valid)
    assert choose(phones, 0, frozenset(), "CL", accept_unassigned=True) == Choice(
        index=0, raw=lacking, number=lacking
    )
    assert choose(phones, 0, frozenset(), "CL", accept_unassigned=False) == Choice(
        index=2, raw=valid, number=valid
    )
    assert phone_states(phones, dead=(), country="CL", accept_unassigned=False) == {
        lacking: PhoneState.UNASSIGNED,
        "hello": PhoneState.NO_NUMBER,
        valid: PhoneState.DIALLED,
    }


@pytest.mark.parametrize("of_import", [None, "import-1"])
@pytest.mark.parametrize("of_batch", [None, False, True])
def test_numbers_that_the_plan_lacks_are_dialled_as_the_batch_says_else_for_other_programs(
    of_batch: bool | None, of_import: str | None
) -> None:
    batch = Batch.read({"batch_id": "b", "accept_unassigned": of_batch})
    job = Job.read({"_id": 1, "import_id": of_import})
    expected = of_import is None if of_batch is None else of_batch
    assert accepts_unassigned(job, batch) is expected
    assert accepts_unassigned(job, None) is (of_import is None)


def test_the_same_phone_listed_twice_is_dialled_at_its_first_place_only() -> None:
    assert choose((A, A), 1, frozenset(), "CL") is None
    assert undialable((A, A), frozenset(), "CL") == frozenset()


@pytest.mark.parametrize(
    ("of_batch", "of_account", "expected"),
    [("MX", "US", "MX"), (None, "US", "US"), (None, None, "CL"), ("UK", "US", "UK")],
)
def test_national_numbers_use_the_country_of_the_batch_else_the_account_else_the_default(
    of_batch: str | None, of_account: str | None, expected: str
) -> None:
    batch = Batch.read({"batch_id": "b", "country": of_batch})
    account = Account.read({"account_id": "a", "country": of_account})
    assert country_of(batch, account, "CL") == expected


def test_an_invalid_country_makes_national_numbers_unusable() -> None:
    assert normalise("20 7946 0958", country_of(Batch.read({"country": "UK"}), None, "CL")) is None
    assert is_country("gb")
    assert not is_country("UK")
