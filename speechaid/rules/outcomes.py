"""What a call's end means: Retell's word for it to one of our outcomes, as a table.

The reason decides; the status is asked only where there is none, because Retell documents which reasons come
with which status for some of them alone. Two facts about the call bend the table's word (``bend``): who
stopped it, and whether somebody had been on the line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from speechaid.model.call import Call
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
        # A machine took it.
        "voicemail_reached": Outcome.VOICEMAIL,
        "ivr_reached": Outcome.VOICEMAIL,
        # Nobody was reached.
        "dial_busy": Outcome.BUSY,
        "user_declined": Outcome.BUSY,
        "dial_no_answer": Outcome.NO_ANSWER,
        "dial_failed": Outcome.FAILED,
        "invalid_destination": Outcome.INVALID_NUMBER,
        "registered_call_timeout": Outcome.FAILED,
        "error_user_not_joined": Outcome.FAILED,
        # The carrier.
        "telephony_provider_permission_denied": Outcome.FAILED,
        "telephony_provider_unavailable": Outcome.TEMPORARY,
        "sip_routing_error": Outcome.FAILED,
        "marked_as_spam": Outcome.FAILED,
        "network_blocked": Outcome.FAILED,
        "scam_detected": Outcome.FAILED,
        # Limits and money.
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
        # An operator, or we ourselves.
        "manual_stopped": Outcome.STOPPED,
    }
)

#: A terminal status that came without a reason.
STATUSES: Final[Mapping[CallStatus, Outcome]] = MappingProxyType(
    {
        CallStatus.ENDED: Outcome.ANSWERED,
        CallStatus.NOT_CONNECTED: Outcome.NO_ANSWER,
        CallStatus.ERROR: Outcome.FAILED,
    }
)

#: Reasons that blame the agent or Retell, not the person or the number: a run of them opens the breaker.
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

#: Reasons that say by themselves that nobody and nothing took the call, whatever its time stamps suggest.
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

#: Outcomes that only somebody or something on the line can bring about, even where Retell tells no duration.
_TAKES_A_LISTENER: Final = frozenset(
    {Outcome.ANSWERED, Outcome.VOICEMAIL, Outcome.DO_NOT_CALL, Outcome.CALLBACK_REQUESTED}
)


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What an ended call means for its job, for the bill and for the breaker."""

    outcome: Outcome
    #: False: a reason or status that no table has; treated as ``failed``, to be logged and counted.
    known: bool
    #: Somebody or something took the call: it is charged as such.
    connected: bool
    #: The agent or Retell is to blame: feeds the circuit breaker.
    agent_fault: bool
    #: Retell will not dial for this key until somebody pays or raises a limit: hold dialling.
    blocks_dialling: bool


def classify(call: Call, *, stopped_by: Stopper | None) -> Classified:
    """Say what an ended call means.

    Args:
        call: as Retell describes it, over.
        stopped_by: who of us asked Retell to stop it; None where nobody did.

    Raises:
        ValueError: Retell says that the call is still going on; it must not be taken for a failed one.
    """
    if call.call_status is not None and call.call_status not in TERMINAL_CALL_STATUSES:
        raise ValueError(f"call {call.call_id} is {call.call_status}, not over")
    word = _table_word(call)
    connected = _connected(call, word)
    return Classified(
        outcome=Outcome.FAILED
        if word is None
        else reclassify(word, connected=connected, stopped_by=stopped_by),
        known=word is not None,
        connected=connected,
        agent_fault=call.disconnection_reason in AGENT_FAULTS
        or (call.call_status is CallStatus.ERROR and call.disconnection_reason not in REASONS),
        blocks_dialling=word is Outcome.BLOCKED,
    )


def reclassify(outcome: Outcome, *, connected: bool, stopped_by: Stopper | None) -> Outcome:
    """What the table's word becomes in the light of the call itself; bending twice changes nothing.

    A call that one of our limits stopped was answered or failed. A fault that costs nothing (``temporary``,
    ``blocked``) on a call that had connected is an ordinary failure: a person was on the phone and minutes
    are owed, and without an attempt spent such calls could be repeated for ever.
    """
    if outcome is Outcome.STOPPED and stopped_by is Stopper.LIMIT:
        return Outcome.ANSWERED if connected else Outcome.FAILED
    if connected and outcome in {Outcome.TEMPORARY, Outcome.BLOCKED}:
        return Outcome.FAILED
    return outcome


def _table_word(call: Call) -> Outcome | None:
    if call.disconnection_reason is not None:
        return REASONS.get(call.disconnection_reason)
    return None if call.call_status is None else STATUSES.get(call.call_status)


def _connected(call: Call, word: Outcome | None) -> bool:
    if call.call_status is CallStatus.NOT_CONNECTED or call.disconnection_reason in NEVER_CONNECTED:
        return False
    return call.duration_ms > 0 or word in _TAKES_A_LISTENER
