"""A new campaign in steps: file, columns, check, settings; then what it costs, a test call, and the start.

The file is kept between the steps (``drafts``). The daemon reads it at each step in a child process, as the
API's routes have it do. The last step of the file makes the campaign, which waits: from there on everything
is in the database, and the file is not needed any more.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from pathlib import PurePath
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from starlette.datastructures import UploadFile
from starlette.responses import HTMLResponse

from speechaid.model.masking import mask_phone
from speechaid.protocol.client import Progress
from speechaid.protocol.sheets import SheetError, encode_bad_rows
from speechaid.protocol.translation import N_, say
from speechaid.web.page import campaign_form
from speechaid.web.page.account_choice import offered_accounts
from speechaid.web.page.campaign_form import fault_at
from speechaid.web.page.drafts import Draft, Drafts
from speechaid.web.page.retell_lists import read_list
from speechaid.web.page.visits import Form, Visit, Visiting, needs_grant
from speechaid.web.problems import Problem, not_found
from speechaid.web.routes.batches import read_progress
from speechaid.web.routes.commands import name_of

router = APIRouter()

#: Seconds that the form waits for the end of an import; then a screen shows how far it is.
_IMPORT_SECONDS: Final = 8.0
#: Seconds for which one forecast serves the screen and the part of it that comes later.
_READY_SECONDS: Final = 10.0
#: Bad rows that the screen lists; the file has all.
_LISTED_ROWS: Final = 50

Key = Annotated[str, Path(max_length=100)]
CampaignId = Annotated[str, Path(max_length=200)]


# -- the file ----------------------------------------------------------------------------------------------


@router.get("/campaigns/new", **needs_grant("import"))
async def show_new(visit: Visiting, key: Annotated[str, Query(max_length=100)] = "") -> Response:
    """Choose the file, and whose campaign it is."""
    return await _file_page(visit, _drafts(visit).find(visit.caller, key), {})


@router.post("/campaigns/new", **needs_grant("import"))
async def take_file(visit: Visiting, form: Form) -> Response:
    """Keep the file, and have it read."""
    upload = (await visit.request.form()).get("file")
    draft = _drafts(visit).find(visit.caller, form.get("key", ""))
    if isinstance(upload, UploadFile) and upload.filename:
        if not upload.size:
            return await _file_page(visit, draft, {"file": say("The file is empty.")}, form)
        draft = await _drafts(visit).keep(visit.caller, upload, name_of(upload))
    elif draft is None:
        return await _file_page(visit, None, {"file": say("Choose the file with the people to call.")}, form)
    draft.account = visit.caller.account_id or form.get("account", "").strip() or None
    draft.country = form.get("country", "").strip() or None
    draft.reading = {}
    faults: dict[str, str] = {}
    try:
        if draft.account is not None:
            draft.account = await visit.services.resolve(visit.caller, "account", draft.account)
        await _preview(visit, draft)
    except Problem as problem:
        faults = fault_at(problem, ("account", "country"), "file")
    if faults:
        return await _file_page(visit, draft, faults, form)
    return visit.redirect_to(f"/campaigns/new/{draft.key}/columns")


async def _file_page(
    visit: Visit, draft: Draft | None, faults: dict[str, str], typed: dict[str, str] | None = None
) -> Response:
    given = typed or {}
    return await visit.page(
        "new_file.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        draft=draft,
        accounts=await offered_accounts(visit),
        account=given.get("account", "" if draft is None else draft.account or ""),
        country=given.get("country", "" if draft is None else draft.country or ""),
        faults=faults,
    )


# -- what its columns are ----------------------------------------------------------------------------------


@router.get("/campaigns/new/{key}/columns", **needs_grant("import"))
async def show_columns(visit: Visiting, key: Key) -> Response:
    """What each column was taken for."""
    draft = _draft(visit, key)
    return await _columns_page(visit, draft, {})


@router.post("/campaigns/new/{key}/columns", **needs_grant("import"))
async def choose_columns(visit: Visiting, form: Form, key: Key) -> Response:
    """Correct what a column is, and which part of the file is read."""
    draft = _draft(visit, key)
    before = (dict(draft.mapping), dict(draft.reading))
    try:
        draft.mapping |= campaign_form.corrected_columns(form)
        draft.reading = campaign_form.reading_options(form)
        await _preview(visit, draft)
    except (Problem, ValueError) as exc:
        faults = (
            fault_at(exc, ("sheet", "header_row"), "")
            if isinstance(exc, Problem)
            else {"header_row": say("The line of the titles is a number from 1 to 40.")}
        )
        draft.mapping, draft.reading = before
        return await _columns_page(visit, draft, faults, form)
    step = "columns" if form.get("again") else "check"
    return visit.redirect_to(f"/campaigns/new/{draft.key}/{step}")


async def _columns_page(
    visit: Visit, draft: Draft, faults: dict[str, str], typed: dict[str, str] | None = None
) -> Response:
    try:
        found = await _preview(visit, draft)
    except Problem as problem:
        return await _file_page(visit, draft, fault_at(problem, (), "file"))
    columns = campaign_form.columns_shown(found["columns"], draft.mapping, typed or {})
    return await visit.page(
        "new_columns.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        draft=draft,
        found=found,
        columns=columns,
        roles=campaign_form.ROLES,
        faults=faults,
    )


# -- what would be imported --------------------------------------------------------------------------------


@router.get("/campaigns/new/{key}/check", **needs_grant("import"))
async def show_check(
    visit: Visiting, key: Key, row: Annotated[int | None, Query(ge=1, le=10_000_000)] = None
) -> Response:
    """Who is imported, who is not and why, and what the agent says to one of them."""
    draft = _draft(visit, key)
    try:
        found = await _preview(visit, draft)
    except Problem as problem:
        return await _file_page(visit, draft, fault_at(problem, (), "file"))
    said, faults = None, {}
    line = row or campaign_form.first_good_line(found)
    if line is not None:
        try:
            said = (await _preview(visit, draft, row=line))["preview"]
        except Problem as problem:
            faults = {"row": problem.detail}
    if said is not None and "phones" in said:
        said = {**said, "phones": [mask_phone(phone) for phone in said["phones"]]}
    return await visit.page(
        "new_check.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        draft=draft,
        found=found,
        left_out=campaign_form.left_out(found),
        has_duplicates=not campaign_form.DUPLICATES.isdisjoint(found["known"]["counts"]),
        listed=_LISTED_ROWS,
        said=said,
        row=line,
        faults=faults,
    )


@router.post("/campaigns/new/{key}/check", **needs_grant("import"))
async def choose_rows(visit: Visiting, form: Form, key: Key) -> Response:
    """Which doubtful rows are imported."""
    draft = _draft(visit, key)
    draft.accepted = {name.removeprefix("accept_") for name in form if name.startswith("accept_")}
    draft.refused = {name.removeprefix("refuse_") for name in form if name.startswith("refuse_")}
    draft.refused -= draft.accepted
    draft.keeps_duplicates = "keep_duplicates" in form
    return visit.redirect_to(f"/campaigns/new/{draft.key}/check")


@router.get("/campaigns/new/{key}/bad-rows", **needs_grant("import"))
async def download_bad_rows(visit: Visiting, key: Key) -> Response:
    """The bad rows in the form of the file, to be corrected there."""
    draft = _draft(visit, key)
    args = {**_args(draft), "dry_run": True, "return_bad_rows": True}
    result = await _ask_with_file(visit, draft, args)
    is_workbook = not result["returned_form"].get("codec")
    name = f"{PurePath(draft.name).stem}-bad-rows{'.xlsx' if is_workbook else '.csv'}"
    try:
        content = await asyncio.to_thread(
            encode_bad_rows, name, result["returned_rows"], result["returned_form"]
        )
    except SheetError as exc:
        raise Problem(HTTPStatus.CONFLICT, exc.args[0], code="refused") from exc
    return campaign_form.to_download(name, content)


# -- the settings, which make it ---------------------------------------------------------------------------


@router.get("/campaigns/new/{key}/settings", **needs_grant("import"))
async def show_settings(visit: Visiting, key: Key) -> Response:
    """Name, hours, agent, number, attempts."""
    draft = _draft(visit, key)
    if draft.settings is None:
        batch = None
        if draft.account is not None:
            account_id = draft.account
            batch = await visit.services.reader.read(
                visit.caller.account_id, lambda store: store.batches.newest_of_account(account_id)
            )
        draft.settings = campaign_form.first_settings(draft.name, batch)
    faults, draft.faults = draft.faults, {}
    return await _settings_page(visit, draft, faults)


@router.post("/campaigns/new/{key}/keep", **needs_grant("import"))
async def keep_settings(visit: Visiting, form: Form, key: Key) -> Response:
    """Keep what is typed while it is typed: it is there when the user comes back, whichever way."""
    draft = _draft(visit, key)
    if draft.batch_id is None and draft.work is None:
        draft.settings = campaign_form.settings_typed(form)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post("/campaigns/new/{key}/settings", **needs_grant("import"))
async def make(visit: Visiting, form: Form, key: Key) -> Response:
    """Make the campaign, which waits; once, however often the form is sent."""
    draft = _draft(visit, key)
    if draft.batch_id is not None:
        return visit.redirect_to(f"/campaigns/{draft.batch_id}/ready?key={draft.key}")
    draft.settings = campaign_form.settings_typed(form)
    options, faults = campaign_form.settings_options(draft.settings)
    if faults:
        return await _settings_page(visit, draft, faults)
    if draft.work is None:
        # Its own task: it goes on when the browser leaves, and whoever sends the form again gets its end.
        draft.work = asyncio.create_task(_import(visit, draft, options))
    await asyncio.wait({draft.work}, timeout=_IMPORT_SECONDS)
    return await _after_import(visit, draft)


@router.get("/campaigns/new/{key}/import", **needs_grant("import"))
async def show_import(visit: Visiting, key: Key) -> Response:
    """How far the import is; at its end, the next step."""
    return await _after_import(visit, _draft(visit, key))


async def _after_import(visit: Visit, draft: Draft) -> Response:
    work = draft.work
    faults: dict[str, str] = {}
    if work is not None and work.done():
        # Of several who wait for it, the first one takes its end.
        draft.work = None
        try:
            draft.batch_id = str(work.result()["batch_id"])
        except Problem as problem:
            faults = fault_at(problem, campaign_form.FIELDS, "")
    elif work is not None:
        values = {"draft": draft, "progress": dict(draft.progress)}
        if visit.is_part:
            return HTMLResponse(visit.part("new_import_state.html", **values))
        if visit.request.method == "POST":
            return visit.redirect_to(f"/campaigns/new/{draft.key}/import")
        return await visit.page("new_import.html", **values)
    path = (
        f"/campaigns/new/{draft.key}/settings"
        if draft.batch_id is None
        else f"/campaigns/{draft.batch_id}/ready?key={draft.key}"
    )
    if visit.is_part:
        # What was refused stands where the settings are.
        draft.faults = faults
        return Response(headers={"HX-Redirect": path})
    return await _settings_page(visit, draft, faults) if faults else visit.redirect_to(path)


async def _import(visit: Visit, draft: Draft, options: dict[str, Any]) -> dict[str, Any]:
    args = {**_args(draft), **options}

    async def work() -> dict[str, Any]:
        return await _ask_with_file(visit, draft, args, draft.note_progress)

    draft.progress = {}
    # Where the end of an import is not known, the key stays taken: no second campaign of this file is made.
    key = f"page-{draft.key.strip('-_')}-{draft.attempt}"
    request = ["import", draft.name, args]
    return (await visit.services.keys.once(visit.caller, key, request, work))[0]


async def _settings_page(visit: Visit, draft: Draft, faults: dict[str, str]) -> Response:
    agents, numbers = await asyncio.gather(read_list(visit, "agents"), read_list(visit, "numbers"))
    return await visit.page(
        "new_settings.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        draft=draft,
        typed=draft.settings,
        days=[(number, say(name)) for number, name in enumerate(campaign_form.DAYS, 1)],
        agents=agents.rows,
        numbers=numbers.rows,
        faults=faults,
    )


# -- ready: what it costs, a test call, the start ----------------------------------------------------------


@router.get("/campaigns/{batch_id}/ready", **needs_grant("forecast"))
async def show_ready(
    visit: Visiting, batch_id: CampaignId, key: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    """A campaign that waits for its start."""
    return await _ready_page(visit, batch_id, key, {})


@router.get("/campaigns/{batch_id}/ready/forecast", **needs_grant("forecast"))
async def show_forecast(visit: Visiting, batch_id: CampaignId) -> Response:
    """Who would be called, what it costs and how long it takes; a while, where there are many people."""
    _, campaign = await read_progress(visit.caller, visit.services, batch_id)
    values = {"campaign": campaign, "forecast": await _forecast(visit, campaign["batch_id"])}
    if visit.is_part:
        return HTMLResponse(visit.part("forecast.html", **values))
    return await visit.page("forecast_page.html", **values)


async def _ready_page(
    visit: Visit, batch_id: str, key: str, faults: dict[str, str], to: str = ""
) -> Response:
    progress, campaign = await read_progress(visit.caller, visit.services, batch_id)
    forecast, is_late = await visit.soon(_forecast(visit, campaign["batch_id"]), 2.0)
    agent, agent_is_late = await visit.soon(_agent(visit, campaign["batch_id"]), 1.0)
    draft = _drafts(visit).find(visit.caller, key)
    return await visit.page(
        "ready.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        progress=progress,
        campaign=campaign,
        forecast=forecast,
        forecast_is_late=is_late,
        agent=None if agent_is_late else agent,
        numbers=await _test_numbers(visit),
        draft=draft if draft is not None and draft.batch_id == campaign["batch_id"] else None,
        to=to,
        faults=faults,
    )


async def _forecast(visit: Visit, batch_id: str) -> dict[str, Any] | None:
    try:
        return await visit.share("forecast", {"batch": batch_id, "limit": 1}, _READY_SECONDS)
    except Problem:
        return None


async def _agent(visit: Visit, batch_id: str) -> dict[str, Any] | None:
    """Whether the people have what the agent's prompt names; None where that is not known."""
    try:
        return await visit.share("check-agent", {"batch": batch_id}, _READY_SECONDS)
    except Problem:
        return None


async def _test_numbers(visit: Visit) -> list[dict[str, Any]] | None:
    if not visit.may("test-call") or not visit.may("test-numbers"):
        return None
    try:
        found: list[dict[str, Any]] = (await visit.ask("test-numbers"))["numbers"]
    except Problem:
        return None
    return found


@router.post("/campaigns/{batch_id}/take-back", **needs_grant("undo-import"))
async def take_back(visit: Visiting, form: Form, batch_id: CampaignId) -> Response:
    """Take back a campaign of which nobody was called, to change what it was made of."""
    name = await visit.services.resolve(visit.caller, "batch", batch_id)
    await visit.ask("undo-import", {"import": name})
    draft = _drafts(visit).find(visit.caller, form.get("key", ""))
    if draft is None or draft.batch_id != name:
        return visit.redirect_to("/campaigns")
    draft.batch_id, draft.attempt, draft.preview = None, draft.attempt + 1, None
    return visit.redirect_to(f"/campaigns/new/{draft.key}/settings")


@router.post("/campaigns/{batch_id}/tests", **needs_grant("test-call"))
async def make_test_call(visit: Visiting, form: Form, batch_id: CampaignId) -> Response:
    """Call a registered number as the first person of the campaign would be called."""
    name = await visit.services.resolve(visit.caller, "batch", batch_id)
    to = form.get("to", "").strip()
    key = form.get("key", "")
    if not to:
        faults = {"to": say("Type the number of your telephone.")}
        return await _ready_page(visit, name, key, faults, to)
    try:
        made = await visit.ask("test-call", {"to": to, "batch": name})
    except Problem as problem:
        return await _ready_page(visit, name, key, fault_at(problem, (), "to"), to)
    return visit.redirect_to(f"/campaigns/{name}/tests/{made['test']}")


@router.get("/campaigns/{batch_id}/tests/{test_id}", **needs_grant("test-result"))
async def show_test_call(
    visit: Visiting, batch_id: CampaignId, test_id: Annotated[str, Path(max_length=100)]
) -> Response:
    """How far a test call is; then what was said."""
    batch = await visit.services.get_batch(visit.caller, batch_id)
    found = await visit.ask("test-result", {"test": test_id})
    if found["batch_id"] != batch.batch_id:
        raise not_found("job")
    values = {"test": found, "campaign": {"batch_id": batch.batch_id, "name": batch.name}}
    if visit.is_part:
        return HTMLResponse(visit.part("test_call_state.html", **values))
    return await visit.page("test_call.html", **values)


# -- what the steps share ----------------------------------------------------------------------------------


def _drafts(visit: Visit) -> Drafts:
    drafts: Drafts = visit.request.app.state.drafts
    return drafts


_GONE: Final = N_(
    "The file of this campaign is not kept any more: files are kept for two hours, until the page's service"
    " is restarted, and for whoever has chosen them. Choose it again: nothing was made of it."
)


def _draft(visit: Visit, key: str) -> Draft:
    draft = _drafts(visit).find(visit.caller, key)
    if draft is None:
        raise Problem(HTTPStatus.NOT_FOUND, say(_GONE), code="not_found")
    return draft


def _args(draft: Draft) -> dict[str, Any]:
    """How the file is read, as options of ``import``."""
    args: dict[str, Any] = {
        "account": draft.account,
        "country": draft.country,
        **draft.reading,
        "map": [f"{title}={role}" for title, role in draft.mapping.items()] or None,
        "accept": ",".join(sorted(draft.accepted)) or None,
        "refuse": ",".join(sorted(draft.refused)) or None,
        "duplicates": "keep" if draft.keeps_duplicates else "leave-out",
    }
    return {name: value for name, value in args.items() if value is not None}


async def _preview(visit: Visit, draft: Draft, row: int | None = None) -> dict[str, Any]:
    """What the import would do; read again where something else was chosen."""
    args = {**_args(draft), "dry_run": True} | ({} if row is None else {"row": row})
    chosen = json.dumps([args, visit.language], sort_keys=True)
    if draft.preview is None or draft.preview[0] != chosen:
        found = await _ask_with_file(visit, draft, args)
        if row is not None:
            return found
        draft.preview = (chosen, found)
    return draft.preview[1]


async def _ask_with_file(
    visit: Visit, draft: Draft, args: dict[str, Any], on_progress: Progress | None = None
) -> dict[str, Any]:
    async with visit.services.daemon.place_for(draft) as content:
        given = {**args, "filename": draft.name}
        return await visit.ask("import", given, attachment=content, on_progress=on_progress)
