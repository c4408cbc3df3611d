"""Users and tokens as they are stored: what cannot be read gives nobody a right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.model.identity import (
    LONGEST_PASSWORD,
    PrincipalKind,
    Role,
    Token,
    User,
    password_fault,
    read_name,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DOCUMENT: dict[str, Any] = {"_id": "maria", "role": "manager", "account_id": "acc-1", "disabled": False}


def test_a_user_acts_with_its_role_and_account() -> None:
    user = User.read(DOCUMENT)
    assert user is not None
    principal = user.as_principal(PrincipalKind.SESSION)
    assert (principal.role, principal.account_id) == (Role.MANAGER, "acc-1")
    assert principal.actor == "maria (user)"


def test_a_token_acts_under_its_own_name() -> None:
    token = Token.read({"_id": "crm", "role": "viewer"})
    assert token is not None
    assert token.as_principal().actor == "crm (token)"


@pytest.mark.parametrize("role", [None, "", "root", "Admin", 1, ["admin"], {"$ne": None}])
def test_a_role_that_is_none_makes_neither_user_nor_token(role: object) -> None:
    assert User.read({**DOCUMENT, "role": role}) is None
    assert Token.read({**DOCUMENT, "role": role}) is None


@pytest.mark.parametrize("account", ["", " ", ["acc-1"], {}, True, float("nan")])
def test_an_account_that_cannot_be_read_is_not_every_account(account: object) -> None:
    assert User.read({**DOCUMENT, "account_id": account}) is None
    assert Token.read({**DOCUMENT, "account_id": account}) is None


@pytest.mark.parametrize("stored", [True, "yes", 1, "?", None, []])
def test_a_switch_that_does_not_say_no_disables(stored: object) -> None:
    user = User.read({**DOCUMENT, "disabled": stored})
    assert user is not None
    assert user.is_disabled


@pytest.mark.parametrize(
    ("fields", "is_valid"),
    [
        ({}, True),
        ({"expires_at": NOW + timedelta(seconds=1)}, True),
        ({"expires_at": NOW}, False),
        ({"revoked_at": NOW - timedelta(days=1)}, False),
    ],
)
def test_a_token_ends_when_it_expires_or_is_revoked(fields: dict[str, Any], is_valid: bool) -> None:
    token = Token.read({"_id": "crm", "role": "viewer", **fields})
    assert token is not None
    assert token.is_valid(NOW) is is_valid


def test_a_token_whose_expiry_cannot_be_read_is_none() -> None:
    assert Token.read({"_id": "crm", "role": "viewer", "expires_at": "soon"}) is None


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("maria", "maria"),
        (" Maria ", "maria"),
        ("ana.perez@example.org", "ana.perez@example.org"),
        ("", None),
        ("-x", None),
        ("a b", None),
        ("maría", None),
        ("$ne", None),
        ("a" * 65, None),
        ("maria\x00", None),
    ],
)
def test_a_name_has_one_form(typed: str, name: str | None) -> None:
    assert read_name(typed) == name


@pytest.mark.parametrize(
    ("password", "is_allowed"),
    [
        ("correct horse battery", True),
        ("12 letters..", True),
        ("11 letters.", False),
        ("", False),
        ("maria.gonzalez", False),
        (" Maria.Gonzalez ", False),
        ("x" * LONGEST_PASSWORD, True),
        ("x" * (LONGEST_PASSWORD + 1), False),
    ],
)
def test_a_password_is_long_enough_and_not_the_name(password: str, is_allowed: bool) -> None:
    fault = password_fault("maria.gonzalez", password)
    assert (fault is None) is is_allowed
    assert not password.strip() or password not in (fault or "")
