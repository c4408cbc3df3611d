"""Phone numbers: from a contact's text to E.164, and the choice of the next phone. Pure: no I/O, no clock.

Only the length of a number is validated (``is_possible``), not the assigned ranges of the numbering plan:
plans change faster than the library, Retell refuses numbers that do not exist, and fictional numbers must
pass.

Contacts store the text as it was imported. It is normalised (``normalize`` in US spelling) at each preflight,
because the country may be that of the batch, the account or the settings.
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

#: Digits and the usual separators. Letters mean an extension, a vanity number or a remark: not to be dialled
#: unchecked.
_WRITTEN_NUMBER: Final = re.compile(r"(?:tel:)?[\s(]*+\+?[\d\s().\-\u2010-\u2015/]+")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A phone that may be dialled."""

    #: Its index in ``contact.phones``.
    index: int
    #: As the contact lists it.
    raw: str
    #: E.164.
    number: str


@lru_cache(maxsize=4096)
def normalise(raw: str, country: str | None) -> str | None:
    """The number in E.164, or None if it is no usable number.

    Args:
        raw: as written; national forms need ``country``.
        country: ISO 3166 alpha-2, upper or lower case; None: unknown.
    """
    if not _WRITTEN_NUMBER.fullmatch(raw.strip()):
        return None
    region = country.strip().upper() if country else None
    try:
        parsed = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None
    possible = phonenumbers.is_possible_number_with_reason(parsed)
    # Some lengths are possible only within a city: Retell cannot dial them.
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def is_country(code: str) -> bool:
    """Whether this is a supported country code: ISO 3166 alpha-2, upper or lower case."""
    return code.strip().upper() in phonenumbers.SUPPORTED_REGIONS


def country_of(batch: Batch | None, account: Account | None, default: str | None) -> str | None:
    """The country of a job's national numbers: the batch's, else the account's, else the default.

    An invalid code is kept: its national numbers are then unusable, rather than numbers of another country.
    """
    of_batch = None if batch is None else batch.country
    return of_batch or (None if account is None else account.country) or default


def undialable(phones: tuple[str, ...], dead: Collection[str], country: str | None) -> frozenset[str]:
    """The phones of a contact, as listed, that no attempt dials.

    Dead phones in any spelling, text that is no number, and other spellings of a phone listed before.

    Args:
        phones: as the contact lists them.
        dead: dead numbers, as listed or in E.164.
        country: for national numbers.
    """
    dead_numbers = {normalise(phone, country) for phone in dead} | set(dead)
    first_spelling: dict[str, str] = {}
    undialled: set[str] = set()
    for phone in phones:
        number = normalise(phone, country)
        is_dead = number is None or phone in dead_numbers or number in dead_numbers
        if is_dead or first_spelling.setdefault(str(number), phone) != phone:
            undialled.add(phone)
    return frozenset(undialled)


def choose(phones: tuple[str, ...], index: int, dead: Collection[str], country: str | None) -> Choice | None:
    """The first phone at or after ``index`` that may be dialled, or None if this attempt has none left.

    An index beyond the list (the list was shortened) starts again with the first phone.
    """
    undialled = undialable(phones, dead, country)
    start = index if 0 <= index < len(phones) else 0
    for position in range(start, len(phones)):
        phone = phones[position]
        number = normalise(phone, country)
        if number is not None and phone not in undialled and phone not in phones[:position]:
            return Choice(index=position, raw=phone, number=number)
    return None
