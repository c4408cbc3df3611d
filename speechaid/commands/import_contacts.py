"""``import``: adds the contacts of a file to a batch; ``--start`` or ``resume-batch`` starts their calls.

A new batch stays paused; contacts that are added to an active batch are ``suspended``, reason
``not_started``. An import that broke off is completed by importing the same file with ``--batch``: contacts
that exist are left out.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final

from speechaid.campaign.importer import Parsed, complete_job
from speechaid.campaign.kinds import Kind
from speechaid.campaign.people import id_key_of, line_key
from speechaid.commands.batch_agent import pin_version, require_level_of
from speechaid.commands.batch_copy import same_name_remark, with_copied_settings
from speechaid.commands.batch_fields import batch_fields, given_options
from speechaid.commands.batch_start import (
    IMPORT_GOES_ON,
    IMPORTED_PAUSED,
    NOT_STARTED,
    Waiting,
    count_waiting,
    refuse_past_start,
    refuse_to_start_paused,
    require_hours,
    say_first_calls,
    start_imported,
)
from speechaid.commands.batches import check_account
from speechaid.commands.bulk_actions import in_portions
from speechaid.commands.ids import refuse_cancelled, resolve_open_batch
from speechaid.commands.import_answer import import_answer, row_preview
from speechaid.commands.import_choices import read_choices, read_mapping
from speechaid.commands.import_drafts import Drafts
from speechaid.commands.import_record import RESULT_FIELDS, record_progress
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.known_people import OPTED_OUT, SHARED, KnownPeople, called_since
from speechaid.commands.options import country
from speechaid.commands.reading import await_reader
from speechaid.commands.start_check import StartCheck, check_before_start, warn_of_variables
from speechaid.dialer.context import agent_choice
from speechaid.errors import NotFound, StoreUnavailable
from speechaid.importing.contacts import ContactsReading
from speechaid.model.batch import Batch
from speechaid.model.reading import Document, mapping
from speechaid.model.states import JobStatus, SuspendReason
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say, say_n
from speechaid.rules.numbers import line_identity
from speechaid.rules.phones import country_of, is_country
from speechaid.store.do_not_call import person_forms

#: Jobs written, or read, by one database command; writes are one flush of its journal.
_CHUNK: Final = 1000
#: Jobs of the account that are read at once to find known people, for each contact of the file: reading a job
#: costs a fifth of looking up a contact's keys (``benchmarks/import_file.py``).
_READ_AHEAD: Final = 2
#: Options of a batch that the import creates, with their defaults.
_NEW_BATCH_OPTIONS: Final = {
    **dict.fromkeys(("name", "copy_from", "description", "account", "priority", "hours", "days", "timezone")),
    **dict.fromkeys(("start_at", "max_attempts", "retry_delay_hours", "ring_timeout", "max_call_duration")),
    **dict.fromkeys(("max_concurrent_calls", "agent", "agent_version", "from_number", "language")),
    **dict.fromkeys(("voicemail_option", "dnc_detection", "purpose", "pack_variant")),
    **dict.fromkeys(("voicemail_counts", "no_voicemail_counts", "paused"), False),
}


Step = Callable[[HandlerContext], Result | Continue]


@dataclass(kw_only=True)
class _Import:
    """The state of an import: the file is read in a child, then compared and written, in chunks."""

    reading: ContactsReading
    drafts: Drafts
    country: str
    sha256: str
    #: None for a new batch, which is created once the file has been read.
    batch: Batch | None
    account_id: str | None
    #: Whether rows with numbers that no numbering plan has are kept: then they are dialled, too.
    accept_unassigned: bool
    #: Whether numbers of three people or more are kept.
    accept_shared: bool
    #: None in a dry run.
    import_id: str | None = None
    known: KnownPeople | None = None
    #: When all jobs of the account were read; None: there are too many, each chunk's people are looked up.
    all_read_at: datetime | None = None
    #: An earlier import of the same file.
    same_file: Result | None = None
    documents: list[Document] = field(default_factory=list)
    #: How many of the documents have been compared, and written where they are new.
    position: int = 0
    imported: int = 0
    #: Who was imported, and on which phones they may be called.
    waiting: Waiting = field(default_factory=Waiting)
    already_there: int = 0
    #: Known people: left out, or imported nevertheless.
    left_out: int = 0
    started_at: datetime | None = None
    #: With ``--start``: what Retell said before anything was read.
    start_check: StartCheck | None = None

    @property
    def parsed(self) -> Parsed:
        """The contents of the file."""
        return self.reading.parsed


def import_contacts(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Read the whole file before writing anything, so that an unusable file changes nothing."""
    command = with_copied_settings(context, command)
    _check_options(command)
    named = command.args["batch"]
    batch = None if named is None else resolve_open_batch(context.store, named, say("imported into"))
    check_account(context, command)
    if batch is None and command.args["start_at"]:
        refuse_past_start(context, batch_fields(command.args, name="-"))
    if command.args["start"]:
        remedy = say("add --hours 09:00-19:00") if batch is None else say("give them to resume-batch")
        require_hours(batch, context.settings, command.args, remedy=remedy)
        if batch is not None:
            refuse_to_start_paused(batch)
    account_id = command.args["account"] if batch is None else batch.account_id
    choices = read_choices(command.args, context.store.imports.mappings_of(account_id))
    data = command.attachment or b""
    of_file = _country(context, command, batch)

    def read(context: HandlerContext, check: StartCheck | None = None) -> Result | Continue:
        drafts = Drafts(account_id)
        reading = ContactsReading(
            context.readers,
            data,
            command.args["filename"],
            country=of_file,
            today=context.store.now().date(),
            choices=choices,
            on_rows=drafts.add,
        )
        work = _Import(
            reading=reading,
            drafts=drafts,
            country=of_file,
            sha256=hashlib.sha256(data).hexdigest(),
            batch=batch,
            account_id=account_id,
            start_check=check,
            accept_unassigned=Kind.UNASSIGNED in choices.accepted,
            accept_shared=Kind.SHARED in choices.accepted,
        )
        return await_reader(
            context,
            command,
            reading,
            lambda context: _prepare(context, command, work),
            needs_client=command.args["dry_run"],
        )

    if not command.args["start"] or command.args["dry_run"]:
        return read(context)
    fields = {} if batch is not None else batch_fields(command.args, name="")
    planned = batch or Batch.read({"_id": "", **fields})
    return check_before_start(context, agent_choice(context.settings, planned), of_file, read)


def _country(context: HandlerContext, command: Invocation, batch: Batch | None) -> str:
    """The country of national numbers: the option's, else the batch's, the account's, the setting's."""
    if command.args["country"] is not None:
        return str(country(command.args["country"]))
    account_id = command.args["account"] if batch is None else batch.account_id
    account = None if account_id is None else context.store.accounts.find(account_id)
    found = country_of(batch, account, context.settings.dialling.default_country)
    if found is None or not is_country(found):
        owner = say("batch") if batch is not None and batch.country else say("account")
        message = say(
            "the {owner}'s country {found!r} is not a country code: give --country, such as CL",
            owner=owner,
            found=found,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    return found


def _check_options(command: Invocation) -> None:
    args = command.args
    for option in ("row", "show_values"):
        if args[option] and not args["dry_run"]:
            message = say("--{option} needs --dry-run", option=option.replace("_", "-"))
            raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    if args["start"] and args["paused"]:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("--start and --paused exclude each other"))
    if args["batch"] is None:
        given_options(args)  # refuse before the file is read
        return
    given = [
        f"--{name.replace('_', '-')}"
        for name, default in _NEW_BATCH_OPTIONS.items()
        if args[name] is not None and args[name] != default
    ]
    if given:
        message = say("--batch uses the settings of that batch: leave out {given}", given=joined(", ", given))
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)


# -- reading -----------------------------------------------------------------------------------------------


def _prepare(context: HandlerContext, command: Invocation, work: _Import) -> Result | Continue:
    """Once the whole file has been read: refuse it, or complete its jobs."""
    _check_rows(work.parsed, command)
    _check_file(context, command, work)
    if not command.args["dry_run"]:
        _begin(context, command, work)
    work.started_at = context.store.now()
    return _complete_documents(context, command, work)


def _complete_documents(context: HandlerContext, command: Invocation, work: _Import) -> Result | Continue:
    """Complete the jobs of one chunk of rows; the next chunk is another task of the database thread."""
    rows = work.parsed.rows[len(work.documents) : len(work.documents) + _CHUNK]
    documents = list(map(work.drafts.take, rows))
    now = work.started_at or context.store.now()
    for document in documents:
        batch_id = "" if work.batch is None else work.batch.batch_id
        complete_job(document, batch_id=batch_id, import_id=work.import_id, now=now)
    if not command.args["dry_run"] and _waits_for_start(command, work):
        for document in documents:
            document["status"] = JobStatus.SUSPENDED.value
            document["suspend_reason"] = SuspendReason.NOT_STARTED.value
            document["suspended_at"] = document["created_at"]
    work.documents += documents
    if len(work.documents) < len(work.parsed.rows):
        return Continue(after_seconds=0.0, step=lambda context: _complete_documents(context, command, work))
    return _compare_with_old(context, command, work)


def _waits_for_start(command: Invocation, work: _Import) -> bool:
    """Whether the jobs are suspended until they are started: an operator's pause holds them as well.

    A batch that ``pause-all`` paused may be resumed with all others, without a word about this import.
    """
    batch = work.batch
    if command.args["batch"] is None or batch is None:
        return False
    return batch.is_active or bool((batch.pause or {}).get("all"))


def _check_rows(parsed: Parsed, command: Invocation) -> None:
    bad = len(parsed.bad_rows)
    if command.args["dry_run"] and not (bad and command.args["strict"]):
        return  # what each column was taken for shows why no row can be used
    if parsed.rows and not (bad and command.args["strict"]):
        return
    lines = joined(
        "",
        (say("\n  line {line}: {reason}", line=row.line, reason=row.reason) for row in parsed.bad_rows[:10]),
    )
    more = say("\n  and {bad} more", bad=bad - 10) if bad > 10 else ""
    kinds = sorted({row.kind for row in parsed.bad_rows if row.kind is not None})
    keeps = say("\n--accept {kinds} keeps such rows", kinds=",".join(kinds)) if kinds else ""
    if not bad:
        skipped = joined(
            "",
            (
                say("\n  line {line}: {text}", line=remark.line, text=remark.text)
                for remark in parsed.remarks[:10]
            ),
        )
        raise CommandRefused(
            ErrorCode.REFUSED, say("nothing was imported: every row is left out:{skipped}", skipped=skipped)
        )
    cause = say("--strict was given, and the file has") if parsed.rows else say("no row can be used;")
    message = say_n(
        "nothing was imported: {cause} {count} bad row:{lines}{more}{keeps}",
        "nothing was imported: {cause} {count} bad rows:{lines}{more}{keeps}",
        bad,
        cause=cause,
        lines=lines,
        more=more,
        keeps=keeps,
    )
    raise CommandRefused(ErrorCode.REFUSED, message)


def _check_file(context: HandlerContext, command: Invocation, work: _Import) -> None:
    """Refuse the same file for the same account again, unless it goes on with its own batch."""
    for record in context.store.imports.of_file(work.account_id, work.sha256):
        batch_id = str(record.get("batch_id"))
        if work.batch is not None and work.batch.batch_id == batch_id:
            if record.get("finished_at") is None:
                work.import_id = str(record["_id"])
            return
        batch = context.store.batches.find(batch_id)
        is_in = record.get("finished_at") is not None and bool(record.get("contacts"))
        if not is_in or batch is None or batch.document.get("cancelled"):
            continue
        work.same_file = {
            "import_id": str(record["_id"]),
            "batch_id": batch_id,
            "by": record.get("by"),
            "at": record.get("started_at"),
        }
        if command.args["duplicates"] == "leave-out" and not command.args["dry_run"]:
            message = say(
                "nothing was imported: the same file is in batch {batch_id} already, imported"
                " {started_at:%Y-%m-%d %H:%M} UTC by {by}; --batch {batch_id} completes it,"
                " --duplicates keep imports it once more",
                batch_id=batch_id,
                started_at=record["started_at"],
                by=record.get("by"),
            )
            raise CommandRefused(ErrorCode.REFUSED, message)
        return


def _begin(context: HandlerContext, command: Invocation, work: _Import) -> None:
    """Record the import, in a batch that stays paused until its last row is imported."""
    if work.batch is None:
        work.batch = _new_batch(context, command, accept_unassigned=work.accept_unassigned)
    elif work.accept_unassigned and not work.batch.accept_unassigned:
        context.store.batches.accept_unassigned(work.batch.batch_id)
    if work.import_id is None:
        work.import_id = context.store.imports.create(
            {
                "batch_id": work.batch.batch_id,
                "account_id": work.account_id,
                "file": command.args["filename"],
                "sha256": work.sha256,
                "by": command.actor,
                "created_batch": command.args["batch"] is None,
            }
        )
    mapping = {**work.parsed.kept_mapping, **read_mapping(command.args["map"] or ())}
    if command.args["map"]:
        context.store.imports.keep_mapping(work.account_id, work.parsed.titles_key, mapping, by=command.actor)


def _new_batch(context: HandlerContext, command: Invocation, *, accept_unassigned: bool) -> Batch:
    name = command.args["name"] or PurePath(command.args["filename"]).stem
    fields = batch_fields(command.args, name=name, accept_unassigned=accept_unassigned)
    fields["is_active"] = False
    fields["pause"] = {"by": command.actor, "reason": IMPORT_GOES_ON, "at": context.store.now()}
    require_level_of(context, fields, by=command.actor)
    return context.store.batches.get(context.store.batches.create({**fields, "created_by": command.actor}))


# -- comparing and writing ---------------------------------------------------------------------------------


def _compare_with_old(context: HandlerContext, command: Invocation, work: _Import) -> Result | Continue:
    """Find known people among the account's jobs: all, where they are not many more than the file's rows.

    Else those without keys, which other programs and earlier versions made; ``_new_ones`` finds the others.
    """
    work.known = KnownPeople(
        batch_id="" if work.batch is None else work.batch.batch_id,
        import_id=work.import_id,
        since=called_since(context.store.now(), context.settings.dialling.repeat_days),
        country=work.country,
    )
    work.known.restrict_to(work.documents)
    began, most = context.store.now(), max(_CHUNK, _READ_AHEAD * len(work.documents))

    def from_all(context: HandlerContext) -> Result | Continue:
        work.all_read_at = began
        return _write(context, command, work)

    def from_those_without_keys(context: HandlerContext) -> Result | Continue:
        rows = context.store.imports.jobs_without_keys(work.account_id)
        return _read_jobs(context, command, work, rows, then=lambda context: _write(context, command, work))

    rows = context.store.imports.jobs_of_account(work.account_id)
    return _read_jobs(
        context, command, work, rows, then=from_all, at_most=most, beyond=from_those_without_keys
    )


def _read_jobs(
    context: HandlerContext,
    command: Invocation,
    work: _Import,
    rows: Generator[Document],
    *,
    then: Step,
    at_most: float = math.inf,
    beyond: Step | None = None,
) -> Result | Continue:
    """Remember the known people of jobs, in portions; go on with ``beyond`` where there are more."""
    read = 0

    def step(context: HandlerContext) -> Result | Continue:
        nonlocal read
        assert work.known is not None  # noqa: S101 - set before
        chunk = _portion(rows, command, work)
        work.known.add(chunk)
        read += len(chunk)
        if len(chunk) < _CHUNK:
            return then(context)
        if read >= at_most and beyond is not None:
            rows.close()
            return beyond(context)
        return Continue(after_seconds=0.0, step=step)

    return step(context)


def _portion(rows: Generator[Document], command: Invocation, work: _Import) -> list[Document]:
    with _incomplete(command, work):
        return list(itertools.islice(rows, _CHUNK))


def _write(context: HandlerContext, command: Invocation, work: _Import) -> Result | Continue:
    """Write the new contacts of one chunk; the next chunk is another task of the database thread."""
    chunk = work.documents[work.position : work.position + _CHUNK]
    with _incomplete(command, work):
        new = _new_ones(context, command, work, chunk) if chunk else []
        if new and not command.args["dry_run"]:
            context.store.jobs.insert_many(new)
            work.waiting.add(context, new, work.country)
        work.position += len(chunk)
        work.imported += len(new)
        if work.position >= len(work.documents):
            return _finish(context, command, work)
        if not command.args["dry_run"]:
            _record(context, command, work)
    state = "comparing" if command.args["dry_run"] else "importing"
    command.progress({"state": state, "done": work.position, "of": len(work.documents)})
    return Continue(after_seconds=0.0, step=lambda context: _write(context, command, work))


@contextmanager
def _incomplete(command: Invocation, work: _Import) -> Iterator[None]:
    """A database that goes away leaves an incomplete import: the refusal says how it is completed."""
    try:
        yield
    except StoreUnavailable as exc:
        if work.batch is None or command.args["dry_run"]:
            raise
        message = say(
            "{exc}: the import is incomplete; import the same file again with --batch {batch_id}",
            exc=exc,
            batch_id=work.batch.batch_id,
        )
        raise CommandRefused(ErrorCode.UNAVAILABLE, message) from exc


def _new_ones(
    context: HandlerContext, command: Invocation, work: _Import, chunk: Sequence[Document]
) -> list[Document]:
    """The contacts of a chunk that are not in their batch, nor known in the account."""
    known = work.known
    assert known is not None  # noqa: S101 - set before the first chunk
    imports = context.store.imports
    if work.all_read_at is None or imports.has_others_since(
        work.account_id, work.all_read_at, besides=work.import_id
    ):
        # The keys of a person stay together: a query then finds each of their jobs once, not once a key.
        keys = list(dict.fromkeys(key for document in chunk for key in document["person_keys"]))
        known.add(imports.jobs_of_people(work.account_id, keys))
    forms = [
        person_forms(work.account_id, id_key_of(mapping(document["contact"]).get("dni")))
        for document in chunk
    ]
    listed = context.store.do_not_call.listed_people(sorted({form for own in forms for form in own}))
    new = []
    for row, document, own in zip(work.parsed.rows[work.position :], chunk, forms, strict=False):
        if document["contact_key"] in known.in_batch:
            work.already_there += 1
            continue
        if not listed.isdisjoint(own):
            known.note_opted_out(row.line)
            work.left_out += 1
            continue
        if not work.accept_shared and not _without_shared(document, known.find_shared(document)):
            known.note_shared(row.line)
            work.left_out += 1
            continue
        match = known.find_match(document)
        if match is not None:
            known.note(row.line, match)
            if command.args["duplicates"] == "leave-out":
                work.left_out += 1
                continue
        new.append(document)
    known.in_batch.update(str(document["contact_key"]) for document in new)
    return new


def _without_shared(document: Document, shared: Collection[str]) -> bool:
    """Take the phones of these lines out of a contact; whether it has any left."""
    if not shared:
        return True
    contact = mapping(document["contact"])
    phones = [phone for phone in contact["phones"] if line_key(line_identity(phone)) not in shared]
    if phones:
        document["contact"] = {**contact, "phones": phones}
        document["to_number"] = phones[0]
        document["person_keys"] = [key for key in document["person_keys"] if key not in shared]
    return bool(phones)


def _record(context: HandlerContext, command: Invocation, work: _Import, **more: Any) -> None:
    """Record the progress, where ``imports`` and a repeated import find it."""
    assert work.batch is not None  # noqa: S101 - as in _finish
    assert work.import_id is not None  # noqa: S101 - as in _finish
    fields = {
        "import_id": work.import_id,
        "file": command.args["filename"],
        "by": command.actor,
        "started_at": work.started_at,
        "done": work.position,
        "of": len(work.documents),
        "imported": work.imported,
        "already_there": work.already_there,
        "left_out": work.left_out,
        "bad_rows": len(work.parsed.bad_rows),
    }
    record_progress(context, work.batch, fields | more)
    if more:
        contacts = work.imported + work.already_there
        result = {name: fields[name] for name in RESULT_FIELDS}
        context.store.imports.note(work.import_id, {"contacts": contacts, **result, **more})


# -- the answer --------------------------------------------------------------------------------------------


def _finish(context: HandlerContext, command: Invocation, work: _Import) -> Result | Continue:
    known = work.known
    assert known is not None  # noqa: S101 - set before the first chunk
    result = import_answer(work.parsed, command) | {
        "dry_run": command.args["dry_run"],
        "import_id": work.import_id,
        "already_there": work.already_there,
        "left_out": work.left_out,
        "known": {"counts": dict(known.counts), "people": known.named},
        "same_file": work.same_file,
    }
    if command.args["dry_run"]:
        batch_id = None if work.batch is None else work.batch.batch_id
        result |= {"batch_id": batch_id, "created": False, "imported": 0, "would_import": work.imported}
        return result | _preview(context, command, work)
    assert work.batch is not None  # noqa: S101 - created before the first row was written
    created = command.args["batch"] is None
    if context.store.batches.get(work.batch.batch_id).cancelled is not None:
        return _cancelled_meanwhile(context, command, work)
    if created and work.imported == 0:
        _drop_empty(context, work)
    _record(context, command, work, finished_at=context.store.now())
    batch_id = work.batch.batch_id
    if created and not command.args["start"]:
        reason = IMPORTED_PAUSED if command.args["paused"] else NOT_STARTED
        context.store.batches.pause(batch_id, by=command.actor, reason=reason)

    remark = same_name_remark(context, batch_id, work.batch.name, work.account_id) if created else None

    def finish(context: HandlerContext, more: Result) -> Result | Continue:
        batch = context.store.batches.get(batch_id)
        answer = result | {
            "batch_id": batch_id,
            "name": batch.name,
            "created": created,
            "active": batch.is_active,
            "waits_for_start": not command.args["start"],
            "imported": work.imported,
            **({} if remark is None else {"name_remark": remark}),
            **more,
        }
        if work.start_check is None:
            return answer
        return warn_of_variables(context, batch_id, work.start_check, answer)

    if command.args["start"]:
        if work.start_check is not None:
            pin_version(context, batch_id, work.start_check, by=command.actor)
        context.store.batches.resume(batch_id, by=command.actor)
        return start_imported(context, command, batch_id, finish)
    if created:
        return finish(context, say_first_calls(context, batch_id, work.waiting))
    return count_waiting(context, batch_id, finish)


def _cancelled_meanwhile(context: HandlerContext, command: Invocation, work: _Import) -> Continue:
    """The batch was cancelled during the import: what came after that is cancelled, too."""
    assert work.batch is not None  # noqa: S101 - as in _finish
    batch_id = work.batch.batch_id
    _record(context, command, work, finished_at=context.store.now())
    changes = {"cancel_reason": "batch_cancelled"}

    def finish(context: HandlerContext, _: int) -> Result:
        refuse_cancelled(context.store.batches.get(batch_id), say("imported into"))
        raise NotFound(say("no batch {batch_id}", batch_id=batch_id))

    return in_portions(
        command,
        lambda context: context.store.operator_actions.cancel_waiting(batch_id, _CHUNK, changes),
        finish,
    )


def _drop_empty(context: HandlerContext, work: _Import) -> None:
    """Every contact of the file is known: no empty batch is left behind."""
    assert work.batch is not None  # noqa: S101 - as in _finish
    assert work.import_id is not None  # noqa: S101 - as in _finish
    assert work.known is not None  # noqa: S101 - as in _finish
    context.store.batches.delete(work.batch.batch_id)
    context.store.imports.remove(work.import_id)
    counts = joined(", ", (f"{count} {state}" for state, count in sorted(work.known.counts.items())))
    if set(work.known.counts) <= {OPTED_OUT, SHARED} and work.known.counts[SHARED]:
        message = say_n(
            "nothing was imported: no number of the {count} person may be called: it stands"
            " under three people or more of the account, or the person is on the do-not-call"
            " list (--accept shared keeps such numbers)",
            "nothing was imported: no number of the {count} people may be called: it stands"
            " under three people or more of the account, or the person is on the do-not-call"
            " list (--accept shared keeps such numbers)",
            work.left_out,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    if set(work.known.counts) == {OPTED_OUT}:
        message = say_n(
            "nothing was imported: everybody in the file ({count} person) has opted out by"
            " national id (speechctl dnc ID)",
            "nothing was imported: everybody in the file ({count} people) has opted out by"
            " national id (speechctl dnc ID)",
            work.left_out,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    first = next(row for row in work.known.named if row["state"] not in {OPTED_OUT, SHARED})
    message = say_n(
        "nothing was imported: everybody in the file ({count} person) is in the account"
        " already ({counts}; line {line}: job {job_id} of batch {batch_id}); --duplicates"
        " keep imports them all the same",
        "nothing was imported: everybody in the file ({count} people) is in the account"
        " already ({counts}; line {line}: job {job_id} of batch {batch_id}); --duplicates"
        " keep imports them all the same",
        work.left_out,
        counts=counts,
        line=first["line"],
        job_id=first["job_id"],
        batch_id=first["batch_id"],
    )
    raise CommandRefused(ErrorCode.REFUSED, message)


def _preview(context: HandlerContext, command: Invocation, work: _Import) -> Result:
    if command.args["row"] is None:
        return {}
    account = None if work.account_id is None else context.store.accounts.find(work.account_id)
    default = context.settings.dialling
    zone = work.batch.call_settings.timezone if work.batch else command.args["timezone"]
    of_batch = country_of(work.batch, account, default.default_country) if work.batch else work.country
    shown = row_preview(
        work.parsed,
        zip(work.parsed.rows, work.documents, strict=True),
        command.args["row"],
        now=context.store.now(),
        zone=str(zone or (account.timezone if account else None) or default.default_timezone),
        country=of_batch,
    )
    return {"preview": shown}
