"""The embedded database writes no oplog: nobody replicates it, and no client reads change streams.

An oplog has a copy of each document that is written, people's data included, for an hour and more: also of a
person who was forgotten meanwhile. Without it a write costs a fifth less, and half of the disk.
"""

from __future__ import annotations

from typing import Any, Final

#: Private to the storage but for the first and the last: another version may lack them.
PARTS: Final = ("enable_oplog", "_batch_transaction", "_lock", "_oplog_live_count", "prune_oplog")
#: Rows of an earlier version's oplog that are deleted at once, in one transaction.
DELETED_AT_ONCE: Final = 1000
_FOREVER_SECONDS: Final = 1e12


def turn_off_oplog(storage: Any) -> bool:
    """Have a storage write no oplog from now on; False where a part is missing."""
    if not all(hasattr(storage, name) for name in PARTS):
        return False
    storage.enable_oplog = False
    # Only the cap decides what ``delete_old_rows`` deletes.
    storage.oplog_retention_seconds = _FOREVER_SECONDS
    return True


def delete_old_rows(storage: Any) -> int:
    """Delete some of the rows that an earlier version wrote, the oldest first; return how many."""
    if getattr(storage, "enable_oplog", True) or not storage._oplog_live_count:  # noqa: SLF001 - see ``PARTS``
        return 0
    with storage._lock:  # noqa: SLF001
        storage.oplog_max_entries = max(0, storage._oplog_live_count - DELETED_AT_ONCE)  # noqa: SLF001
        with storage._batch_transaction():  # noqa: SLF001
            return int(storage.prune_oplog())
