"""``jobs`` and ``job``. Phone numbers are masked in their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from speechaid.commands.filters import filter_query
from speechaid.commands.ids import resolve_job
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.model.erasure import Erasure
from speechaid.model.job import Dial, Job
from speechaid.model.masking import mask_bare_phones, mask_each, mask_phone, mask_prose
from speechaid.model.reading import Document, mapping, sequence
from speechaid.model.states import JobStatus
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.store.analyses import WAIT

#: The fields of ``call_results`` in the answer.
CALL_FIELDS: Final[tuple[str, ...]] = (
    "call_id",
    "created_at",
    "placed_at",
    "outcome",
    "call_status",
    "disconnection_reason",
    "duration_ms",
    "cost",
    "charged",
    "attempt",
    "phone_index",
    "worker",
    "agent_id",
    "agent_version",
    "language",
)
#: The fields of Retell's call analysis in the answer.
_ANALYSIS_FIELDS: Final = ("call_successful", "user_sentiment", "in_voicemail", "call_summary")
#: Further fields of a job's document in the answer.
JOB_FIELDS: Final[tuple[str, ...]] = (
    "created_at",
    "started_at",
    "completed_at",
    "failed_at",
    "updated_at",
    "cancel_reason",
)
#: Fields of a log line that the answer leaves out.
_LOG_HOUSEKEEPING: Final = frozenset({"_id", "job_id", "expires_at"})
_NUMBER_FIELDS: Final = frozenset(
    {"phone", "number", "phone_used", "to_number", "error", "last_error", "reason", "args"}
)


def jobs(context: HandlerContext, command: Invocation) -> Result:
    """Jobs of a status and of what else was asked for, one row each; ``next`` as in ``export``."""
    status, as_of = command.args["status"], context.store.now()
    try:
        found, following = context.store.jobs.page(
            filter_query(context, command.args, "jobs"),
            status=None if status is None else JobStatus(status),
            after=command.args["after"],
            limit=command.args["limit"],
        )
    except ValueError as exc:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("after: {exc}", exc=exc)) from exc
    return {
        "as_of": as_of,
        "jobs": [_row(job) for job in found],
        "limit": command.args["limit"],
        "next": following,
    }


def job(context: HandlerContext, command: Invocation) -> Result:
    """One job with its history: every call and every event."""
    found = resolve_job(context.store, command.args["job"])
    shown = dict(zip(found.contact.phones, mask_each(found.contact.phones), strict=True))
    return {
        **_row(found),
        **{name: found.document[name] for name in JOB_FIELDS if name in found.document},
        "max_attempts": found.max_attempts,
        "suspend_reason": found.suspend_reason,
        "last_error": mask_bare_phones(str(found.document.get("last_error") or "")) or None,
        "dni": found.contact.dni,
        "paid": paid_fields(found),
        "phones": list(shown.values()),
        "dead_phones": sorted(shown.get(phone, mask_phone(phone)) for phone in found.dead_phones),
        "crashes": found.crashes,
        "dial": None if found.dial is None else _dial(found.dial),
        "request": found.request,
        "calls": [call_row(result, shown) for result in context.store.results.of_job(found.job_id)],
        "events": [event_row(line) for line in context.store.logs.of_job(found.job_id)],
    }


def _row(job: Job) -> Result:
    return {
        "job_id": job.job_id,
        "status": job.status,
        "batch_id": job.batch_id,
        "account_id": job.account_id,
        "name": job.contact.name,
        "attempts": job.attempts,
        "phone": job.contact.next_phone_index,
        "phones_count": len(job.contact.phones),
        "due_at": job.reserved_until if job.status is JobStatus.PENDING else None,
        "lease_until": job.reserved_until if job.status is JobStatus.IN_PROGRESS else None,
        "worker": job.worker_id if job.status is JobStatus.IN_PROGRESS else None,
        "call_id": job.call_id,
        "outcome": job.document.get("last_outcome"),
        "test": None if job.test is None else job.test.document(),
        **erased_fields(job.document),
    }


def erased_fields(document: Document) -> Result:
    """``erased`` in an answer: what is not stored any more, since when and by whom; empty where all is."""
    found = Erasure.read(document)
    return {} if found is None else {"erased": {**found.document(), "text": found.sentence}}


def paid_fields(job: Job) -> Result | None:
    """A recorded payment in an answer: amount, when, by whom, note, corrections; None where there is none."""
    recorded = mapping(job.document.get("paid"))
    if not recorded:
        return None
    shown = {name: recorded[name] for name in ("amount", "currency", "at", "by", "note") if name in recorded}
    corrections = [dict(one) for one in sequence(recorded.get("corrections")) if isinstance(one, Mapping)]
    return {**shown, **({"corrections": corrections} if corrections else {})}


def _dial(dial: Dial) -> Result:
    return {
        "number": mask_phone(dial.number),
        "phone_index": dial.phone_index,
        "attempt": dial.attempt,
        "intent_at": dial.intent_at,
        "call_id": dial.call_id,
        "placed_at": dial.placed_at,
        "ambiguous": dial.is_ambiguous,
        "empty_lookups": dial.empty_lookups,
        "parked_at": dial.parked_at,
        "agent_id": dial.request.get("override_agent_id"),
        "agent_version": dial.request.get("override_agent_version"),
        "from_number": mask_phone(str(dial.request.get("from_number") or "")) or None,
    }


def call_row(result: Document, shown: Mapping[str, str]) -> Result:
    """A call in an answer, but for what was said; ``shown`` has the phones as they are shown."""
    row: Result = {name: result[name] for name in CALL_FIELDS if name in result}
    used = mapping(result.get("contact")).get("phone_used")
    analysis = mapping(mapping(result.get("call_data")).get("call_analysis"))
    if analysis:
        row["analysis"] = {name: analysis[name] for name in _ANALYSIS_FIELDS if name in analysis}
    elif WAIT in result:
        row["analysis_due_at"] = mapping(result[WAIT]).get("due_at")
    if (caller := result.get("from_number")) is not None:
        row["from_number"] = mask_phone(str(caller))
    row |= erased_fields(result)
    return {**row, "phone": shown.get(str(used), mask_phone(str(used))) if used else None}


def event_row(line: Document) -> Result:
    """A line of ``call_logs`` with masked numbers."""
    return {
        name: _masked(value) if name in _NUMBER_FIELDS else value
        for name, value in line.items()
        if name not in _LOG_HOUSEKEEPING
    }


def _masked(value: Any) -> Any:
    """With numbers masked; of a command's arguments the reason's, which an earlier version may have left."""
    if isinstance(value, dict):
        return {name: _masked(part) if name == "reason" else part for name, part in value.items()}
    return mask_prose(value) if isinstance(value, str) else value
