"""Looks through an XLSX workbook before it is read: its sheets, their used range, what they hide. Pure.

The reader holds a sheet's whole used range in memory: one cell at the far corner makes that 17,179,869,184
cells. So the range is found first, by one pass over the sheet's XML that keeps nothing.
"""

from __future__ import annotations

import io
import itertools
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from speechaid.campaign.number_formats import BUILT_IN, NumberFormat, read_format
from speechaid.protocol.translation import say

#: Bound of a workbook's size when it is unpacked.
MAX_UNPACKED_BYTES: Final = 1024 * 1024 * 1024
#: XML of a workbook is read in pieces of this many bytes.
_PIECE: Final = 1 << 16
#: An index of sheets is small; a larger one is no workbook.
_MAX_INDEX_BYTES: Final = 16 * 1024 * 1024
_TRUE: Final = ("1", "true")
_LAST_COLUMN: Final = 16_384
_LAST_ROW: Final = 1_048_576
#: Bound of the memory for the formats of a column.
_MAX_RUNS: Final = 100_000
_REFERENCE: Final = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")


class WorkbookError(Exception):
    """The file is no XLSX workbook that can be looked through; the text says why."""


@dataclass(kw_only=True)
class FormattedRun:
    """Cells of one column, one below the other, with one format."""

    #: 1-based.
    first_row: int
    last_row: int
    form: NumberFormat


@dataclass(kw_only=True)
class SheetScan:
    """One worksheet."""

    name: str
    is_visible: bool
    #: Whether the archive has it; else nothing is known of its size.
    is_found: bool = False
    #: 1-based; 0 where the sheet is empty.
    last_row: int = 0
    last_column: int = 0
    #: Where the last row or column comes from, such as ``XFD1048576``.
    corner: str = ""
    #: 1-based rows that a filter or a person has hidden.
    hidden_rows: set[int] = field(default_factory=set)
    #: 1-based.
    hidden_columns: set[int] = field(default_factory=set)
    #: By 1-based column: cells whose format adds something to the number, or rounds it.
    formats: dict[int, list[FormattedRun]] = field(default_factory=dict)
    #: Whether days are counted from 1904, as in old workbooks of the Mac.
    counts_from_1904: bool = False

    @property
    def cells(self) -> int:
        """The cells of the used range, which the reader holds in memory."""
        return self.last_row * self.last_column


def scan_workbook(data: bytes) -> list[SheetScan] | None:
    """The worksheets in the order of the workbook; None for an archive of another format (ODS, XLSB).

    Raises:
        WorkbookError: the archive or its XML cannot be read.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _scan(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError) as exc:
        raise WorkbookError(say("the file is damaged: save it again")) from exc
    except (
        LookupError,  # also an encoding that the XML names and nobody knows
        ValueError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as exc:
        raise WorkbookError(say("the archive cannot be read: {exc}", exc=exc)) from exc
    except expat.ExpatError as exc:
        if exc.code == expat.errors.codes[expat.errors.XML_ERROR_NO_MEMORY]:
            raise MemoryError from exc
        raise WorkbookError(say("its XML cannot be read: {exc}", exc=exc)) from exc


def _scan(archive: zipfile.ZipFile) -> list[SheetScan] | None:
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > MAX_UNPACKED_BYTES:
        raise ValueError(
            say(
                "it unpacks to more than {MAX_UNPACKED_BYTES} MB",
                MAX_UNPACKED_BYTES=MAX_UNPACKED_BYTES // 2**20,
            )
        )
    names = {name.lower(): name for name in archive.namelist()}
    if len(names) < len(archive.namelist()):
        # The reader may take another one of them than what was looked through.
        raise ValueError(say("it has two parts of one name"))
    workbook = names.get("xl/workbook.xml")
    if workbook is None:
        return None
    targets = _targets(archive, names.get("xl/_rels/workbook.xml.rels", ""))
    forms = _forms(archive, names.get("xl/styles.xml", ""))
    from_1904 = any(row.get("date1904") in _TRUE for row in _elements(archive, workbook, "workbookPr"))
    scans = []
    for attributes in _elements(archive, workbook, "sheet"):
        scan = SheetScan(
            name=attributes.get("name", ""),
            is_visible=attributes.get("state", "visible") == "visible",
            counts_from_1904=from_1904,
        )
        target = targets.get(attributes.get("id", ""))
        part = None if target is None else names.get(target.lower())
        if part is not None:
            scan.is_found = True
            _scan_sheet(archive, part, scan, forms)
        scans.append(scan)
    if len({scan.name for scan in scans}) < len(scans):
        raise ValueError(say("two of its sheets have one name"))
    return scans


def _targets(archive: zipfile.ZipFile, part: str) -> dict[str, str]:
    """The parts of the workbook by the id of their relation, of whatever type: the reader asks for none."""
    if not part:
        return {}
    return {
        relation.get("Id", ""): _part_of(relation.get("Target", ""))
        for relation in _elements(archive, part, "Relationship")
    }


def _part_of(target: str) -> str:
    """The name of a part in the archive, from a relation of the workbook; some writers begin it with xl."""
    from_root = target.startswith(("/", "xl/"))
    return posixpath.normpath(target if from_root else posixpath.join("xl", target)).lstrip("/")


def _elements(archive: zipfile.ZipFile, part: str, wanted: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if _local(name) == wanted:
            found.append({_local(key): value for key, value in attributes.items()})

    if archive.getinfo(part).file_size > _MAX_INDEX_BYTES:
        raise ValueError(
            say(
                "{part} is larger than {MAX_INDEX_BYTES} MiB",
                part=part,
                MAX_INDEX_BYTES=_MAX_INDEX_BYTES // 2**20,
            )
        )
    _parse(archive, part, start)
    return found


def _forms(archive: zipfile.ZipFile, part: str) -> dict[str, NumberFormat]:
    """By the number of a cell's style: what its format shows, where that is not the number alone."""
    if not part:
        return {}
    codes = dict(BUILT_IN)
    forms: dict[str, NumberFormat] = {}
    styles = itertools.count()
    is_cells = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal is_cells
        local = _local(name)
        if local in ("cellStyleXfs", "cellXfs", "cellStyles", "dxfs"):
            is_cells = local == "cellXfs"
        elif local == "numFmt":
            codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif local == "xf" and is_cells:
            style = str(next(styles))
            form = read_format(codes.get(attributes.get("numFmtId", ""), ""))
            if form is not None:
                forms[style] = form

    if archive.getinfo(part).file_size > _MAX_INDEX_BYTES:
        raise ValueError(
            say(
                "{part} is larger than {MAX_INDEX_BYTES} MiB",
                part=part,
                MAX_INDEX_BYTES=_MAX_INDEX_BYTES // 2**20,
            )
        )
    _parse(archive, part, start)
    return forms


def _scan_sheet(archive: zipfile.ZipFile, part: str, scan: SheetScan, forms: dict[str, NumberFormat]) -> None:
    row = column = 0
    place = (0, 0)

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal row, column, place
        local = name if ":" not in name else _local(name)
        if local == "c":
            # A cell without its place follows the one before.
            place = _place(attributes["r"]) if "r" in attributes else _checked(row, column + 1)
            column = place[1]
            if forms and attributes.get("s") in forms:
                _note_format(scan, place, forms[attributes["s"]])
        elif local in ("v", "is"):
            # A cell with a format and no value is empty: whole columns have formats.
            _widen(scan, place)
        elif local == "row":
            number = attributes.get("r", "")
            row, column = (_row(number) if number else row + 1), 0
            if attributes.get("hidden") in _TRUE:
                scan.hidden_rows.add(row)
        elif local == "col" and attributes.get("hidden") in _TRUE:
            last = min(int(attributes.get("max", "0")), _LAST_COLUMN)
            scan.hidden_columns.update(range(int(attributes.get("min", "1")), last + 1))

    _parse(archive, part, start)


def _note_format(scan: SheetScan, place: tuple[int, int], form: NumberFormat) -> None:
    row, column = place
    runs = scan.formats.setdefault(column, [])
    if runs and runs[-1].form == form and runs[-1].last_row == row - 1:
        runs[-1].last_row = row
        return
    if len(runs) >= _MAX_RUNS:
        raise ValueError(
            say(
                "the number formats of column {column} change more than {MAX_RUNS:,} times",
                column=column,
                MAX_RUNS=_MAX_RUNS,
            )
        )
    runs.append(FormattedRun(first_row=row, last_row=row, form=form))


def _place(reference: str) -> tuple[int, int]:
    """Row and column, from 1.

    Raises:
        ValueError: no sheet has such a cell. The reader would make room for it, or end its process.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(say("it has a cell {reference!r}, which no sheet has", reference=reference[:20]))
    column = 0
    for letter in match[1].upper():
        column = column * 26 + ord(letter) - 64
    return _checked(int(match[2]), column)


def _row(number: str) -> int:
    if not number.isdecimal() or len(number) > len(str(_LAST_ROW)):
        raise ValueError(say("it has a row {number!r}, which no sheet has", number=number[:20]))
    return _checked(int(number), 1)[0]


def _checked(row: int, column: int) -> tuple[int, int]:
    """The place, where a sheet reaches so far."""
    if not (1 <= row <= _LAST_ROW and 1 <= column <= _LAST_COLUMN):
        raise ValueError(
            say("it has a cell in row {row}, column {column}, which no sheet has", row=row, column=column)
        )
    return row, column


def _widen(scan: SheetScan, place: tuple[int, int]) -> None:
    row, column = place
    if row > scan.last_row or column > scan.last_column:
        scan.corner = f"{_letters(column)}{row}"
    scan.last_row = max(scan.last_row, row)
    scan.last_column = max(scan.last_column, column)


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return letters


def _parse(archive: zipfile.ZipFile, part: str, start: Callable[[str, dict[str, str]], None]) -> None:
    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    # A workbook has no document type; entities are how a small file becomes a large one.
    parser.EntityDeclHandler = _refuse_entities
    with archive.open(part) as stream:
        while piece := stream.read(_PIECE):
            parser.Parse(piece, False)
        parser.Parse(b"", True)


def _refuse_entities(*_: object) -> None:
    raise ValueError(say("its XML declares entities"))


def _local(name: str) -> str:
    return name.rpartition(":")[2]
