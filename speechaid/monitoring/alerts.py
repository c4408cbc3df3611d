"""Evaluate the alerts and publish a snapshot for the metrics, each second.

Called by the supervisor's loop; never waits: the database thread counts, another thread queries Retell's
limits, and another delivers alerts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from logging import INFO, WARNING
from typing import Any

from speechaid import __version__
from speechaid.clock import Clock
from speechaid.fleet.messages import CountKey, Counts
from speechaid.protocol.translation import say
from speechaid.rules.alerting import (
    AlertChange,
    AlertFacts,
    AlertState,
    Severity,
    Thresholds,
    clears_in_seconds,
    evaluate,
)
from speechaid.rules.alerts import (
    ALERTS,
    HUNG_WINDOW_SECONDS,
    POLLED_ENDPOINT,
    REFUSED_CODES,
    REFUSED_WINDOW_SECONDS,
    SUCCESS_WINDOW_SECONDS,
    UNRATED_OUTCOME,
)
from speechaid.rules.increase import Increase
from speechaid.rules.repeated_failures import failing_sentences
from speechaid.settings import Settings
from speechaid.telemetry.alerts import Message, Webhook
from speechaid.telemetry.gauges import database_up, holds, idle_workers, missing_workers
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.snapshot import ConcurrencyReading, Snapshot, SnapshotHolder, Sums

log = get_logger("speechaid.alerts")


class AlertMonitor:
    """Publishes snapshots and evaluates the alerts; used only in the loop's thread.

    Attributes:
        holder: what metrics and health are read from.
    """

    def __init__(
        self, settings: Settings, *, holder: SnapshotHolder, webhook: Webhook | None, clock: Clock
    ) -> None:
        self.holder = holder
        self._clock = clock
        self._webhook = webhook
        self._states: dict[str, AlertState] = {}
        self._fired_at: dict[str, datetime] = {}
        self._progress_at: float | None = None
        self._ended_before = -1.0
        self._recent: dict[str, float] = {}
        self.apply_settings(settings)

    def apply_settings(self, settings: Settings) -> None:
        """Take over new settings after a reload; the counts of the alerts' windows start again."""
        self._thresholds = Thresholds.read(settings.alerts)
        patience = self._thresholds.patience
        self._hung = Increase(HUNG_WINDOW_SECONDS * patience)
        self._polls_refused = Increase(REFUSED_WINDOW_SECONDS * patience)
        self._ended = Increase(SUCCESS_WINDOW_SECONDS * patience)
        self._succeeded = Increase(SUCCESS_WINDOW_SECONDS * patience)
        self._refused = Increase(SUCCESS_WINDOW_SECONDS * patience)

    def update(
        self, status: Mapping[str, Any], counts: Counts, concurrency: ConcurrencyReading | None, now: float
    ) -> None:
        """Evaluate the alerts, announce changes, and publish a snapshot.

        Args:
            status: current, of supervisor and workers, with the database thread's stats.
            counts: the sum of every counter.
            concurrency: Retell's latest answer.
            now: seconds of the boot-time clock.
        """
        snapshot = Snapshot(
            at=self._clock.now(),
            boottime=now,
            started_at=datetime.fromisoformat(status["supervisor"]["started_at"]),
            version=__version__,
            supervisor=status["supervisor"],
            workers=status["workers"],
            counts=self._with_webhook(counts),
            stats=status,
            stalled_seconds=self._stalled(status, counts, now),
            concurrency=concurrency,
        )
        facts = self._facts(snapshot, now)
        self._recent = {
            "minutes": SUCCESS_WINDOW_SECONDS * self._thresholds.patience / 60,
            "calls_ended": facts.calls_ended,
            "calls_succeeded": facts.calls_succeeded,
            "dials_refused": facts.dials_refused,
        }
        self._states, changes = evaluate(ALERTS, self._states, facts, self._thresholds, now)
        for change in changes:
            self._announce(change, snapshot)
        firing = frozenset(name for name, state in self._states.items() if state.firing)
        self.holder.publish(Snapshot(**{**vars(snapshot), "firing": firing}))

    def recent_counts(self) -> dict[str, float]:
        """Calls that ended and succeeded, and dials that Retell refused, in the last minutes, for status.

        Without ``temporary`` ones; empty before the first update.
        """
        return self._recent

    def firing(self) -> list[dict[str, Any]]:
        """The firing alerts, critical ones first, ready for JSON.

        ``clears_in_seconds`` is None while the cause lasts; after that the summary describes the past.
        """
        now = self._clock.boottime()
        rows = [
            {
                "alert": alert.name,
                "severity": alert.severity.value,
                "since": self._fired_at[name].isoformat(),
                "summary": state.summary,
                "clears_in_seconds": clears_in_seconds(alert, state, self._thresholds, now),
                "meaning": alert.meaning,
                "remedy": alert.remedy,
            }
            for name, alert in ALERTS.items()
            if (state := self._states.get(name)) is not None and state.firing
        ]
        return sorted(rows, key=lambda row: (row["severity"] != Severity.CRITICAL, row["since"]))

    def _announce(self, change: AlertChange, snapshot: Snapshot) -> None:
        """Report a change in the log, in ``status``, and to the webhook."""
        name = change.alert.name
        if change.firing:
            self._fired_at[name] = snapshot.at
        log.event(
            WARNING if change.firing else INFO,
            "alert.firing" if change.firing else "alert.resolved",
            alert=name,
            severity=change.alert.severity,
            summary=change.summary,
            remedy=change.alert.remedy if change.firing else None,
        )
        if self._webhook is not None:
            self._webhook.send(
                Message(
                    alert=change.alert,
                    firing=change.firing,
                    summary=change.summary,
                    since=self._fired_at[name],
                    at=snapshot.at,
                    host=str(snapshot.supervisor["host"]),
                )
            )
        if not change.firing:
            del self._fired_at[name]

    def _with_webhook(self, counts: Counts) -> Counts:
        results = {} if self._webhook is None else self._webhook.results()
        name = "speechaid_alert_webhooks_total"
        return counts | {(name, (("result", word),)): float(count) for word, count in results.items()}

    def _stalled(self, status: Mapping[str, Any], counts: Counts, now: float) -> float:
        """Seconds for which jobs have been callable on this host without a call having ended."""
        supervisor = status["supervisor"]
        ended = _sum(counts, "speechaid_calls_ended_total")
        stopped = supervisor["draining"] or supervisor["held"] or supervisor["no_space"]
        dialling = supervisor["state"] == "running" and not stopped
        waiting = dialling and database_up(status) and _queue_stats(status, "callable", 0) > 0
        if self._progress_at is None or not waiting or ended != self._ended_before:
            self._progress_at = now
        self._ended_before = ended
        return now - self._progress_at

    def _facts(self, snapshot: Snapshot, now: float) -> AlertFacts:
        stats, supervisor = snapshot.stats, snapshot.supervisor
        unexpected = _queue_stats(stats, "paused_unexpectedly", {"named": []})["named"]
        not_understood = _queue_stats(stats, "not_understood", {"named": []})["named"]
        counts = snapshot.counts
        hung = _sum(counts, "speechaid_worker_restarts_total", lambda labels: labels["cause"] == "hung")
        polls_refused = _sum(counts, "speechaid_retell_requests_total", _is_refused_poll)
        ended = _sum(counts, "speechaid_calls_ended_total", _is_rated)
        refused = _sum(counts, "speechaid_dials_refused_total", _is_rated)
        return AlertFacts(
            database_up=database_up(stats),
            jobs_callable=_queue_stats(stats, "callable", 0),
            jobs_ready=_queue_stats(stats, "ready", 0),
            oldest_lapsed_seconds=_queue_stats(stats, "oldest_lapsed_seconds", 0.0),
            stalled_seconds=snapshot.stalled_seconds,
            parked_calls=_queue_stats(stats, "parked", 0),
            workers_wanted=supervisor["wanted"],
            workers_missing=missing_workers(supervisor),
            workers_idle=idle_workers(list(snapshot.workers)),
            crash_loops=tuple(supervisor["crash_loops"]),
            overloaded=supervisor["overloaded"],
            call_list_gap=_call_list_gap(supervisor["follower"]),
            hung_workers=self._hung.note(now, hung),
            polls_refused=self._polls_refused.note(now, polls_refused),
            calls_ended=self._ended.note(now, ended),
            calls_succeeded=self._succeeded.note(now, _sum(counts, "speechaid_calls_succeeded_total")),
            dials_refused=self._refused.note(now, refused),
            holds=_hold_sentences(snapshot),
            batches_paused=tuple(unexpected),
            batches_not_understood=tuple(not_understood),
            unreadable=tuple(
                say(
                    "{collection} {name} ({field})",
                    collection=row["collection"],
                    name=row["name"],
                    field=row["field"],
                )
                for row in stats.get("unreadable", {"named": []})["named"]
            ),
            failing=failing_sentences(snapshot.workers, stats.get("failing", {})),
            accounts={row["account_id"]: row["calls_left"] for row in _queue_stats(stats, "accounts", [])},
        )


def _is_refused_poll(labels: Mapping[str, str]) -> bool:
    return labels["endpoint"] == POLLED_ENDPOINT and labels["code"] in REFUSED_CODES


def _is_rated(labels: Mapping[str, str]) -> bool:
    return labels["outcome"] != UNRATED_OUTCOME


def _hold_sentences(snapshot: Snapshot) -> tuple[str, ...]:
    held = holds(snapshot)
    sentences = []
    if held["fleet"]:
        hold = snapshot.stats.get("fleet_hold") or {}
        why = say(": {reason}", reason=hold["reason"]) if hold.get("reason") else ""
        sentences.append(say("held on all hosts by {by}{why}", by=hold.get("by"), why=why))
    elif snapshot.supervisor["held"]:
        sentences.append(say("held on this host by an operator"))
    if snapshot.supervisor["no_space"]:
        sentences.append(
            say(
                "held on this host, too little disk space: {no_space}",
                no_space=snapshot.supervisor["no_space"],
            )
        )
    if too_old := snapshot.stats.get("too_old"):
        sentences.append(say("held on this host: {too_old}", too_old=too_old))
    if held["key"]:
        sentences.append(
            say("the circuit breaker is open: {key_reason}", key_reason=snapshot.stats.get("key_reason"))
        )
    return tuple(sentences)


def _queue_stats(stats: Mapping[str, Any], name: str, default: Any) -> Any:
    return (stats.get("census") or {}).get(name, default)


def _sum(counts: Sums, name: str, wanted: Callable[[Mapping[str, str]], bool] | None = None) -> float:
    """The sum of a counter over its labels."""
    return sum(
        value for key, value in counts.items() if key[0] == name and (wanted is None or wanted(_labels(key)))
    )


def _labels(key: CountKey) -> Mapping[str, str]:
    return dict(key[1])


def _call_list_gap(follower: Mapping[str, Any]) -> str | None:
    """Why the call list is not used, where that matters."""
    return str(follower["gap"]) if follower["unusable"] else None
