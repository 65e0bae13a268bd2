"""Limits by header and the prompts that a request causes: chains, repairs, batches and calls of targets count under the
request's own value, also after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from promptd.app.house import House
from promptd.core.model import Prompt
from promptd.core.policy import Charge, Policy
from promptd.testing.function_model import ScriptedFunctionModel
from promptd.testing.model_server import ModelServer
from promptd.testing.sockets import serve
from tests.faces.arch.ingress_lab import CALL, listener, user
from tests.faces.conftest import Server, run_server
from tests.service.targets.lab import Api, config, target
from tests.service.templates.lab import Pupil
from tests.waiting import eventually

PATIENCE = 20.0
LIMIT: dict[str, Any] = {
    "name": "tenants",
    "metric": "requests",
    "limit": 100,
    "window": 8_640_000,
    "scope": "header:x-tenant",
}
SECTIONS: dict[str, Any] = {
    "connections": {"lab": {"engine": "scripted"}, "school": {"engine": "pupil"}},
    "models": {"demo": {"connection": "lab"}, "pupil": {"connection": "school"}},
    "default_model": "demo",
    "limits": [LIMIT],
}
ACME = {"x-tenant": "acme"}
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
API = "/promptd/v1"


async def counted(house: House) -> dict[str, int]:
    """How often each value of the header was counted."""
    policy = Policy(**LIMIT)
    levels = await house.limits.peek([Charge(policy, value, 1) for value in ("acme", "")], now=time.time())
    return {value: policy.limit - level.remaining for value, level in zip(("acme", ""), levels, strict=True)}


async def save(server: Server, name: str, source: str, **more: Any) -> None:
    body = {"messages": [{"source": source}], **more}
    assert (await server.admin.post(f"{API}/templates/{name}/versions", body)).status == 201


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[Server]:
    async with run_server(tmp_path, engines={"pupil": Pupil()}, **SECTIONS) as server:
        await save(server, "obj", "an object", model="pupil", output={"kind": "json", "schema": SCHEMA})
        yield server


async def test_a_repair_counts_like_the_prompt_that_it_repairs(limited: Server) -> None:
    run = await limited.http.post(f"{API}/templates/obj/run?wait=10", {"inputs": {}}, headers=ACME)
    assert (run.status, run.json["value"]) == (200, {"a": 1})
    assert await counted(limited.house) == {"acme": 2, "": 0}


async def test_actions_of_a_chain_count_like_the_run_after_a_restart_too(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    actions = [{"name": "a", "template": "waits"}, {"name": "b", "template": "obj", "after": ["a"]}]
    async with run_server(tmp_path, engines={"pupil": Pupil()}, **SECTIONS) as server:
        await save(server, "waits", f'[{{"wait_file": "{gate}"}}, {{"say": "one"}}]')
        await save(server, "obj", "an object", model="pupil", output={"kind": "json", "schema": SCHEMA})
        assert (await server.admin.call("PUT", f"{API}/chains/c", {"actions": actions})).status == 200
        run = await server.http.post(f"{API}/chains/c/run", {"inputs": {}}, headers=ACME)
        async with asyncio.timeout(PATIENCE):
            while server.house.walk.worker.running(f"{run.json['id']}.a") is None:
                await asyncio.sleep(0)
        assert await counted(server.house) == {"acme": 1, "": 0}
    gate.touch()
    async with run_server(tmp_path, engines={"pupil": Pupil()}, **SECTIONS) as server:
        async with asyncio.timeout(PATIENCE):
            done = await server.house.walk.chains.finished(run.json["id"])
        assert done.status == "completed"
        assert await counted(server.house) == {"acme": 3, "": 0}, "both actions, and the repair of the second one"


async def test_what_began_before_a_limit_by_header_is_counted_for_those_who_left_it_out(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    actions = [{"name": "a", "template": "waits"}, {"name": "b", "template": "says", "after": ["a"]}]
    async with run_server(tmp_path, engines={"pupil": Pupil()}, **(SECTIONS | {"limits": []})) as server:
        await save(server, "waits", f'[{{"wait_file": "{gate}"}}, {{"say": "one"}}]')
        await save(server, "says", '[{"say": "two"}]')
        assert (await server.admin.call("PUT", f"{API}/chains/c", {"actions": actions})).status == 200
        run = await server.http.post(f"{API}/chains/c/run", {"inputs": {}}, headers=ACME)
        async with asyncio.timeout(PATIENCE):
            while server.house.walk.worker.running(f"{run.json['id']}.a") is None:
                await asyncio.sleep(0)
    gate.touch()
    async with run_server(tmp_path, engines={"pupil": Pupil()}, **SECTIONS) as server:
        async with asyncio.timeout(PATIENCE):
            done = await server.house.walk.chains.finished(run.json["id"])
        assert done.status == "completed"
        assert await counted(server.house) == {"acme": 0, "": 1}, "the second action"


async def test_lines_of_a_batch_count_like_its_request(limited: Server) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    form = (
        b'--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x\r\ncontent-disposition: form-data; '
    )
    form += b'name="file"; filename="in.jsonl"\r\n\r\n' + msgspec.json.encode(line) + b"\r\n--x--\r\n"
    typed = {"content-type": "multipart/form-data; boundary=x"}
    file = await limited.http.call("POST", "/v1/files", raw=form, headers=typed)
    wanted = {"input_file_id": file.json["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = await limited.http.post("/v1/batches", wanted, headers=ACME)
    assert batch.status == 200, batch.body

    async def completed() -> bool:
        found = await limited.http.get(f"/v1/batches/{batch.json['id']}")
        return bool(found.json["status"] == "completed")

    await eventually(completed)
    assert await counted(limited.house) == {"acme": 1, "": 0}


async def test_nothing_is_stored_of_headers_that_no_limit_asks_for(tmp_path: Path) -> None:
    async with run_server(tmp_path, engines={"pupil": Pupil()}, **(SECTIONS | {"limits": []})) as server:
        await save(server, "obj", "an object", model="pupil", output={"kind": "json", "schema": SCHEMA})
        run = await server.http.post(f"{API}/templates/obj/run?wait=10", {"inputs": {}}, headers=ACME)
        found = await server.house.database.records.get(Prompt, run.json["id"])
        assert found is not None
        assert found.counted == ()


async def test_a_call_of_a_target_counts_like_the_conversation(tmp_path: Path) -> None:
    api = Api()
    api.say({"temperature": 7})
    async with ModelServer() as model, serve(api.handle) as api.url:
        file = config(target("weather", "/w/{city}"))
        async with listener(tmp_path, file, model, api, ScriptedFunctionModel(CALL), limits=[LIMIT]) as door:
            answer = await door.post({"messages": [user("weather in Oslo")]}, **ACME)
            assert answer.status == 200, answer.body
            assert await counted(door.house) == {"acme": 2, "": 0}, "the call and the answer"
