"""SpeechAI's reservations for jobs that ended without a dial of speechaid: to be released in the account.

The write that ends a job renames its ``reserved_amount`` (``store.jobs.clear_claim``). From then on the
amount no longer belongs to the job, whatever its status, until it has been subtracted from the account.
"""

from __future__ import annotations

from speechaid.model.job import Job
from speechaid.model.reading import number
from speechaid.store.table import Table

#: In a sparse index, so that the query costs nothing while there are none.
FIELD = "reserved_to_give_back"
#: Its index; the embedded server reads a sparse one only with a hint.
INDEX = "speechaid_given_back"


class LegacyReservations:
    """SpeechAI's reservations in the jobs collection."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def of_ended(self, limit: int) -> list[Job]:
        """Find at most ``limit`` ended jobs whose reservation is to be released."""
        return [Job.read(row) for row in self.table.find({FIELD: {"$exists": True}}, limit=limit, hint=INDEX)]

    def amount(self, job: Job) -> float | None:
        """Read the amount to release, at least 0; None where it is released already."""
        row = self.table.find_one({"_id": job.id}, fields=(FIELD,)) or {}
        return max(0.0, number(row[FIELD]) or 0.0) if FIELD in row else None

    def clear(self, job: Job) -> None:
        """Remove the amount, once it has been subtracted from the account."""
        self.table.update({"_id": job.id}, {"$unset": {FIELD: ""}})
