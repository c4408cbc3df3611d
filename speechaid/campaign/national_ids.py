"""Checks the digits of national identity and tax numbers, by ``python-stdnum``. Pure.

A wrong digit is remarked, and the row is kept: the id tells people apart, it is not called.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Final

from stdnum import exceptions
from stdnum.ar import cuit
from stdnum.ar import dni as ar_dni
from stdnum.br import cnpj, cpf
from stdnum.cl import rut
from stdnum.co import nit
from stdnum.cr import cpf as cr_cpf
from stdnum.cr import cpj as cr_cpj
from stdnum.do import cedula, rnc
from stdnum.ec import ci, ruc
from stdnum.mx import curp, rfc
from stdnum.pe import cui
from stdnum.pe import ruc as pe_ruc
from stdnum.py import ruc as py_ruc
from stdnum.uy import rut as uy_rut

from speechaid.protocol.translation import N_, say

#: By country (ISO 3166 alpha-2): what the id is called there, and the kinds that it may be.
KINDS: Final[dict[str, tuple[str, Sequence[ModuleType]]]] = {
    "AR": (N_("CUIT or DNI"), (cuit, ar_dni)),
    "BR": (N_("CPF or CNPJ"), (cpf, cnpj)),
    "CL": ("RUT", (rut,)),
    "CO": (N_("NIT or cédula"), (nit,)),
    "CR": ("cédula", (cr_cpf, cr_cpj)),
    "DO": (N_("cédula or RNC"), (cedula, rnc)),
    "EC": (N_("cédula or RUC"), (ci, ruc)),
    "MX": (N_("CURP or RFC"), (curp, rfc)),
    "PE": (N_("DNI or RUC"), (cui, pe_ruc)),
    "PY": (N_("RUC or cédula"), (py_ruc,)),
    "UY": (N_("RUT or cédula"), (uy_rut,)),
}
#: Digits of a RUT without its check digit.
_WITHOUT_DIGIT: Final = range(7, 9)
#: What people write before an id, and spreadsheets do to it.
_LABEL: Final = re.compile(
    r"^(?:r\.?u\.?[tnc]\.?|d\.?n\.?i\.?|cui[tl]|cpf|cnpj|nit|c\.?[ci]\.?|c[eé]dula|nro\.?|n[°º])[\s:.°º]+(?=\d)",
    re.IGNORECASE,
)
_WITH_DECIMALS: Final = re.compile(r"(\d{6,13})[.,]0{1,2}")
_WITH_COMMAS: Final = re.compile(r"\d{1,3}(?:,\d{3}){2,3}(?:-?[\dkK])?")
#: Lengths of ids without a check digit, in digits: nothing can be checked.
_UNCHECKED: Final = {"CO": range(5, 11), "PE": (8,), "PY": range(5, 9), "UY": (7, 8)}


@lru_cache(maxsize=4096)
def wrong_id(text: str, country: str) -> str | None:
    """Why an id is probably mistyped; None where it is right, or where nothing can be checked.

    Args:
        text: as written, with or without points and dashes.
        country: ISO 3166 alpha-2.
    """
    name, kinds = KINDS.get(country.upper(), ("", ()))
    if not kinds or _is_unchecked(text, _UNCHECKED.get(country.upper(), ())):
        return None
    faults = []
    for kind in kinds:
        try:
            kind.validate(text)
        except exceptions.ValidationError as exc:
            faults.append(exc)
        else:
            return None
    if country.upper() == "CL" and "-" not in text and _is_unchecked(text, _WITHOUT_DIGIT):
        return say("the check digit of the RUT is missing, or wrong")
    if any(isinstance(fault, exceptions.InvalidChecksum) for fault in faults):
        return say("the check digit is not that of a {name}", name=say(name))
    return say("this is no {name}", name=say(name))


def _is_unchecked(text: str, lengths: Collection[int]) -> bool:
    """Whether an id has digits only, so many as one without a check digit."""
    digits = "".join(filter(str.isalnum, text)) if lengths else ""
    return digits.isdecimal() and len(digits) in lengths


def plain_id(text: str | None) -> str | None:
    """An id without what people and spreadsheets add: ``RUT 1-9``, ``123456785.0``, ``12,345,678-5``."""
    if text is None:
        return None
    plain = _LABEL.sub("", text)
    if match := _WITH_DECIMALS.fullmatch(plain):
        return match[1]
    return plain.replace(",", ".") if _WITH_COMMAS.fullmatch(plain) else plain


def compact_id(text: str) -> str:
    """An id for comparison: letters and digits in capitals, without zeros before the first."""
    return "".join(filter(str.isalnum, text.upper())).lstrip("0")
