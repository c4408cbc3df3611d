"""Imports: their records, who is known already, and what owners of files said about their columns."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from typing import Final

from speechaid.model.reading import Document
from speechaid.model.states import SuspendReason
from speechaid.store.indexes import ACCOUNT_JOBS, PERSON_KEYS
from speechaid.store.operator_actions import NEVER_DIALLED, WAITING
from speechaid.store.table import Table
from speechaid.store.test_calls import of_campaigns

#: Fields of a job by which it is known whether its person waits, or was called lately.
_KNOWN_FIELDS: Final = (
    *("job_id", "batch_id", "import_id", "status", "person_keys", "contact_key"),
    *("contact", "to_number", "nombre", "rut", "payload.reference_number"),
    *("last_outcome", "call_id", "attempts", "tries"),
    *("updated_at", "finished_at", "completed_at", "failed_at", "created_at"),
    *("cancel_reason", "call_result.success", "call_result.timestamp", "reset_at", "crashes", "paid"),
)
#: Fields of a job that tell who is called, and on which phones.
_PERSON_FIELDS: Final = ("account_id", "person_keys", "contact", "rut", "to_number")
#: Fields of a job that its variables are made of.
_VARIABLE_FIELDS: Final = ("job_id", "contact", "payload", "nombre", "rut", "to_number")
#: Person keys that one query names: the embedded server compares each job with all of them.
_KEYS_OF_A_QUERY: Final = 60
#: Mappings of an account that are kept, the latest used.
_MAPPINGS: Final = 200


class Imports:
    """The records of imports, the jobs that they made, and the mappings of columns."""

    def __init__(self, jobs: Table, records: Table, mappings: Table, now: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self.records = records
        self._mappings = mappings
        self._now = now

    # -- records -----------------------------------------------------------------------------------------

    def create(self, fields: Document) -> str:
        """Record an import that begins; return its id."""
        import_id = f"import-{self._now():%Y%m%d}-{secrets.token_hex(4)}"
        self.records.insert({"_id": import_id, "started_at": self._now(), **fields})
        return import_id

    def note(self, import_id: str, fields: Document) -> None:
        """Add to the record of an import."""
        self.records.update({"_id": import_id}, {"$set": fields})

    def remove(self, import_id: str) -> None:
        """Remove the record of an import that made nothing."""
        self.records.delete({"_id": import_id})

    def forget_batch(self, batch_id: str) -> None:
        """Remove the records of the imports into a batch that was deleted: the files may come again."""
        self.records.delete({"batch_id": batch_id})

    def find(self, import_id: str) -> Document | None:
        """Find the record of an import; None where there is none."""
        return self.records.find_one({"_id": import_id})

    def latest_of_batch(self, batch_id: str) -> Document | None:
        """Find the latest import into a batch that was not undone; None where there is none."""
        rows = self.records.find({"batch_id": batch_id, "undone": None}, sort=[("started_at", -1)], limit=1)
        return rows[0] if rows else None

    def of_batch(self, batch_id: str, limit: int) -> list[Document]:
        """Find the imports into a batch, latest first."""
        return self.records.find({"batch_id": batch_id}, sort=[("started_at", -1)], limit=limit)

    def find_latest(self, limit: int) -> list[Document]:
        """Find the records of the imports into all batches, latest first."""
        return self.records.find({}, sort=[("started_at", -1)], limit=limit)

    def of_file(self, account_id: str | None, sha256: str) -> list[Document]:
        """Find the imports of the same file for the same account that were not undone, latest first."""
        query = {"account_id": account_id, "sha256": sha256, "undone": None}
        return self.records.find(query, sort=[("started_at", -1)], limit=20)

    # -- people ------------------------------------------------------------------------------------------

    def jobs_of_people(self, account_id: str | None, keys: Sequence[str]) -> list[Document]:
        """Find the account's jobs that have one of these person keys, with the fields that tell their state.

        Args:
            account_id: None: jobs without an account.
            keys: of ``campaign.people.person_keys``.
        """
        found: dict[object, Document] = {}
        for first in range(0, len(keys), _KEYS_OF_A_QUERY):
            wanted = list(keys[first : first + _KEYS_OF_A_QUERY])
            query = {"account_id": account_id, "person_keys": {"$in": wanted}}
            # With a second condition the embedded server reads an index only if it is named.
            rows = self._jobs.find(query, fields=_KNOWN_FIELDS, hint=PERSON_KEYS)
            found |= {row["_id"]: row for row in rows}
        return list(found.values())

    def jobs_of_account(self, account_id: str | None) -> Generator[Document]:
        """Yield all jobs of the account, with the fields that tell their state."""
        query = of_campaigns({"account_id": account_id})
        return self._jobs.stream(query, fields=_KNOWN_FIELDS, hint=ACCOUNT_JOBS)

    def has_others_since(self, account_id: str | None, since: datetime, *, besides: str | None) -> bool:
        """Whether another import may have made jobs of the account since then."""
        query = {"account_id": account_id, "_id": {"$ne": besides}}
        late = {"$or": [{"finished_at": None}, {"finished_at": {"$gte": since}}]}
        return self.records.find_one({**query, **late}) is not None

    def jobs_without_keys(self, account_id: str | None) -> Generator[Document]:
        """Yield the account's jobs that other programs or earlier versions made, and that have no keys."""
        query = of_campaigns({"account_id": account_id, "person_keys": None})
        return self._jobs.stream(query, fields=_KNOWN_FIELDS, hint=PERSON_KEYS)

    def waiting_jobs(self, batch_id: str) -> Generator[Document]:
        """Yield the batch's jobs that wait for a call, those not started included, for counts of people."""
        return self._jobs.stream(_waiting(batch_id), fields=_PERSON_FIELDS)

    def waiting_variables(self, batch_id: str) -> Generator[Document]:
        """Yield the batch's jobs that wait for a call, those not started included, with their variables."""
        return self._jobs.stream(_waiting(batch_id), fields=_VARIABLE_FIELDS)

    # -- undo --------------------------------------------------------------------------------------------

    def count_begun(self, import_id: str) -> int:
        """How many jobs of an import are in a worker's hand, were dialled, or have ended."""
        return self._jobs.count({"import_id": import_id}) - self.count_untouched(import_id)

    def count_untouched(self, import_id: str) -> int:
        """How many jobs of an import wait and were never dialled."""
        return self._jobs.count(self._untouched(import_id))

    def find_untouched(self, import_id: str) -> Generator[Document]:
        """Yield the jobs of an import that wait and were never dialled, with their ``_id`` alone."""
        return self._jobs.stream(self._untouched(import_id), fields=("_id",))

    def delete_untouched(self, jobs: Sequence[Document]) -> int:
        """Delete those of the jobs that still wait and were never dialled; return how many.

        A job that a worker has claimed meanwhile stays.
        """
        query = {"_id": {"$in": [job["_id"] for job in jobs]}, "status": {"$in": list(WAITING)}}
        return self._jobs.delete({**query, **NEVER_DIALLED})

    def _untouched(self, import_id: str) -> Document:
        return {"import_id": import_id, "status": {"$in": list(WAITING)}, **NEVER_DIALLED}

    # -- mappings of columns -----------------------------------------------------------------------------

    def mappings_of(self, account_id: str | None) -> dict[str, dict[str, str]]:
        """The mappings that were kept for an account, by the key of their titles."""
        rows = self._mappings.find({"account_id": account_id}, sort=[("at", -1)], limit=_MAPPINGS)
        return {
            str(row.get("titles_key")): {
                str(entry[0]): str(entry[1]) for entry in row.get("columns") or () if len(entry) == 2
            }
            for row in rows
        }

    def keep_mapping(
        self, account_id: str | None, titles_key: str, columns: Mapping[str, str], *, by: str
    ) -> None:
        """Keep what the columns of files with these titles are, for the account."""
        fields = {
            "account_id": account_id,
            "titles_key": titles_key,
            # Pairs, since a title may hold characters that a key may not.
            "columns": [[title, role] for title, role in columns.items()],
            "by": by,
            "at": self._now(),
        }
        self._mappings.update({"_id": f"{account_id or ''}:{titles_key}"}, {"$set": fields}, upsert=True)


def _waiting(batch_id: str) -> Document:
    return {
        "status": {"$in": list(WAITING)},
        "batch_id": batch_id,
        "suspend_reason": {"$in": [None, SuspendReason.NOT_STARTED]},
    }
