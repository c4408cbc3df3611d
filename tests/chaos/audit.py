"""Audit of a run: every placed call against every record, charge and limit.

Whether the rules allow a dial is checked by ``speechaid.demo.audit``, which implements them independently.
This module checks the sums, from the placed calls alone: what each account and batch owes, and what is
reserved.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.demo.audit import FREE, AuditPolicy, WantedAgent, audit, excused_calls
from speechaid.model.job import Job
from speechaid.store.jobs import CLAIM_FIELDS
from tests.chaos.monkey import Pause
from tests.chaos.people import ACCOUNT, Day, People, check_people, with_numbers
from tests.chaos.plan import FALSE_REASON

Document = dict[str, Any]

#: Final statuses of a job after the run.
FINAL: Final = frozenset({"done", "failed", "cancelled"})
#: ``last_error`` of a job that was failed because its workers crashed repeatedly, regardless of its calls.
QUARANTINED: Final = "crashed_worker"
#: Tolerance for sums of thousands of rounded floats: half a cent.
CENT: Final = 0.005
#: For clocks of one machine, and a call that ends when the next begins.
TOLERANCE_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Records:
    """Everything that was recorded, read after the run."""

    jobs: Sequence[Document]
    results: Sequence[Document]
    accounts: Sequence[Document]
    batches: Sequence[Document]
    placed_calls: Sequence[Document]
    overlaps: Sequence[Document]
    pauses: Sequence[Pause]
    #: Those under caps, their days, and the ledger.
    people: People
    days: Sequence[Day]
    entries: Sequence[Document]
    #: As in the daemons' environment; a batch's ``max_attempts`` takes precedence.
    policy: AuditPolicy


@dataclass(kw_only=True)
class Findings:
    """What is wrong, one sentence each."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    uncharged: list[str] = field(default_factory=list)
    double_charged: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    illegal: list[str] = field(default_factory=list)
    over_limit: list[str] = field(default_factory=list)
    while_paused: list[str] = field(default_factory=list)
    over_cap: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not any(vars(self).values())


def check(records: Records) -> Findings:
    """Compare placed calls, results, jobs, accounts and batches."""
    findings = Findings()
    reported = {str(result["call_id"]): str(result["disconnection_reason"]) for result in records.results}
    placed_calls = [_as_reported(call, reported.get(str(call["call_id"]))) for call in records.placed_calls]
    _calls(findings, records, reported)
    _jobs(findings, records)
    _dials(findings, records, placed_calls)
    excused = excused_calls(records.results)
    for account in records.accounts:
        calls = [call for call in placed_calls if _of(call, "account_id") == account["account_id"]]
        _account(findings, account, calls, excused)
    for batch in records.batches:
        calls = [call for call in placed_calls if _of(call, "batch_id") == batch["batch_id"]]
        _batch(findings, batch, calls, excused)
    findings.illegal += wrong_counters(records.batches, records.jobs)
    _paused(findings, records)
    _people(findings, records, placed_calls, excused)
    return findings


def _people(
    findings: Findings, records: Records, placed_calls: Sequence[Document], excused: Collection[str]
) -> None:
    """Check the caps of people, and the ledger."""
    found = check_people(
        records.people,
        records.days,
        placed_calls=placed_calls,
        excused=excused,
        results=records.results,
        entries=records.entries,
    )
    findings.over_cap += found.over_cap
    findings.left_out += found.left_out
    findings.illegal += found.ledger


def wrong_counters(batches: Sequence[Document], jobs: Sequence[Document]) -> list[str]:
    """Differences between SpeechAI's counters of a batch and its jobs, after the run."""
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


def quarantined(records: Records) -> int:
    """The number of jobs that were failed because their workers were killed repeatedly."""
    return sum(job.get("last_error") == QUARANTINED for job in records.jobs)


def _as_reported(call: Document, reported: str | None) -> Document:
    """A placed call with its end as reported to the daemon: a false reason, or stopped by us."""
    reason = FALSE_REASON if reported == FALSE_REASON else str(call["disconnection_reason"])
    return {**call, "disconnection_reason": _stopped_by_limit(reason, connected=_connected(call))}


def _stopped_by_limit(reason: str, *, connected: bool) -> str:
    """The reason of a call that the daemon stopped: answered if it had connected, else failed."""
    if reason != "manual_stopped":
        return reason
    return "max_duration_reached" if connected else "dial_failed"


def _connected(call: Document) -> bool:
    return call["connected_at"] is not None


def _of(call: Mapping[str, Any], name: str) -> str | None:
    return (call["metadata"] or {}).get(name)


# -- calls, jobs, dials --------------------------------------------------------------------------------------


def _calls(findings: Findings, records: Records, reported: Mapping[str, str]) -> None:
    placed = {str(call["call_id"]): call for call in records.placed_calls}
    findings.lost += [f"{call_id}: placed, never recorded" for call_id in placed.keys() - reported.keys()]
    findings.lost += [f"{call_id}: recorded, never placed" for call_id in reported.keys() - placed.keys()]
    findings.lost += [
        f"{call_id}: has not ended" for call_id, call in placed.items() if call["ended_at"] is None
    ]
    if len(reported) < len(records.results):
        findings.doubled.append(
            f"{len(records.results) - len(reported)} results of calls that already have one"
        )
    findings.illegal += [
        f"{call_id}: recorded as {reason}, actual {placed[call_id]['disconnection_reason']}"
        for call_id, reason in reported.items()
        if call_id in placed and reason not in {FALSE_REASON, str(placed[call_id]["disconnection_reason"])}
    ]


def _jobs(findings: Findings, records: Records) -> None:
    for job in records.jobs:
        name, status = job["job_id"], job["status"]
        if status not in FINAL:
            findings.lost.append(f"{name}: still {status} ({job.get('suspend_reason') or job.get('dial')})")
        elif held := [name for name in CLAIM_FIELDS if job.get(name) is not None]:
            findings.illegal.append(f"{name}: {status}, but still has {', '.join(held)}")


def _dials(findings: Findings, records: Records, placed_calls: Sequence[Document]) -> None:
    """Check each job's calls against the rules, with its batch's limit of attempts."""
    recorded = {str(result["call_id"]): result for result in records.results}
    limits = {batch["batch_id"]: batch["call_settings"].get("max_attempts") for batch in records.batches}
    calls_of: defaultdict[str, list[Document]] = defaultdict(list)
    for call in placed_calls:
        calls_of[str(_of(call, "job_id"))].append(call)
    by_limit: defaultdict[int, list[Job]] = defaultdict(list)
    for document in records.jobs:
        if document["status"] in FINAL and document.get("last_error") != QUARANTINED:
            limit = limits.get(document["batch_id"]) or records.policy.max_attempts
            of_person = document["account_id"] == ACCOUNT
            by_limit[limit].append(Job.read(with_numbers(document) if of_person else document))
        findings.doubled += _overlapping_calls(calls_of[document["job_id"]])
    unknown = calls_of.keys() - {document["job_id"] for document in records.jobs}
    findings.doubled += [f"{name}: calls without a job of the campaign" for name in unknown]
    findings.doubled += [
        f"{' and '.join(pair['call_ids'])}: overlapping calls to one number" for pair in records.overlaps
    ]
    marked = {
        str(call["to_number"])
        for call in records.placed_calls
        if call["disconnection_reason"] == "user_requested_dnc"
    }
    wanted = {
        batch["batch_id"]: WantedAgent(
            agent_id=settings["agent_id"],
            from_number=settings["from_number"],
            version=settings["agent_version"],
        )
        for batch in records.batches
        if (settings := batch["call_settings"]).get("agent_id") is not None
    }
    for limit, jobs in by_limit.items():
        calls = [call for job in jobs for call in calls_of[job.job_id]]
        found = audit(
            placed_calls=calls,
            overlaps=[],
            jobs=jobs,
            results=[
                _result_as_reported(recorded[name], call)
                for call in calls
                if (name := call["call_id"]) in recorded
            ],
            policy=AuditPolicy(
                max_attempts=limit,
                retry_delay_seconds=records.policy.retry_delay_seconds,
                no_answer_delay_seconds=records.policy.no_answer_delay_seconds,
            ),
            marked=marked,
            wanted=wanted,
        )
        findings.doubled += found.unjustified
        findings.illegal += [
            text for text in found.differences if not text.endswith("placed, but not recorded")
        ]


def _result_as_reported(result: Document, call: Document) -> Document:
    reason = _stopped_by_limit(str(result["disconnection_reason"]), connected=_connected(call))
    return {**result, "disconnection_reason": reason}


def _overlapping_calls(calls: Sequence[Document]) -> list[str]:
    """Overlapping calls of one job."""
    ordered = sorted((call for call in calls if call["ended_at"]), key=lambda call: float(call["placed_at"]))
    return [
        f"{earlier['call_id']} and {later['call_id']}: overlapping calls for {_of(later, 'job_id')}"
        for earlier, later in itertools.pairwise(ordered)
        if later["placed_at"] < earlier["ended_at"] - TOLERANCE_SECONDS
    ]


# -- money and limits ----------------------------------------------------------------------------------------


def _account(
    findings: Findings, account: Document, calls: Sequence[Document], excused: Collection[str]
) -> None:
    name, plan = account["account_id"], account["plan_type"]
    counted = _counted(calls, excused)
    minutes = sum(_minutes(call) for call in counted) if plan == "minutes_based" else 0.0
    credit = sum(_credit(account, call) for call in counted) if plan == "credit_based" else 0.0
    _check_charge(findings, f"{name}: minutes_used", account.get("minutes_used", 0.0), minutes)
    _check_charge(findings, f"{name}: credit_used", account.get("credit_used", 0.0), credit)
    _check_charge(findings, f"{name}: calls_today", account.get("calls_today", 0), len(counted))
    _check_released(findings, name, account)
    _check_concurrency(findings, name, account.get("max_concurrent_calls"), calls)


def _counted(calls: Sequence[Document], excused: Collection[str]) -> list[Document]:
    return [
        call for call in calls if call["disconnection_reason"] not in FREE and call["call_id"] not in excused
    ]


def _batch(findings: Findings, batch: Document, calls: Sequence[Document], excused: Collection[str]) -> None:
    name = batch["batch_id"]
    counted = _counted(calls, excused)
    cost = sum(float(call["cost_cents"] or 0) / 100 for call in counted)
    _check_charge(findings, f"{name}: total_cost", batch["total_cost"], cost)
    _check_charge(findings, f"{name}: total_minutes", batch["total_minutes"], sum(map(_minutes, counted)))
    _check_released(findings, name, batch)
    _check_concurrency(findings, name, batch["call_settings"].get("max_concurrent_calls"), calls)


def _minutes(call: Document) -> float:
    return float(call["duration_ms"] or 0) / 60_000 if _connected(call) else 0.0


def _credit(account: Document, call: Document) -> float:
    if not _connected(call):
        return float(account["cost_failed_call"])
    return float(account["cost_per_call_setup"] + _minutes(call) * account["cost_per_minute"])


def _check_charge(findings: Findings, what: str, charged: float, owed: float) -> None:
    sentence = f"{what} is {charged:.4f}, by the placed calls {owed:.4f}"
    if charged < owed - CENT:
        findings.uncharged.append(sentence)
    elif charged > owed + CENT:
        findings.double_charged.append(sentence)


def _check_released(findings: Findings, name: str, document: Document) -> None:
    for entry in document.get("open_dials", ()):
        findings.leaked.append(f"{name}: dial {entry.get('key')} of {entry.get('job_id')} is still open")
    for amount in ("minutes_reserved", "credit_reserved"):
        if abs(document.get(amount, 0.0)) > CENT:
            findings.leaked.append(f"{name}: {amount} is {document[amount]:.4f}")


def _check_concurrency(findings: Findings, name: str, at_most: int | None, calls: Iterable[Document]) -> None:
    """Check that there were never more concurrent calls than allowed."""
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
        findings.over_limit.append(f"{name}: {most} concurrent calls, {at_most} allowed")


def _paused(findings: Findings, records: Records) -> None:
    """Check that no call of the batch was placed between a pause's answer and the resume."""
    inside: Callable[[Pause, Document], bool] = lambda pause, call: (  # noqa: E731
        _of(call, "batch_id") == pause.batch_id
        and pause.answered_at < float(call["placed_at"]) < pause.resumed_at
    )
    findings.while_paused += [
        f"{call['call_id']}: placed {float(call['placed_at']) - pause.answered_at:.2f} s after the pause of "
        f"{pause.batch_id} was answered"
        for pause in records.pauses
        for call in records.placed_calls
        if inside(pause, call)
    ]
