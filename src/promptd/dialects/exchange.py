"""What every call to a service does around its exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from promptd.core.engine import Call
from promptd.core.errors import Answered, InvalidOutput, NetworkError, PromptdError, Timeout
from promptd.core.model import Chunk
from promptd.core.ports import HttpResponse
from promptd.dialects.bodies import error_body
from promptd.dialects.errors import error_from_response

MAX_BYTES: Final = 64 * 1024 * 1024  #: of one answer, decoded
_DRAIN: Final = 0.02  # seconds


async def raise_for_status(response: HttpResponse, *, secrets: Iterable[str] = ()) -> None:
    """Raise what a response that is not a success means; at most 64 KiB of its body are read."""
    if 200 <= response.status < 300:
        return
    body = await error_body(response)
    error = error_from_response(response.status, response.headers, body, now=time.time(), secrets=secrets)
    if response.status >= 400:
        error.answered = Answered(response.status, None)
    raise error


async def encoded(call: Call[Any, Any], encode: Callable[[], bytes]) -> bytes:
    """The request's body. Pictures and documents are megabytes, which must not hold up the loop."""
    large = bool(call.blobs) or any(turn.parts for turn in call.messages)
    return await asyncio.to_thread(encode) if large else encode()


def media_type(response: HttpResponse) -> str:
    """In lower case and without parameters; empty where the service names none."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


class EventReader(Protocol):
    """Takes a stream's events apart as its bytes come."""

    error: PromptdError | None  #: what the service told of behind the chunks that were given

    @property
    def ended(self) -> bool:
        """Whether the `done` was given."""

    def feed(self, packet: bytes) -> Iterable[Chunk]:
        """What it says. Raises what the service tells of before it says anything."""

    def finish(self) -> Iterable[Chunk]:
        """What is left at the stream's end. Raises `NetworkError` where the answer's own end is missing."""

    def cut(self) -> Chunk | None:
        """The `done` where the connection broke behind the answer's own end; else None."""


async def read_answer(
    response: HttpResponse,
    reader: EventReader,
    *,
    stream: str,
    check: Callable[[HttpResponse], Awaitable[None]],
    whole: Callable[[bytes], Iterable[Chunk]],
) -> AsyncGenerator[Chunk, None]:
    """The chunks of an answer: `progress` as it comes, then one `done`.

    `stream` is the media type of a stream, which `reader` takes apart; `whole` does so with an answer in one piece, and
    `check` raises what a refusal means. Raises `InvalidOutput` for any other type, and what these raise.
    """
    await check(response)
    kind = media_type(response)
    if kind == "application/json":
        for chunk in whole(await response.read()):
            yield chunk
        return
    if kind not in (stream, ""):
        raise InvalidOutput(f"expected an event stream, the service sent {kind[:80]}")
    packets = response.chunks()
    while not reader.ended:
        try:
            packet = await anext(packets, b"")
        except (NetworkError, Timeout):
            done = reader.cut()
            if done is None:
                raise
            yield done
            return
        if not packet:
            break
        for chunk in reader.feed(packet):
            if chunk.kind == "done":
                await drain(packets)
            yield chunk
        if reader.error is not None:
            raise reader.error
    for chunk in reader.finish():
        yield chunk
    if reader.error is not None:
        raise reader.error


async def drain(packets: AsyncIterator[bytes]) -> None:
    """Read the end of a body behind its last event: it is nearly always there already, and only so is the connection
    used again."""
    with suppress(TimeoutError, NetworkError, Timeout, InvalidOutput):
        async with asyncio.timeout(_DRAIN):
            while await anext(packets, b""):
                pass


def secrets_of(headers: Mapping[str, str]) -> list[str]:
    """Header values, whole and without a scheme like `Bearer`."""
    return [secret for value in headers.values() for secret in (value, value.rpartition(" ")[2])]
