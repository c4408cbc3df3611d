"""What cannot be read in a document is named by field, and forbids calls where it may have forbidden one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from speechaid.model import faults, reading
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.reading import UNREADABLE, Document

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BROKEN = f"Nu{UNREADABLE}ez"
FAR = DatetimeMS(2**60)
LONG_PAST = DatetimeMS(-(2**60))

#: A field of a job, its value, and whether that forbids the call.
JOBS: list[tuple[str, Any, bool]] = [
    ("status", "exploded", True),
    ("status", 7, True),
    ("attempts", "three", True),
    ("attempts", float("nan"), True),
    ("attempts", 10**12, True),
    ("batch_id", 17, True),
    ("batch_id", "", True),
    ("batch_id", " b ", True),
    ("account_id", {"id": 1}, True),
    ("reserved_until", "soon", True),
    ("reserved_until", True, True),
    ("reserved_until", FAR, True),
    ("reserved_until", datetime(9999, 12, 31, tzinfo=UTC), True),
    ("request", "cancel", True),
    ("dead_phones", [{"phone": 1}], True),
    ("dial", {"key": "k"}, True),
    ("dial", {"key": "k", "number": "+1", "intent_at": NOON, "verdict": {"outcome": "?"}}, True),
    ("contact.name", BROKEN, True),
    ("contact.birthday", FAR, True),
    ("payload.deep.list", [1, [BROKEN]], True),
    ("job_id", "a\0b", False),
    ("job_id", "x" * 201, False),
    ("last_error", BROKEN, False),
    ("reserved_until", LONG_PAST, False),
    ("created_at", FAR, False),
    ("revision", "two", False),
    ("crashes", "many", False),
]
READABLE: list[tuple[str, Any]] = [
    ("status", "PENDING"),
    ("status", "completed"),
    ("attempts", "2"),
    ("attempts", bson.Decimal128("2")),
    ("reserved_until", None),
    ("reserved_until", ""),
    ("reserved_until", "2026-05-04T12:00:00"),
    ("reserved_until", bson.Int64(1_777_896_000_000)),
    ("contact.phones", [bson.Int64(56912345678), None]),
    ("dial", None),
    ("batch_id", None),
]


def job(field: str, value: object) -> Job:
    document: Document = {"_id": 1, "status": "pending"}
    inner = document
    *parents, last = field.split(".")
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = value
    return Job.read(document)


@pytest.mark.parametrize(("field", "value", "forbids"), JOBS)
def test_an_unreadable_field_of_a_job_is_named(field: str, value: object, forbids: bool) -> None:
    (fault,) = job(field, value).field_faults
    assert fault.field.startswith(field)
    assert fault.forbids is forbids
    assert job(field, value).faults == ((fault.sentence,) if forbids else ())


@pytest.mark.parametrize(("field", "value"), READABLE)
def test_what_can_be_read_in_another_form_is_no_fault(field: str, value: object) -> None:
    assert job(field, value).field_faults == ()


def test_a_key_that_is_not_utf8_is_named_too() -> None:
    (fault,) = job("payload", {BROKEN: "x"}).field_faults
    assert fault.field == "payload.Nu?ez"


def test_a_job_that_leaves_no_room_for_a_result_is_not_called() -> None:
    assert Job.read({"_id": 1, "status": "pending"}, size=faults.MAX_JOB_BYTES).faults == ()
    (fault,) = Job.read({"_id": 1, "status": "pending"}, size=faults.MAX_JOB_BYTES + 1).faults
    assert "no room" in fault


@pytest.mark.parametrize("value", ["pausado", {}, float("nan"), b"no", NOON])
def test_a_batch_whose_switch_is_neither_on_nor_off_is_not_called(value: object) -> None:
    (sentence,) = Batch.read({"_id": 1, "is_active": value}).faults
    assert sentence.startswith("is_active")


LIMITS = ["daily_call_limit", "max_concurrent_calls", "calls_today", "credit_used", "cost_per_minute"]


@pytest.mark.parametrize("field", LIMITS)
@pytest.mark.parametrize("value", ["1,000", True, float("inf"), [3], 2**62])
def test_an_account_whose_limit_or_amount_cannot_be_read_is_not_called(field: str, value: object) -> None:
    (sentence,) = Account.read({"_id": 1, "plan_type": "unlimited", field: value}).faults
    assert sentence.startswith(field)


def test_an_account_whose_status_is_no_text_is_not_called() -> None:
    assert Account.read({"_id": 1, "plan_type": "unlimited", "status": {"is": "active"}}).faults


def test_what_forbids_calls_is_named_first_and_not_more_than_a_few() -> None:
    found = faults.of_job({"a": [FAR] * 50, "attempts": "three"})
    assert len(found) == faults.MAX_FAULTS
    assert found[0].field == "attempts"


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(FAR),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([*(name for name, _, _ in JOBS), "call_settings", "is_active", "open_dials", "x"])


@given(st.dictionaries(FIELDS, VALUES))
def test_no_document_breaks_the_readers(fields: Document) -> None:
    document = {"_id": 1, **{name.partition(".")[0]: value for name, value in fields.items()}}
    assert isinstance(Job.read(document).faults, tuple)
    assert isinstance(Batch.read(document).faults, tuple)
    assert isinstance(Account.read(document).faults, tuple)
    assert isinstance(faults.of_record(document), tuple)


DUE = [
    (NOON, NOON),
    ("2026-05-04T12:00:00Z", NOON),
    (1_777_896_000, NOON),
    (1_777_896_000_000, NOON),
    (bson.Int64(1_777_896_000_000), NOON),
    (bson.Decimal128("1777896000000"), NOON),
    (LONG_PAST, datetime(1970, 1, 1, tzinfo=UTC)),
    (FAR, None),
    (datetime(9999, 1, 1, tzinfo=UTC), None),
    (5, None),
    (True, None),
    ("soon", None),
    (None, None),
]


@pytest.mark.parametrize(("value", "moment"), DUE)
def test_a_due_time_is_read_as_time_text_or_number(value: object, moment: datetime | None) -> None:
    assert reading.due_time(value) == moment


NAMES = [("job-1", "job-1"), (17, "17"), ("a\0b", None), ("a\nb", None), ("\x1b[2J", None), (BROKEN, None)]


@pytest.mark.parametrize(("value", "name"), NAMES)
def test_a_name_is_used_only_where_it_is_printable(value: object, name: str | None) -> None:
    assert reading.usable_name(value) == name


def test_any_value_has_a_printable_form() -> None:
    assert reading.as_printable("a\0\x1b[2J\n") == "a??[2J?"
    assert reading.as_printable({"a": 1}) == "{'a': 1}"
    assert len(reading.as_printable("x" * 10_000)) == 200


#: Documents whose wrong fields hold a person's name or number, with what an operator is told of them.
QUOTED: dict[str, tuple[Document, str]] = {
    "a document": ({"attempts": {"no": "Ana Soto +56955550188"}}, "attempts a document cannot"),
    "a text": ({"tries": "Ana Soto 955550188"}, "tries a text cannot"),
    "a number": ({"tries": "+56955550188"}, "tries '+569******88' cannot"),
    "a bare number": ({"attempts": 56955550188}, "attempts 569******88 cannot"),
    "the contact": ({"contact": "Ana-Soto+56955550188"}, "contact a text cannot"),
    "phones": ({"contact": {"phones": {"Ana": "+56955550188"}}}, "contact.phones a document cannot"),
    "dead phones": ({"dead_phones": [{"Ana": "+56955550188"}]}, "dead_phones a list cannot"),
    "a request": ({"request": "Ana"}, "request a text cannot"),
    "a name of a field": ({"payload": {"+56955550188": BROKEN}}, "payload.+569******88 holds"),
}


@pytest.mark.parametrize("case", QUOTED)
def test_a_fault_of_a_job_quotes_nothing_of_a_person(case: str) -> None:
    document, sentence = QUOTED[case]
    found = [fault.sentence for fault in Job.read({"_id": 1, **document}).field_faults]
    assert any(one.startswith(sentence) for one in found), found
    assert not any("Ana" in one or "55550188" in one for one in found)


def test_a_fault_of_a_batch_or_an_account_masks_numbers() -> None:
    batch = faults.of_batch({"is_active": "de Ana 955550101"})
    account = faults.of_account({"daily_call_limit": {"Ana": "+56 9 5555 0188"}})
    sentences = [fault.sentence for fault in (*batch, *account)]
    assert len(sentences) == 2
    assert not any("0101" in one or "0188" in one for one in sentences)


def test_a_number_is_masked_before_its_sentence_is_cut() -> None:
    assert "5555" not in reading.shown("x" * 46 + "+56955550188")
