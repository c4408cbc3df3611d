"""Calls about which Retell sends nonsense, nothing, or something else than before."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from speechaid.dialer.context import HandOver, WorkerContext
from speechaid.dialer.recovery import recover_one
from tests.support.common_stage import phone
from tests.support.stage import Document, QuietLink, Stage


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    return common_stage


@pytest.fixture
def number(stage: Stage) -> Iterator[str]:
    called = phone()
    stage.add_job(called)
    stage.simulator.script({called: ["user_hangup"]})
    yield called
    # Whatever Retell sent: the person was called once, and one call is recorded at most.
    assert [call["to_number"] for call in stage.placed_calls()] == [called]
    assert len(stage.results()) <= 1


def short_limits(stage: Stage, name: str = "worker-1@host-a:1", **limits: float) -> WorkerContext:
    """A worker whose limits for a call to connect, to be reported and to stop are over at once.

    The stage advances the simulator's clock, not ours, so limits of seconds would never pass.
    """
    context = stage.context(name)
    call = context.settings.call.model_copy(update={"poll_timeout_seconds": 0.0, **limits})
    context.settings = context.settings.model_copy(update={"call": call})
    return context


def place_and_leave(stage: Stage) -> None:
    """A worker places the call and hands it over at its first wait."""
    context = stage.context()
    context.link.hand_over_requested = True
    with pytest.raises(HandOver):
        stage.dial_next(context)


def stops(stage: Stage) -> int:
    return sum(stage.simulator.requests()["counts"].get("stop", {}).values())


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "rate_limit"},
        {"kind": "outage"},
        {"kind": "reset"},
        {"kind": "unauthorized"},
        {"kind": "garbage", "style": "html"},
        {"kind": "garbage", "style": "truncated"},
        {"kind": "garbage", "style": "empty"},
        {"kind": "garbage", "style": "array"},
        {"kind": "garbage", "style": "wrong_types"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_polls_that_fail_for_a_while_change_nothing(stage: Stage, number: str, fault: Document) -> None:
    stage.simulator.fault(**fault, endpoints=["get"], count=5)
    stage.dial_next(stage.context())
    assert stage.job()["status"] == "done"
    assert stops(stage) == 0


def test_a_call_that_retell_does_not_know_is_stopped_parked_and_polled_again(
    stage: Stage, number: str
) -> None:
    context = short_limits(stage)
    stage.simulator.fault("not_found")
    stage.simulator.fault("status", status=404, endpoints=["stop"])
    stage.dial_next(context)
    job = stage.job()
    assert job["status"] == "in_progress"
    assert (job["dial"]["stop_asked_by"], job["dial"]["parked_at"] is not None) == ("limit", True)
    assert stops(stage) >= 1
    assert not stage.recover_one(context)  # not again at once

    stage.lapse()
    assert stage.recover_one(context)  # still unknown: still parked
    assert stage.job()["status"] == "in_progress"

    stage.simulator.advance(60)
    stage.simulator.clear_faults()
    stage.lapse()
    assert stage.recover_one(short_limits(stage, "worker-2@host-b:2"))
    assert stage.job()["status"] == "done"
    assert stage.results()[0]["disconnection_reason"] == "user_hangup"


def test_a_call_that_is_unknown_for_one_poll_is_stopped_and_settled_as_it_ended(
    stage: Stage, number: str
) -> None:
    stage.simulator.fault("not_found", count=1)
    stage.dial_next(stage.context())
    job = stage.job()
    assert stops(stage) == 1
    assert "dial" not in job
    (result,) = stage.results()
    assert result["disconnection_reason"] in {"manual_stopped", "user_hangup"}


def test_a_stop_lost_in_an_outage_is_sent_again(stage: Stage, number: str) -> None:
    stage.simulator.script({number: [{"reason": "user_hangup", "talk_seconds": 100_000, "endless": True}]})

    def once() -> None:
        stage.on_wait = lambda: None
        assert stage.store.requests.ask("job-1", "hang_up", reason=None, by="operator") == "recorded"

    stage.on_wait = once
    stage.simulator.fault("outage", endpoints=["stop"], count=2)
    stage.dial_next(stage.context())
    (call,) = stage.placed_calls()
    assert call["disconnection_reason"] == "manual_stopped"
    assert stage.job()["status"] == "cancelled"
    assert stops(stage) == 3


def test_a_stop_is_sent_again_by_the_worker_that_adopts_the_call(stage: Stage, number: str) -> None:
    stage.simulator.script({number: [{"reason": "user_hangup", "talk_seconds": 100_000, "endless": True}]})
    place_and_leave(stage)
    stage.database.jobs.update_one(
        {}, {"$set": {"dial.stop_asked_by": "limit"}}
    )  # and died before sending it
    assert recover_one(stage.context("worker-2@host-b:2"))
    (call,) = stage.placed_calls()
    assert call["disconnection_reason"] == "manual_stopped"


def test_an_adopter_whose_first_polls_fail_does_not_end_a_conversation(stage: Stage, number: str) -> None:
    stage.simulator.script({number: [{"reason": "user_hangup", "talk_seconds": 500}]})
    place_and_leave(stage)
    long_ago = stage.job()["dial"]["placed_at"].replace(year=2020)
    stage.database.jobs.update_one({}, {"$set": {"dial.placed_at": long_ago}})
    stage.simulator.fault("outage", endpoints=["get"], count=3)
    assert recover_one(stage.context("worker-2@host-b:2"))
    (call,) = stage.placed_calls()
    assert (call["disconnection_reason"], stops(stage)) == ("user_hangup", 0)


def test_a_call_that_rings_too_long_is_stopped_and_counts_as_failed(stage: Stage, number: str) -> None:
    stage.simulator.script({number: [{"reason": "dial_no_answer", "ring_seconds": 100_000, "endless": True}]})
    context = short_limits(stage)
    stage.dial_next(context)
    stage.lapse()
    stage.recover_one(context)
    (call,), (result,) = stage.placed_calls(), stage.results()
    assert (call["disconnection_reason"], result["outcome"]) == ("manual_stopped", "failed")
    assert (stage.job()["status"], stage.job()["attempts"]) == ("pending", 1)


def test_the_first_reported_end_stands_whatever_is_reported_later(stage: Stage, number: str) -> None:
    stage.simulator.fault("outage", endpoints=["create"], count=1, when="after")
    context = stage.context()
    stage.dial_next(context)
    stage.simulator.advance(60)  # the call is over before a worker knows of it
    stage.recover_one(context)
    assert stage.job()["status"] == "done"
    before = stage.results()
    stage.simulator.fault("revived")
    assert not stage.recover_one(context)
    assert not stage.dial_next(context)
    assert stage.results() == before


def test_an_ended_call_reported_as_ongoing_is_stopped_parked_and_settled_once_the_end_is_reported(
    stage: Stage, number: str
) -> None:
    place_and_leave(stage)
    stage.simulator.advance(60)
    stage.simulator.fault("revived")
    assert stage.recover_one(short_limits(stage, max_duration_minutes=0.0, polling_interval_seconds=0.01))
    job = stage.job()
    assert (job["status"], job["dial"]["parked_at"] is not None) == ("in_progress", True)

    stage.simulator.clear_faults()
    stage.lapse()
    assert stage.recover_one(stage.context("worker-2@host-b:2"))
    assert stage.job()["status"] == "done"


def test_an_unknown_disconnection_reason_is_a_failure_and_is_counted(stage: Stage, number: str) -> None:
    stage.simulator.script({number: [{"reason": "struck_by_lightning"}]})
    context = stage.context()
    stage.dial_next(context)
    (result,) = stage.results()
    assert (result["outcome"], result["disconnection_reason"]) == ("failed", "struck_by_lightning")
    assert stage.job()["attempts"] == 1
    assert isinstance(context.link, QuietLink)
    counts = context.link.counts
    assert counts["event call.unknown_end"] == 1
    assert any("unknown" in name and not name.startswith("event") for name in counts)


def test_a_create_slower_than_our_timeout_is_resolved_to_the_same_call(stage: Stage, number: str) -> None:
    stage.simulator.fault("latency", endpoints=["create"], seconds=2.5, count=1)
    context = stage.context(RETELL_TIMEOUT_SECONDS=1)
    stage.dial_next(context)
    assert stage.job()["status"] == "in_progress"
    deadline = time.monotonic() + 60
    while stage.job()["status"] == "in_progress" and time.monotonic() < deadline:
        stage.lapse()
        stage.recover_one(context)
    assert stage.job()["status"] == "done"


class OddStatuses(BaseHTTPRequestHandler):
    """A Retell that reports the given statuses, one per poll, the last one for ever."""

    statuses: ClassVar[list[str]]
    asked: ClassVar[list[str]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.asked.append(self.path.split("/")[2])
        self.answer("registered", 201)

    def do_GET(self) -> None:
        self.asked.append(self.path.split("/")[2])
        self.answer(self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0], 200)

    def answer(self, call_status: str, code: int) -> None:
        body = json.dumps({"call_id": "call_odd", "call_status": call_status}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_an_unknown_call_status_is_no_end(stage: Stage) -> None:
    OddStatuses.statuses, OddStatuses.asked = ["ongoing", "meditating", "meditating", "ended"], []
    with ThreadingHTTPServer(("127.0.0.1", 0), OddStatuses) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            stage.add_job(phone())
            context = stage.context(RETELL_BASE_URL=f"http://127.0.0.1:{server.server_port}")
            stage.dial_next(context)
            context.retell.close()
        finally:
            server.shutdown()
            thread.join()
    assert OddStatuses.asked == ["create-phone-call", "get-call", "get-call", "get-call", "get-call"]
    assert stage.job()["status"] == "done"
    assert len(stage.results()) == 1


@pytest.mark.parametrize("was_stopped", [False, True])
def test_a_call_that_retell_lists_under_another_id_than_its_create_named_is_followed_and_recorded(
    stage: Stage, number: str, was_stopped: bool
) -> None:
    place_and_leave(stage)
    (placed,) = stage.placed_calls()
    # As the create's answer named it, with this dial's key in its metadata.
    named: Document = {"dial.call_id": "call_of_nobody", "call_id": "call_of_nobody"}
    if was_stopped:  # by a worker that got 404, and did not find the call in the list yet
        now = stage.store.now()
        named |= {"dial.stop_asked_by": "limit", "dial.parked_at": now, "dial.unknown_at": now}
    stage.database.jobs.update_one({}, {"$set": named})
    stage.lapse()

    assert recover_one(stage.context())

    (result,) = stage.results()
    assert (result["call_id"], result["outcome"]) == (placed["call_id"], "answered")
    assert stage.job()["status"] == "done"
    assert stops(stage) == 0
