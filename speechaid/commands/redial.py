"""``redial-batch``: a new batch, paused, of those of a batch whom no call reached.

The new batch is recorded first, under an ``_id`` of which there is one for each redial, then its jobs under
ids that follow from the old ones, in portions. So the same command, repeated after a crash or sent on two
hosts, completes one set and makes no second one.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.campaign.people import are_same_person, keys_of_job
from speechaid.commands.batch_agent import require_level_of
from speechaid.commands.batch_start import REDIAL_PAUSED
from speechaid.commands.ids import refuse_cancelled, resolve_open_batch
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.dialer.preflight import forms_of_person
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.reading import Document, mapping
from speechaid.model.states import JobStatus, Outcome
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say, say_n
from speechaid.rules import phones
from speechaid.rules.redial import NOT_REACHED, LeftOut, left_out, left_out_of_batch
from speechaid.store.jobs import read_job
from speechaid.store.table import Duplicate

#: Jobs read, or written, by one task of the database thread.
_PORTION: Final = 500
#: Fields of a job that the new one has, too.
_COPIED: Final = (
    *("account_id", "mode", "contact", "to_number", "nombre", "rut", "payload", "max_attempts"),
    *("contact_key", "person_keys", "name_key", "dead_phones"),
)
_BATCH_COPIED: Final = ("description", "account_id", "country", "priority", "call_settings")


@dataclass(kw_only=True)
class _Redial:
    """The state of one redial."""

    source: Batch
    outcomes: list[Outcome]
    country: str | None
    #: None in a dry run.
    batch: Batch | None
    #: The source, and the batches that called its people again.
    family: frozenset[str]
    #: Jobs of other programs, which have no person keys, of people whom this concerns; by key.
    keyless: dict[str, list[Job]] = field(default_factory=lambda: defaultdict(list))
    #: Keys of those whom no call reached, and ``_id`` of their jobs.
    wanted: set[str] = field(default_factory=set)
    meant: set[Any] = field(default_factory=set)
    #: Keys of the batch's other people, who are counted by why they are left out.
    others: set[str] = field(default_factory=set)
    added: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def keys_of(self, job: Job) -> list[str]:
        """The keys of a job's person."""
        return keys_of_job(job, self.country)

    @property
    def own_id(self) -> str | None:
        """The new batch's id."""
        return None if self.batch is None else self.batch.batch_id


def redial_batch(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Make the new batch, or complete the one that an interrupted command has begun."""
    outcomes = _outcomes(command.args["outcomes"])
    source = resolve_open_batch(context.store, command.args["batch"], say("called again"))
    account = None if source.account_id is None else context.store.accounts.find(source.account_id)
    earlier = context.store.batches.redials_of(source.batch_id)
    begun = _unfinished(earlier, outcomes)
    work = _Redial(
        source=source,
        outcomes=outcomes,
        country=phones.country_of(source, account, context.settings.dialling.default_country),
        batch=begun,
        family=frozenset({source.batch_id, *(batch.batch_id for batch in earlier)}),
    )
    return _collect_keys(context, command, work)


def _outcomes(text: str) -> list[Outcome]:
    """The outcomes of ``no-answer,busy``.

    Raises:
        CommandRefused: one of them is unknown, or says that the person was reached or may not be called.
    """
    allowed = ", ".join(str(outcome).replace("_", "-") for outcome in NOT_REACHED)
    found: list[Outcome] = []
    for word in (part.strip() for part in text.split(",")):
        name = word.lower().replace("-", "_")
        if name not in set(NOT_REACHED):
            message = say(
                "outcomes: {word!r} is none after which a person is called again; there are: {allowed}",
                word=word,
                allowed=allowed,
            )
            raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
        found.append(Outcome(name))
    return sorted(set(found))


def _unfinished(earlier: Iterable[Batch], outcomes: list[Outcome]) -> Batch | None:
    """The redial that was interrupted, which is completed; None where there is none."""
    for batch in earlier:
        record = mapping(batch.document.get("redial"))
        if record.get("finished_at") is not None or batch.cancelled is not None:
            continue
        if record.get("outcomes") == [str(outcome) for outcome in outcomes]:
            return batch
        words = ",".join(str(word).replace("_", "-") for word in record.get("outcomes") or ())
        message = say(
            "an earlier redial-batch was interrupted: complete {batch_id} by repeating it with"
            " --outcomes {words}, or cancel-batch {batch_id}",
            batch_id=batch.batch_id,
            words=words,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    return None


# -- who is meant ------------------------------------------------------------------------------------------


def _collect_keys(context: HandlerContext, command: Invocation, work: _Redial) -> Result | Continue:
    """Collect the keys of the people concerned, then their jobs that other programs made without keys."""
    rows = context.store.operator_actions.find_over(work.source.batch_id, work.outcomes)

    def step(context: HandlerContext) -> Result | Continue:
        portion = list(itertools.islice(rows, _PORTION))
        for row in portion:
            work.wanted.update(work.keys_of(Job.read(row)))
            work.meant.add(row["_id"])
        if len(portion) == _PORTION:
            return Continue(after_seconds=0.0, step=step)
        others = context.store.operator_actions.of_batch(work.source.batch_id)
        return _count_others(context, command, work, others)

    return step(context)


def _count_others(
    context: HandlerContext, command: Invocation, work: _Redial, rows: Generator[Job]
) -> Result | Continue:
    """Count the batch's people none of whose jobs has one of the outcomes, by why they are left out."""
    portion = list(itertools.islice(rows, _PORTION))
    for job in portion:
        keys = set(work.keys_of(job))
        if job.id in work.meant or not keys.isdisjoint(work.wanted) or not keys.isdisjoint(work.others):
            continue
        reason = left_out_of_batch(job)
        work.left_out[str(reason)] += 1
        if reason is not LeftOut.ERASED:
            work.others |= keys
    if len(portion) == _PORTION:
        return Continue(after_seconds=0.0, step=lambda context: _count_others(context, command, work, rows))
    keyless = context.store.imports.jobs_without_keys(work.source.account_id)
    return _collect_keyless(context, command, work, keyless)


def _collect_keyless(
    context: HandlerContext, command: Invocation, work: _Redial, rows: Generator[Document]
) -> Result | Continue:
    portion = list(itertools.islice(rows, _PORTION))
    for job in map(Job.read, portion):
        for key in work.keys_of(job):
            if key in work.wanted:
                work.keyless[key].append(job)
    if len(portion) == _PORTION:
        return Continue(
            after_seconds=0.0, step=lambda context: _collect_keyless(context, command, work, rows)
        )
    if not command.args["dry_run"] and work.batch is None:
        work.batch = _new_batch(context, command, work)
    rows = context.store.operator_actions.find_over(work.source.batch_id, work.outcomes)
    return _add(context, command, work, rows)


def _new_batch(context: HandlerContext, command: Invocation, work: _Redial) -> Batch:
    """Record the new batch; where another host has done so meanwhile, that one is completed."""
    source, now = work.source, context.store.now()
    earlier = context.store.batches.redials_of(source.batch_id)
    number = 1 + max((_number_of(batch) for batch in earlier), default=0)
    copied = {name: source.document[name] for name in _BATCH_COPIED if source.document.get(name) is not None}
    fields: Document = {
        **deepcopy(copied),
        "_id": f"redial:{source.batch_id}:{number}",
        "name": command.args["name"] or f"{source.name or source.batch_id} - redial {number}",
        "is_active": False,
        "pause": {"by": command.actor, "reason": REDIAL_PAUSED, "at": now},
        "created_by": command.actor,
        "redial": {
            "of": source.batch_id,
            "number": number,
            "outcomes": [str(outcome) for outcome in work.outcomes],
            "by": command.actor,
            "started_at": now,
        },
    }
    require_level_of(context, fields, by=command.actor)
    try:
        return context.store.batches.get(context.store.batches.create(fields))
    except Duplicate as exc:
        begun = _unfinished(context.store.batches.redials_of(source.batch_id), work.outcomes)
        if begun is None:
            message = say("another redial-batch of this batch has just ended: see speechctl batches")
            raise CommandRefused(ErrorCode.REFUSED, message) from exc
        return begun


def _number_of(batch: Batch) -> int:
    number = mapping(batch.document.get("redial")).get("number")
    return number if isinstance(number, int) else 0


# -- adding ------------------------------------------------------------------------------------------------


def _add(
    context: HandlerContext, command: Invocation, work: _Redial, rows: Generator[Document]
) -> Result | Continue:
    """Add those of one portion who may be called again."""
    portion = [read_job(row) for row in itertools.islice(rows, _PORTION)]
    chosen = _chosen(context, work, portion)
    if work.batch is not None:
        context.store.jobs.insert_missing([_job_document(context, work, job) for job in chosen])
    work.added += len(chosen)
    if len(portion) < _PORTION:
        return _finish(context, command, work)
    command.progress({"state": "changing", "done": work.added})
    return Continue(after_seconds=0.0, step=lambda context: _add(context, command, work, rows))


def _chosen(context: HandlerContext, work: _Redial, portion: list[Job]) -> list[Job]:
    keys = {job.job_id: work.keys_of(job) for job in portion}
    everybody = sorted({key for of_job in keys.values() for key in of_job})
    related = map(Job.read, context.store.imports.jobs_of_people(work.source.account_id, everybody))
    by_key: dict[str, list[Job]] = defaultdict(list)
    for other in related:
        for key in work.keys_of(other):
            by_key[key].append(other)
    numbers = {job.job_id: _numbers(job, work.country) for job in portion}
    listed = context.store.do_not_call.listed(sorted(set().union(*numbers.values())) if numbers else [])
    forms = {job.job_id: forms_of_person(job) for job in portion}
    listed_people = context.store.do_not_call.listed_people(sorted(set().union(*forms.values())))
    chosen = []
    for job in portion:
        own = keys[job.job_id]
        others = {
            other.job_id: other
            for key in own
            for other in (*by_key[key], *work.keyless.get(key, ()))
            if other.id != job.id
            and other.batch_id != work.own_id
            and are_same_person(own, work.keys_of(other))
        }
        dead = phones.undialable(job.contact.phones, job.dead_phones, work.country)
        reason = left_out(
            job,
            others.values(),
            family=work.family,
            is_listed=bool(numbers[job.job_id] & listed) or not listed_people.isdisjoint(forms[job.job_id]),
            has_phone=phones.choose(job.contact.phones, 0, dead, work.country) is not None,
        )
        if reason is None:
            chosen.append(job)
        else:
            work.left_out[str(reason)] += 1
    return chosen


def _numbers(job: Job, country: str | None) -> set[str]:
    found = (phones.normalise(phone, country) for phone in job.contact.phones)
    return {number for number in found if number is not None}


def _job_document(context: HandlerContext, work: _Redial, job: Job) -> Document:
    """The new job: the same contact, nothing attempted; its id follows from the batch and the old job."""
    batch_id, now = str(work.own_id), context.store.now()
    digest = hashlib.sha256(f"{batch_id}:{job.id!r}".encode()).hexdigest()[:16]
    copied: dict[str, Any] = {
        name: deepcopy(job.document[name]) for name in _COPIED if job.document.get(name) is not None
    }
    if isinstance(copied.get("contact"), dict):
        copied["contact"]["next_phone_index"] = 0
    return {
        **copied,
        "person_keys": work.keys_of(job),
        "_id": f"job-{digest}",
        "job_id": f"job-{digest}",
        "batch_id": batch_id,
        "redial_of": job.job_id,
        "deduplication_key": f"{batch_id}:{job.document.get('contact_key') or digest}",
        "status": JobStatus.PENDING.value,
        "attempts": 0,
        "reserved_until": None,
        "created_at": now,
        "updated_at": now,
        "revision": 0,
    }


def _finish(context: HandlerContext, command: Invocation, work: _Redial) -> Result:
    counts = {str(reason): work.left_out[reason] for reason in LeftOut if work.left_out[reason]}
    result: Result = {
        "dry_run": command.args["dry_run"],
        "source": work.source.batch_id,
        "source_name": work.source.name,
        "outcomes": [str(outcome) for outcome in work.outcomes],
        "left_out": counts,
    }
    if work.batch is None:
        return {**result, "batch_id": None, "would_add": work.added, "added": 0}
    batch = context.store.batches.get(work.batch.batch_id)
    if work.added == 0 and not context.store.jobs.counts(batch.batch_id):
        context.store.batches.delete(batch.batch_id)
        why = joined(
            ", ",
            (joined(" ", (str(count), say(reason.replace("_", " ")))) for reason, count in counts.items()),
        )
        message = say(
            "nobody is left to be called again{why}; no batch was made",
            why=joined("", (": ", why)) if why else "",
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    if batch.cancelled is not None:
        # What was added after the cancellation must not wait for ever.
        changes = {"cancel_reason": "batch_cancelled"}
        while context.store.operator_actions.cancel_waiting(batch.batch_id, _PORTION, changes):
            pass
        refuse_cancelled(batch, "completed")
    context.store.batches.end_redial(batch.batch_id, added=work.added, left_out=counts)
    people = say_n("{count} person", "{count} people", work.added)
    text = say(
        "{people}; speechctl resume-batch {batch_id} starts it", people=people, batch_id=batch.batch_id
    )
    return {
        **result,
        "batch_id": batch.batch_id,
        "name": batch.name,
        "active": batch.is_active,
        "added": work.added,
        "text": text,
    }
