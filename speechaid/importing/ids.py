"""A file of national ids, read in a child."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from speechaid.campaign.id_list import IdList, ListedId, read_ids
from speechaid.importing.output import Output
from speechaid.importing.process import Reader, ReaderPool
from speechaid.importing.subjects import file_work
from speechaid.importing.tasks import FileTask
from speechaid.protocol.translation import read_wire_text, wire_text

#: Ids, or bad lines, of one message.
_SLICE: Final = 5_000


class _ListedId(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    line: int
    dni: str = Field(max_length=1000)
    amount: float | None
    currency: str | None = Field(max_length=10)


class _IdsSlice(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    good: list[_ListedId] = Field(max_length=_SLICE)
    bad: list[tuple[int, str]] = Field(max_length=_SLICE)


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
    for begin in range(0, max(len(ids.good), len(ids.bad)), _SLICE):
        end = begin + _SLICE
        bad = [(line, wire_text(why)) for line, why in ids.bad[begin:end]]
        message = {
            "good": [asdict(one) for one in ids.good[begin:end]],
            "bad": bad,
        }
        output.send_part(json.dumps(message).encode())


class IdsReading:
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
        arguments = {"filename": filename, "country": country, "column": column, "amounts": amounts}
        self.reader: Reader = pool.begin(file_work(FileTask.IDS, arguments, data, filename))
        self.ids = IdList(good=[], bad=[])

    def poll(self) -> bool:
        """Take what the child has sent; whether it has come to the end.

        Raises:
            ImportFailed: the whole file cannot be used.
            ReaderFailed: the child has failed.
        """
        for message in self.reader.poll():
            self.reader.take_checked(self._take, message)
        return self.reader.is_finished

    def _take(self, message: bytes) -> None:
        piece = _IdsSlice.model_validate_json(message)
        self.ids.good.extend(ListedId(**one.model_dump()) for one in piece.good)
        self.ids.bad.extend((line, read_wire_text(why)) for line, why in piece.bad)
