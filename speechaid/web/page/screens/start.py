"""The first screen: is it calling, is it going well, does anything need me?"""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Response
from starlette.responses import HTMLResponse

from speechaid.model.batch import BatchStatus
from speechaid.protocol.translation import say
from speechaid.rules.roles import WebAction
from speechaid.web.page.calling import calling_state
from speechaid.web.page.visits import Visit, Visiting, needs_grant
from speechaid.web.pages import ListPage
from speechaid.web.problems import Problem
from speechaid.web.routes.batches import list_batches

router = APIRouter()

#: Campaigns that the first screen names; the list has all.
_CAMPAIGNS: Final = 10
#: Seconds for which one reading of today's calls, or of the alerts, serves all.
_TODAY_SECONDS: Final = 30.0
_ALERT_SECONDS: Final = 10.0


@router.get("/start", **needs_grant(WebAction.VIEW_PROGRESS))
async def show_start(visit: Visiting) -> Response:
    """What is at work now, today's results, and what needs somebody."""
    found = await list_batches(
        caller=visit.caller,
        services=visit.services,
        is_active=True,
        page=ListPage(limit=_CAMPAIGNS + 1, skip=0, after=None),
    )
    campaigns = [one for one in found["batches"] if one["status"] == BatchStatus.RUNNING]
    today, is_late = await visit.soon(_today(visit))
    return await visit.page(
        "start.html",
        state=calling_state(await visit.status()) if visit.sees_all else None,
        campaigns=campaigns[:_CAMPAIGNS],
        has_more=len(found["batches"]) > _CAMPAIGNS,
        report=today,
        with_outcomes=False,
        today_is_late=is_late,
        alerts=(await visit.soon(_alerts(visit)))[0],
        may_see_alerts=visit.sees_all and visit.may("alerts"),
    )


@router.get("/start/today", **needs_grant("report"))
async def show_today(visit: Visiting) -> Response:
    """Today's results, which take a while where many calls were made."""
    values: dict[str, Any] = {"report": await _today(visit), "with_outcomes": not visit.is_part}
    if visit.is_part:
        return HTMLResponse(visit.part("results.html", **values))
    return await visit.page(
        "results_page.html", **values, heading=say("Today"), back="/start", back_name=say("Start")
    )


async def _today(visit: Visit) -> dict[str, Any] | None:
    """Today's calls; None where the daemon cannot say."""
    try:
        return await visit.share("report", {"day": "today", "format": "json"}, _TODAY_SECONDS)
    except Problem:
        return None


async def _alerts(visit: Visit) -> list[dict[str, Any]] | None:
    if not visit.sees_all:
        return []
    try:
        firing: list[dict[str, Any]] = (await visit.share("alerts", {}, _ALERT_SECONDS))["firing"]
    except Problem:
        return None
    return firing
