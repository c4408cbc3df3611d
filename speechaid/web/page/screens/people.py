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
from speechaid.web.page import words
from speechaid.web.page.campaign_form import fault_at, read_amount
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
}
#: What a screen says after something that has a form of its own.
_DONE: Final[Mapping[str, str]] = {
    **{order: text for order, (_, text) in _ORDERS.items()},
    "opt-out": N_("This person is never called again, on any number."),
    "paid": N_("The payment is recorded. Nobody calls this person about it any more."),
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
    return await _person(visit, job_id, say(_DONE[done]) if done in _DONE else None)


@router.get("/people/{job_id}/opt-out", **needs_grant("opt-out"))
async def ask_to_opt_out(visit: Visiting, job_id: JobId) -> Response:
    """What will happen."""
    job = await visit.ask("job", {"job": await _job_of(visit, job_id)})
    return await visit.page("person_opt_out.html", job=job)


@router.post("/people/{job_id}/opt-out", **needs_grant("opt-out"))
async def opt_out(visit: Visiting, form: Form, job_id: JobId) -> Response:
    """Never call this person again."""
    job = await _job_of(visit, job_id)
    reason = form.get("reason", "").strip() or None
    await visit.ask("opt-out", {"person": f"job:{job}", "reason": reason})
    return visit.redirect_to(f"/people/{job}?done=opt-out")


@router.get("/people/{job_id}/paid", **needs_grant("paid"))
async def show_paid(visit: Visiting, job_id: JobId) -> Response:
    """The form of a payment."""
    return await _paid_page(visit, await _job_of(visit, job_id), {}, {})


@router.post("/people/{job_id}/paid", **needs_grant("paid"))
async def record_payment(visit: Visiting, form: Form, job_id: JobId) -> Response:
    """Record that this person has paid; an amount that is recorded already is replaced on request alone."""
    job = await _job_of(visit, job_id)
    typed, amount = form.get("amount", "").strip(), None
    if typed:
        amount = read_amount(typed)
        if amount is None:
            faults = {"amount": say("Type an amount above zero, for example 500.")}
            return await _paid_page(visit, job, form, faults)
    args = {
        "person": f"job:{job}",
        "amount": amount,
        "note": form.get("note", "").strip() or None,
        "correct": True if form.get("correct") and amount is not None else None,
    }
    try:
        done = await visit.ask("paid", args)
    except Problem as problem:
        return await _paid_page(visit, job, form, fault_at(problem, ("note",), "amount"))
    if done["different"]:
        faults = {"correct": say("Another amount is recorded already, and stays. Tick here to replace it.")}
        return await _paid_page(visit, job, form, faults)
    return visit.redirect_to(f"/people/{job}?done=paid")


async def _paid_page(visit: Visit, job_id: str, typed: Mapping[str, str], faults: dict[str, str]) -> Response:
    return await visit.page(
        "person_paid.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        job=await visit.ask("job", {"job": job_id}),
        typed=typed,
        faults=faults,
    )


@router.post("/people/{job_id}/{order}", **needs_grant("job"))
async def carry_out(visit: Visiting, form: Form, job_id: JobId, order: str) -> Response:
    """An order about one person."""
    if order not in _ORDERS:
        raise not_found("job")
    command = _ORDERS[order][0]
    reason = form.get("reason", "").strip() or None
    if command in {"resume-job", "hang-up"}:
        await visit.ask(command, {"job": await _job_of(visit, job_id)})
    else:
        await visit.ask(command, {"job": await _job_of(visit, job_id), "reason": reason})
    return visit.redirect_to(f"/people/{job_id}?done={order}")


@router.get("/people/{job_id}/calls/{call_id}", **needs_grant("job"))
async def show_call(visit: Visiting, job_id: JobId, call_id: JobId) -> Response:
    """One call of a person."""
    call = await _call_of(visit, job_id, call_id)
    return await visit.page("call.html", call=call, zone=await _zone_of(visit, call))


@router.get("/people/{job_id}/calls/{call_id}/recording", **needs_grant("recording"))
async def play_recording(visit: Visiting, job_id: JobId, call_id: JobId) -> Response:
    """To the recording: its address is asked of Retell now, and stands on no page."""
    await _call_of(visit, job_id, call_id)
    return visit.redirect_to((await visit.ask("recording", {"call": call_id}))["url"])


async def _call_of(visit: Visit, job_id: str, call_id: str) -> dict[str, Any]:
    """A call, of this person alone.

    Raises:
        Problem: the person has no such call.
    """
    job, call = await _job_of(visit, job_id), await visit.ask("call", {"call": call_id})
    if call["job_id"] != job:
        text = say("this page does not exist, or what it showed is gone")
        raise Problem(HTTPStatus.NOT_FOUND, text, code="not_found")
    return call


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
    if visit.may("person"):
        found = await visit.ask("person", {"person": f"job:{name}"})
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
