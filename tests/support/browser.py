"""A real browser: Debian's Chromium, driven by Playwright, which fetches none of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

#: Findings of axe that keep somebody from using a page.
SERIOUS = frozenset({"serious", "critical"})


def chromium() -> str:
    """The program; without it the test is skipped, never in CI."""
    found = shutil.which("chromium")
    if found is None:
        message = "chromium is not installed: scripts/test installs Debian's package as root"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser without a window; as root it has no sandbox."""
    program = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


def serious_findings(page: Page) -> list[str]:
    """What axe finds on a page that keeps somebody from using it."""
    found: Any = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}"
        for one in found
        if one["impact"] in SERIOUS
    ]
