"""Checks of a campaign: batches, windows, credit, calls, the jobs themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from speechaid.commands.doctor.facts import (
    COUNTED,
    NAMED,
    DoctorFacts,
    Findings,
    by_jobs,
    fault,
    intended,
    listed,
    warning,
)
from speechaid.model.account import Account, Plan
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.masking import mask_bare_phones, mask_phone, mask_prose
from speechaid.model.reading import not_understood
from speechaid.model.states import SUCCESSFUL_OUTCOMES, SuspendReason
from speechaid.protocol.translation import joined, say, say_n
from speechaid.rules import metering, refusals

#: Shares of recent calls and of jobs that are a finding, given at least ``_ENOUGH`` of them.
_ENOUGH: Final = 20
_FEW_ANSWERED: Final = 0.2
_MANY_FAULTS: Final = 0.25
_MANY_RETRIED: Final = 0.5
_PLANS: Final = ", ".join(Plan)
#: Documents that one finding names.
DOCUMENTS_NAMED: Final = 100


def batches(facts: DoctorFacts) -> Findings:
    """Batches that are paused or do not exist."""
    named = [name for name in facts.waiting if name is not None]
    orphans = {name: facts.waiting[name] for name in named if name not in facts.batches}
    if orphans and not facts.database_fault and not facts.refused:
        yield fault(
            "orphaned_jobs",
            say("jobs whose batch does not exist are not called"),
            listed(by_jobs(orphans)),
            say("create the batch again under its id, or cancel the jobs"),
        )
    imported = facts.suspended.get(SuspendReason.NOT_STARTED, 0)
    if imported:
        yield intended(
            "not_started",
            say("contacts that were imported into an active batch are not started"),
            say_n("{count} job", "{count} jobs", imported),
            say("speechctl resume-batch BATCH; speechctl imports lists where they came in"),
        )
    yield from _paused(facts, [facts.batches[name] for name in named if name in facts.batches])


def _paused(facts: DoctorFacts, batches: list[Batch]) -> Findings:
    """Batches without a recorded pause come first, then those with the most waiting jobs."""
    paused = sorted(
        (batch.batch_id for batch in batches if not batch.is_active and batch.active_fault is None),
        key=lambda name: (_is_recorded(facts.batches[name]), -facts.waiting[name], name),
    )
    for name in paused[:NAMED]:
        pause = facts.batches[name].pause or {}
        by = (
            say("by {by}", by=mask_prose(str(pause["by"])))
            if pause.get("by")
            else say("not by speechctl: is_active was changed in the database")
        )
        reason = f": {mask_prose(str(pause['reason']))}" if pause.get("reason") else ""
        yield intended(
            "batch_paused",
            say("batch {name} is paused", name=name),
            say_n(
                "{by}{reason}; {count} job waits",
                "{by}{reason}; {count} jobs wait",
                facts.waiting[name],
                by=by,
                reason=reason,
            ),
            say("speechctl resume-all")
            if pause.get("all")
            else say("speechctl resume-batch {name}", name=name),
        )
    others = paused[NAMED:]
    if others:
        waiting = sum(facts.waiting[name] for name in others)
        found = say_n(
            "{others} more, with {count} waiting job",
            "{others} more, with {count} waiting jobs",
            waiting,
            others=len(others),
        )
        yield intended("batches_paused", say("more batches are paused"), found, say("speechctl batches"))


def _is_recorded(batch: Batch) -> bool:
    """Whether the batch was paused by a command, and not by another program in the database."""
    return bool((batch.pause or {}).get("by"))


def windows(facts: DoctorFacts) -> Findings:
    """Calling windows: invalid, closed, or missing."""
    for name, sentence in sorted(facts.window_faults.items())[:NAMED]:
        yield fault(
            "window_fault",
            say("the call settings of batch {name} cannot be understood, so it is not called", name=name),
            sentence,
            _remedy(name, facts.batches.get(name)),
        )
    closed = {name: at for name, at in facts.opens_at.items() if at is not None}
    if closed and len(closed) == len(facts.opens_at):
        first = min(closed.values())
        yield intended(
            "windows_closed",
            say("every batch with waiting jobs is outside its calling window"),
            say_n("{count} batch", "{count} batches", len(closed)),
            say("the first opens {first:%Y-%m-%d %H:%M} UTC", first=first),
        )
    if facts.without_hours:
        yield warning(
            "no_allowed_hours",
            say("batches without allowed_hours are called day and night"),
            listed(dict.fromkeys(sorted(facts.without_hours), "")),
            say("speechctl edit-batch ID --hours 09:00-18:00, or set SPEECHAID_DEFAULT_ALLOWED_HOURS"),
        )


def calling_rules(facts: DoctorFacts) -> Findings:
    """Calling rules by law: unreadable, not asked by a batch, waiting for the ledger, or old."""
    for name, sentence in sorted(facts.rule_faults.items())[:NAMED]:
        yield fault(
            "calling_rules_fault",
            say("the calling rules of batch {name} cannot be read, so it is not called", name=name),
            sentence,
            say("speechctl set-pack --shipped, or set-pack FILE"),
        )
    if facts.without_purpose:
        yield warning(
            "no_purpose",
            say("batches without a purpose are called by their own hours alone: no law is asked"),
            listed(dict.fromkeys(facts.without_purpose, "")),
            say("speechctl edit-batch ID --purpose collection, or reminder"),
        )
    if facts.rule_exemptions:
        yield intended(
            "rule_exemptions",
            say("calling rules are loosened by exemptions"),
            listed(facts.rule_exemptions),
            say("speechctl pack COUNTRY PURPOSE shows each with its reason; set-pack ends it"),
        )
    if facts.is_filling_ledger:
        yield intended(
            "ledger_not_ready",
            say("people with a cap wait until earlier calls are entered in the ledger"),
            say("a pack or a purpose was set"),
            say("wait: the daemon enters them, some hundreds each ten seconds"),
        )
    if facts.pack_warnings:
        yield warning(
            "old_packs",
            say("calling rules should be reviewed"),
            joined("; ", facts.pack_warnings),
            say("ask a lawyer, then speechctl set-pack FILE, or --shipped of a newer version"),
        )


def _remedy(name: str, batch: Batch | None) -> str:
    if batch is None or not batch.faults:
        return say(
            "correct them: speechctl edit-batch {name} --hours 09:00-18:00 (batch {name} shows all)",
            name=name,
        )
    if batch.active_fault is None:
        return say("correct these fields of the batch")
    return say("speechctl pause-batch {name}, or resume-batch", name=name)


def credit(facts: DoctorFacts) -> Findings:
    """Accounts and their balance."""
    jobs = facts.suspended.get("no_credit", 0)
    if jobs:
        yield fault(
            "no_credit",
            say("jobs are suspended because their account has no credit left"),
            say_n("{count} job", "{count} jobs", jobs),
            say("speechctl top-up ACCOUNT --minutes N, or --credit N: the jobs resume within a minute"),
        )
    unknown = facts.unknown_accounts
    if unknown:
        yield fault(
            "account_unknown",
            say("jobs are not called because their account does not exist"),
            listed(by_jobs(unknown)),
            say(
                "speechctl create-account ID --plan PLAN makes it; the jobs resume automatically"
                " within a minute"
            ),
        )
    for _, account in sorted(facts.accounts.items()):
        if account.faults or account.plan is None:
            missing = account.document.get("plan_type") is None
            plan = (not_understood("plan_type", None, _PLANS),) if missing else ()
            yield fault(
                "account_fault",
                say(
                    "account {account_id} cannot be understood, so its jobs are not called",
                    account_id=account.account_id,
                ),
                joined("; ", (*account.faults, *plan)),
                _account_remedy(account.account_id),
            )
        elif account.status != "active":
            yield intended(
                "account_inactive",
                say(
                    "account {account_id} is {status}: its jobs are not called",
                    account_id=account.account_id,
                    status=account.status,
                ),
                say("status {status}", status=account.status),
                _activation(account),
            )
        elif not metering.has_balance(account) and not jobs:
            yield fault(
                "balance_used_up",
                say(
                    "account {account_id} has no balance left beyond what calls in progress reserve",
                    account_id=account.account_id,
                ),
                say("plan {plan}", plan=account.plan),
                _top_up(account),
            )


def _account_remedy(name: str) -> str:
    return say(
        "correct them: speechctl edit-account {name} --daily-call-limit 400 (account {name}"
        " shows all); correct a balance in the database",
        name=name,
    )


def _activation(account: Account) -> str:
    if account.status == "suspended":
        return say("speechctl resume-account {account_id}", account_id=account.account_id)
    return say("speechctl edit-account {account_id} --status active", account_id=account.account_id)


def _top_up(account: Account) -> str:
    unit = "minutes" if account.plan is Plan.MINUTES else "credit"
    return say("speechctl top-up {account_id} --{unit} N", account_id=account.account_id, unit=unit)


def retries(facts: DoctorFacts) -> Findings:
    """Outcomes of recent calls, and attempts used."""
    calls = sum(facts.outcomes.values())
    if calls >= _ENOUGH:
        good = sum(n for (outcome, _), n in facts.outcomes.items() if outcome in SUCCESSFUL_OUTCOMES)
        bad = {key: n for key, n in facts.outcomes.items() if key[0] == "failed"}
        if good / calls < _FEW_ANSWERED:
            yield warning(
                "few_answered",
                say("few calls are answered"),
                say(
                    "{good} of {calls} in 24 hours; most often {most_frequent}",
                    good=good,
                    calls=calls,
                    most_frequent=_most_frequent(facts.outcomes),
                ),
                say("check the calling hours, the numbers, and the reputation of the calling number"),
            )
        if sum(bad.values()) / calls > _MANY_FAULTS:
            yield warning(
                "many_failed_calls",
                say("many calls fail"),
                say(
                    "{bad} of {calls} in 24 hours; most often {most_frequent}",
                    bad=sum(bad.values()),
                    calls=calls,
                    most_frequent=_most_frequent(bad),
                ),
                say("the reason is Retell's: its dashboard shows the details of such a call"),
            )
    jobs = sum(facts.tried_again.values())
    again = sum(n for attempts, n in facts.tried_again.items() if attempts > 0)
    if jobs >= _ENOUGH and again / jobs > _MANY_RETRIED:
        yield warning(
            "many_retries",
            say("most unfinished jobs have been called without success"),
            say(
                "{again} of {jobs} pending or failed jobs have used an attempt or more",
                again=again,
                jobs=jobs,
            ),
            say("speechctl report shows the outcomes by attempt and by hour"),
        )


def refused_dials(facts: DoctorFacts) -> Findings:
    """Dials that Retell refused lately, where they are more than the calls that ended, as in ``status``."""
    recent = facts.snapshot.get("recent", {})
    refused, ended = round(recent.get("dials_refused", 0)), round(recent.get("calls_ended", 0))
    if refused <= ended:
        return
    kinds: dict[str, list[str]] = {}
    for words in facts.refusals:
        kinds.setdefault(refusals.mask_wording(words), []).append(words)
    said = sorted(kinds.values(), key=len, reverse=True)
    wording = refusals.wording_of(said[0][0]) if said else None
    words = joined(
        "; ",
        (
            say("{mask_bare_phones} ({found})", mask_bare_phones=mask_bare_phones(found[0]), found=len(found))
            for found in said[:NAMED]
        ),
    )
    yield warning(
        "dials_refused",
        say("Retell refuses more dials than become calls"),
        say_n(
            "{count} dial in the last {minutes:g} min, {calls} ended",
            "{count} dials in the last {minutes:g} min, {calls} ended",
            refused,
            minutes=recent["minutes"],
            calls=say_n("{count} call", "{count} calls", ended),
        )
        + (say("; of the latest: {words}", words=words) if words else ""),
        (wording.remedy if wording is not None else "")
        or say("speechctl job JOB shows one refusal; Retell's dashboard may say more"),
    )


def calls(facts: DoctorFacts) -> Findings:
    """Dials and calls that do not end, and leases that have lapsed."""
    if facts.now is None:
        return
    longest = timedelta(minutes=2 * facts.settings.call.max_duration_minutes)
    unknown = [job for job in facts.dials if job.dial and job.dial.parked_at and job.dial.unknown_at]
    parked = [job for job in facts.dials if job.dial and job.dial.parked_at and not job.dial.unknown_at]
    hanging = [
        job
        for job in facts.dials
        if job.dial
        and job.dial.placed_at
        and not job.dial.parked_at
        and facts.now - job.dial.placed_at > longest
    ]
    ambiguous = [
        job
        for job in facts.dials
        if job.dial and job.dial.is_ambiguous and job.dial.next_lookup_at is not None
    ]
    shared = shared_numbers(facts.dials)
    if shared:
        yield fault(
            "shared_numbers",
            say(
                "two jobs have an open dial to one number, so the index that forbids this cannot be"
                " created; until it is, each dial looks for other open dials to its number"
            ),
            joined(
                "; ",
                (
                    say("{number}: {jobs}", number=mask_phone(number), jobs=joined(say(" and "), jobs))
                    for number, jobs in shared[:NAMED]
                ),
            ),
            say(
                "nothing to do if both calls end: the index is then created; else see which of the"
                " jobs was copied into the database, and remove it"
            ),
        )
    if unknown:
        yield fault(
            "unknown_calls",
            say(
                "Retell does not know the calls of jobs in progress; each holds its number, and a"
                " place of its account and batch"
            ),
            _ids(unknown),
            say(
                "calls of another program are closed as failed 3 h 10 min after they were taken"
                " over; speechctl release-stuck --unknown-calls closes all of them now; check that"
                " RETELL_API_KEY is the key that they were placed with"
            ),
        )
    if parked:
        yield fault(
            "parked_calls",
            say("Retell does not confirm the end of calls that are past their limits"),
            _ids(parked),
            say("look for them in Retell's dashboard; they are polled every two minutes"),
        )
    if hanging:
        yield warning(
            "hanging_calls",
            say("calls last far longer than their limit"),
            _ids(hanging),
            say("speechctl explain JOB shows one; speechctl hang-up JOB ends it"),
        )
    if ambiguous:
        yield warning(
            "ambiguous_dials",
            say("it is not yet known whether some dials became calls"),
            _ids(ambiguous),
            say("nothing to do: they are looked up in Retell's call list, and never dialled twice"),
        )
    if facts.unreadable_answers:
        yield warning(
            "unreadable_answers",
            say("jobs have ended by what Retell's call list tells: get-call's answer could not be read"),
            say_n("{count} job in 24 hours: ", "{count} jobs in 24 hours: ", len(facts.unreadable_answers))
            + listed(dict.fromkeys(facts.unreadable_answers, "")),
            say("look for the calls in Retell's dashboard; speechctl reset-jobs calls such a person again"),
        )
    if facts.lapsed:
        yield fault(
            "stuck_jobs",
            say("jobs in progress have lost their worker, and no other has taken them over"),
            say("{lapsed} leases ran out more than 5 minutes ago", lapsed=facts.lapsed),
            say(
                "have a worker free to take them over; speechctl release-stuck requeues those without a call"
            ),
        )


def shared_numbers(dials: Sequence[Job]) -> list[tuple[str, list[str]]]:
    """Each number with more than one open dial, and the names of its jobs."""
    jobs_of: dict[str, list[str]] = {}
    for job in dials:
        if job.dial is not None:
            jobs_of.setdefault(job.dial.number, []).append(job.job_id)
    return sorted((number, sorted(jobs)) for number, jobs in jobs_of.items() if len(jobs) > 1)


def unreadable(facts: DoctorFacts) -> Findings:
    """Jobs that fail for what they are: documents of other programs, requests that Retell cannot take."""
    if facts.rejected:
        count = len(facts.rejected)
        yield warning(
            "rejected_jobs",
            say(
                "Retell cannot take the requests of some jobs: each has failed, the others are not concerned"
            ),
            say_n(
                "{number}{count} job: ",
                "{number}{count} jobs: ",
                count,
                number=(say("at least ") if count >= COUNTED else ""),
            )
            + listed(dict.fromkeys(facts.rejected, "")),
            say(
                "speechctl job JOB has Retell's words; shorten the job's payload, then run"
                " speechctl reset-jobs"
            ),
        )
    if facts.unreadable:
        count = len(facts.unreadable)
        yield warning(
            "unreadable_jobs",
            say(
                "jobs without a readable phone fail, or have failed, with all_phones_dead and without a call"
            ),
            say_n(
                "{number}{count} job: ",
                "{number}{count} jobs: ",
                count,
                number=(say("at least ") if count >= COUNTED else ""),
            )
            + listed(dict.fromkeys(sorted(facts.unreadable), "")),
            say(
                "contact.phones must be a list of texts: correct it in the database and run"
                " speechctl reset-jobs, or run speechctl cancel-job JOB"
            ),
        )


def served_jobs(facts: DoctorFacts) -> Findings:
    """Jobs that another program put back to pending after a successful call."""
    if facts.served:
        count = len(facts.served)
        yield warning(
            "served_jobs",
            say(
                "waiting jobs were served already (call_result.success): they are closed as done, not called"
            ),
            say_n(
                "{number}{count} job: ",
                "{number}{count} jobs: ",
                count,
                number=(say("at least ") if count >= COUNTED else ""),
            )
            + listed(dict.fromkeys(facts.served, "")),
            say(
                "nothing to do; if they are to be called again, speechctl reset-jobs --status done"
                " once they are closed"
            ),
        )


def unassigned_numbers(facts: DoctorFacts) -> Findings:
    """Numbers of other programs' jobs that no numbering plan has; they are dialled all the same."""
    if facts.unassigned:
        yield warning(
            "unassigned_numbers",
            say(
                "waiting jobs of other programs have a number that its country's numbering plan"
                " does not have; such numbers are dialled, and Retell refuses those that do not"
                " exist"
            ),
            listed(
                by_jobs({name or say("without a batch"): jobs for name, jobs in facts.unassigned.items()})
            ),
            say(
                "correct the numbers in the database; to leave them out, write accept_unassigned:"
                " false into the batch"
            ),
        )


def unreadable_documents(facts: DoctorFacts) -> Findings:
    """Documents with fields that cannot be read, by collection."""
    by_collection: dict[tuple[str, bool], dict[str, str]] = {}
    # What ``windows`` and ``credit`` show already.
    batches, accounts = set(sorted(facts.window_faults)[:NAMED]), facts.accounts
    for found in facts.documents:
        of_account = found.collection == "accounts" and found.fault.forbids
        if (found.is_of_batch and found.name in batches) or (of_account and found.name in accounts):
            continue
        named = by_collection.setdefault((found.collection, found.fault.forbids), {})
        named[found.name] = (
            say("{named}; {sentence}", named=named[found.name], sentence=found.sentence)
            if found.name in named
            else found.sentence
        )
    for (collection, forbids), named in by_collection.items():
        shown = joined(
            ", ",
            (
                say("{name} ({sentence})", name=name, sentence=sentence)
                for name, sentence in list(named.items())[:DOCUMENTS_NAMED]
            ),
        )
        more = (
            say(" and {named} more", named=len(named) - DOCUMENTS_NAMED)
            if len(named) > DOCUMENTS_NAMED
            else ""
        )
        finding, code, then = (
            (fault, "unreadable_documents", say("what depends on them is not called"))
            if forbids
            else (warning, "odd_documents", say("the rest of them is used"))
        )
        yield finding(
            code,
            say("{collection} have fields that cannot be read: {then}", collection=collection, then=then),
            say("{shown}{more}", shown=shown, more=more),
            say("correct these fields in the database"),
        )


def late_erasures(facts: DoctorFacts) -> Findings:
    """People's data that are kept for longer than the settings allow."""
    if facts.kept_too_long:
        yield warning(
            "kept_too_long",
            say("people's data are kept for longer than the settings allow"),
            listed(by_jobs(facts.kept_too_long)) + say(" should have been erased two days ago or more"),
            say("wait where many were due at once; else speechctl alerts shows why the step retention fails"),
        )


def nothing_to_do(facts: DoctorFacts) -> Findings:
    """The empty queue."""
    if not facts.jobs_waiting and facts.database_fault is None and not facts.refused:
        yield intended(
            "nothing_waits",
            say("no job is waiting to be called"),
            say("0 pending"),
            say("speechctl import FILE"),
        )


def _ids(jobs: list[Job]) -> str:
    return listed(dict.fromkeys(sorted(job.job_id for job in jobs), ""))


def _most_frequent(counts: Mapping[tuple[str, str], int]) -> str:
    outcome, reason = min(counts, key=lambda key: (-counts[key], key))
    return (
        say("{outcome} ({reason})", outcome=outcome, reason=reason)
        if reason not in {"None", outcome}
        else outcome
    )
