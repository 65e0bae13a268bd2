"""How a model listener tells that something failed (contracts/arch.md §4.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.core.errors import Answered, Forbidden, InvalidRequest, PromptdError
from promptd.faces.arch.models import ModelNotFound
from promptd.faces.asgi import encode, send_body
from promptd.faces.gateway import Shape
from promptd.faces.missing import PreviousNotFound

_JSON: Final = b"application/json"
_PLAIN: Final = b"text/plain; charset=utf-8"
_MEDIA: Final = re.compile(r"[\x20-\x7e]{1,200}")
_LAST_STATUS: Final = 599
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
#: codes of the original, for what it knew
_CODES: Final[tuple[tuple[type[PromptdError], int, str], ...]] = (
    (ModelNotFound, 400, "ModelNotFound"),
    (PreviousNotFound, 409, "ConversationStateNotFound"),
    (InvalidRequest, 400, "InvalidRequest"),
)


class Told(NamedTuple):
    """A refusal in full."""

    status: int
    media: bytes
    body: bytes


def told(
    error: PromptdError, answered: Answered | None, shape: Shape, request_id: str, headers: Mapping[bytes, bytes]
) -> Told:
    """`answered` is what the provider said, where it did. JSON goes to who asks for it and to Anthropic's clients."""
    if answered is not None and answered.body is not None and answered.status <= _LAST_STATUS:
        media = answered.media_type
        return Told(answered.status, media.encode() if _MEDIA.fullmatch(media) else _JSON, answered.body)
    status, body = shape.error(error, request_id)
    kind = next(((code, name) for group, code, name in _CODES if isinstance(error, group)), None)
    status = answered.status if answered is not None and answered.status <= _LAST_STATUS else status
    status = kind[0] if kind is not None else status
    if shape.vendor == "anthropic":
        return Told(status, _JSON, body)
    message = _message(error)
    if _JSON not in headers.get(b"accept", b"").lower():
        return Told(status, _PLAIN, message.encode())
    if kind is not None:
        object_ = _decode(body)["error"] | {"code": kind[1], "message": message, "details": _details(error)}
        body = encode({"error": object_})
    return Told(status, _JSON, body)


def foreign(fault: str, headers: Mapping[bytes, bytes]) -> ASGIApp:
    """Answers a request of somebody whom the listener is not open to."""
    text = f"refused: {fault} (server.allowed_origins and server.allowed_hosts of the settings name who may)"

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if _JSON in headers.get(b"accept", b"").lower():
            error = {"type": "invalid_request_error", "code": Forbidden.code, "message": text}
            await send_body(send, Forbidden.http_status, [(b"content-type", _JSON)], encode({"error": error}))
        else:
            await send_body(send, Forbidden.http_status, [(b"content-type", _PLAIN)], text.encode())

    return refuse


def _message(error: PromptdError) -> str:
    if isinstance(error, PreviousNotFound):
        return f"Conversation state not found for previous_response_id: {error.given}"
    return error.message


def _details(error: PromptdError) -> dict[str, str]:
    field = getattr(error, "field", "")
    return {"field": field} if field else {}
