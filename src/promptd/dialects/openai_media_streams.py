"""Streams of the OpenAI API's endpoints for files: images that are shown unfinished, transcriptions as they are heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.claims import ABSURD
from promptd.core.engine import Call
from promptd.core.errors import InvalidOutput, NetworkError
from promptd.core.model import Blob, Capability, Chunk, Usage
from promptd.core.parameters import ImageParameters
from promptd.core.ports import HttpResponse
from promptd.dialects.counts import counts_of
from promptd.dialects.errors import error_from_object
from promptd.dialects.media import decode_images
from promptd.dialects.sse import Parser

_MOST: Final = 16 * 1024 * 1024  # bytes of one event, which may hold an image


class _Delta(Struct, frozen=True):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta = _Delta()


class _Event(Struct):
    type: str = ""
    b64_json: str | None = None
    partial_image_index: int = 0
    delta: str = ""
    text: str = ""
    logprobs: list[Any] | None = None
    choices: list[_Choice] | None = None  #: how vLLM streams a transcription
    usage: Any = None
    error: Any = None


class _Counts(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


_decode: Final = msgspec.json.Decoder(_Event).decode


def usage_of(told: Any) -> Usage:
    """Tokens where the service counts in them; others count seconds."""
    counts = counts_of(told, _Counts)
    if counts is None:
        return Usage()
    into, out = counts.input_tokens or counts.prompt_tokens or 0, counts.output_tokens or counts.completion_tokens or 0
    return ABSURD if min(into, out) < 0 else Usage(into, out)


async def read_media_stream(
    response: HttpResponse, call: Call[Any, Any], *, secrets: Iterable[str] = ()
) -> AsyncGenerator[Chunk, None]:
    """`progress` with a piece of text or an unfinished image, and one `done`.

    Raises `InvalidOutput`, `NetworkError` where it ends too early, or what an error inside means.
    """
    steps = (call.parameters.image or ImageParameters()).partial_images or 0
    parser = Parser(_MOST)
    images: list[Blob] = []
    usage, spoke, ended = Usage(), False, False
    packets = response.chunks()
    while not ended:
        packet = await anext(packets, b"")
        for raw in parser.feed(packet) if packet else parser.finish():
            if raw.data == b"[DONE]":
                ended = True
                break
            event = _read(raw.data, secrets)
            if event.usage is not None:
                usage = usage_of(event.usage)
            if event.b64_json is not None:
                made = await asyncio.to_thread(decode_images, [event.b64_json])
                if event.type.endswith(".partial_image"):
                    reached = min(1.0, max(0.0, (event.partial_image_index + 1) / (steps + 1)))
                    yield Chunk("progress", blobs=made, fraction=reached)
                else:
                    images += made
            elif text := _piece(event, said=spoke):
                spoke = True
                yield Chunk("progress", text=text, logprobs=event.logprobs)
            if event.type == "transcript.text.done":
                ended = True
        if not packet:
            break
    if not (ended or images):
        raise NetworkError("the stream broke off before its end")
    if call.capability is Capability.IMAGE and not images:
        raise InvalidOutput("the service's answer holds no image")
    named = tuple(
        Blob(f"image-{number}.{blob.name.rpartition('.')[2]}", blob.media_type, blob.data)
        for number, blob in enumerate(images, 1)
    )
    yield Chunk("done", finish_reason="stop", usage=usage, blobs=named)


def _read(data: bytes, secrets: Iterable[str]) -> _Event:
    try:
        event = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOutput("the service sent an event that can't be read", detail=str(error)) from error
    if event.error is not None or event.type == "error":
        raise error_from_object(event.error, secrets=secrets)
    return event


def _piece(event: _Event, *, said: bool) -> str:
    """What an event adds to the text; the last one repeats all of it, and some services send no other."""
    if event.type == "transcript.text.delta":
        return event.delta
    if event.type == "transcript.text.done":
        return "" if said else event.text
    return "".join([choice.delta.content or "" for choice in event.choices or ()])
