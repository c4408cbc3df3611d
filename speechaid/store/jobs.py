"""Jobs: claim, lease, the open dial, and the last write of each call.

The fence: a claim writes a fresh token, and every later write of that job filters on it. If the filter
matches nothing, ``LeaseLost`` is raised: another process owns the job now, and the writer stops. If there is
no such document any more, it is ``JobDeleted``. The lease is ``reserved_until`` of a job ``in_progress``, by
the database's clock. Every method may raise ``StoreUnavailable`` and ``StoreError``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bson import encode
from bson.errors import BSONError

from speechaid.errors import JobDeleted, LeaseLost, NotFound, NumberBusy, StoreError, StoreUnavailable
from speechaid.model.job import Contact, Dial, Job
from speechaid.model.reading import Document, due_time, instant, mapping, text, whole
from speechaid.model.states import FINISHED, JobStatus, spellings_of, status_dates, transition
from speechaid.model.test_calls import TESTS
from speechaid.rules import operator_requests
from speechaid.rules.numbers import dialled_spellings
from speechaid.store import indexes, legacy
from speechaid.store.pages import read_page
from speechaid.store.ranges import begins
from speechaid.store.table import Duplicate, Table, as_stored, suppress_faults

#: Keys of the covering index for counts, which is far smaller than the documents.
COUNTED = (("batch_id", 1), ("status", 1))
#: The index of open dials; the embedded server uses a partial index only with a hint.
LIVE_NUMBER = "speechaid_live_number"
#: For so long a process believes what it read about the unique index on open numbers.
UNIQUE_KNOWN_SECONDS = 300.0
#: The index of open dials without a call; named for the same reason.
PLACING = "speechaid_placing"
#: Seconds that a job with an open dial waits for its next worker after too many crashes; more each time.
QUARANTINE_SECONDS = 30.0
#: Fields that only a claimed job has; ``clear_claim`` removes them all.
CLAIM_FIELDS = ("claim_token", "dial", "request", "foreign")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A job that may be claimed: the fields that the compare-and-set compares."""

    id: Any
    #: These three as stored, of whatever type.
    revision: Any
    reserved_until: Any
    claim_token: Any
    account_id: str | None = None
    #: As stored; they are looked up while the claimed job is read.
    phones: tuple[str, ...] = ()
    dni: str | None = None
    #: Of a test call: the batch that it tests.
    tested_batch_id: str | None = None

    @classmethod
    def read(cls, document: Document) -> Candidate:
        """From a job document with at least ``FIELDS``."""
        contact = Contact.read(document)
        return cls(
            id=document["_id"],
            revision=document.get("revision"),
            reserved_until=document.get("reserved_until"),
            claim_token=document.get("claim_token"),
            account_id=text(document.get("account_id")),
            phones=contact.phones,
            dni=contact.dni,
            tested_batch_id=text(mapping(document.get("test")).get("batch_id")),
        )

    @property
    def next_revision(self) -> int:
        """The revision to write; the compare-and-set compares the one that was read, of whatever type."""
        return whole(self.revision) + 1

    FIELDS = (
        *("revision", "reserved_until", "claim_token", "account_id"),
        *("contact.phones", "contact.phone", "to_number", "contact.dni", "rut", "test.batch_id"),
    )


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
        #: Whether the unique index on open numbers exists, and until when that is believed.
        self._unique: tuple[bool, datetime] | None = None

    # -- finding lapsed leases ---------------------------------------------------------------------------

    def lapsed(self, limit: int, *, without: Sequence[Any] = ()) -> list[Candidate]:
        """Find at most ``limit`` jobs in progress whose lease has run out, longest ago first.

        A job that SpeechAI left in progress without any lease counts as lapsed. ``without`` names the ``_id``
        of jobs that are left out.
        """
        held: Document = {"status": JobStatus.IN_PROGRESS}
        if without:
            held["_id"] = {"$nin": list(without)}
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
            "revision": as_stored(candidate.revision),
            # SpeechAI's programs do not write the revision.
            "reserved_until": as_stored(candidate.reserved_until),
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
                "$unset": {"foreign": "", "waits_for": ""},
            },
        )

    def adopt(self, candidate: Candidate, *, worker_id: str, token: str, lease_seconds: float) -> Job | None:
        """Take over a job whose lease has run out; None where it was renewed or taken meanwhile.

        Expected: status in progress, and the candidate's revision, token and ``reserved_until``. A job
        without a token belongs to another program and is marked ``foreign``; its ``updated_at`` stays, since
        it may be the only sign of the age of its call.
        """
        now = self._now()
        lease = due_time(candidate.reserved_until)
        if lease is not None and lease >= now:
            return None
        expected = {
            "_id": candidate.id,
            "status": JobStatus.IN_PROGRESS,
            "revision": as_stored(candidate.revision),
            "claim_token": as_stored(candidate.claim_token),
            "reserved_until": as_stored(candidate.reserved_until),
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
            raise self._lost(job)
        return found

    # -- the dial ----------------------------------------------------------------------------------------

    def record_intent(self, job: Job, dial: Dial) -> Job:
        """Write the intent durably, before the dial is placed; the job must have no open dial.

        ``number_is_taken`` has to follow, right before the call is placed.

        Raises:
            NumberBusy: the number, in whatever spelling, has an open dial in another job.
            LeaseLost: another process owns the job, or it has an open dial.
        """
        if self.number_is_taken(dial.number, besides=job.id):
            raise NumberBusy(f"job {job.job_id}: its number has an open dial in another job")
        try:
            self._write(
                job,
                {"$set": {"dial": dial.document(), "updated_at": self._now()}, "$inc": {"revision": 1}},
                {"dial": None},
            )
        except Duplicate as exc:
            raise NumberBusy(f"job {job.job_id}: its number has an open dial in another job") from exc
        return replace(job, dial=dial)

    def number_is_taken(self, number: str, *, besides: Any) -> bool:
        """Whether another job has an open dial to this number's line, where no index excludes it.

        The unique index knows a number in one spelling. Where a call can be placed with no other, and the
        index exists, this is False, and nothing is read. Otherwise, of two jobs that write their intents at
        the same time at least one finds the other here, since both look after they have written; whoever
        finds another withdraws.

        Args:
            number: in E.164.
            besides: the ``_id`` of the job that is to be dialled.
        """
        spellings, unique = dialled_spellings(number), self.numbers_are_unique()
        if unique and spellings == (number,):
            return False
        numbers = list({number, *spellings})
        # ``$exists``: so that every server sees that the partial index covers the query.
        others = {"dial.number": {"$exists": True, "$in": numbers}, "_id": {"$ne": besides}}
        hint = LIVE_NUMBER if unique else indexes.OPEN_NUMBERS.name
        return bool(self.table.find(others, limit=1, fields=("_id",), hint=hint))

    def numbers_are_unique(self, *, reread: bool = False) -> bool:
        """Whether the unique index on open numbers exists; known for ``UNIQUE_KNOWN_SECONDS``."""
        now = self._now()
        if reread or self._unique is None or now >= self._unique[1]:
            found = self.table.has_unique_index(indexes.LIVE_NUMBER_KEYS)
            self._unique = found, now + timedelta(seconds=UNIQUE_KNOWN_SECONDS)
        return self._unique[0]

    def shared_numbers(self) -> dict[str, list[str]]:
        """Names of the jobs of each number, in one spelling, that has more than one open dial."""
        rows = self.table.find(
            {"dial.number": {"$exists": True}},
            fields=("job_id", "dial.number"),
            hint=indexes.OPEN_NUMBERS.name,
        )
        names: dict[str, list[str]] = {}
        for row in rows:
            number = str(mapping(row.get("dial")).get("number"))
            names.setdefault(number, []).append(text(row.get("job_id")) or str(row["_id"]))
        return {number: sorted(jobs) for number, jobs in names.items() if len(jobs) > 1}

    def record_call(self, job: Job, call_id: str, lease_seconds: float) -> Job:
        """Write the ``call_id`` of the open dial, reset the job's crashes, and extend the lease.

        The lease lasts this many seconds from now, as after ``renew``: following begins.

        Raises:
            LeaseLost: another process owns the job, or its open dial is another.
        """
        now = self._now()
        changes = {
            "dial.call_id": call_id,
            "dial.placed_at": now,
            "call_id": call_id,
            "call_started_at": now,
            "reserved_until": now + timedelta(seconds=lease_seconds),
        }
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

    # -- jobs that another program deletes ---------------------------------------------------------------

    def keep_deleted(self, job: Job, lease_seconds: float) -> Job:
        """Store a job again whose document was deleted while its dial was open, until that is settled.

        The new document has the dial key as ``_id``, and only what the settlement needs. So whoever goes on,
        this worker or another, finds the dial in the usual way, and its number stays taken.

        Returns:
            The job as stored, under the same token.

        Raises:
            LeaseLost: the document is there, or another worker has stored it again.
            StoreError: it cannot be stored.
        """
        if self.table.find_one({"_id": job.id}, fields=("_id",)) is not None:
            raise LeaseLost(f"job {job.job_id} has another owner")
        dial, now = _dial(job), self._now()
        if dial.call_id is not None and dial.placed_at is None:
            dial = replace(dial, placed_at=now)
        contact = {"name": job.contact.name, "dni": job.contact.dni, "phones": [*job.contact.phones]}
        document = {
            "_id": dial.key,
            "job_id": job.job_id,
            "account_id": job.account_id,
            "batch_id": job.batch_id if job.test is None else TESTS,
            **({} if job.test is None else {"test": job.test.document()}),
            "contact": {**contact, "next_phone_index": job.contact.next_phone_index},
            "status": JobStatus.IN_PROGRESS,
            "attempts": job.attempts,
            "worker_id": job.worker_id,
            "claim_token": job.claim_token,
            "reserved_until": now + timedelta(seconds=lease_seconds),
            "dial": dial.document(),
            "call_id": dial.call_id,
            "deleted_in_call": True,
            "updated_at": now,
        }
        # The job may have been inserted anew, and be in a call to the same number; and an index of another
        # program may allow its name only once.
        unnamed = {name: value for name, value in document.items() if name != "job_id"}
        for variant in (document, _without_number(document), _without_number(unnamed)):
            try:
                self.table.insert(variant)
            except Duplicate:
                kept = self.table.find_one({"_id": dial.key})
                if kept is not None:
                    found = Job.read(kept)
                    if found.claim_token != job.claim_token:
                        raise LeaseLost(f"job {job.job_id} has another owner") from None
                    return found
            else:
                return Job.read(variant)
        raise StoreError(f"job {job.job_id} was deleted during its call, and cannot be stored again")

    def keep_lost_dial(self, dial: Dial, job_id: str) -> None:
        """The same for a dial of which only the reservation entries are left; workers look for its call."""
        document = {
            "_id": dial.key,
            "job_id": job_id,
            "account_id": dial.account_id,
            "batch_id": dial.batch_id,
            "status": JobStatus.IN_PROGRESS,
            "claim_token": dial.key,
            "reserved_until": self._now() - timedelta(milliseconds=1),
            "dial": dial.document(),
            "deleted_in_call": True,
            "updated_at": self._now(),
        }
        with contextlib.suppress(Duplicate):  # another host has stored it
            self.table.insert(document)

    def has_job(self, job_id: str) -> bool:
        """Whether there is a job of this name."""
        with contextlib.suppress(NotFound):
            return bool(self.get(job_id))
        return False

    # -- ending the claim --------------------------------------------------------------------------------

    def finish(self, job: Job, changes: Document) -> bool:
        """The last write of a dial: apply the verdict's changes and clear the claim.

        A job that was deleted during its call is deleted again.

        Expected: status in progress, this dial, and the request as read. Where another program has changed
        the status, its status stays and the rest is written.

        Returns:
            False where an operator's request came in meanwhile: nothing was written; read the job again and
            reclassify.

        Raises:
            LeaseLost: another process owns the job, or its open dial is another.
            ValueError: the new status is forbidden.
        """
        if job.deleted_in_call:
            if not self.table.delete(self._own(job) | _same_dial(job)):
                raise self._lost(job)
            return True
        query = self._own(job) | _same_dial(job) | {"request": as_stored(job.document.get("request"))}
        update = clear_claim(changes, self._now(), JobStatus.IN_PROGRESS)
        if self.table.update({**query, "status": JobStatus.IN_PROGRESS}, update):
            return True
        current = self.reread(job)
        if current.document.get("request") != job.document.get("request"):
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
            if self.table.update(
                self._own(job) | {"request": as_stored(job.document.get("request"))}, update
            ):
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

    def put_aside(self, job_id: Any, token: str, seconds: float) -> bool:
        """Release the claim of a job that cannot be read or written, for this long; its dial stays.

        Every field of the job stays as it is, but for the claim: whoever corrects it finds what was there. It
        is ``pending`` again where it was claimed to be dialled; False where the claim is lost.
        """
        until = self._now() + timedelta(seconds=seconds)
        change = {
            "$set": {"status": transition(JobStatus.PENDING, JobStatus.IN_PROGRESS), "reserved_until": until},
            "$unset": {"claim_token": "", "worker_id": ""},
        }
        return self.table.update({"_id": job_id, "claim_token": token}, change)

    # -- for operators and counts ------------------------------------------------------------------------

    def insert_many(self, documents: Sequence[Document]) -> None:
        """Insert new jobs."""
        self.table.insert_many(documents)

    def insert_missing(self, documents: Sequence[Document]) -> None:
        """Insert those of the jobs that are not there yet, by their ``_id``; another host may do the same."""
        ids = [document["_id"] for document in documents]
        found = self.table.find({"_id": {"$in": ids}}, fields=("_id",)) if ids else []
        present = {row["_id"] for row in found}
        missing = [document for document in documents if document["_id"] not in present]
        if not missing:
            return
        try:
            self.table.insert_many(missing)
        except StoreUnavailable:
            raise
        except StoreError:
            for document in missing:
                with contextlib.suppress(Duplicate):
                    self.table.insert(document)

    def get(self, job_id: str) -> Job:
        """Find a job by its name (``job_id``, else ``_id`` as text).

        Raises:
            NotFound: there is none.
        """
        document = self.table.find_one({"job_id": job_id}) or self.table.find_one({"_id": _object_id(job_id)})
        if document is None:
            raise NotFound(f"no job {job_id}")
        return read_job(document)

    def find_by_prefix(self, prefix: str, limit: int = 20) -> list[str]:
        """Names of jobs with this prefix."""
        rows = self.table.find(
            begins("job_id", prefix), sort=[("job_id", 1)], limit=limit, fields=("job_id",)
        )
        return [str(row["job_id"]) for row in rows]

    def select(self, which: Document, *, status: JobStatus | None, limit: int) -> list[Job]:
        """Find at most ``limit`` jobs of a query and a status (None: any), in natural order."""
        query = dict(which)
        if status is not None:
            query["status"] = {"$in": spellings_of(status)}
        return [read_job(document) for document in self.table.find(query, limit=limit)]

    def page(
        self, which: Document, *, status: JobStatus | None, after: str | None, limit: int
    ) -> tuple[list[Job], str | None]:
        """As ``select``, in the order of ``_id`` from a position on; also the position after them.

        Raises:
            ValueError: ``after`` is not a position.
        """
        query = dict(which)
        if status is not None:
            query["status"] = {"$in": spellings_of(status)}
        found, following = read_page(self.table, query, after=after, limit=limit)
        return [read_job(document) for document in found], following

    def counts(self, batch_id: str | None = None) -> dict[str, int]:
        """Count jobs of campaigns by status, as it is written. Scans an index: never on a hot path."""
        match = [{"$match": {"batch_id": {"$ne": TESTS} if batch_id is None else batch_id}}]
        group = {"$group": {"_id": "$status", "jobs": {"$sum": 1}}}
        rows = self.table.aggregate([*match, group], hint=COUNTED)
        return {str(row["_id"]): int(row["jobs"]) for row in rows}

    def counts_by_batch(self) -> dict[str | None, dict[str, int]]:
        """Count jobs of campaigns by batch and status; as costly as ``counts``."""
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
        counts.pop(TESTS, None)
        return counts

    def open_dials(self, batch_id: str | None = None, *, of_batches: bool = False) -> OpenDials:
        """Count open dials that have no verdict yet.

        Recovery keeps a lease only until its next search; such a dial counts as ambiguous.

        Args:
            batch_id: the batch; None: all jobs.
            of_batches: without a batch_id: only dials that belong to a batch.
        """
        return self._count_dials(_open_dials(batch_id, of_batches=of_batches), LIVE_NUMBER)

    def dials_on_their_way(self, batch_id: str | None = None, *, of_batches: bool = False) -> int:
        """``open_dials(…).on_their_way`` alone; reads only dials without a call, however many have one."""
        query = _open_dials(batch_id, of_batches=of_batches) | {"dial.call_id": None}
        return self._count_dials(query, PLACING).on_their_way

    def count_without_entry(self, batch_id: str) -> int:
        """How many open dials of a batch have no entry in it, being placed while it limited no calls."""
        query = {
            "dial.number": {"$exists": True},
            "dial.batch_id": batch_id,
            "dial.unlimited": True,
            "dial.account_id": {"$exists": True},
        }
        return len(self.table.find(query, fields=("_id",), hint=LIVE_NUMBER))

    def _count_dials(self, query: Document, index: str) -> OpenDials:
        now = self._now()
        counts = {"on_their_way": 0, "ambiguous": 0, "live_calls": 0}
        fields = ("dial.call_id", "dial.next_lookup_at", "reserved_until")
        for row in self.table.find(query, fields=fields, hint=index):
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

    def dials_without_rule(self) -> list[Job]:
        """Jobs with an open dial that was placed under no pack, by the index of open dials."""
        query = {"dial.number": {"$exists": True}, "dial.calling_rule": None}
        return [read_job(document) for document in self.table.find(query, hint=LIVE_NUMBER)]

    def follows_call(self, call_id: str) -> bool:
        """Whether a job's open dial has this call."""
        query = {"dial.number": {"$exists": True}, "dial.call_id": call_id}
        return bool(self.table.find(query, limit=1, fields=("_id",), hint=LIVE_NUMBER))

    def worker_crashed(self, worker_id: str, limit: int) -> list[tuple[Job, str]]:
        """Release the jobs of a worker that crashed; return each with what was done with it.

        ``adoptable``: its dial is open, the lease ends now. ``quarantined``: its dial is open, and ``limit``
        workers crashed with it; the lease ends later. ``returned``: no dial, so pending with one crash more.
        ``failed``: no dial, and ``limit`` workers in a row crashed with it.
        """
        held = {"status": JobStatus.IN_PROGRESS, "worker_id": worker_id, "claim_token": {"$exists": True}}
        released = []
        for job in map(read_job, self.table.find(held)):
            # Another worker has adopted it meanwhile, or its document takes no write: its lease lapses.
            with contextlib.suppress(LeaseLost), suppress_faults():
                released.append((job, self._release_crashed(job, limit)))
        return released

    def _release_crashed(self, job: Job, limit: int) -> str:
        if job.dial is not None or job.foreign:
            return self._leave_to_adopter(job, limit)
        if job.crashes + 1 >= limit:
            now = self._now()
            failed = {"status": JobStatus.FAILED, "crashes": job.crashes + 1, "last_error": "crashed_worker"}
            update = clear_claim(failed, now, JobStatus.IN_PROGRESS)
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
            raise self._lost(job)

    def _lost(self, job: Job) -> LeaseLost:
        if self.table.find_one({"_id": job.id}, fields=("_id",)) is None:
            return JobDeleted(f"job {job.job_id} was deleted")
        return LeaseLost(f"job {job.job_id} has another owner")

    def _read_own(self, job_id: Any, token: str | None) -> Job | None:
        document = self.table.find_one({"_id": job_id, "claim_token": token}) if token else None
        return None if document is None else read_job(document)


def read_job(document: Document) -> Job:
    """The job of a whole document; its size counts: one that is too large cannot take its call's result."""
    try:
        return Job.read(document, size=len(encode(document)))
    except (BSONError, OverflowError, UnicodeError, RecursionError):
        return Job.read(document)


def update_each(table: Table, query: Document, ids: Sequence[Any], change: Document) -> int:
    """Change the jobs of a query with these ``_id``; return how many.

    One job that the change does not fit (it is full, or its revision is no number) must not stop the others:
    then each is changed on its own.
    """
    try:
        return table.update_many({**query, "_id": {"$in": list(ids)}}, change)
    except StoreUnavailable:
        raise
    except StoreError:
        changed = 0
        for job_id in ids:
            with suppress_faults():
                changed += _update_one(table, {**query, "_id": job_id}, change)
        return changed


def _update_one(table: Table, query: Document, change: Document) -> bool:
    row = table.find_one(query, fields=("revision",))
    if row is None or "$inc" not in change:
        return row is not None and table.update(query, change)
    fields = {**change.get("$set", {}), "revision": whole(row.get("revision")) + 1}
    others = {name: value for name, value in change.items() if name not in {"$set", "$inc"}}
    return table.update({**query, "revision": as_stored(row.get("revision"))}, {**others, "$set": fields})


def _open_dials(batch_id: str | None, *, of_batches: bool) -> Document:
    """The query for open dials that have no verdict yet; the arguments are those of ``Jobs.open_dials``."""
    query: Document = {"dial.number": {"$exists": True}, "dial.verdict": None}
    if batch_id is not None:
        query["dial.batch_id"] = batch_id
    elif of_batches:
        query["dial.batch_id"] = {"$ne": None}
    return query


def clear_claim(fields: Document, now: datetime, *origins: JobStatus) -> Document:
    """The update that sets the fields and removes the claim, the dial and what goes with them.

    With a status go its dates (``model.states.STATUS_DATES``), unless the fields have them. Where it becomes
    final, the same write renames SpeechAI's reservation, to be released later.

    Args:
        fields: what to set; a status among them must be allowed from each of the origins.
        now: the database's time.
        origins: the statuses that the job may have now; none where no status is set.

    Raises:
        ValueError: ``model.states.ALLOWED_TRANSITIONS`` forbids the change of status.
    """
    if "status" in fields:
        status = transition(fields["status"], *origins)
        fields = {**status_dates(status, now), **fields, "status": status}
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


def _without_number(document: Document) -> Document:
    """With the dial key in place of the number, which blocks no other dial; the call names the number."""
    return {**document, "dial": {**document["dial"], "number": document["_id"]}}


def _same_dial(job: Job) -> Document:
    return {"dial.key": _dial(job).key}


def _object_id(word: str) -> Any:
    from bson import ObjectId  # noqa: PLC0415 - only operators' commands need it
    from bson.errors import InvalidId  # noqa: PLC0415

    try:
        return ObjectId(word)
    except InvalidId:
        return word
