"""Users, sessions and tokens of the HTTP API and the page."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind

#: The roles of ``model.identity.Role``; a test compares them.
ROLES: Final = ("viewer", "operator", "manager", "admin")

_USER: Final = Argument(name="name", positional=True, required=True, is_id=True, help="the user's name")

_TOKEN: Final = Argument(name="name", positional=True, required=True, is_id=True, help="the token's name")

_ROLE: Final = Argument(name="role", required=True, choices=ROLES, help="what may be seen and done")

_BOUND_TO: Final = Argument(
    name="account",
    completes="account",
    help="only what is of this account (id, or its unique beginning; default: all accounts)",
)

_PASSWORD: Final = Argument(name="password", required=True, is_id=True, help="at least 12 characters")

_PASSWORD_FILE: Final = Argument(
    name="password_file",
    local=True,
    help="read the password from this file (- is stdin; default: it is asked)",
)


def _identity(
    name: str,
    text: str,
    *arguments: Argument,
    access: Access = Access.WRITE,
    secrets: tuple[Argument, ...] = (),
) -> CommandSpec:
    """A command about users or tokens of the HTTP API."""
    return CommandSpec(
        name=name, help=text, access=access, arguments=arguments, is_local=True, secrets=secrets
    )


SPECS: Final = (
    _identity(
        "user-add",
        "create a user of the HTTP API, with a password",
        _USER,
        _ROLE,
        _BOUND_TO,
        _PASSWORD_FILE,
        secrets=(_PASSWORD,),
    ),
    _identity("users", "the users of the HTTP API", _BOUND_TO, access=Access.READ),
    _identity(
        "user-edit",
        "change a user's role or account, in force for the next request",
        _USER,
        Argument(name="role", choices=ROLES, help="what may be seen and done"),
        Argument(
            name="account",
            completes="account",
            help="only what is of this account (id, or its unique beginning)",
        ),
        Argument(name="all_accounts", kind=Kind.FLAG, help="bound to no account any more"),
    ),
    _identity(
        "user-password",
        "set a user's password; the user's sessions end",
        _USER,
        _PASSWORD_FILE,
        secrets=(_PASSWORD,),
    ),
    _identity("user-disable", "refuse a user's logins; the user's sessions end", _USER),
    _identity("user-enable", "allow a disabled user to log in again", _USER),
    _identity("user-sessions", "where a user is logged in", _USER, access=Access.READ),
    _identity(
        "user-logout",
        "end the sessions of a user, or one of them",
        _USER,
        Argument(name="session", is_id=True, help="this one only, by its key in user-sessions"),
    ),
    _identity(
        "token-add",
        "create a bearer token of the HTTP API, for a program; it is shown once",
        _TOKEN,
        _ROLE,
        _BOUND_TO,
        Argument(
            name="expires",
            kind=Kind.DURATION,
            minimum=60,
            maximum=315_360_000,
            default=31_536_000,
            help="how long it is valid: 90d",
        ),
    ),
    _identity("tokens", "the tokens of the HTTP API, without their secrets", _BOUND_TO, access=Access.READ),
    _identity("token-revoke", "revoke a token, at once and for good", _TOKEN),
)
