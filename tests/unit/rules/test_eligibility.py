"""Whether a job may be dialled now, and what happens to it if not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.compliance.caps import LedgerEntry
from speechaid.compliance.packs import InvalidPack, Pack, Span, Unit
from speechaid.compliance.rule_case import PersonUnderRules
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.model.states import Outcome, Purpose, SuspendReason
from speechaid.model.test_calls import TESTS
from speechaid.rules.checks import CHECKS
from speechaid.rules.eligibility import (
    ACTIONS,
    FORBIDS_TEST,
    SUSPENSIONS,
    Action,
    DiallingDefaults,
    Evaluation,
    Reason,
    account_is_open,
    batch_has_room,
    batch_may_be_called,
    evaluate,
    evaluate_start,
)
from tests.unit.compliance.samples import cap, hours, pack

#: A Monday.
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DEFAULTS = DiallingDefaults(timezone="UTC", hours=None, days=None, country="CL", estimate_minutes=3)
BUSINESS_HOURS = {"start": "09:00", "end": "18:00"}


def job(**fields: Any) -> Job:
    known = {"_id": 1, "status": "in_progress", "batch_id": "batch-1", "account_id": "acme"}
    return Job.read({**known, **fields})


def a_test(until: datetime = NOON + timedelta(minutes=5), **fields: Any) -> Job:
    """The job of a test call of batch-1."""
    mark = {"batch_id": "batch-1", "job_id": "job-7", "by": "maria", "until": until}
    return job(batch_id=TESTS, test=mark, **fields)


def batch(settings: dict[str, Any] | None = None, **fields: Any) -> Batch:
    return Batch.read({"batch_id": "batch-1", "call_settings": settings or {}, **fields})


def account(**fields: Any) -> Account:
    return Account.read({"account_id": "acme", "plan_type": "unlimited", **fields})


ONE_A_DAY = cap(Unit.ATTEMPT, 1, Span.CALENDAR_DAY)
CALLED_BEFORE = LedgerEntry(
    key="k",
    ids=frozenset({"id:7"}),
    account="acme",
    at=NOON - timedelta(hours=1),
    outcome=Outcome.NO_ANSWER,
    connected=False,
)


def person(found: Pack | InvalidPack | None = None, **more: Any) -> PersonUnderRules:
    """A person of a batch for collection, with this pack for Chile."""
    packs = {} if found is None else {"CL": found}
    known: dict[str, Any] = {"purpose": Purpose.COLLECTION, "packs": packs, "ids": frozenset({"id:7"})}
    return PersonUnderRules(**{**known, "account": "acme", **more})


def evaluated(**changes: Any) -> Evaluation:
    """The evaluation of a job that passes every check, with these facts changed."""
    case: dict[str, Any] = {
        "job": job(),
        "number": "+56911111111",
        "batch": batch(),
        "account": account(),
        "holds": (),
        "on_dnc": False,
        "defaults": DEFAULTS,
        "own_reservation_key": None,
        "now": NOON,
    }
    return evaluate(**(case | changes))


def test_a_job_that_passes_every_check_is_dialled_now() -> None:
    evaluation = evaluated()
    assert evaluation.may_dial
    assert evaluation.action is Action.DIAL
    assert evaluation.next_eligible_at == NOON
    assert evaluation.reason is None
    assert evaluation.suspend_reason is None
    assert all(check.passed and check.reason is None for check in evaluation.checks)


def test_a_rule_says_when_the_person_may_be_called_and_names_itself() -> None:
    (refusal,) = [
        check
        for check in evaluated(person=person(pack(ONE_A_DAY), entries=(CALLED_BEFORE,))).checks
        if not check.passed
    ]
    assert refusal.rule == "CL collection: cap"
    assert "1 counted" in refusal.value
    assert "house rule" in refusal.value
    # Midnight in Santiago, where it is three hours earlier.
    assert refusal.next_eligible_at == datetime(2026, 3, 3, 3, tzinfo=UTC)


def test_without_a_rule_for_its_country_a_number_is_called_by_the_hours_of_its_batch() -> None:
    evaluation = evaluated(person=person())
    assert evaluation.may_dial
    assert any("no rule is known for collection in CL" in check.value for check in evaluation.checks)


def test_hours_of_batch_and_law_have_a_check_each() -> None:
    closed = evaluated(
        batch=batch({"allowed_hours": {"start": "15:00", "end": "16:00"}}),
        person=person(pack(windows=hours(([1], "08:00", "20:00")))),
    )
    assert [check.reason for check in closed.checks if not check.passed] == [Reason.OUTSIDE_WINDOW]


def test_every_reason_has_an_action_and_every_suspension_a_reason() -> None:
    assert set(ACTIONS) == set(Reason)
    assert set(SUSPENSIONS) == {reason for reason, action in ACTIONS.items() if action is Action.SUSPEND}


PREVENTING: dict[str, tuple[dict[str, Any], Reason, Action]] = {
    "a hold": (
        {"holds": [Hold(scope="fleet", reason="fire")]},
        Reason.HELD,
        Action.PUT_BACK,
    ),
    "a job that cannot be read": (
        {"job": job(attempts="three")},
        Reason.JOB_UNREADABLE,
        Action.PUT_BACK,
    ),
    "a country that is no text": (
        {"batch": batch(country=["CL"])},
        Reason.BATCH_NOT_UNDERSTOOD,
        Action.PUT_BACK,
    ),
    "no such batch": ({"batch": None}, Reason.BATCH_MISSING, Action.PUT_BACK),
    "a paused batch": ({"batch": batch(is_active=False)}, Reason.BATCH_PAUSED, Action.PUT_BACK),
    "a cancelled batch": (
        {"batch": batch(is_active=False, cancelled={"at": NOON})},
        Reason.BATCH_CANCELLED,
        Action.PUT_BACK,
    ),
    "a test call that nobody waits for any more": (
        {"job": a_test(until=NOON), "is_registered": True},
        Reason.TEST_EXPIRED,
        Action.PUT_BACK,
    ),
    "a test call to a number that is not registered": (
        {"job": a_test(), "is_registered": False},
        Reason.TEST_NUMBER_UNREGISTERED,
        Action.PUT_BACK,
    ),
    "an invalid window": (
        {"batch": batch({"allowed_hours": "9am"})},
        Reason.WINDOW_FAULT,
        Action.PUT_BACK,
    ),
    "no day of the week": ({"batch": batch({"days_of_week": []})}, Reason.WINDOW_FAULT, Action.PUT_BACK),
    "an unknown zone": (
        {"batch": batch({"timezone": "Mars/Olympus"})},
        Reason.WINDOW_FAULT,
        Action.PUT_BACK,
    ),
    "an unknown zone of the account": (
        {"account": account(timezone="Mars/Olympus")},
        Reason.ACCOUNT_NOT_UNDERSTOOD,
        Action.PUT_BACK,
    ),
    "an invalid limit": (
        {"batch": batch({"max_concurrent_calls": "two"})},
        Reason.WINDOW_FAULT,
        Action.PUT_BACK,
    ),
    "a switch of the batch that says neither yes nor no": (
        {"batch": batch(is_active="pausado")},
        Reason.BATCH_NOT_UNDERSTOOD,
        Action.PUT_BACK,
    ),
    "an account's limit that is no number": (
        {"account": account(daily_call_limit="1,000")},
        Reason.ACCOUNT_NOT_UNDERSTOOD,
        Action.PUT_BACK,
    ),
    "an account's status that is no text": (
        {"account": account(status=["active"])},
        Reason.ACCOUNT_NOT_UNDERSTOOD,
        Action.PUT_BACK,
    ),
    "an account's status that is no known word": (
        {"account": account(status="pausado")},
        Reason.ACCOUNT_NOT_UNDERSTOOD,
        Action.PUT_BACK,
    ),
    "a balance that is no number": (
        {"account": account(plan_type="minutes_based", minutes_purchased=9, minutes_used="mil")},
        Reason.ACCOUNT_NOT_UNDERSTOOD,
        Action.PUT_BACK,
    ),
    "a zone of the account that is no text": (
        {"account": account(timezone={"name": "America/Santiago"})},
        Reason.ACCOUNT_NOT_UNDERSTOOD,
        Action.PUT_BACK,
    ),
    "outside the window": (
        {"batch": batch({"allowed_hours": {"start": "13:00", "end": "14:00"}})},
        Reason.OUTSIDE_WINDOW,
        Action.PUT_BACK,
    ),
    "no such account": ({"account": None}, Reason.ACCOUNT_UNKNOWN, Action.SUSPEND),
    "a suspended account": (
        {"account": account(status="suspended")},
        Reason.ACCOUNT_INACTIVE,
        Action.PUT_BACK,
    ),
    "an expired account": ({"account": account(status="Expired")}, Reason.ACCOUNT_INACTIVE, Action.PUT_BACK),
    "an unknown plan": (
        {"account": account(plan_type="gold")},
        Reason.PLAN_UNKNOWN,
        Action.PUT_BACK,
    ),
    "no credit": (
        {"account": account(plan_type="credit_based", cost_per_call_setup=1)},
        Reason.NO_CREDIT,
        Action.SUSPEND,
    ),
    "the rest is reserved by calls in progress": (
        {
            "account": account(
                plan_type="credit_based",
                credit_balance=5,
                credit_reserved=5,
                cost_per_call_setup=1,
                open_dials=[{"key": "x", "credit": 5}],
            )
        },
        Reason.BALANCE_RESERVED,
        Action.PUT_BACK,
    ),
    "the rest is reserved by legacy reservations of other jobs": (
        {
            "account": account(
                plan_type="credit_based", credit_balance=5, credit_reserved=5, cost_per_call_setup=1
            )
        },
        Reason.NO_CREDIT,
        Action.SUSPEND,
    ),
    "no minutes": ({"account": account(plan_type="minutes_based")}, Reason.NO_CREDIT, Action.SUSPEND),
    "the daily limit is reached": (
        {"account": account(daily_call_limit=5, calls_today=5)},
        Reason.DAILY_LIMIT,
        Action.PUT_BACK,
    ),
    "the last calls of the daily limit are in progress": (
        {"account": account(daily_call_limit=5, calls_today=4, open_dials=[{"key": "x"}])},
        Reason.DAILY_LIMIT,
        Action.PUT_BACK,
    ),
    "the account's concurrency limit": (
        {"account": account(max_concurrent_calls=1, open_dials=[{"key": "x"}])},
        Reason.ACCOUNT_CONCURRENCY,
        Action.PUT_BACK,
    ),
    "the batch's concurrency limit": (
        {"batch": batch({"max_concurrent_calls": 1}, open_dials=[{"key": "x"}])},
        Reason.BATCH_CONCURRENCY,
        Action.PUT_BACK,
    ),
    "a concurrency limit of 0": (
        {"batch": batch({"max_concurrent_calls": 0})},
        Reason.BATCH_CONCURRENCY,
        Action.PUT_BACK,
    ),
    "the do-not-call list": ({"on_dnc": True}, Reason.ON_DO_NOT_CALL_LIST, Action.SKIP_PHONE),
    "no usable number": ({"number": None}, Reason.NO_NUMBER, Action.SKIP_PHONE),
    "no calling rules in the database": (
        {"person": person(fault="there are none")},
        Reason.PACK_FAULT,
        Action.PUT_BACK,
    ),
    "a pack that cannot be read": (
        {"person": person(InvalidPack(country="CL", purpose=Purpose.COLLECTION, faults=("damaged",)))},
        Reason.PACK_FAULT,
        Action.PUT_BACK,
    ),
    "hours that the law does not allow": (
        {"person": person(pack(windows=hours(([2], "08:00", "20:00"))))},
        Reason.PACK_HOURS,
        Action.PUT_BACK,
    ),
    "a ledger that is not filled": (
        {"person": person(pack(ONE_A_DAY), is_ready=False)},
        Reason.CAPS_NOT_READY,
        Action.PUT_BACK,
    ),
    "a cap": (
        {"person": person(pack(ONE_A_DAY), entries=(CALLED_BEFORE,))},
        Reason.PACK_CAP,
        Action.PUT_BACK,
    ),
}


@pytest.mark.parametrize(("changes", "reason", "action"), PREVENTING.values(), ids=PREVENTING.keys())
def test_facts_that_prevent_a_dial(changes: dict[str, Any], reason: Reason, action: Action) -> None:
    evaluation = evaluated(**changes)
    assert not evaluation.may_dial
    assert (evaluation.reason, evaluation.action) == (reason, action)
    failed = [check for check in evaluation.checks if not check.passed]
    assert [check.reason for check in failed] == [reason]
    assert all(check.value for check in evaluation.checks)


def test_the_table_of_cases_covers_every_reason() -> None:
    assert {reason for _, reason, _ in PREVENTING.values()} == set(Reason)


def test_every_reason_forbids_a_test_call_or_not() -> None:
    assert set(FORBIDS_TEST) == set(Reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [(changes, reason) for changes, reason, _ in PREVENTING.values() if "job" not in changes],
    ids=[name for name, (changes, _, _) in PREVENTING.items() if "job" not in changes],
)
def test_what_forbids_a_test_call_is_in_the_table(changes: dict[str, Any], reason: Reason) -> None:
    evaluation = evaluated(job=a_test(), is_registered=True, **changes)
    assert evaluation.may_dial is not FORBIDS_TEST[reason]
    assert evaluation.reason == (reason if FORBIDS_TEST[reason] else None)


def test_a_test_call_obeys_neither_pause_nor_window_nor_a_hold_of_batches() -> None:
    night = batch({"allowed_hours": {"start": "13:00", "end": "14:00"}}, is_active=False)
    held = [Hold(scope="batches", reason="fire", batches_only=True)]
    evaluation = evaluated(job=a_test(), batch=night, holds=held, is_registered=True)
    assert evaluation.may_dial
    assert evaluation.next_eligible_at == NOON
    values = {check.name: check.value for check in evaluation.checks}
    assert values["batch"] == "batch-1 is paused; a test call is placed all the same"
    assert values["test"] == "registered number"


def test_a_test_whose_mark_cannot_be_read_has_no_batch_and_is_not_dialled() -> None:
    evaluation = evaluated(job=job(batch_id=TESTS, test="yes"), batch=None, is_registered=True)
    assert evaluation.reason is Reason.BATCH_MISSING


@pytest.mark.parametrize(
    "changes",
    [
        {"job": job(batch_id=None), "batch": None},
        {"job": job(account_id=None), "account": None},
        {"batch": batch(is_active=None)},
        {"account": account(status=None)},
        {"account": account(daily_call_limit=5, calls_today=5, calls_today_date="2026-03-01")},
        {"account": account(daily_call_limit=5, calls_today=4)},
        {"account": account(max_concurrent_calls=2, open_dials=[{"key": "x"}])},
        {"batch": batch({"allowed_hours": BUSINESS_HOURS, "days_of_week": [1]})},
    ],
    ids=[
        "no batch",
        "no account",
        "a batch that does not say whether it is active",
        "an account without a status",
        "yesterday's limit was reached",
        "one call of the day is left",
        "one concurrent call is left",
        "inside the window",
    ],
)
def test_facts_that_do_not_prevent_a_dial(changes: dict[str, Any]) -> None:
    assert evaluated(**changes).may_dial


def test_a_legacy_reservation_counts_as_balance_for_its_own_job_only() -> None:
    mine = job(reserved_amount=5)
    whose = account(plan_type="credit_based", credit_balance=5, credit_reserved=5, cost_per_call_setup=1)
    assert evaluated(job=mine, account=whose).may_dial
    assert evaluated(job=job(), account=whose).reason is Reason.NO_CREDIT
    assert evaluated(job=job(reserved_amount="5"), account=whose).may_dial
    # The legacy reservation was released: the dial has its own reservation entry.
    swapped = account(
        plan_type="credit_based",
        credit_balance=5,
        credit_reserved=9,
        cost_per_call_setup=1,
        open_dials=[{"key": "mine", "credit": 4}],
    )
    assert evaluated(job=mine, account=swapped, own_reservation_key="mine").reason is Reason.NO_CREDIT


class TestAccountIsOpen:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"plan_type": "credit_based", "credit_balance": 0, "cost_per_call_setup": 1},
            {"plan_type": "minutes_based", "minutes_purchased": 5, "minutes_reserved": 5},
            {"max_concurrent_calls": 2, "open_dials": [{"key": "x"}]},
            {"daily_call_limit": 1, "calls_today": 1, "calls_today_date": "2026-03-01"},
        ],
        ids=[
            "no limit",
            "used up: a claim suspends its jobs",
            "all of it is reserved by legacy reservations",
            "room for one",
            "yesterday's count",
        ],
    )
    def test_it_is_open(self, fields: dict[str, Any]) -> None:
        assert account_is_open(account(**fields), DEFAULTS, NOON)

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": "suspended"},
            {"plan_type": "gold"},
            {"max_concurrent_calls": 1, "open_dials": [{"key": "x"}]},
            {"daily_call_limit": 2, "calls_today": 1, "open_dials": [{"key": "x"}]},
            {
                "plan_type": "minutes_based",
                "minutes_purchased": 3,
                "minutes_reserved": 3,
                "open_dials": [{"key": "x", "minutes": 3}],
            },
        ],
        ids=[
            "suspended",
            "unknown plan",
            "full",
            "the day's last call is ringing",
            "open dials reserve the rest",
        ],
    )
    def test_it_is_not_open(self, fields: dict[str, Any]) -> None:
        assert not account_is_open(account(**fields), DEFAULTS, NOON)


def test_a_batch_has_room_below_its_concurrency_limit() -> None:
    one = [{"key": "x"}]
    assert batch_has_room(batch())
    assert batch_has_room(batch({"max_concurrent_calls": 2}, open_dials=one))
    assert not batch_has_room(batch({"max_concurrent_calls": 1}, open_dials=one))
    assert not batch_has_room(batch({"max_concurrent_calls": 0}))


def test_a_dial_s_own_reservation_entries_are_not_counted_against_it() -> None:
    mine = [{"key": "mine", "minutes": 3}]
    held = {
        "account": account(
            plan_type="minutes_based",
            minutes_purchased=3,
            minutes_reserved=3,
            daily_call_limit=1,
            max_concurrent_calls=1,
            open_dials=mine,
        ),
        "batch": batch({"max_concurrent_calls": 1}, open_dials=mine),
    }
    assert evaluated(**held, own_reservation_key="mine").may_dial
    assert evaluated(**held, own_reservation_key="another's").reason is Reason.BALANCE_RESERVED


def test_all_checks_run_even_after_one_has_failed_and_the_first_failed_one_decides() -> None:
    evaluation = evaluated(
        holds=[Hold(scope="fleet", reason="fire")], batch=batch(is_active=False), account=None, on_dnc=True
    )
    assert len(evaluation.checks) == len(CHECKS)
    assert len({check.name for check in evaluation.checks}) == len(CHECKS)
    assert evaluation.reason is Reason.HELD
    assert evaluation.action is Action.PUT_BACK
    assert [check.reason for check in evaluation.checks if not check.passed] == [
        Reason.HELD,
        Reason.BATCH_PAUSED,
        Reason.ACCOUNT_UNKNOWN,
        Reason.ON_DO_NOT_CALL_LIST,
    ]


def test_suspensions_have_a_reason() -> None:
    assert evaluated(account=None).suspend_reason is SuspendReason.ACCOUNT_UNKNOWN
    broke = account(plan_type="minutes_based")
    assert evaluated(account=broke).suspend_reason is SuspendReason.NO_CREDIT
    assert evaluated(batch=None).suspend_reason is None


def test_the_batch_s_zone_precedes_the_account_s_and_that_precedes_the_setting() -> None:
    hours = {"allowed_hours": BUSINESS_HOURS}
    early = datetime(2026, 3, 2, 10, tzinfo=UTC)
    tokyo, santiago = "Asia/Tokyo", "America/Santiago"
    assert evaluated(batch=batch(hours), now=early).may_dial
    assert not evaluated(batch=batch(hours), account=account(timezone=santiago), now=early).may_dial
    in_utc = batch({**hours, "timezone": "UTC"})
    assert evaluated(batch=in_utc, account=account(timezone=tokyo), now=early).may_dial


class TestNextChance:
    def test_of_a_closed_window_is_its_opening(self) -> None:
        closed = batch({"allowed_hours": {"start": "13:00", "end": "14:00"}})
        assert evaluated(batch=closed).next_eligible_at == datetime(2026, 3, 2, 13, tzinfo=UTC)

    def test_of_a_reached_daily_limit_is_the_next_day_in_the_account_s_zone(self) -> None:
        full = account(daily_call_limit=1, calls_today=1, timezone="America/Santiago")
        assert evaluated(account=full).next_eligible_at == datetime(2026, 3, 3, 3, tzinfo=UTC)

    def test_of_a_reached_daily_limit_and_a_window_is_the_opening_on_the_next_day(self) -> None:
        full = account(daily_call_limit=1, calls_today=1)
        evaluation = evaluated(account=full, batch=batch({"allowed_hours": BUSINESS_HOURS}))
        assert evaluation.next_eligible_at == datetime(2026, 3, 3, 9, tzinfo=UTC)

    def test_of_an_open_breaker_is_its_probe(self) -> None:
        probe = NOON + timedelta(minutes=1)
        holds = [Hold(scope="key", reason="401", until=probe)]
        assert evaluated(holds=holds).next_eligible_at == probe

    def test_is_unknown_if_an_operator_must_act(self) -> None:
        probe = Hold(scope="key", reason="401", until=NOON)
        assert evaluated(holds=[probe, Hold(scope="fleet", reason="fire")]).next_eligible_at is None
        closed = batch({"allowed_hours": {"start": "13:00", "end": "14:00"}}, is_active=False)
        assert evaluated(batch=closed).next_eligible_at is None


class TestBatchMayBeCalled:
    def test_an_active_batch_in_its_window_may_be_called(self) -> None:
        assert batch_may_be_called(batch({"allowed_hours": BUSINESS_HOURS}), None, DEFAULTS, NOON)

    @pytest.mark.parametrize(
        "which",
        [
            batch(is_active=False),
            batch({"allowed_hours": {"start": "13:00", "end": "14:00"}}),
            batch({"allowed_hours": "9am"}),
            batch({"max_concurrent_calls": "two"}),
            batch({"max_attempts": -1}),
            Batch.read({"batch_id": "batch-1", "call_settings": "fast"}),
        ],
        ids=[
            "paused",
            "outside its window",
            "invalid hours",
            "invalid concurrency",
            "invalid attempts",
            "settings are no document",
        ],
    )
    def test_other_batches_may_not_and_the_evaluation_agrees(self, which: Batch) -> None:
        assert not batch_may_be_called(which, None, DEFAULTS, NOON)
        assert not evaluated(batch=which).may_dial

    def test_the_account_s_zone_applies(self) -> None:
        hours = batch({"allowed_hours": {"start": "12:00", "end": "13:00"}})
        assert batch_may_be_called(hours, None, DEFAULTS, NOON)
        assert not batch_may_be_called(hours, "Asia/Tokyo", DEFAULTS, NOON)

    def test_default_hours_apply_to_jobs_without_a_batch_too(self) -> None:
        class Night:
            start = "22:00"
            end = "23:00"

        at_night = DiallingDefaults(
            timezone="UTC", hours=Night(), days=None, country=None, estimate_minutes=3
        )
        assert not batch_may_be_called(None, None, at_night, NOON)
        assert batch_may_be_called(None, None, DEFAULTS, NOON)
        without_batch = evaluated(job=job(batch_id=None), batch=None, defaults=at_night)
        assert without_batch.reason is Reason.OUTSIDE_WINDOW


@pytest.mark.parametrize(
    ("fields", "reason", "chance"),
    [
        ({}, None, NOON),
        ({"status": "suspended"}, Reason.ACCOUNT_INACTIVE, None),
        ({"plan_type": "minutes_based", "minutes_remaining": 0}, Reason.NO_CREDIT, None),
        ({"daily_call_limit": 1, "calls_today": 1}, Reason.DAILY_LIMIT, datetime(2026, 3, 3, tzinfo=UTC)),
    ],
)
def test_the_start_of_a_paused_batch_depends_on_its_account(
    fields: dict[str, Any], reason: Reason | None, chance: datetime | None
) -> None:
    start = evaluate_start(
        batch(is_active=False, account_id="acme"), account(**fields), holds=(), defaults=DEFAULTS, now=NOON
    )
    assert (start.reason, start.next_eligible_at) == (reason, chance)


def test_the_start_of_a_batch_waits_for_a_hold_and_for_its_window() -> None:
    closed = batch({"allowed_hours": {"start": "13:00", "end": "14:00"}}, is_active=False)
    start = evaluate_start(closed, account(), holds=(), defaults=DEFAULTS, now=NOON)
    assert start.next_eligible_at == datetime(2026, 3, 2, 13, tzinfo=UTC)
    fire = [Hold(scope="fleet", reason="fire")]
    start = evaluate_start(closed, account(), holds=fire, defaults=DEFAULTS, now=NOON)
    assert (start.reason, start.next_eligible_at) == (Reason.HELD, None)


def test_a_check_names_field_value_and_what_is_allowed() -> None:
    evaluation = evaluated(
        batch=batch({"max_concurrent_calls": "dos"}, is_active="pausado"),
        account=account(daily_call_limit="1,000"),
    )
    assert {check.name: check.value for check in evaluation.checks if not check.passed} == {
        "batch": "is_active 'pausado' cannot be understood: true or false",
        "window": "max_concurrent_calls 'dos' cannot be understood: a whole number from 0 on",
        "account": "daily_call_limit '1,000' cannot be understood: a number",
    }
