"""The outcome of each way in which a call can end."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from retell.types.phone_call_response import PhoneCallResponse

from speechaid.model.call import Call
from speechaid.model.states import TERMINAL_CALL_STATUSES, CallStatus, Outcome, Stopper
from speechaid.rules.outcomes import (
    AGENT_FAULTS,
    CARRIER_FAULTS,
    NEVER_CONNECTED,
    REASONS,
    STATUSES,
    CarrierFault,
    Classified,
    classify,
    is_excused,
    outcome_for_job,
    reclassify,
)


def call(status: str | None, reason: str | None = None, duration_ms: int = 0) -> Call:
    fields: dict[str, Any] = {"call_id": "call_1", "call_status": status, "duration_ms": duration_ms}
    if reason is not None:
        fields["disconnection_reason"] = reason
    return Call.read(fields)


def outcome_of(
    status: str | None, reason: str | None = None, duration_ms: int = 0, *, stopped_by: Stopper | None = None
) -> Outcome:
    return classify(call(status, reason, duration_ms), stopped_by=stopped_by).outcome


def _literals(hint: Any) -> set[str]:
    """Every string of the literals inside a type, however it is wrapped in unions."""
    found = {argument for argument in get_args(hint) if isinstance(argument, str)}
    return found.union(*(_literals(argument) for argument in get_args(hint)))


def test_the_table_has_exactly_the_reasons_of_the_official_sdk() -> None:
    documented = _literals(PhoneCallResponse.model_fields["disconnection_reason"].annotation)
    assert len(documented) >= 39
    assert set(REASONS) == documented


def test_every_status_of_the_official_sdk_is_known() -> None:
    documented = _literals(PhoneCallResponse.model_fields["call_status"].annotation)
    assert documented == {status.value for status in CallStatus}


def test_every_terminal_status_has_a_row_for_a_missing_reason() -> None:
    assert set(STATUSES) == TERMINAL_CALL_STATUSES


def test_the_sets_of_reasons_contain_only_reasons_of_the_table() -> None:
    assert set(REASONS) > AGENT_FAULTS
    assert set(REASONS) > NEVER_CONNECTED
    assert set(REASONS) > CARRIER_FAULTS


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("user_hangup", Outcome.ANSWERED),
        ("agent_hangup", Outcome.ANSWERED),
        ("call_transfer", Outcome.ANSWERED),
        ("transfer_bridged", Outcome.ANSWERED),
        ("transfer_cancelled", Outcome.ANSWERED),
        ("call_take_over", Outcome.ANSWERED),
        ("inactivity", Outcome.ANSWERED),
        ("max_duration_reached", Outcome.ANSWERED),
        ("user_requested_dnc", Outcome.DO_NOT_CALL),
        ("user_requested_callback", Outcome.CALLBACK_REQUESTED),
        ("voicemail_reached", Outcome.VOICEMAIL),
        ("ivr_reached", Outcome.VOICEMAIL),
        ("dial_busy", Outcome.BUSY),
        ("user_declined", Outcome.BUSY),
        ("dial_no_answer", Outcome.NO_ANSWER),
        ("dial_failed", Outcome.FAILED),
        ("sip_routing_error", Outcome.FAILED),
        ("invalid_destination", Outcome.INVALID_NUMBER),
        ("concurrency_limit_reached", Outcome.TEMPORARY),
        ("no_concurrency_fallback", Outcome.TEMPORARY),
        ("telephony_provider_unavailable", Outcome.TEMPORARY),
        ("no_valid_payment", Outcome.BLOCKED),
        ("credit_exhausted", Outcome.BLOCKED),
        ("budget_reached", Outcome.BLOCKED),
        ("error_retell", Outcome.FAILED),
    ],
)
@pytest.mark.parametrize("status", sorted(TERMINAL_CALL_STATUSES))
def test_the_reason_decides_under_any_status(reason: str, outcome: Outcome, status: str) -> None:
    assert outcome_of(status, reason) is outcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("ended", Outcome.ANSWERED), ("not_connected", Outcome.NO_ANSWER), ("error", Outcome.FAILED)],
)
def test_without_a_reason_the_status_decides(status: str, outcome: Outcome) -> None:
    classified = classify(call(status), stopped_by=None)
    assert classified.outcome is outcome
    assert classified.known


@pytest.mark.parametrize(
    ("status", "reason"),
    [("ended", "abducted_by_aliens"), ("not_connected", "line_cut"), ("vanished", None), (None, None)],
    ids=["new reason", "new reason, not connected", "new status", "no status"],
)
def test_an_unknown_reason_or_status_is_failed_and_marked_unknown(
    status: str | None, reason: str | None
) -> None:
    classified = classify(call(status, reason), stopped_by=None)
    assert classified.outcome is Outcome.FAILED
    assert not classified.known


def test_a_known_reason_under_an_unknown_status_still_decides() -> None:
    classified = classify(call("vanished", "dial_busy"), stopped_by=None)
    assert classified.outcome is Outcome.BUSY
    assert classified.known


@pytest.mark.parametrize("status", ["registered", "ongoing"])
def test_a_live_call_is_never_classified(status: str) -> None:
    with pytest.raises(ValueError, match="has not ended"):
        classify(call(status), stopped_by=None)


@pytest.mark.parametrize(
    ("stopped_by", "duration_ms", "outcome"),
    [
        (Stopper.LIMIT, 600_000, Outcome.ANSWERED),
        (Stopper.LIMIT, 0, Outcome.FAILED),
        (Stopper.OPERATOR, 5_000, Outcome.STOPPED),
        (Stopper.OPERATOR, 0, Outcome.STOPPED),
        (None, 5_000, Outcome.STOPPED),
        (None, 0, Outcome.STOPPED),
    ],
    ids=[
        "by our limit, connected",
        "by our limit, never connected",
        "by an operator, connected",
        "by an operator, never connected",
        "in Retell's dashboard, connected",
        "in Retell's dashboard, never connected",
    ],
)
def test_the_outcome_of_a_stopped_call_depends_on_who_stopped_it(
    stopped_by: Stopper | None, duration_ms: int, outcome: Outcome
) -> None:
    assert outcome_of("ended", "manual_stopped", duration_ms, stopped_by=stopped_by) is outcome


def test_a_call_hung_up_before_our_stop_arrived_is_answered() -> None:
    assert outcome_of("ended", "user_hangup", 9_000, stopped_by=Stopper.OPERATOR) is Outcome.ANSWERED


@pytest.mark.parametrize(
    ("status", "reason", "duration_ms", "connected"),
    [
        ("ended", "user_hangup", 42_000, True),
        ("ended", "user_hangup", 0, True),
        ("ended", "voicemail_reached", 8_000, True),
        ("ended", "user_requested_dnc", 0, True),
        ("error", "error_llm_websocket_lost_connection", 20_000, True),
        ("error", "error_llm_websocket_open", 0, False),
        ("not_connected", "dial_no_answer", 0, False),
        ("not_connected", "dial_no_answer", 30_000, False),
        ("ended", "dial_busy", 2_000, False),
        ("not_connected", "marked_as_spam", 2_000, False),
        ("ended", "something_new", 2_000, True),
    ],
)
def test_whether_a_call_connected(status: str, reason: str, duration_ms: int, connected: bool) -> None:
    assert classify(call(status, reason, duration_ms), stopped_by=None).connected is connected


@pytest.mark.parametrize("reason", ["telephony_provider_unavailable", "credit_exhausted"])
def test_a_free_fault_on_a_call_that_had_connected_is_an_ordinary_failure(reason: str) -> None:
    classified = classify(call("error", reason, 12_000), stopped_by=None)
    assert classified.outcome is Outcome.FAILED
    assert classified.connected
    assert classified.known


@pytest.mark.parametrize("duration_ms", [0, 12_000], ids=["never connected", "connected"])
def test_missing_payment_or_limits_at_retell_block_dialling(duration_ms: int) -> None:
    assert classify(call("error", "budget_reached", duration_ms), stopped_by=None).blocks_dialling
    assert not classify(call("error", "error_retell", duration_ms), stopped_by=None).blocks_dialling


@pytest.mark.parametrize(
    ("status", "reason", "blamed"),
    [
        ("error", "error_retell", True),
        ("ended", "error_llm_websocket_runtime", True),
        ("error", None, True),
        ("error", "error_brand_new", True),
        ("error", "scam_detected", False),
        ("error", "error_user_not_joined", False),
        ("not_connected", "dial_failed", False),
        ("ended", "something_new", False),
        ("ended", "user_hangup", False),
    ],
)
def test_faults_of_agent_and_retell_are_distinguished_from_faults_of_the_line(
    status: str, reason: str | None, blamed: bool
) -> None:
    assert classify(call(status, reason), stopped_by=None).agent_fault is blamed


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("stopped_by", [None, *Stopper])
def test_reclassifying_is_idempotent(outcome: Outcome, connected: bool, stopped_by: Stopper | None) -> None:
    once = reclassify(outcome, connected=connected, stopped_by=stopped_by)
    assert reclassify(once, connected=connected, stopped_by=stopped_by) is once


def test_every_field_of_an_answered_call() -> None:
    assert classify(call("ended", "agent_hangup", 60_000), stopped_by=None) == Classified(
        outcome=Outcome.ANSWERED,
        reason="agent_hangup",
        known=True,
        connected=True,
        agent_fault=False,
        blocks_dialling=False,
        carrier_fault=CarrierFault.NONE,
    )


@pytest.mark.parametrize(
    ("status", "reason", "duration_ms", "fault"),
    [
        *[("not_connected", reason, 0, CarrierFault.CERTAIN) for reason in sorted(CARRIER_FAULTS)],
        ("not_connected", "dial_failed", 0, CarrierFault.POSSIBLE),
        ("not_connected", "trunk_melted", 0, CarrierFault.POSSIBLE),
        ("error", "trunk_melted", 0, CarrierFault.POSSIBLE),
        ("ended", "trunk_melted", 9_000, CarrierFault.NONE),
        ("ended", "sip_routing_error", 9_000, CarrierFault.NONE),
        ("not_connected", "dial_no_answer", 0, CarrierFault.NONE),
        ("not_connected", "dial_busy", 0, CarrierFault.NONE),
        ("not_connected", "user_declined", 0, CarrierFault.NONE),
        ("not_connected", "invalid_destination", 0, CarrierFault.NONE),
        ("ended", "voicemail_reached", 2_000, CarrierFault.NONE),
        ("not_connected", None, 0, CarrierFault.NONE),
        ("error", "concurrency_limit_reached", 0, CarrierFault.NONE),
    ],
)
def test_faults_of_the_carrier_are_told_from_what_the_person_called_did(
    status: str, reason: str | None, duration_ms: int, fault: CarrierFault
) -> None:
    assert classify(call(status, reason, duration_ms), stopped_by=None).carrier_fault is fault


def test_a_carriers_fault_is_excused_three_times_and_then_an_ordinary_failure() -> None:
    ended = classify(call("not_connected", "telephony_provider_unavailable"), stopped_by=None)
    excused = [is_excused(ended, numbers_in_a_row=1, excused_before=before) for before in range(5)]
    assert excused == [True, True, True, False, False]
    assert outcome_for_job(ended, excused=True) is Outcome.TEMPORARY
    assert outcome_for_job(ended, excused=False) is Outcome.FAILED


@pytest.mark.parametrize("reason", ["dial_failed", "trunk_melted"])
def test_what_may_be_a_carriers_fault_is_excused_once_other_numbers_in_a_row_meet_it(reason: str) -> None:
    ended = classify(call("not_connected", reason), stopped_by=None)
    excused = [is_excused(ended, numbers_in_a_row=numbers, excused_before=0) for numbers in (1, 2, 3, 4)]
    assert excused == [False, False, True, True]
    assert not is_excused(ended, numbers_in_a_row=3, excused_before=3)


def test_an_unanswered_call_is_never_excused() -> None:
    ended = classify(call("not_connected", "dial_no_answer"), stopped_by=None)
    assert not is_excused(ended, numbers_in_a_row=9, excused_before=0)
    assert outcome_for_job(ended, excused=False) is Outcome.NO_ANSWER
