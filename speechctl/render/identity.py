"""Users, sessions and tokens of the HTTP API as blocks; pure."""

from __future__ import annotations

from speechaid.protocol.translation import say, say_n
from speechctl.render.batches import change_text
from speechctl.render.blocks import Block, Result, table
from speechctl.render.text import local_time, zone_name


def one_user(result: Result) -> list[Block]:
    """The result of a command about one user."""
    state = say("disabled") if result["disabled"] else say("may log in")
    lines: list[Block] = [f"{result['name']}: {result['role']}, {_bound(result)}, {state}"]
    return lines + [change_text(change) for change in result.get("changes", [])]


def users(result: Result) -> list[Block]:
    """The result of ``users``."""
    rows = [
        [
            row["name"],
            row["role"],
            row["account_id"] or say("all"),
            say("disabled") if row["disabled"] else say("active"),
            local_time(row["login_at"]) if row["login_at"] else say("never"),
            local_time(row["created_at"]),
            row["created_by"],
        ]
        for row in result["users"]
    ]
    if not rows:
        return [say("there are no users yet: speechctl user-add NAME --role admin creates the first")]
    return [
        table(
            say("times in {zone_name}", zone_name=zone_name()),
            "user role account state last_login created by",
            rows,
        )
    ]


def user_sessions(result: Result) -> list[Block]:
    """The result of ``user-sessions``."""
    rows = [
        [row["key"], *(local_time(row[name]) for name in ("created_at", "used_at", "expires_at"))]
        for row in result["sessions"]
    ]
    if not rows:
        return [say("{user} is not logged in", user=result["user"])]
    return [
        table(
            say("{user}, times in {zone_name}", user=result["user"], zone_name=zone_name()),
            "session began last_used ends",
            rows,
        )
    ]


def ended_sessions(result: Result) -> list[Block]:
    """The result of ``user-logout``."""
    return [
        say_n(
            "{count} session of {user} ended",
            "{count} sessions of {user} ended",
            int(result["ended"]),
            user=result["user"],
        )
    ]


def new_token(result: Result) -> list[Block]:
    """The result of ``token-add``."""
    until = local_time(result["expires_at"])
    return [
        say(
            "{name}: {role}, {bound}, valid until {until}",
            name=result["name"],
            role=result["role"],
            bound=_bound(result),
            until=until,
        ),
        say("the token, which is shown this once:"),
        result["token"],
    ]


def tokens(result: Result) -> list[Block]:
    """The result of ``tokens``."""
    rows = [
        [
            row["name"],
            row["role"],
            row["account_id"] or say("all"),
            say("valid") if row["valid"] else say("revoked") if row["revoked_at"] else say("expired"),
            local_time(row["expires_at"]) if row["expires_at"] else say("never"),
            local_time(row["used_at"]) if row["used_at"] else say("never"),
            row["created_by"],
        ]
        for row in result["tokens"]
    ]
    if not rows:
        return [say("there are no tokens: speechctl token-add NAME --role ROLE creates one")]
    return [
        table(
            say("times in {zone_name}", zone_name=zone_name()),
            "token role account state expires last_used by",
            rows,
        )
    ]


def revoked_token(result: Result) -> list[Block]:
    """The result of ``token-revoke``."""
    was = "" if result["was_valid"] else say("; it was not valid any more")
    return [say("{name} is revoked{was}", name=result["name"], was=was)]


def _bound(result: Result) -> str:
    return (
        say("account {account_id}", account_id=result["account_id"])
        if result["account_id"]
        else say("all accounts")
    )
