"""``report``: the figures of a campaign."""

from __future__ import annotations

from speechaid.campaign.report import shape, to_markdown
from speechaid.commands.account_place import account_place
from speechaid.commands.ids import resolve_batch_id
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.store.report_queries import query_report_figures


def report(context: HandlerContext, command: Invocation) -> Result:
    """The figures of one batch or of all; on request as Markdown too."""
    batch_id = resolve_batch_id(context.store, command.args["batch"])
    place = account_place(context, batch_id)
    figures = query_report_figures(context.store, batch_id=batch_id, zone=place.zone, country=place.country)
    shaped = shape(figures)
    return shaped | ({"markdown": to_markdown(shaped)} if command.args["format"] == "markdown" else {})
