"""The verdict on an ended dial: decided once, stored, then applied step by step.

It is stored with the call's result; where there was no call, with the dial, as versions up to 0.2 always did.
Every process that applies it writes the same, whenever and under whatever settings. A step that was applied
already finds its mark removed and does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from speechaid.model import reading
from speechaid.model.reading import Document
from speechaid.model.states import JobStatus, Outcome


@dataclass(frozen=True, kw_only=True)
class AccountCharge:
    """What a dial is charged to its account."""

    minutes: float = 0.0
    #: In currency units.
    credit: float = 0.0
    #: 1 where it counts as a call of ``day``, else 0.
    calls: int = 0
    #: ``YYYY-MM-DD`` in the account's zone.
    day: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Everything that will be written about one dial."""

    outcome: Outcome
    #: Why the job goes on in this way (``rules.retry_table.RetryCause``).
    cause: str
    #: The job's next status, unless an operator's request changes it.
    status: JobStatus
    #: Fields to set on the job, status included.
    job: Document
    #: The ``call_results`` document; None where no call was placed.
    result: Document | None
    charge: AccountCharge
    #: What to add to which of the batch's sums.
    figures: dict[str, float] = field(default_factory=dict)
    #: The number, if the person asked not to be called again.
    do_not_call: str | None = None

    def document(self) -> Document:
        """As stored in ``dial.verdict``."""
        return {
            "outcome": self.outcome,
            "cause": self.cause,
            "status": self.status,
            "job": self.job,
            "result": self.result,
            "charge": {
                "minutes": self.charge.minutes,
                "credit": self.charge.credit,
                "calls": self.charge.calls,
                "day": self.charge.day,
            },
            "figures": self.figures,
            "do_not_call": self.do_not_call,
        }

    @classmethod
    def read(cls, document: Document) -> Verdict:
        """From ``dial.verdict``, as ``document`` wrote it."""
        charge = document["charge"]
        return cls(
            outcome=Outcome(document["outcome"]),
            cause=str(document["cause"]),
            status=JobStatus(document["status"]),
            job=dict(document["job"]),
            result=None if document.get("result") is None else dict(document["result"]),
            charge=AccountCharge(
                minutes=float(charge["minutes"]),
                credit=float(charge["credit"]),
                calls=int(charge["calls"]),
                day=str(charge["day"]),
            ),
            figures={name: float(value) for name, value in document.get("figures", {}).items()},
            do_not_call=reading.text(document.get("do_not_call")),
        )
