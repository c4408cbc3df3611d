"""Reads a contacts file: good rows become jobs, bad rows are listed with line and reason."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import Final

import phonenumbers

from speechaid.campaign import cells
from speechaid.campaign.columns import Columns
from speechaid.campaign.csv_form import csv_form
from speechaid.campaign.kinds import KINDS, Kind, KindChoices
from speechaid.campaign.national_ids import compact_id
from speechaid.campaign.people import keys_of_lines
from speechaid.campaign.recognition import SAMPLE_ROWS, recognise, titles_key
from speechaid.campaign.row_debts import DebtReader
from speechaid.campaign.row_phones import PhoneReader, shared_sentence
from speechaid.campaign.row_reader import RowReader
from speechaid.campaign.row_texts import cells_as_written
from speechaid.campaign.rows import BadRow, LeftOutRowError, Remark, Row, UnusableRowError
from speechaid.campaign.tables import (
    HEADING_LINES,
    MAX_COLUMNS,
    Line,
    TableFile,
    heading_line,
    not_text,
    open_table,
)
from speechaid.campaign.titles import Role
from speechaid.campaign.whole_file import Doubt, SharedLines, lines_named
from speechaid.errors import ImportFailed
from speechaid.model.reading import Document
from speechaid.model.states import JobStatus
from speechaid.protocol.translation import joined, say
from speechaid.rules.numbers import Number, read

#: The ``mode`` of SpeechAI's jobs that call one contact.
MODE: Final = "single"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the owner of a file says about it."""

    #: The name of a workbook's sheet, or its number from 1; None: the first visible one.
    sheet: str | None = None
    #: The line with the titles, from 1; None: it is looked for.
    header_row: int | None = None
    with_hidden_rows: bool = False
    #: By title: a role's name, or ``variable:NAME``.
    mapping: Mapping[str, str] = field(default_factory=dict)
    #: Mappings of earlier files, by ``titles_key``; ``mapping`` wins over them.
    kept_mappings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: Kinds of remark whose rows are kept, and kinds whose rows are bad.
    accepted: frozenset[Kind] = frozenset()
    refused: frozenset[Kind] = frozenset()


@dataclass(kw_only=True)
class Parsed:
    """The contents of a contacts file."""

    rows: list[Row]
    bad_rows: list[BadRow]
    remarks: list[Remark]
    columns: Columns
    #: What was read of the file, for people.
    source: Source
    #: By which mappings of the same titles are found again.
    titles_key: str
    #: The mapping of an earlier file that was used; empty where there is none.
    kept_mapping: Mapping[str, str] = field(default_factory=dict)

    def add(self, piece: Slice) -> None:
        """Add the next slice of the file; the corrections in it are for the end (``apply_corrections``)."""
        self.rows.extend(piece.rows)
        self.bad_rows.extend(piece.bad_rows)
        self.remarks.extend(piece.remarks)

    def apply_corrections(
        self, corrected: Iterable[Row], removed: Collection[int], due_dates: Mapping[int, str]
    ) -> None:
        """Apply what the whole file has shown about its rows, and sort the bad ones.

        Args:
            corrected: rows that replace those of the same line.
            removed: lines whose rows are bad after all, and stand among the bad ones already.
            due_dates: by line: what stands for the date that was read in the wrong order. A bad row gets it
                in its cell: the few rows of a file of bad rows may not show their order.
        """
        by_line = {row.line: row for row in corrected}
        if by_line or removed:
            self.rows = [by_line.get(row.line, row) for row in self.rows if row.line not in removed]
            self.bad_rows.sort(key=lambda bad: bad.line)
        if not due_dates:
            return
        self.rows = [
            replace(row, due_date=due_dates[row.line]) if row.line in due_dates else row for row in self.rows
        ]
        place = self.columns.of(Role.DUE_DATE)[0].position
        for bad in self.bad_rows:
            if bad.line in due_dates and place < len(bad.cells):
                bad.cells[place] = due_dates[bad.line]


@dataclass(kw_only=True)
class Slice:
    """Some of the rows of a file, and at its end what is to be corrected in those before."""

    rows: list[Row] = field(default_factory=list)
    bad_rows: list[BadRow] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    #: As for ``Parsed.apply_corrections``.
    corrected: list[Row] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    due_dates: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which part of the file was read."""

    #: None for CSV.
    sheet: str | None
    other_sheets: tuple[str, ...]
    #: None for a workbook.
    encoding: str | None
    #: The line of the titles, from 1, and the lines above it.
    header_row: int
    lines_above: int
    hidden_rows: int
    #: The signs of a CSV file of these rows: the input's, or for a workbook those of the file's country.
    delimiter: str
    decimal: str
    #: What it is written in; None for a workbook.
    codec: str | None = None
    #: The first and the last line of the hidden rows that follow each other.
    hidden_runs: tuple[tuple[int, int], ...] = ()


class ContactsReader:
    """Reads a CSV or XLSX file of contacts in slices, so that other work can be done in between.

    Raises:
        ImportFailed: the whole file cannot be used; the text says why. ``read`` raises it too.
    """

    def __init__(
        self, data: bytes, filename: str, *, country: str, today: date, choices: Choices | None = None
    ) -> None:
        """Find the titles, and say what each column is.

        Args:
            data: the whole file.
            filename: for messages, and to detect files that are not the spreadsheet that they are called.
            country: ISO 3166 alpha-2, for phones in national form.
            today: dates far from it get a remark.
            choices: of the file's owner.
        """
        if country.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ImportFailed(
                say("{country!r} is not a country code: write two letters, such as CL or MX", country=country)
            )
        chosen = choices or Choices()
        self._filename = filename
        self._open = partial(
            open_table, data, filename, sheet=chosen.sheet, with_hidden_rows=chosen.with_hidden_rows
        )
        table = self._open()
        header, above, lines = _header(table, filename, country, chosen)
        sample = list(itertools.islice(lines, SAMPLE_ROWS))
        rows = [line.cells for line in sample if line.fault is None]
        key = titles_key(header.cells)
        kept = chosen.kept_mappings.get(key, {})
        try:
            columns = recognise(
                header.cells,
                rows,
                country=country,
                mapping=chosen.mapping,
                kept_mapping=kept,
                hidden=table.hidden_columns,
            )
        except ImportFailed as exc:
            unread = joined(", ", (repr(name) for name in table.other_sheets))
            others = (
                say(
                    "; of the workbook only {sheet!r} was read, not {unread} (--sheet)",
                    sheet=table.sheet,
                    unread=unread,
                )
                if unread
                else ""
            )
            raise ImportFailed(
                say(
                    "{filename}: {not_text}{others}",
                    filename=filename,
                    not_text=not_text(data) or exc,
                    others=others,
                )
            ) from exc
        signs = csv_form(country.upper())
        self._lines: Iterator[Line] = itertools.chain(sample, lines)
        self._kinds = KindChoices(accepted=chosen.accepted, refused=chosen.refused)
        self._debts = DebtReader(
            columns=columns, country=country.upper(), today=today, counts_from_1904=table.counts_from_1904
        )
        self._rows = RowReader(
            columns=columns,
            country=country.upper(),
            choices=self._kinds,
            width=len(header.cells),
            phones=PhoneReader(columns=columns, country=country.upper(), choices=self._kinds),
            debts=self._debts,
        )
        self.parsed = Parsed(
            rows=[],
            bad_rows=[],
            remarks=[Remark(line=header.number, text=text, kind=Kind.FILE) for text in table.remarks]
            + [Remark(line=header.number, text=text, kind=Kind.COLUMN) for text in columns.remarks],
            columns=columns,
            source=Source(
                sheet=table.sheet,
                other_sheets=table.other_sheets,
                encoding=table.encoding,
                header_row=header.number,
                lines_above=above,
                hidden_rows=table.hidden_rows,
                hidden_runs=table.hidden_runs,
                delimiter=table.delimiter or signs.delimiter,
                decimal=signs.decimal,
                codec=table.codec,
            ),
            titles_key=key,
            kept_mapping=kept,
        )
        self._header_line = header.number
        self._first_line: dict[str, int] = {}
        self._first_line_of_debt: dict[int, int] = {}
        #: Rows that become no job.
        self._bad_lines: set[int] = set()
        #: Who of the file is not to be called: none of their other rows is, either.
        self._opted_out_ids: set[str] = set()
        self._opted_out_lines: set[str] = set()
        self._shared = SharedLines()
        self._doubts: list[Doubt] = []
        self._corrections = Slice()
        self._is_empty = True

    def read(self, at_most: int) -> bool:
        """Read up to ``at_most`` further lines; False at the end of the file."""
        for line in itertools.islice(self._lines, at_most):
            self._add(line)
            at_most -= 1
        if at_most == 0:
            return True
        if self._is_empty:
            raise ImportFailed(
                say("{filename}: there is no contact below the header", filename=self._filename)
            )
        self._correct()
        return False

    def take(self) -> Slice:
        """What was read since the last call; this reader no longer holds it."""
        parsed, corrections = self.parsed, self._corrections
        self.parsed = replace(parsed, rows=[], bad_rows=[], remarks=[])
        self._corrections = Slice()
        return Slice(
            rows=parsed.rows,
            bad_rows=parsed.bad_rows,
            remarks=parsed.remarks,
            corrected=corrections.corrected,
            removed=corrections.removed,
            due_dates=corrections.due_dates,
        )

    def _add(self, line: Line) -> None:
        self._is_empty = False
        try:
            row, remarks = self._rows.read(line)
            self._refuse_duplicate(row)
            self._remark_repeated(row, remarks)
        except LeftOutRowError as exc:
            self._leave_out(line, exc)
            return
        except UnusableRowError as exc:
            if self._rows.is_of_totals(line):
                self._leave_out(
                    line, LeftOutRowError(say("a row of totals or a note, not a contact"), Kind.TOTAL)
                )
            else:
                self._add_bad(line, str(exc), exc.kind)
            return
        self.parsed.rows.append(row)
        self.parsed.remarks.extend(remarks)
        who = row.person if row.dni else cells.fold(row.name or f"line {row.line}")
        self._shared.add(who, row.line, row.lines)

    def _add_bad(self, line: Line, reason: str, kind: Kind | None) -> None:
        written = cells_as_written(line, self.parsed.columns, counts_from_1904=self._debts.counts_from_1904)
        self._bad_lines.add(line.number)
        self.parsed.bad_rows.append(BadRow(line=line.number, reason=reason, kind=kind, cells=written))

    def _leave_out(self, line: Line, why: LeftOutRowError) -> None:
        self._bad_lines.add(line.number)
        self._remark(line.number, why.kind, str(why))
        if why.kind is Kind.DO_NOT_CALL:
            dni, lines = self._rows.person_of(line)
            self._opted_out_ids.update(filter(None, (dni,)))
            self._opted_out_lines.update(lines)

    def _remark_repeated(self, row: Row, remarks: list[Remark]) -> None:
        """Remark the debt of an earlier row under another spelling of its reference: ``128``, ``000128``."""
        if row.reference_number is None:
            return
        reference = compact_id(cells.fold(row.reference_number))
        debt = hash((row.person, reference, row.debt_amount, row.due_date))
        earlier = self._first_line_of_debt.setdefault(debt, row.line)
        if earlier != row.line:
            text = say(
                "the same person, amount and date as on line {earlier}, and only the form of the"
                " reference {reference_number!r} is another",
                earlier=earlier,
                reference_number=row.reference_number[:40],
            )
            if self._kinds.is_bad(Kind.REPEATED):
                raise UnusableRowError(text, Kind.REPEATED)
            remarks.append(Remark(line=row.line, text=text, kind=Kind.REPEATED))

    def _refuse_duplicate(self, row: Row) -> None:
        earlier = self._first_line.setdefault(row.identity, row.line)
        if earlier == row.line:
            return
        if self.parsed.columns.of(Role.REFERENCE_NUMBER):
            raise UnusableRowError(say("the same contact and reference as line {earlier}", earlier=earlier))
        raise UnusableRowError(
            say(
                "the same contact as line {earlier}, and no column is the reference of a debt: if"
                " both are meant, say which column is, with --map 'TITLE=reference'",
                earlier=earlier,
            )
        )

    def _correct(self) -> None:
        """Correct what only the whole file has shown to be wrong.

        The rows concerned are read once more: those before have been taken.
        """
        found = self._corrections = Slice(due_dates=self._conclude_dates())
        refused = self._refused_doubts()
        shared = self._shared.find_shared()
        concerned = {row for _, rows in shared.values() for row in rows} | refused.keys()
        concerned |= self._rows_of_opted_out()
        for line in self._open().lines if concerned else ():
            if line.number not in concerned:
                continue
            doubt = refused.get(line.number)
            if doubt is not None:
                self._add_bad(line, doubt.text, doubt.kind)
                found.removed.append(line.number)
            else:
                self._correct_phones(line, shared, found)
        self.parsed.apply_corrections(found.corrected, frozenset(found.removed), dict(found.due_dates))

    def _conclude_dates(self) -> list[tuple[int, str]]:
        """What stands for the dates that were read in the wrong order, by line."""
        columns = self.parsed.columns.of(Role.DUE_DATE)
        if not columns:
            return []
        title = columns[0].short_title
        found = self._debts.dates.conclusion(title, columns[0].title or columns[0].number)
        if found.remark is not None:
            self._remark(self._header_line, Kind.COLUMN, found.remark)
        self._doubts.extend(found.doubts)
        days = [(line, day.isoformat()) for line, day in found.days.items()]
        if self._kinds.is_bad(Kind.DATE_ORDER):
            # Who mends the row deletes one of them.
            days += [(line, " or ".join(map(date.isoformat, both))) for line, both in found.either.items()]
        return days

    def _refused_doubts(self) -> dict[int, Doubt]:
        """The doubts about rows that make them bad, by line; the others become remarks."""
        columns = self.parsed.columns.of(Role.DEBT_AMOUNT)
        if columns:
            self._doubts.extend(self._debts.thousands.conclusion(columns[0].short_title))
        refused: dict[int, Doubt] = {}
        for doubt in self._doubts:
            if doubt.line in self._bad_lines:
                continue
            if self._kinds.is_bad(doubt.kind):
                refused.setdefault(doubt.line, doubt)
            else:
                self._remark(doubt.line, doubt.kind, doubt.text)
        return refused

    def _rows_of_opted_out(self) -> set[int]:
        """Rows of people, or with numbers, of which another row says that they are not to be called."""
        rows = {row for line in self._opted_out_lines for row in self._shared.rows_of(line)}
        if self._opted_out_ids:
            rows |= {
                row
                for identity, row in self._first_line.items()
                if identity.partition("|")[0] in self._opted_out_ids
            }
        return rows - self._bad_lines

    def _correct_phones(self, line: Line, shared: Mapping[str, tuple[int, list[int]]], found: Slice) -> None:
        """Leave out numbers of people who are not to be called, and those under three people or more."""
        row, _ = self._rows.read(line)
        titles = self._rows.titles_of_lines(line)
        is_bad = self._kinds.is_bad(Kind.SHARED)
        is_opted_out = row.dni is not None and compact_id(cells.fold(row.dni)) in self._opted_out_ids
        kept: list[tuple[str, str]] = []
        texts: list[str] = []
        for phone, identity in zip(row.phones, row.lines, strict=True):
            if identity in self._opted_out_lines:
                is_opted_out = is_opted_out or len(row.phones) == 1
                self._remark(
                    row.line,
                    Kind.DO_NOT_CALL,
                    say(
                        "{titles}: another row says that this number is not to be called",
                        titles=titles[identity],
                    ),
                )
                continue
            if identity in shared:
                people, rows = shared[identity]
                texts.append(
                    say(
                        "{titles}: {shared_sentence} {people} people ({lines_named}), as a placeholder does",
                        titles=titles[identity],
                        shared_sentence=shared_sentence(phone),
                        people=people,
                        lines_named=lines_named(rows),
                    )
                )
            if identity not in shared or not is_bad:
                kept.append((phone, identity))
        text = joined("; ", texts)
        if is_opted_out:
            self._remark(
                row.line, Kind.DO_NOT_CALL, say("another row says that this person is not to be called")
            )
            found.removed.append(row.line)
        elif not kept:
            self._add_bad(
                line, text or say("no number is left that may be called"), Kind.SHARED if text else None
            )
            found.removed.append(row.line)
        else:
            if text:
                self._remark(row.line, Kind.SHARED, text)
            phones, lines = zip(*kept, strict=True)
            if phones != row.phones:
                found.corrected.append(replace(row, phones=phones, lines=lines))

    def _remark(self, line: int, kind: Kind, text: str) -> None:
        self.parsed.remarks.append(Remark(line=line, text=text, kind=kind))


def remark_counts(parsed: Parsed, accepted: Collection[str] = ()) -> list[dict[str, object]]:
    """The remarks by kind: how many, the first one, and the option that changes it.

    Args:
        parsed: of a whole file.
        accepted: kinds that were accepted, which no further option changes.
    """
    return _counts(parsed.remarks, lambda kind: None if kind in accepted else _option(kind))


def bad_row_counts(parsed: Parsed) -> list[dict[str, object]]:
    """The bad rows that an option would keep, by kind: how many, the first one, and the option."""
    refused = [
        Remark(line=bad.line, text=bad.reason, kind=bad.kind)
        for bad in parsed.bad_rows
        if bad.kind is not None
    ]
    return _counts(refused, lambda kind: f"--accept {kind}")


def _counts(remarks: list[Remark], option: Callable[[Kind], str | None]) -> list[dict[str, object]]:
    counts = Counter(remark.kind for remark in remarks)
    first: dict[Kind, Remark] = {}
    for remark in remarks:
        first.setdefault(remark.kind, remark)
    return [
        {
            "kind": kind.value,
            "meaning": KINDS[kind].meaning,
            "count": counts[kind],
            "line": first[kind].line,
            "example": first[kind].text,
            "option": option(kind),
        }
        for kind in Kind
        if kind in counts
    ]


def _option(kind: Kind) -> str | None:
    """The option that changes what is done about a kind of remark."""
    if kind in {Kind.COLUMN, Kind.DO_NOT_CALL}:
        return "--map 'TITLE=ROLE'"
    if not KINDS[kind].can_change:
        return None
    # Some of the phones of a kind that is bad were left out: the row has others.
    return f"--accept {kind.value}" if KINDS[kind].is_bad else f"--refuse {kind.value}"


def job_documents(
    rows: Sequence[Row],
    *,
    batch_id: str,
    account_id: str | None,
    import_id: str | None = None,
    now: datetime,
    new_id: Callable[[], str],
) -> list[Document]:
    """One pending job for each good row, in their order and in SpeechAI's document format.

    Args:
        rows: of a file that has been read to its end.
        batch_id: the batch that they belong to.
        account_id: the account that pays, or None.
        import_id: the import that makes them, by which it can be undone.
        now: the database's time.
        new_id: makes a fresh ``job_id``.
    """
    documents = [draft_job(row, account_id, new_id()) for row in rows]
    for document in documents:
        complete_job(document, batch_id=batch_id, import_id=import_id, now=now)
    return documents


def draft_job(row: Row, account_id: str | None, job_id: str) -> Document:
    """A pending job without what is known only once the file has been read: see ``complete_job``."""
    digest = hashlib.sha256(row.identity.encode()).hexdigest()[:24]
    contact = {"name": row.name, "dni": row.dni, "phones": list(row.phones), "next_phone_index": 0}
    payload: Document = {
        "company_name": row.company_name,
        "debt_amount": row.debt_amount,
        "currency": row.currency,
        "due_date": row.due_date,
        "reference_number": row.reference_number,
        "additional_info": dict(row.additional_info),
    }
    return {
        "job_id": job_id,
        **({} if account_id is None else {"account_id": account_id}),
        "status": JobStatus.PENDING.value,
        "mode": MODE,
        # The same in all batches: finds contacts that another batch of the account has.
        "contact_key": digest,
        # Finds other jobs of the same person.
        "person_keys": keys_of_lines(row.dni, row.lines),
        # Finds the job by its person's name, whatever the accents and capitals.
        **({"name_key": cells.fold_name(row.name)} if row.name else {}),
        "contact": _without_none(contact),
        "to_number": row.phones[0],
        "payload": _without_none(payload),
        "attempts": 0,
        "reserved_until": None,
        "revision": 0,
    }


def complete_job(document: Document, *, batch_id: str, import_id: str | None, now: datetime) -> None:
    """Put a drafted job into its batch; the arguments are those of ``job_documents``."""
    document["batch_id"] = batch_id
    # Per batch: the same file again adds no duplicates; another batch may have the same contacts.
    document["deduplication_key"] = f"{batch_id}:{document['contact_key']}"
    document["created_at"] = document["updated_at"] = now
    if import_id is not None:
        document["import_id"] = import_id


def _without_none(fields: Document) -> Document:
    return {name: value for name, value in fields.items() if value is not None}


def _header(
    table: TableFile, filename: str, country: str, chosen: Choices
) -> tuple[Line, int, Iterator[Line]]:
    """The line of the titles, how many lines stand above it, and the lines below it."""
    top = list(itertools.islice(table.lines, HEADING_LINES))
    if not top:
        raise ImportFailed(say("{filename}: the file is empty", filename=filename))
    found = heading_line(top, chosen.header_row)
    if found is None and chosen.header_row is not None:
        raise ImportFailed(
            say(
                "{filename}: line {header_row} is empty, or below line {number}",
                filename=filename,
                header_row=chosen.header_row,
                number=top[-1].number,
            )
        )
    index = found or 0
    header = top[index]
    if header.fault:
        raise ImportFailed(
            say("{filename}: the header cannot be read: {fault}", filename=filename, fault=header.fault)
        )
    width = max((place for place, cell in enumerate(header.cells, 1) if cells.clean(cell)), default=0)
    if width > MAX_COLUMNS:
        raise ImportFailed(
            say(
                "{filename}: {width} columns; at most {MAX_COLUMNS} are read",
                filename=filename,
                width=width,
                MAX_COLUMNS=MAX_COLUMNS,
            )
        )
    if any(isinstance(read(cells.clean(cell), country), Number) for cell in header.cells):
        raise ImportFailed(
            say(
                "{filename}: line {number} has a phone number instead of column names (name, phone, …)",
                filename=filename,
                number=header.number,
            )
        )
    return header, index, itertools.chain(top[index + 1 :], table.lines)
