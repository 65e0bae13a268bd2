"""The port of the original's model engine: `GET /health` tells whether a model runs, and nothing else is there."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from promptd.faces.asgi import JSON, not_found, send_body
from promptd.service.connections import Connections


class Health:
    """An ASGI app of its own port. A model runs when it answers without being started first."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/health" or scope["method"] not in ("GET", "HEAD"):
            await not_found(scope, receive, send)
        elif any(model.status == "ready" for model in self._connections.models()):
            await send_body(send, 200, [JSON], b'{"status":"ok"}')
        else:
            await send_body(send, 503, [JSON], b'{"status":"no model is running"}')
