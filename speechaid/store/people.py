"""The jobs of one person: by national id, by phone or by name, over all batches.

Each condition is a query of its own on one index, since servers other than MongoDB answer ``$or`` by reading
the whole collection. What another program stored is found only in the usual spellings; names by their
beginning. Test calls are left out: whoever they call, they are no calls to a person of a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from speechaid.model.reading import Document, text
from speechaid.store.indexes import PERSON_KEYS
from speechaid.store.ranges import begins
from speechaid.store.table import Table
from speechaid.store.test_calls import of_campaigns

#: Values that one query names: the embedded server compares each job with all of them.
_VALUES_OF_A_QUERY: Final = 60
_KEYS: Final = "person_keys"
_IDS: Final = ("contact.dni", "rut")
_PHONES: Final = ("contact.phones", "to_number")
#: The index of each field that a query begins with.
_INDEXES: Final = {
    _KEYS: PERSON_KEYS,
    "contact.dni": "speechaid_dni",
    "rut": "speechaid_rut",
    "contact.phones": "speechaid_phones",
    "to_number": "speechaid_to_number",
    "name_key": "speechaid_name_key",
    "contact.name": "speechaid_contact_name",
    "nombre": "speechaid_nombre",
}
#: Without the transcript, which may be long.
_CALL_FIELDS: Final = (
    *("call_id", "job_id", "batch_id", "contact.phone_used", "call_status", "outcome", "duration_ms"),
    *("placed_at", "created_at", "agent_id", "from_number"),
    *("call_data.agent_id", "call_data.from_number"),
)
#: For evidence that a call was placed by the law.
EVIDENCE_FIELDS: Final = (
    *("call_id", "job_id", "batch_id", "account_id", "contact.phone_used", "call_status", "outcome"),
    *("connected", "placed_at", "created_at", "calling_rule"),
)
_NAMES: Final = ("contact.name", "nombre")


class People:
    """Queries for the jobs and calls of people."""

    def __init__(self, jobs: Table, results: Table) -> None:
        self._jobs = jobs
        self._results = results

    def of_id(
        self, keys: Sequence[str], spellings: Sequence[str | int], account: str | None
    ) -> list[Document]:
        """The queries for jobs of a national id.

        Args:
            keys: as in ``person_keys``.
            spellings: as other programs may have stored the id.
            account: None: any account.
        """
        return _queries(account, _any_of((_KEYS,), keys), _any_of(_IDS, spellings))

    def of_phone(
        self, keys: Sequence[str], spellings: Sequence[str | int], account: str | None
    ) -> list[Document]:
        """As ``of_id``, for phones."""
        return _queries(account, _any_of((_KEYS,), keys), _any_of(_PHONES, spellings))

    def of_name(
        self, name_keys: Sequence[str], beginnings: Sequence[str], account: str | None
    ) -> list[Document]:
        """The queries for jobs of a name, or of a name that begins so.

        Args:
            name_keys: the folded name, by which the jobs are found that speechaid imported, in each form.
            beginnings: as other programs may have stored it.
            account: None: any account.
        """
        written = [begins(field, beginning) for field in _NAMES for beginning in beginnings]
        return _queries(account, [begins("name_key", key) for key in name_keys], written)

    def find(self, queries: Iterable[Document], limit: int) -> list[Document]:
        """Find the jobs of any of the queries, each once; at most ``limit``. Test calls are nobody's jobs."""
        found: dict[Any, Document] = {}
        for query in queries:
            if len(found) >= limit:
                break
            # With a second condition the embedded server reads an index only if it is named.
            rows = self._jobs.find(of_campaigns(query), limit=limit, hint=_INDEXES[next(iter(query))])
            found |= {row["_id"]: row for row in rows}
        return list(found.values())[:limit]

    def with_open_dial(self, ids: Sequence[Any]) -> list[str]:
        """Names of those of the jobs, given by ``_id``, that have an open dial, in order."""
        queries = ({**query, "dial": {"$ne": None}} for query in _any_of(("_id",), ids))
        rows = (row for query in queries for row in self._jobs.find(query, fields=("job_id",)))
        return sorted(text(row.get("job_id")) or str(row["_id"]) for row in rows)

    def calls_of(
        self, job_ids: Sequence[str], limit: int, *, fields: Sequence[str] = _CALL_FIELDS
    ) -> list[Document]:
        """Find the calls of jobs, the latest first; at most ``limit``."""
        found: list[Document] = []
        for query in _any_of(("job_id",), job_ids):
            found += self._results.find(query, sort=[("created_at", -1)], limit=limit, fields=fields)
        return sorted(found, key=lambda call: str(call.get("created_at")), reverse=True)[:limit]


def _any_of(fields: Iterable[str], values: Sequence[Any]) -> Iterator[Document]:
    for field in fields:
        for first in range(0, len(values), _VALUES_OF_A_QUERY):
            yield {field: {"$in": list(values[first : first + _VALUES_OF_A_QUERY])}}


def _queries(account: str | None, *parts: Iterable[Document]) -> list[Document]:
    of_account = {} if account is None else {"account_id": account}
    return [{**query, **of_account} for part in parts for query in part]
