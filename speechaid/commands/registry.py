"""The handler of each control command and how it runs: one row for each row of ``protocol.commands``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from speechaid.commands import (
    account_edit,
    account_view,
    accounts,
    agent_check,
    batch_edit,
    batch_view,
    batches,
    bulk_actions,
    calls,
    delete_batch,
    do_not_call,
    evidence,
    explain,
    fleet,
    forget,
    history,
    holds,
    identity,
    ids,
    import_contacts,
    import_record,
    job_actions,
    jobs,
    opt_out,
    packs,
    paid,
    person,
    redial,
    reset_jobs,
    retell_lists,
    test_calls,
    test_numbers,
    top_ups,
    undo_import,
)
from speechaid.commands.doctor import doctor
from speechaid.commands.interfaces import BackgroundHandler, LoopHandler, Result, ResultHandler
from speechaid.commands.queries import in_process
from speechaid.protocol.translation import say_later

#: From the arguments and the answer of a command.
DocumentCount = Callable[[Mapping[str, Any], Result], int]


@dataclass(frozen=True, kw_only=True)
class LoopCommand:
    """A command that the loop thread answers, at once unless it shows counts."""

    run: LoopHandler
    #: It changes the persisted state: the answer says so where that could not be saved.
    is_persisted: bool = False
    #: It shows counts of jobs, which are renewed first where a command has written since, if that is quick.
    shows_counts: bool = False


@dataclass(frozen=True, kw_only=True)
class BackgroundCommand:
    """A command that the database thread carries out, or the emergency thread where it is urgent."""

    run: BackgroundHandler
    #: As in ``LoopCommand``.
    is_persisted: bool = False
    #: ``Invocation.snapshot`` gets the daemon's snapshot.
    needs_snapshot: bool = False
    #: While the database is away, the command is refused at once.
    needs_database: bool = True
    #: Run in the loop thread before the handler, even while the database is away.
    before: LoopHandler | None = None
    #: What ``before`` has achieved where the handler fails; begins the text of the refusal.
    done_before: str = ""
    #: Run in the loop thread after the handler has succeeded, with its result; what it returns is added.
    after: ResultHandler | None = None
    #: Run in the loop thread once the database has decided, for it or against it: lifts what ``before`` did.
    #: While the database cannot decide, that stays in force.
    settle: LoopHandler | None = None
    #: Of the urgent commands that wait for the emergency thread this one is next.
    first: bool = False
    #: How many people's documents an answer shows: a read of them is recorded. Of a write: with ``dry_run``.
    documents: DocumentCount | None = None
    #: A read that found nobody is recorded, too: its file is handed on, and says so of everybody.
    records_empty: bool = False


def _listed(name: str) -> DocumentCount:
    """The length of a list in the answer."""
    return lambda _args, result: len(result[name])


def _one(_args: Mapping[str, Any], _result: Result) -> int:
    return 1


def _ids_of_jobs(args: Mapping[str, Any], result: Result) -> int:
    return len(result["ids"]) if args["kind"] == "job" else 0


#: What a pause has achieved where the database does not have it.
_PAUSED_HERE: Final = say_later("this host places no call of it, the others may: ")

REGISTRY: Final[Mapping[str, LoopCommand | BackgroundCommand]] = {
    "status": LoopCommand(run=fleet.status, shows_counts=True),
    "alerts": LoopCommand(run=fleet.alerts, shows_counts=True),
    "drain": LoopCommand(run=fleet.drain, is_persisted=True),
    "undrain": LoopCommand(run=fleet.undrain, is_persisted=True),
    "pause-worker": LoopCommand(run=fleet.pause_worker, is_persisted=True),
    "resume-worker": LoopCommand(run=fleet.resume_worker, is_persisted=True),
    "scale": LoopCommand(run=fleet.scale),
    "reload": LoopCommand(run=fleet.reload),
    "log-level": LoopCommand(run=fleet.log_level),
    "shutdown": LoopCommand(run=fleet.shutdown),
    "batches": BackgroundCommand(run=batches.batches),
    "batch": BackgroundCommand(run=batch_view.batch),
    "edit-batch": BackgroundCommand(run=batch_edit.edit_batch),
    "redial-batch": BackgroundCommand(run=redial.redial_batch),
    "delete-batch": BackgroundCommand(run=delete_batch.delete_batch),
    "create-batch": BackgroundCommand(run=batches.create_batch),
    "imports": BackgroundCommand(run=import_record.imports),
    "pause-batch": BackgroundCommand(
        run=batches.pause_batch,
        before=fleet.pause_batch_here,
        done_before=_PAUSED_HERE,
        settle=fleet.release_batch_here,
    ),
    "resume-batch": BackgroundCommand(run=batches.resume_batch, after=fleet.resume_batch_here),
    "pause-all": BackgroundCommand(
        run=batches.pause_all,
        before=fleet.pause_all_here,
        done_before=_PAUSED_HERE,
        settle=fleet.release_all_here,
    ),
    "resume-all": BackgroundCommand(run=batches.resume_all, after=fleet.resume_all_here),
    "cancel-batch": BackgroundCommand(
        run=bulk_actions.cancel_batch,
        before=fleet.cancel_batch_here,
        done_before=_PAUSED_HERE,
        settle=fleet.release_cancelled_here,
    ),
    "check-agent": BackgroundCommand(run=agent_check.check_agent),
    "agents": BackgroundCommand(run=retell_lists.agents, needs_database=False),
    "numbers": BackgroundCommand(run=retell_lists.numbers, needs_database=False),
    "packs": BackgroundCommand(run=packs.packs),
    "pack": BackgroundCommand(run=packs.pack),
    "check-pack": BackgroundCommand(run=packs.check_pack),
    "set-pack": BackgroundCommand(run=packs.set_pack),
    "import": BackgroundCommand(
        run=import_contacts.import_contacts,
        documents=lambda _args, result: int(result["good_rows"] + result["bad_rows_count"]),
    ),
    "undo-import": BackgroundCommand(run=undo_import.undo_import),
    "jobs": BackgroundCommand(run=jobs.jobs, documents=_listed("jobs")),
    "job": BackgroundCommand(run=jobs.job, documents=_one),
    "person": BackgroundCommand(
        run=person.person,
        needs_snapshot=True,
        documents=lambda _args, result: int(len(result["people"]) + len(result["opt_outs"])),
    ),
    "call": BackgroundCommand(run=calls.call, documents=_one),
    "recording": BackgroundCommand(run=calls.recording, documents=_one),
    "evidence": BackgroundCommand(run=evidence.evidence, documents=_listed("calls")),
    "explain": BackgroundCommand(run=explain.explain, needs_snapshot=True, documents=_one),
    "forecast": BackgroundCommand(
        run=in_process("forecast"), needs_snapshot=True, documents=_listed("dials")
    ),
    "suspend-job": BackgroundCommand(run=job_actions.suspend_job),
    "resume-job": BackgroundCommand(run=job_actions.resume_job),
    "cancel-job": BackgroundCommand(run=job_actions.cancel_job),
    "hang-up": BackgroundCommand(run=job_actions.hang_up, after=fleet.hang_up_here),
    "release-stuck": BackgroundCommand(run=bulk_actions.release_stuck, needs_snapshot=True),
    "reset-jobs": BackgroundCommand(run=reset_jobs.reset_jobs),
    "accounts": BackgroundCommand(run=account_view.accounts),
    "account": BackgroundCommand(run=account_view.account),
    "create-account": BackgroundCommand(run=account_edit.create_account),
    "edit-account": BackgroundCommand(run=account_edit.edit_account),
    "top-up": BackgroundCommand(run=top_ups.top_up),
    "transactions": BackgroundCommand(run=top_ups.transactions),
    "suspend-account": BackgroundCommand(run=accounts.suspend_account),
    "resume-account": BackgroundCommand(run=accounts.resume_account),
    "hold": BackgroundCommand(
        run=holds.hold,
        is_persisted=True,
        before=fleet.hold_here,
        done_before=say_later("this host is held, the others are not: "),
        first=True,
    ),
    "unhold": BackgroundCommand(run=holds.unhold, is_persisted=True, after=fleet.unhold_here),
    "forget": BackgroundCommand(run=forget.forget),
    "report": BackgroundCommand(
        run=in_process("report"),
        documents=lambda _args, result: int(result["jobs"]["total"] + result["calls"]["total"]),
    ),
    "promises": BackgroundCommand(run=in_process("promises"), documents=_listed("promises")),
    "export": BackgroundCommand(run=in_process("export"), documents=_listed("rows"), records_empty=True),
    "opt-out": BackgroundCommand(run=opt_out.opt_out),
    "paid": BackgroundCommand(run=paid.paid),
    "dnc": BackgroundCommand(run=do_not_call.dnc, documents=lambda _args, result: int("number" in result)),
    "dnc-add": BackgroundCommand(run=do_not_call.dnc_add),
    "dnc-remove": BackgroundCommand(run=do_not_call.dnc_remove),
    "dnc-import": BackgroundCommand(run=do_not_call.dnc_import),
    "test-numbers": BackgroundCommand(run=test_numbers.registered_numbers, documents=_listed("numbers")),
    "test-number-add": BackgroundCommand(run=test_numbers.test_number_add),
    "test-number-remove": BackgroundCommand(run=test_numbers.test_number_remove),
    "test-call": BackgroundCommand(run=test_calls.test_call, needs_snapshot=True),
    "test-result": BackgroundCommand(
        run=test_calls.test_result, documents=lambda _args, result: int(result["call"] is not None)
    ),
    "logs": BackgroundCommand(run=history.logs, documents=_listed("lines")),
    "doctor": BackgroundCommand(run=doctor.doctor, needs_snapshot=True, needs_database=False),
    "user-add": BackgroundCommand(run=identity.user_add),
    "users": BackgroundCommand(run=identity.users),
    "user-edit": BackgroundCommand(run=identity.user_edit),
    "user-password": BackgroundCommand(run=identity.user_password),
    "user-disable": BackgroundCommand(run=identity.user_disable),
    "user-enable": BackgroundCommand(run=identity.user_enable),
    "user-sessions": BackgroundCommand(run=identity.user_sessions),
    "user-logout": BackgroundCommand(run=identity.user_logout),
    "token-add": BackgroundCommand(run=identity.token_add),
    "tokens": BackgroundCommand(run=identity.tokens),
    "token-revoke": BackgroundCommand(run=identity.token_revoke),
    "ids": BackgroundCommand(run=ids.ids, documents=_ids_of_jobs),
}
