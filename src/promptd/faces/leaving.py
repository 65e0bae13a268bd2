"""What happens to a call when its client leaves before the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct
from starlette.types import Receive, Scope

from promptd.faces.asgi import GONE, Disconnected
from promptd.service.visit import Visit

_NOTHING: Final[dict[str, Any]] = {}


class _Told(Struct, frozen=True):
    """A server like ours tells at once that the client has gone; nothing else is needed."""

    _gone: list[Callable[[], None]]

    def end(self) -> None:
        self._gone.clear()


def watch_for(scope: Scope, receive: Receive, visit: Visit) -> _Told | Watch:
    """See to it that the visit ends when its caller leaves; call `end` when it has ended."""
    gone: list[Callable[[], None]] | None = scope.get("extensions", _NOTHING).get(GONE)
    if gone is None:
        return Watch(scope, receive, visit)
    gone.append(visit.leave)
    return _Told(gone)


class Watch:
    """Tells a visit, or cancels this task where there is none, when the client has gone."""

    __slots__ = ("_gone", "_leave", "_task", "_watcher", "left")

    def __init__(self, scope: Scope, receive: Receive, visit: Visit | None) -> None:
        self.left = False
        self._task = asyncio.current_task()
        self._leave = visit.leave if visit is not None else self._cancel
        self._gone: list[Callable[[], None]] | None = scope.get("extensions", _NOTHING).get(GONE)
        self._watcher: asyncio.Task[None] | None = None
        if self._gone is not None:
            self._gone.append(self._leave)
        else:
            # another server than ours tells only those who ask
            self._watcher = asyncio.create_task(self._wait(receive), name="watch a caller")

    def end(self) -> None:
        if self._gone is not None:
            self._gone.clear()
        if self._watcher is not None:
            self._watcher.cancel()

    def _cancel(self) -> None:
        self.left = True
        if self._task is not None:
            self._task.cancel()

    async def _wait(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._leave()


@contextmanager
def while_connected(scope: Scope, receive: Receive) -> Iterator[None]:
    """Work of use to one caller alone: it is cancelled when that leaves. Raises `Disconnected` then."""
    watch = Watch(scope, receive, None)
    try:
        yield
    except asyncio.CancelledError:
        if watch.left:
            raise Disconnected from None
        raise
    finally:
        watch.end()
