"""What ``jobs``, ``export`` and ``logs`` may be restricted to, as queries of indexed fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from speechaid.commands.ids import resolve_account, resolve_batch
from speechaid.commands.interfaces import CommandRefused, HandlerContext
from speechaid.model import agent_settings, reading
from speechaid.model.reading import Document
from speechaid.model.test_calls import TESTS
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.rules import phones
from speechaid.rules.numbers import all_spellings
from speechaid.store.test_calls import of_campaigns

#: For each collection the field of each filter; a collection without the field cannot be filtered by it.
FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "jobs": {
        "batch": "batch_id",
        "account": "account_id",
        "outcome": "last_outcome",
        "agent": "last_agent_id",
        "from_number": "last_from_number",
        "number": "contact.phones",
        "date": "created_at",
    },
    "results": {
        "batch": "batch_id",
        "account": "account_id",
        "outcome": "outcome",
        "agent": "agent_id",
        "from_number": "from_number",
        "number": "contact.phone_used",
        "date": "created_at",
    },
    "do_not_call": {"number": "_id", "date": "at"},
}

_FILTERS: Final = ("batch", "account", "outcome", "agent", "from_number", "number")


def filter_query(context: HandlerContext, args: Mapping[str, Any], collection: str) -> Document:
    """The query of the filters that were given; without test calls, unless ``tests`` asks for them alone.

    Raises:
        CommandRefused: a filter that the collection cannot have, or a value that cannot be used.
    """
    fields = FIELDS[collection]
    given = {name for name in _FILTERS if args.get(name) is not None}
    for name in sorted(given - fields.keys()):
        option = name.replace("_", "-")
        message = say("the do-not-call list belongs to no {option}: leave out --{option}", option=option)
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    query: Document = {}
    if "batch" in given:
        query[fields["batch"]] = resolve_batch(context.store, args["batch"]).batch_id
    if "account" in given:
        query[fields["account"]] = resolve_account(context.store, args["account"]).account_id
    if "outcome" in given:
        query[fields["outcome"]] = args["outcome"]
    if "agent" in given:
        query[fields["agent"]] = args["agent"]
    if "from_number" in given:
        query[fields["from_number"]] = caller_number(args["from_number"])
    if "number" in given:
        query[fields["number"]] = {"$in": _spellings(context, args["number"])}
    if args.get("tests"):
        tested = query.pop("batch_id", None)
        query |= {"batch_id": TESTS, **({} if tested is None else {"test.batch_id": tested})}
    days = date_range(context, args)
    # The do-not-call list belongs to no batch, and so to no test.
    return (of_campaigns(query) if "batch" in fields else query) | ({fields["date"]: days} if days else {})


def caller_number(typed: str) -> str:
    """A number that calls, as Retell lists it.

    Raises:
        CommandRefused: it is not in E.164.
    """
    rule = agent_settings.RULES["from_number"]
    if rule.read(typed) is None:
        sentence = say("from-number: {wrong_value}", wrong_value=reading.wrong_value(typed, rule.allowed))
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, sentence)
    return str(rule.read(typed))


def date_range(context: HandlerContext, args: Mapping[str, Any]) -> Document:
    """The condition of ``--from`` and ``--to``, whole days of the default zone; empty where none is given."""
    zone = ZoneInfo(context.settings.dialling.default_timezone)
    first, last = _day("from", args.get("from")), _day("to", args.get("to"))
    if first is not None and last is not None and last < first:
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT, say("to: {last} is before --from {first}", last=last, first=first)
        )
    return {
        **({} if first is None else {"$gte": _midnight(first, zone)}),
        **({} if last is None else {"$lt": _midnight(last + timedelta(days=1), zone)}),
    }


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _day(option: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        message = say("{option}: {text!r} is not a day; write 2026-11-30", option=option, text=text)
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message) from exc


def _spellings(context: HandlerContext, typed: str) -> list[str]:
    """A number as typed, and every spelling of its line with and without the plus, as programs store it."""
    number = phones.normalise(typed, context.settings.dialling.default_country)
    if number is None:
        message = say("number: {typed!r} is not a phone number; write +56912345678", typed=typed)
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return sorted({typed, *(form for one in all_spellings(number) for form in (one, one.removeprefix("+")))})
