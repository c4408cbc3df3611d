"""What is installed: the wheel and the sdist hold every file that the daemon or its operator needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from speechaid import __version__
from tests.support.fleet_harness import ROOT

#: Not code, and used by code: what ``speechaid/data`` holds, and the mark for type checkers.
DATA = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "speechaid").rglob("*")
    if path.is_file() and path.suffix not in {".py", ".pyc"}
)
UNITS = sorted(
    str(path.relative_to(ROOT / "systemd")) for path in (ROOT / "systemd").rglob("*") if path.is_file()
)
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with both, built without a network."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def wheel(packages: Path) -> set[str]:
    with zipfile.ZipFile(packages / f"speechaid-{__version__}-py3-none-any.whl") as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def sdist(packages: Path) -> set[str]:
    with tarfile.open(packages / f"speechaid-{__version__}.tar.gz") as archive:
        return {name.split("/", 1)[-1] for name in archive.getnames()}


def test_the_wheel_holds_the_code_and_its_data(wheel: set[str]) -> None:
    assert "speechaid/data/production.env" in DATA
    assert set(DATA) <= wheel
    assert {"speechaid/cli.py", "speechctl/cli.py"} <= wheel
    assert not [name for name in wheel if name.startswith("tests")]


def test_the_wheel_brings_units_profiles_and_manual_below_the_prefix(wheel: set[str]) -> None:
    share = f"speechaid-{__version__}.data/data/share"
    assert "speechaid.service" in UNITS
    assert {f"{share}/speechaid/systemd/{unit}" for unit in UNITS} <= wheel
    assert {f"{share}/speechaid/{name}.env" for name in ("production", "development", "example")} <= wheel
    assert {f"{share}/doc/speechaid/{page}" for page in PAGES} <= wheel


def test_the_programs_of_the_wheel_speak_spanish(packages: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packages / f"speechaid-{__version__}-py3-none-any.whl") as archive:
        archive.extractall(tmp_path)
    program = "import speechctl.cli; print(speechctl.cli.__file__); speechctl.cli.main(['hold', '--help'])"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "SPEECHAID_LANG": "es"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert shown.startswith(f"{tmp_path}/speechctl/cli.py\n")
    assert "ningún marcado nuevo" in shown


def test_the_sdist_holds_what_the_wheel_is_made_of_and_the_tests(sdist: set[str]) -> None:
    assert set(DATA) <= sdist
    assert {f"systemd/{unit}" for unit in UNITS} <= sdist
    assert {f"docs/{page}" for page in PAGES} <= sdist
    assert {"pyproject.toml", "LICENSE", "README.md", ".env.example", "tests/conftest.py"} <= sdist


@pytest.mark.slow
def test_the_same_sources_make_the_same_files_wherever_and_whenever_they_are_built(
    packages: Path, tmp_path: Path
) -> None:
    built = []
    for place, mode, zone, changed_at in (("one", 0o644, "UTC", 1e9), ("two", 0o600, "Asia/Tokyo", 1.5e9)):
        with tarfile.open(packages / f"speechaid-{__version__}.tar.gz") as archive:
            archive.extractall(tmp_path / place, filter="data")
        (sources,) = (tmp_path / place).iterdir()
        for path in sources.rglob("*"):
            if path.is_file():
                path.chmod(mode)
            os.utime(path, (changed_at, changed_at))
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist"]
        environ = {**os.environ, "SOURCE_DATE_EPOCH": "1750000000", "TZ": zone}
        subprocess.run(command, cwd=sources, env=environ, check=True, capture_output=True)
        built.append({path.name: path.read_bytes() for path in (sources / "dist").iterdir()})
    first, second = built
    assert len(first) == 2
    assert [name for name in first if first[name] != second[name]] == []
