"""What an operator typed for a person: a national id, a phone or a name; and who the jobs found are. Pure.

The readings are tried in the order of ``READERS``. An id and a phone can have the same digits, so both are
tried; a name is tried only where neither finds anybody.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from stdnum import exceptions

from speechaid.campaign import cells
from speechaid.campaign.national_ids import KINDS, compact_id, wrong_id
from speechaid.campaign.people import id_key, id_of_keys, line_key
from speechaid.rules.numbers import Number, all_spellings, line_identity, read, read_opt_out

#: A longer text is nobody's id or name.
MAX_CHARACTERS: Final = 120
#: Digits that an id has at least, and its letters and digits at most.
_ID_DIGITS: Final = 4
_ID_CHARACTERS: Final = 20
_MARKS: Final = frozenset(" .-/")
#: What people write before an id: a word that is none of its letters.
_ID_WORD: Final = re.compile(
    r"(?i)^(?:r\.?u\.?[tnc]|d\.?n\.?i|c\.?u\.?i\.?[tl]|c\.?p\.?f|c\.?n\.?p\.?j|n\.?i\.?t|r\.?n\.?c|r\.?f\.?c|"
    r"c\.?u\.?r\.?p|c\.?[ci]|c[eé]dula|documento|id)(?:(?![^\W\d_])[\s.:#º°-]*)(?:n[º°.]*\s*)?(?=[\w.]*\d)"
)
#: Letters that a name has at least: fewer would begin too many names.
_NAME_LETTERS: Final = 3


class Meaning(StrEnum):
    """How what was typed is understood."""

    ID = "national id"
    PHONE = "phone"
    NAME = "name"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to understand what was typed, and by what jobs are found so."""

    meaning: Meaning
    #: Of an id or a phone: keys that speechaid stores in ``person_keys``.
    keys: tuple[str, ...] = ()
    #: The values that another program may have stored: ids, phones, or beginnings of names.
    spellings: tuple[str | int, ...] = ()
    #: Of a name: beginnings of ``name_key``, that of earlier versions included.
    name_keys: tuple[str, ...] = ()
    #: Of a phone: in E.164.
    numbers: tuple[str, ...] = ()
    #: The id has the right check digit, or the numbering plan has the number.
    is_certain: bool = False


def readings_of(text: str, countries: Sequence[str]) -> list[Reading]:
    """Every way to understand a text, in the order of trying.

    Args:
        text: as typed.
        countries: ISO 3166 alpha-2 of the countries in use, the default first.
    """
    typed = cells.one_line(cells.clean(text))
    if not typed or len(typed) > MAX_CHARACTERS:
        return []
    found = (reader(typed, countries) for reader in READERS.values())
    return [reading for reading in found if reading is not None]


def id_alone(typed: str) -> str:
    """An id without the word that says what it is: ``RUT 12.345.678-5`` as ``12.345.678-5``."""
    return _ID_WORD.sub("", typed, count=1)


def _read_id(typed: str, countries: Sequence[str]) -> Reading | None:
    alone = id_alone(typed)
    if alone != typed and (found := _read_id(alone, countries)) is not None:
        # It may be stored with the word, too.
        return replace(found, keys=(*found.keys, id_key(typed)), spellings=(*found.spellings, typed))
    plain = "".join(character for character in typed.upper() if character not in _MARKS)
    digits = sum(map(str.isdecimal, plain))
    if not plain.isalnum() or digits < _ID_DIGITS or len(plain) > _ID_CHARACTERS:
        return None
    return Reading(
        meaning=Meaning.ID,
        keys=(id_key(typed),),
        spellings=tuple(dict.fromkeys(_spellings_of_id(typed, plain))),
        is_certain=any(
            country.upper() in KINDS and wrong_id(typed, country) is None for country in countries
        ),
    )


def _spellings_of_id(typed: str, plain: str) -> Iterator[str | int]:
    """The usual ways to write an id: with and without marks, zeros before it, and capitals."""
    compact = compact_id(plain)
    for bare in dict.fromkeys((compact, plain, compact.zfill(len(compact) + 1))):
        body, check = bare[:-1], bare[-1:]
        forms = [bare, f"{body}-{check}", *_formatted(bare)]
        if body.isdecimal():
            dotted = f"{int(body):,}".replace(",", ".")
            forms += [f"{dotted}-{check}", f"{dotted}{check}"]
        if bare.isdecimal():
            forms.append(f"{int(bare):,}".replace(",", "."))
            if int(bare) < 2**63:  # stored as a number
                yield int(bare)
        for form in forms:
            yield from (form, form.lower())
    yield typed


def _formatted(bare: str) -> Iterator[str]:
    """As each kind of id that this may be is printed."""
    for _, kinds in KINDS.values():
        for kind in kinds:
            if hasattr(kind, "format"):
                with contextlib.suppress(exceptions.ValidationError):
                    yield kind.format(kind.validate(bare))


def _read_phone(typed: str, countries: Sequence[str]) -> Reading | None:
    if sum(map(str.isalpha, typed)) > sum(map(str.isdecimal, typed)) or id_alone(typed) != typed:
        return None
    numbers = [number.e164 for number in read_opt_out(typed, countries)]
    if not numbers:
        return None
    return Reading(
        meaning=Meaning.PHONE,
        keys=tuple(dict.fromkeys(line_key(line_identity(number)) for number in numbers)),
        spellings=spellings_of_phones([*numbers, typed]),
        numbers=tuple(numbers),
        is_certain=any(
            isinstance(found := read(number, None), Number) and found.is_valid for number in numbers
        ),
    )


def spellings_of_phones(numbers: Iterable[str]) -> tuple[str, ...]:
    """The forms in which a program may have stored these numbers: international, bare and national."""
    found: dict[str, None] = {}
    for number in numbers:
        for form in all_spellings(number):
            found[form] = found[form.removeprefix("+")] = None
        if isinstance(plain := read(number, None), Number):
            found[plain.national] = found[f"0{plain.national}"] = None
    return tuple(found)


def _read_name(typed: str, _countries: Sequence[str]) -> Reading | None:
    keys = (cells.fold_name(typed), cells.fold(typed))
    if sum(map(str.isalpha, keys[0])) < _NAME_LETTERS or id_alone(typed) != typed:
        return None
    spelled = (typed, typed.title(), typed.upper(), typed.lower(), typed.capitalize())
    return Reading(
        meaning=Meaning.NAME,
        name_keys=tuple(dict.fromkeys(keys)),
        spellings=tuple(dict.fromkeys(spelled)),
    )


#: How a text is understood, in the order of trying.
READERS: Final[dict[Meaning, Callable[[str, Sequence[str]], Reading | None]]] = {
    Meaning.ID: _read_id,
    Meaning.PHONE: _read_phone,
    Meaning.NAME: _read_name,
}


def group_by_person(keys_of_jobs: Sequence[Sequence[str]]) -> list[list[int]]:
    """Which of the jobs are of one person, given each job's person keys; as positions, in their order.

    Jobs of one id are one person's. A job without id is of the person with whom it shares a line, if that is
    one alone; else it is of those without id with whom it shares one.
    """
    people: dict[str, list[int]] = {}
    without_id: list[int] = []
    for place, keys in enumerate(keys_of_jobs):
        own = id_of_keys(keys)
        if own is None:
            without_id.append(place)
        else:
            people.setdefault(own, []).append(place)
    lines = {own: {key for place in places for key in keys_of_jobs[place]} for own, places in people.items()}
    others: list[tuple[set[str], list[int]]] = []
    for place in without_id:
        own_keys = set(keys_of_jobs[place])
        near = [own for own in people if own_keys & lines[own]]
        if len(near) == 1:
            people[near[0]].append(place)
            continue
        known = next((group for group in others if own_keys & group[0]), None)
        if known is None:
            others.append((own_keys, [place]))
        else:
            known[0].update(own_keys)
            known[1].append(place)
    return sorted(sorted(group) for group in (*people.values(), *(places for _, places in others)))
