"""The catalogues of ``speechaid/locale``, from the sentences of the sources: ``python -m tools.catalogue``.

It adds new sentences without a translation, removes those that are gone, compiles, and names what lacks a
translation. ``tests/unit/test_catalogue.py`` fails while something is missing or stale.
"""

from __future__ import annotations

import ast
import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment, nodes

from speechaid.campaign.export_rows import EXPORTS
from speechaid.campaign.titles import Role
from speechaid.commands.jobs import JOB_FIELDS
from speechaid.compliance.packs import HolidayRule
from speechaid.fleet.slots import SlotState
from speechaid.model.account import Plan
from speechaid.model.states import CallStatus, JobStatus, Outcome, SuspendReason, WorkerState
from speechaid.protocol.commands import COMMANDS, GROUPS
from speechaid.protocol.specs.accounts import ACCOUNT_STATUSES
from speechaid.protocol.translation import DIRECTORY, DOMAIN, ENGLISH, LANGUAGES
from speechaid.rules.alerting import Severity
from speechaid.rules.check_findings import Level
from speechaid.rules.checks import Reason
from speechaid.rules.redial import LeftOut
from speechaid.settings.table import DECLARATIONS
from speechaid.web.page.rendering import TEMPLATES

ROOT: Final = Path(__file__).parents[1]
#: What marks a sentence, and how many of its first arguments are its texts.
KEYWORDS: Final = {"say": 1, "say_later": 1, "say_n": 2, "N_": 1}
#: Codes that ``speechctl.render.text.as_words`` shows as words, beside those in its own package.
_CODES: Final = (
    *(*JobStatus, *Outcome, *CallStatus, *WorkerState, *SlotState, *Plan, *ACCOUNT_STATUSES, *Severity),
    *(*SuspendReason, *Reason, *LeftOut, "paid", "topup", "attempt", "hour", "by a person"),
    # What a column is taken for, the fields of a job, and the scopes of a hold.
    *(*Role, *JOB_FIELDS, "fleet", "level", *HolidayRule, "away"),
    *("batch id", "account id", "max attempts", "suspend reason", "last error", "dni", "dead phones"),
    *("crashes", "due at", "lease until", "call id", "next phone"),
    *(
        "crash_loop",
        "leaving",
        "up",
        "default",
        "released",
        "left_to_workers",
        "given_up",
        "down",
        "unknown",
        "open",
        "half_open",
        "closed",
        "scheduled",
    ),
    *("state directory", "database directory", "log"),
    # Retell's sentiments, and none.
    *("Positive", "Neutral", "Negative", "Unknown", "not told"),
    # Sheets and titles of exported workbooks (speechctl.exporting).
    *(what.capitalize() for what in EXPORTS),
    *(column for export in EXPORTS.values() for column in export.columns),
)
#: The checks of ``speechaid check`` and of ``explain`` by their names in JSON, and the levels of the first.
_CHECKS: Final = (
    *(
        "settings",
        "lease",
        "database",
        "durability",
        "indexes",
        "clock",
        "other program",
        "zone data",
        "retell",
    ),
    *("agent", "number", "batches", "socket", "metrics port", "control port", "descriptors"),
    *("job", "request", "served", "hold", "batch", "window", "due", "attempts", "phone", "document", "test"),
    *("account", "balance"),
    *Level,
)
#: What argparse asks gettext for, in the cases that the command lines here can meet.
_OF_ARGPARSE: Final[tuple[tuple[str, str | None], ...]] = (
    ("usage: ", None),
    ("options", None),
    ("positional arguments", None),
    ("show this help message and exit", None),
    ("show program's version number and exit", None),
    ("unrecognized arguments: %s", None),
    ("the following arguments are required: %s", None),
    ("one of the arguments %s is required", None),
    ("not allowed with argument %s", None),
    ("ignored explicit argument %r", None),
    ("invalid %(type)s value: %(value)r", None),
    ("invalid choice: %(value)r (choose from %(choices)s)", None),
    ("argument %(argument_name)s: %(message)s", None),
    ("expected one argument", None),
    ("expected at most one argument", None),
    ("expected at least one argument", None),
    ("expected %s argument", "expected %s arguments"),
    ("ambiguous option: %(option)s could match %(matches)s", None),
    ("%(prog)s: error: %(message)s\n", None),
)
#: Faults of the system whose texts our sentences quote.
_ERRORS: Final = (
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC),
    *(errno.EROFS, errno.EPIPE, errno.EIO, errno.ENAMETOOLONG, errno.ECONNREFUSED, errno.ELOOP, errno.EDQUOT),
)
_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}")
#: A catalogue changes with its sentences alone.
_DATE: Final = datetime(2026, 11, 30, tzinfo=UTC)


class Sentence(NamedTuple):
    """One entry of a catalogue: its English text, the plural if it has one, and the file where it is."""

    one: str
    many: str | None
    file: str

    @property
    def id(self) -> str | tuple[str, str]:
        """The entry's key, as Babel has it."""
        return self.one if self.many is None else (self.one, self.many)


def collect_sentences() -> Iterator[Sentence]:
    """Every sentence of the sources, file by file; one that occurs twice is yielded twice."""
    for package in ("speechaid", "speechctl"):
        for path in sorted((ROOT / package).rglob("*.py")):
            file = path.relative_to(ROOT).as_posix()
            yield from _marked(path, file)
            yield from _of_tables(path, file)
            yield from _of_enumerations(path, file)
    yield from _of_templates()
    yield from _of_commands()
    yield from (Sentence(declared.allowed, None, "speechaid/settings/groups.py") for declared in DECLARATIONS)
    yield from (Sentence(name, None, "speechaid/rules/check_findings.py") for name in _CHECKS)
    yield from (Sentence(str(code).replace("_", " "), None, "speechaid/model") for code in _CODES)
    yield from (
        # As speechctl.render.text.counted_words shows counts by status.
        Sentence(
            f"{{count}} {status.replace('_', ' ')}",
            f"{{count}} {status.replace('_', ' ')}",
            "speechaid/model",
        )
        for status in (*JobStatus, "scheduled")
    )
    yield from (Sentence(one, many, "argparse") for one, many in _OF_ARGPARSE)
    yield from (Sentence(os.strerror(number), None, "errno") for number in _ERRORS)


def has_words(text: str) -> bool:
    """Whether there is something to translate beside placeholders and signs."""
    return re.search(r"[^\W\d_]", _PLACEHOLDER.sub("", text)) is not None


def _marked(path: Path, file: str) -> Iterator[Sentence]:
    # Not by Babel's extraction, which overlooks what stands within an f-string.
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or name not in KEYWORDS:
            continue
        given = [part.value for part in node.args if isinstance(part, ast.Constant)][: KEYWORDS[name]]
        texts = [text for text in given if isinstance(text, str)]
        if texts and has_words(texts[0]):
            yield Sentence(texts[0], texts[1] if len(texts) > 1 else None, file)


def _of_templates() -> Iterator[Sentence]:
    """What the templates of the page say."""
    for path in sorted(TEMPLATES.glob("*.html")):
        file = path.relative_to(ROOT).as_posix()
        tree = Environment(autoescape=True).parse(path.read_text(encoding="utf-8"))
        for call in tree.find_all(nodes.Call):
            name = call.node.name if isinstance(call.node, nodes.Name) else ""
            given = [part.value for part in call.args if isinstance(part, nodes.Const)]
            texts = [text for text in given[: KEYWORDS.get(name, 0)] if isinstance(text, str)]
            if texts and has_words(texts[0]):
                yield Sentence(texts[0], texts[1] if len(texts) > 1 else None, file)


def _of_tables(path: Path, file: str) -> Iterator[Sentence]:
    """The titles of columns, which ``speechctl.render.blocks.table`` takes as one text."""
    if not file.startswith("speechctl/render/"):
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "table":
            title_of_table = node.args[0]
            if isinstance(title_of_table, ast.Constant) and title_of_table.value:
                yield Sentence(str(title_of_table.value), None, file)
            for part in ast.walk(node.args[1]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    for name in part.value.split():
                        if title := name.lstrip("#").replace("_", " "):
                            yield Sentence(title, None, file)


def _of_enumerations(path: Path, file: str) -> Iterator[Sentence]:
    """The members of enumerations that are sentences: they have blanks, codes have none."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "StrEnum" for base in node.bases):
            for member in node.body:
                value = member.value if isinstance(member, ast.Assign) else None
                if isinstance(value, ast.Constant) and " " in str(value.value):
                    yield Sentence(str(value.value), None, file)


def _of_commands() -> Iterator[Sentence]:
    """What the table of commands says of commands and arguments."""
    file = "speechaid/protocol/commands.py"
    for group in GROUPS:
        yield Sentence(group, None, file)
    for spec in COMMANDS.values():
        for text in (spec.help, spec.question, *(argument.help for argument in spec.arguments)):
            if text:
                yield Sentence(text, None, file)


def po_file(language: str) -> Path:
    """The catalogue that people edit."""
    return DIRECTORY / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def compile_catalogue(catalogue: Catalog) -> bytes:
    """The catalogue as gettext reads it."""
    buffer = io.BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def read_catalogue(language: str) -> Catalog:
    """The catalogue of a language as it is stored."""
    with po_file(language).open("rb") as file:
        return read_po(file, locale=language, domain=DOMAIN)


def update_catalogue(language: str) -> Catalog:
    """The stored catalogue with exactly the sentences of the sources."""
    old = read_catalogue(language) if po_file(language).exists() else Catalog()
    catalogue = Catalog(
        locale=language,
        domain=DOMAIN,
        project="speechaid",
        version="0",
        msgid_bugs_address="CONTRIBUTING.md",
        creation_date=_DATE,
        revision_date=_DATE,
        header_comment="# Written by people; `python -m tools.catalogue` adds and removes entries.",
        last_translator="speechaid",
        language_team="speechaid",
        fuzzy=False,
    )
    catalogue.mime_headers = [("Plural-Forms", "nplurals=2; plural=(n != 1);")]
    for sentence in collect_sentences():
        known = old.get(sentence.one)
        string = known.string if known is not None and known.pluralizable == bool(sentence.many) else None
        catalogue.add(sentence.id, string, locations=[(sentence.file, 0)])
    return catalogue


def po_text(catalogue: Catalog) -> bytes:
    """The catalogue as it is stored: the same bytes for the same entries."""
    buffer = io.BytesIO()
    write_po(buffer, catalogue, width=100, sort_by_file=True, include_lineno=False)
    return buffer.getvalue()


def untranslated_sentences(catalogue: Catalog) -> list[str]:
    """The sentences that have no translation."""
    return [
        str(message.id)
        for message in catalogue
        if message.id and not (all(message.string or [""]) if message.pluralizable else message.string)
    ]


def main() -> int:
    """Renew every catalogue; 1 where sentences lack a translation."""
    left = 0
    for language in LANGUAGES:
        if language == ENGLISH:
            continue
        catalogue = update_catalogue(language)
        po_file(language).parent.mkdir(parents=True, exist_ok=True)
        po_file(language).write_bytes(po_text(catalogue))
        po_file(language).with_suffix(".mo").write_bytes(compile_catalogue(catalogue))
        for sentence in untranslated_sentences(catalogue):
            left += 1
            print(f"{language}: no translation of {sentence!r}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
