"""Sentences for people, in the language of their reader; standard library only.

The language of the sources is English. A process that speaks to one person, ``speechctl`` for example, calls
``use_language`` once, and ``say`` then makes each sentence in that language. The daemon speaks to many and
writes logs and records: its ``say`` makes English texts that remember how they were made (``Translatable``),
and the answer to a request is put into the language of the client when it is sent (``translated``).

``python -m tools.catalogue`` collects the sentences of the sources and compiles the catalogues of
``speechaid/locale``.
"""

from __future__ import annotations

import contextlib
import gettext
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = [
    "ENGLISH",
    "LANGUAGES",
    "LANGUAGE_VARIABLE",
    "N_",
    "Capitalised",
    "Translatable",
    "argparse_texts",
    "current_language",
    "in_language",
    "joined",
    "language_of",
    "read_wire_text",
    "reader_language",
    "say",
    "say_later",
    "say_n",
    "system_fault",
    "translated",
    "use_language",
    "wire_text",
]

ENGLISH: Final = "en"
#: The languages that have a catalogue, and English.
LANGUAGES: Final = (ENGLISH, "es")
#: Names the language, before those of the locale.
LANGUAGE_VARIABLE: Final = "SPEECHAID_LANG"
_LOCALE_VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
DOMAIN: Final = "speechaid"
DIRECTORY: Final = Path(__file__).parents[1] / "locale"
#: Before a translatable text on its way from another process of ours.
_MARK: Final = "\x1e"
#: A sentence with placeholders that are names, and formats that cannot fill the memory.
_TEMPLATE: Final = re.compile(
    r"(?:[^{}]|\{\{|\}\}|\{[A-Za-z_]\w*(?:![rs])?(?::[,.0-9a-zA-Z]{0,4})?\})*", re.DOTALL
)
#: Thousands and decimals as Spanish writes them: 1.234,5.
_SPANISH_SIGNS: Final = str.maketrans(",.", ".,")


class _Reader:
    """For whom this process speaks; set once, at its start."""

    language = ENGLISH


class Translatable(str):
    """An English text that knows its sentence and values, and so can be put into another language.

    It is that text to everything that logs, stores or compares it. Text operations make a plain ``str`` of
    it; ``str()`` and ``+`` keep it.
    """

    __slots__ = ("_many", "_msgid", "_number", "_values")

    _msgid: str
    _many: str | None
    _number: int
    _values: Mapping[str, object]

    @classmethod
    def of(
        cls, msgid: str, values: Mapping[str, object], *, many: str | None = None, number: int = 1
    ) -> Translatable:
        """The English text of a sentence, or of its plural for this number."""
        text = cls(_filled(msgid if many is None or number == 1 else many, values, ENGLISH))
        text._msgid, text._values, text._many, text._number = msgid, values, many, number
        return text

    def in_language(self, language: str) -> str:
        """The text in this language; its values that are translatable, too.

        In English where a translation cannot be filled: a broken catalogue must not cost an answer.
        """
        try:
            return _sentence(self._msgid, self._values, self._many, self._number, language)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError):
            return str.__str__(self)

    def with_sentences(self, sentences: Mapping[str, str]) -> Translatable:
        """The same with other sentences for those that are named, among its values, too."""
        values = {
            name: value.with_sentences(sentences) if isinstance(value, Translatable) else value
            for name, value in self._values.items()
        }
        used = self._msgid if self._many is None or self._number == 1 else self._many
        if used in sentences:
            return Translatable.of(sentences[used], values)
        return Translatable.of(self._msgid, values, many=self._many, number=self._number)

    def packed_parts(
        self, pack: Callable[[object], object]
    ) -> tuple[str, dict[str, object], str | None, int]:
        """What ``of`` makes it from, each value packed: sentence, values, plural and number."""
        return (
            self._msgid,
            {name: pack(value) for name, value in self._values.items()},
            self._many,
            self._number,
        )

    def __str__(self) -> str:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self._msgid, dict(self._values), self._many, self._number)

    def __add__(self, other: str) -> str:
        return joined("", (self, other))

    def __radd__(self, other: str) -> str:
        return joined("", (other, self))


def _restored(msgid: str, values: Mapping[str, object], many: str | None, number: int) -> Translatable:
    return Translatable.of(msgid, values, many=many, number=number)


def N_(msgid: str) -> str:  # noqa: N802 - gettext's own name for it
    """Mark a sentence for the catalogue that is given to ``say`` elsewhere: texts in tables."""
    return msgid


def say(msgid: str, /, **values: object) -> str:
    """A sentence with its values, for a person.

    Args:
        msgid: the sentence in English, with placeholders as of ``str.format`` where there are values. Written
            in place as one literal, or marked with ``N_`` where it is written.
        values: what the placeholders stand for; may be translatable themselves. Ids and codes are texts, not
            numbers: the decimal point of a fraction follows the language.
    """
    if _Reader.language != ENGLISH:
        return _sentence(msgid, values, None, 1, _Reader.language)
    return Translatable.of(msgid, values)


def say_later(msgid: str, /, **values: object) -> str:
    """As ``say``, always translatable: for constants, which are made before the language is known.

    A process with one reader shows it by ``in_language``, or as a value of a sentence.
    """
    return Translatable.of(msgid, values)


def say_n(one: str, many: str, count: int, /, **values: object) -> str:
    """A sentence about ``{count}`` things.

    Args:
        one: the sentence in English where the count is one.
        many: the sentence for every other count.
        count: the number; it chooses the sentence, and is a value of it.
        values: as of ``say``.
    """
    values = {"count": count, **values}
    if _Reader.language != ENGLISH:
        return _sentence(one, values, many, count, _Reader.language)
    return Translatable.of(one, values, many=many, number=count)


def system_fault(error: OSError) -> str:
    """What the system says of a fault: ``No such file or directory``."""
    return say(error.strerror or str(error))


def joined(separator: str, parts: Iterable[str]) -> str:
    """``separator.join(parts)`` whose parts, and separator, stay translatable."""
    texts = list(parts)
    if isinstance(separator, Translatable):
        texts = [text for part in texts for text in (separator, part)][1:]
        separator = ""
    if not any(isinstance(text, Translatable) or _is_sentence(text) for text in texts):
        return separator.join(texts)
    msgid = separator.join(f"{{part{index}}}" for index in range(len(texts)))
    return Translatable.of(msgid, {f"part{index}": text for index, text in enumerate(texts)})


def in_language(text: str, language: str) -> str:
    """The text in this language, where it is translatable or a sentence of an enumeration; else as it is."""
    if isinstance(text, Translatable):
        return text.in_language(language)
    return _sentence(text, {}, None, 1, language) if _is_sentence(text) else text


def _is_sentence(text: str) -> bool:
    """Whether it is a member of an enumeration of sentences; one of codes has no blanks."""
    return isinstance(text, StrEnum) and " " in text


def wire_text(text: str) -> str:
    """The text for another process of ours: one that is translatable so that it stays so."""
    if _is_sentence(text):
        text = Translatable.of(str(text), {})
    return _MARK + json.dumps(_packed(text)) if isinstance(text, Translatable) else text


def read_wire_text(text: str) -> str:
    """The text that ``wire_text`` was given.

    The other process is not trusted: of a sentence with placeholders that ours do not have, the English text
    that came with it is used.
    """
    if not text.startswith(_MARK):
        return text
    try:
        read = _unpacked(json.loads(text.removeprefix(_MARK)))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return text.removeprefix(_MARK)
    return read if isinstance(read, str) else text.removeprefix(_MARK)


def _packed(value: object) -> object:
    if isinstance(value, Exception):
        value = str(value)
    if isinstance(value, str) and _is_sentence(value):
        value = Translatable.of(str(value), {})
    if isinstance(value, Translatable):
        return [str.__str__(value), *value.packed_parts(_packed)]
    return value if isinstance(value, str | int | float | None) else str(value)


def _unpacked(packed: Any) -> Any:
    if not isinstance(packed, list):
        return packed
    english, msgid, values, many, number = packed
    if not all(_TEMPLATE.fullmatch(text) for text in (msgid, many) if text is not None):
        return str(english)
    unpacked = {name: _unpacked(part) for name, part in values.items()}
    return Translatable.of(msgid, unpacked, many=many, number=int(number))


def translated(value: Any, language: str) -> Any:
    """A copy of what JSON can hold, with its translatable texts in this language; keys stay."""
    if language == ENGLISH:
        return value
    if isinstance(value, str):
        return in_language(value, language)
    if isinstance(value, Mapping):
        return {key: translated(part, language) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [translated(part, language) for part in value]
    return value


def use_language(language: str) -> None:
    """From now on speak this language: in a process that has one reader, before the first sentence."""
    _Reader.language = language_of(language)


def current_language() -> str:
    """The language that this process speaks."""
    return _Reader.language


def reader_language(environ: Mapping[str, str]) -> str:
    """The language that the environment asks for: ``SPEECHAID_LANG``, else the locale of messages."""
    named = (environ.get(name, "").strip() for name in (LANGUAGE_VARIABLE, *_LOCALE_VARIABLES))
    return language_of(next(filter(None, named), ENGLISH))


def language_of(name: object) -> str:
    """The language of a locale's name, as in ``es_CL.UTF-8``; English for those without a catalogue."""
    code = str(name).replace("-", "_").partition("_")[0].partition(".")[0].partition("@")[0].lower()
    return code if code in LANGUAGES else ENGLISH


@contextlib.contextmanager
def argparse_texts() -> Iterator[None]:
    """While argparse parses and prints help: its own words in the language of this process.

    It asks gettext's default domain, which goes by the environment. Child processes inherit the environment,
    so it is put back.
    """
    if _Reader.language == ENGLISH:
        yield
        return
    before = os.environ.get("LANGUAGE")
    gettext.bindtextdomain(DOMAIN, str(DIRECTORY))
    gettext.textdomain(DOMAIN)
    os.environ["LANGUAGE"] = _Reader.language
    try:
        yield
    finally:
        gettext.textdomain("messages")
        if before is None:
            del os.environ["LANGUAGE"]
        else:
            os.environ["LANGUAGE"] = before


def _sentence(msgid: str, values: Mapping[str, object], many: str | None, number: int, language: str) -> str:
    catalogue = _catalogue(language)
    found = (
        (catalogue.gettext(msgid) if msgid else "")
        if many is None
        else catalogue.ngettext(msgid, many, number)
    )
    return _filled(found, values, language)


def _filled(sentence: str, values: Mapping[str, object], language: str) -> str:
    if not values:
        return sentence
    if language == ENGLISH:
        return sentence.format(**values)
    return sentence.format(**{name: _local(value, language) for name, value in values.items()})


def _local(value: object, language: str) -> object:
    if isinstance(value, Exception):
        value = str(value)
    if isinstance(value, str):
        return in_language(value, language)
    if isinstance(value, Capitalised):
        return value.in_language(language)
    if isinstance(value, float | Decimal | int) and not isinstance(value, bool):
        return _SpanishNumber(value)
    return value


@dataclass(frozen=True)
class Capitalised:
    """A value of a sentence: a text whose first letter is a capital in every language."""

    text: str

    def in_language(self, language: str) -> str:
        """The text in this language."""
        text = in_language(self.text, language)
        return text[:1].upper() + text[1:]

    def __str__(self) -> str:
        return self.in_language(_Reader.language)


@dataclass(frozen=True, repr=False)
class _SpanishNumber:
    """A number that is written with a decimal comma, whatever the format."""

    value: float | Decimal | int

    def __str__(self) -> str:
        return format(self, "")

    def __format__(self, spec: str) -> str:
        return format(self.value, spec).translate(_SPANISH_SIGNS)

    __repr__ = __str__


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == ENGLISH:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, DIRECTORY, [language])
