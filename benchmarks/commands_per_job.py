"""Every database command of one job: ``python -m benchmarks.commands_per_job``.

One of a batch without limits, then the durable writes with a limit of calls at a time, and under a cap.
The worker's code runs in this process, observed by the driver's command monitor; the floor of
``benchmarks.throughput`` makes the same durable writes, and reports if they differ.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from pymongo import monitoring

from benchmarks import campaign, common
from benchmarks.servers import Server
from benchmarks.stub import StubProcess
from speechaid.dialer import dial
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.retell.client import open_retell
from speechaid.store.connection import connect
from tests.support import stories
from tests.support.stage import QuietLink

WRITES = frozenset({"insert", "update", "delete", "findAndModify"})
OF_THE_CONNECTION = frozenset(
    {"hello", "ismaster", "isMaster", "ping", "saslStart", "saslContinue", "endSessions"}
)
JOBS = 12
#: What the batch has: a limit of calls at a time, a purpose whose pack caps the calls to a person, or both.
VARIANTS = {
    "no limit": (False, False),
    "a limit of calls at a time": (True, False),
    "a cap of calls to a person": (False, True),
    "both": (True, True),
}
#: Nobody is called so often.
PACK = stories.PACK.model_copy(update={"country": "CL", "zones": ("America/Santiago",)})


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command as it was sent."""

    verb: str
    collection: str
    durable: bool
    bytes: int

    @property
    def is_write(self) -> bool:
        """Whether it changes anything."""
        return self.verb in WRITES


class JobCommandRecorder(monitoring.CommandListener):
    """Records the commands of this process."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in OF_THE_CONNECTION:
            return
        concern: dict[str, Any] = event.command.get("writeConcern", {})
        self.commands.append(
            Command(
                verb=event.command_name,
                collection=str(event.command[event.command_name]),
                durable=concern.get("w") == "majority" and bool(concern.get("j")),
                bytes=len(str(event.command)),
            )
        )

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Ignored."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Ignored."""


def of_one_job(server: Server, *, is_limited: bool = False, is_capped: bool = False) -> list[Command]:
    """The commands of one job in the middle of many, from claim to claim, in their order."""
    recorder = JobCommandRecorder()
    monitoring.register(recorder)
    with StubProcess() as stub, campaign.database_of(server) as database:
        campaign.load(database, JOBS)
        settings = campaign.settings_for(server.uri, database.name, stub.base_url)
        context = WorkerContext(
            store=connect(settings.database),
            retell=open_retell(settings),
            settings=settings,
            link=QuietLink(),
            worker_id="worker-1@bench:1",
            wait=time.sleep,
            random=random.Random(1),
        )
        chosen: dict[str, Any] = {"call_settings.max_concurrent_calls": 100} if is_limited else {}
        chosen |= {"call_settings.purpose": "collection"} if is_capped else {}
        if chosen:
            database["batches"].update_many({}, {"$set": chosen})
        if is_capped:
            context.store.packs.install([PACK], fill="first", is_ready=True, by="benchmark")
        try:
            return list(_commonest(_runs(context, recorder)))
        finally:
            context.store.close()
            context.retell.close()


def _runs(context: WorkerContext, recorder: JobCommandRecorder) -> list[tuple[Command, ...]]:
    turns, runs = JobClaimer(context), []
    for _ in range(JOBS):
        recorder.commands.clear()
        claimed = turns.claim()
        assert claimed is not None
        dial.run(context, claimed.job, claimed.preflight)
        runs.append(tuple(recorder.commands))
    return runs


def _commonest(runs: list[tuple[Command, ...]]) -> tuple[Command, ...]:
    """A run of the most frequent form; about once a second a run also queries the due batches."""
    shapes = Counter(tuple((one.verb, one.collection) for one in run) for run in runs)
    usual = shapes.most_common(1)[0][0]
    return next(run for run in runs if tuple((one.verb, one.collection) for one in run) == usual)


def durable_writes(commands: list[Command]) -> list[str]:
    """The collections written to with majority and journal, in order."""
    return [one.collection for one in commands if one.is_write and one.durable]


def main() -> None:
    options = common.parser(__doc__).parse_args(sys.argv[1:])
    report = common.Report("commands_per_job", options)
    with common.open_database(options) as server:
        report.server(server)
        by_variant = {
            name: of_one_job(server, is_limited=is_limited, is_capped=is_capped)
            for name, (is_limited, is_capped) in VARIANTS.items()
        }
    commands = by_variant["no limit"]
    numbers = itertools.count(1)
    rows = [
        [f"{next(numbers):2} {one.verb} {one.collection}", "durable" if one.durable else "", one.bytes]
        for one in commands
    ]
    report.table("Commands of one job", ["command", "write", "bytes, about"], rows)
    report.table(
        "Round trips and durable writes of one job, by what its batch has",
        ["batch", "round trips", "durable writes", "in order"],
        [
            [name, len(found), len(durable_writes(found)), ", ".join(durable_writes(found))]
            for name, found in by_variant.items()
        ],
    )
    report.write()


if __name__ == "__main__":
    main()
