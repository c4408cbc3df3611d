"""Reads a file of national ids, with an amount beside each where one column has it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from speechaid.campaign import cells
from speechaid.campaign.amounts import Amount, read_amount
from speechaid.campaign.national_ids import plain_id
from speechaid.campaign.people import id_key
from speechaid.campaign.person_search import Meaning, readings_of
from speechaid.campaign.tables import HEADING_LINES, Line, open_table
from speechaid.campaign.titles import TITLES, Role
from speechaid.campaign.words_for_nothing import is_nothing
from speechaid.errors import ImportFailed
from speechaid.protocol.translation import joined, say


@dataclass(frozen=True, kw_only=True)
class ListedId:
    """One id of the file."""

    line: int
    #: As written.
    dni: str
    amount: float | None = None
    #: ISO 4217; None where the cell does not say it.
    currency: str | None = None


@dataclass(frozen=True, kw_only=True)
class IdList:
    """The contents of a file of ids."""

    #: In the order of the file, each id once.
    good: list[ListedId]
    #: Line and reason of the lines that were not read.
    bad: list[tuple[int, str]]


def read_ids(
    data: bytes, filename: str, *, country: str, column: str | None = None, amounts: str | None = None
) -> IdList:
    """Read the ids of a CSV or XLSX file: of the column that is named, else the one that is called so.

    A file with one column needs no title.

    Args:
        data: the whole file.
        filename: for messages.
        country: ISO 3166 alpha-2, for the currency of amounts.
        column: the title of the ids; None: a usual one, or the only column.
        amounts: the title of the amounts; None: no amount is read.

    Raises:
        ImportFailed: the whole file cannot be used.
    """
    table = open_table(data, filename)
    top = list(itertools.islice(table.lines, HEADING_LINES))
    if not top:
        raise ImportFailed(say("{filename}: the file is empty", filename=filename))
    heading, place = _place_of_ids(top, filename, column)
    titles = [] if heading is None else _titles(top[heading])
    columns = _Columns(
        ids=place,
        check_digits=next((at for at, title in enumerate(titles) if title in _usual(Role.CHECK_DIGIT)), None),
        amounts=None if amounts is None else _place(top[heading or 0], filename, amounts),
    )
    found: dict[str, ListedId] = {}
    bad: list[tuple[int, str]] = []
    for line in itertools.chain(top if heading is None else top[heading + 1 :], table.lines):
        read = line.fault or _read_line(line, columns, country)
        if isinstance(read, str):
            bad.append((line.number, read))
        elif read is not None:
            first = found.setdefault(id_key(read.dni), read)
            if first is not read:
                bad.append((line.number, say("the same id as line {line}", line=first.line)))
    if not found:
        raise ImportFailed(say("{filename}: the file has no national id", filename=filename))
    return IdList(good=list(found.values()), bad=bad)


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The positions of what is read, from 0."""

    ids: int
    check_digits: int | None
    amounts: int | None


def _usual(role: Role) -> set[str]:
    """The titles of a role, folded."""
    return {cells.fold(title) for title in TITLES[role].split(",")}


def _read_line(line: Line, columns: _Columns, country: str) -> ListedId | str | None:
    """The id of a line, or why there is none; None for an empty line."""
    texts = [cells.clean(cell) for cell in line.cells]
    if not any(texts):
        return None
    written = (plain_id(texts[columns.ids]) or "") if columns.ids < len(texts) else ""
    of_digits, of_amounts = columns.check_digits, columns.amounts
    if of_digits is not None and of_digits < len(texts) and len(texts[of_digits]) == 1 and "-" not in written:
        written = f"{written}-{texts[of_digits]}"
    if is_nothing(written):
        return say("there is no national id")
    if not any(way.meaning is Meaning.ID for way in readings_of(written, [])):
        return say("that is no national id")
    if of_amounts is None or of_amounts >= len(texts) or is_nothing(texts[of_amounts]):
        return ListedId(line=line.number, dni=written)
    amount = read_amount(line.cells[of_amounts], country)
    if not isinstance(amount, Amount):
        return say("the amount cannot be read: {amount}", amount=amount)
    return ListedId(line=line.number, dni=written, amount=float(amount.value), currency=amount.currency)


def _place_of_ids(top: Sequence[Line], filename: str, column: str | None) -> tuple[int | None, int]:
    """The index of the line of titles (None: there is none), and the column of ids."""
    if column is not None:
        for index, line in enumerate(top):
            if cells.fold(column) in _titles(line):
                return index, _place(line, filename, column)
        return 0, _place(top[0], filename, column)
    usual = _usual(Role.DNI)
    for index, line in enumerate(top):
        of_ids = [place for place, title in enumerate(_titles(line)) if title in usual]
        if of_ids:
            return index, of_ids[0]
    filled = {place for line in top for place, title in enumerate(_titles(line)) if title}
    if len(filled) != 1:
        raise ImportFailed(
            say("{filename}: no column is called as ids are: name it with --column", filename=filename)
        )
    (place,) = filled
    has_digit = any(character.isdecimal() for title in _titles(top[0]) for character in title)
    return (None if has_digit else 0), place


def _place(line: Line, filename: str, column: str) -> int:
    titles = _titles(line)
    if cells.fold(column) not in titles:
        shown = joined(", ", (repr(cells.clean(cell)) for cell in line.cells if cells.clean(cell)))
        raise ImportFailed(
            say(
                "{filename}: no column is called {column!r}; there are: {shown}",
                filename=filename,
                column=column,
                shown=shown,
            )
        )
    return titles.index(cells.fold(column))


def _titles(line: Line) -> list[str]:
    return [cells.fold(cells.clean(cell)) for cell in line.cells]
