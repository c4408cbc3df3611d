"""Counts for a report: jobs by status, calls by outcome, attempt and hour, promises to pay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from speechaid.model import reading
from speechaid.model.reading import Document
from speechaid.model.states import JobStatus
from speechaid.rules.retry_table import ALL_LISTED
from speechaid.store.connection import Store
from speechaid.store.table import Pipeline
from speechaid.store.test_calls import of_campaigns


@dataclass(frozen=True, kw_only=True)
class ReportFigures:
    """The counts of a report; rows as the pipelines return them."""

    #: By the database's clock.
    at: datetime
    #: The time zone of the report's hours.
    zone: str
    #: None: all batches.
    batch_id: str | None
    #: Jobs by batch and status, as the status is written.
    jobs: Mapping[str | None, Mapping[str, int]]
    #: Batch names by id.
    names: Mapping[str, str | None]
    #: Rows of ``outcomes_pipeline``.
    outcomes: Sequence[Document]
    #: Rows of ``attempts_pipeline``.
    attempts: Sequence[Document]
    #: Rows of ``hours_pipeline``.
    hours: Sequence[Document]
    #: Rows of ``promises_pipeline``.
    promises: Sequence[Document]
    #: Rows of ``analyses_pipeline``.
    analyses: Sequence[Document] = ()
    #: Rows of ``agents_pipeline``.
    agents: Sequence[Document] = ()
    #: Jobs that were cancelled because the do-not-call list left them no phone.
    jobs_on_list: int = 0
    #: The currency of each account that was charged; None: it has none.
    currencies: Mapping[str, str | None] = field(default_factory=dict)
    #: ISO 3166 alpha-2: debts without a currency are in its own; None: they have none.
    country: str | None = None


def query_report_figures(
    store: Store, *, batch_id: str | None, zone: str, country: str | None = None
) -> ReportFigures:
    """Query the counts; scans the results (of the batch): never on a hot path."""
    counts: dict[str | None, dict[str, int]] = (
        store.jobs.counts_by_batch() if batch_id is None else {batch_id: store.jobs.counts(batch_id)}
    )
    outcomes = store.results.aggregate(outcomes_pipeline(batch_id))
    wanted = {reading.text(row["_id"].get("batch_id")) for row in outcomes} | set(counts)
    batches = store.batches.among(sorted(name for name in wanted if name is not None))
    return ReportFigures(
        at=store.now(),
        zone=zone,
        batch_id=batch_id,
        country=country,
        jobs=counts,
        names={batch.batch_id: batch.name for batch in batches},
        outcomes=outcomes,
        currencies=_currencies(store, outcomes),
        attempts=store.results.aggregate(attempts_pipeline(batch_id)),
        hours=store.results.aggregate(hours_pipeline(batch_id)),
        promises=store.jobs.table.aggregate(promises_pipeline(batch_id)),
        analyses=store.results.aggregate(analyses_pipeline(batch_id)),
        agents=store.results.aggregate(agents_pipeline(batch_id)),
        jobs_on_list=store.jobs.table.count(_ended_by_list(batch_id)),
    )


def _currencies(store: Store, outcomes: Sequence[Document]) -> dict[str, str | None]:
    """The currency of each account of these calls."""
    names = {reading.text(row["_id"].get("account_id")) for row in outcomes}
    accounts = store.accounts.among(sorted(name for name in names if name is not None))
    return {account.account_id: account.currency for account in accounts}


def _ended_by_list(batch_id: str | None) -> Document:
    of_batch = of_campaigns({} if batch_id is None else {"batch_id": batch_id})
    return {**of_batch, "status": JobStatus.CANCELLED, "cancel_reason": ALL_LISTED.cancel_reason}


def outcomes_pipeline(batch_id: str | None) -> Pipeline:
    """Calls, minutes and money by batch, outcome and account.

    ``$sum`` ignores values that are not numbers, so that an odd document of another program does not stop the
    report.
    """
    return [
        *_of(batch_id),
        {
            "$group": {
                "_id": {"batch_id": "$batch_id", "outcome": "$outcome", "account_id": "$account_id"},
                "calls": {"$sum": 1},
                "connected": {"$sum": {"$cond": [_is_positive("$duration_ms"), 1, 0]}},
                "duration_ms": {"$sum": "$duration_ms"},
                "cost": {"$sum": "$cost"},
                "retell_cents": {"$sum": "$call_data.call_cost.combined_cost"},
                "charged_minutes": {"$sum": "$charged.minutes"},
                "charged_credit": {"$sum": "$charged.credit"},
            }
        },
    ]


def agents_pipeline(batch_id: str | None) -> Pipeline:
    """Calls and minutes by agent, version, calling number and outcome; without calls of no known agent."""
    key = {name: f"${name}" for name in ("agent_id", "agent_version", "from_number", "outcome")}
    group = {"_id": key, "calls": {"$sum": 1}, "duration_ms": {"$sum": "$duration_ms"}}
    return [*_of(batch_id), {"$match": {"agent_id": {"$type": "string"}}}, {"$group": group}]


def attempts_pipeline(batch_id: str | None) -> Pipeline:
    """Calls by attempt (0-based) and outcome."""
    return [*_of(batch_id), _counted({"attempt": "$attempt", "outcome": "$outcome"})]


def hours_pipeline(batch_id: str | None) -> Pipeline:
    """Calls by the hour (UTC) in which they were placed, and outcome."""
    hour = {"$dateToString": {"format": "%Y-%m-%dT%H:00:00", "date": "$placed_at"}}
    # Zones with an offset of half an hour need the half; the rows stay few.
    half = {"$gte": [{"$minute": "$placed_at"}, 30]}
    placed = {"$match": {"placed_at": {"$type": "date"}}}
    return [*_of(batch_id), placed, _counted({"hour": hour, "half": half, "outcome": "$outcome"})]


def promises_pipeline(batch_id: str | None) -> Pipeline:
    """Jobs whose contact promised to pay: by day and amount as the agent recorded them, and by currency."""
    given = {"$nin": [None, ""]}
    promised = [{"fecha_pago_cliente": given}, {"monto_pago_cliente": given}]
    return [
        *_of(batch_id),
        {"$match": {"$or": promised}},
        {
            "$group": {
                "_id": {
                    "day": "$fecha_pago_cliente",
                    "amount": "$monto_pago_cliente",
                    "currency": "$payload.currency",
                },
                "jobs": {"$sum": 1},
            }
        },
    ]


def analyses_pipeline(batch_id: str | None) -> Pipeline:
    """Connected calls by Retell's analysis: the person's sentiment, and whether the call succeeded."""
    analysis = "$call_data.call_analysis"
    key = {
        "sentiment": f"{analysis}.user_sentiment",
        "successful": f"{analysis}.call_successful",
        # A missing field sorts before all other types of BSON.
        "analysed": {"$gt": [analysis, None]},
        "waiting": {"$gt": ["$analysis_wait", None]},
    }
    return [*_of(batch_id), {"$match": {"connected": True}}, _counted(key)]


def _of(batch_id: str | None) -> list[Document]:
    return [{"$match": of_campaigns({} if batch_id is None else {"batch_id": batch_id})}]


def _counted(key: dict[str, Any]) -> Document:
    return {"$group": {"_id": key, "calls": {"$sum": 1}}}


def _is_positive(field: str) -> Document:
    """Whether a field is a positive number; in the order of BSON, text sorts above all numbers."""
    return {"$and": [{"$gt": [field, 0]}, {"$lt": [field, 1e15]}]}
