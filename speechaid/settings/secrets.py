"""Secrets in files: what ``RETELL_API_KEY_FILE`` names, and systemd's credentials."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from speechaid.protocol.translation import say, system_fault
from speechaid.settings.table import DECLARATIONS

#: The settings that may come from a file.
SECRETS: Final = tuple(declared.variable for declared in DECLARATIONS if declared.secret)
#: Where systemd puts what ``LoadCredential=`` names; systemd itself guards who may read there.
CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
#: No key and no address is longer; a device or a core dump named by mistake is not read whole.
_LONGEST_BYTES: Final = 65_536
_READABLE_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True)
class Unusable:
    """Stands where a value should be, and fails validation; ``fault`` is the line for the operator."""

    fault: str


def file_variable(variable: str) -> str:
    """The variable that names the file of this one."""
    return f"{variable}_FILE"


#: The variables that name files.
FILE_VARIABLES: Final = frozenset(map(file_variable, SECRETS))


def read_secret(path: Path, source: str) -> str | Unusable:
    """The secret in a file; a fault begins with ``source`` and shows nothing of what the file holds."""
    try:
        return _one_line(path.expanduser())
    except OSError as exc:
        return Unusable(
            say("{source}: cannot be read: {strerror}", source=source, strerror=system_fault(exc))
        )
    except (ValueError, RuntimeError) as exc:  # RuntimeError: ~NAME of a user that does not exist
        return Unusable(say("{source}: {exc}", source=source, exc=exc))


def open_to_others(path: Path) -> bool:
    """Whether group or others may read this file; False where its mode cannot be read."""
    try:
        return bool(path.expanduser().stat().st_mode & _READABLE_BY_OTHERS)
    except (OSError, RuntimeError):
        return False


def _one_line(path: Path) -> str:
    """The text of a file without its line end.

    Raises:
        OSError: it cannot be read.
        ValueError: what it holds is no secret; the text completes a sentence.
    """
    # A pipe without a writer would block a reload, and with it the supervisor, for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(say("must be a regular file"))
        content = file.read(_LONGEST_BYTES + 1)
    if len(content) > _LONGEST_BYTES:
        raise ValueError(say("is too large for a secret"))
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(say("is not text in UTF-8")) from None
    if not text:
        raise ValueError(say("is empty"))
    if len(text.splitlines()) > 1:
        raise ValueError(say("must hold one line"))
    return text
