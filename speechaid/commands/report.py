"""``report``: what came of the calls."""

from __future__ import annotations

from speechaid.campaign.report import shape, to_markdown
from speechaid.commands.ids import the_batch
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.store.report_queries import query_report_figures


def report(context: HandlerContext, command: Invocation) -> Result:
    """The figures of one batch or of all; as Markdown too, where that is wanted."""
    word = command.args["batch"]
    batch_id = None if word is None else the_batch(context.store, word).batch_id
    shaped = shape(
        query_report_figures(
            context.store, batch_id=batch_id, zone=str(context.settings.dialling.default_timezone)
        )
    )
    return shaped | ({"markdown": to_markdown(shaped)} if command.args["format"] == "markdown" else {})
