"""Results as files: CSV always, XLSX where XlsxWriter is installed."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from speechctl.private_files import open_private

Cells = Sequence[Any]
#: A table: name, column titles, rows.
Sheet = tuple[str, Sequence[str], Iterable[Cells]]

_ENDINGS: Final = ("", ".csv", ".xlsx")
#: Where a reader by semicolons or tabs begins a new cell or row: it heeds quotes only at the start of a cell.
_SEPARATORS: Final = re.compile(r"([;\t\r\n])")
#: What readers drop before a formula: quotes, blanks and what cannot be seen.
_DROPPED: Final = ' "\0\v\f\x1c\x1d\x1e\x1f\x85\xa0\u200b\u2028\u2029\u3000\ufeff'
#: First characters of a formula (OWASP, CSV Injection), also in the wide forms of East Asian keyboards.
_FORMULAS: Final = ("=", "@", "\uff1d", "\uff20")
_SIGNS: Final = ("+", "-", "\uff0b", "\uff0d")
_NUMBER: Final = re.compile(r"[+-][0-9]+(?:[.,][0-9]+)*|[+-]")
_PHONE: Final = re.compile(r"\+[0-9][0-9 ().\-/]{6,30}")
_PHONE_DIGITS: Final = range(8, 16)
#: The most rows that an Excel sheet holds, below the titles.
_MAX_ROWS: Final = 1_048_575


class SheetError(Exception):
    """The file cannot be written; the message says why."""


def check_name(path: str) -> None:
    """Check that the name's ending says what to write; without an ending it is CSV, as for ``/dev/stdout``.

    Raises:
        SheetError: the ending is neither ``.csv`` nor ``.xlsx``.
    """
    ending = Path(path).suffix
    if path != "-" and ending.lower() not in _ENDINGS:
        raise SheetError(f"{path}: {ending} files are not written; name a .csv or .xlsx file")


def write(path: str, sheets: Sequence[Sheet]) -> None:
    """Write all tables to an ``.xlsx`` workbook, or the first to any other path as CSV; ``-`` is stdout.

    Raises:
        SheetError: it cannot be written.
    """
    try:
        if Path(path).suffix.lower() == ".xlsx":
            with open_private(path) as file:
                _workbook(path, file, sheets)
            return
        with _opened(path) as text:
            writer = csv.writer(text, lineterminator="\n")
            _, titles, rows = sheets[0]
            writer.writerow(_escape_formulas(titles))
            writer.writerows(_escape_formulas(row) for row in rows)
    except OSError as exc:
        if path == "-":
            raise  # faults of standard output are reported as for any other answer
        raise SheetError(f"{path}: {exc.strerror}") from exc


def _workbook(path: str, file: BinaryIO, sheets: Sequence[Sheet]) -> None:
    try:
        from xlsxwriter import Workbook
    except ImportError:
        raise SheetError(
            f"{path}: name a .csv file, or install the extra: pip install '.[xlsx]' in the checkout"
        ) from None
    book = Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    bold = book.add_format({"bold": True})
    for name, titles, rows in sheets:
        sheet = book.add_worksheet(name[:31])
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, titles, bold)
        for number, row in enumerate(rows, 1):
            if number > _MAX_ROWS:
                raise SheetError(f"{path}: more rows than a sheet holds; name a .csv file")
            for column, cell in enumerate(row):
                if isinstance(cell, bool | int | float):
                    sheet.write(number, column, cell)
                elif cell is not None:
                    sheet.write_string(number, column, str(cell))
    book.close()


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    if path == "-":
        yield sys.stdout
        return
    with open_private(path) as file:
        # Excel reads a CSV file as UTF-8 only with a byte order mark.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        yield text
        text.detach()


def _escape_formulas(row: Cells) -> list[Any]:
    """A row of a CSV file, with an apostrophe before each part that a spreadsheet would calculate.

    Readers that separate by semicolons, as where the comma is the decimal sign, find other cells in our file:
    the row as far as the first semicolon, and what stands behind each. A cell with numbers or phone numbers
    alone stays as it is; not so the first, which in such a reader is a number that the next cell continues:
    ``+569,1+A1``.
    """
    return [_escape_cell(cell, begins_row=place == 0) for place, cell in enumerate(row)]


def _escape_cell(cell: Any, *, begins_row: bool) -> Any:
    if cell is None or isinstance(cell, bool) or (isinstance(cell, int | float) and not begins_row):
        return cell
    text = str(cell)
    if not begins_row and (_NUMBER.fullmatch(text) or all(map(_is_phone, text.split(",")))):
        return cell
    escaped = "".join(f"'{part}" if _is_formula(part) else part for part in _SEPARATORS.split(text))
    return f"'{escaped}" if text.startswith(("\t", "\r", "\n")) else escaped


def _is_formula(part: str) -> bool:
    return part.lstrip(_DROPPED).startswith((*_FORMULAS, *_SIGNS))


def _is_phone(text: str) -> bool:
    """Whether it is a phone number; digits alone can call nothing, and this many are no calculation."""
    return bool(_PHONE.fullmatch(text.strip())) and sum(map(str.isdigit, text)) in _PHONE_DIGITS


def report_sheets(report: Mapping[str, Any]) -> list[Sheet]:
    """A campaign report as tables."""
    calls, jobs, promises = report["calls"], report["jobs"], report["promises"]
    summary = [
        ("As of", report["at"]),
        ("Batch", report["batch_id"] or "all"),
        ("Jobs", jobs["total"]),
        *((f"Jobs {name}", count) for name, count in jobs["by_status"].items()),
        ("Calls", calls["total"]),
        ("Connected", calls["connected"]),
        ("Successful", calls["successful"]),
        ("Success rate", calls["success_rate"]),
        ("Minutes", calls["minutes"]),
        ("Cost", calls["cost"]),
        ("Cost per success", calls["cost_per_success"]),
        ("Charged minutes", calls["charged"]["minutes"]),
        ("Charged credit", calls["charged"]["credit"]),
        ("Promises to pay", promises["jobs"]),
        ("Promised amount", promises["amount"]),
    ]
    rated = ("calls", "successful", "success_rate")
    batch = ("batch_id", "name", "jobs", *rated, "minutes", "cost")
    return [
        ("Summary", ("Figure", "Value"), summary),
        ("Outcomes", ("Outcome", "Calls"), list(calls["by_outcome"].items())),
        ("Attempts", ("Attempt", *rated), _rows(report["attempts"], "attempt", *rated)),
        (
            f"Hours {report['timezone']}".replace("/", " "),
            ("Hour", *rated),
            _rows(report["hours"], "hour", *rated),
        ),
        ("Batches", batch, _rows(report["batches"], *batch)),
        ("Promises by day", ("Day", "Jobs"), _rows(promises["by_day"], "day", "jobs")),
    ]


def write_bad_rows(path: str, rows: Sequence[Mapping[str, Any]], form: Mapping[str, Any]) -> None:
    """Write rows that an import refused as the input has them, with line and reason: to be corrected there.

    Args:
        path: a CSV or XLSX file.
        rows: ``line``, ``reason`` and ``cells`` of each.
        form: the input's ``titles``, ``delimiter`` and ``codec``; the last two are None for a workbook.

    Raises:
        SheetError: it cannot be written.
    """
    # The importer ignores the first two columns, so that the corrected file can be imported as it is.
    header = ["_line", "_reason", *(form.get("titles") or ())]
    # A row with too many cells keeps them, and so stays bad until it is corrected.
    table = [[row["line"], row["reason"], *row["cells"]] for row in rows]
    if Path(path).suffix.lower() == ".xlsx":
        write(path, [("Bad rows", header, table)])
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=form.get("delimiter") or ",", lineterminator="\r\n")
    writer.writerow(_escape_formulas(header))
    writer.writerows(_escape_formulas(row) for row in table)
    try:
        if path == "-":
            sys.stdout.write(text.getvalue())
            return
        with open_private(path) as file:
            file.write(_encoded(text.getvalue(), form.get("codec")))
    except OSError as exc:
        raise SheetError(f"{path}: {exc.strerror}") from exc


def _encoded(text: str, codec: str | None) -> bytes:
    """In the input's encoding where that has all characters, else in UTF-8 with the mark that Excel needs."""
    if codec not in {None, "utf_8"}:
        try:
            return text.encode(str(codec))
        except UnicodeEncodeError:
            pass
    return text.encode("utf-8-sig")


def _rows(entries: Iterable[Mapping[str, Any]], *names: str) -> list[Cells]:
    return [[entry[name] for name in names] for entry in entries]
