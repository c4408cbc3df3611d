"""Documents that contract tests put into a store, and read back past its named methods."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from speechaid.model.job import Dial, Job
from speechaid.model.reading import Document
from speechaid.store.connection import Store
from speechaid.store.jobs import Candidate
from speechaid.store.table import Table

A, B = "+12025550101", "+12025550102"
BATCH, OTHER_BATCH = "batch-20260101-0000000a", "batch-20260101-0000000b"
#: One line, as versions up to 0.2 and other programs may have stored it.
SPELLINGS = {
    "argentina": ("+5491155550101", "+541155550101"),
    "mexico": ("+525512345678", "+5215512345678"),
    "brazil": ("+5511987654321", "+551187654321"),
    "colombia": ("+576012345678", "+5712345678"),
    "chile": ("+56976543210", "+560976543210"),
}
WORKER = "worker-1@host-a:1"
#: Seconds.
LEASE = 120.0


def add_job(store: Store, *phones: str, job_id: str = "job-1", **fields: Any) -> None:
    """Insert a pending job; ``fields`` are added to its document or replace what stands there."""
    document = {
        "job_id": job_id,
        "status": "pending",
        "contact": {"name": "Ana", "phones": list(phones or (A,)), "next_phone_index": 0},
        "attempts": 0,
    }
    store.jobs.table.insert({**document, **fields})


def one(table: Table, query: Document) -> Document:
    """The document that is there."""
    found = table.find_one(query)
    assert found is not None
    return found


def job(store: Store, job_id: str = "job-1") -> Document:
    """A job's document."""
    return one(store.jobs.table, {"job_id": job_id})


def set_fields(store: Store, job_id: str = "job-1", **fields: Any) -> None:
    """Change a job as another program does, which knows of no revision."""
    assert store.jobs.table.update({"job_id": job_id}, {"$set": fields})


def candidate(store: Store, job_id: str = "job-1") -> Candidate:
    """The job as a claim finds it now."""
    return Candidate.read(job(store, job_id))


def claim(store: Store, job_id: str = "job-1", worker_id: str = WORKER) -> Job:
    """The job, just claimed."""
    token = f"{worker_id}/{job_id}"
    assert store.jobs.claim(candidate(store, job_id), worker_id=worker_id, token=token, lease_seconds=LEASE)
    return Job.read(job(store, job_id))


def adopt(store: Store, job_id: str = "job-1", token: str = "theirs") -> Job | None:
    """Take the job over as another host's worker does."""
    found = candidate(store, job_id)
    return store.jobs.adopt(found, worker_id="worker-2@host-b:2", token=token, lease_seconds=LEASE)


def lapse(store: Store, job_id: str = "job-1") -> None:
    """As if the lease had run out a second ago."""
    set_fields(store, job_id, reserved_until=ago(store, seconds=1))


def dial_to(number: str, now: datetime, key: str = "key-1", **fields: Any) -> Dial:
    """An intent."""
    plain = {"phone_index": 0, "attempt": 0, "body": "{}", "api_key_fingerprint": "f"}
    return Dial(key=key, number=number, intent_at=now, **{**plain, **fields})


def claim_and_dial(
    store: Store, number: str = A, job_id: str = "job-1", key: str = "key-1", **fields: Any
) -> Job:
    """The job, claimed, with an intent written."""
    return store.jobs.record_intent(claim(store, job_id), dial_to(number, store.now(), key, **fields))


def ago(store: Store, **span: float) -> datetime:
    """A time before now, by the database's clock."""
    return store.now() - timedelta(**span)


def ahead(store: Store, **span: float) -> datetime:
    """A time after now, by the database's clock."""
    return store.now() + timedelta(**span)
