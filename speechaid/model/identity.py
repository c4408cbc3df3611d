"""Who uses the HTTP API and the page: users, tokens, sessions, and on whose behalf a request is made.

No value here has a password, a token's secret or a hash: these stay in ``store.identity``. A document that
cannot be read gives nobody any right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from speechaid.model.reading import Document, flag, instant, text
from speechaid.protocol.translation import say

#: Characters of a password, at least; and at most, since a hash of more costs time.
SHORTEST_PASSWORD: Final = 12
LONGEST_PASSWORD: Final = 1024
#: The beginning of a token, by which logs and programs that search for leaked secrets know it.
TOKEN_PREFIX: Final = "spt_"  # noqa: S105 - no secret
#: A name of a user or a token: also an e-mail address.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


class Role(StrEnum):
    """What a user or a token may do (``rules.roles``); each role includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    MANAGER = "manager"
    ADMIN = "admin"


class PrincipalKind(StrEnum):
    """How somebody has shown who they are."""

    #: By name and password.
    USER = "user"
    #: By a bearer token.
    TOKEN = "token"  # noqa: S105 - no secret
    #: By a session that began with name and password.
    SESSION = "session"


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """On whose behalf something is read or changed."""

    #: The user's name, or the token's.
    name: str
    kind: PrincipalKind
    role: Role
    #: The only account whose data it sees and changes; None: all.
    account_id: str | None = None

    @property
    def actor(self) -> str:
        """As records name it: ``maria (user)``, ``crm (token)``."""
        return f"{self.name} ({'token' if self.kind is PrincipalKind.TOKEN else 'user'})"


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A person who may log in."""

    name: str
    role: Role
    #: Bound to this account; None: to none.
    account_id: str | None
    is_disabled: bool
    created_at: datetime | None = None
    created_by: str | None = None
    password_at: datetime | None = None
    #: The latest login.
    login_at: datetime | None = None

    @classmethod
    def read(cls, document: Document) -> Self | None:
        """From its document; None where name, role or account cannot be read."""
        role = _role(document)
        if role is None or not _has_readable_account(document):
            return None
        return cls(
            name=str(document["_id"]),
            role=role,
            account_id=text(document.get("account_id")),
            is_disabled=flag(document.get("disabled"), default="disabled" in document),
            created_at=instant(document.get("created_at")),
            created_by=text(document.get("created_by")),
            password_at=instant(document.get("password_at")),
            login_at=instant(document.get("login_at")),
        )

    def as_principal(self, kind: PrincipalKind = PrincipalKind.USER) -> Principal:
        """The user as the author of requests."""
        return Principal(name=self.name, kind=kind, role=self.role, account_id=self.account_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A bearer token of a program; its secret is not here."""

    name: str
    role: Role
    account_id: str | None
    created_at: datetime | None = None
    created_by: str | None = None
    #: None: it does not expire.
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    #: The latest use, to a minute.
    used_at: datetime | None = None

    @classmethod
    def read(cls, document: Document) -> Self | None:
        """From its document; None where role, account or expiry cannot be read."""
        role = _role(document)
        expires_at = instant(document.get("expires_at"))
        is_readable = expires_at is not None or document.get("expires_at") is None
        if role is None or not is_readable or not _has_readable_account(document):
            return None
        return cls(
            name=str(document["_id"]),
            role=role,
            account_id=text(document.get("account_id")),
            created_at=instant(document.get("created_at")),
            created_by=text(document.get("created_by")),
            expires_at=expires_at,
            revoked_at=instant(document.get("revoked_at")),
            used_at=instant(document.get("used_at")),
        )

    def is_valid(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def as_principal(self) -> Principal:
        """The token as the author of requests."""
        return Principal(name=self.name, kind=PrincipalKind.TOKEN, role=self.role, account_id=self.account_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A login of a user; the secret that the browser has is not here."""

    #: By which it can be ended; it does not open the session.
    key: str
    user: str
    created_at: datetime
    #: The latest use, to a minute.
    used_at: datetime
    #: It ends then at the latest, whatever its use.
    expires_at: datetime


def read_name(typed: str) -> str | None:
    """The name of a user or a token in its one form, in small letters; None where it cannot be one."""
    name = typed.strip().lower()
    return name if _NAME.fullmatch(name) else None


def password_fault(name: str, password: str) -> str | None:
    """Why this password cannot be the user's; None where it can. The text does not quote it."""
    if len(password) < SHORTEST_PASSWORD:
        return say("a password has at least {count} characters", count=SHORTEST_PASSWORD)
    if len(password) > LONGEST_PASSWORD:
        return say("a password has at most {count} characters", count=LONGEST_PASSWORD)
    if password.strip().casefold() == name.casefold():
        return say("the password is the user's name: take another one")
    return None


def _role(document: Document) -> Role | None:
    stored = document.get("role")
    return Role(stored) if isinstance(stored, str) and stored in list(Role) else None


def _has_readable_account(document: Document) -> bool:
    """What is no account's id must not read as None, which means every account."""
    stored = document.get("account_id")
    return stored is None or text(stored) is not None
