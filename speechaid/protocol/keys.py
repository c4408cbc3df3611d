"""Key files for control over TCP: the server's pair, and one file for each allowed client.

    DIR/server.json          {"public": ..., "secret": ...}          mode 0600, read by the daemon only
    DIR/clients/NAME.json    {"name": ..., "access": "status", "read" or "write", "public": ...}

and, on the client's machine, its credentials (``speechctl --key FILE``), mode 0600::

    {"name": ..., "public": ..., "secret": ..., "server": the server's public key}

Keys are CURVE keys, 40 characters of Z85. Standard library only: daemon and speechctl share this module.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from speechaid.protocol.specs.specification import Access
from speechaid.protocol.translation import say, system_fault

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY: Final = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
ACCESSES: Final = tuple(Access)


class KeyringError(Exception):
    """Keys cannot be used or created; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPair:
    """A public key and its secret key."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedClient:
    """A client that may connect."""

    name: str
    access: str
    public: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """A client's keys, and the public key of the server that it trusts."""

    name: str
    pair: KeyPair
    server: str


def check_name(name: object) -> str:
    """Return the name if it is valid for a client.

    Raises:
        KeyringError: it is not.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise KeyringError(
            say("{name!r} is not a valid client name: up to 64 letters, digits or ._-", name=name)
        )
    return name


def server_pair(directory: Path) -> KeyPair:
    """The server's keys.

    Raises:
        KeyringError: there are none, or other users could read them.
    """
    path = directory / "server.json"
    if not path.exists():
        raise KeyringError(
            say(
                "{path} does not exist: create it with: speechctl keys server --dir {directory}",
                path=path,
                directory=directory,
            )
        )
    fields = _read(path, private=True)
    return KeyPair(public=_key(path, fields, "public"), secret=_key(path, fields, "secret"))


def allowed_clients(directory: Path) -> dict[str, AllowedClient]:
    """The allowed clients by public key.

    Raises:
        KeyringError: a file is invalid; then no client is allowed at all.
    """
    found: dict[str, AllowedClient] = {}
    for path in sorted((directory / "clients").glob("*.json")):
        fields = _read(path, private=False)
        access = fields.get("access")
        if access not in ACCESSES:
            raise KeyringError(
                say("{path}: access must be one of {ACCESSES}", path=path, ACCESSES=", ".join(ACCESSES))
            )
        name = check_name(fields.get("name"))
        public = _key(path, fields, "public")
        found[public] = AllowedClient(name=name, access=str(access), public=public)
    return found


def credentials(path: Path) -> Credentials:
    """Read a client's credentials.

    Raises:
        KeyringError: the file does not exist, is readable by other users, or is invalid.
    """
    fields = _read(path, private=True)
    pair = KeyPair(public=_key(path, fields, "public"), secret=_key(path, fields, "secret"))
    return Credentials(name=str(fields.get("name")), pair=pair, server=_key(path, fields, "server"))


def write_server(directory: Path, pair: KeyPair) -> None:
    """Write the server's keys; an existing file is not overwritten."""
    _prepare(directory)
    _write(directory / "server.json", {"public": pair.public, "secret": pair.secret})


def write_client(directory: Path, client: AllowedClient) -> None:
    """Allow a client, from the daemon's next reload on."""
    _prepare(directory / "clients")
    path = directory / "clients" / f"{check_name(client.name)}.json"
    _write(path, {"name": client.name, "access": client.access, "public": client.public})


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Write a client's credentials; an existing file is not overwritten."""
    fields = {
        "name": credentials.name,
        "public": credentials.pair.public,
        "secret": credentials.pair.secret,
        "server": credentials.server,
    }
    _write(path, fields)


def revoke(directory: Path, name: str) -> bool:
    """Revoke a client, from the daemon's next reload on; returns whether it was allowed."""
    path = directory / "clients" / f"{check_name(name)}.json"
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _read(path: Path, *, private: bool) -> Mapping[str, Any]:
    try:
        mode = path.stat().st_mode
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise KeyringError(say("{path}: {system_fault}", path=path, system_fault=system_fault(exc))) from exc
    except ValueError as exc:
        raise KeyringError(say("{path} is not a key file", path=path)) from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO if private else stat.S_IWOTH):
        raise KeyringError(
            say(
                "{path} is readable by others: chmod 600 {path}, and create new keys if others may"
                " have read it",
                path=path,
            )
        )
    if not isinstance(fields, dict):
        raise KeyringError(say("{path} is not a key file", path=path))
    return fields


def _key(path: Path, fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise KeyringError(say("{path}: {name} is not a key", path=path, name=name))
    return value


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise KeyringError(
            say("{directory}: {system_fault}", directory=directory, system_fault=system_fault(exc))
        ) from exc


def _write(path: Path, fields: Mapping[str, str]) -> None:
    """Create a file with mode 0600 from the start; never overwrite one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as exc:
        raise KeyringError(say("{path} exists already and is not overwritten", path=path)) from exc
    except OSError as exc:
        raise KeyringError(say("{path}: {system_fault}", path=path, system_fault=system_fault(exc))) from exc
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(fields, file, indent=1)
        file.write("\n")
