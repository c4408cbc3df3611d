"""What an exported file calls its columns: words for people, names for programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from speechaid.campaign.export_rows import EXPORTS
from speechaid.protocol.translation import ENGLISH, use_language
from speechctl.exporting import column_titles, is_for_people


@pytest.fixture
def _in_spanish() -> Iterator[None]:
    use_language("es")
    yield
    use_language(ENGLISH)


@pytest.mark.usefixtures("_in_spanish")
def test_a_workbook_is_for_people_and_csv_for_programs() -> None:
    assert is_for_people("calls.XLSX")
    assert not is_for_people("calls.csv")
    assert not is_for_people("-")


def test_in_english_a_workbook_has_the_names_that_it_always_had() -> None:
    assert not is_for_people("calls.xlsx")


@pytest.mark.usefixtures("_in_spanish")
def test_titles_in_words_name_the_zone_of_times() -> None:
    found = column_titles(["placed_at", "outcome"], ["time", "text"], "America/Santiago", in_words=True)
    assert found == ["fecha de la llamada (America/Santiago)", "resultado"]
    same = column_titles(["placed_at", "outcome"], ["time", "text"], "America/Santiago", in_words=False)
    assert same == ["placed_at (America/Santiago)", "outcome"]


@pytest.mark.usefixtures("_in_spanish")
@pytest.mark.parametrize("what", EXPORTS)
def test_no_two_columns_of_an_export_have_the_same_title(what: str) -> None:
    export = EXPORTS[what]
    titles = column_titles(export.columns, export.kinds, "UTC", in_words=True)
    assert len(set(titles)) == len(titles)
