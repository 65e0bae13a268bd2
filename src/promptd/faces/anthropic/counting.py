"""`POST /v1/messages/count_tokens`."""

from __future__ import annotations

from promptd.dialects import messages
from promptd.faces.anthropic.messages import submission_of
from promptd.faces.asgi import JSON, encode, send_body
from promptd.faces.gateway import Ask, Gateway
from promptd.service.counting import count_input


async def count_tokens(gateway: Gateway, ask: Ask) -> None:
    """The count of the service behind the model where it counts; else an estimate, and a header says so."""
    body = await gateway.body(ask)
    asked = messages.decode_request(body, counting=True)
    submission = gateway.noted(ask, submission_of(gateway, ask, asked, body))
    walk = gateway.walk
    counted = await count_input(walk.intake, walk.connections, walk.guarding, submission)
    headers = [JSON, *gateway.headers(ask)]
    headers.append((b"x-token-count", b"exact" if counted.exact else b"estimated"))
    await send_body(ask.send, 200, headers, encode({"input_tokens": counted.tokens}))
