"""Filters and pages of list-calls."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.demo.simulator.bodies import Refusal
from speechaid.demo.simulator.listing import page, read_list

CALL: dict[str, Any] = {
    "call_id": "call_1",
    "call_type": "phone_call",
    "call_status": "ended",
    "agent_id": "agent_1",
    "agent_version": 2,
    "direction": "outbound",
    "from_number": "+56220000000",
    "to_number": "+56922220001",
    "start_timestamp": 1_000_000,
    "end_timestamp": 1_060_000,
    "duration_ms": 60_000,
    "disconnection_reason": "user_hangup",
    "metadata": {"dial_key": "k-1", "attempt": 2, "test": True},
    "retell_llm_dynamic_variables": {"nombre": "Ana"},
    "call_cost": {"combined_cost": 11.0},
    "call_analysis": {"call_successful": True, "in_voicemail": False, "user_sentiment": "Positive"},
}


def string(value: str, op: str = "eq", **key: str) -> dict[str, Any]:
    return {"type": "string", "op": op, "value": value, **key}


def number(value: float, op: str, **key: str) -> dict[str, Any]:
    return {"type": "number", "op": op, "value": value, **key}


def enum(*values: str) -> dict[str, Any]:
    return {"type": "enum", "op": "in", "value": list(values)}


def finds(criteria: dict[str, Any], call: dict[str, Any] = CALL) -> bool:
    return bool(page(read_list({"filter_criteria": criteria}), [(0, call)])["items"])


@pytest.mark.parametrize(
    "criteria",
    [
        {},
        {"call_id": string("call_1")},
        {"call_id": enum("call_0", "call_1")},
        {"to_number": string("+56922220001")},
        {"to_number": string("+569", "sw"), "from_number": string("000", "ew")},
        {"to_number": string("2222", "co")},
        {"call_status": enum("ended", "error")},
        {"call_type": enum("phone_call"), "direction": enum("outbound")},
        {"disconnection_reason": enum("user_hangup")},
        {"start_timestamp": number(1_000_000, "ge"), "end_timestamp": number(1_060_001, "lt")},
        {"start_timestamp": {"type": "range", "op": "bt", "value": [999_999, 1_000_000]}},
        {"duration_ms": number(60_000, "eq")},
        {"combined_cost": number(10, "gt")},
        {"metadata": [string("k-1", key="dial_key")]},
        {"metadata": [string("k-1", key="dial_key"), number(2, "le", key="attempt")]},
        {"metadata": [{"type": "boolean", "op": "eq", "value": True, "key": "test"}]},
        {"metadata": [{"type": "present", "op": "pr", "key": "dial_key"}]},
        {"metadata": [{"type": "present", "op": "np", "key": "absent"}]},
        {"dynamic_variables": [string("Ana", key="nombre")]},
        {"call_successful": {"type": "boolean", "op": "eq", "value": True}},
        {"agent": [{"agent_id": "agent_0"}, {"agent_id": "agent_1", "version": [2]}]},
        {"user_sentiment": enum("Positive")},
    ],
)
def test_a_matching_filter_finds_the_call(criteria: dict[str, Any]) -> None:
    assert finds(criteria)


@pytest.mark.parametrize(
    "criteria",
    [
        {"to_number": string("+56922220002")},
        {"to_number": string("+56922220001"), "call_status": enum("ongoing")},
        {"start_timestamp": number(1_000_000, "gt")},
        {"metadata": [string("k-2", key="dial_key")]},
        {"metadata": [string("k-1", key="dial_key"), string("x", key="absent")]},
        {"metadata": [string("2", key="attempt")]},
        {"metadata": [{"type": "present", "op": "np", "key": "dial_key"}]},
        {"agent": [{"agent_id": "agent_1", "version": [1]}]},
        {"in_voicemail": {"type": "boolean", "op": "eq", "value": True}},
    ],
)
def test_a_filter_that_does_not_match_excludes_the_call(criteria: dict[str, Any]) -> None:
    assert not finds(criteria)


def test_a_ringing_call_has_no_start_and_matches_no_filter_on_it() -> None:
    ringing = {name: value for name, value in CALL.items() if name != "start_timestamp"}
    assert not finds({"start_timestamp": number(0, "ge")}, ringing)
    assert finds({}, ringing)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"filter_criteria": {"call_status": enum("registered")}}, "call_status"),
        ({"filter_criteria": {"to_numbre": string("x")}}, "to_numbre"),
        ({"filter_criteria": {"to_number": "+56922220001"}}, "to_number"),
        ({"filter_criteria": {"metadata": {"dial_key": "k-1"}}}, "metadata"),
        ({"filter_criteria": {"to_number": string("x", "eq_")}}, "to_number"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"sort_order": "upwards"}, "sort_order"),
        (None, "body"),
    ],
)
def test_the_refusal_of_an_invalid_list_request_names_the_field(body: object, field: str) -> None:
    with pytest.raises(Refusal, match=field) as caught:
        read_list(body)
    assert caught.value.status == 400


def test_an_invalid_pagination_key_is_refused() -> None:
    with pytest.raises(Refusal, match="pagination_key"):
        page(read_list({"pagination_key": "call_1"}), [])


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_pages_list_each_call_once_in_order_of_start(order: str) -> None:
    starts = [5, 3, None, 3, 9, 1, None]
    calls = [
        (serial, {"call_id": str(serial)} | ({} if start is None else {"start_timestamp": start}))
        for serial, start in enumerate(starts)
    ]
    seen: list[str] = []
    key: dict[str, str] = {}
    while True:
        answer = page(
            read_list({"limit": 2, "sort_order": order, "include_total": True, **key}),
            calls,
        )
        seen += [shown["call_id"] for shown in answer["items"]]
        assert answer["total"] == 7
        if not answer["has_more"]:
            assert "pagination_key" not in answer
            break
        key = {"pagination_key": answer["pagination_key"]}
    ascending = ["2", "6", "5", "1", "3", "0", "4"]
    assert seen == (ascending if order == "ascending" else ascending[::-1])


def test_skip_leaves_out_the_first_calls() -> None:
    calls = [(serial, {"call_id": str(serial), "start_timestamp": serial}) for serial in range(3)]
    answer = page(read_list({"skip": 1, "sort_order": "ascending"}), calls)
    assert [shown["call_id"] for shown in answer["items"]] == ["1", "2"]
