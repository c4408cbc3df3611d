"""``import``: a contacts file into a batch.

A new batch stays paused until its last row is in, so that no half of a campaign is called; where the import
breaks off, the same file with ``--batch`` goes on, since contacts that are there already are left out.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from speechaid.campaign.importer import Parsed, job_documents, read_contacts
from speechaid.commands.batch_fields import batch_fields, call_settings
from speechaid.commands.batches import check_account
from speechaid.commands.contract import Call, Desk, Later, Refused, Result
from speechaid.commands.ids import the_batch
from speechaid.errors import StoreUnavailable
from speechaid.model.batch import Batch
from speechaid.model.reading import Document
from speechaid.protocol import ErrorCode
from speechaid.store.connection import Store

#: Jobs written between two looks at what else the clerk has to do.
_CHUNK: Final = 500
#: Bad rows and remarks told one by one; beyond that only their number.
_MOST_LISTED: Final = 1000
#: Bad rows that are returned whole: what an answer can carry.
_MOST_RETURNED: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """An import under way."""

    parsed: Parsed
    batch_id: str
    name: str | None
    created: bool
    #: What is still to be written.
    documents: Sequence[Document]
    already_there: int
    total: int


def import_contacts(desk: Desk, call: Call) -> Result | Later:
    """Read the whole file first, then write in chunks, so that a file that cannot be used changes nothing."""
    _check_options(call)
    batch = None if call.args["batch"] is None else the_batch(desk.store, call.args["batch"])
    check_account(desk, call)
    call.progress({"state": "reading"})
    parsed = read_contacts(
        call.attachment or b"",
        call.args["filename"],
        country=call.args["country"] or desk.settings.dialling.default_country,
    )
    _check_rows(parsed, call)
    if call.args["dry_run"]:
        return _told(parsed, call) | _dry(desk, call, parsed, batch)
    plan = _begin(desk, call, parsed, batch)
    return _write(desk, call, plan)


def _check_options(call: Call) -> None:
    if call.args["batch"] is None:
        call_settings(call.args)  # refuse before the file is read
        return
    settings = call_settings(call.args)
    given = sorted(settings) + [
        name for name in ("name", "description", "account", "paused") if call.args[name]
    ]
    if given:
        message = f"with --batch the batch's own settings hold: leave out {', '.join(given)}"
        raise Refused(ErrorCode.BAD_ARGUMENT, message)


def _check_rows(parsed: Parsed, call: Call) -> None:
    bad = len(parsed.bad_rows)
    if parsed.rows and not (bad and call.args["strict"]):
        return
    first = "; ".join(f"line {row.line}: {row.reason}" for row in parsed.bad_rows[:10])
    more = f" and {bad - 10} more" if bad > 10 else ""
    what = f"{bad} bad rows and --strict" if parsed.rows else f"no row can be used, all {bad} are bad"
    raise Refused(ErrorCode.REFUSED, f"{what}, nothing was imported: {first}{more}")


def _dry(desk: Desk, call: Call, parsed: Parsed, batch: Batch | None) -> Result:
    there = 0
    if batch is not None:
        documents = _documents(desk.store, parsed, batch.batch_id, batch.account_id)
        there = len(documents) - len(_new_ones(desk.store, documents, call.args["duplicates"]))
    elif call.args["duplicates"] == "account":
        documents = _documents(desk.store, parsed, "", call.args["account"])
        there = len(documents) - len(_new_ones(desk.store, documents, "account"))
    return {
        "dry_run": True,
        "batch_id": None if batch is None else batch.batch_id,
        "created": False,
        "imported": 0,
        "would_import": len(parsed.rows) - there,
        "already_there": there,
    }


def _begin(desk: Desk, call: Call, parsed: Parsed, batch: Batch | None) -> _Plan:
    store = desk.store
    if batch is None:
        name = call.args["name"] or PurePath(call.args["filename"]).stem
        fields = batch_fields(call.args, name=name)
        fields["is_active"] = False
        fields["pause"] = {"by": call.actor, "reason": "the import goes on", "at": store.now()}
        batch_id = store.batches.create({**fields, "created_by": call.actor})
        account_id = call.args["account"]
    else:
        batch_id, name, account_id = batch.batch_id, batch.name, batch.account_id
    documents = _documents(store, parsed, batch_id, account_id)
    call.progress({"state": "comparing"})
    duplicates = call.args["duplicates"]
    new = documents if batch is None and duplicates == "batch" else _new_ones(store, documents, duplicates)
    return _Plan(
        parsed=parsed,
        batch_id=batch_id,
        name=name,
        created=batch is None,
        documents=new,
        already_there=len(documents) - len(new),
        total=len(new),
    )


def _write(desk: Desk, call: Call, plan: _Plan) -> Result | Later:
    """One chunk; the next is another task of the clerk's."""
    chunk, rest = plan.documents[:_CHUNK], plan.documents[_CHUNK:]
    try:
        if chunk:
            desk.store.jobs.insert_many(chunk)
        if not rest:
            return _finish(desk, call, plan)
    except StoreUnavailable as exc:
        message = f"{exc}: some contacts are in; import the same file again with --batch {plan.batch_id}"
        raise Refused(ErrorCode.UNAVAILABLE, message) from exc
    call.progress({"state": "importing", "done": plan.total - len(rest), "of": plan.total})
    following = _Plan(**{**vars(plan), "documents": rest})
    return Later(after_seconds=0.0, step=lambda desk: _write(desk, call, following))


def _finish(desk: Desk, call: Call, plan: _Plan) -> Result:
    store = desk.store
    if plan.created and call.args["paused"]:
        batch = store.batches.pause(plan.batch_id, by=call.actor, reason="imported paused")
    elif plan.created:
        batch = store.batches.resume(plan.batch_id, by=call.actor)
    else:
        batch = store.batches.get(plan.batch_id)
    return _told(plan.parsed, call) | {
        "dry_run": False,
        "batch_id": plan.batch_id,
        "name": plan.name,
        "created": plan.created,
        "active": batch.is_active,
        "imported": plan.total,
        "already_there": plan.already_there,
    }


def _told(parsed: Parsed, call: Call) -> Result:
    """What the file held; the rows themselves, which hold people's data, only where they are asked for."""
    written = [{"line": row.line, "reason": row.reason, "row": row.row} for row in parsed.bad_rows]
    return ({"returned_rows": written[:_MOST_RETURNED]} if call.args["return_bad_rows"] else {}) | {
        "file": call.args["filename"],
        "good_rows": len(parsed.rows),
        "bad_rows_count": len(parsed.bad_rows),
        "bad_rows": [{"line": row.line, "reason": row.reason} for row in parsed.bad_rows[:_MOST_LISTED]],
        "remarks_count": len(parsed.remarks),
        "remarks": [{"line": remark.line, "text": remark.text} for remark in parsed.remarks[:_MOST_LISTED]],
    }


def _documents(store: Store, parsed: Parsed, batch_id: str, account_id: str | None) -> list[Document]:
    return job_documents(
        parsed,
        batch_id=batch_id,
        account_id=account_id,
        now=store.now(),
        new_id=lambda: f"job-{secrets.token_hex(8)}",
    )


def _new_ones(store: Store, documents: Sequence[Document], duplicates: str) -> list[Document]:
    """Those whose contact their batch, or any batch of their account, does not have yet.

    What SpeechAI's own keys were made of nobody knows: its jobs are not compared.
    """
    known: set[str] = set()
    for start in range(0, len(documents), _CHUNK):
        chunk = documents[start : start + _CHUNK]
        query: Document = {
            "account_id": chunk[0].get("account_id"),
            "contact_key": {"$in": [document["contact_key"] for document in chunk]},
        }
        if duplicates == "batch":
            query["batch_id"] = chunk[0]["batch_id"]
        known.update(str(row["contact_key"]) for row in store.jobs.table.find(query, fields=("contact_key",)))
    return [document for document in documents if document["contact_key"] not in known]
