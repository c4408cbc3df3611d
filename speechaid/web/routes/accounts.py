"""Accounts in SpeechAI's names: plans, balances, sums."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt

from speechaid.model.batch import Batch
from speechaid.model.reading import mapping
from speechaid.protocol.specs.accounts import ACCOUNT_STATUSES, PLANS
from speechaid.rules.roles import WebAction
from speechaid.store.scoped import ScopedStore
from speechaid.web.access import Caller, route_grant
from speechaid.web.documents import (
    AccountDocument,
    AccountPage,
    AccountStats,
    AccountSummary,
    BalanceDocument,
    BatchPage,
    CallSettingsDocument,
    account_document,
    account_stats,
    balance_document,
    plain_json,
)
from speechaid.web.idempotency import IdempotencyKey
from speechaid.web.pages import Paged
from speechaid.web.problems import not_found
from speechaid.web.routes.batches import list_batches
from speechaid.web.routes.commands import json_response
from speechaid.web.services import Served, Services

router = APIRouter(tags=["accounts"])

#: Batches of an account that its sums are of, the last.
_SUMMED: Final = 1000
AccountId = Annotated[str, Path(description="`account_id` or `_id`", max_length=200)]


class AccountSettings(BaseModel):
    """Settings of a new account."""

    model_config = ConfigDict(extra="forbid")

    timezone: str | None = Field(None, min_length=1, max_length=100)


class NewAccount(BaseModel):
    """A customer's account."""

    model_config = ConfigDict(extra="forbid")

    account_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="made where it is missing"
    )
    account_name: str = Field(min_length=1, max_length=200)
    plan_type: Literal[PLANS]  # type: ignore[valid-type]
    country: str | None = Field(None, pattern="^[A-Za-z]{2}$")
    currency: str | None = Field(None, pattern="^[A-Za-z]{3}$")
    settings: AccountSettings | None = None
    initial_minutes: StrictFloat | None = Field(None, gt=0, le=1e9, description="on a minutes plan")
    initial_credits: StrictFloat | None = Field(None, gt=0, le=1e9, description="on a credit plan")
    cost_per_minute: StrictFloat | None = Field(None, ge=0, le=1e9)
    cost_per_call_setup: StrictFloat | None = Field(None, ge=0, le=1e9)
    cost_failed_call: StrictFloat | None = Field(None, ge=0, le=1e9)
    max_concurrent_calls: StrictInt | None = Field(None, ge=1, le=100_000)
    daily_call_limit: StrictInt | None = Field(None, ge=1, le=10_000_000)


_EXAMPLE: Final = {
    "account_id": "acc_124",
    "account_name": "Cobranzas del Sur",
    "plan_type": "minutes_based",
    "country": "CL",
    "settings": {"timezone": "America/Santiago"},
    "initial_minutes": 500,
}
_SAME_NAME: Final = (
    *("country", "currency", "cost_per_minute", "cost_per_call_setup", "cost_failed_call"),
    *("max_concurrent_calls", "daily_call_limit"),
)


@router.post(
    "/accounts",
    status_code=201,
    response_model=AccountDocument,
    **route_grant("create-account"),
    summary="Create an account",
)
async def create_account(
    *,
    caller: Caller,
    services: Served,
    body: Annotated[NewAccount, Body(openapi_examples={"example": {"value": _EXAMPLE}})],
    key: IdempotencyKey = None,
) -> Response:
    """Contacts and features of SpeechAI's accounts are not kept here, and refused."""
    if caller.account_id is not None:
        raise not_found("account")
    account_id = body.account_id or f"acc_{secrets.token_hex(6)}"
    args: dict[str, Any] = {"account": account_id, "name": body.account_name, "plan": body.plan_type}
    args |= {name: value for name in _SAME_NAME if (value := getattr(body, name)) is not None}
    if body.settings is not None and body.settings.timezone is not None:
        args["timezone"] = body.settings.timezone

    async def work() -> dict[str, Any]:
        await services.daemon.ask(caller, "create-account", args)
        for unit, amount in (("minutes", body.initial_minutes), ("credit", body.initial_credits)):
            if amount is not None:
                # Its key is the account's: however often this is tried, it is added once.
                top_up = {"account": account_id, unit: amount, "idempotency_key": f"initial-{account_id}"}
                await services.daemon.ask(caller, "top-up", top_up)
        return {"account_id": account_id}

    request = ["create-account", {**body.model_dump(mode="json")}]
    result, repeated = await services.keys.once(caller, key, request, work)
    account = await services.get_account(caller, str(result["account_id"]))
    shown = AccountDocument.model_validate(account_document(account)).model_dump(mode="json", by_alias=True)
    return json_response(shown, 200 if repeated else 201, repeated=repeated)


@router.get(
    "/accounts",
    response_model=AccountPage,
    **route_grant(WebAction.VIEW_ACCOUNTS),
    summary="Accounts in the order of their ids",
)
async def list_accounts(
    *,
    caller: Caller,
    services: Served,
    status: Annotated[Literal[ACCOUNT_STATUSES] | None, Query()] = None,  # type: ignore[valid-type]
    plan_type: Annotated[Literal[PLANS] | None, Query()] = None,  # type: ignore[valid-type]
    page: Paged,
) -> dict[str, Any]:
    """Plans, limits and what is left of them."""
    found = await services.reader.read(
        caller.account_id,
        lambda store: store.accounts.select(
            limit=page.read_limit, skip=page.skip, after=page.after, status=status, plan=plan_type
        ),
    )
    return page.to_document("accounts", found, account_document, lambda account: account.account_id)


@router.get(
    "/accounts/{account_id}",
    response_model=AccountDocument,
    **route_grant(WebAction.VIEW_ACCOUNTS),
    summary="One account",
)
async def get_account(caller: Caller, services: Served, account_id: AccountId) -> dict[str, Any]:
    """As it stands in the database."""
    return account_document(await services.get_account(caller, account_id))


@router.get(
    "/accounts/{account_id}/balance",
    response_model=BalanceDocument,
    **route_grant(WebAction.VIEW_ACCOUNTS),
    summary="What an account has left",
)
async def get_balance(caller: Caller, services: Served, account_id: AccountId) -> dict[str, Any]:
    """In minutes or in its currency."""
    return balance_document(await services.get_account(caller, account_id))


@router.get(
    "/accounts/{account_id}/stats",
    response_model=AccountStats,
    **route_grant(WebAction.VIEW_ACCOUNTS),
    summary="An account's batches, summed",
)
async def get_stats(caller: Caller, services: Served, account_id: AccountId) -> dict[str, Any]:
    """By the counters of its batches."""
    return (await _summary(caller, services, account_id))["stats"]  # type: ignore[no-any-return]


@router.get(
    "/accounts/{account_id}/summary",
    response_model=AccountSummary,
    **route_grant(WebAction.VIEW_ACCOUNTS),
    summary="Account, balance and sums",
)
async def get_account_summary(
    *,
    caller: Caller,
    services: Served,
    account_id: AccountId,
) -> dict[str, Any]:
    """All of it in one answer."""
    return await _summary(caller, services, account_id)


async def _summary(caller: Caller, services: Services, name: str) -> dict[str, Any]:
    account = await services.get_account(caller, name)

    def batches(store: ScopedStore) -> list[Batch]:
        return store.batches.select(limit=_SUMMED, account_id=account.account_id)

    found = await services.reader.share(("sums", account.account_id), caller.account_id, batches)
    return {
        **account_document(account),
        "balance": balance_document(account),
        "stats": account_stats(account, found),
    }


@router.get(
    "/accounts/{account_id}/last-call-settings",
    response_model=CallSettingsDocument,
    **route_grant(WebAction.VIEW_ACCOUNTS),
    summary="The call settings that an account used last",
)
async def get_last_call_settings(
    *,
    caller: Caller,
    services: Served,
    account_id: AccountId,
) -> dict[str, Any]:
    """Those of its newest batch that has any."""
    account = await services.get_account(caller, account_id)
    batch = await services.reader.read(
        caller.account_id, lambda store: store.batches.newest_of_account(account.account_id)
    )
    settings = {} if batch is None else mapping(batch.document.get("call_settings"))
    return {
        "account_id": account.account_id,
        "from_batch": None if batch is None else batch.batch_id,
        "call_settings": plain_json(settings),
    }


@router.get(
    "/accounts/{account_id}/batches",
    response_model=BatchPage,
    **route_grant(WebAction.VIEW_PROGRESS),
    summary="Batches of an account",
)
async def list_batches_of_account(
    *,
    caller: Caller,
    services: Served,
    account_id: AccountId,
    is_active: bool | None = None,
    page: Paged,
) -> dict[str, Any]:
    """The last first."""
    account = await services.get_account(caller, account_id)
    return await list_batches(
        caller=caller,
        services=services,
        account_id=account.account_id,
        is_active=is_active,
        page=page,
    )
