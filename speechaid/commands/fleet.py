"""Commands about this daemon and its workers: done by the supervising thread, at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechaid.commands.contract import Daemon, Refused, Result
from speechaid.protocol import ErrorCode

Args = Mapping[str, Any]


def status(daemon: Daemon, args: Args) -> Result:  # noqa: ARG001 - one signature for all
    """What everything is about."""
    return daemon.snapshot()


def drain(daemon: Daemon, args: Args) -> Result:
    """No new claims on this host; with ``stop`` the daemon ends after the last call."""
    daemon.drain(True)
    if args["stop"]:
        daemon.shutdown(False)
    return {"draining": True, "stopping": args["stop"], "calls_in_hand": _calls_in_hand(daemon.snapshot())}


def undrain(daemon: Daemon, args: Args) -> Result:  # noqa: ARG001
    """Claims again."""
    daemon.drain(False)
    return {"draining": False}


def pause_worker(daemon: Daemon, args: Args) -> Result:
    """One worker claims nothing any more."""
    slot = _slot(daemon, args["worker"])
    daemon.pause_worker(slot)
    return {"worker": slot, "paused": True}


def resume_worker(daemon: Daemon, args: Args) -> Result:
    """One worker claims again."""
    slot = _slot(daemon, args["worker"])
    daemon.resume_worker(slot)
    return {"worker": slot, "paused": False}


def scale(daemon: Daemon, args: Args) -> Result:
    """Move the wanted number; the loop closes the gap."""
    before = daemon.snapshot().get("wanted_workers")
    daemon.scale(args["count"])
    return {"wanted_workers": args["count"], "before": before}


def reload(daemon: Daemon, args: Args) -> Result:  # noqa: ARG001
    """Read the settings again."""
    return daemon.reload()


def log_level(daemon: Daemon, args: Args) -> Result:
    """Log more or less."""
    daemon.set_log_level(args["level"])
    return {"level": args["level"]}


def shutdown(daemon: Daemon, args: Args) -> Result:
    """Begin to stop; the answer goes out before the end."""
    calls = _calls_in_hand(daemon.snapshot())
    daemon.shutdown(args["now"])
    return {"stopping": True, "now": args["now"], "calls_in_hand": calls}


def _slot(daemon: Daemon, word: str) -> str:
    """The slot that the operator means: ``worker-3``, or ``3``."""
    slots = [str(worker.get("name")) for worker in daemon.snapshot().get("workers", [])]
    for candidate in (word, f"worker-{word}"):
        if candidate in slots:
            return candidate
    shown = ", ".join(slots[:8]) + (", ..." if len(slots) > 8 else "")
    raise Refused(ErrorCode.NOT_FOUND, f"there is no worker {word!r}; there are: {shown or 'none'}")


def _calls_in_hand(snapshot: Result) -> int:
    return sum(1 for worker in snapshot.get("workers", []) if worker.get("job"))
