"""A cache of the embedded database's list of indexes, for one statement.

The storage decodes that list for each document and each use of an index: some seventeen times in an update,
three times for each document of an insert, more than half of the cost of either. Within one statement, which
sees one snapshot, only the statement itself can change the list; so it is cached for that long, by thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

#: Methods that are wrapped; private to the storage, so another version may lack them.
WRAPPED_METHODS: Final = ("_iter_indexes", "_batch_transaction", "_maybe_mark_multikey", "find_matching")

Entry = tuple[str, dict[str, Any], dict[str, Any]]


class _StatementCache(threading.local):
    """The lists that this thread's statement has read, by collection; None between statements."""

    lists: dict[tuple[str, str], list[Entry]] | None = None


def cache_index_reads(storage: Any) -> bool:
    """Have a storage read its list of indexes once per statement; False where a method is missing."""
    if not all(callable(getattr(storage, name, None)) for name in WRAPPED_METHODS):
        return False
    cache = _StatementCache()
    read, begin = storage._iter_indexes, storage._batch_transaction  # noqa: SLF001
    mark, find = storage._maybe_mark_multikey, storage.find_matching  # noqa: SLF001

    @contextmanager
    def statement() -> Iterator[None]:
        before, cache.lists = cache.lists, {}
        try:
            yield
        finally:
            cache.lists = before

    def iter_indexes(database: str, collection: str) -> Iterable[Entry]:
        lists = cache.lists
        if lists is None:
            return list(read(database, collection))
        if (database, collection) not in lists:
            lists[database, collection] = list(read(database, collection))
        return lists[database, collection]

    @contextmanager
    def batch_transaction(**options: Any) -> Iterator[Any]:
        # The list is read inside the transaction: changes of other statements are committed by then.
        with begin(**options) as session, statement():
            yield session

    def maybe_mark_multikey(
        database: str, collection: str, document: Any, indexes: Any, known: set[str]
    ) -> set[str]:
        # The only change of the list by a statement: an index gets its first array.
        before = len(known)
        marked: set[str] = mark(database, collection, document, indexes, known)
        if len(marked) != before and cache.lists is not None:
            cache.lists.pop((database, collection), None)
        return marked

    def find_matching(*arguments: Any, **options: Any) -> Any:
        with statement():
            return find(*arguments, **options)

    storage._iter_indexes = iter_indexes  # noqa: SLF001
    storage._batch_transaction = batch_transaction  # noqa: SLF001
    storage._maybe_mark_multikey = maybe_mark_multikey  # noqa: SLF001
    storage.find_matching = find_matching
    return True
