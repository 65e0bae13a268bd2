"""Models of the settings that a stored connection serves, and a server that has no models at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptd.app.house import build
from promptd.core.errors import SettingsError
from promptd.settings import Settings
from tests.faces.client import problem
from tests.faces.conftest import ADMIN, Server, installed, listening, run_server

pytestmark = pytest.mark.slow

BASE = "/promptd/v1"
MODELS: dict[str, Any] = {
    "demo": {"connection": "lab"},
    "ours": {"connection": "office", "fallbacks": ["demo"]},
    "alone": {"connection": "office", "upstream": "big"},
}


async def store(server: Server, name: str = "office") -> None:
    made = await server.admin.post(f"{BASE}/connections", {"name": name, "engine": "scripted", "config": {}})
    assert made.status == 201, made.body


async def chat(server: Server, model: str | None) -> Any:
    body = {"messages": [{"role": "user", "content": '[{"say": "hello"}]'}]} | ({"model": model} if model else {})
    return await server.http.post("/v1/chat/completions", body)


async def test_a_model_may_name_a_stored_connection(tmp_path: Path) -> None:
    async with run_server(tmp_path) as server:
        await store(server)
    async with run_server(tmp_path, models=MODELS) as server:
        for model in ("ours", "alone"):
            answer = await chat(server, model)
            assert answer.status == 200, answer.body
        refused = problem(await server.admin.call("DELETE", f"{BASE}/connections/office"), 409, "conflict")
        assert "the model ours" in refused["detail"]
        assert "the model alone" in refused["detail"]
        seen = (await server.admin.get(f"{BASE}/connections/office")).json
        edit = {"changed_at": seen["changed_at"], "name": "annex"}
        problem(await server.admin.call("PUT", f"{BASE}/connections/office", edit), 409, "conflict")
    async with run_server(tmp_path) as server:  # nobody names it any more
        assert (await server.admin.call("DELETE", f"{BASE}/connections/office")).status == 204


async def test_what_nobody_stored_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        async with run_server(tmp_path, models=MODELS):
            raise AssertionError("it does not start")
    assert caught.value.key == "models.ours.connection"
    assert "there is no 'office', nor is one stored" in caught.value.message
    async with run_server(tmp_path) as server:
        await store(server)
    async with run_server(tmp_path, models=MODELS) as server:
        assert (await chat(server, "ours")).status == 200


@asynccontextmanager
async def reloading(home: Path, wanted: list[dict[str, Any]]) -> AsyncIterator[Server]:
    """A server whose settings are those that stand in `wanted` last."""

    def read() -> Settings:
        base = {"home": home, "connections": {"lab": {"engine": "scripted"}}, "keys": {"admin_key": ADMIN}}
        return Settings.model_validate(base | {"models": wanted[-1]})

    from msgspec.structs import replace

    from promptd.testing.scripted import Scripted

    plugins = replace(installed(), engines={"scripted": Scripted()})
    async with build(read(), plugins, read) as house, listening(house) as server:
        yield server


async def test_a_reload_takes_it_over_once_it_is_stored(tmp_path: Path) -> None:
    wanted = [{"demo": MODELS["demo"]}]
    async with reloading(tmp_path, wanted) as server:
        wanted.append(MODELS)
        with pytest.raises(SettingsError, match="nor is one stored"):
            await server.house.reload()
        assert (await chat(server, "alone")).status == 404
        await store(server)
        await server.house.reload()
        assert (await chat(server, "alone")).status == 200


async def test_a_stored_connection_that_can_not_be_used_now_is_told(tmp_path: Path) -> None:
    async with run_server(tmp_path) as server:
        await store(server)
    (tmp_path / "vault.key").rename(tmp_path / "elsewhere")
    async with run_server(tmp_path, models=MODELS) as server:
        assert (await chat(server, "ours")).status == 200, "the fallback answers"
        refused = await chat(server, "alone")
        assert (refused.status, "office" in refused.body.decode()) == (503, True), refused.body
        listed = {item["name"]: item for item in (await server.http.get(f"{BASE}/models")).json["items"]}
        assert listed["alone"]["status"] == "unavailable"
        (tmp_path / "vault.key").unlink(missing_ok=True)
    (tmp_path / "elsewhere").rename(tmp_path / "vault.key")
    async with run_server(tmp_path, models=MODELS) as server:
        assert (await chat(server, "alone")).status == 200


async def test_without_models_there_are_queries_still(tmp_path: Path) -> None:
    async with run_server(tmp_path, models={}) as server:
        for path in ("models", "connections", "templates"):
            assert (await server.admin.get(f"{BASE}/{path}")).status == 200, path
        assert (await server.http.get("/v1/models")).json["data"] == []
        for model in (None, "demo"):
            refused = await chat(server, model)
            assert refused.status in (400, 404, 422), refused.body
            assert "model" in refused.body.decode()
        query = {"connection": "lab", "settings": {"model": "big", "prompt": "[{{say}}]"}, "label": "production"}
        saved = await server.admin.post(f"{BASE}/templates/ask/versions", query)
        assert saved.status == 201, saved.body
        ran = await server.http.post(f"{BASE}/templates/ask/run", {"inputs": {"say": '{"say": "hello"}'}})
        assert (ran.status, ran.json["text"]) == (200, "hello"), ran.body
