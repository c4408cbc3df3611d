"""Reads that may forbid a call go to the primary with read concern majority, whatever the address prefers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from speechaid.errors import StoreError
from speechaid.model.job import Job
from speechaid.model.levels import Level
from speechaid.model.states import Outcome
from speechaid.settings import Settings
from speechaid.store.connection import Store, connect
from speechaid.store.jobs import Candidate
from speechaid.store.packs import PacksInForce
from speechaid.store.table import Table
from speechaid.store.test_calls import RegisteredNumber
from tests.support.replica_set import ReplicaSet, open_replica_set

PAST = datetime(2026, 3, 2, 12, tzinfo=UTC)
CANDIDATE = Candidate.read({"_id": 1, "claim_token": "t", "reserved_until": PAST})
JOB = Job.read({"_id": 1, "job_id": "job-1", "claim_token": "t"})
DIALLED = Job.read(
    {
        "_id": 1,
        "job_id": "job-1",
        "claim_token": "t",
        "dial": {"key": "key", "number": "+56911111111", "intent_at": PAST},
    }
)
IN_FORCE = PacksInForce(hashes={"CL-collection": "hash"})
REGISTERED = RegisteredNumber.read({"_id": "+56911111111", "latest": "test-1"})

#: Store functions whose reading may keep a call from being placed, or a pause, a hold or a stop from being
#: answered, each with a sample call.
FORBIDS: dict[str, Callable[[Store], object]] = {
    "accounts.among": lambda store: store.accounts.among(["a"]),
    "accounts.find": lambda store: store.accounts.find("a"),
    "accounts.zones": lambda store: store.accounts.zones(),
    "batches.above_normal_priority": lambda store: store.batches.above_normal_priority(9),
    "batches.among": lambda store: store.batches.among(["b"]),
    "batches.find": lambda store: store.batches.find("b"),
    "batches.page": lambda store: store.batches.page("", 9, including=True),
    "batches.register_dial": lambda store: store.batches.register_dial("b", "key", at_most=None),
    "batches.cancelled_ids": lambda store: store.batches.cancelled_ids(),
    "do_not_call.listed": lambda store: store.do_not_call.listed(["+56911111111"]),
    "do_not_call.listed_people": lambda store: store.do_not_call.listed_people(["person:id:1:a"]),
    "do_not_call.people_entries": lambda store: store.do_not_call.people_entries("id:1"),
    "holds.find_hold": lambda store: store.holds.find_hold(),
    "holds.read": lambda store: store.holds.read("fingerprint"),
    "holds.require_level": lambda store: store.holds.require_level(Level.FIRST, by="ana"),
    "imports.jobs_of_people": lambda store: store.imports.jobs_of_people("a", ["person"]),
    "imports.has_others_since": lambda store: store.imports.has_others_since("a", PAST, besides=None),
    "imports.jobs_of_account": lambda store: list(store.imports.jobs_of_account("a")),
    "imports.jobs_without_keys": lambda store: list(store.imports.jobs_without_keys("a")),
    "imports.of_file": lambda store: store.imports.of_file("a", "sha256"),
    "jobs.count_without_entry": lambda store: store.jobs.count_without_entry("b"),
    "jobs.dials_on_their_way": lambda store: store.jobs.dials_on_their_way("b"),
    "jobs.has_dial": lambda store: store.jobs.has_dial("key"),
    "jobs.lapsed": lambda store: store.jobs.lapsed(9),
    "jobs.number_is_taken": lambda store: store.jobs.number_is_taken("+56911111111", besides=1),
    "jobs.open_dials": lambda store: store.jobs.open_dials("b"),
    "jobs.renew_to_dial": lambda store: store.jobs.renew_to_dial(JOB, 60.0),
    "jobs.reread": lambda store: store.jobs.reread(JOB),
    "ledger.of_people": lambda store: store.ledger.of_people(["line:+56911111111"]),
    "packs.find": lambda store: store.packs.find("CL-collection", IN_FORCE),
    "packs.in_force": lambda store: store.packs.in_force(),
    "packs.all_in_force": lambda store: store.packs.all_in_force(),
    "jobs.dials_without_rule": lambda store: store.jobs.dials_without_rule(),
    "results.recorded_since": lambda store: store.results.recorded_since(PAST, 9),
    "results.has_calls_since": lambda store: store.results.has_calls_since(PAST),
    "results.of_dial": lambda store: store.results.of_dial("key"),
    "results.with_decision": lambda store: store.results.with_decision("key"),
    "people.find": lambda store: store.people.find([{"person_keys": "person"}], 9),
    "preflight.read": lambda store: store.preflight.read(
        1, "fingerprint", account_id="a", batch_id="b", numbers=["+56911111111"]
    ),
    "preflight.read_to_dial": lambda store: store.preflight.read_to_dial(
        DIALLED, "fingerprint", leased_until=PAST, account_id="a", batch_id="b", numbers=["+56911111111"]
    ),
    "preflight.read_with_job": lambda store: store.preflight.read_with_job(
        1, "t", "fingerprint", account_id="a", batch_id="b", numbers=["+56911111111"]
    ),
    "batches.find_by_name": lambda store: store.batches.find_by_name("name", 9),
    "batches.redials_of": lambda store: store.batches.redials_of("b"),
    "operator_actions.count_called": lambda store: store.operator_actions.count_called("b"),
    "operator_actions.find_over": lambda store: list(store.operator_actions.find_over("b", [Outcome.BUSY])),
    "results.has_batch": lambda store: store.results.has_batch("b"),
    "queue.candidates": lambda store: store.queue.candidates("b", 9),
    "queue.due_batches": lambda store: store.queue.due_batches(["b"]),
    "queue.due_tests": lambda store: store.queue.due_tests(),
    "queue.due_without_batch": lambda store: store.queue.due_without_batch(),
    # A record that is not seen would be made again: the top-up would be added twice.
    "transactions.find": lambda store: store.transactions.find("a", "key"),
    "queue.next_with_pending": lambda store: store.queue.next_with_pending("b"),
    "test_calls.find_number": lambda store: store.test_calls.find_number("+56911111111"),
    "test_calls.find_open": lambda store: store.test_calls.find_open(REGISTERED),
}

#: The others: writes, whose filters the primary evaluates, and what is read to be shown, counted or tidied.
DOES_NOT_FORBID: frozenset[str] = frozenset(
    """
    accounts.clear_release_mark accounts.create accounts.end_top_up accounts.find_by_any_id
    accounts.find_by_prefix accounts.page accounts.select
    accounts.release_legacy_reservation accounts.top_up accounts.with_open_top_ups accounts.write_settings
    accounts.reserve accounts.set_status accounts.settle accounts.stale_reservations analyses.add
    analyses.claim analyses.due analyses.give_up analyses.is_settled analyses.postpone
    batch_sums.due batch_sums.fold batch_sums.fold_all batches.end_invalid_run batches.note_all_entries
    batches.accept_unassigned batches.cancel batches.create batches.delete batches.end_redial
    batches.find_by_any_id batches.find_by_prefix batches.get batches.select batches.imported_into
    batches.names_by_prefix batches.new_id
    batches.newest batches.newest_of_account batches.note_import batches.note_invalid_number
    batches.of_same_name batches.pause
    batches.pause_all batches.pause_refused batches.pin_agent batches.random_name
    batches.register_live_dial batches.resume batches.resume_all batches.settle_dial
    batches.stale_dials batches.with_own_agent batches.write_counts batches.write_settings
    diagnostics.ahead_of diagnostics.awaiting_account diagnostics.busy_numbers diagnostics.holder_of
    diagnostics.open_dials diagnostics.stream_waiting diagnostics.recent_calls diagnostics.recent_outcomes
    diagnostics.rejected_jobs diagnostics.served_jobs diagnostics.suspended_for diagnostics.tried_again
    diagnostics.unreadable diagnostics.unreadable_answers do_not_call.add do_not_call.add_many
    erasures.add_missing_ends erasures.being_forgotten erasures.count_late
    erasures.forget_file erasures.imports_before erasures.find_job erasures.jobs_ended_before
    erasures.lines_of erasures.mark_forgetting erasures.results erasures.results_before
    erasures.results_of erasures.results_to erasures.tests_of erasures.without_job erasures.write_job
    erasures.write_job_without_call erasures.write_line erasures.write_result
    erasures.write_result_without_call
    do_not_call.add_numbers_of_person do_not_call.add_person do_not_call.entries_of_lines
    do_not_call.listed_lines do_not_call.people_size do_not_call.remove_person
    operator_actions.cancel_jobs people.calls_of
    people.with_open_dial
    operator_actions.correct_paid_amount operator_actions.mark_paid operator_actions.set_paid_amount
    do_not_call.entry do_not_call.mark_read do_not_call.other_forms do_not_call.release do_not_call.remove
    do_not_call.size
    holds.breakers holds.hold holds.hold_batches holds.note_tests holds.release_batches
    holds.unhold holds.write_breaker
    identities.check_login identities.create_token identities.create_user identities.disable_user
    identities.edit_user identities.enable_user identities.end_session identities.end_sessions
    identities.find_session identities.find_sessions identities.find_token identities.find_tokens
    identities.find_user identities.find_users identities.has_users identities.indexed identities.prepare
    identities.revoke_token identities.set_password identities.start_session
    ledger.announce ledger.close_open ledger.enter_closed ledger.enter_open ledger.open_since ledger.settle
    packs.fault_of packs.install packs.note_filled packs.put_in_force packs.request_fill queue.release_waiting
    imports.count_begun imports.count_untouched imports.create imports.delete_untouched imports.find
    imports.find_latest imports.find_untouched imports.forget_batch imports.keep_mapping
    imports.latest_of_batch imports.mappings_of imports.note imports.of_batch imports.remove
    imports.waiting_jobs imports.waiting_variables jobs.adopt jobs.claim jobs.counts
    jobs.counts_by_batch jobs.drop_reserved_amount jobs.find_by_prefix jobs.finish jobs.follows_call
    jobs.get jobs.has_job jobs.page jobs.insert_many jobs.insert_missing jobs.keep_deleted jobs.keep_lost_dial
    jobs.note_on_dial jobs.numbers_are_unique jobs.put_aside jobs.record_call jobs.record_intent
    jobs.page jobs.record_verdict jobs.release_lease jobs.renew jobs.requeue jobs.select jobs.shared_numbers
    jobs.worker_crashed legacy.amount legacy.clear legacy.of_ended logs.audit logs.commands
    logs.has_line logs.keep_for logs.latest logs.note_erasure logs.note_read logs.of_batch logs.of_job
    logs.refusals
    logs.write
    logs.write_many operator_actions.cancel_waiting operator_actions.count
    operator_actions.count_never_called operator_actions.delete_never_called
    operator_actions.drop_request operator_actions.in_progress operator_actions.move
    operator_actions.find_to_reset operator_actions.of_batch
    operator_actions.release operator_actions.reset operator_actions.resettable operator_actions.resume
    operator_actions.start_imported operator_actions.stuck operator_actions.waiting_for_retry
    operator_actions.with_unknown_call pages.page people.of_id people.of_name people.of_phone
    queue.accounts_with_suspended queue.convert_due_times
    queue.drop_legacy_retry queue.legacy_retries queue.make_scheduled_pending queue.requeue_legacy_retry
    queue.respell_statuses queue.resume_suspended queue.suspend_waiting requests.ask
    requests.hang_ups results.aggregate
    results.of_call results.of_job results.record test_calls.add_number test_calls.create
    test_calls.end_expired test_calls.find_numbers test_calls.find_row test_calls.remove_number
    transactions.finish_top_ups transactions.page transactions.record
""".split()  # noqa: SIM905 - one word for one function, in lines
)

READS = frozenset({"find", "aggregate", "count", "distinct"})


@pytest.fixture(scope="module")
def replica_set() -> Iterator[ReplicaSet]:
    with open_replica_set() as group:
        yield group


@pytest.fixture(params=["secondary", "secondaryPreferred", "nearest"])
def store(request: pytest.FixtureRequest, replica_set: ReplicaSet, settings: Settings) -> Iterator[Store]:
    address = replica_set.uri(f"readPreference={request.param}&readConcernLevel=local")
    opened = connect(settings.database, uri=address)
    replica_set.clear()
    yield opened
    opened.close()


def store_functions(store: Store) -> set[str]:
    """Every public function of the store's parts: ``holds.read``."""
    parts = {name: part for name, part in vars(store).items() if not name.startswith("_")}
    return {
        f"{name}.{function}"
        for name, part in parts.items()
        for function, _ in inspect.getmembers(type(part), inspect.isfunction)
        if not function.startswith("_") and type(part).__module__.startswith("speechaid.store")
    }


def test_the_table_names_every_function_of_the_store_once(settings: Settings) -> None:
    opened = connect(settings.database, uri="mongodb://127.0.0.1:1")
    assert store_functions(opened) == set(FORBIDS) | DOES_NOT_FORBID
    assert not set(FORBIDS) & DOES_NOT_FORBID
    opened.close()


@pytest.mark.parametrize("function", FORBIDS)
def test_what_may_forbid_a_call_is_read_from_the_primary(
    store: Store, replica_set: ReplicaSet, function: str
) -> None:
    with suppress(StoreError):  # the set has no data: a job is not found
        FORBIDS[function](store)
    reads = [command for command in replica_set.received["primary"] if command.name in READS]
    assert reads
    assert replica_set.received["secondary"] == []
    assert {(read.read_concern, read.read_preference) for read in reads} == {("majority", None)}


def test_a_driver_that_follows_the_address_would_ask_the_secondary(
    store: Store, replica_set: ReplicaSet
) -> None:
    """The replica set does what this test rests on."""
    collection = store._client.get_database("any").get_collection("any")
    reads: list[str] = []
    for _ in range(40):
        collection.find_one({})
        reads += [role for role, commands in replica_set.received.items() if commands]
        replica_set.clear()
    assert "secondary" in reads


def test_no_table_reads_from_elsewhere(store: Store) -> None:
    tables = [part.table for part in vars(store).values() if isinstance(getattr(part, "table", None), Table)]
    assert len(tables) > 5
    for table in [*tables, tables[0].sibling("scratch")]:
        assert table._collection.read_preference.mode == 0
        assert table._collection.read_concern.level == "majority"
