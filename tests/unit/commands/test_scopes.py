"""Which command is restricted how for users of one account: the table is complete."""

from __future__ import annotations

import pytest

from speechaid.commands.scopes import SCOPES
from speechaid.protocol.commands import COMMANDS
from speechaid.rules.roles import NOBODY


def test_each_command_that_a_role_may_give_has_a_scope() -> None:
    assert set(SCOPES) == set(COMMANDS) - NOBODY


@pytest.mark.parametrize("name", sorted(SCOPES))
def test_a_scope_covers_each_argument_that_names_something(name: str) -> None:
    scope, arguments = SCOPES[name], {one.name: one for one in COMMANDS[name].wire_arguments}
    if scope.refused is not None:
        assert scope == type(scope)(refused=scope.refused)
        return
    named = {
        kind: {one.name for one in arguments.values() if one.completes == kind} for kind in ("batch", "job")
    }
    assert set(scope.batches) == named["batch"]
    assert set(scope.jobs) == named["job"]
    accounts = {one.name for one in arguments.values() if one.completes == "account"}
    assert accounts == ({"account"} if scope.account is not None else set())
    is_restricted = scope.account is not None or scope.check is not None
    always_named = any(arguments[each].required for each in (*scope.batches, *scope.jobs)) or bool(
        scope.needs
    )
    assert is_restricted or always_named or (scope.is_public and not named["batch"] | named["job"])
