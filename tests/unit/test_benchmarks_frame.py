"""The arithmetic of the benchmarks: /proc, spreads, tables."""

from __future__ import annotations

import pytest

from benchmarks.common import Spread, figure, layout, percentile
from benchmarks.peers.work import STEPS
from benchmarks.processes import TICKS_PER_SECOND, parse_rollup, parse_stat

STAT = "4711 (a (strange) name) S 17 4711 4711 0 -1 4194304 900 0 0 0 200 100 30 20 20 0 1 0 5000 1000 2\n"


def test_processor_time_includes_reaped_children_and_the_name_may_hold_brackets() -> None:
    parent, seconds = parse_stat(STAT)
    assert parent == 17
    assert seconds == pytest.approx((200 + 100 + 30 + 20) / TICKS_PER_SECOND)


def test_a_rollup_is_read_in_mib() -> None:
    text = "5589-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 2048 kB\nPss: 1536 kB\nPss_Dirty: 512 kB\n"
    assert parse_rollup(text) == {"Rss": 2.0, "Pss": 1.5, "Pss_Dirty": 0.5}


def test_a_spread_has_minimum_median_and_maximum() -> None:
    spread = Spread.of([5.0, 1.0, 2.0])
    assert (spread.low, spread.median, spread.high, spread.count) == (1.0, 2.0, 5.0, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1234"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123"), (0.0, "0"), (-12.34, "-12.3")],
)
def test_a_figure_has_about_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.99) == 100.0
    assert percentile([7.0], 0.5) == 7.0


def test_a_table_aligns_names_left_and_figures_right() -> None:
    rows = [["long name", 1.5, None], ["x", "12 s", 3]]
    assert layout(["what", "a", "b"], rows).splitlines() == [
        "what          a  b",
        "---------  ----  -",
        "long name  1.50  -",
        "x          12 s  3",
    ]


def test_the_writes_of_each_variant_are_a_subset_of_the_next_one() -> None:
    assert STEPS["plain"] < STEPS["least"] < STEPS["same"]
