"""The graphs of a report: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

from markupsafe import Markup

from speechaid.protocol.money import money
from speechaid.protocol.translation import in_language, say
from speechaid.web.page import rendering
from speechaid.web.page.graphs import Graph, Series, bars, line


def report_graphs(report: Mapping[str, Any], language: str) -> dict[str, Markup]:
    """By its name, each graph for which the report has figures.

    Args:
        report: of the command ``report``.
        language: of the reader.
    """

    def said(text: str) -> str:
        return in_language(text, language)

    graphs: dict[str, Markup] = {}
    if report["hours"]:
        graphs |= _of_hours(report["hours"], said, language)
    if report["days"] and report["hours"]:
        graphs |= _of_days(report["days"], report["hours"], said, language)
    return graphs


def _of_hours(rows: list[dict[str, Any]], said: Callable[[str], str], language: str) -> dict[str, Markup]:
    known = {int(row["hour"]): row for row in rows}
    span = range(min(known), max(known) + 1)
    names = [f"{hour}:00" for hour in span]
    reached = [known.get(hour, {}).get("by_person", 0) for hour in span]
    others = [known.get(hour, {}).get("calls", 0) - own for hour, own in zip(span, reached, strict=True)]
    busiest = max(span, key=lambda hour: known.get(hour, {}).get("calls", 0))
    best = max(span, key=lambda hour: _rate(known.get(hour, {})))
    return {
        "hours": bars(
            Graph(
                name="hours",
                title=said(say("Calls by hour")),
                description=said(
                    say(
                        "Most calls, {calls}, were between {hour}:00 and {next}:00.",
                        calls=known[busiest]["calls"],
                        hour=busiest,
                        next=busiest + 1,
                    )
                ),
                categories=names,
                series=(
                    Series(name=said(say("answered by a person")), values=reached),
                    Series(name=said(say("not answered by a person")), values=others),
                ),
                write=lambda value: rendering.number(language, value),
            ),
            stacked=True,
        ),
        "rates": bars(
            Graph(
                name="rates",
                title=said(say("Answer rate by hour")),
                description=said(
                    say(
                        "Most people answer between {hour}:00 and {next}:00: {rate}.",
                        hour=best,
                        next=best + 1,
                        rate=rendering.percent(language, _rate(known[best])),
                    )
                ),
                categories=names,
                series=(
                    Series(
                        name=said(say("Answer rate")), values=[_rate(known.get(hour, {})) for hour in span]
                    ),
                ),
                write=lambda value: rendering.percent(language, value),
                most=1.0,
            )
        ),
    }


def _of_days(
    rows: list[dict[str, Any]], hours: list[dict[str, Any]], said: Callable[[str], str], language: str
) -> dict[str, Markup]:
    names = [rendering.day(language, row["day"]) for row in rows]
    # Of a single day, its hours show the progress.
    times, steps = (names, rows) if len(rows) > 1 else ([f"{row['hour']}:00" for row in hours], hours)
    calls = list(accumulate(row["calls"] for row in steps))
    reached = list(accumulate(row["by_person"] for row in steps))
    graphs = {
        "progress": line(
            Graph(
                name="progress",
                title=said(say("Progress")),
                description=said(
                    say(
                        "Up to {time} there were {calls} calls, of which a person answered {reached}.",
                        time=times[-1],
                        calls=calls[-1],
                        reached=reached[-1],
                    )
                ),
                categories=times,
                series=(
                    Series(name=said(say("calls up to then")), values=calls),
                    Series(name=said(say("answered by a person")), values=reached),
                ),
                write=lambda value: rendering.number(language, value),
            )
        )
    }
    for currency in _currencies(rows):
        promised = [_amount(row["promised"], currency) for row in rows]
        recovered = [_amount(row["recovered"], currency) for row in rows]
        graphs[f"money-{currency or 'none'}"] = bars(
            Graph(
                name=f"money-{currency or 'none'}",
                title=said(say("Promised and recovered")) + (f" ({currency})" if currency else ""),
                description=said(
                    say(
                        "Promised: {promised}. Recovered: {recovered}.",
                        promised=money(sum(promised), currency),
                        recovered=money(sum(recovered), currency),
                    )
                ),
                categories=names,
                series=(
                    Series(name=said(say("promised")), values=promised),
                    Series(name=said(say("recovered")), values=recovered),
                ),
                write=lambda value: rendering.number(language, value),
            )
        )
    return graphs


def _currencies(rows: list[dict[str, Any]]) -> list[str | None]:
    found = {
        one["currency"]: None
        for row in rows
        for what in ("promised", "recovered")
        for one in row[what]["by_currency"]
    }
    return sorted(found, key=str)


def _amount(sums: Mapping[str, Any], currency: str | None) -> float:
    return float(sum(one["amount"] for one in sums["by_currency"] if one["currency"] == currency))


def _rate(row: Mapping[str, Any]) -> float:
    calls = row.get("calls", 0)
    return float(row["by_person"] / calls) if calls else 0.0
