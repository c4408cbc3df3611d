"""The forms of a new campaign: what they take, refuse, and show again."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.campaign.recognition import read_meaning
from speechaid.commands import known_people
from speechaid.protocol.commands import COMMANDS
from speechaid.web.page import campaign_form
from speechaid.web.page.campaign_form import (
    ROLES,
    columns_shown,
    corrected_columns,
    first_settings,
    left_out,
    reading_options,
    settings_options,
    settings_typed,
)

FILLED = {"name": "Octubre", "start": "9:00", "end": "19:00", "day_1": "1", "day_5": "1"}


def column(position: int, title: str, role: str) -> dict[str, Any]:
    return {"position": position, "title": title, "role": role, "why": "its title", "values": []}


@pytest.mark.parametrize("role", ROLES)
def test_every_role_of_the_form_is_one_that_the_import_takes(role: str) -> None:
    read_meaning(role)


def test_every_field_of_the_settings_is_an_option_of_the_import() -> None:
    names = {argument.name for argument in COMMANDS["import"].arguments}
    assert set(campaign_form.FIELDS) - {"start", "end"} <= names


def test_every_state_of_a_known_person_has_words() -> None:
    states = (
        *(known_people.WAITING, known_people.REACHED, known_people.CALLED),
        *(known_people.PAID, known_people.SHARED, known_people.OPTED_OUT),
    )
    for state in states:
        ((why, count),) = left_out({"known": {"counts": {state: 3}}})
        assert why != state
        assert count == 3


def test_only_what_was_changed_is_a_correction() -> None:
    form = {
        "title_1": "Fono",
        "was_1": "variable",
        "role_1": "phone",
        "title_2": "Nombre",
        "was_2": "name",
        "role_2": "name",
        "title_3": "x",
        "was_3": "name",
        "role_3": "no role",
    }
    assert corrected_columns(form) == {"Fono": "phone"}


def test_columns_of_one_title_are_corrected_by_their_number() -> None:
    shown = columns_shown(
        [column(1, "fono", "phone"), column(2, "fono", "phone"), column(3, "", "left-out")],
        {"2": "variable"},
        {},
    )
    assert [(one["key"], one["now"]) for one in shown] == [
        ("1", "phone"),
        ("2", "variable"),
        ("3", "left-out"),
    ]


def test_what_was_typed_is_shown_again_after_a_fault() -> None:
    (shown,) = columns_shown([column(1, "fono", "variable")], {}, {"role_1": "phone"})
    assert (shown["was"], shown["now"]) == ("variable", "phone")


@pytest.mark.parametrize("line", ["0", "41", "x", "1.5"])
def test_a_line_of_titles_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        reading_options({"header_row": line})


def test_settings_become_options() -> None:
    typed = {**FILLED, "max_attempts": "3", "agent": "agent_1", "purpose": "collection"}
    options, faults = settings_options(settings_typed(typed))
    assert faults == {}
    assert options == {
        "name": "Octubre",
        "hours": "09:00-19:00",
        "days": "1,5",
        "max_attempts": 3,
        "agent": "agent_1",
        "purpose": "collection",
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"start": "25:00"}, "start"),
        ({"end": ""}, "start"),
        ({"day_1": "", "day_5": ""}, "day_1"),
        ({"max_attempts": "0"}, "max_attempts"),
        ({"max_attempts": "2.5"}, "max_attempts"),
        ({"retry_delay_hours": "nan"}, "retry_delay_hours"),
    ],
)
def test_a_fault_stands_at_its_field(change: dict[str, str], field: str) -> None:
    assert set(settings_options(settings_typed(FILLED | change))[1]) == {field}


def test_the_first_settings_have_no_fault() -> None:
    assert settings_options(first_settings("contactos octubre.xlsx", None))[1] == {}
