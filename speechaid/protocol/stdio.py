"""Standard streams of a command: one that is closed, full, or poor in letters brings no traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final

#: What is told where an answer was printed to a closed stream.
CLOSED: Final = OSError(errno.EBADF, "it is closed")


def make_ready() -> bool:
    """Let everything be printed anywhere; whether standard output was closed, so that an answer will be lost.

    A closed stream becomes the null device: Python has None for it, and its descriptor would go to the next
    file or socket that is opened. Letters that standard output cannot write become question marks.
    """
    closed = sys.stdout is None
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - for good
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return closed


def give_up_output() -> None:
    """What could not be written to standard output is dropped, and Python does not complain of it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stdout.flush()


def unwritten(exc: OSError) -> str:
    """Why an answer could not be written; an error with a file's name is about that file."""
    return f"{exc.filename or 'the answer cannot be written to standard output'}: {exc.strerror or exc}"
