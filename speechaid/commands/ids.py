"""Finds the batch, job or account of an id or of its unique beginning; a batch also by its name."""

from __future__ import annotations

from typing import Final

from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.errors import NotFound
from speechaid.model.account import Account
from speechaid.model.batch import Batch, batch_name
from speechaid.model.job import Job
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import SAFE_ID
from speechaid.protocol.translation import joined, say
from speechaid.store.connection import Store

#: Matching ids that an error message shows.
_SHOWN = 5
#: Upper bound of the ids that completion offers.
_OFFERED = 100


def resolve_batch(store: Store, name: str, account_id: str | None = None) -> Batch:
    """The batch whose id is ``name``, else the only one of that name, else the only one whose id begins so.

    Args:
        store: the database.
        name: as typed.
        account_id: only batches of this account are there; None: of all.

    Raises:
        CommandRefused: there is none, or more than one.
    """
    found = store.batches.find(name)
    if found is not None and account_id in {None, found.account_id}:
        return found
    # Of other programs and earlier versions a name is stored as it was typed there.
    named = [
        *dict.fromkeys(
            found
            for form in (name, batch_name(name))
            for found in store.batches.find_by_name(form, _SHOWN + 1, account_id)
        )
    ]
    if len(named) > 1:
        ids_shown = joined(", ", named[:_SHOWN]) + (", ..." if len(named) > _SHOWN else "")
        message = say(
            "more than one batch has the name {name!r}, so give the id: {ids_shown}",
            name=name,
            ids_shown=ids_shown,
        )
        raise CommandRefused(ErrorCode.AMBIGUOUS_ID, message)
    return store.batches.get(
        named[0]
        if named
        else _unique("batch", name, store.batches.find_by_prefix(name, _SHOWN + 1, account_id))
    )


def resolve_open_batch(store: Store, name: str, verb: str) -> Batch:
    """As ``resolve_batch``, for a command that a cancelled batch does not take.

    Args:
        store: the database.
        name: as typed.
        verb: what the command does, for the refusal: ``resumed``.
    """
    batch = resolve_batch(store, name)
    refuse_cancelled(batch, verb)
    return batch


def refuse_cancelled(batch: Batch, verb: str) -> None:
    """Refuse what a cancelled batch does not take: it is cancelled for good."""
    if batch.cancelled is None:
        return
    by = say(" by {by}", by=batch.cancelled["by"]) if batch.cancelled.get("by") else ""
    message = say(
        "batch {batch_id} was cancelled{by}, for good, and cannot be {verb}: create-batch"
        " NAME --copy-from {batch_id} makes a new one of the same settings",
        batch_id=batch.batch_id,
        by=by,
        verb=verb,
    )
    raise CommandRefused(ErrorCode.REFUSED, message)


def resolve_batch_id(store: Store, name: str | None) -> str | None:
    """The full id of an optional batch; None where none was given."""
    return None if name is None else resolve_batch(store, name).batch_id


#: The command that lists what an id is of.
_LISTED_BY: Final = {
    "batch": "batches",
    "job": "jobs",
    "account": "accounts",
    "test call": "jobs --tests",
}


def resolve_job(store: Store, name: str) -> Job:
    """The job whose id is ``name``, or is the only one that begins with it."""
    try:
        return store.jobs.get(name)
    except NotFound:
        return store.jobs.get(_unique("job", name, store.jobs.find_by_prefix(name, _SHOWN + 1)))


def resolve_test(store: Store, name: str) -> Job:
    """The test call whose id is ``name``, or is the only one that begins with it."""
    try:
        return store.jobs.get(name)
    except NotFound:
        tests = store.jobs.find_by_prefix(name, _SHOWN + 1)
        return store.jobs.get(_unique("test call", name, tests))


def resolve_account(store: Store, name: str) -> Account:
    """The account whose id is ``name``, or is the only one that begins with it."""
    found = store.accounts.find(name)
    if found is None:
        full = _unique("account", name, store.accounts.find_by_prefix(name, _SHOWN + 1))
        found = store.accounts.find(full)
    if found is None:
        raise CommandRefused(ErrorCode.NOT_FOUND, say("there is no account {name!r}", name=name))
    return found


def resolve_account_id(store: Store, name: str, own: str) -> str:
    """The id of the account that is there alone: its own id, or a beginning of it.

    Raises:
        CommandRefused: another is meant, or it does not exist any more.
    """
    if own.startswith(name) and store.accounts.find(own) is not None:
        return own
    return _unique("account", name, [])


def ids(context: HandlerContext, command: Invocation) -> Result:
    """Ids with a prefix, and names of batches, for completion; only those safe to type in a shell."""
    prefix = command.args["prefix"] or ""
    finders = {
        "batch": context.store.batches.find_by_prefix,
        "job": context.store.jobs.find_by_prefix,
        "account": context.store.accounts.find_by_prefix,
    }
    found = finders[command.args["kind"]](prefix, _OFFERED)
    if command.args["kind"] == "batch" and prefix:
        found = [*found, *context.store.batches.names_by_prefix(prefix, _OFFERED)]
    return {"ids": sorted({name for name in found if SAFE_ID.fullmatch(name)})}


def _unique(kind: str, prefix: str, matches: list[str]) -> str:
    if not matches:
        listed_by = _LISTED_BY[kind]
        message = say(
            "there is no {kind} {prefix!r} (speechctl {listed_by} lists them)",
            kind=say(kind),
            prefix=prefix,
            listed_by=listed_by,
        )
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    if len(matches) > 1:
        shown = joined(", ", matches[:_SHOWN]) + (", ..." if len(matches) > _SHOWN else "")
        raise CommandRefused(
            ErrorCode.AMBIGUOUS_ID,
            say(
                "more than one {kind} id begins with {prefix!r}: {shown}",
                kind=say(kind),
                prefix=prefix,
                shown=shown,
            ),
        )
    return matches[0]
