"""Imports: they wait for their start, leave out who is known, and can be taken back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from xlsxwriter import Workbook

from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.protocol.client import Client, Refused
from speechaid.store.connection import connect
from speechctl.cli import main
from speechctl.render.blocks import as_text
from speechctl.render.commands import render
from tests.integration.control.test_commands import Operator, settings_for
from tests.support.fakes import served

Document = dict[str, Any]

CSV = """nombre,rut,telefono,telefono_2,referencia
Ana Rojas,,+56955550071,+56955550072,A-1
Eva Diaz,,+56955550073,,A-2
"""
ALWAYS: Document = {"hours": "00:00-24:00", "start": True}


@pytest.fixture
def operator(tmp_path: Path, database: Database[Document], database_uri: str) -> Iterator[Operator]:
    settings = settings_for(database_uri, database.name)
    database_thread = DatabaseThread(connect(settings.database), settings)
    store = connect(settings.database)
    store.prepare()
    path = tmp_path / "control.sock"
    with served(path, database_thread) as service, Client(path) as client:
        yield Operator(client, service, store, database)
    database_thread.close()
    store.close()


def jobs_of(operator: Operator, batch_id: str) -> list[Document]:
    return list(operator.database.jobs.find({"batch_id": batch_id}).sort("contact.name", 1))


def imported(operator: Operator, file: str = CSV, **args: Any) -> str:
    return str(operator.run("import", file=file, filename="march.csv", **args)["batch_id"])


# -- before the first call ---------------------------------------------------------------------------------


def test_a_new_batch_waits_until_it_is_resumed(operator: Operator) -> None:
    answer = operator.run("import", file=CSV, filename="march.csv", hours="00:00-24:00")
    assert (answer["active"], answer["waits_for_start"]) == (False, True)
    first = answer["first_calls"]
    assert (first["people"], first["phones"]) == (2, 3)
    assert first["text"] == "first calls now, 2 people, 3 phones"
    resumed = operator.run("resume-batch", batch=answer["batch_id"])
    assert resumed["first_calls"]["text"] == "first calls now, 2 people, 3 phones"
    assert operator.batch(answer["batch_id"])["is_active"] is True


@pytest.mark.parametrize(
    ("account", "said"),
    [
        (
            {"status": "suspended"},
            "no calls: account: status suspended (edit-account acc-1 --status active); ",
        ),
        (
            {"plan_type": "minutes_based", "minutes_remaining": 0},
            "no calls: balance: 0 minutes left (top-up acc-1); 2 people, 3 phones wait",
        ),
        ({"daily_call_limit": 1, "calls_today": 1}, "; daily limit: 1 of 1 calls"),
    ],
)
def test_first_calls_wait_for_the_account(operator: Operator, account: Document, said: str) -> None:
    known = {"account_id": "acc-1", "status": "active", "plan_type": "unlimited"}
    operator.database.accounts.insert_one(known | account)
    batch_id = imported(operator, account="acc-1", **ALWAYS)
    first = operator.run("resume-batch", batch=batch_id)["first_calls"]
    assert said in first["text"]
    assert "first calls now" not in first["text"]
    assert first["now"] is False
    shown = operator.run("batch", batch=batch_id)["first_calls"]
    assert shown["text"] == first["text"]


def test_first_calls_wait_for_a_hold(operator: Operator) -> None:
    batch_id = imported(operator, **ALWAYS)
    operator.store.holds.hold(by="maria", reason="fire drill")
    first = operator.run("resume-batch", batch=batch_id)["first_calls"]
    assert first["text"].startswith("no calls: hold: fleet: fire drill (unhold")
    assert (first["at"], first["now"]) == (None, False)


def test_first_calls_leave_out_who_has_opted_out(operator: Operator) -> None:
    """Of three people one has opted out by all phones, one by national id, one by one of two phones."""
    file = (
        "nombre,rut,telefono,celular\nAna,,+56955550071,+56955550072\n"
        "Eva,11.111.111-1,+56955550073,\nLuis,,+56955550074,+56955550075\n"
    )
    operator.store.do_not_call.add_many(["+56955550071", "+56955550072", "+56955550074"], source="asked")
    answer = operator.run("import", file=file, filename="march.csv", accept="unassigned", **ALWAYS)
    first = answer["first_calls"]
    assert (first["people"], first["phones"], first["opted_out"]) == (2, 2, 1)
    assert first["text"] == "first calls now, 2 people, 2 phones (1 more has opted out)"
    operator.store.do_not_call.add_person(None, "id:111111111", source="asked")
    first = operator.run("resume-batch", batch=answer["batch_id"])["first_calls"]
    assert (first["people"], first["phones"], first["opted_out"]) == (1, 1, 2)


def test_contacts_added_to_an_active_batch_are_not_called_before_resume_batch(operator: Operator) -> None:
    batch_id = imported(operator, **ALWAYS)
    set_aside = operator.database.jobs.find_one({"batch_id": batch_id})
    assert set_aside is not None
    operator.run("suspend-job", job=set_aside["job_id"])
    more = CSV + "Rosa Paz,,+56955550079,,A-3\n"
    answer = operator.run("import", file=more, filename="more.csv", batch=batch_id)
    assert (answer["imported"], answer["already_there"], answer["active"]) == (1, 2, True)
    rosa = operator.database.jobs.find_one({"contact.name": "Rosa Paz"})
    assert rosa is not None
    assert (rosa["status"], rosa["suspend_reason"]) == ("suspended", "not_started")
    explained = operator.run("explain", job=rosa["job_id"])
    assert any("resume-batch" in str(check["value"]) for check in explained["checks"])

    assert operator.run("resume-batch", batch=batch_id)["started"] == 1
    rosa = operator.database.jobs.find_one({"contact.name": "Rosa Paz"})
    assert rosa is not None
    assert rosa["status"] == "pending"
    assert "suspend_reason" not in rosa
    still = operator.database.jobs.find_one({"job_id": set_aside["job_id"]})
    assert still is not None
    assert (still["status"], still["suspend_reason"]) == ("suspended", "operator")


def test_contacts_added_to_a_batch_of_pause_all_stay_behind_when_all_are_resumed(operator: Operator) -> None:
    batch_id = imported(operator, **ALWAYS)
    operator.run("pause-all")
    more = "nombre,telefono\nRosa Paz,+56955550079\n"
    operator.run("import", file=more, filename="more.csv", batch=batch_id)
    operator.run("resume-all")
    rosa = operator.database.jobs.find_one({"contact.name": "Rosa Paz"})
    assert rosa is not None
    assert rosa["status"] == "suspended"


def test_start_begins_at_once_in_a_new_batch_and_in_an_active_one(operator: Operator) -> None:
    answer = operator.run("import", file=CSV, filename="march.csv", **ALWAYS)
    assert (answer["active"], answer["waits_for_start"]) == (True, False)
    more = "nombre,telefono\nRosa Paz,+56955550079\n"
    operator.run("import", file=more, filename="more.csv", batch=answer["batch_id"], start=True)
    assert {job["status"] for job in jobs_of(operator, answer["batch_id"])} == {"pending"}


def test_a_batch_without_calling_hours_does_not_start(operator: Operator) -> None:
    refused = operator.refusal("import", file=CSV, filename="march.csv", start=True)
    assert "--hours 09:00-19:00" in str(refused)
    assert operator.database.batches.count_documents({}) == 0
    answer = operator.run("import", file=CSV, filename="march.csv")
    batch_id = answer["batch_id"]
    assert answer["first_calls"]["text"].startswith("it has no calling hours yet")
    refused = operator.refusal("resume-batch", batch=batch_id)
    assert f"resume-batch {batch_id} --hours" in str(refused)
    assert operator.batch(batch_id)["is_active"] is False
    operator.run("resume-batch", batch=batch_id, hours="09:00-19:00", days="1-5", timezone="America/Lima")
    batch = operator.batch(batch_id)
    assert batch["is_active"] is True
    assert batch["call_settings"]["allowed_hours"] == {"start": "09:00", "end": "19:00"}
    assert batch["call_settings"]["timezone"] == "America/Lima"


def test_an_import_does_not_start_a_batch_that_was_paused_for_a_cause(operator: Operator) -> None:
    batch_id = imported(operator, **ALWAYS)
    operator.run("pause-batch", batch=batch_id, reason="wrong amounts")
    more = "nombre,telefono\nRosa Paz,+56955550079\n"
    refused = operator.refusal("import", file=more, filename="more.csv", batch=batch_id, start=True)
    assert "wrong amounts; leave out --start" in str(refused)
    assert operator.batch(batch_id)["is_active"] is False
    waits = operator.run("create-batch", name="April", paused=True, hours="00:00-24:00")["batch_id"]
    operator.run("import", file=more, filename="more.csv", batch=waits, start=True)
    assert operator.batch(waits)["is_active"] is True


def test_a_file_of_which_nobody_came_in_may_come_again(operator: Operator) -> None:
    imported(operator)
    other = operator.run("create-batch", name="April")["batch_id"]
    file = CSV + "\n"
    answer = operator.run("import", file=file, filename="march.csv", batch=other)
    assert (answer["imported"], answer["left_out"]) == (0, 2)
    operator.run("cancel-batch", batch=imported(operator, "telefono\n955550088\n"))
    shown = operator.run("import", file=file, filename="march.csv", dry_run=True)
    assert shown["same_file"] is None


def test_a_batch_of_another_program_starts_with_the_hours_that_it_has(operator: Operator) -> None:
    operator.database.batches.insert_one({"batch_id": "batch-1", "is_active": False})
    assert operator.run("resume-batch", batch="batch-1")["was_active"] is False
    assert operator.batch("batch-1")["is_active"] is True


# -- who is known already ----------------------------------------------------------------------------------


def test_the_same_file_again_is_refused_and_its_batch_named(operator: Operator) -> None:
    batch_id = imported(operator)
    refused = operator.refusal("import", file=CSV, filename="copy.csv")
    assert f"the same file is in batch {batch_id} already" in str(refused)
    shown = operator.run("import", file=CSV, filename="copy.csv", dry_run=True)
    assert shown["same_file"]["batch_id"] == batch_id
    assert (shown["would_import"], shown["left_out"]) == (0, 2)
    again = operator.run("import", file=CSV, filename="copy.csv", duplicates="keep")
    assert again["imported"] == 2


def test_the_same_file_may_come_again_when_its_batch_was_cancelled(operator: Operator) -> None:
    operator.run("cancel-batch", batch=imported(operator))
    assert operator.run("import", file=CSV, filename="march.csv")["imported"] == 2


def test_people_who_wait_are_left_out_of_another_file_and_named(operator: Operator) -> None:
    batch_id = imported(operator)
    other = "nombre,telefono\nAna R.,9 5555 0072\nRosa Paz,+56955550079\n"
    answer = operator.run("import", file=other, filename="april.csv")
    assert (answer["imported"], answer["left_out"]) == (1, 1)
    (known,) = answer["known"]["people"]
    assert (known["line"], known["state"], known["batch_id"]) == (2, "waiting", batch_id)


def test_a_number_of_three_people_of_the_account_is_not_called_again(operator: Operator) -> None:
    rows = "12345678-5;Ana;{0};A-1\n9876543-3;Eva;{0};A-2\n"
    titles = "rut;nombre;telefono;referencia\n"
    imported(operator, file=titles + rows.format("+56955550071"))
    third = "11222333-9;Luz;+56955550071 / +56955550079;A-3\n15666777-1;Mar;+56955550071;A-4\n"
    answer = operator.run("import", file=titles + third, filename="april.csv")
    assert (answer["imported"], answer["left_out"], answer["known"]["counts"]) == (1, 1, {"shared": 1})
    (luz,) = jobs_of(operator, answer["batch_id"])
    assert (luz["contact"]["phones"], luz["to_number"]) == (["+56955550079"], "+56955550079")
    assert "line:+56955550071" not in luz["person_keys"]
    kept = operator.run("import", file=titles + third, filename="may.csv", accept="shared", duplicates="keep")
    assert kept["imported"] == 2


def test_one_person_with_several_jobs_does_not_share_a_number(operator: Operator) -> None:
    titles = "nombre;telefono;referencia\n"
    rows = "Ana;+56955550071;A-1\nAna;+56955550071;A-2\nAna;+56955550071;A-3\n"
    batch_id = imported(operator, file=titles + rows)
    answer = operator.run(
        "import", file=titles + "Ana;+56955550071;A-4\n", filename="more.csv", batch=batch_id
    )
    assert (answer["imported"], answer["known"]["counts"]) == (1, {})


def test_people_who_are_not_to_be_called_are_left_out_and_counted(operator: Operator) -> None:
    file = "nombre,telefono,Do Not Call\nAna,+56955550071,yes\nEva,+56955550073,no\n"
    answer = operator.run("import", file=file, filename="crm.csv")
    assert (answer["imported"], answer["bad_rows_count"]) == (1, 0)
    (kind,) = answer["remarks_by_kind"]
    assert (kind["kind"], kind["count"], kind["line"]) == ("do-not-call", 1, 2)
    with pytest.raises(Refused, match="every row is left out"):
        operator.run("import", file=file.partition("Eva")[0], filename="crm2.csv")


def test_the_order_of_dates_is_decided_by_the_whole_file_and_remembered(operator: Operator) -> None:
    file = "nombre,telefono,Due Date\n"
    file += "".join(f"P{number},+5695555{number:04},05/06/2027\n" for number in range(1000, 1700))
    file += "Last,+56955559999,12/31/2026\n"
    batch_id = imported(operator, file=file)
    days = {job["payload"]["due_date"] for job in operator.database.jobs.find({"batch_id": batch_id})}
    assert days == {"2027-05-06", "2026-12-31"}
    few = "nombre,telefono,Due Date\nAna,+56955550071,05/06/2027\n"
    first = operator.run("import", file=few, filename="a.csv", map=["Due Date=due-date:mdy"])
    assert jobs_of(operator, first["batch_id"])[0]["payload"]["due_date"] == "2027-05-06"
    again = operator.run("import", file=few.replace("71", "72"), filename="b.csv")
    assert again["kept_mapping"] == {"Due Date": "due-date:mdy"}
    assert jobs_of(operator, again["batch_id"])[0]["payload"]["due_date"] == "2027-05-06"


def test_a_file_of_known_people_alone_leaves_no_empty_batch(operator: Operator) -> None:
    imported(operator)
    refused = operator.refusal("import", file="telefono\n955550073\n", filename="april.csv")
    assert "everybody in the file (1 person) is in the account already (1 waiting" in str(refused)
    assert operator.database.batches.count_documents({}) == 1
    assert operator.database.speechaid_imports.count_documents({}) == 1


@pytest.mark.parametrize(
    ("fields", "days_ago", "state"),
    [
        ({"status": "done", "last_outcome": "answered"}, 2, "reached"),
        ({"status": "completed"}, 2, "reached"),
        ({"status": "failed", "last_outcome": "no_answer"}, 2, "called"),
        ({"status": "failed", "last_outcome": "no_answer"}, 30, None),
        ({"status": "done", "last_outcome": "answered"}, 30, None),
        ({"status": "cancelled"}, 0, None),
        ({"status": "suspended", "suspend_reason": "no_credit"}, 30, "waiting"),
    ],
)
def test_jobs_of_other_programs_count_as_well(
    operator: Operator, fields: Document, days_ago: int, state: str | None
) -> None:
    at = operator.store.now() - timedelta(days=days_ago)
    contact = {"name": "Ana", "phones": ["09 5555 0071"], "next_phone_index": 0}
    job = {"job_id": "old", "batch_id": "batch-old", "contact": contact, "updated_at": at, **fields}
    operator.database.jobs.insert_one(job)
    answer = operator.run("import", file=CSV, filename="march.csv", dry_run=True)
    assert answer["known"]["counts"] == ({} if state is None else {state: 1})


def test_who_has_paid_lately_is_left_out_and_named_unless_it_is_kept(operator: Operator) -> None:
    file = "nombre,rut,telefono\nAna Rojas,12345678-5,+56955550071\nEva Diaz,,+56955550073\n"
    batch_id = imported(operator, file)
    operator.run("paid", person="12345678-5")
    again = "nombre,rut,telefono\nAna Rojas,12345678-5,+56955550071\nRosa Paz,,+56955550079\n"
    answer = operator.run("import", file=again, filename="april.csv", dry_run=True)
    assert (answer["would_import"], answer["left_out"], answer["known"]["counts"]) == (1, 1, {"paid": 1})
    (known,) = answer["known"]["people"]
    assert (known["line"], known["state"], known["batch_id"]) == (2, "paid", batch_id)
    assert "1 paid lately" in as_text(render("import", answer))
    kept = operator.run("import", file=again, filename="april.csv", duplicates="keep", dry_run=True)
    assert (kept["would_import"], kept["known"]["counts"]) == (2, {"paid": 1})
    earlier = operator.store.now() - timedelta(days=30)
    operator.database.jobs.update_many({"paid": {"$exists": True}}, {"$set": {"paid.at": earlier}})
    assert operator.run("import", file=again, filename="april.csv", dry_run=True)["known"]["counts"] == {}


def test_two_people_with_different_ids_may_share_a_phone(operator: Operator) -> None:
    imported(operator, "nombre,rut,telefono\nAna,12.345.678-5,+56955550071\n")
    other = "nombre,rut,telefono\nLuis,11.111.111-1,+56955550071\nAna,12345678-5,+56955550099\n"
    answer = operator.run("import", file=other, filename="april.csv", dry_run=True)
    assert [person["line"] for person in answer["known"]["people"]] == [3]


def test_people_of_another_account_are_not_compared(operator: Operator) -> None:
    operator.database.accounts.insert_many([{"account_id": "acc-1"}, {"account_id": "acc-2"}])
    imported(operator, account="acc-1")
    assert operator.run("import", file=CSV, filename="march.csv", account="acc-2")["imported"] == 2


def test_an_import_that_broke_off_is_completed_with_its_batch(operator: Operator) -> None:
    file = CSV + "Ana Rojas,,+56955550071,+56955550072,A-9\n"  # another debt of the same person
    batch_id = imported(operator, file)
    # As a daemon leaves it that is stopped after the first contacts.
    operator.database.jobs.delete_many({"payload.reference_number": {"$in": ["A-2", "A-9"]}})
    operator.database.speechaid_imports.update_one({}, {"$unset": {"finished_at": ""}})
    answer = operator.run("import", file=file, filename="march.csv", batch=batch_id)
    assert (answer["imported"], answer["already_there"], answer["left_out"]) == (2, 1, 0)
    assert operator.database.speechaid_imports.count_documents({}) == 1


# -- columns -----------------------------------------------------------------------------------------------


HUSBAND = "Quién,Donde\nAna,+56955550071\nEva,+56955550073\n"


def test_a_mapping_is_kept_for_the_account_and_the_same_titles(operator: Operator) -> None:
    assert "no column of phone numbers" in str(operator.refusal("import", file=HUSBAND, filename="a.csv"))
    imported(operator, HUSBAND, map=["Donde=phone", "Quién=name"])
    other = HUSBAND.replace("0071", "0075").replace("0073", "0076")
    answer = operator.run("import", file=other, filename="b.csv", dry_run=True)
    assert answer["kept_mapping"] == {"Donde": "phone", "Quién": "name"}
    assert answer["would_import"] == 2
    roles = {column["title"]: column["role"] for column in answer["columns"]}
    assert roles == {"Quién": "name", "Donde": "phone"}
    changed = operator.run("import", file=other, filename="b.csv", dry_run=True, map=["Quién=variable"])
    assert [column["role"] for column in changed["columns"]] == ["variable", "phone"]
    operator.database.accounts.insert_one({"account_id": "acc-1"})
    refused = operator.refusal("import", file=other, filename="b.csv", account="acc-1")
    assert "no column of phone numbers" in str(refused)


def test_a_dry_run_shows_the_columns_of_a_file_of_bad_rows(operator: Operator) -> None:
    file = "nombre,telefono\nAna,955\n"
    answer = operator.run("import", file=file, filename="a.csv", dry_run=True)
    assert (answer["would_import"], answer["bad_rows_count"]) == (0, 1)
    assert [column["role"] for column in answer["columns"]] == ["name", "phone"]
    refused = operator.refusal("import", file=file, filename="a.csv")
    assert "nothing was imported: no row can be used" in str(refused)


def test_a_dry_run_keeps_no_mapping(operator: Operator) -> None:
    operator.run("import", file=HUSBAND, filename="a.csv", map=["Donde=phone"], dry_run=True)
    operator.refusal("import", file=HUSBAND, filename="a.csv")


def test_a_dry_run_shows_each_column_with_masked_values(operator: Operator) -> None:
    file = "Título\nNombre;RUT;Celular;Plan;Alta\nAna;12.345.678-5;+56 9 5555 0071;955550072;31/07/2026\n"
    answer = operator.run("import", file=file, filename="a.csv", dry_run=True)
    assert answer["read"] == {
        "sheet": None,
        "other_sheets": [],
        "encoding": "UTF-8",
        "header_row": 2,
        "lines_above": 1,
        "hidden_rows": 0,
    }
    columns = [(row["title"], row["role"], row["values"]) for row in answer["columns"]]
    assert columns == [
        ("Nombre", "name", ["Ana"]),
        ("RUT", "id", ["12.***.***-5"]),
        ("Celular", "phone", ["+569******71"]),
        ("Plan", "variable", ["*******72"]),
        ("Alta", "variable", ["31/07/2026"]),
    ]
    shown = operator.run("import", file=file, filename="a.csv", dry_run=True, show_values=True)
    assert shown["columns"][2]["values"] == ["+56 9 5555 0071"]
    assert operator.recorded(2, event="read")[1]["args"]["show_values"] is True
    assert operator.refusal("import", file=file, filename="a.csv", show_values=True).code == "bad_argument"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"map": ["Donde"]}, "not TITLE=ROLE"),
        ({"map": ["Donde=fone"]}, "no meaning of a column"),
        ({"map": ["Dond=phone"]}, "no column is called 'Dond'"),
        ({"accept": "unasigned"}, "not a kind of remark; allowed: unassigned, placeholder"),
        ({"refuse": "file"}, "not a kind of remark"),
        ({"accept": "foreign", "refuse": "foreign"}, "both accepted and refused"),
        ({"start": True, "paused": True}, "exclude each other"),
        ({"row": 2}, "--row needs --dry-run"),
        ({"sheet": "Hoja1"}, "only a workbook has sheets"),
        ({"header_row": 9}, "line 9 is empty"),
        ({"duplicates": "account"}, "leave-out, keep"),
    ],
)
def test_options_that_cannot_be_used_are_refused(operator: Operator, args: Document, words: str) -> None:
    assert words in str(operator.refusal("import", file=HUSBAND, filename="a.csv", **args))


def test_kinds_of_remark_are_counted_accepted_and_refused(operator: Operator) -> None:
    file = "nombre,celular\nAna,+56955550071\nEva,+13055550123\nLuz,+56911223344\n"
    answer = operator.run("import", file=file, filename="a.csv", dry_run=True)
    assert [(row["kind"], row["count"], row["option"]) for row in answer["remarks_by_kind"]] == [
        ("foreign", 1, "--refuse foreign")
    ]
    assert [(row["kind"], row["line"], row["option"]) for row in answer["bad_rows_by_kind"]] == [
        ("unassigned", 4, "--accept unassigned")
    ]
    kept = operator.run("import", file=file, filename="a.csv", dry_run=True, accept="unassigned")
    assert kept["would_import"] == 3
    options = {row["kind"]: row["option"] for row in kept["remarks_by_kind"]}
    assert options == {"unassigned": None, "foreign": "--refuse foreign"}
    strict = operator.run("import", file=file, filename="a.csv", dry_run=True, remarks_are_bad=True)
    assert strict["would_import"] == 1
    mixed = operator.run(
        "import", file=file, filename="a.csv", dry_run=True, remarks_are_bad=True, accept="foreign"
    )
    assert mixed["would_import"] == 2


def test_numbers_that_an_import_was_told_to_keep_are_dialled_too(operator: Operator) -> None:
    file = "nombre,celular\nAna,+56911223344\n"
    kept = operator.run("import", file=file, filename="a.csv", accept="unassigned")
    assert operator.batch(kept["batch_id"])["accept_unassigned"] is True

    plain = operator.run("import", file="nombre,celular\nEva,+56955550072\n", filename="b.csv")
    assert "accept_unassigned" not in operator.batch(plain["batch_id"])
    more = "nombre,celular\nLuz,+56911223355\n"
    operator.run("import", file=more, filename="c.csv", batch=plain["batch_id"], accept="unassigned")
    assert operator.batch(plain["batch_id"])["accept_unassigned"] is True


# -- what will be said -------------------------------------------------------------------------------------


def test_a_row_shows_its_phones_and_what_the_agent_gets(operator: Operator) -> None:
    titles = "nombre,telefono2,telefono1,monto,fecha limite"
    file = f"{titles}\nAna,955550072,955550071,$150.000,31/12/2026\nEva,x,,,\n"
    seen = operator.run("import", file=file, filename="a.csv", dry_run=True, row=2)["preview"]
    assert seen["phones"] == ["+56955550071", "+56955550072"]
    said = seen["variables"]
    assert (said["nombre"], said["monto_total"]) == ("Ana", "150000")
    assert said["monto_total_texto"] == "ciento cincuenta mil pesos"
    assert said["fecha_limite_texto"] == "31 de diciembre de 2026"
    bad = operator.run("import", file=file, filename="a.csv", dry_run=True, row=3)["preview"]
    assert bad["bad"].startswith("telefono2:")
    refused = operator.refusal("import", file=file, filename="a.csv", dry_run=True, row=9)
    assert "line 9 has no contact" in str(refused)


# -- undo --------------------------------------------------------------------------------------------------


class _Keyboard(io.StringIO):
    """What an operator types, in a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_question_names_the_import_its_file_and_how_many_contacts_are_deleted(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = operator.run("import", file=CSV, filename="march.csv")
    monkeypatch.setattr("sys.stdin", _Keyboard("n\n"))
    assert main(["undo-import", answer["batch_id"], "--socket", str(tmp_path / "control.sock")]) == 1
    asked = (
        f"Delete 2 contacts of the import {answer['import_id']} (march.csv) from {answer['batch_id']}? [y/N]"
    )
    assert asked in capsys.readouterr().err
    assert len(jobs_of(operator, answer["batch_id"])) == 2


def test_an_import_is_taken_back_with_the_batch_that_it_made(operator: Operator) -> None:
    batch_id = imported(operator)
    shown = operator.run("undo-import", **{"import": batch_id}, dry_run=True)
    assert shown["would_delete"] == 2
    answer = operator.run("undo-import", **{"import": batch_id})
    assert (answer["deleted"], answer["left"], answer["batch_deleted"]) == (2, 0, True)
    assert operator.database.jobs.count_documents({}) == 0
    assert operator.database.batches.count_documents({}) == 0
    assert operator.run("import", file=CSV, filename="march.csv")["imported"] == 2
    refused = operator.refusal("undo-import", **{"import": answer["import_id"]})
    assert "taken back already" in str(refused)


def test_only_the_jobs_of_that_import_are_taken_back(operator: Operator) -> None:
    batch_id = imported(operator)
    more = "nombre,telefono\nRosa Paz,+56955550079\n"
    operator.run("import", file=more, filename="more.csv", batch=batch_id)
    answer = operator.run("undo-import", **{"import": batch_id})
    assert (answer["deleted"], answer["batch_deleted"]) == (1, False)
    assert [job["contact"]["name"] for job in jobs_of(operator, batch_id)] == ["Ana Rojas", "Eva Diaz"]


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "in_progress"},
        {"status": "done"},
        {"last_outcome": "no_answer"},
        {"attempts": 1},
        {"dial": {"key": "k", "number": "+56955550071"}},
        {"contact.next_phone_index": 1},
        {"call_id": "call_1"},
    ],
)
def test_an_import_of_which_somebody_was_called_is_not_taken_back(
    operator: Operator, fields: Document
) -> None:
    batch_id = imported(operator)
    operator.database.jobs.update_one({"contact.name": "Ana Rojas"}, {"$set": fields})
    refused = operator.refusal("undo-import", **{"import": batch_id})
    assert "1 contact of the import" in str(refused)
    assert operator.database.jobs.count_documents({}) == 2


def test_an_unknown_import_is_not_found(operator: Operator) -> None:
    assert operator.refusal("undo-import", **{"import": "import-20260101-0"}).code == "not_found"


def test_imports_names_each_import_of_a_batch(operator: Operator) -> None:
    batch_id = imported(operator)
    more = "nombre,telefono\nIris,955550109\nNobody,12\n"
    second = operator.run("import", file=more, filename="more.csv", batch=batch_id, accept="unassigned")
    rows = operator.run("imports")["imports"]
    assert [(row["batch_id"], row["state"], row["imported"], row["bad_rows"]) for row in rows] == [
        (batch_id, "done", 1, 1),
        (batch_id, "done", 2, 0),
    ]
    assert rows[0]["import_id"] == second["import_id"]
    operator.run("undo-import", **{"import": rows[1]["import_id"]})
    assert [row["state"] for row in operator.run("imports")["imports"]] == ["done", "undone"]


def test_a_hidden_row_says_that_it_is_hidden(operator: Operator) -> None:
    made = io.BytesIO()
    with Workbook(made, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate((("Nombre", "Celular"), ("Ana", 961236006), ("Eva", 961236007))):
            sheet.write_row(number, 0, row)
        sheet.set_row(2, None, None, {"hidden": True})
    with pytest.raises(Refused, match="line 3 is hidden: --with-hidden-rows"):
        operator.client.ask(
            "import",
            {"filename": "a.xlsx", "dry_run": True, "row": 3},
            attachment=made.getvalue(),
            timeout_seconds=30.0,
        )
