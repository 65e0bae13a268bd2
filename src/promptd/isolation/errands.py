"""One call into a plugin, and everything that ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Any

from promptd.isolation.handover import Handover

if TYPE_CHECKING:
    from promptd.isolation.loops import PluginLoop
    from promptd.isolation.pool import Pool, Worker


class Errand:
    """What a caller in the loop `home` waits for. `leave` ends it, whatever the plugin does about that."""

    __slots__ = ("cancelled", "exchanges", "finished", "home", "loop", "out", "pool", "task", "worker")

    def __init__(self, home: asyncio.AbstractEventLoop, bound: int = 64) -> None:
        self.home = home
        self.out: Handover[Any] = Handover(home, bound)
        self.cancelled = Event()  #: for what runs in a thread
        self.exchanges: set[asyncio.Task[None]] = set()  #: open HTTP requests, in the home loop
        self.finished = False  #: the plugin gave everything; set in its thread
        self.task: asyncio.Task[None] | None = None
        self.loop: PluginLoop | None = None
        self.pool: Pool | None = None
        self.worker: Worker | None = None

    @property
    def left(self) -> bool:
        return self.out.left

    def fail(self, error: BaseException) -> None:
        """The caller gets `error` at once; from any thread."""
        self.out.finish(error)

    def leave(self) -> None:
        """The caller goes: its requests are closed now, the plugin is told, and what it still brings is not looked at.

        In the home loop; a second time changes nothing.
        """
        if self.left:
            return
        self.out.leave()
        for exchange in tuple(self.exchanges):
            exchange.cancel()
        self.cancelled.set()
        if self.loop is not None:
            self.loop.drop(self)
        if self.pool is not None:
            self.pool.drop(self)

    def exchange(self, request: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run an HTTP request of the plugin's in the home loop, where the client lives."""
        task = self.home.create_task(request)
        self.exchanges.add(task)
        task.add_done_callback(self.exchanges.discard)
        return task

    def at_home(self, step: Any, *arguments: Any) -> None:
        """Do `step` in the home loop, if that still runs."""
        with suppress(RuntimeError):
            self.home.call_soon_threadsafe(step, *arguments)
