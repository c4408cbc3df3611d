"""What each order, pause and hold stops: every one of them by every path that a job takes to Retell.

``MATRIX`` is the table of ``docs/architecture.md``, "Three ways to pause", cell by cell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import pytest

from speechaid.clock import SystemClock
from speechaid.dialer import dial, recovery
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.preflight import read_preflight
from speechaid.fleet.channel import Channel
from speechaid.fleet.messages import Order, WorkerIdentity, encode_command
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.model.states import NoNewCalls
from speechaid.rules.phones import Choice
from speechaid.store.holds import key_of
from speechaid.store.table import Table
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage

BATCH = "batch-20260101-00000001"


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.add_batch(BATCH)
    return common_stage


class Host:
    """A worker's context with a real channel to a supervisor, whose part the test plays."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.supervisor, theirs = Channel.pair()
        self.link = SupervisorLink(
            Channel(theirs), WorkerIdentity(slot="worker-1", host="host-a", pid=os.getpid())
        )
        self.context = stage.context()
        self.context.link = self.link

    def order(self, order: Order, **data: bool) -> None:
        assert self.supervisor.send(encode_command(order, data))

    def close(self) -> None:
        self.link.close()
        self.supervisor.close()


@pytest.fixture
def host(stage: Stage) -> Iterator[Host]:
    opened = Host(stage)
    yield opened
    opened.close()


# -- the table -------------------------------------------------------------------------------------------


class Way(StrEnum):
    """How a job gets to Retell."""

    FIRST_DIAL = "first dial"
    REPLAY = "replay of an ambiguous dial"
    FOLLOWING = "adoption and following of a live call"
    STOP_CALL = "stop-call for a hang-up"


class Found(StrEnum):
    """What happened to the job."""

    PLACED = "its call was placed"
    UNTOUCHED = "it went back untouched, no create was sent"
    REPLAYED = "the same create was sent again"
    LOOKED_UP = "Retell's call list was searched, no create was sent"
    SETTLED = "its live call was followed to its end and settled"
    STOPPED = "its live call was stopped"


def close_window(host: Host) -> None:
    another_day = (host.stage.store.now() + timedelta(days=3)).isoweekday()
    settings = {"days_of_week": [another_day], "timezone": "UTC"}
    host.stage.database.batches.update_one({}, {"$set": {"call_settings": settings}})


def open_breaker(host: Host) -> None:
    until = host.stage.store.now() + timedelta(minutes=5)
    fields = {"state": "open", "kind": "blocked", "faults": 1, "probe_at": until, "revision": 1}
    host.stage.database.speechaid_holds.insert_one({"_id": key_of(host.context.retell.fingerprint), **fields})


FORBIDDING: dict[str, Callable[[Host], object]] = {
    "nothing": lambda _host: None,
    "hold, in the database": lambda host: host.stage.store.holds.hold(by="operator", reason=None),
    "hold, in this host's memory": lambda host: host.order(Order.HOLD, on=True),
    "pause-batch": lambda host: host.stage.store.batches.pause(BATCH, by="operator", reason=None),
    "pause-all": lambda host: host.stage.store.batches.pause_all(by="operator", reason=None),
    "drain": lambda host: host.order(Order.DRAIN),
    "pause-worker": lambda host: host.order(Order.PAUSE),
    "graceful stop": lambda host: host.order(Order.STOP),
    "supervisor gone": lambda host: host.supervisor.close(),
    "window closed": close_window,
    "breaker open": open_breaker,
}

#: No new call, whatever stands behind it; what is live goes on, and can be stopped.
_NO_NEW_CALL = {
    Way.FIRST_DIAL: Found.UNTOUCHED,
    Way.REPLAY: Found.LOOKED_UP,
    Way.FOLLOWING: Found.SETTLED,
    Way.STOP_CALL: Found.STOPPED,
}
MATRIX: dict[str, dict[Way, Found]] = {
    "nothing": {
        Way.FIRST_DIAL: Found.PLACED,
        Way.REPLAY: Found.REPLAYED,
        Way.FOLLOWING: Found.SETTLED,
        Way.STOP_CALL: Found.STOPPED,
    },
    "hold, in the database": _NO_NEW_CALL,
    "hold, in this host's memory": _NO_NEW_CALL,
    "pause-batch": _NO_NEW_CALL,
    "pause-all": _NO_NEW_CALL,
    "drain": _NO_NEW_CALL,
    "pause-worker": _NO_NEW_CALL,
    "graceful stop": _NO_NEW_CALL,
    "supervisor gone": _NO_NEW_CALL,
    "window closed": _NO_NEW_CALL,
    "breaker open": _NO_NEW_CALL,
}


def test_the_table_has_a_cell_for_each_way_and_each_condition() -> None:
    assert set(MATRIX) == set(FORBIDDING)
    assert all(set(row) == set(Way) for row in MATRIX.values())


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("condition", list(MATRIX))
def test_what_a_condition_stops(host: Host, condition: str, way: Way) -> None:
    assert RUNS[way](host, FORBIDDING[condition]) == MATRIX[condition][way]


# -- the ways, each with the condition set at the last moment that counts ----------------------------------


def run_first_dial(host: Host, forbid: Callable[[Host], object]) -> Found | None:
    """The condition comes when the job is claimed, and its first preflight has passed."""
    number = add_job(host.stage)
    before = host.stage.job()
    claimed = JobClaimer(host.context).claim()
    assert claimed is not None
    forbid(host)
    dial.run(host.context, claimed.job, claimed.preflight)
    if creates(host.stage) == 1:
        return Found.PLACED
    return Found.UNTOUCHED if is_untouched(host.stage, before) and number else None


def run_replay(host: Host, forbid: Callable[[Host], object]) -> Found | None:
    """A worker died right before its create was sent; the replay would be the person's first call."""
    leave_intent(host.stage)
    forbid(host)
    assert recovery.recover_one(host.context)
    if creates(host.stage) == 1:
        return Found.REPLAYED
    job = host.stage.job()
    searched = sum(host.stage.simulator.requests()["counts"].get("list", {}).values())
    return Found.LOOKED_UP if searched and job["status"] == "in_progress" and "dial" in job else None


def run_following(host: Host, forbid: Callable[[Host], object]) -> Found | None:
    leave_live_call(host.stage)
    forbid(host)
    assert recovery.recover_one(host.context)
    job, calls = host.stage.job(), host.stage.placed_calls()
    return Found.SETTLED if (job["status"], len(calls), creates(host.stage)) == ("done", 1, 0) else None


def run_stop_call(host: Host, forbid: Callable[[Host], object]) -> Found | None:
    leave_live_call(host.stage, talk_seconds=500)
    assert host.stage.store.requests.ask("job-1", "hang_up", reason=None, by="operator") == "recorded"
    forbid(host)
    assert recovery.recover_one(host.context)
    (call,) = host.stage.placed_calls()
    stopped = call["disconnection_reason"] == "manual_stopped"
    return Found.STOPPED if stopped and host.stage.job()["status"] == "cancelled" else None


RUNS: dict[Way, Callable[[Host, Callable[[Host], object]], Found | None]] = {
    Way.FIRST_DIAL: run_first_dial,
    Way.REPLAY: run_replay,
    Way.FOLLOWING: run_following,
    Way.STOP_CALL: run_stop_call,
}


def add_job(stage: Stage, **script: int) -> str:
    number = phone()
    stage.simulator.script({number: [{"reason": "user_hangup", **script}]})
    stage.add_job(number, batch_id=BATCH)
    return number


def leave_intent(stage: Stage) -> None:
    number = add_job(stage)
    dead = stage.context("worker-2@host-b:2")
    job = stage.claim(dead)
    assert job is not None
    choice = Choice(index=0, raw=number, number=number)
    dead.store.jobs.record_intent(job, dial.new_dial(dead, job, choice, read_preflight(dead, job)))
    stage.lapse()


def leave_live_call(stage: Stage, **script: int) -> None:
    class Died(BaseException):
        """The process is gone."""

    def die() -> None:
        raise Died

    add_job(stage, **script)
    stage.on_wait = die
    with pytest.raises(Died):
        stage.dial_next(stage.context("worker-2@host-b:2"))
    stage.on_wait = lambda: None
    stage.lapse()
    stage.simulator.clear_requests()


def creates(stage: Stage) -> int:
    return len(stage.simulator.requests()["creates"])


def is_untouched(stage: Stage, before: Document) -> bool:
    """Whether the job is as it was but for when it is due again, and no entry of its dial is left."""
    job = stage.job()
    same = all(job.get(name) == before.get(name) for name in ("status", "attempts", "contact", "dead_phones"))
    batch = stage.database.batches.find_one({"batch_id": BATCH}) or {}
    return same and "dial" not in job and "claim_token" not in job and not batch.get("open_dials")


# -- an order that comes while a dial is being cleared ------------------------------------------------------


class HandClock(SystemClock):
    """A boot-time clock that the test advances on top of the machine's."""

    ahead = 0.0

    def boottime(self) -> float:
        return super().boottime() + self.ahead


@dataclass
class Preflights:
    """What happens during each preflight of a worker; counts them."""

    seconds: float = 0.0
    then: Callable[[int], object] = lambda _number: None
    number: int = 0


@pytest.fixture
def preflights(host: Host, monkeypatch: pytest.MonkeyPatch) -> Preflights:
    """Makes each preflight of the host's worker take some seconds, by its clock."""
    clock, happening, read = HandClock(), Preflights(), Table.aggregate
    host.context.clock = clock

    def slowly(table: Table, *args: object, **options: object) -> list[Document]:
        found = read(table, *args, **options)  # type: ignore[arg-type]
        if table.name == host.stage.store.jobs.table.name:
            happening.number += 1
            clock.ahead += happening.seconds
            happening.then(happening.number)
        return found

    monkeypatch.setattr(Table, "aggregate", slowly)
    return happening


@pytest.mark.parametrize("order", [Order.HOLD, Order.STOP, Order.DRAIN, Order.PAUSE])
def test_an_order_ends_the_clearance_of_a_dial_while_the_database_is_slow(
    host: Host, preflights: Preflights, order: Order
) -> None:
    add_job(host.stage)
    before = host.stage.job()
    claimed = JobClaimer(host.context).claim()
    assert claimed is not None
    begun = preflights.number
    preflights.seconds = 4.0
    preflights.then = lambda number: host.order(order, on=True) if number == begun + 2 else None
    dial.run(host.context, claimed.job, claimed.preflight)
    assert preflights.number == begun + 2
    assert creates(host.stage) == 0
    assert is_untouched(host.stage, before)


def test_a_hand_over_gives_a_dial_back_that_is_being_cleared(host: Host, preflights: Preflights) -> None:
    add_job(host.stage)
    before = host.stage.job()
    claimed = JobClaimer(host.context).claim()
    assert claimed is not None
    preflights.seconds, preflights.then = 4.0, lambda _number: host.order(Order.HAND_OVER)
    dial.run(host.context, claimed.job, claimed.preflight)
    assert creates(host.stage) == 0
    assert is_untouched(host.stage, before)
    assert host.link.hand_over_requested


def test_a_dial_is_not_cleared_for_ever_while_the_database_is_slow(
    host: Host, preflights: Preflights
) -> None:
    add_job(host.stage)
    before = host.stage.job()
    claimed = JobClaimer(host.context).claim()
    assert claimed is not None
    preflights.seconds = 4.0
    dial.run(host.context, claimed.job, claimed.preflight)
    assert creates(host.stage) == 0
    assert is_untouched(host.stage, before)


def test_an_order_during_the_last_write_before_a_create_stops_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write that wins the breaker's probe is the last one; the probe is given back."""
    open_breaker(host)
    make_probe_due(host)
    add_job(host.stage)
    claimed = JobClaimer(host.context).claim()
    assert claimed is not None
    order_at_probe(host, monkeypatch)
    dial.run(host.context, claimed.job, claimed.preflight)
    assert creates(host.stage) == 0
    host.order(Order.HOLD, on=False)
    host.stage.make_due()
    assert host.stage.dial_next(host.stage.context("worker-2@host-b:2"))
    assert creates(host.stage) == 1


def make_probe_due(host: Host) -> None:
    past = host.stage.store.now() - timedelta(seconds=1)
    host.stage.database.speechaid_holds.update_one({"state": "open"}, {"$set": {"probe_at": past}})


def order_at_probe(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a hold to this host while its worker writes that its dial is the probe."""
    holds = type(host.context.store.holds)
    write = holds.write_breaker

    def written(*args: object, **options: object) -> bool:
        won = write(*args, **options)  # type: ignore[arg-type]
        host.order(Order.HOLD, on=True)
        return won

    monkeypatch.setattr(holds, "write_breaker", written)


# -- the link ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (Order.HOLD, NoNewCalls.HOST_HELD),
        (Order.STOP, NoNewCalls.STOPPING),
        (Order.HAND_OVER, NoNewCalls.STOPPING),
        (Order.DRAIN, NoNewCalls.DRAINING),
        (Order.PAUSE, NoNewCalls.WORKER_PAUSED),
    ],
)
def test_orders_that_are_read_before_a_create_reach_the_worker_s_loop_too(
    host: Host, order: Order, found: NoNewCalls
) -> None:
    host.order(Order.LOG_LEVEL, on=True)
    host.order(order, on=True)
    assert host.link.read_orders() == found
    assert [command.order for command in host.link.commands(60.0)] == [Order.LOG_LEVEL, order]
    assert host.link.read_orders() == found


# -- switches and limits that cannot be understood ---------------------------------------------------------

#: Fields of the batch, then of the account.
ODD: dict[str, tuple[Document, Document]] = {
    "the batch's switch": ({"is_active": "pausado"}, {}),
    "the batch's calls at a time": ({"call_settings": {"max_concurrent_calls": "dos"}}, {}),
    "the batch's attempts": ({"call_settings": {"max_attempts": "tres"}}, {}),
    "the batch's delay": ({"call_settings": {"retry_delay_hours": "1h"}}, {}),
    "the batch's hours": ({"call_settings": {"allowed_hours": ["09:00", "18:00"]}}, {}),
    "the batch's days": ({"call_settings": {"days_of_week": "lunes"}}, {}),
    "the batch's settings": ({"call_settings": [1]}, {}),
    "the account's status": ({}, {"status": ["suspended"]}),
    "the account's calls a day": ({}, {"daily_call_limit": "1,000"}),
    "the account's calls at a time": ({}, {"max_concurrent_calls": "dos"}),
    "the account's count": ({}, {"daily_call_limit": 5, "calls_today": "todas"}),
    "the account's minutes": ({}, {"minutes_used": "casi todos"}),
    "the account's zone": ({}, {"timezone": ["America/Santiago"]}),
}


def set_up_odd(stage: Stage, odd: str) -> None:
    of_batch, of_account = ODD[odd]
    stage.database.batches.update_one({"batch_id": BATCH}, {"$set": {"account_id": "acc-1", **of_batch}})
    account = {"plan_type": "minutes_based", "minutes_purchased": 100, **of_account}
    stage.database.accounts.update_one({"account_id": "acc-1"}, {"$set": account})


@pytest.fixture
def metered(stage: Stage) -> Stage:
    """A job that would be dialled, of a batch with an account."""
    stage.add_account(plan_type="minutes_based", minutes_purchased=100)
    stage.database.batches.update_one({"batch_id": BATCH}, {"$set": {"account_id": "acc-1"}})
    stage.add_job(phone(), batch_id=BATCH, account_id="acc-1")
    return stage


@pytest.mark.parametrize("odd", ODD)
def test_a_job_under_what_cannot_be_understood_is_not_claimed(metered: Stage, odd: str) -> None:
    set_up_odd(metered, odd)
    assert JobClaimer(metered.context()).claim() is None
    assert metered.job()["status"] == "pending"


@pytest.mark.parametrize("odd", ODD)
def test_what_cannot_be_understood_any_more_when_the_job_is_claimed_stops_its_create(
    metered: Stage, odd: str
) -> None:
    context = metered.context()
    before = metered.job()
    claimed = JobClaimer(context).claim()
    assert claimed is not None
    set_up_odd(metered, odd)
    dial.run(context, claimed.job, claimed.preflight)
    assert creates(metered) == 0
    assert is_untouched(metered, before)
