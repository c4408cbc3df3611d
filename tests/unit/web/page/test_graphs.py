"""Graphs: what is drawn, and that a screen reader and a printer have it too."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from speechaid.web.page.graphs import HEIGHT, WIDTH, Graph, Series, axis_end, bars, line
from speechaid.web.page.report_graphs import report_graphs

SVG = "{http://www.w3.org/2000/svg}"


def graph_of(*values: list[float], title: str = "Calls") -> Graph:
    return Graph(
        name="calls",
        title=title,
        description="What there is to see.",
        categories=[f"{place}:00" for place in range(len(values[0]))],
        series=[Series(name=f"series {number}", values=own) for number, own in enumerate(values)],
        write=lambda value: f"{value:g}",
    )


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)


def bars_of(svg: ET.Element) -> list[ET.Element]:
    return [one for one in svg.iter("rect") if one.find("title") is not None]


def test_a_screen_reader_gets_title_and_description() -> None:
    svg = parsed(bars(graph_of([1, 2])))
    assert svg.get("role") == "img"
    names = (svg.get("aria-labelledby") or "").split()
    texts = {one.get("id"): one.text for one in svg if one.get("id")}
    assert [texts[name] for name in names] == ["Calls", "What there is to see."]


def test_bars_are_as_high_as_their_values() -> None:
    small, large = (float(one.get("height") or 0) for one in bars_of(parsed(bars(graph_of([10, 40])))))
    assert large == pytest.approx(4 * small, rel=0.01)


def test_stacked_bars_stand_on_each_other() -> None:
    lower, upper = bars_of(parsed(bars(graph_of([10], [30]), stacked=True)))
    assert float(upper.get("y") or 0) + float(upper.get("height") or 0) == pytest.approx(
        float(lower.get("y") or 0), abs=0.2
    )


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [1e9, 1], [0.001], list(map(float, range(400)))])
def test_everything_is_drawn_within_the_frame(values: list[float]) -> None:
    for svg in (parsed(bars(graph_of(values))), parsed(line(graph_of(values)))):
        for one in svg.iter("rect"):
            x, y = float(one.get("x") or 0), float(one.get("y") or 0)
            assert 0 <= x <= x + float(one.get("width") or 0) <= WIDTH
            assert 0 <= y <= y + float(one.get("height") or 0) <= HEIGHT
        for one in svg.iter("circle"):
            assert 0 <= float(one.get("cx") or 0) <= WIDTH
            assert 0 <= float(one.get("cy") or 0) <= HEIGHT


def test_what_people_typed_is_no_markup() -> None:
    text = bars(graph_of([1], title="<script>alert(1)</script>"))
    assert "<script" not in text
    assert parsed(text).findtext("title") == "<script>alert(1)</script>"


def test_no_graph_has_a_style_that_the_policy_refuses() -> None:
    assert "style" not in bars(graph_of([1]))
    assert "style" not in line(graph_of([1]))


@pytest.mark.parametrize(
    ("value", "end"),
    [(0, 4), (1, 4), (4, 4), (5, 8), (9, 10), (41, 80), (60, 80), (1000, 1000), (1001, 2000)],
)
def test_an_axis_ends_at_a_round_number_above_all_values(value: float, end: float) -> None:
    assert axis_end(value) == end


def test_a_report_without_calls_has_no_graphs() -> None:
    assert report_graphs({"hours": [], "days": []}, "en") == {}


def test_a_report_of_one_day_shows_its_progress_by_hours_and_its_money() -> None:
    promised = {"jobs": 1, "by_currency": [{"currency": "CLP", "amount": 5000.0, "jobs": 1}]}
    day = {
        "day": "2026-11-30",
        "calls": 12,
        "by_person": 6,
        "successful": 3,
        "promised": promised,
        "recovered": {"jobs": 0, "by_currency": []},
    }
    hours = [
        {"hour": 9, "calls": 8, "by_person": 2, "successful": 1},
        {"hour": 11, "calls": 4, "by_person": 4, "successful": 2},
    ]
    graphs = report_graphs({"hours": hours, "days": [day]}, "es")
    assert set(graphs) == {"hours", "rates", "progress", "money-CLP"}
    assert parsed(graphs["hours"]).findtext("desc") == (
        "La mayoría de las llamadas, 8, fue entre las 9:00 y las 10:00."
    )
    assert "100 %" in (parsed(graphs["rates"]).findtext("desc") or "")
    # Ten o'clock, without a call, has its place; the progress has a point for each hour with calls.
    assert len(bars_of(parsed(graphs["rates"]))) == 3
    points = [one.findtext("title") for one in parsed(graphs["progress"]).iter("circle")]
    assert points[:2] == ["9:00: llamadas hasta entonces, 8", "11:00: llamadas hasta entonces, 12"]
    assert "5.000 CLP" in (parsed(graphs["money-CLP"]).findtext("desc") or "")
