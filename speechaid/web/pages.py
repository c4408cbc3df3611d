"""Pages of lists: how many, and from where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query

_T = TypeVar("_T")

Limit = Annotated[int, Query(ge=1, le=1000, description="show at most this many")]
Skip = Annotated[int, Query(ge=0, le=10_000, description="leave out so many first; `after` is quicker")]
After = Annotated[str | None, Query(min_length=1, max_length=500, description="`next` of an earlier page")]


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """Which part of a list is asked for."""

    limit: int
    skip: int
    #: The id of the last one of an earlier page.
    after: str | None

    @property
    def read_limit(self) -> int:
        """How many to read: one more than is shown says whether another page follows."""
        return self.limit + 1

    def to_document(
        self, name: str, found: Sequence[_T], show: Callable[[_T], Any], id_of: Callable[[_T], str]
    ) -> dict[str, Any]:
        """The page of what was found, at most ``read_limit`` of them, as the list ``name``."""
        shown = found[: self.limit]
        following = id_of(shown[-1]) if len(found) > self.limit else None
        return {name: [show(one) for one in shown], "limit": self.limit, "next": following}


def _page(limit: Limit = 50, skip: Skip = 0, after: After = None) -> ListPage:
    return ListPage(limit=limit, skip=skip, after=after)


#: The parameter of a route that lists something.
Paged = Annotated[ListPage, Depends(_page)]
