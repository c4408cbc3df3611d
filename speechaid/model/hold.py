"""A hold on dialling, as the rules use it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A hold stops every dial in its scope."""

    #: The scope: the fleet, all batches, an API key, a host.
    scope: str
    #: Why, for an operator.
    reason: str
    #: Aware UTC; None where it was not recorded.
    since: datetime | None = None
    #: When dialling is tried again without an operator (a breaker's probe); None: an operator must lift it.
    until: datetime | None = None
    #: Jobs that belong to no batch may be dialled all the same.
    batches_only: bool = False
