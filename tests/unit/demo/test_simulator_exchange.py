"""The switchboard: idempotency keys, limits, refusals, look-ups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from speechaid.demo.simulator.bodies import Refusal
from speechaid.demo.simulator.calls import Call
from speechaid.demo.simulator.exchange import Exchange, Ticket
from speechaid.demo.simulator.ledger import LedgerFile, read_calls
from speechaid.demo.simulator.settings import Settings
from tests.unit.demo.test_simulator_calls import NOON, NUMBER, body, exchange, place, scripted

HOUR = 3600.0


def refusal(snapshots: Exchange, document: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        snapshots.open(document, "fingerprint", NOON)
    return caught.value


def test_the_same_key_and_body_give_the_same_call_for_an_hour() -> None:
    snapshots = exchange()
    document = body(idempotency_key="dial-1", metadata={"a": 1, "b": 2})
    call = place(snapshots, document)
    reordered = dict(reversed(document.items()))
    assert place(snapshots, reordered, NOON + HOUR - 1) is call
    assert place(snapshots, document, NOON + HOUR).call_id != call.call_id
    assert len(snapshots.all_calls()) == 2


def test_another_body_under_a_used_key_is_a_conflict() -> None:
    snapshots = exchange()
    place(snapshots, body(idempotency_key="dial-1"))
    assert refusal(snapshots, body(idempotency_key="dial-1", metadata={})).status == 409


def test_a_key_whose_first_request_is_still_at_work_is_a_conflict() -> None:
    snapshots = exchange()
    ticket = snapshots.open(body(idempotency_key="dial-1"), "fingerprint", NOON)
    assert isinstance(ticket, Ticket)
    assert refusal(snapshots, body(idempotency_key="dial-1")).status == 409
    call = snapshots.place(ticket, NOON + 1)
    assert place(snapshots, body(idempotency_key="dial-1"), NOON + 2) is call


def test_a_refused_request_leaves_its_key_free() -> None:
    snapshots = exchange(do_not_call={NUMBER})
    document = body(idempotency_key="dial-1", honor_internal_dnc=True)
    assert refusal(snapshots, document).status == 400
    snapshots.settings = snapshots.settings.changed({"do_not_call": []})
    assert place(snapshots, document).idempotency_key == "dial-1"


def test_without_a_key_the_same_body_makes_two_calls() -> None:
    snapshots = exchange()
    assert place(snapshots).call_id != place(snapshots).call_id


@pytest.mark.parametrize(
    ("changes", "status", "blamed"),
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
def test_a_bad_field_is_refused_by_its_name(changes: dict[str, Any], status: int, blamed: str) -> None:
    refused = refusal(exchange(), {**body(), **changes})
    assert refused.status == status
    assert blamed in refused.message


@pytest.mark.parametrize("document", [None, [], "text", {}])
def test_a_body_that_is_no_create_request_is_refused(document: object) -> None:
    assert refusal(exchange(), document).status == 400


def test_pseudo_numbers_pass_where_the_request_waives_the_check() -> None:
    call = place(exchange(), body("1001", from_number="2000", ignore_e164_validation=True))
    assert call.to_number == "1001"


def test_a_caller_number_of_somebody_else_is_refused_without_blaming_the_number_called() -> None:
    refused = refusal(exchange(from_numbers={"+56221111111"}), body())
    assert refused.status == 404
    assert "to_number" not in refused.message


def test_do_not_call_is_honoured_only_where_the_request_asks() -> None:
    snapshots = exchange(do_not_call={NUMBER})
    refused = refusal(snapshots, body(honor_internal_dnc=True))
    assert (refused.status, "to_number" in refused.message) == (400, True)
    assert place(snapshots).to_number == NUMBER


def test_a_person_who_asked_for_it_is_marked_do_not_call_from_then_on() -> None:
    snapshots = scripted("user_requested_dnc")
    call = place(snapshots)
    document = body(honor_internal_dnc=True)
    assert isinstance(snapshots.open(document, "fingerprint", call.ends_at - 0.1), Ticket)
    with pytest.raises(Refusal):
        snapshots.open(document, "fingerprint", call.ends_at)


def test_a_call_above_the_limit_is_made_and_ends_as_an_error_at_once() -> None:
    snapshots = scripted({"reason": "user_hangup", "ring_seconds": 5, "talk_seconds": 5}, concurrency_limit=2)
    reasons = [place(snapshots, body(f"+5692222000{n}")).end_reason for n in range(3)]
    assert reasons == ["user_hangup", "user_hangup", "concurrency_limit_reached"]
    assert snapshots.concurrency(NOON) == 2
    assert snapshots.concurrency(NOON + 10) == 0
    assert place(snapshots, now=NOON + 10).end_reason == "user_hangup"


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
    snapshots = exchange(**settings)
    told = snapshots.concurrency_document(NOON)
    assert snapshots.settings.outbound_limit == outbound
    assert told["concurrency_burst_limit"] == burst
    assert told["base_concurrency"] + told["purchased_concurrency"] == told["concurrency_limit"]


def test_too_many_creates_a_second_from_one_number_are_told_when_to_come_back() -> None:
    snapshots = exchange(calls_per_second=2)
    place(snapshots)
    place(snapshots)
    refused = refusal(snapshots, body())
    assert refused.status == 429
    assert refused.headers == {"retry-after": "1", "retry-after-ms": "1000"}
    place(snapshots, body(from_number="+56221111111"))
    place(snapshots, now=NOON + 1)
    assert len(snapshots.all_calls()) == 4


def test_a_call_is_listed_only_after_the_delay_of_the_list() -> None:
    snapshots = exchange(list_delay_seconds=10)
    call = place(snapshots)
    assert snapshots.list_calls({}, NOON + 9)["items"] == []
    assert [shown["call_id"] for shown in snapshots.list_calls({}, NOON + 10)["items"]] == [call.call_id]


def test_list_items_leave_the_transcript_out() -> None:
    snapshots = scripted("user_hangup", promise_odds=1)
    place(snapshots)
    shown = snapshots.list_calls({}, NOON + 500)["items"][0]
    assert "recording_url" in shown
    assert not {"transcript", "transcript_object", "collected_dynamic_variables"} & set(shown)


def test_calls_and_keys_of_a_ledger_file_are_taken_up_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    first = Exchange(Settings(api_keys=frozenset({"key"})), LedgerFile(path))
    document = body(idempotency_key="dial-1", metadata={"job": "7"})
    kept = place(first, document)
    stopped = place(first, body("+56922220002"))
    first.stop(stopped.call_id, NOON + 1)
    with path.open("a") as file:
        file.write('{"event": "placed", "call_id": "half a li')

    second = Exchange(Settings(api_keys=frozenset({"key"})), LedgerFile(path))
    second.restore(read_calls(path))

    assert second.records(NOON + 2) == first.records(NOON + 2)
    replayed = second.open(document, "fingerprint", NOON + 60)
    assert isinstance(replayed, Call)
    assert replayed.call_id == kept.call_id
    place(second, body("+56922220003"))
    assert len(read_calls(path)) == 3
