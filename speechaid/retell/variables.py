"""What an agent is told about the person that it calls: a job as Retell's dynamic variables, all strings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from speechaid.model import reading
from speechaid.model.job import Job

#: The zone whose time every agent is told: SpeechAI's prompts were written for it.
HOME_ZONE: Final = "America/Santiago"

#: The names in existing agents' prompts, each with the name that its value stands under in the job.
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

#: What programs keep among the contact's fields for themselves.
_BOOKKEEPING: Final = frozenset({"next_phone_index", "_id"})


def variables_for(job: Job, *, now: datetime, zone: str) -> dict[str, str]:
    """The variables for one call; empty ones are left out.

    A name that several places use means the contact's first, then the payload's, then ``additional_info``'s.
    What a job says itself under an alias's name is kept.

    Args:
        job: whose contact and payload they are.
        now: aware; the agent is told the time in ``zone`` and in ``HOME_ZONE``.
        zone: the calling window's IANA zone; one that nobody knows is left out.
    """
    payload = reading.mapping(job.document.get("payload"))
    own: dict[str, str] = {}
    for source in (
        reading.mapping(payload.get("additional_info")),
        payload,
        reading.mapping(job.document.get("contact")),
        {"name": job.contact.name, "dni": job.contact.dni},
    ):
        own.update(_texts(source, zone))
    derived = {alias: own[name] for alias, name in ALIASES.items() if name in own}
    return {**derived, **_kind_of_call(own), **own, **_times(now, (HOME_ZONE, zone))}


def plain(value: object, zone: str = "UTC") -> str:
    """A scalar as one would write it: no exponent, no ``.0``, dates without a needless time; else empty."""
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
    return {name: text for name, text in texts.items() if name and text and name not in _BOOKKEEPING}


def _kind_of_call(own: Mapping[str, str]) -> dict[str, str]:
    if own.get("debt_amount", "0") != "0":
        return {"tipo_llamada": "cobranza"}
    return {"tipo_llamada": "marketing"} if "offer_description" in own else {}


def _times(now: datetime, zones: tuple[str, ...]) -> dict[str, str]:
    """In the form of Retell's own time variables; the weekday is what an agent needs for "on Friday"."""
    times: dict[str, str] = {}
    for zone in zones:
        place = _zone(zone)
        if place is not None:
            local = now.astimezone(place)
            times[f"current_time_{zone.replace('/', '_')}"] = f"{local:%A, %B %d, %Y at %I:%M:%S %p %Z}"
    return times


def _moment(value: datetime, zone: str) -> str:
    """A date alone where the time says nothing: midnight, in UTC or in the zone of the campaign."""
    stamp = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    try:
        local = stamp.astimezone(_zone(zone) or UTC)
    except OverflowError:  # the first or last day that there is
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
    except (ValueError, OSError, LookupError):  # unknown, absurd, or a directory
        return None
