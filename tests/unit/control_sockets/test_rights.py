"""Who is believed on whose behalf a request is made, and what is then allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speechaid.control_sockets.rights import missing_right, with_rights
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.messages import OnBehalf, Peer, Request
from speechaid.protocol.specs.specification import Access
from speechaid.protocol.specs.users import ROLES
from speechaid.rules.roles import NOBODY

DAEMON, WEB, OPERATOR = 990, 991, 1000
ADMIN = OnBehalf(user="maria", role="admin")


def lacks(command: str, peer: Peer, on_behalf: OnBehalf | None = None, *, web_uid: int = WEB) -> str | None:
    peer = with_rights(peer, on_behalf, web_uid=web_uid, own_uid=DAEMON)
    return missing_right(Request(id="q", command=COMMANDS[command], args={}), peer, on_behalf)


def test_the_web_process_is_believed() -> None:
    assert lacks("pause-batch", Peer(uid=WEB), ADMIN) is None
    assert with_rights(Peer(uid=WEB), ADMIN, web_uid=WEB, own_uid=DAEMON).on_behalf == ADMIN


@pytest.mark.parametrize(
    "peer",
    [
        Peer(uid=OPERATOR),
        Peer(uid=0),
        Peer(uid=DAEMON),
        Peer(uid=None),
        # Over TCP, whatever else is said of the peer.
        Peer(name="maria", key="k", address="10.0.0.5"),
        Peer(name="maria", key="k", address="10.0.0.5", uid=WEB),
    ],
)
def test_nobody_else_is_believed(peer: Peer) -> None:
    assert "web process alone" in (lacks("status", peer, ADMIN) or "")


def test_a_web_process_with_a_user_of_its_own_may_for_nobody_see_the_status_alone() -> None:
    assert lacks("status", Peer(uid=WEB)) is None
    for command in ("jobs", "hold", "shutdown", "user-add"):
        assert "this client has status" in (lacks(command, Peer(uid=WEB)) or "")


def test_a_web_process_of_the_daemons_user_may_not_do_the_hosts_for_a_user() -> None:
    assert lacks("pause-batch", Peer(uid=DAEMON), ADMIN, web_uid=DAEMON) is None
    assert lacks("shutdown", Peer(uid=DAEMON), ADMIN, web_uid=DAEMON) is not None
    # As speechctl of the same user.
    assert lacks("shutdown", Peer(uid=DAEMON), web_uid=DAEMON) is None


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", sorted(NOBODY))
def test_no_role_gives_the_hosts_commands(role: str, name: str) -> None:
    assert lacks(name, Peer(uid=WEB), replace(ADMIN, role=role)) is not None


def test_a_role_gives_what_its_row_has() -> None:
    viewer = replace(ADMIN, role="viewer")
    assert lacks("report", Peer(uid=WEB), viewer) is None
    assert lacks("jobs", Peer(uid=WEB), viewer) == "jobs is not for the role viewer"


def test_a_viewer_gets_no_report_of_one_number() -> None:
    request = Request(id="q", command=COMMANDS["report"], args={"number": "+56912345671"})
    for role, is_allowed in (("viewer", False), ("operator", True)):
        asker = replace(ADMIN, role=role)
        peer = with_rights(Peer(uid=WEB), asker, web_uid=WEB, own_uid=DAEMON)
        assert (missing_right(request, peer, asker) is None) is is_allowed


def test_users_and_tokens_are_not_managed_over_tcp() -> None:
    key = Peer(name="maria", key="k", address="10.0.0.5", access=Access.WRITE)
    assert "not over TCP" in (lacks("user-add", key) or "")
    assert "not over TCP" in (lacks("tokens", key) or "")
    assert lacks("hold", key) is None
    assert lacks("user-add", Peer(uid=OPERATOR)) is None
