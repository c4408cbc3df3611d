"""What is left of a job, of a call's result and of a log line when a person's data are erased. Pure.

What stays is listed, field by field, and everything else goes: other programs add fields of their own, and
nobody knows what these hold. What counts for money and reports stays: outcome, times, minutes, cost, batch,
account, agent, and what was owed and promised, as numbers and days.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from speechaid.campaign import cells
from speechaid.campaign.amounts import promised_sum
from speechaid.campaign.dates import day_or_none
from speechaid.model import reading
from speechaid.model.call import collected_promises
from speechaid.model.erasure import ERASED, Erasure
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.model.states import FINISHED, JobStatus, Outcome, SuspendReason
from speechaid.rules.retry_table import RetryCause
from speechaid.store.analyses import WAIT
from speechaid.store.legacy import FIELD as RESERVED_TO_GIVE_BACK

#: Fields of a job that stay.
KEPT_OF_JOB: Final = frozenset(
    """
    _id job_id account_id batch_id status mode attempts tries max_attempts reserved_until estimated_cost
    reserved_amount reserved_to_give_back created_at started_at completed_at finished_at failed_at
    suspended_at updated_at call_id call_started_at call_ended_at call_duration_seconds last_outcome
    excused_faults crashes
    reset_at revision import_id redial_of accept_unassigned last_agent_id
    last_from_number
    """.split()  # noqa: SIM905 - one word for one field, in lines
)
#: Fields of a job that stay in part (``_kept_parts``), and those that go.
CHANGED_OF_JOB: Final = frozenset(
    """
    test contact person_keys deduplication_key payload call_result paid cancel_reason suspend_reason
    last_error fecha_pago_cliente monto_pago_cliente
    """.split()  # noqa: SIM905
)
#: Fields of a result that stay.
KEPT_OF_RESULT: Final = frozenset(
    """
    _id call_id job_id call_status duration_ms is_successful created_at dial_key batch_id account_id attempt
    phone_index outcome disconnection_reason connected placed_at cost charged worker analysis_missing agent_id
    agent_version from_number language batch_due
    """.split()  # noqa: SIM905
)
#: The field of a result that stays in part.
PROMISED: Final = "promised"
#: Fields of Retell's call that stay, in ``call_data`` and in a job's ``call_result.summary``.
KEPT_OF_CALL: Final = frozenset(
    """
    call_id call_type call_status disconnection_reason direction duration_ms start_timestamp end_timestamp
    call_cost agent_id agent_version from_number
    """.split()  # noqa: SIM905
)
#: Fields of Retell's analysis that stay: what reports count.
KEPT_OF_ANALYSIS: Final = frozenset({"call_successful", "user_sentiment", "in_voicemail"})
#: Fields of a line of a job's history that stay; of others their times alone.
KEPT_OF_LINE: Final = frozenset(
    {"_id", "event", "job_id", "worker", "batch", "call", "outcome", "cause", "status", "actor", "command"}
)

#: Reasons that are codes, and no words of a person: written by speechaid, or with an underscore.
_CODES: Final = frozenset(
    {*map(str, RetryCause), *map(str, SuspendReason), *map(str, Outcome), "cancel", "forgotten", "paid"}
)
_CODE: Final = re.compile(r"[a-z]{2,20}(_[a-z]{2,20}){1,4}")
#: A sum as other programs write it; longer ones may be a number of a phone.
_AMOUNT: Final = re.compile(r"\d{1,9}([.,]\d{1,4})?")
#: The only key of a job that is nobody's any more.
NOBODY: Final = "erased"
#: In place of a promise that is neither a day nor a sum, and of a call's: that there was one is counted.
UNREADABLE_PROMISE: Final = "erased"


def may_be_erased(job: Job) -> bool:
    """Whether a job is over for good: ended, without a call, and SpeechAI means to try it no more."""
    return (
        job.status in FINISHED
        and job.document.get("dial") is None
        and job.document.get(RESERVED_TO_GIVE_BACK) is None
        and not (job.status is JobStatus.FAILED and job.document.get("next_try_at") is not None)
    )


def awaits_analysis(results: Collection[Document]) -> bool:
    """Whether Retell is still to be asked for the analysis of one of the calls."""
    return any(WAIT in result for result in results)


def job_without_person(document: Document, erasure: Erasure) -> Document:
    """What is left of a job of which nobody is to know whose it was."""
    kept = {name: value for name, value in document.items() if name in KEPT_OF_JOB}
    parts = {name: value for name, value in _kept_parts(document).items() if value is not None}
    return {**kept, **parts, ERASED: erasure.document()}


def result_without_person(document: Document, erasure: Erasure) -> Document:
    """What is left of a call's result of which nobody is to know whom it reached."""
    kept = {name: value for name, value in document.items() if name in KEPT_OF_RESULT}
    parts: Document = {"test": _test(document["test"])} if "test" in document else {}
    if PROMISED in document:
        parts[PROMISED] = _promised(reading.mapping(document[PROMISED]))
    return {**kept, **parts, "contact": {}, "call_data": kept_of_call(document), ERASED: erasure.document()}


def _promised(promised: Mapping[str, Any]) -> Document:
    """What was promised in a call, as numbers and days."""
    currency = reading.text(promised.get("currency"))
    parts = {
        "day": _day(promised.get("day")),
        "amount": _sum(promised.get("amount"), currency),
        "currency": currency,
    }
    return {name: value for name, value in parts.items() if value is not None}


def kept_of_call(document: Document, field: str = "call_data") -> Document:
    """What stays of Retell's call that is stored in this field."""
    call = reading.mapping(document.get(field))
    kept = {name: _plain(call[name]) for name in call if name in KEPT_OF_CALL}
    analysis = reading.mapping(call.get("call_analysis"))
    counted = {name: _plain(analysis[name]) for name in analysis if name in KEPT_OF_ANALYSIS}
    promises = dict.fromkeys(collected_promises(dict(call)), UNREADABLE_PROMISE)
    return {
        **kept,
        # Reports count the calls that have an analysis, whatever is in it.
        **({"call_analysis": counted} if analysis else {}),
        # An export of promises names the call in which each was made.
        **({"collected_dynamic_variables": promises} if promises else {}),
    }


def line_without_person(line: Document) -> Document:
    """What is left of a line of a job's history; a line of another program keeps its times."""
    return {
        name: value
        for name, value in line.items()
        if name in KEPT_OF_LINE or isinstance(value, datetime | bool)
    }


def _kept_parts(document: Document) -> dict[str, Any]:
    """The fields of a job that stay in part; None where nothing of one stays."""
    payload, result = reading.mapping(document.get("payload")), reading.mapping(document.get("call_result"))
    currency = reading.text(payload.get("currency"))
    debt = {"debt_amount": _amount(payload.get("debt_amount")), "currency": currency}
    return {
        "contact": {"phones": [], "next_phone_index": 0},
        # Jobs without any are read whole by each import, as those of other programs.
        "person_keys": [NOBODY],
        # Another program may have a unique index on it.
        "deduplication_key": f"erased:{document['_id']}" if "deduplication_key" in document else None,
        "payload": {name: value for name, value in debt.items() if value is not None},
        "call_result": _call_result(result) if result else None,
        "paid": _paid(document.get("paid")),
        # By it counts leave test calls out.
        "test": _test(document["test"]) if "test" in document else None,
        **{name: _code(document.get(name)) for name in ("cancel_reason", "suspend_reason", "last_error")},
        "fecha_pago_cliente": _day(document.get("fecha_pago_cliente")),
        "monto_pago_cliente": _sum(document.get("monto_pago_cliente"), currency),
    }


def _call_result(result: Mapping[str, Any]) -> Document:
    kept = {name: result[name] for name in ("success", "status", "timestamp") if name in result}
    details = _code(result.get("details"))
    summary = {"summary": kept_of_call(dict(result), "summary")} if "summary" in result else {}
    return kept | summary | ({} if details is None else {"details": details})


def _test(value: object) -> Document:
    """Of which batch and row a call was a test, and for whom: without the row's variables."""
    mark = reading.mapping(value)
    return {name: mark[name] for name in ("batch_id", "job_id", "by", "until") if name in mark}


def _paid(value: object) -> Document | None:
    """What was paid, when, and who recorded it."""
    paid = reading.mapping(value)
    amounts = {"amount": _amount(paid.get("amount")), "currency": reading.text(paid.get("currency"))}
    others = {name: paid.get(name) for name in ("at", "by")}
    return {name: part for name, part in (amounts | others).items() if part is not None} or None


def _plain(value: object) -> Any:
    """Numbers, times and short words as they are; of a document, its numbers: costs are one."""
    if isinstance(value, Mapping):
        return {name: part for name, part in value.items() if reading.number(part) is not None}
    return value if not isinstance(value, list) else None


def _code(value: object) -> str | None:
    word = reading.text(value)
    return word if word is not None and (word in _CODES or _CODE.fullmatch(word)) else None


def _amount(value: object) -> Any:
    if isinstance(value, str):
        return value if _AMOUNT.fullmatch(value.strip()) else None
    return value if reading.number(value) is not None else None


def _day(value: object) -> str | None:
    """The promised day; of words that are none, that there was a promise."""
    if value in (None, ""):
        return None
    day = day_or_none(cells.clean(value))
    return UNREADABLE_PROMISE if day is None else day.isoformat()


def _sum(value: object, currency: str | None) -> Any:
    """The promised sum, as a report adds it up."""
    if value in (None, ""):
        return None
    promised = promised_sum(value, currency)
    if promised is None:
        return UNREADABLE_PROMISE
    if promised.currency == currency:
        return promised.value
    return f"{promised.currency or '$'} {promised.value}"
