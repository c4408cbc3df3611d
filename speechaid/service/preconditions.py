"""What must hold before anything is done, and which settings are still missing; pure."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from speechaid import __version__
from speechaid.protocol.translation import say, say_later
from speechaid.service.steps import (
    DATABASE_URI,
    DIRECTORIES,
    HIDDEN,
    LINK,
    NOT_ROOT,
    REQUIRED,
    SERVICE,
    SERVICE_DROP_IN,
    SETTINGS,
    SIMULATOR_SETTINGS,
    STATE,
    UNIT_DIRECTORY,
    USER,
    VOLATILE,
    WEB_SETTINGS,
    Access,
    Facts,
    Mode,
    Wanted,
    credential_path,
    has_credential,
    manual_page,
)
from speechaid.settings.fields import hide_credentials
from speechaid.settings.secrets import SECRETS

#: How settings that are missing are given.
HOW_TO_GIVE: Final = say_later("--api-key-file FILE, --set NAME=VALUE, or answers at a terminal")
#: What a path may hold to stand in a unit file, and its last part in a unit's name, without quoting.
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9._/-]+")


def refusals(facts: Facts, wanted: Wanted) -> Iterator[str]:
    """Why nothing can be done, one line each."""
    if not facts.is_root:
        yield NOT_ROOT
    yield from _unreadable(facts)
    yield from _writable(facts)
    if not facts.has_user and not facts.tools & {"systemd-sysusers", "useradd"}:
        yield say("neither systemd-sysusers nor useradd is here to create the user {user}", user=USER)
    if facts.files.get(UNIT_DIRECTORY / SERVICE) == "":  # as systemd sees it, also a link to /dev/null
        yield say("{service} is masked: systemctl unmask {service} if it is to run", service=SERVICE)
    for name in wanted.operators:
        if name not in facts.operators:
            yield say("--operator {name}: there is no such user", name=name)
    mode = mode_of(facts, wanted)
    installed = UNIT_DIRECTORY / SERVICE in facts.files
    was_simulator = SERVICE_DROP_IN in facts.files
    if mode is Mode.SIMULATOR:
        if installed and not was_simulator:
            yield (
                say(
                    "--simulator: a service for real calls is installed here, and its campaigns would"
                    " stop; {manual_page} shows how to practise beside it",
                    manual_page=manual_page(facts, "first-day.md"),
                )
            )
        if wanted.settings or wanted.secrets:
            yield (
                say(
                    "the service uses the simulator, whose settings are in {simulator_settings}: settings"
                    " for real calls go with --live",
                    simulator_settings=SIMULATOR_SETTINGS,
                )
            )
        yield from _extra(facts, "simulator")
    elif was_simulator and (unset := unset_settings(facts, wanted)):
        yield say(
            "--live: {not_set}; give them ({how_to_give}); the simulator stays until then",
            not_set=not_set(unset),
            how_to_give=HOW_TO_GIVE,
        )
    yield from _database_refusals(facts, wanted, mode)


def _unreadable(facts: Facts) -> Iterator[str]:
    """Why the service could not run this installation, one line each."""
    advice = say(
        "install speechaid in a virtual environment of its own: python3 -m venv {link}-{version}",
        link=LINK,
        version=__version__,
    )
    if not _PLAIN_PATH.fullmatch(str(facts.prefix)):
        yield say(
            "{prefix}: its name cannot stand in a unit file; {advice}", prefix=facts.prefix, advice=advice
        )
    if not any(name.startswith("systemd/") for name in facts.shipped):
        yield say(
            "{prefix}/share/speechaid holds no units: speechaid is not installed there; {advice}",
            prefix=facts.prefix,
            advice=advice,
        )
    faults: dict[str, None] = {}
    for place in facts.places:
        hidden = next((top for top in HIDDEN if place.path.is_relative_to(top)), None)
        if hidden is not None:
            faults[
                say(
                    "{path} is below {hidden}, which the service cannot see; {advice}",
                    path=place.path,
                    hidden=hidden,
                    advice=advice,
                )
            ] = None
        elif place.closed_at is not None:
            where = facts.prefix if place.closed_at.is_relative_to(facts.prefix) else place.closed_at
            closed = say(
                "{prefix} cannot be read by the user {user}, since {where} is closed to others",
                prefix=facts.prefix,
                user=USER,
                where=where,
            )
            remedy = say(
                "chmod -R o+rX {where} (umask 077 makes it so), or {advice}", where=where, advice=advice
            )
            faults.setdefault(say("{closed}: {remedy}", closed=closed, remedy=remedy))
        elif place.filesystem in VOLATILE:
            faults[
                say(
                    "{path} is in memory ({filesystem}) and gone after a restart; {advice}",
                    path=place.path,
                    filesystem=place.filesystem,
                    advice=advice,
                )
            ] = None
    yield from faults


def _writable(facts: Facts) -> Iterator[str]:
    """Settings and secrets that others may have changed: whoever can, takes the API key elsewhere."""
    for path, access in facts.access.items():
        who = _other_writer(access, is_directory=path in DIRECTORIES)
        if who is None:
            continue
        mode, group = required_access(path)
        yield (
            say(
                "{path} can be changed by {who}, and with it where the API key is sent: read {what}, then:"
                " chown root:{group} {path} && chmod {mode:o} {path}",
                path=path,
                who=who,
                what=say("the files in it") if path in DIRECTORIES else say("it"),
                group=group,
                mode=mode,
            )
        )


def _other_writer(access: Access, *, is_directory: bool) -> str | None:
    """Who, besides root and the service, may write there; None where nobody may."""
    sticky = is_directory and bool(access.mode & stat.S_ISVTX)
    if access.mode & stat.S_IWOTH and not sticky:
        return say("every user of this host")
    if access.mode & stat.S_IWGRP and access.group != "root" and not sticky:
        return say("the group {group}", group=access.group)
    return None if access.owner in {"root", USER} else say("the user {owner}", owner=access.owner)


def required_access(path: Path) -> tuple[int, str]:
    """Mode and group of a settings file, a secret or their directory; the owner is root."""
    if path in DIRECTORIES:
        return DIRECTORIES[path]
    return (0o640, USER) if path in {SETTINGS, SIMULATOR_SETTINGS, WEB_SETTINGS} else (0o600, "root")


def _database_refusals(facts: Facts, wanted: Wanted, mode: Mode) -> Iterator[str]:
    directory = embedded_directory(database(facts, wanted, mode))
    if directory is None:
        return
    # Where the settings name it already, a drop-in may well open another place.
    is_new = embedded_directory(facts.settings.get("MONGO_URI")) != directory
    if is_new and not directory.is_relative_to(STATE):
        yield say(
            "embedded:{directory}: the service may write below {state} only, for example {database_uri}",
            directory=directory,
            state=STATE,
            database_uri=DATABASE_URI,
        )
    yield from _extra(facts, "embedded")


def _extra(facts: Facts, extra: str) -> Iterator[str]:
    if extra in facts.missing_extras:
        yield (
            say(
                "the extra {extra} is not installed: {prefix}/bin/pip install '.[{extra}]' in the"
                " checkout, or with the wheel's file: 'speechaid-....whl[{extra}]'",
                extra=extra,
                prefix=facts.prefix,
            )
        )


def database(facts: Facts, wanted: Wanted, mode: Mode) -> str | None:
    """The database's address; None where it is a secret that is not known here."""
    if mode is Mode.SIMULATOR:
        return DATABASE_URI
    if "MONGO_URI" in facts.settings and not (wanted.replace and _gives(wanted, "MONGO_URI")):
        return facts.settings["MONGO_URI"]
    if "MONGO_URI" in wanted.secrets:
        return None
    if has_credential(facts, "MONGO_URI") and not (wanted.replace and "MONGO_URI" in wanted.settings):
        return None
    return wanted.settings.get("MONGO_URI", None if SETTINGS in facts.files else DATABASE_URI)


def _gives(wanted: Wanted, name: str) -> bool:
    return name in wanted.settings or name in wanted.secrets


def embedded_directory(uri: str | None) -> Path | None:
    """The directory of an embedded database; None for MongoDB or an unknown address."""
    scheme, _, directory = (uri or "").partition(":")
    return Path(directory) if scheme == "embedded" else None


def mode_of(facts: Facts, wanted: Wanted) -> Mode:
    """The mode that the service is to have."""
    return wanted.mode or (Mode.SIMULATOR if SERVICE_DROP_IN in facts.files else Mode.LIVE)


def unset_settings(facts: Facts, wanted: Wanted) -> tuple[str, ...]:
    """Required settings without a value, in the file, among the secrets or given now."""
    if mode_of(facts, wanted) is Mode.SIMULATOR:
        return ()
    if SERVICE in facts.active and SERVICE_DROP_IN not in facts.files:
        return ()  # it runs: a drop-in of the operator's may bring what is not seen here
    return tuple(
        name
        for name in REQUIRED
        if not facts.settings.get(name)
        and name not in wanted.secrets
        and name not in wanted.settings
        and not (name in SECRETS and has_credential(facts, name))
    )


def has_password(uri: str) -> bool:
    """Whether an address holds a password, and so is a secret."""
    return hide_credentials(uri) != uri


def not_set(names: Iterable[str]) -> str:
    """Which settings are missing, and where each belongs."""
    secret = [
        say("{name} (in {place})", name=name, place=credential_path(name))
        for name in names
        if name in SECRETS
    ]
    plain = [say("{name} (in {place})", name=name, place=SETTINGS) for name in names if name not in SECRETS]
    return say("not set: {names}", names=", ".join([*secret, *plain]))
