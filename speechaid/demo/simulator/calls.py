"""A call, planned in full when it is placed; its state is computed from the time on request.

No timer runs for a call, so a thousand of them cost nothing. Instants are seconds since the epoch by the
simulator's clock; durations inside a call are call seconds, of which ``speed`` pass in one clock second.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from speechaid.demo.simulator.bodies import CreateBody
from speechaid.demo.simulator.reasons import ENDINGS, UNKNOWN, Ending, Stage
from speechaid.demo.simulator.script import Outcome
from speechaid.demo.simulator.settings import Settings
from speechaid.model.states import TERMINAL_CALL_STATUSES, CallStatus

#: Duration of an endless call, which only a stop ends: longer than any test.
ENDLESS_SECONDS: Final = 10_000_000.0
#: The fraction of the ringing time after which the network reports a failure.
NETWORK_SHARE: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Call:
    """One placed call, with its whole course unless it is stopped."""

    call_id: str
    #: Order of placement, from 0.
    serial: int
    to_number: str
    from_number: str
    agent_id: str
    agent_version: int
    metadata: dict[str, Any] | None
    variables: dict[str, str] | None
    sip_headers: dict[str, str] | None
    idempotency_key: str | None
    #: Digest of the create request, to distinguish a replay from another request with the same key.
    body_digest: str
    key_fingerprint: str
    placed_at: float
    #: None: never.
    connects_at: float | None
    ends_at: float
    end_status: CallStatus
    end_reason: str
    #: Whether a phone rang, or would have.
    rings: bool
    speed: float
    cents_per_minute: float
    #: None: ``call_analysis`` never comes.
    analysis_at: float | None
    collected: dict[str, str] | None
    #: ``agent_override.agent`` of the request; None: it had none.
    override: dict[str, Any] | None = None

    def status(self, now: float) -> CallStatus:
        """The call's status at this instant."""
        if now >= self.ends_at:
            return self.end_status
        connected = self.connects_at is not None and now >= self.connects_at
        return CallStatus.ONGOING if connected else CallStatus.REGISTERED

    def is_over(self, now: float) -> bool:
        """Whether it has ended."""
        return self.status(now) in TERMINAL_CALL_STATUSES

    @property
    def talk_seconds(self) -> float:
        """Call seconds from connection to end."""
        return 0.0 if self.connects_at is None else (self.ends_at - self.connects_at) * self.speed

    @property
    def cost_cents(self) -> float:
        """The cost of the ended call."""
        return round(self.talk_seconds / 60 * self.cents_per_minute, 4)

    def stopped(self, now: float) -> Call:
        """The call ended now by a stop request; if it had not connected, it never connects."""
        connected = self.connects_at is not None and now >= self.connects_at
        delay = 0.0 if self.analysis_at is None else self.analysis_at - self.ends_at
        return replace(
            self,
            ends_at=now,
            connects_at=self.connects_at if connected else None,
            end_status=CallStatus.ENDED if connected else CallStatus.NOT_CONNECTED,
            end_reason="manual_stopped",
            analysis_at=now + delay if connected and self.analysis_at is not None else None,
            collected=None,
        )


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What identifies a call."""

    call_id: str
    serial: int
    key_fingerprint: str
    body_digest: str


@dataclass(frozen=True, kw_only=True)
class Placing:
    """The inputs of a placement."""

    body: CreateBody
    outcome: Outcome
    rng: random.Random
    settings: Settings
    now: float
    #: As resolved from the request.
    agent_version: int = 0

    @property
    def ending(self) -> Ending:
        """The reason's row in the table."""
        return ENDINGS.get(self.outcome.reason, UNKNOWN)


def plan(identity: Identity, placing: Placing) -> Call:
    """Place a call: draw what the outcome leaves open, and apply the limits of the request."""
    body, settings, now = placing.body, placing.settings, placing.now
    course, override = _course(placing), body.given("agent_override")
    connects_at = None if course.talk is None else now + course.ring / settings.speed
    ends_at = now + (course.ring + (course.talk or 0.0)) / settings.speed
    analysed = course.talk is not None and placing.outcome.analysis
    return Call(
        call_id=identity.call_id,
        serial=identity.serial,
        to_number=body.to_number,
        from_number=body.from_number,
        agent_id=body.override_agent_id,
        agent_version=placing.agent_version,
        metadata=body.given("metadata"),
        variables=body.given("retell_llm_dynamic_variables"),
        sip_headers=body.given("custom_sip_headers"),
        idempotency_key=body.idempotency_key or None,
        body_digest=identity.body_digest,
        key_fingerprint=identity.key_fingerprint,
        placed_at=now,
        connects_at=connects_at,
        ends_at=ends_at,
        end_status=course.status,
        end_reason=course.reason,
        rings=placing.ending.stage not in {Stage.REFUSED, Stage.NETWORK},
        speed=settings.speed,
        cents_per_minute=settings.cents_per_minute,
        analysis_at=ends_at + settings.analysis_delay_seconds / settings.speed if analysed else None,
        collected=None if course.talk is None else _collected(placing),
        override=override.agent.model_dump(exclude_unset=True) if override is not None else None,
    )


@dataclass(frozen=True)
class _Course:
    """Ring and talk time in call seconds (talk None: never connects), and how the call ends."""

    ring: float
    talk: float | None
    status: CallStatus
    reason: str


def _course(placing: Placing) -> _Course:
    outcome, body, settings = placing.outcome, placing.body, placing.settings
    stage, status = placing.ending.stage, outcome.status or placing.ending.status
    ring_limit, talk_limit = body.ring_limit_seconds, body.talk_limit_seconds
    if settings.carrier_ring_seconds is not None:
        ring_limit = min(ring_limit, settings.carrier_ring_seconds)
    ring, talk = _intended(placing, ring_limit)
    if outcome.endless:
        endless_talk = ENDLESS_SECONDS if talk is not None else None
        return _Course(ring if endless_talk else ENDLESS_SECONDS, endless_talk, status, outcome.reason)
    if ring > ring_limit and stage in {Stage.RINGING, Stage.TALK}:
        return _Course(ring_limit, None, CallStatus.NOT_CONNECTED, "dial_no_answer")
    if talk is None:
        return _Course(min(ring, ring_limit), None, status, outcome.reason)
    if talk >= talk_limit:
        return _Course(ring, talk_limit, CallStatus.ENDED, "max_duration_reached")
    return _Course(ring, talk, status, outcome.reason)


def _intended(placing: Placing, ring_limit: float) -> tuple[float, float | None]:
    """Ring and talk time of the outcome, before any limit; talk None: never connects."""
    ending, outcome, settings = placing.ending, placing.outcome, placing.settings
    # Both are always drawn, so that a scripted duration does not change the later random numbers.
    drawn_ring = placing.rng.uniform(*settings.ring_seconds)
    drawn_talk = placing.rng.uniform(*settings.talk_seconds)
    usual_ring = {
        Stage.REFUSED: 0.0,
        Stage.NETWORK: drawn_ring * NETWORK_SHARE,
        Stage.RUNG_OUT: ring_limit,
    }.get(ending.stage, drawn_ring)
    ring = usual_ring if outcome.ring_seconds is None else outcome.ring_seconds
    if outcome.talk_seconds is not None:
        return ring, outcome.talk_seconds or None
    if ending.stage is not Stage.TALK:
        return ring, None
    return ring, math.inf if ending.talk is None else drawn_talk * ending.talk


def _collected(placing: Placing) -> dict[str, str] | None:
    """The collected variables: in some answered calls, a promise to pay."""
    ending, outcome, rng = placing.ending, placing.outcome, placing.rng
    promises, days = rng.random() < placing.settings.promise_odds, rng.randint(2, 20)
    if outcome.collected is not None:
        return outcome.collected or None
    if not (ending.person and ending.status is CallStatus.ENDED and promises):
        return None
    day = datetime.fromtimestamp(placing.now, UTC) + timedelta(days=days)
    amount = placing.body.retell_llm_dynamic_variables.get("monto_total", "50000")
    return {"fecha_pago_cliente": day.strftime("%Y-%m-%d"), "monto_pago_cliente": amount}
