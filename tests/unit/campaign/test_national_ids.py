"""The check digits of national ids."""

from __future__ import annotations

import pytest

from speechaid.campaign.national_ids import KINDS, compact_id, wrong_id


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("11.111.111-1", "CL"),
        ("111111111", "CL"),
        ("12.345.670-K", "CL"),
        ("20-12345678-6", "AR"),
        ("12.345.678", "AR"),
        ("529.982.247-25", "BR"),
        ("BOXW310820HNERXN09", "MX"),
        ("12345678", "PE"),
        ("20512333797", "PE"),
        ("1714307103", "EC"),
        ("213123432-1", "CO"),
        ("1020304050", "CO"),
        ("anything", "XX"),
    ],
)
def test_right_ids_and_those_without_a_check_digit_pass(text: str, country: str) -> None:
    assert wrong_id(text, country) is None


@pytest.mark.parametrize(
    ("text", "country", "reason"),
    [
        ("11.111.111-2", "CL", "the check digit is not that of a RUT"),
        ("529.982.247-26", "BR", "the check digit is not that of a CPF or CNPJ"),
        ("1714307104", "EC", "the check digit is not that of a cédula or RUC"),
        ("hello", "CL", "this is no RUT"),
    ],
)
def test_a_mistyped_id_has_a_reason(text: str, country: str, reason: str) -> None:
    assert wrong_id(text, country) == reason


def test_ids_are_compared_without_points_dashes_and_case() -> None:
    assert compact_id("12.345.670-k") == compact_id(" 12345670K ") == compact_id("012345670-K")


@pytest.mark.parametrize("country", sorted(KINDS))
def test_no_text_breaks_a_check(country: str) -> None:
    for text in ("", "0", "-", "é", "\u00b2", "9" * 500, "A" * 500):
        assert wrong_id(text, country) is None or isinstance(wrong_id(text, country), str)
