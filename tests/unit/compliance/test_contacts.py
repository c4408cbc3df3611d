"""Which outcomes are attempts and contacts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from speechaid.compliance.caps import LedgerEntry
from speechaid.compliance.contacts import COUNTS_AS, CountsAs
from speechaid.compliance.packs import Unit
from speechaid.model.states import NO_CALL_OUTCOMES, SUCCESSFUL_OUTCOMES, Outcome

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_every_outcome_counts_as_something_that_fits_its_class() -> None:
    assert {*COUNTS_AS} == {*Outcome}
    assert {
        outcome for outcome, counts in COUNTS_AS.items() if counts is CountsAs.NOTHING
    } == NO_CALL_OUTCOMES
    assert all(COUNTS_AS[outcome] is CountsAs.TALK for outcome in SUCCESSFUL_OUTCOMES)


@pytest.mark.parametrize(
    ("facts", "attempt", "contact", "talk"),
    [
        ({"open": True}, True, True, True),
        ({"open": True, "void": True}, False, False, False),
        ({"void": True, "outcome": Outcome.ANSWERED}, False, False, False),
        ({"void": True, "answered": True}, False, False, False),
        ({}, True, False, False),
        ({"connected": True}, True, True, True),
        ({"outcome": Outcome.ANSWERED}, True, True, True),
        ({"outcome": Outcome.DO_NOT_CALL}, True, True, True),
        ({"outcome": Outcome.CALLBACK_REQUESTED}, True, True, True),
        ({"outcome": Outcome.VOICEMAIL}, True, True, False),
        ({"outcome": Outcome.VOICEMAIL, "message_left": True}, True, True, False),
        ({"outcome": Outcome.VOICEMAIL, "message_left": False}, True, False, False),
        ({"outcome": Outcome.VOICEMAIL, "message_left": False, "connected": True}, True, False, False),
        ({"outcome": Outcome.VOICEMAIL, "answered": True, "message_left": False}, True, True, True),
        ({"outcome": Outcome.NO_ANSWER}, True, False, False),
        ({"outcome": Outcome.BUSY}, True, False, False),
        ({"outcome": Outcome.INVALID_NUMBER}, True, False, False),
        ({"outcome": Outcome.FAILED}, True, False, False),
        ({"outcome": Outcome.FAILED, "connected": True}, True, True, True),
        ({"outcome": Outcome.STOPPED, "connected": True, "answered": False}, True, False, False),
        ({"outcome": Outcome.TEMPORARY}, False, False, False),
        ({"outcome": Outcome.BLOCKED}, False, False, False),
    ],
)
def test_what_an_entry_counts_as(facts: dict[str, Any], attempt: bool, contact: bool, talk: bool) -> None:
    entry = LedgerEntry(key="k", at=NOON, **facts)
    assert (entry.is_attempt, entry.is_contact, entry.is_talk) == (attempt, contact, talk)
    assert entry.is_counted(Unit.ATTEMPT) is attempt
    assert entry.is_counted(Unit.CONTACT) is contact
    is_open = entry.open and not entry.void
    assert entry.is_counted(Unit.UNANSWERED_ATTEMPT) is (is_open or (attempt and not contact))
