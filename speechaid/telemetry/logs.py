"""Structured logs: one event per line, with fields; secrets are removed as the last step.

    log = get_logger("speechaid.worker")
    log.info("call.placed", job=job.job_id, phone=number)

    2026-05-04T12:00:00.123Z INFO     call.placed worker=worker-1 job=job-17 phone=+569******34

Based on the standard library's ``logging``, so that plain records of other modules and libraries are written
in the same form. ``telemetry.sink`` writes lines whole and without blocking.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TextIO

from speechaid.protocol.text import encode_json
from speechaid.telemetry.redaction import Redactor
from speechaid.telemetry.sink import LINE_LIMIT, LogFile, Sink, goes_to_journald, open_sink

#: Loggers to which the configured level applies. Libraries never log below WARNING: pymongo's and urllib3's
#: debug lines hold whole documents and URLs.
_OWN: Final = ("speechaid", "speechctl")
#: Maximum lengths of a field's text, tried in this order until the line fits.
_CLIPS: Final = (3000, 1000, 300, 100, 30)
#: Attributes of every record.
_STANDARD_ATTRIBUTES: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "event", "fields"}
)
#: Prefixes that give a line's priority to systemd's journal (sd-daemon(3)), by minimum level.
_PRIORITIES: Final = (
    (logging.CRITICAL, b"<2>"),
    (logging.ERROR, b"<3>"),
    (logging.WARNING, b"<4>"),
    (logging.INFO, b"<6>"),
    (logging.NOTSET, b"<7>"),
)
#: How long a line waits for a reader that has kept up so far.
_MAX_WAIT_SECONDS: Final = 0.2
#: Fields of every line of this process, set by ``set_context``.
_context: dict[str, object] = {}


class EventLogger:
    """Logs events by name: ``log.info("job.claimed", job=...)``; fields that are None are left out."""

    def __init__(self, logger: logging.Logger, fields: Mapping[str, object] | None = None) -> None:
        self._logger = logger
        self._fields = dict(fields or {})

    def bind(self, **fields: object) -> EventLogger:
        """A logger that adds these fields to every event."""
        return EventLogger(self._logger, {**self._fields, **fields})

    def event(self, level: int, event: str, /, **fields: object) -> None:
        """Log an event at one of ``logging``'s levels."""
        self._log(level, event, fields)

    def debug(self, event: str, /, **fields: object) -> None:
        """Log details for finding a fault."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Log normal operation."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Log what may need attention."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Log what needs attention."""
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """Log an error with the current exception; its traceback becomes a field."""
        self._log(logging.ERROR, event, fields, exc_info=True)

    def _log(self, level: int, event: str, fields: dict[str, object], *, exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            extra = {"event": event, "fields": {**self._fields, **fields}}
            self._logger.log(level, "%s", event, exc_info=exc_info, extra=extra)


def get_logger(name: str) -> EventLogger:
    """A logger for a module; its name begins with ``speechaid``."""
    return EventLogger(logging.getLogger(name))


def configure(
    level: int | str = "INFO",
    format: Literal["text", "json"] = "text",  # noqa: A002 - the setting's name
    stream: TextIO | None = None,
    *,
    file: Path | None = None,
    secrets: tuple[str, ...] = (),
) -> None:
    """Send all logs of this process, and of those that it forks, to ``stream`` (standard error).

    Where systemd's journal reads that stream, each line begins with its priority, which the journal removes.

    Args:
        level: of speechaid's own loggers.
        format: of the lines.
        stream: anything with ``write``; where it has a file descriptor, lines are written to that.
        file: written to instead of the stream.
        secrets: texts that no line may show (``settings.secrets()``).
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, LineHandler)]:
        root.removeHandler(handler)
        handler.close()
    stream = sys.stderr if stream is None else stream
    sink = open_sink(stream) if file is None else LogFile(file)
    lines = LineFormatter(as_json=format == "json", redactor=Redactor(secrets))
    prioritised = file is None and goes_to_journald(stream, os.environ)
    root.addHandler(LineHandler(sink, lines, prioritised=prioritised))
    set_level(level)


def set_level(level: int | str) -> None:
    """Change the level of speechaid's own loggers."""
    for name in _OWN:
        logging.getLogger(name).setLevel(level)
    own = logging.getLogger(_OWN[0]).level
    logging.getLogger().setLevel(max(own, logging.WARNING))


def add_handler(handler: logging.Handler) -> None:
    """Give our own loggers' records to this handler too."""
    logging.getLogger(_OWN[0]).addHandler(handler)


def set_context(**fields: object) -> None:
    """Set the fields of every later line of this process: a worker's name, after the fork."""
    _context.clear()
    _context.update(fields)


def dropped_lines() -> int:
    """The number of lines that this process could not write since ``configure``."""
    return sum(h.dropped for h in logging.getLogger().handlers if isinstance(h, LineHandler))


def priority(level: int) -> bytes:
    """The prefix of a line of this level for systemd's journal: ``<3>`` for an error."""
    return next(prefix for least, prefix in _PRIORITIES if level >= least)


@dataclass(frozen=True)
class LineFormatter:
    """Formats a record as one line, of at most ``LINE_LIMIT`` bytes with its newline."""

    as_json: bool = False
    redactor: Redactor = field(default_factory=Redactor)

    def line(self, record: logging.LogRecord) -> bytes:
        """The line, without its newline; a value whose ``str`` fails is replaced, never raised."""
        instant = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {
            "at": instant.replace("+00:00", "Z"),
            "level": record.levelname,
            "event": self.redactor.text(str(getattr(record, "event", "log"))),
        }
        fields = self.redactor.fields(dict(_fields_of(record)))
        render = _json_line if self.as_json else _text_line
        for longest in _CLIPS:
            line = render(head, {name: _clip(value, longest) for name, value in fields.items()})
            if len(line) < LINE_LIMIT:
                return line
        return render(head, {"clipped": f"{len(fields)} fields did not fit on a line"})


def _fields_of(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    yield from _context.items()
    fields = getattr(record, "fields", None)
    if fields is None:
        # A plain record, perhaps with ``extra``: its message, and the attributes that are not standard.
        if not hasattr(record, "event"):
            yield "logger", record.name
        yield "message", _message(record)
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES}
    yield from ((name, value) for name, value in fields.items() if value is not None)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        yield "error", "".join(traceback.format_exception_only(error)).strip()
        yield "traceback", "".join(traceback.format_exception(error)).rstrip()
    if record.stack_info:
        yield "stack", record.stack_info


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as exc:  # noqa: BLE001 - a library's wrong %-argument must not lose the line
        return f"{record.msg} (not formatted: {type(exc).__name__})"


def _clip(value: object, longest: int) -> object:
    """Cut a long value in the middle: the end of a traceback matters most."""
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) <= longest:
        return value
    half = longest // 2
    return f"{text[:half]}...{text[-half:]}"


def _json_line(head: Mapping[str, str], fields: Mapping[str, object]) -> bytes:
    line = {**head, **{f"_{n}" if n in head else n: v for n, v in fields.items()}}
    text = json.dumps(line)
    if "\\ud" in text:  # perhaps a lone surrogate, whose escape strict readers refuse
        text = json.dumps(json.loads(encode_json(line)))
    return text.encode()


def _text_line(head: Mapping[str, str], fields: Mapping[str, object]) -> bytes:
    parts = [head["at"], f"{head['level']:<8}", _quoted(head["event"])]
    parts += [f"{_quoted(name)}={_quoted(value)}" for name, value in fields.items()]
    return " ".join(parts).encode("utf-8", "backslashreplace")


def _quoted(value: object) -> str:
    """Unquoted where that is unambiguous, else a JSON string; without control characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if text and text.isprintable() and not set(text) & set(' "=\\'):
        return text
    if not isinstance(value, str):
        return _escaped(text)
    return _escaped(json.dumps(text, ensure_ascii=False))


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class LineHandler(logging.Handler):
    """Writes records as lines; counts those that cannot be written, and reports them once writing works.

    A slow reader is waited for briefly and once: after the first dropped line, no line waits until one is
    written again.
    """

    def __init__(self, sink: Sink, formatter: LineFormatter, *, prioritised: bool = False) -> None:
        super().__init__()
        self._prioritised = prioritised
        self.dropped = 0
        self._reported = 0
        self._reader_keeps_up = True
        self._sink = sink
        self._lines = formatter

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, or count it as dropped; never raises."""
        try:
            if self.dropped > self._reported and self._write(self._line(self._report())):
                self._reported = self.dropped
            written = self._write(self._line(record))
        except Exception:  # noqa: BLE001 - a fault of logging must not become a fault of a call
            written = False
        if not written:
            self.dropped += 1

    def close(self) -> None:
        """Close what was opened for the lines."""
        self._sink.close()
        super().close()

    def _write(self, line: bytes) -> bool:
        deadline = time.monotonic() + (_MAX_WAIT_SECONDS if self._reader_keeps_up else 0.0)
        while not (written := self._sink.write(line + b"\n")):
            left = deadline - time.monotonic()
            if left <= 0 or not self._sink.wait(left):
                break
        self._reader_keeps_up = written
        return written

    def _line(self, record: logging.LogRecord) -> bytes:
        line = self._lines.line(record)
        return priority(record.levelno) + line if self._prioritised else line

    def _report(self) -> logging.LogRecord:
        return logging.makeLogRecord(
            {
                "levelname": "WARNING",
                "levelno": logging.WARNING,
                "event": "log.dropped",
                "fields": {"lines": self.dropped - self._reported, "reason": "not read in time"},
            }
        )
