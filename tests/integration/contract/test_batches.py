"""Batches: pause and resume, and the marks of open dials, which a settlement consumes once."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.errors import NotFound
from speechaid.store.batches import INACTIVE, PAUSED_BY_SPEECHAID, SELECTION_FIELDS
from speechaid.store.connection import Store
from speechaid.store.table import Duplicate
from tests.integration.contract.documents import ago, one


def add_batch(store: Store, batch_id: str = "batch-1", **fields: Any) -> None:
    """Insert a batch that holds nothing but these fields."""
    store.batches.table.insert({"batch_id": batch_id, **fields})


def batch(store: Store, batch_id: str = "batch-1") -> dict[str, Any]:
    return one(store.batches.table, {"batch_id": batch_id})


def open_keys(store: Store, batch_id: str = "batch-1") -> list[str]:
    return [entry["key"] for entry in batch(store, batch_id).get("open_dials", [])]


# -- finding ---------------------------------------------------------------------------------------------


def test_a_new_batch_is_active_and_has_speechais_counters(store: Store) -> None:
    name = store.batches.create({"name": "July", "priority": 2})
    document = batch(store, name)
    assert (document["name"], document["priority"], document["is_active"]) == ("July", 2, True)
    assert (document["total_jobs"], document["total_cost"], document["total_minutes"]) == (0, 0, 0)
    assert store.batches.get(name).batch_id == name
    assert store.batches.find("nobody") is None
    with pytest.raises(NotFound):
        store.batches.get("nobody")


def test_batches_are_found_by_the_beginning_of_their_name_and_several_at_once(store: Store) -> None:
    for name in ("a-1", "a-2", "b-1", "a"):
        add_batch(store, name)
    assert sorted(store.batches.find_by_prefix("a-")) == ["a-1", "a-2"]
    assert len(store.batches.find_by_prefix("a", limit=2)) == 2
    assert {found.batch_id for found in store.batches.among(["a-1", "b-1", "c"])} == {"a-1", "b-1"}


def test_pages_of_batches_go_by_name_and_begin_with_or_behind_one(store: Store) -> None:
    for name in ("c", "a", "d", "b"):
        add_batch(store, name, name="left out", is_active=name != "c")
    first = store.batches.page("b", 2, including=True)
    assert [found.batch_id for found in first] == ["b", "c"]
    assert [found.batch_id for found in store.batches.page("b", 9, including=False)] == ["c", "d"]
    assert all(set(found.document) <= {"_id", *SELECTION_FIELDS} for found in first)


def test_batches_of_a_raised_priority_come_highest_first_and_newest_by_name(store: Store) -> None:
    for name, priority in (("a", 2), ("b", 3), ("c", 2), ("d", 1), ("e", "3"), ("f", "1"), ("g", None)):
        add_batch(store, name, priority=priority)
    add_batch(store, "h")
    assert [found.batch_id for found in store.batches.above_normal_priority(9)] == ["b", "c", "a", "e"]
    assert [found.batch_id for found in store.batches.above_normal_priority(1)] == ["b", "e"]


def test_a_batch_drawn_by_lot_is_one_of_those_that_exist(store: Store) -> None:
    assert store.batches.random_name() is None
    for name in ("a", "b"):
        add_batch(store, name)
    assert store.batches.random_name() in {"a", "b"}


def test_the_newest_batches_come_first_and_those_without_a_time_last(store: Store) -> None:
    add_batch(store, "no time")
    for hours in (1, 3, 2):
        add_batch(store, f"{hours} h", created_at=ago(store, hours=hours))
    assert [found.batch_id for found in store.batches.newest()] == ["1 h", "2 h", "3 h", "no time"]
    assert [found.batch_id for found in store.batches.newest(2)] == ["1 h", "2 h"]


# -- pause and resume ------------------------------------------------------------------------------------


def test_a_pause_says_who_and_why_until_the_batch_is_resumed(store: Store) -> None:
    add_batch(store)
    pause = store.batches.pause("batch-1", by="ana", reason="lunch")
    assert (pause["by"], pause["reason"]) == ("ana", "lunch")
    assert batch(store)["is_active"] is False
    assert (batch(store)["pause"]["by"], batch(store)["pause"]["reason"]) == ("ana", "lunch")

    assert store.batches.resume("batch-1", by="eva").is_active
    assert batch(store)["resumed"]["by"] == "eva"
    assert "pause" not in batch(store)
    with pytest.raises(NotFound):
        store.batches.pause("nobody", by="ana", reason=None)


def test_resuming_all_leaves_what_was_paused_before_or_for_itself(store: Store) -> None:
    for name, fields in (
        ("active", {"is_active": True}),
        ("no field", {}),
        ("paused before", {"is_active": False}),
        ("as text", {"is_active": "false"}),
        ("paused since", {}),
    ):
        add_batch(store, name, **fields)

    assert store.batches.pause_all(by="ana", reason=None) == 3
    store.batches.pause("paused since", by="eva", reason=None)
    assert store.batches.resume_all(by="ana") == 2

    active = {row["batch_id"] for row in store.batches.table.find({"is_active": True})}
    assert active == {"active", "no field"}


def test_a_batch_that_is_called_off_is_paused_and_says_so(store: Store) -> None:
    add_batch(store)
    assert not store.batches.cancel("batch-1", by="ana", reason=None).is_active
    assert batch(store)["cancelled"]["by"] == "ana"
    assert batch(store)["pause"]["reason"] == "cancelled"


# -- open dials ------------------------------------------------------------------------------------------


def test_no_more_dials_are_registered_than_a_batch_has_room_for(store: Store) -> None:
    add_batch(store)
    registered = [store.batches.register_dial("batch-1", f"key-{n}", at_most=2) for n in range(3)]
    assert registered == [True, True, False]
    assert open_keys(store) == ["key-0", "key-1"]

    assert store.batches.settle_dial("batch-1", "key-0", {})
    assert store.batches.register_dial("batch-1", "key-2", at_most=2)
    assert not store.batches.register_dial("batch-1", "key-3", at_most=0)
    assert store.batches.register_dial("batch-1", "key-4", at_most=None)


def test_a_dial_that_is_registered_again_is_entered_once(store: Store) -> None:
    add_batch(store)
    for _ in range(2):
        assert store.batches.register_dial("batch-1", "key-1", at_most=1)
    for _ in range(2):
        store.batches.register_live_dial("batch-1", "key-2")
    assert open_keys(store) == ["key-1", "key-2"]


@pytest.mark.parametrize("active", INACTIVE)
def test_a_paused_batch_registers_no_dial_but_one_that_goes_on_already(store: Store, active: object) -> None:
    add_batch(store, is_active=active)
    assert not store.batches.register_dial("batch-1", "key-1", at_most=None)
    store.batches.register_live_dial("batch-1", "key-1")
    assert open_keys(store) == ["key-1"]
    assert store.batches.register_dial("batch-1", "key-1", at_most=None), "it is entered already"


ODD = ["pausado", "", 2, [], {}, "tRUE"]


@pytest.mark.parametrize("active", ODD, ids=map(repr, ODD))
def test_a_batch_whose_switch_is_not_understood_registers_no_dial(store: Store, active: object) -> None:
    add_batch(store, is_active=active)
    assert not store.batches.register_dial("batch-1", "key-1", at_most=None)


def test_pause_all_and_resume_all_leave_alone_what_is_not_understood(store: Store) -> None:
    add_batch(store, is_active="pausado")
    add_batch(store, "batch-2", is_active=True)
    assert store.batches.pause_all(by="maria", reason=None) == 1
    assert store.batches.resume_all(by="maria") == 1
    assert (batch(store)["is_active"], batch(store, "batch-2")["is_active"]) == ("pausado", True)


@pytest.mark.parametrize("active", [True, 1, 1.0, "yes", None], ids=["true", "1", "1.0", "yes", "null"])
def test_whatever_says_yes_or_nothing_is_active(store: Store, active: object) -> None:
    add_batch(store, is_active=active)
    assert store.batches.register_dial("batch-1", "key-1", at_most=None)


def test_a_batch_that_does_not_exist_registers_no_dial(store: Store) -> None:
    assert not store.batches.register_dial("nobody", "key-1", at_most=None)


def test_figures_of_a_settled_dial_count_once(store: Store) -> None:
    add_batch(store, total_minutes=10)
    store.batches.register_dial("batch-1", "key-1", at_most=None)
    figures = {"total_cost": 0.25, "total_minutes": 1.5}

    settled = [store.batches.settle_dial("batch-1", "key-1", figures) for _ in range(2)]

    assert settled == [True, False]
    assert (batch(store)["total_cost"], batch(store)["total_minutes"]) == (0.25, 11.5)
    assert open_keys(store) == []


@pytest.mark.parametrize(("written", "expected"), [("10.5", 12.0), (None, 1.5), ("odd", 1.5)])
def test_sums_that_are_text_or_null_are_counted_on_as_the_numbers_that_they_read_as(
    store: Store, written: object, expected: float
) -> None:
    add_batch(store, total_minutes=written)
    store.batches.register_dial("batch-1", "key-1", at_most=None)
    assert store.batches.settle_dial("batch-1", "key-1", {"total_minutes": 1.5})
    assert batch(store)["total_minutes"] == expected


def test_stale_dials_are_found_by_the_time_of_each(store: Store) -> None:
    entries = [{"key": f"{hours} h", "at": ago(store, hours=hours)} for hours in (3, 1)]
    add_batch(store, "old", open_dials=entries)
    add_batch(store, "fresh", open_dials=entries[1:])
    add_batch(store, "none")
    stale = store.batches.stale_dials(ago(store, hours=2))
    assert [(entry.owner, entry.key) for entry in stale] == [("old", "3 h")]


# -- imports and counters --------------------------------------------------------------------------------


def test_imports_are_found_latest_first(store: Store) -> None:
    for name in ("a", "b", "c"):
        add_batch(store, name)
    store.batches.note_import("a", {"started_at": ago(store, hours=1), "rows": 1})
    store.batches.note_import("b", {"started_at": ago(store, hours=2)})
    store.batches.note_import("a", {"started_at": ago(store, hours=3)})
    found = store.batches.imported_into(9)
    assert [entry.batch_id for entry in found] == ["b", "a"]
    assert "rows" not in batch(store, "a")["last_import"]


def test_counters_are_written_over(store: Store) -> None:
    add_batch(store, pending_jobs="7")
    store.batches.write_counts("batch-1", {"pending_jobs": 2, "failed_jobs": 1})
    assert (batch(store)["pending_jobs"], batch(store)["failed_jobs"]) == (2, 1)


# -- bad lists -------------------------------------------------------------------------------------------


def note(store: Store, *people: str) -> list[bool]:
    return [
        store.batches.note_invalid_number("batch-1", person, people=3, reason="bad list") for person in people
    ]


def test_invalid_numbers_of_enough_people_in_a_row_pause_the_batch_once(store: Store) -> None:
    add_batch(store, is_active=True)
    assert note(store, "a", "b", "a", "b", "c") == [False, False, False, False, True]
    document = batch(store)
    assert (document["is_active"], document["pause"]["by"]) == (False, PAUSED_BY_SPEECHAID)
    store.batches.resume("batch-1", by="maria")
    assert note(store, "d", "e", "f", "g") == [False] * 4
    assert batch(store)["is_active"] is True


def test_a_dial_that_reaches_a_number_ends_the_run_of_invalid_ones(store: Store) -> None:
    add_batch(store, is_active=True)
    note(store, "a", "b")
    store.batches.register_dial("batch-1", "key-1", at_most=None)
    store.batches.settle_dial("batch-1", "key-1", {"total_cost": 1.0}, ends_invalid_run=True)
    assert note(store, "c", "d") == [False, False]
    assert note(store, "e") == [True]


def test_a_batch_that_an_operator_paused_keeps_that_pause(store: Store) -> None:
    add_batch(store, is_active=False, pause={"by": "maria"})
    assert note(store, "a", "b", "c") == [False] * 3
    assert batch(store)["pause"] == {"by": "maria"}


# -- settings, names, cancellation ------------------------------------------------------------------------


def test_settings_are_written_one_by_one_as_long_as_they_are_as_read(store: Store) -> None:
    add_batch(store, call_settings={"max_attempts": 2, "allowed_hours": {"start": "09:00", "end": "18:00"}})
    as_read = store.batches.get("batch-1")
    hours = {"start": "10:00", "end": "18:00"}
    assert store.batches.write_settings(as_read, {"call_settings.allowed_hours": hours}, by="ana")
    # Another field of the same reading still stands; the same field does not.
    assert store.batches.write_settings(as_read, {"call_settings.max_attempts": None}, by="ana")
    assert not store.batches.write_settings(as_read, {"call_settings.allowed_hours": None}, by="ana")
    assert batch(store)["call_settings"] == {"allowed_hours": hours}
    assert batch(store)["edited"]["by"] == "ana"


@pytest.mark.parametrize("stored", [None, "none", 7, [1]])
def test_call_settings_that_are_no_document_are_replaced_by_an_edit(store: Store, stored: Any) -> None:
    add_batch(store, call_settings=stored)
    as_read = store.batches.get("batch-1")
    assert store.batches.write_settings(as_read, {"call_settings.max_attempts": 2, "priority": 3}, by="ana")
    assert (batch(store)["call_settings"], batch(store)["priority"]) == ({"max_attempts": 2}, 3)


def test_a_cancelled_batch_takes_no_settings_no_resume_and_no_dial(store: Store) -> None:
    add_batch(store, is_active=True, pause={"all": True})
    store.batches.cancel("batch-1", by="ana", reason=None)
    as_read = store.batches.get("batch-1")
    assert not store.batches.write_settings(as_read, {"priority": 3}, by="ana")
    with pytest.raises(NotFound):
        store.batches.resume("batch-1", by="ana")
    store.batches.table.update({"batch_id": "batch-1"}, {"$set": {"pause.all": True}})
    assert store.batches.resume_all(by="ana") == 0
    store.batches.table.update({"batch_id": "batch-1"}, {"$set": {"is_active": True}})
    assert not store.batches.register_dial("batch-1", "key", at_most=None)
    assert store.batches.pause_all(by="ana", reason=None) == 0
    assert store.batches.cancelled_ids() == ["batch-1"]


def test_a_batch_that_needs_hours_of_its_own_is_not_resumed_without(store: Store) -> None:
    add_batch(store, is_active=False)
    with pytest.raises(NotFound):
        store.batches.resume("batch-1", by="ana", with_hours=True)
    as_read = store.batches.get("batch-1")
    store.batches.write_settings(as_read, {"call_settings.allowed_hours": {"start": "09:00"}}, by="ana")
    assert store.batches.resume("batch-1", by="ana", with_hours=True).is_active


def test_batches_are_found_by_the_name_that_people_gave_them(store: Store) -> None:
    for name, account in (("b-2", "acc-1"), ("b-1", "acc-1"), ("b-3", None)):
        add_batch(store, name, name="Cobranza Ñuñoa", **({} if account is None else {"account_id": account}))
    assert store.batches.find_by_name("Cobranza Ñuñoa", 9) == ["b-1", "b-2", "b-3"]
    assert store.batches.find_by_name("cobranza ñuñoa", 9) == []
    assert store.batches.of_same_name("b-1", "Cobranza Ñuñoa", "acc-1", 9) == ["b-2"]
    assert store.batches.of_same_name("b-9", "Cobranza Ñuñoa", None, 9) == ["b-3"]


def test_a_redial_has_one_batch_of_its_number(store: Store) -> None:
    fields = {"_id": "redial:batch-1:1", "redial": {"of": "batch-1", "number": 1}}
    name = store.batches.create(fields)
    with pytest.raises(Duplicate):
        store.batches.create(fields)
    store.batches.end_redial(name, added=2, left_out={"reached": 1})
    (found,) = store.batches.redials_of("batch-1")
    assert (found.batch_id, found.document["redial"]["left_out"]) == (name, {"reached": 1})
