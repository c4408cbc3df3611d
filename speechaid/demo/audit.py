"""Compare the calls that the simulator placed with the recorded results and with the rules.

The rules are implemented here a second time and replayed over the placed calls: an audit that used the code
under audit would agree with its faults.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.states import JobStatus
from speechaid.rules.outcomes import REASONS

Document = Mapping[str, Any]

#: The call was successful: no call after it.
SUCCESS: Final = frozenset(
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
#: The number must not be dialled again for this job.
DEAD: Final = frozenset({"invalid_destination"})
#: Costs neither a rotation nor an attempt.
FREE: Final = frozenset(
    {"concurrency_limit_reached", "no_concurrency_fallback", "telephony_provider_unavailable"}
)
#: Faults of the carrier, or what may be one: they may put the job back as those of ``FREE`` do. A reason that
#: Retell does not document may, too.
CARRIER: Final = frozenset(
    {
        "dial_failed",
        "marked_as_spam",
        "network_blocked",
        "scam_detected",
        "sip_routing_error",
        "telephony_provider_permission_denied",
    }
)
#: How often that may befall one job.
EXCUSED_AT_MOST: Final = 3
#: After a pass that ended with one of these, the longer delay applies.
UNANSWERED: Final = frozenset({"dial_no_answer", "voicemail_reached", "ivr_reached"})
#: For rounding between two clocks of one machine.
TOLERANCE_SECONDS: Final = 0.1
#: For rounding of costs in currency units.
TOLERANCE_CENTS: Final = 0.001


@dataclass(frozen=True, kw_only=True)
class AuditPolicy:
    """The settings of the audited daemon."""

    max_attempts: int
    retry_delay_seconds: float
    no_answer_delay_seconds: float


@dataclass(frozen=True, kw_only=True)
class WantedAgent:
    """With what the calls of a batch are to be placed."""

    agent_id: str
    from_number: str
    #: None: whichever Retell chooses.
    version: int | None = None


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The result of an audit; both lists are empty if everything is correct."""

    #: Calls that the rules do not allow, one sentence each.
    unjustified: list[str]
    #: Where placed calls, results and jobs differ, one sentence each.
    differences: list[str]

    @property
    def agrees(self) -> bool:
        """Whether placed calls, results and jobs agree."""
        return not self.differences


@dataclass(kw_only=True)
class _Replay:
    """The expected state of one job, updated call by call."""

    phones: Sequence[str]
    attempts: int = 0
    index: int = 0
    not_before: float = 0.0
    dead: set[str] = field(default_factory=set)
    end: JobStatus | None = None

    def expected(self) -> str | None:
        """The number to be dialled next."""
        index = self._next_usable(self.index)
        return None if index is None else self.phones[index]

    def called(self, call: Document, policy: AuditPolicy, *, excused: bool) -> None:
        """Update the state after a call; ``excused``: by a fault of the carrier, as the result says."""
        reason, number = str(call["disconnection_reason"]), str(call["to_number"])
        if reason in SUCCESS:
            self.end = JobStatus.DONE
        elif reason == "user_requested_dnc":
            self.end = JobStatus.CANCELLED
        elif reason not in FREE and not excused:
            if reason in DEAD:
                self.dead.add(number)
            here = self.phones.index(number) if number in self.phones else self.index
            broke_off = reason.startswith("error_") and call["connected_at"] is not None
            following = None if broke_off else self._next_usable(here + 1)
            if following is None:
                self._end_pass(reason, float(call["ended_at"]), policy)
            else:
                self.index = following

    def _end_pass(self, reason: str, ended_at: float, policy: AuditPolicy) -> None:
        self.attempts, self.index = self.attempts + 1, 0
        if self._next_usable(0) is None or self.attempts >= policy.max_attempts:
            self.end = JobStatus.FAILED
        delay = policy.no_answer_delay_seconds if reason in UNANSWERED else policy.retry_delay_seconds
        self.not_before = ended_at + delay

    def _next_usable(self, start: int) -> int | None:
        indices = range(start, len(self.phones))
        return next((index for index in indices if self.phones[index] not in self.dead), None)


def audit(
    *,
    placed_calls: Sequence[Document],
    overlaps: Iterable[Document],
    jobs: Sequence[Job],
    results: Sequence[Document],
    policy: AuditPolicy,
    marked: Collection[str] = (),
    registered: Collection[str] = (),
    wanted: Mapping[str, WantedAgent] = MappingProxyType({}),
) -> Audit:
    """Compare placed calls, results and jobs after the campaign has ended.

    Args:
        placed_calls: by the simulator, in order.
        overlaps: the simulator's pairs of overlapping calls to one number.
        jobs: all jobs of the campaign.
        results: all ``call_results`` of the campaign, and of test calls.
        policy: the settings of the daemon.
        marked: numbers that Retell refuses to call, since the person asked for it in a call whose end was
            reported otherwise.
        registered: the numbers that may get test calls.
        wanted: agent, version and number by batch; calls of other batches may have any.
    """
    unjustified = [
        f"{' and '.join(pair['call_ids'])}: two calls at once to {mask_phone(pair['to_number'])}"
        for pair in overlaps
    ]
    differences = _compare_calls(placed_calls, results)
    unjustified += [fault for call in placed_calls if (fault := _wrong_agent(call, wanted)) is not None]
    excused = excused_calls(results)
    per_job = Counter(str(result["job_id"]) for result in results if str(result.get("call_id")) in excused)
    unjustified += [
        f"{name}: {count} carrier faults were excused"
        for name, count in per_job.items()
        if count > EXCUSED_AT_MOST
    ]
    unjustified += _check_tests([call for call in placed_calls if is_test(call)], registered)
    by_job: dict[str, list[Document]] = {job.job_id: [] for job in jobs}
    for call in placed_calls:
        if is_test(call):
            continue
        job_id = str((call["metadata"] or {}).get("job_id"))
        if job_id not in by_job:
            unjustified.append(f"{call['call_id']}: a call without a job of this campaign")
            continue
        by_job[job_id].append(call)
    for job in jobs:
        replay = _Replay(phones=job.contact.phones)
        for call in by_job[job.job_id]:
            fault = _check_call(replay, call, policy, excused=str(call["call_id"]) in excused)
            unjustified += [] if fault is None else [fault]
        differences += _compare_job(job, replay, marked)
    return Audit(unjustified=unjustified, differences=differences)


def is_test(call: Document) -> bool:
    """Whether a placed call is a test call, which belongs to no campaign."""
    return (call["metadata"] or {}).get("test") == "true"


def _check_tests(calls: Sequence[Document], registered: Collection[str]) -> list[str]:
    """Each test is one call, to a registered number."""
    per_job = Counter(str(call["metadata"].get("job_id")) for call in calls)
    return [
        *(
            f"{call['call_id']}: a test call to {mask_phone(str(call['to_number']))}, which is not registered"
            for call in calls
            if call["to_number"] not in registered
        ),
        *(f"{name}: {count} calls of one test" for name, count in per_job.items() if count > 1),
    ]


def _wrong_agent(call: Document, wanted: Mapping[str, WantedAgent]) -> str | None:
    """What is wrong with agent, version and number of a placed call, or None."""
    of_batch = wanted.get(str((call["metadata"] or {}).get("batch_id")))
    if of_batch is None:
        return None
    pairs = {
        "agent": (call.get("agent_id"), of_batch.agent_id),
        "number": (mask_phone(str(call.get("from_number"))), mask_phone(of_batch.from_number)),
        "version": (call.get("agent_version"), of_batch.version),
    }
    for name, (found, right) in pairs.items():
        if right is not None and found != right:
            return f"{call['call_id']}: called with {name} {found} instead of {right}"
    return None


def excused_calls(results: Iterable[Document]) -> frozenset[str]:
    """The calls whose end was taken for a fault of the carrier, by their results, where that is possible."""
    return frozenset(
        str(result.get("call_id"))
        for result in results
        if result.get("outcome") == "temporary" and _may_be_excused(str(result.get("disconnection_reason")))
    )


def _may_be_excused(reason: str) -> bool:
    return reason in CARRIER or reason not in REASONS


def _check_call(replay: _Replay, call: Document, policy: AuditPolicy, *, excused: bool) -> str | None:
    """What is wrong with the job's next call, or None; updates the replay."""
    number, early = str(call["to_number"]), replay.not_before - float(call["placed_at"])
    expected = replay.expected()
    fault = None
    if replay.end is not None:
        fault = f"the job was already {replay.end}"
    elif number in replay.dead:
        fault = f"{mask_phone(number)} is known to be invalid"
    elif number != expected:
        fault = f"{mask_phone(number)} was called instead of {mask_phone(expected or '')}"
    elif early > TOLERANCE_SECONDS:
        fault = f"{mask_phone(number)} was called {early:.2f} s too early"
    replay.called(call, policy, excused=excused)
    return None if fault is None else f"{call['call_id']}: {fault}"


def _compare_job(job: Job, replay: _Replay, marked: Collection[str]) -> list[str]:
    if replay.end is None:
        if job.status is JobStatus.CANCELLED and not set(marked).isdisjoint(job.contact.phones):
            return []
        return [f"{job.job_id} is {job.status}, but its calls have not ended it"]
    if (job.status, job.attempts) != (replay.end, replay.attempts):
        expected = f"{replay.end} after {replay.attempts}"
        return [
            f"{job.job_id} is {job.status} after {job.attempts} attempts; expected from its calls: {expected}"
        ]
    return []


def _compare_calls(placed_calls: Sequence[Document], results: Sequence[Document]) -> list[str]:
    """Compare call by call, in both directions."""
    counts = Counter(str(result.get("call_id")) for result in results)
    found = [f"{call_id}: recorded {count} times" for call_id, count in counts.items() if count > 1]
    recorded = {str(result.get("call_id")): result for result in results}
    placed = {str(call["call_id"]): call for call in placed_calls}
    found += [f"{call_id}: recorded, but never placed" for call_id in recorded.keys() - placed.keys()]
    for call_id, call in placed.items():
        result = recorded.get(call_id)
        if result is None:
            found.append(f"{call_id}: placed, but not recorded")
            continue
        recorded_facts, actual_facts = _recorded_facts(result), _actual_facts(call)
        found += [
            f"{call_id}: {name} is recorded as {recorded_facts[name]!r}, actual {actual_facts[name]!r}"
            for name in actual_facts
            if recorded_facts[name] != actual_facts[name]
        ]
        cost, charged = float(result["cost"]) * 100, float(call["cost_cents"] or 0)
        if abs(cost - charged) > TOLERANCE_CENTS:
            found.append(f"{call_id}: cost is recorded as {cost:.3f} cents, actual {charged:.3f}")
    return found


def _recorded_facts(result: Document) -> dict[str, object]:
    return {
        "number": mask_phone(str(result["contact"]["phone_used"])),
        "job": result["job_id"],
        "agent": result.get("agent_id"),
        "version": result.get("agent_version"),
        "from": mask_phone(str(result.get("from_number") or "")),
        "call_status": result["call_status"],
        "reason": result["disconnection_reason"],
        "duration_ms": round(float(result["duration_ms"] or 0)),
    }


def _actual_facts(call: Document) -> dict[str, object]:
    return {
        "number": mask_phone(str(call["to_number"])),
        "job": (call["metadata"] or {}).get("job_id"),
        "agent": call.get("agent_id"),
        "version": call.get("agent_version"),
        "from": mask_phone(str(call.get("from_number") or "")),
        "call_status": call["call_status"],
        "reason": call["disconnection_reason"],
        "duration_ms": round(float(call["duration_ms"] or 0)),
    }
