"""A file of national ids, read in a child."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from speechaid.campaign.id_list import IdList, ListedId, read_ids
from speechaid.importing.lists import ListReading, ListSlice, send_slices
from speechaid.importing.output import Output
from speechaid.importing.process import ReaderPool
from speechaid.importing.tasks import FileTask
from speechaid.protocol.translation import read_wire_text


class _ListedId(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    line: int
    dni: str = Field(max_length=1000)
    amount: float | None
    currency: str | None = Field(max_length=10)


_SLICE: Final = ListSlice[_ListedId]


def run(arguments: Mapping[str, Any], file: bytes, output: Output) -> None:
    """Read the ids of a file.

    Raises:
        ImportFailed: the whole file cannot be used.
    """
    ids = read_ids(
        file,
        str(arguments["filename"]),
        country=str(arguments["country"]),
        column=arguments["column"],
        amounts=arguments["amounts"],
    )
    send_slices([asdict(one) for one in ids.good], ids.bad, output)


class IdsReading(ListReading):
    """A file of ids that a child reads; ``poll`` until it is finished."""

    def __init__(
        self,
        pool: ReaderPool,
        data: bytes,
        filename: str,
        *,
        country: str,
        column: str | None,
        amounts: str | None,
    ) -> None:
        """Begin as soon as there is a place; the arguments are those of ``read_ids``."""
        arguments = {"country": country, "column": column, "amounts": amounts}
        super().__init__(pool, FileTask.IDS, arguments, data, filename)
        self.ids = IdList(good=[], bad=[])

    def take(self, message: bytes) -> None:
        """Check one message, and keep its ids."""
        piece = _SLICE.model_validate_json(message)
        self.ids.good.extend(ListedId(**one.model_dump()) for one in piece.good)
        self.ids.bad.extend((line, read_wire_text(why)) for line, why in piece.bad)
