"""``export`` and ``promises``: what came of the calls, row by row, for spreadsheets and other programs."""

from __future__ import annotations

from speechaid.campaign.export_rows import EXTRACTS
from speechaid.commands.ids import the_batch
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.protocol.messages import ErrorCode


def export(context: HandlerContext, command: Invocation) -> Result:
    """One page of an extract; ``next`` names the place behind it, None where it is the last."""
    extract = EXTRACTS[command.args["what"]]
    query = dict(extract.query)
    if command.args["batch"] is not None:
        if extract.collection == "do_not_call":
            raise CommandRefused(
                ErrorCode.BAD_ARGUMENT, "the do-not-call list is of no batch: leave out --batch"
            )
        query["batch_id"] = the_batch(context.store, command.args["batch"]).batch_id
    table = {
        "jobs": context.store.jobs.table,
        "results": context.store.results.table,
        "do_not_call": context.store.do_not_call.table,
    }[extract.collection]
    try:
        documents, following = context.store.pages.page(
            table, query, after=command.args["after"], limit=command.args["limit"], fields=extract.fields
        )
    except ValueError as exc:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, f"after: {exc}") from exc
    return {
        "what": command.args["what"],
        "columns": list(extract.columns),
        "rows": [extract.row(document) for document in documents],
        "next": following,
    }


def promises(context: HandlerContext, command: Invocation) -> Result:
    """Promises to pay, the soonest day first; promises without a readable day last."""
    extract = EXTRACTS["promises"]
    query = dict(extract.query)
    if command.args["batch"] is not None:
        query["batch_id"] = the_batch(context.store, command.args["batch"]).batch_id
    documents = context.store.jobs.table.find(query, limit=command.args["limit"])
    rows = [dict(zip(extract.columns, extract.row(document), strict=True)) for document in documents]
    rows.sort(key=lambda row: (row["promised_day"] is None, str(row["promised_day"]), str(row["job_id"])))
    return {"promises": rows, "limit": command.args["limit"]}
