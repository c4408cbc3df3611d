"""Which fields of a document cannot be read, and whether that forbids calls. Pure; the tables are data.

A document of another program may hold anything. What cannot be read is named (document and field) to an
operator. Where the field may forbid a call (a limit, a switch, whom the job belongs to, what the person would
hear), it does: the job is not called until somebody corrects it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, TypeVar

from speechaid.model import reading
from speechaid.model.masking import mask_prose
from speechaid.model.reading import Document
from speechaid.model.states import STATUS_ALIASES, JobStatus
from speechaid.protocol.translation import joined, say, say_later

#: Faults of one document that are named at most.
MAX_FAULTS: Final = 10
#: Values that are looked at in one document at most; what lies beyond is not checked for its encoding.
_MAX_VALUES: Final = 200_000
#: Larger numbers are nobody's limit, amount or count, and do not fit every field.
_MAX_NUMBER: Final = 1e15
#: More attempts or crashes are a mistake.
_MAX_COUNT: Final = 1e6
#: The statuses of an account, in lower case.
ACCOUNT_STATUSES: Final = frozenset({"active", "suspended", "expired", "pending_activation"})
#: The largest document, in bytes, of a job that is called. The result of its call is written into it, and the
#: database allows 16 MiB.
MAX_JOB_BYTES: Final = 4 * 2**20

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FieldFault:
    """One field that cannot be read."""

    #: Dotted path in the document.
    field: str
    #: What is wrong, without the field's name.
    what: str
    #: Whether no call may be placed because of it.
    forbids: bool

    @property
    def sentence(self) -> str:
        """The field and what is wrong with it."""
        return joined(" ", (self.field, self.what))


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """What a field must hold, where it is set."""

    is_readable: Callable[[Any], bool]
    wanted: str
    forbids: bool = False


def _is_number(value: object) -> bool:
    number = reading.number(value)
    return number is not None and abs(number) < _MAX_NUMBER


def _is_count(value: object) -> bool:
    number = reading.number(value)
    return number is not None and number < _MAX_COUNT


def _is_text(value: object) -> bool:
    return isinstance(value, str) or reading.text(value) is not None


def _is_id(value: object) -> bool:
    """An id as queries find it: text only, since the database never compares text with a number."""
    return isinstance(value, str) and bool(value) and value == value.strip()


def _is_name(value: object) -> bool:
    return reading.usable_name(value) is not None


def _is_status(value: object) -> bool:
    word = (reading.text(value) or "").lower()
    return word in set(JobStatus) or word in STATUS_ALIASES


def _is_due_time(value: object) -> bool:
    return reading.due_time(value) is not None or (isinstance(value, str) and not value.strip())


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _are_texts(value: object) -> bool:
    return not isinstance(value, Mapping) and all(
        item is None or _is_text(item) for item in reading.sequence(value)
    )


def _is_switch(value: object) -> bool:
    return reading.read_active(value) is not None


def _is_yes_or_no(value: object) -> bool:
    return reading.yes_or_no(value) is not None


def _is_account_status(value: object) -> bool:
    return (reading.text(value) or "").lower() in ACCOUNT_STATUSES


def read_currency(value: object) -> str | None:
    """A code of three letters (ISO 4217) in capitals; None for anything else."""
    code = value.strip().upper() if isinstance(value, str) else ""
    return code if len(code) == 3 and code.isascii() and code.isalpha() else None


def _is_currency(value: object) -> bool:
    return read_currency(value) is not None


def _is_zone(value: object) -> bool:
    """Whether it is a known zone, or a blank text, which counts as missing."""
    if not isinstance(value, str):
        return False
    return not value.strip() or reading.find_zone(value.strip()) is not None


def _is_day(value: object) -> bool:
    """Whether it is a day, blank, or a time, which counts as missing (``Account.calls_today_date``)."""
    if not isinstance(value, str):
        return isinstance(value, datetime)
    try:
        date.fromisoformat(value.strip())
    except ValueError:
        return not value.strip()
    return True


#: Fields in these sub-documents reach the person's ear: what cannot be decoded there forbids the call.
_SPOKEN: Final = ("contact", "payload", "nombre", "rut", "to_number")
#: Of these nothing is quoted to an operator but the type.
_PERSONAL: Final = (*_SPOKEN, "dead_phones", "request")

_JOB: Final[Mapping[str, _Rule]] = {
    "job_id": _Rule(is_readable=_is_name, wanted=say_later("a text of printable characters, 200 at most")),
    "status": _Rule(is_readable=_is_status, wanted=say_later("a known status"), forbids=True),
    "account_id": _Rule(
        is_readable=_is_id, wanted=say_later("a text without blanks around it"), forbids=True
    ),
    "batch_id": _Rule(is_readable=_is_id, wanted=say_later("a text without blanks around it"), forbids=True),
    "contact": _Rule(is_readable=_is_mapping, wanted=say_later("a document")),
    "contact.phones": _Rule(is_readable=_are_texts, wanted=say_later("a list of texts")),
    "contact.next_phone_index": _Rule(is_readable=_is_count, wanted=say_later("a whole number")),
    "attempts": _Rule(is_readable=_is_count, wanted=say_later("a whole number"), forbids=True),
    "tries": _Rule(is_readable=_is_count, wanted=say_later("a whole number"), forbids=True),
    "max_attempts": _Rule(is_readable=_is_number, wanted=say_later("a whole number")),
    "reserved_until": _Rule(is_readable=_is_due_time, wanted=say_later("a time"), forbids=True),
    "reserved_amount": _Rule(is_readable=_is_number, wanted=say_later("a number")),
    "revision": _Rule(is_readable=_is_number, wanted=say_later("a whole number")),
    "dead_phones": _Rule(is_readable=_are_texts, wanted=say_later("a list of texts"), forbids=True),
    "crashes": _Rule(is_readable=_is_count, wanted=say_later("a whole number")),
    "request": _Rule(is_readable=_is_mapping, wanted=say_later("a document"), forbids=True),
}
_BATCH: Final[Mapping[str, _Rule]] = {
    "is_active": _Rule(is_readable=_is_switch, wanted=say_later("true or false"), forbids=True),
    "country": _Rule(is_readable=_is_text, wanted=say_later("a country code"), forbids=True),
    "accept_unassigned": _Rule(is_readable=_is_yes_or_no, wanted=say_later("true or false"), forbids=True),
    "account_id": _Rule(is_readable=_is_text, wanted=say_later("a text")),
    "priority": _Rule(is_readable=_is_number, wanted=say_later("1, 2 or 3")),
    "open_dials": _Rule(is_readable=_is_list, wanted=say_later("a list")),
}
_AMOUNTS: Final = (
    *("minutes_purchased", "minutes_used", "minutes_reserved", "credit_balance", "credit_used"),
    *("credit_reserved", "cost_per_minute", "cost_per_call_setup", "cost_failed_call"),
    *("max_concurrent_calls", "daily_call_limit", "calls_today"),
)
_ACCOUNT: Final[Mapping[str, _Rule]] = {
    "status": _Rule(
        is_readable=_is_account_status,
        wanted=say_later("active, suspended, expired or pending_activation"),
        forbids=True,
    ),
    "plan_type": _Rule(
        is_readable=lambda value: value in ("minutes_based", "credit_based", "unlimited"),
        wanted=say_later("minutes_based, credit_based or unlimited"),
        forbids=True,
    ),
    "country": _Rule(is_readable=_is_text, wanted=say_later("a country code"), forbids=True),
    # Also where a batch has a zone of its own: the daily limit counts days of this one.
    "timezone": _Rule(
        is_readable=_is_zone, wanted=say_later("a time zone such as America/Santiago"), forbids=True
    ),
    **dict.fromkeys(_AMOUNTS, _Rule(is_readable=_is_number, wanted=say_later("a number"), forbids=True)),
    "currency": _Rule(is_readable=_is_currency, wanted=say_later("an ISO 4217 code such as CLP")),
    "calls_today_date": _Rule(is_readable=_is_day, wanted="YYYY-MM-DD", forbids=True),
    "ledger_revision": _Rule(is_readable=_is_number, wanted=say_later("a whole number")),
    "open_dials": _Rule(is_readable=_is_list, wanted=say_later("a list")),
    "top_ups": _Rule(is_readable=_is_list, wanted=say_later("a list")),
}


def of_job(document: Document) -> tuple[FieldFault, ...]:
    """The faults of a job, but for its dial, which ``model.job`` reads."""
    return _faults(document, _JOB, _forbids_job, _job_fault)


def _forbids_job(path: str) -> bool:
    # No write finds a document again whose ``_id`` cannot be decoded.
    return path == "_id" or path.partition(".")[0] in _SPOKEN or (path in _JOB and _JOB[path].forbids)


def of_batch(document: Document) -> tuple[FieldFault, ...]:
    """The faults of a batch, but for its call settings, which are read on their own."""
    return _faults(document, _BATCH, lambda path: path in _BATCH and _BATCH[path].forbids)


def of_account(document: Document) -> tuple[FieldFault, ...]:
    """The faults of an account, amounts among them that were replaced when a call was charged."""
    found = _faults(document, _ACCOUNT, lambda path: path in _ACCOUNT and _ACCOUNT[path].forbids)
    replaced = reading.mapping(document.get("not_understood"))  # ``store.accounts`` keeps them here
    return (*(_replaced(name, replaced[name]) for name in _AMOUNTS if name in replaced), *found)


def _replaced(name: str, value: object) -> FieldFault:
    what = reading.wrong_value(value, say("correct {name}, and remove not_understood.{name}", name=name))
    return FieldFault(field=name, what=what, forbids=True)


def of_record(document: Document) -> tuple[FieldFault, ...]:
    """The faults of a document without fields that forbid a call: values that cannot be decoded."""
    return _faults(document, {}, lambda _path: False)


def read_leniently(read: Callable[[Document], T], document: Document) -> tuple[T, tuple[FieldFault, ...]]:
    """Read a document; without the fields that break its reader, where there are any.

    Readers take any value that a document is known to hold. Should one be unknown to them, it costs its
    document a fault, and no command or worker more than that.

    Returns:
        What was read, and a fault, which forbids calls, for each field that was left out.
    """
    try:
        return read(document), ()
    except Exception:  # noqa: BLE001 - whatever it is, the other fields can be read
        readable, broken = {"_id": document.get("_id")}, []
    for name, value in document.items():
        try:
            read({"_id": 0, name: value})
        except Exception as fault:  # noqa: BLE001
            what = say("cannot be read ({name})", name=type(fault).__name__)
            broken.append(FieldFault(field=mask_prose(name), what=what, forbids=True))
        else:
            readable[name] = value
    return read(readable), tuple(broken)


def _job_fault(path: str, value: object, wanted: str) -> str:
    """What is wrong with a field of a job: what is the person's is not quoted."""
    if path.partition(".")[0] in _PERSONAL:
        return say(
            "{type_name} cannot be understood: {wanted}", type_name=reading.type_name(value), wanted=wanted
        )
    return reading.wrong_value_of_person(value, wanted)


def _other_fault(_path: str, value: object, wanted: str) -> str:
    return reading.wrong_value(value, wanted)


def _faults(
    document: Document,
    rules: Mapping[str, _Rule],
    forbids: Callable[[str], bool],
    quote: Callable[[str, object, str], str] = _other_fault,
) -> tuple[FieldFault, ...]:
    undecoded = dict(_undecoded(document))
    found = []
    for path, what in undecoded.items():
        value, rule = _at(document, path), rules.get(path)
        # A due time before year 1 is named, and long past all the same.
        is_read = rule is not None and what == DATE_OUT_OF_RANGE and rule.is_readable(value)
        # A name in the path is another program's, and may be a number.
        found.append(FieldFault(field=mask_prose(path), what=what, forbids=forbids(path) and not is_read))
    for path, rule in rules.items():
        value = _at(document, path)
        if value is not None and path not in undecoded and not rule.is_readable(value):
            what = quote(path, value, rule.wanted)
            found.append(FieldFault(field=path, what=what, forbids=rule.forbids))
    # Those that forbid a call come first: only so many are named.
    return tuple(sorted(found, key=lambda fault: not fault.forbids)[:MAX_FAULTS])


NOT_UTF8: Final = say_later("holds text that is not UTF-8")
DATE_OUT_OF_RANGE: Final = say_later("holds a date outside of the years 1 to 9999")


def _undecoded(document: Document) -> Iterator[tuple[str, str]]:
    """Each value that could not be decoded, with its path."""
    waiting: list[tuple[str, Any]] = [("", document)]
    for _ in range(_MAX_VALUES):
        if not waiting:
            return
        path, value = waiting.pop()
        if isinstance(value, Mapping | list):
            inside = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting += [(f"{path}.{name}" if path else str(name), item) for name, item in inside]
        elif reading.UNREADABLE in path or (isinstance(value, str) and reading.UNREADABLE in value):
            yield path.replace(reading.UNREADABLE, "?"), NOT_UTF8
        elif reading.is_out_of_range(value):
            yield path, DATE_OUT_OF_RANGE


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
