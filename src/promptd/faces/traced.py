"""A listener whose requests are traced: the caller's trace goes on, or a new one begins."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.core.tracing import current
from promptd.faces.asgi import REPLY, STUCK, STUCK_SECONDS, WRITE
from promptd.service.tracing import Tracing, TracingRules

_LONGEST_ID: Final = 128
_FAILED: Final = 500
_EVENTS: Final = b"text/event-stream"


class Traced:
    """An ASGI app in front of another. What is not sampled passes with its context, and without a span."""

    def __init__(self, app: ASGIApp, tracing: Tracing, rules: TracingRules | None = None) -> None:
        self._app, self._tracing, self._rules = app, tracing, rules
        self.stuck_seconds: float = getattr(app, STUCK, STUCK_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        trace, parent = self._tracing.begin(headers, self._rules)
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        trace.request_id = given if 0 < len(given) <= _LONGEST_ID and given.isprintable() else ""
        token = current.set(trace)
        try:
            if not trace.context.sampled:
                await self._app(scope, receive, send)
                return
            await self._sampled(scope, receive, send, parent)
        finally:
            current.reset(token)

    async def _sampled(self, scope: Scope, receive: Receive, send: Send, parent: str) -> None:
        trace, start, status, streaming = current.get(), time.time(), 0, False
        assert trace is not None

        async def seen(message: MutableMapping[str, Any]) -> None:
            nonlocal status, streaming
            if message["type"] == "http.response.start":
                status = message["status"]
                streaming = any(
                    value.startswith(_EVENTS) for name, value in message["headers"] if name == b"content-type"
                )
            await send(message)

        # ways around `send` are for those whom nobody watches
        extensions = {name: value for name, value in scope.get("extensions", {}).items() if name not in (REPLY, WRITE)}
        failed = ""
        try:
            await self._app({**scope, "extensions": extensions}, receive, seen)
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            method, path = scope["method"], scope["path"]
            model = trace.notes.get("llm.model", "")
            self._tracing.end(
                trace,
                parent,
                name=f"{method} {path} {model}".rstrip(),
                start=start,
                attributes={
                    "http.method": method,
                    "http.target": path,
                    "http.status_code": status,
                    "http.request.method": method,
                    "url.path": path,
                    "http.response.status_code": status,
                    "llm.is_streaming": streaming,
                },
                error=failed or (f"status {status}" if status >= _FAILED else ""),
            )
