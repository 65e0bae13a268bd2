"""What every call to a service does around its exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from promptd.core.engine import Call
from promptd.core.errors import Answered, InvalidOutput, NetworkError, Timeout
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
