"""The manual's pages of calling rules, one a country, in English and Spanish: ``python -m tools.pack_pages``.

Facts come from the packs. The Spanish sentences are in ``pack_pages_es.toml``, by the English ones.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from speechaid.compliance.pack_files import shipped_packs
from speechaid.compliance.packs import (
    CallerNumbers,
    Cap,
    HolidayRule,
    Holidays,
    Option,
    Pack,
    Records,
    Registry,
    Span,
    Statement,
    Unit,
    Windows,
)
from speechaid.model.states import Purpose

DOCS: Final = Path(__file__).parents[1] / "docs"
SPANISH: Final = Path(__file__).with_name("pack_pages_es.toml")
_HOUSE_RULE: Final = "house rule"
#: Words of the pages in Spanish, by the English ones.
_WORDS: Final[Mapping[str, str]] = {
    "Argentina": "Argentina",
    "Chile": "Chile",
    "Colombia": "Colombia",
    "Ecuador": "Ecuador",
    "Mexico": "México",
    "Paraguay": "Paraguay",
    "Peru": "Perú",
    "Mon": "lun",
    "Tue": "mar",
    "Wed": "mié",
    "Thu": "jue",
    "Fri": "vie",
    "Sat": "sáb",
    "Sun": "dom",
    _HOUSE_RULE: "regla de la casa",
}
_COUNTRIES: Final = {
    "AR": "Argentina",
    "CL": "Chile",
    "CO": "Colombia",
    "EC": "Ecuador",
    "MX": "Mexico",
    "PE": "Peru",
    "PY": "Paraguay",
}
_NOTICE: Final = (
    """\
No legal advice: have a local lawyer look at this page before you rely on it. Batches with a
purpose are called by these rules, the others are not ([calling rules](../calling-rules.md)).""",
    """\
No es asesoría legal: que un abogado del país la revise antes de confiar en ella. Los lotes con
finalidad se llaman según estas reglas, los demás no ([reglas de llamada](../calling-rules.md)).""",
)
#: One, several; by language.
_UNITS: Final = {
    Unit.ATTEMPT: (("attempt", "attempts"), ("intento", "intentos")),
    Unit.CONTACT: (("contact", "contacts"), ("contacto", "contactos")),
    Unit.UNANSWERED_ATTEMPT: (
        ("unanswered attempt", "unanswered attempts"),
        ("intento sin respuesta", "intentos sin respuesta"),
    ),
}
_SPANS: Final = {
    Span.CALENDAR_DAY: ("a day", "por día"),
    Span.CALENDAR_WEEK: ("a week, Monday first", "por semana, desde el lunes"),
}
_ENFORCING: Final = (
    """\
Give the batch a purpose. From then on no call is placed that a rule marked with *yes* refuses: the job
waits until the first moment that allows it, and `explain` names the rule. What is marked with *no* is up to
you. The batch's own hours hold beside these.""",
    """\
Dé una finalidad al lote. Desde entonces no se hace ninguna llamada que rechace una regla marcada con *sí*:
el trabajo espera hasta el primer momento que la permita, y `explain` nombra la regla. Lo marcado con *no* le
toca a usted. El horario del propio lote rige además.""",
)
_SEVERAL_ZONES: Final = (
    """\
The country has several zones. Where the number does not tell which, it is that of the batch (`--timezone`),
if it is one of the country, else {zone}.""",
    """\
El país tiene varias zonas horarias. Donde el número no dice cuál, es la del lote (`--timezone`), si es una
del país; si no, {zone}.""",
)
#: What of a pack refuses calls; the rest is for the operator to see to.
_ENFORCED: Final = (Windows, Holidays, Cap)
_YES_NO: Final = {True: ("yes", "sí"), False: ("no", "no")}
_HOLIDAYS: Final = {
    HolidayRule.BARRED: ("no calls", "sin llamadas"),
    HolidayRule.AS_SUNDAY: ("as on Sunday", "como un domingo"),
    HolidayRule.IGNORED: ("as on other days", "como los demás días"),
}


def pages() -> Iterator[tuple[Path, str]]:
    """Each page with its text.

    Raises:
        KeyError: a sentence has no Spanish.
    """
    spanish = {**_WORDS, **tomllib.loads(SPANISH.read_text(encoding="utf-8"))["sentences"]}
    for (country, purpose), pack in shipped_packs().items():
        if purpose is Purpose.COLLECTION:
            name = f"{country.lower()}.md"
            yield DOCS / "calling-rules" / name, "\n".join(_page(pack, lambda text: text, 0))
            yield DOCS / "es" / "calling-rules" / name, "\n".join(_page(pack, spanish.__getitem__, 1))


def _page(pack: Pack, say: Callable[[str], str], language: int) -> Iterator[str]:
    yield f"# {say(_COUNTRIES[pack.country])} ({pack.country})"
    yield ""
    yield (
        "<!-- Written by `python -m tools.pack_pages` -->",
        "<!-- Lo escribe `python -m tools.pack_pages` -->",
    )[language]
    yield ""
    yield _NOTICE[language]
    yield ""
    yield (
        f"For `collection`; for `reminder` the same, as a house rule. Reviewed {pack.reviewed}.",
        f"Para `collection`; para `reminder` lo mismo, como regla de la casa. Revisado {pack.reviewed}.",
    )[language]
    if pack.remark is not None:
        yield say(pack.remark)
    yield from ("", ("## Rules", "## Reglas")[language], "")
    yield (
        "| about | rule | enforced | sure | sources |",
        "| sobre | regla | se hace cumplir | certeza | fuentes |",
    )[language]
    yield "|---|---|---|---|---|"
    for place, statement in pack.all_statements():
        if not isinstance(statement, Option) and not place.startswith("options "):
            yield _row(pack, statement, say, language)
    yield from _exemptions(pack, say, language)
    yield from _enforced(pack, language)
    yield from _list(
        ("## What you have to do", "## Lo que debe hacer usted")[language], pack.operator_must, say
    )
    yield from _list(
        ("## What is not covered", "## Lo que no está cubierto")[language], pack.not_covered, say
    )
    if pack.options:
        yield from ("", ("## Stricter readings", "## Lecturas más estrictas")[language], "")
        for option in pack.options:
            yield f"- `{option.name}`: {say(option.says)} ({_source(pack, option, say)})"
    yield ""


def _row(pack: Pack, statement: Statement, say: Callable[[str], str], language: int) -> str:
    about, rule = _short(statement, say, language)
    text = f"{rule}. {say(statement.says)}" if rule else say(statement.says)
    enforced = _YES_NO[isinstance(statement, _ENFORCED)][language]
    return f"| {about} | {text} | {enforced} | {statement.confidence} | {_source(pack, statement, say)} |"


def _enforced(pack: Pack, language: int) -> Iterator[str]:
    """What a batch with a purpose is kept from, and how it is set."""
    yield from ("", ("## How a batch is set", "## Cómo se configura un lote")[language], "")
    yield _ENFORCING[language]
    if len(pack.zones) > 1:
        yield _SEVERAL_ZONES[language].format(zone=pack.zones[0])
    yield from ("", "```sh")
    options = f"--country {pack.country} --purpose collection --timezone {pack.zones[0]}"
    yield f"speechctl edit-batch BATCH {options}"
    yield "speechctl forecast BATCH"
    yield f"speechctl pack {pack.country} collection"
    yield "```"


def _short(statement: Statement, say: Callable[[str], str], language: int) -> tuple[str, str]:
    """What a statement is about, and its rule in short."""
    match statement:
        case Windows():
            return ("hours", "horario")[language], _hours(statement, say)
        case Holidays():
            return ("holidays", "feriados")[language], _HOLIDAYS[statement.rule][language]
        case Cap():
            return ("cap", "tope")[language], _cap(statement, language)
        case CallerNumbers():
            about = ("calling number", "número que llama")[language]
            return about, ", ".join(f"{prefix}…" for prefix in statement.prefixes)
        case Registry():
            days = (
                f", copy good for {statement.valid_days} days",
                f", copia válida {statement.valid_days} días",
            )
            valid = days[language] if statement.valid_days else ""
            return ("registry", "registro")[language], f"{statement.name}{valid}"
        case Records():
            return ("records", "registros de llamadas")[language], (
                f"{statement.days} days",
                f"{statement.days} días",
            )[language]
        case _:
            raise TypeError(type(statement).__name__)


def _hours(windows: Windows, say: Callable[[str], str]) -> str:
    text = str(windows)
    for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"):
        text = text.replace(day, say(day))
    return text


def _cap(cap: Cap, language: int) -> str:
    at_most = ("at most", "como máximo")[language]
    text = f"{at_most} {cap.number} {_UNITS[cap.unit][language][cap.number > 1]} {_SPANS[cap.span][language]}"
    more = (", then one call more the same day", ", luego una llamada más el mismo día")[language]
    return text + more if cap.one_more_same_day else text


def _source(pack: Pack, statement: Statement, say: Callable[[str], str]) -> str:
    return "; ".join(pack.sources[name] for name in statement.sources) or say(_HOUSE_RULE)


def _exemptions(pack: Pack, say: Callable[[str], str], language: int) -> Iterator[str]:
    if pack.caller_numbers is None or not pack.caller_numbers.exemptions:
        return
    yield ""
    for one in pack.caller_numbers.exemptions:
        title = ("Exemption", "Excepción")[language]
        sources = "; ".join(pack.sources[name] for name in one.sources)
        yield f"{title} `{one.name}`: {say(one.says)} ({sources})"


def _list(title: str, texts: tuple[str, ...], say: Callable[[str], str]) -> Iterator[str]:
    if texts:
        yield from ("", title, "", *(f"- {say(text)}" for text in texts))


if __name__ == "__main__":
    for path, text in pages():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
