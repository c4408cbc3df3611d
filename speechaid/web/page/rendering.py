"""Templates as pages in the reader's language: ``say`` and ``say_n`` in a template are its sentences.

Whatever else a template shows is put into the language where it is translatable, and escaped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from speechaid.protocol.money import money
from speechaid.protocol.translation import LANGUAGES, Translatable, in_language
from speechaid.web.page import words

STATIC: Final = Path(__file__).parent / "static"
TEMPLATES: Final = Path(__file__).parent / "templates"
_SPANISH_SIGNS: Final = str.maketrans(",.", ".,")
_TIME_IN_TEXT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
#: Abbreviations for the reader, whatever the locale of the process.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def render(template: str, language: str, values: Mapping[str, Any]) -> str:
    """The text of a page."""
    return environment_of(language).get_template(template).render(values)


@cache
def environment_of(language: str) -> Environment:
    """The templates for readers of a language."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=partial(_shown, language),
        auto_reload=False,
    )

    def say(msgid: str, **given: object) -> str:
        return Translatable.of(msgid, given).in_language(language)

    def say_n(one: str, many: str, count: int, **given: object) -> str:
        return Translatable.of(one, {"count": count, **given}, many=many, number=count).in_language(language)

    made.globals |= {
        "say": say,
        "say_n": say_n,
        "language": language,
        "languages": LANGUAGES,
        "asset": asset_path,
        "now": lambda: datetime.now(UTC),
    }
    made.filters |= {
        "number": partial(number, language),
        "percent": partial(percent, language),
        "money": money,
        "words": words.of_code,
        "command_words": words.of_command,
        "read_words": words.of_read,
        "subject": words.subject_of,
        "details": words.details_of,
        "mood": words.of_mood,
        "capitalised": partial(with_capital, language),
        "moment": partial(moment, language),
        "people_state": words.people_state,
        "local_times": partial(local_times, language),
        "clock": clock,
        "day": partial(day, language),
        "iso": lambda value: "" if (found := _instant(value)) is None else found.isoformat(),
        "duration": words.duration,
        "ago": words.time_distance,
        "paragraphs": _paragraphs,
    }
    return made


@cache
def asset_path(name: str) -> str:
    """The address of a static file; it changes with the file's content, so that browsers may keep it."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def _shown(language: str, value: object) -> object:
    return in_language(value, language) if isinstance(value, str) and not isinstance(value, Markup) else value


def with_capital(language: str, text: str) -> str:
    """A text whose first letter is a capital."""
    shown = in_language(text, language)
    return shown[:1].upper() + shown[1:]


def number(language: str, value: float, digits: int = 0) -> str:
    """``12,345``, or ``12.345`` in Spanish."""
    text = f"{value:,.{digits}f}"
    return text.translate(_SPANISH_SIGNS) if language == "es" else text


def percent(language: str, part: float, whole: float | None = None) -> str:
    """A share as ``42 %``; a dash where there is nothing to share."""
    share = part if whole is None else (part / whole if whole else None)
    return words.NOTHING if share is None else number(language, share * 100) + " %"


def _instant(value: object) -> datetime | None:
    """A time of a document or of an answer of the daemon."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        read = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _zone(name: str | None) -> tzinfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


def moment(language: str, value: object, zone: str | None = None) -> str:
    """``30 Nov 2026, 10:15 CET``, in the given zone, else in this host's."""
    read = _instant(value)
    if read is None:
        return words.NOTHING
    local = read.astimezone(_zone(zone))
    return f"{_date(language, local)}, {local:%H:%M} {_zone_name(local)}"


def _zone_name(local: datetime) -> str:
    name = f"{local:%Z}"
    # A zone without an abbreviation has its offset as name: -03.
    return f"UTC{name}" if name.startswith(("+", "-")) else name


def local_times(language: str, sentence: str, zone: str | None = None) -> str:
    """A sentence of the daemon, with each ISO time in it as the reader's."""
    shown = in_language(sentence, language)
    return _TIME_IN_TEXT.sub(lambda match: moment(language, match[0], zone), shown)


def clock(value: object, zone: str | None = None) -> str:
    """``10:15:07 CET``."""
    read = _instant(value)
    if read is None:
        return words.NOTHING
    local = read.astimezone(_zone(zone))
    return f"{local:%H:%M:%S} {_zone_name(local)}"


def day(language: str, value: object, zone: str | None = None) -> str:
    """``30 Nov 2026``."""
    read = _instant(value)
    return words.NOTHING if read is None else _date(language, read.astimezone(_zone(zone)))


def _date(language: str, local: datetime) -> str:
    if language == "es":
        return f"{local:%d-%m-%Y}"
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"


def _paragraphs(text: str) -> Markup:
    """Lines of a text as paragraphs."""
    return Markup("").join(Markup("<p>{}</p>").format(line) for line in str(text).splitlines() if line)
