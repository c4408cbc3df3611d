"""The environment file: ``NAME=value`` lines as systemd reads them, with what is wrong told by its line."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from speechaid.settings_secrets import SECRETS


@dataclass(frozen=True, kw_only=True)
class EnvFile:
    """What was read; nothing where there is no file."""

    path: Path | None = None
    values: dict[str, str] = field(default_factory=dict, repr=False)
    #: Variables without a value.
    empty: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def read_file(path: Path | None) -> EnvFile:
    """Read it; a file that cannot be read is a fault like any other."""
    found = EnvFile(path=path)
    if path is None:
        return found
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text in UTF-8"
        found.faults.append(f"{path}: the environment file cannot be read: {reason}")
        return found
    # ${NAME} is not replaced: systemd reads the same files and leaves it alone, and a password may hold a $.
    for line in parse_stream(StringIO(text)):
        if line.error or (line.key is not None and line.value is None):
            # What stands there may be half a secret: it is not shown.
            found.faults.append(f"{path}: line {line.original.line} cannot be read: must be NAME=value")
        elif line.key and line.value and line.value.strip():
            found.values[line.key] = line.value.strip()
        elif line.key:
            found.empty.add(line.key)
    return found


def warnings_of_file(file: EnvFile) -> list[str]:
    """A file with a secret that every user of the host may read; a group may well be the service's own."""
    secret = [name for name in SECRETS if _is_secret(name, file.values.get(name, ""))]
    if file.path is None or not secret:
        return []
    try:
        open_to_all = file.path.stat().st_mode & stat.S_IROTH
    except OSError:
        return []
    told = f"{file.path} holds {' and '.join(secret)}, and every user of this host may read it: chmod o= it"
    return [told] if open_to_all else []


def _is_secret(name: str, value: str) -> bool:
    """An address of the database is one where it holds a password."""
    return "@" in value if name == "MONGO_URI" else bool(value)
