"""Generated files are byte for byte as their tools write them."""

from __future__ import annotations

from pathlib import Path

from tools.commands_page import REFERENCE_BEGINS, commands_reference
from tools.grafana_dashboard import DASHBOARD_FILE, dashboard_text
from tools.pack_pages import pages

DOCS = Path(__file__).parents[2] / "docs"


def test_the_dashboard_is_as_its_tool_writes_it() -> None:
    text = DASHBOARD_FILE.read_text(encoding="utf-8")
    assert text == dashboard_text(), "run: python -m tools.grafana_dashboard"


def test_the_commands_page_is_as_its_tool_writes_it() -> None:
    page = (DOCS / "control-protocol.md").read_text(encoding="utf-8")
    _, begins, reference = page.partition(REFERENCE_BEGINS)
    assert begins
    assert reference == commands_reference(), "run: python -m tools.commands_page"


def test_the_pages_of_calling_rules_are_as_their_tool_writes_them() -> None:
    written = dict(pages())
    assert {
        path for name in ("calling-rules", "es/calling-rules") for path in (DOCS / name).glob("*.md")
    } == {*written}
    for path, text in written.items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m tools.pack_pages"
