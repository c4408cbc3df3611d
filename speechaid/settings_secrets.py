"""Secrets from files: ``RETELL_API_KEY_FILE`` beside ``RETELL_API_KEY``, and systemd's credentials.

For each setting that is a secret, and in this order: the variable itself; the file that its ``_FILE`` variant
names; the file of its name, in small letters, in ``$CREDENTIALS_DIRECTORY``. Variable and ``_FILE`` variant
together are a fault, since one of the two is likely the key of yesterday.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from speechaid.settings_table import DECLARATIONS

#: The settings that may come from a file.
SECRETS: Final = tuple(declared.variable for declared in DECLARATIONS if declared.secret)
#: Where systemd puts what ``LoadCredential=`` names; it alone guards who may read there.
CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
#: No key and no address is longer; a device or a core dump named by mistake is not read whole.
_LONGEST_BYTES: Final = 65_536
_READABLE_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What the files gave."""

    #: By variable.
    values: dict[str, str] = field(default_factory=dict, repr=False)
    #: Variable to the one line that tells what is wrong with its file.
    faults: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def file_variable(variable: str) -> str:
    """The variable that names the file of this one."""
    return f"{variable}_FILE"


#: The variables that name files.
FILE_VARIABLES: Final = frozenset(map(file_variable, SECRETS))


def replaced_by(winner: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """``values`` without those secrets that a stronger source names, in whichever of the two ways."""
    named = {s for s in SECRETS if s in winner or file_variable(s) in winner}
    gone = named | set(map(file_variable, named))
    return {name: value for name, value in values.items() if name not in gone}


def read_secrets(values: Mapping[str, str]) -> Secrets:
    """Read the files that the variables name; what is wrong is told without showing what stands there."""
    found = Secrets()
    for variable in SECRETS:
        named = values.get(file_variable(variable))
        credential = _credential(values.get(CREDENTIALS_DIRECTORY), variable)
        if named is not None and variable in values:
            found.faults[variable] = f"{variable} and {file_variable(variable)} are both set: set one of them"
        elif named is not None:
            path = Path(named).expanduser()
            _take(found, variable, f"{file_variable(variable)}={named}", path)
            if open_to_others(path):
                found.warnings.append(
                    f"{file_variable(variable)}={named}: others than its owner may read it: chmod 600 it"
                )
        elif credential is not None and variable not in values:
            _take(found, variable, f"the credential {credential.name}", credential)
        if credential is not None and (named is not None or variable in values):
            used = variable if variable in values else file_variable(variable)
            found.warnings.append(f"{used} is set: the credential {credential.name} is not used")
    return found


def open_to_others(path: Path) -> bool:
    """Whether group or others may read this file; False where it cannot be looked at."""
    try:
        return bool(path.stat().st_mode & _READABLE_BY_OTHERS)
    except OSError:
        return False


def _credential(directory: str | None, variable: str) -> Path | None:
    """The credential of this name, also one that is there and closed to us: reading it will tell."""
    path = Path(directory) / variable.lower() if directory else None
    try:
        return path if path is None or path.exists() else None
    except OSError:
        return path


def _take(found: Secrets, variable: str, source: str, path: Path) -> None:
    try:
        found.values[variable] = _one_line(path)
    except OSError as exc:
        found.faults[variable] = f"{source}: cannot be read: {exc.strerror or exc}"
    except ValueError as exc:
        found.faults[variable] = f"{source}: {exc}"


def _one_line(path: Path) -> str:
    """The text of a file without its line end.

    Raises:
        OSError: it cannot be read.
        ValueError: what it holds is no secret; the text completes a sentence.
    """
    # A pipe without a writer would keep a reload, and with it the supervisor, for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("must be a regular file")
        content = file.read(_LONGEST_BYTES + 1)
    if len(content) > _LONGEST_BYTES:
        raise ValueError("is too large for a secret")
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None
    if not text:
        raise ValueError("is empty")
    if len(text.splitlines()) > 1:
        raise ValueError("must hold one line")
    return text
