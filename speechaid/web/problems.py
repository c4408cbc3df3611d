"""Errors of the API: ``application/problem+json`` (RFC 9457), for every status, from every place.

A problem's text never quotes what a client sent in a field of a person, and never a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from speechaid.errors import SpeechaidError, StoreUnavailable
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import encode_json
from speechaid.protocol.translation import N_, say
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.web")

MEDIA_TYPE: Final = "application/problem+json"
#: What the driver says is in the log.
DATABASE_AWAY: Final = "the database is away, or does not answer in time: try again later"
#: Seconds after which a client may try again.
RETRY_AFTER: Final = 2
#: Faults of a request that are listed.
_MAX_FAULTS: Final = 20
#: The status of each refusal by the daemon; a test compares the rows with ``ErrorCode``.
STATUS_OF: Final[Mapping[ErrorCode, HTTPStatus]] = {
    ErrorCode.BAD_JSON: HTTPStatus.BAD_REQUEST,
    ErrorCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    # The daemon is of another version than this process.
    ErrorCode.BAD_VERSION: HTTPStatus.BAD_GATEWAY,
    ErrorCode.UNKNOWN_COMMAND: HTTPStatus.BAD_GATEWAY,
    ErrorCode.BAD_ARGUMENT: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.AMBIGUOUS_ID: HTTPStatus.CONFLICT,
    ErrorCode.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.REFUSED: HTTPStatus.CONFLICT,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    ErrorCode.INTERNAL: HTTPStatus.BAD_GATEWAY,
}


class RequestFault(BaseModel):
    """What is wrong with one part of a request."""

    field: str = Field(description="where it is, as `body.name` or `query.limit`")
    message: str


class ProblemDocument(BaseModel):
    """An error, by RFC 9457."""

    type: str = "about:blank"
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="what happened, and what to do")
    code: str = Field(description="the same for programs, as in docs/control-protocol.md")
    errors: list[RequestFault] | None = Field(None, description="the faults of a request's parts")


class Problem(Exception):  # noqa: N818 - an answer
    """An answer that is an error."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        code: str,
        headers: Mapping[str, str] | None = None,
        errors: list[RequestFault] | None = None,
    ) -> None:
        super().__init__(detail)
        #: As the document has it, translatable where it is.
        self.detail = detail
        self.headers = dict(headers or {})
        if status is HTTPStatus.SERVICE_UNAVAILABLE or status is HTTPStatus.TOO_MANY_REQUESTS:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER))
        self.document = ProblemDocument(
            title=status.phrase, status=int(status), detail=detail, code=code, errors=errors
        )

    def to_response(self) -> Response:
        """The answer."""
        body = encode_json(self.document.model_dump(exclude_none=True))
        return Response(body, self.document.status, self.headers, MEDIA_TYPE)


def refusal_problem(code: str, message: str) -> Problem:
    """The answer for a refusal by the daemon."""
    status = STATUS_OF[ErrorCode(code)] if code in set(ErrorCode) else HTTPStatus.BAD_GATEWAY
    return Problem(status, message, code=code)


def not_found(what: str) -> Problem:
    """There is no such thing, or it is not this client's: the same text for both."""
    text = say(_NO_SUCH[what]) if what in _NO_SUCH else f"there is no such {what}"
    return Problem(HTTPStatus.NOT_FOUND, text, code=ErrorCode.NOT_FOUND)


def invalid_part(field: str, message: str) -> Problem:
    """One part of the request is wrong."""
    errors = [RequestFault(field=field, message=message)]
    detail = f"{field}: {message}"
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, code=ErrorCode.BAD_ARGUMENT, errors=errors)


def add_handlers(app: FastAPI) -> None:
    """Have every error answered as a problem."""

    @app.exception_handler(Problem)
    async def _problem(_request: Request, exc: Problem) -> Response:
        return exc.to_response()

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, exc: HTTPException) -> Response:
        status = HTTPStatus(exc.status_code)
        detail = (
            str(exc.detail) if exc.detail != status.phrase else _SENTENCES.get(status, status.description)
        )
        code = _CODES.get(status, ErrorCode.BAD_REQUEST)
        return Problem(status, detail or status.phrase, code=code, headers=exc.headers).to_response()

    @app.exception_handler(RequestValidationError)
    async def _validation(_request: Request, exc: RequestValidationError) -> Response:
        errors = [
            RequestFault(field=".".join(map(str, each["loc"])), message=str(each["msg"]))
            for each in exc.errors()[:_MAX_FAULTS]
        ]
        detail = f"{errors[0].field}: {errors[0].message}" if errors else "the request cannot be read"
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return Problem(status, detail, code=ErrorCode.BAD_ARGUMENT, errors=errors).to_response()

    @app.exception_handler(StoreUnavailable)
    async def _away(_request: Request, exc: StoreUnavailable) -> Response:
        log.warning("web.database_away", text=str(exc))
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return Problem(status, DATABASE_AWAY, code=ErrorCode.UNAVAILABLE).to_response()

    @app.exception_handler(SpeechaidError)
    async def _refused(_request: Request, exc: SpeechaidError) -> Response:
        log.error("web.fault", text=str(exc))
        return Problem(HTTPStatus.BAD_GATEWAY, str(exc), code=ErrorCode.INTERNAL).to_response()

    @app.exception_handler(Exception)
    async def _fault(_request: Request, exc: Exception) -> Response:
        text = f"a programming error ({type(exc).__name__}); the log of speechaid web has the details"
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, text, code=ErrorCode.INTERNAL).to_response()


_NO_SUCH: Final = {
    "batch": N_("there is no such batch"),
    "account": N_("there is no such account"),
    "job": N_("there is no such job"),
    "user": N_("there is no such user"),
    "token": N_("there is no such token"),
}
#: What the framework answers with the bare phrase.
_SENTENCES: Final = {
    HTTPStatus.NOT_FOUND: "there is no such path: GET /api/v1/openapi.json lists all",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path has no such method: Allow names those that it has",
}
_CODES: Final = {
    HTTPStatus.NOT_FOUND: ErrorCode.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ErrorCode.TOO_LARGE,
    HTTPStatus.REQUEST_TIMEOUT: ErrorCode.TIMEOUT,
}


def error_responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for the OpenAPI document."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {
        int(status): {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }
