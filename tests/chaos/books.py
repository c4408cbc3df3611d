"""The books closed: every call truly placed against every record, every charge and every limit.

Whether a dial was lawful is ``speechaid.demo.audit``'s to say, which knows the rules by its own words. Here
stand the sums, again from the ledger alone: what each account and batch owes, and what was held of it.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.demo.audit import FREE, AuditPolicy, audit
from speechaid.model.job import Job
from speechaid.store.jobs import CLAIM_FIELDS
from tests.chaos.monkey import Pause
from tests.chaos.plan import LIE

Document = dict[str, Any]

#: Where a job may stand when all is over.
FINAL: Final = frozenset({"done", "failed", "cancelled"})
#: A job that killed so many workers running is set aside, whatever its calls say.
QUARANTINED: Final = "crashed_worker"
#: Sums of thousands of rounded floats: far less than a cent.
CENT: Final = 0.005
#: Clocks of one machine, and a call that ends in the very moment in which the next begins.
TOLERANCE_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Books:
    """All that was written down, when nothing moves any more."""

    jobs: Sequence[Document]
    results: Sequence[Document]
    accounts: Sequence[Document]
    batches: Sequence[Document]
    ledger: Sequence[Document]
    overlaps: Sequence[Document]
    pauses: Sequence[Pause]
    #: As the daemons' environment had it; a batch's own ``max_attempts`` wins.
    policy: AuditPolicy


@dataclass(kw_only=True)
class Findings:
    """What is wrong, a sentence each."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    uncharged: list[str] = field(default_factory=list)
    double_charged: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    illegal: list[str] = field(default_factory=list)
    over_limit: list[str] = field(default_factory=list)
    while_paused: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not any(vars(self).values())


def close(books: Books) -> Findings:
    """Compare everything with everything."""
    findings = Findings()
    told = {str(result["call_id"]): str(result["disconnection_reason"]) for result in books.results}
    ledger = [_as_told(call, told.get(str(call["call_id"]))) for call in books.ledger]
    _calls(findings, books, told)
    _jobs(findings, books)
    _dials(findings, books, ledger)
    for account in books.accounts:
        _account(
            findings, account, [call for call in ledger if _of(call, "account_id") == account["account_id"]]
        )
    for batch in books.batches:
        _batch(findings, batch, [call for call in ledger if _of(call, "batch_id") == batch["batch_id"]])
    findings.illegal += counted_wrongly(books.batches, books.jobs)
    _paused(findings, books)
    return findings


def counted_wrongly(batches: Sequence[Document], jobs: Sequence[Document]) -> list[str]:
    """SpeechAI's counters of a batch against its jobs, when nothing moves any more."""
    counts = Counter((job["batch_id"], job["status"]) for job in jobs)
    totals = Counter(job["batch_id"] for job in jobs)
    return [
        f"{batch['batch_id']}: {name} is {batch.get(name)}, there are {number}"
        for batch in batches
        for name, number in (
            ("total_jobs", totals[batch["batch_id"]]),
            ("completed_jobs", counts[batch["batch_id"], "done"]),
            ("failed_jobs", counts[batch["batch_id"], "failed"]),
            ("pending_jobs", 0),
            ("suspended_jobs", 0),
        )
        if batch.get(name) != number
    ]


def quarantined(books: Books) -> int:
    """Jobs set aside because their workers were killed again and again."""
    return sum(job.get("last_error") == QUARANTINED for job in books.jobs)


def _as_told(call: Document, told: str | None) -> Document:
    """A call of the ledger with the end that the daemon was told, where Retell lied or we stopped it."""
    reason = LIE if told == LIE else str(call["disconnection_reason"])
    return {**call, "disconnection_reason": _stopped_by_limit(reason, connected=_connected(call))}


def _stopped_by_limit(reason: str, *, connected: bool) -> str:
    """A call that the daemon itself stopped was answered, or it failed."""
    if reason != "manual_stopped":
        return reason
    return "max_duration_reached" if connected else "dial_failed"


def _connected(call: Document) -> bool:
    return call["connected_at"] is not None


def _of(call: Mapping[str, Any], name: str) -> str | None:
    return (call["metadata"] or {}).get(name)


# -- calls, jobs, dials --------------------------------------------------------------------------------------


def _calls(findings: Findings, books: Books, told: Mapping[str, str]) -> None:
    placed = {str(call["call_id"]): call for call in books.ledger}
    findings.lost += [f"{call_id}: placed, never recorded" for call_id in placed.keys() - told.keys()]
    findings.lost += [f"{call_id}: recorded, never placed" for call_id in told.keys() - placed.keys()]
    findings.lost += [
        f"{call_id}: not over yet" for call_id, call in placed.items() if call["ended_at"] is None
    ]
    if len(told) < len(books.results):
        findings.doubled.append(f"{len(books.results) - len(told)} results of calls that have one already")
    findings.illegal += [
        f"{call_id}: recorded as {reason}, in truth {placed[call_id]['disconnection_reason']}"
        for call_id, reason in told.items()
        if call_id in placed and reason not in {LIE, str(placed[call_id]["disconnection_reason"])}
    ]


def _jobs(findings: Findings, books: Books) -> None:
    for job in books.jobs:
        name, status = job["job_id"], job["status"]
        if status not in FINAL:
            findings.lost.append(
                f"{name}: {status} for ever ({job.get('suspend_reason') or job.get('dial')})"
            )
        elif held := [name for name in CLAIM_FIELDS if job.get(name) is not None]:
            findings.illegal.append(f"{name}: {status}, and still has {', '.join(held)}")


def _dials(findings: Findings, books: Books, ledger: Sequence[Document]) -> None:
    """Each job's calls by the rules, under its batch's own limit of attempts."""
    recorded = {str(result["call_id"]): result for result in books.results}
    limits = {batch["batch_id"]: batch["call_settings"].get("max_attempts") for batch in books.batches}
    calls_of: defaultdict[str, list[Document]] = defaultdict(list)
    for call in ledger:
        calls_of[str(_of(call, "job_id"))].append(call)
    by_limit: defaultdict[int, list[Job]] = defaultdict(list)
    for document in books.jobs:
        if document["status"] in FINAL and document.get("last_error") != QUARANTINED:
            limit = limits.get(document["batch_id"]) or books.policy.max_attempts
            by_limit[limit].append(Job.read(document))
        findings.doubled += _at_once(calls_of[document["job_id"]])
    strangers = calls_of.keys() - {document["job_id"] for document in books.jobs}
    findings.doubled += [f"{name}: calls of no job of ours" for name in strangers]
    findings.doubled += [
        f"{' and '.join(pair['call_ids'])}: at once to one number" for pair in books.overlaps
    ]
    for limit, jobs in by_limit.items():
        calls = [call for job in jobs for call in calls_of[job.job_id]]
        found = audit(
            ledger=calls,
            overlaps=[],
            jobs=jobs,
            results=[
                _result_as_told(recorded[name], call)
                for call in calls
                if (name := call["call_id"]) in recorded
            ],
            policy=AuditPolicy(
                max_attempts=limit,
                retry_delay_seconds=books.policy.retry_delay_seconds,
                no_answer_delay_seconds=books.policy.no_answer_delay_seconds,
            ),
        )
        findings.doubled += found.unjustified
        findings.illegal += [
            text for text in found.differences if not text.endswith("placed, but not recorded")
        ]


def _result_as_told(result: Document, call: Document) -> Document:
    reason = _stopped_by_limit(str(result["disconnection_reason"]), connected=_connected(call))
    return {**result, "disconnection_reason": reason}


def _at_once(calls: Sequence[Document]) -> list[str]:
    """Calls of one job of which one begins before the other is over."""
    ordered = sorted((call for call in calls if call["ended_at"]), key=lambda call: float(call["placed_at"]))
    return [
        f"{earlier['call_id']} and {later['call_id']}: at once for {_of(later, 'job_id')}"
        for earlier, later in itertools.pairwise(ordered)
        if later["placed_at"] < earlier["ended_at"] - TOLERANCE_SECONDS
    ]


# -- money and limits ----------------------------------------------------------------------------------------


def _account(findings: Findings, account: Document, calls: Sequence[Document]) -> None:
    name, plan = account["account_id"], account["plan_type"]
    counted = [call for call in calls if call["disconnection_reason"] not in FREE]
    minutes = sum(_minutes(call) for call in counted) if plan == "minutes_based" else 0.0
    credit = sum(_credit(account, call) for call in counted) if plan == "credit_based" else 0.0
    _owes(findings, f"{name}: minutes_used", account.get("minutes_used", 0.0), minutes)
    _owes(findings, f"{name}: credit_used", account.get("credit_used", 0.0), credit)
    _owes(findings, f"{name}: calls_today", account.get("calls_today", 0), len(counted))
    _holds_nothing(findings, name, account)
    _limit(findings, name, account.get("max_concurrent_calls"), calls)


def _batch(findings: Findings, batch: Document, calls: Sequence[Document]) -> None:
    name = batch["batch_id"]
    counted = [call for call in calls if call["disconnection_reason"] not in FREE]
    cost = sum(float(call["cost_cents"] or 0) / 100 for call in counted)
    _owes(findings, f"{name}: total_cost", batch["total_cost"], cost)
    _owes(findings, f"{name}: total_minutes", batch["total_minutes"], sum(map(_minutes, counted)))
    _holds_nothing(findings, name, batch)
    _limit(findings, name, batch["call_settings"].get("max_concurrent_calls"), calls)


def _minutes(call: Document) -> float:
    return float(call["duration_ms"] or 0) / 60_000 if _connected(call) else 0.0


def _credit(account: Document, call: Document) -> float:
    if not _connected(call):
        return float(account["cost_failed_call"])
    return float(account["cost_per_call_setup"] + _minutes(call) * account["cost_per_minute"])


def _owes(findings: Findings, what: str, charged: float, owed: float) -> None:
    sentence = f"{what} is {charged:.4f}, by the ledger {owed:.4f}"
    if charged < owed - CENT:
        findings.uncharged.append(sentence)
    elif charged > owed + CENT:
        findings.double_charged.append(sentence)


def _holds_nothing(findings: Findings, name: str, document: Document) -> None:
    for entry in document.get("open_dials", ()):
        findings.leaked.append(f"{name}: dial {entry.get('key')} of {entry.get('job_id')} is still open")
    for amount in ("minutes_reserved", "credit_reserved"):
        if abs(document.get(amount, 0.0)) > CENT:
            findings.leaked.append(f"{name}: {amount} is {document[amount]:.4f}")


def _limit(findings: Findings, name: str, at_most: int | None, calls: Iterable[Document]) -> None:
    """No more calls at once than allowed, at any instant."""
    if at_most is None:
        return
    steps = [
        step
        for call in calls
        if call["ended_at"] is not None and call["ended_at"] > call["placed_at"]
        for step in ((float(call["placed_at"]), 1), (float(call["ended_at"]), -1))
    ]
    live = most = 0
    for _, change in sorted(steps):
        live += change
        most = max(most, live)
    if most > at_most:
        findings.over_limit.append(f"{name}: {most} calls at once, {at_most} are allowed")


def _paused(findings: Findings, books: Books) -> None:
    """Between a pause's answer and the resume no call of the batch was placed."""
    inside: Callable[[Pause, Document], bool] = lambda pause, call: (  # noqa: E731
        _of(call, "batch_id") == pause.batch_id
        and pause.answered_at < float(call["placed_at"]) < pause.resumed_at
    )
    findings.while_paused += [
        f"{call['call_id']}: placed {float(call['placed_at']) - pause.answered_at:.2f} s after the pause of "
        f"{pause.batch_id} was answered"
        for pause in books.pauses
        for call in books.ledger
        if inside(pause, call)
    ]
