"""Where the plugins of one distribution run: a loop in a thread of its own, and a few threads for plain functions.

A loop that gives no sign of life is given up with its thread, which nobody can end, and others get a fresh one. With too
many threads given up the plugin is unavailable until some of them end.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from promptd.core.errors import EngineLost, ExecutionFailed, InvalidOutput, ServiceUnavailable, Timeout
from promptd.core.model import Chunk
from promptd.isolation.checking import check_chunk, too_large
from promptd.isolation.errands import Errand
from promptd.isolation.handover import Left
from promptd.isolation.loops import PluginLoop
from promptd.isolation.pool import Pool
from promptd.isolation.rules import Rules

_log = logging.getLogger(__name__)

_NOW_SECONDS: Final = 1.0

Meaning = Callable[[BaseException], BaseException]  #: the error that stands for what a plugin raised; raises nothing
Check = Callable[[Any], Any]


class Quarters:
    """All methods but those in plugin threads belong to the callers' loop."""

    def __init__(self, plugin: str, rules: Rules) -> None:
        self.plugin, self.rules = plugin, rules
        self._current: PluginLoop | None = None
        self._loops: list[PluginLoop] = []  #: those with errands, the current one included
        self._given_up: list[PluginLoop] = []
        self._pool = Pool(f"plugin {plugin}", rules.threads)
        self._hanging: list[threading.Thread] = []  #: of `now`
        self.tenants = 0  #: engines that live here
        self._watched_by: asyncio.AbstractEventLoop | None = None

    @property
    def unavailable(self) -> str:
        """Why the plugin can't be called, or nothing."""
        if not (self._given_up or self._pool.stuck or self._hanging):
            return ""
        self._given_up = [loop for loop in self._given_up if loop.thread.is_alive()]
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        stuck = len(self._given_up) + self._pool.stuck + len(self._hanging)
        return f"{stuck} threads of the plugin {self.plugin} hang" if stuck >= self.rules.most_stuck else ""

    def call(
        self, errand: Errand, function: Callable[..., Any], arguments: Sequence[Any], check: Check, meaning: Meaning
    ) -> None:
        """Call a method; its result, as `check` gives it back, is the only item of `errand.out`.

        Raises `ServiceUnavailable`.
        """
        self._admit()
        if inspect.iscoroutinefunction(function):
            self._submit(errand, lambda errand: _await(errand, function(*arguments), check, meaning))
            return

        def work() -> Callable[[], object]:
            try:
                result = function(*arguments)
                if not inspect.isawaitable(result):
                    checked = check(result)
                    return lambda: errand.out.finish(last=(checked,))
            except BaseException as raised:  # SystemExit and KeyboardInterrupt of a plugin end its call and no more
                error = meaning(raised)
                return lambda: errand.out.finish(error)
            # a plain function that returns a coroutine
            return lambda: errand.at_home(self._submit, errand, lambda errand: _await(errand, result, check, meaning))

        self._pool.submit(errand, work)

    def stream(
        self, errand: Errand, function: Callable[[Any], AsyncIterator[Chunk]], call: Any, meaning: Meaning
    ) -> None:
        """Run an asynchronous generator; its chunks, the `done` last, are the items of `errand.out`.

        Raises `ServiceUnavailable`.
        """
        self._admit()
        most_bytes = self.rules.max_answer_bytes
        self._submit(errand, lambda errand: _stream(errand, function, call, meaning, most_bytes))

    def now(self, work: Callable[[], Any], meaning: Meaning) -> Any:
        """Do `work` in a thread and block for a second at most. Raises what `meaning` says, `Timeout`."""
        self._admit()
        ended: list[Callable[[], Any]] = []

        def guarded() -> None:
            try:
                result = work()
            except BaseException as raised:  # as in `call`
                error = meaning(raised)
                ended.append(lambda: _raise(error))
            else:
                ended.append(lambda: result)

        thread = threading.Thread(target=guarded, name=f"plugin {self.plugin}", daemon=True)
        thread.start()
        thread.join(_NOW_SECONDS)
        if not ended:
            self._hanging.append(thread)
            raise Timeout("the engine took too long")
        return ended[0]()

    def close(self) -> None:
        """End every thread that can be ended; whoever still waits is told."""
        for loop in self._loops:
            self._fail(loop, "was stopped")
            loop.close()
        self._loops, self._current = [], None
        self._pool.close()
        self._pool = Pool(f"plugin {self.plugin}", self.rules.threads)

    # ---------------------------------------------------------------- loops

    def _admit(self) -> None:
        if reason := self.unavailable:
            raise ServiceUnavailable(reason, retry_after=self.rules.blocked_seconds)

    def _submit(self, errand: Errand, work: Any) -> None:
        if errand.left:
            return
        loop = self._current
        if loop is None or loop.crowded:
            if loop is not None:
                _log.warning("plugin %s: many of its calls go on after their end; it gets a new loop", self.plugin)
                loop.retire()
            self._current = loop = PluginLoop(f"plugin {self.plugin}")
            self._loops.append(loop)
        loop.submit(errand, work)
        home = errand.home
        if self._watched_by is not home and (self._watched_by is None or self._watched_by.is_closed()):
            self._watched_by = home
            home.call_later(self._interval, self._watch, home)

    @property
    def _interval(self) -> float:
        return max(0.02, min(1.0, self.rules.blocked_seconds / 4))

    def _watch(self, home: asyncio.AbstractEventLoop) -> None:
        """Look after the loops for as long as somebody waits for one of them."""
        for loop in tuple(self._loops):
            if loop.errands and (silent := loop.silent_seconds()) > self.rules.blocked_seconds:
                self._give_up(loop, silent)
        self._loops = [loop for loop in self._loops if loop.errands or loop is self._current]
        if any(loop.errands for loop in self._loops):
            home.call_later(self._interval, self._watch, home)
        else:
            self._watched_by = None

    def _give_up(self, loop: PluginLoop, silent: float) -> None:
        how = f"gave no sign of life for {silent:.1f} s"
        _log.error("plugin %s: its loop %s and is given up", self.plugin, how, extra={"action": "plugin_blocked"})
        self._loops.remove(loop)
        if loop is self._current:
            self._current = None
        self._given_up.append(loop)
        self._fail(loop, how)
        loop.close()

    def _fail(self, loop: PluginLoop, how: str) -> None:
        """Tell everybody who waits: the one who blocks the loop, and those who have done nothing wrong."""
        culprit, errands = loop.culprit, tuple(loop.errands)
        known = any(errand.task is culprit for errand in errands) if culprit is not None else False
        for errand in errands:
            if known and errand.task is culprit:
                errand.fail(ExecutionFailed(f"the engine blocked its event loop: it {how}"))
            elif known:
                errand.fail(EngineLost(f"another call blocked the engine's event loop: it {how}"))
            else:
                errand.fail(ServiceUnavailable(f"the engine's event loop {how}"))


def _raise(error: BaseException) -> None:
    raise error


# -------------------------------------------------------------------- in the plugin's loop


async def _await(errand: Errand, result: Any, check: Check, meaning: Meaning) -> None:
    try:
        checked = check(await result)
    except BaseException as raised:  # the loop must not see SystemExit, and a stray CancelledError is an error too
        errand.finished = True
        errand.out.finish(meaning(raised))
        return
    errand.finished = True
    errand.out.finish(last=(checked,))


async def _stream(errand: Errand, function: Any, call: Any, meaning: Meaning, most_bytes: int) -> None:
    chunks: Any = None
    said = 0
    out = errand.out
    try:
        chunks = function(call)
        if not hasattr(chunks, "__anext__"):
            if inspect.iscoroutine(chunks):
                chunks.close()
            raise InvalidOutput("run must be an asynchronous generator of chunks")
        async for chunk in chunks:
            checked = check_chunk(chunk, most_bytes)
            if checked.kind == "done":
                errand.finished = True
                out.finish(last=(checked,))
                break
            said += len(checked.text)
            if said > most_bytes:
                raise too_large(most_bytes)
            if out.push(checked, 1 + (len(checked.text) >> 12)):
                await out.room()
        else:
            raise ExecutionFailed("the engine ended without a result")
    except Left:
        pass
    except BaseException as raised:  # as above
        errand.finished = True
        out.finish(meaning(raised))
    if hasattr(chunks, "aclose"):
        # its caller has everything; that the plugin cleans up is not waited for
        if errand.loop is not None:
            errand.loop.linger(errand)
        await _close(chunks)


async def _close(chunks: Any) -> None:
    try:
        await chunks.aclose()
    except BaseException as raised:  # as above; and whoever asked is gone
        _log.debug("a plugin raised %s while it closed a run", type(raised).__name__)
