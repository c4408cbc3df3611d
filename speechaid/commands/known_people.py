"""Who of a file is known already: people of the same account who wait, or were called or paid lately.

Jobs that speechaid imported are found by their keys, in an index. Jobs of other programs have none: they are
read once for each import, in portions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

from speechaid.campaign import cells
from speechaid.campaign.people import are_same_person, id_of_keys, is_line_key, person_keys
from speechaid.commands.interfaces import Result
from speechaid.model.job import Job
from speechaid.model.reading import Document, instant, mapping, text
from speechaid.model.states import SUCCESSFUL_OUTCOMES, JobStatus

#: The states of a known person, for the answer.
WAITING: Final = "waiting"
REACHED: Final = "reached"
CALLED: Final = "called"
#: The person has paid: the file may name a new debt, or the one that was paid.
PAID: Final = "paid"
#: Every number of the contact stands under three people or more of the account, as a placeholder does.
SHARED: Final = "shared"
#: So many people have such a number: as in one file (``campaign.whole_file.SharedLines``).
_PEOPLE_OF_SHARED: Final = 3
#: The person is on the do-not-call list, and is left out whatever the options say.
OPTED_OUT: Final = "opted_out"
_WAITS: Final = frozenset(
    {JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.SUSPENDED, JobStatus.IN_PROGRESS}
)
#: People that the answer names; of the others it has the number.
_MAX_NAMED: Final = 1000


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A job of a person who waits, or was called or paid lately."""

    state: str
    job_id: str
    batch_id: str | None
    keys: tuple[str, ...]
    reference: str
    #: The person, for counting people; None where neither id nor name is known.
    who: str | None


@dataclass(kw_only=True)
class KnownPeople:
    """The known people of one account, and which contacts of an import they are."""

    batch_id: str
    #: Its own jobs are no reason to leave a contact out: an import that broke off is completed.
    import_id: str | None
    #: Calls and payments before that time count no more.
    since: datetime
    country: str | None
    counts: Counter[str] = field(default_factory=Counter)
    named: list[Result] = field(default_factory=list)
    #: The contact keys of the batch's jobs.
    in_batch: set[str] = field(default_factory=set)
    _by_key: dict[str, list[_Known]] = field(default_factory=lambda: defaultdict(list))
    _wanted: frozenset[str] = frozenset()
    _contacts: Sequence[Document] = ()

    def restrict_to(self, documents: Sequence[Document]) -> None:
        """Remember only people of these contacts."""
        self._contacts = documents
        self._wanted = frozenset(key for document in documents for key in document["person_keys"])

    def add(self, jobs: Iterable[Document]) -> None:
        """Remember the people of jobs of the account who wait, or were called or paid lately."""
        for document in jobs:
            if document.get("batch_id") == self.batch_id:
                self.in_batch.add(str(document.get("contact_key")))
            known = self._read(document)
            for key in known.keys if known is not None else ():
                if key in self._wanted and known is not None:
                    self._by_key[key].append(known)

    def find_match(self, document: Document) -> _Known | None:
        """The job by which a contact of the import is known; None where it is new."""
        keys = document["person_keys"]
        reference = _reference(document)
        found = [known for key in keys for known in self._by_key.get(key, ())]
        for known in found:
            if known.batch_id == self.batch_id and known.reference != reference:
                continue  # as inside one file: another debt of the same person
            if are_same_person(keys, known.keys):
                return known
        return None

    def find_shared(self, document: Document) -> frozenset[str]:
        """The keys of a contact's lines that three people or more have, in the file and among known jobs.

        Those of the file alone are found by its reader.
        """
        found = set()
        for key in document["person_keys"]:
            others = {known.who for known in self._by_key.get(key, ())} if is_line_key(key) else set()
            if others - {_who(document), None}:
                people = (others | self._people_of_file.get(key, set())) - {None}
                found.update({key} if len(people) >= _PEOPLE_OF_SHARED else ())
        return frozenset(found)

    @cached_property
    def _people_of_file(self) -> dict[str, set[str | None]]:
        people: dict[str, set[str | None]] = defaultdict(set)
        for document in self._contacts:
            for key in filter(self._by_key.__contains__, document["person_keys"]):
                people[key].add(_who(document))
        return people

    def note_shared(self, line: int) -> None:
        """Count and name a contact whose numbers are all shared."""
        self._note_without_job(line, SHARED)

    def note(self, line: int, known: _Known) -> None:
        """Count a known contact, and name it for the answer."""
        self.counts[known.state] += 1
        if len(self.named) < _MAX_NAMED:
            named = {"line": line, "state": known.state, "batch_id": known.batch_id, "job_id": known.job_id}
            self.named.append(named)

    def note_opted_out(self, line: int) -> None:
        """Count and name a contact who is on the do-not-call list as a person."""
        self._note_without_job(line, OPTED_OUT)

    def _note_without_job(self, line: int, state: str) -> None:
        self.counts[state] += 1
        if len(self.named) < _MAX_NAMED:
            self.named.append({"line": line, "state": state, "batch_id": None, "job_id": None})

    def _read(self, document: Document) -> _Known | None:
        if self.import_id is not None and document.get("import_id") == self.import_id:
            return None
        job = Job.read(document)
        state = _state(job, self.since)
        if state is None:
            return None
        keys = document.get("person_keys") or person_keys(job.contact.dni, job.contact.phones, self.country)
        return _Known(
            state=state,
            job_id=job.job_id,
            batch_id=job.batch_id,
            keys=tuple(map(str, keys)),
            reference=_reference(document),
            who=id_of_keys(map(str, keys)) or cells.fold(job.contact.name or "") or None,
        )


def _who(document: Document) -> str | None:
    """A contact of the file by its id, else by its name."""
    name = text(mapping(document["contact"]).get("name"))
    return id_of_keys(document["person_keys"]) or cells.fold(name or "") or None


def _reference(document: Document) -> str:
    return cells.fold(text(mapping(document.get("payload")).get("reference_number")) or "")


def _state(job: Job, since: datetime) -> str | None:
    """Whether the job's person waits, or has paid, or was reached or called since then; None: neither."""
    paid_at = instant(mapping(job.document.get("paid")).get("at"))
    if paid_at is not None and paid_at >= since:
        return PAID  # even where it waits: it is in a call, at whose end it is cancelled
    if job.status in _WAITS:
        return WAITING
    document = job.document
    outcome = text(document.get("last_outcome"))
    was_called = outcome is not None or job.call_id is not None or job.attempts > 0
    if job.status is not JobStatus.DONE and not was_called:
        return None
    stamps = [
        instant(document.get(name)) for name in ("finished_at", "completed_at", "failed_at", "updated_at")
    ]
    latest = max((stamp for stamp in stamps if stamp is not None), default=None)
    latest = latest or instant(document.get("created_at")) or datetime.min.replace(tzinfo=UTC)
    if latest < since:
        return None
    return REACHED if job.status is JobStatus.DONE or outcome in SUCCESSFUL_OUTCOMES else CALLED


def called_since(now: datetime, days: float) -> datetime:
    """The time from which on a call, or a payment, counts."""
    return now - timedelta(days=days)
