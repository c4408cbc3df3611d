"""Retell's analysis of a call: fetched after the end, added once to all that shows the call, or given up."""

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

#: The end is seen within four seconds of the simulator's clock; the analysis comes after five.
POLLS: dict[str, Any] = {"CALL_POLLING_INTERVAL": 4}


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    return common_stage


class Reader:
    """Fetches what is due, as the analyst's thread does, and counts what came of it."""

    def __init__(self, stage: Stage, context: WorkerContext) -> None:
        self.stage = stage
        self.context = context
        self.counts: Counter[str] = Counter()

    def fetch(self) -> tuple[int, bool]:
        bounds = AnalysisPolicy.read(self.context.settings.call)
        return call_analysis.fetch_due(
            self.context.store, self.context.retell, bounds, self._count, lambda: False
        )

    def _count(self, result: str) -> None:
        self.counts[result] += 1

    def make_due(self, overdue_seconds: float = 0) -> None:
        past = self.stage.store.now() - timedelta(seconds=overdue_seconds + 1)
        self.stage.database.call_results.update_many(
            {WAIT: {"$exists": True}}, {"$set": {f"{WAIT}.due_at": past}}
        )


def called(stage: Stage, context: WorkerContext, **answer: object) -> Document:
    """A job's call that connected and was settled; its result."""
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
def reader(stage: Stage, context: WorkerContext) -> Reader:
    return Reader(stage, context)


def test_the_analysis_is_added_to_the_result_and_to_the_job_once_it_has_come(
    stage: Stage, context: WorkerContext, reader: Reader
) -> None:
    result = called(stage, context)
    assert "call_analysis" not in result["call_data"]
    assert reader.fetch() == (0, True)  # not due yet: Retell is given time
    stage.simulator.advance(60)
    reader.make_due()
    assert reader.fetch() == (1, True)
    (result,) = stage.results()
    told = result["call_data"]["call_analysis"]
    assert told["call_successful"] is True
    assert stage.job()["call_result"]["summary"]["call_analysis"] == told
    assert WAIT not in result
    assert reader.counts == {"added": 1}
    assert reader.fetch() == (0, True)


def test_a_call_that_nobody_answered_is_not_asked_for(stage: Stage, context: WorkerContext) -> None:
    assert WAIT not in called(stage, context, reason="dial_no_answer")


def test_with_no_tries_nothing_is_marked(stage: Stage) -> None:
    assert WAIT not in called(stage, stage.context(SPEECHAID_ANALYSIS_TRIES=0, **POLLS))


def test_an_analysis_that_never_comes_is_given_up_and_the_record_says_so(
    stage: Stage, context: WorkerContext, reader: Reader
) -> None:
    called(stage, context, analysis=False)
    asked = 0
    while not reader.counts["missing"]:
        reader.make_due()
        assert reader.fetch() == (1, True)
        asked += 1
    assert asked == context.settings.call.analysis_tries
    (result,) = stage.results()
    assert result["analysis_missing"] is True
    assert WAIT not in result
    assert "call_analysis" not in stage.job()["call_result"]["summary"]


def test_an_outage_of_retell_postpones_and_spends_no_try(
    stage: Stage, context: WorkerContext, reader: Reader
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    stage.simulator.fault("outage", endpoints=["get"])
    reader.make_due()
    assert reader.fetch() == (1, False)
    assert stage.results()[0][WAIT]["tries"] == 0
    stage.simulator.clear_faults()
    assert reader.fetch() == (0, True)
    reader.make_due()
    reader.fetch()
    assert reader.counts == {"added": 1}


def test_of_two_hosts_one_asks(stage: Stage, context: WorkerContext, reader: Reader) -> None:
    called(stage, context)
    reader.make_due()
    store = context.store.analyses
    (seen,) = store.due(context.retell.fingerprint, 10)
    assert store.claim(seen) is not None
    assert store.claim(seen) is None
    assert store.due(context.retell.fingerprint, 10) == []


def test_whoever_dies_with_it_in_hand_leaves_it_to_be_asked_for_again(
    stage: Stage, context: WorkerContext, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    reader.make_due()
    store = context.store.analyses

    def dies(*_: object) -> bool:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(store._results, "update", _after(1, store._results.update, dies))
        with pytest.raises(StoreUnavailable):
            reader.fetch()
    assert stage.job()["call_result"]["summary"]["call_analysis"]  # the first of the two writes
    assert stage.results()[0][WAIT]["due_at"] > stage.store.now() + timedelta(seconds=CLAIM_SECONDS / 2)
    reader.make_due()
    reader.fetch()
    assert stage.results()[0]["call_data"]["call_analysis"]
    assert reader.counts == {"added": 1}


def _after(times: int, real: object, then: object) -> object:
    calls = iter([real] * times)

    def operation(*arguments: object, **named: object) -> object:
        return next(calls, then)(*arguments, **named)  # type: ignore[operator]

    return operation


def test_a_job_that_is_still_being_written_about_is_waited_for(
    stage: Stage, context: WorkerContext, reader: Reader
) -> None:
    """Its settler died after the result: the adopter's last write would come after the analysis."""
    result = called(stage, context)
    stage.simulator.advance(60)
    dial = {"key": result["dial_key"], "number": phone(), "call_id": result["call_id"]}
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"dial": dial}})
    reader.make_due()
    reader.fetch()
    assert WAIT in stage.results()[0]
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$unset": {"dial": ""}})
    reader.make_due()
    reader.fetch()
    assert reader.counts == {"added": 1}


def test_a_job_that_went_on_to_another_call_shows_that_one_s(
    stage: Stage, context: WorkerContext, reader: Reader
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"call_id": "call_later"}})
    reader.make_due()
    reader.fetch()
    assert stage.results()[0]["call_data"]["call_analysis"]
    assert "call_analysis" not in stage.job()["call_result"]["summary"]


def test_calls_of_another_key_are_left_to_its_hosts_until_nobody_seems_to_have_it(
    stage: Stage, context: WorkerContext, reader: Reader
) -> None:
    called(stage, context)
    stage.simulator.advance(60)
    stage.database.call_results.update_one({}, {"$set": {f"{WAIT}.key": "another"}})
    reader.make_due()
    assert reader.fetch() == (0, True)
    reader.make_due(ORPHANED_SECONDS)
    assert reader.fetch() == (1, True)
    assert reader.counts == {"added": 1}
