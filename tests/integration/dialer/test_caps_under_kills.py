"""Two hosts, one person in four batches under six spellings of two numbers, workers killed at random steps.

The cap holds to the call: counted at the simulator, which knows none of our records.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.compliance.packs import Pack, Span
from speechaid.dialer.context import HandOver
from speechaid.errors import SpeechaidError
from tests.support.stage import Document, Stage
from tests.support.stories import CAP, PACK, Steps, instrumented

pytestmark = pytest.mark.slow

MOST = 2
#: Two lines of Mexico, each as people write it.
SPELLINGS = [
    ["+5215512345678", "+525587654321"],
    ["+525512345678", "01 55 8765 4321"],
    ["044 55 1234 5678", "+5215587654321"],
    ["+525587654321", "+5215512345678"],
]
KILLED_OF = 12
ROUNDS = 25


class Killed(BaseException):
    """The process is gone: no code of it runs any more."""


@contextlib.contextmanager
def kills(seed: int) -> Iterator[list[str]]:
    """Kill whoever works at one of so many steps."""
    dice, killed, lock = random.Random(seed), [], threading.Lock()

    def kill(_number: int, name: str, _done: bool) -> None:
        with lock:
            if dice.randrange(KILLED_OF):
                return
            killed.append(name)
        raise Killed

    with instrumented(Steps(kill)):
        yield killed


def mexico() -> Pack:
    cap = CAP.model_copy(update={"number": MOST, "span": Span.ROLLING_HOURS, "length": 24})
    changed: dict[str, Any] = {"country": "MX", "caps": (cap,), "zones": ("America/Mexico_City",)}
    return PACK.model_copy(update=changed)


def work(stage: Stage, host: str, until: threading.Event) -> None:
    """Workers of one host, one after the other: each is replaced when it is killed."""
    for turn in range(ROUNDS):
        context = stage.context(f"worker-{turn}@{host}:1")
        for _ in range(3):
            with contextlib.suppress(Killed, SpeechaidError, HandOver):
                stage.dial_next(context)
            with contextlib.suppress(Killed, SpeechaidError, HandOver):
                stage.recover_one(context)
        if until.is_set():
            return


@pytest.mark.parametrize("seed", [1, 2])
def test_the_cap_holds_to_the_call_over_hosts_batches_and_spellings(stage: Stage, seed: int) -> None:
    stage.store.packs.install([mexico()], fill="first", is_ready=True, by="maria")
    for place, phones in enumerate(SPELLINGS):
        batch = stage.add_batch(
            f"batch-20260101-0000000{place}",
            country="MX",
            call_settings={"purpose": "collection", "max_attempts": 3, "timezone": "America/Mexico_City"},
        )
        stage.add_job(*phones, job_id=f"job-{place}", batch_id=batch)
        stage.database.jobs.update_one({"job_id": f"job-{place}"}, {"$unset": {"contact.dni": ""}})
    ends = ["dial_no_answer", "dial_busy"] * ROUNDS
    numbers = {"+5215512345678", "+525512345678", "+525587654321", "+5215587654321"}
    stage.simulator.script(dict.fromkeys(numbers, ends))
    over = threading.Event()

    def hurry() -> None:
        """Every delay, and every lease of the dead, passes at once."""
        while not over.wait(0.05):
            past = datetime.now(UTC) - timedelta(seconds=1)
            due: Document = {"status": {"$in": ["pending", "in_progress"]}}
            stage.database.jobs.update_many(due, {"$set": {"reserved_until": past}})

    with kills(seed) as killed:
        clock = threading.Thread(target=hurry)
        hosts = [threading.Thread(target=work, args=(stage, f"host-{name}", over)) for name in "ab"]
        for thread in (clock, *hosts):
            thread.start()
        for thread in hosts:
            thread.join()
        over.set()
        clock.join()
    placed = stage.placed_calls()
    assert killed
    assert 1 <= len(placed) <= MOST
    counted = [row for row in stage.database.speechaid_ledger.find({}) if row.get("void") is not True]
    assert len(placed) <= len(counted)
