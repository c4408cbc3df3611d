"""Hashes of passwords: argon2id, one at a time in a process (each takes 64 MiB and 0.1 s of a processor)."""

from __future__ import annotations

import functools
import importlib.util
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from speechaid.errors import ConfigError, LoginsBusy
from speechaid.model.identity import LONGEST_PASSWORD

if TYPE_CHECKING:
    from argon2 import PasswordHasher

#: Callers that may wait for their hash; more are refused at once.
MOST_WAITING: Final = 8
#: Longest wait for one's turn, in seconds.
WAIT_SECONDS: Final = 5.0

_turn = threading.Lock()
_places = threading.BoundedSemaphore(MOST_WAITING)


@dataclass(frozen=True, kw_only=True)
class PasswordCheck:
    """The result of a check."""

    is_right: bool
    #: The hash to store in the old one's place, since its parameters are out of date; None: it stays.
    new_hash: str | None = None


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the process's only place for hashing.

    Raises:
        LoginsBusy: too many wait already, or the wait was too long.
    """
    if not _places.acquire(blocking=False):
        raise LoginsBusy("too many passwords are being checked: try again in some seconds")
    try:
        if not _turn.acquire(timeout=WAIT_SECONDS):
            raise LoginsBusy("too many passwords are being checked: try again in some seconds")
        try:
            yield
        finally:
            _turn.release()
    finally:
        _places.release()


class PasswordHashes:
    """Makes and checks hashes; for several threads."""

    def __init__(self, *, passes: int | None = None, memory_kib: int | None = None) -> None:
        """Import nothing yet, since argon2-cffi comes with the extra ``web``.

        Args:
            passes: argon2's time cost; the library's default unless given, as tests do.
            memory_kib: the memory of one hash; the library's default (64 MiB) unless given.
        """
        self._passes = passes
        self._memory_kib = memory_kib

    def hash(self, password: str) -> str:
        """The hash of a new password, with its salt and parameters.

        Raises:
            LoginsBusy: too many passwords are being hashed.
            ConfigError: the extra ``web`` is not installed.
        """
        with one_at_a_time():
            return self._hasher.hash(_normalised(password))

    def check(self, stored: str | None, password: str) -> PasswordCheck:
        """Compare a password with a stored hash; call it within ``one_at_a_time``.

        Args:
            stored: the hash. None, or what is no hash: the check takes as long, and fails.
            password: as typed.

        Raises:
            ConfigError: the extra ``web`` is not installed.
        """
        hasher, typed = self._hasher, _normalised(password[: LONGEST_PASSWORD + 1])
        from argon2.exceptions import Argon2Error, InvalidHashError  # noqa: PLC0415 - an extra

        try:
            hasher.verify(stored or self._unknown, typed)
        except InvalidHashError:
            return self.check(None, password)
        except Argon2Error:
            return PasswordCheck(is_right=False)
        if stored is None or len(password) > LONGEST_PASSWORD:
            return PasswordCheck(is_right=False)
        is_outdated = hasher.check_needs_rehash(stored)
        return PasswordCheck(is_right=True, new_hash=hasher.hash(typed) if is_outdated else None)

    @functools.cached_property
    def _hasher(self) -> PasswordHasher:
        if importlib.util.find_spec("argon2") is None:
            raise ConfigError(["users need argon2-cffi: pip install 'speechaid[web]'"])
        import argon2  # noqa: PLC0415 - an extra

        return argon2.PasswordHasher(
            time_cost=self._passes or argon2.DEFAULT_TIME_COST,
            memory_cost=self._memory_kib or argon2.DEFAULT_MEMORY_COST,
        )

    @functools.cached_property
    def _unknown(self) -> str:
        """A hash that no password has: that of an unknown user takes as long to check as a known one's."""
        return self._hasher.hash(secrets.token_urlsafe(32))


def _normalised(password: str) -> str:
    """One form for what looks the same: keyboards write an accented letter as one character or as two."""
    return unicodedata.normalize("NFKC", password)
