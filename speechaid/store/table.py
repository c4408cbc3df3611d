"""One collection, with pymongo's faults turned into ours; the only door to the driver's calls.

Every write is durable (majority and journal) before it counts as done. The driver may send a write twice
around a fail-over, so no caller may rely on a bare increment: a write's filter names what it expects.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bson.errors import BSONError
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

from speechaid.errors import StoreError, StoreForbidden, StoreUnavailable
from speechaid.model.reading import Document

#: Server faults that pass by themselves though the driver does not call them connection failures:
#: shutdown, stepdown, no primary, write concern not reached in time, snapshot gone, no space to journal.
PASSING_CODES = frozenset(
    {6, 7, 63, 64, 89, 91, 100, 112, 133, 189, 216, 262, 9001, 10107, 11600, 11602, 13435, 13436}
)

#: Who we are, or what we may do: unauthorized, authentication failed, and Atlas' own word for both.
FORBIDDEN_CODES = frozenset({13, 18, 8000})

Pipeline = Sequence[Document]
Update = Document | list[Document]


class Duplicate(StoreError):  # noqa: N818 - a condition of the data
    """A unique index holds such a document already."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's faults into ``StoreUnavailable``, ``Duplicate`` or ``StoreError``."""
    try:
        yield
    except DuplicateKeyError as exc:
        raise Duplicate("a document with this key exists already") from exc
    except (ConnectionFailure, AutoReconnect, WTimeoutError, ExecutionTimeout, WaitQueueTimeoutError) as exc:
        raise StoreUnavailable(f"the database is away ({type(exc).__name__})") from exc
    except BulkWriteError as exc:
        # The details hold whole documents, and so people's numbers: only codes leave this place.
        codes = sorted({int(error.get("code", 0)) for error in exc.details.get("writeErrors", [])})
        raise StoreError(f"the database refused part of a bulk write (codes {codes})") from exc
    except OperationFailure as exc:
        if exc.code in PASSING_CODES or exc.has_error_label("RetryableWriteError"):
            raise StoreUnavailable(f"the database cannot serve just now (code {exc.code})") from exc
        kind = StoreForbidden if exc.code in FORBIDDEN_CODES else StoreError
        raise kind(f"the database refused: {_first_line(exc)} (code {exc.code})") from exc
    except PyMongoError as exc:
        raise StoreError(f"the database driver failed: {type(exc).__name__}: {_first_line(exc)}") from exc
    except (BSONError, OverflowError, UnicodeError, RecursionError) as exc:
        # The driver lets these out as they are; a document that cannot be written must not kill its writers.
        raise StoreError(f"a document cannot be stored ({type(exc).__name__})") from exc


def _first_line(exc: Exception) -> str:
    """The start of a server's message without the values it quotes after ``dup key`` or ``full error``."""
    return str(exc).split(", full error", 1)[0].split("dup key", 1)[0].splitlines()[0][:200]


class Table:
    """A thin, translating view of one collection."""

    def __init__(self, collection: Collection[Document]) -> None:
        self._collection = collection

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._collection.name

    def find_one(self, query: Document, fields: Sequence[str] | None = None) -> Document | None:
        """One document, or None."""
        with translated():
            return self._collection.find_one(query, _projection(fields))

    def find(
        self,
        query: Document,
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        fields: Sequence[str] | None = None,
        hint: str | None = None,
    ) -> list[Document]:
        """All matching documents, in order; ``limit`` 0 is no limit, ``hint`` names the index to read."""
        with translated():
            cursor = self._collection.find(query, _projection(fields), limit=limit)
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
    ) -> Generator[Document]:
        """All matching documents, in order, without holding them all; closing it ends the cursor."""
        with translated():
            cursor = self._collection.find(query, _projection(fields), batch_size=500, allow_disk_use=True)
            yield from cursor.sort(list(sort)) if sort else cursor

    def aggregate(self, pipeline: Pipeline, *, hint: Sequence[tuple[str, int]] = ()) -> list[Document]:
        """What a pipeline yields; ``hint`` names the keys of the index to read."""
        with translated():
            if not hint:
                return list(self._collection.aggregate(list(pipeline)))
            try:
                return list(self._collection.aggregate(list(pipeline), hint=dict(hint)))
            except OperationFailure as exc:
                if not _lacks_index(exc):
                    raise
                return list(self._collection.aggregate(list(pipeline)))

    def distinct(self, field: str) -> list[Any]:
        """Every value that a field has; with an index on it one key is read for each."""
        with translated():
            return list(self._collection.distinct(field))

    def count(self, query: Document) -> int:
        """How many documents match. Slow on large collections: never on a hot path."""
        with translated():
            return int(self._collection.count_documents(query))

    def insert(self, document: Document) -> None:
        """Insert one document; ``Duplicate`` where a unique index forbids it."""
        with translated():
            self._collection.insert_one(document)

    def insert_many(self, documents: Sequence[Document]) -> None:
        """Insert many, unordered."""
        with translated():
            self._collection.insert_many(documents, ordered=False)

    def update(self, query: Document, change: Update, *, upsert: bool = False) -> bool:
        """Change at most one document; whether one matched."""
        with translated():
            result = self._collection.update_one(query, change, upsert=upsert)
            return result.matched_count == 1 or result.upserted_id is not None

    def update_many(self, query: Document, change: Update) -> int:
        """Change all that match; how many did."""
        with translated():
            return int(self._collection.update_many(query, change).modified_count)

    def delete(self, query: Document) -> int:
        """Delete all that match; how many did."""
        with translated():
            return int(self._collection.delete_many(query).deleted_count)

    def create_index(self, keys: Sequence[tuple[str, int]], **options: Any) -> None:
        """Make an index, or find it made."""
        with translated():
            self._collection.create_index(list(keys), **options)

    def index_keys(self) -> set[tuple[tuple[str, int], ...]]:
        """The keys, in order, of the indexes that exist, whatever they are called."""
        with translated():
            indexes = self._collection.index_information().values()
        return {tuple((str(name), direction) for name, direction in index["key"]) for index in indexes}

    def sibling(self, name: str) -> Table:
        """Another collection of the same database, written to as durably."""
        return Table(self._collection.database.get_collection(name))

    def hello(self) -> Document:
        """The server's account of itself."""
        with translated():
            return dict(self._collection.database.client.admin.command("hello"))

    def explain(self, query: Document, *, sort: Sequence[tuple[str, int]] = (), limit: int = 0) -> Document:
        """The server's account of how it would find these documents."""
        with translated():
            cursor = self._collection.find(query, limit=limit)
            return dict((cursor.sort(list(sort)) if sort else cursor).explain())


def _lacks_index(exc: OperationFailure) -> bool:
    """A hint names an index that somebody dropped: slow is better than not at all."""
    return exc.code == 2 and "hint" in str(exc)


def _projection(fields: Sequence[str] | None) -> dict[str, int] | None:
    return dict.fromkeys(fields, 1) if fields is not None else None
