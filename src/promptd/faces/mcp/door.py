"""Who may come in: origin, key, rules on endpoints. What stands behind is imported with the first call.

The protocol's own package takes a second to import, and most servers are never asked.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from typing import Any, Final, cast
from urllib.parse import urlsplit

from starlette.types import Message, Receive, Scope, Send

from promptd.core.errors import Forbidden, PromptdError, ShuttingDown, Unauthenticated
from promptd.core.model import Caller
from promptd.core.rules import Access
from promptd.faces import FaceOptions
from promptd.faces.asgi import (
    ABORT,
    JSON,
    Disconnected,
    check_width,
    encode,
    log_crash,
    problem_of,
    read_body,
    send_body,
)
from promptd.faces.mcp.ports import CALLER, Host
from promptd.service.walk import Walk

PATH: Final = "/mcp"
_INVALID_REQUEST: Final = -32600
_INTERNAL_ERROR: Final = -32603
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Door:
    """An ASGI app for everything at `PATH`."""

    def __init__(self, walk: Walk, options: FaceOptions) -> None:
        self._walk, self._options = walk, options
        self._origins = frozenset(options.given.get("mcp", {}).get("origins", ()))
        self._host: asyncio.Future[Host] | None = None
        self._living: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = _Patient(scope, send, self._options.stuck_reader_seconds)
        try:
            headers = dict(scope["headers"])
            if not self._may_ask(headers):
                raise Forbidden("pages of this origin may not use the server")
            caller = await self._caller(scope, headers)
            body = _Body(await read_body(scope, receive, self._options.max_body_bytes), receive)
            check_width(body.raw)
            host = await self._open()
            # a stream of notices lasts as long as its client and its key; what else lasts is cut off where it runs
            notices = self._walk.revocation.staying(caller) if scope["method"] == "GET" else nullcontext()
            with notices:
                await host(cast(Scope, {**scope, CALLER: caller}), body, sending)
        except PromptdError as error:
            if sending.started:
                sending.drop()
            else:
                await _refuse(sending, error)
        except Disconnected:
            return
        except Exception as error:  # a bug, ours or the package's, must cost one request and tell the caller nothing
            log_crash(error, scope)
            if not sending.started:
                await _refuse(sending, PromptdError())

    def _may_ask(self, headers: Mapping[bytes, bytes]) -> bool:
        """Against DNS rebinding: a page in somebody's browser must be of this machine or one of the operator's."""
        given = headers.get(b"origin")
        if given is None:
            return True
        origin = given.decode("latin-1")
        if origin in self._origins:
            return True
        try:
            return urlsplit(origin).hostname in _HERE
        except ValueError:
            return False

    async def _caller(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Caller:
        """Raises `Unauthenticated`, and what a rule on the endpoint says."""
        walk, client = self._walk, scope.get("client")
        if walk.rules.any:  # first, so that guessing keys counts
            await walk.rules.admit(Access(PATH, scope["method"], client[0] if client else "", "", PATH))
        scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        caller = await walk.callers.authenticate(secret.strip() if scheme.lower() == "bearer" else None)
        if walk.rules.any and caller.user:
            await walk.rules.admit(Access(PATH, scope["method"], "", caller.user, PATH))
        return caller

    async def _open(self) -> Host:
        """The host, started by whoever comes first. Raises `ShuttingDown`."""
        if self._options.closing.is_set():
            raise ShuttingDown(retry_after=5)
        if self._host is None:
            self._host = asyncio.get_running_loop().create_future()
            self._living = asyncio.create_task(self._live(self._host), name="mcp")
        return await asyncio.shield(self._host)

    async def _live(self, ready: asyncio.Future[Host]) -> None:
        try:
            module: Any = await asyncio.to_thread(import_module, "promptd.faces.mcp.host")
            async with module.open_host(self._walk, self._options) as host:
                ready.set_result(host)
                await self._options.closing.wait()
        except Exception as error:  # whoever waits for it must hear of it, and the next one may try again
            self._host = None
            if ready.done():
                raise
            ready.set_exception(error)


async def _refuse(send: Send, error: PromptdError) -> None:
    """In the protocol's words, whatever the status: its clients show people what stands there."""
    code = _INTERNAL_ERROR if error.http_status >= 500 else _INVALID_REQUEST
    told = {"code": code, "message": f"{error.code}: {error.message}", "data": problem_of(error)}
    headers = [JSON]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    await send_body(send, error.http_status, headers, encode({"jsonrpc": "2.0", "id": None, "error": told}))


class _Body:
    """`receive` of a request whose body has been looked at already."""

    def __init__(self, raw: bytes, receive: Receive) -> None:
        self.raw = raw
        self._receive, self._read = receive, False

    async def __call__(self) -> Message:
        if self._read:
            return await self._receive()
        self._read = True
        return {"type": "http.request", "body": self.raw, "more_body": False}


class _Patient:
    """`send`, up to a bound: a client that takes nothing is dropped."""

    def __init__(self, scope: Scope, send: Send, seconds: float) -> None:
        self._abort = scope.get("extensions", {}).get(ABORT)
        self._send, self._seconds = send, seconds
        self.started = self._dropped = False

    async def __call__(self, message: Message) -> None:
        """What is said to a client that was dropped is lost, as it is with one that left."""
        self.started = True
        if self._dropped:
            return
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            self.drop()

    def drop(self) -> None:
        self._dropped = True
        if self._abort is not None:
            self._abort()
