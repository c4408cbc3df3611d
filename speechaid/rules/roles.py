"""What each role of the HTTP API and the page may do: commands of the daemon, and what the page shows itself.

Every command stands in one row; a test compares the rows with the command table. A command that is in none
is allowed to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from speechaid.model.identity import Role


class WebAction(StrEnum):
    """What the web process does itself, without a command."""

    #: Counts, progress, settings of batches, reports: nothing about a person.
    VIEW_PROGRESS = "view_progress"
    #: Names, ids, phones, states, and the calls of people.
    VIEW_PEOPLE = "view_people"
    VIEW_TRANSCRIPT = "view_transcript"
    PLAY_RECORDING = "play_recording"
    #: Balance, prices and transactions of accounts.
    VIEW_ACCOUNTS = "view_accounts"
    #: Users, tokens and sessions.
    VIEW_USERS = "view_users"


#: What each role may do beyond those before it.
GRANTS: Final[Mapping[Role, frozenset[str]]] = {
    Role.VIEWER: frozenset({"status", "alerts", "batches", "report", WebAction.VIEW_PROGRESS}),
    Role.OPERATOR: frozenset(
        {
            # people and calls
            *("batch", "jobs", "job", "person", "evidence", "call", "explain", "forecast", "promises"),
            "imports",
            "recording",
            *("events", "logs", "doctor", "dnc", "packs", "pack"),
            *(WebAction.VIEW_PEOPLE, WebAction.VIEW_TRANSCRIPT, WebAction.PLAY_RECORDING),
            # stop and resume
            *("hold", "pause-all", "resume-all", "pause-batch", "resume-batch"),
            *("hang-up", "cancel-job", "suspend-job", "resume-job"),
            # what people say
            *("opt-out", "paid"),
        }
    ),
    Role.MANAGER: frozenset(
        {
            *("create-batch", "edit-batch", "redial-batch", "cancel-batch", "delete-batch", "reset-jobs"),
            *("import", "undo-import", "export"),
            *("dnc-add", "dnc-remove", "dnc-import"),
            *("agents", "numbers", "check-agent", "test-call", "test-result", "test-numbers", "check-pack"),
            *("accounts", "account", "transactions", WebAction.VIEW_ACCOUNTS),
            # Whoever stops everything need not be whoever starts it again.
            "unhold",
        }
    ),
    Role.ADMIN: frozenset(
        {
            *("create-account", "edit-account", "top-up", "suspend-account", "resume-account"),
            *("test-number-add", "test-number-remove", "forget", "release-stuck", "set-pack"),
            *("user-add", "users", "user-edit", "user-password", "user-disable", "user-enable"),
            *("user-sessions", "user-logout", "token-add", "tokens", "token-revoke"),
            WebAction.VIEW_USERS,
        }
    ),
}
#: The host's commands, and those that speechctl carries out: for nobody here, whatever the role.
NOBODY: Final = frozenset(
    {
        *("drain", "undrain", "pause-worker", "resume-worker", "scale", "reload", "log-level", "shutdown"),
        *("top", "keys", "completion", "ids"),
    }
)


def may(role: Role, what: str) -> bool:
    """Whether the role may give a command, or do an ``WebAction``; what is in no row is for nobody."""
    roles = list(Role)
    return any(what in GRANTS[included] for included in roles[: roles.index(role) + 1])
