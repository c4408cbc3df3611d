"""All that may forbid a dial, read in one round trip: holds, account, batch and do-not-call list.

It is read twice for each dial, the second time right before the call is placed, where each millisecond is one
in which a pause may come too late.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.reading import Document
from speechaid.store import holds
from speechaid.store.holds import FleetHold
from speechaid.store.table import Table


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What stood in the database at one moment."""

    fleet: FleetHold | None
    #: The circuit breaker of the API key that was asked for.
    breaker: Document | None
    account: Account | None
    batch: Batch | None
    #: Those of the numbers that are on the do-not-call list.
    listed: frozenset[str]


class Grounds:
    """Four collections, looked at together."""

    def __init__(self, *, holds: Table, accounts: Table, batches: Table, do_not_call: Table) -> None:
        self._holds = holds
        self._accounts = accounts
        self._batches = batches
        self._do_not_call = do_not_call

    def look(
        self, fingerprint: str, *, account_id: str | None, batch_id: str | None, numbers: Collection[str]
    ) -> Seen:
        """Read what there is of these; each is found by its index."""
        wanted = {"_id": {"$in": [holds.FLEET, holds.key_of(fingerprint)]}}
        pipeline = _as("hold", wanted)
        if account_id is not None:
            pipeline.append(_beside(self._accounts, _as("account", {"account_id": account_id}, limit=1)))
        if batch_id is not None:
            pipeline.append(_beside(self._batches, _as("batch", {"batch_id": batch_id}, limit=1)))
        if numbers:
            listed = {"_id": {"$in": sorted(numbers)}}
            pipeline.append(_beside(self._do_not_call, _as("listed", listed)))
        found: dict[str, list[Document]] = {}
        for row in self._holds.aggregate(pipeline):
            for kind, document in row.items():
                found.setdefault(kind, []).append(document)
        held = {document["_id"]: document for document in found.get("hold", ())}
        account, batch = found.get("account"), found.get("batch")
        return Seen(
            fleet=holds.read_fleet_hold(held.get(holds.FLEET)),
            breaker=held.get(holds.key_of(fingerprint)),
            account=None if account is None else Account.read(account[0]),
            batch=None if batch is None else Batch.read(batch[0]),
            listed=frozenset(str(document["_id"]) for document in found.get("listed", ())),
        )


def _as(kind: str, query: Document, *, limit: int | None = None) -> list[Document]:
    """Stages that yield what matches, each document under the name of its kind."""
    return [
        {"$match": query},
        *([] if limit is None else [{"$limit": limit}]),
        {"$project": {"_id": 0, kind: "$$ROOT"}},
    ]


def _beside(table: Table, stages: list[Document]) -> Document:
    return {"$unionWith": {"coll": table.name, "pipeline": stages}}
