"""Names speak the language of ``docs/glossary.md``: modules, classes, public functions and methods.

Only names are checked, by AST; prose is not. Names of fields, parameters, constants and of enum members are
not checked either: many are stored or sent and must keep their names.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from speechaid.protocol.commands import COMMANDS

ROOT: Final = Path(__file__).parents[2]
GLOSSARY: Final = ROOT / "docs" / "glossary.md"
PACKAGES: Final = ("speechaid", "speechctl", "tools")

#: Words of an earlier private language, and what to say instead.
_REPLACED_BY: Final = {
    "kit": "worker context",
    "look looks looked lookout": "read, check, preflight, monitor",
    "tell tells told teller": "report, send, answer",
    "heed heeds": "handle",
    "judge judges judged judgement": "evaluate, evaluation",
    "tend tends": "renew, process",
    "deed deeds": "operation",
    "bury buries buried": "reap",
    "clerk desk": "database thread, background handler, handler context",
    "seat seats": "supervisor link",
    "census survey": "queue stats, diagnostics",
    "roster turns": "due batches, claim",
    "vigil": "follow, CallFollower",
    "tally tallies tallied": "count",
    "books": "billing view, reservation entries",
    "inherited inheritance foreign": "legacy",
    "doorman": "authenticator",
    "neighbour neighbours": "interfaces",
    "analyst": "call analysis",
    "ailment ailments chart charts": "check, finding, facts",
    "insist insists": "retry",
    "nursery patience": "prepared mains, timeouts",
    "bend bends bent": "reclassify",
    "nobody somebody everybody whoever": "the process or person that is meant",
    "tale tales wonder lies hears heard": "what happens, plainly",
}
REPLACED: Final = {word: say for words, say in _REPLACED_BY.items() for word in words.split()}

#: Verbs of the private language: never to be added to the glossary.
NEVER_VERBS: Final = frozenset({"look", "tell", "heed", "judge", "tend", "keep", "insist", "bury"})

#: Functions of one word that are no verbs: nouns and adjectives, for what they return, yield or ask.
NOUNS: Final = frozenset(
    """
    among amount answers balance bars begins blocked body boottime breakers called calls campaigns
    candidates cannot cause changed charge checks clock collection commands conclusion concurrency
    contacts country counts credentials credit currency curves dashboard database date day descriptors
    digest directory disks distinct document drawing due duration elapsed entry exhausted expected
    families fault faults fields fingerprint firing flag garbage given headroom health holders holds indexed
    instant intended item joined json lapsed latest left limited limits line lines listed mapping may
    message minutes moment money newest now number observation of order overlaps page pages pair part
    passes percent
    pids placed plain plural policy port price priority profile rect refusals reloaded reloading
    remaining report request requests resettable results retries revived rewriter rewrites
    routes row rows samples sanitized script seconds secrets sequence setting settings settled shape
    shown sibling signature size snapshot spawning started starting stat stats status step stopped
    stopping storable stuck systemctl table text topology tracks transition translated unchanged
    undeclared undialable unhealthy unreadable unwritten variables warnings whole windows withdrawal
    worst zones
    """.split()  # noqa: SIM905 - one word for one name, in lines
)

#: Public interfaces of Python that classes here implement; they have Python's meaning.
OF_PYTHON: Final = frozenset(
    {"debug", "info", "warning", "error", "exception", "fileno", "main", "readable", "readinto", "recv"}
)


@dataclass(frozen=True)
class Name:
    """A module, class, function or method."""

    kind: str
    name: str
    #: The directory of its module: ``speechaid/dialer``.
    room: str
    place: str

    @property
    def words(self) -> list[str]:
        """``CallFollower`` and ``call_follower`` are both call, follower."""
        return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", self.name)]


def names() -> Iterator[Name]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            file = path.relative_to(ROOT)
            yield Name("module", path.stem, str(file.parent), str(file))
            yield from _names_in(ast.parse(path.read_text(encoding="utf-8")).body, file)


def _names_in(body: list[ast.stmt], file: Path, within: str = "") -> Iterator[Name]:
    for node in body:
        place = f"{file}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ClassDef):
            yield Name("class", node.name, str(file.parent), place)
            yield from _names_in(node.body, file, node.name)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            kind = (
                "property"
                if any(map(_is_property, node.decorator_list))
                else "method"
                if within
                else "function"
            )
            yield Name(kind, node.name, str(file.parent), place)


def _is_property(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).rpartition(".")[2] in {"property", "cached_property", "setter"}


ALL_NAMES: Final = tuple(names())


def _bare() -> dict[str, list[str]]:
    """Functions and methods of one word, without handlers and renderers: these are named after a command."""
    commands = {command.replace("-", "_") for command in COMMANDS}
    found: dict[str, list[str]] = defaultdict(list)
    for each in ALL_NAMES:
        of_command = each.kind == "function" and each.name in commands
        if each.kind in {"function", "method"} and len(each.words) == 1 and not of_command:
            found[each.name].append(each.place)
    return found


def _glossary_verbs() -> list[str]:
    """The verbs in the first column of the glossary's table of verbs."""
    section = GLOSSARY.read_text(encoding="utf-8").partition("\n## Verbs")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [verb for row in rows for verb in re.findall(r"`(\w+)`", row)]


def test_no_name_uses_a_word_that_was_replaced() -> None:
    found = {
        f"{each.place} {each.kind} {each.name}": f"instead of {word!r}: {REPLACED[word]}"
        for each in ALL_NAMES
        for word in each.words
        if word in REPLACED
    }
    assert found == {}


def test_a_class_name_occurs_once_within_a_room() -> None:
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in ALL_NAMES:
        if each.kind == "class":
            places[each.room, each.name].add(each.place)
    assert {f"{room}: {name}": found for (room, name), found in places.items() if len(found) > 1} == {}


def test_a_function_of_one_word_is_a_verb_of_the_glossary_or_a_noun() -> None:
    known = {*_glossary_verbs(), *NOUNS, *OF_PYTHON}
    unknown = {name: found for name, found in _bare().items() if name not in known}
    assert unknown == {}, "a verb: add it to docs/glossary.md with its meaning; a noun: add it to NOUNS"


def test_the_glossary_has_each_verb_once_and_only_those_in_use() -> None:
    verbs = _glossary_verbs()
    assert len(verbs) == len(set(verbs))
    assert {*verbs} - {*_bare()} == set(), "no function or method has this name any more"
    assert NEVER_VERBS.isdisjoint(verbs)


def test_every_noun_is_in_use_and_no_verb() -> None:
    assert NOUNS - {*_bare()} == set(), "no function or method has this name any more"
    assert NOUNS.isdisjoint(_glossary_verbs())
    assert NOUNS.isdisjoint(OF_PYTHON)


@pytest.mark.parametrize(
    ("name", "words"),
    [("CallFollower", ["call", "follower"]), ("ZAPReply", ["zap", "reply"]), ("as_hold", ["as", "hold"])],
)
def test_identifiers_are_split_into_words(name: str, words: list[str]) -> None:
    assert Name("class", name, "", "").words == words
