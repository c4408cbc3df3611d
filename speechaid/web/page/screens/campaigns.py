"""Campaigns: the list, and one campaign with its live progress, its orders and its hours."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import HTMLResponse

from speechaid.model.batch import read_purpose
from speechaid.model.reading import mapping, text
from speechaid.protocol.translation import N_, joined, say
from speechaid.rules.roles import WebAction
from speechaid.web.documents import batch_document
from speechaid.web.page.screens.campaign_start import start_of, zone_of
from speechaid.web.page.visits import Form, Visit, Visiting, needs_grant
from speechaid.web.pages import ListPage
from speechaid.web.problems import Problem
from speechaid.web.routes.batches import list_batches, read_progress
from speechaid.web.streams import EventStreams

router = APIRouter()

_LISTED: Final = 50
#: Seconds between two readings of a live campaign; one reading serves all.
LIVE_SECONDS: Final = 3.0
#: Live pages at once.
MAX_LIVE: Final = 64
#: The last call's outcomes of those who were not reached.
_NOT_REACHED: Final = "no-answer,busy,voicemail,failed"
_REPORT_SECONDS: Final = 30.0
#: Seconds for which one reading of a campaign's settings serves all, unless something is changed here.
_DETAILS_SECONDS: Final = 5.0
#: What the list can be restricted to: the value of ``is_active`` for each choice.
_SHOW: Final[Mapping[str, tuple[str, bool | None]]] = {
    "": (N_("all campaigns"), None),
    "active": (N_("those that are not paused"), True),
    "paused": (N_("paused and cancelled ones"), False),
}
_DAYS: Final = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
#: What a screen says after something was done, by the code in its address.
_DONE: Final = {
    "resumed": N_("The campaign may call, within its hours."),
    "cancelled": N_("The campaign is cancelled. Calls that are going on go on to their end."),
    "hours": N_("The hours are in force for the next call."),
    "planned": N_("The campaign starts by itself at this time."),
    "made": N_(
        "This campaign was made of those who were not reached. It is paused: start it when it is ready."
    ),
}

CampaignId = Annotated[str, Path(max_length=200)]


@router.get("/campaigns", **needs_grant(WebAction.VIEW_PROGRESS))
async def show_campaigns(
    visit: Visiting,
    show: Annotated[str, Query(max_length=20)] = "",
    account: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """The campaigns, the newest first."""
    shown = show if show in _SHOW else ""
    found = await list_batches(
        caller=visit.caller,
        services=visit.services,
        account_id=account.strip() or None,
        is_active=_SHOW[shown][1],
        page=ListPage(limit=_LISTED, skip=0, after=after or None),
    )
    return await visit.page(
        "campaigns.html",
        campaigns=found["batches"],
        next=found["next"],
        choices=[(code, say(name)) for code, (name, _) in _SHOW.items()],
        show=shown,
        account=account,
        after=after,
    )


@router.get("/campaigns/{batch_id}", **needs_grant(WebAction.VIEW_PROGRESS))
async def show_campaign(
    visit: Visiting, batch_id: CampaignId, done: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    """One campaign."""
    return await _campaign(visit, batch_id, notice=say(_DONE[done]) if done in _DONE else None)


@router.get("/campaigns/{batch_id}/live", **needs_grant(WebAction.VIEW_PROGRESS))
async def stream_campaign(request: Request, visit: Visiting, batch_id: CampaignId) -> Response:
    """The campaign's progress, sent when it changes; the first at once, so that a browser comes back."""
    await read_progress(visit.caller, visit.services, batch_id)
    streams: EventStreams = request.app.state.streams
    return streams.open_stream(request, _live(visit, batch_id))


async def _live(visit: Visit, batch_id: str) -> AsyncIterator[bytes]:
    """The progress at each look, where it is another than the last."""
    sent = ""
    while True:
        progress, campaign = await read_progress(visit.caller, visit.services, batch_id)
        part = visit.part("campaign_live.html", progress=progress, campaign=campaign)
        yield b"" if part == sent else _event("progress", part)
        sent = part


def _event(name: str, data: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {name}\n{lines}\n".encode()


@router.post("/campaigns/{batch_id}/pause", **needs_grant("pause-batch"))
async def pause(visit: Visiting, form: Form, batch_id: CampaignId) -> Response:
    """Pause; the answer comes when no dial of the campaign is on its way: from then on none is placed."""
    name = await visit.services.resolve(visit.caller, "batch", batch_id)
    await visit.ask("pause-batch", {"batch": name, "reason": form.get("reason", "").strip() or None})
    return await _campaign(visit, batch_id, paused_at=datetime.now(UTC))


@router.post("/campaigns/{batch_id}/resume", **needs_grant("resume-batch"))
async def resume(visit: Visiting, form: Form, batch_id: CampaignId) -> Response:  # noqa: ARG001
    """Allow calls; the answer says what the agent would lack."""
    name = await visit.services.resolve(visit.caller, "batch", batch_id)
    started = await visit.ask("resume-batch", {"batch": name})
    is_now = (started.get("first_calls") or {}).get("now", True)
    notice = say(_DONE["resumed"]) if is_now else started["first_calls"]["text"]
    return await _campaign(visit, batch_id, notice=notice, warning=started.get("agent_warning"))


@router.get("/campaigns/{batch_id}/cancel", **needs_grant("cancel-batch"))
async def ask_to_cancel(visit: Visiting, batch_id: CampaignId) -> Response:
    """What will happen, and to how many."""
    progress, campaign = await read_progress(visit.caller, visit.services, batch_id)
    return await visit.page("campaign_cancel.html", progress=progress, campaign=campaign)


@router.post("/campaigns/{batch_id}/cancel", **needs_grant("cancel-batch"))
async def cancel(visit: Visiting, form: Form, batch_id: CampaignId) -> Response:
    """Cancel for good."""
    name = await visit.services.resolve(visit.caller, "batch", batch_id)
    await visit.ask("cancel-batch", {"batch": name, "reason": form.get("reason", "").strip() or None})
    return visit.redirect_to(f"/campaigns/{name}?done=cancelled")


@router.get("/campaigns/{batch_id}/again", **needs_grant("redial-batch"))
async def ask_to_call_again(visit: Visiting, batch_id: CampaignId) -> Response:
    """Who would be called again."""
    name = await visit.services.resolve(visit.caller, "batch", batch_id)
    would = await visit.ask("redial-batch", {"batch": name, "outcomes": _NOT_REACHED, "dry_run": True})
    progress, campaign = await read_progress(visit.caller, visit.services, batch_id)
    return await visit.page(
        "campaign_again.html",
        progress=progress,
        campaign=campaign,
        would=would,
        key=secrets.token_urlsafe(16),
    )


@router.post("/campaigns/{batch_id}/again", **needs_grant("redial-batch"))
async def call_again(visit: Visiting, form: Form, batch_id: CampaignId) -> Response:
    """A new campaign, paused, of those who were not reached; once, however often the form is sent."""
    name = await visit.services.resolve(visit.caller, "batch", batch_id)
    args = {"batch": name, "outcomes": _NOT_REACHED}
    if wanted := form.get("name", "").strip():
        args["name"] = wanted

    async def work() -> dict[str, Any]:
        return await visit.ask("redial-batch", args)

    key = form.get("key") or None
    made, _ = await visit.services.keys.once(visit.caller, key, ["redial-batch", args], work)
    return visit.redirect_to(f"/campaigns/{made['batch_id']}?done=made")


# -- the hours ---------------------------------------------------------------------------------------------


@router.get("/campaigns/{batch_id}/hours", **needs_grant("edit-batch"))
async def show_hours(visit: Visiting, batch_id: CampaignId) -> Response:
    """The form of the hours."""
    # Not a shared reading, which may be some seconds old: what is shown here is compared when the form comes.
    campaign = batch_document(await visit.services.get_batch(visit.caller, batch_id))
    stored = _hours_of(campaign)
    return await visit.page("campaign_hours.html", **_hours_form(campaign, stored, stored))


@router.post("/campaigns/{batch_id}/hours", **needs_grant("edit-batch"))
async def change_hours(visit: Visiting, form: Form, batch_id: CampaignId) -> Response:
    """Change the hours, unless somebody else has changed them since the form was shown."""
    batch = await visit.services.get_batch(visit.caller, batch_id)
    campaign = batch_document(batch)
    stored = _hours_of(campaign)
    typed = {name: form.get(name, "").strip() for name in ("start", "end", "timezone", "purpose")}
    typed["days"] = ",".join(str(day) for day in range(1, 8) if form.get(f"day_{day}"))
    shown = {name: form.get(f"shown_{name}", "") for name in stored}
    if shown != stored:
        return await visit.page(
            "campaign_hours.html",
            HTTPStatus.CONFLICT,
            **{**_hours_form(campaign, typed, stored), "changed": stored},
        )
    faults: dict[str, str] = {}
    if not typed["start"] or not typed["end"]:
        faults["start"] = say("Say from when to when people may be called, for example 09:00 to 19:00.")
    if not typed["days"]:
        faults["day_1"] = say("Choose at least one day.")
    if not faults:
        try:
            await visit.ask("edit-batch", {"batch": batch.batch_id, **_hours_options(typed, stored)})
        except Problem as problem:
            if problem.document.status not in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.CONFLICT}:
                raise
            faults["start"] = problem.detail
    if faults:
        return await visit.page(
            "campaign_hours.html",
            HTTPStatus.UNPROCESSABLE_ENTITY,
            **{**_hours_form(campaign, typed, stored), "faults": faults},
        )
    return visit.redirect_to(f"/campaigns/{batch.batch_id}?done=hours")


def _hours_options(typed: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, Any]:
    """The form as options of ``edit-batch``: what was emptied goes back to its default."""
    given = {name: typed[name] for name in ("timezone", "purpose") if typed[name]}
    unset = [name for name in ("timezone", "purpose") if stored[name] and not typed[name]]
    hours = {"hours": f"{typed['start']}-{typed['end']}", "days": typed["days"]}
    return {**hours, **given, **({"unset": unset} if unset else {})}


def _hours_of(campaign: Mapping[str, Any]) -> dict[str, str]:
    """The stored hours as texts; what was never set is empty."""
    settings = mapping(campaign["call_settings"])
    hours = mapping(settings.get("allowed_hours"))
    days = settings.get("days_of_week")
    return {
        "start": text(hours.get("start")) or "",
        "end": text(hours.get("end")) or "",
        "timezone": text(settings.get("timezone")) or "",
        "days": ",".join(map(str, days)) if isinstance(days, list) else "",
        "purpose": read_purpose(settings.get("purpose")) or "",
    }


def _hours_form(
    campaign: Mapping[str, Any], typed: Mapping[str, str], stored: Mapping[str, str]
) -> dict[str, Any]:
    chosen = set(typed["days"].split(",")) if typed["days"] else {str(day) for day in range(1, 8)}
    days = [(number, say(name), str(number) in chosen) for number, name in enumerate(_DAYS, 1)]
    return {"campaign": campaign, "typed": typed, "stored": stored, "days": days, "changed": None}


# -- one campaign ------------------------------------------------------------------------------------------


@router.get("/campaigns/{batch_id}/results", **needs_grant("report"))
async def show_results(visit: Visiting, batch_id: CampaignId) -> Response:
    """The results of the calls, which take a while where there are many."""
    batch = await visit.services.get_batch(visit.caller, batch_id)
    values: dict[str, Any] = {"report": await _report(visit, batch.batch_id), "with_outcomes": True}
    if visit.is_part:
        return HTMLResponse(visit.part("results.html", **values))
    return await visit.page(
        "results_page.html",
        **values,
        heading=say("Results"),
        back=f"/campaigns/{batch.batch_id}",
        back_name=batch.name or batch.batch_id,
    )


@router.get("/campaigns/{batch_id}/details", **needs_grant("batch"))
async def show_details(visit: Visiting, batch_id: CampaignId) -> Response:
    """The settings of a campaign, and who did what."""
    _, campaign = await read_progress(visit.caller, visit.services, batch_id)
    values: dict[str, Any] = {
        "campaign": campaign,
        "details": await _details(visit, campaign["batch_id"]),
        "hours": _hours_text(_hours_of(campaign)),
    }
    if visit.is_part:
        return HTMLResponse(visit.part("campaign_details.html", **values))
    return await visit.page("details_page.html", **values)


async def _campaign(
    visit: Visit,
    batch_id: str,
    *,
    notice: str | None = None,
    warning: str | None = None,
    paused_at: datetime | None = None,
) -> Response:
    progress, campaign = await read_progress(visit.caller, visit.services, batch_id)
    if paused_at is not None:
        # The shared reading may be some seconds old.
        progress = {**progress, "status": "PAUSED", "is_active": False}
    name = campaign["batch_id"]
    (details, details_are_late), (report, is_late) = await asyncio.gather(
        visit.soon(_details(visit, name)), visit.soon(_report(visit, name))
    )
    return await visit.page(
        "campaign.html",
        progress=progress,
        campaign=campaign,
        details=details,
        details_are_late=details_are_late,
        report=report,
        report_is_late=is_late,
        with_outcomes=True,
        hours=_hours_text(_hours_of(campaign)),
        starts_at=await start_of(visit, campaign),
        zone=await zone_of(visit, campaign),
        notice=notice,
        warning=warning,
        paused_at=paused_at,
    )


def _hours_text(hours: Mapping[str, str]) -> str:
    """The hours as one line; the daemon's default where the campaign has none of its own."""
    if not hours["start"]:
        return say("as the server's settings say")
    days = [say(_DAYS[int(day) - 1]) for day in hours["days"].split(",") if day in set("1234567")]
    named = say("every day") if len(days) in {0, len(_DAYS)} else None
    return say(
        "{start} to {end}, {days}{zone}",
        start=hours["start"],
        end=hours["end"],
        days=named if named is not None else joined(", ", days),
        zone=f" ({hours['timezone']})" if hours["timezone"] else "",
    )


async def _details(visit: Visit, batch_id: str) -> dict[str, Any] | None:
    """Settings, imports and who did what; None for a role that may not see them, or without the daemon."""
    if not visit.may("batch"):
        return None
    try:
        return await visit.share("batch", {"batch": batch_id}, _DETAILS_SECONDS)
    except Problem:
        return None


async def _report(visit: Visit, batch_id: str) -> dict[str, Any] | None:
    try:
        return await visit.share("report", {"batch": batch_id, "format": "json"}, _REPORT_SECONDS)
    except Problem:
        return None
