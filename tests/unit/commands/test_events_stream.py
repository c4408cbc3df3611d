"""Who listens, who has stopped listening, and what a slow reader misses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from speechaid.commands.events import MOST_LISTENERS, PATIENCE_SECONDS, LogTap, Subscriptions
from speechaid.commands.interfaces import CommandRefused
from speechaid.protocol.messages import COMMANDS, Request
from speechaid.telemetry.redaction import Redactor


class Line:
    """The socket's end: keeps what is sent; ``answer`` is what it says to it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.answer: bool | None = True

    def stream(self, request: Request, item: Mapping[str, Any]) -> bool | None:
        if self.answer:
            self.sent.append(dict(item))
        return self.answer


def request(**args: Any) -> Request:
    return Request(id="q", command=COMMANDS["events"], args={"job": None, "worker": None, **args})


def test_a_listener_hears_from_the_moment_it_came() -> None:
    line = Line()
    listeners = Subscriptions(line)
    listeners.publish("worker-1", "call.placed", {"job": "job-1"})
    listeners.subscribe(request())
    listeners.publish("worker-1", "call.settled", {"job": "job-1"})
    assert line.sent[0] == {"state": "listening"}
    assert [item["event"]["event"] for item in line.sent[1:]] == ["call.settled"]


@pytest.mark.parametrize(
    ("args", "heard"),
    [({"job": "job-1"}, ["a"]), ({"worker": "2"}, ["b"]), ({"worker": "worker-1"}, ["a"]), ({}, ["a", "b"])],
)
def test_a_listener_may_want_one_job_or_one_worker_alone(args: dict[str, str], heard: list[str]) -> None:
    line = Line()
    listeners = Subscriptions(line)
    listeners.subscribe(request(**args))
    listeners.publish("worker-1", "a", {"job": "job-11"})
    listeners.publish("worker-2", "b", {"job": "job-2"})
    assert [item["event"]["event"] for item in line.sent[1:]] == heard


def test_a_client_that_left_is_forgotten() -> None:
    line = Line()
    listeners = Subscriptions(line)
    listeners.subscribe(request())
    line.answer = None
    listeners.publish("worker-1", "a", {})
    assert len(listeners) == 0


def test_a_slow_reader_is_told_how_much_it_missed() -> None:
    line = Line()
    listeners = Subscriptions(line)
    listeners.subscribe(request())
    line.answer = False
    for _ in range(3):
        listeners.publish("worker-1", "a", {})
    line.answer = True
    listeners.publish("worker-1", "b", {})
    assert line.sent[-1]["missed"] == 3
    listeners.publish("worker-1", "c", {})
    assert "missed" not in line.sent[-1]


def test_one_that_reads_nothing_for_long_is_let_go() -> None:
    line = Line()
    listeners = Subscriptions(line)
    listeners.tick(100.0)
    listeners.subscribe(request())
    line.answer = False
    listeners.tick(100.0 + PATIENCE_SECONDS / 2)
    assert len(listeners) == 1
    listeners.tick(100.0 + PATIENCE_SECONDS + 6)
    assert len(listeners) == 0


def test_silence_is_broken_by_a_sign_of_life() -> None:
    line = Line()
    listeners = Subscriptions(line)
    listeners.subscribe(request())
    listeners.tick(1.0)
    assert len(line.sent) == 1
    listeners.tick(7.0)
    assert line.sent[-1] == {"state": "listening"}


def test_there_is_a_bound_to_how_many_listen() -> None:
    listeners = Subscriptions(Line())
    for _ in range(MOST_LISTENERS):
        listeners.subscribe(request())
    with pytest.raises(CommandRefused, match="listen already"):
        listeners.subscribe(request())


def test_the_text_of_an_event_reaches_listeners() -> None:
    tap = LogTap(Redactor())
    record = logging.makeLogRecord(
        {
            "msg": "disk.full",
            "levelname": "ERROR",
            "event": "disk.full",
            "fields": {"text": "63 MiB free"},
        }
    )
    tap.handle(record)
    assert tap.take() == [{"event": "disk.full", "level": "ERROR", "text": "63 MiB free"}]


def test_log_lines_are_told_without_secrets_and_numbers() -> None:
    tap = LogTap(Redactor(("key_0123456789",)))
    record = logging.LogRecord(
        "speechaid", logging.INFO, "", 0, "key_0123456789 called +56912345671", None, None
    )
    tap.handle(record)
    (line,) = tap.take()
    assert "key_0123456789" not in str(line)
    assert "12345671" not in str(line)
    assert tap.take() == []
