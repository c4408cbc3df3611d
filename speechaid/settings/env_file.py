"""The environment file: ``NAME=value`` lines as systemd reads them; a fault names its line."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from io import StringIO
from pathlib import Path

from dotenv.parser import Original, parse_stream

from speechaid.protocol.translation import joined, say, system_fault
from speechaid.settings.secrets import SECRETS
from speechaid.settings.sources import VariableSource


class EnvFileSource(VariableSource):
    """Settings from the environment file; nothing where there is no file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        #: One line for each line of the file that cannot be read, or for the file as a whole.
        self.faults: list[str] = []
        #: The file as a whole cannot be read.
        self.is_unreadable = False
        #: Variable to the number of the line that sets it; of two lines the last one counts.
        self.lines: dict[str, int] = {}
        super().__init__({} if path is None else self._parse(path), say("in {path}", path=path))

    def warnings(self) -> list[str]:
        """A file with a secret that every user of the host may read; a group may be the service's own."""
        return [*self._writable(), *self._readable()]

    def _writable(self) -> list[str]:
        """Whoever may write the file, or put another in its place, decides where the API key is sent."""
        lines = []
        for path in () if self.path is None else (self.path, self.path.parent):
            with contextlib.suppress(OSError):
                mode = path.stat().st_mode
                sticky = stat.S_ISDIR(mode) and mode & stat.S_ISVTX
                if mode & stat.S_IWOTH and not sticky:
                    lines.append(
                        say(
                            "{path}: every user of this host may change it, and with it where the API key is"
                            " sent: read the settings through, then chmod o-w it",
                            path=path,
                        )
                    )
        return lines

    def _readable(self) -> list[str]:
        secret = [name for name in SECRETS if _is_secret(name, self.variables.get(name, ""))]
        try:
            open_to_all = self.path is not None and self.path.stat().st_mode & stat.S_IROTH
        except OSError:
            return []
        if not secret or not open_to_all:
            return []
        holds = say("{path} holds {secret}", path=self.path, secret=joined(say(" and "), secret))
        return [say("{holds}, and every user of this host may read it: chmod o= it", holds=holds)]

    def _parse(self, path: Path) -> dict[str, str]:
        values: dict[str, str] = {}
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            self.is_unreadable = True
            reason = system_fault(exc) if isinstance(exc, OSError) else say("it is not text in UTF-8")
            if isinstance(exc, PermissionError):
                reason = _permission_fault(path)
            self.faults.append(
                say("{path}: the environment file cannot be read: {reason}", path=path, reason=reason)
            )
            return values
        # Only the parser: ${NAME} is not replaced, as systemd does not, and a password may hold a $.
        for line in parse_stream(StringIO(text)):
            number = _line_number(line.original)
            if line.error or (line.key is not None and line.value is None):
                # The text may be half a secret: it is not shown.
                self.faults.append(
                    say("{path}: line {number} cannot be read: must be NAME=value", path=path, number=number)
                )
            elif line.key:
                values[line.key] = line.value or ""
                self.lines[line.key] = number
        return values


def _permission_fault(path: Path) -> str:
    """Why this process may not read the file, and the command that lets it."""
    closed = next((p for p in reversed(path.absolute().parents) if not os.access(p, os.X_OK)), path)
    mode = "640" if closed == path else "750"
    return say(
        "the user {user} may not: as root, chgrp {group} {closed} && chmod {mode} {closed}",
        user=_user(),
        group=_group(),
        closed=closed,
        mode=mode,
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _group() -> str:
    try:
        return grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return str(os.getegid())


def _line_number(original: Original) -> int:
    """The line of the text itself: the parser counts from the blank lines before it."""
    blank = len(original.string) - len(original.string.lstrip())
    return original.line + original.string.count("\n", 0, blank)


def _is_secret(name: str, value: str) -> bool:
    """An address of the database is one where it holds a password."""
    return "@" in value if name == "MONGO_URI" else bool(value)
