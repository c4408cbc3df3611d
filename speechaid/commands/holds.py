"""The global hold: the emergency stop of new dials on all hosts."""

from __future__ import annotations

from speechaid.commands.interfaces import Continue, HandlerContext, Invocation, Result
from speechaid.commands.wait_for_dials import wait_for_dials
from speechaid.protocol.translation import say


def hold(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Hold all hosts, and wait until no dial is in flight; ``fleet.hold_here`` has held this host already."""
    before = context.store.holds.find_hold()
    context.store.holds.hold(by=command.actor, reason=command.args["reason"])
    return wait_for_dials(
        context,
        command,
        done=say("every host is held"),
        again="hold",
        result={"held": True, "was_held": before is not None, "reason": command.args["reason"]},
    )


def unhold(context: HandlerContext, command: Invocation) -> Result:
    """Release the global hold."""
    return {"held": False, "was_held": context.store.holds.unhold(by=command.actor)}
