"""Decodes text files of spreadsheets and other programs, and says what was guessed. Pure."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace
from typing import Final

from charset_normalizer import from_bytes

from speechaid.protocol.translation import say, say_later

#: What Spanish and Portuguese files are written in, apart from UTF-8: Windows, old Macs, DOS.
_EIGHT_BIT: Final = ("cp1252", "mac_roman", "cp850")
#: For messages.
_NAMES: Final = {
    "utf_8": "UTF-8",
    "utf_16": "UTF-16",
    "cp1252": "Windows-1252",
    "mac_roman": say_later("Mac Roman"),
    "cp850": say_later("DOS (code page 850)"),
    "latin_1": "Latin-1",
}
#: Bytes that are looked at for the guess.
_SAMPLE: Final = 1 << 20
_UTF16_SAMPLE: Final = 1 << 12
#: UTF-8 read as Windows-1252, once: a capital A with a mark, and what its second byte looks like there.
_GARBLED: Final = re.compile(
    "[\u00c2\u00c3][\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u2018"
    "\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]"
)
_BETWEEN_WORDS: Final = re.compile('[ \\t\\r\\n;,|"]')


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """The text of a file."""

    text: str
    #: For people, such as ``UTF-8``.
    encoding: str
    #: Python's name of it.
    codec: str
    #: What was guessed or mended, each with the first word that it concerns.
    remarks: tuple[str, ...] = ()


def decode(data: bytes) -> Decoded:
    """Decode a text file; every byte sequence has a result."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _mended(data.decode("utf-16", errors="replace"), "utf_16")
    unmarked = _unmarked_utf16(data)
    if unmarked is not None:
        text = data.decode(unmarked, errors="replace")
        remark = say(
            "the file does not say its encoding and was read as UTF-16: {first_accented!r}",
            first_accented=_first_accented(text),
        )
        mended = _mended(text, "utf_16")
        return replace(mended, remarks=(remark, *mended.remarks))
    try:
        return _mended(data.decode("utf-8-sig"), "utf_8")
    except UnicodeDecodeError:
        pass
    accented = [line for line in data.splitlines() if not line.isascii()]
    if 2 * sum(_is_utf8(line) for line in accented) >= len(accented):
        return _line_by_line(data)
    return _eight_bit(data)


def _unmarked_utf16(data: bytes) -> str | None:
    """UTF-16 without its mark: of Latin letters every other byte is zero."""
    sample = data[:_UTF16_SAMPLE]
    for codec, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        zeros, others = sample[first::2].count(0), sample[1 - first :: 2].count(0)
        if others == 0 and zeros > len(sample) // 3:
            return codec
    return None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _eight_bit(data: bytes) -> Decoded:
    best = from_bytes(data[:_SAMPLE], cp_isolation=list(_EIGHT_BIT)).best()
    encoding = best.encoding if best is not None and best.encoding in _EIGHT_BIT else "cp1252"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        # Latin-1 decodes every byte, including those that Windows-1252 leaves undefined.
        encoding, text = "latin_1", data.decode("latin_1")
    name, word = _NAMES[encoding], _first_accented(text)
    return Decoded(
        text=text,
        encoding=name,
        codec=encoding,
        remarks=(
            say("the file does not say its encoding and was read as {name}: {word!r}", name=name, word=word),
        ),
    )


def _line_by_line(data: bytes) -> Decoded:
    """UTF-8 with lines of another encoding, as files that were put together from several have it."""
    lines = []
    others: list[tuple[int, str]] = []
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        if _is_utf8(line):
            lines.append(line.decode("utf-8"))
        else:
            lines.append(line.decode("cp1252", errors="replace"))
            others.append((number, lines[-1]))
    number, text = others[0]
    remark = say(
        "the file is UTF-8, but for {others} of its lines, which were read as Windows-1252:"
        " line {number}, {first_accented!r}",
        others=len(others),
        number=number,
        first_accented=_first_accented(text),
    )
    mended = _mended("\n".join(lines), "utf_8")
    return replace(mended, remarks=(remark, *mended.remarks))


def _mended(text: str, encoding: str) -> Decoded:
    """Undo a program's reading of UTF-8 as Windows-1252, word by word where that can be known."""
    remarks: list[str] = []
    if _GARBLED.search(text):
        garbled: dict[str, str] = {}
        text = re.sub(r"[^\s;,\t|\"]+", lambda match: _mended_word(match[0], garbled), text)
        for word, right in list(garbled.items())[:1]:
            remarks.append(
                say(
                    "{garbled} words were garbled by a program: {word!r} is read as {right!r}",
                    garbled=len(garbled),
                    word=word,
                    right=right,
                )
            )
        still = _GARBLED.search(text)
        if still is not None:
            word = _word_around(text, still)
            remarks.append(say("accents are garbled and cannot be mended: {word!r}", word=word))
    return Decoded(text=text, encoding=_NAMES[encoding], codec=encoding, remarks=tuple(remarks))


def _mended_word(word: str, garbled: dict[str, str]) -> str:
    if _GARBLED.search(word) is None:
        return word
    right = word
    # Some programs did it twice.
    while _GARBLED.search(right) is not None and (less := _less_garbled(right)) is not None:
        right = less
    if right != word:
        garbled[word] = right
    return right


def _less_garbled(word: str) -> str | None:
    for encoding in ("cp1252", "latin_1"):
        try:
            return word.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return None


def _first_accented(text: str) -> str:
    found = re.search(r"[^\x00-\x7f]", text)
    return "" if found is None else _word_around(text, found)


def _word_around(text: str, found: re.Match[str]) -> str:
    """The word with this match, shortened; a special blank belongs to it: it may be what was garbled."""
    before = re.split(_BETWEEN_WORDS, text[max(found.start() - 20, 0) : found.start()])[-1]
    behind = re.split(_BETWEEN_WORDS, text[found.end() : found.end() + 20])[0]
    return before + found[0] + behind
