"""The outermost app of a listener: pages of other sites are refused, internal headers of clients are taken off, and each
request gets its line in the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, MutableMapping
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.dialects.arch.config import Listener
from promptd.faces.arch.access_log import AccessLog, Entry, line_of
from promptd.faces.arch.metrics import Metrics
from promptd.faces.arch.passage import KEY, Passage
from promptd.faces.arch.refusals import foreign
from promptd.faces.asgi import AUTHORITY, REPLY, STUCK, STUCK_SECONDS, WRITE, Headers, lines, send_body
from promptd.faces.sites import Sites, is_local

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
_ASKED: Final = b"access-control-request-method"
_PREFLIGHT: Final[Headers] = [
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"*, authorization"),
    (b"access-control-max-age", b"600"),
]


class Entrance:
    """`app` serves one listener. `known` tells what `Host` may say beside the listener's own names; `open_paths` are for
    pages of all sites."""

    def __init__(
        self,
        app: ASGIApp,
        listener: Listener,
        log: AccessLog,
        metrics: Metrics | None,
        *,
        newer: bool,
        sites: Sites,
        known: Callable[[], Collection[str]] | None = None,
        open_paths: Collection[tuple[str, str]] = (),
    ) -> None:
        self._app, self._log, self._metrics = app, log, metrics
        self._sites, self._known, self._open = sites, known, frozenset(open_paths)
        self.stuck_seconds: float = getattr(app, STUCK, STUCK_SECONDS)
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
            app = self._app if (method, path) in self._open else self._asked_of(scope, headers)
            await app(scope, receive, counted)
        finally:
            now = time.time()
            version = scope.get("http_version", "1.1")
            self._log.add(line_of(entry, method, path, version, headers, now=now, newer=self._newer))
            if self._metrics is not None:
                handler = path if path in self._handlers else "other"
                self._metrics.ended(handler, method, entry.status, now - entry.started)

    def _asked_of(self, scope: Scope, headers: dict[bytes, bytes]) -> ASGIApp:
        """Who answers: the listener, as far as it is open to who asks."""
        origin = headers.get(b"origin")
        # a client that is told of a proxy has the names of others in there, and no page can make its browser do that
        strict = is_local(scope) and AUTHORITY not in scope
        fault = self._sites.fault(headers, strict=strict, known=() if self._known is None else self._known())
        if not fault and len(headers) < len(scope["headers"]):
            names = [name for name, _ in scope["headers"]]
            fault = "Host is given twice" if names.count(b"host") > 1 else ""
        if fault:
            return foreign(fault, headers)
        if origin is None or not self._sites.invites(origin):
            return self._app
        return _Shared(self._app, origin, preflight=scope["method"] == "OPTIONS" and _ASKED in headers)


class _Shared:
    """`app`, whose answers a page of another origin may read."""

    def __init__(self, app: ASGIApp, origin: bytes, *, preflight: bool) -> None:
        self._app, self._preflight = app, preflight
        self._headers: Headers = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._preflight:
            await send_body(send, 204, [*self._headers, *_PREFLIGHT], b"")
            return
        extensions = scope.get("extensions", _NOTHING)
        reply, write, head = extensions.get(REPLY), extensions.get(WRITE), lines(self._headers)
        if reply is not None:
            extensions[REPLY] = lambda status, said, body: reply(status, head + said, body)
        if write is not None:
            extensions[WRITE] = lambda data, said=None: write(data) if said is None else write(data, head + said)

        async def shared(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        await self._app(scope, receive, shared)


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

        def written(data: bytes, head: str | None = None) -> bool:
            if not write(data, head):
                return False
            if head is not None:
                entry.status = 200
            entry.sent += len(data)
            return True

        extensions[WRITE] = written
