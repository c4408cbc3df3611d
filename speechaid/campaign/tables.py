"""Reads a contacts file as lines of cells: CSV as spreadsheet programs write it, or XLSX."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from speechaid.campaign.cells import clean
from speechaid.campaign.columns import recognise
from speechaid.errors import ImportFailed

#: The supported formats, for messages.
READABLE: Final = "allowed: CSV in UTF-8, UTF-16 or Windows-1252, or an XLSX workbook"
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_COLUMNS: Final = 200
MAX_BROKEN_RECORDS: Final = 1_000
#: Bound of a workbook's size when it is unpacked.
MAX_UNPACKED_BYTES: Final = 1024 * 1024 * 1024

_DELIMITERS: Final = ",;\t|"
#: Control characters that a text file does not have.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f\x7f]")
#: An accented letter of western languages in UTF-8.
_UTF8_LETTER: Final = re.compile(rb"\xc3[\x80-\xbf]")
_ZIP: Final = b"PK\x03\x04"
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Line:
    """One record of the file."""

    #: 1-based, where the record begins.
    number: int
    cells: list[Any]
    #: Why the record cannot be read, or None.
    fault: str | None = None


def read_lines(data: bytes, filename: str) -> Iterator[Line]:
    """The records that are not blank, the header first.

    Raises:
        ImportFailed: the whole file cannot be read.
    """
    if len(data) > MAX_BYTES:
        raise ImportFailed(f"{filename}: the file is larger than {MAX_BYTES // 2**20} MB; split it")
    if not data.strip(b"\0 \t\r\n\xef\xbb\xbf"):
        raise ImportFailed(f"{filename}: the file is empty")
    if data.startswith((_ZIP, _OLD_EXCEL)):
        lines = _workbook(data, filename)
    elif filename.lower().endswith((".xlsx", ".xlsm", ".xls", ".ods")):
        raise ImportFailed(f"{filename}: the file is not a spreadsheet, despite its name")
    else:
        lines = _csv(_decoded(data, filename))
    return (line for line in lines if line.fault or any(clean(cell) for cell in line.cells))


def remarks_on(data: bytes) -> list[str]:
    """Remarks on the encoding of a file that could be read."""
    if data.startswith((_ZIP, _OLD_EXCEL, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return []
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        if _UTF8_LETTER.search(data):
            place = _place(data, exc.start)
            remark = (
                f"the file is UTF-8 except for {place}, so it was read as Windows-1252 and accents are wrong"
            )
            return [f"{remark}; correct that byte, or save the file as UTF-8"]
    return []


def no_header(data: bytes) -> str | None:
    """Why the first line of a file cannot be a header; None where it may be one."""
    if data.startswith((_ZIP, _OLD_EXCEL, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    found = _CONTROL.search(data.lstrip().partition(b"\n")[0])
    return (
        None if found is None else f"the file is not text: {_place(data, data.index(found[0]))}; {READABLE}"
    )


def _place(data: bytes, offset: int) -> str:
    line = data.count(b"\n", 0, offset) + 1
    return f"byte 0x{data[offset]:02X} at offset {offset}, line {line}"


def _decoded(data: bytes, filename: str) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    else:
        # Latin-1 decodes every byte, including those that Windows-1252 leaves undefined.
        encodings = ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if text.count("\0") > len(text) // 100 + 10:
            break
        return text if "\n" in text else text.replace("\r", "\n")
    found = None if encodings == ["utf-16"] else _CONTROL.search(data)
    place = "" if found is None else f" ({_place(data, found.start())})"
    raise ImportFailed(f"{filename}: the file is neither text nor a spreadsheet{place}; {READABLE}")


def _csv(text: str) -> Iterator[Line]:
    """Strict about quotes: an unclosed quote would otherwise swallow contacts silently.

    After a record that cannot be read, reading continues at the next line of the file.
    """
    lines = text.split("\n")
    first = lines[0].strip().lower()
    start, delimiter = (1, first[4]) if len(first) == 5 and first.startswith("sep=") else (0, "")
    delimiter = delimiter or _delimiter(lines)
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
                raise ImportFailed(f"more than {MAX_BROKEN_RECORDS} records with broken quotes") from exc
            yield Line(begin + 1, [lines[begin]], _csv_fault(exc))
            start = begin + 1
            reader = _reader(lines, start, delimiter)


def _reader(lines: list[str], start: int, delimiter: str) -> Any:
    following = (lines[index] + "\n" for index in range(start, len(lines)))
    return csv.reader(following, delimiter=delimiter, strict=True)


def _delimiter(lines: list[str]) -> str:
    """The delimiter by which the first line holds a phone column, else the most frequent."""
    header = next((line for line in lines if line.strip()), "")

    def score(delimiter: str) -> tuple[bool, int]:
        try:
            cells = next(csv.reader([header], delimiter=delimiter))
            recognise(cells)
        except (ImportFailed, csv.Error):
            return (False, header.count(delimiter))
        return (True, len(cells))

    return max(_DELIMITERS, key=score)


def _csv_fault(exc: csv.Error) -> str:
    text = str(exc)
    if "unexpected end" in text:
        return "a quote is opened and not closed"
    if "field larger" in text:
        return "a cell is larger than 128 kB: a quote may be missing"
    return "the quotes do not match"


def _workbook(data: bytes, filename: str) -> Iterator[Line]:
    try:
        import python_calamine  # noqa: PLC0415 - an extra, heavy to load
    except ImportError:
        raise ImportFailed(
            f"{filename}: save it as CSV, or install the extra xlsx: pip install '.[xlsx]' in the checkout"
        ) from None
    if data.startswith(_ZIP) and _unpacked_bytes(data) > MAX_UNPACKED_BYTES:
        raise ImportFailed(f"{filename}: the workbook unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB")
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        sheets = (book.get_sheet_by_index(index) for index in range(len(book.sheet_names)))
        filled = (rows for rows in (sheet.to_python(skip_empty_area=False) for sheet in sheets) if rows)
        rows = next(filled, [])
    except BaseException as exc:
        # A panic of the reader is no Exception, and a bad file must not end the process.
        if isinstance(exc, Exception) or type(exc).__name__ == "PanicException":
            raise ImportFailed(f"{filename}: the spreadsheet cannot be read: {exc}; {READABLE}") from exc
        raise
    return (Line(number, list(row)) for number, row in enumerate(rows, 1))


def _unpacked_bytes(data: bytes) -> int:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return 0  # the reader will report the fault
