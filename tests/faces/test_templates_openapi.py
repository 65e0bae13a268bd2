"""The OpenAPI document of the stored templates is true: whatever it allows works, whatever it forbids is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.faces.client import Http
from tests.faces.conftest import ADMIN, Server, run_server

pytestmark = pytest.mark.slow

BASE = "/promptd/v1/templates"
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
KEY = {"Authorization": f"Bearer {ADMIN}"}
HEALTH = list(HealthCheck)

_PLACE = {
    "name": "place",
    "kind": "object",
    "properties": [
        {"name": "lat", "kind": "number", "minimum": -90, "maximum": 90},
        {"name": "note", "required": False, "nullable": True},
    ],
}
SAY = '[{"say": "ok"}]'
TEMPLATES: dict[str, dict[str, Any]] = {
    "nothing": {"messages": [{"source": SAY}]},
    "loose": {"messages": [{"source": SAY + "{% if anything %}{% endif %}"}]},
    "texts": {
        "messages": [{"source": SAY}],
        "inputs": [
            {"name": "word", "min_length": 1, "max_length": 9, "pattern": "^[a-z]+$"},
            {"name": "colour", "enum": ["red", "green"]},
            {"name": "day", "format": "date", "required": False},
            {"name": "free", "required": False, "default": "x"},
            {"name": "none", "required": False, "nullable": True},
        ],
    },
    "numbers": {
        "messages": [{"source": SAY}],
        "inputs": [
            {"name": "count", "kind": "integer", "minimum": 1, "maximum": 5},
            {"name": "share", "kind": "number", "minimum": 0, "required": False},
            {"name": "yes", "kind": "boolean"},
        ],
        "callable": True,
    },
    "nested": {
        "messages": [{"source": SAY}],
        "inputs": [
            _PLACE,
            {"name": "tags", "kind": "array", "items": {"name": "", "max_length": 5}, "min_items": 1, "max_items": 3},
            {"name": "places", "kind": "array", "items": _PLACE, "required": False},
            {"name": "open", "kind": "object", "additional": True, "required": False},
            {"name": "schema", "schema": {"anyOf": [{"type": "integer"}, {"const": "all"}]}, "required": False},
            {"name": "any", "kind": "any", "required": False},
        ],
    },
    "value": {
        "messages": [{"source": '[{"say": "{\\"n\\": {{ n }}}"}]'}],
        "inputs": [{"name": "n", "kind": "integer", "minimum": 0, "maximum": 1000}],
        "output": {
            "kind": "json",
            "schema": {
                "type": "object",
                "required": ["n"],
                "properties": {"n": {"$ref": "#/$defs/small"}},
                "$defs": {"small": {"type": "integer", "maximum": 500}},
            },
        },
    },
    "lines": {
        "messages": [{"source": '[{"say": "{\\"a\\": 1}\\n{\\"a\\": 2}"}]'}],
        "output": {"kind": "jsonl", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    },
    "broken": {"messages": [{"source": '[{"say": "no JSON"}]'}], "output": {"kind": "json", "repair": 1}},
    "files": {
        "messages": [{"source": SAY}],
        "inputs": [
            {"name": "one", "kind": "file", "media_types": ["text/plain"]},
            {"name": "more", "kind": "file", "multiple": True, "max_count": 2, "required": False},
            {"name": "text", "required": False},
        ],
    },
}


async def fill(http: Http) -> None:
    for name, body in TEMPLATES.items():
        saved = await http.post(f"{BASE}/{name}/versions", {**body, "label": "production"})
        assert saved.status == 201, saved.body


class Place(NamedTuple):
    """Where the server is, and the id of an upload there."""

    url: str
    upload: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server on a thread of its own, because schemathesis calls and waits."""
    ready, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def main() -> None:
        async with run_server(tmp_path_factory.mktemp("templates")) as server:
            await fill(server.admin)
            upload = await server.admin.post("/promptd/v1/files?name=a.txt", raw=b"hello")
            found.extend((server.port, upload.json["id"], asyncio.get_running_loop()))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(20)
    yield Place(f"http://127.0.0.1:{found[0]}", found[1])
    found[2].call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture(scope="module")
def document(place: Place) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{place.url}{BASE}/openapi.json", headers=KEY).json()
    # the key is always sent: what happens without one is the subject of test_permissions.py
    for methods in told["paths"].values():
        methods["post"]["security"] = []
    return {**told, "security": []}


@pytest.fixture(scope="module")
def api(document: dict[str, Any]) -> Any:
    return schemathesis.openapi.from_dict(document)


def test_it_has_an_operation_for_each_template(document: dict[str, Any]) -> None:
    assert sorted(document["paths"]) == sorted(f"{BASE}/{name}/run" for name in TEMPLATES)
    components = document["components"]["schemas"]
    for name in TEMPLATES:
        operation = document["paths"][f"{BASE}/{name}/run"]["post"]
        assert operation["operationId"] == name
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
        for schema in (body, answer):
            jsonschema_rs.validator_for({**schema, "components": document["components"]})
    assert components["numbers.inputs"]["required"] == ["count", "yes"]
    assert components["value.value"]["properties"]["n"] == {"$ref": "#/components/schemas/value.value/$defs/small"}
    assert "NewVersion" not in components, "only what the operations need"


def test_an_answer_fits_its_schema_and_another_does_not(place: Place, document: dict[str, Any]) -> None:
    operation = document["paths"][f"{BASE}/value/run"]["post"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    check = jsonschema_rs.validator_for({**schema, "components": document["components"]})
    answer = httpx.post(f"{place.url}{BASE}/value/run", json={"inputs": {"n": 7}}, headers=KEY).json()
    check.validate(answer)
    assert not check.is_valid({**answer, "value": {"n": 501}})
    assert not check.is_valid({**answer, "value": {}})


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("name", TEMPLATES)
def test_no_call_breaks(place: Place, api: Any, name: str, mode: GenerationMode) -> None:
    statuses: set[int] = set()

    @given(api[f"{BASE}/{name}/run"]["POST"].as_strategy(generation_mode=mode))
    @settings(max_examples=15, phases=[Phase.explicit, Phase.generate], deadline=None, suppress_health_check=HEALTH)
    def call(case: schemathesis.Case[Any]) -> None:
        if mode.is_positive:
            be_real(case, place.upload)
        response = case.call_and_validate(base_url=place.url, headers=KEY, checks=CHECKS, timeout=20)
        statuses.add(response.status_code)
        if response.status_code >= 500:
            # what a model says may be wrong, and these models do; nothing else here may fail
            assert response.json()["code"] == "invalid_output", response.text

    call()
    assert (statuses & {200, 202, 502} != set()) is mode.is_positive, statuses


async def test_a_key_of_one_template_is_not_another_s(server: Server) -> None:
    """What the fuzz found first: the same key and body answered with another template's result."""
    await fill(server.admin)
    key = {"Idempotency-Key": "k"}
    assert (await server.http.post(f"{BASE}/nothing/run", {}, headers=key)).status == 200
    other = await server.http.post(f"{BASE}/lines/run", {}, headers=key)
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")


def be_real(case: schemathesis.Case[Any], upload: str) -> None:
    """What is there, in place of names that nobody could make up."""
    if isinstance(case.body, dict):
        for name in ("label", "version", "model"):
            case.body.pop(name, None)
        files: Any = case.body.get("files", {})
        for ids in files.values():
            ids[:] = [upload] * len(ids)
    if "wait" in case.query:
        case.query["wait"] = "5"
