"""Commands about one batch: show, edit, copy, redial, delete; names; what a cancelled batch refuses."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.model.batch import Batch
from speechaid.model.levels import Level
from speechaid.store.batches import Batches
from speechaid.store.jobs import Jobs
from speechctl.render.blocks import as_text
from speechctl.render.commands import render
from tests.integration.control.test_commands import Operator, operator

__all__ = ["operator"]
Document = dict[str, Any]

CSV = "nombre,telefono\nAna Rojas,+56955550071\n"
HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def settings_of(answer: Document) -> dict[str, tuple[Any, str]]:
    return {row["option"]: (row["value"], row["source"]) for row in answer["settings"]}


def add_ended(operator: Operator, job_id: str, batch_id: str, outcome: str, **fields: Any) -> None:
    """A job whose last call had this outcome, an hour ago."""
    at = operator.store.now() - HOUR
    number = 10 + operator.database.jobs.count_documents({})
    document: Document = {
        "job_id": job_id,
        "batch_id": batch_id,
        "status": "failed",
        "attempts": 3,
        "contact": {"name": job_id, "dni": f"id-{job_id}", "phones": [f"+569123456{number}"]},
        "payload": {"debt_amount": 1000},
        "last_outcome": outcome,
        "call_result": {"success": outcome == "answered", "timestamp": at},
        "finished_at": at,
        "updated_at": at,
    }
    operator.database.jobs.insert_one({**document, **fields})


# -- batch -------------------------------------------------------------------------------------------------


def test_batch_shows_each_setting_in_force_and_where_it_comes_from(operator: Operator) -> None:
    operator.database.accounts.insert_one(
        {"account_id": "acc-1", "plan_type": "unlimited", "timezone": "America/Bogota", "country": "CO"}
    )
    made = operator.run(
        "create-batch", name="March", account="acc-1", hours="9:00-18:30", days="1-5", priority="high"
    )
    answer = operator.run("batch", batch=made["batch_id"])
    shown = settings_of(answer)
    assert shown["hours"] == ("09:00-18:30", "batch")
    assert shown["days"] == ("1-5", "batch")
    assert shown["priority"] == ("high", "batch")
    assert shown["timezone"] == ("America/Bogota", "account")
    assert shown["country"] == ("CO", "account")
    assert shown["max_attempts"] == (3, "settings")
    assert shown["max_concurrent_calls"] == (None, "default")
    variables = {row["option"]: row["variable"] for row in answer["settings"]}
    assert variables["max_attempts"] == "MAX_ATTEMPTS"


def test_batch_shows_counts_imports_the_next_calls_and_who_did_what(operator: Operator) -> None:
    made = operator.run("import", file=CSV, filename="march.csv", hours="00:00-24:00")
    operator.run("edit-batch", batch=made["batch_id"], max_attempts=5)
    operator.recorded(2)
    answer = operator.run("batch", batch=made["batch_id"])
    assert answer["jobs"] == {"pending": 1}
    assert [(row["file"], row["contacts"]) for row in answer["imports"]] == [("march.csv", 1)]
    assert (answer["first_calls"]["people"], answer["first_calls"]["phones"]) == (1, 1)
    assert [line["command"] for line in answer["history"]] == ["import", "edit-batch"]
    assert answer["history"][1]["changes"] == [{"option": "max_attempts", "old": None, "new": 5}]
    text = as_text(render("batch", answer))
    assert "max-attempts: default -> 5" in text
    assert "after resume-batch: first calls now, 1 person, 1 phone" in text


# -- edit-batch --------------------------------------------------------------------------------------------


def test_a_note_is_masked_wherever_it_is_shown_and_what_is_spoken_is_not(operator: Operator) -> None:
    made = operator.run("create-batch", name="lote 20261130-1", hours="00:00-24:00")
    note, spoken = "ask Ana, +56955550101", "leave Call us at +56 9 5555 0101"
    edited = operator.run("edit-batch", batch=made["batch_id"], description=note, voicemail_option=spoken)
    assert "description: default -> ask Ana, +569******01" in as_text(render("edit-batch", edited))
    assert f"voicemail-option: default -> {spoken}" in as_text(render("edit-batch", edited))
    operator.recorded(2)
    shown = as_text(render("batch", operator.run("batch", batch=made["batch_id"])))
    assert shown.count("ask Ana, +569******01") == 2
    assert "55550101" not in shown
    assert spoken in shown
    assert "lote 20261130-1" in shown
    stored = operator.batch(made["batch_id"])
    assert stored["description"] == note
    copy = operator.run("create-batch", name="copy", copy_from=made["batch_id"])
    assert operator.batch(copy["batch_id"])["description"] == note


def test_a_pinned_version_is_no_option(operator: Operator) -> None:
    change = {"option": "pinned_version", "old": None, "new": "3 of agent_1"}
    text = as_text(render("edit-batch", {"batch_id": "b", "changes": [change], "active": True}))
    assert "the agent's version, pinned for this batch: none -> 3 of agent_1" in text
    assert "pinned-version" not in text


def test_edit_batch_changes_what_was_given_and_nothing_else(operator: Operator) -> None:
    batch_id = operator.run(
        "create-batch", name="March", hours="09:00-18:00", days="1-5", max_attempts=2, paused=True
    )["batch_id"]
    operator.database.batches.update_one({"batch_id": batch_id}, {"$set": {"call_settings.of_another": 7}})
    answer = operator.run(
        "edit-batch", batch=batch_id, hours="10:00-20:00", priority="urgent", unset=["days"]
    )
    assert {change["option"]: (change["old"], change["new"]) for change in answer["changes"]} == {
        "hours": ("09:00-18:00", "10:00-20:00"),
        "priority": ("normal", "urgent"),
        "days": ("1-5", None),
    }
    assert operator.batch(batch_id)["call_settings"] == {
        "allowed_hours": {"start": "10:00", "end": "20:00"},
        "max_attempts": 2,
        "of_another": 7,
    }


def test_an_edit_is_recorded_with_old_and_new_value_and_who(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March", hours="09:00-18:00")["batch_id"]
    operator.run("edit-batch", batch="March", hours="10:00-18:00")
    operator.run("resume-batch", batch="March", hours="11:00-18:00")
    lines = operator.recorded(3)[1:]
    assert [(line["command"], line["batch"]) for line in lines] == [
        ("edit-batch", batch_id),
        ("resume-batch", batch_id),
    ]
    assert lines[0]["changes"] == [{"option": "hours", "old": "09:00-18:00", "new": "10:00-18:00"}]
    assert lines[1]["changes"] == [{"option": "hours", "old": "10:00-18:00", "new": "11:00-18:00"}]
    assert "uid" in lines[0]["actor"]


def test_two_edits_of_different_settings_at_once_both_stay(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = operator.run("create-batch", name="March", hours="09:00-18:00", max_attempts=2)["batch_id"]
    edit = Batches.write_settings
    others = [
        {"call_settings.max_attempts": 9},
        {"call_settings.allowed_hours": {"start": "07:00", "end": "08:00"}},
    ]

    def meanwhile(batches: Batches, batch: Batch, *args: Any, **options: Any) -> bool:
        if others:
            operator.database.batches.update_one({"batch_id": batch_id}, {"$set": others.pop(0)})
        return edit(batches, batch, *args, **options)

    monkeypatch.setattr(Batches, "write_settings", meanwhile)
    operator.run("edit-batch", batch=batch_id, hours="10:00-18:00")
    assert operator.batch(batch_id)["call_settings"]["max_attempts"] == 9
    (change,) = operator.run("edit-batch", batch=batch_id, hours="12:00-18:00")["changes"]
    assert change == {"option": "hours", "old": "07:00-08:00", "new": "12:00-18:00"}


def test_an_edit_that_changes_nothing_says_so(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March", hours="09:00-18:00")["batch_id"]
    answer = operator.run("edit-batch", batch=batch_id, hours="9:00-18:00")
    assert answer["changes"] == []
    assert "already" in as_text(render("edit-batch", answer))
    assert operator.refusal("edit-batch", batch=batch_id).code == "bad_argument"
    both = operator.refusal("edit-batch", batch=batch_id, hours="10:00-18:00", unset=["hours"])
    assert both.code == "bad_argument"


def test_call_settings_that_are_null_or_a_text_are_corrected_by_an_edit(operator: Operator) -> None:
    for stored in (None, "none"):
        batch_id = operator.store.batches.create({"call_settings": stored})
        operator.run("edit-batch", batch=batch_id, hours="09:00-18:00")
        hours = {"allowed_hours": {"start": "09:00", "end": "18:00"}}
        assert operator.batch(batch_id)["call_settings"] == hours


def test_an_active_batch_does_not_lose_its_only_hours(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March", hours="09:00-18:00")["batch_id"]
    assert "day and night" in str(operator.refusal("edit-batch", batch=batch_id, unset=["hours"]))
    operator.run("pause-batch", batch=batch_id)
    operator.run("edit-batch", batch=batch_id, unset=["hours"])
    assert "no calling hours" in str(operator.refusal("resume-batch", batch=batch_id))


def test_a_batch_resumed_while_its_hours_are_unset_keeps_them(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = operator.run("create-batch", name="March", hours="09:00-18:00", paused=True)["batch_id"]
    edit = Batches.write_settings

    def meanwhile(batches: Batches, batch: Batch, *args: Any, **options: Any) -> bool:
        operator.store.batches.resume(batch_id, by="another")
        return edit(batches, batch, *args, **options)

    monkeypatch.setattr(Batches, "write_settings", meanwhile)
    assert "day and night" in str(operator.refusal("edit-batch", batch=batch_id, unset=["hours"]))
    assert operator.batch(batch_id)["call_settings"]["allowed_hours"]["start"] == "09:00"


def test_the_account_changes_only_while_the_batch_is_empty(operator: Operator) -> None:
    for name in ("acc-1", "acc-2"):
        operator.database.accounts.insert_one({"account_id": name, "plan_type": "unlimited"})
    batch_id = operator.run("create-batch", name="March", account="acc-1")["batch_id"]
    operator.run("edit-batch", batch=batch_id, account="acc-2")
    assert operator.batch(batch_id)["account_id"] == "acc-2"
    operator.add_job("j1", batch_id=batch_id, account_id="acc-2")
    assert "--copy-from" in str(operator.refusal("edit-batch", batch=batch_id, account="acc-1"))
    assert operator.refusal("edit-batch", batch=batch_id, account="acc-3").code == "not_found"


def test_a_new_retry_delay_moves_the_jobs_that_wait_for_a_retry_and_no_other(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March", retry_delay_hours=24)["batch_id"]
    ended_at = operator.store.now() - HOUR
    waits = {"status": "pending", "attempts": 1, "call_result": {"timestamp": ended_at}, "revision": 4}
    contact = {"phones": ["+56912345671"], "next_phone_index": 0}
    rows: dict[str, Document] = {
        "retry": {"last_outcome": "busy", "reserved_until": ended_at + 24 * HOUR},
        "temporary": {"last_outcome": "busy", "reserved_until": ended_at + 2 * HOUR},
        "callback": {"last_outcome": "callback_requested", "reserved_until": ended_at + 24 * HOUR},
    }
    for job_id, fields in rows.items():
        operator.database.jobs.insert_one(
            {"job_id": job_id, "batch_id": batch_id, "contact": contact, **waits, **fields}
        )
    answer = operator.run("edit-batch", batch=batch_id, retry_delay_hours=3)
    assert answer["moved_retries"] == 1
    due = {job_id: operator.store.jobs.get(job_id).reserved_until for job_id in rows}
    known = {job_id: fields["reserved_until"] for job_id, fields in rows.items()}
    seconds = {job_id: (due[job_id] or ended_at) - ended_at for job_id in rows}
    assert abs(seconds["retry"] - 3 * HOUR) < timedelta(seconds=1)
    assert abs(seconds["temporary"] - (known["temporary"] - ended_at)) < timedelta(seconds=1)
    assert abs(seconds["callback"] - 24 * HOUR) < timedelta(seconds=1)
    assert operator.run("edit-batch", batch=batch_id, unset=["retry-delay-hours"])["moved_retries"] == 1
    assert operator.store.jobs.get("retry").revision == 6


def test_explain_and_forecast_see_an_edit_at_once(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March", hours="00:00-24:00")["batch_id"]
    operator.add_job("j1", batch_id=batch_id, attempts=1)

    def attempts() -> str:
        checks = operator.run("explain", job="j1")["checks"]
        return next(str(check["value"]) for check in checks if check["name"] == "attempts")

    assert attempts() == "1 of 3 used up"
    assert len(operator.run("forecast", batch=batch_id)["dials"]) == 1
    operator.run("edit-batch", batch=batch_id, max_attempts=1)
    assert attempts() == "1 of 1 used up"
    assert operator.run("forecast", batch=batch_id)["dials"] == []


# -- cancelled for good ------------------------------------------------------------------------------------


def test_a_cancelled_batch_takes_no_edit_no_import_and_no_resume(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March", hours="00:00-24:00")["batch_id"]
    operator.add_job("j1", batch_id=batch_id)
    operator.run("cancel-batch", batch=batch_id)
    refusals = [
        operator.refusal("edit-batch", batch=batch_id, max_attempts=5),
        operator.refusal("resume-batch", batch=batch_id),
        operator.refusal("import", file=CSV, filename="more.csv", batch=batch_id),
        operator.refusal("reset-jobs", batch=batch_id, status="cancelled"),
        operator.refusal("resume-job", job="j1"),
        operator.refusal("redial-batch", batch=batch_id, outcomes="busy"),
    ]
    assert {refused.code for refused in refusals} == {"refused"}
    assert all("for good" in str(refused) for refused in refusals)
    operator.run("pause-all")
    assert operator.run("resume-all") == {"resumed": 0}
    assert operator.run("reset-jobs", status="cancelled")["reset"] == 0
    assert operator.batch(batch_id)["is_active"] is False


def test_reset_jobs_of_all_batches_leaves_those_of_cancelled_ones(operator: Operator) -> None:
    cancelled = operator.run("create-batch", name="March")["batch_id"]
    other = operator.run("create-batch", name="April")["batch_id"]
    for batch_id in (cancelled, other):
        operator.add_job(f"of-{batch_id}", batch_id=batch_id)
    operator.run("cancel-batch", batch=cancelled)
    operator.run("cancel-job", job=f"of-{other}")
    assert operator.run("reset-jobs", status="cancelled")["reset"] == 1
    assert operator.store.jobs.get(f"of-{cancelled}").status == "cancelled"
    assert operator.store.jobs.get(f"of-{other}").status == "pending"


def test_another_program_that_activates_a_cancelled_batch_gets_no_calls(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March", hours="00:00-24:00")["batch_id"]
    operator.run("cancel-batch", batch=batch_id)
    operator.database.batches.update_one({"batch_id": batch_id}, {"$set": {"is_active": True}})
    operator.add_job("late", batch_id=batch_id)
    assert operator.store.batches.get(batch_id).is_active is False
    assert operator.store.batches.register_dial(batch_id, "key", at_most=None) is False
    assert "cancelled, for good" in operator.run("explain", job="late")["sentence"]
    assert operator.run("forecast", batch=batch_id)["dials"] == []


def test_contacts_imported_while_their_batch_is_cancelled_are_cancelled_too(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = operator.run("create-batch", name="March", hours="00:00-24:00")["batch_id"]
    insert = Jobs.insert_many

    def meanwhile(jobs: Jobs, documents: Any) -> None:
        operator.store.batches.cancel(batch_id, by="another", reason=None)
        insert(jobs, documents)

    monkeypatch.setattr(Jobs, "insert_many", meanwhile)
    refused = operator.refusal("import", file=CSV, filename="march.csv", batch=batch_id)
    assert "for good" in str(refused)
    assert [row["status"] for row in operator.database.jobs.find({"batch_id": batch_id})] == ["cancelled"]


# -- explain -----------------------------------------------------------------------------------------------


def test_explain_checks_in_the_order_in_which_a_person_asks(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March", hours="00:00-24:00")["batch_id"]
    operator.add_job("j1", batch_id=batch_id)
    checks = [check["name"] for check in operator.run("explain", job="j1")["checks"]]
    assert checks[:8] == ["job", "hold", "batch", "window", "due", "attempts", "phone", "do-not-call list"]
    assert checks[-1] == "workers of this host"


def test_explain_shows_a_cancellation_that_waits_for_the_end_of_the_call(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March", hours="00:00-24:00")["batch_id"]
    soon = operator.store.now() + HOUR
    dial = {"key": "k", "number": "+56912345671", "call_id": "call_1", "intent_at": operator.store.now()}
    operator.add_job("j1", batch_id=batch_id)
    operator.database.jobs.update_one(
        {"job_id": "j1"},
        {"$set": {"status": "in_progress", "claim_token": "t", "reserved_until": soon, "dial": dial}},
    )
    operator.run("cancel-job", job="j1")
    explained = operator.run("explain", job="j1")
    assert [check["name"] for check in explained["checks"]][:2] == ["job", "request"]
    assert explained["checks"][1]["passed"] is False
    assert "cancelled when its call has ended (by " in explained["checks"][1]["value"]


# -- copies ------------------------------------------------------------------------------------------------


def test_a_copy_has_the_settings_of_the_other_batch_and_options_win(operator: Operator) -> None:
    operator.database.accounts.insert_one({"account_id": "acc-1", "plan_type": "unlimited"})
    given: Document = {"hours": "09:00-18:00", "days": "1-5", "timezone": "America/Lima", "max_attempts": 2}
    more: Document = {"priority": "urgent", "account": "acc-1", "country": "PE", "voicemail_counts": True}
    source = operator.run("create-batch", name="March", **given, **more)["batch_id"]
    made = operator.run("create-batch", name="April", copy_from="March", days="6", no_voicemail_counts=True)
    old, new = operator.batch(source), operator.batch(made["batch_id"])
    assert {name: new[name] for name in ("account_id", "country", "priority")} == {
        name: old[name] for name in ("account_id", "country", "priority")
    }
    assert new["call_settings"] == {
        **old["call_settings"],
        "days_of_week": [6],
        "voicemail_counts": False,
    }


def test_an_import_copies_the_settings_of_another_batch(operator: Operator) -> None:
    operator.run("create-batch", name="March", hours="00:00-24:00", max_attempts=2)
    made = operator.run("import", file=CSV, filename="april.csv", copy_from="March", start=True)
    assert operator.batch(made["batch_id"])["call_settings"] == {
        "allowed_hours": {"start": "00:00", "end": "24:00"},
        "max_attempts": 2,
    }
    refused = operator.refusal("import", file=CSV, filename="x.csv", copy_from="March", batch="March")
    assert refused.code == "bad_argument"


def test_settings_that_cannot_be_understood_are_not_copied(operator: Operator) -> None:
    operator.store.batches.create({"name": "March", "call_settings": {"allowed_hours": {"start": "9am"}}})
    assert "hours" in str(operator.refusal("create-batch", name="April", copy_from="March"))


# -- redial ------------------------------------------------------------------------------------------------


def test_redial_batch_makes_a_paused_batch_of_those_whom_no_call_reached(operator: Operator) -> None:
    operator.database.accounts.insert_one({"account_id": "acc-1", "plan_type": "unlimited"})
    batch_id = operator.run("create-batch", name="March", account="acc-1", hours="00:00-24:00")["batch_id"]
    of_account = {"account_id": "acc-1"}
    add_ended(operator, "busy", batch_id, "busy", **of_account)
    add_ended(operator, "silent", batch_id, "no_answer", **of_account)
    add_ended(operator, "machine", batch_id, "voicemail", status="done", **of_account)
    add_ended(operator, "reached", batch_id, "answered", status="done", **of_account)
    add_ended(operator, "dead", batch_id, "invalid_number", **of_account)
    tried = operator.run("redial-batch", batch="March", outcomes="no-answer,busy", dry_run=True)
    assert (tried["would_add"], tried["batch_id"]) == (2, None)
    assert operator.database.batches.count_documents({}) == 1
    answer = operator.run("redial-batch", batch="March", outcomes="no-answer,busy")
    made = operator.batch(answer["batch_id"])
    assert (made["is_active"], made["account_id"]) == (False, "acc-1")
    assert made["call_settings"] == operator.batch(batch_id)["call_settings"]
    jobs = list(operator.database.jobs.find({"batch_id": answer["batch_id"]}))
    assert {job["redial_of"] for job in jobs} == {"busy", "silent"}
    old = operator.database.jobs.find_one({"job_id": "busy"}) or {}
    new = next(job for job in jobs if job["redial_of"] == "busy")
    assert new["contact"] == {**old["contact"], "next_phone_index": 0}
    assert (new["attempts"], new["status"], new["payload"]) == (0, "pending", old["payload"])
    assert new["job_id"] != "busy"
    assert operator.run("resume-batch", batch=answer["batch_id"])["first_calls"]["people"] == 2


def test_who_was_reached_opted_out_paid_or_was_cancelled_is_not_called_again(operator: Operator) -> None:
    operator.database.accounts.insert_one({"account_id": "acc-1", "plan_type": "unlimited"})
    batch_id = operator.run("create-batch", name="March", account="acc-1")["batch_id"]
    other_id = operator.run("create-batch", name="April", account="acc-1")["batch_id"]
    now = operator.store.now()
    names = ("free", "reached", "opted", "listed", "paid", "cancelled", "waiting", "dead")
    for name in names:
        more = {"dead_phones": ["+56912345617"]} if name == "dead" else {}
        add_ended(operator, name, batch_id, "busy", account_id="acc-1", **more)

    def another(name: str, batch: str, **fields: Any) -> None:
        contact = {"dni": f"id-{name}", "phones": ["+56987654321"]}
        document = {"job_id": f"{name}-2", "batch_id": batch, "account_id": "acc-1", "contact": contact}
        operator.database.jobs.insert_one({**document, "finished_at": now, **fields})

    another("reached", other_id, status="done", last_outcome="answered")
    another("opted", other_id, status="cancelled", cancel_reason="do_not_call")
    another("paid", other_id, status="cancelled", cancel_reason="paid")
    another("cancelled", batch_id, status="cancelled", cancel_reason="by order")
    another("waiting", other_id, status="pending")
    listed = operator.database.jobs.find_one({"job_id": "listed"}) or {}
    operator.store.do_not_call.add(listed["contact"]["phones"][0], source="test")
    dead = operator.database.jobs.find_one({"job_id": "dead"}) or {}
    operator.database.jobs.update_one(
        {"job_id": "dead"}, {"$set": {"dead_phones": dead["contact"]["phones"]}}
    )
    answer = operator.run("redial-batch", batch="March", outcomes="busy")
    assert answer["added"] == 1
    assert answer["left_out"] == {
        "opted_out": 2,
        "paid": 1,
        "cancelled": 1,
        "reached": 1,
        "waiting": 1,
        "no_phone": 1,
    }


def test_a_redial_counts_whom_it_leaves_out_and_why(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March")["batch_id"]
    add_ended(operator, "busy", batch_id, "busy")
    add_ended(operator, "silent", batch_id, "no_answer")
    add_ended(operator, "reached", batch_id, "answered", status="done")
    add_ended(operator, "asked", batch_id, "do_not_call", status="cancelled")
    add_ended(operator, "paid", batch_id, "no_answer", paid={"at": operator.store.now()})
    add_ended(operator, "gone", batch_id, "no_answer", erased={"at": NOW, "by": "x", "what": "person"})
    add_ended(operator, "waits", batch_id, "no_answer", status="pending")
    # A second job of a person who is called again is nobody more.
    add_ended(operator, "busy-2", batch_id, "no_answer", contact={"dni": "id-busy"})
    counts = {"opted_out": 1, "paid": 1, "reached": 1, "waiting": 1, "other_outcome": 1, "erased": 1}
    tried = operator.run("redial-batch", batch="March", outcomes="busy", dry_run=True)
    assert (tried["would_add"], tried["left_out"]) == (1, counts)
    text = as_text(render("redial-batch", tried))
    assert "left out: 1 opted out, 1 paid, 1 reached, 1 waiting, 1 other outcome, 1 erased" in text
    refused = str(operator.refusal("redial-batch", batch="March", outcomes="voicemail"))
    assert "nobody is left to be called again: 1 opted out, 1 paid" in refused


def test_a_reset_leaves_out_who_is_on_the_do_not_call_list_and_says_how_many(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March")["batch_id"]
    for number, (name, fields) in enumerate(RESET.items()):
        contact = {"dni": f"{number}-9", "phones": [f"+5691234560{number}", f"+5691234561{number}"]}
        operator.add_job(name, batch_id=batch_id, **{"status": "cancelled", "contact": contact, **fields})
    # Of one both phones are listed, of one the person, of one a single phone; one was listed by mistake.
    operator.store.do_not_call.add_many(["+56912345600", "+56912345610", "+56912345602"], source="asked")
    operator.store.do_not_call.add_person(None, "id:19", source="asked")
    counts = {"opted_out": 3, "paid": 1, "erased": 1}
    tried = operator.run("reset-jobs", status="cancelled", batch=batch_id, dry_run=True)
    assert (tried["would_reset"], tried["left_out"]) == (2, counts)
    answer = operator.run("reset-jobs", status="cancelled", batch=batch_id)
    assert (answer["reset"], answer["left_out"]) == (2, counts)
    pending = operator.database.jobs.find({"status": "pending"})
    assert {job["job_id"] for job in pending} == {"one phone listed", "listed by mistake"}
    text = as_text(render("reset-jobs", answer))
    assert text.endswith("left out: 3 opted out, 1 paid, 1 erased")


RESET: dict[str, Document] = {
    "phones listed": {},
    "person listed": {"cancel_reason": "on_do_not_call_list"},
    "one phone listed": {},
    "listed by mistake": {"cancel_reason": "on_do_not_call_list"},
    "asked": {"cancel_reason": "do_not_call"},
    "paid": {"cancel_reason": "paid", "paid": {"by": "maria"}},
    "gone": {"contact": {"phones": []}, "erased": {"at": NOW, "by": "maria", "what": "person"}},
}


def test_a_redial_that_broke_off_is_completed_and_a_finished_one_makes_no_second_set(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = operator.run("create-batch", name="March")["batch_id"]
    for number in range(5):
        add_ended(operator, f"j{number}", batch_id, "busy")
    insert = Jobs.insert_missing

    def broken(jobs: Jobs, documents: Any) -> None:
        insert(jobs, documents[:2])
        raise RuntimeError("the process dies here")

    monkeypatch.setattr(Jobs, "insert_missing", broken)
    assert operator.refusal("redial-batch", batch="March", outcomes="busy").code == "internal"
    monkeypatch.undo()
    assert "--outcomes busy" in str(operator.refusal("redial-batch", batch="March", outcomes="no-answer"))
    answer = operator.run("redial-batch", batch="March", outcomes="busy")
    assert operator.database.batches.count_documents({"redial.of": batch_id}) == 1
    jobs = list(operator.database.jobs.find({"batch_id": answer["batch_id"]}))
    assert sorted(job["redial_of"] for job in jobs) == ["j0", "j1", "j2", "j3", "j4"]
    refused = operator.refusal("redial-batch", batch="March", outcomes="busy")
    assert "5 waiting" in str(refused)
    assert operator.database.batches.count_documents({}) == 2


@pytest.mark.parametrize("outcome", ["answered", "do-not-call", "callback-requested", "nonsense", ""])
def test_only_outcomes_that_reached_nobody_can_be_named(operator: Operator, outcome: str) -> None:
    operator.run("create-batch", name="March")
    refused = operator.refusal("redial-batch", batch="March", outcomes=f"busy,{outcome}")
    assert "voicemail, no-answer, busy, failed" in str(refused)


# -- names -------------------------------------------------------------------------------------------------


def test_a_name_is_accepted_where_only_one_batch_has_it(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="Cobranza Ñuñoa", paused=True)["batch_id"]
    assert operator.run("batch", batch="Cobranza Ñuñoa")["batch_id"] == batch_id
    assert operator.run("resume-batch", batch="Cobranza Ñuñoa", hours="00:00-24:00")["batch_id"] == batch_id
    assert operator.refusal("batch", batch="cobranza ñuñoa").code == "not_found"
    second = operator.run("create-batch", name="Cobranza Ñuñoa")
    assert batch_id in second["warning"]
    refused = operator.refusal("pause-batch", batch="Cobranza Ñuñoa")
    assert refused.code == "ambiguous_id"
    assert all(name in str(refused) for name in (batch_id, second["batch_id"]))


def test_an_id_wins_over_a_name(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March")["batch_id"]
    other = operator.run("create-batch", name="April")["batch_id"]
    # Another program gave it that name: create-batch does not.
    operator.database.batches.update_one({"batch_id": other}, {"$set": {"name": batch_id}})
    assert operator.run("batch", batch=batch_id)["name"] == "March"


def test_a_batch_of_that_name_in_another_account_is_no_second_one(operator: Operator) -> None:
    for name in ("acc-1", "acc-2"):
        operator.database.accounts.insert_one({"account_id": name, "plan_type": "unlimited"})
    operator.run("create-batch", name="March", account="acc-1")
    second = operator.run("create-batch", name="March", account="acc-2", hours="09:00-19:00")
    assert second["warning"] is None
    made = operator.run("import", file=CSV, filename="March.csv", account="acc-2")
    assert "name" in made["name_remark"]


# -- delete ------------------------------------------------------------------------------------------------


def test_a_batch_of_which_nobody_was_called_is_deleted_with_its_contacts(operator: Operator) -> None:
    made = operator.run("import", file=CSV, filename="march.csv")
    tried = operator.run("delete-batch", batch="march", dry_run=True)
    assert tried["would_delete"] == 1
    assert operator.run("delete-batch", batch="march")["deleted"] == 1
    assert operator.database.batches.count_documents({}) == 0
    assert operator.database.jobs.count_documents({}) == 0
    assert operator.run("import", file=CSV, filename="march.csv")["batch_id"] != made["batch_id"]


@pytest.mark.parametrize(
    "called",
    [
        {"status": "failed", "attempts": 3},
        {"status": "done", "call_id": "call_1", "last_outcome": "answered"},
        {"status": "pending", "last_outcome": "busy"},
        {"status": "in_progress", "claim_token": "t", "dial": {"key": "k", "number": "+56912345671"}},
    ],
    ids=["failed", "done", "waits for a retry", "in a call"],
)
def test_a_batch_of_which_somebody_was_called_is_not_deleted(operator: Operator, called: Document) -> None:
    batch_id = operator.run("create-batch", name="March")["batch_id"]
    operator.add_job("j1", batch_id=batch_id)
    operator.add_job("j2", batch_id=batch_id, **called)
    assert "cancel-batch" in str(operator.refusal("delete-batch", batch=batch_id))
    assert operator.batch(batch_id)["is_active"] is True
    assert operator.database.jobs.count_documents({}) == 2


def test_a_job_that_is_claimed_while_its_batch_is_deleted_is_waited_for(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March")["batch_id"]
    soon = operator.store.now() + HOUR
    operator.add_job("j1", batch_id=batch_id)
    operator.add_job("j2", batch_id=batch_id)
    operator.database.jobs.update_one(
        {"job_id": "j2"}, {"$set": {"status": "in_progress", "claim_token": "t", "reserved_until": soon}}
    )

    def put_back(progress: Any) -> None:
        if progress["state"] == "deleting":
            operator.database.jobs.update_one(
                {"job_id": "j2"},
                {"$set": {"status": "pending", "reserved_until": None}, "$unset": {"claim_token": ""}},
            )

    answer = operator.client.ask(
        "delete-batch", {"batch": batch_id}, timeout_seconds=60, on_progress=put_back
    )
    assert answer["deleted"] == 2
    assert operator.database.batches.count_documents({}) == 0


# -- filters -----------------------------------------------------------------------------------------------


def test_jobs_and_exports_are_filtered_by_account_outcome_number_and_day(operator: Operator) -> None:
    for name in ("acc-1", "acc-2"):
        operator.database.accounts.insert_one({"account_id": name, "plan_type": "unlimited"})
    batch_id = operator.run("create-batch", name="March")["batch_id"]
    days = {"j1": datetime(2026, 3, 1, 14, tzinfo=UTC), "j2": datetime(2026, 3, 2, 14, tzinfo=UTC)}
    for number, (job_id, at) in enumerate(days.items(), 1):
        outcome, account, phone = ("busy", "answered")[number - 1], f"acc-{number}", f"+5691234567{number}"
        contact = {"phones": [phone], "next_phone_index": 0}
        common = {"job_id": job_id, "batch_id": batch_id, "account_id": account, "created_at": at}
        operator.database.jobs.insert_one(
            {**common, "status": "failed", "contact": contact, "last_outcome": outcome}
        )
        operator.database.call_results.insert_one(
            {**common, "call_id": f"call_{number}", "outcome": outcome, "contact": {"phone_used": phone}}
        )

    def found(**filters: str) -> tuple[list[str], list[str]]:
        jobs = [row["job_id"] for row in operator.run("jobs", **filters)["jobs"]]
        calls = [row[1] for row in operator.run("export", **filters)["rows"]]
        return jobs, calls

    assert found(batch="March") == (["j1", "j2"], ["j1", "j2"])
    assert found(account="acc-1") == (["j1"], ["j1"])
    assert found(outcome="answered") == (["j2"], ["j2"])
    assert found(number="9 1234 5671") == (["j1"], ["j1"])
    assert found(**{"from": "2026-03-02"}) == (["j2"], ["j2"])
    assert found(to="2026-03-01") == (["j1"], ["j1"])
    assert found(batch="March", outcome="busy", to="2026-03-02") == (["j1"], ["j1"])
    assert operator.refusal("jobs", to="yesterday").code == "bad_argument"
    backwards = operator.refusal("jobs", **{"from": "2026-03-02", "to": "2026-03-01"})
    assert backwards.code == "bad_argument"
    assert "--account" in str(operator.refusal("export", what="dnc", account="acc-1"))


def test_a_day_of_a_filter_is_one_of_the_default_zone(operator: Operator) -> None:
    """In Santiago it is still the 1st when it is the 2nd in UTC."""
    operator.add_job("j1", created_at=datetime(2026, 3, 2, 1, tzinfo=UTC))
    assert len(operator.run("jobs", to="2026-03-01")["jobs"]) == 1
    assert operator.run("jobs", **{"from": "2026-03-02"})["jobs"] == []


def test_logs_are_filtered_by_batch_and_day(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="March")["batch_id"]
    operator.recorded(1)
    operator.store.logs.write("call.settled", job_id="j1", batch=batch_id)
    operator.store.logs.write("call.settled", job_id="j2", batch="another")
    assert [line["event"] for line in operator.run("logs", batch="March")["lines"]] == [
        "command",
        "call.settled",
    ]
    assert len(operator.run("logs", batch="March", commands=True)["lines"]) == 1
    assert operator.run("logs", batch="March", to="2020-01-01")["lines"] == []


def test_a_name_is_one_in_whatever_form_it_is_typed_and_no_id(operator: Operator) -> None:
    decomposed = unicodedata.normalize("NFD", "Canción ñandú")
    made = operator.run("create-batch", name=f"  {decomposed} ")
    assert operator.batch(made["batch_id"])["name"] == unicodedata.normalize("NFC", decomposed)
    for typed in ("Canción ñandú", decomposed):
        assert operator.run("batch", batch=typed)["batch_id"] == made["batch_id"]
    operator.database.batches.update_one({"batch_id": made["batch_id"]}, {"$set": {"name": decomposed}})
    assert operator.run("batch", batch=decomposed)["batch_id"] == made["batch_id"]
    for name in (made["batch_id"], made["batch_id"][:20]):
        assert "form of a batch's id" in str(operator.refusal("create-batch", name=name))


def test_a_batch_without_hours_is_created_with_a_warning(operator: Operator) -> None:
    made = operator.run("create-batch", name="no hours")
    assert "has no calling hours" in (made["warning"] or "")
    with_hours = operator.run("create-batch", name="hours", hours="09:00-19:00")
    assert "has no calling hours" not in (with_hours["warning"] or "")


# -- a start at a time -------------------------------------------------------------------------------------


def test_a_batch_starts_at_a_time_which_a_daemon_must_heed(operator: Operator) -> None:
    made = operator.run("import", file=CSV, filename="march.csv", country="CL", hours="00:00-24:00")
    batch = made["batch_id"]
    ahead = (datetime.now(UTC) + timedelta(days=40)).strftime("%Y-%m-%dT09:00")
    started = operator.run("resume-batch", batch=batch, start_at=ahead, timezone="America/Santiago")
    assert not started["first_calls"]["now"]
    assert f"{ahead[:10]} 09:00 America/Santiago" in started["first_calls"]["text"]
    level = operator.database.speechaid_holds.find_one({"_id": "level"})
    assert level is not None
    assert level["needs"] == Level.START_TIMES
    assert settings_of(operator.run("batch", batch=batch))["start_at"] == (ahead, "batch")
    (job,) = operator.run("jobs", batch=batch)["jobs"]
    why = operator.run("explain", job=job["job_id"])
    assert f"not before {ahead[:10]} 09:00" in str(why["checks"])
    assert operator.run("forecast", batch=batch)["dials"][0]["at"].startswith(ahead[:10])
    copy = operator.run("create-batch", name="copy", copy_from=batch)
    assert settings_of(operator.run("batch", batch=copy["batch_id"]))["start_at"] == (None, "default")
    operator.run("edit-batch", batch=batch, unset=["start-at"])
    assert operator.run("resume-batch", batch=batch)["first_calls"]["now"]


def test_a_start_that_is_over_starts_nothing(operator: Operator) -> None:
    made = operator.run("import", file=CSV, filename="march.csv", country="CL", hours="00:00-24:00")
    over = {"batch": made["batch_id"], "start_at": "2026-01-01T09:00"}
    operator.database.batches.update_one({}, {"$set": {"call_settings.start_at": over["start_at"]}})
    for command in ("resume-batch", "edit-batch"):
        assert "is over" in str(operator.refusal(command, **over))
    assert not operator.store.batches.get(made["batch_id"]).is_active
    new: Document = {"file": CSV, "filename": "april.csv", "country": "CL", "start_at": over["start_at"]}
    assert "is over" in str(operator.refusal("import", **new))
    assert "is over" in str(operator.refusal("create-batch", name="late", start_at=over["start_at"]))
