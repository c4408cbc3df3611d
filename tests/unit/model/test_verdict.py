"""The verdict: stored and read again unchanged; and JSON of others made storable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.model.states import JobStatus, Outcome
from speechaid.model.storable import storable
from speechaid.model.verdict import AccountCharge, Verdict

NOW = datetime(2026, 3, 2, 10, 0, 0, 123_000, tzinfo=UTC)

FULL = Verdict(
    outcome=Outcome.DO_NOT_CALL,
    cause="do_not_call",
    status=JobStatus.CANCELLED,
    job={"status": JobStatus.CANCELLED, "attempts": 2, "next_phone_index": 1, "updated_at": NOW},
    result={"call_id": "call_1", "call_data": {"a.b": [1, {"c": None}]}, "created_at": NOW},
    charge=AccountCharge(minutes=1.25, credit=0.5, calls=1, day="2026-03-02"),
    figures={"total_cost": 0.11, "total_minutes": 1.25},
    do_not_call="+12025550101",
)
BARE = Verdict(
    outcome=Outcome.BLOCKED,
    cause="blocked",
    status=JobStatus.PENDING,
    job={"status": JobStatus.PENDING},
    result=None,
    charge=AccountCharge(),
)


@pytest.mark.parametrize("verdict", [FULL, BARE], ids=["full", "bare"])
def test_a_verdict_read_from_bson_equals_the_stored_one(verdict: Verdict) -> None:
    options: Any = bson.CodecOptions(tz_aware=True)
    stored = bson.decode(bson.encode(verdict.document()), codec_options=options)
    assert Verdict.read(stored) == verdict


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("status", JobStatus)
def test_every_outcome_and_status_can_be_stored(outcome: Outcome, status: JobStatus) -> None:
    verdict = Verdict(outcome=outcome, cause="x", status=status, job={}, result=None, charge=AccountCharge())
    assert Verdict.read(bson.decode(bson.encode(verdict.document()))) == verdict


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"$where": 1}, {"_$where": 1}, id="operator"),
        pytest.param({"a": {"$set": {"b": 1}}}, {"a": {"_$set": {"b": 1}}}, id="nested operator"),
        pytest.param({"\0$where": 1}, {"_$where": 1}, id="operator after a NUL"),
        pytest.param({"a\0b": "c\0d"}, {"ab": "c\0d"}, id="NUL removed from keys, kept in values"),
        pytest.param({"a.b": 1}, {"a.b": 1}, id="a dot is valid"),
        pytest.param({"": 1}, {"": 1}, id="an empty key is valid"),
        pytest.param(2**63 - 1, 2**63 - 1, id="largest integer"),
        pytest.param(2**63, "9223372036854775808", id="one more"),
        pytest.param(-(2**63) - 1, "-9223372036854775809", id="one less than the smallest"),
        pytest.param(True, True, id="true is not a number"),
        pytest.param("\ud83d", "?", id="lone surrogate"),
        pytest.param({"\ud83d": 1}, {"?": 1}, id="lone surrogate in a key"),
        pytest.param([1.5, None, "é\U0001f600"], [1.5, None, "é\U0001f600"], id="ordinary"),
    ],
)
def test_only_values_that_bson_cannot_hold_are_changed(value: Any, expected: Any) -> None:
    assert storable(value) == expected


def test_levels_that_are_too_deep_are_cut_off() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = {"a": [deep]}
    kept = storable(deep)
    depth = 0
    while kept is not None:
        kept = kept["a"] if isinstance(kept, dict) else kept[0]
        depth += 1
    assert 40 < depth < 90  # MongoDB refuses more than 100 levels, and our documents add a few


characters = st.characters(codec=None)  # lone surrogates and NULs included
names = st.text(characters, max_size=4) | st.sampled_from(["$set", "a.b"])
hostile = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**80), max_value=2**80)
    | st.floats(allow_nan=False)
    | st.text(characters),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(characters, max_size=4) | st.sampled_from(["$set", "a.b"]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@given(hostile)
def test_any_json_can_be_stored_and_read_again(value: Any) -> None:
    kept = storable(value)
    assert bson.decode(bson.encode({"it": kept}))["it"] == kept
    assert storable(kept) == kept
