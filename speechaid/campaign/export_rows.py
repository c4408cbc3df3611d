"""Rows of ``export``: calls, jobs, promises to pay, the do-not-call list. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from speechaid.campaign import cells
from speechaid.campaign.amounts import PromisedSum, promised_sum
from speechaid.campaign.dates import day_or_none
from speechaid.model import reading
from speechaid.model.call import PROMISE_FIELDS, collected_promises, instant_of_milliseconds
from speechaid.model.erasure import Erasure, of_person
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.model.states import JobStatus
from speechaid.protocol.messages import ColumnKind

#: Fields of a job's payload that a call's row has, too: a result does not have them.
OF_JOB: Final = ("reference_number", "debt_amount", "currency")

#: The field under which ``promise_row`` finds the call of the promise.
PROMISE_CALL: Final = "promise_call"
#: What ``promise_call`` and ``promise_row`` read of a result.
PROMISE_CALL_FIELDS: Final = (
    *("job_id", "call_id", "created_at", "contact.phone_used", "promised", "call_data.end_timestamp"),
    *(f"call_data.collected_dynamic_variables.{name}" for name in PROMISE_FIELDS),
)

#: Before any call.
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

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
    erased = Erasure.read(result)
    summary, sentiment = _texts(analysis, "call_summary", "user_sentiment")
    return [
        *_texts(result, "call_id", "job_id", "batch_id", "account_id"),
        *_person(result, *_texts(contact, "name", "dni", "phone_used")),
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
        summary if erased is None else erased.sentence,
        sentiment,
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
        *_person(document, job.contact.name, job.contact.dni, ", ".join(job.contact.phones)),
        *_texts(payload, "company_name", "debt_amount", "currency", "due_date", "reference_number"),
        job.attempts,
        *_texts(document, "last_outcome", "last_error", "suspend_reason", "cancel_reason", "call_id"),
        _moment(document.get("created_at")),
        # Of other jobs it is the lease of a worker, or left over from one.
        _moment(job.reserved_until) if job.status is JobStatus.PENDING else None,
        _moment(document.get("finished_at")),
        *_texts(document, "fecha_pago_cliente"),
        _promised_value(document),
        *_paid(document),
    ]


def _paid(document: Document) -> list[Cell]:
    """When a payment was recorded, the amount and its currency, by whom, and the note."""
    paid = reading.mapping(document.get("paid"))
    amount = reading.number(paid.get("amount"))
    return [_moment(paid.get("at")), amount, *_texts(paid, "currency", "by", "note")]


def promise_call(results: Sequence[Document]) -> Document | None:
    """The call in which a job's promise was made, of the job's results.

    It is the newest in which the agent collected a promise, else the only one. None where several calls have
    none: other programs' results need not have what was collected.
    """
    promising = [result for result in results if _is_promise(result)]
    if promising:
        return max(promising, key=lambda result: _created_at(result).timestamp())
    return results[0] if len(results) == 1 else None


def promise_row(document: Document) -> list[Cell]:
    """One promise to pay: person, debt, and the promised day and amount, as written and as read.

    The phone, the time and the id are those of the call that ``promise_call`` chose, in ``PROMISE_CALL``.
    """
    job = Job.read(document)
    payload = reading.mapping(document.get("payload"))
    day = promised_day(document)
    promised = _promised(document)
    call = reading.mapping(document.get(PROMISE_CALL))
    phone = reading.text(reading.mapping(call.get("contact")).get("phone_used"))
    return [
        job.job_id,
        job.batch_id,
        *_person(document, job.contact.name, job.contact.dni, phone),
        *_texts(payload, "company_name", "reference_number", "debt_amount", "currency"),
        *_texts(document, "fecha_pago_cliente"),
        day,
        *_texts(document, "monto_pago_cliente"),
        None if promised is None else promised.value,
        None if promised is None else promised.currency,
        _moment(_ended_at(call)),
        *_texts(call, "call_id"),
    ]


def promised_day(document: Document) -> str | None:
    """The promised day of a job, as YYYY-MM-DD; None where none was collected, or it is not understood."""
    day = day_or_none(cells.clean(document.get("fecha_pago_cliente")))
    return None if day is None else day.isoformat()


def _is_promise(result: Document) -> bool:
    """Whether a result says so itself, or its call collected one: so it is with those of earlier versions."""
    collected = collected_promises(dict(reading.mapping(result.get("call_data"))))
    return bool(reading.mapping(result.get("promised")) or collected)


def _created_at(result: Document) -> datetime:
    return reading.instant(result.get("created_at")) or _NEVER


def _ended_at(result: Mapping[str, Any]) -> datetime | None:
    """When a call ended, as Retell says, else when its result was written."""
    call = reading.mapping(result.get("call_data"))
    return instant_of_milliseconds(call.get("end_timestamp")) or reading.instant(result.get("created_at"))


def _promised(document: Document) -> PromisedSum | None:
    currency = reading.text(reading.mapping(document.get("payload")).get("currency"))
    return promised_sum(document.get("monto_pago_cliente"), currency)


def _promised_value(document: Document) -> Cell:
    """The promised sum as a number; as collected where it is not understood, or in another currency."""
    promised = _promised(document)
    collected = _texts(document, "monto_pago_cliente")[0]
    currency = reading.text(reading.mapping(document.get("payload")).get("currency"))
    return collected if promised is None or promised.currency != currency else promised.value


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
    "promised_day promised_amount paid_at paid_amount paid_currency paid_by paid_note"
)
_PROMISE_COLUMNS: Final = (
    "job_id batch_id name dni phone company_name reference_number debt_amount currency promised_day_as_told "
    "promised_day promised_amount_as_told promised_amount promised_currency called_at call_id"
)

#: Of the columns that are no plain text.
_KINDS: Final[Mapping[str, ColumnKind]] = {
    **dict.fromkeys(
        ("placed_at", "created_at", "due_at", "finished_at", "called_at", "listed_at", "paid_at"),
        ColumnKind.TIME,
    ),
    **dict.fromkeys(("due_date", "promised_day"), ColumnKind.DAY),
    **dict.fromkeys(("successful", "seconds", "cost", "charged_minutes", "charged_credit"), ColumnKind.VALUE),
    **dict.fromkeys(("attempt", "phone_number", "attempts"), ColumnKind.VALUE),
    **dict.fromkeys(("debt_amount", "promised_amount", "paid_amount"), ColumnKind.VALUE),
}

#: All but the transcript, which is the largest part of a result.
_CALL_FIELDS: Final = (
    "call_id job_id batch_id account_id contact placed_at created_at outcome call_status "
    "disconnection_reason is_successful duration_ms cost charged attempt phone_index erased "
    "agent_id agent_version from_number language "
    "call_data.call_analysis call_data.recording_url call_data.public_log_url"
)

#: What ``promise_row`` reads of the job, without the transcript in ``call_result``.
_PROMISE_FIELDS: Final = (
    "job_id batch_id contact to_number nombre rut payload fecha_pago_cliente monto_pago_cliente erased"
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


def _person(document: Document, name: Cell, *others: Cell) -> list[Cell]:
    """Cells about a person, the name first: in its place stands that it is not stored any more."""
    erased = of_person(document)
    return [name, *others] if erased is None else [erased.sentence, *(None for _ in others)]


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
