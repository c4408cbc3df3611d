"""What a client with ``status`` access is answered: counts and health, nothing of a person.

An allow-list for each command: a field that is not listed is left out, so that a new one is not shown by
accident. ``HIDDEN`` shows that there is something: clients count calls and holds by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from speechaid.commands.interfaces import Result
from speechaid.model.states import JobStatus
from speechaid.telemetry.redaction import HIDDEN

#: How a field is answered: a set of fields, or of each element of a list; or one of the three below.
Shape = Mapping[str, "Shape"] | str
#: A text of speechaid's own, an id of a batch or an account, a number, a time.
PLAIN: Final = "plain"
#: Numbers by a name of speechaid's own.
COUNTS: Final = "counts"
#: A job, a call, a name, or what somebody typed or another program wrote.
WITHHELD: Final = "withheld"


def _plain(*names: str) -> Mapping[str, Shape]:
    return dict.fromkeys(names, PLAIN)


#: Not ``COUNTS``: other programs write statuses, too.
_JOBS: Final[Shape] = _plain(*JobStatus, "unknown")
_HOLD: Final[Mapping[str, Shape]] = {"reason": WITHHELD, "by": WITHHELD, "at": PLAIN}
_PAUSE: Final[Shape] = {**_HOLD, "all": PLAIN}
_ALERT: Final[Shape] = {
    **_plain("alert", "severity", "since", "clears_in_seconds", "meaning", "remedy"),
    "summary": WITHHELD,
}
_NAMED: Final[Shape] = _plain("count", "named")
_BATCH: Final[Mapping[str, Shape]] = {
    **_plain("batch_id", "active", "priority"),
    "name": WITHHELD,
    "jobs": _JOBS,
    "pause": _PAUSE,
}

_STATUS: Final[Shape] = {
    **_plain("as_of", "read_at", "counted_at", "counted_before_command", "metrics"),
    **_plain("key_held", "too_old", "batches_left_out", "batches_with_work"),
    "supervisor": {
        **_plain("pid", "host", "version", "started_at", "state", "wanted", "present", "calls_done"),
        **_plain("restarts", "draining", "held", "no_space", "overloaded", "database_probe_seconds"),
        **_plain("dependency_away", "crash_loops", "orders_not_kept"),
        # What operators typed as the beginning of an id.
        "paused_batches": WITHHELD,
        "zygote": _plain("pid", "state", "restarts"),
        "follower": _plain("pid", "state", "calls", "covered", "gap", "unusable", "restarts"),
    },
    "workers": {
        **_plain("slot", "worker_id", "pid", "state", "step", "for_seconds", "call_for_seconds", "since"),
        **_plain("starts_in_seconds", "calls_done", "crash_loop", "leaving", "paused"),
        "job": WITHHELD,
        "call": WITHHELD,
        "restarts": COUNTS,
    },
    "database": _plain("state", "error"),
    "queue": _JOBS,
    "batches": _BATCH,
    "fleet_hold": _HOLD,
    "batches_hold": _HOLD,
    # Retell's words may quote what was sent.
    "breakers": {**_plain("_id", "state", "kind", "opened_at", "probe_at"), "reason": WITHHELD},
    "key_reason": WITHHELD,
    "census": {
        **_plain("due", "ready", "callable", "oldest_due_seconds", "lapsed", "oldest_lapsed_seconds"),
        **_plain("parked"),
        "batch_states": COUNTS,
        "paused_unexpectedly": _plain("count"),
        "not_understood": _NAMED,
        "accounts": _plain("account_id", "calls_left", "talk_left_seconds", "credit_left"),
    },
    "unreadable": _plain("count"),
    "drain": COUNTS,
    "disks": _plain("of", "path", "free_mb", "full"),
    "alerts": _ALERT,
    "recent": COUNTS,
}

#: The answer of each command that needs ``status`` access alone.
SHAPES: Final[Mapping[str, Shape]] = {
    "status": _STATUS,
    "alerts": {"firing": _ALERT, "quiet": _ALERT, "quiet_count": PLAIN},
    "batches": {
        **_plain("as_of", "left_out"),
        "batches": {**_BATCH, **_plain("account_id", "created_at"), "fault": WITHHELD},
        "without_batch": _JOBS,
    },
}


def without_people(command: str, result: Result) -> Result:
    """The answer without what concerns a person.

    Raises:
        KeyError: the command needs more than ``status`` access.
    """
    shown: Result = _shown(result, SHAPES[command])
    return shown


def _shown(value: Any, shape: Shape) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return [_shown(element, shape) for element in value]
    if isinstance(value, Mapping):
        if shape == COUNTS:
            return {name: number for name, number in value.items() if isinstance(number, int | float | None)}
        if isinstance(shape, Mapping):
            return {name: _shown(value[name], inner) for name, inner in shape.items() if name in value}
    return value if shape == PLAIN and not isinstance(value, Mapping) else HIDDEN
