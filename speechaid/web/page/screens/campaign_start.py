"""When a campaign starts: now, or at a time by the clock of its hours; and what its screens say of that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response

from speechaid.model.reading import find_zone, mapping, text
from speechaid.protocol.translation import say
from speechaid.rules.windows import read_start
from speechaid.web.documents import batch_document
from speechaid.web.page.campaign_form import fault_at
from speechaid.web.page.visits import Form, Visit, Visiting, needs_grant
from speechaid.web.problems import Problem

router = APIRouter()

CampaignId = Annotated[str, Path(max_length=200)]
_FIELDS: Final = ("day", "time")


@router.get("/campaigns/{batch_id}/start", **needs_grant("edit-batch"))
async def show_start(visit: Visiting, batch_id: CampaignId) -> Response:
    """The form of the start."""
    campaign = batch_document(await visit.services.get_batch(visit.caller, batch_id))
    return await _page(visit, campaign, _typed_of(campaign))


@router.post("/campaigns/{batch_id}/start", **needs_grant("edit-batch"))
async def start_at(visit: Visiting, form: Form, batch_id: CampaignId) -> Response:
    """Let the campaign call from a time on, or at once; unless somebody else has changed that meanwhile."""
    campaign = batch_document(await visit.services.get_batch(visit.caller, batch_id))
    name, stored = campaign["batch_id"], _stored(campaign)
    typed = {field: form.get(field, "").strip() for field in _FIELDS}
    if form.get("shown", "") != stored:
        text_ = say("Somebody else has changed the start meanwhile. Look at the campaign, and choose again.")
        return await _page(visit, campaign, typed, {"day": text_})
    if form.get("now"):
        if stored:
            await visit.ask("edit-batch", {"batch": name, "unset": ["start-at"]})
        await visit.ask("resume-batch", {"batch": name})
        return visit.redirect_to(f"/campaigns/{name}?done=resumed")
    faults: dict[str, str] = {}
    if not typed["day"]:
        faults["day"] = say("Choose the day.")
    if not typed["time"]:
        faults["time"] = say("Say at what time, for example 09:00.")
    if not faults:
        try:
            await visit.ask("resume-batch", {"batch": name, "start_at": f"{typed['day']}T{typed['time']}"})
        except Problem as problem:
            faults = fault_at(problem, (), "day")
    if faults:
        return await _page(visit, campaign, typed, faults)
    return visit.redirect_to(f"/campaigns/{name}?done=planned")


async def start_of(visit: Visit, campaign: Mapping[str, Any]) -> datetime | None:
    """From when on a campaign is called, where that is ahead; None where it may be called already."""
    stored = mapping(campaign["call_settings"]).get("start_at")
    if stored is None:
        return None
    found = read_start(stored, find_zone(await zone_of(visit, campaign) or "") or _own_zone())
    return found if found is not None and found > datetime.now(UTC) else None


async def zone_of(visit: Visit, campaign: Mapping[str, Any]) -> str | None:
    """By whose clock a campaign calls: its own, else its account's; None: the server's settings say."""
    own = text(mapping(campaign["call_settings"]).get("timezone"))
    if own is not None or campaign["account_id"] is None:
        return own
    try:
        return (await visit.services.get_account(visit.caller, campaign["account_id"])).timezone
    except Problem:
        return None


def _own_zone() -> tzinfo:
    return datetime.now(UTC).astimezone().tzinfo or UTC


def _stored(campaign: Mapping[str, Any]) -> str:
    return text(mapping(campaign["call_settings"]).get("start_at")) or ""


def _typed_of(campaign: Mapping[str, Any]) -> dict[str, str]:
    day, _, time = _stored(campaign).partition("T")
    return {"day": day, "time": time}


async def _page(
    visit: Visit,
    campaign: Mapping[str, Any],
    typed: Mapping[str, str],
    faults: dict[str, str] | None = None,
) -> Response:
    return await visit.page(
        "campaign_start.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        campaign=campaign,
        typed=typed,
        shown=_stored(campaign),
        zone=await zone_of(visit, campaign),
        starts_at=await start_of(visit, campaign),
        faults=faults or {},
    )
