"""Jobs: claim, lease, the open dial, and the last write of each call.

The fence: a claim writes a fresh token, and every later write of that job filters on it. If the filter
matches nothing, ``LeaseLost`` is raised: another process owns the job now, and the writer stops. The lease is
``reserved_until`` of a job ``in_progress``, by the database's clock. Every method may raise
``StoreUnavailable`` and ``StoreError``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from speechaid.errors import LeaseLost, NotFound, NumberBusy
from speechaid.model.job import Dial, Job
from speechaid.model.reading import Document, instant, text, whole
from speechaid.model.states import FINISHED, JobStatus, spellings_of, transition
from speechaid.rules import operator_requests
from speechaid.store import legacy
from speechaid.store.ranges import begins
from speechaid.store.table import Duplicate, Table

#: Keys of the covering index for counts, which is far smaller than the documents.
COUNTED = (("batch_id", 1), ("status", 1))
#: The index of open dials; the embedded server uses a partial index only with a hint.
LIVE_NUMBER = "speechaid_live_number"
#: Seconds that a job with an open dial waits for its next worker after too many crashes; more each time.
QUARANTINE_SECONDS = 30.0
#: Fields that only a claimed job has; ``clear_claim`` removes them all.
CLAIM_FIELDS = ("claim_token", "dial", "request", "foreign")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A job that may be claimed: the fields that the compare-and-set compares."""

    id: Any
    revision: int | None
    reserved_until: datetime | None
    claim_token: str | None
    account_id: str | None = None

    @classmethod
    def read(cls, document: Document) -> Candidate:
        """From a job document with at least ``FIELDS``."""
        return cls(
            id=document["_id"],
            revision=document.get("revision"),
            reserved_until=document.get("reserved_until"),
            claim_token=document.get("claim_token"),
            account_id=text(document.get("account_id")),
        )

    @property
    def next_revision(self) -> int:
        """The revision to write; the compare-and-set compares the one that was read, of whatever type."""
        return whole(self.revision) + 1

    FIELDS = ("revision", "reserved_until", "claim_token", "account_id")


@dataclass(frozen=True, kw_only=True)
class OpenDials:
    """Counts of open dials."""

    #: Intents under a live lease, no call yet: the request may be on its way to Retell.
    on_their_way: int
    #: Intents that no worker holds, no call known: searched for, never replayed while the batch is closed.
    ambiguous: int
    #: Dials with a call.
    live_calls: int


class Jobs:
    """The jobs collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    # -- finding lapsed leases ---------------------------------------------------------------------------

    def lapsed(self, limit: int) -> list[Candidate]:
        """Find at most ``limit`` jobs in progress whose lease has run out, longest ago first.

        A job that SpeechAI left in progress without any lease counts as lapsed.
        """
        held = {"status": JobStatus.IN_PROGRESS}
        found = self.table.find(
            {**held, "reserved_until": {"$lt": self._now()}},
            sort=[("reserved_until", 1)],
            limit=limit,
            fields=Candidate.FIELDS,
        )
        if len(found) < limit:
            found += self.table.find(
                {**held, "reserved_until": None}, limit=limit - len(found), fields=Candidate.FIELDS
            )
        return [Candidate.read(document) for document in found]

    # -- claim and lease ---------------------------------------------------------------------------------

    def claim(self, candidate: Candidate, *, worker_id: str, token: str, lease_seconds: float) -> bool:
        """Claim a pending job; False where it is no longer as the candidate was read.

        Expected: status pending, and the candidate's revision and ``reserved_until``. The revision is
        compared so that a job which another worker claimed, dialled and requeued meanwhile is not dialled
        again on stale data.
        """
        now = self._now()
        expected = {
            "_id": candidate.id,
            "status": JobStatus.PENDING,
            "revision": candidate.revision,
            # SpeechAI's programs do not write the revision.
            "reserved_until": candidate.reserved_until,
        }
        return self.table.update(
            expected,
            {
                "$set": {
                    "status": transition(JobStatus.IN_PROGRESS, JobStatus.PENDING),
                    "worker_id": worker_id,
                    "claim_token": token,
                    "reserved_until": now + timedelta(seconds=lease_seconds),
                    "started_at": now,
                    "updated_at": now,
                    "revision": candidate.next_revision,
                },
                "$unset": {"foreign": ""},
            },
        )

    def adopt(self, candidate: Candidate, *, worker_id: str, token: str, lease_seconds: float) -> Job | None:
        """Take over a job whose lease has run out; None where it was renewed or taken meanwhile.

        Expected: status in progress, and the candidate's revision, token and ``reserved_until``. A job
        without a token belongs to another program and is marked ``foreign``; its ``updated_at`` stays, since
        it may be the only sign of the age of its call.
        """
        now = self._now()
        if candidate.reserved_until is not None and candidate.reserved_until >= now:
            return None
        expected = {
            "_id": candidate.id,
            "status": JobStatus.IN_PROGRESS,
            "revision": candidate.revision,
            "claim_token": candidate.claim_token,
            "reserved_until": candidate.reserved_until,
        }
        taken = self.table.update(
            expected,
            {
                "$set": {
                    "worker_id": worker_id,
                    "claim_token": token,
                    "reserved_until": now + timedelta(seconds=lease_seconds),
                    "revision": candidate.next_revision,
                    **({"foreign": True} if candidate.claim_token is None else {}),
                },
            },
        )
        return self._read_own(candidate.id, token) if taken else None

    def renew(self, job: Job, lease_seconds: float) -> None:
        """Extend the lease to this many seconds from now.

        Raises:
            LeaseLost: another process owns the job.
        """
        until = self._now() + timedelta(seconds=lease_seconds)
        self._write(job, {"$set": {"reserved_until": until}})

    def renew_to_dial(self, job: Job, lease_seconds: float) -> bool:
        """As ``renew``; but False, and nothing written, where an operator's request is recorded."""
        change = {"$set": {"reserved_until": self._now() + timedelta(seconds=lease_seconds)}}
        if self.table.update(self._own(job) | {"request": None}, change):
            return True
        self.reread(job)
        return False

    def reread(self, job: Job) -> Job:
        """Read the claimed job again.

        Raises:
            LeaseLost: another process owns the job.
        """
        found = self._read_own(job.id, job.claim_token)
        if found is None:
            raise LeaseLost(f"job {job.job_id} has another owner")
        return found

    # -- the dial ----------------------------------------------------------------------------------------

    def record_intent(self, job: Job, dial: Dial) -> Job:
        """Write the intent durably, before the dial is placed; the job must have no open dial.

        Raises:
            NumberBusy: the number has an open dial in another job.
            LeaseLost: another process owns the job, or it has an open dial.
        """
        try:
            self._write(
                job,
                {"$set": {"dial": dial.document(), "updated_at": self._now()}, "$inc": {"revision": 1}},
                {"dial": None},
            )
        except Duplicate as exc:
            raise NumberBusy(f"job {job.job_id}: its number has an open dial in another job") from exc
        return replace(job, dial=dial)

    def record_call(self, job: Job, call_id: str) -> Job:
        """Write the ``call_id`` of the open dial, and reset the job's crashes.

        Raises:
            LeaseLost: another process owns the job, or its open dial is another.
        """
        now = self._now()
        changes = {"dial.call_id": call_id, "dial.placed_at": now, "call_id": call_id, "call_started_at": now}
        self._write(job, {"$set": {**changes, "crashes": 0, "updated_at": now}}, _same_dial(job))
        return replace(job, dial=replace(_dial(job), call_id=call_id, placed_at=now), call_id=call_id)

    def note_on_dial(self, job: Job, **fields: Any) -> Job:
        """Write fields of the open dial (``stop_asked_by``, ``empty_lookups``, ``parked_at``, …).

        Raises:
            LeaseLost: another process owns the job, or its open dial is another.
        """
        self._write(job, {"$set": {f"dial.{name}": value for name, value in fields.items()}}, _same_dial(job))
        return replace(job, dial=replace(_dial(job), **fields))

    def record_verdict(self, job: Job, verdict: Document) -> Job:
        """Write the verdict, before any of it is applied; the first one stays.

        Returns the job with the stored verdict: a write whose answer was lost may have succeeded.

        Raises:
            LeaseLost: another process owns the job, or its open dial is another.
        """
        query = self._own(job) | _same_dial(job)
        change = {"$set": {"dial.verdict": verdict, "updated_at": self._now()}}
        if self.table.update({**query, "dial.verdict": None}, change):
            return replace(job, dial=replace(_dial(job), verdict=verdict))
        current = self.reread(job)
        if current.dial is None or current.dial.key != _dial(job).key or current.dial.verdict is None:
            raise LeaseLost(f"job {job.job_id} has another open dial")
        return current

    def drop_reserved_amount(self, job: Job) -> Job:
        """Remove ``reserved_amount``: SpeechAI's reservation for the job is released.

        Raises:
            LeaseLost: another process owns the job.
        """
        self._write(job, {"$unset": {"reserved_amount": ""}})
        document = {name: value for name, value in job.document.items() if name != "reserved_amount"}
        return replace(job, document=document)

    # -- ending the claim --------------------------------------------------------------------------------

    def finish(self, job: Job, changes: Document) -> bool:
        """The last write of a dial: apply the verdict's changes and clear the claim.

        Expected: status in progress, this dial, and the request as read. Where another program has changed
        the status, its status stays and the rest is written.

        Returns:
            False where an operator's request came in meanwhile: nothing was written; read the job again and
            reclassify.

        Raises:
            LeaseLost: another process owns the job, or its open dial is another.
            ValueError: the new status is forbidden.
        """
        query = self._own(job) | _same_dial(job) | {"request": job.request}
        update = clear_claim(changes, self._now(), JobStatus.IN_PROGRESS)
        if self.table.update({**query, "status": JobStatus.IN_PROGRESS}, update):
            return True
        current = self.reread(job)
        if current.request != job.request:
            return False
        others = {name: value for name, value in changes.items() if name not in {"status", "reserved_until"}}
        self._write(job, clear_claim(others, self._now()), _same_dial(job))
        return True

    def requeue(self, job: Job, *, delay_seconds: float = 0.0, changes: Document | None = None) -> None:
        """Put a claimed job back to ``pending``, due after the delay; an open dial is dropped.

        Only for a dial that surely made no call and holds no reservation. A recorded operator's request is
        applied.

        Args:
            job: the claimed job.
            delay_seconds: from now until it is due.
            changes: further fields to set; may replace ``status`` and ``reserved_until``.

        Raises:
            LeaseLost: another process owns the job.
            ValueError: the new status is forbidden.
        """
        now = self._now()
        due = now + timedelta(seconds=delay_seconds)
        fields = {"status": JobStatus.PENDING, "reserved_until": due, "updated_at": now, **(changes or {})}
        while True:
            changed = operator_requests.apply_request(fields, job.request)
            update = clear_claim(changed, now, JobStatus.IN_PROGRESS)
            if self.table.update(self._own(job) | {"request": job.request}, update):
                return
            job = self.reread(job)

    def release_lease(self, job: Job, *, until: datetime | None = None) -> None:
        """Let the lease lapse at ``until`` (None: now), for another worker to adopt the job.

        The worker's name is removed, so that a crash of the last holder does not count as a crash of the job.

        Raises:
            LeaseLost: another process owns the job.
        """
        lapses_at = until or self._now() - timedelta(milliseconds=1)
        self._write(job, {"$set": {"reserved_until": lapses_at}, "$unset": {"worker_id": ""}})

    # -- for operators and counts ------------------------------------------------------------------------

    def insert_many(self, documents: Sequence[Document]) -> None:
        """Insert new jobs."""
        self.table.insert_many(documents)

    def get(self, job_id: str) -> Job:
        """Find a job by its name (``job_id``, else ``_id`` as text).

        Raises:
            NotFound: there is none.
        """
        document = self.table.find_one({"job_id": job_id}) or self.table.find_one({"_id": _object_id(job_id)})
        if document is None:
            raise NotFound(f"no job {job_id}")
        return Job.read(document)

    def find_by_prefix(self, prefix: str, limit: int = 20) -> list[str]:
        """Names of jobs with this prefix."""
        rows = self.table.find(begins("job_id", prefix), limit=limit, fields=("job_id",))
        return [str(row["job_id"]) for row in rows]

    def select(self, *, batch_id: str | None, status: JobStatus | None, limit: int) -> list[Job]:
        """Find at most ``limit`` jobs of a batch or a status (None: any), in the database's natural order."""
        query: Document = {}
        if batch_id is not None:
            query["batch_id"] = batch_id
        if status is not None:
            query["status"] = {"$in": spellings_of(status)}
        return [Job.read(document) for document in self.table.find(query, limit=limit)]

    def counts(self, batch_id: str | None = None) -> dict[str, int]:
        """Count jobs by status, as it is written. Scans an index: never on a hot path."""
        match = [] if batch_id is None else [{"$match": {"batch_id": batch_id}}]
        group = {"$group": {"_id": "$status", "jobs": {"$sum": 1}}}
        rows = self.table.aggregate([*match, group], hint=COUNTED)
        return {str(row["_id"]): int(row["jobs"]) for row in rows}

    def counts_by_batch(self) -> dict[str | None, dict[str, int]]:
        """Count jobs by batch and status; as costly as ``counts``."""
        rows = self.table.aggregate(
            [{"$group": {"_id": {"batch_id": "$batch_id", "status": "$status"}, "jobs": {"$sum": 1}}}],
            hint=COUNTED,
        )
        counts: dict[str | None, dict[str, int]] = {}
        for row in rows:
            of_batch = counts.setdefault(text(row["_id"].get("batch_id")), {})
            status = str(row["_id"].get("status"))
            # The database distinguishes a missing field from null: both are jobs without a batch.
            of_batch[status] = of_batch.get(status, 0) + int(row["jobs"])
        return counts

    def open_dials(self, batch_id: str | None = None, *, of_batches: bool = False) -> OpenDials:
        """Count open dials that have no verdict yet.

        Recovery keeps a lease only until its next search; such a dial counts as ambiguous.

        Args:
            batch_id: the batch; None: all jobs.
            of_batches: without a batch_id: only dials that belong to a batch.
        """
        query: Document = {"dial.number": {"$exists": True}, "dial.verdict": None}
        if batch_id is not None:
            query["dial.batch_id"] = batch_id
        elif of_batches:
            query["dial.batch_id"] = {"$ne": None}
        now = self._now()
        counts = {"on_their_way": 0, "ambiguous": 0, "live_calls": 0}
        fields = ("dial.call_id", "dial.next_lookup_at", "reserved_until")
        for row in self.table.find(query, fields=fields, hint=LIVE_NUMBER):
            lease, dial = instant(row.get("reserved_until")), row.get("dial", {})
            next_search = instant(dial.get("next_lookup_at"))
            if text(dial.get("call_id")):
                counts["live_calls"] += 1
            elif lease is not None and lease >= now and (next_search is None or lease > next_search):
                counts["on_their_way"] += 1
            else:
                counts["ambiguous"] += 1
        return OpenDials(**counts)

    def has_dial(self, key: str) -> bool:
        """Whether any job has this dial open."""
        query = {"dial.number": {"$exists": True}, "dial.key": key}
        return bool(self.table.find(query, limit=1, fields=("_id",), hint=LIVE_NUMBER))

    def worker_crashed(self, worker_id: str, limit: int) -> list[tuple[Job, str]]:
        """Release the jobs of a worker that crashed; return each with what was done with it.

        ``adoptable``: its dial is open, the lease ends now. ``quarantined``: its dial is open, and ``limit``
        workers crashed with it; the lease ends later. ``returned``: no dial, so pending with one crash more.
        ``failed``: no dial, and ``limit`` workers in a row crashed with it.
        """
        held = {"status": JobStatus.IN_PROGRESS, "worker_id": worker_id, "claim_token": {"$exists": True}}
        released = []
        for job in map(Job.read, self.table.find(held)):
            with contextlib.suppress(LeaseLost):  # another worker has adopted it meanwhile
                released.append((job, self._release_crashed(job, limit)))
        return released

    def _release_crashed(self, job: Job, limit: int) -> str:
        if job.dial is not None or job.foreign:
            return self._leave_to_adopter(job, limit)
        if job.crashes + 1 >= limit:
            now = self._now()
            failed = {"status": JobStatus.FAILED, "crashes": job.crashes + 1, "last_error": "crashed_worker"}
            update = clear_claim({**failed, "failed_at": now}, now, JobStatus.IN_PROGRESS)
            self._write(job, update, {"dial": None})
            return "failed"
        self.requeue(job, changes={"crashes": job.crashes + 1})
        return "returned"

    def _leave_to_adopter(self, job: Job, limit: int) -> str:
        """There may be a call, so the job is never failed; but it must not crash one worker after another."""
        crashes = 1 + (job.crashes if job.dial is None else job.dial.crashes)
        counter = "crashes" if job.dial is None else "dial.crashes"
        delay = (
            0.0
            if crashes < limit
            else min(QUARANTINE_SECONDS * (crashes - limit + 1), 20 * QUARANTINE_SECONDS)
        )
        until = self._now() + timedelta(seconds=delay, milliseconds=-1)
        self._write(job, {"$set": {counter: crashes, "reserved_until": until}, "$unset": {"worker_id": ""}})
        return "quarantined" if delay else "adoptable"

    # -- the fence ---------------------------------------------------------------------------------------

    def _own(self, job: Job) -> Document:
        return {"_id": job.id, "claim_token": job.claim_token}

    def _write(self, job: Job, change: Document, expected: Document | None = None) -> None:
        if job.claim_token is None or not self.table.update(self._own(job) | (expected or {}), change):
            raise LeaseLost(f"job {job.job_id} has another owner")

    def _read_own(self, job_id: Any, token: str | None) -> Job | None:
        document = self.table.find_one({"_id": job_id, "claim_token": token}) if token else None
        return None if document is None else Job.read(document)


def clear_claim(fields: Document, now: datetime, *origins: JobStatus) -> Document:
    """The update that sets the fields and removes the claim, the dial and what goes with them.

    Where the status becomes final, the same write renames SpeechAI's reservation, to be released later.

    Args:
        fields: what to set; a status among them must be allowed from each of the origins.
        now: the database's time.
        origins: the statuses that the job may have now; none where no status is set.

    Raises:
        ValueError: ``model.states.ALLOWED_TRANSITIONS`` forbids the change of status.
    """
    if "status" in fields:
        fields = {**fields, "status": transition(fields["status"], *origins)}
    ends = fields.get("status") in FINISHED
    return {
        "$set": {**fields, "updated_at": now},
        "$unset": dict.fromkeys(CLAIM_FIELDS, ""),
        "$inc": {"revision": 1},
        **({"$rename": {"reserved_amount": legacy.FIELD}} if ends else {}),
    }


def _dial(job: Job) -> Dial:
    if job.dial is None:
        raise LeaseLost(f"job {job.job_id} has no open dial")
    return job.dial


def _same_dial(job: Job) -> Document:
    return {"dial.key": _dial(job).key}


def _object_id(word: str) -> Any:
    from bson import ObjectId  # noqa: PLC0415 - only operators' commands need it
    from bson.errors import InvalidId  # noqa: PLC0415

    try:
        return ObjectId(word)
    except InvalidId:
        return word
