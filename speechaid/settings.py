"""Settings from the environment and an environment file: read once, checked whole, then never changed.

``get_settings`` gives the settings or raises with every fault at once. ``settings_warnings`` finds what looks
like a slip of the pen. ``reload_changes`` tells what a reload can apply, ``after_reload`` applies just that.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from speechaid.errors import ConfigError
from speechaid.protocol.messages import default_socket
from speechaid.settings_fields import Hours
from speechaid.settings_file import EnvFile, read_file, warnings_of_file
from speechaid.settings_groups import (
    AlertSettings,
    BreakerSettings,
    CallSettings,
    ControlSettings,
    DatabaseSettings,
    DiallingSettings,
    LoggingSettings,
    RetellSettings,
    Settings,
    TelemetrySettings,
    WorkerSettings,
)
from speechaid.settings_secrets import FILE_VARIABLES, read_secrets, replaced_by
from speechaid.settings_table import BY_VARIABLE, DECLARATIONS, settings_table

__all__ = [
    "DEFAULT_ENV_FILE",
    "AlertSettings",
    "BreakerSettings",
    "CallSettings",
    "ControlSettings",
    "DatabaseSettings",
    "DiallingSettings",
    "Hours",
    "LoggingSettings",
    "RetellSettings",
    "Settings",
    "TelemetrySettings",
    "WorkerSettings",
    "after_reload",
    "get_settings",
    "profile",
    "reload_changes",
    "settings_table",
    "settings_warnings",
]

#: Taken from the working directory where it exists; ``SPEECHAID_ENV_FILE`` names another.
DEFAULT_ENV_FILE: Final = Path(".env")
#: Variables that are ours and no setting.
_OTHER_VARIABLES: Final = frozenset({"SPEECHAID_ENV_FILE", *FILE_VARIABLES})
#: Values that let the other settings be compared although these are missing or wrong.
_STAND_INS: Final = {
    "RETELL_API_KEY": "stand-in",
    "RETELL_AGENT_ID": "stand-in",
    "RETELL_FROM_NUMBER": "+15005550006",
    "SPEECHAID_SOCKET": "/stand-in",
    "SPEECHAID_STATE_DIR": "/stand-in",
}
#: The first must not be more than the second.
_ORDERED: Final = (
    ("SPEECHAID_TEMPORARY_RETRY_MIN_SECONDS", "SPEECHAID_TEMPORARY_RETRY_MAX_SECONDS"),
    ("SPEECHAID_RESPAWN_MIN_SECONDS", "SPEECHAID_RESPAWN_MAX_SECONDS"),
    ("SPEECHAID_PROBE_MIN_SECONDS", "SPEECHAID_PROBE_MAX_SECONDS"),
    ("CALL_POLLING_INTERVAL", "POLL_TIMEOUT_SECONDS"),
)
#: How much alike two names must be for one to be taken for the other, misspelt.
_ALIKE: Final = 0.84


def get_settings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = DEFAULT_ENV_FILE
) -> Settings:
    """Read the settings; the environment wins over the file, an empty value counts as not set.

    Args:
        environ: the process's own environment unless given.
        env_file: None reads no file; the default one may be missing, any other must be there.

    Raises:
        ConfigError: they cannot be used; one line for each fault.
    """
    environ = os.environ if environ is None else environ
    file = read_file(_env_path(environ, env_file))
    values = _read(environ, file)
    secrets = read_secrets(values)
    faults = [*file.faults, *secrets.faults.values()]
    all_values = _with_places({**values, **secrets.values})
    settings, more = _check(all_values, told=secrets.faults.keys(), empty=_empty(environ, file))
    if file.path is None and env_file is not None and not _STAND_INS.keys() <= all_values.keys():
        more.append(f"{Path.cwd() / env_file} is not there: all that is set comes from the environment")
    if settings is None or faults:
        raise ConfigError(faults + more)
    return settings


def _env_path(environ: Mapping[str, str], env_file: Path | None) -> Path | None:
    """The environment file that is to be read, if any."""
    named = environ.get("SPEECHAID_ENV_FILE", "").strip()
    if env_file != DEFAULT_ENV_FILE:
        return env_file
    return Path(named).expanduser() if named else env_file if env_file.exists() else None


def profile(name: str) -> Path:
    """The environment file of a profile that ships with speechaid: ``production`` or ``development``."""
    return Path(__file__).parent / "data" / f"{name}.env"


def _read(environ: Mapping[str, str], file: EnvFile) -> dict[str, str]:
    """All variables that are set, ours and others'."""
    own = {name: value.strip() for name, value in environ.items() if value.strip()}
    return {**replaced_by(own, file.values), **own}


def _empty(environ: Mapping[str, str], file: EnvFile) -> dict[str, str]:
    """Where each variable stands without a value, in words; the environment goes before the file."""
    own = {name for name, value in environ.items() if not value.strip()}
    return dict.fromkeys(file.empty, f"in {file.path}") | dict.fromkeys(own, "in the environment")


def _with_places(values: Mapping[str, str]) -> dict[str, str]:
    """With the socket and the directory that depend on the user and on systemd, and paths made absolute."""
    home = Path(values["HOME"]) if values.get("HOME") else Path.home()
    root = os.getuid() == 0
    state = Path("/var/lib/speechaid") if root else home / ".local" / "state" / "speechaid"
    # systemd lists all directories of the unit, separated by colons.
    named = values.get("SPEECHAID_STATE_DIR") or values.get("STATE_DIRECTORY", "").split(":")[0]
    return {
        **values,
        "SPEECHAID_SOCKET": str(default_socket(values)),
        "SPEECHAID_STATE_DIR": str(Path(named or state).expanduser().absolute()),
    }


def _check(
    values: Mapping[str, str], *, told: Collection[str], empty: Mapping[str, str]
) -> tuple[Settings | None, list[str]]:
    """The settings, or every fault: of single values, and among those that are sound.

    Args:
        values: by variable.
        told: variables whose fault has been told already.
        empty: where variables stand without a value.
    """
    try:
        settings = Settings.model_validate(_grouped(values))
        wrong: set[str] = set()
    except ValidationError as exc:
        wrong = {_variable_at(error["loc"]) for error in exc.errors(include_input=False, include_url=False)}
        sound = {name: value for name, value in values.items() if name not in wrong}
        stand_ins = {name: value for name, value in _STAND_INS.items() if name in wrong}
        settings = Settings.model_validate(_grouped({**sound, **stand_ins}))
    faults = [
        f"{_said(declared.variable, values.get(declared.variable), empty)}: must be {declared.allowed}"
        for declared in DECLARATIONS
        if declared.variable in wrong and declared.variable not in told
    ]
    faults += [line for variables, line in _contradictions(settings) if wrong.isdisjoint(variables)]
    return (None if wrong or faults else settings), faults


def _grouped(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {declared.group: {} for declared in DECLARATIONS}
    for declared in DECLARATIONS:
        if declared.variable in values:
            groups[declared.group][declared.field] = values[declared.variable]
    return groups


def _variable_at(loc: tuple[int | str, ...]) -> str:
    return next(d.variable for d in DECLARATIONS if (d.group, d.field) == loc[:2])


def _said(variable: str, value: object, empty: Mapping[str, str] = {}) -> str:
    """``VARIABLE=value``, or that it is not set, be it that it stands somewhere without a value."""
    if value is None and variable in empty:
        return f"{variable} is not set (it is empty {empty[variable]})"
    return f"{variable} is not set" if value is None else f"{variable}={BY_VARIABLE[variable].shown(value)}"


def _contradictions(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """Settings that cannot hold together: the variables, and the fault's line."""

    def said(variable: str) -> str:
        return _said(variable, BY_VARIABLE[variable].of(settings))

    shortest = settings.retell.timeout_seconds + 2 * settings.call.polling_interval_seconds
    if settings.worker.lease_seconds <= shortest:
        together = f"{said('RETELL_TIMEOUT_SECONDS')}, {said('CALL_POLLING_INTERVAL')}"
        yield (
            {"LEASE_SECONDS", "RETELL_TIMEOUT_SECONDS", "CALL_POLLING_INTERVAL"},
            f"{said('LEASE_SECONDS')}: must be more than {shortest:g}, a request and two polls ({together})",
        )
    for low, high in _ORDERED:
        if BY_VARIABLE[low].of(settings) > BY_VARIABLE[high].of(settings):
            yield {low, high}, f"{said(low)}: must not be more than {said(high)}"
    taken: dict[str, str] = {}
    for variable in (d.variable for d in DECLARATIONS if d.field.endswith("_collection")):
        other = taken.setdefault(BY_VARIABLE[variable].of(settings), variable)
        if other != variable:
            yield {variable, other}, f"{said(variable)}: must differ from {other}, which has the same value"


def settings_warnings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = DEFAULT_ENV_FILE
) -> list[str]:
    """Variables that look misspelt or are unknown to us, and a key that others could read or hear.

    Values are not shown: the misspelt one may be the API key.
    """
    environ = os.environ if environ is None else environ
    file = read_file(_env_path(environ, env_file))
    values = _read(environ, file)
    lines = [*warnings_of_file(file), *read_secrets(values).warnings]
    lines += [
        f"{name} is empty in the environment, which counts as not set: that of {file.path} is used"
        for name in sorted(file.values.keys() & BY_VARIABLE.keys())
        if name in environ and not environ[name].strip()
    ]
    for name in sorted(values.keys() - BY_VARIABLE.keys() - _OTHER_VARIABLES):
        meant = _meant(name)
        if meant is not None:
            lines.append(f"{name} is not a setting of speechaid: did you mean {meant}?")
        elif name.startswith("SPEECHAID_"):
            lines.append(f"{name} is not a setting of speechaid, and has no effect")
    if re.match(r"http://(?!localhost\b|127\.|\[::1\])", values.get("RETELL_BASE_URL", "")):
        lines.append("RETELL_BASE_URL begins with http://: the API key travels in the clear")
    return lines


def _meant(name: str) -> str | None:
    """The known name that this one is near to: letters swapped or wrong, or its beginning or end cut off."""
    upper = name.upper()
    known = [*BY_VARIABLE, *_OTHER_VARIABLES]
    if upper in known:
        return upper
    nearest = difflib.get_close_matches(upper, known, n=1, cutoff=_ALIKE)
    if nearest:
        return nearest[0]
    if upper.count("_") == 0:
        return None
    return next((k for k in known if k.startswith(f"{upper}_") or upper.startswith(f"{k}_")), None)


def reload_changes(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """What differs, a line each: what a reload applies, and what needs a restart."""
    applies: list[str] = []
    needs_restart: list[str] = []
    for declared in DECLARATIONS:
        before, after = declared.of(old), declared.of(new)
        if before != after:
            change = f"{declared.variable}: {declared.shown(before)} -> {declared.shown(after)}"
            (applies if declared.live else needs_restart).append(change)
    return applies, needs_restart


def after_reload(old: Settings, new: Settings) -> Settings:
    """The new settings, with the old value of everything that needs a restart."""
    wire = new.to_wire()
    kept = old.to_wire()
    for declared in DECLARATIONS:
        if not declared.live:
            wire[declared.group][declared.field] = kept[declared.group][declared.field]
    return Settings.from_wire(wire)
