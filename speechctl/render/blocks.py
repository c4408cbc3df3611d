"""What is shown, independent of where: headings, lines and tables; and their plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from speechaid.protocol.translation import say

#: Control characters and direction overrides, which a terminal would act on: a stored name may hold anything.
_CONTROL_CHARACTERS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: Longest cell, in characters, so that one name does not widen every row; --json shows it whole.
MAX_CELL_WIDTH: Final = 60

#: What a command answered.
Result = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table; ``right`` holds the columns (0-based) of numbers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    right: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A line above what follows."""

    text: str


Block = str | Heading | Grid


def table(title: str, headers: str, rows: Sequence[Sequence[Any]]) -> Grid:
    """A table from values.

    Args:
        title: above the table, in English or already in the reader's language; empty for none.
        headers: in English, separated by spaces; ``_`` becomes a space, ``#`` before a header marks a column
            of numbers.
        rows: values; None becomes an empty cell.
    """
    names = headers.split()
    return Grid(
        title=say(title),
        headers=tuple(say(name.lstrip("#").replace("_", " ")) for name in names),
        rows=tuple(_cells(row) for row in rows),
        right=frozenset(index for index, name in enumerate(names) if name.startswith("#")),
    )


def _cells(row: Sequence[Any]) -> tuple[str, ...]:
    """Values as cells of one line each; the last cell widens no other column and is not cut."""
    cells = ["" if cell is None else " ".join(sanitized(str(cell)).splitlines()) for cell in row]
    return (*(_cut(cell) for cell in cells[:-1]), *cells[-1:])


def _cut(cell: str) -> str:
    return cell if len(cell) <= MAX_CELL_WIDTH else cell[: MAX_CELL_WIDTH - 1].rstrip() + "…"


def sanitized(text: str) -> str:
    """The text with control characters replaced by ``?``, so that a terminal does not act on them."""
    return _CONTROL_CHARACTERS.sub("?", text)


def as_text(blocks: Sequence[Block]) -> str:
    """Plain lines and aligned columns, for files and pipes."""
    lines = [line for block in blocks for line in _lines(block)]
    # A heading ends with an empty line and a table begins with one: where they meet, one is dropped, as is
    # an empty first line.
    doubled = ("" == before == line for before, line in pairwise(["", *lines]))
    return "\n".join(line for line, is_double in zip(lines, doubled, strict=True) if not is_double)


def _lines(block: Block) -> list[str]:
    if isinstance(block, Heading):
        return [block.text, ""]
    if isinstance(block, str):
        return [block]
    rows = [block.headers, *block.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(block.headers))]
    return [
        "",
        *([block.title] if block.title else []),
        *(_aligned(row, widths, block.right) for row in rows),
    ]


def _aligned(row: Sequence[str], widths: Sequence[int], right: frozenset[int]) -> str:
    cells = [
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
