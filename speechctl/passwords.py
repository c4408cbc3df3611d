"""A user's new password: asked for twice on the terminal, or read from a file; never an argument."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Final

from speechaid.protocol.translation import say

#: More is no password.
_LONGEST_BYTES: Final = 8192


class PasswordError(Exception):
    """No password was given; the text says why, and does not quote one."""


def read_password(file: str | None) -> str:
    """The password: of a file, or asked for.

    Args:
        file: the first line counts; ``-`` is standard input. None: a person is asked.

    Raises:
        PasswordError: none was given.
    """
    if file is not None:
        return _of_file(file)
    if not sys.stdin.isatty():
        raise PasswordError(
            say("stdin is not a terminal: give the password with --password-file FILE (- is stdin)")
        )
    first = getpass.getpass("Password: ", stream=sys.stderr)
    if getpass.getpass("Again: ", stream=sys.stderr) != first:
        raise PasswordError(say("these are two different passwords; nothing was sent"))
    return first


def _of_file(name: str) -> str:
    try:
        if name == "-":
            content = sys.stdin.buffer.read(_LONGEST_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(_LONGEST_BYTES + 1)
        lines = content.decode("utf-8").splitlines()
    except OSError as exc:
        raise PasswordError(f"{name}: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise PasswordError(say("{name}: it is not UTF-8", name=name)) from None
    if len(content) > _LONGEST_BYTES or len(lines) != 1:
        raise PasswordError(say("{name}: one line with the password is expected", name=name))
    return lines[0]
