"""Which dials a forecast places, in which order, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from speechaid.commands.forecast_schedule import BEYOND_HORIZON, Queue, Schedule, Skipped, WaitingDial
from speechaid.rules.checks import Check, Reason
from speechaid.rules.eligibility import Action, Evaluation

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def queue(name: str, dials: int, *, at: datetime = NOW, account: str | None = None, **fields: Any) -> Queue:
    waiting = [
        WaitingDial(
            job_id=f"{name}-{number}",
            number="+56912345678",
            phone_index=0,
            attempt=0,
            earliest=at,
            due=None,
            reserved=0.0,
        )
        for number in range(dials)
    ]
    standard: dict[str, Any] = {"priority": 1, "limits": {}, "not_before": NOW}
    return Queue(**{**standard, "batch_id": name, "account_id": account, "dials": waiting[::-1], **fields})


def allowed(_queue: Queue, _dial: WaitingDial, at: datetime) -> Evaluation:
    return Evaluation(may_dial=True, checks=(), next_eligible_at=at, action=Action.DIAL)


def refused(reason: Reason, until: datetime | None = None) -> Evaluation:
    check = Check(name="a check", passed=False, value="", reason=reason, next_eligible_at=until)
    return Evaluation(may_dial=False, checks=(check,), next_eligible_at=until, action=Action.PUT_BACK)


class Scheduled:
    """A schedule that has run, with calls of ten minutes."""

    def __init__(self, *queues: Queue, workers: int = 2, evaluate: Any = allowed) -> None:
        self.placed: list[tuple[str, float]] = []
        self.skipped = Skipped()
        self.schedule = Schedule(
            queues,
            now=NOW,
            workers=workers,
            call_seconds=600.0,
            evaluate=evaluate,
            place=lambda _queue, dial, at: self.placed.append((dial.job_id, (at - NOW) / minutes(1))),
            skipped=self.skipped,
        )
        self.schedule.run()


def test_dials_take_the_workers_in_turn_and_the_last_end_is_known() -> None:
    done = Scheduled(queue("a", 5))
    assert done.placed == [("a-0", 0), ("a-1", 0), ("a-2", 10), ("a-3", 10), ("a-4", 20)]
    assert (done.schedule.calls_at_once, done.schedule.placed) == (2, 5)
    assert done.schedule.ends_at == NOW + minutes(30)


def test_batches_take_turns_and_a_higher_priority_goes_first() -> None:
    done = Scheduled(queue("a", 2), queue("b", 2), queue("urgent", 1, priority=3), workers=1)
    assert [name for name, _ in done.placed] == ["urgent-0", "a-0", "b-0", "a-1", "b-1"]


def test_two_accounts_of_a_batch_share_its_turn() -> None:
    queues = (queue("a", 2, account="x"), queue("a", 2, account="y"), queue("b", 4))
    done = Scheduled(*queues, workers=1)
    assert [name.partition("-")[0] for name, _ in done.placed] == ["a", "b", "a", "b", "a", "b", "a", "b"]


def test_a_dial_waits_until_it_is_due_and_others_go_before_it() -> None:
    done = Scheduled(queue("later", 1, at=NOW + minutes(15)), queue("now", 2), workers=1)
    assert done.placed == [("now-0", 0), ("now-1", 10), ("later-0", 20)]


def test_a_limit_of_calls_at_once_keeps_no_worker_from_other_batches() -> None:
    limited = queue("limited", 3, limits={"batch limited": 1}, priority=3)
    done = Scheduled(limited, queue("other", 3), workers=2)
    assert [(name, at) for name, at in done.placed if name.startswith("limited")] == [
        ("limited-0", 0),
        ("limited-1", 10),
        ("limited-2", 20),
    ]
    assert [at for name, at in done.placed if name.startswith("other")] == [0, 10, 20]


def test_a_closed_window_moves_the_whole_queue_to_its_opening() -> None:
    opens = NOW + minutes(60)

    def closes_at_five(_queue: Queue, _dial: WaitingDial, at: datetime) -> Evaluation:
        is_open = at < NOW + minutes(5) or at >= opens
        return allowed(_queue, _dial, at) if is_open else refused(Reason.OUTSIDE_WINDOW, opens)

    done = Scheduled(queue("a", 4), evaluate=closes_at_five)
    assert [at for _, at in done.placed] == [0, 0, 60, 60]
    assert done.skipped.jobs.total() == 0


def test_a_limit_of_calls_a_day_moves_the_rest_to_the_next_day() -> None:
    tomorrow = NOW + timedelta(hours=12)
    calls: list[datetime] = []

    def two_a_day(_queue: Queue, _dial: WaitingDial, at: datetime) -> Evaluation:
        if at < tomorrow and len(calls) >= 2:
            return refused(Reason.DAILY_LIMIT, tomorrow)
        calls.append(at)
        return allowed(_queue, _dial, at)

    done = Scheduled(queue("a", 3), evaluate=two_a_day)
    assert [at for _, at in done.placed] == [0, 0, 720]


def test_a_balance_that_is_used_up_skips_the_rest() -> None:
    def one(_queue: Queue, dial: WaitingDial, at: datetime) -> Evaluation:
        return allowed(_queue, dial, at) if dial.job_id == "a-0" else refused(Reason.NO_CREDIT)

    done = Scheduled(queue("a", 3), evaluate=one)
    assert [name for name, _ in done.placed] == ["a-0"]
    assert dict(done.skipped.jobs) == {"no_credit by then": 2}


def test_what_cannot_be_placed_within_a_year_is_said() -> None:
    done = Scheduled(queue("a", 2, at=NOW + timedelta(days=400)))
    assert (done.placed, dict(done.skipped.jobs)) == ([], {BEYOND_HORIZON: 2})
    assert done.schedule.ends_at is None
