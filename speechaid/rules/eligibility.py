"""Whether a job may be dialled right now: every check, its value, and what to do where one fails.

``judge`` runs at claim and again right before the POST. It runs all its checks even after one has failed, so
that an operator who asks why somebody is not called sees the whole list; the first that failed decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.model.states import SuspendReason
from speechaid.rules import metering, windows
from speechaid.rules.checks import ACTIVE, CHECKS, Case, Check, Reason
from speechaid.rules.defaults import DiallingDefaults
from speechaid.rules.windows import Window, WindowFault

__all__ = [
    "ACTIONS",
    "SUSPENSIONS",
    "Action",
    "Check",
    "DiallingDefaults",
    "Evaluation",
    "Reason",
    "account_is_open",
    "batch_has_room",
    "batch_may_be_called",
    "evaluate",
    "window_for",
]


class Action(StrEnum):
    """What to do with the job."""

    DIAL = "dial"
    #: Return it untouched.
    PUT_BACK = "put_back"
    SUSPEND = "suspend"
    #: Leave this phone out and look at the next.
    SKIP_PHONE = "skip_phone"


ACTIONS: Final[Mapping[Reason, Action]] = MappingProxyType(
    {
        Reason.HELD: Action.PUT_BACK,
        Reason.BATCH_MISSING: Action.PUT_BACK,
        Reason.BATCH_PAUSED: Action.PUT_BACK,
        Reason.WINDOW_FAULT: Action.PUT_BACK,
        Reason.OUTSIDE_WINDOW: Action.PUT_BACK,
        Reason.ACCOUNT_UNKNOWN: Action.SUSPEND,
        Reason.ACCOUNT_INACTIVE: Action.PUT_BACK,
        Reason.PLAN_UNKNOWN: Action.PUT_BACK,
        Reason.NO_CREDIT: Action.SUSPEND,
        Reason.BALANCE_RESERVED: Action.PUT_BACK,
        Reason.DAILY_LIMIT: Action.PUT_BACK,
        Reason.ACCOUNT_CONCURRENCY: Action.PUT_BACK,
        Reason.BATCH_CONCURRENCY: Action.PUT_BACK,
        Reason.ON_DO_NOT_CALL_LIST: Action.SKIP_PHONE,
        Reason.NO_NUMBER: Action.SKIP_PHONE,
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
    """The answer, with all its grounds."""

    may_dial: bool
    checks: tuple[Check, ...]
    #: Now where it may be dialled; None where that hangs on something without a date.
    next_chance: datetime | None
    action: Action

    @property
    def reason(self) -> Reason | None:
        """Why not; None where it may be dialled."""
        return next((check.reason for check in self.checks if not check.passed), None)

    @property
    def suspend_reason(self) -> SuspendReason | None:
        """Set where the job is to be suspended."""
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
) -> Evaluation:
    """Say whether a job may be dialled at this instant.

    Args:
        job: names the batch and the account that it wants.
        number: E.164 to be dialled; None where the phone is no usable number.
        batch: the job's, None where there is none of that name.
        account: the job's, None where there is none of that name.
        holds: whatever stops this dial as a whole.
        on_dnc: whether the number is on the do-not-call list.
        defaults: where batch and account say nothing.
        own_reservation_key: what stands reserved under it is this dial's own, and not counted against it.
        now: aware.
    """
    case = Case(
        job=job,
        number=number,
        batch=batch,
        account=account,
        holds=holds,
        on_dnc=on_dnc,
        defaults=defaults,
        own_key=own_reservation_key,
        window=window_for(batch, account.timezone if account else None, defaults),
        now=now,
    )
    checks = tuple(check(case) for check in CHECKS)
    reason = next((check.reason for check in checks if check.reason is not None), None)
    return Evaluation(
        may_dial=reason is None,
        checks=checks,
        next_chance=_next_chance(case, checks),
        action=Action.DIAL if reason is None else ACTIONS[reason],
    )


def window_for(
    batch: Batch | None, account_timezone: str | None, defaults: DiallingDefaults
) -> Window | WindowFault:
    """The calling window of a batch's jobs; the default one for jobs without a batch.

    Settings that limit calls and are not understood leave no window: whoever asks for it fails closed.
    """
    settings = batch.call_settings if batch is not None else None
    if settings is not None and settings.faults:
        return WindowFault(sentence="; ".join(settings.faults))
    return windows.read_window(
        settings.allowed_hours if settings else None,
        settings.days_of_week if settings else None,
        settings.timezone if settings else None,
        default_hours=defaults.hours,
        default_days=defaults.days,
        default_timezone=account_timezone or defaults.timezone,
    )


def batch_may_be_called(
    batch: Batch | None, account_timezone: str | None, defaults: DiallingDefaults, now: datetime
) -> bool:
    """Whether a batch is active and its window open: cheap enough to ask of every batch each second.

    None asks it of the jobs without a batch.
    """
    if batch is not None and not batch.is_active:
        return False
    window = window_for(batch, account_timezone, defaults)
    return isinstance(window, Window) and windows.is_open(window, now)


def batch_has_room(batch: Batch) -> bool:
    """Whether the batch's own number of calls at a time allows one more."""
    limit = batch.call_settings.max_concurrent_calls
    return limit is None or len(batch.open_dials) < limit


def account_is_open(account: Account, defaults: DiallingDefaults, now: datetime) -> bool:
    """Whether it is worth while to claim a job of the account at this moment.

    An account whose balance is used up is: claiming one of its jobs is what suspends them all. One whose
    balance is only held by open dials is not, nor is one that has reached a limit: its jobs would be claimed
    and put back in a circle.
    """
    if account.status != ACTIVE or account.plan is None:
        return False
    if not metering.has_room(account) or not metering.has_calls_left(account, defaults.timezone, now):
        return False
    # What SpeechAI reserved counts as left: the very jobs that it is reserved for may be called.
    everything = max(metering.legacy_minutes(account), metering.legacy_credit(account))
    return metering.has_balance(account, inherited=everything) or not metering.has_balance_once_settled(
        account, inherited=everything
    )


def _next_chance(case: Case, checks: Sequence[Check]) -> datetime | None:
    """When every failed check passes by itself, moved on into the window; None where one has no date."""
    chance = case.now
    for check in checks:
        if check.passed:
            continue
        if check.next_chance is None:
            return None
        chance = max(chance, check.next_chance)
    return windows.next_opening(case.window, chance) if isinstance(case.window, Window) else None
