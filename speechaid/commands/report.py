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
    zone = account_place(context, batch_id).zone
    shaped = shape(query_report_figures(context.store, batch_id=batch_id, zone=zone))
    return shaped | ({"markdown": to_markdown(shaped)} if command.args["format"] == "markdown" else {})
