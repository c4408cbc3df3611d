"""Subscriptions to ``events``: filters, heartbeats, slow readers and clients that leave."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from speechaid.commands.events import MAX_LISTENERS, PATIENCE_SECONDS, LogTap, Subscriptions
from speechaid.commands.interfaces import CommandRefused
from speechaid.protocol.messages import COMMANDS, Request
from speechaid.telemetry.redaction import Redactor


class RecordingStream:
    """Records the items sent; ``answer`` is its result for each."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.answer: bool | None = True

    def stream(self, request: Request, item: Mapping[str, Any]) -> bool | None:
        if self.answer:
            self.sent.append(dict(item))
        return self.answer


def request(**args: Any) -> Request:
    return Request(id="q", command=COMMANDS["events"], args={"job": None, "worker": None, **args})


def test_a_listener_gets_events_from_its_subscription_on() -> None:
    stream = RecordingStream()
    subscriptions = Subscriptions(stream)
    subscriptions.publish("worker-1", "call.placed", {"job": "job-1"})
    subscriptions.subscribe(request())
    subscriptions.publish("worker-1", "call.settled", {"job": "job-1"})
    assert stream.sent[0] == {"state": "listening"}
    assert [item["event"]["event"] for item in stream.sent[1:]] == ["call.settled"]


@pytest.mark.parametrize(
    ("args", "events"),
    [({"job": "job-1"}, ["a"]), ({"worker": "2"}, ["b"]), ({"worker": "worker-1"}, ["a"]), ({}, ["a", "b"])],
)
def test_events_can_be_filtered_by_job_or_worker(args: dict[str, str], events: list[str]) -> None:
    stream = RecordingStream()
    subscriptions = Subscriptions(stream)
    subscriptions.subscribe(request(**args))
    subscriptions.publish("worker-1", "a", {"job": "job-11"})
    subscriptions.publish("worker-2", "b", {"job": "job-2"})
    assert [item["event"]["event"] for item in stream.sent[1:]] == events


def test_a_client_that_left_is_removed() -> None:
    stream = RecordingStream()
    subscriptions = Subscriptions(stream)
    subscriptions.subscribe(request())
    stream.answer = None
    subscriptions.publish("worker-1", "a", {})
    assert len(subscriptions) == 0


def test_a_slow_reader_gets_the_number_of_missed_events() -> None:
    stream = RecordingStream()
    subscriptions = Subscriptions(stream)
    subscriptions.subscribe(request())
    stream.answer = False
    for _ in range(3):
        subscriptions.publish("worker-1", "a", {})
    stream.answer = True
    subscriptions.publish("worker-1", "b", {})
    assert stream.sent[-1]["missed"] == 3
    subscriptions.publish("worker-1", "c", {})
    assert "missed" not in stream.sent[-1]


def test_a_client_that_does_not_read_is_removed() -> None:
    stream = RecordingStream()
    subscriptions = Subscriptions(stream)
    subscriptions.tick(100.0)
    subscriptions.subscribe(request())
    stream.answer = False
    subscriptions.tick(100.0 + PATIENCE_SECONDS / 2)
    assert len(subscriptions) == 1
    subscriptions.tick(100.0 + PATIENCE_SECONDS + 6)
    assert len(subscriptions) == 0


def test_heartbeats_are_sent_while_nothing_happens() -> None:
    stream = RecordingStream()
    subscriptions = Subscriptions(stream)
    subscriptions.subscribe(request())
    subscriptions.tick(1.0)
    assert len(stream.sent) == 1
    subscriptions.tick(7.0)
    assert stream.sent[-1] == {"state": "listening"}


def test_the_number_of_listeners_is_limited() -> None:
    subscriptions = Subscriptions(RecordingStream())
    for _ in range(MAX_LISTENERS):
        subscriptions.subscribe(request())
    with pytest.raises(CommandRefused, match="listen already"):
        subscriptions.subscribe(request())


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


def test_log_lines_are_streamed_without_secrets_and_numbers() -> None:
    tap = LogTap(Redactor(("key_0123456789",)))
    record = logging.LogRecord(
        "speechaid", logging.INFO, "", 0, "key_0123456789 called +56912345671", None, None
    )
    tap.handle(record)
    (line,) = tap.take()
    assert "key_0123456789" not in str(line)
    assert "12345671" not in str(line)
    assert tap.take() == []
