"""Whose fault a refused create is: every wording of the table, and the texts that must not be mistaken."""

from __future__ import annotations

import pytest

from speechaid.rules.refusals import WORDINGS, Blame, Wording, blame_for, mask_wording, wording_of

TO, FROM = "+56912345678", "+12125550100"
EXAMPLES = [
    pytest.param(wording, example.format(**{"to": TO, "from": FROM}), id=f"{wording.name}: {example[:40]}")
    for wording in WORDINGS
    for example in wording.examples
]


@pytest.mark.parametrize(("wording", "text"), EXAMPLES)
def test_each_example_is_recognised_by_its_own_row(wording: Wording, text: str) -> None:
    assert wording_of(text) is wording


def test_the_table_is_complete() -> None:
    assert {wording.blame for wording in WORDINGS} == set(Blame) - {Blame.UNCLEAR}
    assert len({wording.name for wording in WORDINGS}) == len(WORDINGS)
    for wording in WORDINGS:
        assert wording.examples, wording.name
        assert wording.remedy or wording.blame is Blame.DO_NOT_CALL, wording.name


@pytest.mark.parametrize(
    "text",
    ["", "Bad Request", "to_number", f"Could not call {TO}", "Something went wrong", f"{TO}: request failed"],
)
def test_a_text_that_only_quotes_the_number_blames_nothing(text: str) -> None:
    assert blame_for(text) is Blame.UNCLEAR


@pytest.mark.parametrize(
    "text",
    [
        f"to_number {TO} is invalid for your plan",
        f"Invalid to_number: calls to this country are not enabled ({TO})",
        f"The destination {TO} is not valid for this account",
        "Invalid from_number and to_number",
        "DNC detection is not available on your plan",
        "Do not call: your organization is suspended",
    ],
)
def test_what_names_account_country_permission_limit_or_plan_never_blames_the_number(text: str) -> None:
    assert blame_for(text) is Blame.ACCOUNT


@pytest.mark.parametrize(
    "text",
    [
        "toNumber must be a string",
        "INVALID_TO_NUMBER",
        "invalid_phone_number",
        "Twilio does not support calling this number or the number is invalid",
        "to_number: Input should be a valid phone number; the number is too short",
        "Dial: Invalid phone number format",
    ],
)
def test_a_number_that_is_itself_at_fault_is_blamed(text: str) -> None:
    assert blame_for(text) is Blame.NUMBER


def test_two_refusals_of_one_kind_compare_equal_and_have_no_number_or_id() -> None:
    first = mask_wording("Request req_8f2c1 for +56 9 1234 5678 failed (call_12ab)")
    second = mask_wording("Request req_77aa0 for +56987654321 failed (call_ff00)")
    assert first == second
    assert not any(character.isdigit() for character in first)
    assert first != mask_wording("Request req_8f2c1 for +56 9 1234 5678 was dropped (call_12ab)")
