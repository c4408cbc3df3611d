"""The alerts: condition, duration, meaning and remedy of each. Pure: no I/O, no clock.

Each row states its condition twice: on ``AlertFacts`` for the daemon itself, and as PromQL for Prometheus.
The acceptance tests check that both agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from speechaid.model.states import Outcome
from speechaid.protocol.translation import joined, say, say_later, say_n
from speechaid.rules.alerting import Alert, AlertFacts, Severity, Thresholds

#: Time windows of the alerts that count events; multiplied by ``Thresholds.patience``.
SUCCESS_WINDOW_SECONDS: Final = 1800.0
HUNG_WINDOW_SECONDS: Final = 900.0
REFUSED_WINDOW_SECONDS: Final = 300.0
#: The endpoint that tells a call's state, and the statuses that refuse the key or the payment.
POLLED_ENDPOINT: Final = "get-call"
REFUSED_CODES: Final = ("401", "402", "403")
#: Calls with this outcome do not count for the success rate: a limit at Retell says nothing about the calls.
UNRATED_OUTCOME: Final = Outcome.TEMPORARY

#: Joins two gauges of the same daemon.
_SAME_DAEMON: Final = "on (instance, job)"


def _listed(names: tuple[str, ...]) -> str:
    return joined(", ", names[:5]) + (
        say(" and {number} more", number=len(names) - 5) if len(names) > 5 else ""
    )


def _backlog(facts: AlertFacts, limits: Thresholds) -> str | None:
    waiting, idle = facts.jobs_callable, facts.workers_idle
    if waiting <= limits.backlog_jobs or not idle or not facts.database_up:
        return None
    return say_n(
        "{count} job may be called now while {idle_workers}",
        "{count} jobs may be called now while {idle_workers}",
        waiting,
        idle_workers=say_n("{count} worker is idle", "{count} workers are idle", idle),
    )


def _backlog_promql(limits: Thresholds) -> str:
    return (
        f"speechaid_jobs_callable > {limits.backlog_jobs}"
        f" and {_SAME_DAEMON} speechaid_workers_idle > 0 and {_SAME_DAEMON} speechaid_database_up == 1"
    )


def _stuck(facts: AlertFacts, limits: Thresholds) -> str | None:
    age = facts.oldest_lapsed_seconds
    return say("a job's lease ran out {age:.0f} s ago", age=age) if age > limits.stuck_seconds else None


def _low_success(facts: AlertFacts, limits: Thresholds) -> str | None:
    ended, succeeded = facts.calls_ended, facts.calls_succeeded
    if ended < limits.success_calls or succeeded / ended >= limits.success_rate:
        return None
    return say(
        "{succeeded:.0f} of the last {ended:.0f} calls were successful", succeeded=succeeded, ended=ended
    )


def _low_success_promql(limits: Thresholds) -> str:
    window = promql_span(SUCCESS_WINDOW_SECONDS * limits.patience)
    rated = f'speechaid_calls_ended_total{{outcome!="{UNRATED_OUTCOME}"}}'
    ended = f"sum without (outcome) (increase({rated}[{window}]))"
    return (
        f"increase(speechaid_calls_succeeded_total[{window}]) / {ended} < {limits.success_rate:g}"
        f" and {ended} >= {limits.success_calls}"
    )


def _paused(facts: AlertFacts, _limits: Thresholds) -> str | None:
    if not facts.batches_paused:
        return None
    return say(
        "inactive with work left, not paused by an operator: {listed}", listed=_listed(facts.batches_paused)
    )


def _not_understood(facts: AlertFacts, _limits: Thresholds) -> str | None:
    batches = facts.batches_not_understood
    return (
        say("calling hours, days or time zone are invalid: {listed}", listed=_listed(batches))
        if batches
        else None
    )


def _unreadable(facts: AlertFacts, _limits: Thresholds) -> str | None:
    return say("cannot be read: {listed}", listed=_listed(facts.unreadable)) if facts.unreadable else None


def _crash_looping(facts: AlertFacts, _limits: Thresholds) -> str | None:
    loops = facts.crash_loops
    return (
        say_n("{listed} is crash-looping", "{listed} are crash-looping", len(loops), listed=_listed(loops))
        if loops
        else None
    )


def _hung_workers(count: int) -> str:
    return say_n("{count} worker hung and was replaced", "{count} workers hung and were replaced", count)


def _hung(facts: AlertFacts, limits: Thresholds) -> str | None:
    minutes = HUNG_WINDOW_SECONDS * limits.patience / 60
    hung = facts.hung_workers
    return (
        say(
            "{hung_workers} in the last {minutes:g} min",
            hung_workers=_hung_workers(round(hung)),
            minutes=minutes,
        )
        if hung
        else None
    )


def _hung_promql(limits: Thresholds) -> str:
    window = promql_span(HUNG_WINDOW_SECONDS * limits.patience)
    return f'sum without (cause) (increase(speechaid_worker_restarts_total{{cause="hung"}}[{window}])) > 0'


def _missing(facts: AlertFacts, _limits: Thresholds) -> str | None:
    missing = facts.workers_missing
    return (
        say_n(
            "{count} of {workers} is not up",
            "{count} of {workers} are not up",
            missing,
            workers=say_n("{count} worker", "{count} workers", facts.workers_wanted),
        )
        if missing
        else None
    )


def _overloaded(facts: AlertFacts, _limits: Thresholds) -> str | None:
    return facts.overloaded if facts.database_up else None


def _list_unusable(facts: AlertFacts, _limits: Thresholds) -> str | None:
    if facts.call_list_gap is None:
        return None
    return say("Retell's call list is not used ({gap}): every worker polls its call", gap=facts.call_list_gap)


def _held(facts: AlertFacts, _limits: Thresholds) -> str | None:
    if not facts.holds or not facts.jobs_ready:
        return None
    waiting = say_n("{count} job waits", "{count} jobs wait", facts.jobs_ready)
    return say("{holds}; {waiting}", holds=joined("; ", facts.holds), waiting=waiting)


def _refused(facts: AlertFacts, limits: Thresholds) -> str | None:
    refused, placed = facts.dials_refused, facts.calls_ended
    if refused < limits.refused_dials or refused <= placed:
        return None
    calls = say_n("{count} call has ended", "{count} calls have ended", round(placed))
    return say_n(
        "Retell refused {count} dial in the last half hour, and {calls}",
        "Retell refused {count} dials in the last half hour, and {calls}",
        round(refused),
        calls=calls,
    )


def _refused_promql(limits: Thresholds) -> str:
    window = promql_span(SUCCESS_WINDOW_SECONDS * limits.patience)
    rated = f'outcome!="{UNRATED_OUTCOME}"'
    refused = f"sum without (outcome) (increase(speechaid_dials_refused_total{{{rated}}}[{window}]))"
    ended = f"sum without (outcome) (increase(speechaid_calls_ended_total{{{rated}}}[{window}]))"
    return f"{refused} >= {limits.refused_dials} and {refused} > {ended}"


def _away(facts: AlertFacts, _limits: Thresholds) -> str | None:
    return None if facts.database_up else say("the database does not answer")


def _nearly_out(facts: AlertFacts, limits: Thresholds) -> str | None:
    low = {name: left for name, left in facts.accounts.items() if left < limits.calls_left}
    if not low:
        return None
    return say("calls left: ") + _listed(
        tuple(say("{name} {left:.0f}", name=name, left=left) for name, left in sorted(low.items()))
    )


def _none_finished(facts: AlertFacts, limits: Thresholds) -> str | None:
    stalled = facts.stalled_seconds
    if stalled <= limits.stalled_seconds or not facts.database_up:
        return None
    return say(
        "jobs have been callable for {stalled:.0f} min, and no call on this host has ended",
        stalled=stalled / 60,
    )


def _parked(facts: AlertFacts, _limits: Thresholds) -> str | None:
    parked = facts.parked_calls
    return (
        say_n(
            "{count} call whose end Retell does not confirm",
            "{count} calls whose end Retell does not confirm",
            parked,
        )
        if parked
        else None
    )


def _polls_refused(facts: AlertFacts, limits: Thresholds) -> str | None:
    refused, minutes = facts.polls_refused, REFUSED_WINDOW_SECONDS * limits.patience / 60
    if not refused:
        return None
    return say_n(
        "Retell refused to tell about calls {count} time in the last {minutes:g} min",
        "Retell refused to tell about calls {count} times in the last {minutes:g} min",
        round(refused),
        minutes=minutes,
    )


def _polls_refused_promql(limits: Thresholds) -> str:
    window = promql_span(REFUSED_WINDOW_SECONDS * limits.patience)
    labels = f'endpoint="{POLLED_ENDPOINT}",code=~"{"|".join(REFUSED_CODES)}"'
    requests = f"speechaid_retell_requests_total{{{labels}}}"
    return f"sum without (endpoint, code) (increase({requests}[{window}])) > 0"


def _failing(facts: AlertFacts, _limits: Thresholds) -> str | None:
    return joined("; ", facts.failing[:3]) if facts.failing and facts.database_up else None


def promql_span(seconds: float) -> str:
    """Format a duration for PromQL: ``30m``, ``45s``, ``100ms``."""
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"


_TABLE: Final = (
    Alert(
        name="PendingBacklog",
        severity=Severity.WARNING,
        condition=_backlog,
        promql=_backlog_promql,
        for_seconds=300,
        keep_seconds=60,
        meaning=say_later("Jobs are due and may be called, and workers are idle, but no worker claims them."),
        remedy=say_later("speechctl doctor names the cause; speechctl explain JOB shows it for one job."),
    ),
    Alert(
        name="StuckJobs",
        severity=Severity.WARNING,
        condition=_stuck,
        promql=lambda limits: f"speechaid_oldest_lapsed_lease_seconds > {limits.stuck_seconds:g}",
        for_seconds=0,
        keep_seconds=60,
        meaning=say_later(
            "A job is in progress, its lease is not renewed, and no worker takes the job over."
        ),
        remedy=say_later(
            "Check that workers are up and not drained; speechctl release-stuck releases such jobs."
        ),
    ),
    Alert(
        name="LowSuccessRate",
        severity=Severity.WARNING,
        condition=_low_success,
        promql=_low_success_promql,
        for_seconds=60,
        keep_seconds=300,
        meaning=say_later("Few of the calls that ended in the last half hour were successful."),
        remedy=say_later(
            "speechctl report shows the outcomes: dead numbers, a broken agent, or the wrong hours?"
        ),
    ),
    Alert(
        name="BatchPausedUnexpectedly",
        severity=Severity.WARNING,
        condition=_paused,
        promql=lambda _: "speechaid_batches_paused_unexpectedly > 0",
        for_seconds=60,
        keep_seconds=0,
        meaning=say_later(
            "A batch with work left is inactive, but no operator paused it: another program"
            " did, or speechaid because its list is bad."
        ),
        remedy=say_later(
            "Check the list, or find out what changed is_active; resume-batch ID, or"
            " pause-batch ID to record the pause."
        ),
    ),
    Alert(
        name="BatchNotUnderstood",
        severity=Severity.WARNING,
        condition=_not_understood,
        promql=lambda _: 'sum without (state) (speechaid_batches{state="not_understood"}) > 0',
        for_seconds=60,
        keep_seconds=0,
        meaning=say_later(
            "A field of a batch or its account, or the calling rules for its purpose, cannot be"
            " understood, so none of its contacts is called."
        ),
        remedy=say_later("speechctl doctor quotes the field, its value and what is allowed; correct it."),
    ),
    Alert(
        name="UnreadableDocuments",
        severity=Severity.WARNING,
        condition=_unreadable,
        promql=lambda _: "speechaid_documents_unreadable > 0",
        for_seconds=60,
        keep_seconds=0,
        meaning=say_later(
            "Documents have fields that cannot be read; where these may forbid a call, none is placed."
        ),
        remedy=say_later("Correct them in the database; speechctl doctor names each document and field."),
    ),
    Alert(
        name="WorkersCrashLooping",
        severity=Severity.CRITICAL,
        condition=_crash_looping,
        promql=lambda _: "speechaid_workers_crash_looping > 0",
        for_seconds=0,
        keep_seconds=120,
        meaning=say_later("Workers crash or hang again and again; they are restarted with growing delays."),
        remedy=say_later(
            "The log has every exit and its cause; a job that kills its workers is set to failed."
        ),
    ),
    Alert(
        name="WorkerHung",
        severity=Severity.WARNING,
        condition=_hung,
        promql=_hung_promql,
        for_seconds=0,
        keep_seconds=0,
        meaning=say_later("A worker did not report by its own deadline, and was killed and replaced."),
        remedy=say_later("The log has its stack and its last step; another worker took over its call."),
    ),
    Alert(
        name="StepsFailing",
        severity=Severity.CRITICAL,
        condition=_failing,
        promql=lambda _: (
            f"max without (step) (speechaid_steps_failing) > 0 and {_SAME_DAEMON} speechaid_database_up == 1"
        ),
        for_seconds=30,
        keep_seconds=0,
        meaning=say_later(
            "A step of the workers (claim, recovery, dial) or of housekeeping fails every time."
        ),
        remedy=say_later(
            "speechctl doctor names the step and its error; correct what the database or Retell refuses."
        ),
    ),
    Alert(
        name="WorkersMissing",
        severity=Severity.CRITICAL,
        condition=_missing,
        promql=lambda _: "speechaid_workers_missing > 0",
        for_seconds=60,
        keep_seconds=0,
        meaning=say_later("Fewer workers are up than configured."),
        remedy=say_later(
            "The log says why they exit or cannot start: memory, descriptors, the database's address?"
        ),
    ),
    Alert(
        name="Overloaded",
        severity=Severity.WARNING,
        condition=_overloaded,
        promql=lambda _: f"speechaid_overloaded > 0 and {_SAME_DAEMON} speechaid_database_up == 1",
        for_seconds=30,
        keep_seconds=30,
        meaning=say_later("Machine or database are too slow: calls go on, slower, and no worker is started."),
        remedy=say_later(
            "Look at the load of this host and of the database; speechctl scale N sets fewer workers."
        ),
    ),
    Alert(
        name="CallListUnusable",
        severity=Severity.WARNING,
        condition=_list_unusable,
        promql=lambda _: "speechaid_call_list_unusable > 0",
        for_seconds=900,
        keep_seconds=60,
        meaning=say_later(
            "Retell's call list fails, lags or contradicts its calls, or the follower does not run: every"
            " worker polls its call, which costs more requests and processor time, and no call."
        ),
        remedy=say_later(
            "The log has list.failed, list.suspected and coverage.lost with the cause; CALL_LIST_INTERVAL=0"
            " does without the list."
        ),
    ),
    Alert(
        name="DiallingHeld",
        severity=Severity.CRITICAL,
        condition=_held,
        promql=lambda _: (
            f"max without (scope) (speechaid_dialling_held) > 0 and {_SAME_DAEMON} speechaid_jobs_ready > 0"
        ),
        for_seconds=0,
        keep_seconds=30,
        meaning=say_later(
            "Jobs wait, and no new call is placed: an operator holds dialling, or the API key's"
            " circuit breaker does."
        ),
        remedy=say_later(
            "speechctl status says which; unhold lifts an operator's hold, a breaker retries by itself."
        ),
    ),
    Alert(
        name="DialsRefused",
        severity=Severity.WARNING,
        condition=_refused,
        promql=_refused_promql,
        for_seconds=0,
        keep_seconds=300,
        meaning=say_later(
            "Retell refuses more dials than become calls: the account, the request or the"
            " numbers are at fault."
        ),
        remedy=say_later(
            "speechctl doctor has Retell's words and the remedy; speechctl job JOB shows one refusal."
        ),
    ),
    Alert(
        name="DatabaseAway",
        severity=Severity.CRITICAL,
        condition=_away,
        promql=lambda _: "speechaid_database_up == 0",
        for_seconds=30,
        keep_seconds=0,
        meaning=say_later(
            "The database does not answer: no new calls are placed; live calls are followed to the end."
        ),
        remedy=say_later("Restore the database or the network path to it; no restart is needed."),
    ),
    Alert(
        name="AccountNearlyOutOfCredit",
        severity=Severity.WARNING,
        condition=_nearly_out,
        promql=lambda limits: f"min without (account) (speechaid_account_calls_left) < {limits.calls_left:g}",
        for_seconds=60,
        keep_seconds=300,
        meaning=say_later(
            "An account with work left can pay for few more calls; after them its jobs are suspended."
        ),
        remedy=say_later("Top up the account: its jobs resume automatically."),
    ),
    Alert(
        name="NoCallFinished",
        severity=Severity.CRITICAL,
        condition=_none_finished,
        promql=lambda limits: (
            f"speechaid_stalled_seconds > {limits.stalled_seconds:g}"
            f" and {_SAME_DAEMON} speechaid_database_up == 1"
        ),
        for_seconds=0,
        keep_seconds=0,
        meaning=say_later(
            "Jobs could be called all this time, but no call ended: the daemon makes no progress."
        ),
        remedy=say_later(
            "Run speechctl doctor; speechctl status shows what each worker is doing, and since when."
        ),
    ),
    Alert(
        name="ParkedCalls",
        severity=Severity.WARNING,
        condition=_parked,
        promql=lambda _: "speechaid_parked_calls > 0",
        for_seconds=0,
        keep_seconds=60,
        meaning=say_later("Calls are past every limit, and Retell does not confirm that they have ended."),
        remedy=say_later(
            "Check them in Retell's dashboard; speechaid polls them slowly and never dials them again."
        ),
    ),
    Alert(
        name="PollsRefused",
        severity=Severity.CRITICAL,
        condition=_polls_refused,
        promql=_polls_refused_promql,
        for_seconds=0,
        keep_seconds=60,
        meaning=say_later(
            "Retell refuses the API key for requests about calls: no end is seen, no stop is sent."
        ),
        remedy=say_later(
            "Restore the key or its permission; speechaid keeps asking, and settles the calls then."
        ),
    ),
)

#: Every alert by name, in the order of docs/alerts.md.
ALERTS: Final[Mapping[str, Alert]] = {alert.name: alert for alert in _TABLE}
