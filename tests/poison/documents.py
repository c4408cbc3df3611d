"""Hostile documents, drawn from a seed: each has one field with a value that its reader does not expect."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import Decimal128, Int64, ObjectId, Regex

from speechaid.model.agent_settings import RULES
from tests.poison.wire import BROKEN_TEXT, FAR_FUTURE, FAR_PAST

Document = dict[str, Any]

BATCH, SECOND_BATCH = "batch-20260101-00000001", "batch-20260101-00000002"
ACCOUNT: Final = "acc-sound"
#: Whatever field has one of these, ``doctor`` names the document.
UNREADABLE: Final[Mapping[str, Any]] = {
    "not UTF-8": BROKEN_TEXT,
    "a date past year 9999": FAR_FUTURE,
    "a date before year 1": FAR_PAST,
}
#: Values of other types and forms, for any field.
ODD: Final[Mapping[str, Any]] = {
    "null": None,
    "empty text": "",
    "word": "pausado",
    "NUL": "a\0b",
    "control characters": "a\x1b[2J\r\nb\u202e",
    "long text": "x" * 70_000,
    "true": True,
    "fraction": 3.7,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "64 bits": Int64(2**62),
    "decimal": Decimal128("1E+6000"),
    "epoch milliseconds": Int64(1_764_450_000_000),
    "negative": -7,
    "list": [],
    "list of lists": [[1], [2]],
    "document": {},
    "deep document": {"a": {"b": [{"c": None}]}},
    "bytes": b"\x00\xff",
    "object id": ObjectId(),
    "pattern": Regex("^a"),
    "date": datetime(2026, 1, 1, tzinfo=UTC),
    "first day": datetime(1, 1, 1, tzinfo=UTC),
}
_NOT_A_NUMBER: Final = ("word", "true", "not a number", "document", "list of lists", "date", "bytes")
_NOT_A_TEXT: Final = ("true", "document", "list of lists", "date", "bytes", "not a number")
#: Fields whose wrong values forbid calls: ``doctor`` names the document, and its job is not called.
FORBIDDING: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "jobs": {
        "status": ("word", *_NOT_A_TEXT),
        "reserved_until": ("word", "true", "document", "list of lists", "bytes", "not a number"),
        "attempts": _NOT_A_NUMBER,
        "batch_id": _NOT_A_TEXT,
        "account_id": _NOT_A_TEXT,
        "dial": ("word", "true", "list of lists", "deep document", "fraction", "date"),
    },
    "batches": {
        "is_active": ("word", "document", "list of lists", "date", "bytes", "not a number"),
        "call_settings": ("word", "true", "list of lists", "fraction"),
        "call_settings.allowed_hours": ("word", "true", "list", "document", "fraction"),
        "call_settings.days_of_week": ("word", "true", "list", "document", "fraction"),
        "call_settings.timezone": ("word", "true", "list", "document", "fraction"),
        "call_settings.max_attempts": _NOT_A_NUMBER,
        "call_settings.max_concurrent_calls": _NOT_A_NUMBER,
        "call_settings.agent_id": ("true", "document", "list", "fraction", "bytes"),
        "call_settings.agent_version": ("true", "document", "list", "fraction", "negative"),
        "call_settings.from_number": ("word", "true", "document", "list", "fraction"),
        "call_settings.language": ("word", "true", "document", "list", "fraction"),
        "call_settings.voicemail_option": ("word", "true", "document", "list", "fraction"),
        "call_settings.dnc_detection": ("word", "document", "list", "fraction", "negative"),
    },
    "accounts": {
        "status": _NOT_A_TEXT,
        "plan_type": ("word", *_NOT_A_TEXT),
        "daily_call_limit": _NOT_A_NUMBER,
        "max_concurrent_calls": _NOT_A_NUMBER,
        "credit_used": _NOT_A_NUMBER,
        "cost_per_minute": _NOT_A_NUMBER,
        "calls_today": _NOT_A_NUMBER,
    },
}
#: Every field that gets a hostile value.
FIELDS: Final[Mapping[str, Sequence[str]]] = {
    "jobs": (
        *("_id", "job_id", "account_id", "batch_id", "status", "mode", "deduplication_key", "contact"),
        *("contact.name", "contact.dni", "contact.phones", "contact.next_phone_index", "contact.extra"),
        *("to_number", "payload", "payload.company_name", "payload.debt_amount", "payload.additional_info"),
        *("payload.additional_info.x", "attempts", "tries", "max_attempts", "reserved_until", "worker_id"),
        *("estimated_cost", "reserved_amount", "created_at", "started_at", "updated_at", "completed_at"),
        *("call_id", "call_result", "call_result.summary", "last_error", "claim_token", "revision", "dial"),
        *("dead_phones", "crashes", "request", "foreign", "next_try_at", "suspend_reason", "unknown"),
    ),
    "batches": (
        *("_id", "name", "description", "is_active", "priority", "country", "account_id", "call_settings"),
        *("call_settings.max_attempts", "call_settings.retry_delay_hours", "call_settings.allowed_hours"),
        *("call_settings.days_of_week", "call_settings.timezone", "call_settings.ring_timeout"),
        *("call_settings.max_call_duration", "call_settings.max_concurrent_calls", "pause", "open_dials"),
        *("total_jobs", "pending_jobs", "total_cost", "total_minutes", "created_at", "unknown"),
    ),
    "accounts": (
        *("plan_type", "status", "country", "timezone", "credit_balance", "credit_used", "credit_reserved"),
        *("cost_per_minute", "cost_per_call_setup", "cost_failed_call", "max_concurrent_calls", "given_back"),
        *("daily_call_limit", "calls_today", "calls_today_date", "open_dials", "ledger_revision", "unknown"),
    ),
    "speechaid_holds": ("state", "kind", "faults", "probe_at", "opened_at", "reason", "revision", "unknown"),
    "speechaid_do_not_call": ("source", "job_id", "at", "unknown"),
    "call_results": (
        *(
            "_id",
            "call_id",
            "job_id",
            "batch_id",
            "account_id",
            "outcome",
            "duration_ms",
            "cost",
            "placed_at",
        ),
        *("created_at", "contact", "call_data", "attempt", "charged", "disconnection_reason", "connected"),
    ),
    "call_logs": ("event", "job_id", "at", "actor", "command", "args", "outcome", "unknown"),
}
#: How often each collection is drawn.
_WEIGHTS: Final = {
    "jobs": 9,
    "batches": 5,
    "accounts": 4,
    "speechaid_holds": 1,
    "speechaid_do_not_call": 1,
    "call_results": 2,
    "call_logs": 1,
}


@dataclass(frozen=True, kw_only=True)
class Poison:
    """One hostile document, and the job that it concerns."""

    collection: str
    field: str
    #: What kind of value the field has.
    kind: str
    document: Document
    #: The document's ``_id``, which holds its number.
    name: str
    #: A sound job of this batch or account, to be inserted too.
    job: Document | None
    #: The number of the job concerned.
    number: str

    @property
    def is_named(self) -> bool:
        """Whether ``doctor`` must name it."""
        return self.kind in UNREADABLE or self.is_forbidding

    @property
    def is_forbidding(self) -> bool:
        """Whether the job concerned must not be called."""
        if self.field == "reserved_until" and self.document["status"] == "in_progress":
            return False  # no due time, but a lease that nobody holds
        return self.kind in FORBIDDING.get(self.collection, {}).get(self.field, ())


def draw(seed: int, count: int) -> Iterator[Poison]:
    """``count`` hostile documents."""
    rng = random.Random(f"poison {seed}")
    for index in range(count):
        collection = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        field = rng.choice(FIELDS[collection])
        wrong = FORBIDDING.get(collection, {}).get(field, ())
        kinds = rng.choice([list(UNREADABLE), list(ODD), list(wrong) or list(ODD)])
        yield make(index, collection, field, rng.choice(kinds), lapsed=rng.random() < 0.3)


def of_agents(begin: int) -> Iterator[Poison]:
    """Every wrong value of a batch's agent, number and language; the first one has this index.

    They are not drawn, so that known seeds give the same documents as before.
    """
    fields = [field for field in FORBIDDING["batches"] if field.rpartition(".")[2] in RULES]
    wrong = [(field, kind) for field in fields for kind in FORBIDDING["batches"][field]]
    pinned = [(field, kind) for field in ("agent_pin", "agent_pin.version") for kind in ("list", "fraction")]
    for index, (field, kind) in enumerate([*wrong, *pinned], begin):
        yield make(index, "batches", field, kind)


def make(index: int, collection: str, field: str, kind: str, *, lapsed: bool = False) -> Poison:
    """One hostile document; ``lapsed``: a job whose worker is gone, instead of a pending one."""
    name, number = f"poison-{index:04d}", f"+1303555{index:04d}"
    job = sound_job(f"beside-{index:04d}", number, ACCOUNT, SECOND_BATCH)
    document: Document
    concerned: Document | None = None
    if collection == "jobs":
        document = {**job, "job_id": name}
        if lapsed:
            document |= {
                "status": "in_progress",
                "reserved_until": datetime.now(UTC) - timedelta(minutes=1),
                "worker_id": "worker-9@gone:1",
                "claim_token": f"token {index}",
                "revision": 1,
            }
    elif collection == "batches":
        document = {"batch_id": name, "name": name, "call_settings": {}, "created_at": datetime.now(UTC)}
        concerned = {**job, "batch_id": name}
    elif collection == "accounts":
        document = {**sound_account(), "account_id": name}
        concerned = {**job, "account_id": name}
    elif collection == "speechaid_holds":
        document = {"state": "open", "kind": "outage", "revision": 1, "faults": 3}
    elif collection == "call_results":
        document = {"call_id": f"call {name}", "job_id": name, "outcome": "answered", "duration_ms": 1000}
        document |= {"created_at": datetime.now(UTC), "placed_at": datetime.now(UTC), "connected": True}
    else:
        document = {"at": datetime.now(UTC), "source": "import"}
    _set(document, field, copy.deepcopy({**UNREADABLE, **ODD}[kind]))
    key = f"key:{name}" if collection == "speechaid_holds" else name
    return Poison(
        collection=collection,
        field=field,
        kind=kind,
        document={"_id": key, **document},
        name=name,
        job=concerned,
        number=number,
    )


def sound_job(name: str, number: str, account: str | None, batch: str | None) -> Document:
    """A job with nothing wrong in it."""
    return {
        "job_id": name,
        "batch_id": batch,
        "account_id": account,
        "status": "pending",
        "contact": {"name": "Ana", "dni": "1-9", "phones": [number], "next_phone_index": 0},
        "payload": {"company_name": "Acme", "debt_amount": 1000, "additional_info": {"x": 1}},
        "attempts": 0,
        "created_at": datetime.now(UTC),
    }


def sound_account() -> Document:
    """An account that can pay for every call."""
    return {
        "account_id": ACCOUNT,
        "plan_type": "credit_based",
        "status": "active",
        "credit_balance": 1e6,
        "cost_per_minute": 0.1,
    }


def _set(document: Document, path: str, value: object) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[last] = value
