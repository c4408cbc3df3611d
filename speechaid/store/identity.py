"""Users, tokens, sessions and failed logins of the HTTP API, in a database of their own.

It is named after the campaign's, with ``_web`` at its end (``DatabaseSettings.identity_name``), so that the
web process may write here and only read there. No secret is stored: passwords as argon2id hashes, tokens and
sessions by their SHA-256. Times are by the database's clock: a wall clock that jumps ends no session and
lengthens none.

**Failed logins** are counted before the password is checked, so that parallel tries do not pass a limit. An
address from which a user has logged in before is known: there only this user's tries from there count. All
other addresses share one count for each user, and each has one of its own. So strangers, however many, keep
a user from logging in from a new address for a while, but not from a known one. A count ends
``WINDOW_SECONDS`` after its first try. Their number is bounded by their rate: a hash follows each.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from speechaid.errors import LoginRefused, NotFound, TooManyTries
from speechaid.model.identity import (
    TOKEN_PREFIX,
    Principal,
    PrincipalKind,
    Role,
    Session,
    Token,
    User,
    read_name,
)
from speechaid.model.reading import Document, instant, text, whole
from speechaid.store.indexes import Index
from speechaid.store.passwords import PasswordHashes, one_at_a_time
from speechaid.store.table import Duplicate, Table

#: Failed tries within ``WINDOW_SECONDS``: of one user from a known address, or from all others; and of one
#: address that is not known.
USER_TRIES: Final = 10
ADDRESS_TRIES: Final = 30
WINDOW_SECONDS: Final = 900.0
#: Addresses from which a user has logged in that are remembered, the latest.
KNOWN_ADDRESSES: Final = 10
#: A session ends after so many seconds without use, and in all.
IDLE_SECONDS: Final = 3600.0
SESSION_SECONDS: Final = 12 * 3600.0
#: Sessions of one user at a time; a further login ends the oldest.
MOST_SESSIONS: Final = 20
#: The latest use of a session or a token is written at most so often, in seconds.
USE_SECONDS: Final = 60.0
#: What a clock may be ahead by, in seconds, before a stored time counts as one of the future.
_SKEW_SECONDS: Final = 60.0
#: What is over is deleted at most so often, in seconds.
_PURGE_SECONDS: Final = 60.0
_SECRET_BYTES: Final = 32
#: A longer text is no secret of ours: it is not hashed.
_LONGEST_SECRET: Final = 100

USERS_INDEXES: Final = (Index("speechaid_account", (("account_id", 1),), "users of an account"),)
TOKENS_INDEXES: Final = (Index("speechaid_hash", (("hash", 1),), "a token by what a client sends"),)
SESSIONS_INDEXES: Final = (
    Index("speechaid_user", (("user", 1), ("created_at", 1)), "sessions of a user"),
    Index("speechaid_until", (("expires_at", 1),), "sessions that are over"),
)
TRIES_INDEXES: Final = (Index("speechaid_until", (("until", 1),), "counts that are over"),)


class Identities:
    """Users, tokens, sessions and failed logins; for several threads."""

    def __init__(
        self,
        *,
        users: Table,
        tokens: Table,
        sessions: Table,
        tries: Table,
        now: Callable[[], datetime],
        hashes: PasswordHashes | None = None,
    ) -> None:
        self.users = users
        self.tokens = tokens
        self.sessions = sessions
        self.tries = tries
        self._now = now
        self._hashes = hashes or PasswordHashes()
        self._purge_lock = threading.Lock()
        self._purge_at: datetime | None = None

    def indexed(self) -> list[tuple[Table, tuple[Index, ...]]]:
        """Each collection with its indexes."""
        return [
            (self.users, USERS_INDEXES),
            (self.tokens, TOKENS_INDEXES),
            (self.sessions, SESSIONS_INDEXES),
            (self.tries, TRIES_INDEXES),
        ]

    def prepare(self) -> None:
        """Create the missing indexes. Not at the daemon's start: its user may lack rights here."""
        for table, indexes in self.indexed():
            for index in indexes:
                table.create_index(index.keys, name=index.name, **index.options)

    # -- users -------------------------------------------------------------------------------------------

    def has_users(self) -> bool:
        """Whether there is a user at all."""
        return bool(self.users.find({}, limit=1, fields=("_id",)))

    def find_users(self, account_id: str | None = None) -> list[User]:
        """Find all users, or those of an account, by name; those that cannot be read are left out."""
        query = {} if account_id is None else {"account_id": account_id}
        found = map(User.read, self.users.find(query, sort=[("_id", 1)]))
        return [user for user in found if user is not None]

    def find_user(self, name: str, account_id: str | None = None) -> User | None:
        """Find one user; with an account, only one of its own."""
        document = self._user_document(name)
        user = None if document is None else User.read(document)
        return user if user is not None and account_id in {None, user.account_id} else None

    def create_user(self, name: str, *, role: Role, account_id: str | None, password: str, by: str) -> None:
        """Create a user.

        Args:
            name: in its one form (``model.identity.read_name``).
            role: what the user may do.
            account_id: the only account that the user sees; None: all.
            password: in clear; it was checked by ``model.identity.password_fault``.
            by: who creates it.

        Raises:
            Duplicate: there is a user of this name.
            LoginsBusy: too many passwords are being hashed.
        """
        now = self._now()
        document = {
            "_id": name,
            "role": str(role),
            "account_id": account_id,
            "hash": self._hashes.hash(password),
            "disabled": False,
            "generation": 0,
            "created_at": now,
            "created_by": by,
            "password_at": now,
        }
        self.prepare()
        self.users.insert(document)

    def edit_user(self, name: str, fields: Document) -> None:
        """Set role, account, or both; in force for the next request of each session.

        Raises:
            NotFound: there is no such user.
        """
        self._change_user(name, {"$set": fields})

    def set_password(self, name: str, password: str) -> None:
        """Set a user's password, and end the sessions.

        Raises:
            NotFound: there is no such user.
            LoginsBusy: too many passwords are being hashed.
        """
        fields = {"hash": self._hashes.hash(password), "password_at": self._now()}
        self._change_user(name, {"$set": fields, "$inc": {"generation": 1}})
        self.sessions.delete({"user": name})

    def disable_user(self, name: str) -> None:
        """Refuse a user's logins, and end the sessions; raises ``NotFound`` where there is no such user."""
        self._change_user(name, {"$set": {"disabled": True}, "$inc": {"generation": 1}})
        self.sessions.delete({"user": name})

    def enable_user(self, name: str) -> None:
        """Allow a disabled user to log in again; raises ``NotFound`` where there is no such user."""
        self._change_user(name, {"$set": {"disabled": False}})

    # -- login and sessions ------------------------------------------------------------------------------

    def check_login(self, name: str, password: str, address: str) -> User:
        """The user whose name and password these are. It takes some tenths of a second.

        Args:
            name: as typed.
            password: as typed.
            address: the client's IP address.

        Raises:
            TooManyTries: too many logins of this user or from this address have failed.
            LoginRefused: no such user, wrong password, or disabled.
            LoginsBusy: too many logins are being checked.
        """
        known_name = read_name(name)
        with one_at_a_time():
            document = None if known_name is None else self._user_document(known_name)
            # Names that no user can have share one count: whether a user exists shows in nothing.
            counts = self._counts(known_name or "", address, document)
            for key, limit in counts:
                self._count_try(key, limit)
            stored = None if document is None else text(document.get("hash"))
            result = self._hashes.check(stored, password)
        user = None if document is None else User.read(document)
        if document is None or user is None or not result.is_right or user.is_disabled:
            raise LoginRefused("name or password is wrong")
        self._note_login(document, address, counts, result.new_hash)
        return user

    def start_session(self, user: User) -> tuple[str, Session]:
        """Begin a session of a user whose login was checked; return its secret, and what may be shown of it.

        Raises:
            LoginRefused: the user was disabled meanwhile.
        """
        document = self._user_document(user.name)
        now = self._now()
        if document is None or (read := User.read(document)) is None or read.is_disabled:
            raise LoginRefused("name or password is wrong")
        self._purge(now)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        fields = {
            "_id": _digest(secret),
            "user": user.name,
            "generation": whole(document.get("generation")),
            "created_at": now,
            "used_at": now,
            "expires_at": now + timedelta(seconds=SESSION_SECONDS),
        }
        self.sessions.insert(fields)
        older = self.sessions.find({"user": user.name}, sort=[("created_at", -1)], fields=("_id",))
        too_many = [row["_id"] for row in older[MOST_SESSIONS:]]
        if too_many:
            self.sessions.delete({"_id": {"$in": too_many}})
        session = _read_session(fields)
        if session is None:
            raise LoginRefused("the session could not be read back")
        return secret, session

    def find_session(self, secret: str, *, is_use: bool = True) -> tuple[Session, Principal] | None:
        """Find the session that a client shows, with its user's present rights; None where it is over.

        Args:
            secret: as the client shows it.
            is_use: it counts as use, so that the session does not end for want of it; False for what a page
                asks for by itself.
        """
        if not secret or len(secret) > _LONGEST_SECRET:
            return None
        document = self.sessions.find_one({"_id": _digest(secret)})
        session = None if document is None else _read_session(document)
        now = self._now()
        if document is None or session is None or not _is_open(session, now):
            return None
        found = self._user_document(session.user)
        user = None if found is None else User.read(found)
        if found is None or user is None or user.is_disabled:
            return None
        if whole(found.get("generation")) != whole(document.get("generation"), -1):
            return None
        if is_use:
            self._note_use(self.sessions, document, now)
        return session, user.as_principal(PrincipalKind.SESSION)

    def find_sessions(self, user: str) -> list[Session]:
        """Find the sessions of a user that are not over, the latest first."""
        now = self._now()
        found = map(_read_session, self.sessions.find({"user": user}, sort=[("created_at", -1)]))
        return [session for session in found if session is not None and _is_open(session, now)]

    def end_session(self, secret: str) -> bool:
        """End the session that a client shows; return whether there was one."""
        return len(secret) <= _LONGEST_SECRET and self.sessions.delete({"_id": _digest(secret)}) > 0

    def end_sessions(self, user: str, key: str | None = None) -> int:
        """End all sessions of a user, or the one with this key; return how many.

        Raises:
            NotFound: there is no such user.
        """
        if key is None:
            # A login that is under way gets a session of the old generation, which does not open.
            self._change_user(user, {"$inc": {"generation": 1}})
            return self.sessions.delete({"user": user})
        ids = [row["_id"] for row in self.sessions.find({"user": user}, fields=("_id",))]
        chosen = [one for one in ids if _key(str(one)) == key]
        return self.sessions.delete({"_id": {"$in": chosen}}) if chosen else 0

    # -- tokens ------------------------------------------------------------------------------------------

    def create_token(
        self,
        name: str,
        *,
        role: Role,
        account_id: str | None,
        lasts_seconds: float | None,
        by: str,
    ) -> tuple[str, Token]:
        """Create a token; return its secret, which is stored nowhere, and what may be shown of it.

        Raises:
            Duplicate: there is, or was, a token of this name: records name tokens by it.
        """
        now = self._now()
        secret = TOKEN_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        fields = {
            "_id": name,
            "hash": _digest(secret),
            "role": str(role),
            "account_id": account_id,
            "created_at": now,
            "created_by": by,
            "expires_at": None if lasts_seconds is None else now + timedelta(seconds=lasts_seconds),
        }
        self.prepare()
        self.tokens.insert(fields)
        token = Token.read(fields)
        if token is None:
            raise NotFound(f"the token {name} could not be read back")
        return secret, token

    def find_tokens(self, account_id: str | None = None) -> list[Token]:
        """Find all tokens, or those of an account, by name; those that cannot be read are left out."""
        query = {} if account_id is None else {"account_id": account_id}
        found = map(Token.read, self.tokens.find(query, sort=[("_id", 1)]))
        return [token for token in found if token is not None]

    def find_token(self, secret: str) -> Principal | None:
        """Find on whose behalf a client acts that shows this token; None where it is not valid."""
        if not secret.startswith(TOKEN_PREFIX) or len(secret) > _LONGEST_SECRET:
            return None
        document = self.tokens.find_one({"hash": _digest(secret)})
        token = None if document is None else Token.read(document)
        now = self._now()
        if document is None or token is None or "revoked_at" in document or not token.is_valid(now):
            return None
        self._note_use(self.tokens, document, now)
        return token.as_principal()

    def revoke_token(self, name: str, *, by: str, account_id: str | None = None) -> bool:
        """Revoke a token, at once and for good; return whether it was valid until now.

        Args:
            name: the token's.
            by: who revokes it.
            account_id: only a token of this account.

        Raises:
            NotFound: there is no such token.
        """
        query = {"_id": name} if account_id is None else {"_id": name, "account_id": account_id}
        if self.tokens.find_one(query, fields=("_id",)) is None:
            raise NotFound(f"there is no token {name!r}")
        fields = {"revoked_at": self._now(), "revoked_by": by}
        return self.tokens.update({**query, "revoked_at": {"$exists": False}}, {"$set": fields})

    # -- within ------------------------------------------------------------------------------------------

    def _user_document(self, name: str) -> Document | None:
        return self.users.find_one({"_id": name})

    def _change_user(self, name: str, change: Document) -> None:
        if not self.users.update({"_id": name}, change):
            raise NotFound(f"there is no user {name!r}")

    def _counts(self, name: str, address: str, document: Document | None) -> list[tuple[str, int]]:
        """The counts of a try, with their limits."""
        place = _digest(_network(address))
        if document is not None and place in _known(document):
            return [(_digest("known", name, place), USER_TRIES)]
        return [(_digest("address", place), ADDRESS_TRIES), (_digest("user", name), USER_TRIES)]

    def _count_try(self, key: str, limit: int) -> None:
        """Count a try before it is made.

        Raises:
            TooManyTries: the limit is reached.
        """
        now = self._now()
        self._purge(now)
        until = now + timedelta(seconds=WINDOW_SECONDS)
        # A count of a time that cannot be, since the database's clock was set back, is over, too.
        over: Document = {"$or": [{"until": {"$lte": now}}, {"until": {"$gt": until}}]}
        lasting = {"_id": key, "until": {"$gt": now, "$lte": until}}
        # Where the driver sends it twice, the try counts twice: the limit is reached sooner.
        if self.tries.update({**lasting, "count": {"$lt": limit}}, {"$inc": {"count": 1}}):
            return
        if self.tries.update({"_id": key, **over}, {"$set": {"count": 1, "until": until}}):
            return
        try:
            self.tries.insert({"_id": key, "count": 1, "until": until})
        except Duplicate:
            if self.tries.update({**lasting, "count": {"$lt": limit}}, {"$inc": {"count": 1}}):
                return
            found = self.tries.find_one({"_id": key}) or {}
            ends_at = instant(found.get("until")) or until
            raise TooManyTries(max(1.0, (ends_at - now).total_seconds())) from None

    def _note_login(
        self, document: Document, address: str, counts: Sequence[tuple[str, int]], new_hash: str | None
    ) -> None:
        """Take the successful try off its counts, and remember its address."""
        for key, _limit in counts:
            self.tries.update({"_id": key, "count": {"$gt": 0}}, {"$inc": {"count": -1}})
        name, place = document["_id"], _digest(_network(address))
        known = [*(one for one in _known(document) if one != place), place][-KNOWN_ADDRESSES:]
        fields: Document = {"login_at": self._now(), "known": known}
        self.users.update({"_id": name}, {"$set": fields})
        if new_hash is not None:
            # Not where the password was changed meanwhile.
            self.users.update({"_id": name, "hash": document["hash"]}, {"$set": {"hash": new_hash}})

    def _note_use(self, table: Table, document: Document, now: datetime) -> None:
        used_at = instant(document.get("used_at"))
        if used_at is None or not 0 <= (now - used_at).total_seconds() < USE_SECONDS:
            table.update({"_id": document["_id"]}, {"$set": {"used_at": now}})

    def _purge(self, now: datetime) -> None:
        """Delete the counts and sessions that are over."""
        with self._purge_lock:
            due = self._purge_at is None or not 0 <= (now - self._purge_at).total_seconds() < _PURGE_SECONDS
            if not due:
                return
            self._purge_at = now
        self.tries.delete({"until": {"$lte": now}})
        self.sessions.delete({"expires_at": {"$lte": now}})


def _digest(*parts: str) -> str:
    """The SHA-256 of a text that nobody can guess, or of one that is no secret; in hexadecimal."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _key(digest: str) -> str:
    return digest[:12]


def _network(address: str) -> str:
    """The address; of IPv6 the first 64 bits, since each customer has all that follow."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else str(IPv6Address(int(found) >> 64 << 64))
    return str(found)


def _known(document: Document) -> list[str]:
    stored: Any = document.get("known")
    return [one for one in stored if isinstance(one, str)] if isinstance(stored, list) else []


def _read_session(document: Document) -> Session | None:
    user = text(document.get("user"))
    times = [instant(document.get(name)) for name in ("created_at", "used_at", "expires_at")]
    created_at, used_at, expires_at = times
    if user is None or created_at is None or used_at is None or expires_at is None:
        return None
    return Session(
        key=_key(str(document["_id"])),
        user=user,
        created_at=created_at,
        used_at=used_at,
        expires_at=expires_at,
    )


def _is_open(session: Session, now: datetime) -> bool:
    """Whether a session may be used; one from a time that is still to come may not."""
    skew = timedelta(seconds=_SKEW_SECONDS)
    is_past = session.created_at <= now + skew and session.used_at <= now + skew
    return is_past and now < session.expires_at and (now - session.used_at).total_seconds() < IDLE_SECONDS
