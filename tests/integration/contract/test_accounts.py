"""Accounts: what a dial reserves is judged by the database, and what it costs is charged once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Decimal128

from speechaid.model.account import Account, Reservation, TopUp
from speechaid.rules.metering import Headroom
from speechaid.store.connection import Store
from tests.integration.contract.documents import ago, one

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
TODAY, YESTERDAY, TOMORROW = "2026-03-02", "2026-03-01", "2026-03-03"
HELD = Reservation(key="key-1", minutes=2, credit=0.5)


def add_account(store: Store, account_id: str = "acc-1", **fields: Any) -> Account:
    store.accounts.table.insert({"account_id": account_id, **fields})
    return account(store, account_id)


def account(store: Store, account_id: str = "acc-1") -> Account:
    found = store.accounts.find(account_id)
    assert found is not None
    return found


def document(store: Store) -> dict[str, Any]:
    return one(store.accounts.table, {"account_id": "acc-1"})


def reserve(store: Store, read: Account, key: str = "key-1", headroom: Headroom | None = None) -> bool:
    return store.accounts.reserve(read, replace(HELD, key=key), job_id="job-1", headroom=headroom)


def settle(store: Store, key: str = "key-1", **changes: Any) -> bool:
    plain = {"minutes": 1.5, "credit": 0.25, "calls": 1, "day": TODAY}
    return store.accounts.settle("acc-1", key, **{**plain, **changes})


# -- finding ---------------------------------------------------------------------------------------------


def test_accounts_are_found_by_name_by_several_names_and_by_a_beginning(store: Store) -> None:
    for name in ("a-1", "a-2", "b-1"):
        add_account(store, name)
    assert store.accounts.find("nobody") is None
    assert {found.account_id for found in store.accounts.among(["a-1", "b-1", "c"])} == {"a-1", "b-1"}
    assert set(store.accounts.find_by_prefix("a-", 9)) == {"a-1", "a-2"}


def test_each_time_zone_is_named_once_and_what_is_no_text_is_left_out(store: Store) -> None:
    for number, zone in enumerate(("UTC", "America/Lima", "UTC", None, "")):
        add_account(store, f"{number}", timezone=zone)
    add_account(store, "no zone")
    assert store.accounts.zones() == {"UTC", "America/Lima"}


def test_a_status_is_changed_only_as_it_was_read(store: Store) -> None:
    read = add_account(store, status="active")
    assert store.accounts.set_status(read, "suspended", {"by": "ana"})
    assert not store.accounts.set_status(read, "closed", {"by": "eva"})
    assert (document(store)["status"], document(store)["status_order"]["by"]) == ("suspended", "ana")


def test_a_status_that_was_not_there_is_compared_too(store: Store) -> None:
    read = add_account(store)
    assert store.accounts.set_status(read, "suspended", {"by": "ana"})
    assert not store.accounts.set_status(read, "closed", {"by": "eva"})


# -- reservations ----------------------------------------------------------------------------------------


def test_a_reservation_stands_in_the_account_and_in_its_sums(store: Store) -> None:
    add_account(store, minutes_reserved=1)
    assert reserve(store, account(store))

    (entry,) = document(store)["open_dials"]
    assert (entry["key"], entry["job_id"], entry["minutes"], entry["credit"]) == ("key-1", "job-1", 2, 0.5)
    assert (document(store)["minutes_reserved"], document(store)["credit_reserved"]) == (3, 0.5)


def test_a_dial_reserves_once(store: Store) -> None:
    assert reserve(store, add_account(store))
    assert not reserve(store, account(store))
    assert document(store)["minutes_reserved"] == 2


def test_without_headroom_nobody_may_have_reserved_since_the_account_was_read(store: Store) -> None:
    read = add_account(store)
    assert reserve(store, read, "key-1")
    assert not reserve(store, read, "key-2")
    assert reserve(store, account(store), "key-2")


@pytest.mark.parametrize(
    ("headroom", "allowed"),
    [
        ({"at_most": {"credit_reserved": 0.5}}, True),
        ({"at_most": {"credit_reserved": 0.4}}, False),
        ({"at_most": {"calls_today": 0}}, True),
        ({"open_dials": 2}, True),
        ({"open_dials": 0}, False),
        ({"day": TODAY}, True),
        ({"day": TOMORROW}, False),
    ],
    ids=str,
)
def test_within_its_headroom_a_dial_reserves_though_another_did_meanwhile(
    store: Store, headroom: dict[str, Any], *, allowed: bool
) -> None:
    read = add_account(store, calls_today_date=TODAY)
    assert reserve(store, read, "another")
    limits: dict[str, Any] = {"at_most": {}, "open_dials": None, "day": None, **headroom}
    assert reserve(store, read, "key-1", Headroom(**limits)) is allowed


def test_an_amount_that_is_decimal_is_counted_on(store: Store) -> None:
    assert reserve(store, add_account(store, minutes_reserved=Decimal128("1.5")))
    assert account(store).minutes_reserved == 3.5


@pytest.mark.parametrize(("written", "expected"), [("1.5", 3.5), (None, 2), ("odd", 2)], ids=str)
def test_amounts_that_are_no_numbers_are_counted_on_as_what_they_read_as(
    store: Store, written: object, expected: float
) -> None:
    assert reserve(store, add_account(store, minutes_reserved=written))
    assert account(store).minutes_reserved == expected


# -- settlement ------------------------------------------------------------------------------------------


def test_a_settled_dial_gives_back_what_it_held_and_is_charged_once(store: Store) -> None:
    read = add_account(store, minutes_used=10, calls_today=3, calls_today_date=TODAY)
    reserve(store, read)

    assert [settle(store) for _ in range(2)] == [True, False]

    left = account(store)
    assert (left.minutes_reserved, left.credit_reserved, left.reservations) == (0, 0, ())
    assert (left.minutes_used, left.credit_used, left.calls_today) == (11.5, 0.25, 4)


def test_other_dials_of_the_account_stay_open(store: Store) -> None:
    reserve(store, add_account(store), "another")
    reserve(store, account(store), "key-1")
    assert settle(store, "key-1")
    assert [entry.key for entry in account(store).reservations] == ["another"]
    assert account(store).minutes_reserved == 2


@pytest.mark.parametrize(
    ("counted_day", "day", "expected"),
    [
        pytest.param(TODAY, TODAY, (4, TODAY), id="the same day"),
        pytest.param(YESTERDAY, TODAY, (1, TODAY), id="a new day counts anew"),
        pytest.param(TODAY, YESTERDAY, (3, TODAY), id="a call of yesterday is not of today"),
        pytest.param(None, TODAY, (4, TODAY), id="SpeechAI named no day"),
    ],
)
def test_calls_are_counted_by_the_day_on_which_they_were_placed(
    store: Store, counted_day: str | None, day: str, expected: tuple[int, str]
) -> None:
    day_fields = {} if counted_day is None else {"calls_today_date": counted_day}
    reserve(store, add_account(store, calls_today=3, **day_fields))
    assert settle(store, day=day)
    assert (account(store).calls_today, account(store).calls_today_date) == expected


def test_a_count_of_calls_that_is_text_is_counted_on(store: Store) -> None:
    reserve(store, add_account(store, calls_today="3", calls_today_date=TODAY))
    assert settle(store)
    assert document(store)["calls_today"] == 4


@pytest.mark.parametrize(
    ("name", "value"), [("minutes_used", "mil"), ("minutes_reserved", "x"), ("calls_today", "todas")]
)
def test_a_call_under_way_is_charged_and_what_could_not_be_understood_still_forbids_the_next(
    store: Store, name: str, value: str
) -> None:
    read = add_account(store, plan_type="minutes_based", minutes_purchased=100, daily_call_limit=9)
    assert reserve(store, read)
    store.accounts.table.update({"account_id": "acc-1"}, {"$set": {name: value}})
    assert settle(store)
    assert document(store)["open_dials"] == []
    assert isinstance(document(store)[name], int | float)
    (fault,) = account(store).faults
    allowed = f"correct {name}, and remove not_understood.{name}"
    assert fault == f"{name} {value!r} cannot be understood: {allowed}"


def test_a_call_that_does_not_count_leaves_the_days_count_alone(store: Store) -> None:
    reserve(store, add_account(store, calls_today=3, calls_today_date=YESTERDAY))
    assert settle(store, calls=0)
    assert (account(store).calls_today, account(store).calls_today_date) == (3, YESTERDAY)


def test_an_account_as_read_before_the_dial_serves_for_settling_it(store: Store) -> None:
    reserve(store, add_account(store, calls_today_date=TODAY))
    seen = account(store)
    reserve(store, seen, "another")  # it has changed since
    assert settle(store, as_read=seen)
    assert account(store).minutes_used == 1.5


def test_an_account_whose_day_changed_since_it_was_read_is_read_again(store: Store) -> None:
    reserve(store, add_account(store, calls_today=3, calls_today_date=YESTERDAY))
    seen = account(store)
    store.accounts.table.update({"account_id": "acc-1"}, {"$set": {"calls_today_date": TODAY}})
    assert settle(store, as_read=seen)
    assert account(store).calls_today == 4


def test_nothing_is_settled_in_an_account_that_is_gone(store: Store) -> None:
    assert not settle(store)


def test_stale_reservations_are_found_by_the_time_of_each(store: Store) -> None:
    entries = [{"key": f"{hours} h", "at": ago(store, hours=hours)} for hours in (3, 1)]
    add_account(store, "old", open_dials=entries)
    add_account(store, "fresh", open_dials=entries[1:])
    stale = store.accounts.stale_reservations(ago(store, hours=2))
    assert [(entry.owner, entry.key) for entry in stale] == [("old", "3 h")]


# -- what SpeechAI reserved ------------------------------------------------------------------------------


def test_what_speechai_reserved_is_given_back_once(store: Store) -> None:
    read = add_account(store, minutes_reserved=5, credit_reserved="2")

    assert store.accounts.release_legacy_reservation(read, "job-1", minutes=2, credit=0.5)
    assert store.accounts.release_legacy_reservation(account(store), "job-1", minutes=2, credit=0.5), (
        "it is marked already"
    )
    assert not store.accounts.release_legacy_reservation(read, "job-1", minutes=2, credit=0.5), (
        "it has changed since"
    )

    assert (account(store).minutes_reserved, account(store).credit_reserved) == (3, 1.5)
    assert document(store)["given_back"] == ["job-1"]


def test_the_mark_goes_once_the_job_no_longer_has_a_reservation(store: Store) -> None:
    store.accounts.release_legacy_reservation(add_account(store), "job-1", minutes=1, credit=0)
    store.accounts.release_legacy_reservation(account(store), "job-2", minutes=1, credit=0)
    before = account(store)
    store.accounts.clear_release_mark("acc-1", "job-1")
    assert document(store)["given_back"] == ["job-2"]
    assert not reserve(store, before), "whoever read the mark must read again"


# -- made, edited, topped up -------------------------------------------------------------------------------


def added(store: Store, key: str = "top-1", before: float = 0.0, after: float = 5.0) -> TopUp:
    return TopUp(
        key=key,
        minutes=after - before,
        credit=0.0,
        before=before,
        after=after,
        currency=None,
        note="invoice 7",
        by="maria",
        at=AT,
    )


def test_an_account_is_created_once(store: Store) -> None:
    assert store.accounts.create("acc-1", {"plan_type": "unlimited"}, by="maria")
    assert not store.accounts.create("acc-1", {"plan_type": "minutes_based"}, by="maria")
    made = document(store)
    assert (made["plan_type"], made["status"], made["created_by"]) == ("unlimited", "active", "maria")


def test_accounts_come_page_by_page_in_the_order_of_their_ids(store: Store) -> None:
    for name in ("c", "a", "b"):
        add_account(store, name)
    assert [found.account_id for found in store.accounts.page(2)] == ["a", "b"]
    assert [found.account_id for found in store.accounts.page(2, "b")] == ["c"]


def test_a_field_is_edited_only_where_it_is_as_read(store: Store) -> None:
    read = add_account(store, daily_call_limit=10, country="CL")
    assert store.accounts.write_settings(read, {"daily_call_limit": 20, "country": None}, by="maria")
    assert not store.accounts.write_settings(read, {"daily_call_limit": 30}, by="luis")
    after = document(store)
    assert (after["daily_call_limit"], after["edited"]["by"]) == (20, "maria")
    assert "country" not in after


def test_a_top_up_is_added_where_the_account_is_as_read_and_carried_until_recorded(store: Store) -> None:
    read = add_account(store, plan_type="minutes_based")
    assert store.accounts.top_up(read, added(store))
    assert not store.accounts.top_up(read, added(store))
    assert not store.accounts.top_up(read, added(store, "top-2"))
    assert document(store)["minutes_purchased"] == 5
    (carrying,) = store.accounts.with_open_top_ups()
    assert carrying.top_ups == (added(store),)
    store.transactions.finish_top_ups(carrying)
    store.transactions.finish_top_ups(carrying)
    assert store.accounts.with_open_top_ups() == []
    assert account(store).top_ups == ()
    assert store.transactions.table.count({}) == 1
    record = store.transactions.find("acc-1", "top-1")
    assert record is not None
    assert (record["transaction_type"], record["minutes"], record["balance_after"]) == ("topup", 5, 5)
    assert store.transactions.find("acc-1", "top-2") is None


def test_a_top_up_needs_the_revision_as_read_though_the_amounts_are_the_same_again(store: Store) -> None:
    read = add_account(store, plan_type="minutes_based", minutes_purchased=0.0)
    for key, before, after in (("top-1", 0.0, 5.0), ("top-2", 5.0, 0.0)):
        assert store.accounts.top_up(account(store), added(store, key, before, after))
        store.transactions.finish_top_ups(account(store))
    assert document(store)["minutes_purchased"] == 0
    assert not store.accounts.top_up(read, added(store))


def test_transactions_and_charged_calls_come_newest_first(store: Store) -> None:
    add_account(store, plan_type="minutes_based")
    store.accounts.top_up(account(store), added(store))
    store.transactions.finish_top_ups(account(store))
    charges = ((1.5, 0.0, 60), (0.0, 0.25, -30), (0.0, 0.0, -50))
    for number, (minutes, credit, seconds) in enumerate(charges):
        charged = {"minutes": minutes, "credit": credit}
        fields = {"account_id": "acc-1", "created_at": AT - timedelta(seconds=seconds), "charged": charged}
        store.results.table.insert({"dial_key": f"dial-{number}", "call_id": f"call-{number}", **fields})
    recorded, calls = store.transactions.page("acc-1", {}, limit=9)
    assert [row["key"] for row in recorded] == ["top-1"]
    assert [row["call_id"] for row in calls] == ["call-1", "call-0"]
    recorded, calls = store.transactions.page("acc-1", {}, limit=9, before=AT, shown=(1, 0))
    assert (recorded, [row["call_id"] for row in calls]) == ([], ["call-0"])
    assert store.transactions.page("acc-1", {"$lt": AT - timedelta(hours=1)}, limit=9) == ([], [])


def test_the_newest_batch_with_call_settings_is_found(store: Store) -> None:
    assert store.batches.newest_of_account("acc-1") is None
    for name, settings, seconds in (("b-1", {}, 300), ("b-2", {"max_attempts": 2}, 200), ("b-3", None, 100)):
        fields = {
            "account_id": "acc-1",
            "created_at": AT - timedelta(seconds=seconds),
            "call_settings": settings,
        }
        store.batches.table.insert({"batch_id": name, **fields})
    found = store.batches.newest_of_account("acc-1")
    assert found is not None
    assert found.batch_id == "b-2"


# -- sums --------------------------------------------------------------------------------------------------


def test_a_sum_gathers_no_binary_residue(store: Store) -> None:
    add_account(store, credit_used=1000.0000004)
    store.batches.table.insert({"batch_id": "batch-1", "total_cost": 1000.0000004, "total_minutes": 0.5})
    assert reserve(store, account(store))
    assert settle(store, minutes=0.0, credit=0.1)
    store.batches.register_live_dial("batch-1", "key-1")
    assert store.batches.settle_dial("batch-1", "key-1", {"total_cost": 0.1, "total_minutes": 1.0})
    assert document(store)["credit_used"] == 1000.1
    assert one(store.batches.table, {"batch_id": "batch-1"})["total_cost"] == 1000.1
