"""Phone numbers: a contact's text in E.164, and the choice of the next phone. Pure: no I/O, no clock.

A number that is only possible (the numbering plan does not have it) is dialled in jobs of other programs:
they have such numbers, plans change faster than the library, and Retell refuses numbers that do not exist. Of
an imported job it is dialled where the import was told to keep such numbers.

Contacts store the text as it was imported. It is normalised (``normalize`` in US spelling) at each preflight,
because the country may be that of the batch, the account or the settings.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers

from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.rules import numbers


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A phone that may be dialled."""

    #: Its index in ``contact.phones``.
    index: int
    #: As the contact lists it.
    raw: str
    #: E.164.
    number: str


def normalise(raw: str, country: str | None) -> str | None:
    """The number in E.164, or None if it is no usable number.

    Args:
        raw: as written; national forms need ``country``.
        country: ISO 3166 alpha-2, upper or lower case; None: unknown.
    """
    found = numbers.read(raw, country)
    return found.e164 if isinstance(found, numbers.Number) else None


def is_country(code: str) -> bool:
    """Whether this is a supported country code: ISO 3166 alpha-2, upper or lower case."""
    return code.strip().upper() in phonenumbers.SUPPORTED_REGIONS


def country_of(batch: Batch | None, account: Account | None, default: str | None) -> str | None:
    """The country of a job's national numbers: the batch's, else the account's, else the default.

    An invalid code is kept: its national numbers are then unusable, rather than numbers of another country.
    """
    of_batch = None if batch is None else batch.country
    return of_batch or (None if account is None else account.country) or default


class PhoneState(StrEnum):
    """Whether a phone of a contact is dialled, and if not, why; the values are words for people."""

    DIALLED = "dialled"
    NO_NUMBER = "no phone number"
    UNASSIGNED = "not in the numbering plan"
    #: A call found it invalid.
    DEAD = "found invalid"
    LISTED = "on the do-not-call list"
    REPEATED = "listed twice in the job"


def accepts_unassigned(job: Job, batch: Batch | None) -> bool:
    """Whether the job's numbers that no numbering plan has are dialled.

    As the batch says; where it says nothing, only those of jobs that another program wrote.
    """
    of_batch = None if batch is None else batch.accept_unassigned
    return job.import_id is None if of_batch is None else of_batch


def phone_states(
    phones: tuple[str, ...],
    *,
    dead: Collection[str],
    listed: Collection[str] = (),
    country: str | None,
    accept_unassigned: bool = True,
) -> dict[str, PhoneState]:
    """The state of each phone of a contact, in order; a second spelling of a line is repeated.

    Args:
        phones: as the contact lists them.
        dead: dead numbers, as the contact lists them or in any spelling.
        listed: numbers on the do-not-call list, in any spelling.
        country: for national numbers.
        accept_unassigned: whether numbers that the numbering plan lacks are dialled.
    """
    dead_lines, listed_lines = ({_line(phone, country) for phone in found} for found in (dead, listed))
    first_spelling: dict[str, str] = {}
    states: dict[str, PhoneState] = {}
    for phone in dict.fromkeys(phones):
        found = numbers.read(phone, country)
        if not isinstance(found, numbers.Number):
            states[phone] = PhoneState.NO_NUMBER
            continue
        line = numbers.line_of(found)
        if line in dead_lines:
            state = PhoneState.DEAD
        elif line in listed_lines:
            state = PhoneState.LISTED
        elif not (found.is_valid or accept_unassigned):
            state = PhoneState.UNASSIGNED
        else:
            is_first = first_spelling.setdefault(line, phone) == phone
            state = PhoneState.DIALLED if is_first else PhoneState.REPEATED
        states[phone] = state
    return states


def _line(phone: str, country: str | None) -> str:
    return numbers.line_identity(normalise(phone, country) or phone)


def undialable(
    phones: tuple[str, ...],
    dead: Collection[str],
    country: str | None,
    *,
    accept_unassigned: bool = True,
) -> frozenset[str]:
    """The phones of a contact, as it lists them, that no attempt dials (``phone_states``)."""
    states = phone_states(phones, dead=dead, country=country, accept_unassigned=accept_unassigned)
    return frozenset(phone for phone, state in states.items() if state is not PhoneState.DIALLED)


def choose(
    phones: tuple[str, ...],
    index: int,
    dead: Collection[str],
    country: str | None,
    *,
    accept_unassigned: bool = True,
) -> Choice | None:
    """The first phone at or after ``index`` that may be dialled, or None if this attempt has none left.

    An index beyond the list (the list was shortened) starts again with the first phone.

    Args:
        phones: as the contact lists them.
        index: where the attempt goes on.
        dead: numbers that are not dialled, in any spelling. Not the result of ``undialable``, which has
            second spellings of phones that are dialled.
        country: for national numbers.
        accept_unassigned: whether numbers that the numbering plan lacks are dialled.
    """
    undialled = undialable(phones, dead, country, accept_unassigned=accept_unassigned)
    start = index if 0 <= index < len(phones) else 0
    for position in range(start, len(phones)):
        phone = phones[position]
        number = normalise(phone, country)
        if number is not None and phone not in undialled and phone not in phones[:position]:
            return Choice(index=position, raw=phone, number=number)
    return None
