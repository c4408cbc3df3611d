"""A worker context that claims nothing and reports nothing.

``explain`` and ``forecast`` evaluate jobs with the worker's functions (preflight, phone selection, circuit
breaker), so that their answers agree with what workers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from speechaid import __version__
from speechaid.commands.interfaces import HandlerContext
from speechaid.dialer.context import WorkerContext
from speechaid.model.states import NoNewCalls, WorkerState
from speechaid.retell.client import RetellClient
from speechaid.rules.coverage import PollReason, Suspicion


class _NoSupervisor:
    """A supervisor link that drops everything."""

    hand_over_requested = False

    def read_orders(self) -> NoNewCalls:
        """A dry run places no call."""
        return NoNewCalls.STOPPING

    def is_batch_paused(self, batch_id: str | None, name: str | None) -> bool:  # noqa: ARG002 - the protocol's
        """No order concerns a dry run."""
        return False

    def report_step(
        self,
        state: WorkerState,
        step: str,
        *,
        within_seconds: float,
        job: str | None = None,
        call: str | None = None,
        database: bool = False,
    ) -> None:
        """Report nothing."""

    def count(self, name: str, value: float = 1, /, **labels: str) -> None:
        """Count nothing."""

    def count_once(self, once: str, increments: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        """Count nothing."""

    def emit(self, name: str, /, **fields: Any) -> None:
        """Write no event."""

    def covered_until(self, call_id: str) -> float:  # noqa: ARG002 - the protocol's
        """No call is covered."""
        return 0.0

    def take_poll(self, call_id: str) -> PollReason | None:  # noqa: ARG002 - the protocol's
        """No order comes."""
        return None

    def take_hang_up(self, job_id: str) -> bool:  # noqa: ARG002 - the protocol's
        """No order comes."""
        return False

    def suspect_list(self, call_id: str, suspicion: Suspicion) -> None:
        """Report nothing."""

    def call_finished(self) -> None:
        """Count no call."""


def dry_run_context(context: HandlerContext) -> WorkerContext:
    """A context on the handler's store and settings; its Retell client connects only when it is used."""
    retell = retell_client(context)
    if context.api_key_fingerprint is not None:
        retell.fingerprint = context.api_key_fingerprint
    return WorkerContext(
        store=context.store,
        retell=retell,
        settings=context.settings,
        link=_NoSupervisor(),
        worker_id="dry-run",
        wait=lambda _seconds: None,
    )


def retell_client(context: HandlerContext, timeout_seconds: float | None = None) -> RetellClient:
    """A Retell client with this host's key."""
    retell = context.settings.retell
    return RetellClient(
        base_url=str(retell.base_url),
        api_key=retell.api_key.get_secret_value(),
        timeout_seconds=timeout_seconds or retell.timeout_seconds,
        user_agent=f"speechaid/{__version__} (clerk)",
    )
