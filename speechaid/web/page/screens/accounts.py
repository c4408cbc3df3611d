"""Accounts: what is left, top-ups, suspension, and what moved the balance."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response

from speechaid.protocol.translation import N_, say
from speechaid.rules.roles import WebAction
from speechaid.web.page.campaign_form import fault_at, read_amount
from speechaid.web.page.visits import Form, Visit, Visiting, needs_grant
from speechaid.web.pages import ListPage
from speechaid.web.problems import Problem
from speechaid.web.routes.accounts import list_accounts

router = APIRouter()

_LISTED: Final = 50
#: What a screen says after something was done, by the code in its address.
_DONE: Final = {
    "topup": N_("The balance was topped up."),
    "suspended": N_("The account is suspended: no new call of it is placed."),
    "active": N_("The account may call again."),
}
AccountId = Annotated[str, Path(max_length=200)]


@router.get("/accounts", **needs_grant(WebAction.VIEW_ACCOUNTS))
async def show_accounts(visit: Visiting, after: Annotated[str, Query(max_length=200)] = "") -> Response:
    """All accounts with what they have left."""
    found = await list_accounts(
        caller=visit.caller,
        services=visit.services,
        page=ListPage(limit=_LISTED, skip=0, after=after or None),
    )
    return await visit.page("accounts.html", accounts=found["accounts"], next=found["next"], after=after)


@router.get("/accounts/{account_id}", **needs_grant(WebAction.VIEW_ACCOUNTS))
async def show_account(
    visit: Visiting,
    account_id: AccountId,
    done: Annotated[str, Query(max_length=20)] = "",
    after: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """One account."""
    return await _page(visit, account_id, notice=say(_DONE[done]) if done in _DONE else None, after=after)


@router.post("/accounts/{account_id}/topup", **needs_grant("top-up"))
async def top_up(visit: Visiting, form: Form, account_id: AccountId) -> Response:
    """Add minutes or credit; once, however often the form is sent."""
    name = await visit.services.resolve(visit.caller, "account", account_id)
    account = await visit.ask("account", {"account": name})
    unit = "minutes" if (account["balance"] or {}).get("unit") == "minutes" else "credit"
    amount = read_amount(form.get("amount", ""))
    if amount is None:
        faults = {"amount": say("Type an amount above zero, for example 500.")}
        return await _page(visit, name, typed=form, faults=faults)
    key = form.get("key", "")
    args = {"account": name, unit: amount, "note": form.get("note", "").strip() or None}
    try:
        await visit.ask("top-up", {**args, "idempotency_key": key or secrets.token_hex(16)})
    except Problem as problem:
        return await _page(visit, name, typed=form, faults=fault_at(problem, ("note",), "amount"))
    return visit.redirect_to(f"/accounts/{name}?done=topup")


@router.get("/accounts/{account_id}/suspend", **needs_grant("suspend-account"))
async def ask_to_suspend(visit: Visiting, account_id: AccountId) -> Response:
    """What will happen."""
    name = await visit.services.resolve(visit.caller, "account", account_id)
    return await visit.page("account_suspend.html", account=await visit.ask("account", {"account": name}))


@router.post("/accounts/{account_id}/suspend", **needs_grant("suspend-account"))
async def suspend(visit: Visiting, form: Form, account_id: AccountId) -> Response:
    """Stop new calls of the account."""
    name = await visit.services.resolve(visit.caller, "account", account_id)
    await visit.ask("suspend-account", {"account": name, "reason": form.get("reason", "").strip() or None})
    return visit.redirect_to(f"/accounts/{name}?done=suspended")


@router.post("/accounts/{account_id}/activate", **needs_grant("resume-account"))
async def activate(visit: Visiting, form: Form, account_id: AccountId) -> Response:  # noqa: ARG001
    """Allow its calls again."""
    name = await visit.services.resolve(visit.caller, "account", account_id)
    await visit.ask("resume-account", {"account": name})
    return visit.redirect_to(f"/accounts/{name}?done=active")


async def _page(
    visit: Visit,
    account_id: str,
    *,
    notice: str | None = None,
    typed: dict[str, str] | None = None,
    faults: dict[str, str] | None = None,
    after: str = "",
) -> Response:
    name = await visit.services.resolve(visit.caller, "account", account_id)
    moved = await visit.ask("transactions", {"account": name, "limit": _LISTED, "after": after or None})
    return await visit.page(
        "account.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        account=await visit.ask("account", {"account": name}),
        moved=moved,
        after=after,
        typed=typed or {},
        #: The same form, sent twice, adds once.
        key=(typed or {}).get("key") or secrets.token_hex(16),
        notice=notice,
        faults=faults or {},
    )
