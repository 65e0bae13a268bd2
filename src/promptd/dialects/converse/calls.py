"""A call on a service that speaks the Converse API: send it, and read what comes back."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Protocol

from promptd.core.engine import Call
from promptd.core.model import Chunk
from promptd.core.ports import HttpResponse, Timeouts
from promptd.dialects.bodies import error_body
from promptd.dialects.converse.blocks import DIALECT
from promptd.dialects.converse.errors import error_from_refusal
from promptd.dialects.converse.manners import Manners
from promptd.dialects.converse.outgoing import encode_request
from promptd.dialects.converse.reader import Reader, decode_answer
from promptd.dialects.event_stream import MEDIA_TYPE
from promptd.dialects.exchange import MAX_BYTES, encoded, read_answer
from promptd.dialects.hosted import fitted, noted
from promptd.dialects.messages.customs import taken

_DEFAULT_TIMEOUTS: Final = Timeouts()
_EVERY_MODEL: Final = Manners()


class Door(Protocol):
    """How a request gets in."""

    @property
    def secrets(self) -> Iterable[str]:
        """What no message may show."""

    def headers(self, url: str, body: bytes) -> Mapping[str, str]:
        """All of a request's: a signature is about the whole of it."""


async def raise_for_status(response: HttpResponse, *, secrets: Iterable[str] = ()) -> None:
    """Raise what a response that is not a success means; at most 64 KiB of its body are read."""
    if not 200 <= response.status < 300:
        body = await error_body(response)
        raise error_from_refusal(response.status, response.headers, body, now=time.time(), secrets=secrets)


def read_stream(response: HttpResponse, *, secrets: Iterable[str] = ()) -> AsyncGenerator[Chunk, None]:
    """The chunks of an answer, whole or as a stream. A stream that ends without a stop reason is a `NetworkError`."""
    return read_answer(
        response,
        Reader(secrets),
        stream=MEDIA_TYPE,
        check=partial(raise_for_status, secrets=secrets),
        whole=partial(decode_answer, secrets=secrets),
    )


async def run_call(
    url: str,
    door: Door,
    call: Call[Any, Any],
    *,
    timeouts: Timeouts = _DEFAULT_TIMEOUTS,
    max_bytes: int = MAX_BYTES,
    manners: Manners = _EVERY_MODEL,
) -> AsyncGenerator[Chunk, None]:
    """Run `call` against `url`, which answers whole or by a stream. Closing the generator closes the connection at once."""
    call, left = fitted(call, DIALECT, manners.hosted_tools)
    body = await encoded(call, partial(encode_request, call, manners=manners))
    exchange = call.http.request(
        "POST", url, headers=door.headers(url, body), body=body, timeouts=timeouts, max_bytes=max_bytes
    )
    async with (
        exchange as response,
        aclosing(taken(read_stream(response, secrets=door.secrets), call.parameters.tools)) as chunks,
    ):
        async for chunk in chunks:
            if chunk.kind == "done":
                done = chunk
            else:
                yield chunk
    # only now, so that the connection is free for the next call before anybody acts on the answer
    yield noted(done, left)
