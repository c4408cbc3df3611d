"""Files with people's data: closed to others from the start, over an older file too, never through a link."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path

import pytest

from speechctl.private_files import open_private


def test_a_new_file_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    with open_private(str(path)) as file:
        file.write(b"+56912345678")
        (draft,) = tmp_path.iterdir()
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"+56912345678", 0o600)


def test_without_replace_an_older_file_stays_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "report.xlsx"
    with open_private(str(path), replace=False) as file:
        file.write(b"first")
    with pytest.raises(FileExistsError), open_private(str(path), replace=False) as file:
        file.write(b"second")
    assert list(tmp_path.iterdir()) == [path]
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"first", 0o600)


def test_over_a_file_that_others_may_read_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(b"old")
    path.chmod(0o644)
    with path.open("rb") as opened_before, open_private(str(path)) as file:
        file.write(b"new")
        file.close()
        assert opened_before.read() == b"old"
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)


def test_a_hard_link_of_the_older_file_keeps_the_older_content(tmp_path: Path) -> None:
    path, link = tmp_path / "export.csv", tmp_path / "of-another"
    path.write_bytes(b"old")
    link.hardlink_to(path)
    with open_private(str(path)) as file:
        file.write(b"new")
    assert (path.read_bytes(), link.read_bytes()) == (b"new", b"old")


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_refused_in_words(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "export.csv"
    if exists:
        target.write_bytes(b"old")
    link.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link") as caught, open_private(str(link)):
        pass
    assert caught.value.strerror == "it is a symbolic link, which is not followed: name the file itself"
    assert target.exists() is exists
    assert link.is_symlink()


def test_what_fails_half_way_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(b"old")
    with contextlib.suppress(KeyboardInterrupt), open_private(str(path)) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    with open_private(str(pipe)) as file:
        file.write(b"rows")
    reader.join()
    assert received == [b"rows"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_an_open_file_of_this_process_is_written_to(tmp_path: Path) -> None:
    with (tmp_path / "redirected").open("w+b") as file:
        with open_private(f"/dev/fd/{file.fileno()}") as out:
            out.write(b"rows")
        assert file.read() == b"rows"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), open_private(str(tmp_path)):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_pipe_of_another_user_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    os.chown(pipe, 65534, 65534)
    with pytest.raises(OSError, match="another user made it"), open_private(str(pipe)):
        pass
