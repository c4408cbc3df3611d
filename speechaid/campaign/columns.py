"""Recognises the columns of a contacts file by their names in English or Spanish."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from speechaid.campaign.cells import clean, fold, one_line
from speechaid.errors import ImportFailed

#: The names of a column (folded: lower case, no accents, blanks between words).
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
#: The names of a phone column, without a trailing number (``phone1``, ``telefono_2``).
PHONE_NAMES: Final = (
    "phone, phones, phone number, phone no, telephone, telephone number, mobile, mobile phone, "
    "mobile number, cell, cell phone, cellphone, home phone, work phone, tel, to number, "
    "telefono, telefonos, numero telefono, numero de telefono, numero telefonico, telefono movil, "
    "telefono celular, telefono fijo, telefono contacto, telefono de contacto, telefono principal, "
    "telefono alternativo, telefono casa, telefono trabajo, celular, movil, fono, fonos, whatsapp"
)
#: Further variables of existing prompts, in their spelling.
PROMPT_NAMES: Final = {
    "cantidad cupones": "cantidad_cupones",
    "cantidad de cupones": "cantidad_cupones",
    "fecha maxima": "fecha_maxima",
}

#: Columns that speechctl adds to a file of bad rows; ignored when the corrected file is imported.
REMARK_COLUMNS: Final = frozenset({"_line", "_reason"})

_ROLE_OF: Final = {name: role for role, names in NAMES.items() for name in names.split(", ")}
_PHONES: Final = frozenset(PHONE_NAMES.split(", "))
_NUMBERED: Final = re.compile(r"(.*?) ?(\d{0,2})")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The positions (0-based) of the recognised columns."""

    #: The column names as written.
    header: tuple[str, ...]
    #: Phone columns, in the order of dialling.
    phones: tuple[int, ...]
    #: The roles of ``NAMES`` that the file has.
    roles: dict[str, int]
    #: All other columns: position and name.
    others: tuple[tuple[int, str], ...]
    #: Texts about columns that are not used as their name suggests.
    remarks: tuple[str, ...] = ()


def recognise(header: Sequence[object]) -> Columns:
    """Recognise the columns of a header.

    Raises:
        ImportFailed: there is no phone column.
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
                remarks.append(_second_of_role(titles, roles[role], position, role, kept))
            elif kept == f"{title}_{position + 1}":
                remarks.append(f"two columns are called {_shown(title)}: the second is kept as {kept!r}")
            others.append((position, kept))
    if not phones:
        raise ImportFailed(
            f"no column of phone numbers: name it phone, phone1, telefono, celular or similar; "
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
    """The number after a phone column's name (0 without one); None for other columns."""
    match = _NUMBERED.fullmatch(folded)
    if match is None or match[1] not in _PHONES:
        return None
    return int(match[2] or 0)


def _free_name(title: str, folded: str, position: int, taken: set[str]) -> str:
    """A name that is valid as a key in the database and differs from those of the other columns."""
    name = PROMPT_NAMES.get(folded) or title.replace(".", "_").lstrip("$") or f"column_{position + 1}"
    return name if name not in taken else f"{name}_{position + 1}"


def _second_of_role(titles: Sequence[str], used: int, position: int, role: str, kept: str) -> str:
    """The remark on a column whose role an earlier column has."""
    return (
        f"columns {used + 1} ({_shown(titles[used])}) and {position + 1} ({_shown(titles[position])}) both "
        f"mean {role}: the first is used, the second is kept in additional_info as {_shown(kept)}"
    )


def _shown(title: str) -> str:
    return repr(_printable(title[:30]))


def _printable(title: str) -> str:
    """A title that is safe to print, also where the file is not a table."""
    plain = title.isprintable() and "\ufffd" not in title
    return title if plain else title.encode("unicode_escape").decode("ascii")[:30]


def _listed(titles: Sequence[str]) -> str:
    shown = ", ".join(_printable(title[:30]) for title in titles[:12] if title)
    return (shown + (", …" if len(titles) > 12 else "")) or "no column names"
