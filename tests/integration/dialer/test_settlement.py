"""An ended dial is settled once (result, list, account, batch, job), by any worker, whatever Retell sent."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer import settlement, verdict
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.verdict import BillingView, DialEnd
from speechaid.errors import LeaseLost
from speechaid.model.call import Call, ListedCall
from speechaid.model.job import Dial, Job
from speechaid.model.levels import Level
from speechaid.model.states import Outcome
from speechaid.retell import answers
from tests.support.common_stage import phone
from tests.support.stage import Document, QuietLink, Stage
from tests.support.stories import Steps, instrumented, uncounted

BATCH = "batch-20260101-00000001"


class Died(BaseException):
    """The process is gone."""


def die() -> None:
    raise Died


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.add_batch(BATCH)
    common_stage.add_account(
        plan_type="credit_based",
        credit_balance=100,
        cost_per_call_setup=1,
        cost_per_minute=2,
        cost_failed_call=0.25,
        timezone="America/Santiago",
    )
    return common_stage


def account(stage: Stage) -> Document:
    document = stage.database.accounts.find_one({})
    assert document is not None
    return document


def batch(stage: Stage) -> Document:
    return stage.batch()


def placed(stage: Stage, context: WorkerContext, **fields: Any) -> Job:
    """A job with a call placed a moment ago, its reservation entries added."""
    number = phone()
    stage.add_job(number, **{"batch_id": BATCH, "account_id": "acc-1", **fields})
    job = stage.claim(context)
    assert job is not None
    dial = Dial(
        key=context.new_token(),
        number=number,
        phone_index=0,
        attempt=0,
        intent_at=stage.store.now(),
        body="{}",
        api_key_fingerprint=context.retell.fingerprint,
        account_id=job.account_id,
        batch_id=job.batch_id,
    )
    job = context.store.jobs.record_intent(job, dial)
    settlement.add_reservation_entries(context, job, dial)
    return context.store.jobs.record_call(job, f"call_{dial.key}", 60)


def reported_end(job: Job, raw: str = "", **fields: Any) -> Call:
    """The end of the job's call as Retell's JSON reports it; ``raw`` is more JSON of the object."""
    assert job.dial is not None
    document = {
        "call_id": job.dial.call_id,
        "call_status": "ended",
        "disconnection_reason": "user_hangup",
        "duration_ms": 90_000,
        "call_cost": {"combined_cost": 16.5},
        **fields,
    }
    text = json.dumps(document)
    return Call.read(answers.parse((f"{text[:-1]}, {raw}}}" if raw else text).encode()))


def test_a_connected_call_is_charged_recorded_and_summed_once(stage: Stage) -> None:
    context = stage.context()
    job = placed(stage, context)
    assert len(account(stage)["open_dials"]) == len(batch(stage)["open_dials"]) == 1

    settlement.settle_ended_call(context, job, reported_end(job))

    assert account(stage)["credit_used"] == pytest.approx(1 + 1.5 * 2)
    assert account(stage)["credit_reserved"] == pytest.approx(0)
    assert account(stage)["calls_today"] == 1
    assert batch(stage)["total_cost"] == pytest.approx(0.165)
    assert batch(stage)["total_minutes"] == pytest.approx(1.5)
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []
    (result,) = stage.results()
    assert result["charged"] == {"minutes": 0, "credit": 4}
    assert (result["is_successful"], result["outcome"]) == (True, "answered")


@pytest.mark.parametrize(
    ("reason", "status", "credit", "calls"),
    [
        ("dial_no_answer", "not_connected", 0.25, 1),
        ("dial_busy", "not_connected", 0.25, 1),
        ("concurrency_limit_reached", "error", 0.0, 0),
        ("no_valid_payment", "error", 0.0, 0),
    ],
)
def test_a_call_that_did_not_connect_costs_what_the_account_says(
    stage: Stage, reason: str, status: str, credit: float, calls: int
) -> None:
    context = stage.context()
    job = placed(stage, context)
    settlement.settle_ended_call(
        context,
        job,
        reported_end(job, disconnection_reason=reason, call_status=status, duration_ms=0, call_cost=None),
    )
    assert account(stage)["credit_used"] == pytest.approx(credit)
    assert account(stage).get("calls_today", 0) == calls
    assert account(stage)["open_dials"] == []


def test_a_person_who_asks_not_to_be_called_is_listed_and_the_job_cancelled(stage: Stage) -> None:
    context = stage.context()
    job = placed(stage, context)
    settlement.settle_ended_call(context, job, reported_end(job, disconnection_reason="user_requested_dnc"))
    assert job.dial is not None
    assert stage.store.do_not_call.listed([job.dial.number]) == {job.dial.number}
    assert (stage.job()["status"], stage.job()["cancel_reason"]) == ("cancelled", "do_not_call")


@pytest.mark.parametrize("missing", ["batches", "accounts"])
def test_a_deleted_batch_or_account_counts_as_settled(stage: Stage, missing: str) -> None:
    context = stage.context()
    job = placed(stage, context)
    stage.database[missing].delete_many({})
    settlement.settle_ended_call(context, job, reported_end(job))
    assert stage.job()["status"] == "done"
    assert len(stage.results()) == 1


HOSTILE: dict[str, Document] = {
    "operators as keys": {"$set": {"status": "pending"}, "a": {"$where": "1"}, "metadata": {"$gt": ""}},
    "dots, NULs and an empty string as keys": {"a.b": 1, "a\0b": 2, "": 3, "transcript": "before\0after"},
    "numbers past 64 bits": {"duration_ms": 2**70, "end_timestamp": 2**70, "x": [-(2**64), 1e308]},
    "an enormous duration": {"duration_ms": 1e300},
    "a negative duration": {"duration_ms": -5},
    "lone surrogates": {"transcript": "\ud83d", "\udc00": "x", "disconnection_reason": "user_hangup\ud83d"},
    "deep": {"call_analysis": json.loads('{"a":' * 300 + "1" + "}" * 300)},
    "wrong types": {
        "call_cost": "free",
        "collected_dynamic_variables": ["x"],
        "metadata": 7,
        "start_timestamp": {},
        "transcript": {"$ref": "x"},
    },
    "promises of a wrong type": {
        "collected_dynamic_variables": {"fecha_pago_cliente": {"$date": 1}, "monto_pago_cliente": [2**80]}
    },
    "a long transcript": {"transcript": "bla " * 250_000},
    "a duration of text": {"duration_ms": "long"},
    "a true duration": {"duration_ms": True},
    "a duration of years by its times": {
        "duration_ms": None,
        "start_timestamp": 86_400_000,
        "end_timestamp": 32_000_000_000_000,
    },
    "times beyond the calendar": {"start_timestamp": 10**17, "end_timestamp": -(10**17)},
    "a negative cost": {"call_cost": {"combined_cost": -900.0}},
    "a cost beyond all sums": {"call_cost": {"combined_cost": 1e300}},
    "a reason of another type": {"disconnection_reason": {"code": 7}},
    "a long reason": {"disconnection_reason": "x" * 3_000_000},
    "metadata of a list": {"metadata": ["speechaid_dial_key"]},
    "an analysis of a list": {"call_analysis": ["paid"]},
    "long promises": {
        "collected_dynamic_variables": {"fecha_pago_cliente": "x" * 9_000_000, "monto_pago_cliente": True}
    },
}
#: JSON that no serialiser writes.
RAW: dict[str, str] = {
    "no numbers": '"duration_ms": NaN, "call_cost": {"combined_cost": Infinity}, "x": [-Infinity]',
    "an infinite float": '"call_cost": {"combined_cost": 1e400}, "x": -1e999',
    "thousands of digits": f'"duration_ms": {"9" * 50_000}, "x": -{"1" * 6000}',
    "a thousand digits after the point": f'"x": 0.{"3" * 100_000}',
    "a key twice": '"call_status": "ongoing", "call_status": "ended", "duration_ms": 1, "duration_ms": 90000',
    "a key twice for the database": '"call_id\\u0000": "another", "call_cost\\u0000": {"combined_cost": 9}',
    "levels beyond the parser's": '"x": '
    + "[" * 5000
    + "]" * 5000
    + ', "y": '
    + '{"a":' * 3000
    + "1"
    + "}" * 3000,
    "control characters": '"transcript": "one\ntwo\tthree\x01"',
    "half a surrogate pair": '"transcript": "\\ud83d\\ud83d", "\\ude00": 1',
}
#: More than MongoDB takes in one document, up to the longest answer that is read.
TOO_MUCH: dict[str, Document] = {
    "a transcript of 14 MB": {"transcript": "Buenos días. " * 1_000_000},
    "a transcript of 30 MB": {"transcript": "bla " * 7_500_000},
    "words of 20 MB": {"transcript_object": [{"word": "sí", "start": 0.5, "end": 1.5}] * 450_000},
    "an analysis of 13 MB": {"call_analysis": {"call_summary": "bla " * 3_250_000, "call_successful": True}},
    "a variable of 13 MB": {
        "collected_dynamic_variables": {"x": "y" * 13_000_000, "monto_pago_cliente": "7"}
    },
    "metadata of 13 MB": {"metadata": {"x": "y" * 13_000_000}},
    "numbers that are short in JSON": {"latency": {"values": [0] * 2_000_000}},
    "a hundred thousand fields": {f"field {number}": "x" * 100 for number in range(100_000)},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_odd_answer_of_retell_stops_a_settlement(stage: Stage, name: str) -> None:
    context = stage.context()
    job = placed(stage, context)

    settlement.settle_ended_call(context, job, reported_end(job, **HOSTILE[name]))

    assert stage.job()["status"] in {"done", "pending", "failed"}
    assert "dial" not in stage.job()
    (result,) = stage.results()
    assert result["call_id"] == stage.job()["call_id"]
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []
    assert 0 <= account(stage)["credit_used"] <= 5
    assert 0 <= batch(stage)["total_minutes"] < 2
    assert 0 <= batch(stage)["total_cost"] < 1


@pytest.mark.parametrize("name", RAW)
def test_no_json_that_others_write_stops_a_settlement(stage: Stage, name: str) -> None:
    context = stage.context()
    job = placed(stage, context)

    settlement.settle_ended_call(context, job, reported_end(job, raw=RAW[name]))

    (result,) = stage.results()
    assert (stage.job()["status"], result["outcome"]) == ("done", "answered")
    assert result["call_id"] == result["call_data"]["call_id"] == stage.job()["call_id"]
    assert 0 <= account(stage)["credit_used"] <= 5
    assert 0 <= batch(stage)["total_cost"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", TOO_MUCH)
def test_an_answer_that_is_too_long_to_be_stored_is_cut_with_a_note_and_settled(
    stage: Stage, name: str
) -> None:
    context = stage.context()
    job = placed(stage, context)
    (field,) = list(TOO_MUCH[name])[:1]

    settlement.settle_ended_call(context, job, reported_end(job, **TOO_MUCH[name]))

    settled, (result,) = stage.job(), stage.results()
    assert (settled["status"], result["outcome"], result["duration_ms"]) == ("done", "answered", 90_000)
    assert account(stage)["credit_used"] == pytest.approx(4)
    notes = result["cut_fields"]
    assert notes == settled["call_result"]["cut_fields"]
    assert notes[0]["field"].split(".")[0] == field or name == "a hundred thousand fields"
    assert notes[0]["bytes"] > notes[0]["kept_bytes"]
    assert isinstance(context.link, QuietLink)
    assert context.link.counts["event call.answer_cut"] == 1
    if name == "a variable of 13 MB":
        assert settled["monto_pago_cliente"] == "7"


def test_an_answer_is_cut_to_what_the_job_s_own_document_leaves_free(stage: Stage) -> None:
    context = stage.context()
    job = placed(stage, context, payload={"notes": "x" * 13_000_000})

    settlement.settle_ended_call(context, job, reported_end(job, transcript="bla " * 500_000))

    settled, (result,) = stage.job(), stage.results()
    assert (settled["status"], settled["payload"]["notes"][:2]) == ("done", "xx")
    assert [note["field"] for note in result["cut_fields"]] == ["transcript"]
    assert settled["call_result"]["summary"]["transcript"].startswith("bla bla")


def test_what_the_database_refuses_for_another_reason_is_recorded_by_its_facts(
    stage: Stage,
) -> None:
    context = stage.context()
    job = placed(stage, context)
    whole = reported_end(job, transcript="bla")
    document = {**whole.document, "transcript": 2**70}  # as if it had not been made storable

    settlement.settle_ended_call(context, job, replace(whole, document=document))

    (result,) = stage.results()
    assert (stage.job()["status"], result["duration_ms"], result["call_data"]) == ("done", 90_000, {})
    assert account(stage)["credit_used"] == pytest.approx(4)


def test_an_item_of_the_call_list_is_not_settled(stage: Stage) -> None:
    context = stage.context()
    job = placed(stage, context)
    listed = ListedCall.read(reported_end(job).document)
    with pytest.raises(TypeError):
        settlement.settle_ended_call(context, job, listed)  # type: ignore[arg-type]
    assert stage.results() == []


def test_a_finished_settlement_that_is_applied_again_changes_nothing(stage: Stage) -> None:
    context = stage.context()
    job = placed(stage, context)
    settlement.settle_ended_call(context, job, reported_end(job))
    before = (stage.job(), account(stage), batch(stage), stage.results())
    assert job.dial is not None
    decided = settlement.stored_decision(context, job.dial)
    assert decided is not None

    with pytest.raises(LeaseLost):
        settlement.apply(context, job, decided)

    after = (stage.job(), account(stage), batch(stage), stage.results())
    assert _without_times(after) == _without_times(before)


# -- the decision stands in the result -------------------------------------------------------------------


def test_a_worker_that_has_lost_its_job_decides_nothing_about_the_call(stage: Stage) -> None:
    """It has the end of the call from get-call, and no write of its own would refuse it."""
    context = stage.context()
    job = placed(stage, context)
    stage.database.jobs.update_one({}, {"$set": {"claim_token": "another worker's"}})
    with pytest.raises(LeaseLost):
        settlement.settle_ended_call(context, job, reported_end(job))
    assert stage.results() == []
    assert len(account(stage)["open_dials"]) == len(batch(stage)["open_dials"]) == 1


def test_the_decision_goes_by_the_job_as_it_is_once_the_call_is_over(stage: Stage) -> None:
    """An operator's hang-up is recorded in the dial before Retell is asked to stop the call."""
    context = stage.context()
    job = placed(stage, context)
    stage.database.jobs.update_one({}, {"$set": {"dial.stop_asked_by": "operator"}})
    settlement.settle_ended_call(context, job, reported_end(job, disconnection_reason="manual_stopped"))
    assert stage.job()["status"] == "cancelled"


@pytest.mark.parametrize("minutes_after", [0, 60])
def test_of_two_that_decide_at_once_the_first_result_stands_and_both_go_by_it(
    stage: Stage, minutes_after: int
) -> None:
    """The first one is frozen right before its insert; the adopter has other settings."""
    first = stage.context(NO_ANSWER_RETRY_MINUTES=minutes_after + 1)
    second = stage.context("worker-2@host-b:2", SPEECHAID_VOICEMAIL_COUNTS="true")
    job = placed(stage, first)
    end = reported_end(job, disconnection_reason="voicemail_reached")

    def freeze(_number: int, name: str, done: bool) -> None:
        if (name, done) == ("insert call_results", False):
            with uncounted():
                settlement.settle_ended_call(second, adopted(stage, second), end)

    with instrumented(Steps(freeze)), pytest.raises(LeaseLost):
        settlement.settle_ended_call(first, job, end)

    assert (stage.job()["status"], len(stage.results())) == ("done", 1)
    assert stage.results()[0]["worker"] == second.worker_id
    assert account(stage)["credit_used"] == pytest.approx(4)
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []


def adopted(stage: Stage, context: WorkerContext) -> Job:
    """The job, taken over by another worker."""
    stage.lapse()
    (candidate,) = context.store.jobs.lapsed(1)
    job = context.store.jobs.adopt(
        candidate, worker_id=context.worker_id, token=context.new_token(), lease_seconds=60
    )
    assert job is not None
    return job


def test_an_adopter_applies_the_decision_in_the_result_and_asks_retell_nothing(stage: Stage) -> None:
    first = stage.context()
    other = stage.context("worker-2@host-b:2", SPEECHAID_VOICEMAIL_COUNTS="true")
    job = placed(stage, first)
    end = reported_end(job, disconnection_reason="voicemail_reached", transcript="bla")
    steps = Steps(
        lambda _number, name, done: die() if (name, done) == ("insert call_results", True) else None
    )
    with instrumented(steps), pytest.raises(Died):
        settlement.settle_ended_call(first, job, end)
    stage.lapse()
    after = Steps()
    with instrumented(after):
        assert stage.recover_one(other)
    assert not [name for name in after.names if name.startswith(("GET", "POST"))]
    assert (stage.job()["status"], stage.job()["attempts"]) == ("pending", 1)
    assert stage.job()["call_result"]["summary"]["transcript"] == "bla"
    assert account(stage)["credit_used"] == pytest.approx(4)
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []


def test_a_verdict_that_an_earlier_version_left_in_the_job_is_applied(stage: Stage) -> None:
    context = stage.context()
    job = placed(stage, context)
    assert job.dial is not None
    billing = BillingView(
        batch=context.store.batches.find(BATCH), account=context.store.accounts.find("acc-1")
    )
    decided = verdict.decide(
        job,
        job.dial,
        DialEnd(outcome=Outcome.ANSWERED, call=reported_end(job), connected=True),
        billing=billing,
        inputs=settlement.decision_inputs(context, billing.batch),
        now=context.store.now(),
    )
    context.store.jobs.record_verdict(job, decided.document())
    stage.lapse()
    assert stage.recover_one(stage.context("worker-2@host-b:2"))
    (result,) = stage.results()
    assert (stage.job()["status"], result["charged"]) == ("done", {"minutes": 0, "credit": 4})
    assert account(stage)["credit_used"] == pytest.approx(4)
    assert batch(stage)["total_minutes"] == pytest.approx(1.5)
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []


@pytest.mark.parametrize("left", [{"worker": "of an earlier version"}, {"decision": {"outcome": "?"}}])
def test_a_result_without_a_decision_that_can_be_read_does_not_stop_the_job(
    stage: Stage, left: Document
) -> None:
    context = stage.context()
    job = placed(stage, context)
    assert job.dial is not None
    context.store.results.record({"dial_key": job.dial.key, "job_id": "job-1", **left})
    settlement.settle_ended_call(context, job, reported_end(job))
    assert (stage.job()["status"], len(stage.results())) == ("done", 1)
    assert account(stage)["credit_used"] == pytest.approx(4)
    assert batch(stage)["total_minutes"] == pytest.approx(1.5)
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []


def test_one_result_of_a_dial_is_taken_also_where_no_index_of_dial_keys_exists(stage: Stage) -> None:
    """Both workers have looked, and found none, before either writes."""
    stage.database.call_results.drop_index("speechaid_result_dial")
    try:
        first, second = stage.context(), stage.context("worker-2@host-b:2")
        job = placed(stage, first)

        def freeze(_number: int, name: str, done: bool) -> None:
            if (name, done) == ("insert call_results", False):
                with uncounted():
                    settlement.settle_ended_call(second, adopted(stage, second), reported_end(job))

        with instrumented(Steps(freeze)), pytest.raises(LeaseLost):
            settlement.settle_ended_call(first, job, reported_end(job))
        (result,) = stage.results()
    finally:
        stage.store.prepare()
    assert result["worker"] == second.worker_id


def test_the_level_of_this_version_is_required_before_the_first_result(stage: Stage) -> None:
    context = stage.context()
    job = placed(stage, context)
    steps = Steps()
    with instrumented(steps):
        settlement.settle_ended_call(context, job, reported_end(job))
    level = stage.database.speechaid_holds.find_one({"_id": "level"})
    assert level is not None
    assert level["needs"] == Level.DECISIONS_IN_RESULTS
    assert steps.names.index("update speechaid_holds") < steps.names.index("insert call_results")


def test_a_job_whose_document_takes_no_answer_any_more_gets_the_facts(stage: Stage) -> None:
    """Another program has made it large since it was read."""
    context = stage.context()
    job = placed(stage, context)

    def grow(_number: int, name: str, done: bool) -> None:
        if (name, done) == ("insert call_results", True):
            large = {"payload.notes": "x" * 14_000_000}
            stage.database.jobs.update_one({}, {"$set": large})

    with instrumented(Steps(grow)):
        settlement.settle_ended_call(context, job, reported_end(job, transcript="bla " * 1_000_000))
    settled, (result,) = stage.job(), stage.results()
    assert (settled["status"], settled["call_result"]["summary"]) == ("done", {})
    assert len(result["call_data"]["transcript"]) > 3_000_000
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(item) for name, item in value.items() if name != "updated_at"}
    return [_without_times(item) for item in value] if isinstance(value, list | tuple) else value


def test_a_withdrawal_releases_what_the_dial_held_and_spends_nothing(stage: Stage) -> None:
    context = stage.context()
    number = phone()
    stage.add_job(number, batch_id=BATCH, account_id="acc-1", attempts=1)

    def pause(_number: int, name: str, done: bool) -> None:
        if name == "update accounts" and done:
            with uncounted():
                stage.store.batches.pause(BATCH, by="operator", reason=None)

    with instrumented(Steps(pause)):
        stage.dial_next(context)

    job = stage.job()
    assert (job["status"], job["attempts"], stage.placed_calls()) == ("pending", 1, [])
    assert "dial" not in job
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []
    assert account(stage)["credit_reserved"] == pytest.approx(0)
    assert account(stage).get("credit_used", 0) == 0
    assert stage.results() == []


def test_a_worker_thawed_into_a_pause_releases_nothing_of_the_adopter_s_call(stage: Stage) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    # With a limit the batch has an entry of each dial.
    stage.database.batches.update_one({}, {"$set": {"call_settings.max_concurrent_calls": 5}})
    stage.add_job(number, batch_id=BATCH, account_id="acc-1")
    steps_done: list[str] = []

    def freeze(_number: int, name: str, done: bool) -> None:
        """Between the reservation and the last preflight, for longer than the lease."""
        if not done:
            return
        steps_done.append(name)
        if name != "update accounts" or steps_done.count(name) > 1:
            return
        with uncounted():
            stage.lapse()
            stage.on_wait = die
            with pytest.raises(Died):
                stage.recover_one(stage.context("worker-2@host-b:2"))
            stage.on_wait = lambda: None
            stage.store.batches.pause(BATCH, by="operator", reason=None)

    with instrumented(Steps(freeze)), pytest.raises(LeaseLost):
        stage.dial_next(stage.context())
    assert len(stage.placed_calls()) == 1
    assert len(account(stage)["open_dials"]) == len(batch(stage)["open_dials"]) == 1

    stage.lapse()
    assert stage.recover_one(stage.context("worker-3@host-b:3"))
    (result,) = stage.results()
    assert account(stage)["credit_used"] == pytest.approx(result["charged"]["credit"])
    assert account(stage)["credit_used"] > 1
    assert batch(stage)["total_minutes"] > 0
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []


def test_a_status_set_by_another_program_meanwhile_stands_and_the_call_is_recorded(stage: Stage) -> None:
    context = stage.context()
    job = placed(stage, context)
    stage.database.jobs.update_one({}, {"$set": {"status": "cancelled"}})  # as SpeechAI's own API does
    settlement.settle_ended_call(
        context, job, reported_end(job, disconnection_reason="dial_busy", duration_ms=0)
    )
    assert stage.job()["status"] == "cancelled"
    assert "dial" not in stage.job()
    assert len(stage.results()) == 1
    assert account(stage)["credit_used"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "outcome", [Outcome.TEMPORARY, Outcome.BLOCKED, Outcome.INVALID_NUMBER, Outcome.DO_NOT_CALL]
)
def test_a_refused_create_is_neither_recorded_nor_charged(stage: Stage, outcome: Outcome) -> None:
    context = stage.context()
    stage.add_job(phone(), phone(), batch_id=BATCH, account_id="acc-1")
    job = stage.claim(context)
    assert job is not None
    dial = Dial(
        key="k",
        number=job.contact.phones[0],
        phone_index=0,
        attempt=0,
        intent_at=stage.store.now(),
        body="{}",
        api_key_fingerprint="f",
        account_id="acc-1",
        batch_id=BATCH,
    )
    job = context.store.jobs.record_intent(job, dial)
    settlement.add_reservation_entries(context, job, dial)

    settlement.settle_refusal(context, job, outcome, "said no")

    after = stage.job()
    assert after["status"] == ("cancelled" if outcome is Outcome.DO_NOT_CALL else "pending")
    assert (after["attempts"], after["last_error"] is not None, stage.results()) == (0, True, [])
    assert account(stage).get("credit_used", 0) == account(stage).get("calls_today", 0) == 0
    assert account(stage)["open_dials"] == batch(stage)["open_dials"] == []
    if outcome is Outcome.INVALID_NUMBER:
        assert (after["dead_phones"], after["contact"]["next_phone_index"]) == ([dial.number], 1)
    if outcome is Outcome.TEMPORARY:
        assert after["reserved_until"] > stage.store.now() + timedelta(seconds=30)
