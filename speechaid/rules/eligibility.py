"""Whether a job may be dialled now: every check, its value, and what to do if one fails.

Pure: no I/O, no clock.

``evaluate`` runs after the claim and again right before the request to Retell. It runs all checks even after
one has failed, so that ``explain`` shows the whole list; the first failed check decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from speechaid.compliance.rule_case import PersonUnderRules
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.model.states import SuspendReason
from speechaid.protocol.translation import joined, say
from speechaid.rules import metering, windows
from speechaid.rules.checks import ACTIVE, CHECKS, CHECKS_OF_START, CHECKS_OF_TEST, Case, Check, Reason
from speechaid.rules.defaults import DiallingDefaults
from speechaid.rules.windows import Window, WindowFault

__all__ = [
    "ACTIONS",
    "FORBIDS_TEST",
    "SUSPENSIONS",
    "Action",
    "Check",
    "DiallingDefaults",
    "Evaluation",
    "Reason",
    "account_is_open",
    "batch_fault",
    "batch_has_room",
    "batch_may_be_called",
    "evaluate",
    "evaluate_start",
    "window_for",
]


class Action(StrEnum):
    """What to do with a job after its evaluation."""

    DIAL = "dial"
    #: Requeue it unchanged.
    PUT_BACK = "put_back"
    SUSPEND = "suspend"
    #: Skip this phone and evaluate the next.
    SKIP_PHONE = "skip_phone"


ACTIONS: Final[Mapping[Reason, Action]] = MappingProxyType(
    {
        Reason.HELD: Action.PUT_BACK,
        Reason.JOB_UNREADABLE: Action.PUT_BACK,
        Reason.BATCH_MISSING: Action.PUT_BACK,
        Reason.BATCH_NOT_UNDERSTOOD: Action.PUT_BACK,
        Reason.BATCH_CANCELLED: Action.PUT_BACK,
        Reason.BATCH_PAUSED: Action.PUT_BACK,
        Reason.WINDOW_FAULT: Action.PUT_BACK,
        Reason.OUTSIDE_WINDOW: Action.PUT_BACK,
        Reason.ACCOUNT_UNKNOWN: Action.SUSPEND,
        Reason.ACCOUNT_NOT_UNDERSTOOD: Action.PUT_BACK,
        Reason.ACCOUNT_INACTIVE: Action.PUT_BACK,
        Reason.PLAN_UNKNOWN: Action.PUT_BACK,
        Reason.NO_CREDIT: Action.SUSPEND,
        Reason.BALANCE_RESERVED: Action.PUT_BACK,
        Reason.DAILY_LIMIT: Action.PUT_BACK,
        Reason.ACCOUNT_CONCURRENCY: Action.PUT_BACK,
        Reason.BATCH_CONCURRENCY: Action.PUT_BACK,
        Reason.ON_DO_NOT_CALL_LIST: Action.SKIP_PHONE,
        Reason.NO_NUMBER: Action.SKIP_PHONE,
        Reason.PACK_FAULT: Action.PUT_BACK,
        Reason.PACK_HOURS: Action.PUT_BACK,
        Reason.CAPS_NOT_READY: Action.PUT_BACK,
        Reason.PACK_CAP: Action.PUT_BACK,
        Reason.TEST_EXPIRED: Action.PUT_BACK,
        Reason.TEST_NUMBER_UNREGISTERED: Action.PUT_BACK,
    }
)

#: Whether a reason forbids a test call, too. It is placed while its batch is paused and outside its window,
#: to somebody who asked for it; and it takes no place among the batch's calls.
FORBIDS_TEST: Final[Mapping[Reason, bool]] = MappingProxyType(
    {
        Reason.HELD: True,
        Reason.JOB_UNREADABLE: True,
        Reason.BATCH_MISSING: True,
        Reason.BATCH_NOT_UNDERSTOOD: True,
        Reason.BATCH_CANCELLED: True,
        Reason.BATCH_PAUSED: False,
        # Settings that cannot be understood: who would speak, and how long, is not known either.
        Reason.WINDOW_FAULT: True,
        Reason.OUTSIDE_WINDOW: False,
        Reason.ACCOUNT_UNKNOWN: True,
        Reason.ACCOUNT_NOT_UNDERSTOOD: True,
        Reason.ACCOUNT_INACTIVE: True,
        Reason.PLAN_UNKNOWN: True,
        Reason.NO_CREDIT: True,
        Reason.BALANCE_RESERVED: True,
        Reason.DAILY_LIMIT: True,
        Reason.ACCOUNT_CONCURRENCY: True,
        Reason.BATCH_CONCURRENCY: False,
        Reason.ON_DO_NOT_CALL_LIST: True,
        Reason.NO_NUMBER: True,
        # A test call is to a number of somebody who asked for it: no person's, and in no ledger.
        Reason.PACK_FAULT: False,
        Reason.PACK_HOURS: False,
        Reason.CAPS_NOT_READY: False,
        Reason.PACK_CAP: False,
        Reason.TEST_EXPIRED: True,
        Reason.TEST_NUMBER_UNREGISTERED: True,
    }
)

SUSPENSIONS: Final[Mapping[Reason, SuspendReason]] = MappingProxyType(
    {
        Reason.ACCOUNT_UNKNOWN: SuspendReason.ACCOUNT_UNKNOWN,
        Reason.NO_CREDIT: SuspendReason.NO_CREDIT,
    }
)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of all checks."""

    may_dial: bool
    checks: tuple[Check, ...]
    #: Now if it may be dialled; None if it depends on something without a known time.
    next_eligible_at: datetime | None
    action: Action

    @property
    def reason(self) -> Reason | None:
        """The first failed check's reason; None: the job may be dialled."""
        return next((check.reason for check in self.checks if not check.passed), None)

    @property
    def refusal(self) -> Check | None:
        """The first failed check; None: the job may be dialled."""
        return next((check for check in self.checks if not check.passed), None)

    @property
    def suspend_reason(self) -> SuspendReason | None:
        """Set if the job is to be suspended."""
        return SUSPENSIONS.get(self.reason) if self.reason is not None else None


def evaluate(
    *,
    job: Job,
    number: str | None,
    batch: Batch | None,
    account: Account | None,
    holds: Sequence[Hold],
    on_dnc: bool,
    defaults: DiallingDefaults,
    own_reservation_key: str | None,
    now: datetime,
    is_registered: bool = False,
    person: PersonUnderRules | None = None,
) -> Evaluation:
    """Evaluate whether a job may be dialled at this instant.

    Args:
        job: with the ids of its batch and account, or of a test call.
        number: E.164 to dial; None: the phone is no usable number.
        batch: the job's batch, or the one that it tests; None: not found.
        account: the job's account; None: not found.
        holds: everything that holds dialling.
        on_dnc: whether the number is on the do-not-call list.
        defaults: used where batch and account set nothing.
        own_reservation_key: reservation entries under it are this dial's own, and not counted against it.
        now: aware.
        is_registered: whether the number is registered for test calls; it matters to those alone.
        person: under the calling rules of the batch's purpose; None: it names none.
    """
    case = Case(
        job=job,
        number=number,
        batch=batch,
        account=account,
        holds=holds,
        on_dnc=on_dnc,
        is_registered=is_registered,
        defaults=defaults,
        own_key=own_reservation_key,
        window=window_for(batch, account.timezone if account else None, defaults),
        now=now,
        person=person,
    )
    if job.test is None:
        checks = tuple(check(case) for check in CHECKS)
    else:
        checks = tuple(_of_test(check(case)) for check in CHECKS_OF_TEST)
    reason = next((check.reason for check in checks if check.reason is not None), None)
    return Evaluation(
        may_dial=reason is None,
        checks=checks,
        next_eligible_at=_next_eligible_at(case, checks),
        action=Action.DIAL if reason is None else ACTIONS[reason],
    )


def evaluate_start(
    batch: Batch, account: Account | None, *, holds: Sequence[Hold], defaults: DiallingDefaults, now: datetime
) -> Evaluation:
    """Evaluate when the first call of a batch may be placed if the batch is active from now on.

    What differs from person to person is not evaluated, nor are limits on calls in progress.
    """
    case = Case(
        job=Job.read({"_id": None, "batch_id": batch.batch_id, "account_id": batch.account_id}),
        number=None,
        batch=batch,
        account=account,
        holds=holds,
        on_dnc=False,
        is_registered=False,
        defaults=defaults,
        own_key=None,
        window=window_for(batch, account.timezone if account else None, defaults),
        now=now,
    )
    checks = tuple(check(case) for check in CHECKS_OF_START)
    reason = next((check.reason for check in checks if check.reason is not None), None)
    return Evaluation(
        may_dial=reason is None,
        checks=checks,
        next_eligible_at=_next_eligible_at(case, checks),
        action=Action.DIAL if reason is None else ACTIONS[reason],
    )


def _of_test(check: Check) -> Check:
    """The check of a test call: passed where its reason does not forbid one."""
    if check.reason is None or FORBIDS_TEST[check.reason]:
        return check
    value = say("{value}; a test call is placed all the same", value=check.value)
    return replace(check, passed=True, value=value, reason=None, next_eligible_at=None)


def window_for(
    batch: Batch | None, account_timezone: str | None, defaults: DiallingDefaults
) -> Window | WindowFault:
    """The calling window of a batch's jobs; the default window for jobs without a batch.

    Invalid settings that limit calls give a fault instead of a window: no call is placed under them.
    """
    settings = batch.call_settings if batch is not None else None
    if settings is not None and settings.faults:
        return WindowFault(sentence=joined("; ", settings.faults))
    return windows.read_window(
        settings.allowed_hours if settings else None,
        settings.days_of_week if settings else None,
        settings.timezone if settings else None,
        settings.start_at if settings else None,
        default_hours=defaults.hours,
        default_days=defaults.days,
        default_timezone=account_timezone or defaults.timezone,
    )


def batch_fault(batch: Batch, account_timezone: str | None, defaults: DiallingDefaults) -> str | None:
    """What of a batch cannot be understood, so that none of its jobs is called; None: all of it can."""
    window = window_for(batch, account_timezone, defaults)
    of_window = (window.sentence,) if isinstance(window, WindowFault) else ()
    return joined("; ", (*batch.faults, *of_window)) or None


def batch_may_be_called(
    batch: Batch | None, account_timezone: str | None, defaults: DiallingDefaults, now: datetime
) -> bool:
    """Whether a batch is active and its window open; cheap enough for every batch each second.

    None stands for the jobs without a batch.
    """
    if batch is not None and (batch.faults or not batch.is_active):
        return False
    window = window_for(batch, account_timezone, defaults)
    return isinstance(window, Window) and windows.is_open(window, now)


def batch_has_room(batch: Batch) -> bool:
    """Whether the batch's concurrency limit allows one more call."""
    limit = batch.call_settings.max_concurrent_calls
    return limit is None or len(batch.open_dials) < limit


def account_is_open(account: Account, defaults: DiallingDefaults, now: datetime) -> bool:
    """Whether claiming a job of the account now makes sense.

    It does if the balance is used up: claiming one of its jobs suspends them all. It does not if the balance
    is only reserved by open dials, or a limit is reached: its jobs would be claimed and requeued in a loop.
    """
    if account.faults or account.status != ACTIVE or account.plan is None:
        return False
    if not metering.has_room(account) or not metering.has_calls_left(account, defaults.timezone, now):
        return False
    # Legacy reservations count as left: the jobs that they are reserved for may be called.
    legacy = max(metering.legacy_minutes(account), metering.legacy_credit(account))
    return metering.has_balance(account, legacy=legacy) or not metering.has_balance_once_settled(
        account, legacy=legacy
    )


def _next_eligible_at(case: Case, checks: Sequence[Check]) -> datetime | None:
    """When every failed check will pass by itself, moved into the window; None: unknown for one of them."""
    chance = case.now
    for check in checks:
        if check.passed:
            continue
        if check.next_eligible_at is None:
            return None
        chance = max(chance, check.next_eligible_at)
    if case.job.test is not None:
        return chance
    return windows.next_opening(case.window, chance) if isinstance(case.window, Window) else None
