"""The outcome of an ended call, from Retell's ``disconnection_reason``, as a table. Pure: no I/O, no clock.

The reason decides. The status is used only if there is no reason, because Retell documents the status of only
some reasons. Two facts about the call can change the table's outcome (``reclassify``): who stopped it, and
whether it had connected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from speechaid.model.call import ReportedCall
from speechaid.model.masking import mask_phones
from speechaid.model.states import TERMINAL_CALL_STATUSES, CallStatus, Outcome, Stopper

#: Every ``disconnection_reason`` that Retell documents.
REASONS: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        # The call took place.
        "user_hangup": Outcome.ANSWERED,
        "agent_hangup": Outcome.ANSWERED,
        "call_transfer": Outcome.ANSWERED,
        "transfer_bridged": Outcome.ANSWERED,
        "transfer_cancelled": Outcome.ANSWERED,
        "call_take_over": Outcome.ANSWERED,
        "inactivity": Outcome.ANSWERED,
        "max_duration_reached": Outcome.ANSWERED,
        "user_requested_dnc": Outcome.DO_NOT_CALL,
        "user_requested_callback": Outcome.CALLBACK_REQUESTED,
        # A machine answered.
        "voicemail_reached": Outcome.VOICEMAIL,
        "ivr_reached": Outcome.VOICEMAIL,
        # No answer.
        "dial_busy": Outcome.BUSY,
        "user_declined": Outcome.BUSY,
        "dial_no_answer": Outcome.NO_ANSWER,
        "dial_failed": Outcome.FAILED,
        "invalid_destination": Outcome.INVALID_NUMBER,
        "registered_call_timeout": Outcome.FAILED,
        "error_user_not_joined": Outcome.FAILED,
        # Faults of the carrier.
        "telephony_provider_permission_denied": Outcome.FAILED,
        "telephony_provider_unavailable": Outcome.TEMPORARY,
        "sip_routing_error": Outcome.FAILED,
        "marked_as_spam": Outcome.FAILED,
        "network_blocked": Outcome.FAILED,
        "scam_detected": Outcome.FAILED,
        # Limits and payment.
        "concurrency_limit_reached": Outcome.TEMPORARY,
        "no_concurrency_fallback": Outcome.TEMPORARY,
        "no_valid_payment": Outcome.BLOCKED,
        "credit_exhausted": Outcome.BLOCKED,
        "budget_reached": Outcome.BLOCKED,
        # Faults of the agent or of Retell.
        "error_llm_websocket_open": Outcome.FAILED,
        "error_llm_websocket_lost_connection": Outcome.FAILED,
        "error_llm_websocket_runtime": Outcome.FAILED,
        "error_llm_websocket_corrupt_payload": Outcome.FAILED,
        "error_no_audio_received": Outcome.FAILED,
        "error_asr": Outcome.FAILED,
        "error_retell": Outcome.FAILED,
        "error_unknown": Outcome.FAILED,
        # Stopped by an operator in Retell, or by speechaid.
        "manual_stopped": Outcome.STOPPED,
    }
)

#: For a terminal status without a reason.
STATUSES: Final[Mapping[CallStatus, Outcome]] = MappingProxyType(
    {
        CallStatus.ENDED: Outcome.ANSWERED,
        CallStatus.NOT_CONNECTED: Outcome.NO_ANSWER,
        CallStatus.ERROR: Outcome.FAILED,
    }
)

#: Faults of the agent or of Retell, not of the person or the number: a run of them opens the breaker.
AGENT_FAULTS: Final = frozenset(
    {
        "error_llm_websocket_open",
        "error_llm_websocket_lost_connection",
        "error_llm_websocket_runtime",
        "error_llm_websocket_corrupt_payload",
        "error_no_audio_received",
        "error_asr",
        "error_retell",
        "error_unknown",
        "registered_call_timeout",
    }
)

#: Faults of the carrier, or of what the account may do there: not of the person or the number.
CARRIER_FAULTS: Final = frozenset(
    {
        "telephony_provider_permission_denied",
        "telephony_provider_unavailable",
        "sip_routing_error",
        "marked_as_spam",
        "network_blocked",
        "scam_detected",
    }
)

#: Reasons that a number's own fault has as well as the carrier's.
_MAYBE_CARRIER_FAULTS: Final = frozenset({"dial_failed"})

#: Different numbers in a row from which on a possible fault of the carrier counts as one. Among ordinary
#: calls a few in a hundred end with ``dial_failed``: two in a row are common.
NUMBERS_FOR_A_POSSIBLE_FAULT: Final = 3

#: How often such a fault puts one job back with nothing spent; after that it is an ordinary failure.
EXCUSED_AT_MOST: Final = 3

#: Reasons for which the call never connected, whatever its time stamps suggest.
NEVER_CONNECTED: Final = frozenset(
    {
        "dial_busy",
        "dial_failed",
        "dial_no_answer",
        "user_declined",
        "invalid_destination",
        "registered_call_timeout",
        "error_user_not_joined",
        "concurrency_limit_reached",
        "no_concurrency_fallback",
    }
)

#: Characters of a reason in texts; Retell may add any.
_REASON_LENGTH: Final = 60

#: Outcomes that only a connected call can have, even if Retell reports no duration.
_REQUIRES_CONNECTION: Final = frozenset(
    {Outcome.ANSWERED, Outcome.VOICEMAIL, Outcome.DO_NOT_CALL, Outcome.CALLBACK_REQUESTED}
)


class CarrierFault(Enum):
    """Whether a fault of the carrier, or of what it permits, ended a call that never connected."""

    NONE = auto()
    #: It may also be the number's; calls to other numbers that end so tell.
    POSSIBLE = auto()
    CERTAIN = auto()


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What an ended call means for its job, its cost and the circuit breaker."""

    outcome: Outcome
    #: Retell's reason, else the call's status; for texts.
    reason: str
    #: False: the reason or status is in no table; treated as ``failed``, logged and counted.
    known: bool
    #: A person or a machine answered: the call is charged as connected.
    connected: bool
    #: A fault of the agent or of Retell, for the circuit breaker.
    agent_fault: bool
    #: Retell places no calls for this key until a payment is made or a limit is raised: hold dialling.
    blocks_dialling: bool
    carrier_fault: CarrierFault


def classify(call: ReportedCall, *, stopped_by: Stopper | None) -> Classified:
    """Classify an ended call.

    Args:
        call: as Retell describes it.
        stopped_by: who on our side asked Retell to stop it; None: no stop was requested.

    Raises:
        ValueError: the call has not ended; it must not be classified as failed.
    """
    if call.call_status is not None and call.call_status not in TERMINAL_CALL_STATUSES:
        raise ValueError(f"call {call.call_id} is {call.call_status}: it has not ended")
    outcome = _outcome_from_tables(call)
    connected = _connected(call, outcome)
    return Classified(
        outcome=Outcome.FAILED
        if outcome is None
        else reclassify(outcome, connected=connected, stopped_by=stopped_by),
        reason=mask_phones(call.disconnection_reason or str(call.call_status))[:_REASON_LENGTH],
        known=outcome is not None,
        connected=connected,
        agent_fault=call.disconnection_reason in AGENT_FAULTS
        or (call.call_status is CallStatus.ERROR and call.disconnection_reason not in REASONS),
        blocks_dialling=outcome is Outcome.BLOCKED,
        carrier_fault=CarrierFault.NONE
        if connected or stopped_by is not None
        else _carrier_fault(call.disconnection_reason, known=outcome is not None),
    )


def _carrier_fault(reason: str | None, *, known: bool) -> CarrierFault:
    if reason in CARRIER_FAULTS:
        return CarrierFault.CERTAIN
    return CarrierFault.POSSIBLE if not known or reason in _MAYBE_CARRIER_FAULTS else CarrierFault.NONE


def is_excused(classified: Classified, *, numbers_in_a_row: int, excused_before: int) -> bool:
    """Whether a fault of the carrier puts the job back with nothing spent.

    Args:
        classified: how the call ended.
        numbers_in_a_row: different numbers whose calls ended so, this one included.
        excused_before: how often such a fault has put this job back.
    """
    is_fault = classified.carrier_fault is CarrierFault.CERTAIN or (
        classified.carrier_fault is CarrierFault.POSSIBLE and numbers_in_a_row >= NUMBERS_FOR_A_POSSIBLE_FAULT
    )
    return is_fault and excused_before < EXCUSED_AT_MOST


def outcome_for_job(classified: Classified, *, excused: bool) -> Outcome:
    """The outcome for the job; a carrier's fault that is not excused is an ordinary failure."""
    if excused:
        return Outcome.TEMPORARY
    return Outcome.FAILED if classified.carrier_fault is CarrierFault.CERTAIN else classified.outcome


def reclassify(outcome: Outcome, *, connected: bool, stopped_by: Stopper | None) -> Outcome:
    """Adapt the table's outcome to facts about the call; idempotent.

    A call that one of our limits stopped was answered if it had connected, else it failed. A fault without
    cost (``temporary``, ``blocked``) on a connected call is an ordinary failure: a person was on the phone
    and minutes are charged, and if no attempt were spent, such calls could be repeated without limit.
    """
    if outcome is Outcome.STOPPED and stopped_by is Stopper.LIMIT:
        return Outcome.ANSWERED if connected else Outcome.FAILED
    if connected and outcome in {Outcome.TEMPORARY, Outcome.BLOCKED}:
        return Outcome.FAILED
    return outcome


def _outcome_from_tables(call: ReportedCall) -> Outcome | None:
    if call.disconnection_reason is not None:
        return REASONS.get(call.disconnection_reason)
    return None if call.call_status is None else STATUSES.get(call.call_status)


def _connected(call: ReportedCall, outcome: Outcome | None) -> bool:
    if call.call_status is CallStatus.NOT_CONNECTED or call.disconnection_reason in NEVER_CONNECTED:
        return False
    return call.duration_ms > 0 or outcome in _REQUIRES_CONNECTION
