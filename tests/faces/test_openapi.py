"""The OpenAPI document is true: it is complete, its schemas fit what is served, and no call that it allows breaks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from promptd.core.errors import leaves
from promptd.faces.native import openapi
from promptd.faces.native.routes import table
from tests.faces.client import as_script
from tests.faces.conftest import ADMIN, Server, run_server

BASE = "/promptd/v1"
DOCUMENT: dict[str, Any] = openapi.document(table(), "test")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    allow_header_conformance,
]


def fits(value: Any, schema: dict[str, Any]) -> None:
    """Check a value against a schema of the document, formats included."""
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.validator_for(whole, validate_formats=True).validate(value)


def answer_schema(method: str, path: str, status: int) -> dict[str, Any]:
    content = DOCUMENT["paths"][path][method]["responses"][str(status)]["content"]
    schema: dict[str, Any] = content["application/json" if status < 400 else "application/problem+json"]["schema"]
    return schema


def test_the_document_is_openapi_and_complete() -> None:
    operations = [operation for operation in table() if operation.in_document]
    listed = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert listed == {(operation.method, operation.path) for operation in operations}
    names = [method["operationId"] for methods in DOCUMENT["paths"].values() for method in methods.values()]
    assert len(names) == len(set(names))
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_error_code_is_explained() -> None:
    told = {entry["code"]: entry for entry in DOCUMENT["x-error-codes"]}
    for error in leaves():
        assert error.code in told
    assert told["invalid_request"] == {
        "code": "invalid_request",
        "status": 422,
        "title": "The request is not valid",
        "retryable": False,
        "where": "request",
    }


async def test_the_served_document_is_this_one(server: Server) -> None:
    served = (await server.http.of(None).get(f"{BASE}/openapi.json")).json
    assert served["paths"] == DOCUMENT["paths"]
    assert served["info"]["version"] != "test"


async def test_answers_and_events_fit_their_schemas(server: Server) -> None:
    http, prompts = server.http, f"{BASE}/prompts"
    full = await http.post(
        f"{prompts}?wait=20",
        {
            "messages": [{"role": "user", "content": "hi", "name": "ada"}],
            "thread_id": "talk",
            "metadata": {"a": "b"},
            "deadline": "2099-01-01T00:00:00Z",
            "parameters": {"temperature": 1, "tools": [{"name": "t"}], "extra": {"x": 1}},
        },
    )
    fits(full.json, answer_schema("post", prompts, 200))
    failed = await http.finished(
        [[{"say": "x"}, {"fail": "network_error"}], [{"tool": "t"}, {"fail": "quota_exceeded"}]]
    )
    fits(failed, answer_schema("post", prompts, 200))
    for path, status in (
        (prompts, 200),
        (f"{prompts}/{{id}}", 200),
        (f"{prompts}/{{id}}/attempts", 200),
        (f"{BASE}/threads/{{id}}", 200),
        (f"{BASE}/threads/{{id}}/messages", 200),
        (f"{BASE}/models", 200),
        (f"{BASE}/connections", 200),
        (f"{BASE}/me", 200),
        (f"{BASE}/keys", 200),
        ("/readyz", 200),
    ):
        client = server.admin if path.endswith(("connections", "keys")) else http
        identifier = "talk" if "threads" in path else failed["id"]
        response = await client.get(path.replace("{id}", identifier))
        assert response.status == status
        fits(response.json, answer_schema("get", path, status))
    refused = await http.post(prompts, {"prompt": 1})
    fits(refused.json, answer_schema("post", prompts, 422))
    events = DOCUMENT["paths"][prompts]["post"]["responses"]["200"]["content"]["text/event-stream"]["x-event-data"]
    scripts: list[Any] = [
        [[{"say": "x"}, {"fail": "network_error"}], [{"say": "y"}, {"tool": "t"}]],
        [{"fail": "quota_exceeded"}],
    ]
    kinds = set()
    for script in scripts:
        async with http.stream(prompts, {"prompt": as_script(script)}) as stream:
            for event in await stream.events():
                fits(event.data, events)
                assert event.data["type"] == event.name
                kinds.add(event.name)
    assert kinds == {"progress", "restart", "done", "error"}


# ---------------------------------------------------------------- whatever the document allows


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a thread of its own, because schemathesis calls and waits."""
    ready, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def main() -> None:
        async with run_server(tmp_path_factory.mktemp("openapi")) as server:
            await server.http.finished("hello", id="known", thread_id="talk")
            found.extend((server.port, asyncio.get_running_loop()))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(20)
    yield f"http://127.0.0.1:{found[0]}"
    found[1].call_soon_threadsafe(stop.set)
    thread.join()


def without_security(document: dict[str, Any]) -> dict[str, Any]:
    """The key is always sent: what happens without one is the subject of test_permissions.py."""
    paths = {
        path: {method: {**told, "security": []} for method, told in methods.items()}
        for path, methods in document["paths"].items()
    }
    return {**document, "paths": paths, "security": []}


@pytest.mark.slow
@schemathesis.openapi.from_dict(without_security(DOCUMENT)).parametrize()
@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
def test_no_call_breaks(address: str, case: schemathesis.Case[Any]) -> None:
    if "wait" in case.query and case.meta is not None and case.meta.generation.mode.is_positive:
        case.query["wait"] = "0"  # nothing here is worth ten minutes
    if case.path_parameters.get("id", "").isalnum() and not case.operation.path.endswith("threads/{id}/events"):
        case.path_parameters["id"] = "known"
    case.call_and_validate(base_url=address, headers={"Authorization": f"Bearer {ADMIN}"}, checks=CHECKS, timeout=20)
