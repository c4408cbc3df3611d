"""What each role may do; the rows hold every command of the table, each once."""

from __future__ import annotations

from collections import Counter

import pytest

from speechaid.model.identity import Role
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.specs.specification import Access
from speechaid.rules.roles import GRANTS, NOBODY, WebAction, may


def test_each_command_and_each_action_stands_in_exactly_one_row() -> None:
    rows = Counter(str(name) for row in (*GRANTS.values(), NOBODY) for name in row)
    assert rows == Counter(dict.fromkeys([*COMMANDS, *map(str, WebAction)], 1))


@pytest.mark.parametrize("name", sorted(NOBODY))
def test_what_is_the_hosts_is_for_no_role(name: str) -> None:
    assert not any(may(role, name) for role in Role)


@pytest.mark.parametrize(
    "name",
    ["shutdown", "reload", "scale", "drain", "undrain", "pause-worker", "resume-worker", "log-level", "keys"],
)
def test_the_hosts_commands_are_for_nobody_here(name: str) -> None:
    assert name in NOBODY


@pytest.mark.parametrize("name", ["", "no-such-command", "VIEW_PEOPLE"])
def test_what_no_row_has_is_for_nobody(name: str) -> None:
    assert not may(Role.ADMIN, name)


def test_each_role_may_do_what_those_before_it_may() -> None:
    for role, others in zip(Role, [list(Role)[:place] for place in range(len(Role))], strict=True):
        for other in others:
            assert all(may(role, name) for name in GRANTS[other])


def test_a_viewer_changes_nothing_and_sees_no_person() -> None:
    assert {COMMANDS[name].access for name in GRANTS[Role.VIEWER] if name in COMMANDS} <= {
        Access.STATUS,
        Access.READ,
    }
    shows_people = (
        "jobs",
        "job",
        "person",
        "evidence",
        "explain",
        "forecast",
        "promises",
        "export",
        "logs",
        "events",
    )
    assert not any(may(Role.VIEWER, name) for name in (*shows_people, WebAction.VIEW_PEOPLE))


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (Role.OPERATOR, "hold"),
        (Role.OPERATOR, "pause-batch"),
        (Role.OPERATOR, "resume-batch"),
        (Role.OPERATOR, "hang-up"),
        (Role.OPERATOR, "opt-out"),
        (Role.OPERATOR, "paid"),
        (Role.MANAGER, "import"),
        (Role.MANAGER, "export"),
        (Role.MANAGER, "unhold"),
        (Role.MANAGER, "test-call"),
        (Role.ADMIN, "top-up"),
        (Role.ADMIN, "forget"),
        (Role.ADMIN, "test-number-add"),
    ],
)
def test_what_a_role_may_the_role_before_it_may_not(role: Role, name: str) -> None:
    before = list(Role)[list(Role).index(role) - 1]
    assert may(role, name)
    assert not may(before, name)
