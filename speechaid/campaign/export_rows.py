"""Rows of ``export``: calls, jobs, promises to pay, the do-not-call list. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from speechaid.campaign import cells
from speechaid.campaign.amounts import PromisedSum, promised_sum
from speechaid.campaign.dates import day_or_none
from speechaid.model import reading
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.protocol.messages import ColumnKind

#: Fields of a job's payload that a call's row has, too: a result does not have them.
OF_JOB: Final = ("reference_number", "debt_amount", "currency")

#: The value of a cell; None is empty.
Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Export:
    """One kind of export."""

    #: ``jobs``, ``results`` or ``do_not_call``.
    collection: str
    #: Selects its documents; a batch may be added.
    query: Mapping[str, Any]
    columns: tuple[str, ...]
    row: Callable[[Document], list[Cell]]
    #: The fields that ``row`` reads, where the others may be long; None for all.
    fields: tuple[str, ...] | None = None

    @property
    def kinds(self) -> list[ColumnKind]:
        """The kind of each column."""
        return [_KINDS.get(column, ColumnKind.TEXT) for column in self.columns]


def call_row(result: Document) -> list[Cell]:
    """One call: a ``call_results`` document of speechaid or SpeechAI, with the ``payload`` of its job."""
    contact = reading.mapping(result.get("contact"))
    charged = reading.mapping(result.get("charged"))
    call = reading.mapping(result.get("call_data"))
    analysis = reading.mapping(call.get("call_analysis"))
    return [
        *_texts(result, "call_id", "job_id", "batch_id", "account_id"),
        *_texts(contact, "name", "dni", "phone_used"),
        _moment(result.get("placed_at") or result.get("created_at")),
        *_texts(result, "outcome", "call_status", "disconnection_reason"),
        reading.flag(result.get("is_successful"), default=False),
        _seconds(result.get("duration_ms")),
        *(
            reading.number(value)
            for value in (result.get("cost"), charged.get("minutes"), charged.get("credit"))
        ),
        _one_based(result.get("attempt")),
        _one_based(result.get("phone_index")),
        *_texts(analysis, "call_summary", "user_sentiment"),
        *_texts(call, "recording_url", "public_log_url"),
        *_texts(reading.mapping(result.get("payload")), *OF_JOB),
        *_texts(result, "agent_id", "agent_version", "from_number", "language"),
    ]


def job_row(document: Document) -> list[Cell]:
    """One job with its status."""
    job = Job.read(document)
    payload = reading.mapping(document.get("payload"))
    return [
        job.job_id,
        job.batch_id,
        job.account_id,
        str(job.status),
        job.contact.name,
        job.contact.dni,
        ", ".join(job.contact.phones),
        *_texts(payload, "company_name", "debt_amount", "currency", "due_date", "reference_number"),
        job.attempts,
        *_texts(document, "last_outcome", "last_error", "suspend_reason", "cancel_reason", "call_id"),
        *(_moment(document.get(name)) for name in ("created_at", "reserved_until", "finished_at")),
        *_texts(document, "fecha_pago_cliente"),
        _promised_value(document),
    ]


def promise_row(document: Document) -> list[Cell]:
    """One promise to pay: person, debt, and the promised day and amount, as written and as read."""
    job = Job.read(document)
    payload = reading.mapping(document.get("payload"))
    day = day_or_none(cells.clean(document.get("fecha_pago_cliente")))
    promised = _promised(document)
    return [
        job.job_id,
        job.batch_id,
        job.contact.name,
        job.contact.dni,
        next(iter(job.contact.phones), None),
        *_texts(payload, "company_name", "reference_number", "debt_amount", "currency"),
        *_texts(document, "fecha_pago_cliente"),
        None if day is None else day.isoformat(),
        *_texts(document, "monto_pago_cliente"),
        None if promised is None else promised.value,
        None if promised is None else promised.currency,
        _moment(document.get("call_ended_at")),
        *_texts(document, "call_id"),
    ]


def _promised(document: Document) -> PromisedSum | None:
    currency = reading.text(reading.mapping(document.get("payload")).get("currency"))
    return promised_sum(document.get("monto_pago_cliente"), currency)


def _promised_value(document: Document) -> Cell:
    """The promised sum as a number; as told where it is not understood, or in another currency."""
    promised = _promised(document)
    told = _texts(document, "monto_pago_cliente")[0]
    currency = reading.text(reading.mapping(document.get("payload")).get("currency"))
    return told if promised is None or promised.currency != currency else promised.value


def do_not_call_row(entry: Document) -> list[Cell]:
    """One listed number or person."""
    person = reading.text(entry.get("person"))
    # Not the number first: speechctl.sheets explains why a sign may not begin a row.
    return [
        _moment(entry.get("at")),
        str(entry["_id"]) if person is None else None,
        *_texts(entry, "source", "job_id"),
        None if person is None else person.partition(":")[2],
        *_texts(entry, "account_id"),
    ]


#: ``$exists`` lets the sparse indexes of both fields serve it.
_PRESENT: Final = {"$exists": True, "$nin": [None, ""]}
#: Selects jobs with a promise to pay.
PROMISED: Final = {"$or": [{"fecha_pago_cliente": _PRESENT}, {"monto_pago_cliente": _PRESENT}]}

_CALL_COLUMNS: Final = (
    "call_id job_id batch_id account_id name dni phone placed_at outcome call_status disconnection_reason "
    "successful seconds cost charged_minutes charged_credit attempt phone_number summary sentiment "
    "recording_url log_url reference_number debt_amount currency agent_id agent_version from_number language"
)
_JOB_COLUMNS: Final = (
    "job_id batch_id account_id status name dni phones company_name debt_amount currency due_date "
    "reference_number "
    "attempts last_outcome last_error suspend_reason cancel_reason call_id created_at due_at finished_at "
    "promised_day promised_amount"
)
_PROMISE_COLUMNS: Final = (
    "job_id batch_id name dni phone company_name reference_number debt_amount currency promised_day_as_told "
    "promised_day promised_amount_as_told promised_amount promised_currency called_at call_id"
)

#: Of the columns that are no plain text.
_KINDS: Final[Mapping[str, ColumnKind]] = {
    **dict.fromkeys(
        ("placed_at", "created_at", "due_at", "finished_at", "called_at", "listed_at"), ColumnKind.TIME
    ),
    **dict.fromkeys(("due_date", "promised_day"), ColumnKind.DAY),
    **dict.fromkeys(("successful", "seconds", "cost", "charged_minutes", "charged_credit"), ColumnKind.VALUE),
    **dict.fromkeys(("attempt", "phone_number", "attempts"), ColumnKind.VALUE),
    **dict.fromkeys(("debt_amount", "promised_amount"), ColumnKind.VALUE),
}

#: All but the transcript, which is the largest part of a result.
_CALL_FIELDS: Final = (
    "call_id job_id batch_id account_id contact placed_at created_at outcome call_status "
    "disconnection_reason is_successful duration_ms cost charged attempt phone_index "
    "agent_id agent_version from_number language "
    "call_data.call_analysis call_data.recording_url call_data.public_log_url"
)

#: What ``promise_row`` reads, without the transcript in ``call_result``.
_PROMISE_FIELDS: Final = (
    "job_id batch_id contact to_number nombre rut payload fecha_pago_cliente monto_pago_cliente "
    "call_ended_at call_id"
)

EXPORTS: Final[Mapping[str, Export]] = {
    "calls": Export("results", {}, tuple(_CALL_COLUMNS.split()), call_row, tuple(_CALL_FIELDS.split())),
    "jobs": Export("jobs", {}, tuple(_JOB_COLUMNS.split()), job_row),
    "promises": Export(
        "jobs", PROMISED, tuple(_PROMISE_COLUMNS.split()), promise_row, tuple(_PROMISE_FIELDS.split())
    ),
    "dnc": Export(
        "do_not_call",
        {"spelling_of": None},
        ("listed_at", "phone", "source", "job_id", "national_id", "account_id"),
        do_not_call_row,
    ),
}


def _texts(fields: Mapping[str, Any], *names: str) -> list[Cell]:
    """Texts and numbers unchanged; times and decimals converted; other values as None."""
    values = (fields.get(name) for name in names)
    return [value if isinstance(value, str | int | float) else _converted(value) for value in values]


def _converted(value: object) -> Cell:
    if isinstance(value, datetime):
        return _moment(value)
    return cells.clean(value) or None if hasattr(value, "to_decimal") else None


def _moment(value: object) -> str | None:
    """A time in UTC with seconds, in a form that spreadsheets and programs read."""
    moment = reading.instant(value)
    return None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def _seconds(milliseconds: object) -> float | None:
    value = reading.number(milliseconds)
    return None if value is None else round(value / 1000, 1)


def _one_based(value: object) -> int | None:
    """A 0-based number as people count it, from 1."""
    number = reading.number(value)
    return None if number is None else int(number) + 1
