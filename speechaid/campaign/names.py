"""Names of people as they are said: the first names first. Pure."""

from __future__ import annotations

import re
from typing import Final

from speechaid.campaign.cells import fold

_LETTERS: Final = re.compile(r"[^\W\d_]+(?:[.'’ -]+[^\W\d_]+)*\.?")  # noqa: RUF001 - the typed apostrophe
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
