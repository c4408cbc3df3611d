"""What a server of the contract's tests cannot do, by test, with the reason.

A test that is named here runs all the same and must fail; once it passes, its line goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.integration.contract.servers import MEMORY, MONGOMOCK
from tests.support.database import SIBLING

_NO_BSON: Final = "documents are kept as Python objects: nothing is encoded on the way in"
_NO_CONFLICTS: Final = "the operators of an update are carried out one after the other, and never compared"
_NO_EXPRESSIONS: Final = "groups by fields and sums them; no simulated week has the database compute more"
_NO_SERVER: Final = "there is no server: hello tells the time and nothing of a topology"

KNOWN_GAPS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        SIBLING: {},
        MEMORY: {
            "test_a_naive_time_is_utc": _NO_BSON,
            "test_a_number_that_no_document_can_hold_is_a_fault_of_the_store": _NO_BSON,
            "test_an_amount_that_is_decimal_is_counted_on": _NO_BSON,
            "test_a_server_says_that_it_takes_writes": _NO_SERVER,
            "test_a_write_is_confirmed_and_leaves_nothing": "a collection knows of no other beside it",
            "test_an_update_that_changes_a_field_in_two_ways_is_refused": _NO_CONFLICTS,
            "test_due_jobs_are_counted_by_batch_and_account_with_the_time_of_the_first": _NO_EXPRESSIONS,
        },
        MONGOMOCK: {
            "test_a_server_says_that_it_takes_writes": _NO_SERVER,
            "test_an_update_that_changes_a_field_in_two_ways_is_refused": _NO_CONFLICTS,
            "test_a_lease_of_another_type_lapses_and_a_due_time_of_it_never_comes": (
                "$type takes no list of types"
            ),
            "test_a_time_that_is_a_timestamp_of_mongodb_becomes_a_time": "it puts no timestamps in order",
            "test_an_amount_that_is_decimal_is_counted_on": "$inc adds to no Decimal128",
            "test_jobs_without_any_phone_that_can_be_read_are_named": (
                "$not does not match where the way to the field ends in an empty list or another kind"
            ),
            "test_no_field_is_set_inside_null": "$set of a field inside null passes and does nothing",
            "test_nothing_is_added_to_what_is_no_number": "$inc raises Python's TypeError instead of a fault",
            "test_of_many_batches_those_are_named_that_have_a_pending_job": (
                "$first of a group passes over a document that lacks the field"
            ),
            "test_pages_hold_every_document_once_in_order": "$type takes no list of types",
            "test_times_that_are_text_or_numbers_become_times": "$in does not find NaN",
            "test_whoever_comes_later_goes_on_from_any_place": "$type takes no list of types",
        },
    }
)
