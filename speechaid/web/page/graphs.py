"""Graphs as SVG, drawn on the server: pure.

Every graph has a title and a description for screen readers, and stands beside a table of the same figures.
Two series differ in lightness and not in colour alone, so that they can be told apart in print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

WIDTH: Final = 640
HEIGHT: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 24, 32
#: Labels below the graph at most.
_LABELS: Final = 12
#: Share of a category's width that its bars take.
_FILLED: Final = 0.7
#: A bar is no wider, in units of the drawing.
_WIDEST: Final = 64
#: Lines across the graph, above its base.
_LINES: Final = 4


@dataclass(frozen=True, kw_only=True)
class Series:
    """Figures of one kind, one for each category; none below zero."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What a graph shows."""

    #: Within the page, for the ids of title and description.
    name: str
    title: str
    #: What there is to see, in a sentence.
    description: str
    categories: Sequence[str]
    series: Sequence[Series]
    #: How a value is written at the axis.
    write: Callable[[float], str]
    #: The end of the axis; None: a round number above all values.
    most: float | None = None


def bars(graph: Graph, *, stacked: bool = False) -> Markup:
    """Bars, beside each other or on top of each other."""
    sums = [sum(column) for column in zip(*(one.values for one in graph.series), strict=True)]
    highest = max(sums if stacked else [value for one in graph.series for value in one.values], default=0)
    top = graph.most or axis_end(highest)
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(graph.categories))
    filled = min(step * _FILLED, _WIDEST)
    wide = filled / (1 if stacked else max(1, len(graph.series)))
    drawn: list[Markup] = []
    for place, category in enumerate(graph.categories):
        left, base = _LEFT + step * place + (step - filled) / 2, 0.0
        for number, one in enumerate(graph.series):
            value = one.values[place]
            upper = _height(base + value, top) if stacked else _height(value, top)
            lower = _height(base, top) if stacked else 0.0
            x = left if stacked else left + wide * number
            drawn.append(
                Markup(
                    '<rect class="bar{number}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}"'
                    ' height="{height:.1f}"><title>{text}</title></rect>'
                ).format(
                    number=number + 1,
                    x=x,
                    y=HEIGHT - _BOTTOM - upper,
                    width=wide,
                    height=upper - lower,
                    text=f"{category}: {one.name}, {graph.write(value)}",
                )
            )
            base += value
    return _frame(graph, top, Markup("").join(drawn))


def line(graph: Graph) -> Markup:
    """Each series as a line."""
    top = graph.most or axis_end(max((value for one in graph.series for value in one.values), default=0))
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(graph.categories))
    drawn: list[Markup] = []
    for number, one in enumerate(graph.series):
        points = [
            (_LEFT + step * (place + 0.5), HEIGHT - _BOTTOM - _height(value, top))
            for place, value in enumerate(one.values)
        ]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(
            Markup('<polyline class="line{number}" points="{points}"/>').format(
                number=number + 1, points=joined
            )
        )
        for (x, y), category, value in zip(points, graph.categories, one.values, strict=True):
            text = f"{category}: {one.name}, {graph.write(value)}"
            drawn.append(
                Markup(
                    '<circle class="bar{number}" cx="{x:.1f}" cy="{y:.1f}" r="4">'
                    "<title>{text}</title></circle>"
                ).format(number=number + 1, x=x, y=y, text=text)
            )
    return _frame(graph, top, Markup("").join(drawn))


def axis_end(value: float) -> float:
    """The end of an axis: 4, 8, 10, 20, 40, 80, 100 …, at least as much as the value, and never 0."""
    if value <= _LINES or not math.isfinite(value):
        return float(_LINES)
    power = 10 ** math.floor(math.log10(value))
    return float(next(end for end in (step * power for step in (1, 2, 4, 8, 10, 20, 40)) if end >= value))


def _height(value: float, top: float) -> float:
    return max(0.0, min(1.0, value / top)) * (HEIGHT - _TOP - _BOTTOM)


def _frame(graph: Graph, top: float, drawn: Markup) -> Markup:
    """Axis, labels and key around what is drawn."""
    parts: list[Markup] = []
    for number in range(_LINES + 1):
        value = top * number / _LINES
        y = HEIGHT - _BOTTOM - _height(value, top)
        parts.append(
            Markup(
                '<line class="axis" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                '<text x="{end}" y="{below:.1f}" text-anchor="end">{text}</text>'
            ).format(
                left=_LEFT, right=WIDTH - _RIGHT, y=y, end=_LEFT - 8, below=y + 4, text=graph.write(value)
            )
        )
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(graph.categories))
    every = max(1, math.ceil(len(graph.categories) / _LABELS))
    for place, category in enumerate(graph.categories):
        if place % every == 0:
            parts.append(
                Markup('<text x="{x:.1f}" y="{y}" text-anchor="middle">{text}</text>').format(
                    x=_LEFT + step * (place + 0.5), y=HEIGHT - 12, text=category
                )
            )
    if len(graph.series) > 1:
        x = _LEFT
        for number, one in enumerate(graph.series):
            parts.append(
                Markup(
                    '<rect class="bar{number}" x="{x}" y="4" width="12" height="12"/>'
                    '<text x="{after}" y="14">{text}</text>'
                ).format(number=number + 1, x=x, after=x + 16, text=one.name)
            )
            x += 40 + 7 * len(one.name)
    return Markup(
        '<svg class="chart" viewBox="0 0 {width} {height}" role="img"'
        ' aria-labelledby="{name}-title {name}-text"><title id="{name}-title">{title}</title>'
        '<desc id="{name}-text">{text}</desc>{parts}{drawn}</svg>'
    ).format(
        width=WIDTH,
        height=HEIGHT,
        name=graph.name,
        title=graph.title,
        text=graph.description,
        parts=Markup("").join(parts),
        drawn=drawn,
    )
