"""State that survives a restart: drain, hold, paused workers and batches; one small file on disk."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from speechaid.errors import FleetError
from speechaid.protocol.translation import say, system_fault
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class PersistedState:
    """Orders that hold until an operator reverts them, whatever crashes in between."""

    draining: bool = False
    held: bool = False
    paused: frozenset[str] = field(default_factory=frozenset)
    paused_batches: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the file's text.

        Raises:
            ValueError: it is not what ``text`` writes.
        """
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one error for every way to be unreadable
        return cls(
            draining=bool(data.get("draining")),
            held=bool(data.get("held")),
            paused=frozenset(str(name) for name in data.get("paused", ())),
            paused_batches=frozenset(str(name) for name in data.get("paused_batches", ())),
        )

    def text(self) -> str:
        """The file's text."""
        data = {"draining": self.draining, "held": self.held, "paused": sorted(self.paused)}
        return json.dumps({**data, "paused_batches": sorted(self.paused_batches)})


class StateDirectory:
    """The directory of one supervisor's state file; its lock keeps a second supervisor out.

    Raises:
        FleetError: it cannot be used, or another supervisor uses it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / "standing.json"
        try:
            path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = os.open(path / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o640)
        except OSError as exc:
            raise FleetError(say("the state directory cannot be used: {exc}", exc=exc)) from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise FleetError(
                say(
                    "another speechaid (pid {holder}) uses the state directory {path}",
                    holder=holder,
                    path=path,
                )
            ) from exc
        # The pid is for people; on a full disk it is missing, and the lock holds all the same.
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def load(self) -> PersistedState:
        """Read the state; a file that cannot be read counts as a drain.

        Its content is unknown: an unneeded drain costs a command, a missing one unwanted calls.
        """
        try:
            return PersistedState.parse(self._path.read_text())
        except FileNotFoundError:
            return PersistedState()
        except (OSError, ValueError, TypeError) as exc:
            log.error(  # noqa: TRY400 - no traceback for a damaged file
                "supervisor.state_unreadable",
                file=str(self._path),
                error=str(exc),
                text="starting drained; check the file, then speechctl undrain",
            )
            return PersistedState(draining=True)

    def save(self, state: PersistedState) -> None:
        """Write the state; atomic by rename.

        Not synced: the page cache survives every crash but the machine's, and the loop must not wait for a
        disk.

        Raises:
            FleetError: the file cannot be written.
        """
        fresh = self._path.with_suffix(".new")
        try:
            fresh.touch(mode=0o640)
            fresh.write_text(state.text() + "\n")
            fresh.replace(self._path)
        except OSError as exc:
            raise FleetError(
                say("{path} cannot be written: {strerror}", path=self._path, strerror=system_fault(exc))
            ) from exc

    def close(self) -> None:
        """Release the lock; its file stays, or two processes could lock two files of one name."""
        os.close(self._lock)
