"""Blocks on a terminal: tables that fit its width. The only module that imports rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from speechctl.render.blocks import Block, Grid, Heading


def print_blocks(blocks: Sequence[Block], console: Console | None = None) -> None:
    """Print the blocks to the console; None is standard output."""
    console = console or Console(highlight=False)
    for block in blocks:
        if isinstance(block, Grid):
            console.print(_rich_table(block))
        elif isinstance(block, Heading):
            console.print(Text(block.text, style="bold"))
        else:
            console.print(Text(block))


def _rich_table(grid: Grid) -> Table:
    table = Table(
        title=grid.title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column, header in enumerate(grid.headers):
        table.add_column(
            header, justify="right" if column in grid.right else "left", overflow="ellipsis", no_wrap=True
        )
    for row in grid.rows:
        # As Text: rich must not read markup in names and other stored values.
        table.add_row(*(Text(cell) for cell in row))
    return table
