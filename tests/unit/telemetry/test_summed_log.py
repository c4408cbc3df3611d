"""Lines that an outsider can cause: the first at once, then a number each minute, whatever the flood."""

from __future__ import annotations

import logging

import pytest

from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.summed_log import MAX_KINDS, OTHER_CLIENTS, SPAN_SECONDS, SummedLog


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def summed(clock: Clock, caplog: pytest.LogCaptureFixture) -> SummedLog:
    caplog.set_level(logging.INFO, "speechaid")
    return SummedLog(get_logger("speechaid.test"), clock)


def refuse(summed: SummedLog, client: str = "key maria", cause: str = "forbidden") -> None:
    summed.event(logging.WARNING, "control.request_refused", client=client, cause=cause, text="drain")


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [record.fields for record in caplog.records]  # type: ignore[attr-defined]


def test_the_first_is_logged_at_once_and_a_flood_as_a_number_a_minute(
    summed: SummedLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    refuse(summed)
    assert lines(caplog) == [{"client": "key maria", "cause": "forbidden", "text": "drain"}]
    for _ in range(5000):
        refuse(summed)
    summed.tick()
    assert len(caplog.records) == 1
    clock.seconds += SPAN_SECONDS
    summed.tick()
    assert lines(caplog)[1:] == [
        {"client": "key maria", "cause": "forbidden", "times": 5000, "in_seconds": 60}
    ]
    assert caplog.records[1].levelno == logging.WARNING


def test_a_flood_hides_no_other_client_and_no_other_cause(
    summed: SummedLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        refuse(summed)
    refuse(summed, client="uid 1000")
    refuse(summed, cause="bad_json")
    assert [(line["client"], line["cause"]) for line in lines(caplog)] == [
        ("key maria", "forbidden"),
        ("uid 1000", "forbidden"),
        ("key maria", "bad_json"),
    ]


def test_after_a_silent_minute_the_next_is_logged_at_once_again(
    summed: SummedLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    refuse(summed)
    clock.seconds += SPAN_SECONDS
    summed.tick()
    assert len(caplog.records) == 1
    refuse(summed)
    assert len(caplog.records) == 2


def test_very_many_clients_are_summed_up_together(
    summed: SummedLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(10_000):
        refuse(summed, client=f"10.0.{number // 256}.{number % 256}")
    assert len(caplog.records) == MAX_KINDS + 1
    clock.seconds += SPAN_SECONDS
    summed.tick()
    assert lines(caplog)[-1]["client"] == OTHER_CLIENTS
    assert lines(caplog)[-1]["times"] == 10_000 - MAX_KINDS - 1
    assert len(caplog.records) == MAX_KINDS + 2


def test_nothing_waits_once_a_minute_was_silent_and_the_counts_are_taken(
    summed: SummedLog, clock: Clock
) -> None:
    waiting = [summed.is_waiting]
    refuse(summed)
    waiting.append(summed.is_waiting)
    clock.seconds += SPAN_SECONDS
    summed.tick()
    waiting.append(summed.is_waiting)
    summed.take_counts()
    waiting.append(summed.is_waiting)
    assert waiting == [False, True, True, False]


def test_each_is_counted_by_its_cause_once(summed: SummedLog) -> None:
    for _ in range(3):
        refuse(summed)
    refuse(summed, cause="bad_json")
    assert summed.take_counts() == {"forbidden": 3, "bad_json": 1}
    assert summed.take_counts() == {}


def test_a_fault_shows_its_traceback_the_first_time(
    summed: SummedLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        try:
            int("a bug")
        except ValueError:
            summed.exception("command.fault", client="key maria", cause="fault", command="jobs")
    (record,) = caplog.records
    assert record.exc_info is not None
