"""The verdict: stored and read again as it was; and foreign JSON made fit for the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.model.states import JobStatus, Outcome
from speechaid.model.verdict import AccountCharge, Verdict, storable

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
def test_a_verdict_comes_back_from_bson_as_it_was_stored(verdict: Verdict) -> None:
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
        pytest.param({"a": {"$set": {"b": 1}}}, {"a": {"_$set": {"b": 1}}}, id="operator further down"),
        pytest.param({"\0$where": 1}, {"_$where": 1}, id="operator behind a NUL"),
        pytest.param({"a\0b": "c\0d"}, {"ab": "c\0d"}, id="NUL goes from keys, stays in values"),
        pytest.param({"a.b": 1}, {"a.b": 1}, id="a dot is lawful"),
        pytest.param({"": 1}, {"": 1}, id="an empty key is lawful"),
        pytest.param(2**63 - 1, 2**63 - 1, id="largest whole number"),
        pytest.param(2**63, "9223372036854775808", id="one more"),
        pytest.param(-(2**63) - 1, "-9223372036854775809", id="one less than the least"),
        pytest.param(True, True, id="true is no number"),
        pytest.param("\ud83d", "?", id="half a character"),
        pytest.param({"\ud83d": 1}, {"?": 1}, id="half a character in a key"),
        pytest.param([1.5, None, "é\U0001f600"], [1.5, None, "é\U0001f600"], id="ordinary"),
    ],
)
def test_what_bson_does_not_know_is_changed_and_nothing_else(value: Any, expected: Any) -> None:
    assert storable(value) == expected


def test_what_lies_too_deep_is_cut_off() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = {"a": [deep]}
    kept = storable(deep)
    depth = 0
    while kept is not None:
        kept = kept["a"] if isinstance(kept, dict) else kept[0]
        depth += 1
    assert 40 < depth < 90  # MongoDB refuses documents of more than 100 levels, and ours wrap it in a few


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
def test_whatever_json_says_can_be_stored_and_comes_back(value: Any) -> None:
    kept = storable(value)
    assert bson.decode(bson.encode({"it": kept}))["it"] == kept
    assert storable(kept) == kept
