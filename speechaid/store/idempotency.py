"""What requests with an ``Idempotency-Key`` have created: the record of each key, beside users and tokens.

A key is recorded before its request is carried out. A process that is killed in between leaves a record
without an answer: whether something was created is then not known here, and the request is not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from speechaid.model.reading import Document, mapping, whole
from speechaid.store.table import Duplicate, Table

#: Records are deleted so long after their request.
KEPT_DAYS: Final = 30
_INDEX: Final = "speechaid_expiry"


@dataclass(frozen=True, kw_only=True)
class KeyRecord:
    """What is known of a key."""

    #: Digest of the request that the key was first given to.
    request: str
    #: The answer's status and what it named; None: not answered, or not yet.
    status: int | None
    created: Mapping[str, Any]


class IdempotencyRecords:
    """The records; their ids are digests that the caller makes of user and key."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    def begin(self, key: str, request: str) -> KeyRecord | None:
        """Record a key before its request is carried out; where it is known, return its record."""
        expires_at = self._now() + timedelta(days=KEPT_DAYS)
        try:
            self._table.insert({"_id": key, "request": request, "at": self._now(), "expires_at": expires_at})
        except Duplicate:
            known = self._table.find_one({"_id": key})
            return None if known is None else _read(known)
        return None

    def finish(self, key: str, status: int, created: Document) -> None:
        """Record the answer."""
        self._table.update({"_id": key}, {"$set": {"status": status, "created": created}})

    def forget(self, key: str) -> None:
        """Remove the record of a request that was refused: nothing was created, the key is free again."""
        self._table.delete({"_id": key, "status": {"$exists": False}})

    def prepare(self) -> None:
        """Have the database delete old records."""
        self._table.expire_after(0, [("expires_at", 1)], name=_INDEX)


def _read(document: Document) -> KeyRecord:
    return KeyRecord(
        request=str(document.get("request")),
        status=whole(document.get("status")) or None,
        created=dict(mapping(document.get("created"))),
    )
