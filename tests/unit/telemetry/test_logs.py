"""Logs: one event per line, no secrets, and no reader that can block the daemon."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.telemetry import logs
from speechaid.telemetry.logs import LineFormatter, get_logger
from speechaid.telemetry.redaction import Redactor
from speechaid.telemetry.sink import LINE_LIMIT

log = get_logger("speechaid.test")


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "speechaid", "speechctl")]
    levels = [logger.level for logger in loggers]
    yield
    for handler in [h for h in loggers[0].handlers if isinstance(h, logs.LineHandler)]:
        loggers[0].removeHandler(handler)
        handler.close()
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logs.set_context()


@pytest.fixture
def text() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("INFO", "text", stream, secrets=("geheim-key", "p@ss/word"))
    return stream


@pytest.fixture
def objects() -> Iterator[list[dict[str, Any]]]:
    """The logged lines, parsed from JSON."""
    stream = io.StringIO()
    logs.configure("INFO", "json", stream, secrets=("geheim-key",))
    lines: list[dict[str, Any]] = []
    original = stream.write

    def write(line: str) -> int:
        lines.append(json.loads(line))
        return original(line)

    stream.write = write  # type: ignore[method-assign]
    yield lines
    assert stream.getvalue().count("\n") == len(lines)


def tail(stream: io.StringIO) -> str:
    """The only line, without its time."""
    (line,) = stream.getvalue().splitlines()
    instant, _, rest = line.partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", instant)
    return rest


def test_an_event_is_a_name_and_its_fields(text: io.StringIO) -> None:
    log.info("call.placed", job="job-17", call="call_1", ratio=1 / 3, first=True, nothing=None)
    assert tail(text) == "INFO     call.placed job=job-17 call=call_1 ratio=0.333 first=true"


def test_an_event_has_the_same_fields_as_json(objects: list[dict[str, Any]]) -> None:
    log.bind(worker="worker-1").event(
        logging.WARNING, "job.parked", job="job-17", tries=3, phones=["+56912345634"]
    )
    (line,) = objects
    at = line.pop("at")
    assert at.endswith("Z")
    assert line == {
        "level": "WARNING",
        "event": "job.parked",
        "worker": "worker-1",
        "job": "job-17",
        "tries": 3,
        "phones": ["+569******34"],
    }


def test_every_line_has_the_fields_of_the_process(text: io.StringIO) -> None:
    logs.set_context(worker="worker-3")
    log.info("worker.ready", pid=7)
    assert tail(text) == "INFO     worker.ready worker=worker-3 pid=7"


VALUES = [
    ("two words", '"two words"'),
    ("", '""'),
    ("a=b", '"a=b"'),
    ('say "hi"', '"say \\"hi\\""'),
    ("line\nbreak", '"line\\nbreak"'),
    ("\x1b[31mred\x9b", '"\\u001b[31mred\\x9b"'),
    ("next\u2028line\x85", '"next\\u2028line\\x85"'),
    ("\ud800", '"\\ud800"'),
    ("Ñuñoa", "Ñuñoa"),
    ({"a": [1, None]}, '{"a": [1, null]}'),
    (float("inf"), "inf"),
    (datetime(2026, 5, 4, 8, tzinfo=timezone(timedelta(hours=-4))), "2026-05-04T12:00:00.000Z"),
    (Path("/run/x"), "/run/x"),
]


@pytest.mark.parametrize(("value", "shown"), VALUES)
def test_a_value_is_written_without_line_breaks_or_control_characters(
    text: io.StringIO, value: object, shown: str
) -> None:
    log.info("x", value=value)
    written = tail(text).removeprefix("INFO     x value=")
    # JSON text that begins with a bracket may contain unquoted blanks.
    assert written in {shown, shown.replace('"', '\\"')}


REDACTED = [
    ({"phone": "+56912345634"}, "phone=+569******34"),
    ({"to_number": "56912345634"}, "to_number=569******34"),
    ({"number": 56912345634}, "number=569******34"),
    ({"phones": 3}, "phones=3"),
    ({"detail": "to +56912345634"}, 'detail="to +569******34"'),
    ({"body": {"to": "912345634"}}, "*******34"),
    ({"body": {"+56912345634": 1}}, "+569******34"),
    ({"detail": "Bearer geheim-key!"}, 'detail="Bearer (hidden)!"'),
    ({"api_key": "whatever"}, "api_key=(hidden)"),
    ({"address": "mongodb://ana:p%40ss%2Fword@h"}, "address=mongodb://ana:***@h"),
    ({"address": "tcp://ana:unknown@h/x"}, "address=tcp://ana:***@h/x"),
    ({"detail": "with p@ss/word"}, 'detail="with (hidden)"'),
    ({"detail": "Bearer spt_" + "aB3-_" * 8 + " was refused"}, 'detail="Bearer (hidden) was refused"'),
    ({"duration_ms": 1746360000123}, "duration_ms=1746360000123"),
]


@pytest.mark.parametrize(("fields", "shown"), REDACTED)
def test_numbers_and_secrets_are_redacted_in_every_field(
    text: io.StringIO, fields: dict[str, Any], shown: str
) -> None:
    log.info("x", **fields)
    assert shown in tail(text)


def test_a_number_in_an_event_or_a_message_is_masked_as_well(text: io.StringIO) -> None:
    log.info("call +56912345634")
    logging.getLogger("speechaid.plain").info("calling %s", "+56912345634")
    assert "12345634" not in text.getvalue()
    assert text.getvalue().count("+569******34") == 2


def test_an_exception_is_one_line(objects: list[dict[str, Any]]) -> None:
    try:
        int("+56912345634x")
    except ValueError:
        log.exception("job.failed", job="job-17")
    (line,) = objects
    assert line["level"] == "ERROR"
    assert line["error"] == "ValueError: invalid literal for int() with base 10: '+569******34x'"
    assert line["traceback"].startswith("Traceback")


def test_a_plain_record_is_written_in_the_same_form(text: io.StringIO) -> None:
    logging.getLogger("speechaid.fleet").warning(
        "worker %s died", 3, extra={"event": "worker.died", "slot": 3}
    )
    assert tail(text) == 'WARNING  worker.died message="worker 3 died" slot=3'


def test_a_message_that_does_not_match_its_arguments_is_still_logged() -> None:
    record = logging.makeLogRecord({"msg": "worker %d died", "args": ("three",)})
    assert b"worker %d died (not formatted: TypeError)" in LineFormatter().line(record)


def test_a_value_whose_str_fails_is_replaced_by_its_type(text: io.StringIO) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError

    log.info("x", value=Unprintable())
    assert "(a Unprintable that cannot be shown: RuntimeError)" in text.getvalue()


def test_libraries_log_only_warnings_whatever_the_configured_level(text: io.StringIO) -> None:
    logs.set_level("DEBUG")
    logging.getLogger("pymongo.command").info("find {...}")
    logging.getLogger("pymongo.command").warning("slow")
    log.debug("step")
    assert [line.split()[2] for line in text.getvalue().splitlines()] == ["log", "step"]


def test_the_level_applies_and_can_be_changed(text: io.StringIO) -> None:
    log.debug("one")
    logs.set_level("DEBUG")
    log.debug("two")
    logs.set_level("ERROR")
    log.warning("three")
    assert "two" in tail(text)


def test_configuring_again_replaces_the_previous_handler(text: io.StringIO) -> None:
    other = io.StringIO()
    logs.configure("INFO", "text", other)
    log.info("x")
    assert text.getvalue() == ""
    assert other.getvalue().count("\n") == 1


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@given(
    fields=st.dictionaries(st.text(max_size=8), st.text() | st.lists(st.text()) | st.integers(), max_size=4)
)
def test_any_fields_make_one_printable_line(as_json: bool, fields: dict[str, Any]) -> None:
    record = logging.makeLogRecord({"event": "x", "fields": fields, "levelname": "INFO"})
    line = LineFormatter(as_json=as_json).line(record).decode()
    assert line.isprintable()
    if as_json:
        assert json.loads(line)["event"] == "x"


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    "fields",
    [
        {"body": "x" * 100_000},
        {"body": "\x00" * 50_000, "other": {"a": ["y" * 9000] * 9}},
        {f"field{index}": "z" * 200 for index in range(500)},
    ],
    ids=["long", "nested", "many"],
)
def test_a_line_is_never_longer_than_one_atomic_write_to_a_pipe(
    as_json: bool, fields: dict[str, Any]
) -> None:
    record = logging.makeLogRecord({"event": "x", "fields": fields, "levelname": "INFO"})
    line = LineFormatter(as_json=as_json, redactor=Redactor()).line(record)
    assert len(line) < LINE_LIMIT
    assert b" x " in line or json.loads(line)["event"] == "x"


# -- destinations --------------------------------------------------------------------------------------------


def read_all(descriptor: int) -> list[str]:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read().decode().splitlines()


def test_a_full_pipe_drops_and_counts_lines_and_reports_them_afterwards() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        logs.configure("INFO", "text", stream)
        while logs.dropped_lines() < 3:
            log.info("flood", body="x" * 3900)
        lines = os.read(reader, 1 << 20).decode().splitlines()
        log.info("read")
        dropped = logs.dropped_lines()
        logs.configure("INFO", "text", io.StringIO())
    lines += read_all(reader)
    assert lines[-1].endswith(" read")
    reports = [re.search(r" log\.dropped lines=(\d+) ", line) for line in lines]
    assert sum(int(report[1]) for report in reports if report) == dropped


def test_the_shared_descriptor_stays_blocking_for_other_processes() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader):
        logs.configure("INFO", "text", stream)
        log.info("x")
        assert os.get_blocking(writer)


def test_a_closed_reader_raises_no_error() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        logs.configure("INFO", "text", stream)
        os.close(reader)
        log.info("x")
    log.info("y")
    assert logs.dropped_lines() == 2


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_process_without_standard_error_goes_on(
    monkeypatch: pytest.MonkeyPatch, stream: str | None
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed if stream else None)
    logs.configure("INFO", "text")
    log.info("x")
    assert logs.dropped_lines() == 1


def test_a_socket_without_a_reader_drops_lines_too() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, os.fdopen(os.dup(theirs.fileno()), "w") as stream:
        logs.configure("INFO", "text", stream)
        while logs.dropped_lines() == 0:
            log.info("flood", body="x" * 3000)
        assert ours.recv(1 << 20).decode().splitlines()[0].split()[2] == "flood"


def test_a_child_that_closed_its_descriptors_never_writes_into_another_file(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        logs.configure("INFO", "text", stream)
        log.info("before")
        reopened = max(number for number in file_descriptors() if is_pipe_of(number, writer))
        os.close(reopened)
        stranger = os.open(tmp_path / "data", os.O_RDWR | os.O_CREAT)
        assert stranger == reopened
        log.info("after")
        os.close(stranger)
        logs.configure("INFO", "text", io.StringIO())
    assert (tmp_path / "data").read_bytes() == b""
    assert [line.split()[2] for line in read_all(reader)] == ["before", "after"]


def file_descriptors() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def is_pipe_of(descriptor: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.fstat(other))
    except OSError:
        return False


def test_lines_of_many_writers_are_never_mixed() -> None:
    reader, writer = os.pipe()
    lines: list[str] = []
    collector = threading.Thread(target=lambda: lines.extend(read_all(reader)))
    collector.start()
    with os.fdopen(writer, "w") as stream:
        logs.configure("INFO", "json", stream)

        def write() -> None:
            for _ in range(50):
                log.info("x", body="y" * 2000)

        writers = [threading.Thread(target=write) for _ in range(4)]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        dropped = logs.dropped_lines()
        logs.configure("INFO", "text", io.StringIO())
    collector.join()
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("x") == 200 - dropped
    assert set(events) <= {"x", "log.dropped"}


# -- systemd's journal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["text", "json"])
def test_each_line_for_the_journal_begins_with_its_priority(
    monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("w") as stream:
        target = os.fstat(theirs.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{target.st_dev}:{target.st_ino}")
        logs.configure("DEBUG", format_, stream)  # type: ignore[arg-type]
        for level in ("debug", "info", "warning", "error", "critical"):
            logging.getLogger("speechaid.test").log(logging.getLevelName(level.upper()), "said")
        logs.configure("INFO", "text", io.StringIO())
        lines = ours.recv(1 << 16).decode().splitlines()
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    if format_ == "json":
        assert {json.loads(line[3:])["message"] for line in lines} == {"said"}


def test_standard_error_without_the_journal_has_no_priorities(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv("JOURNAL_STREAM", "9:12345")  # of the service; this process has another stream
    with os.fdopen(writer, "w") as stream:
        logs.configure("INFO", "text", stream)
        log.error("x")
        logs.configure("INFO", "text", io.StringIO())
    assert not read_all(reader)[0].startswith("<")


def test_a_line_in_json_has_no_lone_surrogate() -> None:
    fields = {"path": os.fsdecode(b"campa\xf1a"), "face": "\U0001f600"}
    record = logging.makeLogRecord({"event": "x", "fields": fields, "levelname": "INFO"})
    line = json.loads(LineFormatter(as_json=True).line(record))
    assert (line["path"], line["face"]) == (r"campa\xf1a", "\U0001f600")
