"""Every command of the operators' pages, typed as written in one shell, prints what the page shows."""

from __future__ import annotations

import pytest

from tests.support.walk import PAGES, ROOT, Shell, blocks, open_shell, walk

DOCS = ROOT / "docs"

#: Pages whose commands need a whole host, root and systemd; the installation tests run them.
ON_A_HOST = {"install.md", "upgrade.md", "databases.md"}


@pytest.mark.timeout(600)
def test_every_command_of_the_operators_pages_does_what_the_page_shows() -> None:
    with open_shell() as shell:
        faults = [fault for page in PAGES for fault in _faults(shell, page)]
        faults += [fault for page in PAGES for fault in _faults(shell, page, last=True)]
    assert not faults, "\n\n".join(faults)


def test_only_the_pages_of_the_installation_have_commands_that_are_not_run() -> None:
    with_commands = {
        page.name for page in DOCS.glob("*.md") if any(block.info[:1] == ("sh",) for block in blocks(page))
    }
    assert with_commands == {f"{page}.md" for page in PAGES} | ON_A_HOST


def _faults(shell: Shell, page: str, *, last: bool = False) -> list[str]:
    return [fault for step in walk(shell, DOCS / f"{page}.md", last=last) for fault in step.faults()]
