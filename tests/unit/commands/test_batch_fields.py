"""The settings of a batch: from options to documents and back."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.commands.batch_fields import OPTIONS, batch_fields, level_of, options_of
from speechaid.commands.batch_view import defaults_of
from speechaid.commands.interfaces import CommandRefused
from speechaid.model.levels import Level
from speechaid.model.states import Outcome
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.specs.arguments import OUTCOMES
from speechaid.settings import get_settings

#: Options of ``create-batch`` that set no field of their own.
WITHOUT_FIELD = {"copy_from", "paused", "no_voicemail_counts"}
NOTHING: dict[str, Any] = {argument.name: None for argument in COMMANDS["create-batch"].arguments}
GIVEN: dict[str, Any] = {
    "description": "second reminder",
    "account": "acc-1",
    "country": "PE",
    "priority": "high",
    "hours": "09:00-18:30",
    "days": "1-5",
    "timezone": "America/Lima",
    "max_attempts": 2,
    "retry_delay_hours": 1.5,
    "ring_timeout": 30,
    "max_call_duration": 300,
    "max_concurrent_calls": 4,
    "voicemail_counts": True,
    "agent": "agent_2",
    "agent_version": 3,
    "from_number": "+56223456789",
    "language": "es-419",
    "voicemail_option": "leave Llame al 600.",
    "dnc_detection": "no",
    "purpose": "collection",
}


def test_every_option_of_a_batch_has_a_row() -> None:
    options = {argument.name for argument in COMMANDS["create-batch"].arguments} - WITHOUT_FIELD
    assert {option.name for option in OPTIONS} == options


def test_every_outcome_can_be_filtered_by() -> None:
    assert set(OUTCOMES) == set(Outcome)


def test_edit_and_import_take_every_option_of_a_batch() -> None:
    wanted = {option.name for option in OPTIONS} | {"no_voicemail_counts"}
    for command in ("edit-batch", "import"):
        assert wanted <= {argument.name for argument in COMMANDS[command].arguments}


def test_every_setting_of_a_batch_has_a_default() -> None:
    environ = {"RETELL_API_KEY": "k" * 16, "RETELL_AGENT_ID": "a", "RETELL_FROM_NUMBER": "+15005550006"}
    settings = get_settings(environ, env_file=None)
    without = {"name", "description", "account"}
    assert set(defaults_of(settings, None)) == {option.name for option in OPTIONS} - without


def test_the_options_of_a_batch_make_the_same_batch_again() -> None:
    fields = batch_fields({**NOTHING, **GIVEN}, name="March")
    again = batch_fields({**NOTHING, **options_of(fields)}, name="March")
    assert options_of(fields) == GIVEN
    assert again == fields


def test_a_voicemail_that_does_not_count_is_copied_as_such() -> None:
    fields = batch_fields({**NOTHING, "no_voicemail_counts": True}, name="March")
    assert fields["call_settings"] == {"voicemail_counts": False}
    assert options_of(fields) == {"no_voicemail_counts": True}


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ([1, 2, 3, 4, 5], "1-5"),
        ([0, 6], "6,7"),
        ([3], "3"),
        ([1, 3, 4, 5], "1,3,4,5"),
        ([1, 2, 3, 4, 5, 6, 7], "1-7"),
    ],
)
def test_weekdays_are_shown_as_they_are_typed(stored: list[int], shown: str) -> None:
    assert options_of({"call_settings": {"days_of_week": stored}}) == {"days": shown}


@pytest.mark.parametrize(
    "settings",
    [
        {"allowed_hours": {"start": "9am", "end": "18:00"}},
        {"allowed_hours": {"start": "09:00:30", "end": "18:00"}},
        {"days_of_week": "weekdays"},
        {"timezone": "Mars"},
        {"max_attempts": "many"},
        {"agent_id": "agent 2"},
        {"agent_version": "-1"},
        {"from_number": "223456789"},
        {"language": "es-CL"},
        {"voicemail_option": "leave"},
        {"dnc_detection": "a veces"},
        {"purpose": "cobranza"},
    ],
)
def test_a_setting_that_no_option_can_say_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(CommandRefused, match="cannot be understood"):
        options_of({"call_settings": settings})


@pytest.mark.parametrize(
    ("option", "typed", "stored"),
    [
        ("agent_version", "3", 3),
        ("agent_version", "latest_published", "latest_published"),
        ("agent_version", "prod.2026", "prod.2026"),
        ("language", "ES-419", "es-419"),
        ("voicemail_option", "Hangup", "hangup"),
        ("voicemail_option", "leave  Llame al 600.", "leave Llame al 600."),
        ("voicemail_option", "agent", "agent"),
        ("dnc_detection", "yes", True),
        ("dnc_detection", "no", False),
    ],
)
def test_what_a_batch_tells_its_agent_is_stored_as_it_is_read(
    option: str, typed: str, stored: object
) -> None:
    assert batch_fields({**NOTHING, option: typed}, name="March")["call_settings"] == {option: stored}


@pytest.mark.parametrize(
    ("option", "typed"),
    [
        ("agent", "two agents"),
        ("agent_version", "3.5"),
        ("agent_version", "99999999999"),
        ("from_number", "22 345 6789"),
        ("language", "es-CL"),
        ("voicemail_option", "leave"),
        ("voicemail_option", "hang up"),
        ("voicemail_option", f"leave {'x' * 1001}"),
    ],
)
def test_what_retell_would_not_take_is_refused_when_it_is_typed(option: str, typed: str) -> None:
    with pytest.raises(CommandRefused, match=f"^{option}: .*cannot be understood"):
        batch_fields({**NOTHING, option: typed}, name="March")


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("2026-12-01T09:00", "2026-12-01T09:00"), (" 2026-12-01 9:05 ", "2026-12-01T09:05")],
)
def test_a_start_is_stored_as_local_time_and_not_copied(typed: str, stored: str) -> None:
    fields = batch_fields({**NOTHING, "start_at": typed}, name="March")
    assert fields["call_settings"] == {"start_at": stored}
    assert level_of(fields) is Level.START_TIMES
    assert options_of(fields) == {}


@pytest.mark.parametrize(
    "typed", ["", "tomorrow", "2026-12-01", "2026-02-30T09:00", "2026-12-01T24:00", "2026-12-01T09:00-03:00"]
)
def test_what_is_no_start_is_refused(typed: str) -> None:
    with pytest.raises(CommandRefused, match=r"^start-at: .*write 2026-12-01T09:00"):
        batch_fields({**NOTHING, "start_at": typed}, name="March")


@pytest.mark.parametrize("option", sorted(GIVEN))
def test_a_batch_requires_the_level_of_what_an_older_daemon_would_not_heed(option: str) -> None:
    heeded_since = {"agent", "agent_version", "from_number", "language", "voicemail_option", "dnc_detection"}
    wanted = Level.PEOPLE_AND_AGENTS if option in heeded_since else Level.FIRST
    wanted = Level.CALLING_RULES if option == "purpose" else wanted
    assert level_of(batch_fields({**NOTHING, option: GIVEN[option]}, name="March")) is wanted
