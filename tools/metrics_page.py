"""The table of metrics in the docs, from their declarations: ``python -m tools.metrics_page``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from speechaid.telemetry.metric_table import DECLARED, METRICS, WEB_METRICS, Kind, Metric

#: What comes after this line of the page is written from the declarations.
TABLE_BEGINS: Final = "<!-- From here on written by `python -m tools.metrics_page` -->\n"

_OF_WEB: Final = "The process of `speechaid web` serves these itself, on its own address."


def metrics_table() -> str:
    """All metrics and their buckets in Markdown."""
    lines = [
        *_rows(METRICS),
        *(
            "",
            "## Of the HTTP API",
            "",
            _OF_WEB,
        ),
        *_rows(WEB_METRICS),
        *("", "## Buckets", ""),
    ]
    lines += [
        f"- `{metric.name}`: {', '.join(metric.bounds)}"
        for metric in DECLARED.values()
        if metric.kind is Kind.HISTOGRAM
    ]
    return "\n".join(lines) + "\n"


def _rows(metrics: Mapping[str, Metric]) -> list[str]:
    rows = [
        f"| `{metric.name}` | {metric.kind} | {_labels(metric)} | {metric.help} |"
        for metric in metrics.values()
    ]
    return ["", "| metric | kind | labels | meaning |", "|---|---|---|---|", *rows]


def _labels(metric: Metric) -> str:
    if metric.values:
        return f"`{metric.labels[0]}`: {', '.join(metric.values)}"
    return ", ".join(f"`{label}`" for label in metric.labels)


def _rewrite(page: Path) -> None:
    introduction, _, _ = page.read_text(encoding="utf-8").partition(TABLE_BEGINS)
    page.write_text(introduction + TABLE_BEGINS + metrics_table(), encoding="utf-8")


if __name__ == "__main__":
    _rewrite(Path("docs/metrics.md"))
