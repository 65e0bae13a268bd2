"""What happens in the house, told to whoever listens: short notices without any text of a prompt."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from msgspec import Struct, field

Kind = Literal[
    "prompt_added",
    "prompt_removed",
    "prompt_started",
    "prompt_finished",
    "thread_added",
    "thread_updated",
    "message_added",
    "download_changed",
    "posted",
]
_MOST_WAITING = 10_000  # notices kept for one listener; the oldest go first


class Event(Struct, frozen=True):
    """One notice. `name` and `data` are those of a caller's own (`posted`)."""

    kind: Kind
    prompt: str = ""
    thread: str = ""
    error: str = ""
    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)


class Events:
    """Fan-out in this process. Nobody listening costs nothing; a slow listener loses the oldest notices."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    def tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener.hear(event)

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


class Listener:
    """Notices from the moment it began to listen."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque(maxlen=_MOST_WAITING)
        self._some = asyncio.Event()

    def hear(self, event: Event) -> None:
        self._waiting.append(event)
        self._some.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            self._some.clear()
            await self._some.wait()
