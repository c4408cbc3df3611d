"""Keys for control over TCP, as files: the server's pair, and one file for each client that may come in.

    DIR/server.json          {"public": ..., "secret": ...}          mode 0600, the daemon's alone
    DIR/clients/NAME.json    {"name": ..., "access": "read" or "write", "public": ...}

and, wherever the client is, its own file (``speechctl --key FILE``), mode 0600::

    {"name": ..., "public": ..., "secret": ..., "server": the server's public key}

Keys are CURVE's, 40 characters of Z85. Standard library only: daemon and speechctl share this module.
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

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY: Final = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
ACCESSES: Final = ("read", "write")


class KeyringError(Exception):
    """Keys cannot be used or made; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPair:
    """A public key and its secret."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedClient:
    """A client that may come in."""

    name: str
    access: str
    public: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What a client proves itself with, and the server that it believes."""

    name: str
    pair: KeyPair
    server: str


def check_name(name: object) -> str:
    """The name, if it can be a client's."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise KeyringError(f"{name!r} is no name for a client: up to 64 letters, digits or ._-")
    return name


def server_pair(directory: Path) -> KeyPair:
    """The server's keys.

    Raises:
        KeyringError: there are none, or others could read them.
    """
    path = directory / "server.json"
    if not path.exists():
        raise KeyringError(f"{path} is not there: make it with: speechctl keys server --dir {directory}")
    fields = _read(path, private=True)
    return KeyPair(public=_key(path, fields, "public"), secret=_key(path, fields, "secret"))


def allowed_clients(directory: Path) -> dict[str, AllowedClient]:
    """Who may come in, by public key.

    Raises:
        KeyringError: a file cannot be understood; better nobody than the wrong one.
    """
    found: dict[str, AllowedClient] = {}
    for path in sorted((directory / "clients").glob("*.json")):
        fields = _read(path, private=False)
        access = fields.get("access")
        if access not in ACCESSES:
            raise KeyringError(f"{path}: access must be read or write")
        name = check_name(fields.get("name"))
        public = _key(path, fields, "public")
        found[public] = AllowedClient(name=name, access=str(access), public=public)
    return found


def credentials(path: Path) -> Credentials:
    """A client's own keys.

    Raises:
        KeyringError: the file is not there, others can read it, or it cannot be understood.
    """
    fields = _read(path, private=True)
    pair = KeyPair(public=_key(path, fields, "public"), secret=_key(path, fields, "secret"))
    return Credentials(name=str(fields.get("name")), pair=pair, server=_key(path, fields, "server"))


def write_server(directory: Path, pair: KeyPair) -> None:
    """Keep the server's keys; those that are there stay."""
    _prepare(directory)
    _write(directory / "server.json", {"public": pair.public, "secret": pair.secret})


def write_client(directory: Path, client: AllowedClient) -> None:
    """Let a client in, from the daemon's next reload on."""
    _prepare(directory / "clients")
    path = directory / "clients" / f"{check_name(client.name)}.json"
    _write(path, {"name": client.name, "access": client.access, "public": client.public})


def write_credentials(path: Path, own: Credentials) -> None:
    """Make a client's own file."""
    fields = {
        "name": own.name,
        "public": own.pair.public,
        "secret": own.pair.secret,
        "server": own.server,
    }
    _write(path, fields)


def revoke(directory: Path, name: str) -> bool:
    """Let a client in no more, from the daemon's next reload on; whether it was let in."""
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
        raise KeyringError(f"{path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise KeyringError(f"{path} is not a key file") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO if private else stat.S_IWOTH):
        raise KeyringError(
            f"{path} is open to others: chmod 600 {path}, and make new keys if it was for long"
        )
    if not isinstance(fields, dict):
        raise KeyringError(f"{path} is not a key file")
    return fields


def _key(path: Path, fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise KeyringError(f"{path}: {name} is no key")
    return value


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise KeyringError(f"{directory}: {exc.strerror}") from exc


def _write(path: Path, fields: Mapping[str, str]) -> None:
    """Made closed from the first moment, never over another."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as exc:
        raise KeyringError(f"{path} is there already: it is left alone") from exc
    except OSError as exc:
        raise KeyringError(f"{path}: {exc.strerror}") from exc
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(fields, file, indent=1)
        file.write("\n")
