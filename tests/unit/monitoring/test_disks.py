"""Free space on the disks that the daemon writes to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from speechaid.monitoring.disks import disks
from speechaid.rules.check_findings import NO_SPACE_MB


@pytest.mark.parametrize(("free_mb", "full"), [(0, True), (NO_SPACE_MB - 1, True), (NO_SPACE_MB, False)])
def test_a_disk_counts_as_full_before_it_has_no_space_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_mb: int, full: bool
) -> None:
    usage = SimpleNamespace(free=free_mb * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert disks({"state directory": tmp_path}) == [
        {"of": "state directory", "path": str(tmp_path), "free_mb": free_mb, "full": full}
    ]


def test_a_path_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    assert [row["of"] for row in disks({"a": tmp_path / "gone", "b": tmp_path})] == ["b"]


def test_a_path_that_is_not_utf_8_is_shown_by_its_bytes(tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(b"d\xf1")
    place.mkdir()
    assert disks({"state directory": place})[0]["path"] == rf"{tmp_path}/d\xf1"
