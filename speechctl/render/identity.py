"""Users, sessions and tokens of the HTTP API as blocks; pure."""

from __future__ import annotations

from speechctl.render.batches import change_text
from speechctl.render.blocks import Block, Result, table
from speechctl.render.text import local_time, plural, zone_name


def one_user(result: Result) -> list[Block]:
    """The result of a command about one user."""
    state = "disabled" if result["disabled"] else "may log in"
    lines: list[Block] = [f"{result['name']}: {result['role']}, {_bound(result)}, {state}"]
    return lines + [change_text(change) for change in result.get("changes", [])]


def users(result: Result) -> list[Block]:
    """The result of ``users``."""
    rows = [
        [
            row["name"],
            row["role"],
            row["account_id"] or "all",
            "disabled" if row["disabled"] else "active",
            local_time(row["login_at"]) if row["login_at"] else "never",
            local_time(row["created_at"]),
            row["created_by"],
        ]
        for row in result["users"]
    ]
    if not rows:
        return ["there are no users yet: speechctl user-add NAME --role admin creates the first"]
    return [table(f"times in {zone_name()}", "user role account state last_login created by", rows)]


def user_sessions(result: Result) -> list[Block]:
    """The result of ``user-sessions``."""
    rows = [
        [row["key"], *(local_time(row[name]) for name in ("created_at", "used_at", "expires_at"))]
        for row in result["sessions"]
    ]
    if not rows:
        return [f"{result['user']} is not logged in"]
    return [table(f"{result['user']}, times in {zone_name()}", "session began last_used ends", rows)]


def ended_sessions(result: Result) -> list[Block]:
    """The result of ``user-logout``."""
    return [f"{plural(int(result['ended']), 'session')} of {result['user']} ended"]


def new_token(result: Result) -> list[Block]:
    """The result of ``token-add``."""
    until = local_time(result["expires_at"])
    return [
        f"{result['name']}: {result['role']}, {_bound(result)}, valid until {until}",
        "the token, which is shown this once:",
        result["token"],
    ]


def tokens(result: Result) -> list[Block]:
    """The result of ``tokens``."""
    rows = [
        [
            row["name"],
            row["role"],
            row["account_id"] or "all",
            "valid" if row["valid"] else "revoked" if row["revoked_at"] else "expired",
            local_time(row["expires_at"]) if row["expires_at"] else "never",
            local_time(row["used_at"]) if row["used_at"] else "never",
            row["created_by"],
        ]
        for row in result["tokens"]
    ]
    if not rows:
        return ["there are no tokens: speechctl token-add NAME --role ROLE creates one"]
    return [table(f"times in {zone_name()}", "token role account state expires last_used by", rows)]


def revoked_token(result: Result) -> list[Block]:
    """The result of ``token-revoke``."""
    was = "" if result["was_valid"] else "; it was not valid any more"
    return [f"{result['name']} is revoked{was}"]


def _bound(result: Result) -> str:
    return f"account {result['account_id']}" if result["account_id"] else "all accounts"
