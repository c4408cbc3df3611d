"""Every sentence of the sources has its translation, and what people read is made to be translated.

``python -m tools.catalogue`` renews the catalogues.
"""

from __future__ import annotations

import ast
import gettext
import io
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from babel.messages.catalog import Catalog, Message

from speechaid.campaign.dates import _TIME
from speechaid.protocol.translation import ENGLISH, LANGUAGES
from speechaid.web.page.app import POLICY
from tools.catalogue import (
    KEYWORDS,
    collect_sentences,
    compile_catalogue,
    po_file,
    read_catalogue,
    untranslated_sentences,
    update_catalogue,
)

ROOT: Final = Path(__file__).parents[2]
TRANSLATED: Final = tuple(language for language in LANGUAGES if language != ENGLISH)
#: Of ``str.format`` and of argparse's own sentences.
_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}|%\(\w+\)[rs]|%[rs]")

#: What people read and what is not made to be translated yet: packages and modules.
STILL_IN_ENGLISH: Final = frozenset(
    {
        # Files for others: the rows of exports.
        "speechaid/campaign/export_rows.py",
    }
)
#: Packages whose sentences people read.
READ_BY_PEOPLE: Final = (
    "speechaid/campaign",
    "speechaid/check",
    "speechaid/cli.py",
    "speechaid/commands",
    "speechaid/demo/progress.py",
    "speechaid/demo/report.py",
    "speechaid/demo/run.py",
    "speechaid/protocol",
    "speechaid/rules",
    "speechaid/service",
    "speechaid/settings",
    "speechaid/web/page",
    "speechctl",
)
#: What has words and blanks and is for programs, or is the same in every language, by file.
FOR_PROGRAMS: Final[dict[str, frozenset[str]]] = {
    # The manual's parts of a table of commands, which the catalogue reads itself.
    "speechaid/protocol/commands.py": frozenset({"*"}),
    **{
        f"speechaid/protocol/specs/{path.name}": frozenset({"*"})
        for path in (ROOT / "speechaid" / "protocol" / "specs").glob("*.py")
    },
    # Titles, words and names of fields to recognise.
    "speechaid/campaign/erasure.py": frozenset({"*"}),
    "speechaid/campaign/titles.py": frozenset({"*"}),
    "speechaid/campaign/opt_outs.py": frozenset({"*"}),
    "speechaid/campaign/words_for_nothing.py": frozenset({"*"}),
    "speechaid/rules/spoken.py": frozenset({"*"}),
    # Declarations for the page of settings; of these the catalogue reads what is allowed.
    "speechaid/settings/fields.py": frozenset({"*"}),
    "speechaid/settings/groups.py": frozenset({"*"}),
    "speechaid/settings/table.py": frozenset({"*"}),
    # Patterns; and Retell's own words beside them.
    "speechaid/campaign/dates.py": frozenset({_TIME}),
    "speechaid/rules/refusals.py": frozenset({"*"}),
    "speechaid/rules/outcomes.py": frozenset({"call {} is {}: it has not ended"}),
    # The policy that browsers keep.
    "speechaid/web/page/app.py": frozenset({POLICY}),
    # An event of a stream.
    "speechaid/web/page/screens/campaigns.py": frozenset({"event: {}\n{}\n", "data: {}\n"}),
    "speechaid/web/page/visits.py": frozenset({"no session"}),
    # Units, the same in every language.
    "speechaid/web/page/words.py": frozenset({"{} h {} min", "{} min {} s"}),
    # What notes beside numbers say.
    "speechaid/rules/numbers.py": frozenset(
        {
            *("no corresponde", "no molestar", "no es", "no contactar", "do not call", "nao ligar"),
            *("no existe", "no pertenece", "no llamar"),
        }
    ),
    "speechaid/rules/alerts.py": frozenset({"on (instance, job)"}),
    # Commands and options.
    "speechaid/campaign/importer.py": frozenset(
        {"--map 'TITLE=ROLE'", "--refuse {}", "--accept {}", "line {}"}
    ),
    "speechaid/commands/batch_start.py": frozenset(
        {
            *("edit-account {account}", "edit-account {account} --plan PLAN", "top-up {account}"),
            *("edit-account {account} --status active", "create-account {account}"),
        }
    ),
    # Stored: names, authors, reasons.
    "speechaid/campaign/column_titles.py": frozenset({"numero {}"}),
    "speechaid/commands/audit.py": frozenset({"unknown client", "{} (uid {})", "uid {}", "{} (key, {})"}),
    "speechaid/commands/delete_batch.py": frozenset({"being deleted"}),
    "speechaid/commands/dry_run.py": frozenset({"speechaid/{} (clerk)"}),
    # Commands, and kinds of ids.
    "speechaid/commands/ids.py": frozenset({"jobs --tests", "test call"}),
    # For programs that ask on behalf of a user.
    "speechaid/protocol/on_behalf.py": frozenset(
        {"an object with user, role, and perhaps account and kind is required"}
    ),
    "speechaid/commands/redial.py": frozenset({"{} - redial {}"}),
    "speechaid/cli.py": frozenset({"speechaid: {}", "speechaid {}", "the settings of one host"}),
    # Shell scripts.
    "speechctl/completion.py": frozenset({"*"}),
    # Greetings and errors of ZeroMQ's wire protocol, for the log.
    "speechaid/protocol/zmtp.py": frozenset({"*"}),
    "speechaid/protocol/connection_faults.py": frozenset(
        {"systemctl start speechaid", "speechaid run", "uid {}"}
    ),
    # A format of a cell.
    "speechaid/protocol/sheets.py": frozenset({"yyyy-mm-dd hh:mm:ss"}),
    # Headers of HTTP, and SVG.
    "speechaid/web/page/campaign_form.py": frozenset(
        {"text/csv; charset=utf-8", "attachment; filename*=UTF-8''{}"}
    ),
    "speechaid/web/page/screens/reports.py": frozenset(
        {"text/csv; charset=utf-8", 'attachment; filename="calls.csv"'}
    ),
    "speechaid/web/page/graphs.py": frozenset({"*"}),
    "speechctl/cli.py": frozenset({"speechctl {}"}),
    "speechctl/parser.py": frozenset({"speechctl: {}\n"}),
    # Options of a command.
    "speechctl/render/accounts.py": frozenset({"--minutes N", "--credit N"}),
    # Files that are written for administrators: settings, units, their headers; and commands.
    "speechaid/service/install.py": frozenset(
        {
            "# Settings of the service; written once by speechaid install-service, and yours to edit. Then:",
            (
                "# systemctl reload speechaid. What is commented out shows its default;"
                " docs/settings.md explains each."
            ),
            (
                "# No secrets here, since operators can read this file. Each has a file of its own"
                " (root, mode 0600):"
            ),
            "# RETELL_API_KEY is in {},",
            "# MONGO_URI, where it holds a password, in {}.",
            "# Settings of the HTTP API (speechaid-web.service); written once by speechaid install-service,",
            "# and yours to edit. Then: systemctl restart speechaid-web. docs/api.md explains them.",
            "# Nothing of Retell's belongs here: the API must not have the key.",
            "# MONGO_URI holds a password, and is a credential.",
            (
                "The nightly backup was set up: from now on install-service leaves its timer on or off,"
                " as it is.\n"
            ),
            *('--name "Test campaign" --accept unassigned --start', "systemctl enable --now {}"),
            *("systemctl restart {}", "{}/bin/speechaid install-service --live"),
        }
    ),
    "speechaid/service/host.py": frozenset({r"systemd (\d+)"}),
    "speechaid/service/steps.py": frozenset(
        {
            (
                "# Written by speechaid install-service, which replaces it. Change a unit with:"
                " systemctl edit NAME"
            ),
            "{} (sha256 {})\n{}",
        }
    ),
    # A name that is stored, commands, and findings that are written as JSON too.
    "speechaid/demo/run.py": frozenset(
        {
            *("Campaña de muestra", "unjustified dial: {}", "records differ: {}"),
            (
                "\n{}\n\n  http://{}/\n  {}\n  {}\n\n{}\n\n"
                "  export SPEECHAID_SOCKET={}\n  export PATH={}:$PATH\n"
                "  speechctl status\n  speechctl report --batch {}\n"
                "  speechctl jobs --batch {} --status failed\n"
                "  speechctl import {} --name again --accept unassigned --duplicates keep"
                " --hours 00:00-24:00 --start\n  curl http://{}/metrics\n\n{}"
            ),
        }
    ),
    # The client in logs and limits.
    "speechaid/protocol/messages.py": frozenset({"key {}", "pid {}", "route {}", "on_behalf: {}"}),
}
#: Functions whose texts no person reads, or that get a whole table of them.
_NOT_SAID: Final = frozenset(
    {*KEYWORDS, "table", "compile", "getattr", "strftime", "NewType", "TypeVar", "_spelling"}
)
_LOG_METHODS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical", "event"})


@pytest.fixture(scope="module", params=TRANSLATED)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def stored(language: str) -> Catalog:
    return read_catalogue(language)


def _entries(catalogue: Catalog) -> Iterator[Message]:
    return (message for message in catalogue if message.id)


def _texts(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def _translations(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


def test_the_catalogue_has_exactly_the_sentences_of_the_sources(stored: Catalog, language: str) -> None:
    wanted = {message.id for message in _entries(update_catalogue(language))}
    found = {message.id for message in _entries(stored)}
    assert found == wanted, "python -m tools.catalogue renews it"


def test_every_sentence_has_a_translation_that_somebody_has_confirmed(stored: Catalog) -> None:
    assert untranslated_sentences(stored) == []
    assert [message.id for message in _entries(stored) if message.fuzzy] == []
    assert list(stored.obsolete) == []


def test_every_translation_has_the_placeholders_of_its_sentence(stored: Catalog) -> None:
    for message in _entries(stored):
        wanted = {name for text in _texts(message) for name in _PLACEHOLDER.findall(text)}
        for translation in _translations(message):
            assert set(_PLACEHOLDER.findall(translation)) == wanted, message.id


def test_blanks_and_line_ends_around_a_sentence_are_kept(stored: Catalog) -> None:
    for message in _entries(stored):
        for text, translation in zip(_texts(message), _translations(message), strict=True):
            assert _blanks_around(translation) == _blanks_around(text), message.id


def _blanks_around(text: str) -> tuple[str, str]:
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


def test_one_sentence_is_not_used_both_with_and_without_a_count() -> None:
    plurals: dict[str, set[str | None]] = {}
    for sentence in collect_sentences():
        plurals.setdefault(sentence.one, set()).add(sentence.many)
    assert {one: many for one, many in plurals.items() if len(many) > 1} == {}


def test_the_compiled_catalogue_is_that_of_the_one_which_people_edit(stored: Catalog, language: str) -> None:
    with po_file(language).with_suffix(".mo").open("rb") as file:
        found = gettext.GNUTranslations(file)
    wanted = gettext.GNUTranslations(io.BytesIO(compile_catalogue(stored)))
    for message in _entries(stored):
        one, *many = _texts(message)
        if many:
            for count in (1, 2):
                assert found.ngettext(one, many[0], count) == wanted.ngettext(one, many[0], count)
        else:
            assert found.gettext(one) == wanted.gettext(one)


def _files() -> list[str]:
    paths = [
        path
        for name in READ_BY_PEOPLE
        for path in ((ROOT / name).rglob("*.py") if "." not in name else [ROOT / name])
    ]
    names = sorted(path.relative_to(ROOT).as_posix() for path in paths)
    return [
        name
        for name in names
        if not any(name == each or name.startswith(f"{each}/") for each in STILL_IN_ENGLISH)
    ]


@pytest.mark.parametrize("file", _files())
def test_what_people_read_is_made_to_be_translated(file: str) -> None:
    allowed = FOR_PROGRAMS.get(file, frozenset())
    if "*" in allowed:
        return
    found = set(unmarked_sentences((ROOT / file).read_text(encoding="utf-8")))
    assert found - allowed == set(), "say(...), or N_(...) in a table"
    assert allowed <= found, "these are not there any more"


def test_the_list_of_what_is_still_in_english_names_what_exists() -> None:
    assert [name for name in STILL_IN_ENGLISH if not (ROOT / name).exists()] == []
    assert [name for name in FOR_PROGRAMS if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('print("two words")', ["two words"]),
        ('print(f"{count} jobs")', ["{} jobs"]),
        ('x = {"key word": 1}', []),
        ('x = {"key": "two words"}', ["two words"]),
        ('say("two words")', []),
        ('say("{x}", x=f"{y} jobs")', ["{} jobs"]),
        ('T = {"a": N_("two words")}', []),
        ('log.info("two words")', []),
        ('"""A docstring."""', []),
        ('print("word")', []),
        ('if x == "two words": pass', []),
    ],
)
def test_a_sentence_that_is_not_marked_is_found(source: str, found: list[str]) -> None:
    assert list(unmarked_sentences(source)) == found


def unmarked_sentences(source: str) -> Iterator[str]:
    """Texts of a module that have several words, and that neither ``say`` nor ``N_`` gets."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        skipped |= {id(part) for part in _not_said(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        text = _text(node)
        if text is not None and re.search(r"[^\W\d_]{2}", text) and " " in text.strip():
            yield text


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def _not_said(node: ast.AST) -> Iterator[ast.AST]:
    """Texts below a node that are no sentences of their own."""
    if isinstance(node, ast.JoinedStr):
        yield from (part for part in node.values if isinstance(part, ast.Constant))
    elif isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "StrEnum" for base in node.bases):
        # The catalogue reads the members of enumerations itself.
        members = [member for member in node.body if isinstance(member, ast.Assign)]
        yield from (part for member in members for part in ast.walk(member))
    elif (isinstance(node, ast.FunctionDef) and "promql" in node.name) or (
        isinstance(node, ast.keyword) and node.arg == "promql"
    ):
        yield from ast.walk(node)
    elif isinstance(node, ast.Dict):
        yield from (key for key in node.keys if key is not None)
    elif isinstance(node, ast.Expr):
        yield node.value  # a docstring
    elif isinstance(node, ast.Compare | ast.Subscript):
        yield from ast.walk(node)
    elif isinstance(node, ast.AnnAssign):
        yield from ast.walk(node.annotation)
    elif isinstance(node, ast.Call):
        yield from _not_said_in_call(node)


def _not_said_in_call(node: ast.Call) -> Iterator[ast.AST]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in _LOG_METHODS and isinstance(function, ast.Attribute):
        yield from ast.walk(node)
    elif name in _NOT_SAID:
        yield from (argument for argument in node.args if _text(argument) is not None)


def test_every_sentence_gets_the_values_that_it_names() -> None:
    faults = []
    for path in [*(ROOT / "speechaid").rglob("*.py"), *(ROOT / "speechctl").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if not isinstance(node, ast.Call) or name not in {"say", "say_later", "say_n"}:
                continue
            if any(keyword.arg is None for keyword in node.keywords):
                continue
            given = {str(keyword.arg) for keyword in node.keywords} | (
                {"count"} if name == "say_n" else set()
            )
            texts = [part.value for part in node.args[: KEYWORDS[name]] if isinstance(part, ast.Constant)]
            named = {field for text in texts for field in _fields(str(text))}
            # Without values a sentence is no template, and may have braces.
            # A count may choose the sentence only.
            if texts and given and named not in (given, given - {"count"}):
                faults.append(f"{path.name}:{node.lineno}: {texts[0]!r} gets {sorted(given)}")
    assert faults == [], "\n".join(faults)


def _fields(text: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
