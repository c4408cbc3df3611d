"""Key files: private from the start, refused when readable by others, never overwritten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from speechaid.protocol import keys
from speechaid.protocol.keys import AllowedClient, Credentials, KeyPair, KeyringError

PUBLIC = "a" * 40
SECRET = "b" * 40


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    keys.write_server(tmp_path, KeyPair(public=PUBLIC, secret=SECRET))
    return tmp_path


def test_written_keys_can_be_read(directory: Path) -> None:
    keys.write_client(directory, AllowedClient(name="maria", access="write", public="c" * 40))
    assert keys.server_pair(directory) == KeyPair(public=PUBLIC, secret=SECRET)
    assert keys.allowed_clients(directory)["c" * 40].name == "maria"
    own = Credentials(name="maria", pair=KeyPair(public="c" * 40, secret=SECRET), server=PUBLIC)
    keys.write_credentials(directory / "maria.key", own)
    assert keys.credentials(directory / "maria.key") == own


@pytest.mark.parametrize("access", ["status", "read", "write"])
def test_the_access_of_a_key_file_is_read_as_written(directory: Path, access: str) -> None:
    keys.write_client(directory, AllowedClient(name="maria", access=access, public="c" * 40))
    assert keys.allowed_clients(directory)["c" * 40].access == access


def test_key_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys.write_server(tmp_path / "new", KeyPair(public=PUBLIC, secret=SECRET))
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "server.json").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def test_a_secret_that_others_can_read_is_refused(directory: Path) -> None:
    (directory / "server.json").chmod(0o640)
    with pytest.raises(KeyringError, match="chmod 600"):
        keys.server_pair(directory)


def test_the_error_for_missing_keys_says_how_to_create_them(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="speechctl keys server"):
        keys.server_pair(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x", "access": "admin", "public": PUBLIC},
        {"name": "../x", "access": "read", "public": PUBLIC},
        {"name": "x", "access": "read", "public": "short"},
        {"access": "read", "public": PUBLIC},
        ["x"],
    ],
)
def test_one_invalid_entry_refuses_every_client(directory: Path, fields: object) -> None:
    (directory / "clients").mkdir()
    path = directory / "clients" / "x.json"
    path.write_text(json.dumps(fields))
    path.chmod(0o600)
    with pytest.raises(KeyringError):
        keys.allowed_clients(directory)


def test_existing_keys_are_not_overwritten(directory: Path) -> None:
    with pytest.raises(KeyringError, match="not overwritten"):
        keys.write_server(directory, KeyPair(public=SECRET, secret=PUBLIC))
    assert keys.server_pair(directory).public == PUBLIC


def test_a_client_can_be_revoked_once(directory: Path) -> None:
    keys.write_client(directory, AllowedClient(name="maria", access="read", public="c" * 40))
    assert keys.revoke(directory, "maria")
    assert not keys.revoke(directory, "maria")
    assert keys.allowed_clients(directory) == {}


def test_the_repr_shows_no_secret(directory: Path) -> None:
    assert SECRET not in repr(keys.server_pair(directory))
