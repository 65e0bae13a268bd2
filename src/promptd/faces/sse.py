"""Server-sent events to many readers: backpressure, heartbeats, stuck readers and the end of the server.

A reader is one task that writes what its source yields; the request's own task waits for the client to leave. One timer
looks after all readers, so that a chunk costs no timeout object.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final, TypeVar

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from promptd.core.errors import Forbidden, PromptdError, Unauthenticated
from promptd.core.model import Caller
from promptd.faces.asgi import ABORT, Headers
from promptd.service.callers import Callers
from promptd.service.changes import Changes

T = TypeVar("T")
_log = logging.getLogger(__name__)
_HEARTBEAT: Final = b": \n\n"
_HEADERS: Final[Headers] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_LOOKS = 4  # per heartbeat or stuck time
_SLOWEST_LOOK = 0.25  # seconds; also how late a stream may notice that the server leaves, or its reader's power
_TRUST_SECONDS = 60.0  # until a reader's power is looked up anew though nobody told of a change
_HOLDER: Final = "promptd.holder"


class Holder(Struct, frozen=True):
    """Whom a stream or a wait is for. It ends when `may` is no longer true of what the caller may do then."""

    caller: Caller
    may: Callable[[Caller], bool]
    changes: int  #: how many there had been before the caller was let in


def hold(scope: Scope, holder: Holder) -> None:
    """Tell who asks, before the request is answered; a stream that does not tell stays open whatever happens."""
    scope[_HOLDER] = holder


class Readers:
    """Every open stream of a face, and every request that waits for a prompt's end."""

    def __init__(
        self,
        *,
        heartbeat_seconds: float,
        stuck_seconds: float,
        retry_hint_ms: int | None,
        closing: asyncio.Event,
        callers: Callers,
    ) -> None:
        self._heartbeat, self._stuck = heartbeat_seconds, stuck_seconds
        self._closing, self._callers = closing, callers
        self._check: asyncio.Task[None] | None = None
        self._look_every = min(heartbeat_seconds / _LOOKS, stuck_seconds / _LOOKS, _SLOWEST_LOOK)
        self._open: set[_Reader] = set()
        self._waits: set[_Wait] = set()
        self._timer: asyncio.TimerHandle | None = None
        #: what tells a reader when to come back; None: a wire that has no such line
        self.hint = b"" if retry_hint_ms is None else b"retry: %d\n\n" % retry_hint_ms

    @property
    def count(self) -> int:
        """Streams that are open now."""
        return len(self._open)

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, source: AsyncGenerator[bytes, None], headers: Headers
    ) -> None:
        """Answer a request with the frames of `source`, until it ends, the client leaves or the server does."""
        reader = _Reader(scope, send, self.hint, scope.get(_HOLDER))
        self._open.add(reader)
        self._arm()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *headers]})
            await reader.write(self.hint)
            reader.pump = asyncio.create_task(reader.run(source), name=f"stream {scope['path']}")
            if self._closing.is_set():
                reader.leave()
            await _until_gone(receive)
        finally:
            self._open.discard(reader)
            await reader.close()

    async def wait(
        self, work: Coroutine[Any, Any, T], receive: Receive, seconds: float, holder: Holder | None
    ) -> T | None:
        """The result of `work`, or None where the time is up, the client left or the server leaves before.

        Raises `Unauthenticated` or `Forbidden` where the holder's session, key or permission ends before.
        """
        done = asyncio.create_task(work, name="wait for a prompt")
        gone = asyncio.create_task(_until_gone(receive))
        wait = _Wait(holder)
        self._waits.add(wait)
        self._arm()
        try:
            await asyncio.wait((done, gone, wait.over), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if wait.refusal is not None:
                raise wait.refusal
            return done.result() if done.done() else None
        finally:
            self._waits.discard(wait)
            wait.over.cancel()
            gone.cancel()
            done.cancel()
            await asyncio.wait((done, gone))

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._look_every, self._look)

    def _look(self) -> None:
        """Heartbeats for the silent, the end for the stuck, and for all when the server leaves."""
        self._timer = None
        closing = self._closing.is_set()
        now = asyncio.get_running_loop().time()
        for reader in self._open:
            if reader.blocked_for(now) >= self._stuck:
                reader.abort()
            elif closing:
                reader.leave()
            elif reader.silent_for(now) + self._look_every > self._heartbeat:
                reader.beat()
        if self._check is None or self._check.done():
            changes = self._callers.changes
            doubted = [one for one in (*self._open, *self._waits) if one.is_doubted(changes, now)]
            if doubted:
                self._check = asyncio.create_task(self._send_away(doubted, changes.count, now))
        if closing:
            for wait in self._waits:
                wait.leave()
        if self._open or self._waits:
            self._arm()

    async def _send_away(self, doubted: list[_Held], changes: int, now: float) -> None:
        """End the streams and waits of those whose session or key is over, or who may not read any more."""
        powers: dict[tuple[str, str], Caller | None] = {}
        for one in doubted:
            holder = one.holder
            if holder is None:
                continue
            who = holder.caller.user, holder.caller.key
            if who not in powers:
                try:
                    powers[who] = await self._callers.renew(holder.caller)
                except PromptdError as error:  # asked again at the next look
                    _log.warning("a reader's power is not known: %s", error, extra={"action": "renew_failed"})
                    return
            current = powers[who]
            if current is None:
                one.revoke(Unauthenticated("the session or key has ended"))
            elif not holder.may(current):
                one.revoke(Forbidden("the permission has ended"))
            one.trust(changes, now)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Held(ABC):
    """Somebody who was let in, and is here as long as that is right."""

    def __init__(self, holder: Holder | None) -> None:
        self.holder = holder
        self._changes = holder.changes if holder is not None else 0
        self._trusted = asyncio.get_running_loop().time()

    def is_doubted(self, changes: Changes, now: float) -> bool:
        """Whether the holder's power may have gone since it was last looked up."""
        if self.holder is None:
            return False
        return changes.since(self._changes, self.holder.caller.user) or now - self._trusted >= _TRUST_SECONDS

    def trust(self, changes: int, now: float) -> None:
        self._changes, self._trusted = changes, now

    @abstractmethod
    def revoke(self, refusal: PromptdError) -> None:
        """End it, because its holder has lost the power."""


class _Wait(_Held):
    """One client that waits for a prompt's end."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refusal: PromptdError | None = None

    def leave(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def revoke(self, refusal: PromptdError) -> None:
        self.refusal = refusal
        self.leave()


class _Reader(_Held):
    """One client of one stream."""

    def __init__(self, scope: Scope, send: Send, hint: bytes, holder: Holder | None) -> None:
        super().__init__(holder)
        self._abort = scope.get("extensions", {}).get(ABORT)
        self._send, self._hint = send, hint
        self._time = asyncio.get_running_loop().time
        self._writing = 0
        self._since = self._time()  #: when the last write ended, or the one under way began
        self._started = self._leaving = False
        self._beat: asyncio.Task[None] | None = None
        self.pump: asyncio.Task[None] | None = None

    def blocked_for(self, now: float) -> float:
        """Seconds that the client has not taken what is being written."""
        return now - self._since if self._writing else 0.0

    def silent_for(self, now: float) -> float:
        """Seconds since the last write."""
        return 0.0 if self._writing else now - self._since

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Returns when the connection takes more: this is the backpressure."""
        if not self._writing:
            self._since = self._time()
        self._writing += 1
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            self._writing -= 1
            if not self._writing:
                self._since = self._time()

    async def run(self, source: AsyncGenerator[bytes, None]) -> None:
        """Write all of `source`, then end the response; a reader sent away is told when to come back."""
        self._started = True
        try:
            async with aclosing(source) as frames:
                if self._leaving:
                    raise asyncio.CancelledError
                async for frame in frames:
                    await self.write(frame)
        except asyncio.CancelledError:
            if not self._leaving:
                raise
            await self.write(self._hint)
        except PromptdError as error:
            _log.warning("a stream ended early: %s", error.detail or error, extra={"action": "stream_failed"})
        except Exception as error:  # whatever broke, the response must end, or the client would wait for ever
            _log.error("a stream broke", exc_info=error, extra={"action": "stream_failed"})
        if self._beat is not None:
            await self._beat
        await self.write(b"", more=False)

    def beat(self) -> None:
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self.write(_HEARTBEAT))

    def leave(self) -> None:
        """End the stream where it is; the client comes back with the last id it saw."""
        if not self._leaving:
            self._leaving = True
            if self._started and self.pump is not None:
                self.pump.cancel()

    def revoke(self, refusal: PromptdError) -> None:
        self.leave()

    def abort(self) -> None:
        """Drop a client that takes nothing. Without the server's help this waits for the network to give up."""
        if self.pump is not None:
            self.pump.cancel()
        if self._abort is not None:
            self._abort()

    async def close(self) -> None:
        tasks = [task for task in (self.pump, self._beat) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
