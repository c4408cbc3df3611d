"""Read documents of another program leniently: a wrong type counts as a missing field, never an error.

What cannot be read is also named, and may forbid a call: ``model.faults``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from speechaid.model.masking import mask_prose
from speechaid.protocol.translation import say

Document = dict[str, Any]

#: Stands in a decoded text for each byte that is not UTF-8 (``store.decoding``); no text has this character.
UNREADABLE: Final = "\ufdd0"
#: Values of ``is_active`` that mean yes; None is also a missing field. The store's queries use them.
ACTIVE_VALUES: Final = (None, True, 1, "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "1")
#: Numbers that are read as a due time: seconds and milliseconds since 1970, both from 2001 to the year 5138.
_EPOCH_SECONDS: Final = (1e9, 1e11)
_EPOCH_MILLISECONDS: Final = (1e12, 1e14)
#: The last year that counts as a time; the arithmetic of windows and delays needs room after it.
_LAST_YEAR: Final = 9000
#: A smaller number is a limit or an amount; of nine digits or more, it may be somebody's phone.
_LEAST_PHONE: Final = 1e8
#: So many characters of a value are looked through for numbers to mask.
_LONGEST_MASKED: Final = 400
#: Longest name that is used as it stands in messages, logs and process titles.
_LONGEST_NAME: Final = 200


def text(value: object) -> str | None:
    """A non-blank string, stripped; a whole number of any type as its digits; anything else is None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if callable(to_decimal := getattr(value, "to_decimal", None)):
        amount = to_decimal()
        short = amount.is_finite() and amount.adjusted() < _LONGEST_NAME
        return str(int(amount)) if short and amount == amount.to_integral_value() else None
    if not isinstance(value, str):
        return None
    return value.strip() or None


def number(value: object) -> float | None:
    """An int, float, Decimal128 or numeric string as a float; NaN and anything else is None."""
    if isinstance(value, bool) or value is None:
        return None
    to_decimal = getattr(value, "to_decimal", None)  # bson.Decimal128, without importing bson
    if callable(to_decimal):
        value = to_decimal()
    if not isinstance(value, int | float | Decimal | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if result == result and abs(result) != float("inf") else None  # noqa: PLR0124 - NaN


def whole(value: object, default: int = 0) -> int:
    """A number truncated to an integer, or the default."""
    result = number(value)
    return default if result is None else int(result)


def usable_name(value: object) -> str | None:
    """A text that may stand in messages and process titles: printable and short; anything else is None."""
    result = text(value)
    usable = result is not None and len(result) <= _LONGEST_NAME and result.isprintable()
    return result if usable else None


def as_printable(value: object, longest: int = _LONGEST_NAME) -> str:
    """Any value as a text without control characters, cut where it is too long."""
    result = value if isinstance(value, str) else str(value)
    if len(result) > longest:
        result = f"{result[: longest - 3]}..."
    return result if result.isprintable() else "".join(c if c.isprintable() else "?" for c in result)


def yes_or_no(value: object) -> bool | None:
    """A boolean, 0, 1, or one of yes, no, on, off, true, false, 1, 0; anything else is None.

    For what may forbid a call: there the caller takes None as a no.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in {"true", "yes", "on", "1"}:
            return True
        return False if word in {"false", "no", "off", "0"} else None
    amount = number(value)
    return bool(amount) if amount in {0, 1} else None


def flag(value: object, *, default: bool) -> bool:
    """As ``yes_or_no``, and any other number is a yes; the default where that cannot tell."""
    result = yes_or_no(value)
    if result is None and not isinstance(value, str) and number(value) is not None:
        return True
    return default if result is None else result


def read_active(value: object) -> bool | None:
    """The switch of a batch: yes only where the store's queries find it too; None where it says neither."""
    if value in ACTIVE_VALUES or (not isinstance(value, str) and number(value) == 1):
        return True
    return False if yes_or_no(value) is False else None


def instant(value: object) -> datetime | None:
    """A datetime or ISO string as aware UTC, else None; one without a zone is UTC, as SpeechAI writes it."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:  # within hours of the first or the last year
        return None


def due_time(value: object) -> datetime | None:
    """When a job is due, or its lease ends: as ``instant``, and numbers since 1970; else None.

    The one reading of ``reserved_until``: for claims (``Queue.convert_due_times`` writes it), ``explain``,
    ``forecast`` and ``doctor``. A number is milliseconds where it is large enough, else seconds; MongoDB's
    own timestamp is seconds. A date before year 1 is long past; one after year 9000 is no time.
    """
    if is_out_of_range(value):
        return datetime(1970, 1, 1, tzinfo=UTC) if int(value) < 0 else None  # type: ignore[call-overload]
    if is_timestamp(value):
        value = value.time  # type: ignore[attr-defined]
    if isinstance(value, str | datetime):
        moment = instant(value)
        return None if moment is None or moment.year > _LAST_YEAR else moment
    amount = number(value)
    if amount is None:
        return None
    for (least, most), unit in ((_EPOCH_SECONDS, 1), (_EPOCH_MILLISECONDS, 1000)):
        if least <= amount < most:
            return datetime.fromtimestamp(amount / unit, UTC)
    return None


@lru_cache(maxsize=256)
def find_zone(name: str) -> ZoneInfo | None:
    """The zone of an IANA name, or None if it is unknown."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown, a path, or a folder such as "America"
        return None


def is_out_of_range(value: object) -> bool:
    """Whether it is a date that ``datetime`` cannot hold: ``bson.DatetimeMS``, without importing bson."""
    return _has_as_datetime(value) and hasattr(value, "__int__")


def is_timestamp(value: object) -> bool:
    """Whether it is a timestamp of MongoDB's own, as its replication uses: ``bson.Timestamp``."""
    return _has_as_datetime(value) and isinstance(getattr(value, "time", None), int)


def _has_as_datetime(value: object) -> bool:
    return not isinstance(value, datetime) and callable(getattr(value, "as_datetime", None))


def mapping(value: object) -> Mapping[str, Any]:
    """A sub-document, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> list[Any]:
    """A list; a single scalar counts as a list of one."""
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None or isinstance(value, Mapping) else [value]


def not_understood(name: str, value: object, allowed: str) -> str:
    """The sentence for an operator about a field that cannot be understood."""
    return say("{name} {wrong_value}", name=name, wrong_value=wrong_value(value, allowed))


def wrong_value(value: object, allowed: str) -> str:
    """As ``not_understood``, without the field's name."""
    return _wrong(shown(value), allowed)


def wrong_value_of_person(value: object, allowed: str) -> str:
    """As ``wrong_value``, for a field beside a person's: of what may be a name, only the type is said."""
    is_quoted = value is None or isinstance(value, bool | int | float | datetime)
    is_word = isinstance(value, str) and not any(character.isspace() for character in value)
    return _wrong(shown(value) if is_quoted or is_word else type_name(value), allowed)


def type_name(value: object) -> str:
    """The type of a stored value in words, such as ``a text``; nothing of the value itself."""
    if isinstance(value, bool):
        return say("a boolean")
    names = (
        (str, say("a text")),
        (int | float, say("a number")),
        (Mapping, say("a document")),
        (list, say("a list")),
    )
    found = next((name for kind, name in names if isinstance(value, kind)), None)
    return found or say("a value of type {name}", name=type(value).__name__)


def _wrong(found: str, allowed: str) -> str:
    return say("{found} cannot be understood: {allowed}", found=found, allowed=allowed)


def shown(value: object) -> str:
    """The ``repr`` of a stored value with phone numbers masked, cut to 60 characters."""
    if isinstance(value, int | float) and abs(value) < _LEAST_PHONE:
        return repr(value)
    # Cut before, too: a mask takes time, and is shorter than its number.
    result = mask_prose(repr(value)[:_LONGEST_MASKED])
    return result if len(result) <= 60 else f"{result[:57]}..."
