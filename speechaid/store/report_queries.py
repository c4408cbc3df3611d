"""What a report reads: the results of calls, jobs, and payments; each document once, and few of its fields.

Nothing is counted here: all figures of a report are counted from the same documents, so that its header and
its tables cannot disagree, whatever is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from datetime import UTC, datetime
from typing import Final

from speechaid.model.reading import Document
from speechaid.store.connection import Store

#: Jobs that one query names.
_PORTION: Final = 1000
#: What is no date is not greater than one.
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: All but the transcript, which is the largest part of a result.
_CALL_FIELDS: Final = (
    *("job_id", "batch_id", "account_id", "contact.dni", "outcome", "attempt", "connected", "is_successful"),
    *(
        "placed_at",
        "created_at",
        "duration_ms",
        "cost",
        "charged",
        "agent_id",
        "agent_version",
        "from_number",
    ),
    *("promised", "analysis_wait.due_at", "call_data.call_cost.combined_cost"),
    *(f"call_data.call_analysis.{name}" for name in ("user_sentiment", "call_successful", "in_voicemail")),
    *(f"call_data.collected_dynamic_variables.{name}_pago_cliente" for name in ("fecha", "monto")),
)
_JOB_FIELDS: Final = (
    *("job_id", "batch_id", "account_id", "status", "cancel_reason", "redial_of"),
    *("waits_for.rule", "reserved_until"),
    *("payload.debt_amount", "payload.currency", "fecha_pago_cliente", "monto_pago_cliente"),
)


def stream_calls(
    store: Store, query: Document, begin: datetime | None = None, end: datetime | None = None
) -> Generator[Document]:
    """Yield the results of calls that were placed from ``begin`` on, and before ``end``, in no order.

    A result of another program does not say when its call was placed: it counts when it was recorded.
    """
    span: Document = {"$gte": begin or _LONG_AGO} | ({} if end is None else {"$lt": end})
    if begin is not None or end is not None:
        query = {**query, "$or": [{"placed_at": span}, {"placed_at": None, "created_at": span}]}
    return store.results.table.stream(query, fields=_CALL_FIELDS)


def stream_jobs(store: Store, query: Document) -> Generator[Document]:
    """Yield the jobs of the query, in no order."""
    return store.jobs.table.stream(query, fields=_JOB_FIELDS)


def stream_jobs_named(store: Store, job_ids: Collection[str]) -> Iterator[Document]:
    """Yield the jobs with these names, in no order; those that were deleted are left out."""
    names = list(job_ids)
    for begin in range(0, len(names), _PORTION):
        yield from stream_jobs(store, {"job_id": {"$in": names[begin : begin + _PORTION]}})


def stream_payments(
    store: Store, query: Document, begin: datetime | None = None, end: datetime | None = None
) -> Generator[Document]:
    """Yield the jobs of the query with an amount that was paid, recorded between these moments."""
    recorded: Document = {"$gte": begin or _LONG_AGO} | ({} if end is None else {"$lt": end})
    paid = {"paid.at": recorded, "paid.amount": {"$ne": None}}
    return store.jobs.table.stream({**query, **paid}, fields=("account_id", "paid", "payload.currency"))
