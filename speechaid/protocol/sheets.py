"""Tables as CSV, and as XLSX where XlsxWriter is installed: one way for the terminal and the page."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import IO, Any, BinaryIO, Final
from zoneinfo import ZoneInfo

from speechaid.protocol.messages import ColumnKind
from speechaid.protocol.text import encodable_text
from speechaid.protocol.translation import say

Cells = Sequence[Any]
#: A table: name, column titles, rows.
Sheet = tuple[str, Sequence[str], Iterable[Cells]]

#: By our delimiter, where a reader by another one begins a new cell or row: it heeds quotes only at the start
#: of a cell.
_SEPARATORS: Final = {
    delimiter: re.compile(f"([{others}\\r\\n])")
    for delimiter, others in ((",", ";\t"), (";", ",\t"), ("\t", ",;"), ("|", ",;\t"))
}
#: What readers drop before a formula: quotes, blanks and what cannot be seen.
_DROPPED: Final = ' "\0\v\f\x1c\x1d\x1e\x1f\x85\xa0\u200b\u2028\u2029\u3000\ufeff'
#: First characters of a formula (OWASP, CSV Injection), also in the wide forms of East Asian keyboards.
_FORMULAS: Final = ("=", "@", "\uff1d", "\uff20")
_SIGNS: Final = ("+", "-", "\uff0b", "\uff0d")
_NUMBER: Final = re.compile(r"[+-][0-9]+(?:[.,][0-9]+)*|[+-]")
_PHONE: Final = re.compile(r"\+[0-9][0-9 ().\-/]{6,30}")
_DAY: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?: 00:00:00)?")
_PHONE_DIGITS: Final = range(8, 16)
#: The most rows that an Excel sheet holds, below the titles.
_MAX_ROWS: Final = 1_048_575
#: The most characters that a cell of Excel holds.
_MAX_TEXT: Final = 32_767
#: Numbers of more digits lose the last ones in a spreadsheet.
_EXACT_BELOW: Final = 10**15
#: Excel has no date before.
_FIRST_YEAR: Final = 1900
#: Characters that a column shows at most.
_MAX_WIDTH: Final = 60


class Share(float):
    """A share from 0 to 1, which a workbook shows as percent."""


class _Number(str):
    """A number as a CSV file has it."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class CsvForm:
    """The signs of a CSV file."""

    delimiter: str = ","
    decimal: str = "."


#: In the order of a date that no country misreads. Whole numbers never in scientific form.
_NUMBER_FORMATS: Final[Mapping[type, str]] = {
    datetime: "yyyy-mm-dd hh:mm:ss",
    date: "yyyy-mm-dd",
    Share: "0.0%",
    int: "0",
}


class SheetError(Exception):
    """The file cannot be written; the message says why."""


def write_workbook(path: str, file: BinaryIO, sheets: Sequence[Sheet]) -> None:
    """Write tables as a workbook.

    Args:
        path: what the file is called, for refusals.
        file: takes the bytes.
        sheets: as of ``speechctl.sheets.write``.

    Raises:
        SheetError: XlsxWriter is not installed, or there are more rows than a sheet holds.
    """
    try:
        from xlsxwriter import Workbook  # noqa: PLC0415 - of an extra
    except ImportError:
        raise SheetError(
            say(
                "{path}: name a .csv file, or install the extra: pip install '.[xlsx]' in the checkout",
                path=path,
            )
        ) from None
    # Rows go to a temporary file as they come: the memory does not grow with them.
    book = Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    formats = {kind: book.add_format({"num_format": code}) for kind, code in _NUMBER_FORMATS.items()}
    bold = book.add_format({"bold": True})
    for name, titles, rows in sheets:
        sheet = book.add_worksheet(name[:31])
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, list(map(encodable_text, titles)), bold)
        # The button of the filter covers the end of a title.
        widths = [len(title) + 4 for title in titles]
        number = 0
        for number, row in enumerate(rows, 1):
            if number > _MAX_ROWS:
                raise SheetError(say("{path}: more rows than a sheet holds; name a .csv file", path=path))
            for column, cell in enumerate(row):
                width = _write_cell(sheet, number, column, cell, formats) + 2
                if column < len(widths):
                    widths[column] = max(widths[column], width)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, min(width, _MAX_WIDTH))
        if titles:
            sheet.autofilter(0, 0, max(number, 1), len(titles) - 1)
    book.close()


def _write_cell(sheet: Any, row: int, column: int, cell: Any, formats: Mapping[type, Any]) -> int:
    """Write one cell; returns how many characters it shows."""
    if cell is None:
        return 0
    if isinstance(cell, date) and cell.year >= _FIRST_YEAR:
        sheet.write_datetime(row, column, cell, formats[type(cell)])
        return len(str(cell))
    if isinstance(cell, bool):
        sheet.write_boolean(row, column, cell)
    elif isinstance(cell, int | float) and math.isfinite(cell) and abs(cell) < _EXACT_BELOW:
        sheet.write_number(row, column, cell, formats.get(type(cell)))
    else:
        text = encodable_text(str(cell))
        sheet.write_string(row, column, text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…")
    return len(str(cell))


def write_csv(text: IO[str], rows: Iterable[Cells], form: CsvForm, *, line_end: str) -> None:
    """Write a table whose cells no spreadsheet calculates.

    Args:
        text: takes the text.
        rows: the titles are the first.
        form: its signs.
        line_end: between two rows.
    """
    writer = csv.writer(text, delimiter=form.delimiter, lineterminator=line_end)
    for row in rows:
        cells = [_csv_cell(cell, form.decimal) for cell in row]
        writer.writerow(_escape_formulas(cells, form.delimiter))


def _csv_cell(cell: Any, decimal: str) -> Any:
    if isinstance(cell, float) and math.isfinite(cell):
        # Never in scientific form, which not every reader takes for a number.
        return _Number(f"{Decimal(repr(float(cell))):f}".replace(".", decimal))
    return encodable_text(cell) if isinstance(cell, str) else cell


def _escape_formulas(row: Cells, delimiter: str) -> list[Any]:
    """A row of a CSV file, with an apostrophe before each part that a spreadsheet would calculate.

    Readers that separate by another sign than ours find other cells in our file: the row as far as the first
    such sign, and what stands behind each. A cell with numbers or phone numbers alone stays as it is; not so
    the first, which in such a reader is a number that the next cell continues: ``+569,1+A1``.
    """
    return [_escape_cell(cell, delimiter, begins_row=place == 0) for place, cell in enumerate(row)]


def _escape_cell(cell: Any, delimiter: str, *, begins_row: bool) -> Any:
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, int | float | _Number) and not begins_row:
        return cell
    text = str(cell)
    # Where the comma is the decimal sign, two numbers with a comma and a plus between them are a sum.
    phones = text.split(",") if delimiter == "," else [text]
    if not begins_row and (_NUMBER.fullmatch(text) or all(map(_is_phone, phones))):
        return cell
    parts = _SEPARATORS[delimiter].split(text)
    escaped = "".join(f"'{part}" if _is_formula(part) else part for part in parts)
    return f"'{escaped}" if text.startswith(("\t", "\r", "\n")) else escaped


def _is_formula(part: str) -> bool:
    return part.lstrip(_DROPPED).startswith((*_FORMULAS, *_SIGNS))


def _is_phone(text: str) -> bool:
    """Whether it is a phone number; digits alone can call nothing, and this many are no calculation."""
    return bool(_PHONE.fullmatch(text.strip())) and sum(map(str.isdigit, text)) in _PHONE_DIGITS


def local_time(text: object, zone: str) -> object:
    """A time as the daemon writes it, in the zone and without it; what is no time stays as it is.

    Args:
        text: ISO 8601; without an offset in UTC.
        zone: an IANA name.
    """
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return text
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(ZoneInfo(zone)).replace(tzinfo=None, microsecond=0)


def date_or_text(text: object) -> object:
    """``YYYY-MM-DD`` as a date, also with a midnight behind it; any other value stays as it is."""
    match = _DAY.fullmatch(text) if isinstance(text, str) else None
    try:
        return text if match is None else date.fromisoformat(match[1])
    except ValueError:
        return text


def exported_titles(page: Mapping[str, Any]) -> list[str]:
    """The titles of a file of exported rows, by a page of the answer of ``export``."""
    zone = page.get("timezone", "UTC")
    return [
        f"{title} ({zone})" if kind == ColumnKind.TIME else title
        for title, kind in zip(page["columns"], _kinds_of(page), strict=True)
    ]


def exported_cells(row: Sequence[Any], page: Mapping[str, Any]) -> list[Any]:
    """A row of a page as a file has it: times are local, dates are dates, ids and phones are texts."""
    zone = page.get("timezone", "UTC")
    return [_exported(cell, kind, zone) for cell, kind in zip(row, _kinds_of(page), strict=True)]


def _kinds_of(page: Mapping[str, Any]) -> Sequence[str]:
    # A daemon of an older version does not say what its columns are.
    return page.get("kinds") or [""] * len(page["columns"])


def _exported(cell: Any, kind: str, zone: str) -> Any:
    if cell is None:
        return None
    if kind == ColumnKind.TIME:
        return local_time(cell, zone)
    if kind == ColumnKind.DAY:
        return date_or_text(cell)
    return str(cell) if kind == ColumnKind.TEXT else cell


def encode_bad_rows(path: str, rows: Sequence[Mapping[str, Any]], form: Mapping[str, Any]) -> bytes:
    """Rows that an import refused as the input has them, with line and reason: to be corrected there.

    Args:
        path: what the file is called; its ending decides whether it is a workbook or CSV.
        rows: ``line``, ``reason`` and ``cells`` of each.
        form: the input's ``titles``, ``delimiter``, ``decimal`` and ``codec``, which is None for a workbook.

    Raises:
        SheetError: it cannot be written.
    """
    if not path.lower().endswith(".xlsx"):
        return _encoded(bad_rows_text(rows, form), form.get("codec"))
    titles, *table = _bad_rows_table(rows, form)
    if not form.get("codec"):
        table = [[*row[:2], *map(date_or_text, row[2:])] for row in table]
    made = io.BytesIO()
    write_workbook(path, made, [(say("Bad rows"), titles, table)])
    return made.getvalue()


def bad_rows_text(rows: Sequence[Mapping[str, Any]], form: Mapping[str, Any]) -> str:
    """As ``encode_bad_rows``: the text of a CSV file."""
    text = io.StringIO(newline="")
    signs = CsvForm(delimiter=form.get("delimiter") or ",", decimal=form.get("decimal") or ".")
    table = [list(map(_unmistakable, row)) for row in _bad_rows_table(rows, form)]
    write_csv(text, table, signs, line_end="\r\n")
    return text.getvalue()


def _bad_rows_table(rows: Sequence[Mapping[str, Any]], form: Mapping[str, Any]) -> list[list[Any]]:
    # The importer ignores the first two columns, so that the corrected file can be imported as it is.
    # A row with too many cells keeps them, and so stays bad until it is corrected.
    titles = ["_line", "_reason", *(form.get("titles") or ())]
    return [titles, *([row["line"], row["reason"], *row["cells"]] for row in rows)]


def _unmistakable(cell: Any) -> Any:
    """A number of a workbook for a text file, where three decimals are read as thousands: 150.125."""
    plain = repr(cell)
    return f"{plain}0" if isinstance(cell, float) and re.fullmatch(r"\d+\.\d{3}", plain) else cell


def _encoded(text: str, codec: str | None) -> bytes:
    """In the input's encoding where that has all characters, else in UTF-8 with the mark that Excel needs."""
    if codec not in {None, "utf_8"}:
        try:
            return text.encode(str(codec))
        except UnicodeEncodeError:
            pass
    return text.encode("utf-8-sig")
