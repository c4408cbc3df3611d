"""Which cells stand for an empty one."""

from __future__ import annotations

import pytest

from speechaid.campaign.words_for_nothing import WORDS, is_nothing


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "NULL",
        "N/A",
        "-",
        "--",
        "nan",
        "s/n",
        "S/N",
        "None",
        "\\N",
        "#N/D",
        "sin dato",
        "...",
        "NA",
        "—",
        "NaN",
        "null",
        "S/I",
        "s/i",
        "S.I.",
        "N/I",
    ],
)
def test_words_for_nothing_are_nothing(text: str) -> None:
    assert is_nothing(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Na", "Ana", "Nil Soto", "0", "Null Pérez", "-5", "Sin", "a", "*55", "no"),
        *("SI", "Si", "SÍ", "sí", "NO", "Nil", "Nan", "Nat", "Null", "IN", "SD"),
    ],
)
def test_names_numbers_and_words_are_something(text: str) -> None:
    assert not is_nothing(text)


def test_the_table_is_written_as_it_is_compared() -> None:
    assert all(word == word.lower().strip() for word in WORDS)
