"""What an answer looks like, apart from where it is shown: lines and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

#: What a terminal would obey instead of showing: a name in the database may hold anything.
_COMMANDS_OF_TERMINALS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: A cell has no more characters, or one name would widen every row; --json has it whole.
WIDEST: Final = 60


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table; ``right`` names the columns (0-based) of numbers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    right: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A line that opens what follows."""

    text: str


Block = str | Heading | Grid


def grid(title: str, headers: str, rows: Sequence[Sequence[Any]]) -> Grid:
    """A table from values; ``headers`` are words, those of columns of numbers with a ``#`` before them."""
    words = headers.split()
    return Grid(
        title=title,
        headers=tuple(word.lstrip("#").replace("_", " ") for word in words),
        rows=tuple(_cells(row) for row in rows),
        right=frozenset(index for index, word in enumerate(words) if word.startswith("#")),
    )


def _cells(row: Sequence[Any]) -> tuple[str, ...]:
    """Values as cells of one line each; the last one widens nothing and stays whole."""
    cells = ["" if cell is None else " ".join(harmless(str(cell)).splitlines()) for cell in row]
    return (*(_cut(cell) for cell in cells[:-1]), *cells[-1:])


def _cut(cell: str) -> str:
    return cell if len(cell) <= WIDEST else cell[: WIDEST - 1].rstrip() + "…"


def harmless(text: str) -> str:
    """The text without what a terminal would obey."""
    return _COMMANDS_OF_TERMINALS.sub("?", text)


def as_text(blocks: Sequence[Block]) -> str:
    """Plain lines and aligned columns, for files and pipes."""
    lines = [line for block in blocks for line in _lines(block)]
    # A heading ends with an empty line and a table begins with one: where they meet, one is enough, and
    # at the top of all none is wanted.
    doubled = ("" == before == line for before, line in pairwise(["", *lines]))
    return "\n".join(line for line, again in zip(lines, doubled, strict=True) if not again)


def _lines(block: Block) -> list[str]:
    if isinstance(block, Heading):
        return [block.text, ""]
    if isinstance(block, str):
        return [block]
    table = [block.headers, *block.rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(block.headers))]
    lines = [_aligned(row, widths, block.right) for row in table]
    return ["", *([block.title] if block.title else []), *lines]


def _aligned(row: Sequence[str], widths: Sequence[int], right: frozenset[int]) -> str:
    cells = [
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
