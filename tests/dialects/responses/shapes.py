"""Chunks, and the events that are made of them, each checked by the vendor's own types."""

from __future__ import annotations

from typing import Any

import msgspec
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from promptd.core.content import ToolCall
from promptd.core.model import Chunk, Usage
from promptd.dialects.responses import Writer

_event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = Usage(10, 5, 4, 3, 2)
DONE = Chunk("done", finish_reason="stop", usage=USAGE)


def writer(**more: Any) -> Writer:
    return Writer(id="resp_01", model="m", created=7.5, **more)


def progress(**said: Any) -> Chunk:
    return Chunk("progress", **said)


def call(index: int, identifier: str = "", name: str = "", arguments: str = "", custom: bool = False) -> Chunk:
    return progress(tool_calls=(ToolCall(index, identifier, name, arguments, custom),))


def events(frames: bytes) -> list[dict[str, Any]]:
    """The events, each of which the vendor's own types must take."""
    found = []
    for block in frames.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        _event.validate_python(event)
        found.append(event)
    return found


def stream(*chunks: Chunk, **more: Any) -> list[dict[str, Any]]:
    one = writer(**more)
    frames = one.begin() + b"".join([one.write(chunk) for chunk in chunks])
    return events(frames)


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]
