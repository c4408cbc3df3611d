"""A contacts file, read in a child: the form of the rows on their way, and what the parent checks in them.

The child sends the head (columns, source), then slices as they are read, then what the whole file has shown
about rows that were sent before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from speechaid.campaign.columns import Columns
from speechaid.campaign.importer import Choices, ContactsReader, Parsed, Slice, Source
from speechaid.campaign.rows import BadRow, Remark, Row
from speechaid.campaign.tables import MAX_COLUMNS
from speechaid.campaign.titles import Role
from speechaid.importing.output import Output
from speechaid.importing.process import Reader, ReaderPool
from speechaid.importing.subjects import file_work
from speechaid.importing.tasks import FileTask
from speechaid.protocol.translation import read_wire_text, wire_text

#: Rows of one slice at most, and characters from which on a slice has no further row.
SLICE_ROWS: Final = 500
_SLICE_CHARACTERS: Final = 1_000_000
#: Of a list in one slice; a row may have many remarks.
_SLICE_ITEMS: Final = 100 * SLICE_ROWS
#: The sentences of what is listed, by the list.
_TEXTS: Final = {"bad_rows": "reason", "remarks": "text"}
_E164: Final = re.compile(r"\+[1-9][0-9]{3,17}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: Phones of one row; a cell may hold several.
_MOST_PHONES: Final = 1000


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", ser_json_inf_nan="constants")


class _Arguments(_Message):
    model_config = ConfigDict(strict=False, extra="forbid")

    filename: str
    country: str
    today: date
    choices: Choices


class _Head(_Message):
    columns: Columns
    source: Source
    titles_key: str
    kept_mapping: dict[str, str]


class _Slice(_Message):
    rows: list[Row] = Field(default_factory=list, max_length=SLICE_ROWS)
    bad_rows: list[BadRow] = Field(default_factory=list, max_length=SLICE_ROWS)
    remarks: list[Remark] = Field(default_factory=list, max_length=_SLICE_ITEMS)
    corrected: list[Row] = Field(default_factory=list, max_length=SLICE_ROWS)
    removed: list[int] = Field(default_factory=list, max_length=SLICE_ROWS)
    due_dates: list[tuple[int, str]] = Field(default_factory=list, max_length=SLICE_ROWS)


_SLICE: Final = TypeAdapter(_Slice)


# -- in the child ------------------------------------------------------------------------------------------


def run(arguments: Mapping[str, Any], file: bytes, output: Output) -> None:
    """Read a contacts file to its end.

    Raises:
        ImportFailed: the whole file cannot be used.
    """
    given = _Arguments.model_validate(arguments)
    reader = ContactsReader(
        file, given.filename, country=given.country, today=given.today, choices=given.choices
    )
    for message, done in read_messages(reader):
        output.send_part(message)
        output.send_progress(done)


def read_messages(reader: ContactsReader) -> Iterator[tuple[bytes, int]]:
    """Read a file to its end: what the parent is sent, and how many rows have been read by then.

    Raises:
        ImportFailed: the whole file cannot be used.
    """
    parsed = reader.parsed
    head = _Head(
        columns=_with_sentences(parsed.columns, wire_text),
        source=_with_hidden_sheets(parsed.source, wire_text),
        titles_key=parsed.titles_key,
        kept_mapping=dict(parsed.kept_mapping),
    )
    yield head.model_dump_json().encode(), 0
    done = 0
    goes_on = True
    while goes_on:
        goes_on = reader.read(SLICE_ROWS)
        piece = reader.take()
        done += len(piece.rows) + len(piece.bad_rows)
        for message in _messages(piece):
            yield message, done


def _messages(piece: Slice) -> Iterator[bytes]:
    """A slice in as many messages as its size needs."""
    for name in ("rows", "bad_rows", "remarks", "corrected", "removed", "due_dates"):
        for items in _portions(getattr(piece, name)):
            sent = _with_texts(items, wire_text) if name in _TEXTS else items
            yield _SLICE.dump_json(_Slice(**{name: sent}))


def _with_texts(items: Sequence[Any], change: Callable[[str], str]) -> list[Any]:
    """Bad rows or remarks whose sentences are packed for the way, or unpacked after it."""
    return [
        replace(item, **{name: change(getattr(item, name))})
        for item in items
        for name in (_TEXTS["bad_rows"] if isinstance(item, BadRow) else _TEXTS["remarks"],)
    ]


def _with_sentences(columns: Columns, change: Callable[[str], str]) -> Columns:
    return replace(
        columns,
        columns=tuple(replace(column, why=change(column.why)) for column in columns.columns),
        remarks=tuple(map(change, columns.remarks)),
    )


def _with_hidden_sheets(source: Source, change: Callable[[str], str]) -> Source:
    return replace(source, other_sheets=tuple(map(change, source.other_sheets)))


def _portions(items: Sequence[Any]) -> Iterator[list[Any]]:
    portion: list[Any] = []
    characters = 0
    for item in items:
        portion.append(item)
        characters += _characters(item)
        if len(portion) == SLICE_ROWS or characters > _SLICE_CHARACTERS:
            yield portion
            portion, characters = [], 0
    if portion:
        yield portion


def _characters(item: object) -> int:
    if isinstance(item, BadRow):
        return sum(len(str(cell)) for cell in item.cells) + len(item.reason)
    if isinstance(item, Row):
        return sum(len(str(text)) for text in item.additional_info.values())
    return len(item.text) if isinstance(item, Remark) else 0


# -- in the daemon -----------------------------------------------------------------------------------------


class ContactsReceiver:
    """Puts the contents of a file together again."""

    def __init__(self, on_rows: Callable[[Sequence[Row]], None] | None = None) -> None:
        """``on_rows`` gets the rows as they come, before the whole file has corrected them."""
        self._on_rows = on_rows
        self._parsed: Parsed | None = None
        self._corrected: list[Row] = []
        self._removed: set[int] = set()
        self._due_dates: dict[int, str] = {}

    def take_message(self, message: bytes) -> None:
        """Check a message, and add what it has.

        Raises:
            ValueError: no reader makes such a message.
        """
        if self._parsed is None:
            head = _Head.model_validate_json(message)
            if len(head.columns.columns) > MAX_COLUMNS:
                raise ValueError("too many columns")
            columns = _with_sentences(head.columns, read_wire_text)
            source = _with_hidden_sheets(head.source, read_wire_text)
            parts = {**dict(head), "columns": columns, "source": source}
            self._parsed = Parsed(rows=[], bad_rows=[], remarks=[], **parts)
            return
        piece = _SLICE.validate_json(message)
        for row in (*piece.rows, *piece.corrected):
            check_row(row)
        bad_rows, remarks = (_with_texts(items, read_wire_text) for items in (piece.bad_rows, piece.remarks))
        self._parsed.add(Slice(rows=piece.rows, bad_rows=bad_rows, remarks=remarks))
        self._corrected += piece.corrected
        self._removed.update(piece.removed)
        self._due_dates.update(piece.due_dates)
        if self._on_rows is not None:
            self._on_rows(piece.rows)

    def complete_contents(self) -> Parsed:
        """The contents of the file, after the last message.

        Raises:
            ValueError: there was none.
        """
        if self._parsed is None:
            raise ValueError("no head")
        if self._due_dates and not self._parsed.columns.of(Role.DUE_DATE):
            raise ValueError("dates of no column")
        self._parsed.apply_corrections(self._corrected, self._removed, self._due_dates)
        for row in self._parsed.rows if self._due_dates else ():
            check_row(row)
        self._corrected, self._removed, self._due_dates = [], set(), {}
        return self._parsed


class ContactsReading:
    """A contacts file that a child reads; ``poll`` until it is finished."""

    def __init__(
        self,
        pool: ReaderPool,
        data: bytes,
        filename: str,
        *,
        country: str,
        today: date,
        choices: Choices,
        on_rows: Callable[[Sequence[Row]], None] | None = None,
    ) -> None:
        """Begin as soon as there is a place; the arguments are those of the reader, and of the receiver."""
        arguments = _Arguments(filename=filename, country=country, today=today, choices=choices)
        self.reader: Reader = pool.begin(
            file_work(FileTask.CONTACTS, arguments.model_dump(mode="json"), data, filename)
        )
        self._receiver = ContactsReceiver(on_rows)
        self._parsed: Parsed | None = None

    @property
    def parsed(self) -> Parsed:
        """The contents of the file, once it has been read to its end."""
        assert self._parsed is not None  # noqa: S101 - the command goes on after the end
        return self._parsed

    def poll(self) -> bool:
        """Take what the child has sent; whether it has come to the end.

        Raises:
            ImportFailed: the whole file cannot be used.
            ReaderFailed: the child has failed.
        """
        for message in self.reader.poll():
            self.reader.take_checked(self._receiver.take_message, message)
        if not self.reader.is_finished:
            return False
        self.reader.take_checked(self._end)
        return True

    def _end(self) -> None:
        self._parsed = self._receiver.complete_contents()


def check_row(row: Row) -> None:
    """Refuse a row that no reader makes: what a child sends is dialled.

    Raises:
        ValueError: it is none.
    """
    values = row.additional_info.values()
    if not (
        row.line > 0
        and 0 < len(row.phones) == len(row.lines) <= _MOST_PHONES
        and all(map(_E164.fullmatch, row.phones))
        and (row.currency is None or _CURRENCY.fullmatch(row.currency))
        and (row.due_date is None or _DAY.fullmatch(row.due_date))
        and len(values) <= MAX_COLUMNS
        and all(isinstance(value, str) for value in values)
    ):
        raise ValueError("no row")
