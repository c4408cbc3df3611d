"""Phone numbers: what a contact lists to E.164, and which of its phones comes next.

Numbers are judged by length alone (``is_possible``), not by the numbering plan's assigned ranges: plans
change faster than the library, Retell refuses what does not exist, and numbers for fiction must pass.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import phonenumbers

from speechaid.model.account import Account
from speechaid.model.batch import Batch

#: Digits and what people write between them. Letters mean an extension, a vanity number or a remark: not
#: something to be dialled unseen.
_WRITTEN_NUMBER: Final = re.compile(r"(?:tel:)?[\s(]*\+?[\d\s().\-\u2010-\u2015/]+")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A phone that may be dialled."""

    #: Its place in ``contact.phones``.
    index: int
    #: As the contact lists it.
    raw: str
    #: E.164.
    number: str


@lru_cache(maxsize=4096)
def normalise(raw: str, country: str | None) -> str | None:
    """The number in E.164, or None where it is no usable number.

    Args:
        raw: as written; national forms need ``country``.
        country: ISO 3166 alpha-2 in any case; None where unknown.
    """
    if not _WRITTEN_NUMBER.fullmatch(raw.strip()):
        return None
    region = country.strip().upper() if country else None
    try:
        parsed = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None
    possible = phonenumbers.is_possible_number_with_reason(parsed)
    # Some lengths are possible within a city alone: nothing that Retell could dial.
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def is_country(word: str) -> bool:
    """Whether this is a country whose numbers are known: ISO 3166 alpha-2 in any case."""
    return word.strip().upper() in phonenumbers.SUPPORTED_REGIONS


def country_of(batch: Batch | None, account: Account | None, default: str | None) -> str | None:
    """Whose national form a job's phones are in: the batch's country, else the account's, else the default.

    A word that is no country stays: a national number in it is no number, rather than some other country's.
    """
    of_batch = None if batch is None else batch.country
    return of_batch or (None if account is None else account.country) or default


def undialable(phones: tuple[str, ...], dead: Collection[str], country: str | None) -> frozenset[str]:
    """Those of a contact's phones, as listed, that no pass dials.

    Dead ones in whatever spelling, ones that are no number, and another spelling of a phone listed before.

    Args:
        phones: as the contact lists them.
        dead: dead numbers, as listed or in E.164.
        country: for national forms.
    """
    dead_numbers = {normalise(phone, country) for phone in dead} | set(dead)
    first_spelling: dict[str, str] = {}
    left_out: set[str] = set()
    for phone in phones:
        number = normalise(phone, country)
        is_dead = number is None or phone in dead_numbers or number in dead_numbers
        if is_dead or first_spelling.setdefault(str(number), phone) != phone:
            left_out.add(phone)
    return frozenset(left_out)


def choose(phones: tuple[str, ...], index: int, dead: Collection[str], country: str | None) -> Choice | None:
    """The first phone at or after ``index`` that may be dialled, or None where the pass has none left.

    An index past the list (the list was shortened) begins the pass anew.
    """
    left_out = undialable(phones, dead, country)
    start = index if 0 <= index < len(phones) else 0
    for place in range(start, len(phones)):
        phone = phones[place]
        number = normalise(phone, country)
        if number is not None and phone not in left_out and phone not in phones[:place]:
            return Choice(index=place, raw=phone, number=number)
    return None
