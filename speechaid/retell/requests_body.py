"""The body of a create request, built once: it is stored with the intent and replayed word for word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from speechaid.model.reading import Document

#: The entry of a call's metadata that holds the dial key, by which a lost create is looked up.
DIAL_KEY: Final = "speechaid_dial_key"

#: Retell refuses values outside these, in milliseconds.
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
        variables: what the agent's prompt may use; all strings.
        metadata: comes back on the call; values become strings (the list filters on those), None is left out.
        key: the dial key; goes out as ``idempotency_key`` and in the metadata.
        ring_seconds: how long to let it ring; None leaves it to the agent.
        max_call_seconds: how long a connected call may last; None leaves it to the agent.
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
        body["retell_llm_dynamic_variables"] = dict(variables)
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
