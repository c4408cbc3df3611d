"""What ``import`` answers: what was read, what each column is, remarks and bad rows, what will be said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from speechaid.campaign.column_doubts import HIDDEN
from speechaid.campaign.columns import Column
from speechaid.campaign.encodings import decode
from speechaid.campaign.importer import Parsed, bad_row_counts, remark_counts
from speechaid.campaign.kinds import LEFT_OUT
from speechaid.campaign.rows import Row
from speechaid.campaign.titles import REMARK_COLUMNS, Role
from speechaid.commands.batch_fields import night_warning
from speechaid.commands.interfaces import CommandRefused, Invocation, Result
from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.reading import Document
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.retell.variables import variables_for

#: Bad rows and remarks that the answer lists; of the others it has the number.
_MAX_LISTED: Final = 1000
#: Bad rows returned with their cells, limited by the size of an answer: rows, and characters of all cells.
_MAX_RETURNED: Final = 20_000
_MAX_CHARACTERS: Final = 32_000_000
#: What is masked of a phone column, and of a column that may hold phones: a date has at most eight digits.
_NUMBER: Final = re.compile(r"\+?\d(?:[ .()/-]{0,2}\d){5,14}")
_LONG_NUMBER: Final = re.compile(r"\+?\d(?:[ .()/-]{0,2}\d){8,14}")
#: Characters of an id that are shown, at each end.
_SHOWN_OF_ID: Final = 2


def import_answer(parsed: Parsed, command: Invocation) -> Result:
    """The contents of the file; bad rows, which hold personal data, only on request."""
    returned = _returned(parsed) if command.args["return_bad_rows"] else {}
    accepted = [word.strip() for word in (command.args["accept"] or "").split(",")]
    return returned | {
        "file": command.args["filename"],
        "warning": night_warning(command.args),
        "read": _source(parsed),
        "columns": [_column(column, show=command.args["show_values"]) for column in _in_order(parsed)],
        "kept_mapping": dict(parsed.kept_mapping),
        "good_rows": len(parsed.rows),
        "bad_rows_count": len(parsed.bad_rows),
        "bad_rows": [{"line": row.line, "reason": row.reason} for row in parsed.bad_rows[:_MAX_LISTED]],
        "bad_rows_by_kind": bad_row_counts(parsed),
        "remarks_count": len(parsed.remarks),
        "remarks": [
            {"line": remark.line, "text": remark.text, "kind": remark.kind}
            for remark in parsed.remarks[:_MAX_LISTED]
        ],
        "remarks_by_kind": remark_counts(parsed, accepted),
    }


def row_preview(
    parsed: Parsed,
    documents: Iterable[tuple[Row, Document]],
    line: int,
    *,
    now: datetime,
    zone: str,
    country: str | None,
) -> Result:
    """What the person of one line is told, and on which phones.

    Args:
        parsed: the whole file.
        documents: each good row with its job.
        line: of the file.
        now: aware; the agent gets the time of the call.
        zone: of the batch's calling hours.
        country: of the batch: an amount in its currency is said without the currency's code.
    """
    for row, document in documents:
        if row.line == line:
            job = Job.read({**document, "_id": document["job_id"]})
            return {
                "line": line,
                "phones": list(row.phones),
                "variables": variables_for(job, now=now, zone=zone, country=country),
                "remarks": [remark.text for remark in parsed.remarks if remark.line == line],
            }
    reasons = [bad.reason for bad in parsed.bad_rows if bad.line == line]
    reasons += [remark.text for remark in parsed.remarks if remark.line == line and remark.kind in LEFT_OUT]
    if reasons:
        return {"line": line, "bad": reasons[0]}
    if any(first <= line <= last for first, last in parsed.source.hidden_runs):
        message = say("row: line {line} is hidden: --with-hidden-rows reads it", line=line)
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    message = say(
        "row: line {line} has no contact; the first is on line {first_line}",
        line=line,
        first_line=_first_line(parsed),
    )
    raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)


def _first_line(parsed: Parsed) -> int:
    first = [row.line for row in parsed.rows[:1]] + [bad.line for bad in parsed.bad_rows[:1]]
    return min(first, default=parsed.source.header_row + 1)


def _source(parsed: Parsed) -> Result:
    source = parsed.source
    return {
        "sheet": source.sheet,
        "other_sheets": list(source.other_sheets),
        "encoding": source.encoding,
        "header_row": source.header_row,
        "lines_above": source.lines_above,
        "hidden_rows": source.hidden_rows,
    }


def _returned(parsed: Parsed) -> Result:
    """The bad rows as written, and the form of the file, so that the corrected file has the same."""
    rows: list[Mapping[str, Any]] = []
    of_remarks = {place for place, title in enumerate(parsed.columns.titles) if title in REMARK_COLUMNS}
    hidden = {column.position for column in parsed.columns.columns if column.why == HIDDEN}
    titles = [title for title in parsed.columns.titles if title not in REMARK_COLUMNS]
    characters = 0
    for bad in parsed.bad_rows[:_MAX_RETURNED]:
        characters += sum(len(str(cell)) for cell in bad.cells)
        if characters > _MAX_CHARACTERS:
            break
        # A file of bad rows that was not mended yet has line and reason of its own.
        # In the new file a hidden column would be seen, and used: its cells stay behind.
        cells = [
            "" if place in hidden else cell for place, cell in enumerate(bad.cells) if place not in of_remarks
        ]
        rows.append({"line": bad.line, "reason": bad.reason, "cells": cells})
    return {
        "returned_rows": rows,
        "returned_form": {
            "titles": titles,
            "delimiter": parsed.source.delimiter,
            "decimal": parsed.source.decimal,
            "codec": _codec(parsed, titles, rows),
        },
    }


def _codec(parsed: Parsed, titles: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str | None:
    """The input's encoding, unless it would be read as another one from these few rows: then UTF-8."""
    codec = parsed.source.codec
    if codec is None:
        return None
    text = "\n".join(";".join(map(str, cells)) for cells in (titles, *(row["cells"] for row in rows)))
    try:
        return codec if decode(text.encode(codec)).text == text else "utf_8"
    except UnicodeEncodeError:
        return "utf_8"


def _in_order(parsed: Parsed) -> list[Column]:
    return sorted(parsed.columns.columns, key=lambda column: column.position)


def _column(column: Column, *, show: bool) -> Result:
    return {
        "position": column.number,
        "title": column.title,
        "role": column.role,
        "variable": column.variable,
        "why": column.why,
        "values": [value if show else _masked(value, column.role) for value in column.values],
    }


def _masked(value: str, role: Role) -> str:
    """A value as a manager needs it to see what the column is, without whole phones and ids."""
    if role is Role.DNI:
        hidden = re.sub(r"\w", "*", value[_SHOWN_OF_ID:-_SHOWN_OF_ID])
        return value[:_SHOWN_OF_ID] + hidden + value[-_SHOWN_OF_ID:] if len(value) > 4 else "*" * len(value)
    numbers = {Role.PHONE: _NUMBER, Role.VARIABLE: _LONG_NUMBER, Role.LEFT_OUT: _LONG_NUMBER}.get(role)
    return value if numbers is None else numbers.sub(lambda match: mask_phone(match[0]), value)
