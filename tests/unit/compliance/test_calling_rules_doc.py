"""The page of calling rules: its example is a file that can be used, and it has every country."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from speechaid.compliance.pack_files import check_pack, shipped_packs
from speechaid.compliance.packs import Confidence
from speechaid.model.states import Purpose
from speechaid.protocol.specs.arguments import PURPOSES

DOCS = Path(__file__).parents[3] / "docs"
PAGES = {"english": DOCS / "calling-rules.md", "spanish": DOCS / "es" / "calling-rules.md"}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_example_of_an_overlay_can_be_used(page: Path) -> None:
    examples = re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    checked = check_pack("".join(examples).encode(), "example.toml", date(2026, 11, 30))
    assert checked.faults == ()
    assert checked.pack is not None
    assert str(checked.pack.windows) == "Wed-Fri 08:00-20:00, Mon-Tue 09:00-18:00"


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_country_and_letter_is_on_the_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = set(re.findall(r"\[([A-Z]{2})\]\(calling-rules/([a-z]{2})\.md\)", text))
    assert linked == {(country, country.lower()) for country, _ in shipped_packs()}
    assert set(re.findall(r"^\| ([HML]) \|", text, re.MULTILINE)) == {*Confidence}


def test_the_command_takes_every_purpose() -> None:
    assert {*PURPOSES} == {*Purpose}
