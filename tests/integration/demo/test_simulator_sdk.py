"""The official SDK, with strict response validation, as the simulator's client."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import retell
from retell import Retell
from retell.types import PhoneCallResponse
from retell.types.call_list_response import ItemV3PhoneCallResponse

from speechaid.demo.simulator.directory import DEFAULT_NUMBERS
from speechaid.demo.simulator.document import ENDED_FIELDS, HEAVY
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.demo.simulator.reasons import ENDINGS

FROM = "+56220000000"


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(concurrency_limit=1000, ring_seconds=(10, 10), talk_seconds=(50, 50)) as running:
        yield running


@pytest.fixture
def client(simulator: SimulatorProcess) -> Iterator[Retell]:
    simulator.clear_faults()
    simulator.clear_script()
    simulator.clear_requests()
    with sdk(simulator) as created:
        yield created


def sdk(simulator: SimulatorProcess, api_key: str | None = None) -> Retell:
    return Retell(
        api_key=api_key or simulator.api_key,
        base_url=simulator.base_url,
        max_retries=0,
        timeout=20,
        _strict_response_validation=True,
    )


#: Counted, not random: the outcome of a call is drawn from its number, and each run sees the same.
_serials = itertools.count(50_000_000)


def fresh_number() -> str:
    return f"+569{next(_serials)}"


def create(client: Retell, **fields: Any) -> PhoneCallResponse:
    return client.call.create_phone_call(**{"from_number": FROM, "to_number": fresh_number(), **fields})


def test_every_reason_in_every_state_passes_strict_validation(
    simulator: SimulatorProcess, client: Retell
) -> None:
    numbers = {fresh_number(): reason for reason in ENDINGS}
    simulator.script({number: [reason] for number, reason in numbers.items()})
    batch = uuid.uuid4().hex
    calls = [create(client, to_number=number, metadata={"batch": batch}) for number in numbers]
    states = {call.call_status for call in calls}
    for seconds in (10.5, 3_700, 10):
        simulator.advance(seconds)
        for call in calls:
            answer = client.call.retrieve(call.call_id)
            assert isinstance(answer, PhoneCallResponse)
            states.add(answer.call_status)
            if seconds == 10:
                assert answer.disconnection_reason == numbers[call.to_number]
                assert (answer.call_analysis is not None) is ("transcript" in answer.to_dict())
        page = client.call.list(filter_criteria=metadata("batch", batch), limit=1000)
        assert {item.call_id for item in page.items} == {call.call_id for call in calls}
    assert states == {"registered", "ongoing", "ended", "not_connected", "error"}


def metadata(key: str, value: str) -> Any:
    return {"metadata": [{"key": key, "type": "string", "op": "eq", "value": value}]}


def test_a_listed_call_has_what_retell_lists_and_no_transcript(
    simulator: SimulatorProcess, client: Retell
) -> None:
    batch = uuid.uuid4().hex
    promise = {"reason": "user_hangup", "collected": {"fecha_pago_cliente": "2026-12-01"}}
    numbers = {
        fresh_number(): [outcome] for outcome in (promise, "user_hangup", "voicemail_reached", "dial_busy")
    }
    simulator.script(numbers)
    calls = [create(client, metadata={"batch": batch}, to_number=number) for number in numbers]
    simulator.advance(4_000)
    whole = {call.call_id: client.call.retrieve(call.call_id).to_dict() for call in calls}
    assert any({"transcript", "collected_dynamic_variables"} <= fields.keys() for fields in whole.values())
    page = client.call.list(filter_criteria=metadata("batch", batch))
    listed = {item.call_id: item.to_dict() for item in page.items}
    assert listed == {
        call_id: {
            name: value for name, value in fields.items() if name in ItemV3PhoneCallResponse.model_fields
        }
        for call_id, fields in whole.items()
    }


def test_what_the_list_leaves_out_is_what_the_sdk_s_type_of_its_items_lacks() -> None:
    missing = PhoneCallResponse.model_fields.keys() - ItemV3PhoneCallResponse.model_fields.keys()
    assert missing & ENDED_FIELDS == HEAVY


def test_a_rewritten_call_is_reported_as_the_test_says(simulator: SimulatorProcess, client: Retell) -> None:
    simulator.fault("rewritten", endpoints=["create"], fields={"agent_name": "Eve"}, without=["metadata"])
    call = create(client, metadata={"batch": "b"})
    assert (call.agent_name, call.metadata) == ("Eve", None)
    assert client.call.retrieve(call.call_id).metadata == {"batch": "b"}
    simulator.fault("rewritten", endpoints=["get"], fill={"transcript": 4000}, raw='"agent_name": "Eve"')
    answer = client.call.retrieve(call.call_id)
    assert (answer.agent_name, len(answer.transcript or "")) == ("Eve", 4000)


def test_every_used_field_of_a_create_is_on_the_call(client: Retell) -> None:
    call = create(
        client,
        override_agent_id="agent_7",
        override_agent_version=3,
        metadata={"dial_key": "k", "nested": {"deep": [1, None]}},
        retell_llm_dynamic_variables={"nombre": "Ana"},
        custom_sip_headers={"X-Campaign": "7"},
        agent_override={"agent": {"ring_duration_ms": 5_000, "max_call_duration_ms": 60_000}},
        honor_internal_dnc=True,
        idempotency_key=uuid.uuid4().hex,
    )
    assert call.call_status == "registered"
    assert (call.agent_id, call.agent_version) == ("agent_7", 3)
    assert call.metadata == {"dial_key": "k", "nested": {"deep": [1, None]}}
    assert call.retell_llm_dynamic_variables == {"nombre": "Ana"}
    assert call.custom_sip_headers == {"X-Campaign": "7"}
    assert call.direction == "outbound"


def test_a_key_has_one_call_within_its_hour(simulator: SimulatorProcess, client: Retell) -> None:
    fields = {"to_number": fresh_number(), "idempotency_key": uuid.uuid4().hex}
    first = create(client, **fields)
    simulator.advance(3_590)
    assert create(client, **fields).call_id == first.call_id
    simulator.advance(20)
    assert create(client, **fields).call_id != first.call_id
    placed = [call for call in simulator.placed_calls() if call["to_number"] == fields["to_number"]]
    assert len(placed) == 2


def test_stopping_ends_a_call_and_a_second_stop_is_refused(
    simulator: SimulatorProcess, client: Retell
) -> None:
    number = fresh_number()
    simulator.script({number: ["user_hangup"]})
    call = create(client, to_number=number)
    simulator.advance(20)
    client.call.stop(call.call_id)
    answer = client.call.retrieve(call.call_id)
    assert isinstance(answer, PhoneCallResponse)
    assert (answer.call_status, answer.disconnection_reason) == ("ended", "manual_stopped")
    assert answer.duration_ms is not None
    assert 10_000 <= answer.duration_ms < 40_000
    with pytest.raises(retell.BadRequestError):
        client.call.stop(call.call_id)


def test_the_list_can_be_read_page_by_page(client: Retell) -> None:
    batch = uuid.uuid4().hex
    created = {create(client, metadata={"batch": batch}).call_id for _ in range(5)}
    seen: list[str] = []
    page = client.call.list(filter_criteria=metadata("batch", batch), limit=2, include_total=True)
    while True:
        assert page.total == 5
        seen += [item.call_id for item in page.items]
        if not page.has_more:
            break
        assert page.pagination_key is not None
        page = client.call.list(
            filter_criteria=metadata("batch", batch),
            limit=2,
            include_total=True,
            pagination_key=page.pagination_key,
        )
    assert len(seen) == 5
    assert set(seen) == created


def test_concurrency_counts_live_calls(simulator: SimulatorProcess, client: Retell) -> None:
    simulator.advance(7_500)
    number = fresh_number()
    simulator.script({number: ["user_hangup"]})
    create(client, to_number=number)
    answer = client.concurrency.retrieve()
    assert (answer.current_concurrency, answer.concurrency_limit) == (1, 1000)
    simulator.advance(60)
    assert client.concurrency.retrieve().current_concurrency == 0


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"to_number": "12345"}, retell.UnprocessableEntityError, "to_number"),
        ({"from_number": "nobody"}, retell.UnprocessableEntityError, "from_number"),
        ({"metadata": "text"}, retell.BadRequestError, "metadata"),
    ],
)
def test_the_sdk_raises_the_error_of_each_refusal(
    client: Retell, fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        create(client, **fields)


def test_an_unknown_call_is_not_found(client: Retell) -> None:
    with pytest.raises(retell.NotFoundError):
        client.call.retrieve("call_unknown")
    with pytest.raises(retell.NotFoundError):
        client.call.stop("call_unknown")


def test_a_wrong_key_is_refused_by_every_endpoint_and_places_no_call(
    simulator: SimulatorProcess, client: Retell
) -> None:
    placed = simulator.health()["calls"]
    with sdk(simulator, "key_unknown") as other:
        for request in (
            lambda: create(other),
            lambda: other.call.retrieve("call_1"),
            other.call.list,
            lambda: other.call.stop("call_1"),
            other.concurrency.retrieve,
            lambda: other.agent.retrieve("agent_demo"),
            other.agent.list,
            lambda: other.llm.retrieve("llm_agent_demo"),
            lambda: other.conversation_flow.retrieve("conversation_flow_agent_demo_flow"),
            lambda: other.phone_number.retrieve(FROM),
            other.phone_number.list,
        ):
            with pytest.raises(retell.AuthenticationError):
                request()
    assert simulator.health()["calls"] == placed
    assert {tuple(results) for results in simulator.requests()["counts"].values()} == {("401",)}


def test_agents_and_their_prompts_pass_strict_validation(client: Retell) -> None:
    listed = client.agent.list()
    agents = [client.agent.retrieve(item.agent_id) for item in listed.items]
    assert [item.agent_name for item in listed.items] == [agent.agent_name for agent in agents]
    assert len({agent.response_engine.type for agent in agents}) == 3
    for agent in agents:
        engine = agent.response_engine
        if engine.type == "retell-llm":
            assert "{{nombre}}" in str(client.llm.retrieve(engine.llm_id).general_prompt)
        elif engine.type == "conversation-flow":
            flow = client.conversation_flow.retrieve(engine.conversation_flow_id)
            assert flow.nodes
            assert "{{fecha_cita}}" in str(flow.nodes[0].to_dict())


def test_numbers_pass_strict_validation_page_by_page(client: Retell) -> None:
    pages = [client.phone_number.list(limit=1)]
    while pages[-1].has_more:
        assert pages[-1].pagination_key is not None
        pages.append(client.phone_number.list(limit=1, pagination_key=pages[-1].pagination_key))
    numbers = [page.items[0].phone_number for page in pages]
    assert sorted(numbers) == sorted(DEFAULT_NUMBERS)
    assert [client.phone_number.retrieve(number).phone_number for number in numbers] == numbers


def test_what_the_workspace_is_told_not_to_have_is_not_found(
    simulator: SimulatorProcess, client: Retell
) -> None:
    simulator.change(agents={"agent_a": {"engine": "custom-llm"}}, numbers={FROM: {"nickname": "Santiago"}})
    assert [item.agent_id for item in client.agent.list().items] == ["agent_a"]
    assert client.phone_number.retrieve(FROM).nickname == "Santiago"
    for request in (
        lambda: client.agent.retrieve("agent_b"),
        lambda: client.llm.retrieve("llm_agent_a"),
        lambda: client.conversation_flow.retrieve("conversation_flow_agent_a"),
        lambda: client.phone_number.retrieve("+56229999999"),
    ):
        with pytest.raises(retell.NotFoundError):
            request()
    simulator.change(agents=None, numbers=None)
    assert client.agent.retrieve("agent_b").agent_id == "agent_b"


def test_the_sdk_retries_after_a_rate_limit_and_succeeds(simulator: SimulatorProcess, client: Retell) -> None:
    simulator.fault("rate_limit", count=1, retry_after_seconds=0.2, endpoints=["concurrency"])
    assert client.with_options(max_retries=1).concurrency.retrieve().concurrency_limit == 1000
    assert simulator.requests()["counts"]["concurrency"] == {"200": 1, "429": 1}


def test_unknown_reasons_and_revived_calls_are_reported_on_demand(
    simulator: SimulatorProcess, client: Retell
) -> None:
    number = fresh_number()
    simulator.script({number: ["user_hangup"]})
    call = create(client, to_number=number)
    simulator.advance(100)
    simulator.fault("revived", call_id=call.call_id, skip=1, count=1)
    answers = [client.call.retrieve(call.call_id) for _ in range(3)]
    assert [answer.call_status for answer in answers] == ["ended", "ongoing", "ended"]
    assert answers[1].duration_ms is None
    simulator.fault("unknown_reason", call_id=call.call_id)
    with pytest.raises(retell.APIResponseValidationError):
        client.call.retrieve(call.call_id)
