"""The books compared: what the simulator truly placed, what the records say, and what the rules allow.

The rules are told here a second time, in the auditor's own words, and replayed over the ledger: an audit that
asked the code under audit would agree with every fault in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.states import JobStatus

Document = Mapping[str, Any]

#: The purpose was served: no call after it.
SERVED: Final = frozenset(
    {
        "user_hangup",
        "agent_hangup",
        "call_transfer",
        "transfer_bridged",
        "transfer_cancelled",
        "call_take_over",
        "inactivity",
        "max_duration_reached",
        "user_requested_callback",
    }
)
#: The number is never to be dialled again for this job.
DEAD: Final = frozenset({"invalid_destination"})
#: Costs neither a phone nor an attempt.
FREE: Final = frozenset(
    {"concurrency_limit_reached", "no_concurrency_fallback", "telephony_provider_unavailable"}
)
#: After a pass that ended so, the longer delay.
UNANSWERED: Final = frozenset({"dial_no_answer", "voicemail_reached", "ivr_reached"})
#: Two clocks of one machine may differ by a rounding.
TOLERANCE_SECONDS: Final = 0.1
#: Costs are kept in currency units, rounded.
TOLERANCE_CENTS: Final = 0.001


@dataclass(frozen=True, kw_only=True)
class AuditPolicy:
    """The settings that the daemon ran under."""

    max_attempts: int
    retry_delay_seconds: float
    no_answer_delay_seconds: float


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found; both lists are empty when all is well."""

    #: Calls that the rules do not justify, a sentence each.
    unjustified: list[str]
    #: Where ledger, results and jobs do not tell the same, a sentence each.
    differences: list[str]

    @property
    def agrees(self) -> bool:
        """Whether all books tell the same."""
        return not self.differences


@dataclass(kw_only=True)
class _Replay:
    """One job as it should stand after each of its calls."""

    phones: Sequence[str]
    attempts: int = 0
    place: int = 0
    not_before: float = 0.0
    dead: set[str] = field(default_factory=set)
    end: JobStatus | None = None

    def expected(self) -> str | None:
        """The number whose turn it is."""
        place = self._alive_from(self.place)
        return None if place is None else self.phones[place]

    def called(self, call: Document, policy: AuditPolicy) -> None:
        """Go on by what the call came to."""
        reason, number = str(call["disconnection_reason"]), str(call["to_number"])
        if reason in SERVED:
            self.end = JobStatus.DONE
        elif reason == "user_requested_dnc":
            self.end = JobStatus.CANCELLED
        elif reason not in FREE:
            if reason in DEAD:
                self.dead.add(number)
            here = self.phones.index(number) if number in self.phones else self.place
            broke_off = reason.startswith("error_") and call["connected_at"] is not None
            following = None if broke_off else self._alive_from(here + 1)
            if following is None:
                self._end_pass(reason, float(call["ended_at"]), policy)
            else:
                self.place = following

    def _end_pass(self, reason: str, ended_at: float, policy: AuditPolicy) -> None:
        self.attempts, self.place = self.attempts + 1, 0
        if self._alive_from(0) is None or self.attempts >= policy.max_attempts:
            self.end = JobStatus.FAILED
        delay = policy.no_answer_delay_seconds if reason in UNANSWERED else policy.retry_delay_seconds
        self.not_before = ended_at + delay

    def _alive_from(self, start: int) -> int | None:
        places = range(start, len(self.phones))
        return next((place for place in places if self.phones[place] not in self.dead), None)


def audit(
    *,
    ledger: Sequence[Document],
    overlaps: Iterable[Document],
    jobs: Sequence[Job],
    results: Sequence[Document],
    policy: AuditPolicy,
) -> Audit:
    """Compare the books when nothing is under way any more.

    Args:
        ledger: the simulator's calls, in order.
        overlaps: its pairs of calls to one number at a time.
        jobs: all jobs of the campaign.
        results: all ``call_results`` of the campaign.
        policy: the settings that held.
    """
    unjustified = [
        f"{' and '.join(pair['call_ids'])}: two calls at once to {mask_phone(pair['to_number'])}"
        for pair in overlaps
    ]
    differences = _compare_calls(ledger, results)
    by_job: dict[str, list[Document]] = {job.job_id: [] for job in jobs}
    for call in ledger:
        job_id = str((call["metadata"] or {}).get("job_id"))
        if job_id not in by_job:
            unjustified.append(f"{call['call_id']}: a call of no job of this campaign")
            continue
        by_job[job_id].append(call)
    for job in jobs:
        replay = _Replay(phones=job.contact.phones)
        unjustified += [fault for call in by_job[job.job_id] if (fault := _judge(replay, call, policy))]
        differences += _compare_job(job, replay)
    return Audit(unjustified=unjustified, differences=differences)


def _judge(replay: _Replay, call: Document, policy: AuditPolicy) -> str | None:
    """What is wrong with this call, coming next; then go on."""
    number, early = str(call["to_number"]), replay.not_before - float(call["placed_at"])
    expected = replay.expected()
    fault = None
    if replay.end is not None:
        fault = f"the job was {replay.end} already"
    elif number in replay.dead:
        fault = f"{mask_phone(number)} was known not to exist"
    elif number != expected:
        fault = f"{mask_phone(number)} was called, {mask_phone(expected or '')} was next"
    elif early > TOLERANCE_SECONDS:
        fault = f"{mask_phone(number)} was called {early:.2f} s before its time"
    replay.called(call, policy)
    return None if fault is None else f"{call['call_id']}: {fault}"


def _compare_job(job: Job, replay: _Replay) -> list[str]:
    if replay.end is None:
        return [f"{job.job_id} is {job.status}, but its calls have not decided it yet"]
    if (job.status, job.attempts) != (replay.end, replay.attempts):
        should_be = f"{replay.end} after {replay.attempts}"
        return [f"{job.job_id} is {job.status} after {job.attempts} attempts; its calls say {should_be}"]
    return []


def _compare_calls(ledger: Sequence[Document], results: Sequence[Document]) -> list[str]:
    """Call by call, both ways."""
    counts = Counter(str(result.get("call_id")) for result in results)
    found = [f"{call_id}: recorded {count} times" for call_id, count in counts.items() if count > 1]
    recorded = {str(result.get("call_id")): result for result in results}
    placed = {str(call["call_id"]): call for call in ledger}
    found += [f"{call_id}: recorded, but never placed" for call_id in recorded.keys() - placed.keys()]
    for call_id, call in placed.items():
        result = recorded.get(call_id)
        if result is None:
            found.append(f"{call_id}: placed, but not recorded")
            continue
        said, truth = _told(result), _true(call)
        found += [
            f"{call_id}: {name} is {said[name]!r} on record, {truth[name]!r} in truth"
            for name in truth
            if said[name] != truth[name]
        ]
        cost, charged = float(result["cost"]) * 100, float(call["cost_cents"] or 0)
        if abs(cost - charged) > TOLERANCE_CENTS:
            found.append(f"{call_id}: it cost {cost:.3f} cents on record, {charged:.3f} in truth")
    return found


def _told(result: Document) -> dict[str, object]:
    return {
        "number": mask_phone(str(result["contact"]["phone_used"])),
        "job": result["job_id"],
        "call_status": result["call_status"],
        "reason": result["disconnection_reason"],
        "duration_ms": round(float(result["duration_ms"] or 0)),
    }


def _true(call: Document) -> dict[str, object]:
    return {
        "number": mask_phone(str(call["to_number"])),
        "job": (call["metadata"] or {}).get("job_id"),
        "call_status": call["call_status"],
        "reason": call["disconnection_reason"],
        "duration_ms": round(float(call["duration_ms"] or 0)),
    }
