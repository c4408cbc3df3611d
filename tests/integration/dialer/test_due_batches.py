"""Which batches a worker looks at where there are more than fit on one page, against the real database."""

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
    """Batches with so many due jobs each."""
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


def test_where_all_batches_fit_on_a_page_each_look_sees_them_all(stage: Stage) -> None:
    names = set(add(stage, *range(PAGE - 1)))
    worker = DueBatches(stage.context())
    assert [due(worker) for _ in range(3)] == [names] * 3


def test_a_round_of_looks_sees_every_batch_each_look_a_page(stage: Stage) -> None:
    names = set(add(stage, *range(3 * PAGE)))
    worker = DueBatches(stage.context())
    looks = [due(worker) for _ in range(4)]  # begun in the middle, it comes to the beginning in between
    assert set().union(*looks) == names
    assert all(1 <= len(look) <= PAGE for look in looks)


def test_a_look_reads_no_more_of_many_batches_than_of_few(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    find = Table.find

    def counted(table: Table, query: Document, **options: Any) -> list[Document]:
        rows = find(table, query, **options)
        read[table.name] += len(rows)
        return rows

    def of_one_claim() -> Counter[str]:
        turns = JobClaimer(stage.context())
        turns.claim()
        read.clear()
        assert JobClaimer(stage.context()).claim() is not None
        return Counter(read)

    monkeypatch.setattr(Table, "find", counted)
    add(stage, *range(2 * PAGE), jobs=3)
    few = of_one_claim()
    add(stage, *range(2 * PAGE, 10 * PAGE), jobs=3)
    many = of_one_claim()
    # The page from which the start is drawn, the page itself, and once more its batches with open dials.
    assert max(few["batches"], many["batches"]) <= 3 * PAGE
    assert many["jobs"] <= few["jobs"] + 3


def test_a_batch_of_a_raised_priority_goes_first_on_whatever_page_it_stands(stage: Stage) -> None:
    add(stage, *range(3 * PAGE), jobs=2)
    stage.database.batches.update_one({"batch_id": name(7)}, {"$set": {"priority": 2}})
    stage.database.batches.update_one({"batch_id": name(2)}, {"$set": {"priority": "3"}})
    turns = JobClaimer(stage.context())
    claimed = [found.job.batch_id for _ in range(4) if (found := turns.claim()) is not None]
    assert claimed == [name(2), name(2), name(7), name(7)]


def test_one_batch_with_work_among_many_that_are_finished_is_found_in_one_look(stage: Stage) -> None:
    add(stage, *range(20 * PAGE), jobs=0)
    add(stage, 1000)
    for _ in range(5):  # wherever it begins
        assert due(DueBatches(stage.context())) == {name(1000)}


def test_one_batch_that_may_be_called_among_many_that_may_not_is_found_and_kept(stage: Stage) -> None:
    pages = 2 * due_batches.PAGES_AT_ONCE
    add(stage, *range(pages * PAGE), is_active=False)
    add(stage, 1000)
    worker = DueBatches(stage.context())
    looks = [due(worker) for _ in range(4)]
    assert {name(1000)} in looks
    first = looks.index({name(1000)})
    assert looks[first:] == [{name(1000)}] * (4 - first)


def test_nothing_pending_is_nothing_due(stage: Stage) -> None:
    add(stage, *range(3 * PAGE), jobs=0)
    worker = DueBatches(stage.context())
    assert [due(worker) for _ in range(3)] == [set()] * 3
