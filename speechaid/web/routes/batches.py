"""Batches in SpeechAI's names, and their progress, which is made to be polled."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, File, Form, Path, Query, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError
from starlette.responses import StreamingResponse

from speechaid.model.identity import Principal
from speechaid.protocol.text import encode_json
from speechaid.rules.roles import WebAction
from speechaid.web.access import Caller, require_grant, route_grant
from speechaid.web.call_settings import CallSettingsBody
from speechaid.web.command_table import ROUTES
from speechaid.web.documents import (
    BatchDocument,
    BatchPage,
    BatchProgress,
    BatchSummary,
    batch_document,
    batch_progress,
)
from speechaid.web.idempotency import IdempotencyKey
from speechaid.web.pages import ListPage, Paged
from speechaid.web.problems import Problem, invalid_part
from speechaid.web.routes.commands import CommandAnswer, carry_out, json_response
from speechaid.web.services import Served, Services
from speechaid.web.streams import RESPONSES, EventStreams

router = APIRouter(tags=["batches"])

#: Seconds between two readings of a stream of progress; one reading serves all.
PROGRESS_SECONDS: Final = 3.0
#: Streams of progress at once.
MAX_PROGRESS_STREAMS: Final = 64
#: The ids that batches have here and in SpeechAI.
_ID: Final = re.compile(r"batch-[0-9]{8}-[A-Za-z0-9-]+")
_PRIORITIES: Final = {1: "normal", 2: "high", 3: "urgent"}
_IMPORT: Final = next(route for route in ROUTES if (route.path, route.creates) == ("/imports", True))
_PREVIEW: Final = next(route for route in ROUTES if route.path == "/imports/preview")

BatchId = Annotated[str, Path(description="`batch_id` or `_id`", max_length=200)]


class NewBatch(BaseModel):
    """An empty batch."""

    model_config = ConfigDict(extra="forbid")

    account_id: str | None = Field(None, min_length=1, max_length=200)
    name: str = Field(min_length=1, max_length=200)
    description: str | None = Field(None, min_length=1, max_length=4096)
    priority: StrictInt = Field(1, ge=1, le=3, description="1 normal, 2 high, 3 urgent")
    country: str | None = Field(None, pattern="^[A-Za-z]{2}$")
    is_active: StrictBool = Field(True, description="false: it is not called before it is resumed")
    call_settings: CallSettingsBody | None = None


class BatchChange(BaseModel):
    """What of a batch is changed; the rest stays."""

    model_config = ConfigDict(extra="forbid")

    is_active: StrictBool | None = Field(None, description="false pauses, true resumes")
    name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, min_length=1, max_length=4096)
    priority: StrictInt | None = Field(None, ge=1, le=3)
    call_settings: CallSettingsBody | None = None


class CreatedBatch(BatchDocument):
    """The batch that was made."""

    warning: str | None = None


_EXAMPLE: Final = {
    "account_id": "acc_123",
    "name": "Cobranza Octubre",
    "description": "Batch mensual de cobranza",
}


@router.post(
    "/batches",
    status_code=201,
    response_model=CreatedBatch,
    **route_grant("create-batch"),
    summary="Create an empty batch",
)
async def create_batch(
    *,
    caller: Caller,
    services: Served,
    body: Annotated[NewBatch, Body(openapi_examples={"example": {"value": _EXAMPLE}})],
    key: IdempotencyKey = None,
) -> Response:
    """``POST /batches/{batch_id}/upload`` fills it."""
    args: dict[str, Any] = {"name": body.name, "priority": _PRIORITIES[body.priority]}
    texts = {"description": body.description, "account": body.account_id, "country": body.country}
    args |= {name: value for name, value in texts.items() if value is not None}
    if body.call_settings is not None:
        args |= body.call_settings.to_options()[0]
    if not body.is_active:
        args["paused"] = True

    async def work() -> dict[str, Any]:
        return await services.daemon.ask(caller, "create-batch", args)

    result, repeated = await services.keys.once(caller, key, ["create-batch", args], work)
    batch = await services.get_batch(caller, str(result["batch_id"]))
    shown = CreatedBatch.model_validate({**batch_document(batch), "warning": result.get("warning")})
    body_json = shown.model_dump(mode="json", by_alias=True)
    return json_response(body_json, 200 if repeated else 201, repeated=repeated)


@router.get(
    "/batches",
    response_model=BatchPage,
    **route_grant(WebAction.VIEW_PROGRESS),
    summary="Batches, the last first",
)
async def list_batches(
    *,
    caller: Caller,
    services: Served,
    account_id: Annotated[str | None, Query(max_length=200)] = None,
    is_active: bool | None = None,
    page: Paged,
) -> dict[str, Any]:
    """In the order of their ids, which begin with their day."""
    if page.after is not None and _ID.fullmatch(page.after) is None:
        # Every text would be some place in the order of ids, and the page one that was not asked for.
        after = page.after
        if await services.reader.read(caller.account_id, lambda s: s.batches.find_by_any_id(after)) is None:
            raise invalid_part("query.after", "give `next` of an earlier page")
    key = ("batches", account_id, is_active, page)
    found = await services.reader.share(
        key,
        caller.account_id,
        lambda store: store.batches.select(
            limit=page.read_limit,
            skip=page.skip,
            before=page.after,
            account_id=account_id,
            is_active=is_active,
        ),
    )
    return page.to_document("batches", found, batch_document, lambda batch: batch.batch_id)


@router.get(
    "/batches/{batch_id}",
    response_model=BatchDocument,
    **route_grant(WebAction.VIEW_PROGRESS),
    summary="One batch",
)
async def get_batch(caller: Caller, services: Served, batch_id: BatchId) -> dict[str, Any]:
    """As it stands in the database."""
    return batch_document(await services.get_batch(caller, batch_id))


@router.get(
    "/batches/{batch_id}/summary",
    response_model=BatchSummary,
    **route_grant(WebAction.VIEW_PROGRESS),
    summary="A batch with its jobs counted",
)
async def get_summary(caller: Caller, services: Served, batch_id: BatchId) -> dict[str, Any]:
    """Counts of the last seconds."""
    progress, document = await read_progress(caller, services, batch_id)
    return {**document, **{name: progress[name] for name in ("status", "jobs", "daemon")}}


@router.get(
    "/batches/{batch_id}/status",
    response_model=BatchProgress,
    **route_grant(WebAction.VIEW_PROGRESS),
    summary="How far a batch is",
)
async def get_status(caller: Caller, services: Served, batch_id: BatchId) -> dict[str, Any]:
    """Made to be polled: one reading of some seconds serves all clients."""
    return (await read_progress(caller, services, batch_id))[0]


@router.get(
    "/batches/{batch_id}/events",
    **route_grant(WebAction.VIEW_PROGRESS),
    summary="The progress of a batch as server-sent events",
    response_class=StreamingResponse,
    responses=RESPONSES,
)
async def stream_progress(
    *,
    request: Request,
    caller: Caller,
    services: Served,
    batch_id: BatchId,
) -> Response:
    """An event `progress`, as of `/status`, at each change; the first at once, so that a client resumes."""
    await read_progress(caller, services, batch_id)
    streams: EventStreams = request.app.state.progress_streams
    return streams.open_stream(request, _events(caller, services, batch_id))


async def _events(caller: Principal, services: Services, name: str) -> AsyncIterator[bytes]:
    """The progress at each look, where it is another than the last."""
    sent = b""
    while True:
        body = encode_json((await read_progress(caller, services, name))[0], default=str)
        yield b"" if body == sent else b"event: progress\ndata: " + body + b"\n\n"
        sent = body


async def read_progress(
    caller: Principal, services: Services, name: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The progress of a batch, and its document."""
    batch = await services.reader.share(
        ("batch", name), caller.account_id, lambda store: store.batches.find_by_any_id(name)
    )
    if batch is None:
        batch = await services.get_batch(caller, name)
    counted = await services.reader.count_jobs(batch.batch_id)
    daemon = await services.daemon_state()
    return batch_progress(batch, counted, daemon), batch_document(batch)


_CHANGE: Final = {"description": "Segunda vuelta", "call_settings": {"max_attempts": 2}}


@router.patch(
    "/batches/{batch_id}",
    response_model=BatchDocument,
    **route_grant("edit-batch"),
    summary="Change a batch, pause or resume it",
)
async def change_batch(
    *,
    caller: Caller,
    services: Served,
    batch_id: BatchId,
    body: Annotated[BatchChange, Body(openapi_examples={"example": {"value": _CHANGE}})],
) -> dict[str, Any]:
    """A pause comes before the other changes, a resume after them."""
    given = body.model_dump(exclude_unset=True, include={"name", "description", "priority"})
    args: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    unset = [name for name, value in given.items() if value is None and name != "name"]
    if given.get("name", "") is None:
        raise invalid_part("body.name", "every batch has a name")
    if "priority" in args:
        args["priority"] = _PRIORITIES[args["priority"]]
    if body.call_settings is not None:
        options, more = body.call_settings.to_options()
        args, unset = args | options, unset + more
    if unset:
        args["unset"] = unset
    commands = [
        *(["pause-batch"] if body.is_active is False else []),
        *(["edit-batch"] if args else []),
        *(["resume-batch"] if body.is_active else []),
    ]
    if not commands:
        raise invalid_part("body", "nothing is changed")
    for command in commands:  # before the first one is carried out
        require_grant(caller, command)
    batch_id = await services.resolve(caller, "batch", batch_id)
    for command in commands:
        more_args = args if command == "edit-batch" else {}
        await services.daemon.ask(caller, command, {"batch": batch_id, **more_args})
    return batch_document(await services.get_batch(caller, batch_id))


@router.delete(
    "/batches/{batch_id}",
    response_model=CommandAnswer,
    **route_grant("cancel-batch"),
    summary="Delete a batch, or cancel it",
)
async def delete_batch(
    *,
    caller: Caller,
    services: Served,
    batch_id: BatchId,
    delete_jobs: Annotated[
        bool, Query(description="with its contacts, where nobody was called; else it is cancelled")
    ] = False,
) -> Response:
    """Deleted is only a batch of which nobody was called: records of calls stay."""
    batch_id = await services.resolve(caller, "batch", batch_id)
    if delete_jobs:
        require_grant(caller, "delete-batch")
        try:
            result = await services.daemon.ask(caller, "delete-batch", {"batch": batch_id})
        except Problem as problem:
            if problem.document.status != HTTPStatus.CONFLICT:
                raise
        else:
            return json_response({**result, "deleted": True})
    return json_response(
        {**await services.daemon.ask(caller, "cancel-batch", {"batch": batch_id}), "deleted": False}
    )


@router.get(
    "/batches/{batch_id}/jobs",
    response_model=CommandAnswer,
    **route_grant("jobs"),
    summary="Jobs of a batch",
)
async def list_jobs_of_batch(
    *,
    caller: Caller,
    services: Served,
    batch_id: BatchId,
    status: Annotated[str | None, Query(max_length=20)] = None,
    page: Paged,
) -> Response:
    """One line each, numbers masked; who reads them is recorded."""
    batch_id = await services.resolve(caller, "batch", batch_id)
    return await list_jobs(services, caller, {"batch": batch_id, "status": status}, page)


async def list_jobs(services: Services, caller: Principal, args: dict[str, Any], page: ListPage) -> Response:
    """The jobs of a filter; the daemon answers at most a thousand at once."""
    if page.limit + page.skip > 1000:
        raise invalid_part("query.skip", "limit and skip are 1000 together at most: take `after`")
    args = {name: value for name, value in {**args, "after": page.after}.items() if value is not None}
    found = await services.daemon.ask(caller, "jobs", {**args, "limit": page.limit + page.skip})
    return json_response({**found, "jobs": found["jobs"][page.skip :], "limit": page.limit})


# -- SpeechAI's two steps of an import ---------------------------------------------------------------------


@router.post(
    "/batches/excel/preview",
    response_model=CommandAnswer,
    **route_grant("import"),
    summary="What an import would do",
)
async def preview_excel(
    *,
    caller: Caller,
    services: Served,
    file: Annotated[UploadFile, File(description="CSV or XLSX")],
    account_id: Annotated[str | None, Form(max_length=200)] = None,
) -> Response:
    """Valid and invalid rows, duplicates, columns; nothing is stored."""
    args: dict[str, Any] = {"dry_run": True}
    if account_id is not None:
        args["account"] = account_id
    return await carry_out(services, caller, _PREVIEW, args, file=file)


@router.post(
    "/batches/excel/create",
    status_code=201,
    response_model=CommandAnswer,
    **route_grant("import"),
    summary="Import a file",
)
async def create_from_excel(
    *,
    caller: Caller,
    services: Served,
    file: Annotated[UploadFile, File(description="CSV or XLSX")],
    batch_name: Annotated[str, Form(min_length=1, max_length=200)],
    account_id: Annotated[str | None, Form(max_length=200)] = None,
    batch_description: Annotated[str | None, Form(max_length=4096)] = None,
    allow_duplicates: Annotated[bool, Form()] = False,
    processing_type: Annotated[  # noqa: ARG001 - clients of SpeechAI send it
        str | None, Form(max_length=40, description="not used: columns decide")
    ] = None,
    dias_fecha_limite: Annotated[int | None, Form(description="refused: dates come from the file")] = None,
    dias_fecha_maxima: Annotated[int | None, Form(description="refused: dates come from the file")] = None,
    call_settings_json: Annotated[str | None, Form(max_length=10_000)] = None,
    start: Annotated[bool, Form(description="call these people as soon as the hours allow")] = False,
    key: IdempotencyKey = None,
) -> Response:
    """A new batch of the file's contacts; it waits for ``/resume`` unless ``start`` is given."""
    for name, value in (("dias_fecha_limite", dias_fecha_limite), ("dias_fecha_maxima", dias_fecha_maxima)):
        if value is not None:
            raise invalid_part(
                f"body.{name}", "a date that an agent names must stand in the file: add a column"
            )
    args: dict[str, Any] = {
        "name": batch_name,
        "duplicates": "keep" if allow_duplicates else "leave-out",
        "start": start,
    }
    if account_id is not None:
        args["account"] = account_id
    if batch_description:
        args["description"] = batch_description
    if call_settings_json:
        args |= _settings_from(call_settings_json)
    return await carry_out(services, caller, _IMPORT, args, file=file, key=key)


def _settings_from(text: str) -> dict[str, Any]:
    try:
        return CallSettingsBody.model_validate_json(text).to_options()[0]
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        place = ".".join(["body.call_settings_json", *map(str, first["loc"])])
        raise invalid_part(place, first["msg"]) from exc
