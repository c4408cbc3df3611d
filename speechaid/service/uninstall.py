"""Decide the steps of ``uninstall-service`` from facts about the host; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from speechaid.service.steps import (
    BACKUP_DECIDED,
    BACKUPS,
    COMPLETION,
    CREDENTIALS,
    LINK,
    NOT_ROOT,
    REPORT_TIMER,
    SERVICE,
    SETTINGS,
    SIMULATOR_DROP_INS,
    SIMULATOR_UNIT,
    SPEECHCTL,
    STATE,
    SYSUSERS,
    TIMER,
    TMPFILES,
    UNIT_DIRECTORY,
    UNITS,
    USER,
    WEB_UNIT,
    Facts,
    Plan,
    State,
    Step,
    note,
    remove,
    settings_paths,
    stop,
    systemctl,
)


def uninstall_plan(facts: Facts, *, purge_settings: bool = False) -> Plan:
    """The steps of ``uninstall-service``: data stays, and settings unless they are to go too."""
    if not facts.is_root:
        return Plan(refusals=(NOT_ROOT,))
    units = (WEB_UNIT, SERVICE, TIMER, REPORT_TIMER, SIMULATOR_UNIT)
    steps = [stop(facts, unit) for unit in units if UNIT_DIRECTORY / unit in facts.files]
    paths = [UNIT_DIRECTORY / unit for unit in (*UNITS, SIMULATOR_UNIT)]
    paths += [*SIMULATOR_DROP_INS, SYSUSERS, TMPFILES, COMPLETION, BACKUP_DECIDED]
    steps += [remove(path) for path in paths if path in facts.files]
    if facts.links.get(SPEECHCTL, "").endswith("/bin/speechctl"):
        steps.append(remove(SPEECHCTL))
    if not steps:
        steps.append(Step(text="remove the service", state=State.ALREADY))
    elif facts.systemd_runs:
        steps.append(Step(text="have systemd read its units again", action=systemctl("daemon-reload")))
    settings = [path for path in settings_paths() if path in facts.files]
    if purge_settings:
        steps += [remove(path) for path in settings]
        places = [place for place in (SETTINGS.parent, CREDENTIALS) if place in facts.directories]
        if places:
            names = " ".join(map(str, places))
            steps.append(
                note(f"left: {names}; to delete them if empty: rmdir --ignore-fail-on-non-empty {names}")
            )
    steps += _left(facts, settings=() if purge_settings else settings)
    return Plan(steps=tuple(steps))


def _left(facts: Facts, *, settings: Iterable[Path]) -> Iterator[Step]:
    """What stays, and the command that removes it."""
    data = [path for path in (STATE, BACKUPS) if path in facts.directories]
    if data:
        places = " and ".join(map(str, data))
        yield note(f"left: the data in {places}; to delete it for good: rm -r {' '.join(map(str, data))}")
    if settings:
        yield note(f"left: settings and secrets; to delete them: rm {' '.join(map(str, settings))}")
    for path in sorted(facts.kept):
        yield note(f"left, since it is yours: {path}")
    if facts.has_user:
        yield note(f"left: the user {USER}; to delete it: userdel {USER}")
    if facts.has_group:
        yield note(f"left: the group {USER}, where operators are in it; to delete it: groupdel {USER}")
    link = [LINK] if LINK in facts.links else []
    yield note(f"left: the program; to delete it: rm -r {' '.join(map(str, [facts.prefix, *link]))}")
    beside = sorted(path for path in facts.directories if path.name.startswith(f"{LINK.name}-"))
    if others := [str(path) for path in beside if path.parent == LINK.parent and path != facts.prefix]:
        yield note(f"left: other versions; to delete them: rm -r {' '.join(others)}")
