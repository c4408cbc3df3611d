"""Reading documents of SpeechAI: any content gives a record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.model import reading
from speechaid.model.account import Account, Plan
from speechaid.model.batch import Batch
from speechaid.model.call import Call
from speechaid.model.job import Contact, Dial, Job
from speechaid.model.states import CallStatus, JobStatus, Priority, Stopper

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Decimal128:
    """Like BSON's: recognised by its one method."""

    def to_decimal(self) -> Decimal:
        return Decimal("12.5")


READERS: list[tuple[str, Any, object, object]] = [
    ("text", reading.text, "  a ", "a"),
    ("text: blank", reading.text, " ", None),
    ("text: integer", reading.text, 56912345678, "56912345678"),
    ("text: integral float, as from a spreadsheet", reading.text, 56912345678.0, "56912345678"),
    ("text: boolean", reading.text, True, None),
    ("text: list", reading.text, ["a"], None),
    ("number", reading.number, "12.5", 12.5),
    ("number: decimal", reading.number, Decimal128(), 12.5),
    ("number: boolean", reading.number, True, None),
    ("number: word", reading.number, "many", None),
    ("number: not a number", reading.number, float("nan"), None),
    ("number: infinite", reading.number, "inf", None),
    ("number: too large", reading.number, 10**400, None),
    ("whole: truncated", reading.whole, "3.9", 3),
    ("whole: missing", reading.whole, None, 0),
    ("instant: naive is UTC", reading.instant, NOON.replace(tzinfo=None), NOON),
    ("instant: another zone", reading.instant, NOON.astimezone(timezone(timedelta(hours=-4))), NOON),
    ("instant: text", reading.instant, "2026-05-04T12:00:00Z", NOON),
    ("instant: unreadable text", reading.instant, "tomorrow", None),
    ("instant: before year 1 in UTC", reading.instant, "0001-01-01T00:00:00+05:00", None),
    ("instant: number", reading.instant, 1746360000, None),
    ("mapping", reading.mapping, "x", {}),
    ("sequence: scalar", reading.sequence, "+56912345678", ["+56912345678"]),
    ("sequence: tuple", reading.sequence, (1, 2), [1, 2]),
    ("sequence: mapping", reading.sequence, {"a": 1}, []),
    ("sequence: none", reading.sequence, None, []),
]


@pytest.mark.parametrize(
    ("reader", "value", "expected"), [row[1:] for row in READERS], ids=[row[0] for row in READERS]
)
def test_a_value_of_the_wrong_type_counts_as_missing(reader: Any, value: object, expected: object) -> None:
    assert reader(value) == expected


FLAGS = [
    (True, True),
    ("false", False),
    ("YES", True),
    (0, False),
    (1.0, True),
    ("maybe", True),
    (None, True),
]


@pytest.mark.parametrize(("value", "expected"), FLAGS)
def test_a_flag_is_read_in_many_spellings(value: object, expected: bool) -> None:
    assert reading.flag(value, default=True) is expected


# -- jobs --------------------------------------------------------------------------------------------------

STATUSES = [
    ("pending", JobStatus.PENDING),
    ("Completed", JobStatus.DONE),
    ("scheduled", JobStatus.SCHEDULED),
    # Unknown: never dialled.
    ("exploded", JobStatus.SUSPENDED),
    (None, JobStatus.SUSPENDED),
    (7, JobStatus.SUSPENDED),
]


@pytest.mark.parametrize(("word", "status"), STATUSES)
def test_a_status_is_read_in_speechais_spellings(word: object, status: JobStatus) -> None:
    assert Job.read({"_id": 1, "status": word}).status is status


def test_a_job_of_the_current_form_is_read_completely() -> None:
    document = {
        "_id": 1,
        "job_id": "job-17",
        "status": "in_progress",
        "account_id": "acc",
        "batch_id": "batch-1",
        "contact": {
            "name": "Ana",
            "dni": "1-9",
            "phones": ["+56900000001", "+56900000002"],
            "next_phone_index": 1,
        },
        "attempts": 1,
        "max_attempts": 4,
        "reserved_until": NOON.replace(tzinfo=None),
        "worker_id": "worker-1@host:7",
        "claim_token": "t",
        "revision": 9,
        "dead_phones": ["+56900000001", None, ""],
        "own_field": {"kept": True},
    }
    job = Job.read(document)
    assert (job.job_id, job.attempts, job.max_attempts, job.revision) == ("job-17", 1, 4, 9)
    assert job.contact == Contact(
        name="Ana", dni="1-9", phones=("+56900000001", "+56900000002"), next_phone_index=1
    )
    assert job.reserved_until == NOON
    assert job.dead_phones == {"+56900000001"}
    assert job.document["own_field"] == {"kept": True}


FLAT: list[tuple[str, dict[str, Any], tuple[str | None, str | None, tuple[str, ...]]]] = [
    ("flat", {"nombre": "Ana", "rut": "1-9", "to_number": "+569"}, ("Ana", "1-9", ("+569",))),
    (
        "contact wins",
        {"nombre": "X", "to_number": "1", "contact": {"name": "Ana", "phones": ["2"]}},
        ("Ana", None, ("2",)),
    ),
    (
        "no phones in contact",
        {"to_number": "1", "contact": {"name": "Ana", "phones": []}},
        ("Ana", None, ("1",)),
    ),
    ("one phone as text", {"contact": {"phones": "+569"}}, (None, None, ("+569",))),
    ("phones as numbers", {"contact": {"phones": [56912345678, None, " "]}}, (None, None, ("56912345678",))),
    ("contact as text", {"contact": "Ana", "to_number": 569}, (None, None, ("569",))),
    ("nothing", {}, (None, None, ())),
]


@pytest.mark.parametrize(("document", "expected"), [row[1:] for row in FLAT], ids=[row[0] for row in FLAT])
def test_flat_fields_replace_a_missing_contact(
    document: dict[str, Any], expected: tuple[str | None, str | None, tuple[str, ...]]
) -> None:
    contact = Contact.read(document)
    assert (contact.name, contact.dni, contact.phones) == expected


COUNTS = [
    ({"attempts": 2, "tries": 9}, 2),
    ({"tries": 2}, 2),
    ({"tries": "2"}, 2),
    ({"attempts": -1}, 0),
    ({}, 0),
]


@pytest.mark.parametrize(("document", "attempts"), COUNTS)
def test_tries_replaces_missing_attempts(document: dict[str, Any], attempts: int) -> None:
    assert Job.read({"_id": 1, **document}).attempts == attempts


def test_a_job_without_a_name_is_named_by_its_id() -> None:
    assert Job.read({"_id": 42}).job_id == "42"


def test_a_dial_read_from_its_document_equals_the_original() -> None:
    dial = Dial(
        key="k",
        number="+56900000001",
        phone_index=1,
        attempt=2,
        intent_at=NOON,
        body='{"to_number": "+56900000001"}',
        api_key_fingerprint="abc",
        call_id="call_1",
        stop_asked_by=Stopper.LIMIT,
        empty_lookups=2,
    )
    assert Dial.read(dial.document()) == dial
    assert "batch_id" not in dial.document()


@pytest.mark.parametrize("missing", ["key", "number", "intent_at"])
def test_a_document_without_a_required_field_is_not_a_dial(missing: str) -> None:
    document = {"key": "k", "number": "+569", "intent_at": NOON}
    assert Dial.read(document) is not None
    assert Dial.read({**document, missing: None}) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


# -- batches, accounts, calls ------------------------------------------------------------------------------


def test_an_empty_batch_is_active_with_normal_priority_and_no_settings() -> None:
    batch = Batch.read({"_id": "x"})
    assert (batch.batch_id, batch.is_active, batch.priority) == ("x", True, Priority.NORMAL)
    assert batch.call_settings.max_attempts is None
    assert batch.call_settings.voicemail_counts is None
    assert batch.open_dials == frozenset()


ACTIVE = [
    ({"is_active": False}, False),
    ({"is_active": 0.0}, False),
    ({"is_active": " No "}, False),
    ({"is_active": 1}, True),
    ({"is_active": "yes"}, True),
    ({"is_active": "false"}, False),
    ({"is_active": None}, True),
    ({}, True),
]


@pytest.mark.parametrize(("document", "active"), ACTIVE)
def test_only_a_false_value_pauses_a_batch(document: dict[str, Any], active: bool) -> None:
    assert Batch.read({"_id": 1, **document}).is_active is active


@pytest.mark.parametrize("value", ["pausado", "", "sí", 2, -1, float("nan"), [], {}, [True], NOON, b"1"])
def test_a_switch_that_says_neither_yes_nor_no_pauses_a_batch_and_is_named(value: object) -> None:
    batch = Batch.read({"_id": 1, "is_active": value})
    assert not batch.is_active
    assert batch.active_fault == f"is_active {reading.shown(value)} cannot be understood: true or false"


@given(ANYTHING)
def test_a_batch_is_active_only_by_a_value_that_the_stores_queries_know(value: object) -> None:
    batch = Batch.read({"_id": 1, "is_active": value})
    assert batch.is_active is (value in reading.ACTIVE_VALUES)
    assert not (batch.is_active and batch.active_fault)


def test_a_window_is_kept_as_stored_so_that_it_can_fail_closed() -> None:
    settings = Batch.read(
        {
            "_id": 1,
            "call_settings": {
                "allowed_hours": "9am",
                "days_of_week": [],
                "max_attempts": "2",
                "ring_timeout": -1,
            },
        }
    ).call_settings
    assert (settings.allowed_hours, settings.days_of_week) == ("9am", [])
    assert (settings.max_attempts, settings.ring_timeout) == (2, None)


FAULTY = {
    "no document": ("fast", "call_settings 'fast' cannot be understood"),
    "a list": ([], "call_settings [] cannot be understood"),
    "unreadable calls at a time": ({"max_concurrent_calls": "two"}, "max_concurrent_calls 'two' cannot"),
    "calls at a time below zero": ({"max_concurrent_calls": -1}, "max_concurrent_calls -1 cannot"),
    "unreadable attempts": ({"max_attempts": {"n": 3}}, "max_attempts {'n': 3} cannot"),
    "attempts below zero": ({"max_attempts": -2}, "max_attempts -2 cannot"),
    "no attempt at all": ({"max_attempts": 0}, "max_attempts 0 cannot"),
    "an unreadable delay": ({"retry_delay_hours": "un rato"}, "retry_delay_hours 'un rato' cannot"),
    "a call of no length": ({"max_call_duration": []}, "max_call_duration [] cannot"),
    "a ring below zero": ({"ring_timeout": -1}, "ring_timeout -1 cannot"),
    "a delay of centuries": ({"retry_delay_hours": 1e7}, "retry_delay_hours 10000000.0 cannot"),
    "a call of weeks": ({"max_call_duration": 1e6}, "max_call_duration 1000000.0 cannot"),
    "no agent's id": ({"agent_id": ["agent_1"]}, "agent_id ['agent_1'] cannot"),
    "no version": ({"agent_version": 2.5}, "agent_version 2.5 cannot"),
    "no number that could call": ({"from_number": "anonymous"}, "from_number 'anonymous' cannot"),
    "an unknown language": ({"language": "klingon"}, "language 'klingon' cannot"),
    "an unknown voicemail option": (
        {"voicemail_option": {"type": "x"}},
        "voicemail_option {'type': 'x'} cannot",
    ),
    "an unreadable detection": ({"dnc_detection": 7}, "dnc_detection 7 cannot"),
    "an unreadable switch": ({"voicemail_counts": "a veces"}, "voicemail_counts 'a veces' cannot"),
}


@pytest.mark.parametrize(("written", "sentence"), FAULTY.values(), ids=FAULTY)
def test_an_unreadable_limit_is_a_fault_and_not_a_missing_limit(written: object, sentence: str) -> None:
    (fault,) = Batch.read({"_id": 1, "call_settings": written}).call_settings.faults
    assert fault.startswith(sentence)


SOUND = [
    None,
    {},
    {"max_concurrent_calls": None},
    {"max_concurrent_calls": 0, "max_attempts": "2"},
    {"retry_delay_hours": 0.5, "ring_timeout": "30", "max_call_duration": 0, "voicemail_counts": "no"},
]


@pytest.mark.parametrize("written", SOUND)
def test_limits_that_are_missing_or_readable_are_no_fault(written: object) -> None:
    assert Batch.read({"_id": 1, "call_settings": written}).call_settings.faults == ()


PRIORITIES = [
    (3, Priority.URGENT),
    ("2", Priority.HIGH),
    (99, Priority.URGENT),
    (-5, Priority.NORMAL),
    ("x", 1),
]


@pytest.mark.parametrize(("value", "priority"), PRIORITIES)
def test_a_priority_is_one_of_three(value: object, priority: int) -> None:
    assert Batch.read({"_id": 1, "priority": value}).priority == priority


def test_an_account_with_an_unknown_plan_is_active_and_has_no_plan() -> None:
    account = Account.read({"_id": 1, "account_id": "acc", "plan_type": "barter"})
    assert (account.account_id, account.status, account.plan) == ("acc", "active", None)
    assert account.minutes_purchased == 0
    assert account.daily_call_limit is None


MINUTES, CREDIT = {"plan_type": "minutes_based"}, {"plan_type": "credit_based"}
FAULTY_ACCOUNTS = {
    "a limit with a comma": ({"daily_call_limit": "1,000"}, "daily_call_limit '1,000' cannot be understood"),
    "a limit in words": ({"max_concurrent_calls": "dos"}, "max_concurrent_calls 'dos' cannot"),
    "a limit that is a switch": ({"max_concurrent_calls": True}, "max_concurrent_calls True cannot"),
    "a status that is a list": ({"status": ["active"]}, "status ['active'] cannot be understood: active, "),
    "a status that is a switch": ({"status": False}, "status False cannot"),
    "an empty status": ({"status": " "}, "status ' ' cannot"),
    "a count beside a limit": ({"daily_call_limit": 5, "calls_today": "x"}, "calls_today 'x' cannot"),
    "a day beside a limit": (
        {"daily_call_limit": 5, "calls_today_date": "1/2/2026"},
        "calls_today_date '1/2/2026' cannot be understood: YYYY-MM-DD",
    ),
    "minutes used": ({**MINUTES, "minutes_used": "mil"}, "minutes_used 'mil' cannot be understood: a number"),
    "minutes that are reserved": ({**MINUTES, "minutes_reserved": {}}, "minutes_reserved {} cannot"),
    "credit": ({**CREDIT, "credit_balance": "10.000,50"}, "credit_balance '10.000,50' cannot"),
    "a price": ({**CREDIT, "cost_per_minute": "gratis"}, "cost_per_minute 'gratis' cannot"),
    # Whatever the plan: it may be changed at any time.
    "an amount of another plan": ({**MINUTES, "credit_balance": "n/a"}, "credit_balance 'n/a' cannot"),
    "minutes without a plan": (
        {"plan_type": "unlimited", "minutes_used": "n/a"},
        "minutes_used 'n/a' cannot",
    ),
    "a count without a limit": ({"calls_today": "many"}, "calls_today 'many' cannot"),
}


@pytest.mark.parametrize(("fields", "sentence"), FAULTY_ACCOUNTS.values(), ids=FAULTY_ACCOUNTS)
def test_a_limit_of_an_account_that_cannot_be_understood_is_a_fault_and_not_a_missing_limit(
    fields: dict[str, Any], sentence: str
) -> None:
    (fault,) = Account.read({"_id": 1, "account_id": "acc", **fields}).faults
    assert fault.startswith(sentence)


SOUND_ACCOUNTS: list[dict[str, Any]] = [
    {},
    {"status": None, "daily_call_limit": None, "minutes_used": None, **MINUTES},
    {"status": "Active", "daily_call_limit": "20", "max_concurrent_calls": 0, "calls_today": None},
    {"daily_call_limit": 20, "calls_today_date": "2026-03-02"},
    {"daily_call_limit": 20, "calls_today_date": NOON},
]


@pytest.mark.parametrize("fields", SOUND_ACCOUNTS)
def test_what_is_missing_or_readable_or_decides_nothing_is_no_fault(fields: dict[str, Any]) -> None:
    assert Account.read({"_id": 1, "account_id": "acc", **fields}).faults == ()


def test_an_account_is_read_in_money_and_minutes() -> None:
    account = Account.read(
        {
            "_id": 1,
            "account_id": "acc",
            "plan_type": "credit_based",
            "status": "Suspended",
            "credit_balance": "100.5",
            "credit_used": Decimal128(),
            "daily_call_limit": 5,
            "open_dials": [{"key": "k", "minutes": 3}, {"minutes": 9}, "x"],
        }
    )
    assert (account.plan, account.status) == (Plan.CREDIT, "suspended")
    assert (account.credit_balance, account.credit_used, account.daily_call_limit) == (100.5, 12.5, 5)
    assert [(entry.key, entry.minutes, entry.credit) for entry in account.reservations] == [("k", 3.0, 0.0)]


def test_a_call_without_a_duration_takes_it_from_its_timestamps() -> None:
    call = Call.read(
        {
            "call_id": "c",
            "call_status": "ended",
            "start_timestamp": 1_777_896_000_000,
            "end_timestamp": 1_777_896_090_000,
            "call_cost": {"combined_cost": 12},
        }
    )
    assert (call.duration_ms, call.minutes, call.cost_cents) == (90_000, 1.5, 12)
    assert call.started_at == NOON
    assert call.is_over
    assert call.connected


def test_a_call_of_unknown_status_is_not_over() -> None:
    call = Call.read({"call_id": "c", "call_status": "daydreaming", "end_timestamp": -1})
    assert (call.call_status, call.ended_at, call.is_over, call.connected) == (None, None, False, False)


def test_an_object_without_call_id_is_not_a_call() -> None:
    with pytest.raises(ValueError, match="call_id"):
        Call.read({"call_status": CallStatus.ENDED})


def documents(record: type[Account | Batch | Call | Job]) -> st.SearchStrategy[dict[str, Any]]:
    """Documents with any of a record's fields, of any type."""
    names = [
        *record.__dataclass_fields__,
        "open_dials",
        "call_settings",
        "start_timestamp",
        "call_cost",
        "key",
    ]
    return st.dictionaries(st.sampled_from(names), ANYTHING)


@given(documents(Job))
def test_no_job_document_breaks_the_reader(document: dict[str, Any]) -> None:
    job = Job.read(
        {**document, "_id": 1, "dial": {"key": "k", "number": "+569", "intent_at": NOON, **document}}
    )
    assert job.attempts >= 0
    assert job.contact.next_phone_index >= 0


@given(documents(Batch))
def test_no_batch_document_breaks_the_reader(document: dict[str, Any]) -> None:
    assert Batch.read({**document, "_id": 1}).priority in set(Priority)


@given(documents(Account))
def test_no_account_document_breaks_the_reader(document: dict[str, Any]) -> None:
    assert (
        Account.read({**document, "_id": 1}).minutes_used == Account.read({**document, "_id": 1}).minutes_used
    )


@given(documents(Call))
def test_no_call_object_breaks_the_reader(document: dict[str, Any]) -> None:
    assert Call.read({**document, "call_id": "c"}).duration_ms >= 0
