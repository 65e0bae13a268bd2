"""Background responses and batches through `kill -9`: streams resume where they broke, no line is lost or done twice."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import openai
import pytest

from promptd.testing.model_server import ModelServer
from tests.e2e.harness import PAUSE_SECONDS, Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LINES, KILLS, SEED = 60, 5, 11337
FINAL = ("completed", "failed", "cancelled", "expired", "incomplete")
T = TypeVar("T")


def config(openai_upstream: ModelServer, anthropic_upstream: ModelServer, *, slots: int = 4) -> dict[str, Any]:
    def connection(engine: str, server: ModelServer) -> dict[str, Any]:
        address = server.base_url if engine == "openai" else server.origin
        return {"engine": engine, "base_url": address, "api_key": server.key, "slots": slots}

    return {
        "connections": {
            "up": connection("openai", openai_upstream),
            "claude": connection("anthropic", anthropic_upstream),
        },
        "models": {
            "gpt": {"connection": "up", "upstream": "script"},
            "claude": {"connection": "claude", "upstream": "script"},
        },
        # the kills are random, so a prompt must not be suspected for having been there
        "queue": {"quarantine_after": 1000, "rescue_limit": 1000},
        "retry": {"base_seconds": 1},
    }


def sdk(server: Server) -> Any:
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0, timeout=30)


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """Call until it is answered: the server may be gone for a while."""
    while True:
        try:
            return await call()
        except (openai.APIConnectionError, openai.InternalServerError):
            await asyncio.sleep(PAUSE_SECONDS)


class Follower:
    """Reads a background response's stream and comes back with the last number it saw, as the SDK's docs say."""

    def __init__(self, client: Any, identifier: str) -> None:
        self.client, self.identifier = client, identifier
        self.events: list[Any] = []
        self.visits = 0
        self.begun = asyncio.Event()

    async def read(self) -> Any:
        while True:
            try:
                await self._connect()
            except openai.APIError:
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception as error:  # the transport's own, of which the SDK lets some through
                if type(error).__module__.split(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2"):
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            if self.events and self.events[-1].type == "response.completed":
                return self.events[-1].response

    async def _connect(self) -> None:
        options = {"starting_after": self.events[-1].sequence_number} if self.events else {}
        stream = await self.client.responses.retrieve(self.identifier, stream=True, **options)
        self.visits += 1
        async for event in stream:
            self.events.append(event)
            if event.type == "response.output_text.delta":
                self.begun.set()


async def test_background_response_resumes_after_kill(tmp_path: Path) -> None:
    async with (
        ModelServer() as upstream,
        running(tmp_path / "home", config(upstream, upstream)) as server,
        sdk(server) as client,
    ):
        words = " ".join(f"word{number}" for number in range(40))
        receipt = await client.responses.create(model="gpt", input=f"{words}\n/hold gate", background=True)
        assert receipt.status in ("queued", "in_progress")
        follower = Follower(client, receipt.id)
        reading = asyncio.create_task(follower.read())
        await asyncio.wait_for(follower.begun.wait(), 20)
        await server.kill()
        upstream.release("gate")
        await server.start()
        final = await asyncio.wait_for(reading, 60)

        assert final.status == "completed"
        assert final.output_text == f"You said: {words}"
        assert follower.visits >= 2
        numbers = [event.sequence_number for event in follower.events]
        assert all(one < next_ for one, next_ in pairwise(numbers)), "numbers must only grow"
        # what the killed attempt said is void: its item ended as incomplete, and the last one holds the whole text
        texts: dict[int, str] = {}
        for event in follower.events:
            if event.type == "response.output_text.delta":
                texts[event.output_index] = texts.get(event.output_index, "") + event.delta
        assert texts[max(texts)] == f"You said: {words}"
        if len(texts) > 1:
            void = next(event for event in follower.events if event.type == "response.output_item.done")
            assert void.item.status == "incomplete"
        # who comes late sees the same, from any point on
        for start in (0, len(numbers) // 2, len(numbers) - 2):
            late = [
                event
                async for event in await client.responses.retrieve(
                    receipt.id, stream=True, starting_after=numbers[start]
                )
            ]
            assert [event.sequence_number for event in late][-1] == numbers[-1]
            assert late[-1].response.output_text == f"You said: {words}"
        polled = await client.responses.retrieve(receipt.id)
        assert (polled.status, polled.output_text) == ("completed", f"You said: {words}")
        assert [exchange.outcome for exchange in upstream.exchanges].count("whole") == 1


async def test_receipts_survive_a_kill_before_anything_ran(tmp_path: Path) -> None:
    async with ModelServer() as upstream, running(tmp_path / "home", config(upstream, upstream, slots=1)) as server:
        async with sdk(server) as client:
            first = await client.responses.create(model="gpt", input="first\n/hold first", background=True)
            waiting = [await client.responses.create(model="gpt", input=f"n{n}", background=True) for n in range(5)]
            await asyncio.wait_for(upstream.holding("first"), 20)
        await server.kill()
        upstream.release("first")
        await server.start()
        async with sdk(server) as client:
            for n, receipt in enumerate([first, *waiting]):
                async with asyncio.timeout(30):
                    async for _ in await client.responses.retrieve(receipt.id, stream=True):
                        pass  # ends with the response
                found = await client.responses.retrieve(receipt.id)
                assert found.status == "completed"
                assert found.output_text == ("You said: first" if n == 0 else f"You said: n{n - 1}")


async def test_batch_survives_kills(tmp_path: Path) -> None:
    """One batch over three dialects' worth of lines in two upstreams; the server is killed at random moments."""
    random_ = random.Random(SEED)
    async with ModelServer() as one, ModelServer() as two, running(tmp_path / "home", config(one, two)) as server:
        lines = []
        for number in range(LINES):
            body = {
                "model": ("gpt", "claude")[number % 2],
                "messages": [{"role": "user", "content": f"line {number}\n/pace 0.02"}],
            }
            lines.append({"custom_id": f"l{number}", "method": "POST", "url": "/v1/chat/completions", "body": body})
        async with sdk(server) as client:
            content = "\n".join(json.dumps(line) for line in lines).encode()
            file = await client.files.create(file=("in.jsonl", content), purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )

            async def progress() -> Any:
                return await persistently(lambda: client.batches.retrieve(batch.id))

            for _ in range(KILLS):
                before = (await progress()).request_counts.completed
                goal = min(before + random_.randint(0, 8), LINES - 5)
                while (found := await progress()).request_counts.completed < goal and found.status not in FINAL:
                    await asyncio.sleep(PAUSE_SECONDS / 4)
                await server.kill()
                await server.start()
            async with asyncio.timeout(120):
                while (found := await progress()).status not in FINAL:
                    await asyncio.sleep(PAUSE_SECONDS)
            assert found.status == "completed", found
            counts = found.request_counts
            assert (counts.total, counts.completed, counts.failed) == (LINES, LINES, 0)
            output = (await client.files.content(found.output_file_id)).content
        answers = [json.loads(line) for line in output.splitlines()]
        assert Counter(answer["custom_id"] for answer in answers) == Counter(f"l{n}" for n in range(LINES))
        for answer in answers:
            said = answer["response"]["body"]["choices"][0]["message"]["content"]
            assert said == f"You said: line {answer['custom_id'][1:]}"
        async with server.client() as native:
            rows, after = [], None
            while True:
                page = (
                    await native.get("/prompts", params={"limit": "100"} | ({"after": after} if after else {}))
                ).json()
                rows += page["items"]
                after = page["after"]
                if after is None:
                    break
        done = [row for row in rows if row["status"] == "completed" and row["parent_id"] is not None]
        assert len(done) == LINES, "a line ran twice to its end, or its prompt is not there"
        assert one.complaints == two.complaints == []
