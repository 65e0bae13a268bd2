"""A model server that is as cheap as one can be: prebuilt bytes on one asyncio protocol, and a count of what it told.

    python -m bench.gateway.upstream --port 0        # prints its port

`POST /v1/chat/completions` answers 1 KB, or `LARGE` bytes where the body holds `size:large`, or a stream where it asks for
one; with `hold:open` in the body the stream says one chunk and then nothing. `GET /__told` gives requests, streams and
token sums so far.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from typing import Any, cast

import msgspec
import uvloop

MODEL = "bench-model"
INPUT_TOKENS, OUTPUT_TOKENS = 180, 120
CHUNKS = 100
INTERVAL = 0.01  # seconds between two chunks of a stream
LARGE = 32 * 1024
WORDS = "A durable queue keeps every accepted prompt until a worker has finished it, so a crash between loses nothing. "

_STREAM = re.compile(rb'"stream"\s*:\s*true')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
_COUNTS = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}
_HEAD = {"id": "chatcmpl-bench", "created": 1_700_000_000, "model": MODEL, "system_fingerprint": "fp_bench"}


def _http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _whole(size: int) -> bytes:
    text = (WORDS * (size // len(WORDS) + 1))[: size - 420]  # the rest of the object takes so much
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _http(msgspec.json.encode({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _COUNTS}))


def _event(data: bytes) -> bytes:
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _event(msgspec.json.encode({**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}))


_SMALL_ANSWER, _LARGE_ANSWER = _whole(1024), _whole(LARGE)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
_FIRST = _chunk({"role": "assistant", "content": ""})
_TOKEN = _chunk({"content": " durable"})
_LAST = _chunk({}, "stop")
_LAST_USAGE = _event(msgspec.json.encode({**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _COUNTS}))
_DONE = _event(b"[DONE]") + b"0\r\n\r\n"
_MODELS = _http(
    msgspec.json.encode({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "bench"}]})
)
_EMPTY, _NOT_FOUND = _http(b"{}"), _http(b'{"error":{"message":"no such path"}}', "404 Not Found")


class Told(msgspec.Struct):
    """What clients were told. A stream without a wish for usage is told none, but its tokens are spent all the same."""

    requests: int = 0
    streams: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Connection(asyncio.Protocol):
    def __init__(self, loop: asyncio.AbstractEventLoop, told: Told) -> None:
        self._loop, self._told = loop, told
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        while buffer:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            start = end + 4
            length = _LENGTH.search(buffer, 0, end)
            if length is not None:
                stop = start + int(length[1])
                if len(buffer) < stop:
                    return
            elif b"chunked" in buffer[:end].lower():
                last = buffer.find(b"0\r\n\r\n", start)
                if last < 0:
                    return
                stop = last + 5
            else:
                stop = start
            head, body = buffer[:end], buffer[start:stop]
            self._buffer = buffer = buffer[stop:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/chat/completions"):
            told = self._told
            told.requests += 1
            told.input_tokens += INPUT_TOKENS
            told.output_tokens += OUTPUT_TOKENS
            if _STREAM.search(body):
                told.streams += 1
                self._write(_STREAM_HEAD + _FIRST)
                if b"hold:open" not in body:
                    self._loop.call_later(INTERVAL, self._next, CHUNKS - 2, _USAGE.search(body) is not None)
            else:
                self._write(_LARGE_ANSWER if b"size:large" in body else _SMALL_ANSWER)
        elif path == b"/__told":
            self._write(_http(msgspec.json.encode(self._told)))
        elif path.endswith(b"/models"):
            self._write(_MODELS)
        else:
            self._write(_EMPTY if path.startswith(b"/health") else _NOT_FOUND)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _next(self, left: int, usage: bool) -> None:
        if self._transport is None:
            return
        if left:
            self._write(_TOKEN)
            self._loop.call_later(INTERVAL, self._next, left - 1, usage)
        else:
            self._write(_LAST + (_LAST_USAGE if usage else b"") + _DONE)


async def main(port: int) -> None:
    loop, told = asyncio.get_running_loop(), Told()
    server = await loop.create_server(lambda: Connection(loop, told), "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    options: Any = parser.parse_args()
    uvloop.run(main(options.port))
