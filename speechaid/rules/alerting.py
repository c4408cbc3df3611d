"""When an alert fires and when it is over: a picture of the daemon and the time in, firing alerts out.

An alert fires once its condition has held for ``for_seconds`` without a break, and is over once it has not
held for ``keep_seconds``: a condition that comes and goes neither fires nor resolves with every swing.
Prometheus' ``for`` and ``keep_firing_for`` mean the same. The alerts themselves stand in ``rules.alerts``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from speechaid.settings import AlertSettings


class Severity(StrEnum):
    """How soon somebody has to look."""

    #: At once: nobody is called, or calls may be lost.
    CRITICAL = "critical"
    #: Today.
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The settings of the alerts."""

    backlog_jobs: int = 100
    stuck_seconds: float = 300.0
    #: A share from 0 to 1.
    success_rate: float = 0.2
    success_calls: int = 20
    stalled_seconds: float = 1800.0
    calls_left: float = 20.0
    #: Factor on every time of an alert.
    patience: float = 1.0

    @classmethod
    def read(cls, settings: AlertSettings) -> Self:
        """From the settings in force."""
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
    """The daemon at one moment, as far as an alert looks at it."""

    database_up: bool = True
    jobs_callable: int = 0
    oldest_lapsed_seconds: float = 0.0
    stalled_seconds: float = 0.0
    parked_calls: int = 0
    workers_wanted: int = 0
    workers_missing: int = 0
    workers_idle: int = 0
    crash_loops: tuple[str, ...] = ()
    #: Within ``HUNG_WINDOW_SECONDS``.
    hung_workers: float = 0
    #: Within ``SUCCESS_WINDOW_SECONDS``; without those that only met a limit.
    calls_ended: float = 0
    calls_succeeded: float = 0
    #: A sentence for each thing that holds dialling.
    holds: tuple[str, ...] = ()
    batches_paused: tuple[str, ...] = ()
    batches_not_understood: tuple[str, ...] = ()
    #: Calls left by account, of those that have a bound.
    accounts: Mapping[str, float] = field(default_factory=dict)


#: Why it holds, in a sentence for an operator; None where it does not.
Condition = Callable[[AlertFacts, Thresholds], str | None]
#: The same for Prometheus.
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
    #: What it means, and what to do; for the docs, the rules file and every message.
    meaning: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class AlertState:
    """Where one alert stands; instants in seconds of the boot-time clock."""

    #: Since when the condition has held without a break; None where it does not.
    holding_since: float | None = None
    #: Since when it has not held while the alert fires.
    gone_since: float | None = None
    firing_since: float | None = None
    #: Why it fires, as said last.
    summary: str = ""

    @property
    def firing(self) -> bool:
        """Whether it fires."""
        return self.firing_since is not None


@dataclass(frozen=True, kw_only=True)
class AlertChange:
    """An alert that began to fire, or is over."""

    alert: Alert
    firing: bool
    summary: str


States = Mapping[str, AlertState]


def evaluate(
    alerts: Mapping[str, Alert], states: States, facts: AlertFacts, thresholds: Thresholds, now: float
) -> tuple[dict[str, AlertState], list[AlertChange]]:
    """Every alert's next state, and what changed.

    Args:
        alerts: by name.
        states: what was returned for the moment before; empty at first.
        facts: of this moment.
        thresholds: in force.
        now: seconds of a clock that never goes back.
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
    """When an alert that fires is over if its cause stays away; None while its cause is there."""
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
