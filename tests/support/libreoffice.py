"""A real LibreOffice that opens files, and the cells that it shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
#: Where ``scripts/test`` puts Debian's packages; a system installation is also used.
FETCHED: Final = ROOT / ".tools" / "libreoffice" / "usr" / "lib"
#: LibreOffice made the directory of its settings, and wants to be started again.
_START_AGAIN: Final = 81
_TIMEOUT_SECONDS: Final = 300
#: More repeated rows or columns than this are the empty rest of a sheet.
_MAX_REPEATED: Final = 1_000
_OFFICE: Final = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE: Final = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT: Final = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
#: The attribute that holds the value of a type.
_VALUES: Final = {"date": "date-value", "boolean": "boolean-value"}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One cell."""

    #: ``string``, ``float``, ``percentage``, ``date``, ``boolean``; empty for an empty cell.
    type: str
    #: As it is calculated with.
    value: str
    #: As it stands on the screen.
    text: str


def opened(
    files: Sequence[Path], directory: Path, *, locale_id: int, delimiter: str = ";"
) -> dict[str, dict[str, list[list[Shown]]]]:
    """The sheets of each file, by its name and theirs.

    Args:
        files: all CSV, or all workbooks.
        directory: for LibreOffice's own files.
        locale_id: of Microsoft's list of languages (13322 is Spanish of Chile): signs and dates of CSV.
        delimiter: of CSV.
    """
    options = []
    if files[0].suffix == ".csv":
        # Delimiter, quote, UTF-8, first line, no column formats, language, quoted cells are no texts by that
        # alone, numbers and dates are found: as in the dialogue that opens a CSV file.
        tokens = (ord(delimiter), 34, 76, 1, "", locale_id, "false", "true")
        options = ["--infilter=Text - txt - csv (StarCalc):" + ",".join(map(str, tokens))]
    output = directory / "opened"
    _convert(files, "fods", directory, output, options)
    return {file.name: dict(_sheets(output / f"{file.stem}.fods")) for file in files}


def saved_as(file: Path, ending: str, directory: Path) -> Path:
    """The file as LibreOffice saves it in another format."""
    _convert([file], ending, directory, directory / "saved", [])
    return directory / "saved" / f"{file.stem}.{ending}"


def _convert(files: Sequence[Path], ending: str, directory: Path, output: Path, options: list[str]) -> None:
    command = [*_program(directory), "--headless", *options, "--convert-to", ending, "--outdir", str(output)]
    command += map(str, files)
    done = _run(command)
    if done.returncode == _START_AGAIN:
        done = _run(command)
    assert done.returncode == 0, done.stdout


def _program(directory: Path) -> list[str]:
    profile = f"-env:UserInstallation={(directory / 'profile').as_uri()}"
    installed = shutil.which("soffice")
    if installed is not None:
        return [installed, profile]
    fetched = FETCHED / "libreoffice" / "program" / "soffice.bin"
    if not fetched.exists():
        message = "LibreOffice is not installed: scripts/test fetches it where apt-get is there"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return [str(fetched), profile]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # Its own libraries first: beside those of the system, they look for their settings there.
    below = [FETCHED / "libreoffice" / "program", *FETCHED.glob("*-linux-*"), *FETCHED.glob("*-linux-*/*/")]
    libraries = os.pathsep.join(map(str, below))
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    if command[0].startswith(str(FETCHED)):
        environment["LD_LIBRARY_PATH"] = libraries
    return subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )


def _sheets(path: Path) -> Iterator[tuple[str, list[list[Shown]]]]:
    for table in ET.parse(path).getroot().iter(f"{_TABLE}table"):
        rows: list[list[Shown]] = []
        for row in table.iter(f"{_TABLE}table-row"):
            cells = list(_cells(row))
            while cells and not cells[-1].type:
                cells.pop()
            rows += [cells] * _repeated(row, "rows")
        while rows and not rows[-1]:
            rows.pop()
        yield str(table.get(f"{_TABLE}name")), rows


def _cells(row: ET.Element) -> Iterator[Shown]:
    for cell in row.iterfind(f"{_TABLE}table-cell"):
        kind = cell.get(f"{_OFFICE}value-type", "")
        text = "\n".join("".join(paragraph.itertext()) for paragraph in cell.iterfind(f"{_TEXT}p"))
        value = cell.get(f"{_OFFICE}{_VALUES.get(kind, 'value')}", text)
        yield from [Shown(type=kind, value=value, text=text)] * _repeated(cell, "columns")


def _repeated(element: ET.Element, what: str) -> int:
    count = int(element.get(f"{_TABLE}number-{what}-repeated", "1"))
    return count if count <= _MAX_REPEATED else 0
