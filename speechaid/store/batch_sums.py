"""The sums of batches: results that are still to be added are folded into them, many by one write.

A result of a batch without entries of its dials holds what is due to the batch, ``batch_due {batch_id,
total_cost, total_minutes}``. A fold adds what many results hold, and in the same write stores in the batch
which results these are, under a new revision: ``fold {rev, keys}``. Then the mark is removed from these
results, and the list from the batch. Whoever folds first does what is left of the fold before: it removes the
mark from the listed results, and reads only then. So a result is added once, wherever a folder dies or is
frozen, and however many fold at once: of two that have read the same revision, the database takes one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from speechaid.model.reading import Document, mapping, number, sequence, text, whole
from speechaid.protocol.money import exact_amount
from speechaid.store.indexes import BATCH_DUE
from speechaid.store.ranges import without_residue
from speechaid.store.table import Table, as_stored

#: The mark of a result, and the sums that it may hold.
DUE: Final = "batch_due"
SUMS: Final = ("total_cost", "total_minutes")
#: Results that one write adds.
PORTION: Final = 500
_MARKED: Final[Document] = {f"{DUE}.batch_id": {"$exists": True}}


class BatchSums:
    """The sums in the batches collection, and what is due to them in the results."""

    def __init__(self, batches: Table, results: Table, now: Callable[[], datetime]) -> None:
        self._batches = batches
        self._results = results
        self._now = now

    def due(self) -> list[str]:
        """Names of batches with something due: of the first ``PORTION`` results."""
        rows = self._results.find(_MARKED, limit=PORTION, fields=(f"{DUE}.batch_id",), hint=BATCH_DUE)
        return sorted({found for row in rows if (found := text(mapping(row.get(DUE)).get("batch_id")))})

    def fold(self, batch_id: str) -> int:
        """Add a portion of what is due to a batch; return how many results were added.

        Repeated until it returns 0, it leaves no list in the batch. What is due to a batch that does not
        exist counts as added.
        """
        batch = self._batches.find_one({"batch_id": batch_id}, fields=("fold", *SUMS))
        if batch is None:
            return self._unmark([row["_id"] for row in self._marked(batch_id)])
        fold = mapping(batch.get("fold"))
        listed = [*sequence(fold.get("keys"))]
        self._unmark(listed)
        found = self._marked(batch_id)
        if not found and not listed:
            return 0
        for name in SUMS:
            self._make_countable(batch, name)
        added = {name: _sum(found, name) for name in SUMS}
        fields = {"fold": {"rev": whole(fold.get("rev")) + 1, "keys": [row["_id"] for row in found]}}
        done = self._batches.update(
            {"_id": batch["_id"], "fold.rev": as_stored(fold.get("rev"))},
            {"$set": {**fields, **({"updated_at": self._now()} if found else {})}, "$inc": added},
        )
        return len(found) if done else 0

    def fold_all(self) -> int:
        """Add all that is due to the batches that ``due`` names; return how many results were added."""
        added = 0
        for batch_id in self.due():
            while portion := self.fold(batch_id):
                added += portion
        return added

    def _marked(self, batch_id: str) -> list[Document]:
        query = {f"{DUE}.batch_id": {"$eq": batch_id, "$exists": True}}
        return self._results.find(query, limit=PORTION, fields=(DUE,), hint=BATCH_DUE)

    def _unmark(self, ids: list[Any]) -> int:
        if not ids:
            return 0
        return self._results.update_many({"_id": {"$in": ids}}, {"$unset": {DUE: ""}})

    def _make_countable(self, batch: Document, name: str) -> None:
        """Turn a sum that SpeechAI stored as text or null into a number, and take the residue off."""
        countable = without_residue(batch.get(name, 0))
        if countable is not None:
            query = {"_id": batch["_id"], name: as_stored(batch[name])}
            self._batches.update(query, {"$set": {name: countable}})


def _sum(rows: list[Document], name: str) -> float:
    amounts = (number(mapping(row.get(DUE)).get(name)) or 0.0 for row in rows)
    return float(exact_amount(sum(amounts)))
