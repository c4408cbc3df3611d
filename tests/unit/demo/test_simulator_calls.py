"""The call model: calls planned when placed, states computed from the time."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from retell.types import PhoneCallResponse

from speechaid.demo.simulator.bodies import Refusal
from speechaid.demo.simulator.calls import Call
from speechaid.demo.simulator.document import describe
from speechaid.demo.simulator.placed_calls import entry, overlaps
from speechaid.demo.simulator.reasons import ENDINGS, Stage
from speechaid.demo.simulator.script import Outcome, choose, rng_for
from speechaid.demo.simulator.settings import TYPICAL_ODDS, Settings
from speechaid.demo.simulator.workspace import Workspace
from speechaid.model.states import CallStatus

NOON = 1_790_000_000.0
NUMBER = "+56922220001"


def make_workspace(**settings: Any) -> Workspace:
    return Workspace(Settings(api_keys=frozenset({"key"}), **settings))


def body(to_number: str = NUMBER, **fields: Any) -> dict[str, Any]:
    return {"from_number": "+56220000000", "to_number": to_number, **fields}


def place(workspace: Workspace, document: dict[str, Any] | None = None, now: float = NOON) -> Call:
    accepted = workspace.open(document or body(), "fingerprint", now)
    return accepted if isinstance(accepted, Call) else workspace.place(accepted, now)


def scripted(*outcomes: Any, **settings: Any) -> Workspace:
    return make_workspace(script={"*": list(outcomes)}, **settings)


def limits(**agent: int) -> dict[str, Any]:
    return {"agent_override": {"agent": agent}}


def test_the_table_has_exactly_the_reasons_of_the_sdk() -> None:
    optional = PhoneCallResponse.model_fields["disconnection_reason"].annotation
    known = set(typing.get_args(typing.get_args(optional)[0]))
    assert set(ENDINGS) == known
    assert set(TYPICAL_ODDS) <= known


@pytest.mark.parametrize("reason", sorted(ENDINGS))
def test_a_call_can_end_for_every_reason_with_the_status_of_its_row(reason: str) -> None:
    call = place(scripted(reason))
    over = describe(call, call.ends_at)
    assert over["disconnection_reason"] == reason
    assert over["call_status"] == ENDINGS[reason].status
    assert (call.talk_seconds > 0) is (ENDINGS[reason].stage is Stage.TALK)


def test_an_answered_call_rings_connects_ends_and_is_analysed_later() -> None:
    outcome = {"reason": "user_hangup", "ring_seconds": 4, "talk_seconds": 60}
    call = place(scripted(outcome, analysis_delay_seconds=5))

    ringing, talking = describe(call, NOON + 3.9), describe(call, NOON + 4)
    ended, analysed = describe(call, NOON + 64), describe(call, NOON + 69)

    assert ringing["call_status"] == "registered"
    assert "start_timestamp" not in ringing
    assert talking["call_status"] == "ongoing"
    assert talking["start_timestamp"] == (NOON + 4) * 1000
    assert not {"duration_ms", "transcript", "call_cost", "end_timestamp"} & set(talking)
    assert ended["call_status"] == "ended"
    assert ended["duration_ms"] == 60_000
    assert ended["end_timestamp"] == (NOON + 64) * 1000
    assert ended["call_cost"]["combined_cost"] == 11.0
    assert sum(part["cost"] for part in ended["call_cost"]["product_costs"]) == pytest.approx(11.0)
    assert ended["transcript"].startswith("Agent: ")
    assert "call_analysis" not in ended
    assert analysed["call_analysis"]["call_successful"] is True


def test_an_unanswered_call_rings_for_the_ring_duration_of_the_request() -> None:
    call = place(scripted("dial_no_answer"), body(**limits(ring_duration_ms=9_000)))
    assert call.status(NOON + 8.9) is CallStatus.REGISTERED
    over = describe(call, NOON + 9)
    assert over["call_status"] == "not_connected"
    assert over["duration_ms"] == 0
    assert "start_timestamp" not in over


def test_a_call_answered_after_the_ring_duration_counts_as_unanswered() -> None:
    outcome = {"reason": "user_hangup", "ring_seconds": 12}
    call = place(scripted(outcome), body(**limits(ring_duration_ms=10_000)))
    assert describe(call, NOON + 10)["disconnection_reason"] == "dial_no_answer"


def test_the_carrier_can_end_ringing_before_the_ring_duration() -> None:
    call = place(scripted("dial_no_answer", carrier_ring_seconds=2))
    assert call.is_over(NOON + 2)


def test_a_long_call_is_ended_at_the_maximum_duration_of_the_request() -> None:
    outcome = {"reason": "user_hangup", "ring_seconds": 1, "talk_seconds": 500}
    call = place(scripted(outcome), body(**limits(max_call_duration_ms=60_000)))
    over = describe(call, NOON + 61)
    assert (over["disconnection_reason"], over["duration_ms"]) == ("max_duration_reached", 60_000)


def test_speed_shortens_real_time_but_not_the_reported_duration() -> None:
    outcome = {"reason": "agent_hangup", "ring_seconds": 10, "talk_seconds": 90}
    call = place(scripted(outcome, speed=100))
    over = describe(call, NOON + 1)
    assert (over["call_status"], over["duration_ms"]) == ("ended", 90_000)


def test_an_endless_call_exceeds_its_limits_until_it_is_stopped() -> None:
    workspace = scripted({"reason": "user_hangup", "ring_seconds": 1, "endless": True})
    call = place(workspace, body(**limits(max_call_duration_ms=60_000)))
    assert call.status(NOON + 100_000) is CallStatus.ONGOING
    workspace.stop(call.call_id, NOON + 100_001)
    over = describe(workspace.get(call.call_id), NOON + 100_001)
    assert (over["disconnection_reason"], over["duration_ms"]) == ("manual_stopped", 100_000_000)


def test_a_ringing_call_that_is_stopped_never_connects() -> None:
    workspace = scripted({"reason": "user_hangup", "ring_seconds": 10})
    call = place(workspace)
    workspace.stop(call.call_id, NOON + 5)
    over = describe(workspace.get(call.call_id), NOON + 20)
    assert (over["call_status"], over["disconnection_reason"]) == ("not_connected", "manual_stopped")
    with pytest.raises(Refusal, match="not ongoing"):
        workspace.stop(call.call_id, NOON + 6)


def test_a_promise_is_collected_as_dynamic_variables_with_the_requested_amount() -> None:
    workspace = scripted("agent_hangup", promise_odds=1)
    call = place(workspace, body(retell_llm_dynamic_variables={"monto_total": "98500", "nombre": "Ana"}))
    over = describe(call, call.ends_at)
    assert over["collected_dynamic_variables"]["monto_pago_cliente"] == "98500"
    assert "fecha_pago_cliente" in over["collected_dynamic_variables"]
    assert over["retell_llm_dynamic_variables"] == {"monto_total": "98500", "nombre": "Ana"}
    assert "Ana" in over["transcript"]


def test_a_script_gives_one_outcome_per_call_and_repeats_the_last() -> None:
    workspace = make_workspace(script={NUMBER: ["dial_no_answer", "user_hangup"]}, odds={"dial_busy": 1})
    assert [place(workspace).end_reason for _ in range(3)] == ["dial_no_answer", "user_hangup", "user_hangup"]
    assert place(workspace, body("+56922220002")).end_reason == "dial_busy"


def test_an_unknown_reason_can_be_scripted() -> None:
    call = place(scripted({"reason": "abducted", "status": "error", "talk_seconds": 0}))
    over = describe(call, call.ends_at)
    assert (over["disconnection_reason"], over["call_status"]) == ("abducted", "error")


def test_the_outcome_of_the_nth_call_to_a_number_does_not_depend_on_order_or_time() -> None:
    numbers = [f"+569222200{n:02}" for n in range(30)]
    forwards, backwards = make_workspace(concurrency_limit=99), make_workspace(concurrency_limit=99)
    first = {n: place(forwards, body(n)) for n in numbers}
    second = {n: place(backwards, body(n), NOON + 7) for n in reversed(numbers)}
    for number in numbers:
        assert first[number].end_reason == second[number].end_reason
        assert first[number].talk_seconds == pytest.approx(second[number].talk_seconds, abs=1e-6)


def test_outcomes_follow_the_odds_over_many_calls() -> None:
    odds = {"user_hangup": 3.0, "dial_busy": 1.0}
    drawn = [choose({}, odds, str(n), 0, rng_for(1, str(n), 0)).reason for n in range(4000)]
    assert 0.72 < drawn.count("user_hangup") / len(drawn) < 0.78


def test_an_entry_shows_only_what_has_happened() -> None:
    outcome = Outcome(reason="user_hangup", ring_seconds=2, talk_seconds=30)
    document = body(idempotency_key="dial-1", metadata={"job": "7"})
    call = place(scripted(outcome), document)
    early, late = entry(call, NOON + 1), entry(call, NOON + 99)
    assert early["connected_at"] is early["ended_at"] is early["disconnection_reason"] is None
    assert early["idempotency_key"] == "dial-1"
    assert late == {
        **early,
        "call_status": "ended",
        "connected_at": NOON + 2,
        "ended_at": NOON + 32,
        "disconnection_reason": "user_hangup",
        "duration_ms": 30_000,
        "cost_cents": 5.5,
    }


def test_calls_to_one_number_overlap_only_while_the_first_is_live() -> None:
    workspace = scripted({"reason": "user_hangup", "ring_seconds": 2, "talk_seconds": 30})
    first = place(workspace)
    second = place(workspace, now=NOON + 10)
    place(workspace, now=NOON + 60)
    place(workspace, body("+56922220002"), NOON + 5)
    found = overlaps(workspace.all_calls(), NOON + 100)
    assert found == [{"to_number": NUMBER, "call_ids": [first.call_id, second.call_id], "seconds": 22.0}]


def test_a_refused_call_overlaps_with_none() -> None:
    workspace = make_workspace(
        concurrency_limit=1, script={"*": [{"reason": "user_hangup", "ring_seconds": 5}]}
    )
    place(workspace)
    assert place(workspace, now=NOON + 1).end_reason == "concurrency_limit_reached"
    assert overlaps(workspace.all_calls(), NOON + 2) == []
