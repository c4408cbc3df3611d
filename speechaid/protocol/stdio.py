"""Standard streams of a command: a closed or full stream, or a limited encoding, causes no traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final

from speechaid.protocol.translation import N_, joined, say, system_fault

#: The error of an answer that was printed to a closed stream.
CLOSED: Final = OSError(errno.EBADF, N_("it is closed"))


def make_ready() -> bool:
    """Prepare the standard streams; returns whether standard output was closed, so that answers will be lost.

    A closed stream is replaced by the null device: Python has None for it, and the next file or socket would
    get its descriptor. Characters that standard output cannot encode are written as question marks.
    """
    closed = sys.stdout is None
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return closed


def give_up_output() -> None:
    """Drop what could not be written to standard output, so that Python reports no error at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stdout.flush()


def unwritten(exc: OSError) -> str:
    """Why an answer could not be written; an error with a file name concerns that file."""
    what = exc.filename or say("the answer cannot be written to standard output")
    return joined("", (what, ": ", system_fault(exc)))
