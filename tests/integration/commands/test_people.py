"""A person is found by id, phone or name over all batches, in jobs of speechaid and of other programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from speechaid.commands.interfaces import CommandRefused, HandlerContext
from speechaid.commands.people import find_people, the_person
from speechaid.model.job import Job
from speechaid.model.test_calls import TESTS
from speechctl.render.blocks import as_text
from speechctl.render.commands import render
from tests.integration.control.test_commands import Operator, operator, settings_for

__all__ = ["operator"]
Document = dict[str, Any]

CSV = "rut,nombre,telefono 1,telefono 2\n12.345.678-5,Ana María Rojas,+56955550071,+56955550072\n"


def context_of(operator: Operator) -> HandlerContext:
    settings = settings_for("mongodb://127.0.0.1:1", "unused")
    return HandlerContext(store=operator.store, settings=settings, in_loop=lambda call: call())


def add_job(operator: Operator, job_id: str, **fields: Any) -> None:
    operator.database.jobs.insert_one({"job_id": job_id, "status": "pending", **fields})


def found_jobs(operator: Operator, typed: str, account: str | None = None) -> list[list[str]]:
    found = find_people(context_of(operator), typed, account)
    return [sorted(job.job_id for job in person.jobs) for person in found.people]


@pytest.mark.parametrize(
    "typed",
    [
        "12345678-5",
        "123456785",
        "12.345.678-5",
        "+56 9 5555 0072",
        "955550071",
        "ana maria",
        "ANA MARÍA ROJAS",
    ],
)
def test_an_imported_person_is_found_however_the_id_the_number_or_the_name_is_typed(
    typed: str, operator: Operator
) -> None:
    operator.run("import", file=CSV, filename="march.csv", country="CL")
    (jobs,) = found_jobs(operator, typed)
    assert len(jobs) == 1


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        ("12.345.678-5", {"contact": {"dni": "12345678-5", "phones": ["+56955550071"]}}),
        ("12345678-5", {"rut": "12.345.678-5", "nombre": "Ana", "to_number": "+56955550071"}),
        ("123456785", {"rut": 123456785, "to_number": "+56955550071"}),
        ("955550071", {"to_number": "+56955550071"}),
        ("+56955550071", {"contact": {"phones": ["955550071"]}}),
        ("juan pérez", {"contact": {"name": "JUAN PÉREZ SOTO", "phones": ["+56955550071"]}}),
        ("Juan", {"nombre": "Juan Pérez", "to_number": "+56955550071"}),
    ],
)
def test_a_person_of_another_program_is_found_in_the_usual_spellings(
    typed: str, fields: Document, operator: Operator
) -> None:
    add_job(operator, "job-1", **fields)
    assert found_jobs(operator, typed) == [["job-1"]]


def test_all_jobs_of_a_person_are_found_by_any_of_the_numbers(operator: Operator) -> None:
    dni = "12345678-5"
    add_job(operator, "job-1", contact={"dni": dni, "phones": ["+56955550071"]})
    add_job(operator, "job-2", contact={"dni": "12.345.678-5", "phones": ["+56955550072"]})
    add_job(operator, "without-id", contact={"phones": ["+56955550072"]})
    add_job(operator, "of-another", contact={"dni": "11111112-K", "phones": ["+56955550073"]})
    assert found_jobs(operator, "+56955550071") == [["job-1", "job-2", "without-id"]]


def test_two_people_of_one_number_are_told_apart(operator: Operator) -> None:
    add_job(operator, "job-1", contact={"name": "Ana", "dni": "1-9", "phones": ["+56955550071"]})
    add_job(operator, "job-2", contact={"name": "Luis", "dni": "2-7", "phones": ["+56955550071"]})
    assert found_jobs(operator, "+56955550071") == [["job-1"], ["job-2"]]
    with pytest.raises(CommandRefused, match="several people") as refused:
        the_person(context_of(operator), "+56955550071")
    assert "Ana, 1-9, +569******71; Luis, 2-7" in str(refused.value)
    assert "5550071" not in str(refused.value)


def test_only_jobs_of_the_named_account_are_found(operator: Operator) -> None:
    add_job(operator, "job-1", account_id="acc-1", contact={"dni": "12345678-5", "phones": ["+56955550071"]})
    add_job(operator, "job-2", account_id="acc-2", contact={"dni": "12345678-5", "phones": ["+56955550071"]})
    assert found_jobs(operator, "12345678-5", "acc-2") == [["job-2"]]
    assert found_jobs(operator, "12345678-5") == [["job-1", "job-2"]]


def test_nobody_is_found_where_no_job_is_of_the_person(operator: Operator) -> None:
    person, found = the_person(context_of(operator), "12.345.678-5")
    assert person is None
    assert [reading.meaning for reading in found.readings] == ["national id"]


def test_what_can_be_no_person_is_refused(operator: Operator) -> None:
    with pytest.raises(CommandRefused, match="no national id, no phone and no name"):
        find_people(context_of(operator), "??")


# -- person ------------------------------------------------------------------------------------------------


def test_person_shows_jobs_calls_opt_outs_and_the_next_dial_of_all_batches(operator: Operator) -> None:
    first = operator.run("import", file=CSV, filename="march.csv", country="CL", hours="00:00-24:00")
    second = operator.run(
        "import", file=CSV, filename="april.csv", country="CL", hours="00:00-24:00", duplicates="keep"
    )
    ended, waiting = (
        operator.database.jobs.find_one({"batch_id": made["batch_id"]}) for made in (first, second)
    )
    assert ended is not None
    assert waiting is not None
    operator.database.jobs.update_one(
        {"_id": ended["_id"]}, {"$set": {"status": "done", "last_outcome": "answered", "attempts": 1}}
    )
    operator.database.call_results.insert_one(
        {
            "call_id": "call_1",
            "job_id": ended["job_id"],
            "batch_id": first["batch_id"],
            "contact": {"phone_used": "+56955550072"},
            "outcome": "answered",
            "duration_ms": 65_000,
            "created_at": operator.store.now(),
            "call_data": {"agent_id": "agent_7", "from_number": "+15005550006", "transcript": "secret"},
        }
    )
    operator.run("dnc-add", number="+56955550071", reason="asked by letter")

    answer = operator.run("person", person="12.345.678-5")
    assert answer["understood_as"] == ["national id"]
    (one,) = answer["people"]
    assert (one["name"], one["dni"], one["jobs"]) == ("Ana María Rojas", "12.345.678-5", 2)
    assert one["phones"] == ["+569******71", "+569******72"]
    assert [(row["batch_name"], row["why"]) for row in answer["jobs"]] == [
        ("march", "done: answered"),
        ("april", "pending"),
    ]
    (call,) = answer["calls"]
    assert (call["outcome"], call["phone"], call["agent"]) == ("answered", "+569******72", "agent_7")
    assert [(row["what"], "asked by letter" in row["by"]) for row in answer["opt_outs"]] == [
        ("+569******71", True)
    ]
    assert answer["next_dial"]["job_id"] == waiting["job_id"]
    assert answer["next_dial"]["sentence"] == operator.run("explain", job=waiting["job_id"])["sentence"]
    text = as_text(render("person", answer))
    assert "next dial: april" in text
    assert "opted out: +569******71, since" in text
    assert "5550072" not in str(answer)
    assert "secret" not in str(answer)


def test_a_read_of_a_person_is_recorded(operator: Operator) -> None:
    add_job(operator, "job-1", contact={"name": "Ana", "dni": "12345678-5", "phones": ["+56955550071"]})
    operator.run("person", person="12345678-5")
    (line,) = operator.recorded(1, event="read")
    assert (line["command"], line["documents"]) == ("person", 1)


def test_several_people_of_a_name_are_listed_and_nothing_else_of_them(operator: Operator) -> None:
    add_job(operator, "job-1", contact={"name": "Ana Rojas", "dni": "12345678-5", "phones": ["+56955550071"]})
    add_job(operator, "job-2", contact={"name": "Ana Ruiz", "dni": "11111112-K", "phones": ["+56955550072"]})
    answer = operator.run("person", person="ana")
    assert [one["name"] for one in answer["people"]] == ["Ana Rojas", "Ana Ruiz"]
    assert answer["jobs"] == []
    text = as_text(render("person", answer))
    assert "several people may be meant, by name: give the national id or the number of one" in text
    assert "+569******71" in text


def test_of_many_jobs_the_latest_are_shown_and_it_is_said_that_there_are_more(operator: Operator) -> None:
    contact = {"dni": "12345678-5", "phones": ["+56955550071"]}
    for day in range(1, 4):
        at = datetime(2026, 3, day, tzinfo=UTC)
        add_job(operator, f"job-{day}", contact=contact, created_at=at)
    answer = operator.run("person", person="12345678-5", limit=2)
    assert [row["job_id"] for row in answer["jobs"]] == ["job-2", "job-3"]
    assert answer["people"][0]["jobs"] == 3
    assert "there are more" in as_text(render("person", answer))


def test_of_a_person_without_a_job_the_opt_out_of_the_number_is_shown(operator: Operator) -> None:
    operator.run("dnc-add", number="+56955550071")
    answer = operator.run("person", person="955550071")
    assert (answer["people"], [row["what"] for row in answer["opt_outs"]]) == ([], ["+569******71"])
    assert "no job is of that person" in as_text(render("person", answer))


# -- opt-out -----------------------------------------------------------------------------------------------

TWO = "rut,nombre,telefono\n12.345.678-5,Ana Rojas,{}\n11.111.112-K,Luis Soto,+56955550073\n"


def test_opt_out_lists_every_number_and_the_id_and_cancels_what_waits(operator: Operator) -> None:
    contact = {"dni": "12345678-5", "name": "Ana"}
    add_job(operator, "job-1", account_id="acc-1", contact={**contact, "phones": ["+56955550071"]})
    add_job(operator, "job-2", account_id="acc-1", contact={**contact, "phones": ["+56955550072"]})
    add_job(operator, "in-call", account_id="acc-1", contact={**contact, "phones": ["+56955550074"]})
    operator.database.jobs.update_one(
        {"job_id": "in-call"},
        {"$set": {"status": "in_progress", "dial": open_dial("+56955550074")}},
    )
    add_job(operator, "other", account_id="acc-1", contact={"dni": "1-9", "phones": ["+56955550079"]})
    operator.database.accounts.insert_one({"account_id": "acc-1", "plan_type": "unlimited"})

    answer = operator.run("opt-out", person="12.345.678-5", reason="asked by letter")
    assert (answer["cancelled"], answer["in_call"], answer["was_listed"]) == (2, ["in-call"], False)
    assert answer["phones"] == ["+569******71", "+569******72", "+569******74"]
    listing = operator.store.do_not_call
    wanted = ["+56955550071", "+56955550072", "+56955550074", "+56955550079"]
    assert listing.listed(wanted) == set(wanted[:3])
    (entry,) = listing.people_entries("id:123456785")
    assert entry["account_id"] == "acc-1"
    assert entry["source"].endswith(": asked by letter")
    found = {
        row["job_id"]: (row["status"], row.get("cancel_reason")) for row in operator.database.jobs.find()
    }
    assert found == {
        "job-1": ("cancelled", "on_do_not_call_list"),
        "job-2": ("cancelled", "on_do_not_call_list"),
        "in-call": ("in_progress", None),
        "other": ("pending", None),
    }
    assert (operator.store.holds.table.find_one({"_id": "level"}) or {})["needs"] == 2
    text = as_text(render("opt-out", answer))
    assert "Ana, 12345678-5 will not be called again, on any host" in text
    assert "2 jobs cancelled of 3" in text
    assert "in a call right now, which continues: in-call" in text


def open_dial(number: str) -> Document:
    return {"key": "k1", "number": number, "intent_at": datetime(2026, 3, 2, tzinfo=UTC), "phone_index": 0}


def test_opt_out_repeated_changes_nothing_more(operator: Operator) -> None:
    add_job(operator, "job-1", contact={"dni": "12345678-5", "phones": ["+56955550071"]})
    operator.run("opt-out", person="12345678-5")
    before = list(operator.database.speechaid_do_not_call.find())
    answer = operator.run("opt-out", person="12345678-5")
    assert (answer["was_listed"], answer["cancelled"]) == (True, 0)
    assert list(operator.database.speechaid_do_not_call.find()) == before
    assert "was on the do-not-call list already" in as_text(render("opt-out", answer))


def test_a_later_import_leaves_out_who_has_opted_out_with_whatever_number(operator: Operator) -> None:
    operator.run("import", file=TWO.format("+56955550071"), filename="march.csv", hours="00:00-24:00")
    operator.run("opt-out", person="12345678-5")
    for duplicates in ("leave-out", "keep"):
        answer = operator.run(
            "import",
            file=TWO.format("+56955550088"),
            filename=f"{duplicates}.csv",
            duplicates=duplicates,
            dry_run=True,
        )
        assert answer["known"]["counts"]["opted_out"] == 1
    assert answer["would_import"] == 1
    shown = as_text(render("import", answer))
    assert "known in the account, left out: 1 on the do-not-call list as a person:" in shown
    assert "known in the account, would be imported all the same: 1 waiting for a call:" in shown
    alone = "rut,nombre,telefono\n12.345.678-5,Ana Rojas,+56955550088\n"
    refused = operator.refusal("import", file=alone, filename="alone.csv")
    assert "everybody in the file (1 person) has opted out by national id" in str(refused)


def test_explain_and_forecast_say_that_the_person_is_listed(operator: Operator) -> None:
    operator.run("opt-out", person="12.345.678-5")
    made = operator.run("create-batch", name="March", hours="00:00-24:00")
    add_job(
        operator,
        "job-1",
        batch_id=made["batch_id"],
        contact={"dni": "12345678-5", "phones": ["+56955550088"]},
    )
    checks = {row["name"]: row for row in operator.run("explain", job="job-1")["checks"]}
    assert checks["phone"]["value"] == "none of 1 may be dialled: the person is on the do-not-call list"
    forecast = operator.run("forecast", batch=made["batch_id"])
    assert forecast["dials"] == []
    assert [(row["reason"], row["jobs"]) for row in forecast["skipped"]] == [
        ("its phones are on the do-not-call list", 1)
    ]


def test_a_number_and_an_id_without_any_job_are_listed_all_the_same(operator: Operator) -> None:
    by_number = operator.run("opt-out", person="+56955550071")
    assert (by_number["known"], by_number["as_person"]) == (False, False)
    assert operator.store.do_not_call.listed(["+56955550071"])
    by_id = operator.run("opt-out", person="12.345.678-5")
    assert (by_id["known"], by_id["as_person"], by_id["remark"]) == (False, True, None)
    assert operator.run("dnc", number="12345678-5")["listed"]
    text = as_text(render("opt-out", by_number))
    assert "no job is of that person, understood as phone" in text
    assert "+569******71 is now on the do-not-call list" in text


def test_an_id_with_a_wrong_check_digit_is_listed_with_a_remark(operator: Operator) -> None:
    answer = operator.run("opt-out", person="12.345.678-4")
    assert answer["remark"] == "the check digit is not that of a RUT"
    assert "! the check digit" in as_text(render("opt-out", answer))


def test_a_name_of_several_people_opts_nobody_out(operator: Operator) -> None:
    add_job(operator, "job-1", contact={"name": "Ana Rojas", "dni": "12345678-5", "phones": ["+56955550071"]})
    add_job(operator, "job-2", contact={"name": "Ana Ruiz", "dni": "11111112-K", "phones": ["+56955550072"]})
    refused = operator.refusal("opt-out", person="ana")
    assert refused.code == "ambiguous_id"
    assert "Ana Rojas, 12345678-5, +569******71; Ana Ruiz" in str(refused)
    assert operator.refusal("opt-out", person="Pedro").code == "not_found"
    assert operator.run("dnc")["listed_numbers"] == 0
    assert {row["status"] for row in operator.database.jobs.find()} == {"pending"}


def test_a_person_is_taken_off_the_list_with_the_numbers_that_came_with_it(operator: Operator) -> None:
    add_job(operator, "job-1", contact={"dni": "12345678-5", "phones": ["+56955550071", "+56955550072"]})
    operator.run("dnc-add", number="+56955550072", reason="before")
    operator.run("opt-out", person="12345678-5")
    shown = operator.run("dnc", number="12.345.678-5")
    assert (shown["listed"], shown["numbers"]) == (True, ["+569******71"])
    assert "12.345.678-5 is on the list since" in as_text(render("dnc", shown))
    removed = operator.run("dnc-remove", number="123456785")
    assert (removed["was_listed"], removed["numbers"]) == (True, ["+569******71"])
    assert operator.store.do_not_call.listed(["+56955550071", "+56955550072"]) == {"+56955550072"}
    assert operator.store.do_not_call.people_size() == 0


def test_a_number_that_was_taken_off_by_itself_is_not_shown_with_the_person(operator: Operator) -> None:
    add_job(operator, "job-1", contact={"dni": "12345678-5", "phones": ["+56955550071", "+56955550072"]})
    operator.run("opt-out", person="12345678-5")
    operator.run("dnc-remove", number="+56955550071")
    assert operator.run("dnc", number="12345678-5")["numbers"] == ["+569******72"]
    operator.run("dnc-add", number="+56955550071")
    assert operator.run("dnc", number="12345678-5")["numbers"] == ["+569******72"]


def test_a_number_of_two_people_stays_listed_until_both_are_taken_off(operator: Operator) -> None:
    number = "+56955550071"
    add_job(operator, "job-1", contact={"dni": "12345678-5", "phones": [number]})
    add_job(operator, "job-2", contact={"dni": "11111112-K", "phones": [number]})
    for dni in ("12345678-5", "11111112-K"):
        operator.run("opt-out", person=dni)
    first = operator.run("dnc-remove", number="12345678-5")
    assert (first["numbers"], first["kept"]) == (
        [],
        [{"number": "+569******71", "listed_for": "another person"}],
    )
    assert "+569******71 stays on the list: another person" in as_text(render("dnc-remove", first))
    assert operator.store.do_not_call.listed([number])
    assert operator.run("dnc-remove", number="11111112-K")["numbers"] == ["+569******71"]
    assert not operator.store.do_not_call.listed([number])


@pytest.mark.parametrize("command", ["dnc-add", "dnc-import"])
def test_a_number_of_a_person_that_is_listed_for_itself_later_stays(operator: Operator, command: str) -> None:
    number = "+56955550071"
    add_job(operator, "job-1", contact={"dni": "12345678-5", "phones": [number]})
    operator.run("opt-out", person="12345678-5")
    if command == "dnc-add":
        operator.run("dnc-add", number=number)
    else:
        assert operator.store.do_not_call.add_many([number], source="file") == 0
    removed = operator.run("dnc-remove", number="12345678-5")
    assert removed["kept"] == [{"number": "+569******71", "listed_for": "itself"}]
    assert operator.store.do_not_call.listed([number])


@pytest.mark.parametrize("named", [True, False])
def test_an_entry_of_an_earlier_version_is_of_the_person_that_names_it(
    operator: Operator, named: bool
) -> None:
    number, listing = "+56955550071", operator.store.do_not_call
    listing.table.insert({"_id": number, "source": "an earlier version"})
    listing.add_person(None, "id:123456785", source="an earlier version")
    if named:
        listing.table.update({"_id": "person:id:123456785:"}, {"$set": {"numbers": [number]}})
    add_job(operator, "job-1", contact={"dni": "12345678-5", "phones": [number]})
    add_job(operator, "job-2", contact={"dni": "11111112-K", "phones": [number]})
    operator.run("opt-out", person="12345678-5")
    operator.run("opt-out", person="11111112-K")
    operator.run("dnc-remove", number="12345678-5")
    assert listing.listed([number])
    operator.run("dnc-remove", number="11111112-K")
    assert bool(listing.listed([number])) is not named


def test_an_opt_out_of_one_account_is_none_of_another(operator: Operator) -> None:
    for name in ("acc-1", "acc-2"):
        operator.database.accounts.insert_one({"account_id": name, "plan_type": "unlimited"})
        add_job(
            operator,
            f"job-{name}",
            account_id=name,
            contact={"dni": "12345678-5", "phones": [f"+5695555007{name[-1]}"]},
        )
    operator.run("opt-out", person="12345678-5", account="acc-1")
    found = {row["job_id"]: row["status"] for row in operator.database.jobs.find()}
    assert found == {"job-acc-1": "cancelled", "job-acc-2": "pending"}
    (entry,) = operator.store.do_not_call.people_entries("id:123456785")
    assert entry["account_id"] == "acc-1"


def test_doctor_finds_no_fault_in_the_entry_of_a_person(operator: Operator) -> None:
    operator.run("opt-out", person="12.345.678-5")
    assert operator.store.do_not_call.other_forms(9) == []
    assert operator.store.do_not_call.size() == 0


# -- paid --------------------------------------------------------------------------------------------------

PAYER = {"dni": "12345678-5", "name": "Ana Rojas", "phones": ["+56955550071"]}


def add_payer(operator: Operator) -> None:
    """One person with a job that has ended, one in a call and two that wait, the latest last."""
    states: dict[str, Document] = {
        "ended": {"status": "done"},
        "in-call": {"status": "in_progress", "claim_token": "t", "dial": open_dial("+56955550071")},
        "suspended": {"status": "suspended"},
        "latest": {"payload": {"debt_amount": 1000, "currency": "CLP"}},
    }
    for day, (job_id, fields) in enumerate(states.items(), 1):
        created_at = datetime(2026, 3, day, tzinfo=UTC)
        add_job(operator, job_id, **{"contact": PAYER, "created_at": created_at, **fields})


def test_paid_cancels_what_waits_and_records_the_payment_on_every_job(operator: Operator) -> None:
    add_payer(operator)
    add_job(operator, "other", contact={"dni": "1-9", "phones": ["+56955550079"]})
    answer = operator.run("paid", person="12.345.678-5", amount=900.5, note="by transfer")
    assert (answer["cancelled"], answer["in_call"], answer["ended"]) == (2, ["in-call"], 1)
    assert (answer["recorded"], answer["amounts"]) == (4, 1)
    found = {row["job_id"]: row for row in operator.database.jobs.find()}
    assert {name: (row["status"], row.get("cancel_reason")) for name, row in found.items()} == {
        "ended": ("done", None),
        "in-call": ("in_progress", None),
        "suspended": ("cancelled", "paid"),
        "latest": ("cancelled", "paid"),
        "other": ("pending", None),
    }
    assert found["in-call"]["request"]["reason"] == "paid"
    paid = found["latest"]["paid"]
    assert (paid["amount"], paid["currency"], paid["note"]) == (900.5, "CLP", "by transfer")
    assert isinstance(paid["at"], datetime)
    assert "amount" not in found["ended"]["paid"]
    assert "paid" not in found["other"]
    text = as_text(render("paid", answer))
    assert "Ana Rojas, 12345678-5 recorded as paid" in text
    assert "2 waiting jobs cancelled, 1 had ended" in text
    shown = operator.run("person", person="12.345.678-5")
    assert "cancelled: paid; paid 900.5 CLP" in as_text(render("person", shown))


def test_paid_repeated_counts_no_amount_twice(operator: Operator) -> None:
    add_payer(operator)
    operator.run("paid", person="12.345.678-5", amount=900)
    before = {row["job_id"]: row["paid"] for row in operator.database.jobs.find()}
    answer = operator.run("paid", person="12.345.678-5", amount=900)
    assert (answer["cancelled"], answer["recorded"], answer["recorded_before"]) == (0, 0, 4)
    assert (answer["amounts"], answer["amounts_known"]) == (0, 1)
    assert {row["job_id"]: row["paid"] for row in operator.database.jobs.find()} == before
    assert "was recorded as paid before" in as_text(render("paid", answer))


def test_another_amount_is_not_recorded_and_correct_replaces_it_once(operator: Operator) -> None:
    add_payer(operator)
    operator.run("paid", person="12.345.678-5", amount=900, note="by transfer")
    answer = operator.run("paid", person="12.345.678-5", amount=9000)
    assert (answer["amounts"], answer["amounts_known"], answer["amounts_different"]) == (0, 0, 1)
    said = "another amount is recorded, and stays; --correct replaces it:\n  900 CLP -> 9,000 CLP (latest)"
    assert said in as_text(render("paid", answer))
    would = operator.run("paid", person="12.345.678-5", amount=9000, correct=True, dry_run=True)
    assert "amount would be corrected: 900 CLP -> 9,000 CLP" in as_text(render("paid", would))
    job = operator.database.jobs.find_one({"job_id": "latest"})
    assert job is not None
    assert job["paid"]["amount"] == 900

    # A job of a later batch changes nothing: the amount is corrected where it stands.
    add_job(operator, "later", contact=PAYER, created_at=datetime(2026, 3, 9, tzinfo=UTC))
    for corrected in (1, 0):
        answer = operator.run("paid", person="12.345.678-5", amount=9000, correct=True)
        assert (answer["amounts_corrected"], answer["amounts_known"]) == (corrected, 1 - corrected)
    amounts = [row["paid"]["amount"] for row in operator.database.jobs.find({"paid.amount": {"$ne": None}})]
    assert amounts == [9000]
    recorded = [line for line in operator.recorded(5) if line.get("changes")]
    assert [(row["old"], row["new"]) for line in recorded for row in line["changes"]] == [(900, 9000)]
    shown = as_text(render("person", operator.run("person", person="12.345.678-5")))
    assert "paid 9,000 CLP, recorded " in shown
    assert ": by transfer" in shown
    assert ": 900 CLP -> 9,000 CLP" in shown
    assert ": 900 CLP -> 9,000 CLP" in as_text(render("job", operator.run("job", job="latest")))
    assert "give the right amount" in str(operator.refusal("paid", person="12.345.678-5", correct=True))


def test_a_correction_of_an_amount_that_changed_meanwhile_replaces_nothing(operator: Operator) -> None:
    add_payer(operator)
    operator.run("paid", person="12.345.678-5", amount=900)
    job = Job.read(operator.database.jobs.find_one({"job_id": "latest"}) or {})
    correct = operator.store.operator_actions.correct_paid_amount
    assert correct(job, 1000, "CLP", by="maria") is not None
    assert correct(job, 2000, "CLP", by="luis") is None
    assert (operator.database.jobs.find_one({"job_id": "latest"}) or {})["paid"]["amount"] == 1000


def test_a_payment_is_exported_with_the_job(operator: Operator) -> None:
    add_payer(operator)
    operator.run("paid", person="12.345.678-5", amount=900, note="by transfer")
    page = operator.run("export", what="jobs")
    rows = {row[0]: dict(zip(page["columns"], row, strict=True)) for row in page["rows"]}
    paid = [rows["latest"][name] for name in ("paid_amount", "paid_currency", "paid_note")]
    assert paid == [900, "CLP", "by transfer"]
    assert (rows["ended"]["paid_amount"], rows["ended"]["paid_at"][:2]) == (None, "20")


def test_a_repeated_command_completes_one_that_broke_off_before_the_amount(operator: Operator) -> None:
    add_payer(operator)
    operator.run("paid", person="12.345.678-5")
    answer = operator.run("paid", person="12.345.678-5", amount=900)
    assert answer["amounts"] == 1
    amounts = [row["paid"].get("amount") for row in operator.database.jobs.find().sort("created_at", 1)]
    assert amounts == [None, None, None, 900]


def test_a_dry_run_of_paid_changes_nothing(operator: Operator) -> None:
    add_payer(operator)
    before = list(operator.database.jobs.find())
    answer = operator.run("paid", person="12.345.678-5", amount=900, dry_run=True)
    assert (answer["cancelled"], answer["in_call"], answer["amounts"]) == (2, ["in-call"], 1)
    assert list(operator.database.jobs.find()) == before
    assert "2 waiting jobs would be cancelled" in as_text(render("paid", answer))


def test_a_file_of_payers_is_recorded_and_its_ids_without_a_job_are_named(operator: Operator) -> None:
    add_payer(operator)
    file = "RUT;Monto pagado\n12.345.678-5;$ 1.234\n11.111.112-K;\nno sabe;5\n12345678-5;9\n"
    answer = run_with_file(operator, file, amount_column="Monto pagado", dry_run=True)
    assert (answer["cancelled"], answer["dry_run"]) == (2, True)
    answer = run_with_file(operator, file, amount_column="Monto pagado")
    assert (answer["people"], answer["cancelled"], answer["amounts"]) == (1, 2, 1)
    assert answer["not_found"] == [{"line": 3, "dni": "11.111.112-K"}]
    assert answer["bad_rows"] == [
        {"line": 4, "reason": "that is no national id"},
        {"line": 5, "reason": "the same id as line 2"},
    ]
    latest = operator.database.jobs.find_one({"job_id": "latest"})
    assert latest is not None
    assert (latest["paid"]["amount"], latest["paid"]["currency"]) == (1234, "CLP")
    text = as_text(render("paid", answer))
    assert "payers.csv: 1 person recorded as paid" in text
    assert "line 3: 11.111.112-K" in text


def run_with_file(operator: Operator, content: str, **args: Any) -> Document:
    return operator.client.ask(
        "paid", {"file": "payers.csv", **args}, attachment=content.encode(), timeout_seconds=60
    )


def test_who_has_jobs_of_several_accounts_has_paid_one_of_them(operator: Operator) -> None:
    for name in ("acc-1", "acc-2"):
        operator.database.accounts.insert_one({"account_id": name, "plan_type": "unlimited"})
        add_job(operator, f"job-{name}", account_id=name, contact=PAYER)
    refused = operator.refusal("paid", person="12345678-5")
    assert (refused.code, "acc-1, acc-2" in str(refused)) == ("ambiguous_id", True)
    of_file = run_with_file(operator, "12345678-5\n")
    assert "several accounts" in of_file["bad_rows"][0]["reason"]
    assert operator.run("paid", person="12345678-5", account="acc-2")["cancelled"] == 1
    found = {row["job_id"]: row["status"] for row in operator.database.jobs.find()}
    assert found == {"job-acc-1": "pending", "job-acc-2": "cancelled"}


def test_paid_takes_a_person_or_a_file(operator: Operator) -> None:
    assert "either a person or --file" in str(operator.refusal("paid"))
    assert operator.refusal("paid", person="12.345.678-5").code == "not_found"


def test_a_failed_job_of_who_paid_is_neither_reset_nor_called_again(operator: Operator) -> None:
    made = operator.run("create-batch", name="March", hours="00:00-24:00")
    add_job(
        operator,
        "job-1",
        status="failed",
        batch_id=made["batch_id"],
        attempts=3,
        last_outcome="no_answer",
        contact=PAYER,
        updated_at=operator.store.now(),
    )
    operator.run("paid", person="12345678-5")
    assert operator.run("reset-jobs", status="failed", max_age_hours=24)["reset"] == 0
    refused = operator.refusal("redial-batch", batch="March", outcomes="no-answer")
    assert "1 paid" in str(refused)


def test_a_test_call_is_nobody_s_job(operator: Operator) -> None:
    add_job(operator, "test-1", batch_id=TESTS, contact={"phones": ["+56955550071"]})
    assert found_jobs(operator, "+56955550071") == []
    operator.run("opt-out", person="+56955550071")
    assert (operator.database.jobs.find_one({"job_id": "test-1"}) or {})["status"] == "pending"


# -- by a job, and a call of it ----------------------------------------------------------------------------


def test_a_person_without_an_id_is_named_by_a_job(operator: Operator) -> None:
    contact = {"name": "Ana", "phones": ["+56955550071"]}
    add_job(operator, "job-1", account_id="acc-1", contact=contact)
    add_job(operator, "job-2", account_id="acc-1", contact=contact)
    add_job(operator, "job-3", account_id="acc-2", contact={"phones": ["+56955550079"]})
    assert found_jobs(operator, "job:job-1") == [["job-1", "job-2"]]
    assert operator.run("paid", person="job:job-1", amount=20)["people"] == 1
    assert operator.run("opt-out", person="job:job-1")["phones"] == ["+569******71"]
    assert operator.store.do_not_call.listed(["+56955550071", "+56955550079"]) == {"+56955550071"}
    assert operator.refusal("opt-out", person="job:job-9").code == "not_found"
    with pytest.raises(CommandRefused, match="there is no job"):
        find_people(context_of(operator), "job:job-3", "acc-1")


def add_call(operator: Operator, call_id: str, **fields: Any) -> None:
    operator.database.call_results.insert_one(
        {
            "call_id": call_id,
            "job_id": "job-1",
            "batch_id": "batch-1",
            "account_id": "acc-1",
            "created_at": operator.store.now(),
            "contact": {"name": "Ana", "phone_used": "+56955550071"},
            "promised": {"day": "mañana", "amount": "45000", "currency": "CLP"},
            "call_data": {
                "transcript": "Agent: Buenas tardes",
                "recording_url": "https://retell.example/r.wav",
                "retell_llm_dynamic_variables": {"nombre": "Ana"},
                "collected_dynamic_variables": {"fecha_pago_cliente": "mañana"},
            },
            **fields,
        }
    )


def test_a_call_is_shown_with_what_was_said_and_recorded_among_the_reads(operator: Operator) -> None:
    add_call(operator, "call-1", outcome="answered")
    call = operator.run("call", call="call-1")
    assert (call["job_id"], call["name"], call["phone"]) == ("job-1", "Ana", "+569******71")
    assert (call["transcript"], call["recording"]) == ("Agent: Buenas tardes", True)
    assert call["promised"] == {"day": "mañana", "amount": "45000", "currency": "CLP"}
    assert call["variables"] == [
        {"name": "nombre", "sent": "Ana", "collected": None},
        {"name": "fecha_pago_cliente", "sent": None, "collected": "mañana"},
    ]
    assert "retell.example" not in str(call)  # the address expires, and is asked for at the click
    assert call["agent_version"] is None  # what another program did not store
    (line,) = operator.recorded(1, event="read")
    assert (line["command"], line["documents"]) == ("call", 1)
    assert operator.refusal("call", call="call-9").code == "not_found"


def test_of_a_call_that_was_erased_nothing_is_shown_or_asked_for(operator: Operator) -> None:
    erased = {"at": operator.store.now(), "by": "retention", "what": "calls"}
    add_call(operator, "call-1", erased=erased, call_data={})
    call = operator.run("call", call="call-1")
    assert (call["name"], call["promised"], call["recording"], call["variables"]) == (None, None, False, [])
    assert call["erased"]["text"]
    assert "erased" in str(operator.refusal("recording", call="call-1"))
