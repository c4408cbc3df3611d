"""Retell's agents and numbers as forms and screens show them; one answer serves for a minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from speechaid.web.page.visits import Visit
from speechaid.web.problems import Problem

_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class RetellList:
    """What Retell has of a kind."""

    #: None: it could not be read.
    rows: list[dict[str, Any]] | None
    has_more: bool = False
    #: Which of them the server's settings name; empty: none.
    usual: str = ""
    #: Why it could not be read.
    fault: str | None = None

    @property
    def lacks_usual(self) -> bool:
        """Whether the settings name one that is not there."""
        is_known = self.rows is not None and not self.has_more
        return is_known and bool(self.usual) and not any(row["in_use"] for row in self.rows or ())


async def read_list(visit: Visit, what: str) -> RetellList:
    """``agents`` or ``numbers``; a fault where the daemon or Retell cannot say."""
    try:
        found = await visit.share(what, {}, _SECONDS)
    except Problem as problem:
        return RetellList(rows=None, fault=problem.detail)
    return RetellList(rows=found[what], has_more=bool(found["has_more"]), usual=found["in_use"] or "")
