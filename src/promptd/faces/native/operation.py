"""One operation of the native API as data, and the ASGI callable that carries it out.

The table of operations (`routes.py`) makes the routes and the OpenAPI document, so that the two can't drift apart.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import Struct
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from promptd.core import identity
from promptd.core.errors import Forbidden, InvalidRequest, PromptdError
from promptd.core.model import Caller
from promptd.core.rules import Access
from promptd.faces import FaceOptions
from promptd.faces.asgi import (
    JSON,
    Disconnected,
    Headers,
    decode,
    encode,
    invalid,
    path_params,
    read_body,
    send_body,
    send_crash,
    send_error,
    send_wrong_method,
)
from promptd.faces.native.events import Frames
from promptd.faces.native.requests import NoQuery
from promptd.faces.serve_file import Sending
from promptd.faces.sse import Holder, Readers, hold
from promptd.service.walk import Walk

Q = TypeVar("Q")
B = TypeVar("B")
_NOBODY = Caller("")
_NO_PARAMS: dict[str, str] = {}
_MOST_MEMBERS = 50
_QUERIES = 64  # remembered per operation: most callers say the same again, and parsing it anew is dear


class Desk(Struct, frozen=True, kw_only=True):
    """What the handlers of one face share."""

    walk: Walk
    options: FaceOptions
    readers: Readers
    frames: Frames
    document: Callable[[], bytes]  #: the OpenAPI document


class Call(Struct, Generic[Q, B], frozen=True):
    """A request that passed the door: known caller, permission checked, query and body of the right form."""

    caller: Caller
    params: dict[str, str]
    query: Q
    body: B
    raw: bytes  #: the body as it came
    headers: dict[bytes, bytes]
    receive: Receive
    holder: Holder | None = None  #: of operations that may stream, for what lasts longer than the door's look


class Reply(NamedTuple):
    """A whole response."""

    status: int
    body: bytes = b""
    headers: Headers = []


class EventStream(NamedTuple):
    """A response of server-sent events: whole frames."""

    source: AsyncGenerator[bytes, None]
    headers: Headers = []


Handler = Callable[[Desk, Call[Any, Any]], Awaitable[Reply | EventStream | Sending]]


class Operation(Struct, frozen=True, kw_only=True):
    """A method on a path. `answers` maps a status to a struct, a media type or None (no content)."""

    method: str
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, type | str | None]
    group: str = "server"  #: heading in the docs
    public: bool = False  #: needs no key
    permission: str | None = None
    admin: bool = False  #: for admins only
    query: type[Struct] = NoQuery
    body: type[Struct] | None = None
    upload: bool = False  #: the body is a file of any type, which the handler reads as it comes
    headers: Mapping[str, Any] = {}  #: request headers that it reads, as annotated types
    example: Mapping[str, Any] | None = None  #: a body, for the docs
    also: Mapping[int, str] = {}  #: statuses whose answer may be of another media type as well
    events: bool = False  #: a 200 may be a stream of events
    ticket: bool = False  #: a ticket does instead of a key
    refusals: tuple[int, ...] = ()  #: statuses beyond those that follow from the rest
    in_document: bool = True

    @property
    def name(self) -> str:
        return self.handler.__name__


def json_reply(status: int, value: object, headers: Headers | None = None) -> Reply:
    return Reply(status, encode(value), [JSON, *headers] if headers else [JSON])


class Endpoint:
    """An operation as an ASGI callable."""

    def __init__(self, operation: Operation, desk: Desk) -> None:
        self.operation, self._desk = operation, desk
        self._decoder = msgspec.json.Decoder(operation.body) if operation.body is not None else None
        self._no_query = operation.query()
        # where a ticket may stand in it, a query is a secret and no two are the same
        self._query = self._parse if operation.ticket else lru_cache(_QUERIES)(self._parse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self.operation.handler(self._desk, await self._admit(scope, receive))
        except PromptdError as error:
            await send_error(send, error)
        except Disconnected:
            return
        except Exception as error:  # a bug must cost one request, not the connection, and tell the caller nothing
            await send_crash(send, error, scope)
        else:
            if isinstance(answer, EventStream):
                await self._desk.readers.serve(scope, receive, send, answer.source, answer.headers)
            elif isinstance(answer, Sending):
                await answer(scope, receive, send)
            else:
                await send_body(send, answer.status, answer.headers, answer.body)

    async def _admit(self, scope: Scope, receive: Receive) -> Call[Any, Any]:
        operation = self.operation
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given: bytes = scope["query_string"]
        params = path_params(scope) if "path_params" in scope else _NO_PARAMS
        walk = self._desk.walk
        client = scope.get("client")
        if walk.rules.any:  # first, so that guessing keys counts
            address = client[0] if client else ""
            await walk.rules.admit(Access(scope["path"], scope["method"], address, "", operation.path))
        changes = walk.callers.changes.count
        caller = _NOBODY if operation.public else await self._caller(headers, given, params)
        if walk.rules.any and caller.user:
            await walk.rules.admit(Access(scope["path"], scope["method"], "", caller.user, operation.path))
        holder = None
        if operation.events:
            holder = Holder(caller, self._may, changes)
            hold(scope, holder)
        query = self._query(given) if given else self._no_query
        body, raw = None, b""
        if self._decoder is not None:
            raw = await read_body(scope, receive, self._desk.options.max_body_bytes)
            body = decode(self._decoder, raw)
        return Call(caller, params, query, body, raw, headers, receive, holder)

    async def _caller(self, headers: dict[bytes, bytes], query: bytes, params: dict[str, str]) -> Caller:
        operation = self.operation
        caller = await self._ticket_holder(query, params) if operation.ticket and b"ticket=" in query else None
        if caller is None:
            scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            caller = await self._desk.walk.callers.authenticate(secret.strip() if scheme.lower() == "bearer" else None)
        if operation.permission is not None:
            identity.require(caller, operation.permission)
        if operation.admin and not caller.admin:
            raise Forbidden("only an admin may do this")
        return caller

    def _may(self, caller: Caller) -> bool:
        operation = self.operation
        if operation.admin and not caller.admin:
            return False
        return operation.permission is None or caller.may(operation.permission)

    async def _ticket_holder(self, query: bytes, params: dict[str, str]) -> Caller | None:
        token = _members(query).get("ticket")
        if token is None:
            return None
        walk = self._desk.walk
        return await walk.callers.renewed(walk.tickets.redeem(token, filled(self.operation.path, params)))

    def _parse(self, given: bytes) -> Struct:
        try:
            return msgspec.convert(_members(given), self.operation.query, strict=False)
        except msgspec.ValidationError as error:
            raise invalid(error, "query") from None


def _members(query: bytes) -> dict[str, str]:
    """A query's members. Raises `InvalidRequest` where one stands there twice."""
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_MEMBERS)
    except ValueError:
        raise InvalidRequest(field="query", expected=f"at most {_MOST_MEMBERS} members") from None
    for name, value in pairs:
        if name in found:
            raise InvalidRequest(field=name, expected="one value")
        found[name] = value
    return found


def filled(path: str, params: Mapping[str, str]) -> str:
    """A path template with its parameters, each percent-encoded: the one spelling of a path."""
    return path.format_map({name: quote(value, safe="") for name, value in params.items()})


class Methods:
    """The operations of one path."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = dict(endpoints)
        if "GET" in endpoints and not endpoints["GET"].operation.events:  # a stream without its body would never end
            self._endpoints["HEAD"] = endpoints["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is None:
            await send_wrong_method(send, sorted(self._endpoints))
        else:
            await endpoint(scope, receive, send)


class PathRoute(Route):
    """A path whose own app answers for a wrong method; another path that fits and has the method comes first."""

    def __init__(self, path: str, endpoints: Mapping[str, Endpoint]) -> None:
        super().__init__(path, Methods(endpoints), methods=list(endpoints))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
