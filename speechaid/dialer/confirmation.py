"""Confirm that a call is the one of a dial, before its id is recorded: an answer may be about an older call.

Retell repeats a create's metadata with the call, and with it the dial key. Where an answer leaves the
metadata out, get-call is asked. Otherwise an older call would be followed in the place of the one that was
placed: a person is on the phone with an agent, and nobody records it.
"""

from __future__ import annotations

from datetime import timedelta
from logging import WARNING

from speechaid.dialer.context import WorkerContext
from speechaid.model.call import ReportedCall
from speechaid.model.job import Dial, Job
from speechaid.model.states import WorkerState
from speechaid.retell.client import contradicts_create, names_dial
from speechaid.retell.faults import Ambiguous, RetellError, WrongCall

#: A call of a dial does not begin before its intent; Retell's clock and the database's may differ by this.
CLOCK_MARGIN_SECONDS = 300.0


def confirm_call(context: WorkerContext, job: Job, reported: ReportedCall) -> ReportedCall:
    """The call, if it is the one of the job's open dial; with get-call's answer where it had to be asked.

    A call that has another agent or number than was asked for is the dial's all the same: a person is on the
    phone. It is followed and recorded with what Retell says, and reported.

    Raises:
        WrongCall: it is not.
        Ambiguous: get-call does not tell, so that nobody knows.
    """
    call = _confirm(context, job, reported)
    assert job.dial is not None  # noqa: S101
    if other := _other_than_asked(call, job.dial):
        context.emit("call.other_than_asked", job, level=WARNING, fields=", ".join(other))
    return call


def _other_than_asked(call: ReportedCall, dial: Dial) -> list[str]:
    """Which of agent, version and number Retell reports otherwise than the request has them."""
    asked = dial.request
    version = asked.get("override_agent_version")
    pairs = {
        "agent_id": (call.agent_id, asked.get("override_agent_id")),
        # A tag, or the latest version, is resolved by Retell.
        "agent_version": (call.agent_version, version if isinstance(version, int) else None),
        "from_number": (call.from_number, asked.get("from_number")),
    }
    return [
        name for name, (found, wanted) in pairs.items() if None not in (found, wanted) and found != wanted
    ]


def _confirm(context: WorkerContext, job: Job, reported: ReportedCall) -> ReportedCall:
    dial = job.dial
    assert dial is not None  # noqa: S101
    if names_dial(reported, dial.key):
        return reported
    context.report_step(
        WorkerState.DIALLING, "confirm call", job, seconds=context.settings.retell.timeout_seconds
    )
    try:
        call = context.retell.get_call(reported.call_id)
    except RetellError as fault:
        raise Ambiguous(f"the call in Retell's answer could not be confirmed: {fault}") from fault
    if contradicts_create(call, dial.request):
        raise WrongCall("Retell's answer names the call of another dial")
    if names_dial(call, dial.key):
        return call
    older = context.retry_until_available(
        WorkerState.DIALLING, "confirm call", job, lambda: _is_older(context, dial, call)
    )
    if older:
        raise WrongCall("Retell's answer names an older call")
    return call


def report_wrong_call(context: WorkerContext, job: Job, fault: WrongCall) -> None:
    """Log and count an answer that names another dial's call."""
    context.emit("dial.wrong_call", job, level=WARNING, error=str(fault))
    context.link.count("speechaid_wrong_calls_total")


def _is_older(context: WorkerContext, dial: Dial, call: ReportedCall) -> bool:
    """Whether a call that names no dial began before this one, or is recorded already."""
    earliest = dial.intent_at - timedelta(seconds=CLOCK_MARGIN_SECONDS)
    began = [moment for moment in (call.started_at, call.ended_at) if moment is not None]
    if began and min(began) < earliest:
        return True
    return context.store.results.of_call(call.call_id) is not None or context.store.jobs.follows_call(
        call.call_id
    )
