"""Periodic work on which no call depends: counts, SpeechAI's retries, resuming jobs with credit again.

Each tick queries little, and the next one comes later the longer this one took: a slow server gets older
counts, not more load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from logging import INFO
from typing import Any

from speechaid.clock import Clock, SystemClock
from speechaid.dialer import circuit_breaker, legacy_reservations
from speechaid.errors import StoreError, StoreUnavailable
from speechaid.maintenance import forgetting
from speechaid.maintenance.document_scan import DocumentScan
from speechaid.maintenance.erasing import count_erased
from speechaid.maintenance.ledger_upkeep import LedgerUpkeep
from speechaid.maintenance.queue_stats import QueueStatsCollector
from speechaid.maintenance.retention import Retention
from speechaid.model.batch import LIVE_CALLS, Batch
from speechaid.model.erasure import BY_RETENTION
from speechaid.model.job import Dial
from speechaid.model.masking import fingerprint
from speechaid.model.reading import as_printable, instant, text
from speechaid.model.states import FINISHED, STATUS_ALIASES, JobStatus, SuspendReason, counts_by_status
from speechaid.monitoring.thread_counters import ThreadCounters
from speechaid.rules import metering
from speechaid.rules.circuit_breaker import Breaker, BreakerState
from speechaid.rules.numbers import read_opt_out
from speechaid.rules.repeated_failures import RepeatedFailures
from speechaid.settings import Settings
from speechaid.store.connection import Store
from speechaid.store.holds import GlobalHold
from speechaid.store.ranges import StaleEntry
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.maintenance.database_thread")

#: Seconds between two ticks, or a multiple of what a tick took, whichever is longer; and the maximum.
TICK_SECONDS = 2.0
TICK_COST_FACTOR = 20.0
TICK_MAX_SECONDS = 30.0
#: After a command, jobs are counted again for ``status``: at once where a count takes no longer than this, in
#: seconds; else only after a pause of so many times what the latest count took.
QUICK_COUNT_SECONDS = 0.25
RECOUNT_COST_FACTOR = 8.0
#: A breaker whose next probe was due this many seconds ago belongs to a key that is no longer used.
BREAKER_UNUSED_SECONDS = 3600.0
#: What a breaker remembers of single numbers: nothing for status.
BREAKER_MEMORY = frozenset({"unexplained", "carrier_run"})
#: Seconds between two ticks of less urgent work.
SLOW_TICK_SECONDS = 10.0
#: Jobs of one account that are resumed in one tick at most.
RESUMED_PER_TICK = 5000
#: SpeechAI's retries that are looked at in one tick at most.
RETRIES_PER_TICK = 500
#: Ended jobs whose SpeechAI reservation is released in one tick at most.
RELEASED_PER_TICK = 500
#: A reservation entry older than this, in seconds, whose dial no job has open, is a leak: a worker wrote it
#: that had lost its job between the intent and the reservation.
LEAK_SECONDS = 600.0

#: Batches that status names at most: over time there are thousands of finished ones, and each answer of the
#: loop would carry them all.
BATCHES_SHOWN = 100
#: Entries of the do-not-call list in other forms that are read in one tick at most.
NUMBERS_PER_TICK = 1000
#: Documents with unreadable fields that status names at most.
DOCUMENTS_NAMED = 50
#: A batch with a job in one of these has work left for the workers.
WORK_LEFT = frozenset({JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.IN_PROGRESS})
#: Stands for every status that is none.
UNKNOWN_STATUS = "unknown"
#: SpeechAI's counters of a batch, and the statuses that each counts.
COUNTERS = {
    "total_jobs": frozenset(JobStatus),
    "pending_jobs": frozenset({JobStatus.PENDING, JobStatus.IN_PROGRESS, JobStatus.SCHEDULED}),
    "completed_jobs": frozenset({JobStatus.DONE}),
    "failed_jobs": frozenset({JobStatus.FAILED}),
    "suspended_jobs": frozenset({JobStatus.SUSPENDED}),
}


class Housekeeper:
    """Does the housekeeping in the database thread; ``stats`` may be called from any thread."""

    def __init__(
        self, store: Store, clock: Clock | None = None, counters: ThreadCounters | None = None
    ) -> None:
        self._store = store
        self._collector = QueueStatsCollector(store)
        self._clock = clock or SystemClock()
        self._count_due_at = 0.0
        self._slow_due_at = 0.0
        self._log_retention_days: int | None = None
        self._scan = DocumentScan(store)
        self._retention = Retention(store, self._clock)
        self._ledger = LedgerUpkeep(store)
        #: For metrics; the loop's thread takes what is counted.
        self.counters = counters or ThreadCounters()
        #: Forms of the do-not-call list that were read already.
        self._listed_forms: set[str] = set()
        #: Statuses that jobs have, as stored.
        self._statuses: set[str] = set()
        self._stats: dict[str, Any] = {"database": {"state": "unknown"}, "queue": {}, "batches": []}
        #: When the next tick is due, by the boot-time clock.
        self.due_at = 0.0
        #: When the latest count began, and from when another one is no great load, by the boot-time clock.
        self.counted_from = 0.0
        self.may_count_at = 0.0
        #: Of each kind of work.
        self.failures = RepeatedFailures()
        #: When Retell last answered this process, by the same clock; None: it does not.
        self.retell_answered_at: float | None = None

    def stats(self) -> dict[str, Any]:
        """The latest counts."""
        return self._stats

    def read_after_write(self, settings: Settings) -> None:
        """Read again what a command may just have changed, at the cost of a few reads by id.

        Holds and the batches that status shows: before a command is answered, so that the next status does
        not contradict the answer. Jobs are not counted: ``count``.
        """
        try:
            self._read_holds(settings)
            rows = self._stats["batches"]
            known = {
                batch.batch_id: batch
                for batch in self._store.batches.among(sorted(row["batch_id"] for row in rows))
            }
            shown = [_batch_row(row["batch_id"], row["jobs"], known.get(row["batch_id"])) for row in rows]
            self._stats = {**self._stats, "batches": shown}
        except StoreError as exc:  # the command itself succeeded, and the next tick reports the fault
            log.warning("housekeeping.not_refreshed", error=str(exc))

    def count(self, settings: Settings) -> None:
        """Count jobs and batches out of turn; the next regular count comes later by that."""
        try:
            self._timed_count(settings, self._clock.boottime())
        except StoreError as exc:
            log.warning("housekeeping.not_refreshed", error=str(exc))

    def tick(self, settings: Settings, now: float) -> None:
        """Do everything that is due."""
        began = self._clock.boottime()
        try:
            self._attempt("holds", lambda: self._read_holds(settings))
            self._attempt("batch_sums", self._fold_batch_sums)
            if now >= self._count_due_at:
                before = self._clock.boottime()
                self._attempt("counts", lambda: self._timed_count(settings, now))
                began += self._clock.boottime() - before
            if now >= self._slow_due_at:
                self._slow_due_at = now + SLOW_TICK_SECONDS
                self._tidy(settings)
            self._stats = {**self._stats, "database": {"state": "up"}}
        except StoreUnavailable as exc:
            if self._stats["database"]["state"] != "away":
                log.warning("database.away", error=str(exc))
            self._stats = {**self._stats, "database": {"state": "away", "error": str(exc)}}
        took = self._clock.boottime() - began
        away = self._stats["database"]["state"] == "away"
        # A long wait does not help an unavailable database: commands are refused until it is seen to answer.
        self.due_at = self._clock.boottime() + (TICK_SECONDS if away else self._delay_after(took))

    def _fold_batch_sums(self) -> None:
        self._store.batch_sums.fold_all()

    def _attempt(self, task: str, work: Callable[[], None]) -> None:
        """Do one kind of work; the database refuses it to no other kind.

        Raises:
            StoreUnavailable: the database is away.
        """
        try:
            work()
        except StoreUnavailable:
            raise
        except StoreError as exc:
            if self.failures.note_failure(task, str(exc)):
                log.warning("housekeeping.failed", task=task, error=str(exc))
        else:
            self.failures.note_success(task)

    def _timed_count(self, settings: Settings, now: float) -> None:
        began = self._clock.boottime()
        self._count(settings)
        ended = self._clock.boottime()
        took = ended - began
        self.counted_from = began
        self.may_count_at = 0.0 if took <= QUICK_COUNT_SECONDS else ended + took * RECOUNT_COST_FACTOR
        self._count_due_at = now + took + self._delay_after(took)

    def _delay_after(self, seconds: float) -> float:
        """Seconds until work that took this long is repeated."""
        return min(TICK_MAX_SECONDS, max(TICK_SECONDS, seconds * TICK_COST_FACTOR))

    def _read_holds(self, settings: Settings) -> None:
        """What holds dialling: little to ask, and by that the sign of life that a long count would delay."""
        key = fingerprint(settings.retell.api_key.get_secret_value())
        reading = self._store.holds.read(key)
        breaker = Breaker.read(reading.breaker)
        if breaker.state is not BreakerState.CLOSED and self.retell_answered_at is not None:
            # With nothing due no dial probes, and the hold would last for ever.
            age = self._clock.boottime() - self.retell_answered_at
            if circuit_breaker.after_answer(self._store, key, age):
                log.event(INFO, "breaker.closed", key=key, kind=breaker.kind, reason=breaker.reason)
                breaker = Breaker()
        key_held = breaker.state is not BreakerState.CLOSED
        self._stats = {
            **self._stats,
            "read_at": self._store.now().isoformat(),
            "fleet_hold": _hold_row(reading.hold),
            "batches_hold": _hold_row(reading.batches_hold),
            "too_old": reading.too_old,
            "breakers": self._breakers(),
            "key_held": key_held,
            "key_reason": (breaker.reason or breaker.kind) if key_held else None,
        }

    def _count(self, settings: Settings) -> None:
        """Count jobs by batch and status, for status and metrics, and write SpeechAI's counters."""
        found = self._store.jobs.counts_by_batch()
        self._statuses = {status for by_status in found.values() for status in by_status}
        counts = {batch_id: counts_by_status(_known(by_status)) for batch_id, by_status in found.items()}
        queue: dict[str, int] = {}
        for by_status in counts.values():
            for status, jobs in by_status.items():
                queue[status] = queue.get(status, 0) + jobs
        named = {batch_id: by_status for batch_id, by_status in counts.items() if batch_id is not None}
        known = {batch.batch_id: batch for batch in self._store.batches.among(sorted(named))}
        self._attempt("batch_counters", lambda: self._write_all_counters(known, named))
        rows = [_batch_row(batch_id, by_status, known.get(batch_id)) for batch_id, by_status in named.items()]
        held = any(self._stats.get(name) for name in ("fleet_hold", "too_old", "key_held"))
        self._stats = {
            **self._stats,
            "queue": counts_by_status(queue),
            "batches": (shown := batches_to_show(rows)),
            "batches_left_out": len(rows) - len(shown),
            "batches_with_work": sum(1 for row in rows if not WORK_LEFT.isdisjoint(row["jobs"])),
            "census": self._collector.collect(settings, counts, known, held=held),
            "counted_at": self._store.now().isoformat(),
        }

    def _breakers(self) -> list[dict[str, Any]]:
        """The circuit breakers of keys in use."""
        unused = self._store.now() - timedelta(seconds=BREAKER_UNUSED_SECONDS)
        rows = sorted(self._store.holds.breakers(), key=lambda row: str(row["_id"]))
        return [
            {name: _plain(value) for name, value in row.items() if name not in BREAKER_MEMORY}
            for row in rows
            if (instant(row.get("probe_at")) or unused) >= unused
        ]

    def _write_all_counters(self, batches: Mapping[str, Batch], counts: Mapping[str, dict[str, int]]) -> None:
        """Correct the counters of every batch that takes them.

        Raises:
            StoreError: some take none, a full one for example; the others are corrected.
        """
        refused = {}
        for batch_id, batch in batches.items():
            try:
                self._write_counters(batch, counts[batch_id])
            except StoreUnavailable:
                raise
            except StoreError as exc:
                refused[batch_id] = str(exc)
        if refused:
            batch_id, error = min(refused.items())
            raise StoreError(f"batch {as_printable(batch_id)} takes no counters: {error}")

    def _write_counters(self, batch: Batch, by_status: dict[str, int]) -> None:
        """Correct the batch's counters, also where another host wrote an old count and stopped."""
        wanted = {
            name: sum(jobs for status, jobs in by_status.items() if status in statuses)
            for name, statuses in COUNTERS.items()
        }
        wanted[LIVE_CALLS] = by_status.get(JobStatus.IN_PROGRESS, 0)
        if any(batch.document.get(name) != jobs for name, jobs in wanted.items()):
            self._store.batches.write_counts(batch.batch_id, wanted)

    def _tidy(self, settings: Settings) -> None:
        """Do each kind of work, whatever a document does to another kind."""
        queue, statuses = self._store.queue, tuple(self._statuses)
        tasks: dict[str, Callable[[], None]] = {
            "log_retention": lambda: self._set_log_retention(settings.telemetry.log_retention_days),
            "statuses": lambda: _log_taken_up(queue.respell_statuses(statuses)),
            "due_times": lambda: _log_taken_up(queue.convert_due_times()),
            "scheduled_jobs": lambda: _log_taken_up(queue.make_scheduled_pending()),
            "legacy_retries": lambda: _log_taken_up(self._requeue_legacy_retries(settings)),
            "ended_reservations": self._release_ended_reservations,
            "top_ups": self._finish_top_ups,
            "suspended_jobs": self._resume_suspended,
            "test_calls": lambda: _log_ended_tests(self._store.test_calls.end_expired()),
            "ledger": self._keep_ledger,
            "leaks": lambda: self._release_leaks(settings),
            "indexes": self._complete_indexes,
            "do_not_call_list": lambda: self._list_numbers(settings.dialling.default_country),
            "documents": lambda: self._scan_documents(settings.dialling.default_country),
            "retention": lambda: self._erase_portion(settings),
            "forgetting": self._complete_forgetting,
        }
        for name, work in tasks.items():
            self._attempt(name, work)

    def _keep_ledger(self) -> None:
        entered, closed = self._ledger.fill_portion(), self._ledger.close_lost()
        if self._ledger.has_more:
            self._slow_due_at = 0.0
        if entered or closed:
            log.info("ledger.kept", entered=entered, closed=closed)

    def _erase_portion(self, settings: Settings) -> None:
        try:
            self._retention.erase_portion(settings)
        finally:
            count_erased(self.counters, self._retention.last_counts, by=BY_RETENTION)
        if self._retention.has_more:
            self._slow_due_at = 0.0

    def _complete_forgetting(self) -> None:
        counts, has_more = forgetting.complete_forgetting(self._store, self._clock)
        if has_more:
            self._slow_due_at = 0.0
        if counts.total:
            count_erased(self.counters, counts, by="forget")
            log.info("forgetting.completed", **counts.as_fields())

    def _release_ended_reservations(self) -> None:
        released = legacy_reservations.release_ended_reservations(self._store, RELEASED_PER_TICK)
        if released:
            log.info("reservations.given_back", jobs=released)

    def _finish_top_ups(self) -> None:
        """Record the top-ups of commands that did not come to their end."""
        for account in self._store.accounts.with_open_top_ups():
            self._store.transactions.finish_top_ups(account)

    def _complete_indexes(self) -> None:
        """Create the unique index on open numbers once no two jobs share one any more."""
        jobs = self._store.jobs
        if not jobs.numbers_are_unique() and not jobs.shared_numbers():
            log.info("database.indexes_completed", remarks=self._store.prepare())

    def _list_numbers(self, country: str | None) -> None:
        """List the numbers of entries that another program wrote in other forms, in each that may be meant.

        Whoever is on the list in a form that no dial compares with must not be called.
        """
        for entry in self._store.do_not_call.other_forms(NUMBERS_PER_TICK):
            self._list_number(entry["_id"], country)

    def _list_number(self, written: Any, country: str | None) -> None:
        as_text = text(written) or ""
        found = [*read_opt_out(as_text, [country]), *read_opt_out(f"+{as_text}", [None])]
        numbers = sorted({number.e164 for number in found})
        for number in numbers:
            self._store.do_not_call.add(number, source="another form")
        if numbers:
            self._store.do_not_call.mark_read(written, numbers)

    def _list_scanned_numbers(self, country: str | None) -> None:
        """As ``_list_numbers``, of entries that begin with a plus sign: only the scan finds them.

        No index tells them from the others, and there may be a million.
        """
        found = (one for one in self._scan.all_found() if one.is_of_do_not_call_list)
        forms = {one.listed_as for one in found if one.listed_as is not None}
        for form in forms - self._listed_forms:
            self._list_number(form, country)
        self._listed_forms = forms

    def _scan_documents(self, country: str | None) -> None:
        """Look at some more documents for fields that cannot be read, and numbers that no plan has."""
        self._scan.check_more(self._clock, default_country=country)
        self._list_scanned_numbers(country)
        found = [one for one in self._scan.all_found() if not one.is_of_batch]
        documents = {(one.collection, one.name) for one in found}
        rows = [one.as_row() for one in found[:DOCUMENTS_NAMED]]
        self._stats = {
            **self._stats,
            "unreadable": {"count": len(documents), "named": rows},
            "unassigned": self._scan.unassigned_numbers(),
        }

    def _set_log_retention(self, days: int) -> None:
        """Set it after the start and after a reload that changed it; changes by other hosts stay."""
        if days != self._log_retention_days:
            self._store.logs.keep_for(days)
            self._log_retention_days = days

    def _requeue_legacy_retries(self, settings: Settings) -> int:
        """Requeue SpeechAI's due retries, if the batch's maximum of attempts, else the settings', allows.

        The time of the others is removed: they stay failed, and are not read again every few seconds.
        """
        queue = self._store.queue
        retries = queue.legacy_retries(RETRIES_PER_TICK)
        names = sorted({job.batch_id for job in retries if job.batch_id is not None})
        batches = {batch.batch_id: batch for batch in self._store.batches.among(names)} if names else {}
        taken = 0
        for job in retries:
            batch = batches.get(job.batch_id or "")
            of_batch = None if batch is None else batch.call_settings.max_attempts
            if job.attempts < (of_batch or settings.worker.max_attempts):
                taken += queue.requeue_legacy_retry(job)
            elif queue.drop_legacy_retry(job):
                log.info("job.retry_dropped", job=job.job_id, attempts=job.attempts)
        return taken

    def _resume_suspended(self) -> None:
        """Resume jobs whose account has credit again, or exists now."""
        for reason in (SuspendReason.NO_CREDIT, SuspendReason.ACCOUNT_UNKNOWN):
            for account_id in self._store.queue.accounts_with_suspended(reason):
                account = self._store.accounts.find(account_id)
                if account is not None and metering.has_balance(account):
                    jobs = self._store.queue.resume_suspended(account_id, reason, RESUMED_PER_TICK)
                    log.info("jobs.brought_back", account=account_id, reason=reason, jobs=jobs)

    def _release_leaks(self, settings: Settings) -> None:
        """Release reservation entries of dials that no job has open (``LEAK_SECONDS``).

        Where the job of such a dial was deleted, there may have been a call: that is looked for first.
        """
        store = self._store
        before = store.now() - timedelta(seconds=LEAK_SECONDS)
        in_accounts = _by_key(store.accounts.stale_reservations(before))
        in_batches = _by_key(store.batches.stale_dials(before))
        for key in in_accounts.keys() | in_batches.keys():
            if store.jobs.has_dial(key):
                continue
            account, batch = in_accounts.get(key), in_batches.get(key)
            entry = account or batch
            assert entry is not None  # noqa: S101 - it has the key of one of them
            account_id = None if account is None else account.owner
            batch_id = entry.batch_id if batch is None else batch.owner
            if entry.job_id is not None and not store.jobs.has_job(entry.job_id):
                dial = Dial(
                    key=key,
                    number=key,
                    phone_index=0,
                    attempt=0,
                    intent_at=entry.at,
                    body="",
                    api_key_fingerprint=fingerprint(settings.retell.api_key.get_secret_value()),
                    account_id=account_id,
                    batch_id=batch_id,
                    unlimited=True if batch is None else None,
                )
                store.jobs.keep_lost_dial(dial, entry.job_id)
                log.warning("job.deleted", job=entry.job_id, dial=key)
                continue
            if account_id is not None:
                store.accounts.settle(account_id, key, minutes=0, credit=0, calls=0, day="")
            if batch is not None:
                store.batches.settle_dial(batch.owner, key, {})
            log.warning("reservation.leak_released", dial=key, account=account_id, batch=batch_id)


def _log_ended_tests(jobs: int) -> None:
    if jobs:
        log.info("test_calls.expired", jobs=jobs)


def _by_key(entries: Sequence[StaleEntry]) -> dict[str, StaleEntry]:
    return {entry.key: entry for entry in entries}


def batches_to_show(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The batches that status names: those with work left before finished ones, the newest of each first."""

    def is_finished(row: dict[str, Any]) -> bool:
        return set(row["jobs"]) <= FINISHED

    newest = sorted(rows, key=lambda row: str(row["batch_id"]), reverse=True)
    shown = sorted(newest, key=is_finished)[:BATCHES_SHOWN]
    return sorted(shown, key=lambda row: str(row["batch_id"]), reverse=True)


def _batch_row(batch_id: str, by_status: dict[str, int], batch: Batch | None) -> dict[str, Any]:
    """A batch as status shows it; None for fields of a batch that does not exist."""
    return {
        "batch_id": batch_id,
        "jobs": by_status,
        "name": None if batch is None else batch.name,
        "active": None if batch is None else batch.is_active,
        "priority": None if batch is None else batch.priority,
        "pause": None if batch is None else _plain(batch.pause),
    }


def _log_taken_up(jobs: int) -> None:
    if jobs:
        log.info("jobs.taken_up", jobs=jobs)


def _known(by_status: dict[str, int]) -> dict[str, int]:
    """Counts with one name for all texts that are no status: of these, metrics would show a series each."""
    counts: dict[str, int] = {}
    for status, jobs in by_status.items():
        known = status in STATUS_ALIASES or status in set(JobStatus)
        name = status if known else UNKNOWN_STATUS
        counts[name] = counts.get(name, 0) + jobs
    return counts


def _hold_row(hold: GlobalHold | None) -> dict[str, Any] | None:
    return None if hold is None else {"reason": hold.reason, "by": hold.by, "at": _plain(hold.at)}


def _plain(value: Any) -> Any:
    """A value in JSON's types."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
