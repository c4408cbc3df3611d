"""Each ``disconnection_reason``: its call status, and how far such a call gets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from speechaid.model.states import CallStatus


class Stage(StrEnum):
    """How far a call gets before it ends."""

    #: Refused at once: no phone was dialled.
    REFUSED = "refused"
    #: Fails in the network, after a fraction of the usual ringing time.
    NETWORK = "network"
    #: Rings, and is not answered.
    RINGING = "ringing"
    #: Rings until the ring limit.
    RUNG_OUT = "rung_out"
    #: Is answered, by a person or a machine.
    TALK = "talk"


@dataclass(frozen=True)
class Ending:
    """One row of the table."""

    status: CallStatus
    stage: Stage
    #: Factor on the drawn talk time; None: talks until the limit.
    talk: float | None = 1.0
    #: Whether a person is on the line, who may promise to pay.
    person: bool = False


def _person(talk: float | None = 1.0) -> Ending:
    return Ending(CallStatus.ENDED, Stage.TALK, talk, person=True)


def _missed(stage: Stage) -> Ending:
    return Ending(CallStatus.NOT_CONNECTED, stage)


def _fault(stage: Stage) -> Ending:
    return Ending(CallStatus.ERROR, stage, 0.3)


#: Statuses follow Retell's documentation; where it has none (payment, transfers, stops), the likeliest.
ENDINGS: Final[dict[str, Ending]] = {
    "user_hangup": _person(),
    "agent_hangup": _person(),
    "user_requested_dnc": _person(0.4),
    "user_requested_callback": _person(0.5),
    "call_transfer": _person(),
    "transfer_bridged": _person(),
    "transfer_cancelled": _person(),
    "call_take_over": _person(),
    "inactivity": _person(0.6),
    "max_duration_reached": _person(None),
    "manual_stopped": _person(0.5),
    "voicemail_reached": Ending(CallStatus.ENDED, Stage.TALK, 0.4),
    "ivr_reached": Ending(CallStatus.ENDED, Stage.TALK, 0.3),
    "dial_no_answer": _missed(Stage.RUNG_OUT),
    "user_declined": _missed(Stage.RINGING),
    "dial_busy": _missed(Stage.NETWORK),
    "dial_failed": _missed(Stage.NETWORK),
    "invalid_destination": _missed(Stage.NETWORK),
    "telephony_provider_permission_denied": _missed(Stage.NETWORK),
    "telephony_provider_unavailable": _missed(Stage.NETWORK),
    "sip_routing_error": _missed(Stage.NETWORK),
    "marked_as_spam": _missed(Stage.NETWORK),
    "network_blocked": _missed(Stage.NETWORK),
    "concurrency_limit_reached": _fault(Stage.REFUSED),
    "no_concurrency_fallback": _fault(Stage.REFUSED),
    "no_valid_payment": _fault(Stage.REFUSED),
    "credit_exhausted": _fault(Stage.REFUSED),
    "budget_reached": _fault(Stage.REFUSED),
    "scam_detected": _fault(Stage.REFUSED),
    "registered_call_timeout": _fault(Stage.RUNG_OUT),
    "error_user_not_joined": _fault(Stage.RINGING),
    "error_unknown": _fault(Stage.NETWORK),
    "error_llm_websocket_open": _fault(Stage.NETWORK),
    "error_llm_websocket_lost_connection": _fault(Stage.TALK),
    "error_llm_websocket_runtime": _fault(Stage.TALK),
    "error_llm_websocket_corrupt_payload": _fault(Stage.TALK),
    "error_no_audio_received": _fault(Stage.TALK),
    "error_asr": _fault(Stage.TALK),
    "error_retell": _fault(Stage.TALK),
}

#: For an unknown reason: Retell may add reasons.
UNKNOWN: Final = _person()
