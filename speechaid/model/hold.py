"""A hold on dialling, as the rules see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Something that stops every dial in its scope."""

    #: What it covers: the fleet, an API key, a host.
    scope: str
    #: Why, for an operator.
    reason: str
    #: Aware UTC; None where nobody wrote it down.
    since: datetime | None = None
    #: When the next chance comes by itself (a breaker's probe); None: an operator must lift it.
    until: datetime | None = None
