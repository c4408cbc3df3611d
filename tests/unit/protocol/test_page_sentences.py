"""What the page's readers get of a sentence that is for speechctl."""

from __future__ import annotations

import re
from string import Formatter
from typing import Any

import pytest

from speechaid.protocol.page_sentences import SENTENCES, for_page
from speechaid.protocol.translation import in_language, joined, say, say_n, translated
from tools.catalogue import read_catalogue

#: Commands and options of the command line, and variables of the environment.
COMMAND = re.compile(r"speechctl|(^|[ (])--[a-z]|[a-z]+-(batch|job|all|account|agent)\b|dnc-|SPEECHAID_")


def names_in(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_each_is_a_sentence_of_the_sources_with_a_form_that_names_no_command(sentence: str) -> None:
    known = {
        one
        for message in read_catalogue("es")
        for one in ([*message.id] if isinstance(message.id, tuple) else [message.id])
    }
    assert sentence in known
    other = SENTENCES[sentence]
    assert names_in(other) <= names_in(sentence)
    for language in ("en", "es"):
        assert not COMMAND.search(in_language(say(other, **dict.fromkeys(names_in(other), "x")), language))


def test_an_answer_is_rephrased_with_what_stands_in_it_and_then_translated() -> None:
    why = say("resume-batch {batch_id} --hours 09:00-19:00", batch_id="batch-1")
    refusal = say(
        "there are no calling hours, so people would be called day and night: {remedy}, or"
        " set SPEECHAID_DEFAULT_ALLOWED_HOURS (--hours 00:00-24:00 calls at any time)",
        remedy=why,
    )
    taken = say_n(
        "nothing was imported: everybody in the file ({count} person) has opted out by national id"
        " (speechctl dnc ID)",
        "nothing was imported: everybody in the file ({count} people) has opted out by national id"
        " (speechctl dnc ID)",
        3,
    )
    body: Any = {"error": {"message": joined("; ", [refusal, taken])}, "rows": [1, None]}
    english = for_page(body)
    assert "speechctl" not in english["error"]["message"]
    assert "(3 people)" in english["error"]["message"]
    assert english["rows"] == [1, None]
    spanish = translated(english, "es")["error"]["message"]
    assert "(3 personas)" in spanish
    assert "Cambiar el horario" in spanish
    assert "speechctl" in body["error"]["message"]  # for others it stays
