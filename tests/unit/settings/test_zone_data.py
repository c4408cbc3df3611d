"""Which zone data is used: the newer, unless the operator has named a directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speechaid.rules import check_findings
from speechaid.rules.check_findings import Level
from speechaid.settings.zone_data import ZoneData, is_newer, release_of

OLD_SYSTEM = ZoneData(directory="/usr/share/zoneinfo", system="2025b", package="2026f", named=False)
PROGRAM = """
import json, zoneinfo
from speechaid.settings.zone_data import use_newest_zone_data
found = use_newest_zone_data()
zoneinfo.ZoneInfo("America/Santiago")
print(json.dumps({"system": found.system, "package": found.package, "path": zoneinfo.TZPATH}))
"""


def used_by_a_process(directory: Path, release: str, **variables: str) -> dict[str, Any]:
    """What a fresh process uses whose system has its zone data in ``directory``."""
    (directory / "tzdata.zi").write_text(f"# version {release}\n", encoding="ascii")
    program = f"import zoneinfo; zoneinfo.reset_tzpath(to=[{str(directory)!r}])\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_old_system_gives_way_to_the_newer_package(tmp_path: Path) -> None:
    found = used_by_a_process(tmp_path, "2001a")
    assert (found["system"], found["path"]) == ("2001a", [])


def test_a_newer_system_stays_in_use(tmp_path: Path) -> None:
    assert used_by_a_process(tmp_path, "2999a")["path"] == [str(tmp_path)]


def test_a_directory_that_the_operator_has_named_stays_in_use(tmp_path: Path) -> None:
    assert used_by_a_process(tmp_path, "2001a", PYTHONTZPATH=str(tmp_path))["path"] == [str(tmp_path)]


@pytest.mark.parametrize(
    ("release", "than", "newer"),
    [
        ("2025b", "2025a", True),
        ("2026a", "2025z", True),
        ("2025za", "2025z", True),
        ("2025b", "2025b", False),
        (None, "2025b", False),
        ("2025b", None, False),
    ],
)
def test_releases_are_compared_as_iana_counts_them(
    release: str | None, than: str | None, newer: bool
) -> None:
    assert is_newer(release, than) is newer


def test_a_directory_without_a_release_has_none(tmp_path: Path) -> None:
    assert release_of(tmp_path) is None
    (tmp_path / "tzdata.zi").write_bytes(b"\xff\xfe")
    assert release_of(tmp_path) is None


def test_check_warns_of_an_old_system_and_says_which_data_is_used() -> None:
    finding = check_findings.zone_data(OLD_SYSTEM)
    assert finding.level is Level.WARN
    assert "2026f of the Python package tzdata is used" in finding.text
    assert "2025b (/usr/share/zoneinfo)" in finding.text
    assert "update" in str(finding.remedy)


def test_check_warns_where_the_older_is_used_because_it_was_named() -> None:
    finding = check_findings.zone_data(replace(OLD_SYSTEM, named=True))
    assert finding.level is Level.WARN
    assert "people are called at the wrong hour" in finding.text
    assert "PYTHONTZPATH" in str(finding.remedy)


@pytest.mark.parametrize(
    "found",
    [
        replace(OLD_SYSTEM, system="2026f"),
        replace(OLD_SYSTEM, system="2027a"),
        replace(OLD_SYSTEM, system=None),
        replace(OLD_SYSTEM, directory=None, system=None),
    ],
)
def test_check_is_content_with_data_that_is_as_new_or_unknown(found: ZoneData) -> None:
    assert check_findings.zone_data(found).level is Level.OK
