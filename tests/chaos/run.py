"""The run: stage, campaign, deeds paced by the campaign's own progress, quiet, books."""

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
from tests.chaos import books
from tests.chaos.campaign import LEAN, MAX_ATTEMPTS
from tests.chaos.plan import Deed, Options, deeds
from tests.chaos.stage import LEASE_SECONDS, NO_ANSWER_SECONDS, RETRY_SECONDS, Stage, open_stage
from tests.chaos.table import Report

Document = dict[str, Any]

#: All deeds are done when this share of the jobs is over.
DEEDS_BY: Final = 0.85
#: Seconds between two deeds before the pace of the campaign is known, and the least.
FIRST_GAP_SECONDS: Final = 1.0
LEAST_GAP_SECONDS: Final = 0.25
#: Between two counts of the jobs: so long, or so many times what a count took, up to a bound.
COUNT_SECONDS: Final = (1.0, 4.0)
COUNT_COST_FACTOR: Final = 10.0
#: In the quiet: after so long without progress, time is moved on for what waits for it.
NUDGE_SECONDS: Final = 10.0
#: Past a key's hour and everything that must be over by then.
LONG_SECONDS: Final = 7200.0


def run(options: Options, *, keep: Path | None, say: Any) -> Report:
    """One whole run; its report. Nothing is kept of a clean one, unless somebody wants it."""
    become_subreaper()
    began = time.monotonic()
    directory = keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    with open_stage(options, directory) as stage:
        story = Story(options, stage, say)
        story.play()
        report = Report(
            options=options,
            findings=story.close(),
            books=story.books,
            done=dict(stage.monkey.done),
            notes=story.notes,
            seconds=time.monotonic() - began,
            directory=directory,
        )
    if report.clean and keep is None:
        shutil.rmtree(directory, ignore_errors=True)
    return report


class Story:
    """One run from the first dial to the closed books."""

    def __init__(self, options: Options, stage: Stage, say: Any) -> None:
        self.options = options
        self.stage = stage
        self.say = say
        #: What was staged, and how often: time moved on for what waits for it.
        self.notes: dict[str, int] = {}
        self._deeds = deeds(options)
        self._counts: dict[str, int] = {}
        self._count_at = 0.0
        self._over = 0
        self._topped_up = False

    def play(self) -> None:
        """Deeds while there is work; then quiet until nothing is left to be done."""
        self._wait_for_the_fleet()
        began = time.monotonic()
        waiting, deed_at = list(reversed(self._deeds)), began + FIRST_GAP_SECONDS
        while waiting:
            self._turn()
            now = time.monotonic()
            if now >= deed_at and self._do(waiting):
                deed_at = now + self._gap(now - began, len(waiting))
            if now - began > self.options.patience_seconds:
                break
        self.notes["deeds left undone"] = len(waiting)
        self.stage.monkey.calm()
        self.say(
            f"quiet after {time.monotonic() - began:.0f} s, {self._over} of {self.options.jobs} jobs over"
        )
        self._quiet()

    def _do(self, waiting: list[Deed]) -> bool:
        deed = waiting[-1]
        if not self.stage.monkey.do(deed):
            return False
        waiting.pop()
        return True

    def _gap(self, elapsed: float, deeds_left: int) -> float:
        """Seconds to the next deed, so that the last is done while there is still work."""
        share = self._over / self.options.jobs
        if share <= 0 or not deeds_left:
            return FIRST_GAP_SECONDS
        left = elapsed / share * max(0.0, DEEDS_BY - share)
        return max(LEAST_GAP_SECONDS, left / deeds_left)

    def _wait_for_the_fleet(self) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not all(host.workers() for host in self.stage.hosts):
            self._turn()

    def _turn(self) -> None:
        """Some fifty milliseconds of the run."""
        self.stage.monkey.tick()
        now = time.monotonic()
        if now >= self._count_at:
            began = now
            with contextlib.suppress(StoreError):
                self._counts = self.stage.store.jobs.counts()
            now = time.monotonic()
            self._over = sum(self._counts.get(status, 0) for status in books.FINAL)
            least, most = COUNT_SECONDS
            self._count_at = now + min(most, max(least, COUNT_COST_FACTOR * (now - began)))
            self.say(f"{self._counts} {sum(self.stage.monkey.done.values())}", often=True)
            if not self._topped_up and self._over > self.options.jobs * 0.6:
                self._top_up()
        time.sleep(0.05)

    def _top_up(self) -> None:
        """The lean account pays: what was suspended for want of credit goes on."""
        change = {"$set": {"credit_balance": 1e6}}
        with contextlib.suppress(StoreError):
            self._topped_up = self.stage.store.accounts.table.update({"account_id": LEAN}, change)

    # -- quiet ---------------------------------------------------------------------------------------------

    def _quiet(self) -> None:
        """Wait until every job is over, moving time on for what waits for it."""
        deadline = time.monotonic() + self.options.patience_seconds
        best, since, nudges = -1, time.monotonic(), 0
        while time.monotonic() < deadline and self._over < self.options.jobs:
            self._turn()
            if not self._topped_up:
                self._top_up()
            if self._over > best:
                best, since = self._over, time.monotonic()
            elif time.monotonic() - since > NUDGE_SECONDS:
                since, nudges = time.monotonic(), nudges + 1
                with contextlib.suppress(StoreError):
                    self._nudge(long=nudges % 3 == 0)
        self._let_go_of_leaks()
        self._await_the_counters()

    def _nudge(self, *, long: bool) -> None:
        """As if the rest between two look-ups had passed, or hours since the intent of a lost dial."""
        store = self.stage.store
        jobs, now = store.jobs.table, store.now()
        resting = {"status": "in_progress", "reserved_until": {"$gt": now + timedelta(seconds=LEASE_SECONDS)}}
        found = jobs.find(resting)
        lost = [job for job in found if "dial" in job and "call_id" not in job["dial"]]
        if long and lost:
            self._note("hours moved on for lost dials", len(lost))
            self.stage.simulator.advance(LONG_SECONDS)
            for job in lost:
                aged = job["dial"]["intent_at"] - timedelta(seconds=LONG_SECONDS)
                jobs.update(
                    {"_id": job["_id"], "dial.key": job["dial"]["key"]}, {"$set": {"dial.intent_at": aged}}
                )
        for job in found:
            self._note("rests cut short")
            jobs.update(
                {"_id": job["_id"], "reserved_until": job["reserved_until"]},
                {"$set": {"reserved_until": now - timedelta(milliseconds=1)}},
            )

    def _let_go_of_leaks(self) -> None:
        """What a worker reserved that had lost its job is the housekeeper's to find, after a while."""
        deadline, aged = time.monotonic() + 100, False
        while time.monotonic() < deadline:
            with contextlib.suppress(StoreError):
                left = self._open_dials()
                if not left:
                    return
                if not aged:
                    self._note("reservations left to the housekeeper", left)
                    self._age_open_dials()
                    aged = True
            for _ in range(20):
                self._turn()

    def _await_the_counters(self) -> None:
        """The housekeepers count when they have time."""
        store, deadline = self.stage.store, time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(StoreError):
                if not books.counted_wrongly(store.batches.table.find({}), store.jobs.table.find({})):
                    return
            for _ in range(40):
                self._turn()

    def _open_dials(self) -> int:
        tables = (self.stage.store.accounts.table, self.stage.store.batches.table)
        return sum(len(row.get("open_dials", ())) for table in tables for row in table.find({}))

    def _age_open_dials(self) -> None:
        for table in (self.stage.store.accounts.table, self.stage.store.batches.table):
            for row in table.find({"open_dials.0": {"$exists": True}}):
                old = {
                    f"open_dials.{index}.at": entry["at"] - timedelta(seconds=LONG_SECONDS)
                    for index, entry in enumerate(row["open_dials"])
                }
                table.update({"_id": row["_id"]}, {"$set": old})

    def _note(self, what: str, number: int = 1) -> None:
        self.notes[what] = self.notes.get(what, 0) + number

    # -- the books -----------------------------------------------------------------------------------------

    def close(self) -> books.Findings:
        """Read all books and compare them."""
        store = self.stage.store
        self.books = books.Books(
            jobs=store.jobs.table.find({}),
            results=store.results.table.find({}),
            accounts=store.accounts.table.find({}),
            batches=store.batches.table.find({}),
            ledger=self.stage.simulator.ledger(),
            overlaps=self.stage.simulator.overlaps(),
            pauses=self.stage.monkey.pauses,
            policy=AuditPolicy(
                max_attempts=MAX_ATTEMPTS,
                retry_delay_seconds=RETRY_SECONDS,
                no_answer_delay_seconds=NO_ANSWER_SECONDS,
            ),
        )
        findings = books.close(self.books)
        if not self.stage.monkey.worker_ids_are_apart():
            findings.illegal.append("a worker id was seen on two hosts")
        return findings


def teller(*, silent: bool) -> Any:
    """Says on standard error what goes on: sentences at once, counts now and then."""
    told_at = 0.0

    def say(text: str, *, often: bool = False) -> None:
        nonlocal told_at
        if silent or (often and time.monotonic() - told_at < 10):
            return
        told_at = time.monotonic()
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    return say
