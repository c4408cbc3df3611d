"""A call as Retell's JSON: the object of get-call, and the smaller item of list-calls."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from speechaid.demo.simulator.calls import Call
from speechaid.demo.simulator.reasons import ENDINGS, UNKNOWN
from speechaid.model.states import CallStatus

#: Fields that list-calls leaves out, as in retell-sdk's types.
HEAVY: Final = frozenset({"transcript", "transcript_object"})
#: Fields that only an ended call has.
ENDED_FIELDS: Final = frozenset(
    {
        "end_timestamp",
        "duration_ms",
        "disconnection_reason",
        "transcript",
        "transcript_object",
        "recording_url",
        "recording_multi_channel_url",
        "public_log_url",
        "call_cost",
        "call_analysis",
        "collected_dynamic_variables",
        "transfer_destination",
    }
)
#: A host that does not resolve.
RECORDINGS: Final = "https://recordings.retell.invalid"


def describe(call: Call, now: float) -> dict[str, Any]:
    """The call object at this instant; fields that are not known yet are left out."""
    fields = _basics(call, now)
    if call.connects_at is not None and now >= call.connects_at:
        fields["start_timestamp"] = _milliseconds(call.connects_at)
    if call.is_over(now):
        fields |= _end(call)
        if call.connects_at is not None:
            fields |= _conversation(call)
        if call.analysis_at is not None and now >= call.analysis_at:
            fields["call_analysis"] = _analysis(call)
    return {name: value for name, value in fields.items() if value is not None}


def item(document: dict[str, Any]) -> dict[str, Any]:
    """A call object reduced to the fields of list-calls."""
    return {name: value for name, value in document.items() if name not in HEAVY}


def revived(document: dict[str, Any]) -> dict[str, Any]:
    """An ended call, misreported as ongoing."""
    kept = {name: value for name, value in document.items() if name not in ENDED_FIELDS}
    return {**kept, "call_status": CallStatus.ONGOING.value}


def with_fields(
    document: dict[str, Any], fields: dict[str, Any], without: Collection[str], fill: dict[str, int]
) -> dict[str, Any]:
    """A call object with other fields, without some, and with long texts in some."""
    changed = {**document, **fields, **{name: "bla " * (length // 4) for name, length in fill.items()}}
    return {name: value for name, value in changed.items() if name not in without}


def _basics(call: Call, now: float) -> dict[str, Any]:
    return {
        "call_type": "phone_call",
        "call_id": call.call_id,
        "call_status": call.status(now).value,
        "agent_id": call.agent_id,
        "agent_name": "Simulated agent",
        "agent_version": call.agent_version,
        "direction": "outbound",
        "from_number": call.from_number,
        "to_number": call.to_number,
        "metadata": call.metadata,
        "retell_llm_dynamic_variables": call.variables,
        "custom_sip_headers": call.sip_headers,
        "data_storage_setting": "everything",
        "opt_in_signed_url": False,
        "telephony_identifier": {"twilio_call_sid": "CA" + call.call_id[-32:]} if call.rings else None,
    }


def _end(call: Call) -> dict[str, Any]:
    connected = call.connects_at is not None
    # Retell documents no duration for a call that never connected: some have 0, some have none.
    duration = None if call.end_status is CallStatus.ERROR and not connected else call.talk_seconds * 1000
    return {
        "end_timestamp": _milliseconds(call.ends_at),
        "duration_ms": None if duration is None else round(duration),
        "disconnection_reason": call.end_reason,
        "call_cost": _cost(call),
        "public_log_url": f"{RECORDINGS}/{call.call_id}/public.log" if connected else None,
        "transfer_destination": "+56900000000" if call.end_reason == "call_transfer" else None,
    }


def _conversation(call: Call) -> dict[str, Any]:
    lines = _dialogue(call)
    step = call.talk_seconds / len(lines)
    return {
        "transcript": "".join(f"{role.capitalize()}: {text}\n" for role, text in lines),
        "transcript_object": [
            {
                "role": role,
                "content": text,
                "words": [
                    {"word": text, "start": round(step * at, 3), "end": round(step * (at + 1), 3)},
                ],
            }
            for at, (role, text) in enumerate(lines)
        ],
        "recording_url": f"{RECORDINGS}/{call.call_id}/recording.wav",
        "recording_multi_channel_url": f"{RECORDINGS}/{call.call_id}/recording_multichannel.wav",
        "collected_dynamic_variables": call.collected,
    }


def _dialogue(call: Call) -> list[tuple[str, str]]:
    """A short conversation in the campaigns' language, depending on how the call ended."""
    variables = call.variables or {}
    name, company = variables.get("nombre", "usted"), variables.get("empresa", "la empresa")
    greeting = [("agent", f"Buenas tardes, llamo de {company}. ¿Hablo con {name}?")]
    if call.end_reason in _CUT_SHORT:
        return greeting + _CUT_SHORT[call.end_reason]
    debt = f"Le llamo por un saldo pendiente de {variables.get('monto_total', '50000')} pesos."
    asked = [*greeting, ("user", "Sí, con él habla."), ("agent", debt)]
    if call.collected:
        day = call.collected.get("fecha_pago_cliente", "pronto")
        return [*asked, ("user", f"Puedo pagar el {day}."), ("agent", "Muchas gracias, queda anotado.")]
    return [*asked, ("user", "Por ahora no puedo pagar.")]


#: What follows the greeting if the conversation ends early.
_CUT_SHORT: Final[dict[str, list[tuple[str, str]]]] = {
    "voicemail_reached": [("user", "Deje su mensaje después de la señal.")],
    "ivr_reached": [("user", "Para ventas, marque uno.")],
    "inactivity": [("agent", "¿Sigue ahí?")],
    "user_requested_dnc": [("user", "Sí. No me llamen más, por favor.")],
    "user_requested_callback": [("user", "Ahora no puedo, llámeme mañana.")],
}


def _analysis(call: Call) -> dict[str, Any]:
    ending = ENDINGS.get(call.end_reason, UNKNOWN)
    promised = bool(call.collected)
    return {
        "call_summary": _dialogue(call)[-1][1],
        "call_successful": ending.person and call.end_status is CallStatus.ENDED,
        "in_voicemail": call.end_reason == "voicemail_reached",
        "user_sentiment": "Positive" if promised else "Neutral",
        "custom_analysis_data": {"promesa_de_pago": promised},
    }


def _cost(call: Call) -> dict[str, Any]:
    """Cents, split between voice engine and telephony; 0 for a call that did not connect."""
    per_second = call.cents_per_minute / 60
    seconds = call.talk_seconds
    shares = {"retell_voice_engine": 0.85, "twilio_telephony": 0.15}
    return {
        "combined_cost": call.cost_cents,
        "total_duration_seconds": round(seconds, 3),
        "total_duration_unit_price": round(per_second, 6),
        "product_costs": [
            {
                "product": product,
                "unit_price": round(per_second * share, 6),
                "cost": round(per_second * share * seconds, 4),
            }
            for product, share in shares.items()
            if seconds
        ],
    }


def _milliseconds(instant: float) -> int:
    return round(instant * 1000)
