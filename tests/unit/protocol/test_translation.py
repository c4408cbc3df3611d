"""Sentences are English texts that can be put into the reader's language."""

from __future__ import annotations

import copy
import json
import pickle
from enum import StrEnum

import pytest

from speechaid.protocol.messages import ErrorCode, Refusal, decode_request, encode, encode_refusal
from speechaid.protocol.money import money
from speechaid.protocol.translation import (
    Capitalised,
    Translatable,
    argparse_texts,
    in_language,
    joined,
    language_of,
    read_wire_text,
    reader_language,
    say,
    say_later,
    say_n,
    translated,
    use_language,
    wire_text,
)


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "es_CL.UTF-8"}, "es"),
        ({"LANG": "es"}, "es"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "es_MX"}, "es"),
        ({"LANG": "es_CL.UTF-8", "LC_MESSAGES": "C"}, "en"),
        ({"LANG": "es_CL.UTF-8", "LC_ALL": "POSIX"}, "en"),
        ({"LANG": "es_CL.UTF-8", "LC_ALL": ""}, "es"),
        ({"LANG": "C.UTF-8", "SPEECHAID_LANG": "es"}, "es"),
        ({"LC_ALL": "es_CL.UTF-8", "SPEECHAID_LANG": "en"}, "en"),
        ({"LANG": "es_ES@euro"}, "es"),
        ({"SPEECHAID_LANG": "es-CL"}, "es"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "est"}, "en"),
    ],
)
def test_the_language_is_that_of_the_variable_or_else_of_the_locale(
    environ: dict[str, str], language: str
) -> None:
    assert reader_language(environ) == language


@pytest.mark.parametrize("name", [None, 7, ["es"], "", "x" * 10_000])
def test_what_names_no_language_is_english(name: object) -> None:
    assert language_of(name) == "en"


def test_a_sentence_is_its_english_text_until_it_is_put_into_a_language() -> None:
    text = say("of this batch only (id, or its beginning)")
    assert text == "of this batch only (id, or its beginning)"
    assert json.dumps({"text": text}) == '{"text": "of this batch only (id, or its beginning)"}'
    assert in_language(text, "es") == "solo de este lote (ID o su comienzo)"


def test_values_of_a_sentence_are_translated_with_it() -> None:
    text = say("{what}: {share:.1f}", what=say("Stop the daemon?"), share=0.25)
    assert text == "Stop the daemon?: 0.2"
    assert in_language(text, "es") == "¿Detener el servicio?: 0,2"


def test_a_sentence_that_has_no_translation_stays_english() -> None:
    assert in_language(say("{name} has no translation", name="it"), "es") == "it has no translation"


def test_braces_of_a_sentence_without_values_are_no_placeholders() -> None:
    assert say("as in {{name}}") == "as in {{name}}"


def test_braces_of_a_value_are_no_placeholders() -> None:
    text = say("{title}: {role}", title="{monto}", role="{0}")
    assert in_language(text, "es") == text == "{monto}: {0}"


@pytest.mark.parametrize(("count", "text"), [(0, "0 calls"), (1, "1 call"), (2, "2 calls")])
def test_the_count_chooses_the_sentence(count: int, text: str) -> None:
    assert say_n("{count} call", "{count} calls", count) == text


def test_a_translatable_text_survives_exceptions_copies_sums_and_other_processes() -> None:
    text = say("Stop the daemon?")
    for same in (
        str(ValueError(text)),
        copy.deepcopy(text),
        pickle.loads(pickle.dumps(text)),
        text + "",
        "" + text,
        joined(", ", [text]),
    ):
        assert same == text
        assert in_language(same, "es") == "¿Detener el servicio?"


def test_joined_parts_stay_translatable() -> None:
    text = joined("; ", ["batch-1", say("Stop the daemon?")])
    assert text == "batch-1; Stop the daemon?"
    assert in_language(text, "es") == "batch-1; ¿Detener el servicio?"
    assert not isinstance(joined(", ", ["a", "b"]), Translatable)


def test_a_process_with_one_reader_speaks_their_language_at_once() -> None:
    use_language("es_CL")
    text = say("Stop the daemon?")
    assert text == "¿Detener el servicio?"
    assert not isinstance(text, Translatable)


def test_every_translatable_text_of_an_answer_is_put_into_the_language() -> None:
    answer = {
        "a": [say("Stop the daemon?"), 1, None],
        "b": {"c": (say("Stop the daemon?"),)},
        "d": "as it is",
    }
    assert translated(answer, "es") == {
        "a": ["¿Detener el servicio?", 1, None],
        "b": {"c": ["¿Detener el servicio?"]},
        "d": "as it is",
    }
    assert translated(answer, "en") is answer


def test_a_request_names_the_language_of_its_answers() -> None:
    request = {"v": 1, "id": "1", "command": "status", "args": {}}
    assert decode_request(encode(request)).language == "en"
    assert decode_request(encode({**request, "language": "es_CL"})).language == "es"
    assert decode_request(encode({**request, "language": {"es": 1}})).language == "en"
    assert decode_request(encode({**request, "command": "?", "language": "es"})).language == "es"


def test_a_refusal_is_sent_in_the_language_of_its_request() -> None:
    refusal = Refusal(code=ErrorCode.BUSY, message=say("Stop the daemon?"), id="1", language="es")
    assert json.loads(encode_refusal(refusal))["error"]["message"] == "¿Detener el servicio?"


def test_the_words_of_argparse_are_translated_while_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse

    parser = argparse.ArgumentParser(prog="x")
    use_language("es")
    with argparse_texts():
        assert parser.format_usage().startswith("uso: ")
    assert parser.format_usage().startswith("usage: ")


class _Why(StrEnum):
    """An enumeration of sentences, as of what is wrong with a cell."""

    SUM = "this is not a sum of money"
    CODE = "busy"


def test_a_sentence_of_an_enumeration_is_translated_and_a_code_is_not() -> None:
    assert in_language(_Why.SUM, "es") == "esto no es una suma de dinero"
    assert in_language(_Why.CODE, "es") == "busy"
    assert in_language(say("{title}: {why}", title="monto", why=_Why.SUM), "es") == (
        "monto: esto no es una suma de dinero"
    )


def test_a_capital_letter_is_that_of_the_translation() -> None:
    text = say("{status}; it {resumption}", status=Capitalised(say("suspended")), resumption="ok")
    assert text == "Suspended; it ok"
    assert in_language(text, "es") == "Suspendido; ok"


def test_sums_have_the_signs_of_the_language() -> None:
    text = say("cost {RETELL_CURRENCY} at Retell{each}", RETELL_CURRENCY=money(1234.5, "USD"), each="")
    assert text == "cost 1,234.50 USD at Retell"
    assert in_language(text, "es") == "costo 1.234,50 USD en Retell"


def test_a_constant_is_translatable_in_a_process_with_one_reader() -> None:
    use_language("es")
    assert in_language(say_later("Stop the daemon?"), "es") == "¿Detener el servicio?"
    assert say("{name}: {fault}", name="x", fault=say_later("Stop the daemon?")) == "x: ¿Detener el servicio?"


@pytest.mark.parametrize(
    "text",
    [
        "as it is",
        say("Stop the daemon?"),
        say_n("{count} bad row, not imported:", "{count} bad rows, not imported:", 2),
        say("{title}: {why}", title="{monto}", why=_Why.SUM),
        say("{number:.1f} MB", number=1.25),
        say("{exc}", exc=ValueError(say("Stop the daemon?"))),
        joined("; ", [say("Stop the daemon?"), "x"]),
        _Why.SUM,
    ],
)
def test_a_text_from_a_child_process_stays_translatable(text: str) -> None:
    read = read_wire_text(json.loads(json.dumps(wire_text(text))))
    assert read == text
    assert in_language(read, "es") == in_language(text, "es")


@pytest.mark.parametrize(
    "packed",
    [
        ["english", "{a.__class__}", {"a": "x"}, None, 1],
        ["english", "{a[0]}", {"a": "x"}, None, 1],
        ["english", "{a:>{b}}", {"a": "x", "b": 9}, None, 1],
        ["english", "{a:999999999}", {"a": "x"}, None, 1],
        ["english", "{a}", {"a": "x"}, "{a.__class__}", 2],
    ],
)
def test_a_template_that_is_none_of_ours_is_not_filled(packed: list[object]) -> None:
    assert read_wire_text("\x1e" + json.dumps(packed)) == "english"


@pytest.mark.parametrize(
    "packed", ["[", "{}", "[1]", '["a", "b", null, null, 1]', '["a", "{x}", {}, null, 1]']
)
def test_a_packed_text_that_cannot_be_read_becomes_a_plain_text(packed: str) -> None:
    assert isinstance(read_wire_text("\x1e" + packed), str)
