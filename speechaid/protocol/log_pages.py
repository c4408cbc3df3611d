"""Reading the answers of ``logs`` page by page: each line once, none missed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class LogPages:
    """From where a reader goes on, and which lines it has already; pure.

    Lines are in the order of their ids, which begin with the second in which they were made. A line of
    another host may arrive some seconds late, with an id before others that were read: the daemon names a
    place up to which all have arrived, and what comes after it is read again.
    """

    def __init__(self, place: str, seen: Iterable[str] = ()) -> None:
        """Begin after this place, with the ids of lines that are known already."""
        self._place = place
        self._after = place
        self._seen = set(seen)

    @property
    def after(self) -> str:
        """The argument ``after`` for the next page."""
        return self._after

    def take(self, page: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The new lines of the page that was read after ``after``."""
        new = [line for line in page["lines"] if line["id"] not in self._seen]
        self._seen.update(line["id"] for line in new)
        if self._after == self._place:
            # A later page of the same turn says nothing about lines that arrived behind the first one.
            self._place = page["place"]
        self._after = page.get("next") or self._place
        self._seen = {line_id for line_id in self._seen if line_id > self._place}
        return new
