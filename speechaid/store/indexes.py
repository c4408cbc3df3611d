"""The indexes of speechaid's queries; created at start, dropped only where a version retires one.

SpeechAI's indexes stay as they are. Unique indexes cover only what speechaid writes (partial indexes), since
SpeechAI's collections may hold duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from speechaid.errors import StoreError, StoreUnavailable
from speechaid.store.table import Duplicate, Table


@dataclass(frozen=True)
class Index:
    """One index: its name, its keys in order, and its purpose."""

    name: str
    keys: tuple[tuple[str, int], ...]
    purpose: str
    options: Mapping[str, Any] = field(default_factory=dict)


def _keys(*names: str) -> tuple[tuple[str, int], ...]:
    return tuple((name, 1) for name in names)


DAY_SECONDS = 86_400

#: Names of indexes, for hints.
ACCOUNT_JOBS = "speechaid_account"
PERSON_KEYS = "speechaid_person_keys"
REQUESTS = "speechaid_requests"
JOBS = (
    Index(
        "speechaid_turn",
        # The account at the end lets a query skip jobs of a closed account without reading them.
        _keys("status", "batch_id", "reserved_until", "account_id"),
        "due jobs of one batch, longest due first",
    ),
    Index(
        "speechaid_account_jobs",
        _keys("status", "account_id", "suspend_reason"),
        "jobs of an account to suspend or to resume",
    ),
    Index("speechaid_lapsed", _keys("status", "reserved_until"), "jobs in progress whose lease has run out"),
    Index("speechaid_counts", _keys("batch_id", "status"), "jobs of a batch by status"),
    Index("speechaid_job_id", _keys("job_id"), "a job by its name"),
    Index(
        "speechaid_old_retries",
        _keys("next_try_at"),
        "failed jobs that SpeechAI meant to retry",
        {"sparse": True},
    ),
    Index(
        "speechaid_given_back",
        _keys("reserved_to_give_back"),
        "ended jobs whose SpeechAI reservation is to be released",
        {"sparse": True},
    ),
    Index("speechaid_promise_days", _keys("fecha_pago_cliente"), "promises to pay", {"sparse": True}),
    Index("speechaid_promise_amounts", _keys("monto_pago_cliente"), "promises to pay", {"sparse": True}),
    Index(
        "speechaid_paid",
        _keys("paid.at"),
        "payments by the day on which they were recorded",
        {"sparse": True},
    ),
    # Not one index of account and keys: each of a person's keys would be an entry of it, at every import.
    Index(ACCOUNT_JOBS, _keys("account_id"), "the jobs of an account"),
    Index(PERSON_KEYS, _keys("person_keys"), "the jobs of a person"),
    Index("speechaid_phones", _keys("contact.phones"), "jobs of a phone number"),
    # Of jobs that other programs made: numbers, ids and names as they wrote them.
    Index("speechaid_to_number", _keys("to_number"), "jobs of a phone number, in SpeechAI's older form"),
    Index("speechaid_dni", _keys("contact.dni"), "the jobs of a national id"),
    Index("speechaid_rut", _keys("rut"), "the jobs of a national id, older form", {"sparse": True}),
    Index("speechaid_name_key", _keys("name_key"), "the jobs of a name", {"sparse": True}),
    Index("speechaid_contact_name", _keys("contact.name"), "the jobs of a name, as it is written"),
    Index("speechaid_nombre", _keys("nombre"), "the jobs of a name, older form", {"sparse": True}),
    Index("speechaid_created", _keys("created_at"), "jobs by the day on which they were made"),
    Index("speechaid_last_outcome", _keys("last_outcome"), "jobs by their last call", {"sparse": True}),
    Index(
        "speechaid_last_agent", _keys("last_agent_id"), "jobs by their last call's agent", {"sparse": True}
    ),
    Index(
        "speechaid_last_caller",
        _keys("last_from_number"),
        "jobs by the number that called them last",
        {"sparse": True},
    ),
    Index(
        "speechaid_waits_for_rule",
        _keys("waits_for.at"),
        "jobs that wait for a rule of a pack",
        {"sparse": True},
    ),
    Index("speechaid_import", _keys("import_id"), "the jobs of an import", {"sparse": True}),
    Index(
        REQUESTS,
        _keys("request.action"),
        "jobs in a call about which an operator has asked for something",
        {"sparse": True},
    ),
    Index(
        "speechaid_job_retention",
        _keys("status", "erased.what", "finished_at", "_id"),
        "ended jobs whose data are kept no longer",
    ),
    Index(
        "speechaid_forgetting",
        _keys("forgetting.at"),
        "jobs whose person is being forgotten",
        {"sparse": True},
    ),
    Index(
        "speechaid_live_number",
        _keys("dial.number"),
        "a number has one open dial at a time",
        {"unique": True, "partialFilterExpression": {"dial.number": {"$exists": True}}},
    ),
    Index(
        "speechaid_placing",
        # A dial without a call id lacks the field, which an index keeps as null.
        _keys("dial.call_id", "dial.batch_id"),
        "open dials without a call, which hold and pause wait for",
        {"partialFilterExpression": {"dial.number": {"$exists": True}}},
    ),
)
#: Keys of the index that lets a number have one open dial at a time.
LIVE_NUMBER_KEYS = _keys("dial.number")
#: Takes the place of ``speechaid_live_number`` where that cannot be created: numbers with an open dial are
#: found by it, but nothing is unique. Other keys, since an index of the same keys would conflict.
OPEN_NUMBERS = Index(
    "speechaid_open_numbers",
    _keys("dial.number", "dial.key"),
    "open dials of a number, while two jobs have one",
    {"sparse": True},
)
#: Keys of the index that allows one result per dial.
RESULT_DIAL_KEYS = _keys("dial_key")
BATCHES = (
    Index("speechaid_batch_id", _keys("batch_id"), "a batch by its name"),
    Index("speechaid_priority", _keys("priority", "batch_id"), "batches above normal priority"),
    Index("speechaid_batch_name", _keys("name", "account_id"), "a batch by the name that people gave it"),
    Index("speechaid_batch_account", _keys("account_id", "created_at"), "the newest batch of an account"),
    Index("speechaid_cancelled", _keys("cancelled.at"), "cancelled batches", {"sparse": True}),
    Index(
        "speechaid_redials", _keys("redial.of"), "batches that call those of another again", {"sparse": True}
    ),
)
ACCOUNTS = (
    Index("speechaid_account_id", _keys("account_id"), "an account by its name"),
    Index("speechaid_account_zone", _keys("timezone"), "time zones of accounts"),
)
TRANSACTIONS = (
    Index("speechaid_transaction_account", _keys("account_id", "created_at"), "an account's transactions"),
)
RESULTS = (
    Index("speechaid_call_id", _keys("call_id"), "a result by its call"),
    Index("speechaid_result_job", _keys("job_id", "created_at"), "a job's calls in order"),
    Index("speechaid_result_batch", _keys("batch_id", "created_at"), "a batch's calls in order"),
    Index("speechaid_result_account", _keys("account_id", "created_at"), "an account's calls in order"),
    Index("speechaid_result_outcome", _keys("outcome", "created_at"), "calls that ended alike in order"),
    Index("speechaid_result_agent", _keys("agent_id", "created_at"), "an agent's calls in order"),
    Index("speechaid_result_caller", _keys("from_number", "created_at"), "calls from one number in order"),
    Index("speechaid_result_number", _keys("contact.phone_used"), "calls to a phone number"),
    Index("speechaid_result_created", _keys("created_at"), "calls by the day on which they were recorded"),
    Index("speechaid_result_placed", _keys("placed_at"), "calls by the day on which they were placed"),
    Index(
        "speechaid_result_retention",
        _keys("erased.what", "created_at", "_id"),
        "results of deleted jobs whose data are kept no longer",
    ),
    Index(
        "speechaid_result_dial",
        _keys("dial_key"),
        "one result per dial of speechaid",
        {"unique": True, "partialFilterExpression": {"dial_key": {"$exists": True}}},
    ),
    Index(
        "speechaid_batch_due",
        _keys("batch_due.batch_id"),
        "calls that are still to be added to their batch's sums",
        {"partialFilterExpression": {"batch_due.batch_id": {"$exists": True}}},
    ),
    Index(
        "speechaid_analysis_due",
        _keys("analysis_wait.due_at"),
        "calls whose analysis is still to be fetched",
        {"partialFilterExpression": {"analysis_wait.due_at": {"$exists": True}}},
    ),
)
#: Names of results that are still to be added to their batches' sums.
BATCH_DUE = "speechaid_batch_due"
IMPORTS = (
    Index("speechaid_same_file", _keys("account_id", "sha256"), "imports of the same file"),
    Index("speechaid_import_batch", _keys("batch_id"), "imports into a batch"),
    Index(
        "speechaid_import_retention",
        _keys("erased.what", "started_at", "_id"),
        "imports whose files' names are kept no longer",
    ),
)
LEDGER = (
    Index("speechaid_ledger_keys", _keys("keys"), "the dials of a person, for caps"),
    Index("speechaid_ledger_open", _keys("open", "at"), "open dials of people, the oldest first"),
    Index(
        "speechaid_ledger_expiry",
        _keys("expires_at"),
        "dials that no cap counts any more are deleted by the database",
        {"expireAfterSeconds": 0},
    ),
)
#: ``CallLogs.keep_for`` sets its span. Descending, since the field has an ascending index already; only for
#: lines with an event, since lines of other programs must not be deleted.
LOG_RETENTION = Index(
    "speechaid_log_retention",
    (("at", -1),),
    "old lines are deleted by the database",
    {"expireAfterSeconds": 90 * DAY_SECONDS, "partialFilterExpression": {"event": {"$exists": True}}},
)
LOG_BATCH_COMMANDS = Index(
    "speechaid_log_batch_commands",
    _keys("event", "batch", "at"),
    "operators' commands about a batch in order",
    {"partialFilterExpression": {"event": "command"}},
)
LOG_COMMANDS = Index(
    "speechaid_log_commands",
    _keys("at"),
    "operators' commands in order",
    {"partialFilterExpression": {"event": "command"}},
)
LOG_READS = Index(
    "speechaid_log_reads",
    _keys("event", "at"),
    "who read people's data, in order",
    {"partialFilterExpression": {"event": "read"}},
)
LOGS = (
    LOG_COMMANDS,
    LOG_READS,
    Index("speechaid_log_job", _keys("job_id", "at"), "a job's history in order"),
    Index("speechaid_log_batch", _keys("batch", "at"), "a batch's lines in order"),
    Index("speechaid_log_agent", _keys("agent", "at"), "an agent's calls in order", {"sparse": True}),
    LOG_BATCH_COMMANDS,
    LOG_RETENTION,
)
#: Indexes of ``jobs`` that earlier versions created and that are dropped now: each costs every import.
RETIRED_JOBS = ("speechaid_contacts", "speechaid_people")
#: Indexes of ``call_logs`` that earlier versions created and that are dropped now.
RETIRED_LOGS = ("speechaid_log_expiry",)


def create_indexes(tables: Iterable[tuple[Table, tuple[Index, ...]]]) -> list[Index]:
    """Create the missing indexes; an index of the same keys under another name is good enough.

    Returns the unique ones that cannot be created, because the collection holds duplicates: another program
    may write them, or a restored copy, and no document of another program may keep the daemon from starting.
    """
    return [index for table, wanted in tables for index in wanted if not _create(table, index)]


def _create(table: Table, index: Index) -> bool:
    try:
        table.create_index(index.keys, name=index.name, **index.options)
    except StoreUnavailable:
        raise
    except Duplicate:
        return False
    except StoreError as exc:
        # Codes 85 and 86: such an index exists under another name or with other options.
        if "code 85" not in str(exc) and "code 86" not in str(exc):
            raise
    return True
