"""The fleet hold: an operator's emergency stop of every new dial, on every host."""

from __future__ import annotations

from speechaid.commands.interfaces import Call, Desk, Later, Result
from speechaid.commands.wait_for_dials import until_quiet


def hold(desk: Desk, call: Call) -> Result | Later:
    """Stop every new dial, and wait until none is on its way; this host is held already."""
    before = desk.store.holds.fleet()
    desk.store.holds.hold(by=call.actor, reason=call.args["reason"])
    return until_quiet(
        desk,
        call,
        lambda desk: desk.store.jobs.open_dials(),
        done="every host is held",
        again="hold",
        result={"held": True, "was_held": before is not None, "reason": call.args["reason"]},
    )


def unhold(desk: Desk, call: Call) -> Result:
    """Let dials go out again."""
    return {"held": False, "was_held": desk.store.holds.unhold(by=call.actor)}
