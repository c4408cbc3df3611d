"""The files of the embedded database, as the processes beside it read them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from speechaid.embedded.files import read_credentials, write_private


def test_credentials_are_read_where_nothing_can_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(tmp_path / "web-credentials", '{"user": "web", "password": "secret"}')

    def refuse(_descriptor: int, _mode: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "fchmod", refuse)
    assert read_credentials(tmp_path, "web-credentials").user == "web"


def test_credentials_that_others_may_read_are_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text('{"user": "daemon", "password": "secret"}')
    path.chmod(0o644)
    assert read_credentials(tmp_path).user == "daemon"
    assert path.stat().st_mode & 0o777 == 0o600
