"""Decide the steps of ``uninstall-service`` from facts about the host; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from speechaid.protocol.translation import joined, say
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
        steps.append(Step(text=say("remove the service"), state=State.ALREADY))
    elif facts.systemd_runs:
        steps.append(Step(text=say("have systemd read its units again"), action=systemctl("daemon-reload")))
    settings = [path for path in settings_paths() if path in facts.files]
    if purge_settings:
        steps += [remove(path) for path in settings]
        places = [place for place in (SETTINGS.parent, CREDENTIALS) if place in facts.directories]
        if places:
            names = " ".join(map(str, places))
            steps.append(
                note(
                    say(
                        "left: {names}; to delete them if empty: rmdir --ignore-fail-on-non-empty {names}",
                        names=names,
                    )
                )
            )
    steps += _left(facts, settings=() if purge_settings else settings)
    return Plan(steps=tuple(steps))


def _left(facts: Facts, *, settings: Iterable[Path]) -> Iterator[Step]:
    """What stays, and the command that removes it."""
    data = [path for path in (STATE, BACKUPS) if path in facts.directories]
    if data:
        places = joined(say(" and "), map(str, data))
        yield note(
            say(
                "left: the data in {places}; to delete it for good: rm -r {names}",
                places=places,
                names=" ".join(map(str, data)),
            )
        )
    if settings:
        yield note(
            say("left: settings and secrets; to delete them: rm {names}", names=" ".join(map(str, settings)))
        )
    for path in sorted(facts.kept):
        yield note(say("left, since it is yours: {path}", path=path))
    if facts.has_user:
        yield note(say("left: the user {user}; to delete it: userdel {user}", user=USER))
    if facts.has_group:
        yield note(
            say("left: the group {user}, where operators are in it; to delete it: groupdel {user}", user=USER)
        )
    link = [LINK] if LINK in facts.links else []
    yield note(
        say("left: the program; to delete it: rm -r {names}", names=" ".join(map(str, [facts.prefix, *link])))
    )
    beside = sorted(path for path in facts.directories if path.name.startswith(f"{LINK.name}-"))
    if others := [str(path) for path in beside if path.parent == LINK.parent and path != facts.prefix]:
        yield note(say("left: other versions; to delete them: rm -r {names}", names=" ".join(others)))
