"""Accounts by command: made, edited, shown; top-ups exactly once; transactions; sums without residue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bson import Decimal128

from speechaid.clock import SystemClock
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.model.account import Account, Reservation, TopUp
from speechaid.store.connection import Store
from speechctl.render.blocks import as_text
from speechctl.render.commands import render
from tests.integration.control.test_commands import Operator, operator, settings_for

__all__ = ["operator"]
Document = dict[str, Any]


def make_credit(operator: Operator, **args: Any) -> None:
    operator.run("create-account", account="acme", plan="credit_based", currency="USD", **args)


def account_of(operator: Operator) -> Document:
    found = operator.database.accounts.find_one({"account_id": "acme"})
    assert found is not None
    return found


def settings_of(answer: Document) -> dict[str, Any]:
    return {row["option"]: row["value"] for row in answer["settings"]}


def charge(store: Store, key: str, **amounts: float) -> None:
    """A dial of the account that was settled with these amounts."""
    account = store.accounts.find("acme")
    assert account is not None
    assert store.accounts.reserve(account, Reservation(key=key, minutes=0.0, credit=0.0), job_id="job-1")
    amounts = {"minutes": 0.0, "credit": 0.0, **amounts}
    assert store.accounts.settle("acme", key, **amounts, calls=1, day="2026-03-02")  # type: ignore[arg-type]


# -- made and edited ---------------------------------------------------------------------------------------


def test_an_account_is_made_with_what_was_typed_and_shown_so(operator: Operator) -> None:
    made = operator.run(
        "create-account",
        account="acme",
        plan="credit_based",
        name="Acme Chile",
        country="cl",
        timezone="America/Santiago",
        cost_per_minute=85.5,
        daily_call_limit=400,
    )
    assert (made["currency"], made["warning"]) == ("CLP", None)
    answer = operator.run("account", account="ac")
    assert (answer["plan"], answer["status"], answer["faults"]) == ("credit_based", "active", [])
    assert answer["balance"] == {"unit": "credit", "bought": 0.0, "used": 0.0, "reserved": 0.0, "left": 0.0}
    shown = settings_of(answer)
    assert (shown["country"], shown["cost_per_minute"], shown["daily_call_limit"]) == ("CL", 85.5, 400)
    assert account_of(operator)["created_by"].startswith("root")
    (row,) = operator.run("accounts")["accounts"]
    assert (row["account_id"], row["name"], row["currency"]) == ("acme", "Acme Chile", "CLP")


def test_an_id_is_made_once(operator: Operator) -> None:
    operator.database.accounts.insert_one({"account_id": "acme", "plan_type": "unlimited"})
    assert "already" in str(operator.refusal("create-account", account="acme", plan="unlimited"))
    operator.run("create-account", account="other", plan="unlimited")
    assert not operator.store.accounts.create("other", {"plan_type": "unlimited"}, by="maria")
    assert operator.database.accounts.count_documents({}) == 2


@pytest.mark.parametrize(
    ("args", "allowed"),
    [
        ({"currency": "pesos"}, "CLP"),
        ({"currency": "CLF"}, "CLP"),
        ({"country": "Chile"}, "two letters"),
        ({"timezone": "Santiago"}, "America/Santiago"),
        ({"cost_per_minute": 0.00000001}, "6 decimals"),
        ({"daily_call_limit": 0}, "1"),
        ({"max_concurrent_calls": -1}, "1"),
        ({"plan": "prepaid"}, "minutes_based"),
    ],
)
def test_what_would_not_be_understood_is_refused_with_what_is_allowed(
    operator: Operator, args: Document, allowed: str
) -> None:
    operator.run("create-account", account="acme", plan="minutes_based")
    before = account_of(operator)
    assert allowed in str(operator.refusal("edit-account", account="acme", **args))
    assert allowed in str(operator.refusal("create-account", **{"account": "b", "plan": "unlimited", **args}))
    assert account_of(operator) == before
    assert operator.database.accounts.count_documents({}) == 1


def test_an_edit_changes_what_was_given_and_is_recorded_with_old_and_new_value(operator: Operator) -> None:
    operator.database.accounts.insert_one(
        {"account_id": "acme", "plan_type": "minutes_based", "daily_call_limit": "1,000", "country": "PE"}
    )
    assert operator.run("account", account="acme")["faults"]
    edit = operator.run("edit-account", account="acme", daily_call_limit=1000, unset=["country"])
    assert edit["changes"] == [
        {"option": "daily_call_limit", "old": "1,000", "new": 1000},
        {"option": "country", "old": "PE", "new": None},
    ]
    assert edit["faults"] == []
    stored = account_of(operator)
    assert (stored["daily_call_limit"], stored["plan_type"]) == (1000, "minutes_based")
    assert "country" not in stored
    (line,) = operator.recorded(1)
    assert line["changes"] == edit["changes"]
    assert operator.run("edit-account", account="acme", daily_call_limit=1000)["changes"] == []


def test_an_edit_without_anything_is_refused(operator: Operator) -> None:
    operator.run("create-account", account="acme", plan="unlimited")
    assert "--daily-call-limit" in str(operator.refusal("edit-account", account="acme"))
    assert "no account" in str(operator.refusal("edit-account", account="nobody", name="x"))


def test_an_edit_meanwhile_by_somebody_else_is_the_old_value(operator: Operator) -> None:
    operator.run("create-account", account="acme", plan="unlimited", daily_call_limit=10)
    stale = operator.store.accounts.find("acme")
    assert stale is not None
    operator.database.accounts.update_one({"account_id": "acme"}, {"$set": {"daily_call_limit": 20}})
    assert not operator.store.accounts.write_settings(stale, {"daily_call_limit": 30}, by="maria")
    edit = operator.run("edit-account", account="acme", daily_call_limit=30)
    assert edit["changes"] == [{"option": "daily_call_limit", "old": 20, "new": 30}]


def test_an_expired_account_made_active_has_its_suspended_jobs_back(operator: Operator) -> None:
    operator.run("create-account", account="acme", plan="unlimited")
    operator.run("edit-account", account="acme", status="expired")
    assert "edit-account acme --status active" in str(operator.refusal("resume-account", account="acme"))
    operator.add_job("job-1", account_id="acme", suspend_reason="account_suspended")
    operator.database.jobs.update_one({}, {"$set": {"status": "suspended"}})
    answer = operator.run("edit-account", account="acme", status="active")
    assert (answer["jobs_resumed"], answer["status"]) == (1, "active")
    job = operator.database.jobs.find_one({"job_id": "job-1"})
    assert job is not None
    assert job["status"] == "pending"


def test_a_credit_plan_needs_a_currency_that_speechais_accounts_lack(operator: Operator) -> None:
    assert "currency" in str(operator.refusal("create-account", account="acme", plan="credit_based"))
    operator.database.accounts.insert_one(
        {"account_id": "acme", "plan_type": "credit_based", "currency": None, "credit_balance": 12.5}
    )
    operator.run("edit-account", account="acme", daily_call_limit=5)
    assert "currency" in str(operator.refusal("edit-account", account="acme", unset=["currency"]))
    operator.run("edit-account", account="acme", currency="usd")
    assert operator.run("account", account="acme")["currency"] == "USD"


def test_the_call_settings_used_last_are_those_of_the_newest_batch(operator: Operator) -> None:
    operator.run("create-account", account="acme", plan="unlimited")
    assert operator.run("account", account="acme")["last_call_settings"] is None
    now = operator.store.now()
    old = {"batch_id": "b-1", "account_id": "acme", "created_at": now - timedelta(days=2)}
    new = {"batch_id": "b-2", "account_id": "acme", "created_at": now - timedelta(days=1), "name": "May"}
    operator.database.batches.insert_many(
        [
            {**old, "call_settings": {"max_attempts": 9}},
            {**new, "call_settings": {"allowed_hours": "nueve", "days_of_week": [1, 2, 3], "x": 1}},
            {"batch_id": "b-3", "account_id": "acme", "created_at": now, "call_settings": None},
        ]
    )
    last = operator.run("account", account="acme")["last_call_settings"]
    assert (last["from_batch"], last["name"]) == ("b-2", "May")
    assert settings_of(last) == {"hours": "nueve", "days": "1-3"}


def test_accounts_are_listed_page_by_page(operator: Operator) -> None:
    for name in ("c", "a", "b"):
        operator.run("create-account", account=name, plan="unlimited")
    first = operator.run("accounts", limit=2)
    assert ([row["account_id"] for row in first["accounts"]], first["next"]) == (["a", "b"], "b")
    rest = operator.run("accounts", limit=2, after="b")
    assert ([row["account_id"] for row in rest["accounts"]], rest["next"]) == (["c"], None)


@pytest.mark.parametrize("plan", ["unlimited", "minutes_based"])
def test_a_price_without_effect_is_said_to_have_none(operator: Operator, plan: str) -> None:
    made = operator.run("create-account", account="acme", plan=plan, country="CL", cost_per_minute=90)
    assert "--cost-per-minute has no effect" in made["warning"]
    assert operator.run("edit-account", account="acme", name="Acme")["warning"] is None
    edited = operator.run("edit-account", account="acme", cost_per_call_setup=5, cost_per_minute=80)
    assert "--cost-per-minute and --cost-per-call-setup have no effect" in edited["warning"]


def test_what_is_taken_off_a_balance_is_not_said_to_be_added(operator: Operator) -> None:
    operator.run("create-account", account="acme", plan="credit_based", currency="CLP", cost_per_minute=90)
    operator.run("top-up", account="acme", credit=1000, idempotency_key="k1")
    answer = operator.run("top-up", account="acme", credit=-250, note="typo", idempotency_key="k2")
    assert "account acme: 250 CLP taken off (key k2)" in as_text(render("top-up", answer))


# -- top-ups -----------------------------------------------------------------------------------------------


def test_a_top_up_counts_once_under_its_key(operator: Operator) -> None:
    make_credit(operator)
    first = operator.run("top-up", account="acme", credit=0.1, note="invoice 7", idempotency_key="k1")
    assert (first["repeated"], first["balance"]["left"], first["currency"]) == (False, 0.1, "USD")
    again = operator.run("top-up", account="acme", credit=0.1, idempotency_key="k1")
    assert (again["repeated"], again["note"], again["at"]) == (True, "invoice 7", first["at"])
    second = operator.run("top-up", account="acme", credit=0.2, idempotency_key="k2")
    assert second["balance"]["bought"] == 0.3
    stored = account_of(operator)
    assert (stored["credit_balance"], stored["top_ups"]) == (0.3, [])
    assert operator.database.transactions.count_documents({}) == 2


def test_a_key_of_another_top_up_is_refused(operator: Operator) -> None:
    make_credit(operator)
    operator.run("top-up", account="acme", credit=5, idempotency_key="k1")
    assert "another top-up" in str(operator.refusal("top-up", account="acme", credit=6, idempotency_key="k1"))
    assert account_of(operator)["credit_balance"] == 5


def added(operator: Operator, key: str, amount: float, before: float) -> TopUp:
    return TopUp(
        key=key,
        minutes=0.0,
        credit=amount,
        before=before,
        after=before + amount,
        currency="USD",
        note=None,
        by="maria",
        at=operator.store.now(),
    )


def died_before_the_record(operator: Operator) -> None:
    account = operator.store.accounts.find("acme")
    assert account is not None
    assert operator.store.accounts.top_up(account, added(operator, "k1", 5.0, 0.0))


def died_before_the_entry_was_removed(operator: Operator) -> None:
    died_before_the_record(operator)
    operator.store.transactions.record("acme", added(operator, "k1", 5.0, 0.0))


@pytest.mark.parametrize("died", [died_before_the_record, died_before_the_entry_was_removed])
def test_the_next_command_finishes_a_top_up_whose_daemon_died(
    operator: Operator, died: Callable[[Operator], None]
) -> None:
    make_credit(operator)
    died(operator)
    again = operator.run("top-up", account="acme", credit=5, idempotency_key="k1")
    assert (again["repeated"], again["by"], again["balance"]["bought"]) == (True, "maria", 5.0)
    assert account_of(operator)["top_ups"] == []
    assert operator.database.transactions.count_documents({}) == 1


def test_housekeeping_finishes_a_top_up_whose_daemon_died(operator: Operator, database_uri: str) -> None:
    make_credit(operator)
    died_before_the_record(operator)
    settings = settings_for(database_uri, operator.database.name)
    Housekeeper(operator.store).tick(settings, SystemClock().boottime())
    assert account_of(operator)["top_ups"] == []
    (record,) = operator.database.transactions.find()
    assert (record["key"], record["credits"], record["created_by"]) == ("k1", 5.0, "maria")


def test_transactions_show_a_top_up_whose_record_was_not_made(operator: Operator) -> None:
    make_credit(operator)
    died_before_the_record(operator)
    (row,) = operator.run("transactions", account="acme")["transactions"]
    assert (row["type"], row["credit"], row["before"], row["after"]) == ("topup", 5.0, 0.0, 5.0)


def test_a_top_up_read_before_another_one_was_recorded_is_not_added(operator: Operator) -> None:
    """A slow repeat of one delivery: it read the account before the first delivery added, and wakes after."""
    make_credit(operator)
    stale = operator.store.accounts.find("acme")
    assert stale is not None
    operator.run("top-up", account="acme", credit=5, idempotency_key="k1")
    # Taken back under another key: the balance is as the sleeper read it, and it must still be refused.
    operator.run("top-up", account="acme", credit=-5, note="wrong", idempotency_key="k2")
    assert not operator.store.accounts.top_up(stale, added(operator, "k1", 5.0, 0.0))
    assert account_of(operator)["credit_balance"] == 0


def test_many_at_once_under_one_key_and_under_their_own_add_up(operator: Operator) -> None:
    make_credit(operator)
    stores = [operator.store] * 6
    results: list[object] = []

    def add(store: Store, key: str) -> None:
        while True:
            account = store.accounts.find("acme")
            assert account is not None
            store.transactions.finish_top_ups(account)
            if store.transactions.find("acme", key) is not None:
                results.append(False)
                return
            if store.accounts.top_up(account, added(operator, key, 0.1, account.credit_balance)):
                results.append(True)
                return

    keys = ["same", "same", "same", "a", "b", "c"]
    threads = [threading.Thread(target=add, args=pair) for pair in zip(stores, keys, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(True) == 4
    assert operator.run("account", account="acme")["balance"]["bought"] == 0.4


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({}, "one of them"),
        ({"minutes": 5, "credit": 5}, "one of them"),
        ({"minutes": 5}, "--credit"),
        ({"credit": 0}, "above or below 0"),
        ({"credit": 0.001}, "2 decimals of USD"),
        ({"credit": -1}, "0 to"),
        ({"credit": -1, "note": "typo"}, "0 to"),
        ({"credit": 5, "idempotency_key": "a:b"}, "idempotency_key"),
        ({"credit": 5, "idempotency_key": None}, "idempotency_key"),
    ],
)
def test_a_top_up_that_cannot_be_is_refused_and_says_why(
    operator: Operator, args: Document, why: str
) -> None:
    make_credit(operator)
    given = {"idempotency_key": "k", **args}
    given = {name: value for name, value in given.items() if value is not None}
    assert why in str(operator.refusal("top-up", account="acme", **given))
    assert account_of(operator).get("credit_balance") is None


def test_taking_back_needs_a_reason(operator: Operator) -> None:
    make_credit(operator)
    operator.run("top-up", account="acme", credit=500, idempotency_key="k1")
    assert "--note" in str(operator.refusal("top-up", account="acme", credit=-450, idempotency_key="k2"))
    taken = operator.run(
        "top-up", account="acme", credit=-450, note="500 for 50, call +56912345678", idempotency_key="k2"
    )
    assert (taken["type"], taken["balance"]["left"]) == ("adjustment", 50.0)
    assert "912345678" not in taken["note"]


@pytest.mark.parametrize("stored", [10.1, "10.1", Decimal128("10.1")])
def test_sums_of_other_programs_are_added_to_whatever_their_type(operator: Operator, stored: object) -> None:
    operator.database.accounts.insert_one(
        {"account_id": "acme", "plan_type": "credit_based", "currency": "USD", "credit_balance": stored}
    )
    added_to = operator.run("top-up", account="acme", credit=0.2, idempotency_key="k1")
    assert (added_to["before"], added_to["after"]) == (10.1, 10.3)


def test_a_balance_that_cannot_be_read_is_not_replaced(operator: Operator) -> None:
    operator.database.accounts.insert_one(
        {"account_id": "acme", "plan_type": "minutes_based", "minutes_purchased": "1,000"}
    )
    refusal = operator.refusal("top-up", account="acme", minutes=5, idempotency_key="k1")
    assert "minutes_purchased '1,000'" in str(refusal)
    assert account_of(operator)["minutes_purchased"] == "1,000"


# -- transactions ------------------------------------------------------------------------------------------


def test_transactions_are_top_ups_and_charges_newest_first_by_pages(operator: Operator) -> None:
    operator.run("create-account", account="acme", plan="minutes_based")
    operator.run("top-up", account="acme", minutes=100, idempotency_key="k1")
    at = operator.store.now() + timedelta(minutes=1)
    result = {"account_id": "acme", "job_id": "job-1", "outcome": "answered"}
    operator.database.call_results.insert_many(
        [
            {**result, "call_id": f"call-{n}", "created_at": at, "charged": {"minutes": 1.5, "credit": 0.0}}
            for n in range(4)
        ]
        + [{**result, "call_id": "free", "created_at": at, "charged": {"minutes": 0.0, "credit": 0.0}}]
        + [{**result, "account_id": "other", "call_id": "x", "created_at": at, "charged": {"minutes": 1.0}}]
    )
    # SpeechAI's own, as far as it can be read.
    operator.database.transactions.insert_one(
        {"account_id": "acme", "transaction_type": "recharge", "amount": "7", "created_at": at}
    )
    rows: list[Document] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        page = operator.run("transactions", account="acme", limit=2, **({"after": after} if after else {}))
        rows += page["transactions"]
        after, pages = page["next"], pages + 1
    assert pages == 3
    assert [row["type"] for row in rows] == ["recharge", "call", "call", "call", "call", "topup"]
    assert {row["call_id"] for row in rows if row["type"] == "call"} == {f"call-{n}" for n in range(4)}
    assert [row["minutes"] for row in rows[1:]] == [-1.5, -1.5, -1.5, -1.5, 100.0]
    assert operator.run("transactions", account="acme", to="2020-01-01")["transactions"] == []
    assert "position" in str(operator.refusal("transactions", account="acme", after="x"))


# -- sums --------------------------------------------------------------------------------------------------


def test_residue_of_binary_fractions_is_neither_shown_nor_gathered(operator: Operator) -> None:
    make_credit(operator)
    operator.run("top-up", account="acme", credit=1, idempotency_key="k1")
    for number in range(3):
        charge(operator.store, f"dial-{number}", credit=0.1)
    assert operator.run("account", account="acme")["balance"]["used"] == 0.3
    operator.database.accounts.update_one({}, {"$set": {"credit_used": 0.3000004}})
    charge(operator.store, "dial-last", credit=0.1)
    assert account_of(operator)["credit_used"] == 0.4


def test_an_account_of_decimals_is_charged(operator: Operator) -> None:
    operator.database.accounts.insert_one(
        {
            "account_id": "acme",
            "plan_type": "credit_based",
            "currency": "USD",
            "credit_balance": Decimal128("1.00"),
            "credit_used": Decimal128("0.20"),
        }
    )
    charge(operator.store, "dial-1", credit=0.1)
    assert operator.run("account", account="acme")["balance"]["left"] == 0.7


def test_the_account_as_read_has_the_top_ups_that_it_carries(operator: Operator) -> None:
    make_credit(operator)
    died_before_the_record(operator)
    account = Account.read(account_of(operator))
    assert [(one.key, one.credit, one.after, one.by) for one in account.top_ups] == [
        ("k1", 5.0, 5.0, "maria")
    ]
