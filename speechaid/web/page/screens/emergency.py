"""The emergency stop: asked once, then no new call on any host, and the guarantee with its time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from speechaid.web.page.calling import calls_and_waiting
from speechaid.web.page.visits import Form, Visit, Visiting, needs_grant

router = APIRouter()


@router.get("/stop", **needs_grant("hold"))
async def ask_to_stop(visit: Visiting) -> Response:
    """What will happen, and to how many."""
    return await visit.page("stop.html", **await _numbers(visit))


@router.post("/stop", **needs_grant("hold"))
async def stop(visit: Visiting, form: Form) -> Response:
    """Stop all calls; the answer comes when no dial is on its way any more: from then on none is placed.

    It is no redirection, since the moment of the guarantee is known here alone. To send the form again
    changes nothing more.
    """
    await visit.ask("hold", {"reason": form.get("reason", "").strip() or None})
    guaranteed_at = datetime.now(UTC)
    status = await visit.ask("status")
    return await visit.page(
        "stopped.html", **_counts(status), hold=status.get("fleet_hold"), guaranteed_at=guaranteed_at
    )


@router.get("/release", **needs_grant("unhold"))
async def ask_to_release(visit: Visiting) -> Response:
    """What will happen, and to how many."""
    return await visit.page("release.html", **await _numbers(visit))


@router.post("/release", **needs_grant("unhold"))
async def release(visit: Visiting, form: Form) -> Response:  # noqa: ARG001 - the form's token was checked
    """Allow calls again."""
    await visit.ask("unhold")
    return visit.redirect_to("/start")


async def _numbers(visit: Visit) -> dict[str, Any]:
    return _counts(await visit.ask("status"))


def _counts(status: dict[str, Any]) -> dict[str, int]:
    calls, waiting = calls_and_waiting(status)
    return {"calls": calls, "waiting": waiting}
