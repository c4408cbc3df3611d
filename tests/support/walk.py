"""A newcomer's walk through the operator's pages: their commands, typed as written into one shell.

On a page, a block fenced as ``sh`` is typed; ``sh status=N`` ends with that exit status, every other command
with 0. The block fenced as ``text`` behind it is what was printed, by shape: times, ids and numbers stand for
any, ``...`` for any words or lines. A comment that begins with ``<!-- practice`` is typed too, and not shown:
it brings about what the page goes on to mend. ``sh last`` is typed when all pages are through. Other fences
are not typed.

``python -m tests.support.walk`` walks through the pages, says what differs, fills in empty ``text`` blocks,
and copies what is typed and shown to the Spanish pages. Where a command's answer has changed, empty its
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
#: Pages that belong to one walk, in the order in which a newcomer meets them.
PAGES: Final = ("first-day", "daily", "troubleshooting", "security")
#: What a shell of a newcomer's has in its environment.
_KEPT: Final = ("LANG", "TMPDIR", "PYTHONPATH")
_FENCE: Final = re.compile(
    r"^(?P<indent> *)(?:```(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```|<!-- practice\n(?P<hidden>.*?)^ *-->)$",
    re.MULTILINE | re.DOTALL,
)
_STEP_SECONDS: Final = 90.0
#: What the doctor rightly says of a machine that is busy with other things. It is asked again.
_BUSY: Final = ("the database is slow to answer", "Retell is slow to answer")

#: What differs from run to run, and the word that stands for it.
_SHAPES: Final = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        # Between two rests an idle worker looks for a job, for a few milliseconds.
        (r"^(worker-\d+\s+)claiming\b", r"\1idle"),
        (r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:\+00:00|Z)?)?", "TIME"),
        (r"\b\d\d:\d\d(?::\d\d)?\b", "TIME"),
        (r"\bbatch-\d{8}-[0-9a-f]{1,8}\b", "BATCH"),
        (r"\bbatch-TIME-?[0-9a-f]{0,8}\b", "BATCH"),
        (r"\bjob-[0-9a-f]{16}\b", "JOB"),
        (r"\bcall_[0-9a-f]{32}\b", "CALL"),
        (r"\S*\*{4,}\d\d", "PHONE"),
        (r"\b(?:\w+ \(uid \d+\)|uid \d+)", "SOMEBODY"),
        (r"\b\d+(?:[.,]\d+)*(?:ms|[smhd]\b)?", "N"),
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
    #: The words behind the fence: ``sh``, ``text``, ``practice`` for a hidden one.
    info: tuple[str, ...]
    text: str
    #: Where its text stands in the page.
    span: tuple[int, int]

    @property
    def is_typed(self) -> bool:
        """Whether the walk types it."""
        return self.info[:1] in {("sh",), ("practice",)}

    @property
    def status(self) -> int:
        """The exit status of its last command; all before it end with 0."""
        return next(
            (int(word.removeprefix("status=")) for word in self.info if word.startswith("status=")), 0
        )

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A block that was typed, and what came of it."""

    block: Block
    #: The ``text`` block behind it, if there is one.
    shown: Block | None
    printed: str
    #: Commands that failed: exit status and words.
    failed: list[str]
    seconds: float

    def faults(self) -> list[str]:
        """What differs from the page."""
        faults = []
        wanted = [str(self.block.status)] if self.block.status else []
        if [line.split(" ", 1)[0] for line in self.failed] != wanted:
            faults.append(
                f"{self.block}: failed {self.failed}, the page has {wanted}; printed:\n{self.printed}"
            )
        if self.shown is not None and not looks_like(self.shown.text, self.printed):
            faults.append(f"{self.shown} shows\n{self.shown.text}\nbut this was printed:\n{self.printed}")
        return faults


def blocks(page: Path) -> list[Block]:
    """The fenced blocks and hidden comments of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        group = "hidden" if match["info"] is None else "text"
        indent = len(match["indent"])
        inner = "\n".join(line[indent:] for line in match[group].splitlines())
        info = ("practice",) if group == "hidden" else tuple(match["info"].split())
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page=page.name, line=line, info=info, text=inner, span=match.span(group)))
    return found


def looks_like(shown: str, printed: str) -> bool:
    """Whether what was printed has the shape that the page shows; empty lines do not count."""
    pattern = "".join(
        "(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n"
        for line in _shapes(shown)
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in _shapes(printed))) is not None


def _shapes(text: str) -> list[str]:
    return [shape(line) for line in text.splitlines() if line.strip()]


def shape(line: str) -> str:
    """A line with words for what differs from run to run."""
    for pattern, word in _SHAPES:
        line = pattern.sub(word, line)
    return line.strip()


class Shell:
    """One bash in a home of its own, with the environment of somebody who has just logged in."""

    def __init__(self, home: Path) -> None:
        self._home = home
        programs = Path(sys.executable).parent
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=home,
            env=kept | {"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}", "TZ": "UTC"},
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._steps = 0
        self._tell("set -o errtrace")

    def type(self, text: str) -> tuple[str, list[str]]:
        """What was printed, and each command that failed: status and words."""
        self._steps += 1
        step = self._home / f".step-{self._steps}"
        trap = "trap 'failed+=(\"$? $BASH_COMMAND\")' ERR"
        step.with_suffix(".sh").write_text(f"{trap}\n{text}\ntrap - ERR\n", encoding="utf-8")
        self._tell(
            f"failed=(); source {step}.sh > {step}.out 2>&1 < /dev/null",
            f"printf '%s\\n' \"${{failed[@]}}\" > {step}.new; mv {step}.new {step}.failed",
        )
        failed = step.with_suffix(".failed")
        deadline = time.monotonic() + _STEP_SECONDS
        while not failed.exists():
            assert self._process.poll() is None, f"the shell ended in:\n{text}"
            assert time.monotonic() < deadline, (
                f"this does not end:\n{text}\n{step.with_suffix('.out').read_text()}"
            )
            time.sleep(0.01)
        printed = step.with_suffix(".out").read_text(encoding="utf-8")
        for own, other in ((str(self._home), "/home/olga"), (socket.gethostname(), "calls-1")):
            printed = printed.replace(own, other)
        return printed, [line for line in failed.read_text(encoding="utf-8").splitlines() if line]

    def close(self) -> None:
        """End the shell and all that it started; a daemon hands its calls over."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        # What a shell has in the background ignores SIGQUIT, unless it cares for it, as the daemon does.
        for number, patience in ((signal.SIGQUIT, 2.0), (signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            if self._is_over(patience):
                return

    def _is_over(self, patience_seconds: float) -> bool:
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline:
            self._process.poll()
            try:
                os.killpg(self._process.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.05)
        return False

    def _tell(self, *lines: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n".join(lines) + "\n")
        self._process.stdin.flush()


@contextlib.contextmanager
def open_shell() -> Iterator[Shell]:
    """A shell in a home short enough for a socket."""
    home = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    home.mkdir(mode=0o700)
    shell = Shell(home)
    try:
        yield shell
    finally:
        shell.close()
        shutil.rmtree(home, ignore_errors=True)


def walk(shell: Shell, page: Path, *, last: bool = False) -> Iterator[Step]:
    """Type the blocks of a page, one after the other; or those that end the whole walk."""
    found = blocks(page)
    for block, behind in zip(found, [*found[1:], None], strict=True):
        if block.is_typed and ("last" in block.info) is last:
            shown = behind if behind is not None and behind.info == ("text",) else None
            began = time.monotonic()
            printed, failed = shell.type(block.text)
            while any(word in printed for word in _BUSY) and time.monotonic() - began < _STEP_SECONDS:
                printed, failed = shell.type(block.text)
            seconds = time.monotonic() - began
            yield Step(block=block, shown=shown, printed=printed, failed=failed, seconds=seconds)


def main() -> None:
    """Walk, say what differs, and fill in what the empty ``text`` blocks leave to be told."""
    with open_shell() as shell:
        for page in (ROOT / "docs" / f"{name}.md" for name in PAGES):
            told = dict(_told(shell, page))
            _fill(page, [told.get(block, block.text) for block in _shown(page)])
            sister = page.parent / "es" / page.name
            if sister.exists():
                _fill(sister, [block.text for block in _shown(page)])


def _told(shell: Shell, page: Path) -> Iterator[tuple[Block, str]]:
    """What was printed, for each block that is empty."""
    for step in walk(shell, page):
        sys.stdout.write(f"{step.block}: {step.seconds:.1f} s\n")
        is_empty = step.shown is not None and not step.shown.text.strip()
        for fault in (replace(step, shown=None) if is_empty else step).faults():
            sys.stdout.write(f"{fault}\n\n")
        if step.shown is not None and is_empty:
            yield step.shown, step.printed.strip()


def _shown(page: Path) -> list[Block]:
    """The blocks that a reader sees typed or printed."""
    return [block for block in blocks(page) if block.info[:1] in {("sh",), ("text",)}]


def _fill(page: Path, texts: list[str]) -> None:
    """Put these texts into the blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for block, told in reversed(list(zip(_shown(page), texts, strict=True))):
        start, end = block.span
        text = text[:start] + (told + "\n" if told else "") + text[end:]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
