"""A file of phone numbers, read in a child."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from speechaid.campaign.number_list import NumberList, read_numbers
from speechaid.importing.output import Output
from speechaid.importing.process import Reader, ReaderPool
from speechaid.importing.subjects import file_work
from speechaid.importing.tasks import FileTask
from speechaid.protocol.translation import read_wire_text, wire_text

#: Numbers, or bad lines, of one message.
_SLICE: Final = 5_000

_Number = Annotated[str, StringConstraints(pattern=r"^\+[0-9]{1,20}$")]


class _NumbersSlice(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    good: list[_Number] = Field(max_length=_SLICE)
    bad: list[tuple[int, str]] = Field(max_length=_SLICE)


def run(arguments: Mapping[str, Any], file: bytes, output: Output) -> None:
    """Read the numbers of a file.

    Raises:
        ImportFailed: the whole file cannot be used.
    """
    numbers = read_numbers(file, str(arguments["filename"]), countries=list(arguments["countries"]))
    for begin in range(0, max(len(numbers.good), len(numbers.bad)), _SLICE):
        end = begin + _SLICE
        bad = [(line, wire_text(why)) for line, why in numbers.bad[begin:end]]
        message = {
            "good": numbers.good[begin:end],
            "bad": bad,
        }
        output.send_part(json.dumps(message).encode())


class NumbersReading:
    """A file of numbers that a child reads; ``poll`` until it is finished."""

    def __init__(self, pool: ReaderPool, data: bytes, filename: str, *, countries: Sequence[str]) -> None:
        """Begin as soon as there is a place; the arguments are those of ``read_numbers``."""
        arguments = {"filename": filename, "countries": list(countries)}
        self.reader: Reader = pool.begin(file_work(FileTask.NUMBERS, arguments, data, filename))
        self.numbers = NumberList(good=[], bad=[])

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
        piece = _NumbersSlice.model_validate_json(message)
        self.numbers.good.extend(piece.good)
        self.numbers.bad.extend((line, read_wire_text(why)) for line, why in piece.bad)
