"""Answers about a call that come from the wrong place, name the wrong call, or cannot be read."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer.context import HandOver, WorkerContext
from speechaid.dialer.follow import UNREADABLE_SECONDS, UNREADABLE_TRIES
from speechaid.store.holds import Holds
from tests.support.common_stage import phone
from tests.support.stage import Document, QuietLink, Stage

#: 45 minutes after the intent nothing is replayed any more.
TOO_LATE_TO_REPLAY = 46 * 60.0


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.add_account(
        plan_type="credit_based",
        credit_balance=100,
        cost_per_call_setup=1,
        cost_per_minute=2,
        cost_failed_call=0.25,
    )
    return common_stage


@pytest.fixture
def context(stage: Stage) -> WorkerContext:
    return stage.context()


def add_job(stage: Stage, job_id: str = "job-1", reason: str = "user_hangup", **fields: Any) -> str:
    """A job whose call ends so; returns its number."""
    number = phone()
    stage.simulator.script({number: [reason]})
    return stage.add_job(number, job_id=job_id, account_id="acc-1", **fields) and number


def events(context: WorkerContext) -> dict[str, int]:
    assert isinstance(context.link, QuietLink)
    return {
        name.removeprefix("event "): count
        for name, count in context.link.counts.items()
        if name.startswith("event ")
    }


def requests(stage: Stage, endpoint: str) -> int:
    return sum(stage.simulator.requests()["counts"].get(endpoint, {}).values())


def credit_used(stage: Stage) -> float:
    account = stage.database.accounts.find_one({})
    assert account is not None
    return float(account.get("credit_used", 0))


def breaker(stage: Stage, context: WorkerContext) -> Document | None:
    holds: Holds = stage.store.holds
    return holds.read(context.retell.fingerprint).breaker


def lose_the_create(stage: Stage, context: WorkerContext) -> None:
    """The call is placed, and its answer lost; it has ended since."""
    stage.simulator.fault("reset", endpoints=["create"], when="after", count=1)
    stage.dial_next(context)
    stage.simulator.advance(60)
    assert stage.job()["status"] == "in_progress"
    assert "call_id" not in stage.job()["dial"]


# -- where the end is read from -------------------------------------------------------------------------


def test_a_lost_call_that_the_list_shows_as_ended_is_settled_with_its_transcript(
    stage: Stage, context: WorkerContext
) -> None:
    add_job(stage)
    lose_the_create(stage, context)
    stage.age_dial(TOO_LATE_TO_REPLAY)
    assert stage.recover_one(context)
    (result,) = stage.results()
    assert stage.job()["status"] == "done"
    assert "transcript_object" in result["call_data"]
    assert stage.job()["call_result"]["summary"]["transcript"] == result["call_data"]["transcript"] != ""
    assert len(stage.placed_calls()) == 1


def test_a_listed_end_is_no_end_before_get_call_tells_it(stage: Stage, context: WorkerContext) -> None:
    add_job(stage)
    lose_the_create(stage, context)
    stage.age_dial(TOO_LATE_TO_REPLAY)
    stage.simulator.fault("outage", endpoints=["get"], count=3)
    seen: list[int] = []
    stage.on_wait = lambda: seen.append(len(stage.results()))
    assert stage.recover_one(context)
    assert seen == [0, 0, 0]
    assert "transcript" in stage.results()[0]["call_data"]


def test_a_replay_that_answers_with_an_ended_call_is_settled_by_get_call(
    stage: Stage, context: WorkerContext
) -> None:
    add_job(stage)
    lose_the_create(stage, context)
    stage.simulator.fault("rewritten", endpoints=["create"], without=["transcript", "transcript_object"])
    assert stage.recover_one(context)
    (result,) = stage.results()
    assert (stage.job()["status"], requests(stage, "get")) == ("done", 1)
    assert "transcript_object" in result["call_data"]


def test_another_program_s_ended_call_is_recorded_with_its_transcript(
    stage: Stage, context: WorkerContext
) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    body = {"from_number": "+15005550006", "to_number": number, "idempotency_key": context.new_token()}
    call_id = context.retell.create_call(body).call_id
    stage.simulator.advance(60)
    began = stage.store.now() - timedelta(minutes=5)
    stage.add_job(number, status="in_progress", started_at=began)
    assert stage.recover_one(context)
    (result,) = stage.results()
    assert (result["call_id"], stage.job()["status"]) == (call_id, "done")
    assert "transcript_object" in result["call_data"]


def test_a_listed_call_without_metadata_is_not_another_program_s_if_get_call_names_our_dial(
    stage: Stage, context: WorkerContext
) -> None:
    number = add_job(stage)
    stage.dial_next(context)
    stage.database.call_results.delete_many({})
    stage.simulator.fault("rewritten", endpoints=["list"], without=["metadata"])
    began = stage.store.now() - timedelta(minutes=5)
    stage.add_job(number, job_id="job-2", status="in_progress", started_at=began)
    assert stage.recover_one(context)
    assert "dial" not in stage.job("job-2")
    assert stage.results() == []


# -- whose call it is -----------------------------------------------------------------------------------


@pytest.fixture
def old_call(stage: Stage, context: WorkerContext) -> Document:
    """The call of an earlier dial to the same number, as get-call tells it; the job is pending again."""
    add_job(stage)
    stage.dial_next(context)
    call_id = stage.job()["call_id"]
    document = context.retell.get_call(call_id).document
    # As an operator's reset leaves it: a job that was served is not called again otherwise.
    reset = {
        "status": "pending",
        "reserved_until": None,
        "reset_at": stage.store.now() + timedelta(seconds=1),
    }
    stage.database.jobs.update_one({}, {"$set": reset})
    assert isinstance(context.link, QuietLink)
    context.link.counts.clear()
    stage.simulator.clear_requests()
    return document


@pytest.mark.parametrize("without", [[], ["metadata"]], ids=["with its metadata", "without metadata"])
def test_an_old_call_s_id_in_a_create_s_answer_is_refused_and_the_placed_call_followed(
    stage: Stage, context: WorkerContext, old_call: Document, without: list[str]
) -> None:
    fields = {name: old_call[name] for name in ("call_id", "metadata")}
    stage.simulator.fault("rewritten", endpoints=["create"], fields=fields, without=without, count=1)
    stage.dial_next(context)
    assert stage.job()["dial"].get("call_id") is None
    assert events(context)["dial.wrong_call"] == 1
    assert stage.recover_one(context)

    (_, placed) = stage.placed_calls()
    assert (stage.job()["status"], stage.job()["call_id"]) == ("done", placed["call_id"])
    assert [result["call_id"] for result in stage.results()] == [old_call["call_id"], placed["call_id"]]


def test_a_replay_answered_with_an_old_call_is_refused_and_the_list_decides(
    stage: Stage, context: WorkerContext, old_call: Document
) -> None:
    fields = {name: old_call[name] for name in ("call_id", "metadata")}
    stage.simulator.fault("rewritten", endpoints=["create"], fields=fields)
    stage.dial_next(context)
    assert stage.recover_one(context)
    (_, placed) = stage.placed_calls()
    assert (stage.job()["status"], stage.job()["call_id"]) == ("done", placed["call_id"])
    assert events(context)["dial.wrong_call"] == 2
    assert len(stage.results()) == 2


def test_an_old_call_that_names_no_dial_anywhere_is_known_by_its_result(
    stage: Stage, context: WorkerContext, old_call: Document
) -> None:
    stage.simulator.fault("rewritten", endpoints=["create"], fields={"call_id": old_call["call_id"]}, count=1)
    stage.simulator.fault("rewritten", endpoints=["create", "get"], without=["metadata"], count=2)
    stage.dial_next(context)
    assert stage.job()["dial"].get("call_id") is None
    assert events(context)["dial.wrong_call"] == 1


def test_an_answer_without_metadata_is_confirmed_by_get_call_before_its_id_is_recorded(
    stage: Stage, context: WorkerContext
) -> None:
    add_job(stage)
    stage.simulator.fault("rewritten", endpoints=["create"], without=["metadata", "to_number"])
    recorded: list[object] = []
    stage.simulator.fault("outage", endpoints=["get"], count=1)
    stage.dial_next(context)
    recorded.append(stage.job()["dial"].get("call_id"))
    assert stage.recover_one(context)
    (placed,) = stage.placed_calls()
    assert recorded == [None]
    assert (stage.job()["status"], stage.job()["call_id"]) == ("done", placed["call_id"])


def test_a_retell_that_keeps_no_metadata_gets_its_calls_followed_all_the_same(
    stage: Stage, context: WorkerContext
) -> None:
    add_job(stage)
    stage.simulator.fault("rewritten", without=["metadata"])
    stage.dial_next(context)
    (placed,) = stage.placed_calls()
    assert (stage.job()["status"], stage.job()["call_id"]) == ("done", placed["call_id"])


# -- answers that cannot be read ------------------------------------------------------------------------

UNREADABLE: dict[str, Document] = {
    "more than is read at all": {"kind": "rewritten", "fill": {"transcript": 33 * 1024 * 1024}},
    "no JSON": {"kind": "garbage", "style": "truncated"},
    "a page": {"kind": "garbage", "style": "html"},
    "another call": {"kind": "rewritten", "fields": {"call_id": "call_of_somebody"}},
    "no id": {"kind": "rewritten", "fields": {"call_id": "c" * 100_000}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNREADABLE)
def test_an_answer_that_stays_unreadable_ends_its_job_by_the_facts_of_the_list(
    stage: Stage, context: WorkerContext, name: str
) -> None:
    number = add_job(stage)
    stage.simulator.fault(**UNREADABLE[name], endpoints=["get"], to_number=number)
    stage.dial_next(context)

    job, (result,) = stage.job(), stage.results()
    assert (job["status"], job["last_outcome"], result["outcome"]) == ("done", "answered", "answered")
    assert result["duration_ms"] == 13_000
    assert credit_used(stage) == pytest.approx(1 + 2 * 13 / 60)
    assert result["cost"] > 0
    assert result["unreadable"] == job["call_result"]["unreadable"] != ""
    assert "analysis_wait" not in result
    assert events(context)["call.settled_unreadable"] == 1
    assert requests(stage, "get") >= 5
    assert breaker(stage, context) is None

    add_job(stage, "job-2")
    stage.dial_next(context)
    assert stage.job("job-2")["status"] == "done"


def test_a_job_whose_answers_stay_unreadable_is_not_called_again(
    stage: Stage, context: WorkerContext
) -> None:
    number = add_job(stage, reason="dial_no_answer")
    stage.simulator.fault("garbage", endpoints=["get"], to_number=number)
    stage.dial_next(context)
    job = stage.job()
    assert (job["status"], job["last_error"]) == ("failed", "answer_unreadable")
    assert credit_used(stage) == pytest.approx(0.25)
    assert not stage.dial_next(context)


def test_an_unreadable_wish_not_to_be_called_is_still_kept(stage: Stage, context: WorkerContext) -> None:
    number = add_job(stage, reason="user_requested_dnc")
    stage.simulator.fault("garbage", endpoints=["get"], to_number=number)
    stage.dial_next(context)
    assert (stage.job()["status"], stage.job()["cancel_reason"]) == ("cancelled", "do_not_call")
    assert stage.store.do_not_call.listed([number]) == {number}


def test_some_minutes_of_unreadable_answers_cost_a_job_nothing(stage: Stage, context: WorkerContext) -> None:
    number = add_job(stage, reason="dial_no_answer")
    polls = int(UNREADABLE_SECONDS / context.settings.call.polling_interval_seconds)
    assert polls > 2 * UNREADABLE_TRIES
    stage.simulator.fault("garbage", endpoints=["get"], to_number=number, count=polls - 1)
    stage.dial_next(context)
    (result,) = stage.results()
    assert stage.job()["status"] == "pending"
    assert "call_status" in result["call_data"]
    assert "unreadable" not in result


@pytest.mark.parametrize("listed", ["outage", "garbage"])
def test_while_the_list_cannot_be_read_either_no_job_ends(
    stage: Stage, context: WorkerContext, listed: str
) -> None:
    add_job(stage)
    faults = [
        stage.simulator.fault("garbage", endpoints=["get"]),
        stage.simulator.fault(listed, endpoints=["list"]),
    ]
    waits = iter(range(100))

    def mend_in_the_end() -> None:
        if next(waits) == 20:
            assert stage.results() == []
            for fault in faults:
                stage.simulator.clear_faults(fault)

    stage.on_wait = mend_in_the_end
    stage.dial_next(context)
    assert stage.job()["status"] == "done"
    assert "unreadable" not in stage.results()[0]


def test_a_call_that_the_list_shows_as_live_is_followed(stage: Stage, context: WorkerContext) -> None:
    number = phone()
    stage.simulator.script({number: [{"reason": "user_hangup", "talk_seconds": 600}]})
    stage.add_job(number)
    stage.simulator.fault("garbage", endpoints=["get"])
    live: list[str] = []

    def note() -> None:
        if not stage.results():
            live.append(stage.placed_calls()[0]["call_status"])

    stage.on_wait = note
    stage.dial_next(context)
    assert live.count("ongoing") > 10
    assert stage.results()[0]["duration_ms"] == 600_000


def test_an_unreadable_call_that_nothing_lists_ends_once_it_must_be_over(
    stage: Stage, context: WorkerContext
) -> None:
    add_job(stage)
    stage.simulator.fault("garbage", endpoints=["get"])
    stage.simulator.change(list_delay_seconds=10**7)
    context.link.hand_over_requested = True
    with pytest.raises(HandOver):
        stage.dial_next(context)
    placed_at = stage.job()["dial"]["placed_at"] - timedelta(hours=3)
    stage.database.jobs.update_one({}, {"$set": {"dial.placed_at": placed_at}})
    assert stage.recover_one(stage.context("worker-2@host-b:2"))
    (result,) = stage.results()
    assert (stage.job()["status"], stage.job()["last_error"]) == ("failed", "answer_unreadable")
    assert (result["outcome"], result["duration_ms"]) == ("failed", 0)


def test_another_program_s_call_with_an_unreadable_answer_ends_too(
    stage: Stage, context: WorkerContext
) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    body = {"from_number": "+15005550006", "to_number": number, "idempotency_key": context.new_token()}
    context.retell.create_call(body)
    stage.simulator.advance(60)
    stage.simulator.fault("garbage", endpoints=["get"])
    stage.add_job(number, status="in_progress", started_at=stage.store.now() - timedelta(minutes=5))
    assert stage.recover_one(context)
    assert stage.job()["status"] == "done"


def test_doctor_counts_what_could_not_be_read(stage: Stage, context: WorkerContext) -> None:
    number = add_job(stage, reason="dial_no_answer")
    stage.simulator.fault("garbage", endpoints=["get"], to_number=number)
    stage.dial_next(context)
    assert stage.store.diagnostics.unreadable_answers(60, 10) == ["job-1"]
    assert stage.store.diagnostics.unreadable_answers(-60, 10) == []


# -- refused polls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 402, 403])
def test_refused_polls_are_logged_once_for_a_while_and_following_goes_on(
    stage: Stage, context: WorkerContext, status: int
) -> None:
    add_job(stage)
    stage.simulator.fault("status", status=status, endpoints=["get"], count=20)
    stage.dial_next(context)
    assert stage.job()["status"] == "done"
    assert "transcript" in stage.results()[0]["call_data"]
    assert events(context)["call.poll_refused"] == 1
    assert requests(stage, "get") == 21


def test_a_stop_that_the_key_was_refused_for_is_sent_again(stage: Stage, context: WorkerContext) -> None:
    number = phone()
    stage.simulator.script({number: [{"reason": "user_hangup", "endless": True}]})
    stage.add_job(number)

    def once() -> None:
        stage.on_wait = lambda: None
        assert stage.store.requests.ask("job-1", "hang_up", reason=None, by="operator") == "recorded"

    stage.on_wait = once
    stage.simulator.fault("unauthorized", endpoints=["stop"], count=3)
    stage.dial_next(context)
    (call,) = stage.placed_calls()
    assert call["disconnection_reason"] == "manual_stopped"
    assert stage.job()["status"] == "cancelled"
    assert requests(stage, "stop") == 4
    assert events(context)["call.stop_failed"] == 1


# -- the real wire --------------------------------------------------------------------------------------

ON_THE_WIRE: dict[str, Document] = {
    "a transcript of 20 MB": {"fill": {"transcript": 20_000_000}},
    "a transcript of 31 MB": {"fill": {"transcript": 31_000_000}},
    "JSON of others": {
        "raw": '"call_cost": {"combined_cost": 1e400}, "x": NaN, "y": ' + "[" * 3000 + "]" * 3000
    },
    "digits": {"raw": f'"duration_ms": {"7" * 5000}'},
    "wrong types": {
        "fields": {
            "duration_ms": ["long"],
            "start_timestamp": {"$date": 1},
            "end_timestamp": 10**18,
            "call_cost": [1],
            "metadata": ["x"],
            "disconnection_reason": {"user": "hangup"},
            "collected_dynamic_variables": {"fecha_pago_cliente": {"year": 2026}},
            "call_analysis": "paid",
            "transcript": [1],
        }
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_THE_WIRE)
def test_whatever_get_call_answers_the_call_is_settled_and_charged_once(
    stage: Stage, context: WorkerContext, name: str
) -> None:
    add_job(stage)
    stage.simulator.fault("rewritten", endpoints=["get"], **ON_THE_WIRE[name])
    stage.dial_next(context)
    job, (result,) = stage.job(), stage.results()
    assert (job["status"], result["outcome"]) == ("done", "answered")
    assert 1 <= credit_used(stage) < 2
    assert len(stage.placed_calls()) == 1
    assert json.loads(json.dumps(result["call_data"], default=str))
