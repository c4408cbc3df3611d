"""``speechaid web`` beside a daemon with real calls: the API's promises, kept by whole processes."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import ObjectId

from speechaid.embedded.database import published_uri
from speechaid.model.identity import Role
from speechaid.settings import get_web_settings
from speechaid.store.connection import Store, connect
from tests.support.api_contract import (
    NAMES,
    OPERATIONS,
    STREAMS,
    UNKNOWN,
    changed_bodies,
    check_answer,
    example_of,
    properties_of,
)
from tests.support.terminal import Terminal, open_terminal, variables
from tests.support.web import WebProcess, make_token, running_web

pytestmark = pytest.mark.slow

#: Workers of the terminal's daemon.
WORKERS = 3
#: Texts that some program in between might take for something else.
HOSTILE_TEXTS = ("\x00", "a" * 4096, '{"$gt": ""}', "$where", "ñ\u202e", "../../etc/passwd", "\r\nX-A: b")


class Site:
    """A daemon, the API, and a token for each role."""

    def __init__(self, terminal: Terminal, web: WebProcess, store: Store) -> None:
        self.terminal = terminal
        self.web = web
        self.store = store
        self.tokens = {role: make_token(store, f"role-{role}", role) for role in Role}

    def client(self, role: Role = Role.ADMIN) -> httpx.Client:
        return self.web.client(self.tokens[role])


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with open_terminal(SPEECHAID_DEFAULT_ALLOWED_HOURS="00:00-24:00") as terminal:
        environment = web_variables(terminal)
        database = get_web_settings({**environment, "HOME": "/nonexistent"}, None).database
        store = connect(database, uri=published_uri(terminal.place / "database"))
        terminal.type("create-account", "acc_123", "--plan", "unlimited")
        terminal.type("create-account", "acc_other", "--plan", "unlimited")
        with running_web(terminal.place, environment) as web:
            yield Site(terminal, web, store)
        store.close()


def web_variables(terminal: Terminal) -> dict[str, str]:
    given = variables(terminal.place, terminal.simulator)
    own = {name: value for name, value in given.items() if not name.startswith("RETELL")}
    return {**own, "SPEECHAID_SOCKET": str(terminal.daemon.socket)}


def placed_of(site: Site, batch_id: str) -> int:
    calls = site.terminal.simulator.placed_calls()
    return sum(call["metadata"].get("batch_id") == batch_id for call in calls)


def has_calls(site: Site, batch_id: str, count: int = 1) -> bool:
    return placed_of(site, batch_id) >= count


def place_calls_of_others(site: Site) -> None:
    """Return when people of a new batch were called: what may be called was called meanwhile."""
    batch = site.terminal.import_contacts(WORKERS + 1, f"others-{time.monotonic_ns()}")
    site.terminal.until(partial(has_calls, site, batch, WORKERS + 1))


# -- the seed's three commands -----------------------------------------------------------------------------


def curl(site: Site, *words: str) -> str:
    """The command as the issue prints it, with another address and a token."""
    command = [
        "curl",
        "-sS",
        "-X",
        "POST",
        *words,
        "-H",
        f"Authorization: Bearer {site.tokens[Role.MANAGER]}",
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def test_the_three_commands_do_what_they_say(site: Site) -> None:
    base = f"{site.web.address}/api/batches"
    made = httpx.Response(
        200,
        text=curl(
            site,
            base,
            *("-H", "Content-Type: application/json", "-d"),
            '{"account_id": "acc_123", "name": "Cobranza Octubre", '
            '"description": "Batch mensual de cobranza"}',
        ),
    ).json()
    batch = site.store.batches.get(made["batch_id"])
    assert (batch.account_id, batch.name) == ("acc_123", "Cobranza Octubre")
    assert batch.document["created_by"] == "role-manager (token)"
    curl(site, f"{base}/{made['batch_id']}/pause")
    assert not site.store.batches.get(made["batch_id"]).is_active
    curl(site, f"{base}/{made['batch_id']}/resume")
    assert site.store.batches.get(made["batch_id"]).is_active


def test_after_a_pause_that_has_answered_no_call_is_placed(site: Site) -> None:
    with site.client() as client:
        for number in range(3):
            batch = site.terminal.import_contacts(40, f"paused-{number}")
            site.terminal.until(partial(has_calls, site, batch))
            answered = client.post(f"/api/v1/batches/{batch}/pause", json={"reason": "stop"})
            assert answered.status_code == 200, answered.text
            placed = placed_of(site, batch)
            place_calls_of_others(site)
            assert placed_of(site, batch) == placed
            assert client.get(f"/api/v1/batches/{batch}").json()["status"] == "PAUSED"


# -- the contract ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ids(site: Site) -> dict[str, str]:
    """Things of ``acc_123`` that are there."""
    made = site.terminal.ask("create-batch", "contract", "--account", "acc_123", "--paused")
    batch = made["batch_id"]

    site.store.jobs.table.insert(
        {
            "job_id": "job-of-acc-123",
            "account_id": "acc_123",
            "batch_id": batch,
            "status": "suspended",
            "suspend_reason": "operator",
            "contact": {"name": "Ana", "dni": "12345678-5", "phones": ["+12125550199"]},
        }
    )

    site.store.results.record(
        {
            "call_id": "call-of-acc-123",
            "job_id": "job-of-acc-123",
            "account_id": "acc_123",
            "created_at": site.store.now(),
            "call_data": {"transcript": "Agent: Hola"},
        }
    )
    known = {"batch_id": batch, "job_id": "job-of-acc-123", "call_id": "call-of-acc-123"}
    return UNKNOWN | {"account_id": "acc_123", **known}


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_each_example_is_answered_as_the_document_says(
    site: Site, ids: dict[str, str], method: str, path: str, operation: dict[str, Any]
) -> None:
    if path.endswith(STREAMS):
        return
    with site.client() as client:
        response = client.request(**example_of(method, path, operation, ids))
        check_answer(response, operation)
        if path.startswith(("/api/v1/batches", "/api/v1/accounts", "/api/v1/jobs")):
            assert response.status_code in {200, 201, 409}, response.text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_not_export_reads_no_whole_number(site: Site, ids: dict[str, str], role: Role) -> None:
    number, job = "+12125550177", "65a0c0ffee65a0c0ffee0177"
    contact = {"name": "Rosa", "dni": "11111111-1", "phones": [number]}
    own = {"job_id": job, "account_id": "acc_123", "batch_id": ids["batch_id"]}
    call = {"call_id": f"call_{role}", "contact": {"name": "Rosa", "phone_used": number}, "to_number": number}
    site.store.jobs.table.delete({"job_id": job})
    site.store.jobs.table.insert(
        {
            **own,
            "status": "failed",
            "contact": contact,
            "dead_phones": [number],
            "fecha_pago_cliente": "2026-03-15",
            "last_error": f"{number} is no number",
        }
    )
    site.store.results.record({**own, **call, "dial_key": f"{job}-{role}", "created_at": site.store.now()})
    site.store.logs.write("call.settled", job_id=job, batch=ids["batch_id"], phone=number, error=number)
    known = {**ids, "job_id": job}
    answered = 0
    with site.client(role) as client:
        for method, path, operation in OPERATIONS:
            request = example_of(method, path, operation, known)
            if path.endswith(STREAMS) or method not in {"GET", "POST"}:
                continue
            if method == "POST":
                if not path.endswith(("/search", "/evidence", "/check")):
                    continue
                request["json"] = {"number" if path.endswith("/check") else "person": number}
            response = client.request(**request)
            answered += response.status_code == 200
            assert number[-8:] not in response.text, f"{method} {path}: {response.text}"
    assert answered > 5


def test_what_is_another_accounts_is_answered_as_what_is_not_there(site: Site, ids: dict[str, str]) -> None:
    bound = make_token(site.store, "bound", Role.ADMIN, "acc_other")
    with site.web.client(bound) as client:
        for method, path, operation in OPERATIONS:
            if not any("{" + name + "}" in path for name in ("batch_id", "account_id", "job_id", "call_id")):
                continue
            foreign = client.request(**example_of(method, path, operation, ids))
            unknown = client.request(**example_of(method, path, operation, UNKNOWN))
            check_answer(foreign, operation)
            assert foreign.status_code == unknown.status_code, f"{method} {path}: {foreign.text}"
            assert foreign.status_code in {403, 404}, f"{method} {path}: {foreign.text}"
            text = foreign.text
            for name in ("batch_id", "account_id", "job_id", "call_id"):
                text = text.replace(ids[name], UNKNOWN[name])
            assert text == unknown.text
        for path in ("/api/v1/batches", "/api/v1/accounts", "/api/v1/jobs", "/api/v1/dashboard/overview"):
            assert "acc_123" not in client.get(path).text
        assert client.get("/api/v1/jobs", params={"account_id": "acc_123"}).status_code == 404
        assert client.get("/api/v1/batches", params={"account_id": "acc_123"}).json()["batches"] == []
        made = client.post("/api/v1/batches", json={"name": "mine", "account_id": "acc_123"})
        assert made.status_code == 404, made.text
    site.store.identities.revoke_token("bound", by="test")


def test_no_list_and_no_sum_of_a_bound_token_has_anything_of_another_account(
    site: Site, ids: dict[str, str]
) -> None:
    bound = make_token(site.store, "bound-lists", Role.ADMIN, "acc_other")
    with site.web.client(bound) as client:
        for method, path, operation in OPERATIONS:
            if "{" in path or path.endswith(STREAMS):
                continue
            request = example_of(method, path, operation, ids)
            response = client.request(**request)
            check_answer(response, operation)
            for each in ("acc_123", ids["batch_id"], ids["job_id"], "2125550199"):
                assert each in str(request) or each not in response.text, f"{method} {path}: {response.text}"
    site.store.identities.revoke_token("bound-lists", by="test")


#: Parameters and fields that name something of an account, and what they are called in ``UNKNOWN``.
NAMING = {"batch": "batch_id", "batch_id": "batch_id", "copy_from": "batch_id"} | {
    "account": "account_id",
    "account_id": "account_id",
    "job": "job_id",
}


def naming(method: str, path: str, operation: dict[str, Any], name: str, value: str) -> dict[str, Any] | None:
    """The example with one parameter or field more; None where the operation has none of this name."""
    request = example_of(method, path, operation, UNKNOWN)
    if any(each["name"] == name and each["in"] == "query" for each in operation.get("parameters", ())):
        return {**request, "params": {**request["params"], name: value}}
    content = operation.get("requestBody", {}).get("content", {})
    for media, key in (("application/json", "json"), ("multipart/form-data", "data")):
        if media in content and name in properties_of(content[media]["schema"]):
            return {**request, key: {**request.get(key, {}), name: value}}
    return None


def test_what_is_another_accounts_is_not_known_in_a_parameter_or_a_field(
    site: Site, ids: dict[str, str]
) -> None:
    bound = make_token(site.store, "bound-fields", Role.ADMIN, "acc_other")
    asked = 0
    with site.web.client(bound) as client:
        for method, path, operation in OPERATIONS:
            if path.endswith(STREAMS):
                continue
            for name, kind in NAMING.items():
                foreign = naming(method, path, operation, name, ids[kind])
                unknown = naming(method, path, operation, name, UNKNOWN[kind])
                if foreign is None or unknown is None:
                    continue
                asked += 1
                answer, other = client.request(**foreign), client.request(**unknown)
                check_answer(answer, operation)
                assert answer.status_code == other.status_code, f"{method} {path} {name}: {answer.text}"
                if answer.status_code >= 400:
                    assert answer.text.replace(ids[kind], UNKNOWN[kind]) == other.text
                else:
                    assert ids[kind] not in answer.text, f"{method} {path} {name}"
    assert asked > 20
    site.store.identities.revoke_token("bound-fields", by="test")


def test_hostile_texts_reach_the_daemon_and_are_answered_as_the_document_says(
    site: Site, ids: dict[str, str]
) -> None:
    sent = 0
    with site.client() as client:
        for method, path, operation in OPERATIONS:
            if path.endswith(STREAMS):
                continue
            example = example_of(method, path, operation, ids)
            queries = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
            text = HOSTILE_TEXTS[sent % len(HOSTILE_TEXTS)]
            requests = [{**example, "params": {**example["params"], name: text}} for name in queries]
            # Without its dry run a command would do something to everybody.
            requests += [
                {**example, "json": body}
                for body in changed_bodies(operation, (text,))
                if not isinstance(body.get("dry_run"), str)
            ]
            for request in requests:
                check_answer(client.request(**request), operation)
                sent += 1
        assert sent > 200
        for path in ("/api/v1/unhold", "/api/v1/resume-all"):
            client.post(path)


# -- tokens ------------------------------------------------------------------------------------------------


def test_without_a_valid_token_nothing_is_answered_and_no_token_is_ever_logged(site: Site) -> None:
    token = make_token(site.store, "short-lived", Role.ADMIN)
    with site.web.client(token) as client:
        assert client.get("/api/v1/batches").status_code == 200
        site.store.identities.revoke_token("short-lived", by="test")
        answer = client.get("/api/v1/batches")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer " + "x" * 500}):
        assert httpx.get(f"{site.web.address}/api/v1/batches", headers=headers).status_code == 401
    assert httpx.get(f"{site.web.address}/health").json()["status"] == "ok"
    assert not any(secret in site.web.text() for secret in (token, *site.tokens.values()))


def test_a_key_of_a_request_that_creates_counts_once(site: Site) -> None:
    body = {"name": "once", "account_id": "acc_123"}
    headers = {"Idempotency-Key": "order-17"}
    with site.client() as client:
        first = client.post("/api/v1/batches", json=body, headers=headers)
        again = client.post("/api/v1/batches", json=body, headers=headers)
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json()["batch_id"] == first.json()["batch_id"]
        other = client.post("/api/v1/batches", json={**body, "name": "other"}, headers=headers)
        assert other.status_code == 422
        assert len(site.store.batches.find_by_name("once", 10)) == 1
        refused = client.post(
            "/api/v1/batches", json={"name": "x", "account_id": "none"}, headers={"Idempotency-Key": "k"}
        )
        assert refused.status_code == 404
        free = client.post(
            "/api/v1/batches", json={"name": "x", "account_id": "acc_123"}, headers={"Idempotency-Key": "k"}
        )
        assert free.status_code == 201
    with site.client(Role.MANAGER) as client:  # another's key
        assert client.post("/api/v1/batches", json=body, headers=headers).status_code == 201


# -- limits ------------------------------------------------------------------------------------------------


def test_what_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    with site.client() as client:
        long = client.post(
            "/api/v1/batches", content=b" " * 2_000_000, headers={"Content-Type": "application/json"}
        )
        assert long.status_code == 413
        file = client.post("/api/v1/imports/preview", files={"file": ("a.csv", b"x" * (66 * 1024 * 1024))})
        assert file.status_code == 413
        assert file.headers["content-type"] == "application/problem+json"
    with httpx.Client() as stranger:  # without a token not a byte of a file is taken
        answer = stranger.post(
            f"{site.web.address}/api/v1/imports", files={"file": ("a.csv", b"x" * 5_000_000)}
        )
        assert answer.status_code == 401


def test_a_client_that_never_ends_its_head_is_let_go(site: Site) -> None:
    host, port = site.web.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.settimeout(60)
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        assert slow.recv(1000) == b""


def answer_to(site: Site, *lines: bytes) -> bytes:
    """The answer to a request that no library would send."""
    host, port = site.web.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.settimeout(60)
        client.sendall(b"\r\n".join((*lines, b"Connection: close", b"", b"")))
        return b"".join(iter(lambda: client.recv(65_536), b""))


def test_a_head_that_is_too_long_or_has_two_lengths_is_refused(site: Site) -> None:
    long = b"X-Long: " + b"a" * 20_000
    assert answer_to(site, b"GET /health HTTP/1.1", b"Host: x", long).split()[1] in {b"431", b"400"}
    long = b"X-Long: " + b"a" * 15_000
    assert answer_to(site, b"GET /health HTTP/1.1", b"Host: x", long).split()[1] == b"200"
    lengths = (b"Content-Length: 5", b"Transfer-Encoding: chunked")
    answer = answer_to(site, b"POST /api/v1/hold HTTP/1.1", b"Host: x", *lengths)
    assert answer.split()[1] == b"400"
    assert b"exclude each other" in answer


def test_a_position_that_no_page_gave_is_refused(site: Site) -> None:
    with site.client() as client:
        for after in ("zzz", "batch", "$gt"):
            assert client.get("/api/v1/batches", params={"after": after}).status_code == 422
        page = client.get("/api/v1/batches", params={"limit": 1}).json()
        following = client.get("/api/v1/batches", params={"after": page["next"], "limit": 1})
        assert following.json()["batches"][0]["batch_id"] < page["batches"][0]["batch_id"]


def test_a_batch_of_which_nobody_was_called_is_not_completed(site: Site) -> None:
    with site.client() as client:
        batch = client.post("/api/v1/batches", json={"name": "waits", "account_id": "acc_123"}).json()
        path = f"/api/v1/batches/{batch['batch_id']}"
        contacts = b"nombre,telefono\nAna,+12125552368\nBea,+12125552369\n"
        filled = client.post(f"{path}/upload", files={"file": ("a.csv", contacts)})
        assert filled.status_code == 201, filled.text
        jobs = client.get(f"{path}/summary").json()
        assert jobs["jobs"] == {"suspended": 2}
        assert jobs["status"] == "PAUSED"
        assert client.get(f"{path}/status").json()["status"] == "PAUSED"


def test_the_process_holds_no_key_and_its_environment_none(site: Site) -> None:
    assert site.web.process is not None
    environment = Path(f"/proc/{site.web.process.pid}/environ").read_bytes()
    assert b"RETELL" not in environment
    assert site.terminal.simulator.api_key.encode() not in environment
    refused = WebProcess(site.terminal.place, {**web_variables(site.terminal), "RETELL_API_KEY": "key_1"})
    refused.log = site.terminal.place / "refused.log"
    with pytest.raises(AssertionError, match="must not have Retell's key"):
        refused.start()


# -- streams -----------------------------------------------------------------------------------------------


def test_events_go_on_after_the_last_that_the_client_has(site: Site) -> None:
    with site.client() as client:
        made = client.post("/api/v1/batches", json={"name": "events", "account_id": "acc_123"}).json()
        batch = made["batch_id"]
        with client.stream("GET", "/api/v1/events", params={"batch_id": batch}) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            site.terminal.type("pause-batch", batch, "--reason", "first")
            first = next(line for line in lines if line.startswith("id: ")).removeprefix("id: ")
        site.terminal.type("resume-batch", batch)
        headers = {"Last-Event-ID": first}
        with client.stream("GET", "/api/v1/events", params={"batch_id": batch}, headers=headers) as stream:
            lines = stream.iter_lines()
            seen: list[str] = []
            while not any("resume-batch" in line for line in seen):
                seen.append(next(lines))
            # What the client has already may come again; its own last event does not.
            assert all(line.removeprefix("id: ") < first for line in seen[:-3] if line.startswith("id: "))
        with client.stream("GET", f"/api/v1/batches/{batch}/events") as stream:
            assert any(line.startswith("event: progress") for line in stream.iter_lines())


@pytest.mark.parametrize("query", [{}, {"batch_id": "BATCH"}], ids=["all", "of a batch"])
def test_a_client_that_comes_back_after_many_events_misses_none(site: Site, query: dict[str, str]) -> None:
    count = 1500
    batch = site.terminal.ask("create-batch", "many-events", "--paused")["batch_id"]
    query = dict.fromkeys(query, batch)
    # Of some minutes ago, as they are for a client that was away.
    second = f"{int(time.time()) - 300:08x}"
    ids = [f"{second}{secrets.token_hex(4)}{number:08x}" for number in range(count)]
    ids.sort()
    site.store.logs.table.insert_many(
        [
            {"_id": ObjectId(one), "event": "call.settled", "batch": batch, "at": site.store.now()}
            for one in ids
        ]
    )
    with site.client() as client:
        headers = {"Last-Event-ID": ids[0]}
        with client.stream("GET", "/api/v1/events", params=query, headers=headers) as stream:
            got: list[str] = []
            for line in stream.iter_lines():
                assert line != "event: gap"
                if line.startswith("id: ") and line.removeprefix("id: ") in ids:
                    got.append(line.removeprefix("id: "))
                if len(got) == count - 1:
                    break
        assert got == ids[1:]


def test_a_client_whose_last_event_is_not_stored_any_more_is_told_so(site: Site) -> None:
    headers = {"Last-Event-ID": "65" + "0" * 22}
    with site.client() as client, client.stream("GET", "/api/v1/events", headers=headers) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        assert next(line for line in lines if line) == "event: gap"
        assert "not stored any more" in next(lines)


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/batches/{batch_id}/events"])
def test_a_stream_ends_when_its_token_is_revoked(site: Site, ids: dict[str, str], path: str) -> None:
    token = make_token(site.store, "streaming", Role.ADMIN)
    with site.web.client(token) as client, client.stream("GET", path.format(**ids)) as stream:
        lines = stream.iter_lines()
        next(lines)
        site.terminal.type("token-revoke", "streaming")
        rest = list(lines)
    assert "event: problem" in rest
    assert "not valid any more" in rest[rest.index("event: problem") + 1]
    site.store.identities.tokens.delete({"_id": "streaming"})


def test_open_streams_take_no_place_of_a_request_and_have_a_bound_of_their_own(
    site: Site, ids: dict[str, str]
) -> None:
    place = site.terminal.place / f"streams-{time.monotonic_ns()}"
    place.mkdir()
    variables = web_variables(site.terminal) | {
        "SPEECHAID_WEB_REQUESTS_PER_CLIENT": "2",
        "SPEECHAID_WEB_REQUESTS": "4",
    }
    path = f"/api/v1/batches/{ids['batch_id']}/events"
    # An iterator that is collected closes its stream.
    read: list[Iterator[str]] = []

    def open_stream(path: str) -> None:
        read.append(opened.enter_context(client.stream("GET", path)).iter_lines())
        next(read[-1])

    with ExitStack() as opened:
        web = opened.enter_context(running_web(place, variables))
        client = opened.enter_context(web.client(site.tokens[Role.ADMIN]))
        for _ in range(6):
            open_stream(path)
        assert client.get("/api/v1/batches").status_code == 200
        assert client.post("/api/v1/batches/none/pause").status_code == 404
        for _ in range(8):
            open_stream("/api/v1/events")
        refused = client.get("/api/v1/events")
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")


def test_jobs_have_pages(site: Site) -> None:
    batch = site.terminal.import_contacts(7, "pages", "--paused")
    with site.client() as client:
        found: list[list[str]] = []
        following = None
        while True:
            query: dict[str, str] = {"batch_id": batch, "limit": "3"}
            query |= {} if following is None else {"after": following}
            page = client.get("/api/v1/jobs", params=query).json()
            found.append([job["job_id"] for job in page["jobs"]])
            following = page["next"]
            if following is None:
                break
        assert [len(page_ids) for page_ids in found] == [3, 3, 1]
        assert len({job_id for page_ids in found for job_id in page_ids}) == 7
        assert client.get("/api/v1/jobs", params={"after": "nonsense"}).status_code == 422


# -- what dies, and what is away ---------------------------------------------------------------------------


@pytest.fixture
def own_web(site: Site) -> Iterator[WebProcess]:
    """A process that a test may kill."""
    place = site.terminal.place / f"web-{time.monotonic_ns()}"
    place.mkdir()
    with running_web(place, web_variables(site.terminal)) as web:
        yield web


def in_background(client: httpx.Client, method: str, path: str, **more: Any) -> threading.Thread:
    def work() -> None:
        try:
            client.request(method, path, **more)
        except httpx.HTTPError:
            return

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def imports_of(site: Site) -> list[dict[str, Any]]:
    return list(site.terminal.ask("imports", "--limit", "50")["imports"])


def is_read_recorded(site: Site, actor: str) -> bool:
    reads = site.terminal.ask("logs", "--reads", "--limit", "1000")["lines"]
    return any(line["actor"] == actor and line["command"] == "export" for line in reads)


def kill(web: WebProcess) -> None:
    assert web.process is not None
    os.kill(web.process.pid, signal.SIGKILL)
    web.process.wait()


@pytest.mark.parametrize("moment", ["sent", "begun"])
def test_an_import_whose_web_process_is_killed_is_done_once_or_not_at_all(
    site: Site, own_web: WebProcess, moment: str
) -> None:
    name = f"killed-import-{moment}"
    known = {row["import_id"] for row in imports_of(site)}
    rows = "".join(f"P{number},+1646555{number:04d}\n" for number in range(2000))
    with own_web.client(site.tokens[Role.ADMIN]) as client:
        thread = in_background(
            client,
            "POST",
            "/api/v1/imports",
            files={"file": ("a.csv", "nombre,telefono\n" + rows)},
            data={"name": name, "accept": "unassigned,placeholder,service", "paused": "true"},
        )
        if moment == "begun":
            site.terminal.until(lambda: {row["import_id"] for row in imports_of(site)} - known)
        kill(own_web)
        thread.join()
    site.terminal.until(lambda: all(row.get("finished_at") for row in imports_of(site)))
    found = site.store.batches.find_by_name(name, 10)
    assert len(found) <= 1
    assert found or moment == "sent"
    assert [sum(site.store.jobs.counts(batch).values()) for batch in found] in ([], [2000])


def test_a_pause_whose_web_process_is_killed_is_kept_or_was_not_answered(
    site: Site, own_web: WebProcess
) -> None:
    batch = site.terminal.import_contacts(60, "killed-pause")
    site.terminal.until(lambda: placed_of(site, batch) > 0)
    with own_web.client(site.tokens[Role.ADMIN]) as client:
        thread = in_background(client, "POST", f"/api/v1/batches/{batch}/pause")
        site.terminal.until(lambda: not site.store.batches.get(batch).is_active)
        kill(own_web)
        thread.join()
    # The daemon carries it out without the process that asked.
    site.terminal.until(lambda: not site.terminal.ask("batch", batch)["live_calls"])
    placed = placed_of(site, batch)
    place_calls_of_others(site)
    assert placed_of(site, batch) == placed


def test_an_export_whose_web_process_is_killed_is_on_record_and_can_be_repeated(
    site: Site, own_web: WebProcess
) -> None:
    token = make_token(site.store, "exporter", Role.ADMIN)
    with own_web.client(token) as client:
        thread = in_background(client, "GET", "/api/v1/exports", params={"what": "jobs"})
        site.terminal.until(lambda: is_read_recorded(site, "exporter (token)"))
        kill(own_web)
        thread.join()
    with site.web.client(token) as client:
        answer = client.get("/api/v1/exports", params={"what": "jobs", "limit": 5})
        assert answer.status_code == 200, answer.text


def test_a_stop_ends_the_process_though_a_stream_is_open(site: Site, own_web: WebProcess) -> None:
    with (
        own_web.client(site.tokens[Role.ADMIN]) as client,
        client.stream("GET", "/api/v1/events") as stream,
    ):
        next(stream.iter_lines())
        assert own_web.stop() == 0


def test_without_the_daemon_reads_go_on_and_say_so(site: Site) -> None:
    place = site.terminal.place / "alone"
    place.mkdir()
    environment = web_variables(site.terminal) | {"SPEECHAID_SOCKET": str(place / "none.sock")}
    batch = site.store.batches.select(limit=1)[0].batch_id
    with running_web(place, environment) as web, web.client(site.tokens[Role.ADMIN]) as client:
        assert client.get("/health").json() == {"status": "degraded", "database": "up", "daemon": "away"}
        assert client.get(f"/api/v1/batches/{batch}/status").json()["daemon"] == "away"
        for method, path in (("POST", f"/api/v1/batches/{batch}/pause"), ("GET", "/api/v1/jobs")):
            answer = client.request(method, path)
            assert answer.status_code == 503
            assert "the daemon is away" in answer.json()["detail"]
            assert answer.headers["retry-after"]


def test_without_the_database_the_answer_says_so(site: Site) -> None:
    place = site.terminal.place / "no-database"
    place.mkdir()
    environment = web_variables(site.terminal) | {
        "MONGO_URI": "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300"
    }
    with running_web(place, environment) as web, web.client(site.tokens[Role.ADMIN]) as client:
        answer = client.get("/api/v1/batches")
        assert answer.status_code == 503
        assert "the database is away" in answer.json()["detail"]
        assert client.get("/health").json()["database"] == "away"


# -- the page of the manual --------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def runnable(language: str) -> list[str]:
    return re.findall(
        rf"^```{language} run\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize(("language", "program"), [("bash", "bash"), ("python", sys.executable)])
def test_the_examples_of_the_manual_run_as_they_stand(
    site: Site, tmp_path: Path, language: str, program: str
) -> None:
    (tmp_path / "contacts.csv").write_text("nombre,telefono\nAna,+12125552368\n")
    options = ["-e"] if program == "bash" else []
    (script,) = runnable(language)
    (tmp_path / "script").write_text(script)
    environment = {
        "PATH": os.environ["PATH"],
        "API": f"{site.web.address}/api/v1",
        "TOKEN": site.tokens[Role.MANAGER],
    }
    done = subprocess.run(
        [program, *options, "script"],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"about:blank"' not in done.stdout, done.stdout  # no problem among the answers
