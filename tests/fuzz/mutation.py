"""Random changes of bytes: the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

#: Bytes that readers of text, numbers, times and addresses treat in a way of their own.
_TOKENS: Final = (
    *(b"\0", b"\n", b"\r", b"\t", b"\x1a", b"\x85", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b"#", b"$", b"${HOME}", b"%", b"&", b";", b",", b"=", b"@"),
    *(b"{", b"}", b"[", b"]", b"[" * 50, b'{"a":' * 50, b"null", b"true", b"NaN", b"Infinity", b"1e999"),
    *(
        b"-1",
        b"0",
        b"9" * 30,
        b"1e-400",
        b"0x10",
        b"\xd9\xa3",
        b"+56912345678",
        b"912345678",
        b"://",
        b"mongodb://a:b@",
    ),
    *(b"embedded:", b"http://", b"24:00", b"31/02/2026", b"1.000.000,00", b"USD ", b" " * 200, b"a" * 5_000),
)


def mutations(corpus: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Endless changed texts of a corpus, one to eight changes each."""
    chosen = random.Random(seed)
    while True:
        text = bytearray(chosen.choice(corpus))
        for _ in range(chosen.randint(1, 8)):
            _change(text, corpus, chosen)
        yield bytes(text)


def _change(text: bytearray, corpus: Sequence[bytes], chosen: random.Random) -> None:
    """Replace, insert, delete, repeat or exchange some bytes."""
    start = chosen.randint(0, len(text))
    end = min(len(text), start + chosen.choice((0, 1, 2, 8, 64)))
    match chosen.randrange(5):
        case 0:
            text[start:end] = bytes(chosen.randrange(256) for _ in range(end - start))
        case 1:
            text[start:start] = chosen.choice(_TOKENS)
        case 2:
            del text[start:end]
        case 3:
            text[start:end] = text[start:end] * chosen.randint(2, 20)
        case _:
            other = chosen.choice(corpus)
            place = chosen.randint(0, len(other))
            text[start:end] = other[place : place + chosen.choice((1, 8, 64))]
