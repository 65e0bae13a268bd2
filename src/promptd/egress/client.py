"""`Egress`, the adapter of the port `HttpClient`: policy, pool and error border around `Connection`.

HTTP/1.1 on the event loop itself. A client with threads of its own can't close a socket that still waits for the first
byte when its caller leaves, and that is where an abandoned model call spends most of its time and money.
A request that a pooled connection lost, closed by its server before a byte came back, is sent once more on a new one.
Redirects are answers like any other, and the environment's proxies are not looked at.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from weakref import WeakValueDictionary

from msgspec import Struct

from promptd import __version__
from promptd.core.errors import ConfigUnusable, InvalidInput, NetworkError, Timeout
from promptd.core.ports import ALONE, AUTHORITY, FixedHeaders, Timeouts
from promptd.core.tracing import current
from promptd.core.whole_answers import WholeExchange
from promptd.egress.alarm import Alarm
from promptd.egress.body import Body
from promptd.egress.connection import Connection
from promptd.egress.policy import Origin, Policy, check_public, parse
from promptd.egress.pool import Pool

_Key = tuple[str, str, FixedHeaders | tuple[tuple[str, str], ...]]  # method, URL and headers
_Prepared = tuple[Pool, bool, bytes]  # as `_head_of`, for the calls of one key
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
#: headers that frame the request; they are written here and nowhere else
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade", "te"})
_AUTHORITY = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,260}")
_MOST_PREPARED = 256
_WITH_BODIES = ("POST", "PUT", "PATCH")
_DEFAULT_TIMEOUTS = Timeouts()
#: a name of its own: what was imported is taken for a module, and to call a method of it costs twice as much
_trace = current.get
_USER_AGENT = f"user-agent: promptd/{__version__}"


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host by the system's resolver. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Egress:
    """`allowed` names the origins of the operator's config (see `Policy`); with `public`, public addresses too.

    `max_idle` connections, over all origins, are kept for `idle_seconds`. `tls` replaces the system's trust store.
    """

    def __init__(
        self,
        allowed: Iterable[str] = (),
        *,
        public: bool = False,
        max_idle: int = 256,
        idle_seconds: float = 30.0,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._policy = Policy(allowed, public=public)
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._given_tls = tls
        self._resolve = resolve
        self._prepared: dict[_Key, _Prepared] = {}
        self._pools: WeakValueDictionary[Origin, Pool] = WeakValueDictionary()
        self._resting: set[Pool] = set()  # those that hold connections, or did since the last sweep
        self._idle_count = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._alarm: Alarm | None = None  # of all connections, made with the first
        self._closed = False

    def allow(self, url: str) -> None:
        """Let calls to the origin of `url` pass, as a connection that the operator saves does."""
        self._policy.allow(url)

    def disallow(self, url: str) -> None:
        self._policy.disallow(url)
        for pool in self._pools.values():
            pool.allowed = False

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> Exchange:
        """See `HttpClient.request`. Raises `InvalidInput` for a malformed URL or header."""
        key = method, url, headers if type(headers) is FixedHeaders else tuple(headers.items())
        prepared = self._prepared.get(key)  # `lru_cache` costs ten times as much as a dict
        if prepared is None:
            prepared = self._prepare(key, tuple(headers.items()))
        pool, alone, head = prepared
        if _trace() is not None:  # only where somebody traces
            head = _traced(head, headers)
        if body is not None:
            request = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        else:
            request = head + (b"content-length: 0\r\n\r\n" if method in _WITH_BODIES else b"\r\n")
        return Exchange(self, pool, alone, method == "HEAD", request, timeouts, max_bytes)

    async def close(self) -> None:
        """Close the idle connections; connections in use close when their exchange ends."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for pool in self._resting:
            for connection in pool.idle:
                connection.abort()
            pool.idle.clear()
        self._resting.clear()
        self._idle_count = 0

    def rested(self, pool: Pool) -> Connection | None:
        """A pooled connection, where there is one. Raises `PermissionDenied`."""
        if not pool.allowed:
            self._policy.named(pool.origin)
            pool.allowed = True
        idle = pool.idle
        while idle:
            connection = idle.pop()
            self._idle_count -= 1
            if connection.is_fresh():
                return connection
            connection.abort()
        return None

    async def connect(self, pool: Pool, timeout: float) -> Connection:
        """A new connection. Raises `PermissionDenied`, `NetworkError`, `Timeout`."""
        origin = pool.origin
        named = self._policy.named(origin)
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(pool, named=named)
        except TimeoutError as error:
            raise Timeout(f"no connection to {origin.authority} within {timeout:g} s") from error
        except ssl.SSLError as error:
            raise NetworkError(f"no trusted connection to {origin.authority}", detail=repr(error)) from error
        except OSError as error:
            raise NetworkError(f"no connection to {origin.authority}", detail=repr(error)) from error

    def release(self, pool: Pool, connection: Connection) -> None:
        """Take a connection back after its exchange; what can't serve another one is closed at once."""
        if self._closed or self._idle_count >= self._max_idle or not connection.rest():
            connection.abort()
            return
        idle = pool.idle
        if not idle:
            self._resting.add(pool)
        idle.append(connection)
        self._idle_count += 1
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what has rested for long enough, and forget what its service closed. One timer for all connections."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_seconds
        for pool in list(self._resting):
            idle = pool.idle
            # the last one in is the first one out, so those that rested longest stand in front
            while idle and (idle[0].resting_since <= oldest or idle[0].lost):
                idle.popleft().abort()
                self._idle_count -= 1
            if not idle:
                self._resting.discard(pool)
        next_sweep = min((pool.idle[0].resting_since for pool in self._resting), default=None)
        self._sweeper = None
        if next_sweep is not None:
            self._sweeper = loop.call_at(next_sweep + self._idle_seconds, self._sweep)

    def _prepare(self, key: _Key, headers: tuple[tuple[str, str], ...]) -> _Prepared:
        """Remembered: the calls of a connection differ in nothing but their bodies."""
        method, url, _ = key
        origin, alone, head = _head_of(method, url, headers)
        if len(self._prepared) >= _MOST_PREPARED:
            self._prepared.clear()
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin)
        prepared = self._prepared[key] = pool, alone, head
        return prepared

    async def _connect(self, pool: Pool, *, named: bool) -> Connection:
        origin, heads = pool.origin, pool.heads
        addresses = await self._resolve(origin.host, origin.port)
        if not named:
            check_public(origin.host, addresses)
        loop = asyncio.get_running_loop()
        alarm = self._alarm = self._alarm or Alarm(loop)
        tls = self._tls if origin.scheme == "https" else None
        name = origin.host if tls else None
        failure: OSError = OSError("the name has no address")
        # connecting to the very addresses that were checked: a second look-up might give others
        for address in addresses:
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(alarm, heads), address, origin.port, ssl=tls, server_hostname=name
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = error
            else:
                return connection
        raise failure

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = self._given_tls or ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context


class Response(Struct, eq=False):
    """Adapter of the port `HttpResponse`."""

    _connection: Connection
    _max_bytes: int
    status: int
    _headers: Mapping[str, str] | None = None
    _body: Body | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            self._headers = self._connection.headers
        return self._headers

    def chunks(self) -> Body:
        if self._body is None:
            self._headers = self.headers
            self._body = Body(self._connection, self._max_bytes)
        return self._body

    async def read(self) -> bytes:
        body = self._connection.take_whole(self._max_bytes) if self._body is None else None
        return await self.chunks().whole() if body is None else body


class Exchange(Struct, WholeExchange, eq=False):
    """One request and its answer. Leaving it closes the connection, or pools it where the body was read to its end."""

    _egress: Egress
    _pool: Pool
    _alone: bool  #: wants a connection of its own
    _head: bool
    _request: bytes
    _timeouts: Timeouts
    _max_bytes: int
    _connection: Connection | None = None  #: which was asked

    async def whole(self) -> bytes | None:
        connection = None if self._alone or self._head else self._egress.rested(self._pool)
        if connection is None:
            return None
        try:
            body = await connection.ask(self._request, self._timeouts, self._max_bytes)
        except BaseException:
            # a cancelled caller: the upstream must not go on working for nobody
            connection.abort()
            raise
        if body is None:
            self._connection = connection
        else:
            self._egress.release(self._pool, connection)
        return body

    async def __aenter__(self) -> Response:
        connection, egress = self._connection, self._egress
        asked = connection is not None
        if connection is None and not self._alone:
            connection = egress.rested(self._pool)
        if connection is None:
            connection = await egress.connect(self._pool, self._timeouts.connect)
        try:
            if not asked:
                connection.send(self._request, self._timeouts, asyncio.get_running_loop().time(), self._head)
            while not connection.answered():
                await connection.more()
        except NetworkError:
            connection.abort()
            if not connection.reused or connection.heard:
                raise
            connection = await self._again(connection.since)
        except BaseException:
            # also a cancelled caller: the upstream must not go on working for nobody
            connection.abort()
            raise
        self._request = b""  # it is not sent again, and the answer may take long
        self._connection = connection
        return Response(connection, self._max_bytes, connection.status)

    async def _again(self, since: float) -> Connection:
        """The service closed a connection that had rested, while the request was on its way. Once more, and on a new
        one: where that ends without an answer too, the request itself may be the reason."""
        connection = await self._egress.connect(self._pool, self._timeouts.connect)
        try:
            connection.send(self._request, self._timeouts, since, self._head)
            while not connection.answered():
                await connection.more()
        except BaseException:
            connection.abort()
            raise
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._egress.release(self._pool, self._connection)


def _traced(head: bytes, headers: Mapping[str, str]) -> bytes:
    """`head` with what tells the next hop of the trace, as far as `headers` don't."""
    trace = _trace()
    if trace is None:
        return head
    given = {name.lower() for name in headers}
    told = [f"{name}: {value}\r\n" for name, value in trace.headers().items() if name not in given]
    return head + "".join(told).encode("latin-1", "replace")


def _head_of(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bool, bytes]:
    """Where a request goes, whether it wants a connection of its own, and its head without the end."""
    origin, path = parse(url)
    alone = ALONE in headers
    if not _TOKEN.fullmatch(method):
        raise InvalidInput("method: expected an HTTP method")
    authority = next((value for name, value in headers if name == AUTHORITY), origin.authority)
    if not _AUTHORITY.fullmatch(authority):
        raise ConfigUnusable(f"headers.{AUTHORITY}: expected a host name, and a port if need be")
    headers = tuple([(name, value) for name, value in headers if name != AUTHORITY])
    lines = [f"{method} {path} HTTP/1.1", f"host: {authority}", "accept-encoding: identity"]
    if not any(name.lower() == "user-agent" for name, _ in headers):
        lines.append(_USER_AGENT)  # some services refuse requests without one
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or (name.lower() in _FRAMING and (name, value) != ALONE):
            raise ConfigUnusable(f"headers.{name[:40]!r}: this header can't be set")
        if not _VALUE.fullmatch(value):
            raise ConfigUnusable(f"headers.{name}: the value has characters that no header may have")
        lines.append(f"{name}: {value}")
    return origin, alone, "\r\n".join(lines).encode("latin-1") + b"\r\n"
