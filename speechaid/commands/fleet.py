"""Commands about this daemon and this host's workers; the loop thread runs them at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from speechaid.commands.interfaces import CommandRefused, DaemonControl, Result
from speechaid.model.batch import LONGEST_TYPED, may_mean
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say
from speechaid.rules.alerts import ALERTS
from speechaid.settings import settings_warnings

Args = Mapping[str, Any]

#: The beginning of every batch's id.
_ALL: Final = ""
#: Batches that are held on this host, without the database, at most.
_MAX_PAUSED: Final = 256


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
    """Read the settings again; a variable that is misspelt is named, since it has no effect."""
    return {**daemon.reload(), "warnings": settings_warnings()}


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


def unhold_here(daemon: DaemonControl, _args: Args, _result: Result) -> Result:
    """Release this host's hold, after the global hold; made without database, it was the only one."""
    was_held = bool(daemon.snapshot()["supervisor"]["held"])
    daemon.hold(False)
    return {"was_held_here": was_held}


def pause_batch_here(daemon: DaemonControl, args: Args) -> Result:
    """Hold this host's dials of a batch at once, before the database has the pause.

    The id may be shortened, or be a name: until the database says which batch is meant, all that it may mean
    are held.
    """
    if len(daemon.snapshot()["supervisor"]["paused_batches"]) >= _MAX_PAUSED:
        message = say(
            "{MAX_PAUSED} pauses wait for the database already; speechctl hold stops every dial",
            MAX_PAUSED=_MAX_PAUSED,
        )
        raise CommandRefused(ErrorCode.BUSY, message)
    daemon.pause_batches(_beginning(args), True)
    return {}


def release_batch_here(daemon: DaemonControl, args: Args) -> Result:
    """The database has the pause, or has refused it: this host need not hold the dials itself any more."""
    daemon.pause_batches(_beginning(args), False)
    return {}


def resume_batch_here(daemon: DaemonControl, _args: Args, result: Result) -> Result:
    """Release a batch whose pause the database could not record."""
    paused = daemon.snapshot()["supervisor"]["paused_batches"]
    for beginning in paused:
        if beginning and may_mean([beginning], str(result["batch_id"]), result.get("name")):
            daemon.pause_batches(beginning, False)
    if _ALL not in paused:
        return {}
    return {
        "fault": say("a pause-all is in force on this host that the database could not record: resume-all")
    }


def cancel_batch_here(daemon: DaemonControl, args: Args) -> Result:
    """As ``pause_batch_here``, unless nothing is to be changed."""
    return {} if args["dry_run"] else pause_batch_here(daemon, args)


def release_cancelled_here(daemon: DaemonControl, args: Args) -> Result:
    """The opposite of ``cancel_batch_here``."""
    return {} if args["dry_run"] else release_batch_here(daemon, args)


def pause_all_here(daemon: DaemonControl, _args: Args) -> Result:
    """Hold this host's dials of all batches at once."""
    daemon.pause_batches(_ALL, True)
    return {}


def release_all_here(daemon: DaemonControl, _args: Args) -> Result:
    """As ``release_batch_here``, for all batches."""
    daemon.pause_batches(_ALL, False)
    return {}


def resume_all_here(daemon: DaemonControl, args: Args, _result: Result) -> Result:
    """Release a pause of all batches that the database could not record."""
    return release_all_here(daemon, args)


def hang_up_here(daemon: DaemonControl, _args: Args, result: Result) -> Result:
    """Have the worker that follows the call, if it is one of this host, stop it at once."""
    daemon.hang_up(str(result["job_id"]))
    return {}


def _beginning(args: Args) -> str:
    return str(args["batch"])[:LONGEST_TYPED]


def _slot(daemon: DaemonControl, name: str) -> str:
    """The slot of an operator's ``worker-3`` or ``3``."""
    slots = [str(worker["slot"]) for worker in daemon.snapshot()["workers"]]
    for candidate in (name, f"worker-{name}"):
        if candidate in slots:
            return candidate
    shown = joined(", ", slots[:8]) + (", ..." if len(slots) > 8 else "")
    raise CommandRefused(
        ErrorCode.NOT_FOUND,
        say("there is no worker {name!r}; there are: {shown}", name=name, shown=shown or say("none")),
    )


def _jobs_in_hand(snapshot: Result) -> int:
    return sum(1 for worker in snapshot["workers"] if worker["job"])
