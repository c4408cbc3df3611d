"""Makes the embedded database look up in the index that a query names: its storage walks all of it.

MongoDB takes a hint for the choice of the index. The storage takes it for the order: it reads every document
of the index, and of an index on arrays every document of the collection, and only then compares them with the
query. So the daemon's periodic look-ups, and each portion of people of an import, cost as much as all jobs.

A query that has a value or a range for the first field of the index is answered without its hint here, with
that field first: the storage then looks it up. The same documents are found: a sparse index counts only where
the query asks for documents that are in it, and a partial index, or one with a collation, keeps its hint.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

#: Private to the storage but for the first: another version may lack them.
METHODS: Final = ("find_matching", "_resolve_hint", "_iter_indexes", "_RANGE_OPS")
FUNCTION: Final = "_sparse_index_usable"
#: What a query compares by its value alone; a pattern, for one, is applied.
_VALUES: Final = (str, int, float, bool, datetime, type(None))


def use_hinted_indexes(storage: Any, module: Any) -> bool:
    """Have a storage look up what a hint names; False, and nothing is changed, where a part is missing.

    Args:
        storage: whose ``find_matching`` is wrapped.
        module: ``secantus.storage``.
    """
    if not all(hasattr(storage, name) for name in METHODS) or not hasattr(module, FUNCTION):
        return False
    find = storage.find_matching
    covers = getattr(module, FUNCTION)

    def find_matching(
        database: str,
        collection: str,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the storage's name
        **options: Any,
    ) -> Any:
        hint = options.get("hint")
        others = (options.get("collation"), options.get("min_bound"), options.get("max_bound"))
        if hint is None or not filter or any(other is not None for other in others):
            return find(database, collection, filter, **options)
        name = storage._resolve_hint(database, collection, hint)  # noqa: SLF001 - see ``METHODS``
        for index, fields, settings in storage._iter_indexes(database, collection):  # noqa: SLF001
            is_whole = not settings.get("partialFilterExpression") and not settings.get("collation")
            if index != name or not is_whole or (settings.get("sparse") and not covers(fields, filter)):
                continue
            if can_use_index(filter, fields, storage._RANGE_OPS):  # noqa: SLF001
                return find(database, collection, fields_first(filter, fields), **options | {"hint": None})
        return find(database, collection, filter, **options)

    storage.find_matching = find_matching
    return True


def can_use_index(query: Mapping[str, Any], fields: Mapping[str, Any], operators: Any) -> bool:
    """Whether a query has a value or a range for the first field of an index.

    Args:
        query: as a client sent it.
        fields: of the index, with their directions.
        operators: those of values and ranges.
    """
    first = next(iter(fields))
    if first not in query or any(name.startswith("$") for name in query):
        return False
    if any(direction not in {1, -1} for direction in fields.values()):
        return False
    clause = query[first]
    if not isinstance(clause, Mapping):
        return isinstance(clause, _VALUES)
    if "$in" in clause:
        values = clause["$in"]
        is_list = len(clause) == 1 and isinstance(values, list)
        return is_list and all(isinstance(value, _VALUES) for value in values)
    return bool(clause) and all(
        operator in operators and not isinstance(value, Mapping) for operator, value in clause.items()
    )


def fields_first(query: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The query with the fields of an index first: the storage takes the first that it can look up."""
    return {name: query[name] for name in (*(field for field in fields if field in query), *query)}
