"""Commands about this daemon and this host's workers; the loop thread runs them at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechaid.commands.interfaces import CommandRefused, DaemonControl, Result
from speechaid.protocol.messages import ErrorCode
from speechaid.rules.alerts import ALERTS

Args = Mapping[str, Any]


def status(daemon: DaemonControl, _args: Args) -> Result:
    """The state of the daemon."""
    return daemon.snapshot()


def alerts(daemon: DaemonControl, args: Args) -> Result:
    """The firing alerts; on request the quiet ones too."""
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
    """Stop claims on this host; with ``stop`` the daemon exits after the last call."""
    daemon.drain(True)
    if args["stop"]:
        daemon.shutdown(now=False)
    snapshot = daemon.snapshot()
    return {
        "draining": True,
        "stopping": args["stop"],
        "calls_in_hand": _jobs_in_hand(snapshot),
        **{name: snapshot.get("drain", {}).get(name) for name in ("estimate_seconds", "at_most_seconds")},
    }


def undrain(daemon: DaemonControl, _args: Args) -> Result:
    """Allow claims on this host again."""
    daemon.drain(False)
    return {"draining": False}


def pause_worker(daemon: DaemonControl, args: Args) -> Result:
    """Stop the claims of one worker."""
    slot = _slot(daemon, args["worker"])
    daemon.pause_worker(slot)
    return {"worker": slot, "paused": True}


def resume_worker(daemon: DaemonControl, args: Args) -> Result:
    """Allow one worker to claim again."""
    slot = _slot(daemon, args["worker"])
    daemon.resume_worker(slot)
    return {"worker": slot, "paused": False}


def scale(daemon: DaemonControl, args: Args) -> Result:
    """Set the wanted number of workers; the loop starts and stops them."""
    before = daemon.snapshot()["supervisor"]["wanted"]
    return {"wanted": daemon.scale(args["count"]), "before": before}


def reload(daemon: DaemonControl, _args: Args) -> Result:
    """Read the settings again."""
    return dict(daemon.reload())


def log_level(daemon: DaemonControl, args: Args) -> Result:
    """Set the log level."""
    daemon.set_log_level(args["level"])
    return {"level": args["level"]}


def shutdown(daemon: DaemonControl, args: Args) -> Result:
    """Begin to stop; the answer is sent first."""
    daemon.shutdown(now=args["now"])
    return {"stopping": True, "now": args["now"], "calls_in_hand": _jobs_in_hand(daemon.snapshot())}


def hold_here(daemon: DaemonControl, _args: Args) -> Result:
    """Hold this host's dials at once, even without the database; the background handler holds all hosts."""
    daemon.hold(True)
    return {}


def unhold_here(daemon: DaemonControl, _args: Args) -> Result:
    """Release this host's hold, after the global hold."""
    daemon.hold(False)
    return {}


def _slot(daemon: DaemonControl, name: str) -> str:
    """The slot of an operator's ``worker-3`` or ``3``."""
    slots = [str(worker["slot"]) for worker in daemon.snapshot()["workers"]]
    for candidate in (name, f"worker-{name}"):
        if candidate in slots:
            return candidate
    shown = ", ".join(slots[:8]) + (", ..." if len(slots) > 8 else "")
    raise CommandRefused(ErrorCode.NOT_FOUND, f"there is no worker {name!r}; there are: {shown or 'none'}")


def _jobs_in_hand(snapshot: Result) -> int:
    return sum(1 for worker in snapshot["workers"] if worker["job"])
