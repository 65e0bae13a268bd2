"""A response in the background is followed on after `kill -9`: what the client saw is void, what comes is exact."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.e2e.harness import Server, running
from tests.faces.client import as_script

pytestmark = pytest.mark.e2e
ATTEMPT = 1_000_000
CONFIG: dict[str, Any] = {
    "connections": {"lab": {"engine": "scripted", "slots": 8}},
    "models": {"demo": {"connection": "lab"}},
}


def sdk(server: Server) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=server.key, base_url=f"{server.url}/v1", max_retries=0)


async def behind(client: AsyncOpenAI, identifier: str, after: int) -> list[dict[str, Any]]:
    stream = await client.responses.retrieve(identifier, stream=True, starting_after=after)
    return [event.to_dict() async for event in stream]


async def test_a_response_is_followed_on_after_a_kill(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = as_script(
        [
            [{"say": "void text", "pieces": 2}, {"hang": True}],
            [{"say": "good ", "pieces": 1}, {"wait_file": str(go)}, {"say": "text", "pieces": 2}],
        ]
    )
    async with running(tmp_path / "home", CONFIG) as server:
        async with sdk(server) as client:
            ended = await client.responses.create(model="demo", input="over and done", background=True)
            whole = await behind(client, ended.id, 0)
            seen: list[dict[str, Any]] = []
            with suppress(Exception):  # however the connection breaks
                async for event in await client.responses.create(
                    model="demo", input=script, background=True, stream=True
                ):
                    seen.append(event.to_dict())
                    if [one["type"] for one in seen].count("response.output_text.delta") == 2:
                        await server.kill()
            identifier = seen[0]["response"]["id"]
        await server.start()
        async with sdk(server) as client:
            # what had ended is told in the same words, from any of its events
            for place, told in enumerate(whole):
                assert await behind(client, ended.id, told["sequence_number"]) == whole[place + 1 :]
            found: list[dict[str, Any]] = []
            stream = await client.responses.retrieve(
                identifier, stream=True, starting_after=seen[-1]["sequence_number"]
            )
            async for event in stream:
                found.append(event.to_dict())
                if event.type == "response.output_text.delta" and event.delta == "good ":
                    # and once more, from the middle of what comes now
                    joined = await client.responses.retrieve(
                        identifier, stream=True, starting_after=event.sequence_number
                    )
                    middle = len(found)
                    go.touch()
                    rest = [one.to_dict() async for one in joined]
            assert rest == found[middle:]
            void, added = found[:2]
            opened = next(one for one in seen if one["type"] == "response.output_item.added")
            assert (void["type"], void["sequence_number"]) == ("response.output_item.done", 2 * ATTEMPT + 1)
            assert void["output_index"] == opened["output_index"]
            assert (void["item"]["id"], void["item"]["status"]) == (opened["item"]["id"], "incomplete")
            assert (added["type"], added["output_index"]) == ("response.output_item.added", opened["output_index"] + 1)
            numbers = [one["sequence_number"] for one in seen + found]
            assert numbers == sorted(set(numbers))
            final = await client.responses.retrieve(identifier)
            assert final.output_text == "good text"
            assert found[-1]["response"]["output"] == final.to_dict()["output"]
