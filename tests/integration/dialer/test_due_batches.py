"""Which batches a worker reads if there are more than fit on one page, against the real database."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer import due_batches
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.due_batches import DueBatches
from speechaid.store.table import Table
from tests.support.stage import Document, Stage

PAGE = 4


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_batches, "PAGE", PAGE)


def name(number: int) -> str:
    return f"batch-20260101-{number:08x}"


def add(stage: Stage, *numbers: int, jobs: int = 1, **fields: Any) -> list[str]:
    """Batches with ``jobs`` due jobs each."""
    for number in numbers:
        stage.add_batch(name(number), **fields)
        for job in range(jobs):
            stage.add_job(
                f"+1202555{number:04d}",
                job_id=f"job-{number}-{job}",
                batch_id=name(number),
                reserved_until=stage.store.now() - timedelta(minutes=1),
            )
    return [name(number) for number in numbers]


def due(worker: DueBatches) -> set[str | None]:
    return {entry.batch_id for entry in worker.read()}


def test_if_all_batches_fit_on_a_page_each_read_returns_them_all(stage: Stage) -> None:
    names = set(add(stage, *range(PAGE - 1)))
    worker = DueBatches(stage.context())
    assert [due(worker) for _ in range(3)] == [names] * 3


def test_a_cycle_of_reads_returns_every_batch_a_page_each(stage: Stage) -> None:
    names = set(add(stage, *range(3 * PAGE)))
    worker = DueBatches(stage.context())
    reads = [due(worker) for _ in range(4)]  # started at a random batch, it wraps around in between
    assert set().union(*reads) == names
    assert all(1 <= len(names) <= PAGE for names in reads)


def test_a_claim_reads_no_more_of_many_batches_than_of_few(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    find = Table.find

    def counted(table: Table, query: Document, **options: Any) -> list[Document]:
        rows = find(table, query, **options)
        read[table.name] += len(rows)
        return rows

    def of_one_claim() -> Counter[str]:
        claimer = JobClaimer(stage.context())
        claimer.claim()
        read.clear()
        assert JobClaimer(stage.context()).claim() is not None
        return Counter(read)

    monkeypatch.setattr(Table, "find", counted)
    add(stage, *range(2 * PAGE), jobs=3)
    few = of_one_claim()
    add(stage, *range(2 * PAGE, 10 * PAGE), jobs=3)
    many = of_one_claim()
    # The first page, the page at the random start, and again its batches with their open dials.
    assert max(few["batches"], many["batches"]) <= 3 * PAGE
    assert many["jobs"] <= few["jobs"] + 3


def test_a_batch_of_a_raised_priority_goes_first_on_any_page(stage: Stage) -> None:
    add(stage, *range(3 * PAGE), jobs=2)
    stage.database.batches.update_one({"batch_id": name(7)}, {"$set": {"priority": 2}})
    stage.database.batches.update_one({"batch_id": name(2)}, {"$set": {"priority": "3"}})
    claimer = JobClaimer(stage.context())
    claimed = [found.job.batch_id for _ in range(4) if (found := claimer.claim()) is not None]
    assert claimed == [name(2), name(2), name(7), name(7)]


def test_one_batch_with_work_among_many_finished_ones_is_found_in_one_read(stage: Stage) -> None:
    add(stage, *range(20 * PAGE), jobs=0)
    add(stage, 1000)
    for _ in range(5):  # wherever it starts
        assert due(DueBatches(stage.context())) == {name(1000)}


def test_one_active_batch_among_many_paused_ones_is_found_and_kept(stage: Stage) -> None:
    pages = 2 * due_batches.PAGES_AT_ONCE
    add(stage, *range(pages * PAGE), is_active=False)
    add(stage, 1000)
    worker = DueBatches(stage.context())
    reads = [due(worker) for _ in range(4)]
    assert {name(1000)} in reads
    first = reads.index({name(1000)})
    assert reads[first:] == [{name(1000)}] * (4 - first)


def test_without_pending_jobs_no_batch_is_due(stage: Stage) -> None:
    add(stage, *range(3 * PAGE), jobs=0)
    worker = DueBatches(stage.context())
    assert [due(worker) for _ in range(3)] == [set()] * 3
