"""Runs the operators' pages: their commands, typed as written into one shell, page after page.

On a page, a block fenced as ``sh`` is typed; ``sh status=N`` ends with that exit status, every other command
with 0. The block fenced as ``text`` after it is the expected output, by shape: times, ids and numbers match
any others, ``...`` any words or lines. A comment that begins with ``<!-- practice`` is typed too, but not
shown to readers: it causes the fault that the page then explains. ``sh last`` is typed after all pages. Other
fences are not typed.

``python -m tests.support.walk`` runs the pages, prints what differs, fills in empty ``text`` blocks, and
copies what is typed and shown to the Spanish pages. Where the output of a command has changed, empty its
block.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
#: The pages of one walk, in the order in which a newcomer reads them.
PAGES: Final = ("first-day", "daily", "calling-rules", "troubleshooting", "security")
#: Variables that the shell inherits.
_INHERITED: Final = ("LANG", "TMPDIR", "PYTHONPATH")
_FENCE: Final = re.compile(
    r"^(?P<indent> *)(?:```(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```|<!-- practice\n(?P<hidden>.*?)^ *-->)$",
    re.MULTILINE | re.DOTALL,
)
_STEP_SECONDS: Final = 90.0
#: Findings of ``doctor`` on a machine that is busy with other work; the command is run again then.
_BUSY: Final = (
    *("the database is slow to answer", "Retell is slow to answer"),
    *("la base de datos responde lento", "Retell responde lento"),
)

#: What differs from run to run, and its replacement.
_SHAPES: Final = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        # An idle worker claims for a few milliseconds between two waits.
        (r"^(worker-\d+\s+)claiming\b", r"\1idle"),
        # Which day it is.
        (r"\b(?:lunes|martes|miércoles|jueves|viernes|sábado|domingo), \d+ de \w+ de \d{4}", "TIME"),
        (r"\b(?:today|tomorrow|on \w+day \d{4}-\d\d-\d\d)(?=\s\d\d:\d\d)", "TIME"),
        (r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:\+00:00|Z)?)?", "TIME"),
        (r"\b\d\d:\d\d(?::\d\d)?\b", "TIME"),
        (r"\bbatch-\d{8}-[0-9a-f]{1,8}\b", "BATCH"),
        (r"\bbatch-TIME-?[0-9a-f]{0,8}\b", "BATCH"),
        (r"\bjob-[0-9a-f]{16}\b", "JOB"),
        (r"\bcall_[0-9a-f]{32}\b", "CALL"),
        (r"\bkey [0-9a-f]{16}\b", "key KEY"),
        (r"\btest-(?:\d{8}|TIME)-[0-9a-f]{8}\b", "TEST"),
        (r"\S*\*{4,}\d\d", "PHONE"),
        (r"\b(?:\w+ \(uid \d+\)|uid \d+)", "USER"),
        (r"\b\d+(?:[.,]\d+)*(?:ms|[smhd]\b)?", "N"),
        (r"\bTIME(?:,? TIME)+\b", "TIME"),
        # Whether the practice batch's hours have begun.
        (r"\b(first calls) (?:now|TIME \w+/\w+)(?=,)", r"\1 TIME"),
        (r"\bN(?: N)+\b", "N"),
        (r"\bN (\w+?)s\b", r"N \1"),
        (r"[-#=.]{4,}", "-"),
        (r"\s+", " "),
    )
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    #: The words after the opening fence: ``sh``, ``text``; ``practice`` for a hidden comment.
    info: tuple[str, ...]
    text: str
    #: Start and end of its text in the page.
    span: tuple[int, int]

    @property
    def is_typed(self) -> bool:
        """Whether the walk types it."""
        return self.info[:1] in {("sh",), ("practice",)}

    @property
    def status(self) -> int:
        """The expected exit status of its last command; all before it end with 0."""
        return next(
            (int(word.removeprefix("status=")) for word in self.info if word.startswith("status=")), 0
        )

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A block that was typed, and its result."""

    block: Block
    #: The ``text`` block after it, if there is one.
    shown: Block | None
    printed: str
    #: Commands that failed: exit status and command line.
    failed: list[str]
    seconds: float

    def faults(self) -> list[str]:
        """What differs from the page."""
        faults = []
        expected = [str(self.block.status)] if self.block.status else []
        if [line.split(" ", 1)[0] for line in self.failed] != expected:
            faults.append(
                f"{self.block}: failed {self.failed}, the page has {expected}; printed:\n{self.printed}"
            )
        if self.shown is not None and not looks_like(self.shown.text, self.printed):
            faults.append(f"{self.shown} shows\n{self.shown.text}\nbut this was printed:\n{self.printed}")
        return faults


def blocks(page: Path) -> list[Block]:
    """The fenced blocks and hidden comments of a page, in order."""
    text = page.read_text(encoding="utf-8")
    result = []
    for match in _FENCE.finditer(text):
        group = "hidden" if match["info"] is None else "text"
        indent = len(match["indent"])
        inner = "\n".join(line[indent:] for line in match[group].splitlines())
        info = ("practice",) if group == "hidden" else tuple(match["info"].split())
        line = text.count("\n", 0, match.start()) + 1
        result.append(Block(page=page.name, line=line, info=info, text=inner, span=match.span(group)))
    return result


def looks_like(shown: str, printed: str) -> bool:
    """Whether the output has the shape that the page shows; empty lines are ignored."""
    pattern = "".join(
        "(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n"
        for line in _shapes(shown)
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in _shapes(printed))) is not None


def _shapes(text: str) -> list[str]:
    return [shape(line) for line in text.splitlines() if line.strip()]


def shape(line: str) -> str:
    """A line with what differs from run to run replaced."""
    for pattern, replacement in _SHAPES:
        line = pattern.sub(replacement, line)
    return line.strip()


class Shell:
    """One bash with its own home directory and the environment of a fresh login."""

    def __init__(self, home: Path, language: str = "en") -> None:
        self._home = home
        programs = Path(sys.executable).parent
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=home,
            env=inherited
            | {
                "HOME": str(home),
                "PATH": f"{programs}:{os.environ['PATH']}",
                "TZ": "UTC",
                "SPEECHAID_LANG": language,
                # No zone data of this machine, which may be old: the package's alone.
                "PYTHONTZPATH": "",
            },
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._steps = 0
        self._send("set -o errtrace")

    def type(self, text: str) -> tuple[str, list[str]]:
        """Type a block; returns the output, and each command that failed: status and command line."""
        self._steps += 1
        step = self._home / f".step-{self._steps}"
        trap = "trap 'failed+=(\"$? $BASH_COMMAND\")' ERR"
        step.with_suffix(".sh").write_text(f"{trap}\n{text}\ntrap - ERR\n", encoding="utf-8")
        self._send(
            f"failed=(); source {step}.sh > {step}.out 2>&1 < /dev/null",
            f"printf '%s\\n' \"${{failed[@]}}\" > {step}.new; mv {step}.new {step}.failed",
        )
        failed = step.with_suffix(".failed")
        deadline = time.monotonic() + _STEP_SECONDS
        while not failed.exists():
            assert self._process.poll() is None, f"the shell ended in:\n{text}"
            assert time.monotonic() < deadline, (
                f"no end within {_STEP_SECONDS:g} s:\n{text}\n{step.with_suffix('.out').read_text()}"
            )
            time.sleep(0.01)
        printed = step.with_suffix(".out").read_text(encoding="utf-8")
        for real, shown_as in ((str(self._home), "/home/olga"), (socket.gethostname(), "calls-1")):
            printed = printed.replace(real, shown_as)
        return printed, [line for line in failed.read_text(encoding="utf-8").splitlines() if line]

    def close(self) -> None:
        """End the shell and all that it started; a daemon hands its calls over."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        # Background processes of a shell ignore SIGQUIT, unless they handle it, as the daemon does.
        for number, seconds in ((signal.SIGQUIT, 2.0), (signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            if self._ends_within(seconds):
                return

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._process.poll()
            try:
                os.killpg(self._process.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.05)
        return False

    def _send(self, *lines: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n".join(lines) + "\n")
        self._process.stdin.flush()


@contextlib.contextmanager
def open_shell(language: str = "en") -> Iterator[Shell]:
    """A shell of a reader of this language, whose home directory has a name short enough for a socket."""
    home = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    home.mkdir(mode=0o700)
    shell = Shell(home, language)
    try:
        yield shell
    finally:
        shell.close()
        shutil.rmtree(home, ignore_errors=True)


def walk(shell: Shell, page: Path, *, last: bool = False) -> Iterator[Step]:
    """Type the blocks of a page, one after the other; with ``last`` those that end the whole walk."""
    on_page = blocks(page)
    for block, following in zip(on_page, [*on_page[1:], None], strict=True):
        if block.is_typed and ("last" in block.info) is last:
            shown = following if following is not None and following.info == ("text",) else None
            began = time.monotonic()
            printed, failed = shell.type(block.text)
            while any(word in printed for word in _BUSY) and time.monotonic() - began < _STEP_SECONDS:
                printed, failed = shell.type(block.text)
            seconds = time.monotonic() - began
            yield Step(block=block, shown=shown, printed=printed, failed=failed, seconds=seconds)


def main() -> None:
    """Run the pages, print what differs, and fill in the empty ``text`` blocks."""
    with open_shell() as shell:
        for page in (ROOT / "docs" / f"{name}.md" for name in PAGES):
            outputs = dict(_missing_outputs(shell, page))
            _fill(page, [outputs.get(block, block.text) for block in _shown(page)])
            translation = page.parent / "es" / page.name
            if translation.exists():
                _fill(translation, [block.text for block in _shown(page)])


def _missing_outputs(shell: Shell, page: Path) -> Iterator[tuple[Block, str]]:
    """Type the page; yields each empty ``text`` block with what was printed."""
    for step in walk(shell, page):
        sys.stdout.write(f"{step.block}: {step.seconds:.1f} s\n")
        is_empty = step.shown is not None and not step.shown.text.strip()
        for fault in (replace(step, shown=None) if is_empty else step).faults():
            sys.stdout.write(f"{fault}\n\n")
        if step.shown is not None and is_empty:
            yield step.shown, step.printed.strip()


def _shown(page: Path) -> list[Block]:
    """The blocks that a reader sees: typed and printed."""
    return [block for block in blocks(page) if block.info[:1] in {("sh",), ("text",)}]


def _fill(page: Path, texts: list[str]) -> None:
    """Put these texts into the blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for block, output in reversed(list(zip(_shown(page), texts, strict=True))):
        start, end = block.span
        text = text[:start] + (output + "\n" if output else "") + text[end:]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
