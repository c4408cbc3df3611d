"""What the steps of a new campaign take from their forms, and show in them; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from fastapi import Response

from speechaid.model.batch import Batch, read_purpose
from speechaid.model.reading import mapping, text
from speechaid.protocol.translation import N_, say
from speechaid.web.problems import Problem

#: What a column can be, by what ``import --map`` takes, in the order of a form.
ROLES: Final[Mapping[str, str]] = {
    "phone": N_("telephone"),
    "name": N_("name"),
    "surname": N_("surname"),
    "id": N_("national id"),
    "check-digit": N_("check digit of the id"),
    "company": N_("company that is owed"),
    "amount": N_("amount owed"),
    "currency": N_("currency"),
    "due-date": N_("date to pay by"),
    "due-date:dmy": N_("date to pay by, the day first"),
    "due-date:mdy": N_("date to pay by, the month first"),
    "reference": N_("reference"),
    "country-code": N_("country code of the telephone"),
    "area-code": N_("area code of the telephone"),
    "do-not-call": N_("says who is not to be called"),
    "variable": N_("something the agent may say"),
    "left-out": N_("not used"),
}
DAYS: Final = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
#: Fields of the form of the settings, in its order; days have names of their own.
FIELDS: Final = (
    *("name", "description", "priority", "purpose", "start", "end", "timezone"),
    *("max_attempts", "retry_delay_hours", "max_concurrent_calls"),
    *("agent", "agent_version", "from_number"),
)
#: Those that are options of ``import`` by the same name, and numbers among them.
_OPTIONS: Final = (
    *("name", "description", "priority", "purpose", "timezone", "max_attempts", "retry_delay_hours"),
    *("max_concurrent_calls", "agent", "agent_version", "from_number"),
)
_WHOLE: Final = frozenset({"max_attempts", "max_concurrent_calls"})
#: For each number: the smallest and the largest that is taken.
_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "max_attempts": (1, 100),
    "retry_delay_hours": (0, 8760),
    "max_concurrent_calls": (1, 100_000),
}
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00")
_LONGEST_NAME: Final = 200
_MOST_HEADER_ROW: Final = 40
#: Why somebody of the file is not imported, by the states of known people.
_KNOWN: Final[Mapping[str, str]] = {
    "waiting": N_("wait for a call in another campaign"),
    "reached": N_("were reached in the last days"),
    "called": N_("were called in the last days"),
    "paid": N_("have paid in the last days"),
    "shared": N_("have only numbers that stand under three people or more"),
    "opted_out": N_("are on the do-not-call list"),
}
#: Of these, what the choice to keep duplicates imports all the same.
DUPLICATES: Final = frozenset({"waiting", "reached", "called", "paid"})

#: Refusals that are faults of what was typed.
FAULTS: Final = frozenset(
    {
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.CONFLICT,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    }
)


def fault_at(problem: Problem, fields: Collection[str], otherwise: str) -> dict[str, str]:
    """A refusal as the fault of the field that it begins with.

    Args:
        problem: the refusal.
        fields: of the form.
        otherwise: the field, or empty for the whole form, where it begins with none of these.

    Raises:
        Problem: it is no fault of what was typed.
    """
    if problem.document.status not in FAULTS:
        raise problem
    field = str(problem.detail).partition(":")[0].lstrip("-").replace("-", "_")
    return {field if field in fields else otherwise: problem.detail}


def read_amount(typed: str) -> float | None:
    """An amount above zero as people type it, with a comma or a point; None: it is none."""
    try:
        value = float(typed.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def corrected_columns(form: Mapping[str, str]) -> dict[str, str]:
    """The columns whose meaning was changed in the form, by their title, else by their number."""
    return {
        form[f"title_{number}"]: role
        for name, role in form.items()
        if (number := name.removeprefix("role_")) != name
        and role in ROLES
        and form.get(f"title_{number}")
        and role != form.get(f"was_{number}")
    }


def reading_options(form: Mapping[str, str]) -> dict[str, Any]:
    """Which part of the file is read.

    Raises:
        ValueError: the line of the titles is no number of a line.
    """
    options: dict[str, Any] = {}
    if sheet := form.get("sheet", "").strip():
        options["sheet"] = sheet
    if line := form.get("header_row", "").strip():
        options["header_row"] = int(line)
        if not 1 <= options["header_row"] <= _MOST_HEADER_ROW:
            raise ValueError(line)
    if "with_hidden_rows" in form:
        options["with_hidden_rows"] = True
    return options


def columns_shown(
    columns: Sequence[Mapping[str, Any]], chosen: Mapping[str, str], typed: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Each column with what it counts for now, and by which name the form corrects it.

    Args:
        columns: of the answer of ``import``.
        chosen: what the user has said before, by title or number.
        typed: a form that had a fault.
    """
    titles = [column["title"] for column in columns]
    shown = []
    for column in columns:
        title, number = column["title"], column["position"]
        key = title if title and titles.count(title) == 1 else str(number)
        role = chosen.get(key, column["role"])
        shown.append({**column, "key": key, "was": role, "now": typed.get(f"role_{number}", role)})
    return shown


def first_good_line(found: Mapping[str, Any]) -> int | None:
    """The first line of the file whose person would be imported; None: there is none."""
    if not found["good_rows"]:
        return None
    bad = {row["line"] for row in found["bad_rows"]}
    line = int(found["read"]["header_row"] or 0) + 1
    while line in bad:
        line += 1
    return line


def left_out(found: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Why people of good rows are not imported, or would be twice; and how many."""
    counts = sorted(found["known"]["counts"].items(), key=lambda one: (-one[1], one[0]))
    return [(say(_KNOWN.get(state, state)), int(count)) for state, count in counts]


def first_settings(file_name: str, batch: Batch | None) -> dict[str, str]:
    """What the form of the settings shows at first: what the account's last campaign had."""
    settings = {} if batch is None else mapping(batch.document.get("call_settings"))
    hours = mapping(settings.get("allowed_hours"))
    days = settings.get("days_of_week")
    shown = {
        "name": PurePath(file_name).stem[:_LONGEST_NAME],
        "start": text(hours.get("start")) or "09:00",
        "end": text(hours.get("end")) or "19:00",
        "timezone": text(settings.get("timezone")) or "",
        "purpose": read_purpose(settings.get("purpose")) or "",
        "agent": text(settings.get("agent_id")) or "",
        "from_number": text(settings.get("from_number")) or "",
    }
    for name in ("max_attempts", "retry_delay_hours", "max_concurrent_calls", "agent_version"):
        if (value := settings.get(name)) is not None and not isinstance(value, dict | list):
            shown[name] = f"{value:g}" if isinstance(value, float) else str(value)
    chosen = days if isinstance(days, list) and days else range(1, 6)
    return {**dict.fromkeys(FIELDS, ""), **shown, **{f"day_{day}": "1" for day in chosen}}


def settings_typed(form: Mapping[str, str]) -> dict[str, str]:
    """What stands in the form of the settings."""
    days = {f"day_{day}": "1" for day in range(1, 8) if form.get(f"day_{day}")}
    return {name: form.get(name, "").strip() for name in FIELDS} | days


def settings_options(typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings as options of ``import``, and the faults of the form by field."""
    options: dict[str, Any] = {}
    faults: dict[str, str] = {}
    if not typed["name"] or len(typed["name"]) > _LONGEST_NAME:
        faults["name"] = say("Give the campaign a name of at most 200 characters.")
    if not _TIME.fullmatch(typed["start"]) or not _TIME.fullmatch(typed["end"]):
        faults["start"] = say("Say from when to when people may be called, for example 09:00 to 19:00.")
    days = [str(day) for day in range(1, 8) if typed.get(f"day_{day}")]
    if not days:
        faults["day_1"] = say("Choose at least one day.")
    options |= {"hours": f"{typed['start'].zfill(5)}-{typed['end'].zfill(5)}", "days": ",".join(days)}
    for name in _OPTIONS:
        if not typed[name]:
            continue
        if name not in _BOUNDS:
            options[name] = typed[name]
            continue
        value = _number(typed[name], name)
        if value is None:
            least, most = _BOUNDS[name]
            faults[name] = say("This is a number from {least} to {most}.", least=int(least), most=int(most))
        else:
            options[name] = value
    return options, faults


def _number(typed: str, name: str) -> float | None:
    least, most = _BOUNDS[name]
    try:
        value = int(typed) if name in _WHOLE else float(typed.replace(",", "."))
    except ValueError:
        return None
    return value if least <= value <= most else None


def to_download(name: str, content: bytes) -> Response:
    """A file for the browser to save."""
    kind = "text/csv; charset=utf-8"
    if name.endswith(".xlsx"):
        kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    quoted = quote(name, safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quoted}"}
    return Response(content, headers=headers, media_type=kind)
