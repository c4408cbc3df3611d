"""A list in a file, read in a child: what ids and phone numbers share.

The child sends the lines that were read, and the line and reason of those that were not, in slices.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from speechaid.importing.output import Output
from speechaid.importing.process import Reader, ReaderPool
from speechaid.importing.subjects import file_work
from speechaid.importing.tasks import FileTask
from speechaid.protocol.translation import wire_text

#: Lines of one message, of each kind.
_SLICE: Final = 5_000

Line = TypeVar("Line")


class ListSlice(BaseModel, Generic[Line]):
    """One message: some lines that were read, and some that were not, with their reasons."""

    model_config = ConfigDict(strict=True, extra="forbid")

    good: list[Line] = Field(max_length=_SLICE)
    bad: list[tuple[int, str]] = Field(max_length=_SLICE)


def send_slices(good: Sequence[Any], bad: Sequence[tuple[int, str]], output: Output) -> None:
    """Send what was read, as values of JSON, and what was not."""
    for begin in range(0, max(len(good), len(bad)), _SLICE):
        end = begin + _SLICE
        unread = [(line, wire_text(why)) for line, why in bad[begin:end]]
        output.send_part(json.dumps({"good": good[begin:end], "bad": unread}).encode())


class ListReading(ABC):
    """A list that a child reads; ``poll`` until it is finished."""

    def __init__(
        self, pool: ReaderPool, task: FileTask, arguments: Mapping[str, Any], data: bytes, filename: str
    ) -> None:
        """Begin as soon as there is a place."""
        given = {"filename": filename, **arguments}
        self.reader: Reader = pool.begin(file_work(task, given, data, filename))

    def poll(self) -> bool:
        """Take what the child has sent; whether it has come to the end.

        Raises:
            ImportFailed: the whole file cannot be used.
            ReaderFailed: the child has failed.
        """
        for message in self.reader.poll():
            self.reader.take_checked(self.take, message)
        return self.reader.is_finished

    @abstractmethod
    def take(self, message: bytes) -> None:
        """Check one message, and keep what it has.

        Raises:
            ValueError: it has not the form of a slice.
        """
