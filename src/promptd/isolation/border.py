"""The port `HttpClient` for a plugin: its requests run in the host's loop, behind the host's egress policy.

A request is closed at once when the plugin leaves its context, and when the errand's caller goes, even if the plugin does
not notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from msgspec import Struct

from promptd.core.errors import NetworkError, PermissionDenied, PromptdError
from promptd.core.ports import HttpClient, HttpResponse, Timeouts
from promptd.isolation.errands import Errand
from promptd.isolation.handover import Handover, Left

_BOUND = 256 * 1024  # bytes of a body that are on their way
_MOST_BYTES = 64 * 1024 * 1024


class Head(Struct, frozen=True):
    """Status and headers of an answer."""

    status: int
    headers: dict[str, str]


class Asked(Struct, frozen=True):
    """A request."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    timeouts: Timeouts
    max_bytes: int


class Border:
    """The `http` of one errand. It can be used in any loop, also in that of an `asyncio.run` in a plain function."""

    def __init__(self, http: HttpClient, errand: Errand) -> None:
        self._http, self._errand = http, errand

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        timeouts: Timeouts = Timeouts(),
        max_bytes: int = _MOST_BYTES,
    ) -> AbstractAsyncContextManager[HttpResponse]:
        return Crossing(
            self._http, self._errand, Asked(method, url, dict(headers), body, timeouts, min(max_bytes, _MOST_BYTES))
        )

    def allow(self, url: str) -> None:
        raise PermissionDenied("a plugin can't open addresses: name them in the settings of its connection")

    def disallow(self, url: str) -> None:
        raise PermissionDenied("a plugin can't close addresses")


class Crossing(AbstractAsyncContextManager[HttpResponse]):
    """One request that crosses the border, and its answer that comes back."""

    def __init__(self, http: HttpClient, errand: Errand, asked: Asked) -> None:
        self._http, self._errand, self._asked = http, errand, asked
        self._pieces: Handover[Head | bytes]
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> HttpResponse:
        self._pieces = Handover(asyncio.get_running_loop(), _BOUND)
        self._errand.at_home(self._begin)
        try:
            head, *first = await self._pieces.take()
        except BaseException:
            self._leave()
            raise
        assert isinstance(head, Head)
        return Answered(head, [piece for piece in first if isinstance(piece, bytes)], self._pieces)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._pieces.leave():
            self._errand.at_home(self._stop)

    # ---------------------------------------------------------------- in the home loop

    def _begin(self) -> None:
        if self._errand.left:
            self._pieces.finish(NetworkError("the call has ended"))
        else:
            self._task = self._errand.exchange(pump(self._http, self._asked, self._pieces))

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Answered:
    """Adapter of the port `HttpResponse`."""

    def __init__(self, head: Head, first: list[bytes], pieces: Handover[Head | bytes]) -> None:
        self.status = head.status
        self.headers: Mapping[str, str] = head.headers
        self._first, self._pieces = first, pieces

    async def chunks(self) -> AsyncIterator[bytes]:
        first, self._first = self._first, []
        for piece in first:
            yield piece
        while pieces := await self._pieces.take():
            for one in pieces:
                if isinstance(one, bytes):
                    yield one

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])


async def pump(http: HttpClient, asked: Asked, pieces: Handover[Head | bytes]) -> None:
    """Make the request and hand its answer over as it comes."""
    try:
        async with http.request(
            asked.method,
            asked.url,
            headers=asked.headers,
            body=asked.body,
            timeouts=asked.timeouts,
            max_bytes=asked.max_bytes,
        ) as response:
            await pieces.put(Head(response.status, dict(response.headers)), 0)
            async for piece in response.chunks():
                await pieces.put(piece, len(piece))
    except Left:
        return
    except asyncio.CancelledError:
        pieces.finish(NetworkError("the call has ended"))
        raise
    except PromptdError as error:
        pieces.finish(error.with_traceback(None))
    except Exception as error:  # what a plugin asks for may be of any type; it gets to know that it was wrong
        pieces.finish(NetworkError(f"the request can't be made ({type(error).__name__})", detail=repr(error)))
    else:
        pieces.finish()
