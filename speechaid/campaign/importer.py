"""Reads a contacts file: good rows become jobs, bad rows are listed with line and reason."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Final

import phonenumbers

from speechaid.campaign import cells
from speechaid.campaign.columns import Columns, recognise
from speechaid.campaign.date_warnings import ReadDay, date_warning
from speechaid.campaign.tables import MAX_COLUMNS, Line, no_header, read_lines, remarks_on
from speechaid.errors import ImportFailed
from speechaid.model.reading import Document
from speechaid.model.states import JobStatus
from speechaid.rules.phones import normalise

#: A longer cell is a broken file.
MAX_CELL_CHARACTERS: Final = 10_000
#: The ``mode`` of SpeechAI's jobs that call one contact.
MODE: Final = "single"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A contact that can be called."""

    line: int
    name: str | None
    dni: str | None
    #: E.164 without duplicates, in the order of dialling.
    phones: tuple[str, ...]
    company_name: str | None
    debt_amount: int | float | None
    #: ``YYYY-MM-DD``.
    due_date: str | None
    reference_number: str | None
    additional_info: Document

    @cached_property
    def identity(self) -> str:
        """Person and reference: equal for two rows that would call one person twice for one debt."""
        person = cells.fold(self.dni).replace(" ", "") if self.dni else self._phone_and_name()
        return f"{person}|{cells.fold(self.reference_number or '')}"

    def _phone_and_name(self) -> str:
        return f"{self.phones[0]}|{cells.fold(self.name or '')}"


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that becomes no job; ``row`` has its cells as written, which are personal data."""

    line: int
    reason: str
    row: dict[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Remark:
    """A note on a row that becomes a job."""

    line: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The contents of a contacts file."""

    rows: list[Row]
    bad_rows: list[BadRow]
    remarks: list[Remark]


class _Unusable(Exception):  # noqa: N818 - an expected result
    """The row cannot become a job; the text says why."""


class ContactsReader:
    """Reads a CSV or XLSX file of contacts in slices, so that other work can be done in between.

    Raises:
        ImportFailed: the whole file cannot be used; the text says why. ``read`` raises it too.
    """

    def __init__(self, data: bytes, filename: str, *, country: str, today: date) -> None:
        """Read the header.

        Args:
            data: the whole file.
            filename: for messages, and to detect files that are not the spreadsheet that they are called.
            country: ISO 3166 alpha-2, for phones in national form.
            today: dates far from it get a warning.
        """
        if country.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ImportFailed(f"{country!r} is not a country code: write two letters, such as CL or MX")
        self.parsed = Parsed(rows=[], bad_rows=[], remarks=[])
        self._filename = filename
        self._country = country
        self._today = today
        self._lines = read_lines(data, filename)
        header = next(self._lines, None)
        self._columns = _header(header, data, filename, country)
        texts = (*self._columns.remarks, *remarks_on(data))
        self.parsed.remarks.extend(Remark(line=header.number if header else 1, text=text) for text in texts)
        self._first_line: dict[str, int] = {}

    def read(self, at_most: int) -> bool:
        """Read up to ``at_most`` further lines; False at the end of the file."""
        for line in itertools.islice(self._lines, at_most):
            self._add(line)
            at_most -= 1
        if at_most == 0:
            return True
        if not self.parsed.rows and not self.parsed.bad_rows:
            raise ImportFailed(f"{self._filename}: there is no contact below the header")
        return False

    def _add(self, line: Line) -> None:
        try:
            row, remarks = _read_row(line, self._columns, self._country, self._today)
            _refuse_duplicate(row, self._first_line)
        except _Unusable as exc:
            row_as_written = _as_written(line, self._columns)
            self.parsed.bad_rows.append(BadRow(line=line.number, reason=str(exc), row=row_as_written))
            return
        self.parsed.rows.append(row)
        self.parsed.remarks.extend(remarks)


def job_documents(
    parsed: Parsed, *, batch_id: str, account_id: str | None, now: datetime, new_id: Callable[[], str]
) -> list[Document]:
    """One pending job for each good row, in SpeechAI's document format.

    Args:
        parsed: of a ``ContactsReader`` that has read its file to the end.
        batch_id: the batch that they belong to.
        account_id: the account that pays, or None.
        now: the database's time.
        new_id: makes a fresh ``job_id``.
    """
    return [_job_document(row, batch_id, account_id, now, new_id()) for row in parsed.rows]


def _job_document(row: Row, batch_id: str, account_id: str | None, now: datetime, job_id: str) -> Document:
    digest = hashlib.sha256(row.identity.encode()).hexdigest()[:24]
    contact = {"name": row.name, "dni": row.dni, "phones": list(row.phones), "next_phone_index": 0}
    payload: Document = {
        "company_name": row.company_name,
        "debt_amount": row.debt_amount,
        "due_date": row.due_date,
        "reference_number": row.reference_number,
        "additional_info": dict(row.additional_info),
    }
    return {
        "job_id": job_id,
        "batch_id": batch_id,
        **({} if account_id is None else {"account_id": account_id}),
        "status": JobStatus.PENDING.value,
        "mode": MODE,
        # Per batch: the same file again adds no duplicates; another batch may have the same contacts.
        "deduplication_key": f"{batch_id}:{digest}",
        # The same in all batches: finds contacts that another batch of the account has.
        "contact_key": digest,
        "contact": _without_none(contact),
        "to_number": row.phones[0],
        "payload": _without_none(payload),
        "attempts": 0,
        "reserved_until": None,
        "created_at": now,
        "updated_at": now,
        "revision": 0,
    }


def _without_none(fields: Document) -> Document:
    return {name: value for name, value in fields.items() if value is not None}


def _header(line: Line | None, data: bytes, filename: str, country: str) -> Columns:
    if line is None:
        raise ImportFailed(f"{filename}: the file is empty")
    if line.fault:
        raise ImportFailed(f"{filename}: the header cannot be read: {line.fault}")
    if len(line.cells) > MAX_COLUMNS:
        raise ImportFailed(f"{filename}: {len(line.cells)} columns; at most {MAX_COLUMNS} are read")
    if any(normalise(cells.clean(cell), country) for cell in line.cells):
        raise ImportFailed(
            f"{filename}: the first line has a phone number instead of column names (name, phone, …)"
        )
    try:
        return recognise(line.cells)
    except ImportFailed as exc:
        raise ImportFailed(f"{filename}: {no_header(data) or exc}") from exc


def _read_row(line: Line, columns: Columns, country: str, today: date) -> tuple[Row, list[Remark]]:
    if line.fault:
        raise _Unusable(line.fault)
    texts = _texts(line, columns)
    phones, unusable = _phones(texts, columns, country)
    if not phones:
        raise _Unusable("; ".join(unusable) if unusable else "no phone number")

    def text(role: str) -> str | None:
        position = columns.roles.get(role)
        return None if position is None else cells.one_line(texts[position]) or None

    due = _day(text("due_date"), country)
    full_name = " ".join(filter(None, (text("name"), text("surname"))))
    row = Row(
        line=line.number,
        name=full_name or None,
        dni=text("dni"),
        phones=phones,
        company_name=text("company_name"),
        debt_amount=_amount(line, columns),
        due_date=None if due is None else due.isoformat(),
        reference_number=text("reference_number"),
        additional_info={name: texts[position] for position, name in columns.others if texts[position]},
    )
    if due is not None:
        read = ReadDay(text=text("due_date") or "", day=due, country=country, today=today)
        title = columns.header[columns.roles["due_date"]]
        unusable += [f"{title}: {found}" for found in [date_warning(read)] if found]
    return row, [Remark(line=line.number, text=reason) for reason in unusable]


def _refuse_duplicate(row: Row, first_line: dict[str, int]) -> None:
    earlier = first_line.setdefault(row.identity, row.line)
    if earlier != row.line:
        raise _Unusable(f"the same contact and reference as line {earlier}")


def _texts(line: Line, columns: Columns) -> list[str]:
    """The cells as clean text, padded to the width of the header."""
    width = len(columns.header)
    if any(isinstance(cell, str) and "\0" in cell for cell in line.cells):
        raise _Unusable("the row has NUL characters")
    texts = [cells.clean(cell) for cell in line.cells]
    if any(texts[width:]):
        raise _Unusable(f"the row has {len(texts)} cells, the header {width}: a quote may be missing")
    if any(len(text) > MAX_CELL_CHARACTERS for text in texts):
        raise _Unusable(f"a cell has more than {MAX_CELL_CHARACTERS:,} characters")
    return texts[:width] + [""] * (width - len(texts))


def _phones(texts: list[str], columns: Columns, country: str) -> tuple[tuple[str, ...], list[str]]:
    """The usable numbers, and the faults of the others; a cell may hold several."""
    found: dict[str, None] = {}
    faults: list[str] = []
    for position in columns.phones:
        text = texts[position]
        if not text:
            continue
        whole = normalise(text, country)
        parts = [text] if whole else [part for part in map(str.strip, _split(text)) if part]
        for part in parts:
            number = normalise(part, country)
            if number is None:
                faults.append(f"{columns.header[position]}: {_fault_of(part)}")
            else:
                found[number] = None
    return tuple(found), faults


def _split(text: str) -> list[str]:
    for mark in ";|/\n":
        text = text.replace(mark, ",")
    return text.split(",")


def _fault_of(part: str) -> str:
    if "e+" in part.lower() and part[:1].isdigit():
        return "a spreadsheet has rounded this number: format the column as text, and enter the number again"
    digits = sum(character.isdigit() for character in part)
    return f"not a phone number ({len(part)} characters, {digits} digits)"


def _amount(line: Line, columns: Columns) -> int | float | None:
    position = columns.roles.get("debt_amount")
    cell = line.cells[position] if position is not None and position < len(line.cells) else None
    if not cells.clean(cell):
        return None
    value = cells.amount(cell)
    if value is None:
        raise _Unusable(f"the amount {cells.clean(cell)[:40]!r} is not a sum of money")
    if value < 0:
        raise _Unusable(f"the amount {cells.clean(cell)[:40]!r} is below zero")
    return value


def _day(text: str | None, country: str) -> date | None:
    if text is None:
        return None
    value = cells.day(text, country)
    if value is None:
        raise _Unusable(f"the due date {text[:40]!r} is not a date")
    return value


def _as_written(line: Line, columns: Columns) -> dict[str, str]:
    written: dict[str, str] = {}
    for position, cell in enumerate(line.cells[:MAX_COLUMNS]):
        title = columns.header[position] if position < len(columns.header) else ""
        written[title or f"column_{position + 1}"] = cells.clean(cell)[:200]
    return written
