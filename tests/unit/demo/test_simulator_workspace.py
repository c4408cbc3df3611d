"""The operations of the API: idempotency keys, limits, refusals, lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from speechaid.demo.simulator.bodies import Refusal
from speechaid.demo.simulator.calls import Call
from speechaid.demo.simulator.placed_calls import PlacedCallsFile, read_calls
from speechaid.demo.simulator.settings import Settings
from speechaid.demo.simulator.workspace import AcceptedCreate, Workspace
from tests.unit.demo.test_simulator_calls import NOON, NUMBER, body, make_workspace, place, scripted

HOUR = 3600.0


def refusal(workspace: Workspace, document: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        workspace.open(document, "fingerprint", NOON)
    return caught.value


def test_the_same_key_and_body_give_the_same_call_for_an_hour() -> None:
    workspace = make_workspace()
    document = body(idempotency_key="dial-1", metadata={"a": 1, "b": 2})
    call = place(workspace, document)
    reordered = dict(reversed(document.items()))
    assert place(workspace, reordered, NOON + HOUR - 1) is call
    assert place(workspace, document, NOON + HOUR).call_id != call.call_id
    assert len(workspace.all_calls()) == 2


def test_another_body_under_a_used_key_is_a_conflict() -> None:
    workspace = make_workspace()
    place(workspace, body(idempotency_key="dial-1"))
    assert refusal(workspace, body(idempotency_key="dial-1", metadata={})).status == 409


def test_a_key_whose_first_request_is_still_processed_is_a_conflict() -> None:
    workspace = make_workspace()
    accepted = workspace.open(body(idempotency_key="dial-1"), "fingerprint", NOON)
    assert isinstance(accepted, AcceptedCreate)
    assert refusal(workspace, body(idempotency_key="dial-1")).status == 409
    call = workspace.place(accepted, NOON + 1)
    assert place(workspace, body(idempotency_key="dial-1"), NOON + 2) is call


def test_a_refused_request_leaves_its_key_free() -> None:
    workspace = make_workspace(do_not_call={NUMBER})
    document = body(idempotency_key="dial-1", honor_internal_dnc=True)
    assert refusal(workspace, document).status == 400
    workspace.settings = workspace.settings.changed({"do_not_call": []})
    assert place(workspace, document).idempotency_key == "dial-1"


def test_without_a_key_the_same_body_makes_two_calls() -> None:
    workspace = make_workspace()
    assert place(workspace).call_id != place(workspace).call_id


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"to_number": "912345678"}, 422, "to_number"),
        ({"to_number": "+0912345678"}, 422, "to_number"),
        ({"from_number": "22000"}, 422, "from_number"),
        ({"to_number": 56922220001}, 400, "to_number"),
        ({"to_number": None}, 400, "to_number"),
        ({"retell_llm_dynamic_variables": {"monto": 5}}, 400, "retell_llm_dynamic_variables.monto"),
        ({"metadata": "text"}, 400, "metadata"),
        ({"metadata": {"long": "x" * 50_001}}, 400, "metadata"),
        ({"honor_internal_dnc": "yes"}, 400, "honor_internal_dnc"),
        ({"override_agent_id": None}, 400, "override_agent_id"),
        ({"agent_override": {"agent": {"ring_duration_ms": 4_999}}}, 400, "ring_duration_ms"),
        ({"agent_override": {"agent": {"ring_duration_ms": 30.5}}}, 400, "ring_duration_ms"),
        ({"agent_override": {"agent": {"max_call_duration_ms": 7_200_001}}}, 400, "max_call_duration_ms"),
    ],
)
def test_the_refusal_of_an_invalid_field_names_it(changes: dict[str, Any], status: int, field: str) -> None:
    refused = refusal(make_workspace(), {**body(), **changes})
    assert refused.status == status
    assert field in refused.message


@pytest.mark.parametrize("document", [None, [], "text", {}])
def test_a_body_that_is_no_create_request_is_refused(document: object) -> None:
    assert refusal(make_workspace(), document).status == 400


def test_pseudo_numbers_are_accepted_if_the_request_waives_the_check() -> None:
    call = place(make_workspace(), body("1001", from_number="2000", ignore_e164_validation=True))
    assert call.to_number == "1001"


def test_the_refusal_of_a_foreign_caller_number_does_not_name_the_called_number() -> None:
    refused = refusal(make_workspace(from_numbers={"+56221111111"}), body())
    assert refused.status == 404
    assert "to_number" not in refused.message


def test_do_not_call_is_honoured_only_if_the_request_asks_for_it() -> None:
    workspace = make_workspace(do_not_call={NUMBER})
    refused = refusal(workspace, body(honor_internal_dnc=True))
    assert (refused.status, "to_number" in refused.message) == (400, True)
    assert place(workspace).to_number == NUMBER


def test_a_do_not_call_request_takes_effect_when_the_call_ends() -> None:
    workspace = scripted("user_requested_dnc")
    call = place(workspace)
    document = body(honor_internal_dnc=True)
    assert isinstance(workspace.open(document, "fingerprint", call.ends_at - 0.1), AcceptedCreate)
    with pytest.raises(Refusal):
        workspace.open(document, "fingerprint", call.ends_at)


def test_a_call_above_the_limit_is_placed_and_ends_at_once_with_an_error() -> None:
    workspace = scripted({"reason": "user_hangup", "ring_seconds": 5, "talk_seconds": 5}, concurrency_limit=2)
    reasons = [place(workspace, body(f"+5692222000{n}")).end_reason for n in range(3)]
    assert reasons == ["user_hangup", "user_hangup", "concurrency_limit_reached"]
    assert workspace.concurrency(NOON) == 2
    assert workspace.concurrency(NOON + 10) == 0
    assert place(workspace, now=NOON + 10).end_reason == "user_hangup"


@pytest.mark.parametrize(
    ("settings", "outbound", "burst"),
    [
        ({"concurrency_limit": 20}, 20, 0),
        ({"concurrency_limit": 20, "reserved_inbound": 5}, 15, 0),
        ({"concurrency_limit": 20, "burst": True}, 60, 60),
        ({"concurrency_limit": 400, "burst": True, "reserved_inbound": 10}, 690, 700),
        ({"concurrency_limit": 2, "reserved_inbound": 5}, 0, 0),
    ],
)
def test_reserved_slots_lower_and_burst_raises_the_limit(
    settings: dict[str, Any], outbound: int, burst: int
) -> None:
    workspace = make_workspace(**settings)
    answer = workspace.concurrency_document(NOON)
    assert workspace.settings.outbound_limit == outbound
    assert answer["concurrency_burst_limit"] == burst
    assert answer["base_concurrency"] + answer["purchased_concurrency"] == answer["concurrency_limit"]


def test_too_many_creates_per_second_from_one_number_get_429_with_a_retry_time() -> None:
    workspace = make_workspace(calls_per_second=2)
    place(workspace)
    place(workspace)
    refused = refusal(workspace, body())
    assert refused.status == 429
    assert refused.headers == {"retry-after": "1", "retry-after-ms": "1000"}
    place(workspace, body(from_number="+56221111111"))
    place(workspace, now=NOON + 1)
    assert len(workspace.all_calls()) == 4


def test_a_call_is_listed_only_after_the_list_delay() -> None:
    workspace = make_workspace(list_delay_seconds=10)
    call = place(workspace)
    assert workspace.list_calls({}, NOON + 9)["items"] == []
    assert [shown["call_id"] for shown in workspace.list_calls({}, NOON + 10)["items"]] == [call.call_id]


def statuses(workspace: Workspace, now: float, *call_ids: str) -> list[str]:
    criteria = {"call_id": {"type": "enum", "op": "in", "value": list(call_ids)}}
    return [
        shown["call_status"] for shown in workspace.list_calls({"filter_criteria": criteria}, now)["items"]
    ]


def test_a_list_that_lags_shows_each_call_as_it_was() -> None:
    workspace = scripted("user_hangup", list_lag_seconds=10, ring_seconds=(25, 25))
    call = place(workspace)
    workspace.stop(call.call_id, NOON + 20)
    assert workspace.get(call.call_id).is_over(NOON + 20)
    assert statuses(workspace, NOON + 9, call.call_id) == []
    assert statuses(workspace, NOON + 29, call.call_id) == ["registered"]
    assert statuses(workspace, NOON + 30, call.call_id) == ["not_connected"]


def test_a_list_may_lack_ringing_calls() -> None:
    workspace = make_workspace(list_lacks_ringing=True, ring_seconds=(5, 5))
    call = place(workspace)
    assert statuses(workspace, NOON + 0.5, call.call_id) == []
    assert statuses(workspace, NOON + 500, call.call_id) == [workspace.get(call.call_id).end_status.value]


@pytest.mark.parametrize("status", [400, 413])
def test_a_list_may_refuse_too_many_ids(status: int) -> None:
    workspace = make_workspace(list_most_ids=2, list_most_ids_status=status)
    assert statuses(workspace, NOON, "call_1", "call_2") == []
    with pytest.raises(Refusal) as refused:
        statuses(workspace, NOON, "call_1", "call_2", "call_3")
    assert refused.value.status == status


def test_list_items_leave_the_transcript_out() -> None:
    workspace = scripted("user_hangup", promise_odds=1)
    place(workspace)
    shown = workspace.list_calls({}, NOON + 500)["items"][0]
    assert "recording_url" in shown
    assert "collected_dynamic_variables" in shown
    assert not {"transcript", "transcript_object"} & set(shown)


def test_calls_and_keys_are_restored_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "placed-calls.jsonl"
    first = Workspace(Settings(api_keys=frozenset({"key"})), PlacedCallsFile(path))
    document = body(idempotency_key="dial-1", metadata={"job": "7"})
    kept = place(first, document)
    stopped = place(first, body("+56922220002"))
    first.stop(stopped.call_id, NOON + 1)
    with path.open("a") as file:
        file.write('{"event": "placed", "call_id": "half a li')

    second = Workspace(Settings(api_keys=frozenset({"key"})), PlacedCallsFile(path))
    second.restore(read_calls(path))

    assert second.placed_calls(NOON + 2) == first.placed_calls(NOON + 2)
    replayed = second.open(document, "fingerprint", NOON + 60)
    assert isinstance(replayed, Call)
    assert replayed.call_id == kept.call_id
    place(second, body("+56922220003"))
    assert len(read_calls(path)) == 3
