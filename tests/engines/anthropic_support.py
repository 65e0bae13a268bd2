"""What the tests of the `anthropic` engine share: a server with faults, and calls to it."""

from __future__ import annotations

import json
from typing import Any

from promptd.core.chunks import gather
from promptd.core.content import Turn
from promptd.core.engine import Call
from promptd.core.errors import (
    InputTooLarge,
    InvalidInput,
    PermissionDenied,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Answer, Chunk, Native, Usage
from promptd.dialects.messages import DIALECT
from promptd.egress import Egress
from promptd.engines.anthropic import Anthropic, AnthropicConfig
from promptd.testing.messages_server import KEY, MessagesServer

TURNS = (Turn("user", "hello there"),)
FAILURES: list[tuple[str, type[PromptExecutionError]]] = [
    ("400", InvalidInput),
    ("too-long", InputTooLarge),
    ("poor", QuotaExceeded),
    ("402", QuotaExceeded),
    ("403", PermissionDenied),
    ("404", ResourceNotFound),
    ("413", InputTooLarge),
    ("429", RateLimited),
    ("500", ServiceUnavailable),
    ("504", Timeout),
    ("529", ServiceUnavailable),
]


def settings(server: MessagesServer, **changes: Any) -> AnthropicConfig:
    return AnthropicConfig.model_validate({"base_url": server.base_url, "api_key": KEY} | changes)


def call(connection: AnthropicConfig, http: Egress, model: str = "echo", **fields: Any) -> Call[AnthropicConfig, Any]:
    return Call(connection=connection, connection_name="c", model=model, http=http, **({"messages": TURNS} | fields))


def native(
    connection: AnthropicConfig, http: Egress, model: str = "echo", *, stream: bool = False, **fields: Any
) -> Call[AnthropicConfig, Any]:
    wire: dict[str, Any] = {
        "model": "alias",
        "max_tokens": 9,
        "future": {"x": 1},
        "messages": [{"role": "user", "content": "hello there"}],
    }
    body = json.dumps(wire | ({"stream": True} if stream else {})).encode()
    return call(connection, http, model, native=Native(DIALECT, body, stream), **fields)


async def run(made: Call[AnthropicConfig, Any]) -> list[Chunk]:
    return [chunk async for chunk in Anthropic().run(made)]


def told(chunks: list[Chunk]) -> Answer:
    *pieces, done = chunks
    assert done.kind == "done"
    return gather(pieces, done, done.usage or Usage(), "m")
