"""The alerts as a Prometheus rules file, and as the table of the page in the docs.

``python -m speechaid.telemetry.alert_rules`` rewrites the shipped file and the page; ``speechaid
alert-rules`` prints the file for the current settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from speechaid.rules.alerting import Alert, Severity, Thresholds
from speechaid.rules.alerts import ALERTS, promql_span

RULES_FILE: Final = Path(__file__).parents[1] / "data" / "alerts.rules.yml"
#: The part of the page after this line is generated.
TABLE_BEGINS: Final = "<!-- From here on written by `python -m speechaid.telemetry.alert_rules` -->\n"

#: The alert that only Prometheus can evaluate.
DOWN: Final = Alert(
    name="SpeechaidDown",
    severity=Severity.CRITICAL,
    condition=lambda _facts, _limits: None,
    promql=lambda _: (
        'up{job=~"speechaid.*", job!~"speechaid-web.*"} == 0'
        " or time() - speechaid_snapshot_timestamp_seconds > 30"
    ),
    for_seconds=60,
    keep_seconds=0,
    meaning="The daemon does not answer Prometheus, or its loop hangs; only Prometheus can detect that.",
    remedy="systemctl status speechaid, the end of its log; is the address of the metrics right?",
)

#: The same of the process of ``speechaid web``, whose scrape job has this name.
WEB_DOWN: Final = Alert(
    name="SpeechaidWebDown",
    severity=Severity.WARNING,
    condition=lambda _facts, _limits: None,
    promql=lambda _: 'up{job=~"speechaid-web.*"} == 0',
    for_seconds=60,
    keep_seconds=0,
    meaning="speechaid web does not answer Prometheus: nobody can use the HTTP API or the page. Calls go on.",
    remedy="systemctl status speechaid-web, the end of its log; speechctl works without it.",
)

_HEAD: Final = """\
# Alerts of speechaid for Prometheus (2.42 or newer: keep_firing_for).
# Generated from speechaid/rules/alerts.py with {settings}, by `speechaid alert-rules`.
# {down} expects the scrape job's name to begin with speechaid, {web_down} with speechaid-web.
groups:
  - name: speechaid
    rules:
"""


def rules_file(thresholds: Thresholds, settings: str = "the default settings") -> str:
    """The rules file; ``settings`` completes its first comment."""
    rules = [_rule(alert, thresholds) for alert in (DOWN, *ALERTS.values(), WEB_DOWN)]
    return _HEAD.format(settings=settings, down=DOWN.name, web_down=WEB_DOWN.name) + "".join(rules)


def _rule(alert: Alert, thresholds: Thresholds) -> str:
    lines = [f"      - alert: {alert.name}", f"        expr: {_quoted(alert.promql(thresholds))}"]
    if alert.for_seconds:
        lines.append(f"        for: {promql_span(alert.for_seconds * thresholds.patience)}")
    if alert.keep_seconds:
        lines.append(f"        keep_firing_for: {promql_span(alert.keep_seconds * thresholds.patience)}")
    lines += [
        "        labels:",
        f"          severity: {alert.severity.value}",
        "        annotations:",
        f"          summary: {_quoted(alert.meaning)}",
        f"          description: {_quoted(alert.remedy)}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A YAML scalar, without escapes where possible."""
    return f"'{text}'" if "'" not in text else json.dumps(text)


def alerts_table() -> str:
    """Every alert, in Markdown."""
    return "\n".join(_page_lines(Thresholds())) + "\n"


def _page_lines(thresholds: Thresholds) -> Iterator[str]:
    for alert in (*ALERTS.values(), DOWN, WEB_DOWN):
        fires = _after(alert.for_seconds, "once it has lasted {}", "at once")
        over = _after(alert.keep_seconds, "when it has been gone for {}", "as soon as it is gone")
        yield from (
            "",
            f"## {alert.name}",
            "",
            f"{alert.meaning} *{alert.severity.value}*",
            "",
            f"- **Do:** {alert.remedy}",
            f"- **Fires** {fires}; **over** {over}.",
            f"- **PromQL:** `{alert.promql(thresholds)}`",
        )


def _after(seconds: float, later: str, at_once: str) -> str:
    return later.format(promql_span(seconds)) if seconds else at_once


def _rewrite(page: Path) -> None:
    introduction, _, _ = page.read_text(encoding="utf-8").partition(TABLE_BEGINS)
    page.write_text(introduction + TABLE_BEGINS + alerts_table(), encoding="utf-8")


if __name__ == "__main__":
    RULES_FILE.write_text(rules_file(Thresholds()), encoding="utf-8")
    _rewrite(Path("docs/alerts.md"))
