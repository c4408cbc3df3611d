"""Users, their sessions, and tokens of the HTTP API: make, list, change, end."""

from __future__ import annotations

from typing import Final

from speechaid.commands.ids import resolve_account
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.errors import LoginsBusy
from speechaid.model.identity import Role, Token, User, password_fault, read_name
from speechaid.model.reading import Document
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say, say_later
from speechaid.store.table import Duplicate

_NAMES: Final = say_later("1 to 64 letters without accents, digits or ._@+-, and a letter or a digit first")


def user_add(context: HandlerContext, command: Invocation) -> Result:
    """Create a user, with a password."""
    name = _new_name(command)
    account_id = _account(context, command)
    _check_password(name, command)
    try:
        context.store.identities.create_user(
            name,
            role=Role(command.args["role"]),
            account_id=account_id,
            password=command.args["password"],
            by=command.actor,
        )
    except Duplicate:
        message = say("there is a user {name} already: user-edit and user-password change it", name=name)
        raise CommandRefused(ErrorCode.REFUSED, message) from None
    except LoginsBusy as exc:
        raise CommandRefused(ErrorCode.BUSY, str(exc)) from exc
    return _user_row(find_user(context, name))


def users(context: HandlerContext, command: Invocation) -> Result:
    """The users, by name."""
    found = context.store.identities.find_users(_account(context, command))
    return {"users": [_user_row(user) for user in found]}


def user_edit(context: HandlerContext, command: Invocation) -> Result:
    """Change a user's role or account; in force for the next request."""
    args = command.args
    user = find_user(context, args["name"])
    if args["account"] is not None and args["all_accounts"]:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("--account and --all-accounts exclude each other"))
    wanted: Document = {}
    if args["role"] is not None:
        wanted["role"] = args["role"]
    if args["account"] is not None or args["all_accounts"]:
        wanted["account_id"] = _account(context, command)
    if not wanted:
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT, say("nothing to change: give --role, --account or --all-accounts")
        )
    before = {"role": str(user.role), "account_id": user.account_id}
    context.store.identities.edit_user(user.name, wanted)
    changes = [
        {"option": name, "old": before[name], "new": value}
        for name, value in wanted.items()
        if before[name] != value
    ]
    return {**_user_row(find_user(context, user.name)), "changes": changes}


def user_password(context: HandlerContext, command: Invocation) -> Result:
    """Set a user's password; every session of the user ends."""
    user = find_user(context, command.args["name"])
    _check_password(user.name, command)
    try:
        context.store.identities.set_password(user.name, command.args["password"])
    except LoginsBusy as exc:
        raise CommandRefused(ErrorCode.BUSY, str(exc)) from exc
    return _user_row(find_user(context, user.name))


def user_disable(context: HandlerContext, command: Invocation) -> Result:
    """Refuse a user's logins; every session of the user ends."""
    user = find_user(context, command.args["name"])
    context.store.identities.disable_user(user.name)
    return _user_row(find_user(context, user.name))


def user_enable(context: HandlerContext, command: Invocation) -> Result:
    """Allow a disabled user to log in again."""
    user = find_user(context, command.args["name"])
    context.store.identities.enable_user(user.name)
    return _user_row(find_user(context, user.name))


def user_sessions(context: HandlerContext, command: Invocation) -> Result:
    """The sessions of a user that are not over."""
    user = find_user(context, command.args["name"])
    found = context.store.identities.find_sessions(user.name)
    return {
        "user": user.name,
        "sessions": [
            {
                "key": session.key,
                "created_at": session.created_at,
                "used_at": session.used_at,
                "expires_at": session.expires_at,
            }
            for session in found
        ],
    }


def user_logout(context: HandlerContext, command: Invocation) -> Result:
    """End the sessions of a user, or one of them."""
    user, key = find_user(context, command.args["name"]), command.args["session"]
    ended = context.store.identities.end_sessions(user.name, key)
    if key is not None and not ended:
        message = say(
            "{name} has no session {key!r} (speechctl user-sessions lists them)", name=user.name, key=key
        )
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    return {"user": user.name, "ended": ended}


def token_add(context: HandlerContext, command: Invocation) -> Result:
    """Create a token; the answer alone has it."""
    name = _new_name(command)
    try:
        secret, token = context.store.identities.create_token(
            name,
            role=Role(command.args["role"]),
            account_id=_account(context, command),
            lasts_seconds=command.args["expires"],
            by=command.actor,
        )
    except Duplicate:
        message = say("there is, or was, a token {name}: records name it, so take another name", name=name)
        raise CommandRefused(ErrorCode.REFUSED, message) from None
    return {**_token_row(context, token), "token": secret}


def tokens(context: HandlerContext, command: Invocation) -> Result:
    """The tokens, by name, without their secrets."""
    found = context.store.identities.find_tokens(_account(context, command))
    return {"tokens": [_token_row(context, token) for token in found]}


def token_revoke(context: HandlerContext, command: Invocation) -> Result:
    """Revoke a token, at once and for good."""
    name = _known_name(command.args["name"])
    was_valid = context.store.identities.revoke_token(name, by=command.actor)
    return {"name": name, "was_valid": was_valid}


def find_user(context: HandlerContext, typed: str, account_id: str | None = None) -> User:
    """The user of this name; with an account, only one of its own.

    Raises:
        CommandRefused: there is none.
    """
    found = context.store.identities.find_user(_known_name(typed), account_id)
    if found is None:
        message = say("there is no user {typed!r} (speechctl users lists them)", typed=typed)
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    return found


def _known_name(typed: str) -> str:
    """A name as it is stored; what cannot be one is looked for as typed, and not found."""
    return read_name(typed) or typed


def _new_name(command: Invocation) -> str:
    typed: str = command.args["name"]
    name = read_name(typed)
    if name is None:
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT,
            say("name: {typed!r} cannot be a name; allowed: {NAMES}", typed=typed, NAMES=_NAMES),
        )
    return name


def _account(context: HandlerContext, command: Invocation) -> str | None:
    given = command.args["account"]
    return None if given is None else resolve_account(context.store, given).account_id


def _check_password(name: str, command: Invocation) -> None:
    fault = password_fault(name, command.args["password"])
    if fault is not None:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, fault)


def _user_row(user: User) -> Result:
    return {
        "name": user.name,
        "role": str(user.role),
        "account_id": user.account_id,
        "disabled": user.is_disabled,
        "created_at": user.created_at,
        "created_by": user.created_by,
        "password_at": user.password_at,
        "login_at": user.login_at,
    }


def _token_row(context: HandlerContext, token: Token) -> Result:
    return {
        "name": token.name,
        "role": str(token.role),
        "account_id": token.account_id,
        "valid": token.is_valid(context.store.now()),
        "created_at": token.created_at,
        "created_by": token.created_by,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "used_at": token.used_at,
    }
