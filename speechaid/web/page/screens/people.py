"""People: those of a campaign, a search over all, and one person with why they are not called now.

Who looks at people is recorded by the daemon. What is searched for stands in the body of a request: addresses
are kept in logs on their way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response

from speechaid.errors import StoreUnavailable
from speechaid.protocol.specs.arguments import OUTCOMES
from speechaid.protocol.translation import N_, say
from speechaid.web.access import require_grant
from speechaid.web.page import words
from speechaid.web.page.screens.campaigns import CampaignId
from speechaid.web.page.visits import Form, Visit, Visiting, needs_grant
from speechaid.web.problems import Problem, not_found

router = APIRouter()

_LISTED: Final = 100
#: Each order about one person: the command, and what the screen says afterwards.
_ORDERS: Final[Mapping[str, tuple[str, str]]] = {
    "retry": ("resume-job", N_("This person may be called again.")),
    "suspend": (
        "suspend-job",
        N_("This person is set aside, and not called until somebody allows it again."),
    ),
    "cancel": ("cancel-job", N_("This person is not called any more in this campaign.")),
    "hang-up": ("hang-up", N_("The call is being ended.")),
    "opt-out": ("opt-out", N_("This person is never called again, on any number.")),
}

JobId = Annotated[str, Path(max_length=200)]


@router.get("/campaigns/{batch_id}/people", **needs_grant("jobs"))
async def show_people(
    visit: Visiting,
    batch_id: CampaignId,
    status: Annotated[str, Query(max_length=20)] = "",
    outcome: Annotated[str, Query(max_length=40)] = "",
    after: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """The people of a campaign, by state and by how their last call ended."""
    batch = await visit.services.get_batch(visit.caller, batch_id)
    status = status if status in words.PEOPLE_STATES else ""
    outcome = outcome if outcome in OUTCOMES else ""
    found = await visit.ask(
        "jobs",
        {
            "batch": batch.batch_id,
            "status": status or None,
            "outcome": outcome or None,
            "after": after or None,
            "limit": _LISTED,
        },
    )
    return await visit.page(
        "people.html",
        batch_id=batch.batch_id,
        name=batch.name or batch.batch_id,
        people=found["jobs"],
        next=found.get("next"),
        status=status,
        outcome=outcome,
        outcomes=OUTCOMES,
        after=after,
    )


@router.get("/people", **needs_grant("person"))
async def show_search(visit: Visiting) -> Response:
    """The search."""
    return await visit.page("search.html", typed="", found=None)


@router.post("/people", **needs_grant("person"))
async def search(visit: Visiting, form: Form) -> Response:
    """Whoever is meant, over all campaigns."""
    typed = form.get("person", "").strip()
    if not typed:
        faults = {"person": say("Type a name, a national id or a phone number.")}
        return await visit.page(
            "search.html", HTTPStatus.UNPROCESSABLE_ENTITY, typed="", found=None, faults=faults
        )
    try:
        found = await visit.ask("person", {"person": typed})
    except Problem as problem:
        if problem.document.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        return await visit.page(
            "search.html",
            HTTPStatus.UNPROCESSABLE_ENTITY,
            typed=typed,
            found=None,
            faults={"person": problem.detail},
        )
    return await visit.page("search.html", typed=typed, found=found)


@router.get("/people/{job_id}", **needs_grant("job"))
async def show_person(
    visit: Visiting, job_id: JobId, done: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    """One person: why not called now, every call of all campaigns, and what can be done."""
    return await _person(visit, job_id, say(_ORDERS[done][1]) if done in _ORDERS else None)


@router.post("/people/{job_id}/{order}", **needs_grant("job"))
async def carry_out(visit: Visiting, form: Form, job_id: JobId, order: str) -> Response:
    """An order about one person."""
    if order not in _ORDERS:
        raise not_found("job")
    command = _ORDERS[order][0]
    reason = form.get("reason", "").strip() or None
    if command == "opt-out":
        require_grant(visit.caller, command)
        who = (await visit.ask("job", {"job": job_id})).get("dni") or ""
        if not who:
            text = say("This person has no national id: put their number on the do-not-call list instead.")
            raise Problem(HTTPStatus.CONFLICT, text, code="refused")
        await visit.ask(command, {"person": who, "reason": reason})
    elif command in {"resume-job", "hang-up"}:
        await visit.ask(command, {"job": await _job_of(visit, job_id)})
    else:
        await visit.ask(command, {"job": await _job_of(visit, job_id), "reason": reason})
    return visit.redirect_to(f"/people/{job_id}?done={order}")


@router.get("/people/{job_id}/calls/{call_id}", **needs_grant("job"))
async def show_call(visit: Visiting, job_id: JobId, call_id: JobId) -> Response:
    """One call of a person."""
    job = await visit.ask("job", {"job": await _job_of(visit, job_id)})
    call = next((one for one in job["calls"] if one["call_id"] == call_id), None)
    if call is None:
        text = say("this page does not exist, or what it showed is gone")
        raise Problem(HTTPStatus.NOT_FOUND, text, code="not_found")
    return await visit.page("call.html", job=job, call=call, zone=await _zone_of(visit, job))


@router.get("/people/{job_id}/evidence", **needs_grant("evidence"))
async def show_evidence(visit: Visiting, job_id: JobId) -> Response:
    """Each call of a person with the rule under which it was placed, over all campaigns."""
    job = await visit.ask("job", {"job": await _job_of(visit, job_id)})
    who = job.get("dni")
    found = await visit.ask("evidence", {"person": who}) if who else {"calls": [], "more": False}
    return await visit.page("evidence.html", job=job, evidence=found, zone=await _zone_of(visit, job))


async def _person(visit: Visit, job_id: str, notice: str | None) -> Response:
    name = await _job_of(visit, job_id)
    job, why = await asyncio.gather(visit.ask("job", {"job": name}), visit.ask("explain", {"job": name}))
    person: dict[str, Any] | None = None
    if job.get("dni") and visit.may("person"):
        found = await visit.ask("person", {"person": job["dni"]})
        person = found if len(found["people"]) == 1 else None
    return await visit.page(
        "person.html",
        job=job,
        why=why,
        person=person,
        notice=notice,
        zone=await _zone_of(visit, job),
        campaign=await _campaign_name(visit, job),
    )


async def _job_of(visit: Visit, job_id: str) -> str:
    return await visit.services.resolve(visit.caller, "job", job_id)


async def _campaign_name(visit: Visit, job: Mapping[str, Any]) -> str | None:
    """The name of a job's campaign; None where it has none that can be read."""
    try:
        batch = await visit.services.get_batch(visit.caller, str(job.get("batch_id")))
    except (Problem, StoreUnavailable):
        return None
    return batch.name or batch.batch_id


async def _zone_of(visit: Visit, job: Mapping[str, Any]) -> str | None:
    """The zone of the campaign, by whose clock people are called."""
    try:
        batch = await visit.services.get_batch(visit.caller, str(job.get("batch_id")))
    except (Problem, StoreUnavailable):
        return None
    zone = (batch.document.get("call_settings") or {}).get("timezone")
    return zone if isinstance(zone, str) else None
