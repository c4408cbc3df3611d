"""What SpeechAI reserved for jobs that have ended without a dial of ours: to be given back to the account.

The write that ends a job renames its ``reserved_amount`` (``store.jobs.put_down``).
From then on the amount is nobody's, whatever becomes of the job, until it is out of the account's figure.
"""

from __future__ import annotations

from speechaid.model.job import Job
from speechaid.model.reading import number
from speechaid.store.table import Table

#: Named in a sparse index, so that asking costs nothing while there are none.
FIELD = "reserved_to_give_back"


class LegacyReservations:
    """The jobs collection as far as SpeechAI's reservations go."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def of_ended(self, limit: int) -> list[Job]:
        """Ended jobs whose reservation is to be given back."""
        return [Job.read(row) for row in self.table.find({FIELD: {"$exists": True}}, limit=limit)]

    def amount(self, job: Job) -> float | None:
        """What is to be given back now; None where somebody has done it."""
        row = self.table.find_one({"_id": job.id}, fields=(FIELD,)) or {}
        return max(0.0, number(row[FIELD]) or 0.0) if FIELD in row else None

    def clear(self, job: Job) -> None:
        """It is out of the account's figure."""
        self.table.update({"_id": job.id}, {"$unset": {FIELD: ""}})
