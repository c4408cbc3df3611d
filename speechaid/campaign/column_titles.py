"""What the title of a column says: its meaning, and the currency of its amounts. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from speechaid.campaign.cells import fold, fold_accents
from speechaid.campaign.titles import (
    ABOUT_PHONES,
    NUMBER_WORDS,
    PERSON_WORDS,
    PHONE_TITLES,
    PHONE_WORDS,
    TITLES,
    Role,
)
from speechaid.rules.currencies import ADJECTIVES, SEVERAL, currency_named

RANKED: Final = {
    title: (role, rank) for role, titles in TITLES.items() for rank, title in enumerate(titles.split(", "))
}
_SINGLE_LETTERS: Final = re.compile(r"[a-z](?: [a-z])+")
_NUMBER_OF: Final = re.compile(rf"(?:{'|'.join(NUMBER_WORDS)}) (?:de )?(.+)")
#: ``Nombre del alumno(a)``, ``Alumno/a``; ``Patient name``.
_NAME_OF: Final = (
    re.compile(
        r"(?:(?:nombres?|nome|name)(?: (?:completo|y apellidos?))?(?: (?:del?|do|da|of|de la))? )?"
        r"(.+?)(?: o)?(?: a)?"
    ),
    re.compile(r"(.+?)(?: full)? name"),
)
_TITLE_WORDS: Final = re.compile(r"[^\s()\[\]:,;_-]+")
#: Of ``SEVERAL`` what means money in a title: ``peso`` is a weight, too.
_TITLE_SIGNS: Final = SEVERAL.keys() - {"peso"}


def title_role(title: str) -> Role | None:
    """What a title alone says: a role, or None where it may be anything."""
    folded = folded_title(title)
    if folded in RANKED:
        return RANKED[folded][0]
    if _is_amount(money_in(title)):
        return Role.DEBT_AMOUNT
    if _is_called_phone(folded):
        return Role.PHONE
    return Role.NAME if _is_called_name(folded) else None


def folded_title(title: str) -> str:
    """A title for comparison; ``R.U.T.`` is ``rut``, ``N° de factura`` is ``numero factura``."""
    folded = fold(title)
    if _SINGLE_LETTERS.fullmatch(folded):
        return folded.replace(" ", "")
    match = _NUMBER_OF.fullmatch(folded)
    numbered = f"numero {match[1]}" if match else ""
    return numbered if numbered in RANKED and folded not in RANKED else folded


@dataclass(frozen=True, kw_only=True)
class _Money:
    """What a title says of the money below it."""

    #: The title without the words for it, folded.
    rest: str
    #: The only currency that it names; None for a word of several countries.
    currency: str | None
    #: That word: ``$``, or ``pesos``.
    sign: str | None


def money_in(title: str) -> _Money | None:
    """What a title says of money, as ``Monto (UF)`` and ``Deuda $`` do; None: nothing, or two currencies."""
    words = [fold_accents(word) for word in _TITLE_WORDS.findall(title.casefold())]
    named = {word: currency_named(word) or currency_named(word.removeprefix("$")) for word in words}
    signs = [word for word in words if word in _TITLE_SIGNS]
    codes = {code for code in named.values() if code is not None}
    if signs or codes:
        codes |= {ADJECTIVES[word] for word in words if word in ADJECTIVES}
    if len(codes) > 1 or not (codes or signs):
        return None
    left = [word for word in words if named[word] is None and word not in {*_TITLE_SIGNS, *ADJECTIVES}]
    return _Money(
        rest=fold(" ".join(left)).removesuffix(" en").removesuffix(" de"),
        currency=next(iter(codes), None),
        sign=signs[0] if signs else None,
    )


def _is_amount(money: _Money | None) -> bool:
    return money is not None and RANKED.get(money.rest, (None, 0))[0] is Role.DEBT_AMOUNT


def _is_called_name(folded: str) -> bool:
    matches = (pattern.fullmatch(folded) for pattern in _NAME_OF)
    return any(match is not None and match[1] in PERSON_WORDS for match in matches)


def _is_called_phone(folded: str) -> bool:
    words = [word.rstrip("0123456789") for word in folded.split()]
    if any(word in ABOUT_PHONES for word in words):
        return False
    base = " ".join(filter(None, words))
    return base in PHONE_TITLES or any(word in PHONE_WORDS for word in words)
