"""``import``: adds the contacts of a file to a batch.

A new batch stays paused until its last row is imported, so that no incomplete campaign is called. An import
that broke off is completed by importing the same file with ``--batch``: contacts that exist are left out.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final

from speechaid.campaign.importer import ContactsReader, Parsed, job_documents
from speechaid.commands.batch_fields import batch_fields, call_settings, country, night_warning
from speechaid.commands.batches import check_account
from speechaid.commands.ids import resolve_batch
from speechaid.commands.import_record import record_progress
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.errors import StoreUnavailable
from speechaid.model.batch import Batch
from speechaid.model.reading import Document
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import plural
from speechaid.rules.phones import country_of, is_country
from speechaid.store.connection import Store

#: Rows read by one task of the database thread; other tasks run between two chunks.
_READ_CHUNK: Final = 500
#: Jobs written by one database command, and so by one flush of its journal.
_WRITE_CHUNK: Final = 1000
#: Bad rows and remarks that the answer lists; of the others it has the number.
_MAX_LISTED: Final = 1000
#: Bad rows returned with their cells, limited by the size of an answer.
_MAX_RETURNED: Final = 20_000
#: Options of a batch that the import creates, with their defaults.
_NEW_BATCH_OPTIONS: Final = {
    **dict.fromkeys(("name", "description", "account", "hours", "days", "timezone", "max_attempts")),
    **dict.fromkeys(("retry_delay_hours", "ring_timeout", "max_call_duration", "max_concurrent_calls")),
    **dict.fromkeys(("voicemail_counts", "paused"), False),
    "priority": "normal",
}


@dataclass(kw_only=True)
class _Import:
    """The state of an import: the file is read, then compared and written, in chunks."""

    reader: ContactsReader
    #: None for a new batch, which is created once the file has been read.
    batch: Batch | None
    documents: Sequence[Document] = ()
    #: How many of the documents have been compared, and written where they are new.
    position: int = 0
    imported: int = 0
    already_there: int = 0
    started_at: datetime | None = None

    @property
    def parsed(self) -> Parsed:
        """The contents of the file, as far as it has been read."""
        return self.reader.parsed


def import_contacts(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Read the whole file before writing anything, so that an unusable file changes nothing."""
    _check_options(command)
    batch = None if command.args["batch"] is None else resolve_batch(context.store, command.args["batch"])
    check_account(context, command)
    command.progress({"state": "reading"})
    reader = ContactsReader(
        command.attachment or b"",
        command.args["filename"],
        country=_country(context, command, batch),
        today=context.store.now().date(),
    )
    return _read(context, command, _Import(reader=reader, batch=batch))


def _country(context: HandlerContext, command: Invocation, batch: Batch | None) -> str:
    """The country of national numbers: the option's, else the batch's, the account's, the setting's."""
    if command.args["country"] is not None:
        return str(country(command.args["country"]))
    account_id = command.args["account"] if batch is None else batch.account_id
    account = None if account_id is None else context.store.accounts.find(account_id)
    found = country_of(batch, account, context.settings.dialling.default_country)
    if found is None or not is_country(found):
        owner = "batch" if batch is not None and batch.country else "account"
        message = f"the {owner}'s country {found!r} is not a country code: give --country, such as CL"
        raise CommandRefused(ErrorCode.REFUSED, message)
    return found


def _read(context: HandlerContext, command: Invocation, work: _Import) -> Result | Continue:
    """Read one chunk of the file: a pause or a hold must not wait for a large file."""
    if work.reader.read(_READ_CHUNK):
        return Continue(after_seconds=0.0, step=lambda context: _read(context, command, work))
    _check_rows(work.parsed, command)
    if work.batch is None and not command.args["dry_run"]:
        work.batch = _new_batch(context, command)
    batch_id = "" if work.batch is None else work.batch.batch_id
    account_id = command.args["account"] if work.batch is None else work.batch.account_id
    work.started_at = context.store.now()
    work.documents = _documents(context.store, work.parsed, batch_id, account_id)
    return _write(context, command, work)


def _check_options(command: Invocation) -> None:
    if command.args["batch"] is None:
        call_settings(command.args)  # refuse before the file is read
        return
    given = [
        f"--{name.replace('_', '-')}"
        for name, default in _NEW_BATCH_OPTIONS.items()
        if command.args[name] is not None and command.args[name] != default
    ]
    if given:
        message = f"--batch uses the settings of that batch: leave out {', '.join(given)}"
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)


def _check_rows(parsed: Parsed, command: Invocation) -> None:
    bad = len(parsed.bad_rows)
    if parsed.rows and not (bad and command.args["strict"]):
        return
    lines = "".join(f"\n  line {row.line}: {row.reason}" for row in parsed.bad_rows[:10])
    more = f"\n  and {bad - 10} more" if bad > 10 else ""
    cause = "--strict was given, and the file has" if parsed.rows else "no row can be used;"
    message = f"nothing was imported: {cause} {plural(bad, 'bad row')}:{lines}{more}"
    raise CommandRefused(ErrorCode.REFUSED, message)


def _new_batch(context: HandlerContext, command: Invocation) -> Batch:
    """Create a batch that stays paused until its last row is imported."""
    name = command.args["name"] or PurePath(command.args["filename"]).stem
    fields = batch_fields(command.args, name=name)
    fields["is_active"] = False
    fields["pause"] = {"by": command.actor, "reason": "the import goes on", "at": context.store.now()}
    return context.store.batches.get(context.store.batches.create({**fields, "created_by": command.actor}))


def _write(context: HandlerContext, command: Invocation, work: _Import) -> Result | Continue:
    """Write the new contacts of one chunk; the next chunk is another task of the database thread."""
    chunk = work.documents[work.position : work.position + _WRITE_CHUNK]
    try:
        new = _without_known(context.store, command, chunk) if chunk else []
        if new and not command.args["dry_run"]:
            context.store.jobs.insert_many(new)
        work.position += len(chunk)
        work.imported += len(new)
        work.already_there += len(chunk) - len(new)
        if work.position >= len(work.documents):
            return _finish(context, command, work)
        if not command.args["dry_run"]:
            _record(context, command, work)
    except StoreUnavailable as exc:
        if work.batch is None:
            raise
        message = (
            f"{exc}: the import is incomplete; import the same file again with --batch {work.batch.batch_id}"
        )
        raise CommandRefused(ErrorCode.UNAVAILABLE, message) from exc
    state = "comparing" if command.args["dry_run"] else "importing"
    command.progress({"state": state, "done": work.position, "of": len(work.documents)})
    return Continue(after_seconds=0.0, step=lambda context: _write(context, command, work))


def _record(context: HandlerContext, command: Invocation, work: _Import, **more: Any) -> None:
    """Record the progress in the batch, where ``imports`` finds it."""
    assert work.batch is not None  # noqa: S101 - as in _finish
    fields = {
        "file": command.args["filename"],
        "by": command.actor,
        "started_at": work.started_at,
        "done": work.position,
        "of": len(work.documents),
        "imported": work.imported,
        "already_there": work.already_there,
        "bad_rows": len(work.parsed.bad_rows),
    }
    record_progress(context, work.batch, fields | more)


def _finish(context: HandlerContext, command: Invocation, work: _Import) -> Result:
    answer = _answer(work.parsed, command) | {
        "dry_run": command.args["dry_run"],
        "already_there": work.already_there,
    }
    batch = work.batch
    if command.args["dry_run"]:
        batch_id = None if batch is None else batch.batch_id
        return answer | {"batch_id": batch_id, "created": False, "imported": 0, "would_import": work.imported}
    assert batch is not None  # noqa: S101 - created before the first row was written
    _record(context, command, work, finished_at=context.store.now())
    created = command.args["batch"] is None
    if created and command.args["paused"]:
        batch = context.store.batches.pause(batch.batch_id, by=command.actor, reason="imported paused")
    elif created:
        batch = context.store.batches.resume(batch.batch_id, by=command.actor)
    else:
        batch = context.store.batches.get(batch.batch_id)
    return answer | {
        "batch_id": batch.batch_id,
        "name": batch.name,
        "created": created,
        "active": batch.is_active,
        "imported": work.imported,
    }


def _answer(parsed: Parsed, command: Invocation) -> Result:
    """The contents of the file; bad rows, which hold personal data, only on request."""
    bad_rows = [{"line": row.line, "reason": row.reason, "row": row.row} for row in parsed.bad_rows]
    return ({"returned_rows": bad_rows[:_MAX_RETURNED]} if command.args["return_bad_rows"] else {}) | {
        "file": command.args["filename"],
        "warning": night_warning(command.args),
        "good_rows": len(parsed.rows),
        "bad_rows_count": len(parsed.bad_rows),
        "bad_rows": [{"line": row.line, "reason": row.reason} for row in parsed.bad_rows[:_MAX_LISTED]],
        "remarks_count": len(parsed.remarks),
        "remarks": [{"line": remark.line, "text": remark.text} for remark in parsed.remarks[:_MAX_LISTED]],
    }


def _documents(store: Store, parsed: Parsed, batch_id: str, account_id: str | None) -> list[Document]:
    return job_documents(
        parsed,
        batch_id=batch_id,
        account_id=account_id,
        now=store.now(),
        new_id=lambda: f"job-{secrets.token_hex(8)}",
    )


def _without_known(store: Store, command: Invocation, documents: Sequence[Document]) -> list[Document]:
    """The documents whose contact is not in their batch, or not in any batch of their account.

    Jobs of SpeechAI are not compared: how it made its keys is unknown.
    """
    of_account = command.args["duplicates"] == "account"
    if command.args["batch"] is None and not of_account:
        return list(documents)  # the batch is new
    query = {
        "account_id": documents[0].get("account_id"),
        "contact_key": {"$in": [document["contact_key"] for document in documents]},
    }
    batch_id = documents[0]["batch_id"]
    # batch_id is compared here, since with it in the query a simple database selects a worse index.
    known = {
        str(row["contact_key"])
        for row in store.jobs.table.find(query, fields=("contact_key", "batch_id"))
        if of_account or row.get("batch_id") == batch_id
    }
    return [document for document in documents if document["contact_key"] not in known]
