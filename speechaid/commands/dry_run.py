"""The worker's own functions for somebody who only looks: a kit that claims nothing and tells nobody.

``explain`` and ``forecast`` judge by what the worker judges by (``look``, ``judge``, ``next_phone``, the
breaker), so that they cannot say anything else than what it will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from speechaid import __version__
from speechaid.commands.interfaces import HandlerContext
from speechaid.dialer.context import WorkerContext
from speechaid.model.states import WorkerState
from speechaid.retell.client import RetellClient


class _NoSupervisor:
    """A seat that nobody sits in."""

    hand_over_requested = False

    def report_step(
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

    def emit(self, name: str, /, **fields: Any) -> None:
        """Nothing happens."""

    def call_finished(self) -> None:
        """No call is made."""


def dry_run_context(context: HandlerContext) -> WorkerContext:
    """A kit on the clerk's store and settings; its Retell client opens no connection unless it is asked."""
    return WorkerContext(
        store=context.store,
        retell=retell_of(context),
        settings=context.settings,
        link=_NoSupervisor(),
        worker_id="clerk",
        wait=lambda _seconds: None,
    )


def retell_of(context: HandlerContext, timeout_seconds: float | None = None) -> RetellClient:
    """A client under this host's key."""
    retell = context.settings.retell
    return RetellClient(
        base_url=str(retell.base_url),
        api_key=retell.api_key.get_secret_value(),
        timeout_seconds=timeout_seconds or retell.timeout_seconds,
        user_agent=f"speechaid/{__version__} (clerk)",
    )
