"""Jobs that another program deletes while their dial is open: the call is still recorded and charged.

The first write that finds the document gone stores what the settlement needs under the dial key
(``store.jobs.keep_deleted``), and goes on with that; it is deleted by the last write of the dial. So recovery
finds it like any other job if this worker dies. Where a worker died before it noticed, housekeeping finds the
reservation entries of a dial whose job is gone, and stores it from these (``store.jobs.keep_lost_dial``).
"""

from __future__ import annotations

from datetime import datetime
from logging import WARNING

from speechaid.dialer.context import WorkerContext
from speechaid.errors import JobDeleted
from speechaid.model.job import Job
from speechaid.model.states import WorkerState


def keep_deleted_job(context: WorkerContext, job: Job) -> Job:
    """Store a job again whose document is gone; the job to go on with.

    Raises:
        LeaseLost: another worker has stored it, and goes on.
    """
    kept = context.retry_until_available(
        WorkerState.SETTLING,
        "keep deleted job",
        job,
        lambda: context.store.jobs.keep_deleted(job, context.settings.worker.lease_seconds),
    )
    context.emit("job.deleted", kept, level=WARNING)
    context.link.count("speechaid_jobs_deleted_total")
    return kept


def release_lease(context: WorkerContext, job: Job, until: datetime | None = None) -> None:
    """Let the lease of a job with an open dial lapse, of one that was deleted as well.

    Raises:
        LeaseLost: another worker has the job.
    """
    try:
        context.store.jobs.release_lease(job, until=until)
    except JobDeleted:
        context.store.jobs.release_lease(keep_deleted_job(context, job), until=until)
