"""Nothing that a client sends to a model listener is a 500 or hangs."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from promptd.testing.model_server import ModelServer
from tests.faces.arch.conftest import KEYS, Gate, file_for, run_gate

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PATHS = (
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
    "/v1/completions",
    "/routing/v1/chat/completions",
    "/routing/v1/messages",
    "/routing/v1/responses",
)
LIMIT = (
    "ratelimits: [{{model: gpt-4o, selector: {{key: user-id, value: '*'}}, limit: {{tokens: 100000, unit: second}}}}]"
)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    1e308,
    2**70,
    "",
    "\ud800",
    "\0",
    [],
    {},
    [None],
    [[[]]],
    {"a": {"b": []}},
    "x" * 3000,
    [{"role": "user", "content": None}],
    [{"role": "tool", "content": [{"type": "text"}], "model": 1}],
    [{"name": "n", "description": "d", "models": ["gpt-4o"], "selection_policy": {"prefer": "cheapest"}}],
)
MEMBERS = (
    "model",
    "messages",
    "input",
    "prompt",
    "stream",
    "max_tokens",
    "metadata",
    "routing_preferences",
    "tools",
    "tool_choice",
    "temperature",
    "stop",
    "n",
    "stream_options",
    "previous_response_id",
    "response_format",
    "background",
    "store",
    "instructions",
    "system",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with ModelServer() as upstream:
        file = file_for(upstream, LIMIT.format())
        async with run_gate(tmp_path_factory.mktemp("hostile"), file, environ=KEYS) as running:
            yield running


def bodies(path: str, chance: random.Random) -> list[bytes]:
    good: dict[str, Any] = {"model": "gpt-4o", "max_tokens": 9}
    turns = [{"role": "user", "content": "hello"}]
    good |= {"input": "hello"} if "responses" in path else {"prompt": "x"} if path.endswith("/completions") and "chat" not in path else {"messages": turns}  # fmt: skip
    made = []
    for _ in range(40):
        body = dict(good)
        for member in chance.sample(MEMBERS, chance.randint(1, 3)):
            body[member] = chance.choice(ODD)
        made.append(json.dumps(body).encode())
    return made


@pytest.mark.arch("9.6")
@pytest.mark.parametrize("path", PATHS)
async def test_odd_bodies(gate: Gate, path: str) -> None:
    chance = random.Random(path)
    for body in bodies(path, chance):
        headers = {"user-id": "a", "X-Model-Affinity": chance.choice(["", "s", "x" * 900])}
        async with asyncio.timeout(10):
            answer = await gate.http.post(path, raw=body, headers=headers)
        assert answer.status != 500, (body, answer.body)
        assert answer.status in (200, 202, 400, 404, 409, 413, 422, 429, 502), (answer.status, body, answer.body)


@pytest.mark.arch("9.6")
@pytest.mark.parametrize("value", ["", " ", "x" * 8000, "é", "default", "openai/", "*", "groq/*", "../x", '"'])
async def test_odd_headers(gate: Gate, value: str) -> None:
    for name in (
        "x-arch-llm-provider-hint",
        "X-Model-Affinity",
        "user-id",
        "x-arch-ratelimit-selector",
        "x-request-id",
    ):
        raw = value.encode().decode("latin-1")
        answer = await gate.chat("hello", model="gpt-4o", headers={name: raw})
        assert answer.status in (200, 400), (name, answer.body)
