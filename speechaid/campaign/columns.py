"""Which column of a contacts file means what, by its name in English or Spanish."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from speechaid.campaign.cells import clean, fold, one_line
from speechaid.errors import ImportFailed

#: What a column may be called (folded: lower case, no accents, blanks between words).
NAMES: Final = {
    "name": (
        "nombre, nombres, nombre completo, nombre cliente, nombre del cliente, nombre contacto, name, "
        "first name, full name, contact name, customer name, client name, contact, contacto, cliente, "
        "customer, titular"
    ),
    "surname": "apellido, apellidos, surname, last name, family name",
    "dni": (
        "rut, dni, run, rut cliente, document, documento, document number, numero documento, "
        "numero de documento, nro documento, cedula, identificacion, national id, id number, nif, cuit"
    ),
    "company_name": (
        "empresa, company, company name, compania, nombre empresa, nombre de la empresa, acreedor, creditor"
    ),
    "debt_amount": (
        "monto, monto total, monto deuda, monto de la deuda, monto adeudado, deuda, deuda total, debt, "
        "debt amount, amount, amount due, total amount, saldo, saldo deudor, importe, balance"
    ),
    "due_date": (
        "fecha limite, fecha limite de pago, fecha vencimiento, fecha de vencimiento, vencimiento, "
        "due date, due, payment due date"
    ),
    "reference_number": (
        "referencia, reference, reference number, numero referencia, numero de referencia, "
        "nro referencia, ref, reference no"
    ),
}
#: What a phone column may be called, a number behind it aside (``phone1``, ``telefono_2``).
PHONE_NAMES: Final = (
    "phone, phones, phone number, phone no, telephone, telephone number, mobile, mobile phone, "
    "mobile number, cell, cell phone, cellphone, home phone, work phone, tel, to number, "
    "telefono, telefonos, numero telefono, numero de telefono, numero telefonico, telefono movil, "
    "telefono celular, telefono fijo, telefono contacto, telefono de contacto, telefono principal, "
    "telefono alternativo, telefono casa, telefono trabajo, celular, movil, fono, fonos, whatsapp"
)
#: Further names that existing prompts know, spelled as those spell them.
PROMPT_NAMES: Final = {
    "cantidad cupones": "cantidad_cupones",
    "cantidad de cupones": "cantidad_cupones",
    "fecha maxima": "fecha_maxima",
}

#: Columns that speechctl adds to the rows it writes down as bad: of no use once they are mended.
REMARK_COLUMNS: Final = frozenset({"_line", "_reason"})

_ROLE_OF: Final = {name: role for role, names in NAMES.items() for name in names.split(", ")}
_PHONES: Final = frozenset(PHONE_NAMES.split(", "))
_NUMBERED: Final = re.compile(r"(.*?)\s*(\d{0,2})")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where to find what, by position (0-based)."""

    #: As written, one each.
    header: tuple[str, ...]
    #: In order of dialling.
    phones: tuple[int, ...]
    #: Each of ``NAMES`` that the file has.
    roles: dict[str, int]
    #: Everything else: position and the name that it keeps.
    others: tuple[tuple[int, str], ...]
    #: What is not where one may look for it, in words.
    remarks: tuple[str, ...] = ()


def recognise(header: Sequence[object]) -> Columns:
    """What the columns mean.

    Raises:
        ImportFailed: no column can be one of phones.
    """
    titles = tuple(one_line(clean(cell)) for cell in header)
    while titles and not titles[-1]:
        titles = titles[:-1]
    phones: list[tuple[int, int]] = []
    roles: dict[str, int] = {}
    others: list[tuple[int, str]] = []
    remarks: list[str] = []
    for position, title in enumerate(titles):
        folded = fold(title)
        rank = _phone_rank(folded)
        role = _ROLE_OF.get(folded)
        if rank is not None:
            phones.append((rank, position))
        elif role is not None and role not in roles:
            roles[role] = position
        elif title not in REMARK_COLUMNS:
            kept = _free_name(title, folded, position, {name for _, name in others})
            if role is not None:
                remarks.append(_second(titles, roles[role], position, role, kept))
            elif kept == f"{title}_{position + 1}":
                remarks.append(f"two columns are called {_shown(title)}: the second is kept as {kept!r}")
            others.append((position, kept))
    if not phones:
        raise ImportFailed(
            f"no column of phone numbers: one must be called phone, phone1, telefono, celular or the like; "
            f"the file has {_listed(titles)}"
        )
    return Columns(
        header=titles,
        phones=tuple(position for _, position in sorted(phones)),
        roles=roles,
        others=tuple(others),
        remarks=tuple(remarks),
    )


def _phone_rank(folded: str) -> int | None:
    """The number behind a phone column's name (0 without one); None where it is no phone column."""
    match = _NUMBERED.fullmatch(folded)
    if match is None or match[1] not in _PHONES:
        return None
    return int(match[2] or 0)


def _free_name(title: str, folded: str, position: int, taken: set[str]) -> str:
    """A name that the database takes as a key, and that no other column has."""
    name = PROMPT_NAMES.get(folded) or title.replace(".", "_").lstrip("$") or f"column_{position + 1}"
    return name if name not in taken else f"{name}_{position + 1}"


def _second(titles: Sequence[str], used: int, position: int, role: str, kept: str) -> str:
    """What is said of a column whose meaning an earlier one has taken."""
    return (
        f"columns {used + 1} ({_shown(titles[used])}) and {position + 1} ({_shown(titles[position])}) both "
        f"mean {role}: the first is used, the second is kept in additional_info as {_shown(kept)}"
    )


def _shown(title: str) -> str:
    return repr(_printable(title[:30]))


def _printable(title: str) -> str:
    """A title as it may be told on a terminal, also where the file is no table at all."""
    plain = title.isprintable() and "\ufffd" not in title
    return title if plain else title.encode("unicode_escape").decode("ascii")[:30]


def _listed(titles: Sequence[str]) -> str:
    shown = ", ".join(_printable(title[:30]) for title in titles[:12] if title)
    return (shown + (", …" if len(titles) > 12 else "")) or "no column names at all"
