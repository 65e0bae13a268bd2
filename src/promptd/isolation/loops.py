"""An event loop in a thread of its own, for a plugin's coroutines."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from time import monotonic
from typing import Any, Final, ParamSpec, TypeVar

from promptd.isolation.errands import Errand
from promptd.isolation.pool import Pool

_log = logging.getLogger(__name__)

_MOST_LINGERING: Final = 64

_HELPERS: Final = 32

Work = Callable[[Errand], Coroutine[Any, Any, None]]
R = TypeVar("R")
P = ParamSpec("P")


class DaemonExecutor(ThreadPoolExecutor):
    """What `asyncio.to_thread` of a plugin runs in. The usual one's threads would keep the process from leaving."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(max_workers=1)  # it starts none before it is used, and it is not
        self._helpers, self._home = Pool(name, _HELPERS), loop

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()

        def work() -> Callable[[], object]:
            if not future.set_running_or_notify_cancel():
                return lambda: None
            try:
                result = fn(*args, **kwargs)
            except BaseException as raised:  # as an executor does, for whoever awaits it
                error = raised
                return lambda: future.set_exception(error)
            return lambda: future.set_result(result)

        self._helpers.submit(Errand(self._home), work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._helpers.close()


class PluginLoop:
    """Runs errands until it is closed. Whatever a plugin raises in a task or callback, the loop goes on.

    The thread is a daemon: one that hangs in a plugin's code does not keep the process from leaving.
    """

    def __init__(self, name: str) -> None:
        self.errands: set[Errand] = set()  #: those whose caller waits
        self._lingering: set[Errand] = set()  #: those whose caller went, and that have not ended; of the loop's thread
        self._closing = False
        self._asked = self._answered = monotonic()
        self._loop = asyncio.SelectorEventLoop()  # it survives SystemExit in a callback, others promise nothing
        self._loop.set_default_executor(DaemonExecutor(name, self._loop))
        self.thread = threading.Thread(target=self._live, name=name, daemon=True)
        self.thread.start()

    # ---------------------------------------------------------------- from the callers' threads

    def submit(self, errand: Errand, work: Work) -> None:
        """Run `work`, which must hand everything over and raise nothing, as a task."""
        errand.loop = self
        self.errands.add(errand)
        # a context of its own: what the host keeps in context variables is not the plugin's
        self._loop.call_soon_threadsafe(self._begin, errand, work, context=Context())

    def drop(self, errand: Errand) -> None:
        """The errand's caller went: cancel its task, if it still runs."""
        self.errands.discard(errand)
        if not errand.finished:
            self._soon(self._cancel, errand)
        if self._closing:
            self._close_if_empty()

    def silent_seconds(self) -> float:
        """How long the loop has owed an answer to the question whether it is alive. Asks it again."""
        if self._answered >= self._asked:
            self._asked = monotonic()
            self._soon(self._answer)
            return 0.0
        return monotonic() - self._asked

    @property
    def culprit(self) -> asyncio.Task[Any] | None:
        """The task that the loop is at, which is the one that blocks it."""
        return asyncio.current_task(self._loop)

    @property
    def crowded(self) -> bool:
        """Whether so many tasks took no notice of their cancellation that others should get another loop."""
        return len(self._lingering) >= _MOST_LINGERING

    def retire(self) -> None:
        """Close once nobody waits for an errand any more."""
        self._closing = True
        self._close_if_empty()

    def close(self) -> None:
        """End the loop, with every task on it, as soon as it can be reached."""
        self._closing = True
        self._soon(self._loop.stop)

    # ---------------------------------------------------------------- in the loop's thread

    def _live(self) -> None:
        while not self._closing:
            try:
                self._loop.run_forever()  # a plugin may stop it
            except BaseException as error:  # what a plugin raised in a callback, SystemExit included
                _log.error("plugin code raised %s outside of its call", type(error).__name__)
        self._end()

    def _end(self) -> None:
        """Cancel what is left. A task that goes on all the same is dropped with its loop."""
        with suppress(BaseException):  # as above
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
        with suppress(BaseException):  # as above
            self._loop.close()

    def _begin(self, errand: Errand, work: Work) -> None:
        if not errand.left:
            errand.task = self._loop.create_task(work(errand))
            errand.task.add_done_callback(lambda task: self._ended(errand))
        else:
            self._ended(errand)

    def linger(self, errand: Errand) -> None:
        """The errand's caller has all that it wanted, or went; what the task still does is not waited for."""
        self._lingering.add(errand)

    def _cancel(self, errand: Errand) -> None:
        if errand.task is not None and not errand.task.done():
            self.linger(errand)
            errand.task.cancel()

    def _ended(self, errand: Errand) -> None:
        self._lingering.discard(errand)
        self.errands.discard(errand)
        if self._closing:
            self._close_if_empty()

    def _answer(self) -> None:
        self._answered = monotonic()

    def _close_if_empty(self) -> None:
        if not self.errands:
            self._soon(self._loop.stop)

    def _soon(self, step: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(step, *arguments)
