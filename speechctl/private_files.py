"""Files that hold people's data: readable by their owner only, whatever was at their place before."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from speechaid.protocol.translation import say

FILE_MODE: Final = 0o600
#: Where names are links to open files by the system's own making: ``/dev/stdout``, ``/dev/fd/63`` of a shell.
_OPEN_FILES: Final = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_private(name: str, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Write a file of mode 0600; it takes its place once all of it is written, else an older one stays.

    Without ``replace`` it takes the place of no other file.

    The content goes to a new file beside it, which is then renamed: whoever may read an older file, or has it
    open, reads nothing of the new one. A symbolic link is refused: in a shared directory, another user may
    have made it to have a file of ours overwritten. Devices and this user's pipes are written to as they are.

    Raises:
        FileExistsError: without ``replace``: something is at that place.
        OSError: the file cannot be written; ``strerror`` says why in words.
    """
    path = Path(name)
    if path.parent in _OPEN_FILES or _is_pipe_or_device(path):
        links = 0 if path.parent in _OPEN_FILES else os.O_NOFOLLOW
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | links), "wb") as file:
            yield file
        return
    draft = path.with_name(f".speechctl-{os.urandom(8).hex()}")
    descriptor = os.open(draft, _NEW, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        if replace:
            draft.replace(path)
        else:
            path.hardlink_to(draft)
            draft.unlink()
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _is_pipe_or_device(path: Path) -> bool:
    """Whether something other than a file is at this place.

    Raises:
        OSError: a symbolic link, a directory, or a pipe of another user.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, say("it is a symbolic link, which is not followed: name the file itself"))
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISREG(status.st_mode):
        return False
    if status.st_uid not in {0, os.geteuid()}:
        raise OSError(errno.EPERM, say("another user made it, and would read what is written to it"))
    return True
