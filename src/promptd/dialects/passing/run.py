"""A call whose client and whose service speak the same dialect: the bytes go through."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.engine import Call
from promptd.core.errors import (
    Answered,
    ContentFiltered,
    InputTooLarge,
    InvalidInput,
    InvalidOutput,
    PromptExecutionError,
    UnsupportedInput,
)
from promptd.core.model import Chunk, Native, Usage
from promptd.core.passing_streams import CountingSink, PassingStream
from promptd.core.ports import HttpResponse, Timeouts
from promptd.core.whole_answers import WholeAnswer, WholeExchange
from promptd.dialects.bodies import error_body
from promptd.dialects.errors import error_from_response, redact
from promptd.dialects.exchange import MAX_BYTES, drain, media_type, secrets_of
from promptd.dialects.passing.bodies import prepare, rename
from promptd.dialects.passing.looks import look_at_whole
from promptd.dialects.passing.passage import Passage
from promptd.dialects.passing.streams import Stream

_DEFAULT_TIMEOUTS: Final = Timeouts()
_NO_USAGE: Final = Usage()
#: the request itself is at fault, so its author reads best what the service says
_FAULTS: Final = (InvalidInput, InputTooLarge, UnsupportedInput, ContentFiltered)


class Reader(Protocol):
    """Says what a stream's bytes say: the dialect's own reader."""

    def feed(self, packet: bytes) -> Iterable[Chunk]: ...

    def finish(self) -> Iterable[Chunk]: ...


Decode = Callable[[bytes], Sequence[Chunk]]
"""Says what a whole answer says, the `done` last: the dialect's own decoder."""


class _Secrets(Struct, frozen=True):
    """The values of headers, taken apart only where something is said."""

    _headers: Mapping[str, str]

    def __iter__(self) -> Iterator[str]:
        secret = {name: value for name, value in self._headers.items() if name.lower() != "content-type"}
        return iter(secrets_of(secret))


class NativeApi(Struct, frozen=True, eq=False):
    """How requests of one dialect get to a service, and what its answers are read with. To be made once for many calls."""

    url: str
    headers: Mapping[str, str]
    """Complete, content type included. Their values are taken for secrets and blotted out of messages."""
    reader: Callable[[], Reader]
    decode: Decode
    timeouts: Timeouts = _DEFAULT_TIMEOUTS
    max_bytes: int = MAX_BYTES
    ask_for_usage: bool = True  #: False for services that refuse the wish for token counts on a stream
    rename_always: bool = False  #: the client sees its own name for the model even where the service has a third one


def run_native(call: Call[Any, Any], native: Native, api: NativeApi) -> AsyncGenerator[Chunk, None]:
    """Send `native` and yield what comes back as `progress` chunks with `raw` bytes, and one `done`.

    The client sees the name that it called the model by where that is not the service's. With `Call.spelled` the chunks say
    what the bytes say as well, and a service that answers whole where a stream was asked for is understood, without `raw`.
    Closing the generator closes the connection at once.

    What is not streamed comes as a `WholeAnswer`, a stream as a `PassingStream`. Raises `PromptExecutionError`, with
    `native` where the request itself is at fault.
    """
    sent = prepare(native, call.model, api.ask_for_usage, api.rename_always)
    exchange = call.http.request(
        "POST", api.url, headers=api.headers, body=sent.body, timeouts=api.timeouts, max_bytes=api.max_bytes
    )
    if native.stream:
        # a stream may be long, and there may be many: none of them keeps what was asked
        secrets = _Secrets(api.headers)
        spell = api.reader if call.spelled else None
        stream = Stream(native.dialect, model=sent.model, hidden=sent.hidden, secrets=secrets)
        return PassingStream(partial(_streamed, exchange, native.dialect, stream, secrets, spell, api.decode))
    return WholeAnswer(partial(_whole, exchange, native.dialect, sent.model, api, call.spelled))


async def _whole(
    exchange: AbstractAsyncContextManager[HttpResponse], dialect: str, model: str | None, api: NativeApi, spelled: bool
) -> Sequence[Chunk]:
    """An answer in one piece; what it says as well, where that is `spelled`."""
    body = await exchange.whole() if isinstance(exchange, WholeExchange) else None
    if body is None:
        async with exchange as response:
            if not 200 <= response.status < 300:
                raise await _refusal(response, _Secrets(api.headers))
            body = await response.read()
    # only now, so that the connection is free for the next call before anybody acts on the answer
    seen = look_at_whole(dialect).whole(body, _Secrets(api.headers))
    raw = body if model is None else rename(body, model)
    done = Chunk("done", finish_reason=seen.finish_reason or "stop", usage=seen.usage or _NO_USAGE)
    if not spelled:
        return Chunk("progress", raw=raw, dialect=dialect), done
    *chunks, done = _spelled(body, api.decode, done)
    return *_with_raw(raw, dialect, chunks), done


async def _streamed(
    exchange: AbstractAsyncContextManager[HttpResponse],
    dialect: str,
    stream: Stream,
    secrets: Iterable[str],
    reader: Callable[[], Reader] | None,
    decode: Decode,
    sink: CountingSink | None,
) -> AsyncGenerator[Chunk, None]:
    async with exchange as response:
        if not 200 <= response.status < 300:
            raise await _refusal(response, secrets)
        kind = media_type(response)
        if kind != "application/json":
            if kind not in ("text/event-stream", ""):
                raise InvalidOutput(f"expected an event stream, the service sent {kind[:80]}")
            spell, end = reader() if reader is not None else None, None
            packets = response.chunks()
            del response  # and its headers
            passage = Passage(stream, packets, sink)
            try:
                while not stream.ended:
                    raw = passage.rest(await passage.go_on())
                    if raw and sink is not None:
                        await sink.write(raw)
                    elif raw and spell is None:
                        yield Chunk("progress", raw=raw, dialect=dialect)
                    elif raw and spell is not None:
                        said = list(spell.feed(raw))
                        end = next((chunk for chunk in said if chunk.kind == "done"), end)
                        for chunk in _with_raw(raw, dialect, said):
                            yield chunk
                    if stream.error is not None:
                        raise stream.error
            finally:
                if sink is not None:
                    sink.end(stream.events)
            if passage.open:
                await drain(packets)
            chunks: Sequence[Chunk] = ()
            done = Chunk("done", finish_reason=stream.finish_reason or "stop", usage=stream.usage or Usage())
            if spell is not None:
                done = _told(spell, end, done)
        else:
            *chunks, done = decode(await response.read())
    for chunk in chunks:  # only now: see `_whole`
        yield chunk
    yield done


def _with_raw(raw: bytes, dialect: str, said: Iterable[Chunk]) -> list[Chunk]:
    """What was said in one piece, the first chunk with its bytes."""
    chunks = [chunk for chunk in said if chunk.kind == "progress"]
    if not chunks:
        return [Chunk("progress", raw=raw, dialect=dialect)]
    chunks[0] = replace(chunks[0], raw=raw, dialect=dialect)
    return chunks


def _spelled(body: bytes, decode: Decode, done: Chunk) -> Sequence[Chunk]:
    try:
        return decode(body)
    except PromptExecutionError:  # the client has it as it came, so it is an answer, if a strange one
        return (done,)


def _told(reader: Reader, end: Chunk | None, done: Chunk) -> Chunk:
    """The end as the reader understood it, with the token counts that were kept from it."""
    try:
        end = end or next((chunk for chunk in reader.finish() if chunk.kind == "done"), None)
    except PromptExecutionError:  # the client has it as it came, so it is an answer, if a strange one
        end = None
    return done if end is None else replace(end, usage=done.usage)


async def _refusal(response: HttpResponse, secrets: Iterable[str]) -> PromptExecutionError:
    """The error that a response means which is no success."""
    body = await error_body(response)
    error = error_from_response(response.status, response.headers, body, now=time.time(), secrets=secrets)
    if response.status >= 400:
        told = redact(body.decode("utf-8", "replace"), secrets).encode()
        error.answered = Answered(response.status, told, response.headers.get("content-type", ""))
        if isinstance(error, _FAULTS) and response.status < 500 and body.lstrip()[:1] == b"{":
            error.native = (response.status, told)
    return error
