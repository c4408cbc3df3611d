"""The texts of a row's cells: cleaned for reading, or as written for a file of bad rows. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

from speechaid.campaign import cells
from speechaid.campaign.columns import Column, Columns
from speechaid.campaign.kinds import Kind
from speechaid.campaign.number_formats import ShownNumber
from speechaid.campaign.rows import Remarking, UnusableRowError
from speechaid.campaign.tables import MAX_COLUMNS, Line
from speechaid.campaign.titles import Role
from speechaid.campaign.words_for_nothing import is_ambiguous, is_nothing
from speechaid.protocol.translation import say

#: A longer cell is a broken file.
MAX_CELL_CHARACTERS: Final = 10_000
#: What a file of bad rows has before each part of a cell that a spreadsheet would calculate, also behind a
#: sign that separates cells elsewhere (``speechctl.sheets`` writes it): ``$ 1.500,'-``.
_ADDED: Final = re.compile(
    r"(?:^|(?<=[,;\t\r\n]))'(?=[ \"\0\v\f\x1c-\x1f\x85\xa0\u200b\u2028\u2029\u3000\ufeff]*"
    r"[=@+\-\uff1d\uff20\uff0b\uff0d])"
)
#: What ``_undecorated`` looks at.
_DECORATIONS: Final = ("'", "=", "\u201c")
_QUOTED: Final = re.compile("'([^']+)'|\u201c([^\u201c\u201d]+)\u201d")
_KEPT_AS_TEXT: Final = re.compile(r"'[\s\"]*[=+\-@\d(\uff1d\uff0b\uff0d\uff20]")
_TEXT_FORMULA: Final = re.compile(r'="((?:[^"]|"")*)"')
#: From 1899-12-30 to 1904-01-01.
_DAYS_TO_1904: Final = 1462


def clean_texts(line: Line, columns: Columns, width: int) -> list[str]:
    """The cells as clean text, padded to the width of the heading.

    Args:
        line: the row.
        columns: of the heading.
        width: of the heading, with the columns behind its last title.

    Raises:
        UnusableRowError: these cells are no row of the table.
    """
    texts = _clean(line, _cells(line, columns))
    titled = len(columns.titles)
    if len(texts) > titled and any(texts[max(titled, width) :]):
        raise UnusableRowError(
            say(
                "the row has {texts} cells, the header {width}: a quote may be missing",
                texts=len(texts),
                width=titled,
            )
        )
    if any(len(text) > MAX_CELL_CHARACTERS for text in texts):
        raise UnusableRowError(
            say(
                "a cell has more than {MAX_CELL_CHARACTERS:,} characters",
                MAX_CELL_CHARACTERS=MAX_CELL_CHARACTERS,
            )
        )
    return texts[:titled] + [""] * (titled - len(texts))


def _clean(line: Line, row: Sequence[Any]) -> list[str]:
    if all(type(cell) is str for cell in row) and (together := " ".join(row)).isprintable():
        # What ``clean`` does with printable text, for most rows at once.
        texts = [cell.strip() for cell in row]
        if not any(mark in together for mark in _DECORATIONS):
            return texts
    else:
        if any(isinstance(cell, str) and "\0" in cell for cell in line.cells):
            raise UnusableRowError(say("the row has NUL characters"))
        texts = list(map(cells.clean, row))
    return [_undecorated(text) if text[:1] in _DECORATIONS else text for text in texts]


def text_of(role: Role, columns: Columns, texts: Sequence[str]) -> str | None:
    """The text of a role that a file has once; None for nothing."""
    found = columns.of(role)
    text = cells.one_line(texts[found[0].position]) if found else ""
    return None if is_nothing(text) else text.removeprefix("'")


def remark_ambiguous(column: Column, text: str, remark: Remarking) -> None:
    """Remark a word for nothing that may be a name as well."""
    if is_ambiguous(text):
        remark(
            Kind.ASSUMED,
            say(
                "{short_title}: {text!r} is taken for an empty cell",
                short_title=column.short_title,
                text=text,
            ),
        )


def cells_as_written(line: Line, columns: Columns, *, counts_from_1904: bool) -> list[str | int | float]:
    """The cells of a bad row as the file has them."""
    of_amount = {column.position for column in columns.of(Role.DEBT_AMOUNT)}
    written = [
        _as_typed(cell) if place in of_amount else _as_written(cell)
        for place, cell in enumerate(_cells(line, columns)[:MAX_COLUMNS])
    ]
    for column in columns.of(Role.DUE_DATE) if counts_from_1904 else ():
        cell = written[column.position] if column.position < len(written) else ""
        # The file that it is written to counts from 1900.
        written[column.position : column.position + 1] = [days_from_1900(cell)]
    return written


def _cells(line: Line, columns: Columns) -> list[Any]:
    """The cells without what a file of bad rows added to them."""
    if not columns.is_of_bad_rows:
        return line.cells
    return [_ADDED.sub("", cell) if isinstance(cell, str) else cell for cell in line.cells]


def _undecorated(text: str) -> str:
    """Without what keeps a text in a spreadsheet: the apostrophe of ``'0123`` or ``'=1``, and ``="0123"``."""
    match = _TEXT_FORMULA.fullmatch(text)
    if match is not None:
        return match[1].replace('""', '"').strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        return (quoted[1] or quoted[2]).strip()
    return text[1:].strip() if _KEPT_AS_TEXT.match(text) else text


def days_from_1900(cell: Any) -> Any:
    """A number of the day in a workbook that counts from 1904, as one that counts from 1900."""
    return cell + _DAYS_TO_1904 if isinstance(cell, int | float) else cell


def _as_typed(cell: object) -> str | int | float:
    """As its format shows it, in words and decimals: the file of bad rows has no formats."""
    if not isinstance(cell, ShownNumber):
        return _as_written(cell)
    shown = ShownNumber(cell.rounded_value, cell.form)
    return shown.typed_text if cell.form.before or cell.form.behind else _as_written(float(shown))


def _as_written(cell: object) -> str | int | float:
    if isinstance(cell, ShownNumber):
        return cell.text if cell.form.sign else _as_written(float(cell))
    if isinstance(cell, float) and math.isfinite(cell):
        return int(cell) if cell.is_integer() else cell
    return cell if isinstance(cell, int) else cells.clean(cell)[:MAX_CELL_CHARACTERS]
