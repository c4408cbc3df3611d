"""Which function does which command; one row for each of the command table's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from speechaid.commands import batches, fleet, holds, importing, jobs, reporting
from speechaid.commands.contract import DeskHandler, LoopHandler

#: Done by the supervising thread.
LOOP_HANDLERS: Final[Mapping[str, LoopHandler]] = {
    "status": fleet.status,
    "drain": fleet.drain,
    "undrain": fleet.undrain,
    "pause-worker": fleet.pause_worker,
    "resume-worker": fleet.resume_worker,
    "scale": fleet.scale,
    "reload": fleet.reload,
    "log-level": fleet.log_level,
    "shutdown": fleet.shutdown,
}

#: Done by the clerk.
DESK_HANDLERS: Final[Mapping[str, DeskHandler]] = {
    "batches": batches.batches,
    "create-batch": batches.create_batch,
    "pause-batch": batches.pause_batch,
    "resume-batch": batches.resume_batch,
    "import": importing.import_contacts,
    "jobs": jobs.jobs,
    "job": jobs.job,
    "hold": holds.hold,
    "unhold": holds.unhold,
    "report": reporting.report,
}

#: What the supervising thread does at once for a command of the clerk's.
LOOP_BEFORE: Final[Mapping[str, LoopHandler]] = {"hold": fleet.hold_here}

#: What the supervising thread does when the clerk has carried a command out.
LOOP_AFTER: Final[Mapping[str, LoopHandler]] = {"unhold": fleet.unhold_here}
