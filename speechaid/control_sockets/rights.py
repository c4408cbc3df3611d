"""What a peer may ask for: by itself, or for a user whom the web process names; pure."""

from __future__ import annotations

from dataclasses import replace

from speechaid.model.identity import Role
from speechaid.protocol.messages import Access, OnBehalf, Peer, Request
from speechaid.rules.roles import WebAction, may


def with_rights(peer: Peer, on_behalf: OnBehalf | None, *, web_uid: int, own_uid: int) -> Peer:
    """The peer with what it may do, and with the user for whom it asks, where it is believed.

    Args:
        peer: as the kernel, or the process for TCP, names it.
        on_behalf: for whom it says that it asks.
        web_uid: of the web process, which alone is believed.
        own_uid: this daemon's. Where the web process has another, it needs no more for itself than to see
            whether all is well: what it asks for nobody is restricted to that.
    """
    if peer.name is not None or peer.uid != web_uid:
        return peer
    if on_behalf is None and web_uid != own_uid:
        return replace(peer, access=Access.STATUS)
    return replace(peer, on_behalf=on_behalf)


def missing_right(request: Request, peer: Peer, on_behalf: OnBehalf | None) -> str | None:
    """Why the peer may not give this command; None where it may.

    Args:
        request: the command.
        peer: of ``with_rights``.
        on_behalf: for whom it says that it asks.
    """
    if on_behalf is not None and peer.on_behalf is None:
        return (
            "on_behalf is believed of the web process alone, on the daemon's own socket (SPEECHAID_WEB_USER)"
        )
    command = request.command
    if not peer.may(command.access):
        return f"{command.name} needs {command.access} access, and this client has {peer.access}"
    if on_behalf is not None and not may(Role(on_behalf.role), command.name):
        return f"{command.name} is not for the role {on_behalf.role}"
    is_of_one = request.args.get("number") is not None  # counts of one number are of one person
    if on_behalf is not None and is_of_one and not may(Role(on_behalf.role), WebAction.VIEW_PEOPLE):
        return f"{command.name} of one number is not for the role {on_behalf.role}"
    if command.is_local and peer.name is not None:
        return f"{command.name} is for the daemon's own host: not over TCP"
    return None
