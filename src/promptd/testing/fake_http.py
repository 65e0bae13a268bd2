"""`FakeHttp`: an HTTP client that answers by script and keeps what it was asked, for tests of engines without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from promptd.core.errors import InvalidOutput, NetworkError, PermissionDenied, Timeout
from promptd.core.ports import Timeouts

_PIECE: Final = 512  # bytes of a body that arrive at once


@dataclass(frozen=True)
class Sent:
    """One request as the engine made it. Names of headers are lower-case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeouts: Timeouts

    @property
    def json(self) -> Any:
        """The body, decoded. Raises `msgspec.DecodeError`."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class Reply:
    """What comes back: a response, or `error` in its place.

    With `broken_after` the body ends with `error` after so many bytes; a reply that `hangs` comes only when it is
    cancelled.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Exception | None = None
    broken_after: int | None = None
    hangs: bool = False

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Reply:
        """A JSON body; underscores in the names of headers are dashes."""
        named = {name.replace("_", "-").lower(): said for name, said in headers.items()}
        return cls(status, msgspec.json.encode(value), {"content-type": "application/json", **named})

    @classmethod
    def events(cls, *data: Any, end: str = "[DONE]") -> Reply:
        """A stream of server-sent events, each with one JSON value, and `end` as the last."""
        lines = [f"data: {msgspec.json.encode(one).decode()}\n\n" for one in data]
        lines += [f"data: {end}\n\n"] if end else []
        return cls(200, "".join(lines).encode(), {"content-type": "text/event-stream"})


#: every way in which a call can fail before or inside a response, as promptd's own client reports it
FAILURES: Final[Mapping[str, Reply]] = {
    "refused": Reply(error=NetworkError("the connection was refused")),
    "tls": Reply(error=NetworkError("the certificate is not trusted")),
    "timeout": Reply(error=Timeout("no answer within 120 s")),
    "forbidden": Reply(error=PermissionDenied("the address is not allowed here")),
    "broken": Reply(body=b'{"', broken_after=2, error=NetworkError("the connection was closed inside the body")),
    "silent": Reply(body=b'{"', broken_after=2, error=Timeout("no byte for 60 s")),
    "too_large": Reply(body=b'{"', broken_after=2, error=InvalidOutput("the answer is too large")),
    "hangs": Reply(hangs=True),
}

Script = Callable[[Sent], Reply]


class FakeHttp:
    """Answers the n-th request with the n-th reply; the last one repeats. A function instead answers as it likes.

    http = FakeHttp(Reply.json({"translation": "Hallo"}))
    """

    def __init__(self, *replies: Reply | Script) -> None:
        self._replies = replies or (Reply(),)
        self.sent: list[Sent] = []
        self.allowed: list[str] = []
        self.open = 0  #: responses that nobody has left yet
        self.failures = 0  #: errors that the engine was given in place of a response or of its rest
        self.asked = asyncio.Event()  #: set with the first request

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        timeouts: Timeouts = Timeouts(),
        max_bytes: int = 64 * 1024 * 1024,
    ) -> AsyncIterator[FakeResponse]:
        """As `HttpClient.request`."""
        lower = {name.lower(): value for name, value in headers.items()}
        sent = Sent(method, url, lower, body or b"", timeouts)
        found = self._replies[min(len(self.sent), len(self._replies) - 1)]
        self.sent.append(sent)
        reply = found if isinstance(found, Reply) else found(sent)
        self.open += 1
        self.asked.set()
        try:
            if reply.hangs:
                await asyncio.Event().wait()
            if reply.error is not None and reply.broken_after is None:
                self.failures += 1
                raise reply.error.with_traceback(None)  # it is raised more than once
            yield FakeResponse(reply, max_bytes, self)
        finally:
            self.open -= 1

    def allow(self, url: str) -> None:
        self.allowed.append(url)

    def disallow(self, url: str) -> None:
        if url in self.allowed:
            self.allowed.remove(url)


class FakeResponse:
    """As `HttpResponse`."""

    def __init__(self, reply: Reply, max_bytes: int, http: FakeHttp) -> None:
        self.status, self._reply, self._max_bytes, self._http = reply.status, reply, max_bytes, http
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in reply.headers.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        body = self._reply.body
        if len(body) > self._max_bytes:
            raise InvalidOutput(f"the answer is longer than {self._max_bytes} bytes")
        cut = body if self._reply.broken_after is None else body[: self._reply.broken_after]
        for start in range(0, len(cut), _PIECE):
            yield cut[start : start + _PIECE]
            await asyncio.sleep(0)
        if self._reply.broken_after is not None and self._reply.error is not None:
            self._http.failures += 1
            raise self._reply.error.with_traceback(None)

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])
