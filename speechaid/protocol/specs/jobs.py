"""Jobs, and the calls of each."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import DRY_RUN, FILTERS, OF_BATCH, REASON, at_most
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind, background_write

_JOB: Final = Argument(
    name="job",
    help="the job's id, or its unique beginning",
    positional=True,
    required=True,
    completes="job",
)
_CALL: Final = Argument(name="call", help="the call's id", positional=True, required=True, is_id=True)
SPECS: Final = (
    CommandSpec(
        name="jobs",
        help="jobs, one line each",
        access=Access.READ,
        arguments=(
            *FILTERS,
            Argument(
                name="status",
                choices=("pending", "in_progress", "done", "failed", "suspended", "cancelled", "scheduled"),
                help="only jobs with this status",
            ),
            Argument(name="tests", kind=Kind.FLAG, help="test calls, which are left out otherwise, alone"),
            Argument(name="after", is_id=True, help="the position that an earlier page gave as its next"),
            at_most(50),
        ),
    ),
    CommandSpec(
        name="job",
        help="one job with its whole history: every call, every event",
        access=Access.READ,
        arguments=(_JOB,),
    ),
    CommandSpec(
        name="explain",
        help="why this person is, or is not, being called right now, and when the next chance comes",
        access=Access.READ,
        arguments=(_JOB,),
    ),
    CommandSpec(
        name="call",
        help="one call that has ended: what was said, what the agent was told, what it collected",
        access=Access.READ,
        arguments=(_CALL,),
    ),
    CommandSpec(
        name="recording",
        help="the address of a call's recording, as Retell gives it now; it expires",
        access=Access.READ,
        arguments=(_CALL,),
        timeout_seconds=30.0,
    ),
    background_write("suspend-job", "set a job aside; if it is in a call, when the call ends", _JOB, REASON),
    background_write("resume-job", "allow calls of a suspended job again", _JOB),
    background_write(
        "cancel-job",
        "cancel a job; a call in progress is not ended",
        _JOB,
        REASON,
        question="Cancel {job}?",
        urgent=True,
    ),
    background_write(
        "hang-up",
        "stop a job's live call in Retell; the job is cancelled",
        _JOB,
        REASON,
        question="Stop the call of {job}?",
        urgent=True,
    ),
    background_write(
        "reset-jobs",
        "start finished jobs again, with all attempts and the first phone; history is kept",
        Argument(
            name="status",
            choices=("failed", "cancelled", "suspended", "done"),
            default="failed",
            help="only jobs with this status",
        ),
        Argument(
            name="max_age_hours",
            kind=Kind.NUMBER,
            minimum=0,
            maximum=87_600,
            help="only jobs that ended within this many hours",
        ),
        OF_BATCH,
        DRY_RUN,
        question="Call all these people again, from the beginning?",
        timeout_seconds=600.0,
    ),
    background_write(
        "release-stuck",
        "requeue jobs whose worker is gone, except those with a call, which workers adopt",
        Argument(
            name="older_than",
            kind=Kind.DURATION,
            minimum=0,
            maximum=31_536_000,
            default=300,
            help="minimum time since the lease ran out: 5m",
        ),
        Argument(
            name="unknown_calls",
            kind=Kind.FLAG,
            help="also close jobs whose call Retell has long answered not to know: they fail, uncharged",
        ),
        DRY_RUN,
        timeout_seconds=300.0,
    ),
)
