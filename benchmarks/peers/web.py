"""The application of gunicorn --preload: it answers, and each worker is connected to the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.peers import work


def app(_environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
    start("204 No Content", [])
    return []


def post_fork(_server: Any, _worker: Any) -> None:
    """A hook of gunicorn: this file is its configuration too."""
    work.caller().connect()
