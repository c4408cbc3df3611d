"""The pages name only what exists, and the Spanish pages match the English ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from speechaid.protocol.messages import COMMANDS
from speechaid.rules.alerts import ALERTS
from speechaid.settings.secrets import FILE_VARIABLES
from speechaid.settings.table import BY_VARIABLE
from tests.support.walk import ROOT, Block, blocks
from tools.architecture_drawing import draw

DOCS: Final = ROOT / "docs"
SPANISH: Final = DOCS / "es"
PAGES: Final = [
    *map(ROOT.joinpath, ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(DOCS.rglob("*.md")),
]
TRANSLATED: Final = (
    "README",
    "first-day",
    "daily",
    "alerts",
    "troubleshooting",
    "contacts-file",
    "calling-rules",
    "api",
    "page",
)
#: Variables that are no settings: the settings file, the language, and what the tests run on.
OTHER_VARIABLES: Final = {
    *("SPEECHAID_ENV_FILE", "SPEECHAID_LANG", "SPEECHAID_TEST_MONGO_URI", "SPEECHAID_VERSIONS"),
}
COMMON_FLAGS: Final = {"--json", "--socket", "--key", "--timeout", "--yes", "--help", "--version"}
#: Misspelt on purpose, to show the error.
MISSPELT: Final = {"explian"}
#: The alerts that only Prometheus can raise.
OUTSIDE: Final = {"SpeechaidDown", "SpeechaidWebDown"}

_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_FENCED: Final = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`([^`\n]+)`")
_COMMAND: Final = re.compile(r"\bspeechctl((?: +[^\s`|;&()<>]+)+)")
_FLAG: Final = re.compile(r"--[a-z][a-z-]+")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_has_a_target(page: Path) -> None:
    for link in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in link:
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.is_file(), f"{link}: no such file"
            assert not anchor or anchor in _anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_flag_of_a_page_is_in_the_command_table(page: Path) -> None:
    unknown = [line for line in _commands(page.read_text(encoding="utf-8")) if not _is_known(line)]
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_variable_of_a_page_is_a_setting(page: Path) -> None:
    named = set(re.findall(r"\bSPEECHAID_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= {*BY_VARIABLE, *FILE_VARIABLES, *OTHER_VARIABLES}


def test_the_index_links_to_every_page() -> None:
    for directory in (DOCS, SPANISH):
        links = set(_LINK.findall((directory / "README.md").read_text(encoding="utf-8")))
        assert {page.name for page in directory.glob("*.md")} - {"README.md"} <= links


def test_the_drawing_of_the_architecture_is_as_its_tool_writes_it() -> None:
    assert (DOCS / "architecture.svg").read_text(encoding="utf-8") == draw()


def test_every_setting_is_on_its_page() -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert [variable for variable in BY_VARIABLE if f"`{variable}`" not in text] == []


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_spanish_page_has_the_heading_levels_of_the_english_one(name: str) -> None:
    assert _levels(SPANISH / f"{name}.md") == _levels(DOCS / f"{name}.md")


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_spanish_page_has_the_commands_and_output_of_the_english_one(name: str) -> None:
    assert _shown(SPANISH / f"{name}.md") == _shown(DOCS / f"{name}.md")


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_spanish_page_names_the_commands_and_settings_of_the_english_one(name: str) -> None:
    def named(page: Path) -> set[str]:
        words = set(_CODE.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))))
        return {word for word in words if word in BY_VARIABLE or word in COMMANDS or word.startswith("--")}

    assert named(SPANISH / f"{name}.md") == named(DOCS / f"{name}.md")


@pytest.mark.parametrize("page", [DOCS / "alerts.md", SPANISH / "alerts.md"], ids=["english", "spanish"])
def test_every_alert_has_a_heading(page: Path) -> None:
    headings = re.findall(r"^## (\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in headings if name in ALERTS] == list(ALERTS)
    assert set(headings) >= OUTSIDE


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _levels(page: Path) -> list[int]:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]


def _shown(page: Path) -> list[tuple[tuple[str, ...], str]]:
    """The typed and printed blocks that a reader sees."""
    return [(block.info, block.text) for block in blocks(page) if _is_shown(block)]


def _is_shown(block: Block) -> bool:
    return block.info[:1] in {("sh",), ("text",)}


def _commands(text: str) -> list[str]:
    """Each ``speechctl ...`` of a page's code, without shell syntax."""
    code = "\n".join([*_FENCED.findall(text), *_CODE.findall(_FENCED.sub("", text))])
    return [match[1].strip() for match in _COMMAND.finditer(code)]


def _is_known(line: str) -> bool:
    """Whether the words after ``speechctl`` are a command with flags that it has, or common flags only."""
    words = line.split()
    flags = set(_FLAG.findall(line))
    if words[0].startswith("-"):
        return flags <= COMMON_FLAGS
    if words[0] not in COMMANDS:
        # A word of the prose after a name in code, or of prose in a block.
        return words[0] in MISSPELT or not re.fullmatch(r"[a-z]+(-[a-z]+)*", words[0])
    return flags <= {argument.flag for argument in COMMANDS[words[0]].arguments} | COMMON_FLAGS
