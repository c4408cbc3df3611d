"""The fleet hold: an operator's emergency stop of every new dial, on every host."""

from __future__ import annotations

from speechaid.commands.contract import Call, Desk, Result


def hold(desk: Desk, call: Call) -> Result:
    """Stop every new dial; calls that are going on are left alone."""
    before = desk.store.holds.fleet()
    desk.store.holds.hold(by=call.actor, reason=call.args["reason"])
    dials = desk.store.jobs.open_dials()
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
