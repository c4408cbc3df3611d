"""Release what SpeechAI reserved for a job, exactly once.

SpeechAI adds an estimate to the account's reserved figure when it makes a job, and writes it on the job
(``reserved_amount``). A dial of ours has its own estimate, so the old one is released: first from the
account, with a marker that names the job; then from the job, under its token; then the marker is removed. A
worker that dies in between leaves either both or neither for the next one to see.

The reservation of a job that ends without a dial (cancelled, given up) is released in the same way by
housekeeping. A suspended job keeps its reservation: it may still be called.

The account is read before the job. A worker that stalls between its read and its write finds the account
changed by whoever released it meanwhile, and reads again.
"""

from __future__ import annotations

from speechaid.dialer.context import WorkerContext
from speechaid.model.account import Account, Plan
from speechaid.model.job import Job
from speechaid.rules import metering
from speechaid.store.accounts import has_release_mark
from speechaid.store.connection import Store


def release_legacy_reservation(context: WorkerContext, job: Job) -> Job:
    """Release what SpeechAI reserved for a claimed job; returns the job as it is then.

    Raises:
        LeaseLost: another worker has the job now.
    """
    if job.account_id is None or not metering.reserved_for(job):
        return job
    store = context.store
    while True:
        account = store.accounts.find(job.account_id)
        job = store.jobs.reread(job)
        amount = metering.reserved_for(job)
        if account is None:
            return job
        if not amount:
            break
        minutes, credit = _shares(account, amount)
        if store.accounts.release_legacy_reservation(account, job.job_id, minutes=minutes, credit=credit):
            job = store.jobs.drop_reserved_amount(job)
            context.emit("account.reservation_given_back", job, minutes=minutes, credit=credit)
            break
    if has_release_mark(account, job.job_id) or amount:
        store.accounts.clear_release_mark(account.account_id, job.job_id)
    return job


def release_ended_reservations(store: Store, limit: int) -> int:
    """Release what SpeechAI reserved for at most ``limit`` jobs that ended without a dial; their number."""
    jobs = store.legacy.of_ended(limit)
    for job in jobs:
        _release_ended(store, job)
    return len(jobs)


def _release_ended(store: Store, job: Job) -> None:
    while True:
        account = None if job.account_id is None else store.accounts.find(job.account_id)
        amount = store.legacy.amount(job)
        if account is None or amount is None:
            break
        minutes, credit = _shares(account, amount)
        if store.accounts.release_legacy_reservation(account, job.job_id, minutes=minutes, credit=credit):
            break
    store.legacy.clear(job)
    if account is not None:
        store.accounts.clear_release_mark(account.account_id, job.job_id)


def _shares(account: Account, amount: float) -> tuple[float, float]:
    """Minutes and credit to take from the account's reserved figure: never more than SpeechAI added."""
    minutes = min(amount, metering.legacy_minutes(account)) if account.plan is Plan.MINUTES else 0.0
    credit = min(amount, metering.legacy_credit(account)) if account.plan is Plan.CREDIT else 0.0
    return minutes, credit
