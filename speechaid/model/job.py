"""A job, read leniently from its document; and its open dial.

Besides SpeechAI's fields, a job has these of speechaid:

``claim_token``     new for each claim; every later write of the job filters on it (the fence)
``revision``        incremented by the writes of speechaid; a claim filters on the one it read
``dial``            the open dial (class ``Dial``), from the intent to the settled call
``dead_phones``     numbers that are never dialled again for this job
``excused_faults``  how often a fault that was not its own put it back with nothing spent
``crashes``         how many workers in a row crashed while they held it
``request``         an operator's request that waits for the call to be settled
``reset_at``        when an operator last reset it: results before that count no more
``deleted_in_call`` another program deleted the job while its dial was open; this document, whose ``_id`` is
                    the dial key, takes its place until the dial is settled
``person_keys``     of an imported job: its person's national id and lines (``campaign.people``)
``name_key``        of an imported job: the name without accents and capitals
``paid``            ``{by, at, note, amount, currency}``: its person has paid; the latest job has the amount
``foreign``         another program left it in progress: it may have a call that is not found yet
``waits_for``       the rule of a pack that refused its last claim: ``{reason, rule, why, at}``
``test``            a test call (``model.test_calls``): the batch and the row that it tests
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from speechaid.model import faults, reading
from speechaid.model.faults import FieldFault
from speechaid.model.reading import Document
from speechaid.model.states import STATUS_ALIASES, JobStatus, Stopper
from speechaid.model.test_calls import TESTS, BatchTest
from speechaid.model.verdict import Verdict

#: Dates of a job's end, which a reset removes.
_ENDED_AT = frozenset({"completed_at", "finished_at"})


@dataclass(frozen=True, kw_only=True)
class Dial:
    """One dial, open from the durable intent until its call is settled."""

    #: The dial key: Retell's ``idempotency_key``, also in the call's metadata.
    key: str
    #: E.164. A partial unique index on it allows one open dial per number.
    number: str
    #: Position in ``contact.phones``.
    phone_index: int
    #: ``attempts`` when the dial began (0-based pass).
    attempt: int
    #: When the intent was written, by the database's clock: the key's hour starts here.
    intent_at: datetime
    #: The exact create request as JSON text, repeated unchanged if its answer was lost.
    body: str
    #: Fingerprint of the API key that the dial is placed with.
    api_key_fingerprint: str
    account_id: str | None = None
    batch_id: str | None = None
    #: Retell's id of the call, once known.
    call_id: str | None = None
    #: When ``call_id`` became known.
    placed_at: datetime | None = None
    #: Of a test call: since when it is connected, once a poll has shown it.
    connected_at: datetime | None = None
    #: Who asked Retell to stop this call; None: no one did.
    stop_asked_by: Stopper | None = None
    #: Searches for the call of an ambiguous dial that found nothing, and when the next is due; of another
    #: program's call, polls that Retell answered with 404.
    empty_lookups: int = 0
    next_lookup_at: datetime | None = None
    #: Past its limits, and Retell does not confirm the end: polled slowly, with an alert.
    parked_at: datetime | None = None
    #: When Retell first answered that it does not know the call (404); None: it knows it, or was not asked.
    unknown_at: datetime | None = None
    #: Workers that crashed while they held the job.
    crashes: int = 0
    #: Of a dial under a pack: ``{keys, account, debt, purpose, pack, rule, zone, kept_days}``, whose person,
    #: purpose, pack (content hash) and local time it was; for the ledger and the result. None: no pack.
    calling_rule: Document | None = None
    #: Whether its batch limited no calls when the intent was written; None: it did, or an earlier version
    #: wrote the intent.
    unlimited: bool | None = None
    #: The verdict (``model.verdict.Verdict`` as a document) of a dial that made no call, once decided; of an
    #: earlier version, of any dial.
    verdict: Document | None = None

    @property
    def is_entered_in_batch(self) -> bool:
        """Whether its batch has an entry of it.

        A dial without an account has one in any case: should another program delete its job, and its worker
        die, nothing else would tell of it.
        """
        return self.batch_id is not None and not (self.unlimited and self.account_id is not None)

    @property
    def is_ambiguous(self) -> bool:
        """Whether it is unknown if Retell made a call for this dial."""
        return self.call_id is None and self.verdict is None

    @property
    def is_of_another_program(self) -> bool:
        """Whether another program placed the call: there is no request of ours."""
        return not self.body

    @property
    def request(self) -> Mapping[str, Any]:
        """The create request; empty where there is none, or one that cannot be read."""
        try:
            return reading.mapping(json.loads(self.body))
        except ValueError:
            return {}

    @property
    def agent_id(self) -> str | None:
        """The agent that the request asks for."""
        return reading.text(self.request.get("override_agent_id"))

    @classmethod
    def read(cls, document: object) -> Dial | None:
        """The dial of a job document, or None where there is none."""
        fields = reading.mapping(document)
        key, number = reading.text(fields.get("key")), reading.text(fields.get("number"))
        intent_at = reading.instant(fields.get("intent_at"))
        if key is None or number is None or intent_at is None:
            return None
        stopper = reading.text(fields.get("stop_asked_by"))
        verdict, calling_rule = fields.get("verdict"), fields.get("calling_rule")
        return cls(
            key=key,
            number=number,
            phone_index=reading.whole(fields.get("phone_index")),
            attempt=reading.whole(fields.get("attempt")),
            intent_at=intent_at,
            body=reading.text(fields.get("body")) or "",
            api_key_fingerprint=reading.text(fields.get("api_key_fingerprint")) or "",
            account_id=reading.text(fields.get("account_id")),
            batch_id=reading.text(fields.get("batch_id")),
            call_id=reading.text(fields.get("call_id")),
            placed_at=reading.instant(fields.get("placed_at")),
            connected_at=reading.instant(fields.get("connected_at")),
            stop_asked_by=Stopper(stopper) if stopper in set(Stopper) else None,
            empty_lookups=reading.whole(fields.get("empty_lookups")),
            next_lookup_at=reading.instant(fields.get("next_lookup_at")),
            parked_at=reading.instant(fields.get("parked_at")),
            unknown_at=reading.instant(fields.get("unknown_at")),
            crashes=reading.whole(fields.get("crashes")),
            calling_rule=dict(calling_rule) if isinstance(calling_rule, dict) else None,
            unlimited=True if fields.get("unlimited") is True else None,
            verdict=dict(verdict) if isinstance(verdict, dict) else None,
        )

    def document(self) -> Document:
        """The sub-document to store; empty fields are left out."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Contact:
    """The person to call."""

    name: str | None
    dni: str | None
    #: As stored, in order of dialling; not necessarily E.164.
    phones: tuple[str, ...]
    next_phone_index: int

    @classmethod
    def read(cls, document: Document) -> Contact:
        """From a job document: ``contact``, else SpeechAI's older flat fields."""
        fields = reading.mapping(document.get("contact"))
        phones = [phone for phone in map(reading.text, reading.sequence(fields.get("phones"))) if phone]
        if not phones:
            flat = reading.text(fields.get("phone")) or reading.text(document.get("to_number"))
            phones = [flat] if flat else []
        return cls(
            name=reading.text(fields.get("name")) or reading.text(document.get("nombre")),
            dni=reading.text(fields.get("dni")) or reading.text(document.get("rut")),
            phones=tuple(phones),
            next_phone_index=max(0, reading.whole(fields.get("next_phone_index"))),
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as read; ``document`` holds all of it, unknown fields included."""

    #: The document's ``_id`` (an ObjectId in SpeechAI's database; any BSON value is allowed).
    id: Any
    #: The job's name for operators: ``job_id`` where that is a usable name, else ``_id`` as text.
    job_id: str
    status: JobStatus
    account_id: str | None
    batch_id: str | None
    contact: Contact
    attempts: int
    max_attempts: int | None
    reserved_until: datetime | None
    worker_id: str | None
    claim_token: str | None
    revision: int
    dial: Dial | None
    dead_phones: frozenset[str]
    excused_faults: int
    crashes: int
    call_id: str | None
    suspend_reason: str | None
    #: ``{action, reason, by, at}``: an operator's request that waits for the open dial.
    request: Document | None
    #: Adopted from another program; its call, if it has one, is not found yet.
    foreign: bool
    #: Of the import that made it; None: another program, or a version up to 0.2.
    import_id: str | None
    #: Deleted by another program during its call; kept until that is settled, and never dialled.
    deleted_in_call: bool
    #: Of a test call, which belongs to no batch; None: a person's job.
    test: BatchTest | None
    #: What cannot be read.
    field_faults: tuple[FieldFault, ...]
    document: Document = field(repr=False)

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each field that forbids calling the job, since it cannot be read."""
        return tuple(fault.sentence for fault in self.field_faults if fault.forbids)

    @property
    def settings_batch_id(self) -> str | None:
        """The batch whose settings hold for the job's calls: its own, or the one that it tests."""
        return self.batch_id if self.test is None else self.test.batch_id

    @property
    def has_unreadable_dial(self) -> bool:
        """Whether it has an open dial of which nothing more is known: there may be a call."""
        return any(fault.field == "dial" and fault.forbids for fault in self.field_faults)

    @property
    def is_served(self) -> bool:
        """Whether the job says of itself that it was served, and no operator has reset it since.

        Another program may put such a job back to pending; it is not called again.
        """
        result = reading.mapping(self.document.get("call_result"))
        if not reading.flag(result.get("success"), default=False):
            return False
        reset_at = reading.instant(self.document.get("reset_at"))
        if reset_at is not None:
            ended_at = reading.instant(result.get("timestamp"))
            return ended_at is not None and ended_at > reset_at
        # A reset by a version up to 0.2 left no time: it set ``crashes`` and removed the dates of the end.
        was_reset = self.document.get("crashes") == 0 and not _ENDED_AT & self.document.keys()
        return not was_reset

    @classmethod
    def read(cls, document: Document, *, size: int = 0) -> Job:
        """Read a job document leniently: a malformed field gets its default, it is no error.

        Args:
            document: as stored.
            size: its size in bytes, where known.
        """
        job, broken = faults.read_leniently(lambda fields: cls._read(fields, size), document)
        return replace(job, field_faults=(*broken, *job.field_faults), document=document) if broken else job

    @classmethod
    def _read(cls, document: Document, size: int) -> Job:
        word = (reading.text(document.get("status")) or "").lower()
        status = STATUS_ALIASES.get(word) or (JobStatus(word) if word in set(JobStatus) else None)
        attempts = reading.number(document.get("attempts"))
        tries = document.get("tries") if attempts is None else attempts
        limit = reading.number(document.get("max_attempts"))
        request = document.get("request")
        batch_id = reading.text(document.get("batch_id"))
        # A test whose mark cannot be read keeps the batch that does not exist: it is not dialled.
        test = BatchTest.read(document.get("test")) if batch_id == TESTS else None
        return cls(
            id=document["_id"],
            job_id=reading.usable_name(document.get("job_id")) or reading.as_printable(document["_id"]),
            # A job with an unknown status is not dialled: it reads as SUSPENDED.
            status=status or JobStatus.SUSPENDED,
            account_id=reading.text(document.get("account_id")),
            batch_id=batch_id if test is None else None,
            contact=Contact.read(document),
            attempts=max(0, reading.whole(tries)),
            max_attempts=None if limit is None else int(limit),
            reserved_until=reading.due_time(document.get("reserved_until")),
            worker_id=reading.text(document.get("worker_id")),
            claim_token=reading.text(document.get("claim_token")),
            revision=reading.whole(document.get("revision")),
            dial=Dial.read(document.get("dial")),
            dead_phones=frozenset(
                phone for phone in map(reading.text, reading.sequence(document.get("dead_phones"))) if phone
            ),
            excused_faults=reading.whole(document.get("excused_faults")),
            crashes=reading.whole(document.get("crashes")),
            call_id=reading.text(document.get("call_id")),
            suspend_reason=reading.text(document.get("suspend_reason")),
            request=dict(request) if isinstance(request, dict) else None,
            # An unreadable mark counts: then the job's call is looked up before it is called again.
            foreign=reading.flag(document.get("foreign"), default=document.get("foreign") is not None),
            import_id=reading.text(document.get("import_id")),
            deleted_in_call=reading.flag(document.get("deleted_in_call"), default=False),
            test=test,
            field_faults=_faults(document, size),
            document=document,
        )


def _faults(document: Document, size: int) -> tuple[FieldFault, ...]:
    found = faults.of_job(document)
    stored = document.get("dial")
    if stored is not None and not _is_readable_dial(stored):
        unread = FieldFault(field="dial", what="is an open dial that cannot be read", forbids=True)
        found = (unread, *(fault for fault in found if fault.field != "dial"))
    if size > faults.MAX_JOB_BYTES:
        large = f"has {size / 2**20:.1f} MiB: no room is left for its call's result"
        found = (FieldFault(field="document", what=large, forbids=True), *found)
    return found


def _is_readable_dial(stored: object) -> bool:
    dial = Dial.read(stored)
    if dial is None:
        return False
    verdict = reading.mapping(stored).get("verdict")
    try:
        return verdict is None or bool(Verdict.read(verdict))
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
