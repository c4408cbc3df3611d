"""What SpeechAI reserved for a job, given back to its account exactly once.

SpeechAI enters an estimate in the account's figure when it makes a job, and writes it on the job
(``reserved_amount``). A dial of ours holds its own estimate, so the old one goes: first out of the account,
with a mark that names the job; then off the job, under its token; then the mark. Whoever dies in between
leaves either both or neither for the next to see.

The account is read before the job. A worker that sleeps between its reading and its write finds the account
changed by whoever did it meanwhile, and looks again.
"""

from __future__ import annotations

from speechaid.kit import Kit
from speechaid.model.account import Plan
from speechaid.model.job import Job
from speechaid.rules import metering
from speechaid.store.accounts import gives_back


def give_back(kit: Kit, job: Job) -> Job:
    """Give back what SpeechAI reserved for a job in hand; the job as it stands then.

    Raises:
        LeaseLost: the job belongs to somebody else now.
    """
    if job.account_id is None or not metering.reserved_for(job):
        return job
    store = kit.store
    while True:
        account = store.accounts.find(job.account_id)
        job = store.jobs.look(job)
        amount = metering.reserved_for(job)
        if account is None:
            return job
        if not amount:
            break
        minutes = min(amount, metering.inherited_minutes(account)) if account.plan is Plan.MINUTES else 0.0
        credit = min(amount, metering.inherited_credit(account)) if account.plan is Plan.CREDIT else 0.0
        if store.accounts.give_back(account, job.job_id, minutes=minutes, credit=credit):
            job = store.jobs.drop_reserved_amount(job)
            kit.tell("account.reservation_given_back", job, minutes=minutes, credit=credit)
            break
    if gives_back(account, job.job_id) or amount:
        store.accounts.forget_given_back(account.account_id, job.job_id)
    return job
