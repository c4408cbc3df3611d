"""When an alert fires and when it resolves, from facts about the daemon and the time. Pure: no I/O, no clock.

An alert fires once its condition has held for ``for_seconds`` without a break. It resolves once the condition
has not held for ``keep_seconds``, so that a flapping condition does not make the alert flap. These are
Prometheus' ``for`` and ``keep_firing_for``. The alerts themselves are in ``rules.alerts``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from speechaid.settings import AlertSettings


class Severity(StrEnum):
    """How soon an operator has to act."""

    #: At once: no calls are placed, or calls may be lost.
    CRITICAL = "critical"
    #: Today.
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The thresholds of the alerts, from the settings."""

    backlog_jobs: int = 100
    stuck_seconds: float = 300.0
    #: A fraction from 0 to 1.
    success_rate: float = 0.2
    success_calls: int = 20
    stalled_seconds: float = 1800.0
    calls_left: float = 20.0
    #: Fewer refused dials are no alert.
    refused_dials: int = 5
    #: Factor on every time of an alert.
    patience: float = 1.0

    @classmethod
    def read(cls, settings: AlertSettings) -> Self:
        """Read them from the current settings."""
        return cls(
            backlog_jobs=settings.backlog_jobs,
            stuck_seconds=settings.stuck_seconds,
            success_rate=settings.success_rate,
            success_calls=settings.success_calls,
            stalled_seconds=settings.stalled_minutes * 60,
            calls_left=settings.calls_left,
            patience=settings.patience,
        )


@dataclass(frozen=True, kw_only=True)
class AlertFacts:
    """What the alert conditions read: the daemon's state at one moment."""

    database_up: bool = True
    jobs_callable: int = 0
    #: Those that may be called now, or could be but for a hold on dialling.
    jobs_ready: int = 0
    oldest_lapsed_seconds: float = 0.0
    stalled_seconds: float = 0.0
    parked_calls: int = 0
    workers_wanted: int = 0
    workers_missing: int = 0
    workers_idle: int = 0
    crash_loops: tuple[str, ...] = ()
    #: Why machine or database count as overloaded; None where they do not.
    overloaded: str | None = None
    #: Why no call is covered, while calls are in progress; None where they are, or need not be.
    call_list_gap: str | None = None
    #: Within ``HUNG_WINDOW_SECONDS``.
    hung_workers: float = 0
    #: Requests for a call's state that Retell refused, within ``REFUSED_WINDOW_SECONDS``.
    polls_refused: float = 0
    #: Within ``SUCCESS_WINDOW_SECONDS``; without ``temporary`` outcomes.
    calls_ended: float = 0
    calls_succeeded: float = 0
    #: Dials that Retell refused, so that they never became calls; within the same window and outcomes.
    dials_refused: float = 0
    #: One sentence for each hold on dialling.
    holds: tuple[str, ...] = ()
    batches_paused: tuple[str, ...] = ()
    batches_not_understood: tuple[str, ...] = ()
    #: Collection, name and field of each document with a field that cannot be read.
    unreadable: tuple[str, ...] = ()
    #: A sentence for each step of a worker or of housekeeping that fails again and again.
    failing: tuple[str, ...] = ()
    #: Calls left by account, for accounts with a limited balance.
    accounts: Mapping[str, float] = field(default_factory=dict)


#: Returns why the condition holds, in a sentence for an operator; None where it does not hold.
Condition = Callable[[AlertFacts, Thresholds], str | None]
#: Returns the condition as PromQL.
Expression = Callable[[Thresholds], str]


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert."""

    name: str
    severity: Severity
    condition: Condition
    promql: Expression
    for_seconds: float
    keep_seconds: float
    #: What it means and what to do; shown in the docs, the rules file and every message.
    meaning: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class AlertState:
    """The state of one alert; instants in seconds of the boot-time clock."""

    #: Since when the condition has held without a break; None while it does not hold.
    holding_since: float | None = None
    #: Since when the condition has not held, while the alert still fires.
    gone_since: float | None = None
    firing_since: float | None = None
    #: The latest reason why it fires.
    summary: str = ""

    @property
    def firing(self) -> bool:
        """Whether the alert fires."""
        return self.firing_since is not None


@dataclass(frozen=True, kw_only=True)
class AlertChange:
    """An alert that began to fire, or resolved."""

    alert: Alert
    firing: bool
    summary: str


States = Mapping[str, AlertState]


def evaluate(
    alerts: Mapping[str, Alert], states: States, facts: AlertFacts, thresholds: Thresholds, now: float
) -> tuple[dict[str, AlertState], list[AlertChange]]:
    """Compute every alert's next state, and what changed.

    Args:
        alerts: by name.
        states: the states that the previous call returned; empty at first.
        facts: the daemon's state now.
        thresholds: the current thresholds.
        now: seconds of a monotonic clock.
    """
    after: dict[str, AlertState] = {}
    changes: list[AlertChange] = []
    for name, alert in alerts.items():
        before = states.get(name, AlertState())
        state = after[name] = _next(alert, before, alert.condition(facts, thresholds), thresholds, now)
        if state.firing is not before.firing:
            summary = state.summary if state.firing else before.summary
            changes.append(AlertChange(alert=alert, firing=state.firing, summary=summary))
    return after, changes


def clears_in_seconds(alert: Alert, state: AlertState, thresholds: Thresholds, now: float) -> float | None:
    """Seconds until a firing alert resolves if its condition stays false; None while the condition holds."""
    if not state.firing or state.gone_since is None:
        return None
    return max(0.0, state.gone_since + alert.keep_seconds * thresholds.patience - now)


def _next(
    alert: Alert, before: AlertState, reason: str | None, thresholds: Thresholds, now: float
) -> AlertState:
    if reason is None:
        gone_since = now if before.gone_since is None else before.gone_since
        if before.firing and now - gone_since < alert.keep_seconds * thresholds.patience:
            return replace(before, holding_since=None, gone_since=gone_since)
        return AlertState()
    since = now if before.holding_since is None else before.holding_since
    fires = before.firing or now - since >= alert.for_seconds * thresholds.patience
    firing_since = before.firing_since if before.firing else now if fires else None
    return AlertState(holding_since=since, firing_since=firing_since, summary=reason)
