"""Who a job's contact is: keys by which two jobs of one person are found and compared. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from speechaid.campaign import cells
from speechaid.campaign.national_ids import compact_id
from speechaid.model.job import Job
from speechaid.rules.numbers import Number, line_identity, line_of, read

_ID: Final = "id:"
_LINE: Final = "line:"


def person_keys(dni: str | None, phones: Iterable[str], country: str | None = None) -> list[str]:
    """The keys of a person: one for the id, and one for each phone's line, whatever its spelling.

    Args:
        dni: the id as written, or None.
        phones: as written.
        country: ISO 3166 alpha-2, for phones in national form.
    """
    lines: list[str] = []
    for phone in phones:
        found = None if phone.startswith("+") else read(phone, country)
        if found is None:
            lines.append(line_identity(phone))
        elif isinstance(found, Number):
            lines.append(line_of(found))
    return keys_of_lines(dni, lines)


def keys_of_lines(dni: str | None, lines: Iterable[str]) -> list[str]:
    """As ``person_keys``, where the phones' lines are known."""
    keys = [id_key(dni or ""), *map(line_key, lines)]
    # Marks alone, as people fill an empty field with them, are nobody's id.
    return [key for key in dict.fromkeys(keys) if key != _ID]


def keys_of_job(job: Job, country: str | None) -> list[str]:
    """The keys of a job's person: the stored ones; where another program made it, those of its fields.

    Args:
        job: with its contact.
        country: ISO 3166 alpha-2, for phones in national form.
    """
    stored = job.document.get("person_keys")
    if isinstance(stored, list) and stored:
        return [key for key in map(str, stored) if key != _ID]
    return person_keys(job.contact.dni, job.contact.phones, country)


def id_key(dni: str) -> str:
    """The key of an id, however it is written."""
    return _ID + compact_id(cells.fold(dni))


def id_key_of(dni: str | None) -> str | None:
    """As ``id_key``; None where there is no id, or nothing but marks."""
    key = id_key(dni or "")
    return None if key == _ID else key


def line_key(line: str) -> str:
    """The key of a line (``rules.numbers.line_identity``)."""
    return _LINE + line


def is_line_key(key: str) -> bool:
    """Whether a key is that of a line, not of an id."""
    return key.startswith(_LINE)


def id_of_keys(keys: Iterable[str]) -> str | None:
    """The key of the id among a person's keys; None where there is none."""
    return next((key for key in keys if key.startswith(_ID)), None)


def lines_of_keys(keys: Iterable[str]) -> list[str]:
    """The lines of a person's phones among the keys."""
    return [key.removeprefix(_LINE) for key in keys if key.startswith(_LINE)]


def are_same_person(one: Collection[str], other: Collection[str]) -> bool:
    """Whether two sets of keys are of one person: by the id, or by a line where one of them has no id."""
    ids, other_ids = _ids(one), _ids(other)
    if ids and other_ids:
        return bool(ids & other_ids)
    return bool(set(one) & set(other))


def _ids(keys: Collection[str]) -> set[str]:
    return {key for key in keys if key.startswith(_ID)}
