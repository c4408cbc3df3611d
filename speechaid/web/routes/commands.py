"""Routes made of ``command_table``: parameters and bodies come from the daemon's command table."""

from __future__ import annotations

import hashlib
import inspect
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, File, Form, Path, Query, Response, UploadFile
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StrictBool,
    StrictFloat,
    StrictInt,
    create_model,
)
from starlette.datastructures import UploadFile as AnyUpload

from speechaid.model.identity import Principal
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.specs.specification import Argument, CommandSpec, Kind
from speechaid.protocol.text import encode_json
from speechaid.web.access import Caller, route_grant
from speechaid.web.command_table import ROUTES, CommandRoute
from speechaid.web.idempotency import IdempotencyKey
from speechaid.web.services import Served, Services

#: Longest text of a parameter, as the daemon has it.
_TEXT: Final = 4096
_TYPES: Final[Mapping[Kind, type]] = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.FLAG: bool,
    Kind.DURATION: float,
}
#: In JSON, which has types: a text is no number, and a number no truth value.
_STRICT_TYPES: Final[Mapping[Kind, Any]] = {
    Kind.TEXT: str,
    Kind.INTEGER: StrictInt,
    Kind.NUMBER: StrictFloat,
    Kind.FLAG: StrictBool,
    Kind.DURATION: StrictFloat,
}
#: Names of parameters, as those of SpeechAI's API.
_IN_QUERY: Final[Mapping[str, str]] = {"batch": "batch_id", "account": "account_id"}
_KEY: Final = "idempotency_key"


class CommandAnswer(RootModel[dict[str, Any]]):
    """The daemon's answer to a command, as docs/control-protocol.md describes it."""


def add_routes(router: APIRouter) -> None:
    """Add every route of the table."""
    for route in ROUTES:
        for method in route.methods:
            router.add_api_route(
                route.path,
                _endpoint(route),
                methods=[method],
                summary=route.summary,
                description=COMMANDS[route.command].help,
                status_code=201 if route.creates else route.status,
                response_model=CommandAnswer,
                operation_id=f"{method.lower()}{route.path}".replace("/", "_")
                .replace("{", "")
                .replace("}", ""),
                **route_grant(route.command),
                tags=[route.path.split("/")[1]],
            )


def arguments_of(route: CommandRoute) -> tuple[Argument, ...]:
    """The arguments of the command that are parameters of the route."""
    taken = {name for name, _ in route.in_path.values()} | route.fixed.keys()
    # The account comes with the token where it is bound; the key with its header.
    return tuple(
        argument
        for argument in COMMANDS[route.command].wire_arguments
        if argument.name not in taken | {_KEY} and argument.kind is not Kind.FILE
    )


def _endpoint(route: CommandRoute) -> Any:
    """The function of a route, with the signature that the framework reads."""
    spec = COMMANDS[route.command]
    arguments = arguments_of(route)
    has_body = not route.takes_file and route.methods[0] not in {"GET", "DELETE"} and bool(arguments)

    async def endpoint(**given: Any) -> Response:
        caller: Principal = given["caller"]
        services: Services = given["services"]
        if has_body:
            body: BaseModel | None = given["body"]
            args = {} if body is None else body.model_dump(by_alias=True, exclude_none=True)
        else:
            names = {_identifier(shown_name(route, argument)): argument.name for argument in arguments}
            args = {name: given[key] for key, name in names.items() if given.get(key) is not None}
        args |= route.fixed
        for name, (argument, kind) in route.in_path.items():
            args[argument] = (
                given[name] if kind is None else await services.resolve(caller, kind, given[name])
            )
        file: UploadFile | None = given.get("file")
        return await carry_out(services, caller, route, args, file=file, key=given.get(_KEY))

    endpoint.__name__ = spec.name.replace("-", "_")
    endpoint.__signature__ = _signature(route, arguments, has_body=has_body)  # type: ignore[attr-defined]
    return endpoint


async def carry_out(
    services: Services,
    caller: Principal,
    route: CommandRoute,
    args: dict[str, Any],
    *,
    file: UploadFile | None = None,
    key: str | None = None,
) -> Response:
    """Have the daemon carry out the command; the response.

    A file is in memory only while the daemon takes it, and two are at a time.
    """
    names = {argument.name for argument in COMMANDS[route.command].wire_arguments}
    if route.creates and _KEY in names:  # the daemon keeps this one with what it creates
        result = await services.daemon.ask(
            caller, route.command, {**args, _KEY: key or secrets.token_hex(16)}
        )
        return json_response(result, 200 if result.get("repeated") else 201)
    async with services.daemon.place_for(file) as content:
        if file is not None:
            args[_file_argument(COMMANDS[route.command])] = name_of(file)

        async def work() -> dict[str, Any]:
            return await services.daemon.ask(caller, route.command, args, attachment=content)

        request = [route.command, args, None if content is None else hashlib.sha256(content).hexdigest()]
        result, repeated = await services.keys.once(caller, key, request, work)
    return json_response(
        result, 200 if repeated else 201 if route.creates else route.status, repeated=repeated
    )


def json_response(result: Mapping[str, Any], status: int = 200, *, repeated: bool = False) -> Response:
    """A result as the response."""
    headers = {"Idempotent-Replayed": "true"} if repeated else None
    return Response(encode_json(result), status, headers, "application/json")


def shown_name(route: CommandRoute, argument: Argument) -> str:
    """The name of an argument as a parameter of the route."""
    is_query = route.methods == ("GET",)
    return route.renamed.get(argument.name) or (
        _IN_QUERY.get(argument.name, argument.name) if is_query else argument.name
    )


def _signature(route: CommandRoute, arguments: tuple[Argument, ...], *, has_body: bool) -> inspect.Signature:
    parameters = [_parameter("caller", Caller), _parameter("services", Served)]
    for name, (_, kind) in route.in_path.items():
        text = f"the {kind}'s id" if kind else "the id"
        parameters.append(_parameter(name, Annotated[str, Path(description=text, max_length=_TEXT)]))
    if route.creates:
        parameters.append(_parameter(_KEY, IdempotencyKey, None))
    if has_body:
        model = _body_model(route, arguments)
        is_required = any(argument.required for argument in arguments)
        info = Body(openapi_examples={"example": {"value": dict(route.example)}} if route.example else None)
        if is_required:
            parameters.append(_parameter("body", Annotated[model, info]))
        else:
            parameters.append(_parameter("body", Annotated[model | None, info], None))
    else:
        parameters += [_single(route, argument) for argument in arguments]
    if route.takes_file:
        info = File(description="CSV or XLSX")
        parameters.append(_parameter("file", Annotated[UploadFile, info]))
    return inspect.Signature(parameters)


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _single(route: CommandRoute, argument: Argument) -> inspect.Parameter:
    """An argument as a parameter of the query, or as a field of the form."""
    kind: Any = Form if route.takes_file else Query
    name = shown_name(route, argument)
    more = (
        {} if name not in route.example else {"openapi_examples": {"example": {"value": route.example[name]}}}
    )
    info = kind(alias=name, description=argument.help, **_bounds(argument), **more)
    annotation = _type_of(argument)
    required = argument.required and argument.kind is not Kind.FLAG
    if required:
        return _parameter(_identifier(name), Annotated[annotation, info])
    return _parameter(_identifier(name), Annotated[annotation | None, info], None)


def _body_model(route: CommandRoute, arguments: tuple[Argument, ...]) -> Any:
    fields: dict[str, Any] = {}
    for argument in arguments:
        name = shown_name(route, argument)
        info: dict[str, Any] = {"alias": argument.name, "description": argument.help, **_bounds(argument)}
        annotation = _type_of(argument, _STRICT_TYPES)
        if argument.required:
            fields[_identifier(name)] = (annotation, Field(**info))
        else:
            fields[_identifier(name)] = (annotation | None, Field(None, **info))
    title = "".join(part.capitalize() for part in (route.command + route.path).replace("/", "-").split("-"))
    title = "".join(filter(str.isalnum, title)) + "Body"
    return create_model(title, __config__=ConfigDict(extra="forbid"), **fields)


def _type_of(argument: Argument, types: Mapping[Kind, Any] = _TYPES) -> Any:
    one: Any = Literal[argument.choices] if argument.choices else types[argument.kind]
    return list[one] if argument.repeatable else one


def _bounds(argument: Argument) -> dict[str, Any]:
    if argument.repeatable:
        return {"max_length": 200}
    if argument.kind is Kind.TEXT and not argument.choices:
        return {"min_length": 1, "max_length": _TEXT}
    bounds = {"ge": argument.minimum, "le": argument.maximum}
    return {name: value for name, value in bounds.items() if value is not None}


def _identifier(name: str) -> str:
    """A name that Python allows, whatever the argument's: ``from`` and ``import`` are words of Python."""
    return f"a_{name}"


def _file_argument(spec: CommandSpec) -> str:
    return next(argument.name for argument in spec.arguments if argument.kind is Kind.FILE)


def name_of(file: AnyUpload) -> str:
    """The last part of a file's name; it tells the daemon what the file is."""
    return (file.filename or "upload").replace("\\", "/").rpartition("/")[2][:200]
