"""The life of one model: started on demand, restarted after a crash, stopped when idle."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from promptd.core.engine import Standing
from promptd.core.errors import (
    ConfigUnusable,
    EngineLost,
    ExecutionFailed,
    HandlerUnavailable,
    PromptExecutionError,
    ServiceUnavailable,
)
from promptd.engines.llamacpp.child import UNLOADABLE, Orders
from promptd.engines.llamacpp.config import LlamaCppConfig, ModelFile, model_file
from promptd.engines.llamacpp.process import ChildProcess, has_ended
from promptd.engines.llamacpp.serving import Serving

_log = logging.getLogger(__name__)

_STABLE: Final = 60.0  # seconds after which a crash counts as the first one again
_FORGIVEN: Final = 2  # failures in a row that cost the prompts which wait for a start nothing
_SHORT: Final = 2.0  # seconds that a call waits for a restart; it would cost the prompt an attempt to be refused
_CLEAR: Final = 10.0  # seconds that a process may take to see that its last call was cancelled
#: signals that a program brings upon itself: the same file would end the same way again
_FAULTS = {-signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL, -signal.SIGSEGV}


def restart_delay(failures: int, *, base: float = 0.5, limit: float = 60.0) -> float:
    """Seconds before the start that follows failure number `failures`: none after the first, then base·2^(n-2)."""
    return 0.0 if failures < 2 else min(base * 2.0 ** min(failures - 2, 20), limit)


class Supervisor:
    """Runs the child of connection `name`. All methods belong to one event loop."""

    def __init__(self, name: str, config: LlamaCppConfig) -> None:
        self.config = config
        self.name = name
        self.calls = 0
        self._standing = Standing(state="stopped")
        self._task: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._up: asyncio.Future[Serving]  #: the child that is, or the next one; made by `_begin`
        self._serving: Serving | None = None
        self._retry_at = 0.0  #: loop time before which no child will be started
        self._refused: tuple[ModelFile, PromptExecutionError] | None = None
        self._busy = asyncio.Event()  #: there are calls
        self._free = asyncio.Event()  #: there are none
        self._free.set()
        self._abandoned = asyncio.Event()  #: the last call was cancelled
        self._replaced = False
        self._idle: asyncio.TimerHandle | None = None

    @property
    def standing(self) -> Standing:
        """How the model stands; a process that has just died is not ready, even if nobody has been told yet."""
        serving = self._serving
        if self._standing.state == "ready" and (serving is None or has_ended(serving.pid)):
            return Standing(state="starting")
        return self._standing

    @property
    def ready(self) -> bool:
        return self.standing.state == "ready"

    @property
    def held_back(self) -> float | None:
        """Seconds until a restart that has to wait, None where nothing waits."""
        return max(0.0, self._retry_at - asyncio.get_running_loop().time()) if self._retry_at else None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Serving]:
        """A ready child, for the length of a call; starts one where there is none.

        Raises `ResourceNotFound`, `ConfigUnusable`, `HandlerUnavailable` (these stand until the file or the settings
        change), `ServiceUnavailable` with `retry_after` while a restart is held back.
        """
        self.calls += 1
        self._busy.set()
        self._free.clear()
        if self._idle is not None:
            self._idle.cancel()
        try:
            serving = await self._ready()
            try:
                yield serving
            except (asyncio.CancelledError, GeneratorExit):
                if self.calls == 1 and serving is self._serving:
                    self._abandoned.set()
                raise
        finally:
            self.calls -= 1
            if not self.calls:
                self._busy.clear()
                self._free.set()
                if self._task is not None:
                    self._rest()

    def forgive(self) -> None:
        """Forget why the model was found unusable, and do not hold a restart back any longer."""
        self._refused = None
        if self._retry_at:
            self.retire()

    def replace(self) -> None:
        """Stop as soon as the calls under way have ended: others get a supervisor with other settings."""
        self._replaced = True
        if not self.calls:
            self.retire()

    async def leave(self) -> None:
        """Stop once the calls under way have ended, and wait until the child is gone. It must get no other calls."""
        self.replace()
        await self._free.wait()
        await self.stop()

    @property
    def gone(self) -> bool:
        """Whether there is no process, not even one that is leaving."""
        return self._task is None and not self._leaving

    def retire(self, reason: str = "") -> None:
        """Stop now; the child leaves in the background. Calls under way fail with `EngineLost`."""
        if self._idle is not None:
            self._idle.cancel()
        if self._task is None:
            return
        self._leaving.add(self._task)
        self._task.add_done_callback(self._leaving.discard)
        self._task.cancel()
        self._task = None
        self._retry_at = 0.0
        self._standing = Standing(state="stopped", reason=reason)
        _log.info("model %s is stopped%s", self.name, f": {reason}" if reason else "")
        self._fail(EngineLost(f"the model {self.name} was stopped"))
        self._part("was stopped")

    async def stop(self) -> None:
        """Stop and wait until the child is gone."""
        self.retire()
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _rest(self) -> None:
        """The last call has ended."""
        if self._replaced:
            self.retire()
        elif self.config.idle_stop_seconds:
            self._idle = asyncio.get_running_loop().call_later(self.config.idle_stop_seconds, self.retire, "idle")

    async def _ready(self) -> Serving:
        if self._task is None:
            self._begin()
        if self.held_back is not None and self.held_back > _SHORT:
            raise ServiceUnavailable(self.standing.reason, retry_after=self.held_back)
        return await asyncio.shield(self._up)

    def _begin(self) -> None:
        try:
            file = model_file(self.config.gguf)
            if self._refused is not None and self._refused[0] == file:
                raise self._refused[1].with_traceback(None)  # or it would grow with each time
            if self.config.memory_limit_mb and sys.platform != "linux":
                raise ConfigUnusable("memory_limit_mb: can't be enforced on this platform, set it to 0")
        except PromptExecutionError as error:
            self._standing = Standing(state="unavailable", reason=_whole(error))
            raise
        self._refused = None
        self._standing = Standing(state="starting")
        self._up = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._supervise(file), name=f"llamacpp {self.name}")

    async def _supervise(self, file: ModelFile) -> None:
        """Keep a child running until cancelled, or until the model proves unusable."""
        loop = asyncio.get_running_loop()
        if self._leaving:
            await asyncio.wait(self._leaving)  # there is memory for one of its processes, not for two
        failures = 0
        while True:
            began = loop.time()
            try:
                reason = await self._live(file)
            except (ConfigUnusable, HandlerUnavailable) as error:
                _log.error("model %s: %s", self.name, _whole(error))
                self._refuse(file, error)
                return
            except Exception as error:  # a waiting call must not hang on what nobody foresaw
                self._refuse(file, ExecutionFailed(f"the model {self.name} can't be run", detail=repr(error)))
                self._refused = None
                raise
            failures = 1 if loop.time() - began > _STABLE else failures + 1
            delay = restart_delay(failures)
            _log.warning("model %s: its process %s; restart in %g s", self.name, reason, delay)
            # whoever waited for it has done nothing wrong; but a model that never comes up costs attempts in the end
            kind = EngineLost if failures <= _FORGIVEN else ServiceUnavailable
            self._fail(kind(f"the model's process {reason}", retry_after=delay or None))
            self._up = loop.create_future()
            if delay:
                self._retry_at = loop.time() + delay
                self._standing = Standing(state="unavailable", reason=f"the model's process {reason}; it will restart")
            else:
                self._standing = Standing(state="starting")
            self._part(reason)
            await asyncio.sleep(delay)
            self._retry_at = 0.0

    async def _live(self, file: ModelFile) -> str:
        """One child from start to end; how it ended. Raises `ConfigUnusable`, `HandlerUnavailable`."""
        self._standing = Standing(state="starting")
        key = secrets.token_urlsafe(32)
        try:
            process = await ChildProcess.spawn(self.name, _orders(file, self.config, key))
        except OSError as error:
            return f"could not be started: {error.strerror or type(error).__name__}"
        watches: list[asyncio.Task[None]] = []
        if limit := self.config.memory_limit_mb:
            watches.append(asyncio.create_task(process.keep_below(limit)))
        try:
            serving = await self._started(process, file, key)
            detail = {"pid": serving.pid, "origin": serving.origin, "slots": self.config.slots}
            self._standing = Standing(state="ready", context=serving.context, detail=detail)
            self._serving = serving
            self._abandoned.clear()
            watches.append(asyncio.create_task(self._end_hung(process, serving)))
            watches.append(asyncio.create_task(self._end_stuck(process, serving)))
            self._up.set_result(serving)
            _log.info("model %s is ready: process %d at %s", self.name, serving.pid, serving.origin)
            await process.exited()
            return process.why_gone()
        except ServiceUnavailable as error:
            return error.message
        finally:
            for watch in watches:
                watch.cancel()
            await process.end()

    async def _end_hung(self, process: ChildProcess, serving: Serving) -> None:
        """Kill the child when it lets its calls wait and gives no sign of life."""
        patience = self.config.hang_seconds
        await serving.hang(patience, self._busy)
        process.give_up(f"did not answer for {patience:g} s")

    async def _end_stuck(self, process: ChildProcess, serving: Serving) -> None:
        """Kill the child when it goes on with a cancelled call: its slot would not come back."""
        while True:
            await self._abandoned.wait()
            self._abandoned.clear()
            if not await serving.clears(_CLEAR, self._busy):
                process.give_up(f"computed a cancelled call for {_CLEAR:g} s")
                return

    async def _started(self, process: ChildProcess, file: ModelFile, key: str) -> Serving:
        """The child once it is ready. `ServiceUnavailable` says in words what may go better next time."""
        patience, limit = self.config.start_timeout_seconds, self.config.memory_limit_mb
        try:
            async with asyncio.timeout(patience):
                report = await process.report()
                if report is not None and report.origin and not (limit and process.exceeds(limit)):
                    return Serving(report.origin, key, report.context, process.pid)
                status = await process.exited()
        except TimeoutError:
            raise ServiceUnavailable(f"was not ready within {patience:g} s") from None
        if process.over_limit:
            raise ConfigUnusable(
                f"memory_limit_mb: the model needs more than {limit} MB",
                detail=f"memory_limit_mb: {file.path} needs more than {limit} MB",
            )
        if report is not None and report.missing:
            told = "llama.cpp can't run on this machine"
            raise HandlerUnavailable(told, detail=f"{told}: {report.missing}")
        if report is not None or status in _FAULTS:
            reason = report.error if report else f"llama.cpp {process.why_gone()} while loading it"
            detail = ": ".join(filter(None, (file.path, reason, process.complaint)))
            # llama.cpp's own words name the path; what our probe found is about a setting
            blamed = "the model file can't be loaded" + (
                " with this chat_template" if self.config.chat_template else ""
            )
            told = report.error if report and report.error != UNLOADABLE else blamed
            raise ConfigUnusable(told, detail=detail)
        raise ServiceUnavailable(process.why_gone())

    def _refuse(self, file: ModelFile, error: PromptExecutionError) -> None:
        self._task = None
        self._refused = file, error
        self._standing = Standing(state="unavailable", reason=_whole(error))
        self._fail(error)
        self._part(error.message)

    def _fail(self, error: PromptExecutionError) -> None:
        if not self._up.done():
            self._up.set_exception(error)
            self._up.exception()  # there may be nobody who waits for it

    def _part(self, how: str) -> None:
        if self._serving is not None:
            self._serving.end(how)
            self._serving = None


def _whole(error: PromptExecutionError) -> str:
    """What the operator may know of it: paths too."""
    return error.detail or error.message


def _orders(file: ModelFile, config: LlamaCppConfig, key: str) -> Orders:
    return Orders(
        path=file.path,
        key=key,
        slots=config.slots,
        context=config.context,
        threads=config.threads,
        chat_template=config.chat_template,
        embedding=config.embedding,
        pooling=config.pooling,
        gpu_layers=config.gpu_layers,
        prompt_cache_mb=config.prompt_cache_mb,
    )
