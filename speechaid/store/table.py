"""One collection, with pymongo's exceptions turned into speechaid's; all calls of the driver go through it.

Every write is durable (majority and journal) before it counts as done. The driver may send a write twice
around a fail-over, so no caller may rely on a bare increment: a write's filter names what it expects.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import pymongo
from bson import ObjectId
from bson.errors import BSONError
from bson.regex import Regex
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from speechaid.errors import LeaseLost, StoreError, StoreForbidden, StoreUnavailable
from speechaid.model.reading import UNREADABLE, Document
from speechaid.protocol.translation import say
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.store")

#: Server faults that pass without action, though the driver does not call them connection failures:
#: shutdown, stepdown, no primary, write concern not reached in time, out of time, snapshot gone, no space to
#: journal.
PASSING_CODES = frozenset(
    {6, 7, 50, 63, 64, 89, 91, 100, 112, 133, 189, 216, 262, 9001, 10107, 11600, 11602, 13435, 13436}
)

#: Unauthorized, authentication failed, and Atlas' code for both.
FORBIDDEN_CODES = frozenset({13, 18, 8000})

#: The index exists with other options, or under another name.
INDEX_CONFLICT_CODES = frozenset({85, 86})
INDEX_NOT_FOUND_CODE = 27

Pipeline = Sequence[Document]
Update = Document | list[Document]


class Duplicate(StoreError):  # noqa: N818 - a condition of the data
    """A document with this unique key exists already."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's exceptions into ``StoreUnavailable``, ``Duplicate`` or ``StoreError``."""
    try:
        yield
    except DuplicateKeyError as exc:
        raise Duplicate(say("a document with this key exists already")) from exc
    except (ConnectionFailure, AutoReconnect, WTimeoutError, ExecutionTimeout, WaitQueueTimeoutError) as exc:
        raise StoreUnavailable(say("the database is away ({name})", name=type(exc).__name__)) from exc
    except BulkWriteError as exc:
        # The details hold whole documents, and so people's numbers: only codes may be passed on.
        codes = sorted({int(error.get("code", 0)) for error in exc.details.get("writeErrors", [])})
        raise StoreError(
            say("the database refused part of a bulk write (codes {codes})", codes=codes)
        ) from exc
    except OperationFailure as exc:
        if exc.code in PASSING_CODES or exc.has_error_label("RetryableWriteError"):
            raise StoreUnavailable(
                say("the database cannot serve just now (code {code})", code=exc.code)
            ) from exc
        kind = StoreForbidden if exc.code in FORBIDDEN_CODES else StoreError
        raise kind(
            say(
                "the database refused: {first_line} (code {code})", first_line=_first_line(exc), code=exc.code
            )
        ) from exc
    except PyMongoError as exc:
        raise StoreError(
            say(
                "the database driver failed: {name}: {first_line}",
                name=type(exc).__name__,
                first_line=_first_line(exc),
            )
        ) from exc
    except (BSONError, OverflowError, UnicodeError, RecursionError) as exc:
        # The driver does not wrap these; a document that cannot be written must not kill its writers.
        raise StoreError(say("a document cannot be stored ({name})", name=type(exc).__name__)) from exc


@contextmanager
def suppress_faults() -> Iterator[None]:
    """Pass over one document that cannot be read or written; a database that is away is no such fault."""
    try:
        yield
    except (StoreUnavailable, LeaseLost):
        raise
    except StoreError as fault:
        log.warning("document.passed_over", error=str(fault))


def as_stored(value: Any) -> Any:
    """The condition that a field still holds this value, of whatever type: a pattern or document, too.

    A text that is not UTF-8 cannot be compared as it was read: the condition is that it is still a text.
    """
    if isinstance(value, str) and UNREADABLE in value:
        return {"$type": "string"}
    plain = value is None or isinstance(value, str | bool | int | float | datetime)
    return value if plain else {"$eq": value}


def ids_from_text(name: str) -> list[Any]:
    """The values of ``_id`` that are written so: the text, and the ObjectId with these digits."""
    return [name, ObjectId(name)] if ObjectId.is_valid(name) else [name]


def by_literal_id(query: Document) -> Document:
    """The query, with patterns among the ids that it names compared as values, and not applied.

    MongoDB stores no pattern as ``_id``, but compatible servers do; applied, it would select other documents,
    or be refused, and with it the whole query.
    """
    wanted = query.get("_id")
    if isinstance(wanted, Regex):
        return {**query, "_id": {"$eq": wanted}}
    if not isinstance(wanted, dict):
        return query
    tests = dict(wanted)
    chosen, left_out = _take_patterns(tests, "$in"), _take_patterns(tests, "$nin")
    if isinstance(tests.get("$ne"), Regex):
        left_out.append({"_id": {"$eq": tests.pop("$ne")}})
    if not chosen and not left_out:
        return query
    conditions: list[Document] = [{"$nor": left_out}] if left_out else []
    if chosen:
        conditions.append({"$or": [{"_id": {"$in": tests.pop("$in")}}, *chosen]})
    others = {name: value for name, value in query.items() if name != "_id"}
    if tests:
        others["_id"] = tests
    return {**others, "$and": [*query.get("$and", []), *conditions]}


def _take_patterns(tests: Document, operator: str) -> list[Document]:
    """Remove the patterns from a list of ids, and return a condition for each."""
    ids = tests.get(operator, [])
    patterns = [value for value in ids if isinstance(value, Regex)]
    if patterns:
        tests[operator] = [value for value in ids if not isinstance(value, Regex)]
    return [{"_id": {"$eq": pattern}} for pattern in patterns]


def _first_line(exc: Exception) -> str:
    """The start of a server's message, without the values that follow ``dup key`` or ``full error``."""
    return str(exc).split(", full error", 1)[0].split("dup key", 1)[0].splitlines()[0][:200]


@contextmanager
def limited(client: MongoClient[Document], seconds: float | None) -> Iterator[None]:
    """As ``translated``, and bound the whole operation: server selection, answer, the driver's repetitions.

    Args:
        client: the operation's.
        seconds: the limit. None: only the time-outs of the address, for each of these steps.
    """
    with translated():
        if seconds is None:
            yield
            return
        with pymongo.timeout(seconds):
            if not client.topology_description.has_writable_server():
                # The driver would wait for a server until the limit, not for the address' time.
                with pymongo.timeout(client.options.server_selection_timeout):
                    client.admin.command("ping")
            yield


#: Documents of one insert, which the embedded database writes as one transaction: with 1,000 jobs it came
#: to a stand behind 45,000 jobs in a row, its processor busy; with 250 it wrote 60,000, as fast.
INSERTED_AT_ONCE = 250


class Table:
    """A thin wrapper of one collection; every method raises the exceptions of ``translated``."""

    def __init__(self, collection: Collection[Document], operation_seconds: float | None = None) -> None:
        """Wrap a collection; ``operation_seconds`` bounds each operation (``limited``)."""
        self._collection = collection
        self._operation_seconds = operation_seconds

    def _translated(self) -> AbstractContextManager[None]:
        if self._operation_seconds is None:
            return translated()
        return limited(self._collection.database.client, self._operation_seconds)

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._collection.name

    def find_one(self, query: Document, fields: Sequence[str] | None = None) -> Document | None:
        """Find one document; None where there is none."""
        with self._translated():
            return self._collection.find_one(by_literal_id(query), _projection(fields))

    def find(
        self,
        query: Document,
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        fields: Sequence[str] | None = None,
        hint: str | None = None,
    ) -> list[Document]:
        """Find the matching documents, in order; ``limit`` 0: all; ``hint`` names the index to read."""
        with self._translated():
            cursor = self._collection.find(by_literal_id(query), _projection(fields), limit=limit)
            if sort:
                cursor = cursor.sort(list(sort))
            if hint is None:
                return list(cursor)
            try:
                return list(cursor.clone().hint(hint))
            except OperationFailure as exc:
                if not _lacks_index(exc):
                    raise
                return list(cursor)

    def stream(
        self,
        query: Document,
        *,
        sort: Sequence[tuple[str, int]] = (),
        fields: Sequence[str] | None = None,
        hint: str | None = None,
    ) -> Generator[Document]:
        """Yield the matching documents, in order, read in parts; closing the generator closes the cursor.

        ``hint`` names the index to read. Not bounded: it lasts for as long as its reader reads.
        """
        with translated():
            cursor = self._collection.find(
                by_literal_id(query), _projection(fields), batch_size=500, allow_disk_use=True
            )
            if sort:
                cursor = cursor.sort(list(sort))
            try:
                yield from cursor.clone().hint(hint) if hint else cursor
            except OperationFailure as exc:
                # The server refuses a hint before it answers anything: nothing was yielded yet.
                if hint is None or not _lacks_index(exc):
                    raise
                yield from cursor

    def aggregate(self, pipeline: Pipeline, *, hint: Sequence[tuple[str, int]] = ()) -> list[Document]:
        """Return the pipeline's documents; ``hint`` names the keys of the index to read."""
        stages = [
            {**one, "$match": by_literal_id(one["$match"])} if "$match" in one else one for one in pipeline
        ]
        with self._translated():
            if not hint:
                return list(self._collection.aggregate(stages))
            try:
                return list(self._collection.aggregate(stages, hint=dict(hint)))
            except OperationFailure as exc:
                if not _lacks_index(exc):
                    raise
                return list(self._collection.aggregate(stages))

    def distinct(self, field: str) -> list[Any]:
        """Return every value of a field; with an index on it, one key is read for each."""
        with self._translated():
            return list(self._collection.distinct(field))

    def count(self, query: Document) -> int:
        """Count the matching documents. Slow on large collections: never on a hot path."""
        with self._translated():
            return int(self._collection.count_documents(by_literal_id(query)))

    def insert(self, document: Document) -> None:
        """Insert one document; raises ``Duplicate`` where a unique index forbids it."""
        with self._translated():
            self._collection.insert_one(document)

    def insert_many(self, documents: Sequence[Document]) -> None:
        """Insert many, unordered, a few hundred by one command; all that can be, before a fault is raised."""
        faults = []
        for first in range(0, len(documents), INSERTED_AT_ONCE):
            try:
                with self._translated():
                    self._collection.insert_many(documents[first : first + INSERTED_AT_ONCE], ordered=False)
            except StoreUnavailable:
                raise
            except StoreError as exc:
                faults.append(exc)
        if faults:
            raise faults[0]

    def update(self, query: Document, change: Update, *, upsert: bool = False) -> bool:
        """Update at most one document; return whether one matched or was inserted."""
        with self._translated():
            result = self._collection.update_one(by_literal_id(query), change, upsert=upsert)
            return result.matched_count == 1 or result.upserted_id is not None

    def replace_one(self, query: Document, document: Document) -> bool:
        """Replace at most one document whole, its ``_id`` apart; return whether one matched."""
        with self._translated():
            return self._collection.replace_one(by_literal_id(query), document).matched_count == 1

    def update_many(self, query: Document, change: Update) -> int:
        """Update all matching documents; return how many changed."""
        with self._translated():
            return int(self._collection.update_many(by_literal_id(query), change).modified_count)

    def delete(self, query: Document) -> int:
        """Delete all matching documents; return how many."""
        with self._translated():
            return int(self._collection.delete_many(by_literal_id(query)).deleted_count)

    def create_index(self, keys: Sequence[tuple[str, int]], **options: Any) -> None:
        """Create an index, if it does not exist."""
        with self._translated():
            self._collection.create_index(list(keys), **options)

    def expire_after(
        self, seconds: int, keys: Sequence[tuple[str, int]], *, name: str, **options: Any
    ) -> None:
        """Delete documents ``seconds`` after the indexed date: create the index or change it."""
        with self._translated():
            try:
                self._collection.create_index(
                    list(keys), name=name, **{**options, "expireAfterSeconds": seconds}
                )
            except OperationFailure as exc:
                if exc.code not in INDEX_CONFLICT_CODES:
                    raise
                changed = {"name": name, "expireAfterSeconds": seconds}
                self._collection.database.command("collMod", self.name, index=changed)

    def drop_index(self, name: str) -> None:
        """Drop an index if it exists; another host may do the same meanwhile."""
        with self._translated():
            if name not in self._collection.index_information():
                return
            try:
                self._collection.drop_index(name)
            except OperationFailure as exc:
                if exc.code != INDEX_NOT_FOUND_CODE:
                    raise

    def index_keys(self) -> set[tuple[tuple[str, int], ...]]:
        """The keys, in order, of the existing indexes, whatever their names."""
        with self._translated():
            indexes = self._collection.index_information().values()
        return {tuple((str(name), direction) for name, direction in index["key"]) for index in indexes}

    def has_unique_index(self, keys: tuple[tuple[str, int], ...]) -> bool:
        """Whether a unique index with these keys, in order, exists, whatever its name."""
        with translated():
            indexes = self._collection.index_information().values()
        return any(
            index.get("unique") and tuple((str(name), order) for name, order in index["key"]) == keys
            for index in indexes
        )

    def sibling(self, name: str) -> Table:
        """Another collection of the same database, with the same write concern."""
        return Table(self._collection.database.get_collection(name), self._operation_seconds)

    def hello(self) -> Document:
        """The server's answer to ``hello``."""
        with self._translated():
            return dict(self._collection.database.client.admin.command("hello"))

    def explain(self, query: Document, *, sort: Sequence[tuple[str, int]] = (), limit: int = 0) -> Document:
        """The server's plan for finding these documents."""
        with self._translated():
            cursor = self._collection.find(by_literal_id(query), limit=limit)
            return dict((cursor.sort(list(sort)) if sort else cursor).explain())


def _lacks_index(exc: OperationFailure) -> bool:
    """Whether the hinted index was dropped: then the query runs without it, slowly."""
    return exc.code == 2 and "hint" in str(exc)


def _projection(fields: Sequence[str] | None) -> dict[str, int] | None:
    return dict.fromkeys(fields, 1) if fields is not None else None
