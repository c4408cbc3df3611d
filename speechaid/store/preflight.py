"""Everything that may forbid a dial, read in one round trip: holds, account, batch and do-not-call list.

Of a test call these are the batch that it tests and its account, and the numbers registered for tests.

It is read twice for each dial: with the job after the claim, and right before the call is placed, where a
pause can still come too late by as long as the read takes. That second read also finds out whether the claim
still holds, so that no write is needed for it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.model.states import JobStatus
from speechaid.store import holds
from speechaid.store.do_not_call import numbers_of, searched_forms
from speechaid.store.holds import HoldsReading
from speechaid.store.jobs import read_job
from speechaid.store.table import Table
from speechaid.store.test_calls import registered_among


@dataclass(frozen=True, kw_only=True)
class PreflightDocuments:
    """The documents of one preflight, read at one moment."""

    #: Of the requested API key.
    holds: HoldsReading
    account: Account | None
    batch: Batch | None
    #: The numbers searched for in the do-not-call list, and those of them whose line is listed.
    asked: frozenset[str]
    listed: frozenset[str]
    #: Of a test call: those of the numbers that are registered for tests of the account.
    registered: frozenset[str]
    #: The forms of the person searched for there (``person_forms``), and whether one of them is listed.
    asked_person: frozenset[str] = frozenset()
    is_person_listed: bool = False


class PreflightQueries:
    """Queries that join other collections to a job.

    Each join compares an indexed field for equality, which every MongoDB-compatible server serves from that
    index; with ``$unionWith`` some of them read whole collections.
    """

    def __init__(
        self,
        *,
        jobs: Table,
        holds: Table,
        accounts: Table,
        batches: Table,
        do_not_call: Table,
        test_numbers: Table,
    ) -> None:
        self._jobs = jobs
        self._holds = holds
        self._accounts = accounts
        self._batches = batches
        self._do_not_call = do_not_call
        self._test_numbers = test_numbers

    def read(
        self,
        job_id: Any,
        fingerprint: str,
        *,
        account_id: str | None,
        batch_id: str | None,
        numbers: Collection[str],
        person: Collection[str] = (),
        of_test: bool = False,
    ) -> PreflightDocuments:
        """Read the documents of a preflight.

        Args:
            job_id: the ``_id`` of a job; where there is none, nothing is found.
            fingerprint: of the API key whose breaker is read.
            account_id: None: no account is read.
            batch_id: None: no batch is read.
            numbers: searched for in the do-not-call list, in E.164.
            person: searched for there, too: the forms of the job's person (``do_not_call.person_forms``).
            of_test: of a test call: they are searched for among the registered numbers, too.
        """
        wanted = _listed(numbers, person, of_test=of_test)
        found = self._joined({"_id": job_id}, fingerprint, account_id, batch_id, wanted)
        return _documents_of(found, fingerprint, account_id, frozenset(numbers), frozenset(person))

    def read_with_job(
        self,
        job_id: Any,
        token: str,
        fingerprint: str,
        *,
        account_id: str | None,
        batch_id: str | None,
        numbers: Collection[str],
        person: Collection[str] = (),
        of_test: bool = False,
    ) -> tuple[Job, PreflightDocuments] | None:
        """As ``read``, with the job claimed under this token; None where the claim was lost."""
        own = {"_id": job_id, "claim_token": token}
        wanted = {"job": "$$ROOT", **_listed(numbers, person, of_test=of_test)}
        found = self._joined(own, fingerprint, account_id, batch_id, wanted)
        if not found:
            return None
        documents = _documents_of(found, fingerprint, account_id, frozenset(numbers), frozenset(person))
        return read_job(found["job"]), documents

    def read_to_dial(
        self,
        job: Job,
        fingerprint: str,
        *,
        leased_until: datetime,
        account_id: str | None,
        batch_id: str | None,
        numbers: Collection[str],
        person: Collection[str] = (),
        of_test: bool = False,
    ) -> PreflightDocuments | None:
        """As ``read``, if the job may still be dialled by its claim; None where it may not, or not so long.

        Expected: in progress, the job's token and dial, no operator's request, and a lease until
        ``leased_until`` at least.
        """
        held = {
            "_id": job.id,
            "claim_token": job.claim_token,
            "status": JobStatus.IN_PROGRESS,
            "dial.key": None if job.dial is None else job.dial.key,
            "request": None,
            "reserved_until": {"$gte": leased_until},
        }
        if held["claim_token"] is None or held["dial.key"] is None:
            return None
        wanted = {"held": {"$literal": True}, **_listed(numbers, person, of_test=of_test)}
        found = self._joined(held, fingerprint, account_id, batch_id, wanted)
        if not found:
            return None
        return _documents_of(found, fingerprint, account_id, frozenset(numbers), frozenset(person))

    def _joined(
        self,
        which: Document,
        fingerprint: str,
        account_id: str | None,
        batch_id: str | None,
        wanted: Document,
    ) -> Document:
        """The wanted fields of one job and the documents that it refers to, as a list per collection."""
        keys = {
            "holds": {"$literal": holds.ids_for(fingerprint)},
            **({"account": {"$literal": account_id}} if account_id else {}),
            **({"batch": {"$literal": batch_id}} if batch_id else {}),
            **wanted,
        }
        joins = [
            {"$lookup": {"from": table.name, "localField": name, "foreignField": field, "as": name}}
            for name, table, field in (
                ("holds", self._holds, "_id"),
                ("account", self._accounts, "account_id"),
                ("batch", self._batches, "batch_id"),
                ("listed", self._do_not_call, "_id"),
                ("registered", self._test_numbers, "_id"),
            )
            if name in keys
        ]
        rows = self._jobs.aggregate([{"$match": which}, {"$project": {"_id": 0, **keys}}, *joins])
        return rows[0] if rows else {}


def _listed(numbers: Collection[str], person: Collection[str], *, of_test: bool) -> Document:
    """The keys by which do-not-call list and registered numbers are joined; none where there is none."""
    forms = [*searched_forms(numbers), *sorted(person)]
    if not forms:
        return {}
    registered = {"registered": {"$literal": searched_forms(numbers)}} if of_test and numbers else {}
    return {"listed": {"$literal": forms}, **registered}


def _documents_of(
    found: Document,
    fingerprint: str,
    account_id: str | None,
    asked: frozenset[str],
    person: frozenset[str],
) -> PreflightDocuments:
    account, batch = found.get("account"), found.get("batch")
    entries = {str(document["_id"]) for document in found.get("listed", ())}
    return PreflightDocuments(
        holds=holds.HoldsReading.of(found.get("holds", ()), fingerprint),
        account=Account.read(account[0]) if account else None,
        batch=Batch.read(batch[0]) if batch else None,
        asked=asked,
        listed=numbers_of(asked, entries - person),
        registered=registered_among(asked, found.get("registered", ()), account_id),
        asked_person=person,
        is_person_listed=bool(entries & person),
    )
