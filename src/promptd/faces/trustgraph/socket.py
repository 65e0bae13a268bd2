"""The socket: many calls on one connection, each in a task of its own, none in another one's way."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from promptd.core.errors import InvalidRequest, Overloaded, PromptdError, Unauthenticated
from promptd.core.model import Caller
from promptd.dialects.trustgraph import error_reply, read_frame, wire_error
from promptd.dialects.trustgraph.envelope import Frame, known_id, read_envelope, write_fault, write_reply
from promptd.dialects.trustgraph.errors import BadMessage, UnknownService
from promptd.dialects.trustgraph.replies import Reply, aliased, is_complete
from promptd.faces.asgi import check_width, encode
from promptd.faces.trustgraph.access import Access, Pass, bearer
from promptd.faces.trustgraph.desk import SERVICES, Asking, Desk, own_error
from promptd.faces.websocket import TRUST

MOST_RUNNING: Final = 256  # calls of one connection that run; more wait
MOST_CALLS: Final = 2048  # … that run or wait; more are refused
MOST_BYTES: Final = 128 * 1024 * 1024  # of the requests that run or wait, unless it is one alone
AUTH_SECONDS: Final = 30.0  # to say who one is
_MOST_FAILURES: Final = 10  # of saying so
_WORKSPACE: Final = "default"
_POLICY: Final = 1008

_log = logging.getLogger(__name__)


_Same = tuple[str, str, Any]  # service, flow and request


class Gone(Exception):
    """The client has left; there is nobody to answer."""


class _Call(Struct, frozen=True, eq=False):
    """A request that runs or waits for its turn. `same` says what it asks."""

    id: bytes
    service: str
    same: _Same
    size: int


class Sockets:
    """An ASGI app for every socket of this face."""

    def __init__(self, desk: Desk, access: Access) -> None:
        self._desk, self._access = desk, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = dict(scope["headers"])
        token = _query_token(scope)
        caller: Caller | None = None
        try:
            secret = token or bearer(headers)
            caller = await self._access.caller(secret, headers)
        except Unauthenticated:
            if token or b"authorization" in headers:
                await _refuse(send)
                return
        except PromptdError:
            caller = None  # the store can't be read now; it may say again who it is
        await send({"type": "websocket.accept"})
        connection = _Connection(self._desk, self._access, headers, scope, send)
        if caller is not None:
            connection.admit(caller)
        await connection.serve(receive)


class _Connection:
    """One client."""

    def __init__(self, desk: Desk, access: Access, headers: dict[bytes, bytes], scope: Scope, send: Send) -> None:
        self._desk, self._access, self._headers, self._send = desk, access, headers, send
        self._trust = scope.get("extensions", {}).get(TRUST)
        self._pass: Pass | None = None
        self._failures = 0
        self._time = asyncio.get_running_loop().time
        self._stranger_since = self._time()
        self._slots = asyncio.Semaphore(MOST_RUNNING)
        self._calls: dict[asyncio.Task[None], _Call] = {}
        self._asked: dict[bytes, tuple[_Same, ...]] = {}  # by id, what runs or waits
        self._bytes = 0

    def admit(self, caller: Caller) -> None:
        """From now on it is this one who asks."""
        self._pass = self._access.lasting(caller)
        if self._trust is not None:
            self._trust()

    async def serve(self, receive: Receive) -> None:
        """Until the client leaves or the server does; then nothing runs for it any more."""
        try:
            while (data := await self._next(receive)) is not None:
                await self._take(data)
        except Gone:
            pass
        finally:
            tasks = list(self._calls)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _next(self, receive: Receive) -> str | bytes | None:
        """What the client says next; None where it has left, or does not say who it is."""
        left = None if self._pass is not None else self._stranger_since + AUTH_SECONDS - self._time()
        try:
            async with asyncio.timeout(left):
                message = await receive()
        except TimeoutError:
            await self._close("nobody said who this is")
            return None
        if message["type"] != "websocket.receive":
            return None
        text: str | bytes | None = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    async def _close(self, reason: str) -> None:
        with suppress(Gone):
            await self._write({"type": "websocket.close", "code": _POLICY, "reason": reason})

    # ---------------------------------------------------------------- frames

    async def _take(self, data: str | bytes) -> None:
        identifier: bytes | None = None
        try:
            frame = read_frame(data)
            identifier = known_id(frame)
            if frame.type == "auth":
                await self._authenticate(frame)
                return
            if self._pass is None:
                raise Unauthenticated
            asking = Asking(await self._pass.caller(self._time()), self._headers)
            call, body = _understand(frame, len(data))
            twins = self._asked.get(call.id, ())
            if call.same in twins:
                return  # sent again by a client that grew impatient: the answer is on its way
            if len(self._calls) >= MOST_CALLS or (self._calls and self._bytes + call.size > MOST_BYTES):
                raise Overloaded("too many calls are under way on this connection")
        except PromptdError as error:
            if isinstance(error, Unauthenticated) and self._pass is not None:
                self._pass, self._stranger_since = None, self._time()  # its key or session has ended
            await self._say(write_fault(wire_error(error), identifier))
            return
        task = asyncio.create_task(self._run(call, asking, body), name="trustgraph call")
        self._calls[task] = call
        self._asked[call.id] = (*twins, call.same)
        self._bytes += call.size
        task.add_done_callback(self._forget)

    async def _authenticate(self, frame: Frame) -> None:
        """May be tried again; who failed stays who it was."""
        token = frame.token if isinstance(frame.token, str) else ""
        try:
            caller = await self._access.caller(token or None, self._headers)
        except Unauthenticated:
            self._failures += 1
            await self._say('{"type":"auth-failed","error":"auth failure"}')
            if self._failures >= _MOST_FAILURES:
                await self._close("too many failures")
            return
        self.admit(caller)
        told = {"type": "auth-ok", "workspace": _WORKSPACE, "default_workspace": _WORKSPACE}
        await self._say(encode(told).decode())

    # ---------------------------------------------------------------- calls

    async def _run(self, call: _Call, asking: Asking, body: Any) -> None:
        """Exactly one reply is complete."""
        try:
            replies = self._desk.replies(asking, call.service, body, streaming=True)
            async with self._slots, aclosing(replies):
                async for reply in replies:
                    await self._reply(call, reply)
        except Gone:
            return
        except PromptdError as error:
            await self._fail(call, error)
        except Exception as error:  # nobody foresaw it: the log gets everything, the caller nothing
            _log.error("a call failed", exc_info=error, extra={"action": "request_failed"})
            await self._fail(call, PromptdError())

    def _forget(self, task: asyncio.Task[None]) -> None:
        call = self._calls.pop(task)
        self._bytes -= call.size
        others = [same for same in self._asked.pop(call.id) if same is not call.same]
        if others:
            self._asked[call.id] = tuple(others)

    async def _fail(self, call: _Call, error: PromptdError) -> None:
        try:
            await self._reply(call, error_reply(wire_error(error, own_error(call.service))))
        except Gone:
            return

    async def _reply(self, call: _Call, reply: Reply) -> None:
        await self._say(write_reply(call.id, aliased(reply), complete=is_complete(reply)))

    async def _say(self, text: str) -> None:
        await self._write({"type": "websocket.send", "text": text})

    async def _write(self, message: dict[str, Any]) -> None:
        """Returns when the connection takes more: this is the backpressure. Raises `Gone`."""
        try:
            await self._send(message)
        except (OSError, RuntimeError):  # closed by the other side, or already by this one
            raise Gone from None


def _understand(frame: Frame, size: int) -> tuple[_Call, Any]:
    """Raises `BadMessage`, `UnknownService`, `InvalidRequest`, `PayloadTooLarge`."""
    envelope = read_envelope(frame)
    if envelope.service not in SERVICES:
        raise UnknownService(f"unknown service {envelope.service[:64]!r}")
    check_width(envelope.request)
    try:
        body = msgspec.json.decode(envelope.request)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadMessage(str(error)) from None
    if not isinstance(body, dict):
        raise InvalidRequest(field="request", expected="an object")
    return _Call(envelope.id, envelope.service, (envelope.service, envelope.flow, body), size), body


def _query_token(scope: Scope) -> str:
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=50)
    except ValueError:
        return ""
    return next((value for name, value in pairs if name == "token"), "")


async def _refuse(send: Send) -> None:
    """401 in place of a socket."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"www-authenticate", b"Bearer")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"401: Unauthorized"})
