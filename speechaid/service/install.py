"""Decide the steps of ``install-service`` from facts about the host; pure.

``host.read_facts`` reads the facts, ``host.perform`` carries out one step, ``command`` prints both.
docs/install.md explains the same steps, typed by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from speechaid.protocol.translation import say
from speechaid.service.preconditions import (
    HOW_TO_GIVE,
    database,
    embedded_directory,
    mode_of,
    not_set,
    refusals,
    required_access,
    unset_settings,
)
from speechaid.service.steps import (
    BACKUP_DECIDED,
    BACKUPS,
    CHECK_UNIT,
    COMPLETION,
    CREDENTIALS,
    CREDSTORE_VERSION,
    DIRECTORIES,
    LINK,
    MARK,
    REPORT_TIMER,
    REPORTS,
    SERVICE,
    SERVICE_DROP_IN,
    SETTINGS,
    SIMULATOR_DROP_INS,
    SIMULATOR_SETTINGS,
    SIMULATOR_UNIT,
    SPEECHCTL,
    STATE,
    SYSUSERS,
    TIMER,
    TMPFILES,
    UNIT_DIRECTORY,
    UNITS,
    USER,
    WEB_SETTINGS,
    WEB_UNIT,
    Access,
    Check,
    Directory,
    Facts,
    Link,
    Mode,
    Permit,
    Plan,
    Run,
    Show,
    State,
    Step,
    Wanted,
    Write,
    cannot,
    credential_path,
    encrypted_path,
    has_credential,
    manual_page,
    note,
    remove,
    step,
    stop,
    systemctl,
    write_ours,
)
from speechaid.settings.fields import hide_credentials
from speechaid.settings.secrets import SECRETS

#: A value that ends with its line.
_ONE_LINE: Final = re.compile(r"""[^'"]*|'[^']*'|"[^"\\]*\"""")
_HEADER: Final = (
    "# Settings of the service; written once by speechaid install-service, and yours to edit. Then:",
    "# systemctl reload speechaid. What is commented out shows its default; docs/settings.md explains each.",
    "# No secrets here, since operators can read this file. Each has a file of its own (root, mode 0600):",
    f"# RETELL_API_KEY is in {credential_path('RETELL_API_KEY')},",
    f"# MONGO_URI, where it holds a password, in {credential_path('MONGO_URI')}.",
)
_WEB_HEADER: Final = (
    "# Settings of the HTTP API (speechaid-web.service); written once by speechaid install-service,",
    "# and yours to edit. Then: systemctl restart speechaid-web. docs/api.md explains them.",
    "# Nothing of Retell's belongs here: the API must not have the key.",
    "#SPEECHAID_WEB_ADDRESS=127.0.0.1:8000",
    "#SPEECHAID_WEB_PROXIES=127.0.0.1",
)
#: What a value in the environment file may hold without quoting.
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9+:/.,@=?&_~-]*")


def install_plan(facts: Facts, wanted: Wanted) -> Plan:
    """The steps of ``install-service``, in order."""
    if refused := tuple(refusals(facts, wanted)):
        return Plan(refusals=refused)
    mode = mode_of(facts, wanted)
    unset = unset_settings(facts, wanted)
    steps = [*_introduction(facts), *_user(facts), *_directories(facts), *_operators(facts, wanted)]
    settings = [*(_simulator_settings(facts) if mode is Mode.SIMULATOR else _settings(facts, wanted))]
    settings += [*_web_settings(facts, wanted, mode)]
    steps += [*_permissions(facts), *settings, *_backup_by_hand(facts)]
    check, others = _unit(facts, CHECK_UNIT, mode), [*_other_units(facts, mode), *_programs(facts)]
    changed = facts.is_outdated or _has_work([*settings, *check, *others])
    steps += [*check, *_check_before(facts, mode, unset, changed=changed), *others]
    steps += [*_reload(facts, mode, changed=changed), *_start(facts, wanted, mode, unset, changed=changed)]
    steps += [*_backup_timer(facts, wanted, mode), *_report_timer(facts, mode)]
    steps += [*_check(facts), *_next(facts, mode, unset)]
    return Plan(steps=tuple(steps), unset=unset)


def fill_in(example: str, values: Mapping[str, str]) -> str:
    """The example of an environment file with these values in the place of its own lines.

    Raises:
        KeyError: a variable has no line in the example.
    """
    lines = example.splitlines()
    place = {m[1]: number for number, line in enumerate(lines) if (m := re.match(r"#?([A-Z_]+)=", line))}
    for name, value in values.items():
        lines[place[name]] = f"{name}={_quoted(value)}"
    return "\n".join(lines) + "\n"


def change(text: str, values: Mapping[str, str]) -> str:
    """An operator's environment file with these values; all its other lines stay.

    A value replaces that of the last line that sets its variable, or is added at the end.
    """
    lines = text.splitlines()
    for name, value in values.items():
        line = f"{name}={_quoted(value)}"
        setting = re.compile(rf"\s*(?:export\s+)?{name}\s*=(.*)")
        last = max((number for number, each in enumerate(lines) if setting.fullmatch(each)), default=None)
        # A quoted value may go on in the next line: such a line stays, and the added one counts.
        if last is not None and _ONE_LINE.fullmatch(lines[last].partition("=")[2].strip()):
            lines[last] = line
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def service_example(example: str) -> str:
    """The example of an environment file, for the place where the service has it: no secrets belong there."""
    _, _, settings = example.partition("\n\n")
    lines = [line for line in settings.splitlines() if not line.startswith("RETELL_API_KEY=")]
    return "\n".join([*_HEADER, "", *lines, ""])


def value_fault(value: str) -> str | None:
    """Why a value cannot stand in the environment file; None where it can."""
    return (
        say("must not hold a line break, a quote or a backslash") if re.search(r"[\n\r'\\]", value) else None
    )


# -- user, directories, settings ---------------------------------------------------------------------------


def _introduction(facts: Facts) -> Iterator[Step]:
    if _is_by_hand(facts, SERVICE):
        yield note(
            say(
                "a service that was installed by hand is here: its units are renewed, the old ones kept as"
                " *.orig; settings, secrets, drop-ins and data stay"
            )
        )
    if facts.systemd_version is not None and facts.systemd_version < CREDSTORE_VERSION:
        yield note(
            say(
                "systemd {version} does not look into {path} by itself: see {page}, 'With an older"
                " systemd, or none'",
                version=facts.systemd_version,
                path=CREDENTIALS,
                page=manual_page(facts, "install.md"),
            )
        )


def _user(facts: Facts) -> Iterator[Step]:
    done = facts.has_user and facts.has_group
    if "systemd-sysusers" in facts.tools:
        yield write_ours(facts, SYSUSERS, facts.shipped["systemd/sysusers.d/speechaid.conf"])
        command: tuple[str, ...] = ("systemd-sysusers", str(SYSUSERS))
    else:
        group = ("--gid", USER) if facts.has_group else ("--user-group",)
        command = ("useradd", "--system", *group, "--home-dir", str(STATE), "--no-create-home")
        command = (*command, "--shell", "/usr/sbin/nologin", USER)
    yield step(
        say("create the user and the group {user} ({program})", user=USER, program=command[0]),
        Run(command),
        already=done,
    )


def _directories(facts: Facts) -> Iterator[Step]:
    if "systemd-tmpfiles" in facts.tools:
        yield write_ours(facts, TMPFILES, facts.shipped["systemd/tmpfiles.d/speechaid.conf"])
        yield step(
            say("make {paths} (systemd-tmpfiles)", paths=", ".join(map(str, DIRECTORIES))),
            Run(("systemd-tmpfiles", "--create", str(TMPFILES))),
            already=facts.directories.issuperset(DIRECTORIES),
        )
    else:
        for path, (mode, group) in DIRECTORIES.items():
            yield step(
                say("make {path}", path=path), Directory(path, mode, group), already=path in facts.directories
            )


def _operators(facts: Facts, wanted: Wanted) -> Iterator[Step]:
    for name in wanted.operators:
        yield step(
            say(
                "let {name} use speechctl, from the next login on: member of the group {user}",
                name=name,
                user=USER,
            ),
            Run(("usermod", "--append", "--groups", USER, name)),
            already=facts.operators[name],
        )


def _simulator_settings(facts: Facts) -> Iterator[Step]:
    action = Write(SIMULATOR_SETTINGS, facts.shipped["simulator.env"], 0o640, USER)
    yield step(
        say("write {path}: nobody is called, and the database is one of its own", path=SIMULATOR_SETTINGS),
        action,
        already=SIMULATOR_SETTINGS in facts.files,
    )


def _settings(facts: Facts, wanted: Wanted) -> Iterator[Step]:
    # Where a credential holds the database's address, the new one belongs there, with or without a password.
    held = {
        n for n in wanted.settings if n in SECRETS and has_credential(facts, n) and n not in facts.settings
    }
    plain = {name: value for name, value in wanted.settings.items() if name not in held}
    secrets = {**wanted.secrets, **{name: wanted.settings[name] for name in held}}
    for name, value in secrets.items():
        yield _secret(facts, wanted, name, value)
    if SETTINGS in facts.files:
        yield from _changed_settings(facts, wanted, plain)
        return
    if (uri := database(facts, wanted, Mode.LIVE)) is not None and "MONGO_URI" not in held:
        plain.setdefault("MONGO_URI", uri)
    text = fill_in(service_example(facts.shipped["example.env"]), plain)
    yield step(
        say("write {path}: {names}", path=SETTINGS, names=", ".join(sorted(plain))),
        Write(SETTINGS, text, 0o640, USER),
    )


def _web_settings(facts: Facts, wanted: Wanted, mode: Mode) -> Iterator[Step]:
    """Settings of the HTTP API, written once; those of the simulator serve it, too."""
    if mode is Mode.SIMULATOR:
        return
    uri = database(facts, wanted, mode)
    address = (
        "# MONGO_URI holds a password, and is a credential." if uri is None else f"MONGO_URI={_quoted(uri)}"
    )
    others = [
        f"{name}={_quoted(facts.settings[name])}"
        for name in sorted(facts.settings)
        if name.startswith("MONGO_") and name != "MONGO_URI"
    ]
    action = Write(WEB_SETTINGS, "\n".join([*_WEB_HEADER, address, *others, ""]), 0o640, USER)
    yield step(
        say("write {path}, without Retell's", path=WEB_SETTINGS), action, already=WEB_SETTINGS in facts.files
    )


def _changed_settings(facts: Facts, wanted: Wanted, plain: Mapping[str, str]) -> Iterator[Step]:
    """Fill what the file leaves blank; what it sets is replaced on demand only."""
    values = {}
    for name, value in plain.items():
        there = facts.settings.get(name)
        if there is None or (wanted.replace and there != value):
            values[name] = value
        elif there != value:
            yield note(
                say(
                    "{name}={value} is not written: {path} says {other}; --replace writes it",
                    name=name,
                    value=hide_credentials(value),
                    path=SETTINGS,
                    other=hide_credentials(there),
                )
            )
    if wanted.replace:  # the file would win over the secret's own
        values |= {name: "" for name in wanted.secrets if name in facts.settings}
    if not values:
        yield Step(text=say("write {path}", path=SETTINGS), state=State.ALREADY)
        return
    text = change(facts.files[SETTINGS], values)
    yield Step(
        text=say("write {names} into {path}", names=", ".join(sorted(values)), path=SETTINGS),
        action=Write(SETTINGS, text, 0o640, USER),
    )


def _secret(facts: Facts, wanted: Wanted, name: str, value: str) -> Step:
    path = credential_path(name)
    if facts.settings.get(name) and not wanted.replace:
        return note(
            say(
                "{name} is not written to {path}: {settings} sets it, and that one is used; --replace"
                " moves it",
                name=name,
                path=path,
                settings=SETTINGS,
            )
        )
    there = facts.files.get(path, "").strip()
    if not there and has_credential(facts, name):
        return note(
            say(
                "{name} is not written to {path}: {encrypted} is used; {page} shows how to write it anew",
                name=name,
                path=path,
                encrypted=encrypted_path(path),
                page=manual_page(facts, "install.md"),
            )
        )
    text = say("write {path}, for root alone", path=path)
    if not there or there == value or wanted.replace:
        return step(text, Write(path, f"{value}\n", 0o600), already=there == value)
    return note(
        say("{name} is not written: {path} holds another value; --replace writes it", name=name, path=path)
    )


def _permissions(facts: Facts) -> Iterator[Step]:
    """What the service cannot read, and secrets that others can."""
    for path, access in facts.access.items():
        mode, group = required_access(path)
        wanted = say("root:{group}, mode {mode:o}", group=group, mode=mode)
        if path in {SETTINGS, SIMULATOR_SETTINGS, WEB_SETTINGS} and not _service_may(access, 4):
            text = say("let the user {user} read {path}: {wanted}", user=USER, path=path, wanted=wanted)
            yield Step(text=text, action=Permit(path, mode, group))
        elif path == SETTINGS.parent and not _service_may(access, 1):
            text = say("let the user {user} into {path}: {wanted}", user=USER, path=path, wanted=wanted)
            yield Step(text=text, action=Directory(path, mode, group))
        elif path not in {SETTINGS, SIMULATOR_SETTINGS, WEB_SETTINGS, *DIRECTORIES} and access.mode & 0o077:
            text = say(
                "close {path} to others ({wanted}): if any use this host, change the secret",
                path=path,
                wanted=wanted,
            )
            yield Step(text=text, action=Permit(path, mode, group))


def _service_may(access: Access, bit: int) -> bool:
    """Whether the service's user has this permission; the kernel asks only the first class that fits."""
    shift = 6 if access.owner == USER else 3 if access.group == USER else 0
    return bool(access.mode >> shift & bit)


# -- units and programs ------------------------------------------------------------------------------------


def _other_units(facts: Facts, mode: Mode) -> Iterator[Step]:
    """All but the check."""
    for unit in UNITS:
        if unit != CHECK_UNIT:
            yield from _unit(facts, unit, mode)
    if mode is Mode.SIMULATOR:
        yield from _unit(facts, SIMULATOR_UNIT, mode)
    elif UNIT_DIRECTORY / SIMULATOR_UNIT in facts.files:
        if SIMULATOR_UNIT in facts.active | facts.enabled:
            yield stop(facts, SIMULATOR_UNIT)
        yield remove(UNIT_DIRECTORY / SIMULATOR_UNIT)


def _unit(facts: Facts, unit: str, mode: Mode) -> list[Step]:
    """Write the drop-in of the mode, then the unit for this very installation: never in another mode."""
    text = facts.shipped[f"systemd/{unit}"].replace("/opt/speechaid/", f"{_unit_prefix(facts)}/")
    text = text.replace("/opt/%i/", f"{facts.prefix.parent}/%i/".replace("//", "/"))
    return [*_drop_in(facts, unit, mode), write_ours(facts, UNIT_DIRECTORY / unit, text)]


def _drop_in(facts: Facts, unit: str, mode: Mode) -> Iterator[Step]:
    path = UNIT_DIRECTORY / f"{unit}.d" / "simulator.conf"
    if path not in SIMULATOR_DROP_INS:
        return
    if mode is Mode.SIMULATOR:
        text = SIMULATOR_DROP_INS[path].format(SIMULATOR_UNIT, SIMULATOR_SETTINGS)
        yield write_ours(facts, path, text)
    elif path in facts.files:
        yield remove(path)


def _unit_prefix(facts: Facts) -> Path:
    """Where units look for the program: by the link where versions lie side by side, else right there."""
    return LINK if _link_target(facts) is not None else facts.prefix


def _link_target(facts: Facts) -> str | None:
    """What /opt/speechaid is to point to; None where it is no link of ours to make."""
    beside = facts.prefix.parent == LINK.parent and facts.prefix.name.startswith(f"{LINK.name}-")
    free = LINK in facts.links or LINK not in facts.directories
    return facts.prefix.name if beside and free else None


def _programs(facts: Facts) -> Iterator[Step]:
    if (target := _link_target(facts)) is not None:
        yield step(
            say("point {link} to {target}", link=LINK, target=target),
            Link(LINK, target),
            already=facts.links.get(LINK) in {target, str(facts.prefix)},
        )
    elif facts.prefix != LINK and LINK in facts.directories - facts.links.keys():
        yield note(
            say(
                "{link} is a directory and stays: the service uses {prefix} itself, without a link",
                link=LINK,
                prefix=facts.prefix,
            )
        )
    target = f"{_unit_prefix(facts)}/bin/speechctl"
    there = facts.links.get(SPEECHCTL)
    if (there is None and SPEECHCTL in facts.files) or (
        there is not None and not there.endswith("/speechctl")
    ):
        yield note(say("{path} is not ours and stays: use {target}", path=SPEECHCTL, target=target))
    else:
        yield step(say("link {path}", path=SPEECHCTL), Link(SPEECHCTL, target), already=there == target)
    if COMPLETION.parent in facts.directories and facts.completion:
        yield replace(write_ours(facts, COMPLETION, facts.completion), optional=True)


def _reload(facts: Facts, mode: Mode, *, changed: bool) -> Iterator[Step]:
    """Also before any start: an earlier run may have been killed between its files and this step."""
    units = {SERVICE, SIMULATOR_UNIT} if mode is Mode.SIMULATOR else {SERVICE}
    if facts.systemd_runs and (changed or not units <= facts.active):
        yield Step(text=say("have systemd read its units again"), action=systemctl("daemon-reload"))


# -- start and check ---------------------------------------------------------------------------------------


def _check_before(facts: Facts, mode: Mode, unset: tuple[str, ...], *, changed: bool) -> Iterator[Step]:
    """What could not start must not replace what runs.

    A change of mode stops the service first: interrupted, it is down, and never in the wrong mode.
    """
    if SERVICE not in facts.active or not facts.systemd_runs or unset or mode is Mode.SIMULATOR:
        return
    if changed:
        yield Step(text=say("have systemd read its units again"), action=systemctl("daemon-reload"))
        yield Step(
            text=say("check this version before it replaces the one that runs"), action=_checking(facts)
        )
    if SERVICE_DROP_IN in facts.files:
        yield Step(
            text=say("stop {service}, which uses the simulator", service=SERVICE),
            action=systemctl("stop", SERVICE),
        )


def _start(
    facts: Facts, wanted: Wanted, mode: Mode, unset: tuple[str, ...], *, changed: bool
) -> Iterator[Step]:
    if facts.systemd_version is None:
        yield cannot(say("enable and start {service}: systemctl is not here", service=SERVICE))
        return
    if not wanted.start:
        running = SERVICE in facts.active
        command = f"systemctl restart {SERVICE}" if running else f"systemctl enable --now {SERVICE}"
        yield note(say("not started (--no-start): {command}", command=command))
        return
    if unset:
        yield cannot(
            say(
                "start {service}: {not_set}; run this command again with them: {how_to_give}",
                service=SERVICE,
                not_set=not_set(unset),
                how_to_give=HOW_TO_GIVE,
            )
        )
        return
    if UNIT_DIRECTORY / SERVICE in facts.files and SERVICE not in facts.enabled | facts.active:
        yield note(
            say(
                "{service} is installed and off, and is switched on now: --no-start leaves it off",
                service=SERVICE,
            )
        )
    yield step(
        say("start {service} at every boot", service=SERVICE),
        systemctl("enable", SERVICE),
        already=SERVICE in facts.enabled,
    )
    if not facts.systemd_runs:
        yield cannot(
            say("start {service}: systemd does not run here; it starts with the next boot", service=SERVICE)
        )
        return
    if mode is Mode.SIMULATOR:
        yield _running(facts, SIMULATOR_UNIT, changed=changed)
    yield _running(facts, SERVICE, changed=changed)
    if WEB_UNIT in facts.active:
        yield _running(facts, WEB_UNIT, changed=changed)
    yield Step(text=say("look at {service}", service=SERVICE), action=Show(SERVICE), optional=True)


def _running(facts: Facts, unit: str, *, changed: bool) -> Step:
    if unit not in facts.active:
        return Step(text=say("start {unit}", unit=unit), action=systemctl("start", unit), optional=True)
    how = say("; live calls are handed over") if unit == SERVICE else ""
    action = systemctl("restart", unit)
    return (
        Step(text=say("restart {unit}{how}", unit=unit, how=how), action=action, optional=True)
        if changed
        else step(say("start {unit}", unit=unit), action, already=True)
    )


def _backup_timer(facts: Facts, wanted: Wanted, mode: Mode) -> Iterator[Step]:
    """The nightly copy of the embedded database; once installed, the operator decides whether it is on."""
    directory = embedded_directory(database(facts, wanted, mode))
    if mode is Mode.SIMULATOR or directory != STATE / "db" or facts.systemd_version is None:
        return
    decided = BACKUP_DECIDED in facts.files or _is_by_hand(facts, TIMER)
    if decided and TIMER not in facts.enabled:
        yield note(say("the nightly backup is off: systemctl enable --now {timer}", timer=TIMER))
        return
    now = ("--now",) if facts.systemd_runs else ()
    yield step(
        say("back the database up every night to {backups} ({timer})", backups=BACKUPS, timer=TIMER),
        systemctl("enable", *now, TIMER),
        already=TIMER in facts.enabled,
    )
    # Not earlier: a run that is killed before must switch it on when it is repeated.
    if BACKUP_DECIDED not in facts.files:
        yield _decided()


def _report_timer(facts: Facts, mode: Mode) -> Iterator[Step]:
    """The daily reports are never switched on here: of several hosts of one database one writes them."""
    if mode is not Mode.SIMULATOR and facts.systemd_version is not None and REPORT_TIMER not in facts.enabled:
        yield note(
            say(
                "the daily reports in {reports} are off: on one host, systemctl enable --now {report_timer}",
                reports=REPORTS,
                report_timer=REPORT_TIMER,
            )
        )


def _backup_by_hand(facts: Facts) -> Iterator[Step]:
    """Before the timer is replaced, remember that somebody installed it, and left it on or off."""
    if _is_by_hand(facts, TIMER) and BACKUP_DECIDED not in facts.files:
        yield _decided()


def _decided() -> Step:
    text = (
        "The nightly backup was set up: from now on install-service leaves its timer on or off, as it is.\n"
    )
    return Step(text=say("write {path}", path=BACKUP_DECIDED), action=Write(BACKUP_DECIDED, text))


def _is_by_hand(facts: Facts, unit: str) -> bool:
    there = facts.files.get(UNIT_DIRECTORY / unit)
    return there is not None and not there.startswith(MARK)


def _check(facts: Facts) -> Iterator[Step]:
    if facts.systemd_runs:
        yield Step(text=say("check as the service sees it"), action=_checking(facts), optional=True)
    else:
        yield cannot(
            say("check: systemd does not run here; later: systemctl start {unit}", unit=_checking(facts).unit)
        )


def _checking(facts: Facts) -> Check:
    return Check(CHECK_UNIT.replace("@", f"@{facts.prefix.name}"))


def _next(facts: Facts, mode: Mode, unset: tuple[str, ...]) -> Iterator[Step]:
    if mode is Mode.SIMULATOR:
        contacts = f"{_unit_prefix(facts)}/share/speechaid/demo_contacts.csv"
        options = '--name "Test campaign" --accept unassigned --start'
        first = say(
            "a first test campaign: speechctl import {contacts} {options}", contacts=contacts, options=options
        )
        yield replace(note(first), only_after_success=True)
        yield note(
            say(
                "real calls: {command}", command=f"{_unit_prefix(facts)}/bin/speechaid install-service --live"
            )
        )
    elif not unset:
        yield replace(
            note(say("the first campaign: {page}", page=manual_page(facts, "first-day.md"))),
            only_after_success=True,
        )


# -- small parts -------------------------------------------------------------------------------------------


def _has_work(steps: Iterable[Step]) -> bool:
    return any(each.state is State.TO_DO for each in steps)


def _quoted(value: str) -> str:
    return value if _PLAIN_VALUE.fullmatch(value) else f"'{value}'"
