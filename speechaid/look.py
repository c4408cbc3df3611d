"""The look at everything that may forbid a dial: read what the rules judge, and have them judge it."""

from __future__ import annotations

from dataclasses import dataclass

from speechaid import breaker
from speechaid.kit import Kit
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.rules import eligibility
from speechaid.rules.eligibility import Judgement


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen, and the rules' judgement of it."""

    judgement: Judgement
    batch: Batch | None
    account: Account | None
    #: The stored circuit breaker of this host's key.
    breaker_document: Document | None


def look(kit: Kit, job: Job, number: str) -> Look:
    """Judge whether this job's number may be dialled at this moment, on what the database says now.

    Raises:
        StoreUnavailable: what cannot be read cannot be judged; nothing is dialled.
    """
    store = kit.store
    fleet, breaker_document = store.holds.look(kit.retell.fingerprint)
    holds = breaker.holds(kit, breaker_document)
    if fleet is not None:
        holds.append(Hold(scope="fleet", reason=fleet.reason or "held by an operator", since=fleet.at))
    batch = None if job.batch_id is None else store.batches.find(job.batch_id)
    account = None if job.account_id is None else store.accounts.find(job.account_id)
    judgement = eligibility.judge(
        job=job,
        number=number,
        batch=batch,
        account=account,
        holds=holds,
        on_dnc=bool(store.do_not_call.listed([number])),
        defaults=kit.dialling_defaults(),
        own_reservation_key=None if job.dial is None else job.dial.key,
        now=store.now(),
    )
    return Look(judgement=judgement, batch=batch, account=account, breaker_document=breaker_document)
