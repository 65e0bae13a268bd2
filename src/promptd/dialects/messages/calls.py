"""A call on a service that speaks the Messages API: send it, and read what comes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from promptd.core.engine import Call
from promptd.core.errors import InvalidOutput
from promptd.core.model import Chunk
from promptd.core.ports import HttpClient, HttpResponse, Timeouts
from promptd.dialects.counts import count
from promptd.dialects.exchange import MAX_BYTES, encoded, raise_for_status, read_answer, secrets_of
from promptd.dialects.hosted import fitted, noted
from promptd.dialects.messages.blocks import DIALECT
from promptd.dialects.messages.customs import taken
from promptd.dialects.messages.manners import Manners
from promptd.dialects.messages.outgoing import encode_request
from promptd.dialects.messages.reader import Reader, decode_answer
from promptd.dialects.passing.bodies import prepare
from promptd.dialects.searching import search_of_responses

_DEFAULT_TIMEOUTS: Final = Timeouts()
_THE_VENDORS: Final = Manners()
_MOST_PAGES: Final = 20


class _ListedModel(Struct):
    id: str


class _Models(Struct):
    data: list[_ListedModel]
    has_more: bool | None = None
    last_id: str | None = None


class _Count(Struct):
    input_tokens: Any


_decode_models: Final = msgspec.json.Decoder(_Models).decode
#: what the service counts, and takes when it counts
_COUNTED: Final = frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"})
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_count: Final = msgspec.json.Decoder(_Count).decode


def read_stream(response: HttpResponse, *, secrets: Iterable[str] = ()) -> AsyncGenerator[Chunk, None]:
    """The chunks of a message. A server that ignored `stream` and answered whole is understood too; a stream that ends
    without a stop reason is a `NetworkError`."""
    return read_answer(
        response,
        Reader(secrets),
        stream="text/event-stream",
        check=partial(raise_for_status, secrets=secrets),
        whole=partial(decode_answer, secrets=secrets),
    )


async def run_call(
    http: HttpClient,
    url: str,
    headers: Mapping[str, str],
    call: Call[Any, Any],
    *,
    timeouts: Timeouts = _DEFAULT_TIMEOUTS,
    max_bytes: int = MAX_BYTES,
    manners: Manners = _THE_VENDORS,
) -> AsyncGenerator[Chunk, None]:
    """Run `call` as a stream against `url`. Closing the generator closes the connection at once.

    Values of `headers` are taken for secrets: they are blotted out of messages.
    """
    call, left = fitted(call, DIALECT, manners.hosted_tools, search_of_responses)
    encode = partial(encode_request, call, stream=True, manners=manners)
    body = await encoded(call, encode)
    secrets = _secrets(headers)
    sent = {**headers, "content-type": "application/json"}
    async with (
        http.request("POST", url, headers=sent, body=body, timeouts=timeouts, max_bytes=max_bytes) as response,
        aclosing(taken(read_stream(response, secrets=secrets), call.parameters.tools)) as chunks,
    ):
        async for chunk in chunks:
            if chunk.kind == "done":
                done = chunk
            else:
                yield chunk
    # only now, so that the connection is free for the next call before anybody acts on the answer
    yield noted(done, left)


async def count_tokens(
    http: HttpClient,
    url: str,
    headers: Mapping[str, str],
    call: Call[Any, Any],
    *,
    timeouts: Timeouts = _DEFAULT_TIMEOUTS,
    manners: Manners = _THE_VENDORS,
) -> int:
    """The tokens of the call's input, as the service at `url` counts them."""
    if call.native is not None:
        body = prepare(call.native, call.model).body
    else:
        call, _ = fitted(call, DIALECT, manners.hosted_tools, search_of_responses)
        members = _decode_members(encode_request(call, stream=False, manners=manners))
        body = msgspec.json.encode({name: value for name, value in members.items() if name in _COUNTED})
    secrets = _secrets(headers)
    sent = {**headers, "content-type": "application/json"}
    async with http.request("POST", url, headers=sent, body=body, timeouts=timeouts) as response:
        await raise_for_status(response, secrets=secrets)
        answer = await response.read()
    try:
        told = count(_decode_count(answer).input_tokens)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOutput("the service sent something that is no count of tokens", detail=str(error)) from error
    if told is None or told < 0:
        raise InvalidOutput("the service sent something that is no count of tokens")
    return told


async def list_models(
    http: HttpClient, url: str, headers: Mapping[str, str], *, timeouts: Timeouts = _DEFAULT_TIMEOUTS
) -> tuple[str, ...]:
    """The names that the service lists at `url`, all pages of them."""
    names: list[str] = []
    page = f"{url}?limit=1000"
    for _ in range(_MOST_PAGES):
        async with http.request("GET", page, headers=headers, timeouts=timeouts) as response:
            await raise_for_status(response, secrets=_secrets(headers))
            body = await response.read()
        try:
            models = _decode_models(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidOutput("the service sent something that is no list of models", detail=str(error)) from error
        names += [model.id for model in models.data]
        if not models.has_more or not models.last_id:
            break
        page = f"{url}?limit=1000&after_id={quote(models.last_id, safe='')}"
    return tuple(names)


def _secrets(headers: Mapping[str, str]) -> list[str]:
    """The vendor's own headers are none, and its messages quote them."""
    return secrets_of({name: value for name, value in headers.items() if not name.startswith("anthropic-")})
