"""The do-not-call list: search, add, take off, import with a preview."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from starlette.datastructures import UploadFile

from speechaid.protocol.translation import say, say_n
from speechaid.web.page.campaign_form import fault_at
from speechaid.web.page.drafts import Draft, Drafts
from speechaid.web.page.visits import Form, Visit, Visiting, needs_grant
from speechaid.web.problems import Problem
from speechaid.web.routes.commands import name_of

router = APIRouter()

#: Lines of a file without a number that are shown.
_LISTED: Final = 50


@router.get("/do-not-call", **needs_grant("dnc"))
async def show_list(visit: Visiting) -> Response:
    """How long it is, and the forms."""
    return await _page(visit)


@router.post("/do-not-call/search", **needs_grant("dnc"))
async def search(visit: Visiting, form: Form) -> Response:
    """Whether a number or a person is on the list; by POST, since addresses are logged on their way."""
    typed = form.get("number", "").strip()
    if not typed:
        return await _page(visit, faults={"number": say("Type a phone number or a national id.")})
    try:
        found = await visit.ask("dnc", {"number": typed, "country": _country(form)})
    except Problem as problem:
        return await _page(visit, typed=form, faults=_faults(problem, "number"))
    return await _page(visit, typed=form, found=found)


@router.post("/do-not-call/add", **needs_grant("dnc-add"))
async def add(visit: Visiting, form: Form) -> Response:
    """Put a number on the list: from now on no host dials it."""
    typed, reason = form.get("added", "").strip(), form.get("reason", "").strip()
    faults = {}
    if not typed:
        faults["added"] = say("Type a phone number.")
    if not reason:
        faults["reason"] = say("Say why: it is the proof, if somebody asks.")
    if faults:
        return await _page(visit, typed=form, faults=faults)
    try:
        result = await visit.ask("dnc-add", {"number": typed, "country": _country(form), "reason": reason})
    except Problem as problem:
        return await _page(visit, typed=form, faults=_faults(problem, "added"))
    notice = (
        say("{number} was on the list already.", number=result["number"])
        if result["was_listed"]
        else say("{number} is on the list: it is not dialled any more.", number=result["number"])
    )
    if result["in_call"]:
        notice += say(" A call to it is going on, and goes on to its end.")
    return await _page(visit, notice=notice)


@router.post("/do-not-call/remove", **needs_grant("dnc-remove"))
async def remove(visit: Visiting, form: Form) -> Response:
    """Take a number, or a person with their numbers, off the list."""
    number = form.get("number", "").strip()
    if not form.get("sure"):
        faults = {"sure": say("Confirm that these calls are allowed again.")}
        found = await visit.ask("dnc", {"number": number, "country": _country(form)})
        return await _page(visit, typed=form, found=found, faults=faults)
    try:
        result = await visit.ask("dnc-remove", {"number": number, "country": _country(form)})
    except Problem as problem:
        return await _page(visit, typed=form, faults=_faults(problem, "number"))
    notice = (
        say("{number} is not on the list any more: it may be called.", number=result["number"])
        if result["was_listed"]
        else say("{number} was not on the list.", number=result["number"])
    )
    if result.get("kept"):
        notice += say_n(
            " {count} number stays, since it is listed for itself or for another person.",
            " {count} numbers stay, since they are listed for themselves or for another person.",
            len(result["kept"]),
        )
    return await _page(visit, notice=notice)


@router.post("/do-not-call/import", **needs_grant("dnc-import"))
async def preview(visit: Visiting, form: Form) -> Response:
    """What a file would add."""
    upload = (await visit.request.form()).get("file")
    if not isinstance(upload, UploadFile) or not upload.filename or not upload.size:
        return await _page(visit, typed=form, faults={"file": say("Choose the file with the numbers.")})
    draft = await _drafts(visit).keep(visit.caller, upload, name_of(upload))
    draft.country = _country(form)
    try:
        found = await _import(visit, draft, {"dry_run": True})
    except Problem as problem:
        return await _page(visit, typed=form, faults=_faults(problem, "file"))
    return await visit.page("do_not_call_import.html", draft=draft, found=found, listed=_LISTED)


@router.post("/do-not-call/import/{key}", **needs_grant("dnc-import"))
async def import_list(
    visit: Visiting,
    form: Form,  # noqa: ARG001 - the form's token was checked
    key: Annotated[str, Path(max_length=100)],
) -> Response:
    """Put the numbers of the file on the list; to send it again changes nothing more."""
    draft = _drafts(visit).find(visit.caller, key)
    if draft is None:
        return await _page(visit, faults={"file": say("The file is not kept any more: choose it again.")})
    result = await _import(visit, draft, {})
    notice = say_n(
        "{count} number is new on the list.", "{count} numbers are new on the list.", result["added"]
    )
    return await _page(visit, notice=notice)


async def _import(visit: Visit, draft: Draft, more: dict[str, Any]) -> dict[str, Any]:
    async with visit.services.daemon.place_for(draft) as content:
        args = {"filename": draft.name, "country": draft.country, **more}
        return await visit.ask("dnc-import", args, attachment=content)


async def _page(
    visit: Visit,
    *,
    typed: dict[str, str] | None = None,
    found: dict[str, Any] | None = None,
    notice: str | None = None,
    faults: dict[str, str] | None = None,
) -> Response:
    return await visit.page(
        "do_not_call.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        size=await visit.ask("dnc"),
        typed=typed or {},
        found=found,
        notice=notice,
        faults=faults or {},
    )


def _faults(problem: Problem, field: str) -> dict[str, str]:
    return fault_at(problem, (), field)


def _country(form: dict[str, str]) -> str | None:
    return form.get("country", "").strip().upper() or None


def _drafts(visit: Visit) -> Drafts:
    drafts: Drafts = visit.request.app.state.drafts
    return drafts
