"""Names of people as they are said: the first names first. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from speechaid.campaign.cells import fold

_LETTERS: Final = re.compile(r"[^\W\d_]+(?:[.'’ -]+[^\W\d_]+)*\.?")  # noqa: RUF001 - the typed apostrophe
_WORD: Final = r"[^\W\d_](?:[^\W\d_]|[.'’-])*"  # noqa: RUF001 - the typed apostrophe
#: Two words to six.
_WHOLE_NAME: Final = re.compile(rf"{_WORD}(?:,? {_WORD}){{1,5}}")
#: Small words between capital ones.
_PARTICLES: Final = frozenset(
    {"de", "del", "la", "las", "los", "y", "da", "das", "do", "dos", "e", "von", "van"}
)
#: More than this share of a column is like that.
_MOST: Final = 0.5
#: Words of each half at most: more are no name of a person.
_MOST_WORDS: Final = 5
#: Forms of companies and words between two people; and what follows a name behind a comma (Jr.).
_OF_NO_PERSON: Final = frozenset(
    {
        *(
            "sa",
            "spa",
            "sas",
            "sac",
            "saa",
            "saic",
            "sapi",
            "srl",
            "sl",
            "sc",
            "cv",
            "ltda",
            "limitada",
            "eirl",
        ),
        *("cia", "compania", "inc", "llc", "ltd", "corp", "co", "me", "epp", "eireli", "hnos", "hermanos"),
        *(
            "asociados",
            "asoc",
            "hijos",
            "sucesion",
            "suc",
            "sociedad",
            "empresa",
            "comercial",
            "constructora",
        ),
        *(
            "sucursal",
            "banco",
            "y",
            "e",
            "and",
            "jr",
            "sr",
            "ii",
            "iii",
            "phd",
            "md",
            "dr",
            "dra",
            "lic",
            "ing",
        ),
    }
)


def may_be_names(texts: Sequence[str]) -> bool:
    """Whether most of the texts are written like whole names of people, and few of them repeat."""
    named = sum(_is_like_name(text) for text in texts)
    return bool(texts) and min(named, len(set(texts))) / len(texts) > _MOST


def _is_like_name(text: str) -> bool:
    words = text.replace(",", " ").split()
    capital = [word for word in words if word[0].isupper()]
    return (
        _WHOLE_NAME.fullmatch(text) is not None
        and len(capital) >= 2
        and all(word in capital or word in _PARTICLES for word in words)
    )


def in_spoken_order(name: str) -> str | None:
    """``SOTO PÉREZ, ANA MARÍA`` as ``ANA MARÍA SOTO PÉREZ``; None where it is not certain what it is."""
    surnames, comma, names = (part.strip() for part in name.partition(","))
    if not comma or not _LETTERS.fullmatch(surnames) or not _LETTERS.fullmatch(names):
        return None
    for half in (surnames, names):
        words = fold(half).split()
        is_initials = max(map(len, words), default=0) < 2
        if is_initials or len(words) > _MOST_WORDS or not _OF_NO_PERSON.isdisjoint({*words, "".join(words)}):
            return None
    return f"{names} {surnames}"
