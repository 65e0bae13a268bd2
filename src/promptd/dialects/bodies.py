"""Reading a response that is not a success."""

from __future__ import annotations

from typing import Final

from promptd.core.errors import InvalidOutput, NetworkError, Timeout
from promptd.core.ports import HttpResponse

_LONGEST: Final = 64 * 1024


async def error_body(response: HttpResponse) -> bytes:
    """What the service says about its refusal, at most about 64 KiB; empty where it can't be read."""
    body = bytearray()
    try:
        async for packet in response.chunks():
            body += packet
            if len(body) > _LONGEST:
                break
    except (NetworkError, Timeout, InvalidOutput):
        return b""  # the status alone says enough
    return bytes(body)
