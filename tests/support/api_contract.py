"""The OpenAPI document as a contract: operations, their examples, and which answers they promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema

from speechaid.web.app import build_api

DOCUMENT = build_api().openapi()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if path.startswith("/api/v1")
]
NAMES = [f"{method} {path}" for method, path, _ in OPERATIONS]
#: Streams do not end; the tests of their own read them.
STREAMS = ("/events",)
#: Ids of what is not there.
UNKNOWN = {
    "batch_id": "batch-20000101-00000000",
    "account_id": "acc_none",
    "job_id": "000000000000000000000000",
    "call_id": "call_none",
    "import_id": "000000000000000000000000",
    "test_id": "000000000000000000000000",
    "name": "nobody",
    "country": "CL",
}
CONTACTS = "nombre,telefono\nAna,+12125552368\nBea,+12125552369\n"


def check_answer(response: httpx.Response, operation: dict[str, Any]) -> None:
    """That the answer is one that the document promises, and no programming error."""
    request = response.request
    where = f"{request.method} {request.url}: {response.status_code} {response.text[:300]}"
    assert response.status_code != 500, where
    promised = operation["responses"].get(str(response.status_code))
    assert promised is not None, where
    media = response.headers["content-type"].partition(";")[0]
    schema = promised["content"][media]["schema"]
    jsonschema.validate(response.json(), {**schema, "components": DOCUMENT["components"]})
    assert "traceback" not in response.text.lower(), where


def example_of(method: str, path: str, operation: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """The operation's own example, as arguments of ``httpx``'s ``request``."""
    query = {
        parameter["name"]: parameter["examples"]["example"]["value"]
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and "examples" in parameter
    }
    content = operation.get("requestBody", {}).get("content", {})
    body: dict[str, Any] = {}
    if "application/json" in content:
        examples = content["application/json"].get("examples")
        body = {"json": examples["example"]["value"]} if examples else {}
    elif content:
        body = {"files": {"file": ("a.csv", CONTACTS)}}
        if path.endswith("/excel/create"):
            body["data"] = {"batch_name": "contract"}
    return {"method": method, "url": path.format(**ids), "params": query, **body}


#: Values that no field, or few, can have.
WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 1e300, "", "x" * 5000, "\x00", "$where", "\ud800"),
    *([], {"$gt": ""}, [None]),
)


def changed_bodies(operation: dict[str, Any], values: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """The example's JSON body with one field after the other set to each value; then with one too many."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    example = content.get("examples", {}).get("example", {}).get("value", {})
    for name in properties_of(content["schema"]):
        for value in values:
            yield {**example, name: value}
    yield {**example, "one_too_many": 1}


def properties_of(schema: dict[str, Any]) -> list[str]:
    """The names of a body's fields."""
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            return list(DOCUMENT["components"]["schemas"][name].get("properties", {}))
    return list(schema.get("properties", {}))
