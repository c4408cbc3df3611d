"""Every pattern of the code takes time with a text's length, not with its square, whatever the text is.

A regular expression holds the interpreter until it ends: a crafted cell, answer or log field would stop a
whole process. Texts of two lengths are compared by the processor time of this thread.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import speechaid
import speechctl
from speechaid.protocol.text import hide_password, hide_passwords, split_at_password
from speechaid.settings.fields import hide_credentials
from speechaid.telemetry.redaction import Redactor

ROOT = Path(__file__).parents[2]
METHODS = frozenset({"match", "fullmatch", "search", "sub", "split", "findall", "finditer"})
#: In seconds of the processor: what takes less is not judged.
SHORT_SECONDS = 0.005
LENGTHS = (1_000, 10_000)
#: Twice the length may take this many times as long: 2 is linear, 4 the square.
LARGEST_RATIO = 3.0

_UNITS = (
    *" 0a.+-/:;,@'\"(=&\n\t%_",
    *(" \t", "0 ", "a ", "0.", "0,", "1,000", "+1", "+1(", "%2B1", "0-1,", "a.b", "()", '""', "=\\"),
    *("://", "a://", "a://b:", "key_", "Bearer ", "1 de ", "enero ", "USD ", "US$", "token:", "do not "),
)
_STARTS = ("", "1", "a ", "+", "://", "USD", "1 de", "Bearer")
_ENDS = ("", "!", "\0")


def _called_methods() -> dict[str, set[str]]:
    """The methods that are called on each name of the code."""
    methods = defaultdict(set)
    for path in itertools.chain((ROOT / "speechaid").rglob("*.py"), (ROOT / "speechctl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in METHODS and isinstance(node.value, ast.Name):
                methods[node.value.id].add(node.attr)
    return methods


def _patterns() -> Iterator[tuple[str, re.Pattern[Any], str]]:
    methods = _called_methods()
    for package in (speechaid, speechctl):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern):
                    for method in sorted(methods[name] or {"search", "fullmatch"}):
                        yield f"{module.name}.{name}.{method}", value, method


#: A text of a length in characters.
Text = Callable[[int], str]


def _texts() -> Iterator[Text]:
    for unit, start, end in itertools.product(_UNITS, _STARTS, _ENDS):
        yield partial(_text, unit, start, end)


def _text(unit: str, start: str, end: str, length: int) -> str:
    return f"{start}{unit * (length // len(unit))}{end}"


def _seconds(call: Any, text: str, times: int = 1) -> float:
    """The shortest processor time of so many calls."""
    found = []
    for _ in range(times):
        start = time.thread_time()
        call(text)
        found.append(time.thread_time() - start)
    return min(found)


def _assert_linear(call: Any, texts: Iterable[Text], lengths: Iterable[int] = LENGTHS) -> None:
    for length, text in itertools.product(lengths, texts):
        if _seconds(call, text(length)) > SHORT_SECONDS:
            once, twice = _seconds(call, text(length), 3), _seconds(call, text(2 * length), 3)
            assert twice < LARGEST_RATIO * once, f"{text(40)!r} of {length} characters"


@pytest.mark.parametrize(("pattern", "method"), [pytest.param(*rest, id=name) for name, *rest in _patterns()])
def test_a_pattern_is_linear(pattern: re.Pattern[Any], method: str) -> None:
    def call(text: str) -> None:
        given = text.encode() if isinstance(pattern.pattern, bytes) else text
        if method == "sub":
            pattern.sub(given[:0], given)
        elif method == "finditer":
            list(pattern.finditer(given))
        else:
            getattr(pattern, method)(given)

    _assert_linear(call, list(_texts()))


@pytest.mark.parametrize(
    "call",
    [
        Redactor(secrets=("key_0123456789abcdef",)).text,
        partial(Redactor().text, of_phones=True),
        hide_passwords,
        hide_password,
        split_at_password,
        hide_credentials,
    ],
)
def test_redaction_is_linear(call: Any) -> None:
    _assert_linear(call, list(_texts()))


@pytest.mark.parametrize("unit", ["://", "a://b:c ", "a://b:", "+1 ", "%2B", "0", "@", " "])
def test_redaction_of_a_million_characters_is_linear(unit: str) -> None:
    redact = partial(Redactor().text, of_phones=True)
    _assert_linear(redact, [partial(_text, unit, "", "")], lengths=[20_000, 500_000])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://ana:s3cret@host/db", "mongodb://ana:***@host/db"),
        ("at mongodb://ana:p@ss:w@host and http://x:y@z.", "at mongodb://ana:***@host and http://x:***@z."),
        ("mongodb://an@a:s3cret@host", "mongodb://an@a:***@host"),
        ("mongodb://host:27017/db", "mongodb://host:27017/db"),
        ("mongodb://:s3cret@host", "mongodb://:***@host"),
        ("ana@example.com at http://host:80/", "ana@example.com at http://host:80/"),
    ],
)
def test_passwords_in_addresses_are_hidden(text: str, shown: str) -> None:
    assert hide_passwords(text) == shown
