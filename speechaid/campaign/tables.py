"""Reads a contacts file as lines of cells: CSV as programs write it, or the visible sheet of a workbook."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from speechaid.campaign.cells import clean, fold
from speechaid.campaign.column_titles import title_role
from speechaid.campaign.encodings import decode
from speechaid.campaign.number_formats import NumberFormat, ShownNumber
from speechaid.campaign.titles import Role
from speechaid.campaign.unsupported_files import unsupported_type
from speechaid.campaign.words_for_nothing import is_nothing
from speechaid.campaign.workbook_scan import SheetScan, WorkbookError, scan_workbook
from speechaid.errors import ImportFailed
from speechaid.model.reading import as_printable
from speechaid.protocol.translation import joined, say, say_later

#: The supported formats, for messages.
READABLE: Final = say_later(
    "allowed: CSV in UTF-8, UTF-16, Windows-1252, Mac Roman or DOS, or an XLSX workbook"
)
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_COLUMNS: Final = 200
#: The used range of a sheet, which the reader holds in memory.
MAX_CELLS: Final = 20_000_000
MAX_BROKEN_RECORDS: Final = 1_000
#: Runs of hidden rows that are known by their numbers.
MAX_HIDDEN_RUNS: Final = 10_000
#: Lines from the top in which the heading is looked for.
HEADING_LINES: Final = 40
#: A line with a number and so many cells is a contact, no note above the titles.
_CELLS_OF_CONTACT: Final = 3

#: Faults of a row that its quotes have.
QUOTE_FAULTS: Final = (say_later("a quote is opened and not closed"), say_later("the quotes do not match"))

_DELIMITERS: Final = ",;\t|"
#: Control characters that a text file does not have.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f\x7f]")
#: A cell of digits alone, as no title is; so many of them may be a phone.
_NUMBER: Final = re.compile(r"\+?[\d\s().\-/]+")
_DIGITS: Final = re.compile(r"\d")
_PHONE_DIGITS: Final = 7
#: Of formats that only the reader knows, not the scan before.
_UNSEEN: Final = say_later(
    "of this kind of workbook it cannot be known which rows and columns are hidden, nor"
    " which currency a cell's format shows: all rows and columns are read, as bare"
    " numbers; save it as XLSX if that matters"
)
_ZIP: Final = b"PK\x03\x04"
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Line:
    """One record of the file."""

    #: 1-based, where the record begins.
    number: int
    cells: list[Any]
    #: Why the record cannot be read, or None.
    fault: str | None = None


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """A contacts file, opened."""

    #: The records that are not blank, from the top of the file.
    lines: Iterator[Line]
    #: The sheet that is read; None for CSV.
    sheet: str | None = None
    #: The sheets that are not read.
    other_sheets: tuple[str, ...] = ()
    #: For people; None for a workbook.
    encoding: str | None = None
    #: How many rows of the sheet are hidden, and left out.
    hidden_rows: int = 0
    #: The first and the last of the hidden rows that follow each other, from 1; at most ``MAX_HIDDEN_RUNS``.
    hidden_runs: tuple[tuple[int, int], ...] = ()
    #: 0-based: columns that the sheet does not show.
    hidden_columns: frozenset[int] = frozenset()
    #: Whether numbers of the day count from 1904.
    counts_from_1904: bool = False
    #: Of a text file, and Python's name of its encoding.
    delimiter: str | None = None
    codec: str | None = None
    #: What was guessed or left out.
    remarks: list[str] = field(default_factory=list)


def open_table(
    data: bytes, filename: str, *, sheet: str | None = None, with_hidden_rows: bool = False
) -> TableFile:
    """Open a file; its lines are read when they are asked for.

    Args:
        data: the whole file.
        filename: for messages, and to detect files that are not the spreadsheet that they are called.
        sheet: the name of a workbook's sheet, or its number from 1; None: the first visible one with cells.
        with_hidden_rows: read the rows that a filter or a person has hidden, too.

    Raises:
        ImportFailed: the whole file cannot be read; the lines may raise it, too.
    """
    if len(data) > MAX_BYTES:
        raise ImportFailed(
            say(
                "{filename}: the file is larger than {MAX_BYTES} MB; split it",
                filename=filename,
                MAX_BYTES=MAX_BYTES // 2**20,
            )
        )
    if not data.strip(b"\0 \t\r\n\xef\xbb\xbf"):
        raise ImportFailed(say("{filename}: the file is empty", filename=filename))
    form = unsupported_type(data)
    is_workbook = data.startswith((_ZIP, _OLD_EXCEL))
    if not is_workbook and filename.lower().endswith((".xlsx", ".xlsm", ".xls", ".ods")):
        it_is = form or say("text: if it is a table, name it .csv")
        raise ImportFailed(
            say(
                "{filename}: the file is not a spreadsheet, despite its name; it is {it_is}",
                filename=filename,
                it_is=it_is,
            )
        )
    if form is not None:
        raise ImportFailed(say("{filename}: the file is {form}", filename=filename, form=form))
    if is_workbook:
        return _separated(_workbook(data, filename, sheet, with_hidden_rows=with_hidden_rows))
    if sheet is not None:
        raise ImportFailed(
            say("{filename}: only a workbook has sheets; leave out --sheet", filename=filename)
        )
    return _separated(_text(data, filename))


def heading_line(lines: Sequence[Line], wanted: int | None = None) -> int | None:
    """The index of the line with the titles; None where none of the lines has a phone's title.

    Args:
        lines: the first ``HEADING_LINES`` of the file.
        wanted: the line's number in the file, where it is known.
    """
    if wanted is not None:
        return next((index for index, line in enumerate(lines) if line.number == wanted), None)
    best: tuple[int, int] | None = None
    fewest = 1
    for index, line in enumerate(lines):
        texts = [clean(cell) for cell in line.cells[:MAX_COLUMNS]]
        if any(_NUMBER.fullmatch(text) and len(_DIGITS.findall(text)) >= _PHONE_DIGITS for text in texts):
            if best is not None or sum(map(bool, texts)) >= _CELLS_OF_CONTACT:
                break  # the first contact: a heading below is that of another table
            # Above the titles a number may be the author's. But it may be a contact as well, and one below
            # it, whose number is "fono malo", is no heading.
            fewest = 2
            continue
        roles = [None if is_nothing(text) else title_role(text) for text in texts]
        known = sum(role is not None for role in roles)
        if Role.PHONE in roles and known >= fewest and (best is None or known > best[0]):
            best = (known, index)
    return None if best is None else best[1]


def _separated(table: TableFile) -> TableFile:
    """Separate rows that stand in one cell each: CSV that was pasted into a sheet, or quoted line by line."""
    top = list(itertools.islice(table.lines, HEADING_LINES))
    lines = itertools.chain(top, table.lines)
    found = heading_line(top)
    heading = [] if found is None else [text for cell in top[found].cells if (text := clean(cell))]
    delimiter = _delimiter(heading)
    if len(heading) != 1 or len(titles := heading[0].split(delimiter)) < 2:
        return replace(table, lines=lines)
    if Role.PHONE not in map(title_role, titles):
        return replace(table, lines=lines)
    remark = say("each row stands in one cell, which was separated at {delimiter!r}", delimiter=delimiter)
    return replace(
        table,
        lines=(_split(line, delimiter) for line in lines),
        delimiter=None if table.delimiter is None else delimiter,
        remarks=[*table.remarks, remark],
    )


def _split(line: Line, delimiter: str) -> Line:
    filled = [cell for cell in line.cells if clean(cell)]
    if line.fault is not None or len(filled) != 1 or not isinstance(filled[0], str):
        return line
    try:
        return Line(line.number, next(csv.reader([filled[0]], delimiter=delimiter, strict=True)))
    except (csv.Error, StopIteration) as exc:
        return Line(line.number, filled[0].split(delimiter), _csv_fault(csv.Error(exc)))


def not_text(data: bytes) -> str | None:
    """Why a file cannot be a table of text; None where it may be one."""
    if data.startswith((_ZIP, _OLD_EXCEL, *_UTF16)):
        return None
    found = _CONTROL.search(data.lstrip().partition(b"\n")[0])
    return (
        None
        if found is None
        else say("the file is not text: {place}; {READABLE}", place=_place(data, found[0]), READABLE=READABLE)
    )


def _place(data: bytes, control: bytes) -> str:
    offset = data.index(control)
    line = data.count(b"\n", 0, offset) + 1
    return say(
        "byte 0x{data:02X} at offset {offset}, line {line}", data=data[offset], offset=offset, line=line
    )


def _text(data: bytes, filename: str) -> TableFile:
    decoded = decode(data)
    text = decoded.text
    if text.count("\0") > len(text) // 100 + 10:
        found = None if data.startswith(_UTF16) else _CONTROL.search(data)
        place = "" if found is None else say(" ({place})", place=_place(data, found[0]))
        raise ImportFailed(
            say(
                "{filename}: the file is neither text nor a spreadsheet{place}; {READABLE}",
                filename=filename,
                place=place,
                READABLE=READABLE,
            )
        )
    text = text if "\n" in text else text.replace("\r", "\n")
    rows = text.split("\n")
    start, delimiter = _form(rows)
    return TableFile(
        lines=_filled(_csv(rows, start, delimiter)),
        encoding=decoded.encoding,
        delimiter=delimiter,
        codec=decoded.codec,
        remarks=list(decoded.remarks),
    )


def _filled(lines: Iterator[Line]) -> Iterator[Line]:
    return (line for line in lines if line.fault or any(clean(cell) for cell in line.cells))


def _form(lines: list[str]) -> tuple[int, str]:
    """The index of the first line with cells, and the delimiter: a spreadsheet's ``sep=`` line names it."""
    first = lines[0].strip('\r\ufeff "')
    if len(first) == 5 and first.lower().startswith("sep="):
        return 1, first[4]
    return 0, _delimiter(lines)


def _csv(lines: list[str], start: int, delimiter: str) -> Iterator[Line]:
    """Strict about quotes: an unclosed quote would otherwise swallow contacts silently.

    After a record that cannot be read, reading continues at the next line of the file.
    """
    faults = 0
    reader = _reader(lines, start, delimiter)
    while True:
        begin = start + reader.line_num
        try:
            yield Line(begin + 1, next(reader))
        except StopIteration:
            return
        except csv.Error as exc:
            faults += 1
            if faults > MAX_BROKEN_RECORDS:
                raise ImportFailed(
                    say(
                        "more than {MAX_BROKEN_RECORDS} records with broken quotes",
                        MAX_BROKEN_RECORDS=MAX_BROKEN_RECORDS,
                    )
                ) from exc
            # Its cells with the quotes that are in them, so that a file of bad rows has the columns.
            yield Line(begin + 1, lines[begin].rstrip("\r").split(delimiter), _csv_fault(exc))
            start = begin + 1
            reader = _reader(lines, start, delimiter)


def _reader(lines: list[str], start: int, delimiter: str) -> Any:
    following = (lines[index] + "\n" for index in range(start, len(lines)))
    return csv.reader(following, delimiter=delimiter, strict=True)


def _delimiter(lines: list[str]) -> str:
    """The delimiter by which a line near the top is a heading, else the most frequent one there."""
    others = set(_DELIMITERS)
    top = [line for line in itertools.islice(lines, HEADING_LINES) if line.strip()]

    def score(delimiter: str) -> tuple[int, int]:
        best = 0
        for line in top:
            try:
                cells = next(csv.reader([line], delimiter=delimiter))
            except (csv.Error, StopIteration):
                continue
            # "g;telefono" is no title, though it has the word: the file has another delimiter.
            titles = [cell for cell in cells[:MAX_COLUMNS] if not set(cell) & (others - {delimiter})]
            roles = [title_role(title) for title in titles]
            if Role.PHONE in roles:
                best = max(best, sum(role is not None for role in roles))
        return best, sum(line.count(delimiter) for line in top)

    return max(_DELIMITERS, key=score)


def _csv_fault(exc: csv.Error) -> str:
    text = str(exc)
    if "field larger" in text:
        return say("a cell is larger than 128 kB: a quote may be missing")
    if "new-line character" in text:
        return say("a line break stands in a cell without quotes")
    if "unexpected end" in text:
        return QUOTE_FAULTS[0]
    return QUOTE_FAULTS[1]


def _workbook(data: bytes, filename: str, wanted: str | None, *, with_hidden_rows: bool) -> TableFile:
    try:
        import python_calamine  # noqa: PLC0415 - an extra, heavy to load
    except ImportError:
        raise ImportFailed(
            say(
                "{filename}: save it as CSV, or install the extra xlsx: pip install '.[xlsx]' in"
                " the checkout",
                filename=filename,
            )
        ) from None
    scans = _scanned(data, filename)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        visible = [
            sheet.visible == python_calamine.SheetVisibleEnum.Visible for sheet in book.sheets_metadata
        ]
        position = _chosen(book.sheet_names, visible, scans, wanted, filename)
        name = book.sheet_names[position]
        scan = scans.get(name)
        _check_size(name, scans, filename)
        sheet = book.get_sheet_by_index(position)
        rows = _rows_of(sheet, filename)
        top = list(itertools.islice(rows, HEADING_LINES))
        _spread_headings(top, sheet.merged_cell_ranges or [])
        last_row = 0 if sheet.end is None else sheet.end[0] + 1
    except ImportFailed:
        raise
    except BaseException as exc:
        raise _translated(exc, filename) from exc
    hidden = set() if with_hidden_rows or scan is None else scan.hidden_rows
    numbered = enumerate(itertools.chain(top, rows), 1)
    lines: Iterator[Line] = (Line(number, row) for number, row in numbered if number not in hidden)
    if scan is not None and scan.formats:
        lines = _as_formatted(lines, scan)
    others = [
        other if shown else say("{other} (hidden)", other=other)
        for other, shown in zip(book.sheet_names, visible, strict=True)
        if other != name
    ]
    return TableFile(
        lines=_filled(lines),
        sheet=name,
        other_sheets=tuple(others),
        hidden_rows=sum(number <= last_row for number in hidden),
        hidden_runs=tuple(
            itertools.islice(_runs(number for number in hidden if number <= last_row), MAX_HIDDEN_RUNS)
        ),
        hidden_columns=frozenset(column - 1 for column in scan.hidden_columns) if scan else frozenset(),
        counts_from_1904=scan is not None and scan.counts_from_1904,
        remarks=[_UNSEEN] if scan is None else [],
    )


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of the numbers that follow each other."""
    first = last = 0
    for number in sorted(numbers):
        if first and number != last + 1:
            yield first, last
            first = 0
        first, last = first or number, number
    if first:
        yield first, last


def _rows_of(sheet: Any, filename: str) -> Iterator[list[Any]]:
    """The rows from the first one of the sheet and its first column, one after the other."""
    margin = [""] * (0 if sheet.start is None else sheet.start[1])
    try:
        for row in sheet.iter_rows():
            yield margin + row
    except BaseException as exc:
        raise _translated(exc, filename) from exc


def _translated(exc: BaseException, filename: str) -> BaseException:
    """What is raised for a fault of the workbook's library: its panic is no ``Exception``."""
    is_fault = isinstance(exc, Exception) or type(exc).__name__ == "PanicException"
    if not is_fault or isinstance(exc, MemoryError):
        return exc
    # It may quote a cell.
    fault = as_printable(exc)
    return ImportFailed(
        say(
            "{filename}: the spreadsheet cannot be read: {fault}; {READABLE}",
            filename=filename,
            fault=fault,
            READABLE=READABLE,
        )
    )


def _as_formatted(lines: Iterator[Line], scan: SheetScan) -> Iterator[Line]:
    """Numbers with what their owner sees: 0.15 is ``15%``, 12.5 may be ``12.50 CLF``."""
    runs = {column: iter(of_column) for column, of_column in scan.formats.items()}
    current = {column: next(of_column, None) for column, of_column in runs.items()}
    for line in lines:
        for column, run in current.items():
            while run is not None and run.last_row < line.number:
                run = current[column] = next(runs[column], None)  # noqa: PLW2901 - the run of this line
            if run is not None and run.first_row <= line.number and column <= len(line.cells):
                line.cells[column - 1] = _in_form(line.cells[column - 1], run.form)
        yield line


def _in_form(cell: Any, form: NumberFormat) -> Any:
    is_number = isinstance(cell, int | float) and not isinstance(cell, bool)
    return ShownNumber(cell, form) if is_number else cell


def _check_size(name: str, scans: dict[str, SheetScan], filename: str) -> None:
    scan = scans.get(name)
    if scans and (scan is None or not scan.is_found):
        raise ImportFailed(
            say(
                "{filename}: the sheet {name!r} cannot be found in the file: save it again",
                filename=filename,
                name=name[:40],
            )
        )
    if scan is not None and scan.cells > MAX_CELLS:
        raise ImportFailed(
            say(
                "{filename}: the sheet {name!r} reaches to the cell {corner}: {cells:,} cells, and"
                " at most {MAX_CELLS:,} are read; delete what stands far from the table",
                filename=filename,
                name=name[:40],
                corner=scan.corner,
                cells=scan.cells,
                MAX_CELLS=MAX_CELLS,
            )
        )


def _scanned(data: bytes, filename: str) -> dict[str, SheetScan]:
    """The sheets of an XLSX workbook by name; older formats have a bounded number of cells."""
    if not data.startswith(_ZIP):
        return {}
    try:
        return {scan.name: scan for scan in scan_workbook(data) or ()}
    except WorkbookError as exc:
        fault = as_printable(exc)
        raise ImportFailed(
            say(
                "{filename}: the spreadsheet cannot be read: {fault}; {READABLE}",
                filename=filename,
                fault=fault,
                READABLE=READABLE,
            )
        ) from exc


def _chosen(
    names: Sequence[str],
    visible: Sequence[bool],
    scans: dict[str, SheetScan],
    wanted: str | None,
    filename: str,
) -> int:
    """The position of the sheet to read: the wanted one, else the first visible one with cells."""
    if wanted is not None:
        found = [position for position, name in enumerate(names) if fold(name) == fold(wanted)]
        if not found and wanted.isdecimal() and 1 <= int(wanted) <= len(names):
            found = [int(wanted) - 1]
        if found:
            return found[0]
        listed = joined(", ", (repr(name[:40]) for name in names[:12])) + (", …" if len(names) > 12 else "")
        raise ImportFailed(
            say(
                "{filename}: no sheet is called {wanted!r}; the workbook has {listed}",
                filename=filename,
                wanted=wanted[:40],
                listed=listed,
            )
        )
    shown = [position for position, is_visible in enumerate(visible) if is_visible]
    filled = [position for position in shown if names[position] not in scans or scans[names[position]].cells]
    if not shown:
        raise ImportFailed(say("{filename}: the workbook has no visible sheet", filename=filename))
    return (filled or shown)[0]


def _spread_headings(
    rows: list[list[Any]], ranges: Sequence[tuple[tuple[int, int], tuple[int, int]]]
) -> None:
    """Write a merged cell near the top into each cell that it covers."""
    for (first_row, first_column), (last_row, last_column) in ranges:
        if first_row >= HEADING_LINES:
            continue
        for row in range(first_row, min(last_row + 1, HEADING_LINES, len(rows))):
            for column in range(first_column, min(last_column + 1, len(rows[row]))):
                rows[row][column] = rows[first_row][first_column]
