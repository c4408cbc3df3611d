"""From what an operator typed to the one id that is meant."""

from __future__ import annotations

from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.errors import NotFound
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.protocol.messages import ErrorCode
from speechaid.store.connection import Store

#: How many of the ids that fit are named to the operator.
_SHOWN = 5
#: How many ids completion offers.
_OFFERED = 100


def the_batch(store: Store, word: str) -> Batch:
    """The batch of this id, or of the only id that begins so."""
    found = store.batches.find(word)
    return found or store.batches.get(_the_one("batch", word, store.batches.find_by_prefix(word, _SHOWN + 1)))


def the_job(store: Store, word: str) -> Job:
    """The job of this id, or of the only id that begins so."""
    try:
        return store.jobs.get(word)
    except NotFound:
        return store.jobs.get(_the_one("job", word, store.jobs.find_by_prefix(word, _SHOWN + 1)))


def the_account(store: Store, word: str) -> Account:
    """The account of this id, or of the only id that begins so."""
    found = store.accounts.find(word)
    if found is None:
        name = _the_one("account", word, store.accounts.find_by_prefix(word, _SHOWN + 1))
        found = store.accounts.find(name)
    if found is None:
        raise CommandRefused(ErrorCode.NOT_FOUND, f"there is no account {word!r}")
    return found


def ids(context: HandlerContext, command: Invocation) -> Result:
    """The ids that begin so, for shell completion."""
    prefix = command.args["prefix"] or ""
    finders = {
        "batch": context.store.batches.find_by_prefix,
        "job": context.store.jobs.find_by_prefix,
        "account": context.store.accounts.find_by_prefix,
    }
    return {"ids": sorted(finders[command.args["kind"]](prefix, _OFFERED))}


def _the_one(what: str, word: str, fitting: list[str]) -> str:
    if not fitting:
        listing = {"batch": " (speechctl batches lists them)", "job": " (speechctl jobs lists them)"}
        raise CommandRefused(ErrorCode.NOT_FOUND, f"there is no {what} {word!r}{listing.get(what, '')}")
    if len(fitting) > 1:
        shown = ", ".join(fitting[:_SHOWN]) + (", ..." if len(fitting) > _SHOWN else "")
        raise CommandRefused(ErrorCode.AMBIGUOUS_ID, f"{word!r} fits more than one {what}: {shown}")
    return fitting[0]
