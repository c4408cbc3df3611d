"""The application with nobody behind it: who may, what is malformed, too much or slow, and what is away."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import zmq

from speechaid.errors import StoreUnavailable
from speechaid.model.identity import Principal, PrincipalKind, Role
from speechaid.rules.roles import may
from speechaid.settings.groups import DatabaseSettings, WebSettings
from speechaid.web import daemon, limits
from speechaid.web.access import FindPrincipal
from speechaid.web.app import build
from speechaid.web.daemon import DaemonConnection
from speechaid.web.database import DatabaseReader
from speechaid.web.idempotency import IdempotencyKeys
from speechaid.web.places import Kind, current_kind
from speechaid.web.services import Services
from tests.support.api_contract import (
    OPERATIONS,
    STREAMS,
    UNKNOWN,
    WRONG_VALUES,
    changed_bodies,
    check_answer,
    example_of,
)

NOWHERE = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=5"
HOSTILE = ("\x00", "a" * 5000, "$where", "ñ", "-1", "[]", "%00", " ")


async def find(token: str, _address: str) -> Principal | None:
    """The token is the role's name; any other is not valid."""
    if token not in list(Role):
        return None
    return Principal(name=f"a-{token}", kind=PrincipalKind.TOKEN, role=Role(token))


@asynccontextmanager
async def application(
    tmp_path: Path, find_principal: FindPrincipal | None = None, **settings: int
) -> AsyncIterator[Any]:
    reader = DatabaseReader(DatabaseSettings.model_validate({"uri": NOWHERE}))
    connection = DaemonConnection(tmp_path / "none.sock")
    services = Services(reader=reader, daemon=connection, keys=IdempotencyKeys(reader))
    try:
        yield build(services, find_principal or find, WebSettings.model_validate(settings))
    finally:
        connection.close()
        reader.close()


def client_of(app: Any, role: str | None = "admin") -> httpx.AsyncClient:
    headers = {} if role is None else {"Authorization": f"Bearer {role}"}
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers, timeout=60)


def run(
    tmp_path: Path,
    work: Callable[[httpx.AsyncClient], Awaitable[None]],
    role: str | None = "admin",
    **settings: int,
) -> None:
    async def main() -> None:
        async with application(tmp_path, None, **settings) as app, client_of(app, role) as client:
            await work(client)

    asyncio.run(main())


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_what_its_row_says_and_nothing_else(tmp_path: Path, role: Role) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for method, path, operation in OPERATIONS:
            response = await client.request(**example_of(method, path, operation, UNKNOWN))
            check_answer(response, operation)
            allowed = may(role, operation["x-requires"])
            assert (response.status_code != 403) is allowed, f"{method} {path}: {response.text}"

    run(tmp_path, work, role)


def test_without_daemon_and_database_every_operation_says_what_is_away(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.get("/health")).json() == {
            "status": "degraded",
            "database": "away",
            "daemon": "away",
        }
        for method, path, operation in OPERATIONS:
            response = await client.request(**example_of(method, path, operation, UNKNOWN))
            assert response.status_code == 503, f"{method} {path}: {response.text}"
            assert "is away" in response.json()["detail"]
            assert str(tmp_path) not in response.text
            assert "Error" not in response.text
            assert response.headers["retry-after"]

    run(tmp_path, work)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_values_are_answered_as_the_document_says(tmp_path: Path, value: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for method, path, operation in OPERATIONS:
            if method != "GET" or path.endswith(STREAMS):
                continue
            names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
            ids = {name: quote(value, safe="") for name in UNKNOWN}
            for query in [{}, *({name: value} for name in names)]:
                check_answer(await client.get(path.format(**ids), params=query), operation)

    run(tmp_path, work)


@pytest.mark.slow
def test_a_body_with_a_wrong_value_in_any_field_is_answered_as_the_document_says(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        tried = 0
        for method, path, operation in OPERATIONS:
            for body in changed_bodies(operation, WRONG_VALUES):
                content = json.dumps(body)  # with the lone surrogate, which httpx would not write
                headers = {"Content-Type": "application/json"}
                response = await client.request(
                    method, path.format(**UNKNOWN), content=content, headers=headers
                )
                check_answer(response, operation)
                assert "one_too_many" not in body or response.status_code == 422, f"{method} {path}"
                tried += 1
        assert tried > 500

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("content", "media"),
    [
        (b"{", "application/json"),
        (b"[" * 50_000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"name": "a", "secret_field": 1}', "application/json"),
        (b'{"name": NaN}', "application/json"),
        (b"name=a", "application/x-www-form-urlencoded"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
    ],
    ids=range(8),
)
def test_a_body_that_cannot_be_read_is_a_problem(tmp_path: Path, content: bytes, media: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for path in ("/api/v1/batches", "/api/v1/imports", "/api/v1/nothing", "/api/batches/b/nothing"):
            response = await client.post(path, content=content, headers={"Content-Type": media})
            assert 400 <= response.status_code < 500, f"{path}: {response.text}"
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["status"] == response.status_code
            assert "secret_value" not in response.text

    run(tmp_path, work)


def test_without_a_valid_token_nothing_of_a_body_is_read(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        taken = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal taken
            for _ in range(100):
                taken += 1
                yield b"x" * 65_536

        for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer " + "x" * 500}):
            response = await client.post("/api/v1/imports", content=body(), headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
        assert taken <= 3
        assert (await client.get("/")).status_code == 200

    run(tmp_path, work, None)


def test_a_body_that_is_too_long_is_refused_whether_its_length_is_told_or_not(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b" " * 65_536

        headers = {"Content-Type": "application/json"}
        for content in (b" " * 2_000_000, body()):
            response = await client.post("/api/v1/batches", content=content, headers=headers)
            assert response.status_code == 413, response.text
            assert response.json()["code"] == "too_large"
        form = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(70 * 1024 * 1024)}
        assert (await client.post("/api/v1/imports", headers=form)).status_code == 413

    run(tmp_path, work)


@pytest.mark.parametrize("name", ["batch", "account", "one_too_many", "no name"])
def test_a_parameter_that_a_route_does_not_have_is_refused(tmp_path: Path, name: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for method, path, operation in OPERATIONS:
            if path.endswith(STREAMS) and method != "GET":
                continue
            request = example_of(method, path, operation, UNKNOWN)
            request["params"] = {**request["params"], name: "x"}
            response = await client.request(**request)
            check_answer(response, operation)
            assert response.status_code == 422, f"{method} {path}: {response.text}"
            own = f"{name}_id"
            if any(each["name"] == own for each in operation.get("parameters", ()) if each["in"] == "query"):
                assert response.json()["detail"].endswith(f"there is: {own}")

    run(tmp_path, work)


def test_a_field_that_a_form_does_not_have_is_refused(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for path in ("/imports", "/imports/preview", "/batches/b/upload", "/do-not-call/import"):
            files, data = {"file": ("a.csv", "x")}, {"batch_id": "b"}
            response = await client.post(f"/api/v1{path}", files=files, data=data)
            assert response.status_code == 422, response.text
            assert response.json()["errors"][0]["field"] == "body.batch_id"

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/batches", {"name": "a", "is_active": "no"}),
        ("/batches", {"name": "a", "is_active": 0}),
        ("/batches", {"name": "a", "priority": True}),
        ("/batches", {"name": "a", "priority": "1"}),
        ("/batches", {"name": "a", "call_settings": {"max_attempts": True}}),
        ("/batches", {"name": "a", "call_settings": {"dnc_detection": "yes"}}),
        ("/accounts", {"account_name": "a", "plan_type": "unlimited", "daily_call_limit": "5"}),
        ("/accounts/a/topup", {"minutes": "100"}),
        ("/batches/b/cancel", {"dry_run": "no"}),
    ],
)
def test_a_value_of_another_type_is_refused(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        response = await client.post(f"/api/v1{path}", json=body)
        assert response.status_code == 422, response.text
        assert response.json()["errors"][0]["field"].startswith("body.")

    run(tmp_path, work)


def test_an_empty_position_is_refused(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for path in ("/batches", "/accounts", "/jobs"):
            assert (await client.get(f"/api/v1{path}", params={"after": ""})).status_code == 422

    run(tmp_path, work)


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAUSE_SECONDS", 0.2)

    async def work(client: httpx.AsyncClient) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(30)
            yield b"}"

        response = await client.post(
            "/api/v1/batches", content=body(), headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 408, response.text

    run(tmp_path, work)


def test_of_one_token_so_many_requests_are_under_way_and_others_are_served(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            application(tmp_path, requests_per_client=2) as app,
            client_of(app) as busy,
            client_of(app, "viewer") as other,
        ):
            release = asyncio.Event()

            async def body() -> AsyncIterator[bytes]:
                await release.wait()
                yield b"{}"

            headers = {"Content-Type": "application/json"}
            waiting = [
                asyncio.create_task(busy.post("/api/v1/batches", content=body(), headers=headers))
                for _ in range(2)
            ]
            await asyncio.sleep(0.2)
            refused = await busy.get("/api/v1/batches")
            assert (refused.status_code, refused.json()["code"]) == (429, "busy")
            assert refused.headers["retry-after"]
            assert (await other.get("/api/v1/nothing")).status_code == 404
            release.set()
            assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {422}
            assert (await busy.get("/api/v1/nothing")).status_code == 404

    asyncio.run(main())


def test_where_all_places_of_an_address_are_taken_calls_can_be_stopped_and_health_is_told(
    tmp_path: Path,
) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        release = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            await release.wait()
            yield b"{}"

        headers = {"Content-Type": "application/json"}
        waiting = [
            asyncio.create_task(client.post("/api/v1/batches", content=body(), headers=headers))
            for _ in range(2)
        ]
        await asyncio.sleep(0.2)
        assert (await client.get("/api/v1/batches")).status_code == 429
        assert (await client.get("/health")).status_code == 200
        for path in ("/hold", "/pause-all", "/batches/b/pause", "/batches/b/cancel", "/jobs/j/hang-up"):
            for prefix in ("/api", "/api/v1"):
                answer = await client.put(prefix + path)
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
        assert (await client.put("/api/v1/unhold")).status_code == 429
        release.set()
        await asyncio.gather(*waiting)

    run(tmp_path, work, requests=4, requests_per_client=2)


def test_what_stops_calls_is_bounded_too(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        release = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            await release.wait()
            yield b"{}"

        headers = {"Content-Type": "application/json"}
        waiting = [
            asyncio.create_task(client.put("/api/v1/hold", content=body(), headers=headers)) for _ in range(8)
        ]
        await asyncio.sleep(0.2)
        assert (await client.put("/api/v1/hold")).status_code == 429
        release.set()
        await asyncio.gather(*waiting)

    run(tmp_path, work)


class Database:
    """The look at tokens, of a database that may be away or hang."""

    def __init__(self) -> None:
        self.is_away = False
        self.hangs = False
        self.is_revoked = False

    async def find(self, token: str, address: str) -> Principal | None:
        if self.hangs:
            await asyncio.sleep(60)
        if self.is_away:
            raise StoreUnavailable("the database is away (ServerSelectionTimeoutError)")
        return None if self.is_revoked else await find(token, address)


@pytest.mark.parametrize("fault", ["is_away", "hangs"])
def test_without_the_database_a_token_that_was_just_used_stops_calls_and_does_nothing_else(
    tmp_path: Path, fault: str
) -> None:
    async def main() -> None:
        database = Database()
        async with application(tmp_path, find_principal=database.find) as app, client_of(app) as client:
            await client.get("/api/v1/batches")
            setattr(database, fault, True)
            hold = await client.put("/api/v1/hold")
            assert "the daemon is away" in hold.json()["detail"]
            database.hangs, database.is_away = False, True
            listed = await client.get("/api/v1/batches")
            assert "the token cannot be checked" in listed.json()["detail"]
            assert "Error" not in listed.text
            async with client_of(app, "operator") as other:  # never seen before
                assert "the token cannot be checked" in (await other.put("/api/v1/hold")).json()["detail"]

    asyncio.run(main())


def test_a_token_that_was_found_revoked_stops_no_calls_when_the_database_goes_away(tmp_path: Path) -> None:
    async def main() -> None:
        database = Database()
        async with application(tmp_path, find_principal=database.find) as app, client_of(app) as client:
            await client.get("/api/v1/batches")
            database.is_revoked = True
            assert (await client.get("/api/v1/batches")).status_code == 401
            database.is_away = True
            assert "the token cannot be checked" in (await client.put("/api/v1/hold")).json()["detail"]

    asyncio.run(main())


def test_reads_for_what_stops_calls_do_not_wait_for_the_two_places_of_lists(tmp_path: Path) -> None:
    async def main() -> None:
        reader = DatabaseReader(DatabaseSettings.model_validate({"uri": NOWHERE}))
        release = threading.Event()
        lists = [asyncio.create_task(reader.on_identities(lambda _: release.wait(30))) for _ in range(2)]
        await asyncio.sleep(0.1)
        try:
            for kind in (Kind.URGENT, Kind.HEALTH):
                current_kind.set(kind)
                assert await asyncio.wait_for(reader.on_identities(lambda _: 1), 4) == 1
        finally:
            release.set()
            await asyncio.gather(*lists)
            reader.close()

    asyncio.run(main())


def test_a_daemon_that_hangs_is_given_up_and_then_known_as_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "_PATIENCE_SECONDS", 0.2)
    path = tmp_path / "none.sock"

    async def work(client: httpx.AsyncClient) -> None:
        first = await client.get("/api/v1/jobs")
        assert first.status_code == 504, first.text
        assert "may still be carried out" in first.json()["detail"]
        second = await client.get("/api/v1/jobs")
        assert (second.status_code, second.json()["code"]) == (503, "unavailable")
        for answer in (first, second):
            assert str(tmp_path) not in answer.text

    # It listens, and answers nobody.
    with zmq.Context() as context, context.socket(zmq.ROUTER) as silent:
        silent.bind(f"ipc://{path}")
        path.chmod(0o600)
        run(tmp_path, work)


def test_the_metrics_are_for_this_host_or_for_a_token_that_is_bound_to_no_account(tmp_path: Path) -> None:
    local = {"Host": "127.0.0.1:8000"}

    async def work(client: httpx.AsyncClient) -> None:
        await client.get("/api/v1/batches/secret-1", headers={"Authorization": "Bearer admin"})
        await client.request("BREW", "/api/v1/batches/secret-2", headers={"Authorization": "Bearer admin"})
        page = await client.get("/metrics", headers=local)
        assert page.status_code == 200
        lines = page.text.splitlines()
        counted = 'speechaid_web_requests_total{method="GET",route="/batches/{batch_id}",status="5xx"} 1.0'
        assert counted in lines
        assert 'speechaid_web_event_streams{stream="events"} 0.0' in lines
        assert "speechaid_web_requests_under_way 1.0" in lines
        assert "BREW" not in page.text
        assert "secret" not in page.text
        for more in ({"X-Forwarded-For": "198.51.100.7"}, {"Host": "attacker.example"}):
            assert (await client.get("/metrics", headers=local | more)).status_code == 401
        by_proxy = {"X-Forwarded-For": "198.51.100.7", "Authorization": "Bearer viewer"}
        assert (await client.get("/metrics", headers=by_proxy)).status_code == 200

    run(tmp_path, work, None)


def test_the_metrics_of_all_accounts_are_not_for_a_token_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = Principal(name="b", kind=PrincipalKind.TOKEN, role=Role.ADMIN, account_id="acc_123")

    async def find_bound(_token: str, _address: str) -> Principal:
        return bound

    monkeypatch.setitem(globals(), "find", find_bound)

    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.get("/metrics")).status_code == 403

    run(tmp_path, work)


def test_a_client_of_another_host_needs_a_token_for_the_metrics(tmp_path: Path) -> None:
    async def main() -> None:
        async with application(tmp_path) as app:
            transport = httpx.ASGITransport(app=app, client=("198.51.100.7", 4000))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as stranger:
                assert (await stranger.get("/metrics")).status_code == 401

    asyncio.run(main())


def test_every_answer_forbids_caching_and_guessing(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for path in ("/", "/api/v1/batches", "/nothing"):
            headers = (await client.get(path)).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"

    run(tmp_path, work)
