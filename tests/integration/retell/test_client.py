"""The Retell client against the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.model.reading import Document
from speechaid.model.states import CallStatus
from speechaid.retell import client as client_module
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import (
    Ambiguous,
    Blocked,
    CallUnknown,
    NumberRefused,
    RateLimited,
    RetellError,
    RetellUnavailable,
)
from speechaid.retell.requests_body import DIAL_KEY
from tests.support.fleet_harness import until
from tests.support.retell_requests import KEY, NUMBER, body, client_of


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(api_key=KEY, speed=1, concurrency_limit=10_000, calls_per_second=10_000) as started:
        yield started


@pytest.fixture
def simulator(running: SimulatorProcess) -> Iterator[SimulatorProcess]:
    running.script({"*": [{"reason": "user_hangup", "ring_seconds": 5, "talk_seconds": 60}]})
    yield running
    running.clear_faults()


@pytest.fixture
def client(simulator: SimulatorProcess) -> Iterator[RetellClient]:
    with client_of(simulator.base_url) as made:
        yield made


def placed(simulator: SimulatorProcess, key: str) -> int:
    return sum(call["metadata"].get(DIAL_KEY) == key for call in simulator.placed_calls())


def test_a_call_is_created_followed_and_stopped(simulator: SimulatorProcess, client: RetellClient) -> None:
    call = client.create_call(body("whole-life", job_id="j1"))
    assert call.call_status is CallStatus.REGISTERED
    assert call.metadata == {DIAL_KEY: "whole-life", "job_id": "j1"}
    assert client.get_call(call.call_id).call_id == call.call_id
    simulator.advance(10)
    assert client.get_call(call.call_id).call_status is CallStatus.ONGOING
    client.stop_call(call.call_id)
    ended = client.get_call(call.call_id)
    assert (ended.is_over, ended.disconnection_reason) == (True, "manual_stopped")
    assert ended.connected


def test_the_same_body_again_is_the_same_call(simulator: SimulatorProcess, client: RetellClient) -> None:
    first, second = (client.create_call(body("replayed")) for _ in range(2))
    assert first.call_id == second.call_id
    assert placed(simulator, "replayed") == 1


def test_a_create_without_its_key_is_never_sent(simulator: SimulatorProcess, client: RetellClient) -> None:
    before = len(simulator.placed_calls())
    with pytest.raises(ValueError, match="idempotency_key"):
        client.create_call({**body("x"), "idempotency_key": ""})
    assert len(simulator.placed_calls()) == before


def test_a_call_that_still_rings_is_found_by_its_key(client: RetellClient) -> None:
    call = client.create_call(body("looked-up"))
    found = client.find_calls(metadata={DIAL_KEY: "looked-up"})
    assert [one.call_id for one in found] == [call.call_id]
    assert client.find_calls(metadata={DIAL_KEY: "never-dialled"}) == []


def test_calls_are_found_by_number_and_time_whatever_the_pages(
    simulator: SimulatorProcess, client: RetellClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE_SIZE", 2)
    number = "+56900000077"
    early = [client.create_call(body(f"early-{n}", number)).call_id for n in range(3)]
    simulator.advance(3_600)
    now = client.server_date
    assert now is not None
    since = now + timedelta(seconds=1_800)
    late = [client.create_call(body(f"late-{n}", number)).call_id for n in range(2)]
    simulator.advance(10)
    everything = client.find_calls(to_number=number)
    assert sorted(call.call_id for call in everything) == sorted(early + late)
    assert {call.call_id for call in client.find_calls(to_number=number, started_after=since)} == set(late)
    assert len(client.find_calls(to_number=number, limit=3)) == 3


def test_ended_calls_among_many_are_listed_by_one_request(
    simulator: SimulatorProcess, client: RetellClient
) -> None:
    ids = [client.create_call(body(f"listed-{n}", f"+5690000{n:04}")).call_id for n in range(120)]
    client.stop_call(ids[7])
    simulator.clear_requests()
    ended = client.list_calls(ids, ended_only=True)
    assert [(call.call_id, call.is_over) for call in ended] == [(ids[7], True)]
    assert {call.call_id for call in client.list_calls(ids, ended_only=False)} == set(ids)
    assert simulator.requests()["counts"]["list"] == {"200": 2}


def test_a_list_of_ended_calls_gives_no_live_one_and_no_strangers(
    simulator: SimulatorProcess, client: RetellClient
) -> None:
    live = client.create_call(body("lied-about")).call_id
    # As if Retell ignored a filter, and named other calls.
    simulator.fault("rewritten", endpoints=["list"], fields={"call_status": "ended", "call_id": "call_x"})
    assert client.list_calls([live], ended_only=True) == []


@pytest.mark.parametrize("status", [400, 413])
def test_a_list_of_too_many_ids_is_refused_with_its_status(
    simulator: SimulatorProcess, client: RetellClient, status: int
) -> None:
    simulator.change(list_most_ids=2, list_most_ids_status=status)
    try:
        assert client.list_calls(["call_1", "call_2"], ended_only=True) == []
        with pytest.raises(RetellError) as refused:
            client.list_calls(["call_1", "call_2", "call_3"], ended_only=True)
        assert refused.value.status == status
    finally:
        simulator.change(list_most_ids=None)


@pytest.mark.parametrize("style", ["html", "truncated", "empty", "array", "wrong_types"])
def test_a_list_that_cannot_be_read_whole_is_a_fault(
    simulator: SimulatorProcess, client: RetellClient, style: str
) -> None:
    call_id = client.create_call(body(f"garbage-{style}")).call_id
    client.stop_call(call_id)
    simulator.fault("garbage", endpoints=["list"], style=style, when="after")
    with pytest.raises(RetellUnavailable):
        client.list_calls([call_id], ended_only=True)


def test_a_list_that_hangs_is_given_up_in_its_own_time(
    simulator: SimulatorProcess, client: RetellClient
) -> None:
    simulator.fault("hang", endpoints=["list"], seconds=30)
    with pytest.raises(RetellUnavailable):
        client.list_calls(["call_1"], ended_only=True, seconds=0.2)


def test_concurrency_is_told(client: RetellClient) -> None:
    figures = client.get_concurrency()
    assert figures.limit == 10_000
    assert figures.free == 10_000 - figures.current


def test_the_date_of_the_last_answer_is_kept(simulator: SimulatorProcess, client: RetellClient) -> None:
    client.get_concurrency()
    told = client.server_date
    assert told is not None
    assert abs(told.timestamp() - simulator.health()["now"]) < 60
    simulator.fault("reset", endpoints=["concurrency"], count=1)
    with pytest.raises(RetellUnavailable):
        client.get_concurrency()
    assert client.server_date is None


def test_a_refused_number_is_not_the_fault_of_the_key(
    simulator: SimulatorProcess, client: RetellClient
) -> None:
    with pytest.raises(NumberRefused) as refused:
        client.create_call(body("bad-number", "+0"))
    assert refused.value.status in {400, 422}
    simulator.fault("status", status=402, message="no money", endpoints=["create"], count=1)
    with pytest.raises(Blocked, match="no money"):
        client.create_call(body("no-money"))


def test_a_wrong_key_blocks_every_endpoint(simulator: SimulatorProcess) -> None:
    stranger = RetellClient(
        base_url=simulator.base_url, api_key="wrong", timeout_seconds=20, user_agent="speechaid/test"
    )
    requests: list[Callable[[], object]] = [
        lambda: stranger.create_call(body("stranger")),
        lambda: stranger.get_call("call_1"),
        lambda: stranger.find_calls(to_number=NUMBER),
        lambda: stranger.stop_call("call_1"),
        stranger.get_concurrency,
    ]
    with stranger:
        for request in requests:
            with pytest.raises(Blocked) as blocked:
                request()
            assert blocked.value.status == 401


def test_a_rate_limit_says_how_long_to_wait(simulator: SimulatorProcess, client: RetellClient) -> None:
    simulator.fault("rate_limit", retry_after_seconds=7, count=1)
    with pytest.raises(RateLimited) as limited:
        client.create_call(body("limited"))
    assert limited.value.retry_after_seconds == pytest.approx(7, abs=1)
    simulator.fault("outage", retry_after_seconds=90, retry_after_form="date", count=1)
    with pytest.raises(RetellUnavailable) as away:
        client.get_concurrency()
    assert away.value.retry_after_seconds == pytest.approx(90, abs=5)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset"},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 408},
        {"kind": "status", "status": 409},
        {"kind": "outage"},
        {"kind": "garbage", "style": "html"},
        {"kind": "garbage", "style": "truncated"},
        {"kind": "garbage", "style": "empty"},
        {"kind": "garbage", "style": "array"},
        {"kind": "garbage", "style": "wrong_types"},
    ],
    ids=lambda fault: fault.get("style") or fault.get("status") or fault["kind"],
)
def test_a_create_whose_answer_is_lost_is_ambiguous_and_settled_by_its_replay(
    simulator: SimulatorProcess, client: RetellClient, fault: Document, when: str
) -> None:
    key = f"lost-{when}-{sorted(map(str, fault.values()))}"
    simulator.fault(endpoints=["create"], when=when, count=1, **fault)
    with pytest.raises(Ambiguous):
        client.create_call(body(key))
    assert placed(simulator, key) == (1 if when == "after" else 0)
    client.create_call(body(key))
    assert placed(simulator, key) == 1


def test_a_create_that_hangs_is_ambiguous(simulator: SimulatorProcess) -> None:
    simulator.fault("hang", endpoints=["create"], seconds=30, when="after", count=1)
    with (
        client_of(simulator.base_url, seconds=0.5) as impatient,
        pytest.raises(Ambiguous, match="timeout"),
    ):
        impatient.create_call(body("hanging"))
    until(lambda: placed(simulator, "hanging") == 1, "the call")  # it may take longer than that patience


@pytest.mark.parametrize("style", ["html", "truncated", "empty", "array", "wrong_types"])
def test_garbage_is_never_taken_for_an_answer(
    simulator: SimulatorProcess, client: RetellClient, style: str
) -> None:
    call = client.create_call(body(f"garbage-{style}"))
    simulator.fault("garbage", style=style, endpoints=["get", "list", "concurrency"])
    for request in (
        lambda: client.get_call(call.call_id),
        lambda: client.find_calls(to_number=NUMBER),
        client.get_concurrency,
    ):
        with pytest.raises(RetellUnavailable):
            request()


@pytest.mark.parametrize("call_id", ["call_nobody_knows", "..", ".", "", "a/b", "../../x", "ü"])
def test_an_unknown_call_is_unknown_whatever_its_name(client: RetellClient, call_id: str) -> None:
    with pytest.raises(CallUnknown):
        client.get_call(call_id)
    with pytest.raises(CallUnknown):
        client.stop_call(call_id)


def test_every_request_is_observed(simulator: SimulatorProcess) -> None:
    seen: list[tuple[str, str]] = []
    with client_of(simulator.base_url, observe=lambda name, code, _: seen.append((name, code))) as observed:
        call = observed.create_call(body("observed"))
        observed.get_call(call.call_id)
        observed.find_calls(to_number=NUMBER, limit=1)
        observed.stop_call(call.call_id)
        simulator.fault("reset", count=1)
        with pytest.raises(RetellUnavailable):
            observed.get_concurrency()
    assert seen == [
        ("create-phone-call", "201"),
        ("get-call", "200"),
        ("list-calls", "200"),
        ("stop-call", "204"),
        ("get-concurrency", "reset"),
    ]
