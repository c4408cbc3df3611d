"""The signs of a CSV file follow the country of who opens it."""

from __future__ import annotations

import pytest

from speechaid.campaign.csv_form import CsvForm, csv_form
from speechaid.rules.currencies import OF_COUNTRY

#: Of the countries that speechaid knows: those with a decimal point.
WITH_POINT = frozenset({"MX", "PE", "GT", "HN", "SV", "NI", "PA", "DO", "CU", "PR", "US"})


@pytest.mark.parametrize("country", sorted(OF_COUNTRY))
def test_each_country_has_its_own_signs(country: str) -> None:
    signs = (
        CsvForm(delimiter=",", decimal=".") if country in WITH_POINT else CsvForm(delimiter=";", decimal=",")
    )
    assert csv_form(country) == signs


@pytest.mark.parametrize(
    ("locale", "decimal"), [("es_CL", ","), ("pt-BR", ","), ("es-MX", "."), ("en_US", ".")]
)
def test_a_locale_is_written_with_its_country(locale: str, decimal: str) -> None:
    assert csv_form(locale).decimal == decimal


@pytest.mark.parametrize("locale", ["", "xx", "XX", "es_XX", "Chile", "../es"])
def test_an_unknown_locale_is_refused_with_an_example(locale: str) -> None:
    with pytest.raises(ValueError, match="such as es_CL"):
        csv_form(locale)
