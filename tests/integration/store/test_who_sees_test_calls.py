"""Each store function that reads jobs or results leaves test calls out, or is listed here with a reason."""

from __future__ import annotations

import inspect
from typing import Any

from speechaid.settings import Settings
from speechaid.store.connection import Store, connect
from speechaid.store.table import Table

#: What reads documents.
READS = (".find(", ".stream(", ".aggregate(", ".count(", ".distinct(", "_in_chunks(", "_change(")
#: What leaves tests out, or asks for them alone.
FILTERS = ("of_campaigns(", "TESTS")
#: The others, by why a test call may be among what they find. A function that is new belongs in one of these,
#: or takes its query through ``store.test_calls.of_campaigns``.
WITH_TESTS: dict[str, frozenset[str]] = {
    reason: frozenset(names.split())
    for reason, names in {
        # The query names one batch, and no batch is that of the tests.
        "of one batch": """
            queue.due_batches operator_actions.waiting_for_retry
            operator_actions.find_over operator_actions.of_batch
            operator_actions.in_progress operator_actions.cancel_waiting
            operator_actions.start_imported operator_actions.count_called
            operator_actions.count_never_called operator_actions.delete_never_called imports.waiting_jobs
            imports.waiting_variables results.has_batch queue.candidates diagnostics.ahead_of
        """,
        # A test is claimed, dialled, recovered and settled as every job is.
        "the way of a job": """
            jobs.lapsed jobs.number_is_taken jobs.shared_numbers jobs.has_dial jobs.follows_call
            jobs.worker_crashed operator_actions.stuck operator_actions.with_unknown_call
            diagnostics.holder_of diagnostics.busy_numbers diagnostics.open_dials analyses.due
            people.with_open_dial
        """,
        # It is asked for by name.
        "by name": """
            jobs.find_by_prefix jobs.insert_missing results.of_job test_calls.find_number
            test_calls.find_numbers test_calls.find_row people.calls_of
        """,
        # A test is charged as a call is.
        "charges": """
            transactions.page
        """,
        # The caller gives the query, which went through ``filters.filter_query`` or names a batch, or ids of
        # jobs that were found so.
        "the caller's query": """
            jobs.select results.aggregate operator_actions.reset operator_actions.count
            operator_actions.find_to_reset
            operator_actions.cancel_jobs
        """,
        # A test call holds people's data as every call does, and they are erased as all are.
        "what is erased": """
            erasures.add_missing_ends erasures.being_forgotten erasures.results erasures.results_of
            erasures.results_to erasures.lines_of erasures.imports_before erasures.count_late
        """,
        # A test call has no batch of its own, whose sums or limits it could change.
        "sums and limits": """
            batch_sums.due jobs.count_without_entry
        """,
        # A hang-up of a test call reaches it, too.
        "hang-ups": """
            requests.hang_ups
        """,
        # Housekeeping enters no test in the ledger, and no test waits for a rule of a pack.
        "the ledger": """
            jobs.dials_without_rule results.recorded_since results.has_calls_since queue.release_waiting
        """,
        # The records of imports.
        "no jobs": """
            imports.find_latest imports.latest_of_batch imports.mappings_of imports.of_batch imports.of_file
        """,
        # What only other programs or imports write.
        "nothing that a test has": """
            queue.due_without_batch queue.make_scheduled_pending queue.legacy_retries
            queue.convert_due_times queue.respell_statuses queue.accounts_with_suspended
            queue.resume_suspended legacy.of_ended imports.count_begun imports.count_untouched
            imports.find_untouched imports.jobs_of_people
        """,
    }.items()
}


def holds_people(part: Any, settings: Settings) -> bool:
    """Whether a part of the store has the collection of jobs or of results, itself or in another part."""
    names = {settings.database.jobs_collection, settings.database.results_collection}
    tables = [value for value in vars(part).values() if isinstance(value, Table)]
    inner = [getattr(value, "table", None) for value in vars(part).values()]
    return any(table.name in names for table in (*tables, *inner) if isinstance(table, Table))


def readers(store: Store, settings: Settings) -> dict[str, bool]:
    """Each public function that reads jobs or results, and whether its source has a filter."""
    found = {}
    for name, part in vars(store).items():
        is_part = type(part).__module__.startswith("speechaid.store")
        if name.startswith("_") or not is_part or not holds_people(part, settings):
            continue
        for function, body in inspect.getmembers(type(part), inspect.isfunction):
            source = inspect.getsource(body)
            if not function.startswith("_") and any(read in source for read in READS):
                found[f"{name}.{function}"] = any(word in source for word in FILTERS)
    return found


def test_every_reader_of_jobs_and_results_leaves_tests_out_or_says_why_not(settings: Settings) -> None:
    found = readers(connect(settings.database, uri="mongodb://127.0.0.1:1"), settings)
    listed = [name for names in WITH_TESTS.values() for name in names]
    assert len(listed) == len(set(listed))
    unfiltered = {name for name, is_filtered in found.items() if not is_filtered}
    assert unfiltered == set(listed), "new: store.test_calls.of_campaigns, or a place in the table"
