"""The run: environment, campaign, actions paced by the campaign's progress, wait until done, audit."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from speechaid.demo.audit import AuditPolicy
from speechaid.errors import StoreError
from speechaid.fleet.processes import become_subreaper
from tests.chaos import audit
from tests.chaos.campaign import LOW_CREDIT_ACCOUNT, MAX_ATTEMPTS
from tests.chaos.environment import (
    LEASE_SECONDS,
    NO_ANSWER_SECONDS,
    RETRY_SECONDS,
    Environment,
    open_environment,
)
from tests.chaos.plan import Action, Options, plan_actions
from tests.chaos.table import NOT_PERFORMED, Report

Document = dict[str, Any]

#: The fraction of finished jobs by which all actions are performed.
ACTIONS_BY: Final = 0.85
#: Seconds between two actions before the campaign's pace is known, and the minimum.
FIRST_GAP_SECONDS: Final = 1.0
LEAST_GAP_SECONDS: Final = 0.25
#: Bounds of the seconds between two counts of the jobs: ``COUNT_COST_FACTOR`` times the duration of a count.
COUNT_SECONDS: Final = (1.0, 4.0)
COUNT_COST_FACTOR: Final = 10.0
#: After the actions: seconds without progress until waits are cut short.
NO_PROGRESS_SECONDS: Final = 10.0
#: Longer than the lifetime of an idempotency key plus the longest ring and call.
LONG_SECONDS: Final = 7200.0


def run(options: Options, *, keep: Path | None, announce: Any) -> Report:
    """Run once; return the report. The files of a clean run are deleted unless ``keep`` is given."""
    become_subreaper()
    began = time.monotonic()
    directory = keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    with open_environment(options, directory) as environment:
        chaos_run = ChaosRun(options, environment, announce)
        chaos_run.play()
        report = Report(
            options=options,
            findings=chaos_run.check_records(),
            records=chaos_run.records,
            done=dict(environment.monkey.done),
            notes=chaos_run.notes,
            seconds=time.monotonic() - began,
            directory=directory,
        )
    if report.clean and keep is None:
        shutil.rmtree(directory, ignore_errors=True)
    return report


class ChaosRun:
    """One run from the first dial to the audit."""

    def __init__(self, options: Options, environment: Environment, announce: Any) -> None:
        self.options = options
        self.environment = environment
        self.announce = announce
        #: Counts of interventions, such as waits cut short.
        self.notes: dict[str, int] = {}
        self._actions = plan_actions(options)
        self._counts: dict[str, int] = {}
        self._count_at = 0.0
        self._over = 0
        self._topped_up = False

    def play(self) -> None:
        """Perform actions while there is work; then wait until every job has ended."""
        self._wait_for_workers()
        began = time.monotonic()
        waiting, next_at = list(reversed(self._actions)), began + FIRST_GAP_SECONDS
        while waiting:
            self._tick()
            now = time.monotonic()
            if now >= next_at and self._perform_next(waiting):
                next_at = now + self._gap(now - began, len(waiting))
            if now - began > self.options.timeout_seconds:
                break
        self.notes[NOT_PERFORMED] = len(waiting)
        self.environment.monkey.revert_all()
        self.announce(
            f"no more actions after {time.monotonic() - began:.0f} s,"
            f" {self._over} of {self.options.jobs} jobs ended"
        )
        self._wait_until_done()

    def _perform_next(self, waiting: list[Action]) -> bool:
        if not self.environment.monkey.perform(waiting[-1]):
            return False
        waiting.pop()
        return True

    def _gap(self, elapsed: float, actions_left: int) -> float:
        """Seconds to the next action, so that the last one comes while there is still work."""
        if self.options.pace_seconds is not None:
            return self.options.pace_seconds
        share = self._over / self.options.jobs
        if share <= 0 or not actions_left:
            return FIRST_GAP_SECONDS
        left = elapsed / share * max(0.0, ACTIONS_BY - share)
        return max(LEAST_GAP_SECONDS, left / actions_left)

    def _wait_for_workers(self) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not all(host.workers() for host in self.environment.hosts):
            self._tick()

    def _tick(self) -> None:
        """About 50 ms of the run: tick the monkey, count the jobs when due."""
        self.environment.monkey.tick()
        now = time.monotonic()
        if now >= self._count_at:
            began = now
            with contextlib.suppress(StoreError):
                self._counts = self.environment.store.jobs.counts()
            now = time.monotonic()
            self._let_days_pass()
            self._over = sum(self._counts.get(status, 0) for status in audit.FINAL)
            least, most = COUNT_SECONDS
            self._count_at = now + min(most, max(least, COUNT_COST_FACTOR * (now - began)))
            self.announce(f"{self._counts} {sum(self.environment.monkey.done.values())}", often=True)
            if not self._topped_up and self._over > self.options.jobs * 0.6:
                self._top_up()
        time.sleep(0.05)

    def _let_days_pass(self) -> None:
        """For people whose jobs all wait for a cap."""
        with contextlib.suppress(StoreError):
            if passed := self.environment.days.pass_where_all_wait():
                self._note("days passed for people", passed)

    def _top_up(self) -> None:
        """Top up the low-credit account: its suspended jobs resume."""
        change = {"$set": {"credit_balance": 1e6}}
        with contextlib.suppress(StoreError):
            self._topped_up = self.environment.store.accounts.table.update(
                {"account_id": LOW_CREDIT_ACCOUNT}, change
            )

    # -- after the actions -----------------------------------------------------------------------------------

    def _wait_until_done(self) -> None:
        """Wait until every job has ended; cut waits short when there is no progress."""
        deadline = time.monotonic() + self.options.timeout_seconds
        best, since, interventions = -1, time.monotonic(), 0
        while time.monotonic() < deadline and self._over < self.options.jobs:
            self._tick()
            if not self._topped_up:
                self._top_up()
            if self._over > best:
                best, since = self._over, time.monotonic()
            elif time.monotonic() - since > NO_PROGRESS_SECONDS:
                since, interventions = time.monotonic(), interventions + 1
                with contextlib.suppress(StoreError):
                    self._advance_time(long=interventions % 3 == 0)
        self._await_release()
        self._await_sums()
        self._await_counters()

    def _advance_time(self, *, long: bool) -> None:
        """As if the wait between look-ups had passed, or (long) hours since an ambiguous dial's intent."""
        store = self.environment.store
        jobs, now = store.jobs.table, store.now()
        waiting = {"status": "in_progress", "reserved_until": {"$gt": now + timedelta(seconds=LEASE_SECONDS)}}
        found = jobs.find(waiting)
        ambiguous = [job for job in found if "dial" in job and "call_id" not in job["dial"]]
        if long and ambiguous:
            self._note("ambiguous dials moved past their hour", len(ambiguous))
            self.environment.simulator.advance(LONG_SECONDS)
            for job in ambiguous:
                aged = job["dial"]["intent_at"] - timedelta(seconds=LONG_SECONDS)
                jobs.update(
                    {"_id": job["_id"], "dial.key": job["dial"]["key"]}, {"$set": {"dial.intent_at": aged}}
                )
        for job in found:
            self._note("waits cut short")
            jobs.update(
                {"_id": job["_id"], "reserved_until": job["reserved_until"]},
                {"$set": {"reserved_until": now - timedelta(milliseconds=1)}},
            )

    def _await_release(self) -> None:
        """Wait until housekeeping has released reservations of workers that lost their job."""
        deadline, aged = time.monotonic() + 100, False
        while time.monotonic() < deadline:
            with contextlib.suppress(StoreError):
                left = self._open_dials()
                if not left:
                    return
                if not aged:
                    self._note("reservations left to housekeeping", left)
                    self._age_open_dials()
                    aged = True
            for _ in range(20):
                self._tick()

    def _await_sums(self) -> None:
        """Wait until housekeeping has added all calls to their batches' sums."""
        store, deadline = self.environment.store, time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(StoreError):
                if not store.batch_sums.due():
                    return
            for _ in range(20):
                self._tick()

    def _await_counters(self) -> None:
        """Wait until housekeeping has corrected the batch counters."""
        store, deadline = self.environment.store, time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(StoreError):
                if not audit.wrong_counters(store.batches.table.find({}), store.jobs.table.find({})):
                    return
            for _ in range(40):
                self._tick()

    def _open_dials(self) -> int:
        tables = (self.environment.store.accounts.table, self.environment.store.batches.table)
        return sum(len(row.get("open_dials", ())) for table in tables for row in table.find({}))

    def _age_open_dials(self) -> None:
        for table in (self.environment.store.accounts.table, self.environment.store.batches.table):
            for row in table.find({"open_dials.0": {"$exists": True}}):
                old = {
                    f"open_dials.{index}.at": entry["at"] - timedelta(seconds=LONG_SECONDS)
                    for index, entry in enumerate(row["open_dials"])
                }
                table.update({"_id": row["_id"]}, {"$set": old})

    def _note(self, what: str, number: int = 1) -> None:
        self.notes[what] = self.notes.get(what, 0) + number

    # -- audit ---------------------------------------------------------------------------------------------

    def check_records(self) -> audit.Findings:
        """Read all records and check them."""
        store = self.environment.store
        self.records = audit.Records(
            jobs=store.jobs.table.find({}),
            results=store.results.table.find({}),
            accounts=store.accounts.table.find({}),
            batches=store.batches.table.find({}),
            placed_calls=self.environment.simulator.placed_calls(),
            overlaps=self.environment.simulator.overlaps(),
            pauses=self.environment.monkey.pauses,
            people=self.environment.people,
            days=self.environment.days.ended,
            entries=store.ledger.table.find({}),
            policy=AuditPolicy(
                max_attempts=MAX_ATTEMPTS,
                retry_delay_seconds=RETRY_SECONDS,
                no_answer_delay_seconds=NO_ANSWER_SECONDS,
            ),
        )
        findings = audit.check(self.records)
        if not self.environment.monkey.workers_are_distinct():
            findings.illegal.append("a worker process was seen on two hosts")
        return findings


def progress_printer(*, silent: bool) -> Any:
    """A function that prints progress to standard error: events at once, counts every 10 seconds."""
    printed_at = 0.0

    def announce(text: str, *, often: bool = False) -> None:
        nonlocal printed_at
        if silent or (often and time.monotonic() - printed_at < 10):
            return
        printed_at = time.monotonic()
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    return announce
