"""The facts that ``doctor`` gathers from daemon, database and Retell, and the form of its findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from speechaid.maintenance.document_scan import UnreadableDocument
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.protocol.translation import joined, say, say_n
from speechaid.rules.circuit_breaker import FaultKind
from speechaid.settings import Settings

#: Items that a finding names; of the others it gives the number.
NAMED: Final = 5
#: Upper bound of what is counted by reading documents.
COUNTED: Final = 1000


class FindingSeverity(StrEnum):
    """Severity of a finding, in the order of the answer. The values are sent to clients."""

    #: Calls are not placed that should be.
    FAULT = "fault"
    #: The result of a command or a setting, which may have been forgotten.
    INTENDED = "ordered"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class DoctorFinding:
    """One deviation from normal, its evidence, and what to do about it."""

    code: str
    severity: FindingSeverity
    cause: str
    evidence: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class RetellFacts:
    """What Retell answers to this host's key."""

    refused: str | None = None
    unreachable: str | None = None
    milliseconds: float | None = None
    calls: int | None = None
    limit: int | None = None
    date: datetime | None = None
    #: Whether Retell has the configured agent and number; None where that could not be asked.
    has_agent: bool | None = None
    has_number: bool | None = None
    #: Why Retell would refuse each call of a batch that has its own agent or number, by batch.
    batch_faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class DoctorFacts:
    """All facts; those that could not be read keep their defaults."""

    snapshot: Mapping[str, Any]
    settings: Settings
    retell: RetellFacts
    #: Seconds since the daemon's start; None where unknown.
    up_seconds: float | None = None
    database_fault: str | None = None
    #: What the database refuses to read, each with its error; the fields of it are empty.
    refused: dict[str, str] = field(default_factory=dict)
    database_ms: float | None = None
    now: datetime | None = None
    skew_seconds: float = 0.0
    global_hold: str | None = None
    #: Likewise, of all jobs that belong to a batch.
    batches_hold: str | None = None
    #: Why this daemon may not dial in this database, since it is too old; None: it may.
    too_old: str | None = None
    #: The circuit breaker of this host's key, as a hold; None while it is closed.
    breaker: Hold | None = None
    breaker_kind: FaultKind | None = None
    #: Waiting jobs by batch.
    waiting: dict[str | None, int] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    #: When the window of each active batch with waiting jobs opens; None where it is open.
    opens_at: dict[str | None, datetime | None] = field(default_factory=dict)
    window_faults: dict[str, str] = field(default_factory=dict)
    without_hours: list[str] = field(default_factory=list)
    #: Batches with waiting jobs whose packs have exemptions, and which.
    rule_exemptions: dict[str, str] = field(default_factory=dict)
    #: Batches with waiting jobs that name no purpose, where calling rules are in force.
    without_purpose: list[str] = field(default_factory=list)
    #: What is wrong with the calling rules of batches with waiting jobs, by batch.
    rule_faults: dict[str, str] = field(default_factory=dict)
    #: Whether capped batches wait for the ledger.
    is_filling_ledger: bool = False
    #: Packs in force that were last reviewed long ago, a sentence each.
    pack_warnings: list[str] = field(default_factory=list)
    suspended: dict[str, int] = field(default_factory=dict)
    #: Jobs that wait for, or were suspended for, an account that does not exist, by account.
    unknown_accounts: dict[str, int] = field(default_factory=dict)
    #: Pending and failed jobs by attempts used.
    tried_again: dict[int, int] = field(default_factory=dict)
    #: What Retell said to dials that it refused lately.
    refusals: list[str] = field(default_factory=list)
    #: Calls of the last 24 hours by outcome and Retell's reason.
    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)
    dials: list[Job] = field(default_factory=list)
    #: Jobs whose lease ran out more than five minutes ago.
    lapsed: int = 0
    #: Jobs that failed because Retell cannot take their requests, or that cannot be read.
    rejected: list[str] = field(default_factory=list)
    #: Jobs without a readable phone, up to ``COUNTED``.
    unreadable: list[str] = field(default_factory=list)
    #: Jobs that ended within 24 hours by what Retell's list tells: get-call's answer could not be read.
    unreadable_answers: list[str] = field(default_factory=list)
    #: Waiting jobs that were served already, up to ``COUNTED``.
    served: list[str] = field(default_factory=list)
    #: Documents with fields that cannot be read.
    documents: list[UnreadableDocument] = field(default_factory=list)
    #: Waiting jobs with a number that no numbering plan has, by batch; the key of jobs without one is empty.
    unassigned: dict[str, int] = field(default_factory=dict)
    missing_indexes: list[str] = field(default_factory=list)
    #: Jobs whose data should have been erased days ago, by setting, up to ``COUNTED``.
    kept_too_long: dict[str, int] = field(default_factory=dict)

    @property
    def supervisor(self) -> Mapping[str, Any]:
        """The supervisor's part of the snapshot; empty where there is none."""
        found = self.snapshot.get("supervisor", {})
        return found if isinstance(found, Mapping) else {}

    @property
    def workers(self) -> list[Mapping[str, Any]]:
        """One row for each worker."""
        return list(self.snapshot.get("workers", []))

    @property
    def jobs_waiting(self) -> int:
        """Jobs that would be called if no check failed."""
        return sum(self.waiting.values())


Findings = Iterator[DoctorFinding]


def fault(code: str, cause: str, evidence: str, remedy: str) -> DoctorFinding:
    """A finding that keeps calls from being placed."""
    return DoctorFinding(
        code=code, severity=FindingSeverity.FAULT, cause=cause, evidence=evidence, remedy=remedy
    )


def intended(code: str, cause: str, evidence: str, remedy: str) -> DoctorFinding:
    """A finding that follows from a command or a setting."""
    return DoctorFinding(
        code=code, severity=FindingSeverity.INTENDED, cause=cause, evidence=evidence, remedy=remedy
    )


def warning(code: str, cause: str, evidence: str, remedy: str) -> DoctorFinding:
    """A finding that does not stop calls."""
    return DoctorFinding(
        code=code, severity=FindingSeverity.WARNING, cause=cause, evidence=evidence, remedy=remedy
    )


def by_jobs(jobs: Mapping[str, int]) -> dict[str, str]:
    """Names with their numbers of jobs, most jobs first, for ``listed``."""
    ordered = sorted(jobs.items(), key=lambda row: (-row[1], row[0]))
    return {name: say_n("{count} job", "{count} jobs", count) for name, count in ordered}


def listed(details: Mapping[str, str]) -> str:
    """The first names, each with its detail in parentheses, and the number of the others."""
    shown = [
        say("{name} ({detail})", name=name, detail=detail) if detail else name
        for name, detail in list(details.items())[:NAMED]
    ]
    more = say(" and {details} more", details=len(details) - NAMED) if len(details) > NAMED else ""
    return joined(", ", shown) + more
