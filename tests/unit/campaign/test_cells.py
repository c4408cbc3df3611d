"""Cells as clean text."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.campaign.cells import clean, fold


@pytest.mark.slow
@given(st.text())
def test_any_text_can_be_cleaned(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert "\0" not in cleaned


def test_invisible_characters_and_special_blanks_are_removed() -> None:
    assert clean("\u202a+56\xa09\u200b0000\u2011\x1b[31m\u202c ") == "+56 90000\u2011[31m"
    assert clean("a\tb\nc") == "a\tb\nc"


@pytest.mark.parametrize(
    ("value", "text"),
    [(56912345678.0, "56912345678"), (None, ""), (True, "true"), (datetime(2026, 7, 31), "2026-07-31")],  # noqa: DTZ001
)
def test_a_spreadsheet_cell_is_read_as_shown(value: object, text: str) -> None:
    assert clean(value) == text


def test_names_are_compared_without_accents_case_and_punctuation() -> None:
    assert fold("  Fecha_Límite (de  PAGO) ") == "fecha limite de pago"
