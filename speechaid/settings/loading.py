"""Loading the settings: sources in their order, every fault at once, warnings about likely mistakes."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from speechaid.errors import ConfigError
from speechaid.protocol.messages import default_socket
from speechaid.protocol.translation import LANGUAGE_VARIABLE, say
from speechaid.settings.certificates import certificate_faults
from speechaid.settings.cleartext import cleartext_warnings
from speechaid.settings.env_file import EnvFileSource
from speechaid.settings.groups import Settings
from speechaid.settings.secrets import (
    CREDENTIALS_DIRECTORY,
    FILE_VARIABLES,
    Unusable,
    file_variable,
    open_to_others,
)
from speechaid.settings.sources import CredentialsSource, VariableSource
from speechaid.settings.table import BY_VARIABLE, DECLARATIONS, Declaration

#: Taken from the working directory where it exists; ``SPEECHAID_ENV_FILE`` names another.
DEFAULT_ENV_FILE: Final = Path(".env")
#: Variables of speechaid that are no settings.
_OTHER_VARIABLES: Final = frozenset({"SPEECHAID_ENV_FILE", LANGUAGE_VARIABLE, *FILE_VARIABLES})
#: Replace required settings that are missing or wrong, so that the others can be compared all the same.
_STAND_INS: Final = {
    "RETELL_API_KEY": SecretStr("stand-in"),
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
#: How similar two names must be for one to count as the other, misspelt.
_SIMILAR: Final = 0.84


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
    return _read_settings(os.environ if environ is None else environ, env_file)


def get_web_settings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = DEFAULT_ENV_FILE
) -> Settings:
    """Read the settings of ``speechaid web``: as ``get_settings``, without what only the daemon may have.

    Retell's settings and the webhook's secrets are not read: of both the result holds stand-ins. A key in the
    environment is refused, since the process could not forget it again.

    Args:
        environ: as in ``get_settings``.
        env_file: as in ``get_settings``.

    Raises:
        ConfigError: they cannot be used; one line for each fault.
    """
    variables = os.environ if environ is None else environ
    known = [name for name in ("RETELL_API_KEY", file_variable("RETELL_API_KEY")) if variables.get(name)]
    if known:
        raise ConfigError(
            [say("{known} is set: speechaid web must not have Retell's key, take it out", known=known[0])]
        )
    withheld = [
        declared
        for declared in DECLARATIONS
        if declared.group == "retell" or (declared.secret and declared.group == "alerts")
    ]
    return _read_settings(variables, env_file, withheld)


def _read_settings(
    variables: Mapping[str, str], env_file: Path | None, withheld: Sequence[Declaration] = ()
) -> Settings:
    """The settings; those that are withheld have their default, or a stand-in."""
    sources = _open_sources(variables, env_file)
    if sources.file.is_unreadable:  # what it sets is not known: no other fault would be true
        raise ConfigError(sources.file.faults)
    try:
        settings = _load(sources, without=withheld)
        wrong: list[Declaration] = []
    except ValidationError as exc:
        places = {error["loc"][1:3] for error in exc.errors(include_input=False, include_url=False)}
        wrong = [declared for declared in DECLARATIONS if (declared.group, declared.field) in places]
        settings = _load(sources, without=[*wrong, *withheld])
    names = {declared.variable for declared in (*wrong, *withheld)}
    faults = [*sources.file.faults, *(sources.fault_of(declared) for declared in wrong)]
    faults += [line for involved, line in _contradictions(settings) if names.isdisjoint(involved)]
    faults += certificate_faults(
        settings.database.uri.get_secret_value(), settings.retell.base_url, variables
    )
    missing = any(sources.value_of(declared) is None for declared in wrong)
    if missing and env_file is not None and sources.file.path is None:
        faults.append(
            say("{cwd} is not there: all that is set comes from the environment", cwd=Path.cwd() / env_file)
        )
    if faults:
        raise ConfigError(faults)
    return settings


def settings_warnings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = DEFAULT_ENV_FILE
) -> list[str]:
    """Variables that look misspelt or are unknown, and secrets that others could read or intercept.

    Values are not shown: the misspelt one may be the API key.
    """
    try:
        sources = _open_sources(os.environ if environ is None else environ, env_file)
    except ConfigError:
        return []  # get_settings raises it
    variables = {**sources.file.variables, **sources.environment.variables}
    lines = [*sources.file.warnings(), *sources.secret_warnings()]
    lines += [
        say(
            "{name} is empty in the environment, which counts as not set: that of {path} is used",
            name=name,
            path=sources.file.path,
        )
        for name in sorted(sources.environment.empty & sources.file.variables.keys() & BY_VARIABLE.keys())
    ]
    for name in sorted(variables.keys() - BY_VARIABLE.keys() - _OTHER_VARIABLES):
        meant = similar_variable(name)
        if meant is not None:
            lines.append(
                say("{name} is not a setting of speechaid: did you mean {meant}?", name=name, meant=meant)
            )
        elif name.startswith("SPEECHAID_"):
            lines.append(say("{name} is not a setting of speechaid, and has no effect", name=name))
    lines += cleartext_warnings(
        mongo_uri=sources.text_of("MONGO_URI"),
        retell_url=sources.text_of("RETELL_BASE_URL"),
        webhook_url=sources.text_of("SPEECHAID_ALERT_WEBHOOK_URL"),
    )
    return lines


def profile(name: str) -> Path:
    """The environment file of a profile that ships with speechaid: ``production`` or ``development``."""
    return Path(__file__).parents[1] / "data" / f"{name}.env"


class _Sources(NamedTuple):
    """All sources, strongest first."""

    environment: VariableSource
    file: EnvFileSource
    credentials: CredentialsSource
    #: Where socket and state directory are unless they are set.
    places: VariableSource

    def value_of(self, declared: Declaration) -> Any:
        """The value in force, not yet validated; None where no source has one."""
        found = (source.groups[declared.group].get(declared.field) for source in self)
        return next((value for value in found if value is not None), None)

    def text_of(self, variable: str) -> str:
        """The text of a setting, not yet validated; empty where no source has one."""
        value = self.value_of(BY_VARIABLE[variable])
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return text.strip() if isinstance(text, str) else ""

    def fault_of(self, declared: Declaration) -> str:
        """The fault of a setting that failed validation: variable, value, what is allowed, line."""
        value = self.value_of(declared)
        if isinstance(value, Unusable):
            return value.fault
        line = _said(declared, value)
        empty = next((source.place for source in self if declared.variable in source.empty), None)
        if value is None and empty is not None:
            line += say(" (it is empty {empty})", empty=empty)
        line += say(": must be {allowed}", allowed=say(declared.allowed))
        if declared.field in self.file.groups[declared.group]:
            own = declared.variable in self.file.variables
            number = self.file.lines[declared.variable if own else file_variable(declared.variable)]
            line += say(" ({path}, line {number})", path=self.file.path, number=number)
        return line

    def secret_warnings(self) -> list[str]:
        """Secrets whose file others may read, and credentials that a variable replaces."""
        lines: list[str] = []
        for declared in (declared for declared in DECLARATIONS if declared.secret):
            names = (declared.variable, file_variable(declared.variable))
            found = (
                (n, s.variables[n]) for s in (self.environment, self.file) for n in names if n in s.variables
            )
            name, value = next(found, (None, ""))
            if name is None:
                continue
            if name in FILE_VARIABLES and open_to_others(Path(value)):
                lines.append(
                    say(
                        "{name}={value}: others than its owner may read it: chmod 600 it",
                        name=name,
                        value=value,
                    )
                )
            if (credential := self.credentials.path_of(declared)) is not None:
                lines.append(
                    say(
                        "{name} is set: the credential {name_2} is not used",
                        name=name,
                        name_2=credential.name,
                    )
                )
        return lines


def _open_sources(environ: Mapping[str, str], env_file: Path | None) -> _Sources:
    environment = VariableSource(environ, say("in the environment"))
    file = EnvFileSource(_env_path(environ, env_file))
    variables = {**file.variables, **environment.variables}
    return _Sources(
        environment=environment,
        file=file,
        credentials=CredentialsSource(variables.get(CREDENTIALS_DIRECTORY)),
        places=VariableSource(_places(variables), say("by default")),
    )


def _load(sources: _Sources, *, without: Sequence[Declaration] = ()) -> Settings:
    """Have pydantic-settings merge the sources and validate the result.

    Args:
        sources: read at the first call only.
        without: settings whose default, or a stand-in, counts instead of all sources.

    Raises:
        ValidationError: a value is missing or wrong.
    """
    replaced: dict[str, Any] = {declared.group: {} for declared in without}
    for declared in without:
        replaced[declared.group][declared.field] = _STAND_INS.get(declared.variable, declared.default)

    class Loader(BaseSettings):
        """Fills plain ``Settings``: a ``BaseSettings`` in a worker would read the environment again."""

        settings: Settings

        @classmethod
        def settings_customise_sources(  # type: ignore[override]  # the others come by name
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's interface
            init_settings: PydanticBaseSettingsSource,
            **_built_in: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, *sources)

    return Loader(settings=replaced).settings


def _env_path(environ: Mapping[str, str], env_file: Path | None) -> Path | None:
    """The environment file to read, if any."""
    named = environ.get("SPEECHAID_ENV_FILE", "").strip()
    if env_file != DEFAULT_ENV_FILE:
        return env_file
    if not named:
        return env_file if env_file.exists() else None
    try:
        return Path(named).expanduser()
    except RuntimeError as exc:  # ~NAME of a user that does not exist
        raise ConfigError([say("SPEECHAID_ENV_FILE={named}: {exc}", named=named, exc=exc)]) from exc


def _places(variables: Mapping[str, str]) -> dict[str, str]:
    """Where the socket and the state directory are unless they are set."""
    home = Path(variables["HOME"]) if "HOME" in variables else Path.home()
    root = os.getuid() == 0
    state = Path("/var/lib/speechaid") if root else home / ".local" / "state" / "speechaid"
    # systemd lists all directories of the unit, separated by colons.
    named = variables.get("STATE_DIRECTORY", "").split(":")[0]
    socket = default_socket({**variables, "SPEECHAID_SOCKET": ""})
    return {"SPEECHAID_SOCKET": str(socket), "SPEECHAID_STATE_DIR": named or str(state)}


def _said(declared: Declaration, value: object) -> str:
    """``VARIABLE=value``, or that it is not set."""
    return (
        say("{variable} is not set", variable=declared.variable)
        if value is None
        else f"{declared.variable}={declared.shown(value)}"
    )


def _contradictions(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """Settings that cannot hold together: the variables, and the fault's line."""

    def said(variable: str) -> str:
        return _said(BY_VARIABLE[variable], BY_VARIABLE[variable].of(settings))

    shortest = settings.retell.timeout_seconds + 2 * settings.call.polling_interval_seconds
    if settings.worker.lease_seconds <= shortest:
        together = say(
            "{said}, {said_2}", said=said("RETELL_TIMEOUT_SECONDS"), said_2=said("CALL_POLLING_INTERVAL")
        )
        yield (
            {"LEASE_SECONDS", "RETELL_TIMEOUT_SECONDS", "CALL_POLLING_INTERVAL"},
            say(
                "{said}: must be more than {shortest:g}, a request and two polls ({together})",
                said=said("LEASE_SECONDS"),
                shortest=shortest,
                together=together,
            ),
        )
    for low, high in _ORDERED:
        if BY_VARIABLE[low].of(settings) > BY_VARIABLE[high].of(settings):
            yield (
                {low, high},
                say("{said}: must not be more than {said_2}", said=said(low), said_2=said(high)),
            )
    taken: dict[str, str] = {}
    for variable in (d.variable for d in DECLARATIONS if d.field.endswith("_collection")):
        other = taken.setdefault(BY_VARIABLE[variable].of(settings), variable)
        if other != variable:
            yield (
                {variable, other},
                say(
                    "{said}: must differ from {other}, which has the same value",
                    said=said(variable),
                    other=other,
                ),
            )


def similar_variable(name: str) -> str | None:
    """The known name that this one is similar to: letters swapped or wrong, or a part missing."""
    upper = name.upper()
    known = [*BY_VARIABLE, *_OTHER_VARIABLES]
    if upper in known:
        return upper
    nearest = difflib.get_close_matches(upper, known, n=1, cutoff=_SIMILAR)
    if nearest:
        return nearest[0]
    if upper.count("_") == 0:
        return None
    return next((k for k in known if k.startswith(f"{upper}_") or upper.startswith(f"{k}_")), None)
