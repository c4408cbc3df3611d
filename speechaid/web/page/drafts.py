"""Files of campaigns that are being prepared: kept between two steps, for a bounded time, for one user.

A file lies in the temporary directory without a name: it is gone when it is let go, and when the process
ends, however that comes about. Nothing of it is on another host.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, Any, Final

from starlette.datastructures import UploadFile

from speechaid.model.identity import Principal
from speechaid.protocol.translation import say
from speechaid.web.problems import Problem

#: Seconds after its last use for which a file is kept.
KEEP_SECONDS: Final = 2 * 3600.0
#: Files of one user; the one that was not used for longest makes room.
PER_USER: Final = 3
#: Of all users, in bytes.
MOST_BYTES: Final = 512 * 1024 * 1024


@dataclass(kw_only=True, eq=False)
class Draft:
    """A campaign that is being prepared: its file, and what was chosen so far."""

    key: str
    #: Whose it is: the actor, and the account that they are bound to.
    owner: tuple[str, str | None]
    name: str
    size: int
    file: IO[bytes]
    #: Seconds of the monotonic clock.
    used_at: float
    account: str | None = None
    country: str | None = None
    #: How the file is read: ``sheet``, ``header_row``, ``with_hidden_rows``.
    reading: dict[str, Any] = field(default_factory=dict)
    #: By title, what a column is, where the user says so.
    mapping: dict[str, str] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    keeps_duplicates: bool = False
    #: What was typed into the form of the settings; None: it was not shown yet.
    settings: dict[str, str] | None = None
    #: The last reading of the file, with the choices that it was made for.
    preview: tuple[str, dict[str, Any]] | None = None
    #: Which campaign of this file it is: the one before was taken back.
    attempt: int = 0
    #: The import that was begun last: whoever sends the form again waits for the same one.
    work: asyncio.Task[dict[str, Any]] | None = None
    #: Why it was refused, until the form of the settings shows it.
    faults: dict[str, str] = field(default_factory=dict)
    #: What the daemon said last of how far that import is.
    progress: Mapping[str, Any] = field(default_factory=dict)
    batch_id: str | None = None

    def note_progress(self, progress: Mapping[str, Any]) -> None:
        """Keep what the daemon says; called in another thread."""
        self.progress = progress

    async def read(self) -> bytes:
        """The whole file."""
        return await asyncio.to_thread(os.pread, self.file.fileno(), self.size, 0)


class Drafts:
    """The drafts of all users of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._drafts: dict[str, Draft] = {}

    async def keep(self, caller: Principal, upload: UploadFile, name: str) -> Draft:
        """Keep a file that was received.

        Raises:
            Problem: there is no room for it.
        """
        owner = (caller.actor, caller.account_id)
        self._forget_old()
        own = sorted(
            (one for one in self._drafts.values() if one.owner == owner), key=lambda one: one.used_at
        )
        for one in own[: max(0, len(own) + 1 - PER_USER)]:
            self._forget(one)
        size = upload.size or 0
        if size + sum(one.size for one in self._drafts.values()) > MOST_BYTES:
            raise _no_room()
        try:
            file, size = await asyncio.to_thread(_copied, upload.file)
        except OSError as exc:
            raise _no_room() from exc
        draft = Draft(
            key=secrets.token_urlsafe(16),
            owner=owner,
            name=name,
            size=size,
            file=file,
            used_at=self._clock(),
        )
        self._drafts[draft.key] = draft
        return draft

    def find(self, caller: Principal, key: str) -> Draft | None:
        """The draft of this key; None: it is another user's, or was let go."""
        self._forget_old()
        draft = self._drafts.get(key)
        if draft is None or draft.owner != (caller.actor, caller.account_id):
            return None
        draft.used_at = self._clock()
        return draft

    def close(self) -> None:
        """Let all files go."""
        for draft in list(self._drafts.values()):
            self._forget(draft)

    def _forget_old(self) -> None:
        oldest = self._clock() - KEEP_SECONDS
        for draft in [one for one in self._drafts.values() if one.used_at < oldest]:
            self._forget(draft)

    def _forget(self, draft: Draft) -> None:
        del self._drafts[draft.key]
        draft.file.close()


def _copied(source: IO[bytes]) -> tuple[IO[bytes], int]:
    """A copy of an upload, which its request deletes at its end; and its size in bytes."""
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the draft is forgotten
    try:
        source.seek(0)
        shutil.copyfileobj(source, kept)
        kept.flush()
        return kept, kept.tell()
    except BaseException:
        kept.close()
        raise


def _no_room() -> Problem:
    text = say("there is no room for another file just now: try again in a few minutes")
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code="busy")
