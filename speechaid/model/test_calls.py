"""The mark of a test call: its job belongs to no campaign, and says which batch and row it tests.

A test's job is stored under a batch id that no batch has. So daemons that do not know tests, and SpeechAI's
programs, find no batch for it and never dial it; and what counts or lists jobs of campaigns leaves it out by
that one field (``store.test_calls``). ``Job.read`` reads it as a job without a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from speechaid.model import reading
from speechaid.model.reading import Document

#: The ``batch_id`` of every test's job and result; no batch has it.
TESTS: Final = "speechaid:tests"


@dataclass(frozen=True, kw_only=True)
class BatchTest:
    """What a test call tests, for whom, and until when it may be placed."""

    #: The batch whose agent, number and other settings hold for the call.
    batch_id: str
    #: The job whose variables the agent gets.
    job_id: str
    #: Who asked for the call.
    by: str
    #: By the database's clock; later it is not placed any more.
    until: datetime

    @classmethod
    def read(cls, document: object) -> BatchTest | None:
        """From the field ``test`` of a job; None where that cannot be read."""
        fields = reading.mapping(document)
        batch_id, job_id = reading.text(fields.get("batch_id")), reading.text(fields.get("job_id"))
        until = reading.instant(fields.get("until"))
        if batch_id is None or job_id is None or until is None:
            return None
        return cls(
            batch_id=batch_id, job_id=job_id, by=reading.text(fields.get("by")) or "unknown", until=until
        )

    def document(self) -> Document:
        """The field ``test``, as it is stored."""
        return {"batch_id": self.batch_id, "job_id": self.job_id, "by": self.by, "until": self.until}
