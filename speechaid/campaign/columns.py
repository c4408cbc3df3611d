"""Recognises the columns of a contacts file, by their titles and by what stands in them. Pure.

A title alone does not make a phone column: some of its cells must be phone numbers as well.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from speechaid.campaign.cells import clean, fold, fold_accents, one_line
from speechaid.campaign.countries import can_only_be_a_country
from speechaid.campaign.dates import DateOrder, order_of
from speechaid.campaign.titles import (
    ABOUT_PHONES,
    DOCUMENT_NUMBERS,
    FIRST_NAMES,
    NUMBER_WORDS,
    PHONE_TITLES,
    PHONE_WORDS,
    PROMPT_NAMES,
    REMARK_COLUMNS,
    SURNAMES_FIRST,
    TITLES,
    Role,
)
from speechaid.campaign.words_for_nothing import is_nothing
from speechaid.errors import ImportFailed
from speechaid.protocol.translation import joined, say, say_later
from speechaid.rules import numbers
from speechaid.rules.currencies import ADJECTIVES, DOLLAR_SIGN, OF_COUNTRY, SEVERAL, UNITS, currency_named

#: Roles that join several columns, in their order (of countries the first that says one counts); of every
#: other role a file has one column.
_JOINED: Final = frozenset(
    {
        *(Role.NAME, Role.SURNAME, Role.PHONE, Role.COUNTRY_CODE, Role.DO_NOT_CALL),
        *(Role.VARIABLE, Role.LEFT_OUT),
    }
)
#: Rows whose cells are looked at, from the top.
SAMPLE_ROWS: Final = 200
#: Values that are shown of each column.
SHOWN_VALUES: Final = 3
#: Characters of a title in a sentence about one row.
_LONGEST_TITLE: Final = 60
#: Why a hidden column is left out.
HIDDEN: Final = say_later("the sheet does not show it")
#: A column of phones: at least this share of its filled cells are valid numbers.
PHONE_SHARE: Final = 0.5

_RANKED: Final = {
    title: (role, rank) for role, titles in TITLES.items() for rank, title in enumerate(titles.split(", "))
}
_LOOKS_LIKE_PHONES: Final = say_later("its cells look like phone numbers")
_PHONE_WITHOUT_NUMBERS: Final = say_later("its title is that of a phone")
_NAME_WITHOUT_LETTERS: Final = say_later("its title is that of a name")
_SECOND_TABLE: Final = say_later("a second table stands beside the first")
#: Roles by which a second table is recognised.
_OF_PEOPLE: Final = frozenset({Role.NAME, Role.DNI, Role.PHONE})
#: Words of a title under which codes of two or three letters are countries.
_ABOUT_COUNTRIES: Final = frozenset(
    {"pais", "country", "nacionalidad", "nationality", "residencia", "origen", "region", "iso", "procedencia"}
)
_LONGEST_CODE: Final = 3
_SINGLE_LETTERS: Final = re.compile(r"[a-z](?: [a-z])+")
_NUMBER_OF: Final = re.compile(rf"(?:{'|'.join(NUMBER_WORDS)}) (?:de )?(.+)")
_NUMBERED: Final = re.compile(r"(.*?) ?(\d{1,2})")
_DATE_BY_SLASHES: Final = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](?:\d{4}|\d\d)(?!\d)")
_MONTHS: Final = 12
_TITLE_WORDS: Final = re.compile(r"[^\s()\[\]:,;_-]+")
#: Of ``SEVERAL`` what means money in a title: ``peso`` is a weight, too.
_TITLE_SIGNS: Final = SEVERAL.keys() - {"peso"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the file."""

    #: 0-based.
    position: int
    #: As people count, from 1, without the columns that speechctl put in front of a file of bad rows: a name
    #: that is made from it is the same in the mended file.
    number: int
    #: As written; empty where the column has none.
    title: str
    role: Role
    #: Why it is taken for that, in a sentence.
    why: str
    #: What the title says about an amount: ISO 4217, or ``CLF``; None where it says nothing.
    currency: str | None = None
    #: The same of a bare ``$``, which is the country's currency where neither cell nor column says another.
    assumed_currency: str | None = None
    #: The variable's name for the agent, where the column is one.
    variable: str | None = None
    #: Of dates, what ``--map`` says; None: the values show it, else the row's country.
    date_order: DateOrder | None = None
    #: Its first values, as written: people's data.
    values: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def short_title(self) -> str:
        """The title, for a sentence: a cell of a table without titles may be taken for one, and be long."""
        title = self.title
        return title if len(title) <= _LONGEST_TITLE else f"{title[: _LONGEST_TITLE - 1]}…"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a file and what they are taken for."""

    columns: tuple[Column, ...]
    #: Texts about columns that are not used as their name suggests.
    remarks: tuple[str, ...] = ()

    def of(self, role: Role) -> tuple[Column, ...]:
        """The columns of a role; phones in the order of dialling."""
        return self._by_role[role]

    # Both are asked for in each row of the file.

    @cached_property
    def _by_role(self) -> Mapping[Role, tuple[Column, ...]]:
        return {role: tuple(column for column in self.columns if column.role is role) for role in Role}

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """The titles as written, in the order of the file."""
        return tuple(column.title for column in sorted(self.columns, key=lambda column: column.position))


def recognise(
    header: Sequence[object],
    sample: Sequence[Sequence[object]] = (),
    *,
    country: str | None = None,
    mapping: Mapping[str, str] | None = None,
    kept_mapping: Mapping[str, str] | None = None,
    hidden: Collection[int] = (),
) -> Columns:
    """Say of each column what it is taken for, and why.

    Args:
        header: the titles' cells.
        sample: the first rows below; at most ``SAMPLE_ROWS`` are looked at.
        country: ISO 3166 alpha-2, for national phone numbers.
        mapping: by title as written (or its position from 1): a role's name, ``variable:NAME``, or
            ``due-date:dmy`` and ``due-date:mdy`` for the order of day and month.
        kept_mapping: the same of an earlier file with these titles; ``mapping`` wins.
        hidden: positions of columns that the sheet does not show.

    Raises:
        ImportFailed: no column holds phone numbers, or the mapping names an unknown title or role.
    """
    rows = sample[:SAMPLE_ROWS]
    titles = _titles(header, rows)
    cells = [_cells(rows, position) for position in range(len(titles))]
    mapped = _mapped(titles, kept_mapping or {}, say("you said so for an earlier file with these titles"))
    mapped |= _mapped(titles, mapping or {}, say("you said so"))
    second_table = _second_table(titles, cells)
    numbered = enumerate(zip(_numbers(titles), titles, strict=True))
    columns = [
        _column(position, number, title, cells[position], country) for position, (number, title) in numbered
    ]
    columns = [
        replace(column, role=Role.LEFT_OUT, why=HIDDEN if column.position in hidden else _SECOND_TABLE)
        if column.position in hidden or column.position >= second_table
        else column
        for column in columns
    ]
    columns = [_with_currency(mapped.get(column.position, column), country) for column in columns]
    columns, remarks = _one_of_each(columns, mapped)
    columns = _named(
        remarks, [replace(column, values=tuple(cells[column.position][:SHOWN_VALUES])) for column in columns]
    )
    if not any(column.role is Role.PHONE for column in columns):
        raise ImportFailed(
            say(
                "no column of phone numbers: name it phone, phone1, telefono, celular or similar,"
                " or say which one it is with --map 'TITLE=phone'; the file has {listed}",
                listed=_listed(titles),
            )
            + (say("; hidden columns are left out") if hidden else "")
        )
    if second_table < len(titles):
        remarks.append(
            say(
                "a second table begins behind column {second_table} and is left out: put its rows"
                " below those of the first",
                second_table=second_table,
            )
        )
    has_area = any(column.role is Role.AREA_CODE for column in columns)
    remarks += [
        remark
        for column in columns
        # Numbers whose area code stands in another column are not whole.
        if not (has_area and column.role is Role.PHONE)
        for remark in _doubts(column, cells[column.position], country)
    ]
    return Columns(columns=_in_order_of_dialling(columns), remarks=tuple(remarks))


def titles_key(header: Sequence[object]) -> str:
    """A short name of a heading, by which a mapping of its columns is found again."""
    titles = [fold(title) for title in _titles(header) if title not in REMARK_COLUMNS]
    return hashlib.sha256("\x1f".join(titles).encode()).hexdigest()[:24]


def _titles(header: Sequence[object], rows: Sequence[Sequence[object]] = ()) -> list[str]:
    """The titles as far as the last one, or as the last column with a cell in these rows."""
    titles = [one_line(clean(cell)) for cell in header]
    while titles and not titles[-1] and not _cells(rows, len(titles) - 1):
        titles.pop()
    return titles


def _second_table(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """Where a second table begins: behind an empty column, with titles of people that the first has, too."""
    for position, title in enumerate(titles):
        before = {_folded(other) for other in titles[:position]}
        again = {_folded(other) for other in titles[position + 1 :]} & before
        if not title and not cells[position] and any(title_role(other) in _OF_PEOPLE for other in again):
            return position
    return len(titles)


def _numbers(titles: Sequence[str]) -> list[int]:
    """The number of each column; 0 for those of a file of bad rows."""
    own = itertools.count(1)
    return [0 if title in REMARK_COLUMNS else next(own) for title in titles]


def title_role(title: str) -> Role | None:
    """What a title alone says: a role, or None where it may be anything."""
    folded = _folded(title)
    if folded in _RANKED:
        return _RANKED[folded][0]
    if _is_amount(_money_in(title)):
        return Role.DEBT_AMOUNT
    return Role.PHONE if _is_called_phone(folded) else None


def _folded(title: str) -> str:
    """A title for comparison; ``R.U.T.`` is ``rut``, ``N° de factura`` is ``numero factura``."""
    folded = fold(title)
    if _SINGLE_LETTERS.fullmatch(folded):
        return folded.replace(" ", "")
    match = _NUMBER_OF.fullmatch(folded)
    numbered = f"numero {match[1]}" if match else ""
    return numbered if numbered in _RANKED and folded not in _RANKED else folded


@dataclass(frozen=True, kw_only=True)
class _Money:
    """What a title says of the money below it."""

    #: The title without the words for it, folded.
    rest: str
    #: The only currency that it names; None for a word of several countries.
    currency: str | None
    #: That word: ``$``, or ``pesos``.
    sign: str | None


def _money_in(title: str) -> _Money | None:
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
    return money is not None and _RANKED.get(money.rest, (None, 0))[0] is Role.DEBT_AMOUNT


def _with_currency(column: Column, country: str | None) -> Column:
    """A column of amounts with what its title says of their currency."""
    money = _money_in(column.title)
    if column.role is not Role.DEBT_AMOUNT or money is None:
        return column
    own = OF_COUNTRY.get((country or "").upper())
    if money.currency is not None or own is None:
        return replace(column, currency=money.currency)
    why = say("{why}; {sign} is taken for {currency}", why=column.why, sign=money.sign, currency=own)
    return replace(column, assumed_currency=own, why=why)


def _cells(rows: Sequence[Sequence[object]], position: int) -> list[str]:
    """The filled cells of a column."""
    texts = (clean(row[position]) for row in rows if position < len(row))
    return [text for text in texts if not is_nothing(text)]


def _mapped(titles: Sequence[str], mapping: Mapping[str, str], why: str) -> dict[int, Column]:
    """The columns that the mapping names."""
    mapped: dict[int, Column] = {}
    positions_of = {number: position for position, number in enumerate(_numbers(titles)) if number}
    for key, meaning in mapping.items():
        positions = [position for position, title in enumerate(titles) if fold(title) == fold(key)]
        if not positions and key.isdecimal() and int(key) in positions_of:
            positions = [positions_of[int(key)]]
        if not positions:
            raise ImportFailed(
                say(
                    "--map: no column is called {key}; the file has {listed}",
                    key=_shown(key),
                    listed=_listed(titles),
                )
            )
        role, detail = read_meaning(meaning)
        for position in positions:
            mapped[position] = Column(
                position=position,
                number=_numbers(titles)[position],
                title=titles[position],
                role=role,
                why=why,
                variable=detail if role is Role.VARIABLE else None,
                date_order=DateOrder(detail) if role is Role.DUE_DATE and detail else None,
            )
    return mapped


def read_meaning(text: str) -> tuple[Role, str | None]:
    """What ``--map 'TITLE=…'`` says of a column: a role, a variable's name or a date's order behind it.

    Raises:
        ImportFailed: it is none.
    """
    name, _, detail = text.partition(":")
    details = {Role.DUE_DATE: frozenset(DateOrder), Role.VARIABLE: {detail}}
    if name not in set(Role) or (detail and detail not in details.get(Role(name), ())):
        allowed = ", ".join(Role)
        raise ImportFailed(
            say(
                "--map: {text!r} is no meaning of a column: write {allowed}, variable:NAME,"
                " due-date:dmy or due-date:mdy",
                text=text,
                allowed=allowed,
            )
        )
    return Role(name), detail or None


def _column(position: int, number: int, title: str, cells: Sequence[str], country: str | None) -> Column:
    role, why, variable = _meaning(title, cells, country)
    return Column(
        position=position,
        number=number,
        title=title,
        role=role,
        why=why,
        variable=variable,
    )


def _meaning(title: str, cells: Sequence[str], country: str | None) -> tuple[Role, str, str | None]:
    folded, role = _folded(title), title_role(title)
    if title in REMARK_COLUMNS or not title:
        return Role.LEFT_OUT, say("speechctl wrote it") if title else say("it has no title"), None
    if role is Role.PHONE and cells and not any(map(_has_digit, cells)):
        return (
            Role.VARIABLE,
            say(
                "{PHONE_WITHOUT_NUMBERS}, and no cell has a digit",
                PHONE_WITHOUT_NUMBERS=_PHONE_WITHOUT_NUMBERS,
            ),
            None,
        )
    if role is Role.NAME and cells and not any(map(_has_letter, cells)):
        return (
            Role.VARIABLE,
            say(
                "{NAME_WITHOUT_LETTERS}, and no cell has a letter", NAME_WITHOUT_LETTERS=_NAME_WITHOUT_LETTERS
            ),
            None,
        )
    if role is not None or folded in PROMPT_NAMES:
        return role or Role.VARIABLE, say("its title"), PROMPT_NAMES.get(folded)
    if len(cells) >= 2 and _phone_share(cells, country) > PHONE_SHARE:
        return (
            Role.LEFT_OUT,
            say("{LOOKS_LIKE_PHONES}, and its title does not say so", LOOKS_LIKE_PHONES=_LOOKS_LIKE_PHONES),
            None,
        )
    return Role.VARIABLE, say("no other meaning is known for its title"), None


def _has_digit(text: str) -> bool:
    return any(map(str.isdecimal, text))


def _is_called_phone(folded: str) -> bool:
    words = [word.rstrip("0123456789") for word in folded.split()]
    if any(word in ABOUT_PHONES for word in words):
        return False
    base = " ".join(filter(None, words))
    return base in PHONE_TITLES or any(word in PHONE_WORDS for word in words)


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _phone_share(cells: Sequence[str], country: str | None) -> float:
    """The share of cells in which a valid number stands."""
    good = sum(_holds_number(cell, country) for cell in cells)
    return good / len(cells) if cells else 0.0


def _holds_number(cell: str, country: str | None) -> bool:
    found = (reading for _, reading in numbers.read_cell(cell, country))
    return any(isinstance(reading, numbers.Number) for reading in found)


def _one_of_each(columns: Sequence[Column], mapped: Mapping[int, Column]) -> tuple[list[Column], list[str]]:
    """Give a role that a file has once to the column that the mapping names, else to the plainest title."""
    kept: list[Column] = []
    remarks: list[str] = []
    for role in Role:
        of_role = [column for column in columns if column.role is role]
        if role in _JOINED or len(of_role) < 2:
            if role is Role.COUNTRY_CODE:
                of_role.sort(key=lambda column: (column.position not in mapped, *_rank(column)))
            kept += of_role if role is not Role.NAME else _whole_name(of_role, mapped, remarks)
            continue
        used, *others = sorted(of_role, key=lambda column: (column.position not in mapped, *_rank(column)))
        kept.append(used)
        for other in others:
            if _is_reference(role, other, columns, kept):
                why = say(
                    "{title} is the {role}, and this the document's number",
                    title=_shown(used.title),
                    role=role,
                )
                kept.append(replace(other, role=Role.REFERENCE_NUMBER, why=why))
                continue
            kept.append(
                replace(
                    other,
                    role=Role.VARIABLE,
                    why=say("{title} is the {role}", title=_shown(used.title), role=role),
                )
            )
            remarks.append(_both_mean(role, used, other))
    return _without_parts_of_the_name(kept), remarks


def _is_reference(role: Role, other: Column, columns: Sequence[Column], kept: Sequence[Column]) -> bool:
    """Whether a second id is the number of the debt's document: ``N° Documento`` beside ``RUT``."""
    is_free = all(column.role is not Role.REFERENCE_NUMBER for column in (*columns, *kept))
    return role is Role.DNI and is_free and _folded(other.title) in DOCUMENT_NUMBERS


def _without_parts_of_the_name(columns: Sequence[Column]) -> list[Column]:
    """Surnames beside a whole name are variables: "Ana Soto" is not called "Ana Soto Soto"."""
    names = [column for column in columns if column.role is Role.NAME]
    if not names or any(fold(column.title) in FIRST_NAMES for column in names):
        return list(columns)
    why = say("{title} is the name", title=_shown(names[0].title))
    return [
        replace(column, role=Role.VARIABLE, why=why) if column.role is Role.SURNAME else column
        for column in columns
    ]


def _both_mean(role: Role, used: Column, other: Column) -> str:
    both = joined(
        say(" and "),
        (
            say("{number} ({title})", number=column.number, title=_shown(column.title))
            for column in (used, other)
        ),
    )
    return say(
        "columns {both} both mean {role}: the first is used, the second is given to the agent as a variable",
        both=both,
        role=role,
    )


def _whole_name(of_role: Sequence[Column], mapped: Mapping[int, Column], remarks: list[str]) -> list[Column]:
    """First and middle names are joined; beside a column with the whole name they are variables."""
    if len(of_role) < 2 or any(column.position in mapped for column in of_role):
        return list(of_role)
    titles = {fold(column.title) for column in of_role}
    if titles <= FIRST_NAMES and len(titles) == len(of_role):
        return list(of_role)
    whole = [column for column in of_role if fold(column.title) not in FIRST_NAMES]
    used = min(whole or of_role, key=_rank)
    others = [column for column in of_role if column is not used]
    remarks.extend(_both_mean(Role.NAME, used, other) for other in others)
    why = say("{title} is the name", title=_shown(used.title))
    return [used, *(replace(other, role=Role.VARIABLE, why=why) for other in others)]


def _rank(column: Column) -> tuple[int, int]:
    return _RANKED.get(_folded(column.title), (column.role, len(_RANKED)))[1], column.position


def _named(remarks: list[str], columns: Sequence[Column]) -> list[Column]:
    """Variables get names that are valid as keys in the database, and differ from each other."""
    taken: set[str] = set()
    named = []
    for column in sorted(columns, key=lambda column: column.position):
        if column.role is not Role.VARIABLE:
            named.append(column)
            continue
        plain = column.title.replace(".", "_").lstrip("$") or f"column_{column.number}"
        name = column.variable or PROMPT_NAMES.get(fold(column.title)) or plain
        if name in taken:
            name = f"{name}_{column.number}"
            remarks.append(
                say(
                    "two columns are called {title}: the second is kept as {name!r}",
                    title=_shown(column.title),
                    name=name,
                )
            )
        taken.add(name)
        named.append(replace(column, variable=name))
    return named


def _in_order_of_dialling(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Phones numbered under one name (``telefono_2``, ``telefono_1``) by number, others as in the file."""
    phones = [column for column in columns if column.role is Role.PHONE]
    parts = [_NUMBERED.fullmatch(fold(column.title)) for column in phones]
    bases = {match[1] if match else fold(column.title) for match, column in zip(parts, phones, strict=True)}
    if len(bases) == 1:
        ranks = {
            id(column): int(match[2]) if match else 0 for match, column in zip(parts, phones, strict=True)
        }
        phones.sort(key=lambda column: ranks[id(column)])
    return (*phones, *(column for column in columns if column.role is not Role.PHONE))


def _doubts(column: Column, cells: Sequence[str], country: str | None) -> list[str]:
    """Remarks on columns that may be meant otherwise."""
    where = say("column {number} ({title})", number=column.number, title=_shown(column.title))
    if column.role is Role.LEFT_OUT:
        return _doubts_left_out(column, where) if cells else []
    if column.role is Role.DEBT_AMOUNT:
        return _doubts_of_currency(column, where, country)
    if column.role is Role.PHONE and len(cells) >= 2 and _phone_share(cells, country) <= PHONE_SHARE:
        return [say("{where} is taken for phones, and most of its cells are none", where=where)]
    if (
        column.role is Role.NAME
        and fold(column.title) in SURNAMES_FIRST
        and not all("," in text for text in cells)
    ):
        remark = say(
            "{where} has the surnames first, and the agent says them first: write 'SURNAMES,"
            " NAMES' with a comma, or put them into two columns",
            where=where,
        )
        return [remark]
    return _doubts_of_variable(column, cells, where, country) if column.role is Role.VARIABLE else []


def _doubts_of_currency(column: Column, where: str, country: str | None) -> list[str]:
    """Remarks on a title whose currency is not the country's, or whose sign that is not written with."""
    own = OF_COUNTRY.get((country or "").upper())
    if own is None:
        return []
    if column.currency is not None and column.currency not in {own, *UNITS}:
        return [
            say(
                "{where} has amounts in {currency} by its title, and the currency of {country} is {own}",
                where=where,
                currency=column.currency,
                country=country,
                own=own,
            )
        ]
    if column.assumed_currency is not None and own not in DOLLAR_SIGN:
        return [
            say(
                "{where} is taken for amounts in {own}, which is not written so: if they are in dollars,"
                " write USD into the title",
                where=where,
                own=own,
            )
        ]
    return []


def _doubts_of_variable(column: Column, cells: Sequence[str], where: str, country: str | None) -> list[str]:
    if column.why.startswith(_NAME_WITHOUT_LETTERS):
        return [
            say(
                "{where} has a name's title and no letters: it is given to the agent as a variable",
                where=where,
            )
        ]
    if column.why.startswith(_PHONE_WITHOUT_NUMBERS):
        return [
            say(
                "{where} has a phone's title and no phone numbers: it is given to the agent as a variable",
                where=where,
            )
        ]
    other = _other_date_order(cells, country)
    if other is not None:
        key = column.title or column.number
        return [
            say(
                "{where} has dates as {example!r}, and the agent gets them as they are written:"
                " --map '{key}=due-date:{order}' has one column of dates said in words",
                where=where,
                example=other[1][:40],
                key=key,
                order=other[0],
            )
        ]
    if _holds_countries(column.title, cells):
        role = say(
            "--map '{title}=country-code' reads the row's numbers and dates by it",
            title=column.title or column.number,
        )
        return [
            say(
                "{where} holds countries and is given to the agent as a variable: {role}",
                where=where,
                role=role,
            )
        ]
    return []


def _other_date_order(cells: Sequence[str], country: str | None) -> tuple[DateOrder, str] | None:
    """The order of a column's dates and one of them, where it is not the country's; None where it may be."""
    found = [match for match in map(_DATE_BY_SLASHES.match, cells) if match is not None]
    own = order_of(country or "")
    other, part = (DateOrder.DAY_FIRST, 1) if own is DateOrder.MONTH_FIRST else (DateOrder.MONTH_FIRST, 2)
    days = [match for match in found if int(match[part]) > _MONTHS]
    is_other = bool(days) and all(int(match[3 - part]) <= _MONTHS for match in found)
    return (other, days[0].string) if is_other and len(found) / len(cells) > PHONE_SHARE else None


def _holds_countries(title: str, cells: Sequence[str]) -> bool:
    """Whether most cells are countries; codes alone, which may be initials, only under such a title."""
    may_be_codes = not _ABOUT_COUNTRIES.isdisjoint(fold(title).split())
    named = sum(can_only_be_a_country(text) and (may_be_codes or not _is_code(text)) for text in cells)
    return len(cells) >= 2 and named / len(cells) > PHONE_SHARE


def _is_code(text: str) -> bool:
    return len(text.strip()) <= _LONGEST_CODE and text.strip().isalpha()


def _doubts_left_out(column: Column, where: str) -> list[str]:
    if column.why.startswith(_LOOKS_LIKE_PHONES):
        remark = say(
            "{where} looks like phone numbers and is left out: --map '{title}=phone' dials"
            " them, --map '{title}=variable' gives them to the agent",
            where=where,
            title=column.title,
        )
        return [remark]
    if column.why == HIDDEN:
        key = column.title or column.number
        return [
            say(
                "{where} is hidden in the sheet and is left out: --map '{key}=ROLE' uses it",
                where=where,
                key=key,
            )
        ]
    if not column.title and column.why != _SECOND_TABLE:
        number = column.number
        return [say("column {number} has no title and is left out: --map {number}=variable", number=number)]
    return []


def _shown(title: str) -> str:
    return repr(_printable(title[:30]))


def _printable(title: str) -> str:
    """A title that is safe to print, also where the file is not a table."""
    plain = title.isprintable() and "\ufffd" not in title
    return title if plain else title.encode("unicode_escape").decode("ascii")[:30]


def _listed(titles: Sequence[str]) -> str:
    shown = joined(", ", (_printable(title[:30]) for title in titles[:12] if title))
    return (shown + (", …" if len(titles) > 12 else "")) or say("no column names")
