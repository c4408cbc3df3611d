"""The look-ups that run all day are served by indexes: what they examine grows with what is asked alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.model.erasure import What
from speechaid.model.states import SuspendReason
from speechaid.retell.client import open_retell
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import Store, connect
from speechaid.store.erasures import Position
from speechaid.store.table import Table
from tests.support.stage import QuietLink

Document = dict[str, Any]

BATCH, OTHER = "batch-20260101-0000000a", "batch-20260101-0000000b"
#: What is asked for, and what lies around it.
DUE, LAPSED, OPEN, RETRIES, SUSPENDED = 6, 4, 3, 5, 7


@pytest.fixture
def settings(environ: dict[str, str], database: Database[Document], database_uri: str) -> Settings:
    return get_settings({**environ, "MONGO_URI": database_uri, "MONGO_DB": database.name}, env_file=None)


@pytest.fixture
def store(settings: Settings, database: Database[Document]) -> Iterator[Store]:
    opened = connect(settings.database)
    opened.prepare()
    fill(opened, database)
    yield opened
    opened.close()


def fill(store: Store, database: Database[Document]) -> None:
    now = store.now()
    past, ahead = now - timedelta(minutes=5), now + timedelta(hours=1)
    jobs: list[Document] = []
    jobs += [{"status": "done", "batch_id": BATCH, "reserved_until": past} for _ in range(200)]
    jobs += [{"status": "pending", "batch_id": OTHER, "reserved_until": past} for _ in range(100)]
    jobs += [{"status": "pending", "batch_id": BATCH, "reserved_until": ahead} for _ in range(100)]
    jobs += [{"status": "pending", "batch_id": BATCH, "reserved_until": past} for _ in range(DUE)]
    jobs += [{"status": "failed", "attempts": 3} for _ in range(100)]
    jobs += [{"status": "failed", "attempts": 1, "next_try_at": past} for _ in range(RETRIES)]
    suspended = {"status": "suspended", "suspend_reason": "account_suspended"}
    jobs += [{**suspended, "account_id": "acc-8"} for _ in range(50)]
    jobs += [{**suspended, "account_id": "acc-9"} for _ in range(SUSPENDED)]
    held = {"status": "in_progress", "batch_id": BATCH, "claim_token": "t", "worker_id": "w@h:1"}
    jobs += [{**held, "reserved_until": ahead} for _ in range(30)]
    jobs += [{**held, "reserved_until": past, "worker_id": "w@h:2"} for _ in range(LAPSED)]
    dial = {"key": "k", "intent_at": now, "batch_id": BATCH}
    jobs += [
        {**held, "reserved_until": ahead, "dial": {**dial, "key": f"k{n}", "number": f"+1202555010{n}"}}
        for n in range(OPEN)
    ]
    database.jobs.insert_many([{"job_id": f"job-{n}", **job} for n, job in enumerate(jobs)])


def fill_batches(database: Database[Document]) -> None:
    """Many batches with names, and many lines about none of those that are asked for."""
    database.batches.insert_many([{"batch_id": f"batch-{n:03}", "name": f"Name {n}"} for n in range(200)])
    line = {"event": "command", "batch": "batch-001", "at": datetime(2026, 3, 2, tzinfo=UTC)}
    database.call_logs.insert_many([{**line, "_id": n} for n in range(100)])


class Asked:
    """What was asked of the database while it listened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.finds: list[tuple[Table, Document, dict[str, Any]]] = []
        self.pipelines: list[tuple[Table, list[Document], Any]] = []
        find, find_one, stream, aggregate = Table.find, Table.find_one, Table.stream, Table.aggregate

        def asked_find(table: Table, query: Document, **options: Any) -> Any:
            self.finds.append((table, query, options))
            return find(table, query, **options)

        def asked_one(table: Table, query: Document, fields: Any = None) -> Any:
            self.finds.append((table, query, {"limit": 1}))
            return find_one(table, query, fields)

        def asked_stream(table: Table, query: Document, **options: Any) -> Any:
            self.finds.append((table, query, options))
            return stream(table, query, **options)

        def asked_aggregate(table: Table, pipeline: list[Document], **options: Any) -> Any:
            self.pipelines.append((table, pipeline, options.get("hint")))
            return aggregate(table, pipeline, **options)

        monkeypatch.setattr(Table, "find", asked_find)
        monkeypatch.setattr(Table, "find_one", asked_one)
        monkeypatch.setattr(Table, "stream", asked_stream)
        monkeypatch.setattr(Table, "aggregate", asked_aggregate)

    def explanations(self, database: Database[Document]) -> list[Document]:
        """The server's plan for each."""
        return [explain_find(database, *asked) for asked in self.finds] + [
            database.command(
                {
                    "explain": {
                        "aggregate": table.name,
                        "pipeline": pipeline,
                        "cursor": {},
                        **({"hint": dict(hint)} if hint else {}),
                    },
                    "verbosity": "executionStats",
                }
            )
            for table, pipeline, hint in self.pipelines
        ]


def explain_find(
    database: Database[Document], table: Table, query: Document, options: dict[str, Any]
) -> Document:
    cursor = database[table.name].find(query, limit=options.get("limit", 0))
    if options.get("sort"):
        cursor = cursor.sort(list(options["sort"]))
    return dict((cursor.hint(options["hint"]) if options.get("hint") else cursor).explain())


def stages(plan: Any) -> list[str]:
    """Every stage that a plan names, however deep."""
    if isinstance(plan, dict):
        named = [plan["stage"]] if isinstance(plan.get("stage"), str) else []
        return named + [stage for part in plan.values() for stage in stages(part)]
    return [stage for part in plan for stage in stages(part)] if isinstance(plan, list) else []


def examined(explained: Document) -> int:
    stats = explained.get("executionStats") or explained["stages"][0]["$cursor"]["executionStats"]
    return max(int(stats["totalDocsExamined"]), int(stats["totalKeysExamined"]))


#: Each with the number of documents that it is about.
#: Whether the tests run on the second server.
IS_SECOND_SERVER = os.environ.get("SPEECHAID_TEST_MONGO_URI") == "sibling"
LOOKUPS: dict[str, tuple[Callable[[Store], Any], int]] = {
    "lapsed leases": (lambda store: store.jobs.lapsed(16), LAPSED),
    "open dials of a batch": (lambda store: store.jobs.open_dials(BATCH), OPEN),
    "a dial that is open somewhere": (lambda store: store.jobs.has_dial("k1"), OPEN),
    "SpeechAI's retries": (lambda store: store.queue.legacy_retries(9), RETRIES),
    "times that are text": (lambda store: store.queue.convert_due_times(), 0),
    "SpeechAI's reservations to release": (lambda store: store.legacy.of_ended(9), 0),
    "suspended jobs of an account": (
        lambda store: store.queue.resume_suspended("acc-9", SuspendReason.ACCOUNT_SUSPENDED, 9),
        SUSPENDED,
    ),
    "calls that Retell does not know": (lambda store: store.operator_actions.with_unknown_call(9), OPEN),
    "calls that an operator wants ended": (lambda store: store.requests.hang_ups(9), 0),
    "counts of a batch": (lambda store: store.jobs.counts(OTHER), 100),
    "a job by its name": (lambda store: store.jobs.get("job-7"), 1),
    "a batch by its name": (lambda store: store.batches.find(BATCH), 1),
    "a batch by the name that people gave it": (lambda store: store.batches.find_by_name("Name 7", 6), 1),
    "another batch of that name in the account": (
        lambda store: store.batches.of_same_name("b", "Name 7", None, 5),
        1,
    ),
    "batches that call those of another again": (lambda store: store.batches.redials_of("b"), 0),
    "cancelled batches": (lambda store: store.batches.cancelled_ids(), 0),
    "jobs of a phone number": (
        lambda store: store.jobs.select({"contact.phones": "+12025550000"}, status=None, limit=9),
        0,
    ),
    "ended jobs that are kept no longer": (
        lambda store: store.erasures.jobs_ended_before(store.now(), What.PERSON, Position(), 9),
        0,
    ),
    "ended jobs without the time of their end": (lambda store: store.erasures.add_missing_ends(500), 0),
    "jobs whose person is being forgotten": (lambda store: store.erasures.being_forgotten(9), 0),
    "results of deleted jobs": (
        lambda store: store.erasures.results_before(store.now(), What.PERSON, Position(), 9),
        0,
    ),
    "calls to a person's numbers": (lambda store: store.erasures.results_to(["+12025550000"]), 0),
    "files that are named no longer": (lambda store: store.erasures.imports_before(store.now(), 9), 0),
    "jobs of a national id": (
        lambda store: store.people.find(store.people.of_id(["id:1"], ["1", 1], None), 9),
        0,
    ),
    "jobs of an account": (lambda store: list(store.imports.jobs_of_account("acc-9")), SUSPENDED),
    "jobs of known people in an account": (
        lambda store: store.imports.jobs_of_people("acc-8", ["id:1", "tel:+12025550000"]),
        0,
    ),
    "jobs of a national id in an account": (
        lambda store: store.people.find(store.people.of_id(["id:1"], ["1", 1], "acc-9"), 9),
        0,
    ),
    "jobs of a name in an account": (
        lambda store: store.people.find(store.people.of_name("ana", ["Ana", "ANA"], "acc-9"), 9),
        0,
    ),
    "jobs of a person's phone": (
        lambda store: store.people.find(store.people.of_phone(["line:1"], ["+12025550000"], None), 9),
        0,
    ),
    "jobs of a name": (
        lambda store: store.people.find(store.people.of_name("ana", ["Ana", "ANA"], None), 9),
        0,
    ),
    "jobs by their last call": (
        lambda store: store.jobs.select({"last_outcome": "busy"}, status=None, limit=9),
        0,
    ),
    "jobs by the agent of their last call": (
        lambda store: store.jobs.select({"last_agent_id": "agent_1"}, status=None, limit=9),
        0,
    ),
    "jobs by the number that called them last": (
        lambda store: store.jobs.select({"last_from_number": "+12025550199"}, status=None, limit=9),
        0,
    ),
    "lines of an agent": (
        lambda store: store.logs.latest(9, job_id=None, event=None, after=None, agent="agent_1"),
        0,
    ),
    "commands about a batch": (lambda store: store.logs.of_batch("b", 9), 0),
    "lines of a batch": (
        lambda store: store.logs.latest(9, job_id=None, event=None, after=None, batch="b"),
        0,
    ),
    "an account by its name": (lambda store: store.accounts.find("acc-1"), 1),
    "a result by its call": (lambda store: store.results.of_call("call_1"), 1),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_lookup_reads_an_index_and_little_more_than_it_returns(
    name: str, store: Store, database: Database[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, at_most = LOOKUPS[name]
    fill_batches(database)
    asked = Asked(monkeypatch)
    ask(store)
    monkeypatch.undo()

    explained = asked.explanations(database)
    assert explained
    for plan in explained:
        assert "IXSCAN" in stages(plan)
        assert "COLLSCAN" not in stages(plan)
        if IS_SECOND_SERVER and ("Timestamp(" in str(plan) or "'$type'" in str(plan)):
            continue  # it has no range of a type in an index, as MongoDB has, and reads the status's jobs
        assert examined(plan) <= at_most + 1


@pytest.mark.parametrize("count", ["counts", "counts_by_batch"])
def test_counts_of_all_jobs_read_an_index_instead_of_the_documents(
    count: str, store: Store, database: Database[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    counted = getattr(store.jobs, count)()
    monkeypatch.undo()

    (plan,) = asked.explanations(database)
    assert "IXSCAN" in stages(plan)
    assert "COLLSCAN" not in stages(plan)
    by_status = counted if count == "counts" else counted[BATCH]
    assert by_status["done"] == 200
    assert by_status["in_progress"] == 30 + LAPSED + OPEN


def test_a_claim_looks_for_due_jobs_of_its_batch_alone_and_at_no_job_that_is_over(
    store: Store, settings: Settings, database: Database[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.batches.create({"batch_id": BATCH})
    context = WorkerContext(
        store=store,
        retell=open_retell(settings),
        settings=settings,
        link=QuietLink(),
        worker_id="worker-1@host-a:1",
        wait=lambda _seconds: None,
    )
    asked = Asked(monkeypatch)
    assert JobClaimer(context).claim() is not None
    monkeypatch.undo()

    # A look at one document by ``_id`` is served by that, whatever the embedded server explains.
    asked.finds = [find for find in asked.finds if find[0].name == "jobs" and "_id" not in find[1]]
    asked.pipelines = [read for read in asked.pipelines if "_id" not in read[1][0]["$match"]]
    assert len(asked.finds) >= 2
    for plan in asked.explanations(database):
        assert "COLLSCAN" not in stages(plan)
        assert examined(plan) <= DUE + 1
