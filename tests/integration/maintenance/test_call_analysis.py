"""Retell's analysis of a call: fetched after the end, added once to result and job, or given up."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer.context import WorkerContext
from speechaid.errors import StoreUnavailable
from speechaid.maintenance import call_analysis
from speechaid.rules.analysis import AnalysisPolicy
from speechaid.store.analyses import CLAIM_SECONDS, ORPHANED_SECONDS, WAIT
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage

#: The end is noticed within four seconds of the simulator's clock; the analysis comes after five.
POLLS: dict[str, Any] = {"CALL_POLLING_INTERVAL": 4}


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    return common_stage


class Fetcher:
    """Fetches what is due, as the call analysis thread does, and counts the results."""

    def __init__(self, stage: Stage, context: WorkerContext) -> None:
        self.stage = stage
        self.context = context
        self.counts: Counter[str] = Counter()

    def fetch(self) -> tuple[int, bool]:
        policy = AnalysisPolicy.read(self.context.settings.call)
        return call_analysis.fetch_due(
            self.context.store, self.context.retell, policy, self._count, lambda: False
        )

    def _count(self, result: str) -> None:
        self.counts[result] += 1

    def make_due(self, overdue_seconds: float = 0) -> None:
        past = self.stage.store.now() - timedelta(seconds=overdue_seconds + 1)
        self.stage.database.call_results.update_many(
            {WAIT: {"$exists": True}}, {"$set": {f"{WAIT}.due_at": past}}
        )


def called(stage: Stage, context: WorkerContext, **answer: object) -> Document:
    """Place a call that connects, and settle it; return its result."""
    number = phone()
    stage.simulator.script({number: [{"reason": "agent_hangup", **answer}]})
    stage.add_job(number)
    assert stage.dial_next(context)
    (result,) = stage.results()
    return result


@pytest.fixture
def context(stage: Stage) -> WorkerContext:
    return stage.context(**POLLS)


@pytest.fixture
def fetcher(stage: Stage, context: WorkerContext) -> Fetcher:
    return Fetcher(stage, context)


def test_the_analysis_is_added_to_the_result_and_the_job_when_it_is_there(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    result = called(stage, context)
    assert "call_analysis" not in result["call_data"]
    assert fetcher.fetch() == (0, True)  # not due yet: Retell needs time
    stage.simulator.advance(60)
    fetcher.make_due()
    assert fetcher.fetch() == (1, True)
    (result,) = stage.results()
    analysis = result["call_data"]["call_analysis"]
    assert analysis["call_successful"] is True
    assert stage.job()["call_result"]["summary"]["call_analysis"] == analysis
    assert WAIT not in result
    assert fetcher.counts == {"added": 1}
    assert fetcher.fetch() == (0, True)


def test_no_analysis_is_fetched_for_an_unanswered_call(stage: Stage, context: WorkerContext) -> None:
    assert WAIT not in called(stage, context, reason="dial_no_answer")


def test_with_zero_tries_nothing_is_marked(stage: Stage) -> None:
    assert WAIT not in called(stage, stage.context(SPEECHAID_ANALYSIS_TRIES=0, **POLLS))


def test_an_analysis_that_never_comes_is_given_up_and_recorded_as_missing(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    called(stage, context, analysis=False)
    tries = 0
    while not fetcher.counts["missing"]:
        fetcher.make_due()
        assert fetcher.fetch() == (1, True)
        tries += 1
    assert tries == context.settings.call.analysis_tries
    (result,) = stage.results()
    assert result["analysis_missing"] is True
    assert WAIT not in result
    assert "call_analysis" not in stage.job()["call_result"]["summary"]


def test_an_outage_of_retell_postpones_without_using_a_try(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    stage.simulator.fault("outage", endpoints=["get"])
    fetcher.make_due()
    assert fetcher.fetch() == (1, False)
    assert stage.results()[0][WAIT]["tries"] == 0
    stage.simulator.clear_faults()
    assert fetcher.fetch() == (0, True)
    fetcher.make_due()
    fetcher.fetch()
    assert fetcher.counts == {"added": 1}


def test_an_analysis_that_is_too_long_to_be_stored_is_cut_with_a_note(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    called(stage, context)
    analysis = {"call_summary": "bla " * 4_500_000, "call_successful": True, "custom_analysis_data": {"a": 7}}
    stage.simulator.fault("rewritten", endpoints=["get"], fields={"call_analysis": analysis})
    fetcher.make_due()
    assert fetcher.fetch() == (1, True)
    (result,) = stage.results()
    stored = result["call_data"]["call_analysis"]
    assert (stored["call_successful"], stored["custom_analysis_data"]) == (True, {"a": 7})
    assert stored["call_summary"].startswith("bla bla")
    assert stage.job()["call_result"]["summary"]["call_analysis"] == stored
    assert [note["field"] for note in result["cut_fields"]] == ["call_analysis.call_summary"]
    assert fetcher.counts == {"added": 1}


def test_an_analysis_that_does_not_fit_into_its_job_is_recorded_with_the_result(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    stage.database.jobs.update_one({}, {"$set": {"call_result": "changed by another program"}})
    fetcher.make_due()
    assert fetcher.fetch() == (1, True)
    assert stage.results()[0]["call_data"]["call_analysis"]["call_successful"] is True
    assert fetcher.counts == {"added": 1}


def test_a_call_whose_answer_cannot_be_read_does_not_delay_the_others(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    stage.simulator.fault("garbage", endpoints=["get"])
    fetcher.make_due()
    assert fetcher.fetch() == (1, True)
    assert stage.results()[0][WAIT]["tries"] == 1


def test_only_one_of_two_hosts_claims_a_result(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    called(stage, context)
    fetcher.make_due()
    store = context.store.analyses
    (result,) = store.due(context.retell.fingerprint, 10)
    assert store.claim(result) is not None
    assert store.claim(result) is None
    assert store.due(context.retell.fingerprint, 10) == []


def test_after_a_crash_between_the_two_writes_both_are_repeated(
    stage: Stage, context: WorkerContext, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    fetcher.make_due()
    store = context.store.analyses

    def fails(*_: object) -> bool:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(store._results, "update", _after(1, store._results.update, fails))
        with pytest.raises(StoreUnavailable):
            fetcher.fetch()
    assert stage.job()["call_result"]["summary"]["call_analysis"]  # the first of the two writes
    assert stage.results()[0][WAIT]["due_at"] > stage.store.now() + timedelta(seconds=CLAIM_SECONDS / 2)
    fetcher.make_due()
    fetcher.fetch()
    assert stage.results()[0]["call_data"]["call_analysis"]
    assert fetcher.counts == {"added": 1}


def _after(times: int, real: object, then: object) -> object:
    calls = iter([real] * times)

    def operation(*arguments: object, **named: object) -> object:
        return next(calls, then)(*arguments, **named)  # type: ignore[operator]

    return operation


def test_the_analysis_waits_until_the_call_s_dial_is_settled(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    """The settling worker crashed after the result: the adopter's last write would overwrite the analysis."""
    result = called(stage, context)
    stage.simulator.advance(60)
    dial = {"key": result["dial_key"], "number": phone(), "call_id": result["call_id"]}
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"dial": dial}})
    fetcher.make_due()
    fetcher.fetch()
    assert WAIT in stage.results()[0]
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$unset": {"dial": ""}})
    fetcher.make_due()
    fetcher.fetch()
    assert fetcher.counts == {"added": 1}


def test_a_job_with_a_later_call_does_not_get_the_analysis_of_an_earlier_one(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"call_id": "call_later"}})
    fetcher.make_due()
    fetcher.fetch()
    assert stage.results()[0]["call_data"]["call_analysis"]
    assert "call_analysis" not in stage.job()["call_result"]["summary"]


def test_calls_of_another_key_are_left_to_its_hosts_until_they_are_long_overdue(
    stage: Stage, context: WorkerContext, fetcher: Fetcher
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    stage.database.call_results.update_one({}, {"$set": {f"{WAIT}.key": "another"}})
    fetcher.make_due()
    assert fetcher.fetch() == (0, True)
    fetcher.make_due(ORPHANED_SECONDS)
    assert fetcher.fetch() == (1, True)
    assert fetcher.counts == {"added": 1}
