"""What a plan is made of: facts about the host, what was asked for, steps and their actions; no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, count
from pathlib import Path
from typing import Final

from speechaid.protocol.translation import say, say_later
from speechaid.settings.secrets import SECRETS

USER: Final = "speechaid"
SERVICE: Final = "speechaid.service"
SIMULATOR_UNIT: Final = "speechaid-simulator.service"
TIMER: Final = "speechaid-backup.timer"
REPORT_TIMER: Final = "speechaid-report.timer"
CHECK_UNIT: Final = "speechaid-check@.service"
WEB_UNIT: Final = "speechaid-web.service"
#: Units that are always installed, the check first: it may be needed before the others are replaced.
UNITS: Final = (
    *(CHECK_UNIT, SERVICE, "speechaid-backup.service", TIMER),
    *("speechaid-report.service", REPORT_TIMER, WEB_UNIT),
)

UNIT_DIRECTORY: Final = Path("/etc/systemd/system")
SYSUSERS: Final = Path("/etc/sysusers.d/speechaid.conf")
TMPFILES: Final = Path("/etc/tmpfiles.d/speechaid.conf")
SETTINGS: Final = Path("/etc/speechaid/speechaid.env")
SIMULATOR_SETTINGS: Final = Path("/etc/speechaid/simulator.env")
#: Of the HTTP API: no secret, and nothing of Retell's.
WEB_SETTINGS: Final = Path("/etc/speechaid/web.env")
CREDENTIALS: Final = Path("/etc/credstore")
ENCRYPTED_CREDENTIALS: Final = Path("/etc/credstore.encrypted")
STATE: Final = Path("/var/lib/speechaid")
BACKUPS: Final = Path("/var/backups/speechaid")
REPORTS: Final = STATE / "reports"
#: Present once the nightly backup was switched on, or found switched off: from then on the operator decides.
BACKUP_DECIDED: Final = SETTINGS.parent / "backup-timer.decided"
#: The version in use, where versions lie side by side (docs/upgrade.md).
LINK: Final = Path("/opt/speechaid")
SPEECHCTL: Final = Path("/usr/local/bin/speechctl")
COMPLETION: Final = Path("/etc/bash_completion.d/speechctl")
DATABASE_URI: Final = f"embedded:{STATE}/db"
#: As tmpfiles.d/speechaid.conf makes them: mode and group.
DIRECTORIES: Final[Mapping[Path, tuple[int, str]]] = {
    SETTINGS.parent: (0o750, USER),
    CREDENTIALS: (0o700, "root"),
    BACKUPS: (0o700, "root"),
}
#: Drop-ins by which service and check use the simulator's settings.
SIMULATOR_DROP_INS: Final = {
    UNIT_DIRECTORY / f"{unit}.d" / "simulator.conf": ("[Unit]\nWants={0}\nAfter={0}\n\n" if wants else "")
    + "[Service]\nEnvironment=SPEECHAID_ENV_FILE={1}\n"
    for unit, wants in ((SERVICE, True), (CHECK_UNIT, False), (WEB_UNIT, False))
}
SERVICE_DROP_IN: Final = UNIT_DIRECTORY / f"{SERVICE}.d" / "simulator.conf"
CHECK_DROP_IN: Final = UNIT_DIRECTORY / f"{CHECK_UNIT}.d" / "simulator.conf"
#: First line of what ``install-service`` writes and may therefore replace.
MARK: Final = (
    "# Written by speechaid install-service, which replaces it. Change a unit with: systemctl edit NAME"
)
#: Settings without a default, in the order in which they are asked for.
REQUIRED: Final = ("RETELL_API_KEY", "RETELL_AGENT_ID", "RETELL_FROM_NUMBER")
#: systemd looks up credentials in /etc/credstore from this version on.
CREDSTORE_VERSION: Final = 252
#: The unit cannot see these places: ``ProtectHome=`` and ``PrivateTmp=``.
HIDDEN: Final = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108
VOLATILE: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
#: Why an ordinary user can do nothing here.
NOT_ROOT: Final = say_later("this takes root: run it with sudo")


class Mode(StrEnum):
    """What answers in the place of a telephone."""

    LIVE = "live"
    SIMULATOR = "simulator"


class State(StrEnum):
    """What becomes of a step, as printed in front of it."""

    TO_DO = "would"
    ALREADY = "already"
    #: Cannot be done here; the text says why.
    CANNOT = "cannot"
    #: Something to know, or to do oneself.
    NOTE = "note"


@dataclass(frozen=True)
class Run:
    """Run a program; a status other than 0 is a failure."""

    command: tuple[str, ...]


@dataclass(frozen=True)
class Write:
    """Write a whole file, owned by root, in one move."""

    path: Path
    text: str = field(repr=False)
    mode: int = 0o644
    group: str = "root"
    #: Keep the file that is replaced beside it (``kept_path``).
    keep: bool = False


@dataclass(frozen=True)
class Link:
    """Make a symbolic link, or point it elsewhere."""

    path: Path
    target: str


@dataclass(frozen=True)
class Directory:
    """Make a directory, owned by root."""

    path: Path
    mode: int
    group: str


@dataclass(frozen=True)
class Permit:
    """Give an existing regular file to root, with this mode and group."""

    path: Path
    mode: int
    group: str


@dataclass(frozen=True)
class Remove:
    """Remove a file, and the unit's drop-in directory that it leaves empty."""

    path: Path


@dataclass(frozen=True)
class Show:
    """Show the state of a unit."""

    unit: str


@dataclass(frozen=True)
class Check:
    """Run ``speechaid check`` as the service, by its unit, and show what it says."""

    unit: str


Action = Run | Write | Link | Directory | Permit | Remove | Show | Check


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the report, and what it takes."""

    text: str
    action: Action | None = None
    state: State = State.TO_DO
    #: The steps after it are done although it failed.
    optional: bool = False
    #: Left out of the report where a step before it failed.
    only_after_success: bool = False


@dataclass(frozen=True, kw_only=True)
class Place:
    """Something that the service must be able to read."""

    path: Path
    #: The directory or file on the way that other users may not enter or read.
    closed_at: Path | None
    #: Type of the file system that it lies on.
    filesystem: str


@dataclass(frozen=True)
class Access:
    """Owner, group and mode bits of a file or directory."""

    owner: str
    group: str
    mode: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The host as it is."""

    is_root: bool
    #: Where this speechaid is installed: ``bin`` and ``share`` lie below.
    prefix: Path
    places: tuple[Place, ...]
    #: Extras whose packages are missing.
    missing_extras: frozenset[str]
    #: Files that the package brings, below ``share/speechaid``.
    shipped: Mapping[str, str]
    #: What ``speechctl completion bash`` prints.
    completion: str
    tools: frozenset[str]
    #: None: no systemctl here.
    systemd_version: int | None
    systemd_runs: bool
    #: Contents of the files named above, of those that exist; secrets among them.
    files: Mapping[Path, str] = field(repr=False)
    #: Symbolic links among the places named above, and where they point.
    links: Mapping[Path, str]
    directories: frozenset[Path]
    #: Of settings, secrets and their directories, of those that exist.
    access: Mapping[Path, Access]
    #: What the environment file sets.
    settings: Mapping[str, str] = field(repr=False)
    has_user: bool
    has_group: bool
    #: Existing users among the operators, and whether each is in the service's group.
    operators: Mapping[str, bool]
    enabled: frozenset[str]
    active: frozenset[str]
    #: The operator's drop-ins, and units kept as ``*.orig``.
    kept: frozenset[Path]
    #: The running daemon was started before this version, its units, settings or secrets were written.
    is_outdated: bool


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for."""

    #: None: as it is; the first installation is live.
    mode: Mode | None = None
    #: Settings that are no secrets, by variable.
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    operators: tuple[str, ...] = ()
    start: bool = True
    #: Values that differ replace those that are set.
    replace: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done."""

    #: Why nothing can be done at all.
    refusals: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    #: Required settings that have no value: the service is not started.
    unset: tuple[str, ...] = ()


def credential_path(variable: str) -> Path:
    """Where a secret lies for ``LoadCredential=``."""
    return CREDENTIALS / f"speechaid.{variable.lower().removeprefix('speechaid_')}"


def encrypted_path(path: Path) -> Path:
    """Where its encrypted form lies for ``LoadCredentialEncrypted=``."""
    return ENCRYPTED_CREDENTIALS / path.name


def settings_paths() -> list[Path]:
    """Every file that may hold settings or secrets."""
    credentials = [credential_path(variable) for variable in SECRETS]
    return [SETTINGS, SIMULATOR_SETTINGS, WEB_SETTINGS, *credentials, *map(encrypted_path, credentials)]


def has_credential(facts: Facts, variable: str) -> bool:
    """Whether a secret is there already, plain or encrypted."""
    path = credential_path(variable)
    return bool(facts.files.get(path, "").strip()) or encrypted_path(path) in facts.files


def manual_page(facts: Facts, page: str) -> Path:
    """A page of the manual, as this installation brings it."""
    return facts.prefix / "share" / "doc" / "speechaid" / page


# -- files of ours -----------------------------------------------------------------------------------------


def with_checksum(text: str) -> str:
    """A file of ours: its first line names its writer, and a checksum of the rest that shows later edits."""
    return f"{MARK} (sha256 {_checksum(text)})\n{text}"


def is_unedited(text: str) -> bool:
    """Whether a file is as ``install-service`` wrote it, in this version or another."""
    _, _, rest = text.partition("\n")
    return text == with_checksum(rest)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def kept_path(path: Path, taken: Container[Path]) -> Path:
    """Where the file that is replaced is kept: ``NAME.orig``, or the first ``NAME.2.orig`` … that is free."""
    numbered = (path.with_name(f"{path.name}.{number}.orig") for number in count(2))
    first = path.with_name(f"{path.name}.orig")
    return next(name for name in chain([first], numbered) if name not in taken)


# -- steps -------------------------------------------------------------------------------------------------


def step(text: str, action: Action, *, already: bool = False) -> Step:
    """A step, or the remark that it is done already."""
    return Step(text=text, state=State.ALREADY) if already else Step(text=text, action=action)


def write(facts: Facts, path: Path, text: str) -> Step:
    """Write a file, unless it holds that text already."""
    return step(say("write {path}", path=path), Write(path, text), already=facts.files.get(path) == text)


def write_ours(facts: Facts, path: Path, text: str) -> Step:
    """Write a file of ours; what somebody else wrote or edited there is kept."""
    there, text = facts.files.get(path), with_checksum(text)
    if there is None or there == text or is_unedited(there):
        return write(facts, path, text)
    edited = say("it was edited: the old one") if there.startswith(MARK) else say("the old one")
    kept = kept_path(path, facts.kept).name
    return Step(
        text=say("write {path}; {edited} is kept as {kept}", path=path, edited=edited, kept=kept),
        action=Write(path, text, keep=True),
    )


def remove(path: Path) -> Step:
    """Remove a file."""
    return Step(text=say("remove {path}", path=path), action=Remove(path))


def note(text: str) -> Step:
    """Something to know."""
    return Step(text=text, state=State.NOTE)


def cannot(text: str) -> Step:
    """Something that cannot be done here, and why."""
    return Step(text=text, state=State.CANNOT)


def systemctl(*words: str) -> Run:
    """Have systemctl do something."""
    return Run(("systemctl", *words))


def stop(facts: Facts, unit: str) -> Step:
    """Stop a unit, and do not start it at the next boot."""
    calls = say("; calls that go on are recorded by the next start") if unit == SERVICE else ""
    if facts.systemd_version is None:
        return cannot(say("stop {unit}: systemctl is not here", unit=unit))
    now = ("--now",) if facts.systemd_runs else ()
    return step(
        say("stop {unit}, now and at every boot{calls}", unit=unit, calls=calls),
        systemctl("disable", *now, unit),
        already=unit not in facts.active | facts.enabled,
    )
