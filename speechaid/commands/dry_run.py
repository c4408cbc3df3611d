"""The worker's own functions for somebody who only looks: a kit that claims nothing and tells nobody.

``explain`` and ``forecast`` judge by what the worker judges by (``look``, ``judge``, ``next_phone``, the
breaker), so that they cannot say anything else than what it will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from speechaid import __version__
from speechaid.commands.interfaces import Desk
from speechaid.dialer.context import Kit
from speechaid.model.states import WorkerState
from speechaid.retell.client import RetellClient


class _Nobody:
    """A seat that nobody sits in."""

    let_go_requested = False

    def report(
        self,
        state: WorkerState,
        step: str,
        *,
        within_seconds: float,
        job: str | None = None,
        call: str | None = None,
    ) -> None:
        """Nobody asks."""

    def count(self, name: str, value: float = 1, /, **labels: str) -> None:
        """Nothing is done that counts."""

    def count_once(self, once: str, increments: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        """As above."""

    def event(self, name: str, /, **fields: Any) -> None:
        """Nothing happens."""

    def call_finished(self) -> None:
        """No call is made."""


def observer(desk: Desk) -> Kit:
    """A kit on the clerk's store and settings; its Retell client opens no connection unless it is asked."""
    return Kit(
        store=desk.store,
        retell=retell_of(desk),
        settings=desk.settings,
        seat=_Nobody(),
        worker_id="clerk",
        rest=lambda _seconds: None,
    )


def retell_of(desk: Desk, timeout_seconds: float | None = None) -> RetellClient:
    """A client under this host's key."""
    retell = desk.settings.retell
    return RetellClient(
        base_url=str(retell.base_url),
        api_key=retell.api_key.get_secret_value(),
        timeout_seconds=timeout_seconds or retell.timeout_seconds,
        user_agent=f"speechaid/{__version__} (clerk)",
    )
