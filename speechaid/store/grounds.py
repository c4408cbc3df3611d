"""All that may forbid a dial, read in one round trip: holds, account, batch and do-not-call list.

It is read twice for each dial, the second time right before the call is placed, where each millisecond is one
in which a pause may come too late.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

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
    """Four collections, looked at together from a job's place.

    Each is joined by equality on an indexed field, which every server of the family finds by that index; a
    ``$unionWith`` would have some of them read whole collections.
    """

    def __init__(
        self, *, jobs: Table, holds: Table, accounts: Table, batches: Table, do_not_call: Table
    ) -> None:
        self._jobs = jobs
        self._holds = holds
        self._accounts = accounts
        self._batches = batches
        self._do_not_call = do_not_call

    def look(
        self,
        job_id: Any,
        fingerprint: str,
        *,
        account_id: str | None,
        batch_id: str | None,
        numbers: Collection[str],
    ) -> Seen:
        """Read what there is of these.

        Args:
            job_id: the ``_id`` of a job that exists; where it does not, nothing is found.
            fingerprint: of the API key whose breaker is wanted.
            account_id: None: no account is wanted.
            batch_id: None: no batch is wanted.
            numbers: in E.164.
        """
        wanted: list[tuple[str, Any, Table, str]] = [
            ("holds", [holds.FLEET, holds.key_of(fingerprint)], self._holds, "_id"),
            ("account", account_id, self._accounts, "account_id"),
            ("batch", batch_id, self._batches, "batch_id"),
            ("listed", sorted(numbers), self._do_not_call, "_id"),
        ]
        found = self._joined(job_id, [one for one in wanted if one[1]])
        held = {document["_id"]: document for document in found.get("holds", ())}
        account, batch = found.get("account"), found.get("batch")
        return Seen(
            fleet=holds.read_fleet_hold(held.get(holds.FLEET)),
            breaker=held.get(holds.key_of(fingerprint)),
            account=Account.read(account[0]) if account else None,
            batch=Batch.read(batch[0]) if batch else None,
            listed=frozenset(str(document["_id"]) for document in found.get("listed", ())),
        )

    def _joined(self, job_id: Any, wanted: list[tuple[str, Any, Table, str]]) -> dict[str, list[Document]]:
        """The documents of each table whose field has the value, or one of the values, by the given name."""
        pipeline: list[Document] = [
            {"$match": {"_id": job_id}},
            {"$project": {"_id": 0, **{name: {"$literal": value} for name, value, _, _ in wanted}}},
        ]
        pipeline += [
            {"$lookup": {"from": table.name, "localField": name, "foreignField": field, "as": name}}
            for name, _, table, field in wanted
        ]
        rows = self._jobs.aggregate(pipeline)
        return rows[0] if rows else {}
