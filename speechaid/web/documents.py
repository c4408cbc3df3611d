"""Batches and accounts as the API shows them: fields as they stand in the database, from an allow-list.

What is stored for the daemon alone (open dials, reservation entries, keys) is not shown; values of a wrong
type count as missing, as everywhere (``model.reading``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import pydantic_core
from pydantic import BaseModel, Field

from speechaid.commands.top_ups import balance
from speechaid.model import reading
from speechaid.model.account import Account
from speechaid.model.batch import Batch, BatchStatus, batch_status
from speechaid.model.masking import mask_prose
from speechaid.model.states import counts_by_status
from speechaid.protocol.money import exact_amount

#: SpeechAI's counters of a batch.
COUNTERS: Final = ("total_jobs", "pending_jobs", "completed_jobs", "failed_jobs", "suspended_jobs")


class Order(BaseModel):
    """Who ordered something, when and why."""

    by: str | None = None
    reason: str | None = None
    at: datetime | None = None


class BatchDocument(BaseModel):
    """A batch: a campaign's jobs and its settings."""

    id: str = Field(alias="_id")
    batch_id: str
    account_id: str | None
    name: str | None
    description: str | None
    is_active: bool
    status: BatchStatus
    priority: int = Field(description="1 normal, 2 high, 3 urgent")
    country: str | None
    call_settings: dict[str, Any] = Field(description="as they stand in the database")
    total_jobs: int = Field(description="this and the other counters are renewed about every minute")
    pending_jobs: int
    completed_jobs: int
    failed_jobs: int
    suspended_jobs: int
    live_calls: int
    total_cost: float = Field(description="what Retell charged, in US dollars")
    total_minutes: float
    created_at: datetime | None
    updated_at: datetime | None
    pause: Order | None = Field(description="who paused it, when and why")
    cancelled: Order | None
    faults: list[str] = Field(description="what cannot be understood of it, and keeps calls from being made")


class BatchSummary(BatchDocument):
    """A batch with its jobs, counted now."""

    jobs: dict[str, int] = Field(description="jobs by status, counted within the last seconds")
    daemon: str = Field(description="up or away: while it is away, nothing is called from its host")


class BatchProgress(BaseModel):
    """How far a batch is: made to be polled."""

    batch_id: str
    status: BatchStatus
    is_active: bool
    jobs: dict[str, int]
    total_jobs: int
    finished_jobs: int
    progress: float = Field(description="finished jobs of all, from 0 to 1")
    live_calls: int
    total_cost: float = Field(description="what Retell charged, in US dollars")
    total_minutes: float
    daemon: str


class BalanceDocument(BaseModel):
    """What an account has bought, has used, has reserved for calls in progress, and has left."""

    account_id: str
    plan_type: str | None
    currency: str | None
    unit: str | None = Field(description="minutes or credit; null without a limit")
    bought: float | None
    used: float | None
    reserved: float | None
    left: float | None


class AccountDocument(BaseModel):
    """A customer's account."""

    id: str = Field(alias="_id")
    account_id: str
    account_name: str | None
    plan_type: str | None
    status: str
    country: str | None
    timezone: str | None
    currency: str | None
    minutes_purchased: float
    minutes_used: float
    minutes_reserved: float
    credit_balance: float
    credit_used: float
    credit_reserved: float
    cost_per_minute: float
    cost_per_call_setup: float
    cost_failed_call: float
    max_concurrent_calls: int | None
    daily_call_limit: int | None
    calls_today: int
    live_calls: int
    created_at: datetime | None
    updated_at: datetime | None
    faults: list[str]


class AccountStats(BaseModel):
    """An account's batches and jobs, summed from the batches' counters."""

    account_id: str
    batches: int
    running_batches: int
    total_jobs: int
    pending_jobs: int
    completed_jobs: int
    failed_jobs: int
    suspended_jobs: int
    live_calls: int
    calls_today: int
    total_cost: float = Field(description="what Retell charged, in US dollars")
    total_minutes: float
    counted_batches: int = Field(description="the newest batches, at most 1000, that the sums are of")


class AccountSummary(AccountDocument):
    """An account with its balance and its sums."""

    balance: BalanceDocument
    stats: AccountStats


class Page(BaseModel):
    """What all lists have."""

    limit: int
    next: str | None = Field(description="give it as `after` for the next page; null at the end")


class BatchPage(Page):
    """Batches, the last first."""

    batches: list[BatchDocument]


class AccountPage(Page):
    """Accounts in the order of their ids."""

    accounts: list[AccountDocument]


class CallSettingsDocument(BaseModel):
    """The call settings that an account used last."""

    account_id: str
    from_batch: str | None
    call_settings: dict[str, Any]


class Overview(BaseModel):
    """What is at work now."""

    as_of: datetime
    database: str
    daemon: str
    accounts: int
    batches: int
    running_batches: int
    total_jobs: int
    pending_jobs: int
    completed_jobs: int
    failed_jobs: int
    suspended_jobs: int
    live_calls: int
    calls_today: int


def batch_document(batch: Batch) -> dict[str, Any]:
    """A batch as ``BatchDocument``."""
    document = batch.document
    counters = {name: max(0, reading.whole(document.get(name))) for name in COUNTERS}
    waiting = counters["pending_jobs"] + batch.live_calls
    return {
        "_id": reading.as_printable(document.get("_id")),
        "batch_id": batch.batch_id,
        "account_id": batch.account_id,
        "name": batch.name,
        "description": reading.text(document.get("description")),
        "is_active": batch.is_active,
        "status": batch_status(
            batch,
            total=counters["total_jobs"],
            waiting=waiting,
            set_aside=counters["suspended_jobs"],
        ),
        "priority": batch.priority,
        "country": batch.country,
        "call_settings": plain_json(reading.mapping(document.get("call_settings"))),
        **counters,
        "live_calls": batch.live_calls,
        "total_cost": _sum(document.get("total_cost")),
        "total_minutes": _sum(document.get("total_minutes")),
        "created_at": reading.instant(document.get("created_at")),
        "updated_at": reading.instant(document.get("updated_at")),
        "pause": _order(batch.pause),
        "cancelled": _order(batch.cancelled),
        "faults": [*batch.faults, *batch.call_settings.faults],
    }


def batch_progress(batch: Batch, counted: Mapping[str, int], daemon: str) -> dict[str, Any]:
    """A batch and its counted jobs as ``BatchProgress``."""
    shown = batch_document(batch)
    jobs = counts_by_status(counted)
    total = sum(jobs.values())
    finished = sum(jobs.get(name, 0) for name in ("done", "failed", "cancelled"))
    waiting = sum(jobs.get(name, 0) for name in ("pending", "in_progress", "scheduled"))
    return {
        **{name: shown[name] for name in ("batch_id", "is_active", "live_calls", "total_cost")},
        "total_minutes": shown["total_minutes"],
        "status": batch_status(batch, total=total, waiting=waiting, set_aside=jobs.get("suspended", 0)),
        "jobs": jobs,
        "total_jobs": total,
        "finished_jobs": finished,
        "progress": finished / total if total else 0.0,
        "daemon": daemon,
    }


def account_document(account: Account) -> dict[str, Any]:
    """An account as ``AccountDocument``."""
    document = account.document
    amounts = (
        *("minutes_purchased", "minutes_used", "minutes_reserved"),
        *("credit_balance", "credit_used", "credit_reserved"),
        *("cost_per_minute", "cost_per_call_setup", "cost_failed_call"),
    )
    return {
        "_id": reading.as_printable(document.get("_id")),
        "account_id": account.account_id,
        "account_name": account.name,
        "plan_type": account.plan,
        "status": account.status,
        "country": account.country,
        "timezone": account.timezone,
        "currency": account.currency,
        **{name: float(exact_amount(getattr(account, name))) for name in amounts},
        "max_concurrent_calls": account.max_concurrent_calls,
        "daily_call_limit": account.daily_call_limit,
        "calls_today": account.calls_today,
        "live_calls": len(account.reservations),
        "created_at": reading.instant(document.get("created_at")),
        "updated_at": reading.instant(document.get("updated_at")),
        "faults": list(account.faults),
    }


def balance_document(account: Account) -> dict[str, Any]:
    """An account's balance as ``BalanceDocument``."""
    none = dict.fromkeys(("unit", "bought", "used", "reserved", "left"))
    return {
        "account_id": account.account_id,
        "plan_type": account.plan,
        "currency": account.currency,
        **(balance(account) or none),
    }


def account_stats(account: Account, batches: list[Batch]) -> dict[str, Any]:
    """The sums of an account's batches as ``AccountStats``."""
    return {
        "account_id": account.account_id,
        **batch_sums(batches),
        "live_calls": len(account.reservations),
        "calls_today": account.calls_today,
        "total_cost": _sum(sum(batch_document(batch)["total_cost"] for batch in batches)),
        "total_minutes": _sum(sum(batch_document(batch)["total_minutes"] for batch in batches)),
        "counted_batches": len(batches),
    }


def batch_sums(batches: list[Batch]) -> dict[str, Any]:
    """How many batches there are, how many run, and the sums of their counters."""
    shown = [batch_document(batch) for batch in batches]
    running = sum(each["status"] is BatchStatus.RUNNING for each in shown)
    sums = {name: sum(each[name] for each in shown) for name in COUNTERS}
    return {"batches": len(batches), "running_batches": running, **sums}


def plain_json(value: object) -> Any:
    """A stored value as JSON types; what JSON does not have becomes text, or null."""
    return pydantic_core.to_jsonable_python(value, fallback=str, inf_nan_mode="null", bytes_mode="base64")


def _sum(value: object) -> float:
    return float(exact_amount(reading.number(value) or 0.0))


def _order(order: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if order is None:
        return None
    reason = reading.text(order.get("reason"))
    return {
        "by": reading.text(order.get("by")),
        "reason": None if reason is None else mask_prose(reason),
        "at": reading.instant(order.get("at")),
    }
