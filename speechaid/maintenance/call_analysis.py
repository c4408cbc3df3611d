"""What Retell makes of a call comes after its end: asked for later, within bounds, and added to the records.

No worker waits for it and no claim is delayed: a thread of the supervisor's process asks (``analyst``), one
call after the other. The mark that a settlement leaves on the result survives every crash; hosts share the
work, each taking the calls of its own API key.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from logging import INFO

from speechaid.model.reading import Document, instant, mapping, number
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import CallUnknown, RetellError
from speechaid.rules.analysis import AnalysisPolicy, next_query_delay
from speechaid.store.analyses import WAIT
from speechaid.store.connection import Store
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.maintenance.call_analysis")

#: Calls that one round takes on.
AT_ONCE = 20
#: A job that has yet to be written about the call is waited for so many seconds.
UNSETTLED_REST_SECONDS = 15.0
#: So many questions running without an answer, and the round ends: Retell is away.
FAULTS_AT_MOST = 3

#: Told of each call that is through: ``added`` or ``missing``.
Counter = Callable[[str], None]


def fetch_due(
    store: Store, retell: RetellClient, bounds: AnalysisPolicy, count: Counter, leaving: Callable[[], bool]
) -> tuple[int, bool]:
    """Ask for what is due; how many calls that were, and whether Retell answers.

    Raises:
        StoreError: the database is away, or refuses; what was taken is due again in a while.
    """
    due = store.analyses.due(retell.fingerprint, AT_ONCE)
    faults = 0
    for found in due:
        if leaving() or faults >= FAULTS_AT_MOST:
            break
        result = store.analyses.take(found)
        if result is not None:
            faults = 0 if _fetch(store, retell, bounds, count, result) else faults + 1
    return len(due), faults == 0


def _fetch(
    store: Store, retell: RetellClient, bounds: AnalysisPolicy, count: Counter, result: Document
) -> bool:
    """One call; whether Retell answered."""
    tries = int(number(result[WAIT].get("tries")) or 0)
    if not store.analyses.is_settled(result):
        store.analyses.postpone(result, UNSETTLED_REST_SECONDS, tries)
        return True
    told, analysis = True, mapping(None)
    try:
        analysis = mapping(retell.get_call(str(result["call_id"])).document.get("call_analysis"))
    except CallUnknown:
        pass  # an answer, too
    except RetellError as fault:
        told = False
        log.debug("analysis.unknown", call=result["call_id"], error=str(fault))
    if analysis:
        _add(store, count, result, dict(analysis))
        return told
    created_at = instant(result.get("created_at")) or store.now()
    age = (store.now() - created_at) / timedelta(seconds=1)
    rest = next_query_delay(tries, age, bounds, answered=told)
    if rest is not None:
        store.analyses.postpone(result, rest, tries + told)
    elif store.analyses.give_up(result):
        count("missing")
        log.info("analysis.missing", job=result.get("job_id"), call=result["call_id"], tries=tries + told)
    return told


def _add(store: Store, count: Counter, result: Document, analysis: Document) -> None:
    if store.analyses.add(result, analysis):
        count("added")
        log.event(
            INFO,
            "call.analysed",
            job=result.get("job_id"),
            call=result["call_id"],
            batch=result.get("batch_id"),
            successful=analysis.get("call_successful"),
            sentiment=analysis.get("user_sentiment"),
        )
