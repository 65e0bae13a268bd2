"""A call on a service that speaks the chat API: send it, and read what comes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.engine import Call
from promptd.core.errors import InvalidOutput, NetworkError, Timeout
from promptd.core.model import Capability, Chunk
from promptd.core.ports import HttpClient, HttpResponse, Timeouts
from promptd.dialects.chat.answers import Reader, decode_answer
from promptd.dialects.chat.embeddings import decode_embeddings
from promptd.dialects.chat.manners import Manners
from promptd.dialects.chat.outgoing import capability_of, encode_request
from promptd.dialects.chat.tools import DIALECT
from promptd.dialects.exchange import MAX_BYTES, drain, encoded, media_type, raise_for_status, secrets_of
from promptd.dialects.hosted import fitted, noted

#: which of the older APIs answers what is asked
DIALECTS: Final = {
    Capability.CHAT: "openai.chat",
    Capability.VISION: "openai.chat",
    Capability.DOCUMENT: "openai.chat",
    Capability.COMPLETION: "openai.completions",
    Capability.EMBEDDING: "openai.embeddings",
}
_DEFAULT_TIMEOUTS: Final = Timeouts()
_EVERY_SERVICE: Final = Manners()


class _ListedModel(Struct):
    id: str


class _Models(Struct):
    data: list[_ListedModel]


_decode_models = msgspec.json.Decoder(_Models).decode


async def read_stream(response: HttpResponse, *, secrets: Iterable[str] = ()) -> AsyncGenerator[Chunk, None]:
    """The chunks of a chat or text completion: `progress` as it comes, then one `done`.

    A server that ignored `stream` and answered whole is understood too. A stream that ends without a finish reason
    and without `[DONE]` is a `NetworkError`.
    """
    await raise_for_status(response, secrets=secrets)
    kind = media_type(response)
    if kind == "application/json":
        for chunk in decode_answer(await response.read(), secrets=secrets):
            yield chunk
        return
    if kind not in ("text/event-stream", ""):
        raise InvalidOutput(f"expected an event stream, the service sent {kind[:80]}")
    reader = Reader(secrets=secrets)
    packets = response.chunks()
    while not reader.ended:
        try:
            packet = await anext(packets, b"")
        except (NetworkError, Timeout):
            if not reader.complete:
                raise
            break  # only the token counts can be missing
        if not packet:
            break
        for chunk in reader.feed(packet):
            yield chunk
    if reader.ended:
        await drain(packets)
    for chunk in reader.finish():
        yield chunk


async def run_call(
    http: HttpClient,
    url: str,
    headers: Mapping[str, str],
    call: Call[Any, Any],
    *,
    timeouts: Timeouts = _DEFAULT_TIMEOUTS,
    max_bytes: int = MAX_BYTES,
    manners: Manners = _EVERY_SERVICE,
) -> AsyncGenerator[Chunk, None]:
    """Run `call` as a stream against `url`. Closing the generator closes the connection at once.

    Values of `headers` are taken for secrets: they are blotted out of messages.
    """
    capability = capability_of(call)
    call, left = fitted(call, DIALECT, manners.hosted_tools)
    encode = partial(encode_request, call, manners=manners)
    body = await encoded(call, encode)
    secrets = secrets_of(headers)
    sent = {**headers, "content-type": "application/json"}
    async with http.request("POST", url, headers=sent, body=body, timeouts=timeouts, max_bytes=max_bytes) as response:
        if capability is Capability.EMBEDDING:
            await raise_for_status(response, secrets=secrets)
            done = decode_embeddings(await response.read(), len(call.texts), secrets=secrets)
        else:
            async with aclosing(read_stream(response, secrets=secrets)) as chunks:
                async for chunk in chunks:
                    if chunk.kind == "done":
                        done = chunk
                    else:
                        yield chunk
    # only now, so that the connection is free for the next call before anybody acts on the answer
    yield noted(done, left)


async def list_models(
    http: HttpClient, url: str, headers: Mapping[str, str], *, timeouts: Timeouts = _DEFAULT_TIMEOUTS
) -> tuple[str, ...]:
    """The names that the service lists at `url`."""
    async with http.request("GET", url, headers=headers, timeouts=timeouts) as response:
        await raise_for_status(response, secrets=secrets_of(headers))
        return decode_models(await response.read())


def decode_models(body: bytes) -> tuple[str, ...]:
    """The names in an answer to `GET /models`."""
    try:
        return tuple(model.id for model in _decode_models(body).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOutput("the service sent something that is no list of models", detail=str(error)) from error
