"""What Retell sends, made storable: converted where BSON cannot hold it, cut where it is too much."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.model.storable import CutField, bson_size, describe_cuts, fit_document, storable

characters = st.characters(codec=None)  # lone surrogates and NULs included
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**80), max_value=2**80)
    | st.floats()
    | st.text(characters)
    | st.text("aé☎", min_size=50, max_size=300),
    lambda inner: (
        st.lists(inner, max_size=12) | st.dictionaries(st.text(characters, max_size=4), inner, max_size=6)
    ),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(st.text(characters, max_size=6), VALUES, max_size=8).map(storable)
KB = 1024


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"a": float("nan"), "b": [float("inf")]}, {"a": None, "b": [None]}, id="no number"),
        pytest.param(
            {"call_id": "ours", "call_id\0": "x"}, {"call_id": "ours"}, id="a changed key is weaker"
        ),
        pytest.param({"$a": 1, "_$a": 2}, {"_$a": 2}, id="a prefixed key is weaker"),
    ],
)
def test_no_converted_value_takes_the_place_of_a_true_one(value: Any, expected: Any) -> None:
    assert storable(value) == expected


@given(DOCUMENTS)
def test_the_size_of_a_document_is_that_of_its_bson(document: dict[str, Any]) -> None:
    exact = len(bson.encode(document))
    assert exact <= bson_size(document) <= 2 * exact  # a small integer takes 4 bytes, not 8


@given(DOCUMENTS, st.integers(min_value=-10, max_value=3000))
def test_a_document_is_cut_to_the_size_asked_for(document: dict[str, Any], limit: int) -> None:
    fitted, cuts = fit_document(document, limit)
    assert bson_size(fitted) <= max(limit, 5)
    assert bool(cuts) is (fitted != document)
    assert fitted.keys() <= document.keys()


def test_the_longest_field_goes_first_and_a_text_keeps_its_beginning() -> None:
    document: dict[str, Any] = {
        "call_id": "call_1",
        "transcript": "Buenos días. " * (300 * KB),
        "transcript_object": [{"word": "días", "start": 0.5}] * (150 * KB),
        "call_analysis": {"call_summary": "paid", "call_successful": True},
        "call_cost": {"combined_cost": 12.5},
    }
    length = bson_size(document["transcript"])
    fitted, cuts = fit_document(document, 1000 * KB)
    assert "transcript_object" not in fitted
    assert document["transcript"].startswith(fitted["transcript"])
    assert 900 * KB < len(fitted["transcript"]) <= 1000 * KB
    assert {name: fitted[name] for name in ("call_id", "call_analysis", "call_cost")} == {
        name: document[name] for name in ("call_id", "call_analysis", "call_cost")
    }
    assert {cut.field: (cut.length, cut.kept > 0) for cut in cuts} == {
        "transcript_object": (bson_size(document["transcript_object"]), False),
        "transcript": (length, True),
    }


def test_an_object_is_cut_inside_and_named_by_its_path() -> None:
    document = {"call_analysis": {"call_summary": "x" * 5000 * KB, "call_successful": True}}
    fitted, cuts = fit_document(document, 100 * KB)
    assert fitted["call_analysis"]["call_successful"] is True
    assert [cut.field for cut in cuts] == ["call_analysis.call_summary"]


def test_fields_to_keep_are_cut_last() -> None:
    document = {"call_id": "c" * 200, "a": 1, "b": "x" * 100}
    fitted, _ = fit_document(document, 250, keep={"call_id"})
    assert fitted["call_id"] == document["call_id"]


def test_very_many_small_fields_are_cut_too_and_counted() -> None:
    document = {f"field {number}": number for number in range(60_000)}
    fitted, cuts = fit_document(document, 100 * KB)
    assert 0 < len(bson.encode(fitted)) <= 100 * KB
    described = describe_cuts(cuts)
    assert len(described) == 21
    assert described[-1] == {"others": len(cuts) - 20}


def test_a_note_names_no_phone_number() -> None:
    (row,) = describe_cuts([CutField(field="notes of +56912345678", length=9, kept=0)])
    assert row == {"field": "notes of +569******78", "bytes": 9, "kept_bytes": 0}


def test_values_of_a_job_s_own_document_are_measured() -> None:
    document = {"at": datetime(2026, 1, 1, tzinfo=UTC), "id": bson.ObjectId(), "raw": b"12345", "n": 2**40}
    assert bson_size(document) >= len(bson.encode(document))
