"""The record of reads of people's data: who, which command with what filter, how many documents.

What a client reads with one command and one filter, page by page or again and again, is one record in
``call_logs``: written before the first answer, and again with new counts at most every ``WRITE_SECONDS``. A
read whose record cannot be written is refused. A daemon that is killed leaves the record, and loses the
counts of those seconds.

``events`` goes on without a database: its record is written once that is back, and the daemon's log has it at
once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from speechaid.clock import Clock, SystemClock
from speechaid.commands.audit import actor_of, peer_fields, recorded_args
from speechaid.commands.interfaces import HandlerContext, SubmitTask
from speechaid.control_sockets.clients import client_of
from speechaid.errors import SpeechaidError, StoreError
from speechaid.protocol.messages import Peer, Request
from speechaid.store.call_logs import new_record_id
from speechaid.store.connection import Store
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)

#: A record in use is written again at most so often, in seconds.
WRITE_SECONDS: Final = 10.0
#: A record ends after so many seconds without a read, or so many in all.
IDLE_SECONDS: Final = 300.0
LONGEST_SECONDS: Final = 3600.0
#: Delay after a write that failed.
RETRY_SECONDS: Final = 30.0
#: Records of one client and command at a time; reads with further filters share one more.
MAX_FILTERS: Final = 20
#: Arguments that say which page is wanted, or in what form: no filter.
_NO_FILTER: Final = frozenset({"after", "limit", "format"})

_Key = tuple[str, str, str]


@dataclass(kw_only=True)
class _Record:
    """What one client reads with one command and one filter."""

    peer: Peer
    command: str
    args: dict[str, Any]
    #: Boot time, in seconds: of the first read, of the last one, and of the last write.
    began: float
    used: float
    written_at: float = float("-inf")
    documents: int = 0
    requests: int = 0
    #: What stands in the database.
    written: tuple[int, int] = (0, 0)
    #: By the database's clock, from the first write on.
    at: datetime | None = None
    id: object = field(default_factory=new_record_id)

    def is_due(self, now: float) -> bool:
        """Whether it is to be written now."""
        return self.written != (self.documents, self.requests) and now - self.written_at >= WRITE_SECONDS

    def is_over(self, now: float) -> bool:
        """Whether the next read begins a new record."""
        return now - self.used >= IDLE_SECONDS or now - self.began >= LONGEST_SECONDS


class ReadRecords:
    """The records of all clients: ``record`` is for the database thread, the rest for the loop's."""

    def __init__(self, submit: SubmitTask, clock: Clock | None = None) -> None:
        self._submit = submit
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._records: dict[_Key, _Record] = {}
        #: Those that have ended with counts that are not written yet.
        self._ended: list[_Record] = []
        self._writing = False
        #: After a fault: when the next write is tried, unless a read tries before.
        self._flush_at = 0.0

    def record(self, store: Store, request: Request, documents: int) -> None:
        """Record a read before it is answered.

        Raises:
            StoreError: it could not be recorded: the read must not be answered.
        """
        record = self._count(request, documents, 1)
        if not record.is_due(self._clock.boottime()):
            return
        try:
            self._write(store, record)
        except StoreError:
            with self._lock:
                record.documents -= documents
                record.requests -= 1
            raise

    def note(self, request: Request, *, documents: int = 0, requests: int = 0) -> None:
        """Count a read that is recorded soon."""
        self._count(request, documents, requests)

    def tick(self) -> None:
        """Each second: have the database thread write what is due, and forget what is over."""
        now = self._clock.boottime()
        with self._lock:
            for key in [key for key, record in self._records.items() if record.is_over(now)]:
                self._end(key)
        if now >= self._flush_at:
            self._flush(now)

    def close(self) -> None:
        """Have all counts written; the database thread does so before it ends."""
        self._flush(float("inf"))

    def _count(self, request: Request, documents: int, requests: int) -> _Record:
        now = self._clock.boottime()
        with self._lock:
            record = self._find(request, now)
            record.documents += documents
            record.requests += requests
            record.used = now
            return record

    def _find(self, request: Request, now: float) -> _Record:
        args = {name: value for name, value in recorded_args(request).items() if name not in _NO_FILTER}
        peer, command = request.peer, request.command.name
        client = client_of(peer)
        key = (client, command, repr(sorted(args.items())))
        if key not in self._records:
            same = sum(known[:2] == (client, command) for known in self._records)
            if same >= MAX_FILTERS:
                args, key = {"several": True}, (client, command, "")
        record = self._records.get(key)
        if record is not None and record.is_over(now):
            self._end(key)
            record = None
        if record is None:
            record = _Record(peer=peer, command=command, args=args, began=now, used=now)
            self._records[key] = record
            log.info("command", command=command, outcome="read", **peer_fields(peer))
        return record

    def _end(self, key: _Key) -> None:
        record = self._records.pop(key)
        if record.written != (record.documents, record.requests):
            record.written_at = float("-inf")
            self._ended.append(record)

    def _flush(self, now: float) -> None:
        with self._lock:
            due = [record for record in (*self._ended, *self._records.values()) if record.is_due(now)]
        if not due or (self._writing and now < float("inf")):
            return
        self._writing = True
        try:
            self._submit(lambda context: self._write_all(context, due), self._note_written)
        except SpeechaidError as exc:
            self._writing = False
            log.warning("command.not_recorded", text=str(exc))

    def _write_all(self, context: HandlerContext, due: list[_Record]) -> StoreError | None:
        try:
            for record in due:
                self._write(context.store, record)
        except StoreError as exc:
            return exc
        return None

    def _note_written(self, fault: StoreError | None) -> None:
        self._writing = False
        if fault is not None:
            self._flush_at = self._clock.boottime() + RETRY_SECONDS
            log.warning("command.not_recorded", text=str(fault))

    def _write(self, store: Store, record: _Record) -> None:
        now = self._clock.boottime()
        record.at = record.at or store.now() - timedelta(seconds=now - record.began)
        with self._lock:
            counts, used = (record.documents, record.requests), record.used
        store.logs.note_read(
            record.id,
            {
                "actor": actor_of(record.peer),
                "command": record.command,
                "args": record.args,
                "outcome": "done",
                "documents": counts[0],
                "requests": counts[1],
                "at": record.at,
                "until": record.at + timedelta(seconds=used - record.began),
            },
        )
        with self._lock:
            record.written, record.written_at = counts, now
            self._ended = [one for one in self._ended if one is not record]
