"""What is to be written about an ended dial: decided once, stored with the dial, then applied step by step.

Whoever applies it, when and under whatever settings, writes the same. A step that was applied finds its mark
consumed and does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.model import reading
from speechaid.model.reading import Document
from speechaid.model.states import JobStatus, Outcome

_BSON_INT: Final = range(-(2**63), 2**63)
#: MongoDB nests to 100 levels; what Retell sends lies a few levels down in ours.
_DEEPEST: Final = 60


@dataclass(frozen=True, kw_only=True)
class AccountCharge:
    """What a dial costs its account."""

    minutes: float = 0.0
    #: In currency units.
    credit: float = 0.0
    #: 1 where it counts among today's calls, else 0.
    calls: int = 0
    #: ``YYYY-MM-DD`` in the account's zone.
    day: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The whole consequence of one dial."""

    outcome: Outcome
    #: Why the job moves on as it does (``rules.retries.Cause``).
    cause: str
    #: What the job becomes, unless an operator asked for something else meanwhile.
    status: JobStatus
    #: Fields to set on the job, status included.
    job: Document
    #: The ``call_results`` document; None where no call was placed.
    result: Document | None
    charge: AccountCharge
    #: What the batch's sums grow by.
    figures: dict[str, float] = field(default_factory=dict)
    #: The number, where the person asked not to be called again.
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
        """From ``dial.verdict``; only ever written by ``document``."""
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


def storable(value: Any, depth: int = 0) -> Any:
    """Foreign JSON made fit for BSON, so that no odd answer of Retell can stop a settlement.

    Keys lose NULs and a leading ``$``; whole numbers past 64 bits become text; what lies too deep is cut.
    """
    if depth > _DEEPEST:
        return None
    if isinstance(value, dict):
        return {_key(str(name)): storable(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [storable(item, depth + 1) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value not in _BSON_INT:
        return str(value)
    if isinstance(value, str) and not value.isascii():
        # A lone surrogate is lawful JSON, but no UTF-8.
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _key(name: str) -> str:
    if name.isascii() and "\0" not in name and not name.startswith("$"):
        return name
    clean = name.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return f"_{clean}" if clean.startswith("$") else clean
