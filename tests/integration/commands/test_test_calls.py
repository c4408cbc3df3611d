"""Commands about test calls: who may get one, which row is tried, what refuses it, what is shown of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from speechaid.campaign.erasure import job_without_person, result_without_person
from speechaid.commands import test_numbers
from speechaid.model.erasure import Erasure, What
from speechaid.model.masking import fingerprint
from speechaid.model.test_calls import TESTS
from speechaid.protocol.client import Refused
from speechaid.rules.circuit_breaker import Breaker, BreakerState, FaultKind
from speechctl import live
from speechctl.cli import main
from speechctl.render.blocks import as_text
from speechctl.render.commands import render
from tests.integration.control.test_commands import Operator, operator

__all__ = ["operator"]
Document = dict[str, Any]

NUMBER = "+56955550099"
BATCH = "batch-20260101-00000001"


@pytest.fixture
def tested(operator: Operator) -> Operator:
    """An operator with a paused batch of three rows, and a registered number."""
    operator.database.accounts.insert_one({"account_id": "acc-1", "plan_type": "unlimited", "country": "CL"})
    operator.store.batches.create({"batch_id": BATCH, "name": "March", "account_id": "acc-1"})
    operator.store.batches.pause(BATCH, by="maria", reason=None)
    for place, name in enumerate(("Ana", "Luis", "Eva"), 1):
        contact = {"name": name, "dni": f"{place}-9", "phones": [f"+5695555000{place}"]}
        fields: Document = {"batch_id": BATCH, "account_id": "acc-1", "status": "suspended"}
        operator.add_job(f"job-{place}", **(fields | {"contact": contact, "payload": {"debt_amount": place}}))
    operator.run("test-number-add", number=NUMBER, note="Maria")
    return operator


def job_of(operator: Operator, answer: Document) -> Document:
    found = operator.database.jobs.find_one({"job_id": answer["test"]})
    assert found is not None
    return found


# -- numbers -----------------------------------------------------------------------------------------------


def test_a_number_is_registered_with_who_and_when_and_shown_masked(operator: Operator) -> None:
    assert operator.run("test-numbers") == {"numbers": []}
    added = operator.run("test-number-add", number="9 5555 0099", country="CL", note="call +56912345678")
    assert (added["number"], added["was_registered"]) == ("+569******99", False)
    (row,) = operator.run("test-numbers")["numbers"]
    assert (row["number"], row["note"]) == ("+569******99", "call +569******78")
    assert "uid" in row["by"]
    assert row["at"] is not None
    assert operator.run("test-number-add", number=NUMBER)["was_registered"] is True
    assert operator.run("test-number-remove", number=NUMBER)["was_registered"] is True
    assert operator.run("test-number-remove", number=NUMBER)["was_registered"] is False


@pytest.mark.parametrize("typed", ["12.345.678-5", "+56000", "none"])
def test_what_is_no_phone_number_is_not_registered(operator: Operator, typed: str) -> None:
    assert operator.refusal("test-number-add", number=typed).code == "bad_argument"
    assert operator.run("test-numbers")["numbers"] == []


def test_a_listed_number_may_be_registered_and_is_not_called(tested: Operator) -> None:
    tested.run("dnc-add", number=NUMBER)
    assert tested.run("test-number-add", number=NUMBER)["on_do_not_call_list"] is True
    assert tested.run("test-numbers")["numbers"][0]["on_do_not_call_list"] is True
    assert "do-not-call list" in str(tested.refusal("test-call", to=NUMBER, batch=BATCH))


def test_there_are_no_more_registered_numbers_than_telephones_of_colleagues(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_numbers, "MAX_NUMBERS", 1)
    operator.run("test-number-add", number=NUMBER)
    assert "the most" in str(operator.refusal("test-number-add", number="+56955550098"))
    assert operator.run("test-number-add", number=NUMBER, note="again")["was_registered"] is True


# -- test-call ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "name"),
    [({}, "Ana"), ({"row": 2}, "Luis"), ({"job": "job-3"}, "Eva")],
    ids=["first", "by place", "by id"],
)
def test_the_agent_is_to_get_the_variables_of_a_row(tested: Operator, args: Document, name: str) -> None:
    answer = tested.run("test-call", to=NUMBER, batch="March", **args)
    assert (answer["batch_id"], answer["number"]) == (BATCH, "+569******99")
    assert (answer["agent_id"], answer["from_number"]) == ("agent_test", "+15005550006")
    job = job_of(tested, answer)
    assert (job["batch_id"], job["status"], job["account_id"]) == (TESTS, "pending", "acc-1")
    assert (job["test"]["batch_id"], job["test"]["job_id"]) == (BATCH, answer["row"])
    assert job["payload"]["name"] == name
    # Whoever is called is not the row's person.
    assert job["contact"] == {"phones": [NUMBER], "next_phone_index": 0}
    assert "uid" in job["test"]["by"]


def test_the_batch_and_its_rows_stay_as_they_are(tested: Operator) -> None:
    jobs = list(tested.database.jobs.find({}))
    before = tested.batch(BATCH), tested.run("batches")["batches"]
    tested.run("test-call", to=NUMBER, batch=BATCH)
    assert list(tested.database.jobs.find({"batch_id": BATCH})) == jobs
    assert (tested.batch(BATCH), tested.run("batches")["batches"]) == before
    assert [row["job_id"] for row in tested.run("jobs")["jobs"]] == ["job-1", "job-2", "job-3"]
    assert tested.run("forecast")["pending"] == 0
    assert len(tested.run("export", what="jobs")["rows"]) == 3
    assert tested.run("report")["jobs"]["total"] == 3


def test_jobs_lists_tests_where_they_are_asked_for(tested: Operator) -> None:
    answer = tested.run("test-call", to=NUMBER, batch=BATCH)
    (row,) = tested.run("jobs", tests=True)["jobs"]
    assert (row["job_id"], row["test"]["batch_id"]) == (answer["test"], BATCH)
    assert tested.run("jobs", tests=True, batch=BATCH)["jobs"] == [row]
    other = tested.store.batches.create({"name": "April"})
    assert tested.run("jobs", tests=True, batch=other)["jobs"] == []


def test_a_call_of_the_batch_records_the_test_among_its_commands(tested: Operator) -> None:
    tested.run("test-call", to=NUMBER, batch=BATCH)
    line = next(row for row in tested.recorded(2) if row["command"] == "test-call")
    assert line["args"]["to"] == "+569******99"
    assert line["batch"] == BATCH


def hold(operator: Operator) -> None:
    operator.store.holds.hold(by="maria", reason="fire")


def spend(operator: Operator) -> None:
    operator.database.accounts.update_one(
        {"account_id": "acc-1"}, {"$set": {"plan_type": "credit_based", "cost_per_call_setup": 1}}
    )


def suspend(operator: Operator) -> None:
    operator.database.accounts.update_one({"account_id": "acc-1"}, {"$set": {"status": "suspended"}})


def cancel(operator: Operator) -> None:
    operator.store.batches.cancel(BATCH, by="maria", reason=None)


def open_breaker(operator: Operator) -> None:
    probe_at = operator.store.now() + timedelta(hours=1)
    fields = Breaker(
        state=BreakerState.OPEN, kind=FaultKind.BLOCKED, reason="401", probe_at=probe_at
    ).document()
    key = fingerprint("key_0123456789abcdef")
    operator.store.holds.write_breaker(key, fields, expected_revision=None)


@pytest.mark.parametrize(
    ("prepare", "args", "words"),
    [
        (lambda _: None, {"to": "+56955550098"}, "speechctl test-number-add NUMBER"),
        (lambda _: None, {"batch": "nowhere"}, "there is no batch"),
        (lambda _: None, {"row": 4}, "has no row 4"),
        (lambda _: None, {"job": "job-9"}, "there is no job"),
        (lambda _: None, {"job": "job-1", "row": 1}, "exclude each other"),
        (hold, {}, "hold: fleet: fire"),
        (open_breaker, {}, "401"),
        (cancel, {}, "was cancelled"),
        (spend, {}, "balance: credit left: 0.00"),
        (suspend, {}, "status suspended"),
    ],
    ids=["unregistered", "batch", "row", "job", "both", "hold", "breaker", "cancelled", "money", "account"],
)
def test_what_forbids_a_test_call_refuses_it_with_the_reason(
    tested: Operator, prepare: Any, args: Document, words: str
) -> None:
    prepare(tested)
    refused = tested.refusal("test-call", **({"to": NUMBER, "batch": BATCH} | args))
    assert words in str(refused)
    assert tested.database.jobs.count_documents({"batch_id": TESTS}) == 0


def test_a_name_of_two_batches_is_refused_with_their_ids(tested: Operator) -> None:
    tested.store.batches.create({"batch_id": "batch-20260101-00000002", "name": "March"})
    refused = tested.refusal("test-call", to=NUMBER, batch="March")
    assert refused.code == "ambiguous_id"
    assert BATCH in str(refused)


def test_a_number_of_one_account_gets_no_tests_of_another(tested: Operator) -> None:
    tested.database.accounts.insert_one({"account_id": "acc-2", "plan_type": "unlimited"})
    tested.run("test-number-add", number=NUMBER, account="acc-2")
    refused = str(tested.refusal("test-call", to=NUMBER, batch=BATCH))
    assert "not registered for test calls of this batch's account" in refused
    assert "acc-2" not in refused
    tested.run("test-number-add", number=NUMBER, account="acc-1")
    assert tested.run("test-call", to=NUMBER, batch=BATCH)["test"]


def test_a_second_test_to_a_number_waits_for_the_end_of_the_first(tested: Operator) -> None:
    first = tested.run("test-call", to=NUMBER, batch=BATCH)["test"]
    assert first in str(tested.refusal("test-call", to=NUMBER, batch=BATCH))
    tested.run("cancel-job", job=first)
    second = tested.run("test-call", to=NUMBER, batch=BATCH)["test"]
    past = tested.store.now() - timedelta(seconds=1)
    tested.database.jobs.update_one({"job_id": second}, {"$set": {"test.until": past}})
    assert tested.run("test-call", to=NUMBER, batch=BATCH)["test"] not in {first, second}


def test_two_hosts_begin_one_test_to_a_number(tested: Operator) -> None:
    registered = tested.store.test_calls.find_number(NUMBER)
    assert registered is not None
    until = tested.store.now() + timedelta(minutes=5)
    tested.run("test-call", to=NUMBER, batch=BATCH)
    assert not tested.store.test_calls.create(registered, {"job_id": "test-x"}, until)


def test_a_number_of_another_country_is_remarked_and_so_is_a_fleet_without_a_free_worker(
    tested: Operator,
) -> None:
    tested.run("test-number-add", number="+12125550123")
    remarks = tested.run("test-call", to="+12125550123", batch=BATCH)["remarks"]
    assert "the number is of US, the batch's people are of CL" in remarks
    assert any("no worker of this host is free" in remark for remark in remarks)
    tested.daemon.held = True
    assert any(
        "takes no jobs now" in row for row in tested.run("test-call", to=NUMBER, batch=BATCH)["remarks"]
    )


def test_agent_number_and_version_are_the_batch_s(tested: Operator) -> None:
    settings = {"agent_id": "agent_march", "agent_version": 4, "from_number": "+56225550000"}
    tested.database.batches.update_one({"batch_id": BATCH}, {"$set": {"call_settings": settings}})
    answer = tested.run("test-call", to=NUMBER, batch=BATCH)
    assert {name: answer[name] for name in settings} == settings


# -- test-result -------------------------------------------------------------------------------------------


def note(operator: Operator, test: str, **fields: object) -> Document:
    operator.database.jobs.update_one({"job_id": test}, {"$set": fields})
    return operator.run("test-result", test=test)


def test_how_far_a_test_call_is_can_be_looked_at(tested: Operator) -> None:
    test = tested.run("test-call", to=NUMBER, batch=BATCH)["test"]
    now = tested.store.now()
    dial = {"key": "k", "number": NUMBER, "intent_at": now}
    assert tested.run("test-result", test=test)["state"] == "queued"
    assert note(tested, test, status="in_progress")["state"] == "queued"
    assert note(tested, test, dial=dial)["state"] == "dialling"
    assert note(tested, test, dial=dial | {"next_lookup_at": now})["state"] == "unclear"
    dial |= {"call_id": "call-1", "placed_at": now}
    assert note(tested, test, dial=dial)["state"] == "ringing"
    talking = note(tested, test, dial=dial | {"connected_at": now})
    assert (talking["state"], talking["since"]) == ("talking", now.isoformat())
    over = note(tested, test, status="failed", dial=None, last_error=f"no route to {NUMBER}")
    assert (over["state"], over["why"], over["call"]) == ("over", "no route to +569******99", None)


def test_a_test_that_is_over_shows_the_whole_call_and_is_recorded_among_the_reads(tested: Operator) -> None:
    test = tested.run("test-call", to=NUMBER, batch=BATCH)["test"]
    tested.run("test-result", test=test)
    tested.database.call_results.insert_one(
        {
            "job_id": test,
            "batch_id": TESTS,
            "call_id": "call-1",
            "outcome": "answered",
            "duration_ms": 72_000,
            "cost": 0.12,
            "created_at": tested.store.now(),
            "charged": {"minutes": 1.2, "credit": 0},
            "test": {"batch_id": BATCH, "variables": {"nombre": "Ana"}},
            "agent_id": "agent-1",
            "agent_version": 3,
            "from_number": "+12125550100",
            "call_data": {
                "transcript": "Agent: Buenas tardes",
                "collected_dynamic_variables": {"nombre": "Ana R.", "fecha_pago_cliente": "2026-04-01"},
            },
        }
    )
    call = note(tested, test, status="done")["call"]
    assert (call["agent_id"], call["agent_version"], call["from_number"]) == ("agent-1", 3, "+12125550100")
    assert (call["outcome"], call["transcript"]) == ("answered", "Agent: Buenas tardes")
    assert call["variables"] == [
        {"name": "nombre", "sent": "Ana", "collected": "Ana R."},
        {"name": "fecha_pago_cliente", "sent": None, "collected": "2026-04-01"},
    ]
    (line,) = tested.recorded(1, event="read")
    assert (line["command"], line["documents"]) == ("test-result", 1)
    assert tested.run("report")["calls"]["total"] == 0
    assert tested.run("export", what="calls")["rows"] == []


def test_a_test_that_was_erased_says_so_and_not_that_nobody_spoke(tested: Operator) -> None:
    test = tested.run("test-call", to=NUMBER, batch=BATCH)["test"]
    now = tested.store.now()
    tested.database.call_results.insert_one(
        {"job_id": test, "batch_id": TESTS, "call_id": "call-1", "outcome": "answered", "created_at": now}
        | {"test": {"batch_id": BATCH, "variables": {"nombre": "Ana"}}}
        | {"call_data": {"transcript": "Hi", "collected_dynamic_variables": {"monto_pago_cliente": "900"}}}
    )
    note(tested, test, status="done")
    erasure = Erasure(at=now, by="retention", what=What.PERSON)
    (job,), (result,) = (
        list(collection.find({"job_id": test}))
        for collection in (tested.database.jobs, tested.database.call_results)
    )
    tested.database.jobs.replace_one({"_id": job["_id"]}, job_without_person(job, erasure))
    tested.database.call_results.replace_one({"_id": result["_id"]}, result_without_person(result, erasure))
    answer = tested.run("test-result", test=test)
    shown = as_text(render("test-result", answer))
    assert f"number, transcript and variables: {erasure.sentence}" in shown
    assert answer["call"]["variables"] == []
    for wrong in ("None", "nobody said anything", " to "):
        assert wrong not in shown


def test_an_erased_row_is_not_tested_with_empty_variables(tested: Operator) -> None:
    erasure = Erasure(at=tested.store.now(), by="maria", what=What.PERSON)
    job = tested.database.jobs.find_one({"job_id": "job-1"})
    assert job is not None
    tested.database.jobs.replace_one({"_id": job["_id"]}, job_without_person(job, erasure))
    said = str(tested.refusal("test-call", to=NUMBER, batch=BATCH, job="job-1"))
    assert erasure.sentence in said


def test_an_id_that_several_tests_begin_with_is_called_one_of_a_test(tested: Operator) -> None:
    for number in (1, 2):
        tested.add_job(f"test-{number}", batch_id=TESTS)
    assert "more than one test call id" in str(tested.refusal("test-result", test="test-"))
    assert "no test call 'zzz' (speechctl jobs --tests lists them)" in str(
        tested.refusal("test-result", test="zzz")
    )


def test_a_number_that_is_registered_again_keeps_its_note_and_its_account(tested: Operator) -> None:
    tested.run("test-number-add", number=NUMBER, account="acc-1")
    again = tested.run("test-number-add", number=NUMBER)
    assert (again["note"], again["account_id"], again["was_registered"]) == ("Maria", "acc-1", True)
    assert "was registered, and may get test calls of account acc-1 (Maria)" in as_text(
        render("test-number-add", again)
    )
    assert tested.run("test-number-add", number=NUMBER, note="Luis")["note"] == "Luis"


def test_a_person_s_job_is_no_test_call(tested: Operator) -> None:
    assert "no test call" in str(tested.refusal("test-result", test="job-1"))


def test_following_a_test_call_ends_with_it(tested: Operator) -> None:
    begun = tested.run("test-call", to=NUMBER, batch=BATCH)
    seen: list[str] = []

    def look_on(state: Any) -> None:
        seen.append(state["state"])
        note(tested, begun["test"], status="failed", last_error="busy")

    over = live.follow_test(tested.client, begun, on_state=look_on)
    assert (seen, over["state"], over["why"]) == (["queued"], "over", "busy")


def test_a_test_job_s_history_is_shown_like_any_job_s(tested: Operator) -> None:
    test = tested.run("test-call", to=NUMBER, batch=BATCH)["test"]
    assert tested.run("job", job=test)["test"]["batch_id"] == BATCH
    checks = {check["name"]: check["passed"] for check in tested.run("explain", job=test)["checks"]}
    assert checks["batch"]
    assert checks["test"]


def test_a_reset_of_failed_jobs_leaves_tests_alone(tested: Operator) -> None:
    test = tested.run("test-call", to=NUMBER, batch=BATCH)["test"]
    note(tested, test, status="failed")
    assert tested.run("reset-jobs", status="failed")["reset"] == 0
    assert job_of(tested, {"test": test})["status"] == "failed"


def test_an_import_knows_nobody_by_a_test_call(tested: Operator) -> None:
    tested.run("test-call", to=NUMBER, batch=BATCH)
    tested.database.jobs.update_many(
        {"batch_id": TESTS}, {"$set": {"status": "done", "last_outcome": "answered"}}
    )
    tested.database.jobs.delete_many({"batch_id": BATCH})
    csv = f"nombre,rut,telefono\nMaria,4-3,{NUMBER}\n"
    made = tested.run(
        "import", file=csv, filename="a.csv", name="April", account="acc-1", accept="unassigned"
    )
    assert made["imported"] == 1


def waiting_by(sleep: Callable[[float], None]) -> SimpleNamespace:
    """The module ``time`` for ``speechctl.live`` alone: other threads go on sleeping."""
    return SimpleNamespace(sleep=sleep, monotonic=time.monotonic)


def interrupt(_seconds: float) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_leaves_the_call_alone_and_says_how_to_look_at_it(
    tested: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("speechctl.live.time", waiting_by(interrupt))
        status = main(["test-call", "--to", NUMBER, "--batch", BATCH, "--socket", str(tested.client.target)])
    shown = capsys.readouterr()
    assert status == 130
    (row,) = tested.run("jobs", tests=True)["jobs"]
    assert f"speechctl test-result {row['job_id']} shows it" in shown.err
    assert row["status"] == "pending"
    assert "queued" in shown.out


def test_a_test_call_that_was_not_placed_is_a_failure_for_scripts(
    tested: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def give_up(_seconds: float) -> None:
        fields = {"status": "cancelled", "cancel_reason": "test_expired"}
        tested.database.jobs.update_many({"batch_id": TESTS}, {"$set": fields})

    with monkeypatch.context() as patch:
        patch.setattr("speechctl.live.time", waiting_by(give_up))
        arguments = ["test-call", "--to", NUMBER, "--batch", BATCH, "--json"]
        status = main([*arguments, "--socket", str(tested.client.target)])
    answer = json.loads(capsys.readouterr().out)
    assert (status, answer["state"], answer["why"]) == (1, "over", "test_expired")
    assert answer["agent_id"] == "agent_test"


def test_an_unknown_test_is_refused(operator: Operator) -> None:
    with pytest.raises(Refused, match="there is no test call"):
        operator.run("test-result", test="test-9")
