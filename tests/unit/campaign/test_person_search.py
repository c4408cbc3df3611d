"""What an operator types for a person is read as a national id, a phone or a name."""

from __future__ import annotations

import pytest

from speechaid.campaign import cells
from speechaid.campaign.people import keys_of_job, person_keys
from speechaid.campaign.person_search import READERS, Meaning, group_by_person, readings_of
from speechaid.model.job import Job


def meanings(text: str, *countries: str) -> list[str]:
    return [reading.meaning.value for reading in readings_of(text, countries or ("CL",))]


def certain(text: str, *countries: str) -> list[str]:
    return [
        reading.meaning.value for reading in readings_of(text, countries or ("CL",)) if reading.is_certain
    ]


def test_every_meaning_has_a_reader() -> None:
    assert set(READERS) == set(Meaning)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.345.678-5", ["national id"]),
        ("+56 9 1234 5678", ["phone"]),
        ("912345678", ["national id", "phone"]),
        ("Ana María Rojas", ["name"]),
        ("Ana 2", ["name"]),
        ("ab", []),
        ("", []),
        ("x" * 121, []),
    ],
)
def test_a_text_is_read_in_every_way_that_it_allows(text: str, expected: list[str]) -> None:
    assert meanings(text) == expected


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("12345678-5", "CL", ["national id"]),
        ("12345678-4", "CL", []),
        ("956565656", "CL", ["phone"]),
        # By chance the check digit is right: both are meant.
        ("956565618", "CL", ["national id", "phone"]),
        ("20-05536168-2", "AR", ["national id"]),
    ],
)
def test_a_right_check_digit_or_a_number_of_the_plan_makes_a_reading_certain(
    text: str, country: str, expected: list[str]
) -> None:
    assert certain(text, country) == expected


@pytest.mark.parametrize("typed", ["12.345.678-5", "12345678-5", "123456785", "12.345.678-5 ", "012345678-5"])
@pytest.mark.parametrize(
    "stored", ["12.345.678-5", "12345678-5", "123456785", "12.345.6785", "012345678-5", 123456785]
)
def test_an_id_is_looked_for_in_its_usual_spellings(typed: str, stored: str | int) -> None:
    (reading, *_) = readings_of(typed, ["CL"])
    assert reading.meaning is Meaning.ID
    assert reading.keys == ("id:123456785",)
    assert stored in reading.spellings


@pytest.mark.parametrize("stored", ["7.654.321-K", "7.654.321-k", "7654321-k", "7654321K", "07654321-K"])
def test_a_check_letter_is_looked_for_in_both_cases(stored: str) -> None:
    assert stored in readings_of("7654321k", ["CL"])[0].spellings


@pytest.mark.parametrize(
    ("typed", "country", "stored"),
    [("20055361682", "AR", "20-05536168-2"), ("39053344705", "BR", "390.533.447-05")],
)
def test_ids_of_other_countries_are_looked_for_as_they_are_printed(
    typed: str, country: str, stored: str
) -> None:
    assert stored in readings_of(typed, [country])[0].spellings


@pytest.mark.parametrize("stored", ["+56912345678", "56912345678", "912345678", "+560912345678"])
def test_a_phone_is_looked_for_in_each_form_of_its_line(stored: str) -> None:
    (reading,) = readings_of("+56 9 1234-5678", ["CL"])
    assert reading.keys == ("line:+56912345678",)
    assert stored in reading.spellings


def test_a_name_is_looked_for_without_accents_and_as_others_may_have_written_it() -> None:
    (reading,) = readings_of("  josé  pérez ", ["CL"])
    assert reading.name_keys == ("jose perez",)
    assert {"José Pérez", "JOSÉ PÉREZ", "josé pérez"} <= set(reading.spellings)


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("Bernardo O'Higgins", "Bernardo OHiggins"),
        ("Bernardo OHiggins", "bernardo o\u2019higgins"),
        ("Łukasz Nowak", "lukasz nowak"),
        ("Ørsted", "ORSTED"),
        ("Þóra Sæmundsdóttir", "thora saemunds"),
        ("Straße", "strasse"),
    ],
)
def test_a_name_is_found_with_the_letters_that_everybody_can_type(stored: str, typed: str) -> None:
    (reading,) = readings_of(typed, ["CL"])
    assert any(cells.fold_name(stored).startswith(key) for key in reading.name_keys)


def test_a_name_that_an_earlier_version_imported_is_found_as_it_was_written() -> None:
    (reading,) = readings_of("O'Higgins", ["CL"])
    assert reading.name_keys == ("ohiggins", "o higgins")


@pytest.mark.parametrize(
    "typed",
    ["RUT 12.345.678-5", "rut: 12345678-5", "R.U.T. N° 12.345.678-5", "Rut12345678-5", "RUN 12345678-5"],
)
def test_an_id_is_found_with_the_word_that_says_what_it_is(typed: str) -> None:
    (reading,) = readings_of(typed, ["CL"])
    assert reading.meaning is Meaning.ID
    assert reading.keys[0] == "id:123456785"
    assert "12.345.678-5" in reading.spellings
    assert reading.is_certain


@pytest.mark.parametrize("typed", ["Rut Pérez", "Cira Díaz", "Nita"])
def test_a_name_that_begins_like_such_a_word_is_a_name(typed: str) -> None:
    assert [reading.meaning for reading in readings_of(typed, ["CL"])] == [Meaning.NAME]


@pytest.mark.parametrize("dni", ["-", "...", " / "])
def test_an_id_of_marks_alone_makes_no_key(dni: str) -> None:
    assert person_keys(dni, ["+56912345678"]) == ["line:+56912345678"]
    job = Job.read({"_id": 1, "contact": {"dni": dni}, "person_keys": ["id:", "line:+56912345678"]})
    assert keys_of_job(job, "CL") == ["line:+56912345678"]


@pytest.mark.parametrize(
    ("keys", "groups"),
    [
        ([["id:1", "line:a"], ["id:1", "line:b"]], [[0, 1]]),
        ([["id:1", "line:a"], ["id:2", "line:a"]], [[0], [1]]),
        ([["line:a"], ["id:1", "line:a"]], [[0, 1]]),
        # Whose job the third is cannot be told: it is nobody's of the two.
        ([["id:1", "line:a"], ["id:2", "line:a"], ["line:a"]], [[0], [1], [2]]),
        ([["line:a", "line:b"], ["line:b"], ["line:c"]], [[0, 1], [2]]),
        ([[], []], [[0], [1]]),
    ],
)
def test_jobs_are_grouped_by_id_and_without_one_by_line(
    keys: list[list[str]], groups: list[list[int]]
) -> None:
    assert group_by_person(keys) == groups
