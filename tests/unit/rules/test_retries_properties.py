"""Properties of any sequence of outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from speechaid.model.states import JobStatus, Outcome, Stopper
from speechaid.rules.phones import choose, undialable
from speechaid.rules.retries import NextStep, Position, RetryCause, RetryPolicy, decide

FREE = {Outcome.TEMPORARY, Outcome.BLOCKED}
#: Outcomes after which a contact is retried.
RETRIED = [
    Outcome.NO_ANSWER,
    Outcome.BUSY,
    Outcome.FAILED,
    Outcome.VOICEMAIL,
    Outcome.INVALID_NUMBER,
    Outcome.TEMPORARY,
    Outcome.BLOCKED,
]
#: Valid numbers, one in two spellings, and text that is no number.
SPELLINGS = ["+56911111111", "9 1111 1111", "922222222", "+56933333333", "+14155550123", "no phone", "12"]


@dataclass
class SimulatedJob:
    """A simulated job: what was dialled, in which pass, with which outcome."""

    dials: list[tuple[int, int, str]] = field(default_factory=list)
    marked_dead_at: dict[str, int] = field(default_factory=dict)
    steps: list[NextStep] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return bool(self.steps) and self.steps[-1].status is not JobStatus.PENDING


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=draw(st.integers(1, 4)),
        retry_delay_seconds=1800,
        no_answer_delay_seconds=3600,
        temporary_min_seconds=60,
        temporary_max_seconds=120,
        voicemail_is_success=draw(st.booleans()),
    )


phones_lists = st.lists(st.sampled_from(SPELLINGS), min_size=0, max_size=5).map(tuple)
events = st.tuples(
    st.sampled_from(list(Outcome)), st.booleans(), st.sampled_from([None, *Stopper]), st.floats(0, 0.999)
)
failures = st.tuples(st.sampled_from(RETRIED), st.booleans(), st.none(), st.floats(0, 0.999))


def simulate(
    phones: tuple[str, ...],
    policy: RetryPolicy,
    dial_events: list[tuple[Outcome, bool, Stopper | None, float]],
) -> SimulatedJob:
    """Dial as a worker would until the job ends or the outcomes run out."""
    job, dead, index, attempts = SimulatedJob(), set[str](), 0, 0
    for outcome, connected, stopped_by, jitter in dial_events:
        choice = choose(phones, index, dead, "CL")
        if choice is None:
            break
        job.dials.append((attempts, choice.index, choice.number))
        step = decide(
            outcome,
            position=Position(
                phones=phones, dead=undialable(phones, dead, "CL"), index=choice.index, attempts=attempts
            ),
            connected=connected,
            stopped_by=stopped_by,
            policy=policy,
            jitter=jitter,
        )
        job.steps.append(step)
        if step.dead_phone is not None:
            dead.add(step.dead_phone)
            job.marked_dead_at[choice.number] = len(job.dials)
        index, attempts = step.next_phone_index, step.attempts
        if step.status is not JobStatus.PENDING:
            break
    return job


@given(phones_lists, policies(), st.lists(events, max_size=40))
def test_attempts_never_decrease_nor_exceed_the_limit(
    phones: tuple[str, ...],
    policy: RetryPolicy,
    dial_events: list[tuple[Outcome, bool, Stopper | None, float]],
) -> None:
    counts = [step.attempts for step in simulate(phones, policy, dial_events).steps]
    assert counts == sorted(counts)
    assert all(count <= policy.max_attempts for count in counts)


@given(phones_lists, policies(), st.lists(events, max_size=40))
def test_a_dead_number_is_never_dialled_again_in_any_spelling(
    phones: tuple[str, ...],
    policy: RetryPolicy,
    dial_events: list[tuple[Outcome, bool, Stopper | None, float]],
) -> None:
    job = simulate(phones, policy, dial_events)
    for number, when in job.marked_dead_at.items():
        assert number not in [dialled for _, _, dialled in job.dials[when:]]


@given(phones_lists, policies(), st.lists(failures, max_size=60))
def test_every_pass_tries_the_phones_in_order_from_the_first_and_each_number_once(
    phones: tuple[str, ...],
    policy: RetryPolicy,
    dial_events: list[tuple[Outcome, bool, Stopper | None, float]],
) -> None:
    without_break_offs = [event for event in dial_events if event[0] not in FREE and not event[1]]
    job = simulate(
        phones, policy, [(outcome, False, None, jitter) for outcome, _, _, jitter in without_break_offs]
    )
    unusable = undialable(phones, set(), "CL")
    usable = [index for index, phone in enumerate(phones) if phone not in unusable]
    for number in sorted({attempt for attempt, _, _ in job.dials}):
        tried = [place for attempt, place, _ in job.dials if attempt == number]
        assert tried == sorted(set(tried))
        numbers = [dialled for attempt, _, dialled in job.dials if attempt == number]
        assert len(numbers) == len(set(numbers))
        finished = job.steps[-1].attempts > number
        if number == 0 and finished and len(set(phones)) == len(phones):
            assert tried == usable


@given(phones_lists, policies(), st.lists(failures, min_size=1, max_size=10))
def test_every_job_ends_when_faults_cost_something(
    phones: tuple[str, ...],
    policy: RetryPolicy,
    dial_events: list[tuple[Outcome, bool, Stopper | None, float]],
) -> None:
    costly = [event for event in dial_events if event[0] not in FREE or event[1]]
    bound = policy.max_attempts * max(len(phones), 1)
    job = simulate(phones, policy, (costly * (bound + 1)) if costly else [])
    no_usable_phone = choose(phones, 0, set(), "CL") is None
    assert job.ended or no_usable_phone or not costly
    assert len(job.dials) <= bound


@settings(max_examples=30)
@given(phones_lists, policies(), st.integers(1, 50), st.sampled_from(sorted(FREE)))
def test_free_faults_repeat_without_limit_and_spend_nothing(
    phones: tuple[str, ...], policy: RetryPolicy, times: int, outcome: Outcome
) -> None:
    job = simulate(phones, policy, [(outcome, False, None, 0.5)] * times)
    assert not job.ended
    assert {step.attempts for step in job.steps} <= {0}
    assert len({place for _, place, _ in job.dials}) <= 1


@given(phones_lists, policies(), st.lists(events, max_size=40))
def test_only_a_rotation_or_a_blocked_dial_is_due_at_once(
    phones: tuple[str, ...],
    policy: RetryPolicy,
    dial_events: list[tuple[Outcome, bool, Stopper | None, float]],
) -> None:
    for step in simulate(phones, policy, dial_events).steps:
        if step.status is JobStatus.PENDING and step.delay_seconds == 0:
            assert step.cause in {RetryCause.ROTATED, RetryCause.BLOCKED}
