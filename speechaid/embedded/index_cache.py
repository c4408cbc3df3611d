"""The embedded database's own list of indexes, read once a statement.

The storage decodes that list anew for each document and each question about an index: some seventeen times in
an update, three times for each document of an insert, more than half of what either costs. Within one
statement the list cannot change but by the statement itself, which sees one snapshot from its beginning to
its end; so it is remembered for exactly that long, by thread, and never beyond.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

#: What is wrapped; private to the storage, so another version may do without.
NEEDED: Final = ("_iter_indexes", "_batch_transaction", "_maybe_mark_multikey", "find_matching")

Entry = tuple[str, dict[str, Any], dict[str, Any]]


class _Remembered(threading.local):
    """What this thread's statement has read so far, by collection; None between statements."""

    lists: dict[tuple[str, str], list[Entry]] | None = None


def cache_index_reads(storage: Any) -> bool:
    """Have a storage read its list of indexes once a statement; False where it is not built as expected."""
    if not all(callable(getattr(storage, name, None)) for name in NEEDED):
        return False
    remembered = _Remembered()
    read, begin = storage._iter_indexes, storage._batch_transaction  # noqa: SLF001
    mark, find = storage._maybe_mark_multikey, storage.find_matching  # noqa: SLF001

    @contextmanager
    def statement() -> Iterator[None]:
        before, remembered.lists = remembered.lists, {}
        try:
            yield
        finally:
            remembered.lists = before

    def iter_indexes(database: str, collection: str) -> Iterable[Entry]:
        lists = remembered.lists
        if lists is None:
            return list(read(database, collection))
        if (database, collection) not in lists:
            lists[database, collection] = list(read(database, collection))
        return lists[database, collection]

    @contextmanager
    def batch_transaction(**options: Any) -> Iterator[Any]:
        # The list is read inside the transaction: what another statement has changed is committed by then.
        with begin(**options) as session, statement():
            yield session

    def maybe_mark_multikey(
        database: str, collection: str, document: Any, indexes: Any, known: set[str]
    ) -> set[str]:
        # The one change that a statement makes to the list itself: an index meets its first array.
        before = len(known)
        marked: set[str] = mark(database, collection, document, indexes, known)
        if len(marked) != before and remembered.lists is not None:
            remembered.lists.pop((database, collection), None)
        return marked

    def find_matching(*arguments: Any, **options: Any) -> Any:
        with statement():
            return find(*arguments, **options)

    storage._iter_indexes = iter_indexes  # noqa: SLF001
    storage._batch_transaction = batch_transaction  # noqa: SLF001
    storage._maybe_mark_multikey = maybe_mark_multikey  # noqa: SLF001
    storage.find_matching = find_matching
    return True
