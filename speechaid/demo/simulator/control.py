"""The endpoints under ``/_simulator``: set script, settings, faults and clock; read placed calls and counts.

They require no key, and accept requests from this machine only.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from speechaid.demo.simulator import placed_calls
from speechaid.demo.simulator.app import Simulator
from speechaid.demo.simulator.faults import Fault

_Handler = Callable[[Request], Awaitable[Response]]


class _Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    advance_seconds: float = Field(ge=0)


def routes(simulator: Simulator) -> list[Mount]:
    """All control endpoints, for the application to mount."""
    endpoints = _ControlEndpoints(simulator)
    table: list[tuple[str, str, Callable[[Request, Any], Any]]] = [
        ("GET", "/health", endpoints.health),
        ("GET", "/settings", endpoints.settings),
        ("POST", "/settings", endpoints.change_settings),
        ("POST", "/script", endpoints.add_script),
        ("DELETE", "/script", endpoints.clear_script),
        ("GET", "/faults", endpoints.faults),
        ("POST", "/faults", endpoints.add_fault),
        ("DELETE", "/faults", endpoints.clear_faults),
        ("DELETE", "/faults/{fault_id}", endpoints.remove_fault),
        ("POST", "/clock", endpoints.advance),
        ("GET", "/placed-calls", endpoints.placed_calls),
        ("GET", "/overlaps", endpoints.overlaps),
        ("GET", "/requests", endpoints.requests),
        ("DELETE", "/requests", endpoints.clear_requests),
    ]
    return [
        Mount(
            "/_simulator",
            routes=[Route(path, _guarded(operation), methods=[method]) for method, path, operation in table],
        )
    ]


def _guarded(operation: Callable[[Request, Any], Any]) -> _Handler:
    """Make a handler from a function of request and JSON body; requests from other machines get 403."""

    async def handle(request: Request) -> Response:
        if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
            return JSONResponse({"message": "only from this machine"}, status_code=403)
        try:
            body = json.loads(await request.body() or b"null")
            return JSONResponse(operation(request, body))
        except LookupError as exc:
            return JSONResponse({"message": str(exc)}, status_code=404)
        except ValidationError as exc:
            faults = [
                f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}"
                for fault in exc.errors(include_input=False, include_url=False)
            ]
            return JSONResponse({"message": "; ".join(faults)}, status_code=422)
        except (TypeError, ValueError) as exc:
            return JSONResponse({"message": f"not a JSON object: {exc}"}, status_code=422)

    return handle


class _ControlEndpoints:
    """The operation of each control endpoint."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._workspace = simulator.workspace

    def health(self, _request: Request, _body: Any) -> dict[str, Any]:
        now = self._simulator.clock()
        calls = len(self._workspace.all_calls())
        return {"status": "ok", "now": now, "calls": calls, "live": self._workspace.concurrency(now)}

    def settings(self, _request: Request, _body: Any) -> dict[str, Any]:
        return self._workspace.settings.document()

    def change_settings(self, _request: Request, body: dict[str, Any]) -> dict[str, Any]:
        self._workspace.settings = self._workspace.settings.changed({**body})
        return self._workspace.settings.document()

    def add_script(self, _request: Request, body: dict[str, Any]) -> dict[str, Any]:
        script = {**self._workspace.settings.script, **body}
        self._workspace.settings = self._workspace.settings.changed({"script": script})
        return {"numbers": len(script)}

    def clear_script(self, _request: Request, _body: Any) -> dict[str, Any]:
        self._workspace.settings = self._workspace.settings.changed({"script": {}})
        return {"numbers": 0}

    def faults(self, _request: Request, _body: Any) -> dict[str, Any]:
        return {"faults": self._simulator.faults.document()}

    def add_fault(self, _request: Request, body: Any) -> dict[str, Any]:
        return {"id": self._simulator.faults.add(Fault.model_validate(body))}

    def clear_faults(self, _request: Request, _body: Any) -> dict[str, Any]:
        self._simulator.faults.clear()
        return {"faults": []}

    def remove_fault(self, request: Request, _body: Any) -> dict[str, Any]:
        fault_id = request.path_params["fault_id"]
        if not self._simulator.faults.remove(fault_id):
            raise LookupError(f"no fault {fault_id}")
        return self.faults(request, _body)

    def advance(self, _request: Request, body: Any) -> dict[str, Any]:
        self._simulator.clock.advance(_Advance.model_validate(body).advance_seconds)
        return {"now": self._simulator.clock()}

    def placed_calls(self, _request: Request, _body: Any) -> dict[str, Any]:
        now = self._simulator.clock()
        return {"now": now, "calls": self._workspace.placed_calls(now)}

    def overlaps(self, _request: Request, _body: Any) -> dict[str, Any]:
        now = self._simulator.clock()
        return {"overlaps": placed_calls.overlaps(self._workspace.all_calls(), now)}

    def requests(self, _request: Request, _body: Any) -> dict[str, Any]:
        return self._simulator.request_log.document()

    def clear_requests(self, request: Request, body: Any) -> dict[str, Any]:
        self._simulator.request_log.clear()
        return self.requests(request, body)
