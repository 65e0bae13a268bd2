"""Model Svc over HTTP: what strict clients see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from promptd.core.identity import ALL_PERMISSIONS
from tests.faces.client import Http
from tests.faces.conftest import Server
from tests.faces.onebackend.lab import MISTRAL, TINY, lab, model, status
from tests.service.origin import Origin

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMBERS = {
    "id",
    "platformId",
    "name",
    "parameters",
    "flavour",
    "version",
    "quality",
    "extension",
    "fullName",
    "description",
    "promptTemplate",
    "quantComment",
    "tags",
    "mirrors",
    "size",
    "maxRam",
    "uncensored",
    "maxBits",
    "bits",
    "assets",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, far: Origin) -> AsyncIterator[Server]:
    """For tests that change nothing."""
    async with lab(tmp_path_factory.mktemp("models"), far) as server:
        yield server


def prompt(name: str | None, text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"prompt": text, "sync": True, **({"modelId": name} if name else {}), **more}


async def ask(http: Http, name: str | None, **more: Any) -> Any:
    answer = await http.post("/prompt-svc/prompt", prompt(name, **more))
    assert answer.status == 200, answer.body
    return answer.json["prompt"]


# ------------------------------------------------------------------ what there is


async def test_the_list_holds_the_catalogue_and_the_configuration(house: Server) -> None:
    listed = (await house.admin.post("/model-svc/models")).json["models"]
    found = {entry["id"]: entry for entry in listed}
    assert len(found) == len(listed) == 50
    assert all(set(entry) <= MEMBERS for entry in listed)
    assert all(entry["platformId"] and entry["name"] for entry in listed)
    assert found[TINY] == {
        "id": TINY,
        "platformId": "llama-cpp",
        "name": "TinyLlama",
        "parameters": "1.1",
        "flavour": "Chat",
        "version": "1.0",
        "quality": "Q3_K_S",
        "extension": "GGUF",
        "promptTemplate": "<|system|>\n{system_message}</s>\n<|user|>\n{prompt}</s>\n<|assistant|>",
        "size": 0.5,
        "maxRam": 3.0,
        "assets": [{"envVarKey": "MODEL", "url": house.house.walk.models.catalogue.models[TINY].url}],
    }
    assert found["nicklucche/stable-diffusion"] == {
        "id": "nicklucche/stable-diffusion",
        "platformId": "stable-diffusion",
        "name": "Stable Diffusion",
        "promptTemplate": "{prompt}",
    }
    assert found["org/big"] == {
        "id": "org/big",
        "platformId": "scripted",
        "name": "org/big",
        "promptTemplate": "Q: {prompt}",
    }


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"anything": 1}'])
async def test_bodies_are_ignored(house: Server, body: bytes) -> None:
    assert (await house.admin.post("/model-svc/models", raw=body)).status == 200
    assert (await house.admin.post("/model-svc/platforms", raw=body)).status == 200


async def test_every_model_names_a_platform_of_the_list(house: Server) -> None:
    platforms = {entry["id"]: entry for entry in (await house.admin.post("/model-svc/platforms")).json["platforms"]}
    assert list(platforms)[:2] == ["llama-cpp", "stable-diffusion"]
    models = (await house.admin.post("/model-svc/models")).json["models"]
    assert {entry["platformId"] for entry in models} == set(platforms)
    for entry in platforms.values():
        assert set(entry) == {"id", "name", "architectures", "types"}
        assert set(entry["architectures"]["default"]["container"]) == {"port", "imageTemplate", "envars"}


async def test_one_model_by_its_escaped_id(house: Server) -> None:
    found = (await house.admin.get(model(TINY) + "?app-host=&env=&help=false")).json
    assert set(found) == {"exists", "model", "platform"}
    assert (found["exists"], found["model"]["id"], found["platform"]["id"]) == (True, TINY, "llama-cpp")
    assert (await house.admin.get(model("demo"))).json["platform"]["id"] == "scripted"


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("GET", "/status"), ("PUT", "/start"), ("PUT", "/make-default")]
)
async def test_an_unknown_model_is_not_found(house: Server, method: str, rest: str) -> None:
    answer = await house.admin.call(method, model("no/such", rest))
    assert (answer.status, answer.json) == (404, {"error": "Model Not Found"})


async def test_a_model_without_its_file_is_not_ready_and_not_lost(house: Server) -> None:
    told = await status(house.admin, MISTRAL)
    assert told == {"assetsReady": False, "running": False, "address": "127.0.0.1:8001"}
    refused = await house.admin.post("/prompt-svc/prompt", prompt(MISTRAL, id="never-stored"))
    assert refused.status == 400
    assert all(part in refused.json["error"] for part in ("modelId", MISTRAL, "PUT /file-svc/download", "models pull"))
    assert (
        await house.admin.post(
            "/prompt-svc/prompts",
            {"query": {"filters": [{"field": "id", "operator": "equals", "value": "never-stored"}]}},
        )
    ).json["prompts"] == []
    assert (await house.admin.call("PUT", model(MISTRAL, "/start"))).status == 500
    refused = await house.admin.call("PUT", model(MISTRAL, "/make-default"))
    assert refused.status == 500
    assert MISTRAL in refused.json["error"]
    assert (await status(house.admin))["running"]  # the default is what it was: a scripted one


async def test_natively_the_same_model_is_refused_with_a_field(house: Server) -> None:
    refused = await house.admin.post("/promptd/v1/prompts", {"prompt": "x", "model": MISTRAL})
    assert (refused.status, refused.json["field"]) == (422, "model")
    assert "promptd models pull" in refused.json["detail"]


async def test_a_configured_model_counts_as_having_its_files(house: Server) -> None:
    assert await status(house.admin, "org/big") == {"assetsReady": True, "running": True, "address": "127.0.0.1:8001"}
    for path in (model("org/big", "/start"), "/model-svc/default-model/start"):
        for raw in (b"", b"null", b"{}", b'{"anything": true}'):
            started = await house.admin.call("PUT", path, raw=raw)
            assert (started.status, started.json) == (200, {})


async def test_an_image_model_of_the_catalogue_needs_an_image_engine(house: Server) -> None:
    told = await status(house.admin, "nicklucche/stable-diffusion")
    assert (told["assetsReady"], told["running"]) == (True, False)
    refused = await house.admin.post("/prompt-svc/prompt", prompt("nicklucche/stable-diffusion"))
    assert refused.status == 400
    assert "stable_diffusion" in refused.json["error"]


# ------------------------------------------------------------------ who may

NEEDS = [
    ("POST", "/model-svc/models", "model-svc:model:view"),
    ("POST", "/model-svc/platforms", "model-svc:platform:view"),
    ("GET", model("demo"), "model-svc:model:view"),
    ("GET", "/model-svc/default-model/status", "model-svc:model:view"),
    ("GET", model("demo", "/status"), "model-svc:model:view"),
    ("PUT", "/model-svc/default-model/start", "model-svc:model:create"),
    ("PUT", model("demo", "/start"), "model-svc:model:create"),
    ("PUT", model("demo", "/make-default"), "model-svc:model:edit"),
]


@pytest.mark.parametrize(("method", "path", "permission"), NEEDS)
async def test_who_may(house: Server, method: str, path: str, permission: str) -> None:
    without = await house.client("ada", permissions=ALL_PERMISSIONS - {permission})
    alone = await house.client("ada", permissions=frozenset({permission}))
    forged = house.http.of("pk-forged-0123456789")
    told = [(await http.call(method, path)).status for http in (house.http.of(None), forged, without, alone)]
    assert told == [422, 401, 401, 200]


# ------------------------------------------------------------------ the native API


async def test_the_catalogue_natively(house: Server) -> None:
    items = (await house.http.get("/promptd/v1/catalogue")).json["items"]
    assert len(items) == 48
    found = {item["name"]: item for item in items}[TINY]
    assert (found["title"], found["size"], found["memory"], found["ready"]) == ("TinyLlama", 0.5, 3.0, False)
    shown = (await house.http.get(f"/promptd/v1/models/{TINY.replace('/', '%2F')}")).json
    assert (shown["served"], shown["ready"], shown["catalogue"]) == (None, False, found)
    shown = (await house.http.get("/promptd/v1/models/org%2Fbig")).json
    assert (shown["catalogue"], shown["ready"], shown["running"]) == (None, True, True)
    assert (await house.http.get("/promptd/v1/models/nothing")).status == 404
    for path in ("start", "stop", "default"):
        answer = await house.admin.post(f"/promptd/v1/models/{TINY.replace('/', '%2F')}/{path}")
        assert (answer.status, answer.json["code"]) == (409, "conflict")


async def test_a_models_name_stands_for_its_file_in_downloads(tmp_path: Path, far: Origin) -> None:
    async with lab(tmp_path, far) as server:
        begun = (await server.admin.post("/promptd/v1/downloads", {"url": TINY})).json
        url = server.house.walk.models.catalogue.models[TINY].url
        assert begun["url"] == url
        await server.house.walk.downloads.wait(url)
        assert (await status(server.admin, TINY))["assetsReady"]
        nothing = await server.admin.post("/promptd/v1/downloads", {"url": "nicklucche/stable-diffusion"})
        assert (nothing.status, nothing.json["field"]) == (422, "url")
        shown = (await server.admin.post(f"/promptd/v1/models/{TINY.replace('/', '%2F')}/default")).json
        assert (shown["default"], shown["served"]["name"]) == (True, TINY)
