"""The fleet hold: an operator's emergency stop of every new dial, on every host."""

from __future__ import annotations

from speechaid.commands.contract import Call, Desk, Refused, Result
from speechaid.errors import StoreUnavailable
from speechaid.protocol import ErrorCode


def hold(desk: Desk, call: Call) -> Result:
    """Stop every new dial; calls that are going on are left alone. This host is held already."""
    try:
        before = desk.store.holds.fleet()
        desk.store.holds.hold(by=call.actor, reason=call.args["reason"])
        dials = desk.store.jobs.open_dials()
    except StoreUnavailable as exc:
        message = f"this host is held, the others are not: {exc}; give the command again when it is back"
        raise Refused(ErrorCode.UNAVAILABLE, message) from exc
    return {
        "held": True,
        "was_held": before is not None,
        "on_their_way": dials.on_their_way,
        "live_calls": dials.live_calls,
        "reason": call.args["reason"],
    }


def unhold(desk: Desk, call: Call) -> Result:
    """Let dials go out again."""
    return {"held": False, "was_held": desk.store.holds.unhold(by=call.actor)}
