"""Every metric, declared once: name, kind, labels, help, buckets.

Workers count and observe, send their increments to the supervisor, and ``telemetry.metrics`` exposes the
sums. A name or a label that is not declared here is a bug: tests find it, the daemon leaves it out.

An observation of a histogram is two increments: one of the value's bucket, under the metric's name and
``le``, and one of the sum, under ``<name>_sum``. So sums over processes are right; the buckets are made
cumulative when they are exposed.
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
from speechaid.rules.coverage import Gap
from speechaid.rules.respawn import ExitCause as EndCause
from speechaid.rules.retry_table import RetryCause as StepCause

#: One increment: metric, labels, by how much.
Increment = tuple[str, dict[str, str], float]
#: The upper bound of the last bucket.
INFINITE: Final = "+Inf"


#: Values of an open label that are told apart at most, and what stands for the others.
MAX_VALUES: Final = 20
OTHER: Final = "other"


class Kind(StrEnum):
    """The type of a metric in Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The declaration of one metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    #: Upper bounds of a histogram's buckets, ascending, in its base unit; +Inf follows.
    buckets: tuple[float, ...] = ()
    #: Values of the only label that are exposed from the start, at 0: a series that appears with its first
    #: event hides that event from ``increase``.
    values: tuple[str, ...] = ()
    #: The label whose values are not known beforehand: the first ``MAX_VALUES`` that are counted are told
    #: apart, and the others are ``OTHER``.
    open_label: str | None = None

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


#: From one database round trip to a very slow one.
_QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: One HTTP request, up to the longest time-out.
_REQUEST: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: From a list that is never behind to one that is no help.
_LAG: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)
_RINGING: Final = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0)
_TALKING: Final = (5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 3600.0)

#: How a job with a lapsed lease went on.
RECOVERIES: Final = ("adopted", "returned", "settled", "resolved")
#: Causes of a worker's end that count as a restart.
RESTARTS: Final = tuple(cause.value for cause in EndCause if cause is not EndCause.ASKED)
#: Why covered calls had to be polled again.
COVERAGE_LOSSES: Final = tuple(cause.value for cause in Gap if cause is not Gap.NOT_YET)
#: States of a worker in ``fleet.slots`` and ``model.states``.
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
#: States of batches with work left, and ``finished`` for the others.
#: Every status of a job, and what stands for all others.
JOB_STATUSES: Final = (*JobStatus, "unknown")
BATCH_STATES: Final = ("dialling", "outside_window", "paused", "not_understood", "missing", "finished")
#: Scopes of holds: an operator's on all hosts, on this host, the circuit breaker of this host's API key.
HOLD_SCOPES: Final = ("fleet", "host", "key")
#: Whether Retell's analysis of a call came in time.
ANALYSES: Final = ("added", "missing")
#: Why a client of the control socket was refused or disconnected: codes of the protocol, then what ends a
#: connection on the unix socket, then what the process for TCP refuses.
REFUSAL_CAUSES: Final = (
    *("bad_json", "bad_request", "bad_version", "unknown_command", "bad_argument", "too_large", "forbidden"),
    *("revoked", "internal"),
    *("bad_frames", "timed_out", "too_many_connections", "no_descriptors"),
    *("handshake", "not_curve", "unknown_key", "busy", "not_read"),
)
#: Streams of server-sent events: the progress of a batch, the recorded events of all hosts.
EVENT_STREAMS: Final = ("progress", "events", "page")
WEBHOOK_RESULTS: Final = ("delivered", "failed", "dropped")

_OF_CALLS: Final = (
    _counter("speechaid_claims_total", "Jobs claimed by a worker."),
    _counter("speechaid_claim_misses_total", "Jobs that another worker had claimed first."),
    _histogram("speechaid_claim_duration_seconds", "Time that a successful claim took.", buckets=_QUICK),
    _counter(
        "speechaid_calls_placed_total",
        "Calls that Retell placed for this host, test calls aside, each counted once.",
    ),
    _counter(
        "speechaid_test_calls_total",
        "Test calls that Retell placed for this host, each counted once; no other metric of calls has them.",
    ),
    _counter(
        "speechaid_calls_ended_total",
        "Calls that ended and were recorded, each counted once, by outcome.",
        "outcome",
        values=Outcome,
    ),
    Metric(
        name="speechaid_agent_calls_ended_total",
        kind=Kind.COUNTER,
        help="Calls that ended and were recorded, by the agent that spoke and by outcome.",
        labels=("agent", "outcome"),
        open_label="agent",
    ),
    _counter("speechaid_calls_succeeded_total", "Calls that ended their job as done."),
    _histogram("speechaid_call_duration_seconds", "Talking time of calls that connected.", buckets=_TALKING),
    _histogram(
        "speechaid_dial_to_answer_seconds", "From placing a call to its connection.", buckets=_RINGING
    ),
    _counter(
        "speechaid_dials_refused_total",
        "Dials that surely made no call, by the outcome of the refusal.",
        "outcome",
        values=("invalid_number", "do_not_call", "blocked", "temporary", "rejected", "failed"),
    ),
    _counter("speechaid_ambiguous_dials_total", "Dials whose answer was lost: searched for at Retell first."),
    _counter(
        "speechaid_wrong_calls_total",
        "Answers of Retell to a create, or listed calls, that were refused: the call of another dial.",
    ),
    _counter("speechaid_presumed_not_placed_total", "Ambiguous dials that were finally presumed not placed."),
    _counter(
        "speechaid_analyses_total",
        "Calls whose analysis was awaited: added to their records, or missing in the end.",
        "result",
        values=ANALYSES,
    ),
    _counter("speechaid_unknown_ends_total", "Calls that ended for a reason that speechaid does not know."),
    _counter(
        "speechaid_unreadable_answers_total",
        "Calls settled by Retell's list, because get-call's answer could not be read.",
    ),
    _counter(
        "speechaid_call_parkings_total", "Times that a call was parked: Retell did not confirm its end."
    ),
)

_OF_JOBS: Final = (
    _counter(
        "speechaid_next_steps_total",
        "Dials settled, by the reason for the job's next step.",
        "cause",
        values=StepCause,
    ),
    _counter(
        "speechaid_retries_total",
        "Jobs scheduled for a retry, by the outcome of the last dial.",
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
        "Claimed jobs that were requeued without a dial, by reason.",
        "reason",
        values=Reason,
    ),
    _counter(
        "speechaid_recoveries_total",
        "Jobs found with a lapsed lease, by how they went on; adopted: the live call is followed.",
        "how",
        values=RECOVERIES,
    ),
    _counter("speechaid_lease_losses_total", "Times that a worker found that it had lost its job's lease."),
    _counter(
        "speechaid_jobs_already_served_total",
        "Pending jobs that said of themselves that they were served: closed as done, not called.",
    ),
    _counter("speechaid_jobs_deleted_total", "Claimed jobs whose document another program had deleted."),
    _counter(
        "speechaid_erased_total",
        "Documents of which people's data were erased: jobs, results, imports; by retention or forget.",
        "what",
        "by",
    ),
    _gauge("speechaid_jobs", "Jobs by status, as last counted.", "status", values=JOB_STATUSES),
    _gauge("speechaid_jobs_due", "Due jobs, whether or not they may be called now."),
    _gauge(
        "speechaid_jobs_callable",
        "Due jobs that may be called now: batch, window, account and holds allow it.",
    ),
    _gauge(
        "speechaid_jobs_ready",
        "Due jobs that may be called now, or could be but for a hold on dialling.",
    ),
    _gauge("speechaid_oldest_due_age_seconds", "How long the longest due callable job has been waiting."),
    _gauge("speechaid_jobs_lapsed", "Jobs in progress whose lease has run out."),
    _gauge("speechaid_oldest_lapsed_lease_seconds", "How long ago the oldest of these leases ran out."),
    _gauge(
        "speechaid_steps_failing",
        "Workers whose step fails again and again, by step; for a task of housekeeping 1.",
        "step",
    ),
    _gauge("speechaid_parked_calls", "Calls whose end Retell does not confirm, polled slowly."),
    _gauge(
        "speechaid_stalled_seconds",
        "How long jobs have been callable without a call of this host having ended.",
    ),
    _gauge("speechaid_batches", "Batches with jobs, by state.", "state", values=BATCH_STATES),
    _gauge(
        "speechaid_batches_paused_unexpectedly",
        "Batches with work left that are inactive without a recorded pause by an operator.",
    ),
    _gauge(
        "speechaid_documents_unreadable", "Documents with a field that cannot be read; at most 500 count."
    ),
    _gauge(
        "speechaid_account_calls_left",
        "Calls of the estimated length that an account's balance pays for; for the accounts with the fewest,"
        " among those with work left.",
        "account",
    ),
    _gauge(
        "speechaid_account_talk_left_seconds",
        "Talking time left on a minutes plan; for the same accounts.",
        "account",
    ),
    _gauge(
        "speechaid_account_credit_left",
        "Credit left on a credit plan, in the account's currency; for the same accounts.",
        "account",
    ),
)

_OF_WORKERS: Final = (
    _gauge("speechaid_workers", "Workers by state.", "state", values=WORKER_STATES),
    _gauge("speechaid_workers_wanted", "Workers that should run."),
    _gauge("speechaid_workers_present", "Workers that run and report."),
    _gauge("speechaid_workers_missing", "Workers that should run and do not; 0 while stopping."),
    _gauge("speechaid_workers_idle", "Workers that could claim a job and have none."),
    _gauge("speechaid_workers_crash_looping", "Workers that keep ending badly."),
    _gauge("speechaid_calls_in_progress", "Calls that workers of this host follow."),
    _counter(
        "speechaid_worker_restarts_total",
        "Worker processes that ended without a request, by cause.",
        "cause",
        values=RESTARTS,
    ),
    _counter("speechaid_worker_faults_total", "Faults that a worker survived, by kind.", "kind"),
    _gauge(
        "speechaid_calls_covered",
        "Calls that their workers need not poll, since the follower asks Retell's list for their ends.",
    ),
    _gauge(
        "speechaid_call_list_unusable",
        "1 while calls are in progress and Retell's list cannot be relied on, so that every worker polls.",
    ),
    _counter(
        "speechaid_coverage_losses_total",
        "Times that covered calls had to be polled again, by cause.",
        "cause",
        values=COVERAGE_LOSSES,
    ),
    _counter("speechaid_follower_restarts_total", "Times that the follower ended without a request."),
    _counter("speechaid_zygote_restarts_total", "Times that the process which forks workers was replaced."),
    _gauge("speechaid_draining", "1 while this host drains: its workers claim no job."),
    _gauge(
        "speechaid_overloaded",
        "1 while machine or database are overloaded: no worker is started, one at a time looks for jobs, and "
        "late ones get more time.",
    ),
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
    _histogram(
        "speechaid_call_list_lag_seconds",
        "How long after a call's end, at least, Retell's list did not show it.",
        buckets=_LAG,
    ),
    _gauge("speechaid_retell_concurrency_used", "Concurrent calls of the Retell workspace."),
    _gauge("speechaid_retell_concurrency_limit", "Limit of concurrent calls of the Retell workspace."),
    _gauge(
        "speechaid_dialling_held",
        "1 while new dials are held, by scope.",
        "scope",
        values=HOLD_SCOPES,
    ),
    _counter(
        "speechaid_breaker_faults_total",
        "Faults that the circuit breaker counted, by kind.",
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
    _gauge(
        "speechaid_database_probe_seconds",
        "How long the database needed for the supervisor's last short query, or has needed so far.",
    ),
    _counter("speechaid_database_faults_total", "Times that the database did not answer, by step.", "step"),
    _gauge("speechaid_counted_timestamp_seconds", "When jobs and batches were last counted."),
    _counter("speechaid_commands_total", "Control commands, by name and result.", "command", "result"),
    _counter(
        "speechaid_control_refusals_total",
        "Requests and connections that the control socket or control over TCP refused, by cause.",
        "cause",
        values=REFUSAL_CAUSES,
    ),
    _gauge(
        "speechaid_alert_active", "1 while an alert fires, as evaluated by the daemon.", "alert", "severity"
    ),
    _counter(
        "speechaid_alert_webhooks_total",
        "Alert messages to the webhook, by result.",
        "result",
        values=WEBHOOK_RESULTS,
    ),
    _counter("speechaid_events_too_long_total", "Events of workers that were too long to be sent."),
    _counter("speechaid_log_lines_dropped_total", "Log lines of the supervisor that were not read in time."),
    _gauge("speechaid_build_info", "Always 1; the labels name the versions.", "version", "python"),
    _gauge("speechaid_start_timestamp_seconds", "When the supervisor started."),
    _gauge(
        "speechaid_snapshot_timestamp_seconds",
        "When the supervisor last updated these gauges; it does so each second.",
    ),
)

_OF_WEB: Final = (
    _counter(
        "speechaid_web_requests_total",
        "Requests that were answered, by route, method and class of the status; `none` is no route.",
        "route",
        "method",
        "status",
    ),
    _histogram(
        "speechaid_web_request_duration_seconds",
        "Time from the head of a request to the end of its answer, without streams of events.",
        "route",
        buckets=_REQUEST,
    ),
    _gauge("speechaid_web_requests_under_way", "Requests that are being answered, streams included."),
    _gauge(
        "speechaid_web_event_streams",
        "Open streams of server-sent events.",
        "stream",
        values=EVENT_STREAMS,
    ),
)

#: All metrics of the daemon by name, in the order of the page in the docs.
METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric for metric in (*_OF_CALLS, *_OF_JOBS, *_OF_WORKERS, *_OF_OTHERS)
}

#: Those that ``speechaid web`` serves itself.
WEB_METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _OF_WEB}
DECLARED: Final[Mapping[str, Metric]] = {**METRICS, **WEB_METRICS}


def observation(name: str, value: float, **labels: str) -> tuple[Increment, Increment]:
    """One observed value of a histogram as increments.

    Raises:
        KeyError: there is no such histogram.
    """
    metric = DECLARED[name]
    bound = metric.bounds[bisect_left(metric.buckets, value)]
    return (name, {**labels, "le": bound}, 1.0), (f"{name}_sum", labels, value)


def observe(count: Callable[..., None], name: str, value: float, **labels: str) -> None:
    """Count an observed value with ``SupervisorLink.count`` or a function like it."""
    for increment_name, increment_labels, by in observation(name, value, **labels):
        count(increment_name, by, **increment_labels)
