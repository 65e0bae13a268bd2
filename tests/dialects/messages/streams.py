"""Streams of the Messages API: written down, taken apart, and judged as the vendor's own client would."""

from __future__ import annotations

import json
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from promptd.core.chunks import gather
from promptd.core.model import Answer, Chunk, Usage
from promptd.dialects.messages import Reader, Writer
from promptd.dialects.sse import Parser

_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
START = {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}}
STOP = {"type": "message_stop"}


def spelled(*events: dict[str, Any], named: bool = True) -> bytes:
    """Events as a service sends them."""
    lines = []
    for event in events:
        head = f"event: {event['type']}\n" if named else ""
        lines.append(f"{head}data: {json.dumps(event, ensure_ascii=False)}\n\n")
    return "".join(lines).encode()


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str = "end_turn", output: int = 5, **usage: Any) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": output, **usage},
    }


def read(*packets: bytes) -> list[Chunk]:
    reader = Reader()
    chunks = [chunk for packet in packets for chunk in reader.feed(packet)]
    return chunks + reader.finish()


def answer_of(chunks: list[Chunk] | tuple[Chunk, ...]) -> Answer:
    """What `progress` chunks and their `done` make; a finished stream has exactly one `done`, at its end."""
    *pieces, done = chunks
    assert done.kind == "done"
    assert all(piece.kind == "progress" for piece in pieces)
    return gather(pieces, done, done.usage or Usage(), "msg_1")


def written(*chunks: Chunk, writer: Writer | None = None) -> list[dict[str, Any]]:
    """The events that a client gets, each looked at with the vendor's own types."""
    made = writer or Writer(id="msg_1", model="m", created=1.0)
    data = made.begin() + b"".join([made.write(chunk) for chunk in chunks])
    events = []
    for event in Parser().feed(data):
        wire = json.loads(event.data)
        assert wire["type"] == event.name
        _EVENT.validate_python(wire)
        events.append(wire)
    return events


def check_order(events: list[dict[str, Any]]) -> Message:
    """The order that the vendor promises, and the message that its client makes of it."""
    assert [event["type"] for event in events[:1]] == ["message_start"]
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    message = dict(events[0]["message"])
    content: list[dict[str, Any]] = []
    pieces: dict[int, str] = {}
    open_block = False
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert not open_block
            assert event["index"] == len(content)
            content.append(dict(event["content_block"]))
            open_block = True
            continue
        assert open_block
        assert event["index"] == len(content) - 1
        if event["type"] == "content_block_stop":
            open_block = False
            if content[-1]["type"] == "tool_use":
                content[-1]["input"] = json.loads(pieces.pop(event["index"], "{}"))
            continue
        assert event["type"] == "content_block_delta"
        piece, block = event["delta"], content[-1]
        assert piece["type"] in {
            "text": ["text_delta"],
            "thinking": ["thinking_delta", "signature_delta"],
            "tool_use": ["input_json_delta"],
        }.get(block["type"], [])
        if piece["type"] == "input_json_delta":
            pieces[event["index"]] = pieces.get(event["index"], "") + piece["partial_json"]
        else:
            name = piece["type"].removesuffix("_delta")
            block[name] += piece[name]
    assert not open_block
    ending = events[-2]
    message |= {"content": content, **ending["delta"], "usage": message["usage"] | ending["usage"]}
    return Message.model_validate(message)
