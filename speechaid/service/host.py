"""Read the facts of this host for ``install`` and ``uninstall``, and carry out one step of it."""

from __future__ import annotations

import contextlib
import grp
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import speechaid
from speechaid.errors import SpeechaidError
from speechaid.protocol.translation import say, system_fault
from speechaid.service import steps
from speechaid.service.steps import (
    Access,
    Action,
    Check,
    Directory,
    Facts,
    Link,
    Permit,
    Place,
    Remove,
    Run,
    Show,
    Write,
)
from speechaid.settings.env_file import EnvFileSource

#: A start waits for the first workers, a restart also for calls to be handed over, in seconds.
COMMAND_SECONDS: Final = 300.0
#: What each extra needs that is optional.
_EXTRAS: Final = {"embedded": ("secantus",), "simulator": ("starlette", "uvicorn")}
_TOOLS: Final = ("systemctl", "systemd-sysusers", "systemd-tmpfiles", "useradd", "usermod")
#: Of a root shell that was opened with ``su``, PATH may lack useradd; words of systemctl are read below.
_ENVIRONMENT: Final = {
    **os.environ,
    "PATH": f"{os.environ.get('PATH', '/usr/bin')}:/usr/sbin:/sbin",
    "LC_ALL": "C.UTF-8",
}
_RUNNING_SYSTEMD: Final = Path("/run/systemd/system")


class StepFailed(SpeechaidError):  # noqa: N818 - a condition of the host
    """A step could not be done; the text says why.

    Attributes:
        shown: what it has to show all the same.
    """

    def __init__(self, reason: str, shown: str = "") -> None:
        super().__init__(reason)
        self.shown = shown


# -- facts -------------------------------------------------------------------------------------------------


def read_facts(operators: Iterable[str] = ()) -> Facts:
    """Read everything that the plan depends on; nothing is changed.

    Args:
        operators: users whose membership of the service's group is asked for.
    """
    prefix = Path(sysconfig.get_path("data"))
    version = _systemd_version()
    files = {path: text for path in _paths() if (text := _text(path)) is not None}
    return Facts(
        is_root=os.geteuid() == 0,
        prefix=prefix,
        places=_places(prefix),
        missing_extras=frozenset(
            extra for extra, names in _EXTRAS.items() if not all(map(importlib.util.find_spec, names))
        ),
        shipped=_shipped(prefix / "share" / "speechaid"),
        completion=_output(str(prefix / "bin" / "speechctl"), "completion", "bash"),
        tools=frozenset(tool for tool in _TOOLS if shutil.which(tool, path=_ENVIRONMENT["PATH"])),
        systemd_version=version,
        systemd_runs=version is not None and _RUNNING_SYSTEMD.is_dir(),
        files=files,
        links={path: str(path.readlink()) for path in (steps.LINK, steps.SPEECHCTL) if path.is_symlink()},
        directories=frozenset(path for path in _directories() if path.is_dir()),
        access=_access(),
        settings=dict(EnvFileSource(steps.SETTINGS).variables) if steps.SETTINGS in files else {},
        has_user=_has_user(steps.USER),
        has_group=_group(steps.USER) is not None,
        operators={name: _is_member(name) for name in operators if _has_user(name)},
        enabled=frozenset(unit for unit in _units() if _systemctl("is-enabled", unit) == "enabled"),
        active=frozenset(
            unit for unit in _units() if _systemctl("is-active", unit) in {"active", "reloading"}
        ),
        kept=_kept(),
        is_outdated=_is_outdated(),
    )


def _paths() -> list[Path]:
    """Every file that a plan may look at."""
    units = [steps.UNIT_DIRECTORY / unit for unit in (*steps.UNITS, steps.SIMULATOR_UNIT)]
    own = [steps.SYSUSERS, steps.TMPFILES, steps.COMPLETION, steps.SPEECHCTL, steps.BACKUP_DECIDED]
    return [*units, *steps.SIMULATOR_DROP_INS, *own, *steps.settings_paths()]


def _service_files() -> list[Path]:
    """What the running service was made of; a run that was killed may have replaced it without a restart."""
    return [steps.UNIT_DIRECTORY / steps.SERVICE, steps.SERVICE_DROP_IN, *steps.settings_paths()]


def _directories() -> list[Path]:
    versions = steps.LINK.parent.glob(f"{steps.LINK.name}-*")
    return [*steps.DIRECTORIES, steps.STATE, steps.LINK, steps.COMPLETION.parent, *versions]


def _kept() -> frozenset[Path]:
    found = [
        *steps.UNIT_DIRECTORY.glob("speechaid*.d/*.conf"),
        *steps.UNIT_DIRECTORY.glob("speechaid*.d/*.orig"),
    ]
    for path in (steps.UNIT_DIRECTORY / steps.SERVICE, steps.SYSUSERS, steps.TMPFILES, steps.COMPLETION):
        found += path.parent.glob(f"{'speechctl' if path == steps.COMPLETION else 'speechaid'}*.orig")
    return frozenset(found) - steps.SIMULATOR_DROP_INS.keys()


def _access() -> dict[Path, Access]:
    """Who may do what with settings, secrets and their directories; links are followed."""
    found = {}
    for path in (steps.SETTINGS.parent, steps.CREDENTIALS, *steps.settings_paths()):
        with contextlib.suppress(OSError):
            status = path.stat()
            mode = stat.S_IMODE(status.st_mode)
            found[path] = Access(_user_name(status.st_uid), _group_name(status.st_gid), mode)
    return found


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _units() -> tuple[str, ...]:
    return (steps.SERVICE, steps.TIMER, steps.REPORT_TIMER, steps.SIMULATOR_UNIT)


def _text(path: Path) -> str | None:
    """What a file holds; None where there is none. An encrypted secret or a program is no text."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return None


def _shipped(share: Path) -> dict[str, str]:
    files = [path for pattern in ("*.env", "systemd/**/*") for path in share.glob(pattern) if path.is_file()]
    return {str(path.relative_to(share)): path.read_text(encoding="utf-8") for path in files}


def _places(prefix: Path) -> tuple[Place, ...]:
    """What the service reads: program, interpreter, standard library, packages, and the dependencies'."""
    found = [prefix / "bin" / "speechaid", Path(os.path.realpath(prefix / "bin" / "python"))]
    found += [Path(os.__file__), Path(speechaid.__file__)]
    for name in ("pymongo", "zmq"):
        spec = importlib.util.find_spec(name)
        found += [Path(spec.origin)] if spec is not None and spec.origin is not None else []
    real = [Path(os.path.realpath(path)) for path in found if path.exists()]
    return tuple(Place(path=path, closed_at=_closed_at(path), filesystem=_filesystem(path)) for path in real)


def _closed_at(path: Path) -> Path | None:
    """The first place on the way that users outside its group cannot pass, or cannot read at its end."""
    for place in (*reversed(path.parents), path):
        needed = stat.S_IXOTH if place.is_dir() else stat.S_IROTH
        if not place.stat().st_mode & needed:
            return place
    return None


def _filesystem(path: Path) -> str:
    """The type of the file system that a path lies on."""
    found, longest = "", -1
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        # The kernel writes blanks as \040.
        place = before.split()[4].encode().decode("unicode_escape")
        if path.is_relative_to(place) and len(place) >= longest:
            found, longest = after.split()[0], len(place)
    return found


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _group(name: str) -> grp.struct_group | None:
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def _is_member(name: str) -> bool:
    group = _group(steps.USER)
    return group is not None and group.gr_gid in os.getgrouplist(name, pwd.getpwnam(name).pw_gid)


def _systemd_version() -> int | None:
    found = re.match(r"systemd (\d+)", _output("systemctl", "--version"))
    return int(found[1]) if found else None


def _systemctl(*words: str) -> str:
    return _output("systemctl", *words).strip()


def _is_outdated() -> bool:
    """Whether the daemon was started before this version, its units, settings or secrets were written."""
    started = _systemctl(
        "show", steps.SERVICE, "--property=ExecMainStartTimestamp", "--timestamp=unix", "--value"
    )
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError, OSError):
        records = [path for path in importlib.metadata.files("speechaid") or () if path.name == "RECORD"]
        files = [Path(str(path.locate())) for path in records]
        files += [path for path in _service_files() if path.exists()]
        newest = max(path.stat().st_mtime for path in files)
        return started.startswith("@") and int(started[1:]) < int(newest)
    return False


def _output(*command: str) -> str:
    """What a program prints, whatever its status; nothing where it cannot be run."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, and paths of ours
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
            env=_ENVIRONMENT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


# -- steps -------------------------------------------------------------------------------------------------


def perform(action: Action) -> str:
    """Carry out one step; what it has to show, if anything.

    Raises:
        StepFailed: it could not be done, or what it looked at is not in order.
    """
    try:
        match action:
            case Run(command):
                _run(command)
            case Write():
                _write(action)
            case Link(path, target):
                _link(path, target)
            case Directory(path, mode, group):
                path.mkdir(parents=True, exist_ok=True)
                os.chown(path, 0, _gid(group))
                path.chmod(mode)
            case Permit(path, mode, group):
                _permit(path, mode, group)
            case Remove(path):
                _remove(path)
            case Show(unit):
                shown = _output("systemctl", "status", "--no-pager", "--lines=0", unit)
                # A line for each worker is more than is asked for here.
                return re.split(r"^ *CGroup:", shown, maxsplit=1, flags=re.MULTILINE)[0]
            case Check(unit):
                return _check(unit)
    except OSError as exc:
        raise StepFailed(
            say("{path}: {fault}", path=exc.filename or say("it failed"), fault=system_fault(exc))
        ) from exc
    return ""


def _run(command: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, and names that the plan has seen
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
            env=_ENVIRONMENT,
        )
    except subprocess.TimeoutExpired:
        raise StepFailed(
            say("{command} did not end within {seconds:.0f} s", command=command[0], seconds=COMMAND_SECONDS)
        ) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise StepFailed(
            say(
                "{command}: {fault}",
                command=" ".join(command),
                fault=said[0] if said else say("status {status}", status=done.returncode),
            )
        )


def _write(action: Write) -> None:
    """The file is complete and closed to others before it gets its name."""
    path = action.path
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if action.keep:
        os.link(path, steps.kept_path(path, frozenset(path.parent.iterdir())))
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(action.text)
            os.fchown(descriptor, os.geteuid(), _gid(action.group))
            os.fchmod(descriptor, action.mode)
            file.flush()
            os.fsync(descriptor)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _permit(path: Path, mode: int, group: str) -> None:
    """By the open file: what the name points to may be exchanged meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise StepFailed(say("{path} is no regular file with one name", path=path))
        os.fchown(descriptor, os.geteuid(), _gid(group))
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    if path.parent.suffix == ".d" and path.parent.parent == steps.UNIT_DIRECTORY:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def _gid(group: str) -> int:
    found = _group(group)
    if found is None:
        raise StepFailed(say("there is no group {group}", group=group))
    return found.gr_gid


def _check(unit: str) -> str:
    """Start the check's unit and return its report.

    Raises:
        StepFailed: a line of it fails.
    """
    started_at = time.time()
    command = ("systemctl", "start", unit)
    status = subprocess.run(command, capture_output=True, check=False, env=_ENVIRONMENT).returncode  # noqa: S603 - a unit of ours
    _output("journalctl", "--sync")
    since = f"--since=@{started_at:.6f}"
    report = _output("journalctl", f"--unit={unit}", since, "--output=cat", "--no-pager", "_TRANSPORT=stdout")
    if status != 0:
        raise StepFailed(say("something is not in order; again: systemctl start {unit}", unit=unit), report)
    return report
