"""Templates and chains over HTTP against callers that leave, come back, or ask for what is not theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.faces.client import Http, problem, text_of
from tests.faces.conftest import Serve, Server
from tests.service.templates.lab import Pupil
from tests.waiting import eventually

BASE = "/promptd/v1"
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}


async def save(http: Http, name: str, source: str, **more: Any) -> None:
    response = await http.post(
        f"{BASE}/templates/{name}/versions", {"messages": [{"role": "user", "source": source}], **more}
    )
    assert response.status == 201, response.body


# ---------------------------------------------------------------- who may what


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "templates/t/versions", {"messages": [{"source": "x"}]}),
        ("POST", "templates/t/versions/check", {"messages": [{"source": "x"}]}),
        ("POST", "templates/t/versions/test", {"messages": [{"source": "x"}]}),
        ("DELETE", "templates/t", None),
        ("PUT", "templates/t/labels/production", {"versions": [{"version": 1}]}),
        ("POST", "templates/t/labels/production/rollback", {}),
        ("PUT", "templates/t/guards", {"labels": []}),
        ("PUT", "partials/p", {"source": "x"}),
        ("DELETE", "partials/p", None),
        ("PUT", "terms", {"values": {}}),
        ("PUT", "chains/c", {"actions": [{"name": "a", "template": "t"}]}),
        ("DELETE", "chains/c", None),
    ],
)
async def test_an_ordinary_key_changes_nothing_that_others_use(
    server: Server, method: str, path: str, body: Any
) -> None:
    await save(server.admin, "t", '[{"say": "hi"}]')
    problem(await server.http.call(method, f"{BASE}/{path}", body), 403, "forbidden")


async def test_a_run_of_a_chain_is_there_for_its_owner_alone(server: Server) -> None:
    await save(server.admin, "wait", '[{"hang": true}]')
    chain = {"actions": [{"name": "a", "template": "wait"}]}
    assert (await server.admin.call("PUT", f"{BASE}/chains/c", chain)).status == 200
    run = (await server.http.post(f"{BASE}/chains/c/run", {})).json["id"]
    eve = await server.client("eve")
    problem(await eve.get(f"{BASE}/chain-runs/{run}"), 404, "not_found")
    problem(await eve.post(f"{BASE}/chain-runs/{run}/cancel", {}), 404, "not_found")
    problem(await eve.get(f"{BASE}/prompts/{run}.a"), 404, "not_found")
    problem(await eve.post(f"{BASE}/prompts/{run}.a/cancel", {}), 404, "not_found")
    assert (await server.http.post(f"{BASE}/chain-runs/{run}/cancel", {})).json["status"] == "canceled"
    problem(await server.http.post(f"{BASE}/chain-runs/{run}/cancel", {}), 409, "conflict")


async def test_an_action_whose_prompt_is_cancelled_by_its_id_has_failed(server: Server) -> None:
    await save(server.admin, "wait", '[{"hang": true}]')
    chain = {"actions": [{"name": "a", "template": "wait"}]}
    assert (await server.admin.call("PUT", f"{BASE}/chains/c", chain)).status == 200
    run = (await server.http.post(f"{BASE}/chains/c/run", {})).json["id"]

    async def cancelled() -> bool:
        return (await server.http.post(f"{BASE}/prompts/{run}.a/cancel", {})).status != 404

    await eventually(cancelled)
    ended = (await server.http.get(f"{BASE}/chain-runs/{run}?wait=10")).json
    assert (ended["status"], ended["code"]) == ("failed", "cancelled")


# ---------------------------------------------------------------- who leaves


async def test_cases_end_with_the_caller_that_had_them_run(server: Server) -> None:
    cases = [{"name": f"c{number}", "inputs": {}} for number in range(3)]
    await save(server.admin, "hang", '[{"hang": true}]', cases=cases)

    async def busy() -> bool:
        return server.house.walk.worker.load()["lab"][1] > 0

    async def idle() -> bool:
        return not await busy()

    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST {BASE}/templates/hang/test HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {server.admin.key}\r\n"
    writer.write(f"{head}content-length: 2\r\ncontent-type: application/json\r\n\r\n{{}}".encode())
    await eventually(busy)
    writer.transport.abort()
    await eventually(idle)
    assert server.house.walk.worker.resting


# ---------------------------------------------------------------- repaired streams


async def test_a_repaired_stream_can_be_picked_up_at_each_of_its_events(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    pupil, go = Pupil(), asyncio.Event()
    execute = pupil.execute

    async def slow(call: Any) -> Any:
        if len(call.messages) > 1:
            await go.wait()
        return await execute(call)

    monkeypatch.setattr(pupil, "execute", slow)
    async with serve(engines={"pupil": pupil}, connections={"lab": {"engine": "pupil"}}) as server:
        await save(server.admin, "obj", "x", output={"kind": "json", "schema": SCHEMA}, model="demo")
        async with server.http.stream(f"{BASE}/templates/obj/run", {"inputs": {}}) as stream:
            seen = [await stream.event()]
            go.set()
            seen += await stream.events()
            prompt = stream.headers["x-prompt-id"]
        assert [event.name for event in seen] == ["progress", "restart", "progress", "done"]
        assert (text_of(seen), seen[-1].data["value"]) == ('{"a": 1}', {"a": 1})
        for place in range(len(seen) - 1):
            rest = await server.http.read(f"{BASE}/prompts/{prompt}/events", last=seen[place].id)
            assert text_of([*seen[: place + 1], *rest]) == '{"a": 1}', place
            assert rest[-1].data["value"] == {"a": 1}
