"""The checks before a dial, in order of precedence; ``eligibility`` combines them. Pure: no I/O, no clock.

Concurrency counts exclude this dial's own entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Final

from speechaid.compliance.hours import BATCH_RULE
from speechaid.compliance.next_chance import RuleDecision
from speechaid.compliance.packs import InvalidPack, Pack
from speechaid.compliance.rule_case import PersonUnderRules
from speechaid.model.account import Account, Plan
from speechaid.model.batch import Batch
from speechaid.model.erasure import FORGETTING
from speechaid.model.hold import Hold
from speechaid.model.job import Job
from speechaid.model.reading import shown
from speechaid.protocol.money import money, plain_amount, price
from speechaid.protocol.translation import N_, joined, say
from speechaid.rules import metering, windows
from speechaid.rules.defaults import DiallingDefaults
from speechaid.rules.numbers import country_of_number
from speechaid.rules.windows import Window, WindowFault

ACTIVE: Final = "active"


class Reason(StrEnum):
    """Why a job may not be dialled: stable values for logs, metrics and ``explain``."""

    HELD = "held"
    JOB_UNREADABLE = "job_unreadable"
    BATCH_MISSING = "batch_missing"
    BATCH_NOT_UNDERSTOOD = "batch_not_understood"
    BATCH_CANCELLED = "batch_cancelled"
    BATCH_PAUSED = "batch_paused"
    WINDOW_FAULT = "window_fault"
    OUTSIDE_WINDOW = "outside_window"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_NOT_UNDERSTOOD = "account_not_understood"
    ACCOUNT_INACTIVE = "account_inactive"
    PLAN_UNKNOWN = "plan_unknown"
    NO_CREDIT = "no_credit"
    BALANCE_RESERVED = "balance_reserved"
    DAILY_LIMIT = "daily_limit"
    ACCOUNT_CONCURRENCY = "account_concurrency"
    BATCH_CONCURRENCY = "batch_concurrency"
    ON_DO_NOT_CALL_LIST = "on_do_not_call_list"
    NO_NUMBER = "no_number"
    PACK_FAULT = "pack_fault"
    PACK_HOURS = "pack_hours"
    CAPS_NOT_READY = "caps_not_ready"
    PACK_CAP = "pack_cap"
    TEST_EXPIRED = "test_expired"
    TEST_NUMBER_UNREGISTERED = "test_number_unregistered"


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one check."""

    name: str
    passed: bool
    #: What was found, as a short text.
    value: str
    #: Set if it failed.
    reason: Reason | None = None
    #: When the check passes next, if known.
    next_eligible_at: datetime | None = None
    #: The rule of a pack that refuses: ``CL collection: weekly_contact``.
    rule: str | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """The facts that the checks evaluate."""

    job: Job
    number: str | None
    batch: Batch | None
    account: Account | None
    holds: Sequence[Hold]
    on_dnc: bool
    #: Whether the number is registered for test calls of the job's account.
    is_registered: bool
    defaults: DiallingDefaults
    own_key: str | None
    window: Window | WindowFault
    now: datetime
    #: The person under the calling rules of the batch's purpose; None: it has none.
    person: PersonUnderRules | None = None

    @cached_property
    def rules(self) -> RuleDecision | None:
        """What the calling rules decide; None: there are none to ask."""
        if self.person is None or self.number is None or self.person.fault is not None:
            return None
        return self.person.decide(self.number, batch=self.window, at=self.now, own_key=self.own_key)


def _hold(case: Case) -> Check:
    holds = [hold for hold in case.holds if not hold.batches_only or case.job.batch_id is not None]
    if not holds:
        return _passed("hold", say("none"))
    until = [hold.until for hold in holds]
    known = [moment for moment in until if moment is not None]
    return _failed(
        "hold",
        Reason.HELD,
        joined("; ", (say("{scope}: {reason}", scope=say(hold.scope), reason=hold.reason) for hold in holds)),
        next_eligible_at=max(known) if len(known) == len(until) else None,
    )


def document_check(job: Job) -> Check:
    """Whether every field of the job can be read that may forbid its call, or that the person would hear."""
    if job.faults:
        return _failed("document", Reason.JOB_UNREADABLE, joined("; ", job.faults))
    if FORGETTING in job.document:
        return _failed("document", Reason.JOB_UNREADABLE, say("its person is being forgotten"))
    return _passed("document", say("readable"))


def _document(case: Case) -> Check:
    return document_check(case.job)


def _batch(case: Case) -> Check:
    batch_id = case.job.settings_batch_id
    if batch_id is None:
        return _passed("batch", say("none"))
    if case.batch is None:
        return _failed("batch", Reason.BATCH_MISSING, say("there is no batch {batch_id}", batch_id=batch_id))
    if case.batch.faults:
        return _failed("batch", Reason.BATCH_NOT_UNDERSTOOD, joined("; ", case.batch.faults))
    if case.batch.cancelled is not None:
        return _failed(
            "batch",
            Reason.BATCH_CANCELLED,
            say("{batch_id} is cancelled, for good", batch_id=case.batch.batch_id),
        )
    if not case.batch.is_active:
        return _failed(
            "batch", Reason.BATCH_PAUSED, say("{batch_id} is paused", batch_id=case.batch.batch_id)
        )
    return _passed("batch", say("{batch_id} is active", batch_id=case.batch.batch_id))


def _test(case: Case) -> Check:
    """Of a test call alone: whether it is still waited for, and goes to a number registered for tests."""
    test = case.job.test
    if test is not None and case.now >= test.until:
        return _failed(
            "test", Reason.TEST_EXPIRED, say("it was to be placed by {until:%H:%M:%S} UTC", until=test.until)
        )
    if not case.is_registered:
        return _failed("test", Reason.TEST_NUMBER_UNREGISTERED, say("the number is not registered for tests"))
    return _passed("test", say("registered number"))


def _window(case: Case) -> Check:
    if isinstance(case.window, WindowFault):
        return _failed("window", Reason.WINDOW_FAULT, case.window.sentence)
    if windows.is_open(case.window, case.now):
        return _passed(
            "window",
            say("always open") if case.window.is_always else say("{window}, open", window=str(case.window)),
        )
    return _failed(
        "window",
        Reason.OUTSIDE_WINDOW,
        say("{window}, closed", window=str(case.window)),
        next_eligible_at=windows.next_opening(case.window, case.now),
    )


def _account(case: Case) -> Check:
    if case.job.account_id is None:
        return _passed("account", say("none: not metered"))
    if case.account is None:
        return _failed(
            "account",
            Reason.ACCOUNT_UNKNOWN,
            say("there is no account {account_id}", account_id=case.job.account_id),
        )
    if case.account.plan is None:
        plan = case.account.document.get("plan_type")
        return _failed(
            "account", Reason.PLAN_UNKNOWN, say("plan_type {plan} is not a known plan", plan=shown(plan))
        )
    if case.account.faults:
        return _failed("account", Reason.ACCOUNT_NOT_UNDERSTOOD, joined("; ", case.account.faults))
    if case.account.status != ACTIVE:
        return _failed("account", Reason.ACCOUNT_INACTIVE, say("status {status}", status=case.account.status))
    return _passed(
        "account",
        say(
            "{account_id} is active, {plan}",
            account_id=case.account.account_id,
            plan=say(case.account.plan.replace("_", " ")),
        ),
    )


def _balance(case: Case) -> Check:
    account = case.account
    if account is None or account.plan is None:
        return _passed("balance", say("not metered"))
    if account.plan is Plan.UNLIMITED:
        return _passed("balance", say("unlimited"))
    # Once the dial has a reservation entry, the legacy reservation of the job has been released.
    reserved = any(entry.key == case.own_key for entry in account.reservations)
    legacy = 0.0 if reserved else metering.reserved_for(case.job)
    if account.plan is Plan.MINUTES:
        value = say(
            "{plain_amount} minutes left",
            plain_amount=plain_amount(metering.minutes_left(account, case.own_key, legacy)),
        )
    else:
        left = metering.credit_left(account, case.own_key, legacy)
        setup = price(account.cost_per_call_setup, account.currency)
        value = say(
            "credit left: {currency}; call set-up costs {setup}",
            currency=money(left, account.currency),
            setup=setup,
        )
    if metering.has_balance(account, case.own_key, legacy):
        return _passed("balance", value)
    if metering.has_balance_once_settled(account, legacy):
        return _failed(
            "balance",
            Reason.BALANCE_RESERVED,
            say("{value}; the rest is reserved by calls in progress", value=value),
        )
    return _failed("balance", Reason.NO_CREDIT, value)


def _daily_limit(case: Case) -> Check:
    account = case.account
    if account is None or account.daily_call_limit is None:
        return _passed(N_("daily limit"), say("none"))
    day = metering.account_day(account, case.defaults.timezone, case.now)
    made = metering.made_today(account, day, case.own_key)
    value = say("{made} of {daily_call_limit} calls", made=made, daily_call_limit=account.daily_call_limit)
    if made < account.daily_call_limit:
        return _passed(N_("daily limit"), value)
    zone = metering.account_zone(account, case.defaults.timezone)
    tomorrow = date.fromisoformat(day) + timedelta(days=1)
    return _failed(
        N_("daily limit"),
        Reason.DAILY_LIMIT,
        value,
        next_eligible_at=datetime.combine(tomorrow, time(), zone).astimezone(UTC),
    )


def _account_concurrency(case: Case) -> Check:
    limit = case.account.max_concurrent_calls if case.account else None
    if case.account is None or limit is None:
        return _passed(N_("account concurrency"), say("no limit"))
    return _concurrency(
        N_("account concurrency"),
        Reason.ACCOUNT_CONCURRENCY,
        metering.other_dials(case.account, case.own_key),
        limit,
    )


def _batch_concurrency(case: Case) -> Check:
    limit = case.batch.call_settings.max_concurrent_calls if case.batch else None
    if case.batch is None or limit is None:
        return _passed(N_("batch concurrency"), say("no limit"))
    others = len(case.batch.open_dials - {case.own_key or ""})
    return _concurrency(N_("batch concurrency"), Reason.BATCH_CONCURRENCY, others, limit)


def _do_not_call(case: Case) -> Check:
    if case.on_dnc:
        return _failed(N_("do-not-call list"), Reason.ON_DO_NOT_CALL_LIST, say("listed"))
    return _passed(N_("do-not-call list"), say("not listed"))


def _calling_hours(case: Case) -> Check:
    """The hours and holidays of the pack of the number's country."""
    name = N_("hours by law")
    if case.person is None:
        return _passed(name, say("the batch names no purpose: no rules are asked"))
    pack = None if case.number is None else case.person.pack_for(case.number)
    if case.person.fault is not None or isinstance(pack, InvalidPack):
        faults = pack.faults if isinstance(pack, InvalidPack) else (case.person.fault or "",)
        return _failed(name, Reason.PACK_FAULT, joined("; ", faults))
    if case.number is None or case.rules is None:
        return _passed(name, say("no usable number"))
    if pack is None:
        country = country_of_number(case.number) or "?"
        purpose = str(case.person.purpose)
        return _passed(
            name, say("no rule is known for {purpose} in {country}", purpose=purpose, country=country)
        )
    return _hours_of_pack(case.rules, pack)


def _hours_of_pack(rules: RuleDecision, pack: Pack) -> Check:
    name, hours = N_("hours by law"), rules.hours
    value = say(
        "{rule}: {sentence} (source: {source})",
        rule=hours.rule,
        sentence=hours.sentence,
        source=hours.source,
    )
    for one in pack.exemptions:
        value += say(
            "; exemption {name}: {said_by}, {at}", name=one.name, said_by=one.said_by, at=one.at.isoformat()
        )
    # The batch's own hours have a check of their own.
    if hours.allowed or hours.rule == BATCH_RULE:
        return _passed(name, value)
    chance = rules.next_at or hours.next_at
    return _failed(name, Reason.PACK_HOURS, value, next_eligible_at=chance, rule=hours.rule)


def _caps(case: Case) -> Check:
    """How often the person may be called, by the pack of the number's country."""
    name = N_("caps by law")
    pack = None if case.person is None or case.number is None else case.person.pack_for(case.number)
    if case.person is None or case.rules is None or not isinstance(pack, Pack) or not pack.counts_calls:
        return _passed(name, say("no cap"))
    if not case.person.is_ready:
        value = say("the calls that were placed before are still being entered in the ledger")
        return _failed(name, Reason.CAPS_NOT_READY, value)
    caps = case.rules.caps
    if caps is None:
        return _passed(name, say("not asked: the hours allow no call"))
    if caps.allowed:
        counted = len([entry for entry in case.person.entries if entry.is_attempt])
        return _passed(name, say("{count} calls in the ledger, no cap refuses", count=counted))
    value = say(
        "{rule}: {sentence} (source: {source})",
        rule=str(caps.rule),
        sentence=caps.sentence,
        source=str(caps.source),
    )
    chance = caps.next_at if caps.only_open else case.rules.next_at
    return _failed(name, Reason.PACK_CAP, value, next_eligible_at=chance, rule=caps.rule)


def _number(case: Case) -> Check:
    if case.number is None:
        return _failed("number", Reason.NO_NUMBER, say("no usable number"))
    return _passed("number", say("usable"))


def _concurrency(name: str, reason: Reason, others: int, limit: int) -> Check:
    value = say("{others} of {limit} calls in progress", others=others, limit=limit)
    return _passed(name, value) if others < limit else _failed(name, reason, value)


def _passed(name: str, value: str) -> Check:
    return Check(name=name, passed=True, value=value)


def _failed(
    name: str,
    reason: Reason,
    value: str,
    *,
    next_eligible_at: datetime | None = None,
    rule: str | None = None,
) -> Check:
    return Check(
        name=name, passed=False, value=value, reason=reason, next_eligible_at=next_eligible_at, rule=rule
    )


CHECKS: Final[tuple[Callable[[Case], Check], ...]] = (
    _hold,
    _document,
    _batch,
    _window,
    _account,
    _balance,
    _daily_limit,
    _account_concurrency,
    _batch_concurrency,
    _do_not_call,
    _number,
    _calling_hours,
    _caps,
)
#: Those of a test call.
CHECKS_OF_TEST: Final[tuple[Callable[[Case], Check], ...]] = (*CHECKS, _test)
#: Those that hold for every call of a batch that starts. Calls in progress end: a limit on them
#: only delays a call.
CHECKS_OF_START: Final[tuple[Callable[[Case], Check], ...]] = (
    _hold,
    _window,
    _account,
    _balance,
    _daily_limit,
)
