"""A small server of the Messages API that checks what it is asked and misbehaves on demand: the model's name chooses how.

Raw sockets on 127.0.0.1. It answers streams and whole messages, counts tokens and lists models in pages.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from promptd.testing.faults import Wire
from promptd.testing.upstream import Received, Upstream

KEY: Final = "sk-ant-secret-of-the-test"
_USAGE: Final = {"input_tokens": 3, "cache_creation_input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 1}
_COUNTED: Final = ("max_tokens", "stream", "temperature", "stop_sequences", "metadata")

Block = dict[str, Any]
#: how blocks begin whose content comes in deltas
_EMPTY: Final[dict[str, Block]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}


class MessagesServer(Upstream):
    """The server, an async context manager. `base_url` is without the version, as the vendor's clients have it."""

    async def __aenter__(self) -> MessagesServer:
        await super().__aenter__()
        self.base_url = f"http://127.0.0.1:{self.port}"
        return self

    async def _answer(self, wire: Wire) -> None:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        data = await wire.reader.readexactly(int(headers.get("content-length", "0")))
        body = json.loads(data) if data else {}
        self.note(Received(method, target, headers, body))
        if headers.get("x-api-key") != KEY and headers.get("authorization") != f"Bearer {KEY}":
            refuse(wire, 401, "authentication_error", f"invalid x-api-key {headers.get('x-api-key', '')}")
        elif "anthropic-version" not in headers:
            refuse(wire, 400, "invalid_request_error", "anthropic-version: header is required")
        elif path == "/v1/models":
            _models(wire, query)
        elif problem := wrong(body, counting=path.endswith("/count_tokens")):
            refuse(wire, 400, "invalid_request_error", problem)
        elif path == "/v1/messages/count_tokens":
            wire.whole(200, {"input_tokens": sum(len(json.dumps(message)) for message in body["messages"])})
        elif path == "/v1/messages":
            await _ANSWERS[body["model"]](wire, body)
        else:
            refuse(wire, 404, "not_found_error", path)
        await wire.writer.drain()


def wrong(body: Block, *, counting: bool) -> str:
    """What the vendor would not take; empty where it would."""
    if counting:
        named = next((name for name in _COUNTED if name in body), None)
        if named:
            return f"{named}: Extra inputs are not permitted"
    elif type(body.get("max_tokens")) is not int:
        return "max_tokens: Field required"
    messages = body.get("messages")
    if not messages:
        return "messages: at least one message is required"
    open_calls: set[str] = set()
    for place, message in enumerate(messages):
        blocks = message["content"]
        blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
        if not blocks or any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            return f"messages.{place}: text content blocks must contain non-whitespace text"
        kinds = [block["type"] for block in blocks]
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != open_calls:
            return f"messages.{place}: each tool_use must have its tool_result in the next message"
        if "tool_result" in kinds[len(results) :]:
            return f"messages.{place}: tool_result blocks must come first"
        open_calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
    return ""


def refuse(wire: Wire, status: int, kind: str, message: str, *headers: str) -> None:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_of_the_service"}
    wire.whole(status, body, *headers)


def _models(wire: Wire, query: str) -> None:
    if "after_id=" in query:
        wire.whole(200, {"data": [{"id": "other"}], "has_more": False, "last_id": "other"})
    else:
        wire.whole(200, {"data": [{"id": "echo"}], "has_more": True, "last_id": "echo"})


def asked(body: Block) -> str:
    """The words of the last message, and the kinds of what it holds besides."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join([block["text"] if block["type"] == "text" else block["type"] for block in content])


def events(model: str, *blocks: Block, stop_reason: str = "end_turn", output: int = 7) -> Iterator[Block]:
    """The vendor's events for a message of `blocks`, whose texts come word by word."""
    message: Block = {
        "id": "msg_of_the_service",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _USAGE,
    }
    yield {"type": "message_start", "message": message}
    yield {"type": "ping"}
    for index, block in enumerate(blocks):
        kind = block["type"]
        yield {"type": "content_block_start", "index": index, "content_block": block | _EMPTY.get(kind, {})}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}}
    yield {"type": "message_stop"}


def _deltas(block: Block) -> Iterator[Block]:
    match block["type"]:
        case "text":
            for word in block["text"].split(" "):
                yield {"type": "text_delta", "text": word + " "}
        case "thinking":
            yield {"type": "thinking_delta", "thinking": block["thinking"]}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            arguments = json.dumps(block["input"])
            for at in range(0, len(arguments), 5):
                yield {"type": "input_json_delta", "partial_json": arguments[at : at + 5]}


def spelled(event: Block) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def text(words: str) -> Block:
    return {"type": "text", "text": words}


def _say(wire: Wire, body: Block, *blocks: Block, stop_reason: str = "end_turn") -> None:
    """A proper answer, as a stream or whole as it was asked."""
    told = list(events(body["model"], *blocks, stop_reason=stop_reason))
    if not body.get("stream"):
        usage = _USAGE | {"output_tokens": 7}
        message = told[0]["message"] | {"content": list(blocks), "stop_reason": stop_reason, "usage": usage}
        wire.whole(200, message)
        return
    wire.stream()
    for event in told:
        wire.chunk(spelled(event))
    wire.end()


Answer = Callable[[Wire, Block], Awaitable[None]]
_ANSWERS: dict[str, Answer] = {}


def _answers(name: str) -> Callable[[Answer], Answer]:
    def register(answer: Answer) -> Answer:
        _ANSWERS[name] = answer
        return answer

    return register


@_answers("echo")
async def _echo(wire: Wire, body: Block) -> None:
    _say(wire, body, text(asked(body)))


@_answers("everything")
async def _everything(wire: Wire, body: Block) -> None:
    _say(
        wire,
        body,
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "sealed"},
        text("let me look"),
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": [1, 2]}},
        {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
        stop_reason="tool_use",
    )


@_answers("step-by-step")
async def _step(wire: Wire, body: Block) -> None:
    wire.stream()
    told = list(events(body["model"], text("first second")))
    for event in told[:4]:
        wire.chunk(spelled(event))
    await wire.writer.drain()
    await wire.presence.go.wait()
    for event in told[4:]:
        wire.chunk(spelled(event))
    wire.end()


@_answers("byte-by-byte")
async def _bytes(wire: Wire, body: Block) -> None:
    wire.stream()
    for event in events(body["model"], text("Zwölf Bäume 🌲")):
        for byte in spelled(event):
            wire.chunk(bytes([byte]))
    wire.end()


@_answers("stall")
async def _stall(wire: Wire, body: Block) -> None:
    wire.stream()
    for event in list(events(body["model"], text("one two")))[:4]:
        wire.chunk(spelled(event))
    await wire.hang()


@_answers("slow-first-byte")
async def _silent(wire: Wire, body: Block) -> None:
    await wire.hang()


@_answers("always-whole")
async def _whole(wire: Wire, body: Block) -> None:
    _say(wire, {**body, "stream": False}, text("all at once"))


@_answers("cut")
async def _cut(wire: Wire, body: Block) -> None:
    wire.stream()
    for event in list(events(body["model"], text("one two")))[:4]:
        wire.chunk(spelled(event))
    wire.end()


@_answers("cut-behind-the-answer")
async def _cut_late(wire: Wire, body: Block) -> None:
    wire.stream()
    for event in list(events(body["model"], text("one")))[:-1]:
        wire.chunk(spelled(event))
    wire.close()


@_answers("fails-in-the-middle")
async def _fails(wire: Wire, body: Block) -> None:
    wire.stream()
    for event in list(events(body["model"], text("one two")))[:4]:
        wire.chunk(spelled(event))
    wire.chunk(spelled({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
    wire.end()


@_answers("html")
async def _html(wire: Wire, body: Block) -> None:
    wire.whole(200, b"<html>Welcome</html>", content_type="text/html")


@_answers("no-json")
async def _no_json(wire: Wire, body: Block) -> None:
    wire.whole(200, b"nothing of the kind")


@_answers("endless-event")
async def _endless(wire: Wire, body: Block) -> None:
    wire.stream()
    wire.chunk(b"data: ")
    while True:
        wire.chunk(b"x" * 65536)
        await wire.writer.drain()
        await asyncio.sleep(0)


def _refusal(status: int, kind: str, message: str, *headers: str) -> Answer:
    async def answer(wire: Wire, body: Block) -> None:
        refuse(wire, status, kind, message, *headers)

    return answer


_ANSWERS |= {
    "429": _refusal(429, "rate_limit_error", "slow down", "retry-after: 7"),
    "529": _refusal(529, "overloaded_error", "Overloaded"),
    "500": _refusal(500, "api_error", "Internal server error"),
    "404": _refusal(404, "not_found_error", "model: nothing"),
    "403": _refusal(403, "permission_error", "not for you"),
    "413": _refusal(413, "request_too_large", "Request exceeds the maximum size"),
    "402": _refusal(402, "billing_error", "pay first"),
    "504": _refusal(504, "timeout_error", "took too long"),
    "400": _refusal(400, "invalid_request_error", "messages.0: wrong"),
    "too-long": _refusal(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
    "poor": _refusal(400, "invalid_request_error", "Your credit balance is too low to access the API"),
}
