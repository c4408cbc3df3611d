"""A password is asked for twice on a real terminal, which does not show it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))  # the session's terminal from now on
from speechctl.passwords import PasswordError, read_password
try:
    print("length", len(read_password(None)))
except PasswordError as fault:
    print("fault:", fault)
"""


def typed(*lines: str) -> str:
    """What the terminal shows while these lines are typed, each after its question."""
    master, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = ""
    for question, line in zip(("Password: ", "Again: "), lines, strict=True):
        shown += _read_until(master, question)
        os.write(master, f"{line}\n".encode())
    shown += _read_until(master, None)
    child.wait()
    os.close(master)
    return shown


def _read_until(master: int, wanted: str | None) -> str:
    shown = ""
    while wanted is None or wanted not in shown:
        try:
            part = os.read(master, 1024).decode()
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    return shown


def test_what_is_typed_twice_alike_is_the_password() -> None:
    shown = typed("correct horse battery", "correct horse battery")
    assert "length 21" in shown
    assert "horse" not in shown


@pytest.mark.parametrize("second", ["correct horse batterx", ""])
def test_two_different_ones_are_none(second: str) -> None:
    shown = typed("correct horse battery", second)
    assert "two different passwords" in shown
    assert "horse" not in shown
