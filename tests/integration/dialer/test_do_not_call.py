"""A person who asked not to be called is called by no job, no batch and no host, not even after a reset."""

from __future__ import annotations

from tests.support.stage import Stage

A, B = "+12025550181", "+12025550182"


def test_a_request_made_in_a_call_stops_the_jobs_of_every_host(stage: Stage) -> None:
    stage.add_job(A, job_id="first")
    stage.add_job(A, B, job_id="second")
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
    assert {stage.job(name)["status"] for name in left} == {"failed"}

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
