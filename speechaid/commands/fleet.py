"""Commands about this daemon and its workers: done by the supervising thread, at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechaid.commands.interfaces import CommandRefused, DaemonControl, Result
from speechaid.protocol.messages import ErrorCode
from speechaid.rules.alerts import ALERTS

Args = Mapping[str, Any]


def status(daemon: DaemonControl, _args: Args) -> Result:
    """What everything is about."""
    return daemon.snapshot()


def alerts(daemon: DaemonControl, args: Args) -> Result:
    """What fires; on request what is quiet too."""
    firing = daemon.snapshot().get("alerts", [])
    names = {row["alert"] for row in firing}
    quiet = [
        {
            "alert": alert.name,
            "severity": alert.severity.value,
            "meaning": alert.meaning,
            "remedy": alert.remedy,
        }
        for alert in ALERTS.values()
        if alert.name not in names
    ]
    return {"firing": firing, "quiet": quiet if args["all"] else None, "quiet_count": len(quiet)}


def drain(daemon: DaemonControl, args: Args) -> Result:
    """No new claims on this host; with ``stop`` the daemon ends after the last call."""
    daemon.drain(True)
    if args["stop"]:
        daemon.shutdown(now=False)
    found = daemon.snapshot()
    return {
        "draining": True,
        "stopping": args["stop"],
        "calls_in_hand": _in_hand(found),
        **{name: found.get("drain", {}).get(name) for name in ("estimate_seconds", "at_most_seconds")},
    }


def undrain(daemon: DaemonControl, _args: Args) -> Result:
    """Claims again."""
    daemon.drain(False)
    return {"draining": False}


def pause_worker(daemon: DaemonControl, args: Args) -> Result:
    """One worker claims nothing any more."""
    slot = _slot(daemon, args["worker"])
    daemon.pause_worker(slot)
    return {"worker": slot, "paused": True}


def resume_worker(daemon: DaemonControl, args: Args) -> Result:
    """One worker claims again."""
    slot = _slot(daemon, args["worker"])
    daemon.resume_worker(slot)
    return {"worker": slot, "paused": False}


def scale(daemon: DaemonControl, args: Args) -> Result:
    """Move the wanted number; the loop closes the gap."""
    before = daemon.snapshot()["supervisor"]["wanted"]
    return {"wanted": daemon.scale(args["count"]), "before": before}


def reload(daemon: DaemonControl, _args: Args) -> Result:
    """Read the settings again."""
    return dict(daemon.reload())


def log_level(daemon: DaemonControl, args: Args) -> Result:
    """Log more or less."""
    daemon.set_log_level(args["level"])
    return {"level": args["level"]}


def shutdown(daemon: DaemonControl, args: Args) -> Result:
    """Begin to stop; the answer goes out before the end."""
    daemon.shutdown(now=args["now"])
    return {"stopping": True, "now": args["now"], "calls_in_hand": _calls_in_hand(daemon)}


def hold_here(daemon: DaemonControl, _args: Args) -> Result:
    """Hold this host's dials at once, whatever the database does; the desk holds the fleet's."""
    daemon.hold(True)
    return {}


def unhold_here(daemon: DaemonControl, _args: Args) -> Result:
    """Let this host dial again, once the fleet's hold is lifted."""
    daemon.hold(False)
    return {}


def _slot(daemon: DaemonControl, word: str) -> str:
    """The slot that the operator means: ``worker-3``, or ``3``."""
    slots = [str(worker["slot"]) for worker in daemon.snapshot()["workers"]]
    for candidate in (word, f"worker-{word}"):
        if candidate in slots:
            return candidate
    shown = ", ".join(slots[:8]) + (", ..." if len(slots) > 8 else "")
    raise CommandRefused(ErrorCode.NOT_FOUND, f"there is no worker {word!r}; there are: {shown or 'none'}")


def _calls_in_hand(daemon: DaemonControl) -> int:
    return _in_hand(daemon.snapshot())


def _in_hand(found: Result) -> int:
    return sum(1 for worker in found["workers"] if worker["job"])
