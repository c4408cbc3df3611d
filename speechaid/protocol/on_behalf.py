"""For whom the web process sends a request. Standard library only.

The request then says ``"v": 2``, so that a daemon which does not know the field refuses the request, and does
not carry it out with all rights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from speechaid.protocol.specs.users import ROLES
from speechaid.protocol.text import UNPRINTABLE

#: The version that a request with ``on_behalf`` says.
ON_BEHALF_VERSION: Final = 2
KINDS: Final = ("user", "token")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_LONGEST_ACCOUNT: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class OnBehalf:
    """A user, or a program with a token."""

    user: str
    #: One of ``commands.ROLES``.
    role: str
    #: The only account whose data may be seen and changed; None: all.
    account: str | None = None
    #: One of ``KINDS``.
    kind: str = "user"

    @property
    def actor(self) -> str:
        """As records name it: ``maria (user)``."""
        return f"{self.user} ({self.kind})"

    def to_wire(self) -> dict[str, Any]:
        """As a request has it."""
        return {"user": self.user, "role": self.role, "account": self.account, "kind": self.kind}


def read_on_behalf(given: object) -> OnBehalf | str:
    """For whom a request is, as it says; a text: what is wrong with that."""
    if not isinstance(given, dict) or not given.keys() <= {"user", "role", "account", "kind"}:
        return "an object with user, role, and perhaps account and kind is required"
    user, role, kind, account = (given.get(name) for name in ("user", "role", "kind", "account"))
    faults = {
        "user: a name of 1 to 64 small letters, digits or ._@+- is required": not isinstance(user, str)
        or not _NAME.fullmatch(user),
        f"role: one of {', '.join(ROLES)} is required": role not in ROLES,
        f"kind: {' or '.join(KINDS)} is required": kind is not None and kind not in KINDS,
        "account: an account's id is required, or nothing": account is not None and not _is_id(account),
    }
    fault = next((text for text, is_so in faults.items() if is_so), None)
    if fault is not None:
        return fault
    return OnBehalf(user=str(user), role=str(role), account=account, kind=str(kind or "user"))


def _is_id(value: object) -> bool:
    is_text = isinstance(value, str) and 0 < len(value) <= _LONGEST_ACCOUNT
    return is_text and value == str(value).strip() and not UNPRINTABLE.search(str(value))
