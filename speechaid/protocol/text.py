"""Numbers with nouns, for people; pure."""

from __future__ import annotations


def plural(count: int, noun: str, many: str | None = None) -> str:
    """``1 call``, ``2 calls``; ``many`` is a plural without s: ``1 job waits``, ``2 jobs wait``."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"
