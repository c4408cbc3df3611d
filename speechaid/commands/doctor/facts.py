"""What a diagnosis is made of: the facts of the daemon, the database and Retell, and a finding's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.settings import Settings

#: Of several things so many are named.
NAMED: Final = 5
#: Of some so many are counted.
COUNTED: Final = 1000


class FindingSeverity(StrEnum):
    """How grave a finding is, gravest first."""

    #: Calls are not made that should be.
    FAULT = "fault"
    #: Somebody wanted it so; it may have been forgotten.
    ORDERED = "ordered"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class DoctorFinding:
    """One thing that is not as it should be."""

    code: str
    weight: FindingSeverity
    cause: str
    evidence: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class RetellFacts:
    """What became of one question to Retell."""

    refused: str | None = None
    unreachable: str | None = None
    milliseconds: float | None = None
    calls: int | None = None
    limit: int | None = None
    date: datetime | None = None


@dataclass(kw_only=True)
class DoctorFacts:
    """All that was found out; what could not be is empty."""

    fleet: Mapping[str, Any]
    settings: Settings
    retell: RetellFacts
    #: Since the daemon's start; None where nobody knows.
    up_seconds: float | None = None
    database_fault: str | None = None
    database_ms: float | None = None
    now: datetime | None = None
    skew_seconds: float = 0.0
    fleet_hold: str | None = None
    #: The breaker of this host's key: as a hold where it holds dials at this moment.
    breaker: Hold | None = None
    #: Waiting jobs by batch.
    waiting: dict[str | None, int] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    #: Of active batches with waiting jobs: when their window opens; None where it is open.
    opens_at: dict[str | None, datetime | None] = field(default_factory=dict)
    window_faults: dict[str, str] = field(default_factory=dict)
    without_hours: list[str] = field(default_factory=list)
    suspended: dict[str, int] = field(default_factory=dict)
    #: Jobs that wait, or were suspended for it, by the account that they name and that does not exist.
    unknown_accounts: dict[str, int] = field(default_factory=dict)
    #: Pending and failed jobs by passes used up.
    tried_again: dict[int, int] = field(default_factory=dict)
    #: A day's calls by outcome and Retell's reason.
    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)
    dials: list[Job] = field(default_factory=list)
    #: Jobs whose lease ran out more than five minutes ago.
    lapsed: int = 0
    #: Jobs without a phone that can be read, as many as were looked for.
    unreadable: list[str] = field(default_factory=list)
    missing_indexes: list[str] = field(default_factory=list)

    @property
    def supervisor(self) -> Mapping[str, Any]:
        """The loop's own state."""
        found = self.fleet.get("supervisor", {})
        return found if isinstance(found, Mapping) else {}

    @property
    def workers(self) -> list[Mapping[str, Any]]:
        """One row a worker."""
        return list(self.fleet.get("workers", []))

    @property
    def jobs_waiting(self) -> int:
        """Jobs that could be called if nothing forbade it."""
        return sum(self.waiting.values())


Findings = Iterator[DoctorFinding]


def fault(code: str, cause: str, evidence: str, remedy: str) -> DoctorFinding:
    """Calls are not made that should be."""
    return DoctorFinding(
        code=code, weight=FindingSeverity.FAULT, cause=cause, evidence=evidence, remedy=remedy
    )


def ordered(code: str, cause: str, evidence: str, remedy: str) -> DoctorFinding:
    """Somebody wanted it so."""
    return DoctorFinding(
        code=code, weight=FindingSeverity.ORDERED, cause=cause, evidence=evidence, remedy=remedy
    )


def warning(code: str, cause: str, evidence: str, remedy: str) -> DoctorFinding:
    """Worth a look."""
    return DoctorFinding(
        code=code, weight=FindingSeverity.WARNING, cause=cause, evidence=evidence, remedy=remedy
    )


def listed(rows: Mapping[str, str]) -> str:
    """The first names, each with what is said of it, and how many more there are."""
    shown = [f"{name} ({what})" if what else name for name, what in list(rows.items())[:NAMED]]
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return ", ".join(shown) + more
