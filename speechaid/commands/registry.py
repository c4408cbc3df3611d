"""Which function does which command; one row for each of the command table's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from speechaid.commands import (
    accounts,
    batches,
    bulk_actions,
    do_not_call,
    explain,
    export,
    fleet,
    forecast,
    history,
    holds,
    ids,
    import_contacts,
    import_record,
    job_actions,
    jobs,
    report,
)
from speechaid.commands.doctor import doctor
from speechaid.commands.interfaces import BackgroundHandler, LoopHandler

#: Done by the supervising thread.
LOOP_HANDLERS: Final[Mapping[str, LoopHandler]] = {
    "status": fleet.status,
    "alerts": fleet.alerts,
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
DESK_HANDLERS: Final[Mapping[str, BackgroundHandler]] = {
    "batches": batches.batches,
    "create-batch": batches.create_batch,
    "imports": import_record.imports,
    "pause-batch": batches.pause_batch,
    "resume-batch": batches.resume_batch,
    "pause-all": batches.pause_all,
    "resume-all": batches.resume_all,
    "cancel-batch": bulk_actions.cancel_batch,
    "import": import_contacts.import_contacts,
    "jobs": jobs.jobs,
    "job": jobs.job,
    "explain": explain.explain,
    "forecast": forecast.forecast,
    "suspend-job": job_actions.suspend_job,
    "resume-job": job_actions.resume_job,
    "cancel-job": job_actions.cancel_job,
    "hang-up": job_actions.hang_up,
    "release-stuck": bulk_actions.release_stuck,
    "reset-jobs": bulk_actions.reset_jobs,
    "suspend-account": accounts.suspend_account,
    "resume-account": accounts.resume_account,
    "hold": holds.hold,
    "unhold": holds.unhold,
    "report": report.report,
    "promises": export.promises,
    "export": export.export,
    "dnc": do_not_call.dnc,
    "dnc-add": do_not_call.dnc_add,
    "dnc-remove": do_not_call.dnc_remove,
    "dnc-import": do_not_call.dnc_import,
    "logs": history.logs,
    "doctor": doctor.doctor,
    "ids": ids.ids,
}

#: What the supervising thread does at once for a command of the clerk's.
LOOP_BEFORE: Final[Mapping[str, LoopHandler]] = {"hold": fleet.hold_here}

#: What the supervising thread does when the clerk has carried a command out.
LOOP_AFTER: Final[Mapping[str, LoopHandler]] = {"unhold": fleet.unhold_here}

#: Orders that stand until they are taken back, also after a restart.
STANDING: Final = frozenset({"hold", "unhold", "drain", "undrain", "pause-worker", "resume-worker"})

#: Commands of the clerk's that are told what the loop knows.
WITH_FLEET: Final = frozenset({"explain", "forecast", "doctor", "release-stuck"})

#: Commands of the clerk's that have something to say while the database is away.
WITHOUT_DATABASE: Final = frozenset({"doctor"})

#: What the loop has done although the clerk could not do its part.
DONE_WITHOUT_DATABASE: Final[Mapping[str, str]] = {"hold": "this host is held, the others are not: "}
