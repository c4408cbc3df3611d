"""A value of whatever type of BSON in whatever field: it is read or named, and breaks no reader."""

from __future__ import annotations

import inspect
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex
from bson.timestamp import Timestamp

from speechaid.campaign.export_rows import EXPORTS
from speechaid.maintenance import document_scan
from speechaid.model import faults, reading
from speechaid.model.account import Account
from speechaid.model.batch import Batch, CallSettings
from speechaid.model.call import Call
from speechaid.model.job import Contact, Dial, Job
from speechaid.model.masking import mask_phone
from speechaid.model.reading import Document
from speechaid.model.storable import bson_size, storable
from speechaid.retell.variables import plain, variables_for
from speechaid.rules.windows import read_window
from speechaid.store.decoding import LENIENT
from speechaid.store.jobs import Candidate
from speechaid.store.ranges import is_countable, stale_entries

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECONDS = int(NOON.timestamp())

ENCODED: dict[str, Any] = {
    "double": 1.5,
    "not a number": float("nan"),
    "infinite": float("-inf"),
    "text": "pausado",
    "document": {"a": 1},
    "list": [1, None, {"a": 1}],
    "bytes": b"\x00\xff",
    "bytes of a type": bson.Binary(b"x", 128),
    "uuid": bson.Binary.from_uuid(uuid.UUID(int=1)),
    "object id": bson.ObjectId(),
    "true": True,
    "date": NOON,
    "first date": datetime(1, 1, 1, tzinfo=UTC),
    "date past year 9999": DatetimeMS(2**60),
    "date before year 1": DatetimeMS(-(2**60)),
    "null": None,
    "pattern": Regex("((("),
    "reference": DBRef("jobs", 1),
    "code": Code("f()"),
    "code with scope": Code("f()", {"a": 1}),
    "int32": 7,
    "timestamp": Timestamp(SECONDS, 1),
    "timestamp 0": Timestamp(0, 0),
    "int64": bson.Int64(2**62),
    "decimal": bson.Decimal128("1.5"),
    "decimal, not a number": bson.Decimal128("NaN"),
    "decimal, signalling": bson.Decimal128("sNaN"),
    "decimal, infinite": bson.Decimal128("-Infinity"),
    "decimal, largest": bson.Decimal128("9.999E+6144"),
    "decimal, smallest": bson.Decimal128("1E-6176"),
    "least key": MinKey(),
    "largest key": MaxKey(),
}
#: Types that no driver writes any more, and every driver reads.
DEPRECATED = {
    "undefined": b"\x06v\0",
    "pointer": b"\x0cv\0" + struct.pack("<i", 5) + b"jobs\0" + bytes(12),
    "symbol": b"\x0ev\0" + struct.pack("<i", 5) + b"word\0",
}
ELEMENTS = {name: bson.encode({"v": value})[4:-1] for name, value in ENCODED.items()} | DEPRECATED
VALUES = {
    name: bson.decode(struct.pack("<i", len(element) + 5) + element + b"\0", LENIENT).get("v")
    for name, element in ELEMENTS.items()
}

FIELDS: dict[str, tuple[Callable[[Document], Any], tuple[str, ...]]] = {
    "job": (
        Job.read,
        (
            *("_id", "job_id", "status", "account_id", "batch_id", "contact", "contact.phones"),
            *("contact.name", "contact.next_phone_index", "to_number", "nombre", "payload", "payload.x"),
            *("attempts", "tries", "max_attempts", "reserved_until", "reserved_amount", "worker_id"),
            *("claim_token", "revision", "dial", "dial.key", "dial.verdict", "dead_phones", "crashes"),
            *("excused_faults", "call_id", "suspend_reason", "request", "foreign", "import_id"),
            *("deleted_in_call", "call_result", "call_result.success", "reset_at", "unknown"),
        ),
    ),
    "dial": (Dial.read, tuple(Dial.__dataclass_fields__)),
    "contact": (Contact.read, ("contact", "contact.phones", "contact.phone", "to_number", "nombre", "rut")),
    "candidate": (Candidate.read, ("_id", *Candidate.FIELDS)),
    "batch": (
        Batch.read,
        (
            *("_id", "batch_id", "account_id", "name", "is_active", "priority", "country", "pause"),
            *("accept_unassigned", "open_dials", "call_settings", "unknown"),
        ),
    ),
    "call settings": (CallSettings.read, tuple(CallSettings.__dataclass_fields__)),
    "account": (Account.read, ("_id", "not_understood", *Account.__dataclass_fields__, "open_dials")),
    "call": (
        Call.read,
        (
            *Call.__dataclass_fields__,
            *("start_timestamp", "end_timestamp", "call_cost", "call_cost.combined_cost"),
        ),
    ),
    "entries": (lambda fields: stale_entries(fields, "acc", NOON), ("open_dials", "open_dials.key")),
    "record": (faults.of_record, ("_id", "at", "unknown")),
    "hold": (document_scan._hold_faults, ("_id", "on", "state", "revision")),
    "do-not-call entry": (document_scan._entry_faults, ("_id", "read_as")),
    **{
        f"export of {name}": (
            export.row,
            (
                *("_id", "job_id", "contact", "contact.name", "payload", "payload.debt_amount", "status"),
                *("placed_at", "created_at", "reserved_until", "duration_ms", "cost", "charged", "attempt"),
                *("call_data", "call_data.call_analysis", "fecha_pago_cliente", "monto_pago_cliente", "at"),
                *("is_successful", "outcome", "call_id", "last_error", "source"),
            ),
        )
        for name, export in EXPORTS.items()
    },
}
SOUND: Document = {"_id": 1, "call_id": "c", "key": "k", "number": "+56", "intent_at": NOON}
#: What a reader may say of a document that is none of its kind; its callers expect it.
REFUSALS = {"call": ValueError}


def fill(field: str, value: object) -> Document:
    document = dict(SOUND)
    *parents, last = field.split(".")
    inner = document
    for parent in parents:
        inner[parent] = inner = {}
    inner[last] = value
    return document


def test_every_type_of_bson_is_among_the_values() -> None:
    assert {element[0] for element in ELEMENTS.values()} == {*range(0x01, 0x14), 0x7F, 0xFF}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_no_value_in_any_field_breaks_the_reader_of_its_document(value: object) -> None:
    for name, (read, fields) in FIELDS.items():
        for field in fields:
            try:
                found = read(fill(field, value))
            except REFUSALS.get(name, ()):
                continue
            # Not even by the safety net: that is for types that no reader knows yet.
            assert "cannot be read (" not in str(getattr(found, "field_faults", ())), field


READERS: list[Callable[[Any], object]] = [
    *(
        reader
        for _, reader in inspect.getmembers(reading, inspect.isfunction)
        if reader.__module__ == reading.__name__ and len(inspect.signature(reader).parameters) == 1
    ),
    reading.as_printable,
    lambda value: reading.flag(value, default=True),
    lambda value: reading.not_understood("field", value, "a text"),
    plain,
    storable,
    bson_size,
    is_countable,
    lambda value: mask_phone(str(value)),
    lambda value: read_window(
        value, value, value, default_hours=None, default_days=None, default_timezone="UTC"
    ),
    lambda value: variables_for(
        Job.read({"_id": 1, "payload": {"debt_amount": value, "x": value}}),
        now=NOON,
        zone="UTC",
        country="CL",
    ),
]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_no_value_breaks_a_reader_of_single_values(value: object) -> None:
    for reader in READERS:
        reader(value)


@pytest.mark.parametrize("name", ["timestamp", "timestamp 0"])
def test_a_timestamp_of_mongodb_is_no_date_out_of_range(name: str) -> None:
    assert Job.read({"_id": 1, "status": "pending", "payload": {"at": VALUES[name]}}).field_faults == ()


def test_a_due_time_that_is_a_timestamp_of_mongodb_is_read_as_a_time() -> None:
    job = Job.read({"_id": 1, "status": "pending", "reserved_until": VALUES["timestamp"]})
    assert (job.reserved_until, job.field_faults) == (NOON, ())


#: A due time of any other type is no time, and forbids the call.
NO_TIMES = sorted(
    VALUES.keys() - {"null", "undefined", "date", "first date", "timestamp", "date before year 1"}
)


@pytest.mark.parametrize("name", NO_TIMES)
def test_a_due_time_of_another_type_forbids_the_call_and_is_named(name: str) -> None:
    (fault,) = Job.read({"_id": 1, "status": "pending", "reserved_until": VALUES[name]}).field_faults
    assert (fault.field, fault.forbids) == ("reserved_until", True)


class OfALaterDriver:
    """A type that no reader knows, and that resists being looked at."""

    @property
    def as_datetime(self) -> object:
        raise RuntimeError("no such thing")

    to_decimal = __int__ = as_datetime


@pytest.mark.parametrize("field", ["reserved_until", "attempts", "payload", "dial", "contact"])
def test_a_field_that_breaks_the_reader_costs_the_job_a_fault_and_not_the_rest(field: str) -> None:
    document = {"_id": 1, "job_id": "job-1", "status": "pending", field: OfALaterDriver()}
    job = Job.read(document)
    assert (job.job_id, job.status, job.document) == ("job-1", "pending", document)
    assert job.faults == (f"{field} cannot be read (RuntimeError)",)
    assert job.has_unreadable_dial is (field == "dial")


def test_a_field_that_breaks_the_reader_costs_batch_and_account_their_calls_alone() -> None:
    batch = Batch.read({"_id": 1, "batch_id": "batch-1", "priority": OfALaterDriver()})
    account = Account.read({"_id": 1, "account_id": "acc-1", "credit_used": OfALaterDriver()})
    assert (batch.batch_id, batch.faults) == ("batch-1", ("priority cannot be read (RuntimeError)",))
    assert (account.account_id, account.faults) == (
        "acc-1",
        ("credit_used cannot be read (RuntimeError)",),
    )
