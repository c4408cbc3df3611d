"""The body of a create request, built once: it is stored with the intent and sent again byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from speechaid.model.reading import Document

#: The metadata entry with the dial key, by which a dial with a lost answer is looked up.
DIAL_KEY: Final = "speechaid_dial_key"

#: The field with the variables for the agent.
VARIABLES: Final = "retell_llm_dynamic_variables"

#: Limits in milliseconds; Retell refuses values outside them.
RING_LIMITS_MS: Final = (5_000, 300_000)
DURATION_LIMITS_MS: Final = (60_000, 7_200_000)


def create_body(
    *,
    from_number: str,
    to_number: str,
    agent_id: str,
    variables: Mapping[str, str],
    metadata: Mapping[str, object],
    key: str,
    ring_seconds: float | None,
    max_call_seconds: float | None,
) -> Document:
    """The request for one call.

    Args:
        from_number: E.164, as is ``to_number``.
        to_number: the number called.
        agent_id: Retell's id of the agent that speaks.
        variables: dynamic variables for the agent's prompt; all strings.
        metadata: Retell returns it with the call; values become strings (the list filters on strings), None
            is left out.
        key: the dial key; sent as ``idempotency_key`` and in the metadata.
        ring_seconds: how long to let it ring, clamped to 5 to 300 s; None uses the agent's setting.
        max_call_seconds: longest connected call, clamped to 60 to 7200 s; None uses the agent's setting.
    """
    body: Document = {
        "from_number": from_number,
        "to_number": to_number,
        "override_agent_id": agent_id,
        "idempotency_key": key,
        "honor_internal_dnc": True,
        "metadata": {
            **{name: str(value) for name, value in metadata.items() if value is not None},
            DIAL_KEY: key,
        },
    }
    if variables:
        body[VARIABLES] = dict(variables)
    limits = {
        "ring_duration_ms": _clamped(ring_seconds, RING_LIMITS_MS),
        "max_call_duration_ms": _clamped(max_call_seconds, DURATION_LIMITS_MS),
    }
    agent = {name: value for name, value in limits.items() if value is not None}
    if agent:
        body["agent_override"] = {"agent": agent}
    return body


def _clamped(seconds: float | None, limits: tuple[int, int]) -> int | None:
    if seconds is None:
        return None
    least, most = limits
    return min(max(round(seconds * 1000), least), most)
