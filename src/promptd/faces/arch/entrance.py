"""The outermost app of a listener: internal headers of clients are taken off, and each request gets its line in the log."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.dialects.arch.config import Listener
from promptd.faces.arch.access_log import AccessLog, Entry, line_of
from promptd.faces.arch.metrics import Metrics
from promptd.faces.arch.passage import KEY, Passage
from promptd.faces.asgi import REPLY, WRITE

#: what only the gateway's own parts say to each other (contracts/arch.md §7)
_INTERNAL: Final = frozenset(
    {
        b"x-arch-llm-provider",
        b"x-arch-llm-route",
        b"x-arch-upstream",
        b"x-arch-streaming-request",
        b"x-arch-agent-listener-name",
        b"x-plano-prefix-hash",
        b"x-envoy-max-retries",
        b"x-envoy-upstream-rq-timeout-ms",
    }
)
_NOTHING: Final[dict[str, Any]] = {}
_UPSTREAM: Final = b"x-arch-upstream"


class Entrance:
    """`app` serves one listener."""

    def __init__(
        self, app: ASGIApp, listener: Listener, log: AccessLog, metrics: Metrics | None, *, newer: bool
    ) -> None:
        self._app, self._log, self._metrics = app, log, metrics
        self._newer = newer and listener.kind == "model"
        self._off = _INTERNAL - {_UPSTREAM} if listener.kind == "internal" else _INTERNAL
        self._handlers: set[str] = set()

    def know(self, paths: set[str]) -> None:
        """These paths are served; metrics call others by one name."""
        self._handlers = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = scope[KEY] = Passage()
        entry = passage.entry
        given = scope["headers"]
        headers = dict(given)
        if not self._off.isdisjoint(headers):
            scope["headers"] = [pair for pair in given if pair[0] not in self._off]
        length = headers.get(b"content-length", b"")
        entry.received = int(length) if length.isdigit() and len(length) < 16 else 0
        _count_short_ways(scope.get("extensions", _NOTHING), entry)

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
            elif message["type"] == "http.response.body":
                entry.sent += len(message.get("body", b""))
            await send(message)

        if self._metrics is not None:
            self._metrics.began()
        method, path = scope["method"], scope["path"]
        try:
            await self._app(scope, receive, counted)
        finally:
            now = time.time()
            version = scope.get("http_version", "1.1")
            self._log.add(line_of(entry, method, path, version, headers, now=now, newer=self._newer))
            if self._metrics is not None:
                handler = path if path in self._handlers else "other"
                self._metrics.ended(handler, method, entry.status, now - entry.started)


def _count_short_ways(extensions: dict[str, Any], entry: Entry) -> None:
    """Ways around `send` are counted as well."""
    reply, write = extensions.get(REPLY), extensions.get(WRITE)
    if reply is not None:

        def replied(status: int, head: str, body: bytes) -> bool:
            if not reply(status, head, body):
                return False
            entry.status, entry.sent = status, entry.sent + len(body)
            return True

        extensions[REPLY] = replied
    if write is not None:

        def written(data: bytes) -> bool:
            if not write(data):
                return False
            entry.sent += len(data)
            return True

        extensions[WRITE] = written
