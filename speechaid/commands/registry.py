"""Which function does which command; one row for each of the command table's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from speechaid.commands import batches, fleet, holds, jobs
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
    "jobs": jobs.jobs,
    "job": jobs.job,
    "hold": holds.hold,
    "unhold": holds.unhold,
}
