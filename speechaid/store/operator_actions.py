"""Operators' changes to jobs without an open dial, many at a time; jobs with one are left to the workers.

Each write's filter names the expected state of the job, so that it misses a job claimed meanwhile. Requests
about one job in any state are in ``store.operator_requests``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from speechaid.model.erasure import FORGETTING, What
from speechaid.model.job import Job
from speechaid.model.reading import Document, mapping
from speechaid.model.states import STATUS_ALIASES, JobStatus, Outcome, SuspendReason, spellings_of
from speechaid.model.test_calls import TESTS
from speechaid.rules.redial import OVER
from speechaid.store.jobs import LIVE_NUMBER, clear_claim, read_job, update_each
from speechaid.store.table import Table, as_stored

#: Statuses of jobs that wait and that no worker holds.
WAITING: Final = (JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.SUSPENDED)
#: What a job has that was never dialled.
NEVER_DIALLED: Final[Mapping[str, object]] = {
    "dial": None,
    "call_id": None,
    "last_outcome": None,
    "attempts": {"$in": [0, None]},
    "contact.next_phone_index": {"$in": [0, None]},
}
#: Fields that a reset removes: how the job ended, and SpeechAI's retry.
_ENDS: Final = (
    "failed_at",
    "finished_at",
    "completed_at",
    "suspend_reason",
    "suspended_at",
    "cancel_reason",
    "last_error",
    "next_try_at",
)


#: Fields of a job that tell who its person is, and how it stands.
_OUTCOME_FIELDS: Final = (
    *("job_id", "batch_id", "account_id", "status", "contact", "rut", "to_number", "person_keys"),
    *("cancel_reason", "last_outcome", "call_result.success", "call_result.timestamp", "crashes", "reset_at"),
    *("finished_at", "completed_at", "failed_at", "erased", FORGETTING, "paid"),
)
#: Of jobs that may be reset, as ``rules.redial`` decides; on the write, for what changed meanwhile.
_MAY_BE_RESET: Final[Mapping[str, object]] = {
    "cancel_reason": {"$ne": "do_not_call"},
    "last_outcome": {"$ne": "do_not_call"},
    # There is nobody left to call.
    "erased.what": {"$ne": What.PERSON},
    FORGETTING: None,
    "paid": None,
}
#: Fields of a job that tell whether it may be reset.
_RESET_FIELDS: Final = (
    *("job_id", "batch_id", "account_id", "status", "contact", "rut", "to_number"),
    *("cancel_reason", "last_outcome", "erased", FORGETTING, "paid"),
)


class OperatorActions:
    """Operators' writes to the jobs collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    # -- one job -----------------------------------------------------------------------------------------

    def resume(self, job: Job) -> bool:
        """Make a suspended job pending, due as before; False where it changed meanwhile: read it again.

        Expected: status and revision as read, no open dial.
        """
        as_read = {name: job.document.get(name) for name in ("status", "revision")}
        update = clear_claim({"status": JobStatus.PENDING}, self._now(), job.status)
        update["$unset"] |= {"suspend_reason": "", "suspended_at": ""}
        return self.table.update({"_id": job.id, **as_read, "dial": None}, update)

    def drop_request(self, job: Job) -> bool:
        """Remove the request that waits for a job's open dial.

        Expected: the request as read, and an open dial; False where that changed meanwhile.
        """
        query = {"_id": job.id, "request": job.request, "dial": {"$ne": None}}
        return self.table.update(query, {"$unset": {"request": ""}})

    # -- leases that ran out -----------------------------------------------------------------------------

    def stuck(self, older_than_seconds: float, limit: int, *, after: Any = None) -> list[Job]:
        """Find jobs in progress whose lease ran out that long ago, or without one and unchanged that long.

        Args:
            older_than_seconds: at least that long.
            limit: at most this many, in the order of ``_id``.
            after: the ``_id`` to go on after.
        """
        before = self._now() - timedelta(seconds=older_than_seconds)
        query: Document = {
            "status": JobStatus.IN_PROGRESS,
            "$or": [
                {"reserved_until": {"$lt": before}},
                {"reserved_until": None, "updated_at": {"$lt": before}},
                {"reserved_until": None, "updated_at": None},
            ],
        }
        if after is not None:
            query["_id"] = {"$gt": after}
        return [read_job(row) for row in self.table.find(query, sort=[("_id", 1)], limit=limit)]

    def with_unknown_call(self, limit: int, *, after: Any = None) -> list[Job]:
        """Find parked jobs whose call Retell does not know, in the order of ``_id``, after this one."""
        query: Document = {"dial.number": {"$exists": True}, "dial.unknown_at": {"$ne": None}}
        if after is not None:
            query["_id"] = {"$gt": after}
        rows = self.table.find(query, sort=[("_id", 1)], limit=limit, hint=LIVE_NUMBER)
        return [Job.read(row) for row in rows]

    def release(self, job: Job, changes: Document) -> bool:
        """Clear the claim of a job whose holder is gone, and apply the changes.

        Expected: status in progress, a lapsed lease, no dial, and revision, token, lease and request as read;
        False where that changed meanwhile.

        Raises:
            ValueError: the new status is forbidden.
        """
        if job.reserved_until is not None and job.reserved_until >= self._now():
            return False
        query = {
            "_id": job.id,
            "status": JobStatus.IN_PROGRESS,
            **{
                name: job.document.get(name)
                for name in ("revision", "claim_token", "reserved_until", "request")
            },
            "dial": None,
        }
        return self.table.update(query, clear_claim(changes, self._now(), JobStatus.IN_PROGRESS))

    # -- retries -----------------------------------------------------------------------------------------

    def waiting_for_retry(self, batch_id: str) -> Generator[Job]:
        """Yield a batch's pending jobs with an attempt behind them that are not due yet."""
        query: Document = {
            "status": JobStatus.PENDING,
            "batch_id": batch_id,
            "reserved_until": {"$gt": self._now()},
            "attempts": {"$gt": 0},
        }
        return (read_job(row) for row in self.table.stream(query))

    def move(self, job: Job, due: datetime) -> bool:
        """Change when a pending job is due; False where it changed meanwhile.

        Expected: pending, and revision and due time as read, by which a claim would be noticed.
        """
        as_read = {name: as_stored(job.document.get(name)) for name in ("revision", "reserved_until")}
        query = {"_id": job.id, "status": JobStatus.PENDING, **as_read}
        fields = {"reserved_until": due, "revision": job.revision + 1, "updated_at": self._now()}
        return self.table.update(query, {"$set": fields})

    # -- many jobs ---------------------------------------------------------------------------------------

    def resettable(
        self,
        statuses: Sequence[str],
        *,
        max_age_seconds: float | None,
        batch_id: str | None,
        without: Sequence[str] = (),
    ) -> Document:
        """The query for jobs that may be reset: without a dial; never of who asked not to be called, or paid.

        Args:
            statuses: as stored, aliases included.
            max_age_seconds: since the last change; None: any age.
            batch_id: None: any batch.
            without: batches whose jobs are left out.
        """
        query: Document = {"status": {"$in": list(statuses)}, "dial": None, **_MAY_BE_RESET}
        if batch_id is not None:
            query["batch_id"] = batch_id
        else:
            # A test call that is over is never placed again.
            query["batch_id"] = {"$nin": [TESTS, *without]}
        if max_age_seconds is not None:
            since = self._now() - timedelta(seconds=max_age_seconds)
            query["$or"] = [
                {"updated_at": {"$gte": since}},
                {"updated_at": None, "failed_at": {"$gte": since}},
                {"updated_at": None, "failed_at": None, "created_at": {"$gte": since}},
            ]
        return query

    def find_to_reset(self, query: Document) -> Generator[Job]:
        """Yield the jobs of ``resettable``, and those that may not be reset, with what tells them apart."""
        asked = {name: condition for name, condition in query.items() if name not in _MAY_BE_RESET}
        return (Job.read(row) for row in self.table.stream(asked, fields=_RESET_FIELDS))

    def reset(self, query: Document, limit: int) -> int:
        """Reset at most ``limit`` jobs of a query: pending, no attempts, first phone; return how many."""
        fresh = {
            "status": JobStatus.PENDING,
            "attempts": 0,
            "crashes": 0,
            "excused_faults": 0,
            "reserved_until": None,
            "reset_at": self._now(),
        }
        # No field can be set inside SpeechAI's null contact; replacing a real contact would lose it.
        flat = {**fresh, "contact": {"next_phone_index": 0}}
        full = {**fresh, "contact.next_phone_index": 0}
        done = self._change({**query, "contact": None}, limit, flat, without=_ENDS)
        if done == limit:
            return done
        with_contact = {**query, "contact": {"$ne": None}}
        return done + self._change(with_contact, limit - done, full, without=_ENDS)

    def cancel_waiting(self, batch_id: str, limit: int, changes: Document) -> int:
        """Cancel at most ``limit`` of a batch's jobs that wait and have no dial; return how many."""
        query = {"batch_id": batch_id, "status": {"$in": list(WAITING)}, "dial": None}
        return self._change(query, limit, {"status": JobStatus.CANCELLED, **changes})

    def cancel_jobs(self, ids: Sequence[Any], changes: Document) -> int:
        """Cancel those of the jobs, given by ``_id``, that wait and have no dial; return how many."""
        query: Document = {"_id": {"$in": list(ids)}, "status": {"$in": list(WAITING)}, "dial": None}
        return self._change(query, len(ids), {"status": JobStatus.CANCELLED, **changes})

    def mark_paid(self, job: Job, paid: Document) -> bool:
        """Record that the person of a job has paid; False where that is recorded already.

        Args:
            job: in any state; its status stays.
            paid: ``by``, ``at`` and, if given, ``note``.
        """
        return self.table.update({"_id": job.id, "paid": None}, {"$set": {"paid": paid}})

    def set_paid_amount(self, job: Job, amount: float, currency: str | None) -> bool:
        """Record how much was paid; False where an amount is recorded already."""
        fields = {"paid.amount": amount, "paid.currency": currency}
        return self.table.update(
            {"_id": job.id, "paid.at": {"$ne": None}, "paid.amount": None}, {"$set": fields}
        )

    def correct_paid_amount(
        self, job: Job, amount: float, currency: str | None, *, by: str
    ) -> Document | None:
        """Replace the recorded amount; return the correction, which the job keeps; None: not replaced.

        Expected: amount and currency as read, so that a repeated command corrects nothing twice.
        """
        as_read = mapping(job.document.get("paid"))
        correction = {
            "at": self._now(),
            "by": by,
            **{f"old_{name}": as_read.get(name) for name in ("amount", "currency")},
            "amount": amount,
            "currency": currency,
        }
        query = {
            "_id": job.id,
            **{f"paid.{name}": as_stored(as_read.get(name)) for name in ("amount", "currency")},
        }
        change = {
            "$set": {"paid.amount": amount, "paid.currency": currency},
            "$push": {"paid.corrections": correction},
        }
        return correction if self.table.update(query, change) else None

    def start_imported(self, batch_id: str, limit: int) -> int:
        """Make at most ``limit`` of a batch's jobs pending that were imported and not started; how many."""
        query = {
            "status": {"$in": [JobStatus.SUSPENDED]},
            "batch_id": batch_id,
            "suspend_reason": SuspendReason.NOT_STARTED,
            "dial": None,
        }
        return self._change(
            query, limit, {"status": JobStatus.PENDING}, without=("suspend_reason", "suspended_at")
        )

    def find_over(self, batch_id: str, outcomes: Sequence[Outcome]) -> Generator[Document]:
        """Yield a batch's jobs that are over, and whose last call had one of these outcomes."""
        query: Document = {
            "status": {"$in": [spelling for status in OVER for spelling in spellings_of(status)]},
            "batch_id": batch_id,
            "last_outcome": {"$in": [str(outcome) for outcome in outcomes]},
            "dial": None,
            "erased.what": {"$ne": What.PERSON},
            FORGETTING: None,
        }
        return self.table.stream(query)

    def of_batch(self, batch_id: str) -> Generator[Job]:
        """Yield a batch's jobs, with the fields that tell their person and how they stand."""
        return (Job.read(row) for row in self.table.stream({"batch_id": batch_id}, fields=_OUTCOME_FIELDS))

    def count_never_called(self, batch_id: str) -> int:
        """How many jobs of a batch wait, or were cancelled, and were never dialled."""
        return self.table.count(self._never_called(batch_id))

    def count_called(self, batch_id: str) -> int:
        """How many jobs of a batch were dialled, or have ended otherwise; those just claimed do not count."""
        claimed: Document = {"batch_id": batch_id, "status": JobStatus.IN_PROGRESS, **NEVER_DIALLED}
        claimed |= {"claim_token": {"$ne": None}}
        others = self.count_never_called(batch_id) + self.table.count(claimed)
        return max(0, self.table.count({"batch_id": batch_id}) - others)

    def delete_never_called(self, batch_id: str, limit: int) -> int:
        """Delete at most ``limit`` of them; return how many. One that a worker claims meanwhile stays."""
        query = self._never_called(batch_id)
        ids = [row["_id"] for row in self.table.find(query, limit=limit, fields=("_id",))]
        return self.table.delete({**query, "_id": {"$in": ids}}) if ids else 0

    def _never_called(self, batch_id: str) -> Document:
        statuses = [*WAITING, JobStatus.CANCELLED]
        return {"batch_id": batch_id, "status": {"$in": statuses}, **NEVER_DIALLED}

    def in_progress(self, batch_id: str) -> list[Job]:
        """Find a batch's jobs in progress."""
        query = {"batch_id": batch_id, "status": JobStatus.IN_PROGRESS}
        return [read_job(row) for row in self.table.find(query)]

    def count(self, query: Document) -> int:
        """Count the jobs of a query."""
        return self.table.count(query)

    def _change(
        self, query: Mapping[str, Any], limit: int, changes: Document, *, without: Sequence[str] = ()
    ) -> int:
        """Change one chunk, selected by ``_id``, so that no single write of a large collection takes long."""
        ids = [row["_id"] for row in self.table.find(dict(query), limit=limit, fields=("_id",))]
        if not ids:
            return 0
        origins = [STATUS_ALIASES.get(word) or JobStatus(word) for word in query["status"]["$in"]]
        update = clear_claim(changes, self._now(), *origins)
        update["$unset"] |= dict.fromkeys(without, "")
        return update_each(self.table, dict(query), ids, update)
