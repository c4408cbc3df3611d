"""``speechctl keys``: create, add, revoke and list the keys for control over TCP, on the daemon's host."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from speechaid.protocol import keys
from speechaid.protocol.keys import AllowedClient, Credentials, KeyringError
from speechaid.protocol.specs.specification import Access
from speechaid.protocol.text import printable_name
from speechaid.protocol.translation import N_, say

__all__ = ["KeyringError", "run"]

_RELOAD = N_("speechctl reload makes the daemon read the change")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run one action of ``speechctl keys``; returns its result.

    Raises:
        KeyringError: it cannot be done; the message says why.
    """
    directory = _directory(options)
    if options.action == "server":
        return _server(directory)
    if options.action == "list":
        return _list(directory)
    if not options.name:
        raise KeyringError(
            say("the client's name is missing: speechctl keys {action} NAME", action=options.action)
        )
    return _add(directory, options) if options.action == "add" else _revoke(directory, options.name)


def _server(directory: Path) -> dict[str, Any]:
    from speechaid.protocol.client import new_pair

    pair = new_pair()
    keys.write_server(directory, pair)
    return {
        "made": printable_name(directory / "server.json"),
        "public": pair.public,
        "next": say("speechctl keys add NAME, set SPEECHAID_CONTROL_TCP, restart the daemon"),
    }


def _add(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    from speechaid.protocol.client import new_pair

    name = keys.check_name(options.name)
    server = keys.server_pair(directory).public
    path = Path(options.out or f"{name}.key").expanduser().absolute()
    # The table's default, as for what is sent: the parser leaves out what is not given.
    access = options.access or str(Access.READ)
    pair = new_pair()
    # The client's file first: an entry in the list without a key file would be of no use.
    keys.write_credentials(path, Credentials(name=name, pair=pair, server=server))
    try:
        keys.write_client(directory, AllowedClient(name=name, access=access, public=pair.public))
    except KeyringError:
        path.unlink()
        raise
    return {"client": name, "access": access, "key_file": printable_name(path), "next": say(_RELOAD)}


def _revoke(directory: Path, name: str) -> dict[str, Any]:
    if not keys.revoke(directory, name):
        raise KeyringError(
            say("there is no client {name!r} in {directory}", name=name, directory=directory / "clients")
        )
    return {"revoked": name, "next": say(_RELOAD)}


def _list(directory: Path) -> dict[str, Any]:
    clients = sorted(keys.allowed_clients(directory).values(), key=lambda client: client.name)
    return {
        "directory": printable_name(directory),
        "server": keys.server_pair(directory).public,
        "clients": [
            {"name": client.name, "access": client.access, "public": client.public} for client in clients
        ],
    }


def _directory(options: argparse.Namespace) -> Path:
    if options.dir:
        return Path(options.dir).expanduser().absolute()
    if named := os.environ.get("SPEECHAID_CONTROL_KEYS"):
        return Path(named)
    if state := os.environ.get("SPEECHAID_STATE_DIR"):
        return Path(state) / "keys"
    raise KeyringError(
        say("the key directory is not known: use --dir, or set SPEECHAID_CONTROL_KEYS as the daemon has it")
    )
