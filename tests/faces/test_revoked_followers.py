"""Who follows a stored prompt over a vendor's wire is cut off with its key or session; the prompt itself runs on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.faces.client import Http, as_script
from tests.faces.conftest import Server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PATIENCE = 10.0
SCRIPT = as_script([{"say": "half"}, {"hang": True}])
SAID = [{"role": "user", "content": SCRIPT}]
OURS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "demo", "messages": SAID},
    "/v1/messages": {"model": "demo", "max_tokens": 100, "messages": SAID},
    "/v1/responses": {"model": "demo", "input": SCRIPT},
}


async def revoked(server: Server, user: str, call: Any) -> bytes:
    """What a caller hears whose key is revoked once its prompt runs."""
    key, secret = await server.house.walk.keys.store(name="test", user=user)
    calling = asyncio.create_task(call(Http(server.port, secret)))
    worker = server.house.walk.worker
    async with asyncio.timeout(PATIENCE):
        while not (runs := [run for run in worker._runs.values() if run.prompt.user == user and run.said]):
            await asyncio.sleep(0)
    assert (await server.admin.call("DELETE", f"/promptd/v1/keys/{key.id}")).status == 200
    async with asyncio.timeout(PATIENCE):
        said: bytes = await calling
    assert worker.running(runs[0].prompt.id) is runs[0], "it has a receipt"
    assert runs[0].stopped is None
    assert (await server.admin.post(f"/promptd/v1/prompts/{runs[0].prompt.id}/cancel")).status == 200
    return said


@pytest.mark.parametrize("path", OURS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_with_an_idempotency_key(shared: Server, path: str, streamed: bool) -> None:
    async def call(http: Http) -> bytes:
        headers = {"Idempotency-Key": f"once-{path}-{streamed}"}
        if not streamed:
            answer = await http.call("POST", path, OURS[path], headers=headers)
            assert answer.status == 401
            return answer.body
        async with http.stream(path, OURS[path] | {"stream": True}, headers=headers) as stream:
            return await stream.rest()

    said = await revoked(shared, f"once-{path[4:]}-{streamed}", call)
    assert b"the session or key has ended" in said


async def test_a_background_response(shared: Server) -> None:
    async def call(http: Http) -> bytes:
        body = OURS["/v1/responses"] | {"stream": True, "background": True}
        async with http.stream("/v1/responses", body) as stream:
            return await stream.rest()

    assert b"the session or key has ended" in await revoked(shared, "background", call)
