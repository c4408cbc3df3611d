"""Batches in SpeechAI's names, and their progress, which is made to be polled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, File, Form, Path, Query, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import StreamingResponse

from speechaid.model.identity import Principal
from speechaid.protocol.text import encode_json
from speechaid.rules.roles import WebAction
from speechaid.web.access import Caller, require_grant, requirement
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
from speechaid.web.problems import Problem, invalid_part
from speechaid.web.routes.commands import CommandAnswer, carry_out, json_response
from speechaid.web.services import Served, Services

router = APIRouter(tags=["batches"])

#: Seconds between two readings of a stream of progress; one reading serves all.
_PROGRESS_SECONDS: Final = 3.0
#: Streams at once.
MAX_STREAMS: Final = 64
#: Seconds after which a stream without news has a comment, so that proxies keep it open.
_COMMENT_SECONDS: Final = 15.0
_PRIORITIES: Final = {1: "normal", 2: "high", 3: "urgent"}
_IMPORT: Final = next(route for route in ROUTES if (route.path, route.creates) == ("/imports", True))
_PREVIEW: Final = next(route for route in ROUTES if route.path == "/imports/preview")

BatchId = Annotated[str, Path(description="`batch_id` or `_id`", max_length=200)]
Limit = Annotated[int, Query(ge=1, le=1000, description="show at most this many")]
Skip = Annotated[int, Query(ge=0, le=10_000, description="leave out so many first; `after` is quicker")]
After = Annotated[str | None, Query(max_length=500, description="`next` of an earlier page")]


class NewBatch(BaseModel):
    """An empty batch."""

    model_config = ConfigDict(extra="forbid")

    account_id: str | None = Field(None, min_length=1, max_length=200)
    name: str = Field(min_length=1, max_length=200)
    description: str | None = Field(None, min_length=1, max_length=4096)
    priority: int = Field(1, ge=1, le=3, description="1 normal, 2 high, 3 urgent")
    country: str | None = Field(None, pattern="^[A-Za-z]{2}$")
    is_active: bool = Field(True, description="false: it is not called before it is resumed")
    call_settings: CallSettingsBody | None = None


class BatchChange(BaseModel):
    """What of a batch is changed; the rest stays."""

    model_config = ConfigDict(extra="forbid")

    is_active: bool | None = Field(None, description="false pauses, true resumes")
    name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, min_length=1, max_length=4096)
    priority: int | None = Field(None, ge=1, le=3)
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
    openapi_extra=requirement("create-batch"),
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
    require_grant(caller, "create-batch")
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
    openapi_extra=requirement(WebAction.VIEW_PROGRESS),
    summary="Batches, the last first",
)
async def list_batches(
    *,
    caller: Caller,
    services: Served,
    account_id: Annotated[str | None, Query(max_length=200)] = None,
    is_active: bool | None = None,
    limit: Limit = 50,
    skip: Skip = 0,
    after: After = None,
) -> dict[str, Any]:
    """In the order of their ids, which begin with their day."""
    require_grant(caller, WebAction.VIEW_PROGRESS)
    key = ("batches", account_id, is_active, limit, skip, after)
    found = await services.reader.share(
        key,
        caller.account_id,
        lambda store: store.batches.select(
            limit=limit + 1, skip=skip, before=after, account_id=account_id, is_active=is_active
        ),
    )
    shown = found[:limit]
    following = shown[-1].batch_id if len(found) > limit else None
    return {"batches": [batch_document(batch) for batch in shown], "limit": limit, "next": following}


@router.get(
    "/batches/{batch_id}",
    response_model=BatchDocument,
    openapi_extra=requirement(WebAction.VIEW_PROGRESS),
    summary="One batch",
)
async def get_batch(caller: Caller, services: Served, batch_id: BatchId) -> dict[str, Any]:
    """As it stands in the database."""
    require_grant(caller, WebAction.VIEW_PROGRESS)
    return batch_document(await services.get_batch(caller, batch_id))


@router.get(
    "/batches/{batch_id}/summary",
    response_model=BatchSummary,
    openapi_extra=requirement(WebAction.VIEW_PROGRESS),
    summary="A batch with its jobs counted",
)
async def get_summary(caller: Caller, services: Served, batch_id: BatchId) -> dict[str, Any]:
    """Counts of the last seconds."""
    progress, document = await read_progress(caller, services, batch_id)
    return {**document, **{name: progress[name] for name in ("status", "jobs", "daemon")}}


@router.get(
    "/batches/{batch_id}/status",
    response_model=BatchProgress,
    openapi_extra=requirement(WebAction.VIEW_PROGRESS),
    summary="How far a batch is",
)
async def get_status(caller: Caller, services: Served, batch_id: BatchId) -> dict[str, Any]:
    """Made to be polled: one reading of some seconds serves all clients."""
    return (await read_progress(caller, services, batch_id))[0]


@router.get(
    "/batches/{batch_id}/events",
    openapi_extra=requirement(WebAction.VIEW_PROGRESS),
    summary="The progress of a batch as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
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
    streams = request.app.state.streams
    if len(streams) >= MAX_STREAMS:
        text = f"{MAX_STREAMS} streams are open: ask for /status instead"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code="busy")
    return StreamingResponse(
        _events(streams, caller, services, batch_id),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _events(
    streams: set[object], caller: Principal, services: Services, name: str
) -> AsyncIterator[bytes]:
    mark = object()
    streams.add(mark)
    sent, silent = b"", 0.0
    try:
        while True:
            try:
                body = encode_json((await read_progress(caller, services, name))[0], default=str)
            except Exception as exc:  # noqa: BLE001 - the stream says why it ends
                yield b"event: problem\ndata: " + encode_json({"detail": str(exc)}) + b"\n\n"
                return
            if body != sent:
                yield b"event: progress\ndata: " + body + b"\n\n"
                sent, silent = body, 0.0
            elif silent >= _COMMENT_SECONDS:
                yield b": nothing new\n\n"
                silent = 0.0
            await asyncio.sleep(_PROGRESS_SECONDS)
            silent += _PROGRESS_SECONDS
    finally:
        streams.discard(mark)


async def read_progress(
    caller: Principal, services: Services, name: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The progress of a batch, and its document."""
    require_grant(caller, WebAction.VIEW_PROGRESS)
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
    openapi_extra=requirement("edit-batch"),
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
    openapi_extra=requirement("cancel-batch"),
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
    require_grant(caller, "cancel-batch")
    return json_response(
        {**await services.daemon.ask(caller, "cancel-batch", {"batch": batch_id}), "deleted": False}
    )


@router.get(
    "/batches/{batch_id}/jobs",
    response_model=CommandAnswer,
    openapi_extra=requirement("jobs"),
    summary="Jobs of a batch",
)
async def list_jobs_of_batch(
    *,
    caller: Caller,
    services: Served,
    batch_id: BatchId,
    status: Annotated[str | None, Query(max_length=20)] = None,
    limit: Limit = 50,
    skip: Annotated[int, Query(ge=0, le=1000)] = 0,
) -> Response:
    """One line each, numbers masked; who reads them is recorded."""
    require_grant(caller, "jobs")
    batch_id = await services.resolve(caller, "batch", batch_id)
    return await list_jobs(services, caller, {"batch": batch_id, "status": status}, limit, skip)


async def list_jobs(
    services: Services, caller: Principal, args: dict[str, Any], limit: int, skip: int
) -> Response:
    """The jobs of a filter; the daemon answers at most a thousand."""
    if limit + skip > 1000:
        raise invalid_part("query.skip", "limit and skip are 1000 together at most: GET /exports has pages")
    args = {name: value for name, value in args.items() if value is not None}
    found = await services.daemon.ask(caller, "jobs", {**args, "limit": limit + skip})
    return json_response({**found, "jobs": found["jobs"][skip:], "limit": limit, "skip": skip})


# -- SpeechAI's two steps of an import ---------------------------------------------------------------------


@router.post(
    "/batches/excel/preview",
    response_model=CommandAnswer,
    openapi_extra=requirement("import"),
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
    require_grant(caller, "import")
    args: dict[str, Any] = {"dry_run": True}
    if account_id is not None:
        args["account"] = account_id
    return await carry_out(services, caller, _PREVIEW, args, file=file)


@router.post(
    "/batches/excel/create",
    status_code=201,
    response_model=CommandAnswer,
    openapi_extra=requirement("import"),
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
    require_grant(caller, "import")
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
