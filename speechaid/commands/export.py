"""``export`` and ``promises``: calls, jobs and promises row by row, for spreadsheets and other programs."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence

from speechaid.campaign.csv_form import csv_form
from speechaid.campaign.export_rows import (
    EXPORTS,
    OF_JOB,
    PROMISE_CALL,
    PROMISE_CALL_FIELDS,
    Cell,
    promise_call,
    promised_day,
)
from speechaid.commands.account_place import account_place
from speechaid.commands.filters import filter_query
from speechaid.commands.ids import resolve_batch
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.model import reading
from speechaid.model.masking import mask_phone
from speechaid.model.reading import Document
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.store.test_calls import of_campaigns


def export(context: HandlerContext, command: Invocation) -> Result:
    """One page of an export; ``next`` is the position after it, None after the last page."""
    selected = EXPORTS[command.args["what"]]
    query = {**selected.query, **filter_query(context, command.args, selected.collection)}
    place = account_place(context, query.get("batch_id"))
    try:
        form = csv_form(command.args["locale"] or place.country)
    except ValueError as exc:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("locale: {exc}", exc=exc)) from exc
    table = {
        "jobs": context.store.jobs.table,
        "results": context.store.results.table,
        "do_not_call": context.store.do_not_call.table,
    }[selected.collection]
    try:
        documents, next_position = context.store.pages.page(
            table, query, after=command.args["after"], limit=command.args["limit"], fields=selected.fields
        )
    except ValueError as exc:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("after: {exc}", exc=exc)) from exc
    if selected.collection == "results":
        documents = _with_payloads(context, documents)
    elif selected is EXPORTS["promises"]:
        documents = _with_calls(context, documents)
    return {
        "what": command.args["what"],
        "columns": list(selected.columns),
        "kinds": selected.kinds,
        "timezone": place.zone,
        "form": {"delimiter": form.delimiter, "decimal": form.decimal},
        "rows": [selected.row(document) for document in documents],
        "next": next_position,
    }


def _with_payloads(context: HandlerContext, results: Sequence[Document]) -> list[Document]:
    """Results of calls with what their jobs say about the debt; a deleted job says nothing."""
    ids = sorted({job_id for result in results if (job_id := reading.text(result.get("job_id")))})
    fields = ("job_id", *(f"payload.{name}" for name in OF_JOB))
    found = context.store.jobs.table.stream({"job_id": {"$in": ids}}, fields=fields)
    payloads = {reading.text(job.get("job_id")): job.get("payload") for job in found}
    return [{**result, "payload": payloads.get(reading.text(result.get("job_id")))} for result in results]


def _with_calls(context: HandlerContext, jobs: Sequence[Document]) -> list[Document]:
    """Jobs with a promise, each with the call in which it was made."""
    ids = sorted({job_id for job in jobs if (job_id := reading.text(job.get("job_id")))})
    by_job: dict[str | None, list[Document]] = defaultdict(list)
    found = context.store.results.table.stream({"job_id": {"$in": ids}}, fields=PROMISE_CALL_FIELDS)
    for result in found:
        by_job[reading.text(result.get("job_id"))].append(result)
    return [{**job, PROMISE_CALL: promise_call(by_job[reading.text(job.get("job_id"))])} for job in jobs]


def promises(context: HandlerContext, command: Invocation) -> Result:
    """Promises to pay, the soonest day first; promises without a readable day last."""
    selected = EXPORTS["promises"]
    query = of_campaigns(dict(selected.query))
    if command.args["batch"] is not None:
        query["batch_id"] = resolve_batch(context.store, command.args["batch"]).batch_id
    # The day is written in many forms, so the database cannot sort by it: all are read, a few are kept.
    documents = context.store.jobs.table.stream(query, fields=selected.fields)
    soonest = heapq.nsmallest(command.args["limit"], documents, key=_soonest_first)
    rows = (selected.row(job) for job in _with_calls(context, soonest))
    return {
        "promises": [_shown(dict(zip(selected.columns, row, strict=True))) for row in rows],
        "limit": command.args["limit"],
    }


def _shown(row: dict[str, Cell]) -> dict[str, Cell]:
    """A promise as it is listed: whole numbers are in exports alone."""
    phone = row["phone"]
    return row if phone is None else {**row, "phone": mask_phone(str(phone))}


def _soonest_first(job: Document) -> tuple[bool, str, str]:
    day = promised_day(job)
    return (day is None, str(day), str(job.get("job_id")))
