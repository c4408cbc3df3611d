"""The environment of a run: database, simulator, and daemons with short delays."""

from __future__ import annotations

import contextlib
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import EmbeddedDatabase
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import Store, connect
from tests.chaos.campaign import MAX_ATTEMPTS, ODDS, campaign
from tests.chaos.hosts import Host
from tests.chaos.monkey import Monkey
from tests.chaos.people import SPELLINGS, Days, People
from tests.chaos.plan import Options

#: Call seconds per second.
SPEED: Final = 30.0
TIMEOUT_SECONDS: Final = 3.0
POLLING_SECONDS: Final = 0.3
#: As short as a request and two polls allow.
LEASE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.2
NO_ANSWER_SECONDS: Final = 1.8


@dataclass(kw_only=True)
class Environment:
    """The running parts."""

    directory: Path
    database: EmbeddedDatabase
    simulator: SimulatorProcess
    store: Store
    hosts: list[Host]
    monkey: Monkey
    people: People
    days: Days


@contextlib.contextmanager
def open_environment(options: Options, directory: Path) -> Iterator[Environment]:
    """Start database, simulator and hosts; stop all of them at the end."""
    jobs = options.jobs - options.people * len(SPELLINGS)
    plan = campaign(jobs, options.seed, options.hosts * options.workers, options.people)
    database = EmbeddedDatabase(directory / "database", sync_on_commit=True)
    simulator = SimulatorProcess(
        api_key=f"key_{secrets.token_hex(16)}",
        placed_calls_file=directory / "placed-calls.jsonl",
        seed=options.seed,
        speed=SPEED,
        odds=ODDS,
        concurrency_limit=options.hosts * options.workers,
    )
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(database.stop)
        uri = database.start()
        cleanup.enter_context(simulator)
        simulator.script(plan.script)
        store = cleanup.enter_context(contextlib.closing(connect(DatabaseSettings(), uri=uri)))
        store.prepare()
        plan.load(store)
        variables = _variables(uri, simulator, options)
        hosts = [Host(f"host-{letter}", directory, variables) for letter in "abcdefgh"[: options.hosts]]
        cleanup.callback(_stop_hosts, hosts)
        monkey = Monkey(
            hosts=hosts,
            database=database,
            simulator=simulator,
            store=store,
            batches=[batch["batch_id"] for batch in plan.batches],
            lease_seconds=LEASE_SECONDS,
            log=directory / "actions.log",
        )
        cleanup.callback(monkey.thaw_all)
        for host in hosts:
            host.start()
        yield Environment(
            directory=directory,
            database=database,
            simulator=simulator,
            store=store,
            hosts=hosts,
            monkey=monkey,
            people=plan.people,
            days=Days(plan.people, store, simulator),
        )


def _stop_hosts(hosts: list[Host]) -> None:
    for host in hosts:
        host.signal(signal.SIGQUIT)
    for host in hosts:
        if host.wait(20) is None:
            host.kill()


def _variables(uri: str, simulator: SimulatorProcess, options: Options) -> dict[str, str]:
    """An operator's settings, with short delays."""
    return {
        "MONGO_URI": uri,
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_chaos",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        "WORKER_COUNT": str(options.workers),
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "MAX_ATTEMPTS": str(MAX_ATTEMPTS),
        "RETRY_DELAY_MINUTES": str(RETRY_SECONDS / 60),
        "NO_ANSWER_RETRY_MINUTES": str(NO_ANSWER_SECONDS / 60),
        "CALL_POLLING_INTERVAL": str(POLLING_SECONDS),
        "POLL_TIMEOUT_SECONDS": "10",
        "CALL_MAX_DURATION_MINUTES": "2",
        "SPEECHAID_TEMPORARY_RETRY_MIN_SECONDS": "0.5",
        "SPEECHAID_TEMPORARY_RETRY_MAX_SECONDS": "1.5",
        "SPEECHAID_PROBE_MIN_SECONDS": "0.5",
        "SPEECHAID_PROBE_MAX_SECONDS": "2",
        "SPEECHAID_BEAT_GRACE_SECONDS": "5",
        "SPEECHAID_RESPAWN_MIN_SECONDS": "0.2",
        "SPEECHAID_RESPAWN_MAX_SECONDS": "2",
        "SPEECHAID_METRICS_ADDRESS": "127.0.0.1:0",
        "SPEECHAID_LOG_FORMAT": "json",
    }
