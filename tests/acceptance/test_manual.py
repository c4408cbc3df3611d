"""A newcomer's walk through the manual: every command of the operator's pages, as written, in one shell."""

from __future__ import annotations

import pytest

from tests.support.walk import PAGES, ROOT, Shell, blocks, open_shell, walk

DOCS = ROOT / "docs"

#: Commands that want a host of one's own, root and systemd; the tests of the installation try them.
ON_A_HOST = {"install.md", "upgrade.md", "databases.md"}


@pytest.mark.timeout(600)
def test_every_command_of_the_operators_pages_does_what_the_page_shows() -> None:
    with open_shell() as shell:
        faults = [fault for page in PAGES for fault in _faults(shell, page)]
        faults += [fault for page in PAGES for fault in _faults(shell, page, last=True)]
    assert not faults, "\n\n".join(faults)


def test_commands_that_the_walk_leaves_out_are_those_of_the_installation() -> None:
    with_commands = {
        page.name for page in DOCS.glob("*.md") if any(block.info[:1] == ("sh",) for block in blocks(page))
    }
    assert with_commands == {f"{page}.md" for page in PAGES} | ON_A_HOST


def _faults(shell: Shell, page: str, *, last: bool = False) -> list[str]:
    return [fault for step in walk(shell, DOCS / f"{page}.md", last=last) for fault in step.faults()]
