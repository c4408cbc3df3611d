"""``speechaid check``: is everything there that the daemon needs? A look at each thing, and a line for it.

Nothing is dialled, and nothing is changed but for one scratch document. Each look is independent: what is
wrong in one place does not hide what is wrong in another. ``rules.readiness`` judges what is found here.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from speechaid.check import host
from speechaid.embedded.database import published_uri
from speechaid.embedded.files import read_address
from speechaid.errors import ConfigError, ExitStatus, FleetError, StoreError, StoreUnavailable
from speechaid.retell.faults import RetellError, RetellUnavailable
from speechaid.rules import check_findings
from speechaid.rules.check_findings import CheckFinding, Level
from speechaid.settings import Settings, get_settings, settings_warnings
from speechaid.store import inspection
from speechaid.store.connection import Store, connect
from speechaid.worker import open_retell

#: Retell is not waited for longer, in seconds, whatever the settings allow a dial.
RETELL_SECONDS: Final = 10.0


def check(*, before_start: bool = False) -> tuple[list[CheckFinding], ExitStatus]:
    """Look at everything; what was found, and the exit status for a script.

    Args:
        before_start: a daemon is about to start here: one that runs is in the way, and a Retell that does
            not answer is not, since calls in hand must be followed all the same.
    """
    try:
        settings = get_settings()
    except ConfigError as exc:
        found = (
            check_findings.settings_refused(exc.faults)
            + check_findings.settings_in_order(settings_warnings(), "")[1:]
        )
        return found, ExitStatus.CONFIG
    found = list(_looks(settings, before_start=before_start))
    failed = check_findings.worst(found) is Level.FAIL
    return found, ExitStatus.REFUSED if failed else ExitStatus.OK


def _looks(settings: Settings, *, before_start: bool) -> Iterator[CheckFinding]:
    source = os.environ.get("SPEECHAID_ENV_FILE") or (".env" if Path(".env").exists() else "")
    source = f"from {source} and the environment" if source else "from the environment"
    yield from check_findings.settings_in_order(settings_warnings(), source)
    yield from _database(settings)
    yield _retell(settings, before_start=before_start)
    yield from host.looks(settings, before_start=before_start)


# -- the database ------------------------------------------------------------------------------------------


def _database(settings: Settings) -> Iterator[CheckFinding]:
    directory = settings.database.embedded_directory
    uri = None
    if directory is not None:
        if importlib.util.find_spec("secantus") is None:
            yield check_findings.embedded_missing()
            return
        yield host.place("database directory", directory)
        if read_address(directory) is None:
            yield check_findings.embedded_at_rest(str(directory))
            return
        try:
            uri = published_uri(directory)
        except FleetError as exc:
            yield check_findings.database_away(str(exc), settings.database.shown_uri)
            return
    try:
        store = connect(settings.database, uri=uri)
    except ConfigError as exc:
        yield check_findings.database_away("; ".join(exc.faults), settings.database.shown_uri)
        return
    yield from map(check_findings.address_remark, store.remarks)
    with closing(store):
        yield from _inspect(store, settings.database.shown_uri, embedded=directory is not None)


def _inspect(store: Store, address: str, *, embedded: bool) -> Iterator[CheckFinding]:
    """What the server and the data say; after the first refusal the rest would only repeat it."""
    try:
        topology = inspection.read_topology(store)
        yield check_findings.topology(topology, embedded=embedded)
        yield _durability(store)
        yield check_findings.missing_indexes(inspection.missing_indexes(store))
        yield check_findings.clock(store.skew_seconds())
        yield check_findings.foreign_work(inspection.other_workers(store))
    except StoreError as exc:
        yield check_findings.database_away(str(exc), address)


def _durability(store: Store) -> CheckFinding:
    try:
        return check_findings.durable_write(inspection.write_durably(store), None)
    except StoreUnavailable as exc:
        return check_findings.durable_write(None, str(exc))


# -- Retell ------------------------------------------------------------------------------------------------


def _retell(settings: Settings, *, before_start: bool) -> CheckFinding:
    with open_retell(settings) as retell:
        retell.timeout_seconds = min(retell.timeout_seconds, RETELL_SECONDS)
        try:
            found = retell.get_concurrency()
        except RetellUnavailable as exc:
            return check_findings.retell_away(str(exc), before_start=before_start)
        except RetellError as exc:
            return check_findings.retell_refused(str(exc))
    limit = max(found.limit, found.burst) - found.reserved_inbound
    return check_findings.retell_answered(current=found.current, limit=limit, workers=settings.worker.count)


# -- as shown ----------------------------------------------------------------------------------------------


def as_lines(found: list[CheckFinding]) -> list[str]:
    """The report for people: a line each, the remedy below where there is one."""
    width = max(len(finding.name) for finding in found)
    lines = []
    for finding in found:
        lines.append(f"{finding.level:<4}  {finding.name:<{width}}  {finding.text}")
        if finding.remedy is not None:
            lines.append(f"{'':{width + 6}}  -> {finding.remedy}")
    return lines


def as_document(found: list[CheckFinding]) -> dict[str, object]:
    """The report for programs."""
    return {
        "level": check_findings.worst(found).value,
        "checks": [
            {"name": f.name, "level": f.level.value, "text": f.text, "remedy": f.remedy} for f in found
        ],
    }
