"""``speechaid check``: checks what the daemon needs: settings, database, Retell and host.

Nothing is dialled, and nothing is written except one scratch document. The checks are independent: a fault in
one does not hide another. ``rules.check_findings`` evaluates the results.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from speechaid.check import host
from speechaid.commands.batch_agent import BatchChoice, faults_at_retell, own_choices
from speechaid.embedded.database import published_uri
from speechaid.embedded.files import read_address
from speechaid.errors import ConfigError, ExitStatus, FleetError, StoreError, StoreUnavailable
from speechaid.protocol.translation import current_language, in_language, joined, say
from speechaid.retell.client import open_retell
from speechaid.retell.directory import RetellDirectory
from speechaid.retell.faults import ItemUnknown, RetellError, RetellUnavailable
from speechaid.rules import check_findings
from speechaid.rules.check_findings import CheckFinding, Level
from speechaid.settings import Settings, get_settings, settings_warnings
from speechaid.settings.zone_data import use_newest_zone_data
from speechaid.store import inspection
from speechaid.store.connection import Store, connect

#: Longest time-out of the first request to Retell, and of the others together, in seconds; the setting for
#: dials may be shorter.
RETELL_SECONDS: Final = 10.0


def check(*, before_start: bool = False) -> tuple[list[CheckFinding], ExitStatus]:
    """Run all checks; returns the findings and the exit status.

    Args:
        before_start: a daemon is about to start here. Then a running daemon is a fault, and a Retell without
            an answer is only a warning, since calls in progress must be followed nevertheless.
    """
    zone_data = use_newest_zone_data()
    try:
        settings = get_settings()
    except ConfigError as exc:
        findings = (
            check_findings.settings_refused(exc.faults)
            + check_findings.settings_valid(settings_warnings(), "")[1:]
        )
        return findings, ExitStatus.CONFIG
    findings = [*_checks(settings, before_start=before_start), check_findings.zone_data(zone_data)]
    failed = check_findings.worst(findings) is Level.FAIL
    return findings, ExitStatus.REFUSED if failed else ExitStatus.OK


def _checks(settings: Settings, *, before_start: bool) -> Iterator[CheckFinding]:
    source = os.environ.get("SPEECHAID_ENV_FILE") or (".env" if Path(".env").exists() else "")
    source = (
        say("from {source} and the environment", source=source) if source else say("from the environment")
    )
    yield from check_findings.settings_valid(settings_warnings(), source)
    yield check_findings.check_lease(settings)
    choices: list[BatchChoice] = []
    yield from _database(settings, choices)
    yield from _retell(settings, choices, before_start=before_start)
    yield from host.checks(settings, before_start=before_start)


# -- the database ------------------------------------------------------------------------------------------


def _database(settings: Settings, choices: list[BatchChoice]) -> Iterator[CheckFinding]:
    """Check the database; add what batches have chosen themselves, which Retell is asked about."""
    directory = settings.database.embedded_directory
    uri = None
    if directory is not None:
        if importlib.util.find_spec("secantus") is None:
            yield check_findings.embedded_missing()
            return
        yield host.directory(say("database directory"), directory)
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
        yield check_findings.database_away(joined("; ", exc.faults), settings.database.shown_uri)
        return
    yield from map(check_findings.address_remark, store.remarks)
    with closing(store):
        yield from _inspect(store, settings.database.shown_uri, embedded=directory is not None)
        with suppress(StoreError):  # its own finding says so
            choices += own_choices(store, settings)


def _inspect(store: Store, address: str, *, embedded: bool) -> Iterator[CheckFinding]:
    """Check server and data, up to the first error: the other checks would only repeat it."""
    try:
        topology = inspection.read_topology(store)
        yield check_findings.topology(topology, embedded=embedded)
        yield _durability(store)
        yield check_findings.missing_indexes(inspection.missing_indexes(store))
        yield check_findings.clock(store.skew_seconds())
        yield check_findings.other_workers(inspection.other_workers(store))
    except StoreError as exc:
        yield check_findings.database_away(str(exc), address)


def _durability(store: Store) -> CheckFinding:
    try:
        return check_findings.durable_write(inspection.write_durably(store), None)
    except StoreUnavailable as exc:
        return check_findings.durable_write(None, str(exc))


# -- Retell ------------------------------------------------------------------------------------------------


def _retell(settings: Settings, choices: list[BatchChoice], *, before_start: bool) -> Iterator[CheckFinding]:
    """Check the key, then what it gives access to: one that is refused would only repeat it."""
    with open_retell(settings) as retell:
        retell.timeout_seconds = min(retell.timeout_seconds, RETELL_SECONDS)
        try:
            concurrency = retell.get_concurrency()
        except RetellUnavailable as exc:
            yield check_findings.retell_away(str(exc), before_start=before_start)
            return
        except RetellError as exc:
            yield check_findings.retell_refused(str(exc))
            return
        limit = max(concurrency.limit, concurrency.burst) - concurrency.reserved_inbound
        yield check_findings.retell_answered(
            current=concurrency.current, limit=limit, workers=settings.worker.count
        )
        directory = RetellDirectory(retell, RETELL_SECONDS)
        yield _agent(directory, settings.retell.agent_id, before_start=before_start)
        yield _number(directory, settings.retell.from_number, before_start=before_start)
        if choices:
            yield _batches(directory, choices)


def _agent(directory: RetellDirectory, agent_id: str, *, before_start: bool) -> CheckFinding:
    try:
        agent = directory.get_agent(agent_id)
    except ItemUnknown:
        return check_findings.agent_unknown(agent_id, before_start=before_start)
    except RetellError as exc:
        return check_findings.not_checked("agent", str(exc))
    return check_findings.agent_known(agent_id, agent.name, published=agent.is_published)


def _number(directory: RetellDirectory, number: str, *, before_start: bool) -> CheckFinding:
    try:
        found = directory.get_number(number)
    except ItemUnknown:
        return check_findings.number_unknown(before_start=before_start)
    except RetellError as exc:
        return check_findings.not_checked("number", str(exc))
    return check_findings.number_known(found.outbound_countries)


def _batches(directory: RetellDirectory, choices: list[BatchChoice]) -> CheckFinding:
    try:
        faults = faults_at_retell(directory, choices)
    except RetellError as exc:
        return check_findings.not_checked("batches", str(exc))
    return check_findings.batch_agents(len(choices), faults)


# -- output -----------------------------------------------------------------------------------------------


def as_lines(findings: list[CheckFinding]) -> list[str]:
    """The report for people: one line for each finding, with its remedy below."""
    width = max(len(say(finding.name)) for finding in findings)
    lines = []
    for finding in findings:
        text = in_language(finding.text, current_language())
        lines.append(f"{say(finding.level.value):<4}  {say(finding.name):<{width}}  {text}")
        if finding.remedy is not None:
            remedy = in_language(finding.remedy, current_language())
            lines.append(f"{'':{width + 6}}  -> {remedy}")
    return lines


def as_document(findings: list[CheckFinding]) -> dict[str, object]:
    """The report for programs."""
    return {
        "level": check_findings.worst(findings).value,
        "checks": [
            {"name": f.name, "level": f.level.value, "text": f.text, "remedy": f.remedy} for f in findings
        ],
    }
