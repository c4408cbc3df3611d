"""Key files: made closed, read only when closed, never written over."""

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


def test_what_was_written_is_read(directory: Path) -> None:
    keys.write_client(directory, AllowedClient(name="maria", access="write", public="c" * 40))
    assert keys.server_pair(directory) == KeyPair(public=PUBLIC, secret=SECRET)
    assert keys.allowed_clients(directory)["c" * 40].name == "maria"
    own = Credentials(name="maria", pair=KeyPair(public="c" * 40, secret=SECRET), server=PUBLIC)
    keys.write_credentials(directory / "maria.key", own)
    assert keys.credentials(directory / "maria.key") == own


def test_files_are_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys.write_server(tmp_path / "new", KeyPair(public=PUBLIC, secret=SECRET))
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "server.json").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def test_a_secret_that_others_can_read_is_not_used(directory: Path) -> None:
    (directory / "server.json").chmod(0o640)
    with pytest.raises(KeyringError, match="chmod 600"):
        keys.server_pair(directory)


def test_missing_keys_say_how_to_make_them(tmp_path: Path) -> None:
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
def test_one_entry_that_cannot_be_understood_lets_nobody_in(directory: Path, fields: object) -> None:
    (directory / "clients").mkdir()
    path = directory / "clients" / "x.json"
    path.write_text(json.dumps(fields))
    path.chmod(0o600)
    with pytest.raises(KeyringError):
        keys.allowed_clients(directory)


def test_keys_that_are_there_stay(directory: Path) -> None:
    with pytest.raises(KeyringError, match="left alone"):
        keys.write_server(directory, KeyPair(public=SECRET, secret=PUBLIC))
    assert keys.server_pair(directory).public == PUBLIC


def test_a_revoked_client_is_gone_and_an_unknown_one_was_never_there(directory: Path) -> None:
    keys.write_client(directory, AllowedClient(name="maria", access="read", public="c" * 40))
    assert keys.revoke(directory, "maria")
    assert not keys.revoke(directory, "maria")
    assert keys.allowed_clients(directory) == {}


def test_no_secret_shows_in_a_record(directory: Path) -> None:
    assert SECRET not in repr(keys.server_pair(directory))
