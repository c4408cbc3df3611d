"""The record of reads of people's data: one for what belongs together, bounded, and before the answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.commands.interfaces import HandlerContext
from speechaid.commands.read_records import (
    IDLE_SECONDS,
    LONGEST_SECONDS,
    MAX_FILTERS,
    RETRY_SECONDS,
    WRITE_SECONDS,
    ReadRecords,
)
from speechaid.commands.registry import REGISTRY, BackgroundCommand
from speechaid.errors import StoreUnavailable
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.messages import Peer, Request
from speechaid.protocol.specs.specification import Access, Runs

MARIA = Peer(name="maria", address="10.0.0.5", access=Access.READ)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Clock:
    """Boot time, moved by the test."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def boottime(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Logs:
    """A store whose ``call_logs`` keeps what is written, or is away."""

    def __init__(self) -> None:
        self.lines: dict[Any, dict[str, Any]] = {}
        self.writes = 0
        self.away = False

    @property
    def logs(self) -> Logs:
        return self

    def now(self) -> datetime:
        return NOON

    def note_read(self, record_id: Any, fields: dict[str, Any]) -> None:
        if self.away:
            raise StoreUnavailable("the database is away")
        self.writes += 1
        self.lines[record_id] = fields

    def counts(self) -> list[tuple[Any, ...]]:
        return [(line["args"], line["documents"], line["requests"]) for line in self.lines.values()]


class Setting:
    """Records on a store of this test, with a database thread that works at once."""

    def __init__(self) -> None:
        self.clock, self.store = Clock(), Logs()
        self.records = ReadRecords(self.submit, self.clock)

    def submit(
        self,
        task: Callable[[HandlerContext], Any],
        on_done: Callable[[Any], None],
        *,
        delay_seconds: float = 0.0,
        first: bool = False,
    ) -> None:
        context: Any = type("Context", (), {"store": self.store})
        on_done(task(context))

    def read(self, command: str = "export", documents: int = 100, peer: Peer = MARIA, **args: Any) -> None:
        request = Request(id="q", command=COMMANDS[command], args=args, peer=peer)
        self.records.record(self.store, request, documents)  # type: ignore[arg-type]


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_every_read_of_people_is_counted_or_known_to_show_none() -> None:
    counted = {
        name
        for name, row in REGISTRY.items()
        if isinstance(row, BackgroundCommand) and row.documents is not None
    }
    reads = {
        name for name, spec in COMMANDS.items() if spec.access is Access.READ and spec.runs is Runs.BACKGROUND
    }
    # A batch's imports; findings, which name jobs by their ids; names of variables; what Retell has; counts;
    # balances, and charges of calls, which are named by their ids; laws.
    without_people = {"imports", "doctor", "check-agent", "agents", "numbers", "batch"}
    without_people |= {"accounts", "account", "transactions", "packs", "pack", "check-pack"}
    # Those who use the HTTP API.
    assert reads - counted == without_people | {"users", "user-sessions", "tokens"}
    assert counted - reads == {"import"}


def test_a_read_is_written_before_its_answer_with_who_what_and_how_many(setting: Setting) -> None:
    setting.read(what="jobs", batch="batch-1", after=None, limit=1000)
    (line,) = setting.store.lines.values()
    assert line["actor"] == "maria (key, 10.0.0.5)"
    assert (line["command"], line["args"]) == ("export", {"what": "jobs", "batch": "batch-1"})
    assert (line["documents"], line["requests"]) == (100, 1)


def test_the_pages_of_an_export_are_one_record(setting: Setting) -> None:
    for page in range(50):
        setting.read(what="calls", after=f"position-{page}", limit=1000)
        setting.clock.sleep(1.0)
    setting.clock.sleep(WRITE_SECONDS)
    setting.records.tick()
    assert setting.store.counts() == [({"what": "calls"}, 5000, 50)]
    assert setting.store.writes <= 50 / WRITE_SECONDS + 2


def test_a_poll_loop_is_one_record_an_hour(setting: Setting) -> None:
    for _ in range(int(2 * LONGEST_SECONDS)):
        setting.read("logs", 30)
        setting.clock.sleep(1.0)
        setting.records.tick()
    assert len(setting.store.lines) == 2
    assert setting.store.writes <= 2 * LONGEST_SECONDS / WRITE_SECONDS + 2


def test_other_filters_other_clients_and_later_reads_are_records_of_their_own(setting: Setting) -> None:
    setting.read(batch="a")
    setting.read(batch="b")
    setting.read(batch="a", peer=Peer(uid=1000))
    setting.clock.sleep(IDLE_SECONDS)
    setting.read(batch="a")
    assert len(setting.store.lines) == 4


def test_many_filters_of_one_client_share_a_record(setting: Setting) -> None:
    for number in range(1000):
        setting.read("job", 1, job=f"job-{number}")
    setting.clock.sleep(WRITE_SECONDS)
    setting.records.tick()
    assert len(setting.store.lines) == MAX_FILTERS + 1
    assert sum(documents for _, documents, _ in setting.store.counts()) == 1000


def test_a_read_that_cannot_be_recorded_fails_and_is_not_counted(setting: Setting) -> None:
    setting.store.away = True
    with pytest.raises(StoreUnavailable):
        setting.read()
    setting.store.away = False
    setting.read()
    assert [counts[1:] for counts in setting.store.counts()] == [(100, 1)]


def test_counts_that_could_not_be_written_make_the_next_read_fail(setting: Setting) -> None:
    setting.read()
    setting.read()
    setting.clock.sleep(WRITE_SECONDS)
    setting.store.away = True
    setting.records.tick()
    with pytest.raises(StoreUnavailable):
        setting.read()
    setting.store.away = False
    setting.clock.sleep(RETRY_SECONDS)
    setting.records.tick()
    assert [counts[1:] for counts in setting.store.counts()] == [(200, 2)]


def test_a_stream_is_recorded_once_the_database_is_back(setting: Setting) -> None:
    setting.store.away = True
    request = Request(id="q", command=COMMANDS["events"], args={"job": None, "worker": None}, peer=MARIA)
    setting.records.note(request, requests=1)
    setting.records.tick()
    for _ in range(7):
        setting.records.note(request, documents=1)
    setting.clock.sleep(IDLE_SECONDS)
    setting.records.tick()
    assert setting.store.lines == {}
    setting.store.away = False
    setting.clock.sleep(RETRY_SECONDS)
    setting.records.tick()
    assert setting.store.counts() == [({}, 7, 1)]


def test_counts_are_written_at_the_end_of_the_daemon(setting: Setting) -> None:
    setting.read()
    setting.read()
    setting.records.close()
    assert [counts[1:] for counts in setting.store.counts()] == [(200, 2)]
