"""Reads a file of phone numbers, with titles or without them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from speechaid.campaign import cells
from speechaid.campaign.recognition import recognise
from speechaid.campaign.tables import HEADING_LINES, Line, heading_line, not_text, open_table
from speechaid.campaign.titles import Role
from speechaid.campaign.words_for_nothing import is_nothing
from speechaid.errors import ImportFailed
from speechaid.protocol.translation import say
from speechaid.rules.numbers import Fault, Number, read_cell, read_opt_out


@dataclass(frozen=True, kw_only=True)
class NumberList:
    """The contents of a file of phone numbers."""

    #: E.164 without duplicates, in the order of the file; also numbers that no plan has, in each form.
    good: list[str]
    #: Line and reason of the lines without a number.
    bad: list[tuple[int, str]]


def read_numbers(data: bytes, filename: str, *, countries: Sequence[str]) -> NumberList:
    """Read a CSV or XLSX file of phone numbers, with titles or without them.

    An opt-out is not refused for its form (``rules.numbers.read_opt_out``).

    Args:
        data: the whole file.
        filename: for messages.
        countries: ISO 3166 alpha-2, for numbers in national form: the file's, then others in which a number
            that is not valid there may be dialled.

    Raises:
        ImportFailed: the whole file cannot be used.
    """
    table = open_table(data, filename)
    country = countries[0]
    top = list(itertools.islice(table.lines, HEADING_LINES))
    if not top:
        raise ImportFailed(say("{filename}: the file is empty", filename=filename))
    heading = _heading(top, country)
    positions = None if heading is None else _positions(top[heading], data, filename, country)
    found: dict[str, None] = {}
    bad: list[tuple[int, str]] = []
    for line in itertools.chain(top if heading is None else top[heading + 1 :], table.lines):
        texts = [cells.clean(cell) for cell in line.cells]
        columns = range(len(texts)) if positions is None else positions
        parts = [texts[column] for column in columns if column < len(texts) and not is_nothing(texts[column])]
        numbers = [number.e164 for text in parts for number in read_opt_out(text, countries)]
        found |= dict.fromkeys(numbers)
        if not numbers:
            readings = [reading for text in parts for _, reading in read_cell(text, country)]
            reasons = [say(reading) for reading in readings if isinstance(reading, Fault)]
            bad.append((line.number, line.fault or (reasons[0] if reasons else say("no phone number"))))
    if not found:
        raise ImportFailed(say("{filename}: the file has no phone number", filename=filename))
    return NumberList(good=list(found), bad=bad)


def _heading(top: list[Line], country: str) -> int | None:
    """The index of the titles; None for a file of numbers alone."""
    found = heading_line(top)
    first = top[0].cells if top else []
    has_number = any(
        isinstance(reading, Number) for cell in first for _, reading in read_cell(cells.clean(cell), country)
    )
    if found is None and not has_number:
        return 0
    return found


def _positions(titles: Line, data: bytes, filename: str, country: str) -> tuple[int, ...]:
    """The phone columns by their titles."""
    try:
        columns = recognise(titles.cells, country=country)
    except ImportFailed as exc:
        raise ImportFailed(
            say("{filename}: {not_text}", filename=filename, not_text=not_text(data) or exc)
        ) from exc
    return tuple(column.position for column in columns.of(Role.PHONE))
