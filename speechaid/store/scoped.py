"""A database as one user of the HTTP API may read it: read-only, and where bound, one account's documents.

The condition stands below the named queries of ``Batches``, ``Accounts`` and ``Jobs``: what is another
account's is not found, however it is asked for. Only collections whose documents have an ``account_id`` can
be reached.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, NoReturn

from speechaid.errors import StoreForbidden
from speechaid.model.reading import Document
from speechaid.store.accounts import Accounts
from speechaid.store.batches import Batches
from speechaid.store.connection import Store
from speechaid.store.jobs import Jobs
from speechaid.store.table import Pipeline, Table, Update

#: Stages of a pipeline that would leave the collection, and with it the condition.
_LEAVING: Final = frozenset({"$lookup", "$graphLookup", "$unionWith", "$facet", "$out", "$merge"})
_FIELD: Final = "account_id"


class ScopedTable(Table):
    """One collection, read-only; every query has the condition of the account."""

    def __init__(self, inner: Table, account_id: str | None) -> None:
        """Wrap a collection; ``account_id`` None: every account's documents."""
        self._inner = inner
        self._account_id = account_id

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._inner.name

    def _within(self, query: Document) -> Document:
        if self._account_id is None:
            return query
        # Beside the query, not merged into it: one that names another account finds nothing.
        return {**query, "$and": [*query.get("$and", ()), {_FIELD: self._account_id}]}

    def find_one(self, query: Document, fields: Sequence[str] | None = None) -> Document | None:
        """As ``Table.find_one``."""
        return self._inner.find_one(self._within(query), fields)

    def find(
        self,
        query: Document,
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        fields: Sequence[str] | None = None,
        hint: str | None = None,
    ) -> list[Document]:
        """As ``Table.find``."""
        return self._inner.find(self._within(query), sort=sort, limit=limit, fields=fields, hint=hint)

    def stream(
        self,
        query: Document,
        *,
        sort: Sequence[tuple[str, int]] = (),
        fields: Sequence[str] | None = None,
        hint: str | None = None,
    ) -> Generator[Document]:
        """As ``Table.stream``."""
        return self._inner.stream(self._within(query), sort=sort, fields=fields, hint=hint)

    def aggregate(self, pipeline: Pipeline, *, hint: Sequence[tuple[str, int]] = ()) -> list[Document]:
        """As ``Table.aggregate``, within the collection."""
        if any(name in _LEAVING for stage in pipeline for name in stage):
            raise StoreForbidden("a pipeline that leaves its collection is not for a reader")
        scope = [] if self._account_id is None else [{"$match": {_FIELD: self._account_id}}]
        return self._inner.aggregate([*scope, *pipeline], hint=hint)

    def count(self, query: Document) -> int:
        """As ``Table.count``."""
        return self._inner.count(self._within(query))

    def distinct(self, field: str) -> list[Any]:
        """Refused: the database has no condition for it."""
        self._refuse(field)

    def insert(self, document: Document) -> None:
        """Refused."""
        self._refuse(document)

    def insert_many(self, documents: Sequence[Document]) -> None:
        """Refused."""
        self._refuse(documents)

    def update(self, query: Document, change: Update, *, upsert: bool = False) -> bool:
        """Refused."""
        self._refuse(query, change, upsert)

    def replace_one(self, query: Document, document: Document) -> bool:
        """Refused."""
        self._refuse(query, document)

    def update_many(self, query: Document, change: Update) -> int:
        """Refused."""
        self._refuse(query, change)

    def delete(self, query: Document) -> int:
        """Refused."""
        self._refuse(query)

    def create_index(self, keys: Sequence[tuple[str, int]], **options: Any) -> None:
        """Refused."""
        self._refuse(keys, options)

    def expire_after(
        self, seconds: int, keys: Sequence[tuple[str, int]], *, name: str, **options: Any
    ) -> None:
        """Refused."""
        self._refuse(seconds, keys, name, options)

    def drop_index(self, name: str) -> None:
        """Refused."""
        self._refuse(name)

    def index_keys(self) -> set[tuple[tuple[str, int], ...]]:
        """Refused."""
        self._refuse()

    def has_unique_index(self, keys: tuple[tuple[str, int], ...]) -> bool:
        """Refused."""
        self._refuse(keys)

    def sibling(self, name: str) -> Table:
        """Refused: another collection may have no account."""
        self._refuse(name)

    def hello(self) -> Document:
        """Refused."""
        self._refuse()

    def explain(self, query: Document, *, sort: Sequence[tuple[str, int]] = (), limit: int = 0) -> Document:
        """Refused."""
        self._refuse(query, sort, limit)

    def _refuse(self, *_arguments: object) -> NoReturn:
        raise StoreForbidden(f"{self.name}: this reader may only find and count")


class ScopedStore:
    """The collections that a user of the HTTP API may read."""

    def __init__(self, store: Store, account_id: str | None) -> None:
        """Read by the connection of ``store``; ``account_id`` None: every account's documents."""

        def table(inner: Table) -> Table:
            return ScopedTable(inner, account_id)

        self.now = store.now
        self.batches = Batches(table(store.batches.table), store.now)
        self.accounts = Accounts(table(store.accounts.table), store.now)
        self.jobs = Jobs(table(store.jobs.table), store.now)
