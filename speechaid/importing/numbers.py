"""A file of phone numbers, read in a child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import StringConstraints

from speechaid.campaign.number_list import NumberList, read_numbers
from speechaid.importing.lists import ListReading, ListSlice, send_slices
from speechaid.importing.output import Output
from speechaid.importing.process import ReaderPool
from speechaid.importing.tasks import FileTask
from speechaid.protocol.translation import read_wire_text

_SLICE: Final = ListSlice[Annotated[str, StringConstraints(pattern=r"^\+[0-9]{1,20}$")]]


def run(arguments: Mapping[str, Any], file: bytes, output: Output) -> None:
    """Read the numbers of a file.

    Raises:
        ImportFailed: the whole file cannot be used.
    """
    numbers = read_numbers(file, str(arguments["filename"]), countries=list(arguments["countries"]))
    send_slices(numbers.good, numbers.bad, output)


class NumbersReading(ListReading):
    """A file of numbers that a child reads; ``poll`` until it is finished."""

    def __init__(self, pool: ReaderPool, data: bytes, filename: str, *, countries: Sequence[str]) -> None:
        """Begin as soon as there is a place; the arguments are those of ``read_numbers``."""
        super().__init__(pool, FileTask.NUMBERS, {"countries": list(countries)}, data, filename)
        self.numbers = NumberList(good=[], bad=[])

    def take(self, message: bytes) -> None:
        """Check one message, and keep its numbers."""
        piece = _SLICE.model_validate_json(message)
        self.numbers.good.extend(piece.good)
        self.numbers.bad.extend((line, read_wire_text(why)) for line, why in piece.bad)
