"""Recognises the columns of a contacts file, by their titles and by what stands in them. Pure.

A title alone does not make a phone column: some of its cells must be phone numbers as well.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from speechaid.campaign.cells import clean, fold, one_line
from speechaid.campaign.column_doubts import (
    HIDDEN,
    LOOKS_LIKE_PHONES,
    NAME_WITHOUT_LETTERS,
    PHONE_SHARE,
    PHONE_WITHOUT_NUMBERS,
    SECOND_TABLE,
    doubts_about,
    phone_share,
    printable_title,
    shown_title,
)
from speechaid.campaign.column_titles import RANKED, folded_title, money_in, title_role
from speechaid.campaign.columns import Column, Columns
from speechaid.campaign.dates import DateOrder
from speechaid.campaign.names import may_be_names
from speechaid.campaign.titles import (
    DOCUMENT_NUMBERS,
    FIRST_NAMES,
    PROMPT_NAMES,
    REMARK_COLUMNS,
    UNCERTAIN_NAMES,
    Role,
)
from speechaid.campaign.words_for_nothing import is_nothing
from speechaid.errors import ImportFailed
from speechaid.protocol.translation import joined, say
from speechaid.rules.currencies import OF_COUNTRY

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
_OF_NAMES: Final = frozenset({Role.NAME, Role.SURNAME})
#: Roles by which a second table is recognised.
_OF_PEOPLE: Final = frozenset({Role.NAME, Role.DNI, Role.PHONE})
_NUMBERED: Final = re.compile(r"(.*?) ?(\d{1,2})")


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
        replace(column, role=Role.LEFT_OUT, why=HIDDEN if column.position in hidden else SECOND_TABLE)
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
    remarks += _that_may_be_names(columns, cells)
    has_area = any(column.role is Role.AREA_CODE for column in columns)
    remarks += [
        remark
        for column in columns
        # Numbers whose area code stands in another column are not whole.
        if not (has_area and column.role is Role.PHONE)
        for remark in doubts_about(column, cells[column.position], country)
    ]
    return Columns(columns=_in_order_of_dialling(columns), remarks=tuple(remarks))


def _that_may_be_names(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[str]:
    """The remark on a file of which no column is taken for names, and some column may have them."""
    may_be = [
        column
        for column in columns
        if column.role is Role.VARIABLE and _may_have_names(cells[column.position])
    ]
    if not may_be or any(column.role in _OF_NAMES for column in columns):
        return []
    listed = joined(
        say(" or "),
        (
            say("{number} ({title})", number=column.number, title=shown_title(column.title))
            for column in may_be
        ),
    )
    return [
        say(
            "no column is taken for the names of the people: if column {listed} has them,"
            " --map '{key}=name' says so; as it is, the agent gets them as a variable",
            listed=listed,
            key=may_be[0].title,
        )
    ]


def _may_have_names(cells: Sequence[str]) -> bool:
    """Whether most cells are written like names; without capitals, only where no cell has a digit."""
    in_capitals = [text.title() for text in cells]
    return may_be_names(cells) or (may_be_names(in_capitals) and not any(map(_has_digit, cells)))


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
        before = {folded_title(other) for other in titles[:position]}
        again = {folded_title(other) for other in titles[position + 1 :]} & before
        if not title and not cells[position] and any(title_role(other) in _OF_PEOPLE for other in again):
            return position
    return len(titles)


def _numbers(titles: Sequence[str]) -> list[int]:
    """The number of each column; 0 for those of a file of bad rows."""
    own = itertools.count(1)
    return [0 if title in REMARK_COLUMNS else next(own) for title in titles]


def _with_currency(column: Column, country: str | None) -> Column:
    """A column of amounts with what its title says of their currency."""
    money = money_in(column.title)
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
                    key=shown_title(key),
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
    """What a column is, why, and its name as a variable where that is not its title."""
    folded, role = folded_title(title), title_role(title)
    if title in REMARK_COLUMNS or not title:
        return Role.LEFT_OUT, say("speechctl wrote it") if title else say("it has no title"), None
    unlike = _unlike_its_title(role, cells) if cells else None
    if unlike is not None:
        return Role.VARIABLE, unlike, None
    if role is not None or folded in PROMPT_NAMES:
        return role or Role.VARIABLE, say("its title"), PROMPT_NAMES.get(folded)
    if folded in UNCERTAIN_NAMES and may_be_names(cells):
        return Role.NAME, say("its cells look like the names of people"), None
    if len(cells) >= 2 and phone_share(cells, country) > PHONE_SHARE:
        return (
            Role.LEFT_OUT,
            say("{LOOKS_LIKE_PHONES}, and its title does not say so", LOOKS_LIKE_PHONES=LOOKS_LIKE_PHONES),
            None,
        )
    return Role.VARIABLE, say("no other meaning is known for its title"), None


def _unlike_its_title(role: Role | None, cells: Sequence[str]) -> str | None:
    """Why the cells of a column are not what its title says; None: they may be."""
    if role is Role.PHONE and not any(map(_has_digit, cells)):
        return say(
            "{PHONE_WITHOUT_NUMBERS}, and no cell has a digit", PHONE_WITHOUT_NUMBERS=PHONE_WITHOUT_NUMBERS
        )
    if role is Role.NAME and not any(map(_has_letter, cells)):
        return say(
            "{NAME_WITHOUT_LETTERS}, and no cell has a letter", NAME_WITHOUT_LETTERS=NAME_WITHOUT_LETTERS
        )
    if role is Role.NAME and len(cells) >= 2 and all(map(_is_code, cells)):
        return say(
            "{NAME_WITHOUT_LETTERS}, and its cells are codes", NAME_WITHOUT_LETTERS=NAME_WITHOUT_LETTERS
        )
    return None


def _has_digit(text: str) -> bool:
    return any(map(str.isdecimal, text))


def _is_code(text: str) -> bool:
    return " " not in text and _has_digit(text)


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


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
                    title=shown_title(used.title),
                    role=role,
                )
                kept.append(replace(other, role=Role.REFERENCE_NUMBER, why=why))
                continue
            kept.append(
                replace(
                    other,
                    role=Role.VARIABLE,
                    why=say("{title} is the {role}", title=shown_title(used.title), role=role),
                )
            )
            remarks.append(_both_mean(role, used, other))
    return _without_parts_of_the_name(kept), remarks


def _is_reference(role: Role, other: Column, columns: Sequence[Column], kept: Sequence[Column]) -> bool:
    """Whether a second id is the number of the debt's document: ``N° Documento`` beside ``RUT``."""
    is_free = all(column.role is not Role.REFERENCE_NUMBER for column in (*columns, *kept))
    return role is Role.DNI and is_free and folded_title(other.title) in DOCUMENT_NUMBERS


def _without_parts_of_the_name(columns: Sequence[Column]) -> list[Column]:
    """Surnames beside a whole name are variables: "Ana Soto" is not called "Ana Soto Soto"."""
    names = [column for column in columns if column.role is Role.NAME]
    if not names or any(fold(column.title) in FIRST_NAMES for column in names):
        return list(columns)
    why = say("{title} is the name", title=shown_title(names[0].title))
    return [
        replace(column, role=Role.VARIABLE, why=why) if column.role is Role.SURNAME else column
        for column in columns
    ]


def _both_mean(role: Role, used: Column, other: Column) -> str:
    both = joined(
        say(" and "),
        (
            say("{number} ({title})", number=column.number, title=shown_title(column.title))
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
    if len(of_role) < 2:
        return list(of_role)
    certain = [
        column for column in of_role if column.position in mapped or folded_title(column.title) in RANKED
    ]
    used = _used_names(certain or of_role, mapped)
    others = [column for column in of_role if column not in used]
    remarks.extend(_both_mean(Role.NAME, used[0], other) for other in others)
    why = say("{title} is the name", title=shown_title(used[0].title))
    return [*used, *(replace(other, role=Role.VARIABLE, why=why) for other in others)]


def _used_names(columns: Sequence[Column], mapped: Mapping[int, Column]) -> list[Column]:
    """The columns that make up the name, among those that are called so."""
    titles = {fold(column.title) for column in columns}
    are_parts = titles <= FIRST_NAMES and len(titles) == len(columns)
    if are_parts or any(column.position in mapped for column in columns):
        return list(columns)
    whole = [column for column in columns if fold(column.title) not in FIRST_NAMES]
    return [min(whole or columns, key=_rank)]


def _rank(column: Column) -> tuple[int, int]:
    return RANKED.get(folded_title(column.title), (column.role, len(RANKED)))[1], column.position


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
                    title=shown_title(column.title),
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


def _listed(titles: Sequence[str]) -> str:
    shown = joined(", ", (printable_title(title[:30]) for title in titles[:12] if title))
    return (shown + (", …" if len(titles) > 12 else "")) or say("no column names")
