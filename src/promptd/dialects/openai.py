"""The OpenAI API as an engine speaks it: run a call, decode what comes back (`openai_request.py` encodes).

Nothing that an upstream sends is trusted: every odd answer ends in a defined result or a typed error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from promptd.core.engine import Call
from promptd.core.errors import (
    ContentFiltered,
    InvalidOutput,
    NetworkError,
    Timeout,
)
from promptd.core.model import Capability, Chunk, ToolCall, Usage
from promptd.core.ports import HttpClient, HttpResponse, Timeouts
from promptd.dialects import sse
from promptd.dialects.errors import error_from_object, error_from_response
from promptd.dialects.openai_media import decode_media, encode_media
from promptd.dialects.openai_request import capability_of, encode_request
from promptd.dialects.responses import error_body

__all__ = [
    "MAX_BYTES",
    "capability_of",
    "chat_stream",
    "decode_embeddings",
    "decode_models",
    "decode_response",
    "encode_request",
    "list_models",
    "raise_for_status",
    "run_media",
    "run_openai",
]

_DONE = b"[DONE]"
_DRAIN = 0.02  # seconds
_DEFAULT_TIMEOUTS = Timeouts()
MAX_BYTES = 64 * 1024 * 1024  #: of one answer, decoded
_PATHS = {
    Capability.CHAT: "/chat/completions",
    Capability.VISION: "/chat/completions",
    Capability.COMPLETION: "/completions",
    Capability.EMBEDDING: "/embeddings",
}


# ------------------------------------------------------------------ decode


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolPiece(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Content(Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolPiece] | None = None


class _Choice(Struct):
    index: int | None = None
    delta: _Content | None = None
    message: _Content | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Cached(Struct):
    cached_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Cached | None = None

    def counted(self) -> Usage:
        details = self.prompt_tokens_details
        counts = (self.prompt_tokens, self.completion_tokens, details.cached_tokens if details else 0)
        return Usage(*[max(0, count or 0) for count in counts])


class _Completion(Struct):
    """A whole chat or text completion, or one event of its stream."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


class _Embedding(Struct):
    embedding: list[float]
    index: int | None = None


class _Embeddings(Struct):
    data: list[_Embedding] | None = None
    usage: _Usage | None = None
    error: Any = None


class _ListedModel(Struct):
    id: str


class _Models(Struct):
    data: list[_ListedModel]


_decode_completion = msgspec.json.Decoder(_Completion).decode
_decode_embeddings = msgspec.json.Decoder(_Embeddings).decode
_decode_models = msgspec.json.Decoder(_Models).decode


class _Reading:
    """What a completion's events have said so far."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = secrets
        self._spoke = False
        self._refusal = ""
        self._usage = Usage()
        self._indexes: dict[str, int] = {}  # of tool calls, for servers that leave them out
        self.answered = False  #: there was a choice at all
        self.finish_reason: str | None = None

    def take(self, data: bytes) -> Chunk | None:
        """The `progress` of one event or whole body. Raises what its `error` means, or `InvalidOutput`."""
        try:
            event = _decode_completion(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidOutput("the service sent something that is no completion", detail=str(error)) from error
        if event.error is not None:
            raise error_from_object(event.error, secrets=self._secrets)
        if event.usage is not None:
            self._usage = event.usage.counted()
        choice = next((choice for choice in event.choices or () if not choice.index), None)
        if choice is None:
            return None
        self.answered = True
        self.finish_reason = choice.finish_reason or self.finish_reason
        said = choice.delta or choice.message or _Content()
        self._refusal += said.refusal or ""
        text = said.content or choice.text or ""
        tool_calls = tuple([self._tool_call(piece) for piece in said.tool_calls or ()])
        if not text and not tool_calls:
            return None
        self._spoke = True
        return Chunk("progress", text=text, tool_calls=tool_calls)

    def _tool_call(self, piece: _ToolPiece) -> ToolCall:
        index = piece.index
        if index is None:
            known = len(self._indexes)
            index = self._indexes.setdefault(piece.id, known) if piece.id else max(0, known - 1)
        function = piece.function or _Function()
        return ToolCall(max(0, index), piece.id or "", function.name or "", function.arguments or "")

    def done(self) -> Chunk:
        """The end. Raises `ContentFiltered` where the service refused, `InvalidOutput` where nothing was answered."""
        if not self.answered:
            raise InvalidOutput("the service's answer holds no choice")
        if self._refusal:
            raise ContentFiltered(f"the model refused: {self._refusal[:500]}", stage="output")
        if self.finish_reason == "content_filter" and not self._spoke:
            raise ContentFiltered(stage="output")
        return Chunk("done", finish_reason=self.finish_reason or "stop", usage=self._usage)


def decode_response(body: bytes, *, secrets: Iterable[str] = ()) -> tuple[Chunk, ...]:
    """A completion that came whole, as the chunks that a stream of it would have been."""
    reading = _Reading(secrets)
    progress = reading.take(body)
    return (reading.done(),) if progress is None else (progress, reading.done())


def decode_embeddings(body: bytes, count: int, *, secrets: Iterable[str] = ()) -> Chunk:
    """The `done` chunk with `count` vectors in the order of the inputs."""
    try:
        answer = _decode_embeddings(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOutput("the service sent something that is no list of embeddings", detail=str(error)) from error
    if answer.error is not None:
        raise error_from_object(answer.error, secrets=secrets)
    items = enumerate(answer.data or ())
    vectors = {place if item.index is None else item.index: item.embedding for place, item in items}
    if sorted(vectors) != list(range(count)):
        raise InvalidOutput(f"expected {count} embeddings, got the numbers {sorted(vectors)[:20]}")
    usage = answer.usage.counted() if answer.usage else Usage()
    value = {"embeddings": [vectors[index] for index in range(count)]}
    return Chunk("done", finish_reason="stop", usage=usage, value=value)


def decode_models(body: bytes) -> tuple[str, ...]:
    """The names in an answer to `GET /models`."""
    try:
        return tuple(model.id for model in _decode_models(body).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOutput("the service sent something that is no list of models", detail=str(error)) from error


# ------------------------------------------------------------------ read a response


async def raise_for_status(response: HttpResponse, *, secrets: Iterable[str] = ()) -> None:
    """Raise what a response that is not a success means; at most 64 KiB of its body are read."""
    if 200 <= response.status < 300:
        return
    body = await error_body(response)
    raise error_from_response(response.status, response.headers, body, now=time.time(), secrets=secrets)


async def chat_stream(response: HttpResponse, *, secrets: Iterable[str] = ()) -> AsyncGenerator[Chunk, None]:
    """The chunks of a chat or text completion: `progress` as it comes, then one `done`.

    A server that ignored `stream` and answered whole is understood too. A stream that ends without a finish reason
    and without `[DONE]` is a `NetworkError`.
    """
    await raise_for_status(response, secrets=secrets)
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        for chunk in decode_response(await response.read(), secrets=secrets):
            yield chunk
        return
    if media_type not in ("text/event-stream", ""):
        raise InvalidOutput(f"expected an event stream, the service sent {media_type[:80]}")
    reading = _Reading(secrets)
    parser = sse.Parser()
    packets = response.chunks()
    while True:
        try:
            packet = await anext(packets, b"")
        except (NetworkError, Timeout):
            if reading.finish_reason is None:
                raise
            packet = b""  # only the usage can be missing
        events = parser.feed(packet) if packet else parser.finish()
        for event in events:
            if event.data == _DONE:
                await _drain(packets)
                yield reading.done()
                return
            try:
                progress = reading.take(event.data)
            except InvalidOutput:
                if packet:
                    raise
                break  # the stream broke off inside its last event
            if progress is not None:
                yield progress
        if not packet:
            break
    if reading.finish_reason is None:
        raise NetworkError("the stream ended before the answer did")
    yield reading.done()


async def _drain(packets: AsyncIterator[bytes]) -> None:
    """Read the end of a body behind `[DONE]`: it is nearly always there already, and only so is the connection reused."""
    with suppress(TimeoutError, NetworkError, Timeout, InvalidOutput):
        async with asyncio.timeout(_DRAIN):
            while await anext(packets, b""):
                pass


async def run_openai(
    http: HttpClient,
    base_url: str,
    headers: Mapping[str, str],
    call: Call[Any],
    *,
    timeouts: Timeouts = _DEFAULT_TIMEOUTS,
    max_bytes: int = MAX_BYTES,
    stream_usage: bool = True,
    max_tokens_field: str = "max_tokens",
    grammar: bool = False,
) -> AsyncGenerator[Chunk, None]:
    """Run `call` against the server below `base_url`. Closing the generator closes the connection at once.

    Values of `headers` are taken for secrets: they are blotted out of messages.
    """
    capability = capability_of(call)
    encode = partial(
        encode_request, call, stream_usage=stream_usage, max_tokens_field=max_tokens_field, grammar=grammar
    )
    body = await asyncio.to_thread(encode) if call.files else encode()  # megabytes must not hold up the loop
    secrets = _secrets(headers)
    sent = {**headers, "content-type": "application/json"}
    url = base_url.rstrip("/") + _PATHS[capability]
    async with http.request("POST", url, headers=sent, body=body, timeouts=timeouts, max_bytes=max_bytes) as response:
        if capability is Capability.EMBEDDING:
            await raise_for_status(response, secrets=secrets)
            done = decode_embeddings(await response.read(), len(call.texts), secrets=secrets)
        else:
            async with aclosing(chat_stream(response, secrets=secrets)) as chunks:
                async for chunk in chunks:
                    if chunk.kind == "done":
                        done = chunk
                    else:
                        yield chunk
    # only now, so that the connection is free for the next call before anybody acts on the answer
    yield done


async def run_media(
    http: HttpClient,
    base_url: str,
    headers: Mapping[str, str],
    call: Call[Any],
    *,
    timeouts: Timeouts = _DEFAULT_TIMEOUTS,
    max_bytes: int = MAX_BYTES,
    voice: str = "",
    ask_for_base64: bool = True,
) -> tuple[Chunk, ...]:
    """Run a call for an image, a speech or a transcription; the chunks, the `done` last.

    Encoding and decoding are work in proportion to the files, so a thread does it. `headers` as in `run_openai`.
    """
    request = await asyncio.to_thread(encode_media, call, voice=voice, ask_for_base64=ask_for_base64)
    secrets = _secrets(headers)
    async with http.request(
        "POST",
        base_url.rstrip("/") + request.path,
        headers={**headers, "content-type": request.content_type},
        body=request.body,
        timeouts=timeouts,
        max_bytes=max_bytes,
    ) as response:
        await raise_for_status(response, secrets=secrets)
        content_type = response.headers.get("content-type", "")
        body = await response.read()
    return await asyncio.to_thread(decode_media, call, content_type, body, secrets=secrets)


async def list_models(
    http: HttpClient, base_url: str, headers: Mapping[str, str], *, timeouts: Timeouts = _DEFAULT_TIMEOUTS
) -> tuple[str, ...]:
    """The models that the server below `base_url` offers."""
    url = base_url.rstrip("/") + "/models"
    async with http.request("GET", url, headers=headers, timeouts=timeouts) as response:
        await raise_for_status(response, secrets=_secrets(headers))
        return decode_models(await response.read())


def _secrets(headers: Mapping[str, str]) -> list[str]:
    """Header values, whole and without a scheme like `Bearer`."""
    return [secret for value in headers.values() for secret in (value, value.rpartition(" ")[2])]
