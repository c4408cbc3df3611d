"""Every command of the operators' pages, typed as written in one shell, prints what the page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.walk import PAGES, ROOT, Shell, Step, blocks, open_shell, walk
from tools.catalogue import read_catalogue

DOCS = ROOT / "docs"

#: Pages whose commands need a whole host, root and systemd; the installation tests run them.
ON_A_HOST = {"install.md", "upgrade.md", "databases.md"}


@pytest.mark.timeout(600)
def test_every_command_of_the_operators_pages_does_what_the_page_shows() -> None:
    with open_shell() as shell:
        faults = [fault for page in PAGES for fault in _faults(shell, page)]
        faults += [fault for page in PAGES for fault in _faults(shell, page, last=True)]
    assert not faults, "\n\n".join(faults)


@pytest.mark.timeout(600)
def test_every_command_of_the_operators_pages_answers_in_spanish_where_that_is_asked_for() -> None:
    with open_shell("es") as shell:
        steps = [step for page in PAGES for step in walk(shell, DOCS / f"{page}.md")]
        steps += [step for page in PAGES for step in walk(shell, DOCS / f"{page}.md", last=True)]
    faults = [fault for step in steps for fault in replace(step, shown=None).faults()]
    faults += [fault for step in steps for fault in _in_english(step)]
    assert not faults, "\n\n".join(faults)


def _in_english(step: Step) -> Iterator[str]:
    """The English sentences among what a command printed; JSON, logs and records are English."""
    if "--json" in step.block.text or "logs" in step.block.text:
        return
    for line in step.printed.splitlines():
        for msgid, pattern in _SENTENCES.items():
            if pattern.search(line):
                yield f"{step.block}: {line!r} is {msgid!r}, which has a translation"


def _sentences() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Each sentence with a translation of its own, and what it looks like with values."""
    for message in read_catalogue("es"):
        texts = [message.id] if isinstance(message.id, str) else list(message.id)
        strings = [message.string] if isinstance(message.string, str) else list(message.string or ())
        for text, string in zip(texts, strings, strict=True):
            words = re.sub(r"\{[^{}]*\}", "\0", text).strip()
            if text and string != text and len(re.findall(r"[^\W\d_]{2,}", words)) >= _WORDS:
                yield text, re.compile(re.escape(words).replace("\0", ".*"))


#: A sentence of fewer words may be part of a name.
_WORDS = 4
_SENTENCES = dict(_sentences())


def test_only_the_pages_of_the_installation_have_commands_that_are_not_run() -> None:
    with_commands = {
        page.name for page in DOCS.glob("*.md") if any(block.info[:1] == ("sh",) for block in blocks(page))
    }
    assert with_commands == {f"{page}.md" for page in PAGES} | ON_A_HOST


def _faults(shell: Shell, page: str, *, last: bool = False) -> list[str]:
    return [fault for step in walk(shell, DOCS / f"{page}.md", last=last) for fault in step.faults()]
