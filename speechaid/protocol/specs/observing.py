"""What is going on: status, events, records, alerts, findings."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import DATES, OF_BATCH
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind, Runs

SPECS: Final = (
    CommandSpec(
        name="status",
        help="supervisor, workers, queue, batches, alerts and holds",
        access=Access.STATUS,
        runs=Runs.LOOP,
        timeout_seconds=5.0,
    ),
    CommandSpec(
        name="top",
        help="workers, calls, queue and rates on one screen, live; q or Ctrl-C ends it",
        access=Access.STATUS,
        arguments=(
            Argument(
                name="interval",
                kind=Kind.DURATION,
                minimum=0.2,
                maximum=3600,
                default=1,
                help="refresh interval: 2s",
            ),
            Argument(name="once", kind=Kind.FLAG, help="print once, as plain text"),
        ),
        runs=Runs.CLIENT,
        timeout_seconds=5.0,
    ),
    CommandSpec(
        name="events",
        help="events of this host as they happen, until Ctrl-C",
        access=Access.READ,
        arguments=(
            Argument(name="job", help="of this job only", completes="job"),
            Argument(name="worker", help="of this worker only", completes="worker"),
            Argument(name="batch", help="of this batch only (id, or its beginning)", completes="batch"),
            Argument(name="agent", is_id=True, help="of calls with this agent only (its id)"),
        ),
        runs=Runs.STREAM,
    ),
    CommandSpec(
        name="logs",
        help="recorded events of jobs on all hosts, and operators' commands",
        access=Access.READ,
        arguments=(
            Argument(name="job", help="of this job only (id, or its unique beginning)", completes="job"),
            OF_BATCH,
            Argument(name="agent", is_id=True, help="of calls with this agent only (its id)"),
            Argument(name="by", is_id=True, help="of this author only: maria, or maria (user)"),
            *DATES,
            Argument(name="commands", kind=Kind.FLAG, help="commands that changed something, only"),
            Argument(name="reads", kind=Kind.FLAG, help="who read people's data, only"),
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=30,
                help="show the latest, at most this many",
            ),
            Argument(
                name="after",
                is_id=True,
                help="the first lines after this place, or this line, of an earlier answer",
            ),
            Argument(name="follow", kind=Kind.FLAG, local=True, short="f", help="keep printing new lines"),
        ),
    ),
    CommandSpec(
        name="alerts",
        help="firing alerts: since when, what they mean and what to do",
        access=Access.STATUS,
        arguments=(Argument(name="all", kind=Kind.FLAG, help="show the quiet alerts too"),),
        runs=Runs.LOOP,
        timeout_seconds=5.0,
    ),
    CommandSpec(
        name="doctor",
        help="what keeps calls from being made, with evidence and remedy",
        access=Access.READ,
    ),
)
