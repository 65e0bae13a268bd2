"""Failures of conversations: plain text by default, JSON for those who ask for it (contracts/arch.md §3.9)."""

from __future__ import annotations

from typing import Final

from promptd.faces.asgi import Headers, encode, send_body
from promptd.faces.gateway import Ask
from promptd.service.targets.calling import Failed
from promptd.service.targets.conversation import UNAVAILABLE

_TEXT: Final = b"text/plain; charset=utf-8"
_JSON: Final = b"application/json"


def ids(ask: Ask) -> Headers:
    """What every reply tells of its request."""
    return [(b"x-request-id", ask.request_id)]


async def fail(ask: Ask, failed: Failed) -> None:
    """Answer with a failure. A function model that can't be asked is told in JSON always."""
    if _JSON in ask.headers.get(b"accept", b"").lower() or failed.code == UNAVAILABLE:
        kind = "invalid_request_error" if failed.status < 500 else "api_error"
        media, body = _JSON, encode({"error": {"type": kind, "code": failed.code, "message": failed.text}})
    else:
        media, body = _TEXT, failed.text.encode()
    await send_body(ask.send, failed.status, [(b"content-type", media), *ids(ask)], body)
