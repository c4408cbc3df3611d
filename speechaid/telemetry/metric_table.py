"""Every metric, declared once: name, kind, labels, help, buckets; and where its numbers come from.

Workers count and observe, their increments ride to the supervisor, and ``telemetry.metrics`` writes the sums
out. A name or a label that is not declared here is a fault of ours: tests find it, a daemon leaves it out.

A histogram's observations travel as two increments: one of the bucket that the value falls in, under the
metric's own name and ``le``, and one of the sum, under ``<name>_sum``. Sums over processes stay right, and
the buckets are made cumulative when they are written out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from speechaid.model.states import JobStatus, Outcome
from speechaid.rules.checks import Reason
from speechaid.rules.circuit_breaker import BreakerState, FaultKind
from speechaid.rules.respawn import ExitCause as EndCause
from speechaid.rules.retry_table import RetryCause as StepCause

#: One increment: metric, labels, by how much.
Increment = tuple[str, dict[str, str], float]
#: The upper bound of the last bucket.
INFINITE: Final = "+Inf"


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    #: Upper bounds of a histogram's buckets, rising, in its base unit; +Inf follows.
    buckets: tuple[float, ...] = ()
    #: Values that the only label may have and that are written out from the start, at 0 where nothing was
    #: counted: a series that appears with its first event hides that event from ``increase``.
    values: tuple[str, ...] = ()

    @property
    def bounds(self) -> tuple[str, ...]:
        """The values of ``le``, as text."""
        return (*(f"{bound:g}" for bound in self.buckets), INFINITE)


def _counter(name: str, text: str, *labels: str, values: type[StrEnum] | tuple[str, ...] = ()) -> Metric:
    known = tuple(str(value) for value in values)
    return Metric(name=name, kind=Kind.COUNTER, help=text, labels=labels, values=known)


def _gauge(name: str, text: str, *labels: str, values: type[StrEnum] | tuple[str, ...] = ()) -> Metric:
    known = tuple(str(value) for value in values)
    return Metric(name=name, kind=Kind.GAUGE, help=text, labels=labels, values=known)


def _histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(name=name, kind=Kind.HISTOGRAM, help=text, labels=labels, buckets=buckets)


#: One database round trip to a hopelessly slow one.
_QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: One HTTP request, up to the longest time-outs.
_REQUEST: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RINGING: Final = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0)
_TALKING: Final = (5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 3600.0)

#: How a job that its worker left behind went on.
RECOVERIES: Final = ("adopted", "returned", "settled", "resolved")
#: Causes of a worker's end that count as a restart.
RESTARTS: Final = tuple(cause.value for cause in EndCause if cause is not EndCause.ASKED)
#: What a worker is shown as; ``fleet.slots`` and ``model.states`` have the words.
WORKER_STATES: Final = (
    "waiting",
    "spawning",
    "booting",
    "hung",
    "killed",
    "starting",
    "idle",
    "claiming",
    "dialling",
    "following",
    "settling",
    "recovering",
    "paused",
    "draining",
    "stopping",
)
#: Where a batch that still has something to be done stands, and those that have not.
BATCH_STATES: Final = ("dialling", "outside_window", "paused", "not_understood", "missing", "finished")
#: What holds dialling: an operator on all hosts, one on this host, the circuit breaker of this host's key.
HOLD_SCOPES: Final = ("fleet", "host", "key")
#: Whether Retell's analysis of a call came in time.
ANALYSES: Final = ("added", "missing")
WEBHOOK_RESULTS: Final = ("delivered", "failed", "dropped")

_OF_CALLS: Final = (
    _counter("speechaid_claims_total", "Jobs claimed by a worker."),
    _counter("speechaid_claim_misses_total", "Jobs that another worker had claimed first."),
    _histogram("speechaid_claim_duration_seconds", "Time that a successful claim took.", buckets=_QUICK),
    _counter("speechaid_calls_placed_total", "Calls that Retell placed for this host, each counted once."),
    _counter(
        "speechaid_calls_ended_total",
        "Calls that ended and were recorded, each counted once, by outcome.",
        "outcome",
        values=Outcome,
    ),
    _counter("speechaid_calls_succeeded_total", "Calls that ended their job as done."),
    _histogram("speechaid_call_duration_seconds", "Talking time of calls that connected.", buckets=_TALKING),
    _histogram(
        "speechaid_dial_to_answer_seconds", "From placing a call to its connection.", buckets=_RINGING
    ),
    _counter(
        "speechaid_dials_refused_total",
        "Dials that surely made no call, by what the refusal amounts to.",
        "outcome",
        values=("invalid_number", "do_not_call", "blocked", "temporary"),
    ),
    _counter(
        "speechaid_ambiguous_dials_total", "Dials whose answer was lost: looked up before anything else."
    ),
    _counter("speechaid_presumed_not_placed_total", "Lost dials that were presumed not placed in the end."),
    _counter(
        "speechaid_analyses_total",
        "Calls whose analysis was waited for: added to their records, or given up.",
        "result",
        values=ANALYSES,
    ),
    _counter("speechaid_unknown_ends_total", "Calls that ended for a reason that speechaid does not know."),
    _counter(
        "speechaid_call_parkings_total", "Times that a call was parked: Retell did not confirm its end."
    ),
)

_OF_JOBS: Final = (
    _counter(
        "speechaid_next_steps_total",
        "Dials settled, by why the job moved on as it did.",
        "cause",
        values=StepCause,
    ),
    _counter(
        "speechaid_retries_total",
        "Jobs scheduled to be tried again, by the outcome of the last dial.",
        "cause",
        values=Outcome,
    ),
    _counter(
        "speechaid_rotations_total",
        "Jobs moved on to their next phone, by the outcome of the last dial.",
        "cause",
        values=Outcome,
    ),
    _counter(
        "speechaid_put_back_total",
        "Claimed jobs that were given back undialled, by reason.",
        "reason",
        values=Reason,
    ),
    _counter(
        "speechaid_recoveries_total",
        "Jobs that were found with a lapsed lease, by how they went on; adopted: the live call is followed.",
        "how",
        values=RECOVERIES,
    ),
    _counter("speechaid_lease_losses_total", "Times that a worker found its job in other hands."),
    _gauge("speechaid_jobs", "Jobs by status, as last counted.", "status", values=JobStatus),
    _gauge("speechaid_jobs_due", "Pending jobs whose time has come, whether or not they may be called now."),
    _gauge(
        "speechaid_jobs_callable",
        "Due jobs that may be called now: batch, window, account and holds allow it.",
    ),
    _gauge("speechaid_oldest_due_age_seconds", "How long the longest due callable job has been waiting."),
    _gauge("speechaid_jobs_lapsed", "Jobs in progress whose lease has run out."),
    _gauge("speechaid_oldest_lapsed_lease_seconds", "How long ago the oldest of these leases ran out."),
    _gauge("speechaid_parked_calls", "Calls whose end Retell does not confirm, followed slowly."),
    _gauge(
        "speechaid_stalled_seconds",
        "How long jobs have been callable without any call of this host having finished.",
    ),
    _gauge("speechaid_batches", "Batches with jobs, by what they are about.", "state", values=BATCH_STATES),
    _gauge(
        "speechaid_batches_paused_unexpectedly",
        "Batches with work left that are inactive although no operator's pause is on record.",
    ),
    _gauge(
        "speechaid_account_calls_left",
        "Calls of usual length that an account's balance pays for; the accounts with the fewest, of those"
        " with work left.",
        "account",
    ),
    _gauge(
        "speechaid_account_talk_left_seconds",
        "Talking time left on a minutes plan; of the same accounts.",
        "account",
    ),
    _gauge(
        "speechaid_account_credit_left",
        "Credit left on a credit plan, in its own currency; of the same accounts.",
        "account",
    ),
)

_OF_WORKERS: Final = (
    _gauge("speechaid_workers", "Workers by what they do.", "state", values=WORKER_STATES),
    _gauge("speechaid_workers_wanted", "Workers that there ought to be."),
    _gauge("speechaid_workers_present", "Workers that run and report."),
    _gauge("speechaid_workers_missing", "Workers that ought to run and do not; none while stopping."),
    _gauge("speechaid_workers_idle", "Workers that might take a job and have none in hand."),
    _gauge("speechaid_workers_crash_looping", "Workers that keep ending badly."),
    _gauge("speechaid_calls_in_progress", "Calls that workers of this host follow."),
    _counter(
        "speechaid_worker_restarts_total",
        "Worker processes that ended without having been asked to, by cause.",
        "cause",
        values=RESTARTS,
    ),
    _counter("speechaid_worker_faults_total", "Faults that a worker survived, by kind.", "kind"),
    _counter("speechaid_zygote_restarts_total", "Times that the process which forks workers was replaced."),
    _gauge("speechaid_draining", "1 while no worker of this host takes a new job by order."),
)

_OF_OTHERS: Final = (
    _counter(
        "speechaid_retell_requests_total",
        "Requests to Retell, by endpoint and HTTP status, or kind of fault where no answer came.",
        "endpoint",
        "code",
    ),
    _histogram(
        "speechaid_retell_request_duration_seconds",
        "Duration of requests to Retell.",
        "endpoint",
        buckets=_REQUEST,
    ),
    _gauge("speechaid_retell_concurrency_used", "Calls that the Retell workspace has at this time."),
    _gauge("speechaid_retell_concurrency_limit", "Calls that the Retell workspace may have at once."),
    _gauge(
        "speechaid_dialling_held",
        "1 while new dials are held, by who holds them.",
        "scope",
        values=HOLD_SCOPES,
    ),
    _counter(
        "speechaid_breaker_faults_total",
        "Faults told to the circuit breaker, by kind.",
        "kind",
        values=FaultKind,
    ),
    _counter(
        "speechaid_breaker_changes_total",
        "Times that a worker of this host changed the circuit breaker's state.",
        "state",
        values=BreakerState,
    ),
    _gauge("speechaid_database_up", "1 while the database answers the supervisor."),
    _counter(
        "speechaid_database_faults_total", "Times that the database was found away, by the step.", "step"
    ),
    _gauge("speechaid_counted_timestamp_seconds", "When jobs and batches were counted last."),
    _counter("speechaid_commands_total", "Control commands, by name and result.", "command", "result"),
    _gauge(
        "speechaid_alert_active", "1 while an alert fires, as evaluated by the daemon.", "alert", "severity"
    ),
    _counter(
        "speechaid_alert_webhooks_total",
        "Alert messages to the webhook, by what became of them.",
        "result",
        values=WEBHOOK_RESULTS,
    ),
    _counter("speechaid_events_too_long_total", "Events that were too long to be told."),
    _counter("speechaid_log_lines_dropped_total", "Log lines of the supervisor that nobody read in time."),
    _gauge("speechaid_build_info", "Always 1; the labels tell what runs.", "version", "python"),
    _gauge("speechaid_start_timestamp_seconds", "When the supervisor started."),
    _gauge(
        "speechaid_snapshot_timestamp_seconds",
        "When the supervisor last told what all these gauges say; it does so each second.",
    ),
)

#: All of them by name, in the order of the page in the docs.
METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric for metric in (*_OF_CALLS, *_OF_JOBS, *_OF_WORKERS, *_OF_OTHERS)
}


def observation(name: str, value: float, **labels: str) -> tuple[Increment, Increment]:
    """One observed value of a histogram as increments.

    Raises:
        KeyError: there is no such histogram.
    """
    metric = METRICS[name]
    bound = metric.bounds[bisect_left(metric.buckets, value)]
    return (name, {**labels, "le": bound}, 1.0), (f"{name}_sum", labels, value)


def observe(count: Callable[..., None], name: str, value: float, **labels: str) -> None:
    """Tell a counting function (``Seat.count``) of an observed value."""
    for increment_name, increment_labels, by in observation(name, value, **labels):
        count(increment_name, by, **increment_labels)
