"""Faults over a real connection, as an HTTP client sees them."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from speechaid.demo.simulator.process import SimulatorError, SimulatorProcess

Answer = requests.Response
FROM = "+56220000000"


@pytest.fixture(scope="module")
def shared() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(concurrency_limit=1000) as running:
        yield running


@pytest.fixture
def simulator(shared: SimulatorProcess) -> SimulatorProcess:
    shared.clear_faults()
    shared.clear_requests()
    return shared


def ask(simulator: SimulatorProcess, method: str, path: str, **options: Any) -> Answer:
    headers = {"Authorization": f"Bearer {simulator.api_key}"}
    options = {"timeout": 20, **options}
    return requests.request(method, f"{simulator.base_url}{path}", headers=headers, **options)


def create(simulator: SimulatorProcess, timeout: float = 20, **fields: Any) -> Answer:
    body = {"from_number": FROM, "to_number": fresh_number(), **fields}
    return ask(simulator, "POST", "/v2/create-phone-call", json=body, timeout=timeout)


#: Counted, not random: the outcome of a call is drawn from its number, and each run sees the same.
_serials = itertools.count(50_000_000)


def fresh_number() -> str:
    return f"+569{next(_serials)}"


def placed(simulator: SimulatorProcess, number: str) -> int:
    return sum(call["to_number"] == number for call in simulator.placed_calls())


@pytest.mark.parametrize(("when", "calls"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("fault", ["reset", "hang"])
def test_a_broken_create_has_placed_a_call_only_if_the_fault_comes_after(
    simulator: SimulatorProcess, fault: str, when: str, calls: int
) -> None:
    number, key = fresh_number(), uuid.uuid4().hex
    simulator.fault(fault, when=when, endpoints=["create"], seconds=30, count=1)
    with pytest.raises((requests.ConnectionError, requests.Timeout)):
        create(simulator, timeout=0.5, to_number=number, idempotency_key=key)
    wait_until(
        lambda: placed(simulator, number) == calls
    )  # the client may time out before the operation ends
    replay = create(simulator, to_number=number, idempotency_key=key)
    assert replay.status_code == 201
    assert placed(simulator, number) == 1
    assert simulator.requests()["counts"]["create"] == {"201": 1, fault: 1}


def test_a_reset_is_a_tcp_reset_and_no_orderly_end(simulator: SimulatorProcess) -> None:
    simulator.fault("reset", endpoints=["get"])
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        ask(simulator, "GET", "/v2/get-call/call_1")


@pytest.mark.parametrize(("when", "calls"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("fault", [{"kind": "status"}, {"kind": "status", "status": 408}, {"kind": "outage"}])
def test_an_error_answer_may_hide_a_call(
    simulator: SimulatorProcess, fault: dict[str, Any], when: str, calls: int
) -> None:
    number = fresh_number()
    simulator.fault(when=when, **fault)
    answer = create(simulator, to_number=number)
    assert answer.status_code == fault.get("status", 503 if fault["kind"] == "outage" else 500)
    assert answer.json()["message"]
    assert placed(simulator, number) == calls


@pytest.mark.parametrize("style", ["html", "truncated", "empty"])
def test_garbage_has_a_success_status_and_is_no_json(simulator: SimulatorProcess, style: str) -> None:
    number = fresh_number()
    simulator.fault("garbage", when="after", style=style, endpoints=["create"])
    answer = create(simulator, to_number=number)
    assert answer.status_code == 201
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert placed(simulator, number) == 1


@pytest.mark.parametrize("style", ["array", "wrong_types"])
def test_garbage_can_be_json_of_another_type(simulator: SimulatorProcess, style: str) -> None:
    simulator.fault("garbage", style=style)
    answer = ask(simulator, "GET", "/v2/get-call/call_1")
    assert answer.status_code == 200
    assert not isinstance(answer.json(), dict) or answer.json()["call_id"] == 7


def test_the_key_of_a_slow_create_is_in_use(simulator: SimulatorProcess) -> None:
    fields: dict[str, Any] = {"to_number": fresh_number(), "idempotency_key": uuid.uuid4().hex}
    simulator.fault("latency", seconds=60, endpoints=["create"], count=1)
    with pytest.raises(requests.Timeout):
        create(simulator, timeout=0.3, **fields)
    assert create(simulator, **fields).status_code == 409


def test_a_slow_create_completes_after_its_client_has_disconnected(simulator: SimulatorProcess) -> None:
    fields: dict[str, Any] = {"to_number": fresh_number(), "idempotency_key": uuid.uuid4().hex}
    simulator.fault("latency", seconds=1, endpoints=["create"], count=1)
    with pytest.raises(requests.Timeout):
        create(simulator, timeout=0.3, **fields)
    wait_until(lambda: placed(simulator, fields["to_number"]) == 1)
    assert create(simulator, **fields).status_code == 201
    assert placed(simulator, fields["to_number"]) == 1


def wait_until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(600):
        if holds():
            return
        pause.wait(0.05)
    pytest.fail("the condition was not met in time")


def test_a_latency_after_the_operation_delays_only_the_response(simulator: SimulatorProcess) -> None:
    number = fresh_number()
    simulator.fault("latency", seconds=30, when="after", endpoints=["create"], count=1)
    with pytest.raises(requests.Timeout):
        create(simulator, timeout=0.3, to_number=number)
    wait_until(lambda: placed(simulator, number) == 1)


def test_refusals_have_the_status_of_their_kind(simulator: SimulatorProcess) -> None:
    for kind, status in (("rate_limit", 429), ("unauthorized", 401), ("payment_required", 402)):
        fault = simulator.fault(kind, headers={"x-should-retry": "false"})
        answer = create(simulator)
        assert answer.status_code == status
        assert answer.headers["x-should-retry"] == "false"
        assert ("retry-after" in answer.headers) is (status == 429)
        simulator.clear_faults(fault)


def test_a_call_can_be_missing_from_get_call_only(simulator: SimulatorProcess) -> None:
    call_id = create(simulator).json()["call_id"]
    fault = simulator.fault("not_found", call_id=call_id)
    assert ask(simulator, "GET", f"/v2/get-call/{call_id}").status_code == 404
    assert ask(simulator, "POST", f"/v2/stop-call/{call_id}").status_code == 204
    simulator.clear_faults(fault)
    assert ask(simulator, "GET", f"/v2/get-call/{call_id}").status_code == 200


def test_a_stop_can_be_acknowledged_and_ignored(simulator: SimulatorProcess) -> None:
    number = fresh_number()
    simulator.script({number: [{"reason": "user_hangup", "ring_seconds": 0, "endless": True}]})
    call_id = create(simulator, to_number=number).json()["call_id"]
    simulator.fault("status", status=204, endpoints=["stop"], count=1)
    assert ask(simulator, "POST", f"/v2/stop-call/{call_id}").status_code == 204
    assert ask(simulator, "GET", f"/v2/get-call/{call_id}").json()["call_status"] == "ongoing"
    assert ask(simulator, "POST", f"/v2/stop-call/{call_id}").status_code == 204
    assert ask(simulator, "GET", f"/v2/get-call/{call_id}").json()["call_status"] == "ended"


def test_invalid_json_and_unknown_paths_get_error_responses(
    simulator: SimulatorProcess,
) -> None:
    assert ask(simulator, "POST", "/v2/create-phone-call", data=b"{").status_code == 400
    unknown = ask(simulator, "GET", "/v9/nothing")
    assert (unknown.status_code, unknown.json()["status"]) == (404, "error")
    assert ask(simulator, "GET", "/v2/create-phone-call").status_code == 405


def test_the_date_header_follows_the_simulators_clock(simulator: SimulatorProcess) -> None:
    before = ask(simulator, "GET", "/get-concurrency").headers["date"]
    simulator.advance(86_400)
    assert ask(simulator, "GET", "/get-concurrency").headers["date"][:16] != before[:16]


def test_received_create_requests_can_be_read_back(simulator: SimulatorProcess) -> None:
    number = fresh_number()
    create(simulator, to_number=number, agent_id="a name the API does not know")
    create(simulator, to_number="12")
    requests_log = simulator.requests()
    assert [(entry["result"], entry["body"]["to_number"]) for entry in requests_log["creates"]] == [
        ("201", number),
        ("422", "12"),
    ]
    assert requests_log["creates"][0]["body"]["agent_id"] == "a name the API does not know"
    assert requests_log["counts"] == {"create": {"201": 1, "422": 1}}


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda s: s.fault("meteor"), "kind"),
        (lambda s: s.fault("reset", endpoint="create"), "endpoint"),
        (lambda s: s.clear_faults("fault-0"), "no fault fault-0"),
        (lambda s: s.change(ring_seconds=[5, 1]), "ring_seconds"),
        (lambda s: s.change(ring_secs=[1, 5]), "ring_secs"),
        (lambda s: s.script({"+56922220001": []}), "script"),
        (lambda s: s.advance(-1), "advance_seconds"),
    ],
)
def test_an_invalid_control_request_is_refused_with_its_reason(
    simulator: SimulatorProcess, refused: Callable[[SimulatorProcess], object], message: str
) -> None:
    with pytest.raises(SimulatorError, match=message):
        refused(simulator)


def test_settings_can_be_changed_while_it_runs_and_show_no_key(simulator: SimulatorProcess) -> None:
    settings = simulator.change(list_delay_seconds=60)
    number = fresh_number()
    create(simulator, to_number=number)
    criteria = {"to_number": {"type": "string", "op": "eq", "value": number}}
    body = {"filter_criteria": criteria}
    assert ask(simulator, "POST", "/v3/list-calls", json=body).json()["items"] == []
    simulator.change(list_delay_seconds=0)
    assert len(ask(simulator, "POST", "/v3/list-calls", json=body).json()["items"]) == 1
    assert settings["list_delay_seconds"] == 60
    assert simulator.api_key not in str(settings)
