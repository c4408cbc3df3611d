"""Reads a file of phone numbers, with named columns or without a header."""

from __future__ import annotations

from dataclasses import dataclass

from speechaid.campaign import cells
from speechaid.campaign.columns import recognise
from speechaid.campaign.tables import Line, no_header, read_lines
from speechaid.errors import ImportFailed
from speechaid.rules.phones import normalise


@dataclass(frozen=True, kw_only=True)
class NumberList:
    """The contents of a file of phone numbers."""

    #: E.164 without duplicates, in the order of the file.
    good: list[str]
    #: Line and reason of the lines without a number.
    bad: list[tuple[int, str]]


def read_numbers(data: bytes, filename: str, *, country: str) -> NumberList:
    """Read a CSV or XLSX file of phone numbers, with a header or without one.

    Args:
        data: the whole file.
        filename: for messages.
        country: ISO 3166 alpha-2, for numbers in national form.

    Raises:
        ImportFailed: the whole file cannot be used.
    """
    lines = list(read_lines(data, filename))
    positions = _positions(lines[0], data, filename, country) if lines else None
    found: dict[str, None] = {}
    bad: list[tuple[int, str]] = []
    for line in lines if positions is None else lines[1:]:
        texts = [cells.clean(cell) for cell in line.cells]
        columns = range(len(texts)) if positions is None else positions
        phones = [texts[column] for column in columns if column < len(texts) and texts[column]]
        numbers = [number for text in phones if (number := normalise(text, country)) is not None]
        found |= dict.fromkeys(numbers)
        if not numbers:
            bad.append((line.number, line.fault or "no phone number"))
    if not found:
        raise ImportFailed(f"{filename}: the file has no phone number")
    return NumberList(good=list(found), bad=bad)


def _positions(first: Line, data: bytes, filename: str, country: str) -> tuple[int, ...] | None:
    """The phone columns by their names; None where the first line has a number and is no header."""
    if any(normalise(cells.clean(cell), country) for cell in first.cells):
        return None
    try:
        return recognise(first.cells).phones
    except ImportFailed as exc:
        raise ImportFailed(f"{filename}: {no_header(data) or exc}") from exc
