"""How 1Backend's services talk HTTP (contract section 1): routes, bodies, errors and CORS of this face.

A handler gets an `Ask` and returns a struct or a dict (200, JSON), or an ASGI app that sends the response itself.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import Struct
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from promptd.core import identity
from promptd.core.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PromptdError,
    Unauthenticated,
    UnknownModel,
)
from promptd.core.model import Caller
from promptd.core.rules import Access
from promptd.faces import FaceOptions
from promptd.faces.asgi import (
    JSON,
    Disconnected,
    Headers,
    check_width,
    encode,
    log_crash,
    path_params,
    read_body,
    send_body,
)
from promptd.faces.onebackend.lenient import fit
from promptd.faces.onebackend.options import OneBackendOptions
from promptd.faces.sse import Holder, Readers, hold
from promptd.service.walk import Walk

S = TypeVar("S", bound=Struct)
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_NOBODY: Final = Caller("")
_MOST_BODY: Final = 32 * 1024 * 1024
SMALL_BODY: Final = 64 * 1024  #: bytes; for endpoints that take a few short members
_MOST_EXPANSION: Final = 20  # times; what is below `SMALL_BODY` may unpack to that all the same
_SLOW_UNZIP: Final = 16 * 1024  # bytes that take the loop a noticeable while to unpack
_ALLOW_METHODS: Final = b"POST, GET, OPTIONS, PUT, DELETE"
_ALLOW_HEADERS: Final = (
    b"Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Content-Encrypted, "
    b"Cache-Control, Last-Event-ID"
)


class Desk(Struct, frozen=True, kw_only=True):
    """What the handlers of this face share."""

    walk: Walk
    options: FaceOptions
    compat: OneBackendOptions
    readers: Readers


class Refused(Exception):
    """A refusal with the exact status and text that this wire's clients know."""

    def __init__(self, status: int, text: str, *, headers: Headers | None = None) -> None:
        self.status, self.text, self.headers = status, text, headers or []
        super().__init__(text)


class Ask(Struct, frozen=True):
    """A request that passed the door."""

    desk: Desk
    caller: Caller  #: nobody (an empty user) on public endpoints
    params: dict[str, str]  #: of the path, decoded once
    query: dict[str, str]
    body: Any  #: decoded JSON; None where it was empty, `null`, or is the handler's to read
    scope: Scope
    receive: Receive
    charge: Callable[[Caller], Awaitable[None]]  #: count a caller whom the handler came to know
    holder: Holder  #: for what lasts longer than the door's look

    @property
    def walk(self) -> Walk:
        return self.desk.walk

    @property
    def token(self) -> str:
        """The secret as it came, or an empty string."""
        return bearer(self.scope)

    @property
    def address(self) -> str:
        """The client's, behind the proxies that the operator trusts."""
        return address_of(self.scope)

    async def authenticate(self, *, to_refresh: bool = False) -> Caller:
        """The caller of a public endpoint that asks for a token all the same. Raises `Unauthenticated`."""
        caller = await self.walk.callers.authenticate(self.token, to_refresh=to_refresh)
        await self.charge(caller)
        return caller

    def fit(self, kind: type[S]) -> S:
        """The body as a request struct; lenient. Raises `InvalidRequest`."""
        return fit(self.body, kind)


Handler = Callable[[Ask], Awaitable[Any]]


class Endpoint(NamedTuple):
    """One operation of this face. Holding any one of `permissions` suffices; None: public; empty: any known caller."""

    method: str
    path: str  #: `{name}` is one raw path segment
    permissions: Sequence[str] | None
    handler: Handler
    reads_body: bool = True  #: False: the handler streams the body itself
    max_body: int = _MOST_BODY  #: bytes, unpacked
    ticket: bool = False  #: a ticket in the query does instead of a header, for a browser's EventSource


class Nothing(Struct, frozen=True):
    """`{}`, the answer that says it is done."""


NOTHING: Final = Nothing()


def bearer(scope: Scope) -> str:
    """The secret of the `Authorization` header; this wire takes it with or without `Bearer`."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            text = value.decode("latin-1").strip()
            return "" if text == "Bearer" else text.removeprefix("Bearer ").strip()
    return ""


def address_of(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


class Service:
    """An endpoint as an ASGI callable."""

    def __init__(self, endpoint: Endpoint, desk: Desk) -> None:
        self.endpoint, self._desk = endpoint, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = shared_with_browsers(scope, send)
        try:
            answer = await self.endpoint.handler(await self._admit(scope, receive))
            if callable(answer):
                await answer(scope, receive, send)
                return
        except Refused as refused:
            await send_refusal(send, refused.status, refused.text, refused.headers)
        except PromptdError as error:
            await send_error(send, error)
        except Disconnected:
            return
        except Exception as error:  # a bug must cost one request, not the connection, and tell the caller nothing
            log_crash(error, scope)
            await send_refusal(send, 500, "Internal Server Error")
        else:
            await send_body(send, 200, [JSON], encode(answer))

    async def _admit(self, scope: Scope, receive: Receive) -> Ask:
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        params = path_params(scope)
        walk = self._desk.walk
        if walk.rules.any:  # first, so that guessing tokens counts
            await walk.rules.admit(self._access(scope, address=address_of(scope)))
        changes = walk.callers.changes.count
        caller = await self._caller(scope, query, params)
        await self._charge(scope, caller)
        holder = Holder(caller, self._may, changes)
        hold(scope, holder)
        body = None
        if self.endpoint.reads_body:
            body = parse(await _whole(scope, receive, min(self._desk.options.max_body_bytes, self.endpoint.max_body)))
        return Ask(self._desk, caller, params, query, body, scope, receive, partial(self._charge, scope), holder)

    def _access(self, scope: Scope, *, address: str = "", user: str = "") -> Access:
        return Access(scope["path"], scope["method"], address, user, self.endpoint.path)

    async def _charge(self, scope: Scope, caller: Caller) -> None:
        """What rules for users let pass. Raises `TooManyRequests`."""
        rules = self._desk.walk.rules
        if rules.any and caller.user:
            await rules.admit(self._access(scope, user=caller.user))

    def _may(self, caller: Caller) -> bool:
        permissions = self.endpoint.permissions
        return not permissions or any(map(caller.may, permissions))

    async def _caller(self, scope: Scope, query: Mapping[str, str], params: Mapping[str, str]) -> Caller:
        permissions = self.endpoint.permissions
        if permissions is None:
            return _NOBODY
        secret = bearer(scope)
        if self.endpoint.ticket and not secret and "ticket" in query:
            path = self.endpoint.path.format_map({name: quote(value, safe="") for name, value in params.items()})
            caller = await self._desk.walk.callers.renewed(self._desk.walk.tickets.redeem(query["ticket"], path))
        elif not secret:
            raise Refused(422, "422 Unprocessable Entity")
        else:
            caller = await self._desk.walk.callers.authenticate(secret)
        if permissions and not self._may(caller):
            identity.require(caller, permissions[0])
        return caller


# ---------------------------------------------------------------- bodies


async def _whole(scope: Scope, receive: Receive, limit: int) -> bytes:
    raw = await read_body(scope, receive, limit)
    encoding = dict(scope["headers"]).get(b"content-encoding", b"").strip().lower()
    if not raw or encoding in (b"", b"identity"):
        return raw
    if encoding not in (b"gzip", b"x-gzip"):
        raise Refused(415, "Unsupported Media Type: content-encoding: expected gzip or none")
    unzip = zlib.decompressobj(wbits=31)
    most = min(limit, max(SMALL_BODY, _MOST_EXPANSION * len(raw)))
    try:
        if len(raw) > _SLOW_UNZIP:
            body = await asyncio.to_thread(unzip.decompress, raw, most + 1)
        else:
            body = unzip.decompress(raw, most + 1)
    except zlib.error:
        raise Refused(400, "Invalid JSON: body: expected gzip") from None
    if len(body) > limit:
        raise PayloadTooLarge(f"the body is larger than {limit} bytes")
    if len(body) > most:
        raise PayloadTooLarge(f"the body unpacks to more than {_MOST_EXPANSION} times its size")
    if not unzip.eof or unzip.unused_data:
        raise Refused(400, "Invalid JSON: body: expected one whole gzip member")
    return body


def parse(raw: bytes) -> Any:
    """The body as JSON; nothing, `null` and blanks are alike None. Raises `Refused`."""
    if not raw.strip():
        return None
    check_width(raw)
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "Invalid JSON") from None


# ---------------------------------------------------------------- responses


async def send_refusal(send: Send, status: int, text: str, headers: Headers | None = None) -> None:
    """`{"error": text}`, first line only, with a space behind the colon as clients match it."""
    line = msgspec.json.encode(text.split("\n", 1)[0])
    kind = [] if headers and any(name == b"content-type" for name, _ in headers) else [JSON]
    await send_body(send, status, [*kind, *(headers or [])], b'{"error": %b}' % line)


async def send_error(send: Send, error: PromptdError) -> None:
    """The refusal that an error of the tree is on this wire."""
    headers: Headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    status, text = error.http_status, error.message
    if isinstance(error, Unauthenticated):
        known = error.message.startswith("token refresh failed")
        status, text = 401, f"Unauthorized: {'' if known else 'failed to parse JWT: '}{error.message}"
        headers.append(_TEXT)  # the one error that this wire labels so
    elif isinstance(error, Forbidden):
        status, text = 401, "Unauthorized"
    elif isinstance(error, InvalidRequest) and not isinstance(error, UnknownModel):
        status, text = 400, f"Invalid JSON: {error.message}"
    elif status >= 500 and not error.retryable:
        text = "Internal Server Error"
    await send_refusal(send, status, text, headers)


def shared_with_browsers(scope: Scope, send: Send) -> Send:
    """Add the CORS headers that every response of this face has."""
    origin = dict(scope["headers"]).get(b"origin", b"*")
    cors: Headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"false"),
        (b"vary", b"Origin"),
        (b"access-control-allow-methods", _ALLOW_METHODS),
        (b"access-control-allow-headers", _ALLOW_HEADERS),
    ]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *cors]}
        await send(message)

    return sent


class Methods:
    """The endpoints of one path; any OPTIONS is answered before anything is asked."""

    def __init__(self, services: Mapping[str, ASGIApp]) -> None:
        self._services = dict(services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._services.get(scope["method"])
        if service is not None:
            await service(scope, receive, send)
        else:
            await elsewhere(scope, receive, send)


class PathRoute(Route):
    """A path whose own app answers for every method."""

    def __init__(self, path: str, app: ASGIApp) -> None:
        super().__init__(path, app, include_in_schema=False)
        self.app, self.methods = app, None  # as it is: Starlette would take a function for a handler of requests

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    """A path or method of a service that nobody serves, and every preflight."""
    send = shared_with_browsers(scope, send)
    if scope["method"] == "OPTIONS":
        await send_body(send, 200, [], b"")
    else:
        await send_error(send, NotFound("there is nothing at this path"))
