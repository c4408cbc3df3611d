"""What was erased of a document: ``erased {at, by, what}`` in jobs, results and records of imports.

``what`` grows: ``calls`` may become ``person`` later, never the other way round. Queries of what is still to
be erased use an index on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from speechaid.model.reading import Document, instant, mapping, text
from speechaid.protocol.translation import say

#: The field.
ERASED: Final = "erased"
#: On a job whose person is being forgotten, until nothing of the person is left: ``{at, by, reason}``.
FORGETTING: Final = "forgetting"
#: Who erases what is older than the settings allow.
BY_RETENTION: Final = "retention"


class What(StrEnum):
    """How much was erased; each one includes those before it."""

    #: What a call has left: transcript, addresses of recordings, analysis, variables, Retell's answer.
    CALLS = "calls"
    #: Also who the person is: name, id, numbers, variables, and texts that may quote them.
    PERSON = "person"
    #: Of an import: the name and the fingerprint of its file.
    FILE = "file"


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """One erasure as it is stored."""

    at: datetime
    #: ``retention``, or the operator.
    by: str
    what: What

    @classmethod
    def read(cls, document: Document) -> Erasure | None:
        """Of a job, a result or an import; None where nothing was erased."""
        fields = mapping(document.get(ERASED))
        at, what = instant(fields.get("at")), text(fields.get("what"))
        if at is None or what not in set(What):
            return None
        return cls(at=at, by=text(fields.get("by")) or "unknown", what=What(what))

    def document(self) -> Document:
        """To be stored under ``ERASED``."""
        return {"at": self.at, "by": self.by, "what": str(self.what)}

    @property
    def sentence(self) -> str:
        """For people, in place of what is gone."""
        return say("not stored any more (erased {at:%Y-%m-%d} by {by})", at=self.at, by=self.by)


def of_person(document: Document) -> Erasure | None:
    """The erasure of a job or result that left nothing of its person; None where the person is known."""
    found = Erasure.read(document)
    return found if found is not None and found.what is What.PERSON else None
