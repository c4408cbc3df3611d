"""The environment file: ``NAME=value`` lines as systemd reads them; a fault names its line."""

from __future__ import annotations

import stat
from io import StringIO
from pathlib import Path

from dotenv.parser import Original, parse_stream

from speechaid.settings.secrets import SECRETS
from speechaid.settings.sources import VariableSource


class EnvFileSource(VariableSource):
    """Settings from the environment file; nothing where there is no file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        #: One line for each line of the file that cannot be read, or for the file as a whole.
        self.faults: list[str] = []
        #: Variable to the number of the line that sets it; of two lines the last one counts.
        self.lines: dict[str, int] = {}
        super().__init__({} if path is None else self._parse(path), f"in {path}")

    def warnings(self) -> list[str]:
        """A file with a secret that every user of the host may read; a group may be the service's own."""
        secret = [name for name in SECRETS if _is_secret(name, self.variables.get(name, ""))]
        try:
            open_to_all = self.path is not None and self.path.stat().st_mode & stat.S_IROTH
        except OSError:
            return []
        if not secret or not open_to_all:
            return []
        holds = f"{self.path} holds {' and '.join(secret)}"
        return [f"{holds}, and every user of this host may read it: chmod o= it"]

    def _parse(self, path: Path) -> dict[str, str]:
        values: dict[str, str] = {}
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text in UTF-8"
            self.faults.append(f"{path}: the environment file cannot be read: {reason}")
            return values
        # Only the parser: ${NAME} is not replaced, as systemd does not, and a password may hold a $.
        for line in parse_stream(StringIO(text)):
            number = _line_number(line.original)
            if line.error or (line.key is not None and line.value is None):
                # The text may be half a secret: it is not shown.
                self.faults.append(f"{path}: line {number} cannot be read: must be NAME=value")
            elif line.key:
                values[line.key] = line.value or ""
                self.lines[line.key] = number
        return values


def _line_number(original: Original) -> int:
    """The line of the text itself: the parser counts from the blank lines before it."""
    blank = len(original.string) - len(original.string.lstrip())
    return original.line + original.string.count("\n", 0, blank)


def _is_secret(name: str, value: str) -> bool:
    """An address of the database is one where it holds a password."""
    return "@" in value if name == "MONGO_URI" else bool(value)
