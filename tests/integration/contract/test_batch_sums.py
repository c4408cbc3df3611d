"""Folding results into the sums of their batch: each is added once, wherever a folder stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from speechaid.store.batch_sums import PORTION
from speechaid.store.connection import Store
from speechaid.store.table import Table
from tests.integration.contract.documents import one

RESULTS = 7


def add_due(store: Store, results: int = RESULTS, *, first: int = 0, batch_id: str = "batch-1") -> None:
    """Results of 0.1 in cost and 0.5 minutes each."""
    due = {"batch_id": batch_id, "total_cost": 0.1, "total_minutes": 0.5}
    rows = [
        {"dial_key": f"key-{batch_id}-{number}", "batch_id": batch_id, "batch_due": due}
        for number in range(first, first + results)
    ]
    store.results.table.insert_many(rows)


def add_batch(store: Store, **fields: Any) -> None:
    store.batches.table.insert({"batch_id": "batch-1", "total_cost": 0.0, "total_minutes": 0.0, **fields})


def sums(store: Store) -> tuple[float, float]:
    batch = one(store.batches.table, {"batch_id": "batch-1"})
    return batch["total_cost"], batch["total_minutes"]


def assert_added(store: Store, results: int = RESULTS) -> None:
    assert sums(store)[0] == pytest.approx(0.1 * results)
    assert sums(store)[1] == pytest.approx(0.5 * results)
    assert store.results.table.count({"batch_due": {"$exists": True}}) == 0
    assert one(store.batches.table, {"batch_id": "batch-1"})["fold"]["keys"] == []


def test_what_is_due_is_added_once_and_no_list_is_left(store: Store) -> None:
    add_batch(store)
    add_due(store)
    assert store.batch_sums.due() == ["batch-1"]
    assert store.batch_sums.fold_all() == RESULTS
    assert_added(store)
    assert (store.batch_sums.fold_all(), store.batch_sums.fold("batch-1")) == (0, 0)
    assert_added(store)


def test_a_batch_to_which_nothing_is_due_is_not_written(store: Store) -> None:
    add_batch(store)
    before = one(store.batches.table, {"batch_id": "batch-1"})
    assert (store.batch_sums.due(), store.batch_sums.fold("batch-1")) == ([], 0)
    assert one(store.batches.table, {"batch_id": "batch-1"}) == before


def test_more_than_a_portion_is_added_in_portions(store: Store) -> None:
    add_batch(store)
    add_due(store, PORTION + 3)
    assert store.batch_sums.fold("batch-1") == PORTION
    assert store.batch_sums.fold_all() == 3
    assert_added(store, PORTION + 3)


def test_each_batch_gets_its_own(store: Store) -> None:
    add_batch(store)
    store.batches.table.insert({"batch_id": "batch-2"})
    add_due(store)
    add_due(store, 2, batch_id="batch-2")
    assert store.batch_sums.fold_all() == RESULTS + 2
    assert_added(store)
    assert one(store.batches.table, {"batch_id": "batch-2"})["total_minutes"] == pytest.approx(1)


@pytest.mark.parametrize("written", ["12.5", None, "x"])
def test_a_sum_that_another_program_wrote_as_text_or_null_is_added_to(store: Store, written: object) -> None:
    add_batch(store, total_minutes=written)
    add_due(store)
    store.batch_sums.fold_all()
    assert sums(store)[1] == pytest.approx(0.5 * RESULTS + (12.5 if written == "12.5" else 0))


def test_what_is_due_to_a_batch_that_does_not_exist_counts_as_added(store: Store) -> None:
    add_due(store)
    store.batch_sums.fold_all()
    assert store.batch_sums.due() == []


@pytest.mark.parametrize("due", [{"batch_id": "batch-1"}, {"batch_id": "batch-1", "total_cost": "x"}])
def test_an_amount_that_cannot_be_read_is_none(store: Store, due: dict[str, Any]) -> None:
    add_batch(store)
    store.results.table.insert({"dial_key": "k", "batch_due": due})
    assert store.batch_sums.fold_all() == 1
    assert_added(store, 0)


# -- a folder that stops ---------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


#: What a fold does with the database, in order.
STEPS = ("find_one", "find", "update", "update_many")


def at_each_step(store: Store, patch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Fold all, and call ``act`` right before the step of this number; steps of ``act`` do not count."""
    names: list[str] = []
    active = [True]

    def counted(name: str) -> Callable[..., Any]:
        method = getattr(Table, name)

        def run(table: Table, *args: Any, **fields: Any) -> Any:
            if active[0]:
                names.append(name)
                if len(names) == step + 1:
                    active[0] = False
                    try:
                        act()
                    finally:
                        active[0] = True
            return method(table, *args, **fields)

        return run

    with patch.context() as patched:
        for name in STEPS:
            patched.setattr(Table, name, counted(name))
        store.batch_sums.fold_all()


def steps_of_a_fold(store: Store, patch: pytest.MonkeyPatch) -> int:
    """How many steps there are."""
    for step in range(100):
        reached: list[int] = []
        reset(store)
        at_each_step(store, patch, step, lambda: reached.append(1))  # noqa: B023 - called at once
        if not reached:
            return step
    pytest.fail("a fold does not end")


def reset(store: Store) -> None:
    store.batches.table.delete({})
    store.results.table.delete({})
    add_batch(store)
    add_due(store)


def test_a_folder_that_dies_at_any_step_leaves_sums_that_the_next_one_completes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise Killed

    steps = steps_of_a_fold(store, monkeypatch)
    assert steps > 6
    for step in range(steps):
        reset(store)
        with pytest.raises(Killed):
            at_each_step(store, monkeypatch, step, die)
        store.batch_sums.fold_all()
        add_due(store, 2, first=RESULTS)
        store.batch_sums.fold_all()
        assert_added(store, RESULTS + 2)


def test_a_folder_that_is_frozen_at_any_step_adds_nothing_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others_fold() -> None:
        store.batch_sums.fold_all()
        add_due(store, 3, first=RESULTS)
        store.batch_sums.fold("batch-1")

    for step in range(steps_of_a_fold(store, monkeypatch)):
        reset(store)
        at_each_step(store, monkeypatch, step, others_fold)
        store.batch_sums.fold_all()
        add_due(store, 1, first=RESULTS + 3)
        store.batch_sums.fold_all()
        assert_added(store, RESULTS + 4)


def test_a_fold_that_would_not_first_remove_the_marks_of_the_fold_before_adds_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutation: it shows that the order is what keeps the sums, and that these tests would see it."""
    reset(store)
    assert store.batch_sums.fold("batch-1") == RESULTS
    with monkeypatch.context() as patched:
        patched.setattr(Table, "update_many", lambda *_: 0)
        assert store.batch_sums.fold("batch-1") == RESULTS
    assert sums(store)[1] == pytest.approx(RESULTS)
