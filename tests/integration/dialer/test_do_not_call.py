"""A person who asked not to be called is called by no job, no batch and no host, not even after a reset."""

from __future__ import annotations

import pytest

from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.preflight import evaluate, read_preflight
from speechaid.model.levels import Level
from tests.support.stage import Stage

A, B, C = "+12025550181", "+12025550182", "+12025550183"


def test_a_request_made_in_a_call_stops_the_jobs_of_every_host(stage: Stage) -> None:
    stage.add_job(A, job_id="first")
    # Another person of the same number, who has one more.
    stage.add_job(A, B, job_id="second", contact=of_person("2-7", A, B))
    stage.add_job(A, job_id="third")
    stage.simulator.script({A: ["user_requested_dnc"], B: ["user_hangup"]})
    here, there = stage.context("worker-1@host-a:1"), stage.context("worker-1@host-b:1")

    assert stage.dial_next(here)
    asked = next(call["metadata"]["job_id"] for call in stage.placed_calls())
    for _ in range(4):
        stage.dial_next(there)

    assert [call["to_number"] for call in stage.placed_calls()].count(A) == 1
    assert (stage.job(asked)["status"], stage.job(asked)["cancel_reason"]) == ("cancelled", "do_not_call")
    if asked != "second":
        assert stage.job("second")["status"] == "done"
    left = {"first", "second", "third"} - {asked, "second"}
    ended = [(stage.job(name)["status"], stage.job(name)["cancel_reason"]) for name in left]
    assert set(ended) == {("cancelled", "on_do_not_call_list")}

    for statuses in (["cancelled"], ["failed", "cancelled"]):
        query = stage.store.operator_actions.resettable(statuses, max_age_seconds=None, batch_id=None)
        stage.store.operator_actions.reset(query, 100)
    assert stage.job(asked)["status"] == "cancelled"
    for _ in range(4):
        stage.dial_next(there)
    assert [call["to_number"] for call in stage.placed_calls()].count(A) == 1


def test_a_number_listed_between_two_calls_of_an_attempt_is_skipped(stage: Stage) -> None:
    stage.add_job(B, A, job_id="both")
    stage.simulator.script({B: ["dial_busy"], A: ["user_hangup"]})
    context = stage.context()
    assert stage.dial_next(context)
    stage.store.do_not_call.add(A, source="test")
    stage.make_due("both")
    assert stage.dial_next(context)
    assert A not in [call["to_number"] for call in stage.placed_calls()]

    stage.store.do_not_call.remove(A)
    stage.simulator.script({B: ["dial_busy"], A: ["user_hangup"]})
    assert stage.run_until_finished(context, "both")["status"] == "done"
    assert [call["to_number"] for call in stage.placed_calls()].count(A) == 1


@pytest.mark.parametrize(
    ("listed", "in_the_job"),
    [
        ("+5491155550101", "+54 11 5555-0101"),
        ("+541155550101", "011 15 5555-0101"),
        ("+5215512345678", "044 55 1234 5678"),
        ("+551187654321", "(11) 98765-4321"),
        ("+5712345678", "601 234 5678"),
        ("+560976543210", "9 7654 3210"),
    ],
)
def test_a_listed_line_is_not_called_however_list_and_job_spell_it(
    stage: Stage, listed: str, in_the_job: str
) -> None:
    """Entries as versions up to 0.2 wrote them."""
    stage.database.speechaid_do_not_call.insert_one({"_id": listed, "source": "an earlier version"})
    code = {"+54": "AR", "+52": "MX", "+55": "BR", "+57": "CO", "+56": "CL"}[listed[:3]]
    stage.add_batch("batch-1", country=code)
    stage.add_job(in_the_job, batch_id="batch-1")

    assert stage.dial_next(stage.context())

    assert stage.placed_calls() == []
    job = stage.job()
    assert (job["status"], job["cancel_reason"]) == ("cancelled", "on_do_not_call_list")


def test_a_request_made_on_one_spelling_holds_for_the_others(stage: Stage) -> None:
    stage.simulator.script({"+5491155550101": ["user_requested_dnc"]})
    stage.add_job("+54 9 11 5555 0101", job_id="first")
    assert stage.dial_next(stage.context())
    stage.add_job("+54 11 5555 0101", job_id="second")
    assert stage.dial_next(stage.context())
    assert [call["to_number"] for call in stage.placed_calls()] == ["+5491155550101"]
    assert stage.job("second")["cancel_reason"] == "on_do_not_call_list"


def test_a_job_that_the_list_ended_is_called_after_a_reset_once_its_number_left_the_list(
    stage: Stage,
) -> None:
    stage.simulator.script({A: ["user_hangup"]})
    stage.store.do_not_call.add(A, source="by mistake")
    stage.add_job(A)
    context = stage.context()
    assert stage.dial_next(context)

    def reset() -> int:
        actions = stage.store.operator_actions
        return actions.reset(actions.resettable(["cancelled"], max_age_seconds=None, batch_id=None), 9)

    assert reset() == 1
    assert stage.dial_next(context)  # still listed: ended again
    assert (stage.job()["status"], stage.placed_calls()) == ("cancelled", [])
    stage.store.do_not_call.remove(A)
    assert reset() == 1
    assert stage.run_until_finished(context)["status"] == "done"
    assert "cancel_reason" not in stage.job()


def test_a_job_with_an_invalid_and_a_listed_phone_ends_by_the_list(stage: Stage) -> None:
    stage.simulator.script({A: ["invalid_destination"]})
    stage.store.do_not_call.add(B, source="test")
    stage.add_job(A, B)
    context = stage.context()
    assert stage.run_until_finished(context)["cancel_reason"] == "on_do_not_call_list"
    assert [call["to_number"] for call in stage.placed_calls()] == [A]


def of_person(dni: str, *numbers: str) -> dict[str, object]:
    return {"name": "Ana", "dni": dni, "phones": list(numbers), "next_phone_index": 0}


def test_who_asks_in_a_call_is_not_called_on_another_number_either(stage: Stage) -> None:
    stage.add_job(A, job_id="asked", contact=of_person("12.345.678-5", A))
    stage.simulator.script({A: ["user_requested_dnc"]})
    context = stage.context()
    assert stage.dial_next(context)
    stage.add_job(B, job_id="other-number", contact=of_person("12345678-5", B))
    stage.add_job(C, job_id="other-person", contact=of_person("11111112-K", C))
    stage.simulator.script({C: ["user_hangup"]})
    for _ in range(3):
        stage.dial_next(context)

    assert [call["to_number"] for call in stage.placed_calls()] == [A, C]
    assert stage.job("other-number")["cancel_reason"] == "on_do_not_call_list"
    (entry,) = stage.store.do_not_call.people_entries("id:123456785")
    assert (entry["source"], entry["job_id"]) == ("call", "asked")
    assert (stage.store.holds.table.find_one({"_id": "level"}) or {})["needs"] >= Level.PEOPLE_AND_AGENTS


def test_a_person_listed_between_claim_and_dial_is_not_called(stage: Stage) -> None:
    """The second look before a dial knows the person, too."""
    stage.add_job(A, job_id="job-1", contact=of_person("12.345.678-5", A))
    context = stage.context()
    candidate = JobClaimer(context).claim()
    assert candidate is not None
    stage.store.do_not_call.add_person("*", "id:123456785", source="test")
    preflight = read_preflight(context, candidate.job)
    assert preflight.listed == {A}
    assert not evaluate(context, candidate.job, A, preflight).may_dial


def test_another_account_may_call_the_person(stage: Stage) -> None:
    stage.store.accounts.table.insert({"account_id": "acc-1", "plan_type": "unlimited"})
    stage.store.accounts.table.insert({"account_id": "acc-2", "plan_type": "unlimited"})
    stage.add_job(A, job_id="one", account_id="acc-1", contact=of_person("12.345.678-5", A))
    stage.add_job(B, job_id="two", account_id="acc-2", contact=of_person("12.345.678-5", B))
    stage.store.do_not_call.add_person("acc-1", "id:123456785", source="test")
    stage.simulator.script({B: ["user_hangup"]})
    context = stage.context()
    for _ in range(3):
        stage.dial_next(context)
    assert [call["to_number"] for call in stage.placed_calls()] == [B]
    assert stage.job("one")["cancel_reason"] == "on_do_not_call_list"
