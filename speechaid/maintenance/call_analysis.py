"""Fetch Retell's analysis of ended calls, which comes minutes after the end, and add it to the records.

A thread of the supervisor's process asks for one call after the other, with its own connections to the
database and to Retell: no worker waits for it and no claim is delayed. The mark that a settlement leaves on
the result survives every crash. Hosts share the work: each fetches the calls of its own API key. One thread
handles about four calls a second, more than two hundred workers end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from logging import INFO, WARNING
from typing import Final

from speechaid.errors import StoreError, StoreForbidden, StoreUnavailable
from speechaid.fleet.messages import Counts
from speechaid.model.reading import Document, instant, mapping, number
from speechaid.model.storable import describe_cuts, fit_document
from speechaid.monitoring.thread_counters import ThreadCounters
from speechaid.retell.client import Observer, RetellClient
from speechaid.retell.faults import AnswerUnreadable, CallUnknown, RetellError
from speechaid.rules.analysis import AnalysisPolicy, next_query_delay
from speechaid.rules.repeated_failures import RepeatedFailures
from speechaid.settings import Settings
from speechaid.store.analyses import WAIT
from speechaid.store.connection import Store
from speechaid.store.table import suppress_faults
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.maintenance.call_analysis")

#: Seconds between two rounds: when nothing more was due, and when Retell or the database is unavailable.
ROUND_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 30.0
#: ``close`` waits at most this long, in seconds, for a request on its way.
CLOSING_SECONDS: Final = 2.0
#: At most so much of an analysis is stored, in bytes of BSON; result and job hold the rest of the call too.
STORED_ANALYSIS_BYTES: Final = 1024 * 1024
#: Calls fetched in one round at most.
CALLS_PER_ROUND: Final = 20
#: Seconds until a call is tried again whose job is not settled yet.
UNSETTLED_RETRY_SECONDS: Final = 15.0
#: A round ends after this many requests in a row without an answer: Retell is unavailable.
MAX_FAULTS: Final = 3

#: This thread's work, among the tasks that may fail again and again.
TASK: Final = "call_analyses"

#: Called once for each call that is finished, with ``added`` or ``missing``.
Counter = Callable[[str], None]


class CallAnalysisThread:
    """Runs from its construction to ``close``."""

    def __init__(
        self,
        settings: Settings,
        open_store: Callable[[], Store],
        open_client: Callable[[Observer], RetellClient],
    ) -> None:
        """Start the thread.

        Args:
            settings: the time-out and the bounds.
            open_store: opens this thread's own store.
            open_client: opens this thread's own client, which reports each request to the observer.
        """
        self._settings = settings
        self._open_store = open_store
        self._open_client = open_client
        self._counters = ThreadCounters()
        self._failures = RepeatedFailures()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="call-analysis", daemon=True)
        self._thread.start()

    def failing_tasks(self) -> dict[str, str]:
        """The error of this thread's work, where the database refuses it again and again."""
        return self._failures.repeated_errors()

    def take_counts(self) -> Counts:
        """Return what was counted since the last call."""
        return self._counters.take()

    def apply_settings(self, settings: Settings) -> None:
        """Take over new settings after a reload."""
        self._settings = settings

    def close(self) -> None:
        """Stop the thread, waiting at most ``CLOSING_SECONDS``."""
        self._closing.set()
        self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        delay = ROUND_SECONDS
        with closing(self._open_store()) as store, self._open_client(self._counters.request) as retell:
            while not self._closing.wait(delay):
                delay = self._round(store, retell)

    def _round(self, store: Store, retell: RetellClient) -> float:
        """Fetch once; return the seconds until the next round."""
        retell.timeout_seconds = self._settings.retell.timeout_seconds
        try:
            policy = AnalysisPolicy.read(self._settings.call)
            found, answers = fetch_due(store, retell, policy, self._count, self._closing.is_set)
        except StoreUnavailable as exc:
            log.debug("analysis.postponed", error=str(exc))
            return RETRY_SECONDS
        except StoreError as exc:
            if self._failures.note_failure(TASK, str(exc)):
                log.warning("analysis.failed", error=str(exc))
            return RETRY_SECONDS
        except Exception as exc:
            self._failures.note_failure(TASK, type(exc).__name__)
            log.exception("analysis.failed")
            return RETRY_SECONDS
        self._failures.note_success(TASK)
        if not answers:
            return RETRY_SECONDS
        return 0.0 if found == CALLS_PER_ROUND else ROUND_SECONDS

    def _count(self, result: str) -> None:
        self._counters.count("speechaid_analyses_total", result=result)


def fetch_due(
    store: Store, retell: RetellClient, policy: AnalysisPolicy, count: Counter, closing: Callable[[], bool]
) -> tuple[int, bool]:
    """Fetch the analyses that are due; return how many were, and whether Retell answers.

    Raises:
        StoreError: the database is unavailable or refuses; claimed results become due again later.
    """
    due = store.analyses.due(retell.fingerprint, CALLS_PER_ROUND)
    faults = 0
    for found in due:
        if closing() or faults >= MAX_FAULTS:
            break
        # A record that takes no write is passed over: the next ones wait for theirs.
        with suppress_faults():
            result = store.analyses.claim(found)
            if result is not None:
                faults = 0 if _fetch(store, retell, policy, count, result) else faults + 1
    return len(due), faults == 0


def _fetch(
    store: Store, retell: RetellClient, policy: AnalysisPolicy, count: Counter, result: Document
) -> bool:
    """Fetch the analysis of one call; return whether Retell answered."""
    tries = int(number(result[WAIT].get("tries")) or 0)
    if not store.analyses.is_settled(result):
        store.analyses.postpone(result, UNSETTLED_RETRY_SECONDS, tries)
        return True
    answered, analysis = True, mapping(None)
    try:
        analysis = mapping(retell.get_call(str(result["call_id"])).document.get("call_analysis"))
    except (CallUnknown, AnswerUnreadable):
        pass  # also an answer: of this call alone
    except RetellError as fault:
        answered = False
        log.debug("analysis.unknown", call=result["call_id"], error=str(fault))
    if analysis:
        _add(store, count, result, dict(analysis))
        return answered
    created_at = instant(result.get("created_at")) or store.now()
    age = (store.now() - created_at) / timedelta(seconds=1)
    delay = next_query_delay(tries, age, policy, answered=answered)
    if delay is not None:
        store.analyses.postpone(result, delay, tries + answered)
    elif store.analyses.give_up(result):
        count("missing")
        log.info("analysis.missing", job=result.get("job_id"), call=result["call_id"], tries=tries + answered)
    return answered


def _add(store: Store, count: Counter, result: Document, analysis: Document) -> None:
    stored, cuts = fit_document({"call_analysis": analysis}, STORED_ANALYSIS_BYTES)
    try:
        added = store.analyses.add(result, stored.get("call_analysis", {}), describe_cuts(cuts))
    except (StoreForbidden, StoreUnavailable):
        raise
    except StoreError as refused:
        # It would be refused again: this call's fault, which must not stop the others' analyses.
        log.event(WARNING, "analysis.refused", job=result.get("job_id"), error=str(refused))
        if store.analyses.give_up(result):
            count("missing")
        return
    if added:
        count("added")
        if cuts:
            cut = sum(field.length - field.kept for field in cuts)
            log.event(WARNING, "analysis.cut", job=result.get("job_id"), call=result["call_id"], bytes=cut)
        log.event(
            INFO,
            "call.analysed",
            job=result.get("job_id"),
            call=result["call_id"],
            batch=result.get("batch_id"),
            successful=analysis.get("call_successful"),
            sentiment=analysis.get("user_sentiment"),
        )
