"""Names of files whatever their bytes, in messages, JSON and logs."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.protocol import messages
from speechaid.protocol.text import encodable_text, encode_json, printable_name

LATIN_1 = os.fsdecode(b"campa\xf1a.csv")


def test_a_name_that_is_not_utf_8_is_shown_by_its_bytes() -> None:
    assert printable_name(LATIN_1) == encodable_text(LATIN_1) == r"campa\xf1a.csv"


@pytest.mark.parametrize(("name", "shown"), [("a\nb.csv", r"a\nb.csv"), ("\u202ea", r"\u202ea"), ("ñ", "ñ")])
def test_a_name_has_no_characters_that_a_terminal_acts_on(name: str, shown: str) -> None:
    assert printable_name(name) == shown


def test_a_text_keeps_its_line_ends() -> None:
    assert encodable_text("one\ntwo \ud800") == "one\ntwo \\ud800"


@given(
    st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_any_value_without_surrogates_comes_back_from_json(value: object) -> None:
    assert json.loads(encode_json(value).decode("utf-8")) == value


@given(st.text(st.characters(codec=None)))
def test_json_is_strict_utf_8_without_lone_surrogates(text: str) -> None:
    decoded = json.loads(encode_json({text: [text]}).decode("utf-8"))
    for found in (*decoded, *decoded[next(iter(decoded))]):
        assert found == encodable_text(text)
        found.encode("utf-8")


def test_an_answer_with_such_a_path_is_strict_json() -> None:
    wire = messages.encode({"id": "1", "path": f"/data/{LATIN_1}"}).decode("utf-8")
    assert json.loads(wire)["path"] == r"/data/campa\xf1a.csv"
