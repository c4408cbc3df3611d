"""A job as Retell's dynamic variables, which the agent's prompt uses; all values are strings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from speechaid.model import reading
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.rules.currencies import OF_COUNTRY, UNIT_NAMES
from speechaid.rules.phones import country_of
from speechaid.rules.spoken import spoken_amount, spoken_date, spoken_moment

#: The current time in this zone is always among the variables: SpeechAI's prompts use it.
HOME_ZONE: Final = "America/Santiago"

#: The language of spoken forms, unless a batch names one.
LANGUAGE: Final = "es"
_PLAIN_AMOUNT: Final = re.compile(r"\d{1,16}(?:\.\d{1,6})?")

#: Names that existing prompts use, and the job's field with the value.
ALIASES: Final = {
    "nombre": "name",
    "RUT": "dni",
    "empresa": "company_name",
    "monto_total": "debt_amount",
    "fecha_limite": "due_date",
    "cantidad_cupones": "cantidad_cupones",
    "cuotas_adeudadas": "cantidad_cupones",
    "fecha_maxima": "fecha_maxima",
}

#: Names that are made of a job's variable, and the name of that variable.
DERIVED: Final = {
    **ALIASES,
    "monto_total_texto": "debt_amount",
    "fecha_limite_texto": "due_date",
    "fecha_maxima_texto": "fecha_maxima",
}

#: Said with the variable that it belongs to, never alone.
SAID_WITH_ANOTHER: Final = frozenset({"currency"})

#: Fields of contact and payload that programs write for themselves.
_INTERNAL_FIELDS: Final = frozenset({"next_phone_index", "_id"})


def variables_for(
    job: Job, *, now: datetime, zone: str, country: str | None = None, language: str = LANGUAGE
) -> dict[str, str]:
    """The variables for one call; empty ones are left out.

    Where a name occurs more than once, the contact's value wins over the payload's, and that over
    ``additional_info``'s. A job's own value under an alias's name wins over the alias.

    Args:
        job: its contact and payload are used.
        now: aware; the time is given in ``zone`` and in ``HOME_ZONE``.
        zone: the calling window's IANA zone; an unknown one is left out.
        country: ISO 3166 alpha-2: an amount in its own currency is said without the currency's code.
        language: of the spoken forms and times, such as ``es`` or ``pt-BR``.
    """
    payload = reading.mapping(job.document.get("payload"))
    own = own_variables(job, zone)
    kind = _kind_of_call(own)
    own |= _with_currency(own, country)
    derived = {alias: own[name] for alias, name in ALIASES.items() if name in own}
    spoken = _spoken(payload, own, country, language)
    return {**derived, **kind, **spoken, **own, **_times(now, (HOME_ZONE, zone), language)}


def variables_in(
    job: Job,
    *,
    batch: Batch | None,
    account: Account | None,
    now: datetime,
    default_timezone: str,
    default_country: str | None,
) -> dict[str, str]:
    """``variables_for`` in the batch's zone and country, else the account's, else the defaults."""
    zone = (batch.call_settings.timezone if batch else None) or (account.timezone if account else None)
    return variables_for(
        job,
        now=now,
        zone=str(zone or default_timezone),
        country=country_of(batch, account, default_country),
    )


def own_variables(job: Job, zone: str = "UTC") -> dict[str, str]:
    """The variables that stand in the job itself; empty ones are left out."""
    payload = reading.mapping(job.document.get("payload"))
    own: dict[str, str] = {}
    for source in (
        reading.mapping(payload.get("additional_info")),
        payload,
        reading.mapping(job.document.get("contact")),
        {"name": job.contact.name, "dni": job.contact.dni},
    ):
        own.update(_texts(source, zone))
    return own


def plain(value: object, zone: str = "UTC") -> str:
    """A scalar as plain text: no exponent, no ``.0``, dates without a time of midnight; else empty."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _moment(value, zone)
    if isinstance(value, date):
        return value.isoformat()
    to_decimal = getattr(value, "to_decimal", None)  # bson.Decimal128, without importing bson
    amount = to_decimal() if callable(to_decimal) else value
    if isinstance(amount, int | float | Decimal):
        return _amount(Decimal(str(amount)))
    return ""


def _texts(source: Mapping[str, object], zone: str) -> dict[str, str]:
    texts = {name.strip(): plain(value, zone) for name, value in source.items()}
    return {name: text for name, text in texts.items() if name and text and name not in _INTERNAL_FIELDS}


def _kind_of_call(own: Mapping[str, str]) -> dict[str, str]:
    if own.get("debt_amount", "0") != "0":
        return {"tipo_llamada": "cobranza"}
    return {"tipo_llamada": "marketing"} if "offer_description" in own else {}


def _with_currency(own: Mapping[str, str], country: str | None) -> dict[str, str]:
    """An amount in another currency than the country's, or in a unit, is never a bare number: ``12.5 UF``."""
    currency = own.get("currency", "").upper()
    amount = own.get("debt_amount")
    if not currency or amount is None or currency == OF_COUNTRY.get((country or "").upper()):
        return {}
    return {"debt_amount": f"{amount} {UNIT_NAMES.get(currency, currency)}"}


def _spoken(
    payload: Mapping[str, object], own: Mapping[str, str], country: str | None, language: str
) -> dict[str, str]:
    """Amount and dates in words, which leave a voice no choice."""
    own_currency = OF_COUNTRY.get((country or "").upper())
    currency = own.get("currency", "").upper() or own_currency
    amount = plain(payload.get("debt_amount"))
    spoken = {}
    if _PLAIN_AMOUNT.fullmatch(amount):
        spoken["monto_total_texto"] = spoken_amount(Decimal(amount), currency, language, own_currency)
    for name in ("due_date", "fecha_maxima"):
        try:
            day = date.fromisoformat(own.get(name, ""))
        except ValueError:
            continue
        spoken[f"{'fecha_limite' if name == 'due_date' else name}_texto"] = spoken_date(day, language)
    return {name: words for name, words in spoken.items() if words}


def _times(now: datetime, zones: tuple[str, ...], language: str) -> dict[str, str]:
    """Under the names of Retell's own time variables; agents need the weekday to understand "on Friday"."""
    times: dict[str, str] = {}
    for zone in zones:
        zone_info = _zone(zone)
        if zone_info is not None:
            local = now.astimezone(zone_info)
            words = spoken_moment(local, language) or f"{local:%Y-%m-%d %H:%M}"
            times[f"current_time_{zone.replace('/', '_')}"] = words
    return times


def _moment(value: datetime, zone: str) -> str:
    """Date and time in ``zone``; only the date where the time is midnight, in UTC or in ``zone``."""
    stamp = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    try:
        local = stamp.astimezone(_zone(zone) or UTC)
    except OverflowError:  # the first or last representable day
        return stamp.date().isoformat()
    for reading_of in (stamp, local):
        if reading_of.time() == time():
            return reading_of.date().isoformat()
    return f"{local:%Y-%m-%d %H:%M}"


def _amount(value: Decimal) -> str:
    if not value.is_finite():
        return ""
    whole = value.to_integral_value()
    return f"{whole:f}" if value == whole else f"{value:f}"


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # unknown, malformed, or a directory
        return None
