"""The tables of the contacts page, from the tables of the code: ``python -m tools.contacts_page``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from speechaid.campaign.kinds import KINDS, Kind
from speechaid.campaign.titles import PHONE_TITLES, PHONE_WORDS, TITLES, Role
from speechaid.retell.variables import DERIVED

#: The pages, in English and in Spanish.
PAGES: Final = (Path("docs/contacts-file.md"), Path("docs/es/contacts-file.md"))
#: Titles shown of a role, the plainest first.
_SHOWN: Final = 8
#: The field of a job that a column of this role fills; the agent gets it under its name.
_FIELDS: Final[Mapping[Role, str]] = {
    Role.NAME: "name",
    Role.SURNAME: "name",
    Role.DNI: "dni",
    Role.COMPANY_NAME: "company_name",
    Role.DEBT_AMOUNT: "debt_amount",
    Role.CURRENCY: "currency",
    Role.DUE_DATE: "due_date",
    Role.REFERENCE_NUMBER: "reference_number",
}
_SPANISH: Final[Mapping[Kind, str]] = {
    Kind.UNASSIGNED: "el plan de numeración no tiene ese número",
    Kind.PLACEHOLDER: "un número que solo rellena el campo",
    Kind.SHARED: "un número de tres personas o más",
    Kind.SERVICE: "un número de servicio (gratuito, de costo compartido), no de una persona",
    Kind.FOREIGN: "un número de otro país que el del archivo",
    Kind.LANDLINE: "un teléfono fijo bajo un título de celulares",
    Kind.ASSUMED: "algo se supuso para leer la celda",
    Kind.NOTE: "hay palabras junto al número",
    Kind.PHONE: "uno de varios teléfonos no sirve",
    Kind.NAME: "el contacto no tiene nombre",
    Kind.AMOUNT: "el monto falta o es cero",
    Kind.DATE: "la fecha es probablemente errónea",
    Kind.DATE_ORDER: "no se sabe si va primero el día o el mes",
    Kind.ID: "el documento está probablemente mal escrito",
    Kind.REPEATED: "probablemente la misma deuda que en otra fila",
    Kind.DO_NOT_CALL: "el archivo dice que no se llame a la persona",
    Kind.TOTAL: "una fila de totales o notas, de ninguna persona",
    Kind.LETTERS: "se perdieron letras antes de escribir el archivo",
    Kind.COLUMN: "una columna no se usa como su título sugiere",
    Kind.FILE: "el archivo no se leyó tal como está",
}


def columns_table(*, spanish: bool) -> str:
    """Markdown: one row for each role of a column."""
    head = (
        "| `--map` | se llama, por ejemplo | variables del agente |"
        if spanish
        else "| `--map` | called, for example | the agent's variables |"
    )
    rows = [_row(Role.PHONE, [*sorted(PHONE_WORDS), *sorted(PHONE_TITLES)], "")]
    for role, titles in TITLES.items():
        field = _FIELDS.get(role)
        names = [field, *(alias for alias, name in DERIVED.items() if name == field)] if field else []
        rows.append(_row(role, titles.split(", ")[:_SHOWN], ", ".join(f"`{name}`" for name in names)))
    others = {
        Role.VARIABLE: ("toda otra columna", "su título, o `--map 'TITLE=variable:NAME'`")
        if spanish
        else ("every other column", "its title, or `--map 'TITLE=variable:NAME'`"),
        Role.LEFT_OUT: ("columnas sin título", "") if spanish else ("columns without a title", ""),
    }
    rows += [f"| `{role}` | {called} | {variable} |" for role, (called, variable) in others.items()]
    return "\n".join([head, "|---|---|---|", *rows, ""])


def kinds_table(*, spanish: bool) -> str:
    """Markdown: one row for each kind of remark."""
    head = (
        "| tipo | qué significa | sin más | se cambia con |"
        if spanish
        else "| kind | what it means | by default | changed by |"
    )
    bad, kept = ("se rechaza", "se observa") if spanish else ("refused", "remarked")
    rows = []
    for kind, policy in KINDS.items():
        option = f"`--accept {kind}`" if policy.is_bad else f"`--refuse {kind}`"
        meaning = _SPANISH[kind] if spanish else policy.meaning
        changed = option if policy.can_change else ""
        rows.append(f"| `{kind}` | {meaning} | {bad if policy.is_bad else kept} | {changed} |")
    return "\n".join([head, "|---|---|---|---|", *rows, ""])


def with_tables(page: str, *, spanish: bool) -> str:
    """The page with both tables written anew."""
    parts = {"columns": columns_table(spanish=spanish), "kinds": kinds_table(spanish=spanish)}
    for name, table in parts.items():
        begin, end = page.index(f"<!-- {name}:"), page.index("<!-- end -->", page.index(f"<!-- {name}:"))
        begin = page.index("\n", begin) + 1
        page = page[:begin] + table + page[end:]
    return page


def _row(role: Role, titles: list[str], variables: str) -> str:
    return f"| `{role}` | {', '.join(f'`{title}`' for title in titles)} | {variables} |"


def _rewrite(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    page.write_text(with_tables(text, spanish=page.parent.name == "es"), encoding="utf-8")


if __name__ == "__main__":
    for each in PAGES:
        _rewrite(each)
