"""The endpoints under ``/_simulator``: script, settings, faults and clock in; ledger and figures out.

They ask for no key, and answer on this machine only.
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

from speechaid.demo.simulator import ledger
from speechaid.demo.simulator.app import Simulator
from speechaid.demo.simulator.faults import Fault

_Handler = Callable[[Request], Awaitable[Response]]


class _Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    advance_seconds: float = Field(ge=0)


def routes(simulator: Simulator) -> list[Mount]:
    """All of them, for the application to mount."""
    panel = _Panel(simulator)
    table: list[tuple[str, str, Callable[[Request, Any], Any]]] = [
        ("GET", "/health", panel.health),
        ("GET", "/settings", panel.settings),
        ("POST", "/settings", panel.change_settings),
        ("POST", "/script", panel.add_script),
        ("DELETE", "/script", panel.clear_script),
        ("GET", "/faults", panel.faults),
        ("POST", "/faults", panel.add_fault),
        ("DELETE", "/faults", panel.clear_faults),
        ("DELETE", "/faults/{fault_id}", panel.remove_fault),
        ("POST", "/clock", panel.advance),
        ("GET", "/ledger", panel.ledger),
        ("GET", "/overlaps", panel.overlaps),
        ("GET", "/requests", panel.requests),
        ("DELETE", "/requests", panel.clear_requests),
    ]
    return [
        Mount(
            "/_simulator",
            routes=[Route(path, _guarded(act), methods=[method]) for method, path, act in table],
        )
    ]


def _guarded(act: Callable[[Request, Any], Any]) -> _Handler:
    """Turn a plain function of request and JSON body into a handler for callers on this machine."""

    async def handle(request: Request) -> Response:
        if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
            return JSONResponse({"message": "only from this machine"}, status_code=403)
        try:
            body = json.loads(await request.body() or b"null")
            return JSONResponse(act(request, body))
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


class _Panel:
    """What each control endpoint does."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._exchange = simulator.exchange

    def health(self, _request: Request, _body: Any) -> dict[str, Any]:
        now = self._simulator.clock()
        calls = len(self._exchange.all_calls())
        return {"status": "ok", "now": now, "calls": calls, "live": self._exchange.concurrency(now)}

    def settings(self, _request: Request, _body: Any) -> dict[str, Any]:
        return self._exchange.settings.shown()

    def change_settings(self, _request: Request, body: dict[str, Any]) -> dict[str, Any]:
        self._exchange.settings = self._exchange.settings.changed({**body})
        return self._exchange.settings.shown()

    def add_script(self, _request: Request, body: dict[str, Any]) -> dict[str, Any]:
        script = {**self._exchange.settings.script, **body}
        self._exchange.settings = self._exchange.settings.changed({"script": script})
        return {"numbers": len(script)}

    def clear_script(self, _request: Request, _body: Any) -> dict[str, Any]:
        self._exchange.settings = self._exchange.settings.changed({"script": {}})
        return {"numbers": 0}

    def faults(self, _request: Request, _body: Any) -> dict[str, Any]:
        return {"faults": self._simulator.faults.shown()}

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

    def ledger(self, _request: Request, _body: Any) -> dict[str, Any]:
        now = self._simulator.clock()
        return {"now": now, "calls": self._exchange.records(now)}

    def overlaps(self, _request: Request, _body: Any) -> dict[str, Any]:
        now = self._simulator.clock()
        return {"overlaps": ledger.overlaps(self._exchange.all_calls(), now)}

    def requests(self, _request: Request, _body: Any) -> dict[str, Any]:
        return self._simulator.tally.shown()

    def clear_requests(self, request: Request, body: Any) -> dict[str, Any]:
        self._simulator.tally.clear()
        return self.requests(request, body)
