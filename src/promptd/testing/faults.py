"""The ways in which `Upstream` answers, by model name: a few that work, and many that do not."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any


class Presence:
    """What exchanges share with their server: `go` lets `step-by-step` go on, `left` are the times clients hung up."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self._left: list[float] = []
        self._leaving = asyncio.Event()

    def note_leaving(self) -> None:
        self._left.append(asyncio.get_running_loop().time())
        self._leaving.set()

    async def left(self, count: int = 1) -> float:
        """When the `count`-th client hung up before its answer's end, in the loop's time."""
        while len(self._left) < count:
            self._leaving.clear()
            await self._leaving.wait()
        return self._left[count - 1]


class Wire:
    """One exchange from the server's side."""

    def __init__(self, presence: Presence, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.presence = presence
        self.reader = reader
        self.writer = writer
        self.keep = True

    def head(self, status: int, content_type: str, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} -", f"content-type: {content_type}", *headers]
        self.raw("\r\n".join(lines).encode() + b"\r\n\r\n")

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    def whole(self, status: int, body: Any, *headers: str, content_type: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.head(status, content_type, f"content-length: {len(data)}", *headers)
        self.raw(data)

    def refuse(self, status: int, message: str, *headers: str, **fields: Any) -> None:
        self.whole(status, {"error": {"message": message, **fields}}, *headers)

    def stream(self) -> None:
        self.head(200, "text/event-stream", "transfer-encoding: chunked")

    def chunk(self, data: bytes) -> None:
        self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, data: Any) -> None:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        self.chunk(f"data: {text}\n\n".encode())

    def say(self, text: str, finish_reason: str | None = None) -> None:
        self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}]})

    def finish(self, reason: str = "stop") -> None:
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        self.event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
        self.event("[DONE]")
        self.end()

    def end(self) -> None:
        self.chunk(b"")

    def close(self) -> None:
        self.keep = False

    async def hang(self) -> None:
        """Say nothing more until the client goes."""
        self.keep = False
        with suppress(ConnectionError):
            await self.reader.read()
        self.presence.note_leaving()

    def reset(self) -> None:
        """Close with RST, as a crashed machine or a hard firewall does."""
        self.keep = False
        held: socket.socket = self.writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Fault = Callable[[Wire, dict[str, Any]], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


def _fault(name: str) -> Callable[[Fault], Fault]:
    def register(fault: Fault) -> Fault:
        FAULTS[name] = fault
        return fault

    return register


def prompt_of(body: dict[str, Any]) -> str:
    """The raw prompt of a completion, or the last message of a chat with the kinds of what it holds besides text."""
    content = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
    if isinstance(content, list):
        return " ".join(part["text"] if part["type"] == "text" else part["type"] for part in content)
    return str(content)


# ------------------------------------------------------------------ what works


@_fault("echo")
async def _echo(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    for word in prompt_of(body).split(" "):
        if "prompt" in body:
            wire.event({"choices": [{"index": 0, "text": word + " "}]})
        else:
            wire.say(word + " ")
        await wire.writer.drain()
    wire.finish()


@_fault("step-by-step")
async def _step(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("first ")
    await wire.presence.go.wait()
    wire.say("second")
    wire.finish()


@_fault("tools")
async def _tools(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    for piece in (
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a":'}},
        {"index": 0, "function": {"arguments": "1}"}},
    ):
        wire.event({"choices": [{"index": 0, "delta": {"content": None, "tool_calls": [piece]}}]})
    wire.finish("tool_calls")


@_fault("whole")
async def _whole(wire: Wire, body: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "all at once"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    wire.whole(200, {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})


@_fault("utf8-split")
async def _utf8(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    text = json.dumps({"choices": [{"index": 0, "delta": {"content": "grüße 🌍"}}]}, ensure_ascii=False)
    for byte in f"data: {text}\r\n\r\n".encode():
        wire.chunk(bytes([byte]))
        await wire.writer.drain()
        await asyncio.sleep(0)
    wire.finish()


@_fault("no-done-mark")
async def _no_done(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("fine", "stop")
    wire.end()


@_fault("no-finish-reason")
async def _no_finish(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("fine")
    wire.event("[DONE]")
    wire.end()


@_fault("late-end")
async def _late_end(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("fine", "stop")
    wire.event("[DONE]")
    await wire.writer.drain()
    await asyncio.sleep(0.002)  # long enough for a packet of its own
    wire.end()


@_fault("reset-behind-finish")
async def _late_reset(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("fine", "stop")
    await wire.writer.drain()
    await wire.presence.go.wait()
    wire.reset()


# ------------------------------------------------------------------ what goes wrong


@_fault("slow-first-byte")
async def _slow(wire: Wire, body: dict[str, Any]) -> None:
    await wire.hang()


@_fault("slow-first-event")
async def _slow_event(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    await wire.hang()


@_fault("stall")
async def _stall(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("half of ")
    await wire.hang()


@_fault("reset")
async def _reset(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("half of ")
    await wire.writer.drain()
    wire.reset()


@_fault("closed-without-answer")
async def _closed(wire: Wire, body: dict[str, Any]) -> None:
    wire.close()


def _status(name: str, status: int, message: str, *headers: str, **fields: Any) -> None:
    async def fault(wire: Wire, body: dict[str, Any]) -> None:
        wire.refuse(status, message, *headers, **fields)

    _fault(name)(fault)


_status("400", 400, "temperature: not a number", type="invalid_request_error")
_status("401", 401, "Incorrect API key provided: sk-secret-of-the-test", code="invalid_api_key")
_status("402", 402, "pay first")
_status("403", 403, "not your model")
_status("404", 404, "no such model", code="model_not_found")
_status("408", 408, "too slow")
_status("413", 413, "too much")
_status("429", 429, "slow down", "retry-after: 7", code="rate_limit_exceeded")
_status("429-quota", 429, "You exceeded your current quota", code="insufficient_quota")
_status("500", 500, "oops", type="server_error")
_status("502", 502, "bad gateway")
_status("503", 503, "loading", "retry-after: 3")
_status("504", 504, "gateway timeout")
_status("529", 529, "overloaded", type="overloaded_error")
_status("context-length", 400, "maximum context length is 4096 tokens", code="context_length_exceeded")
_status("content-filter", 400, "blocked", code="content_filter")
_status("redirect", 302, "elsewhere", "location: http://127.0.0.1:1/")


@_fault("error-in-stream")
async def _error_event(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("half of ")
    wire.event({"error": {"message": "worker died", "type": "server_error"}})
    wire.end()


@_fault("filtered-answer")
async def _filtered(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.finish("content_filter")


@_fault("truncated-json")
async def _truncated(wire: Wire, body: dict[str, Any]) -> None:
    wire.whole(200, b'{"choices": [{"message": {"content": "half')


@_fault("truncated-event")
async def _truncated_event(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("half of ")
    wire.chunk(b'data: {"choices": [{"delta": {"con')
    wire.end()


@_fault("wrong-types")
async def _wrong_types(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.event({"choices": {"delta": 5}})


@_fault("garbage")
async def _garbage(wire: Wire, body: dict[str, Any]) -> None:
    wire.raw(bytes(range(256)) * 4)
    wire.close()


@_fault("garbage-event")
async def _garbage_event(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.event("\x00\x01 no json")


@_fault("empty-stream")
async def _empty(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.event("[DONE]")
    wire.end()


@_fault("cut-stream")
async def _cut(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("half of ")
    wire.end()


@_fault("gzip-bomb")
async def _bomb(wire: Wire, body: dict[str, Any]) -> None:
    data = gzip.compress(b"data: " + b" " * 16_000_000, 9)
    wire.head(200, "application/json", "content-encoding: gzip", f"content-length: {len(data) * 2}")
    wire.raw(data)
    await wire.hang()


@_fault("bad-gzip")
async def _bad_gzip(wire: Wire, body: dict[str, Any]) -> None:
    wire.whole(200, b"this is no gzip", "content-encoding: gzip")


@_fault("unknown-encoding")
async def _encoding(wire: Wire, body: dict[str, Any]) -> None:
    wire.whole(200, b"whatever", "content-encoding: br")


@_fault("endless-stream")
async def _endless(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    while True:
        wire.say("and on " * 100)
        await wire.writer.drain()


@_fault("endless-event")
async def _endless_event(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.chunk(b"data: ")
    while True:
        wire.chunk(b"x" * 16384)
        await wire.writer.drain()


@_fault("wrong-content-type")
async def _html(wire: Wire, body: dict[str, Any]) -> None:
    wire.whole(200, b"<html>Welcome to the hotel wireless network</html>", content_type="text/html; charset=utf-8")


@_fault("truncated-chunk")
async def _truncated_chunk(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.say("half of ")
    wire.raw(b"ff\r\ndata: {")
    wire.close()


@_fault("bad-chunk-size")
async def _bad_chunk(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.raw(b"zz\r\nhello\r\n")
    await wire.hang()


@_fault("short-body")
async def _short(wire: Wire, body: dict[str, Any]) -> None:
    wire.head(200, "application/json", "content-length: 1000")
    wire.raw(b'{"choices": []}')
    wire.close()


@_fault("header-bomb")
async def _header_bomb(wire: Wire, body: dict[str, Any]) -> None:
    wire.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        wire.raw(b"x-padding: " + b"x" * 4096 + b"\r\n")
        await wire.writer.drain()


@_fault("two-lengths")
async def _smuggle(wire: Wire, body: dict[str, Any]) -> None:
    wire.head(200, "application/json", "content-length: 4", "transfer-encoding: chunked")
    wire.raw(b"0\r\n\r\n")
    await wire.hang()
