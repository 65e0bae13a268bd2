"""Isolation by processes: a stranger's engine in its distribution's child process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final

from promptd.core.calls import Call, Standing
from promptd.core.configs import LoadReport
from promptd.core.engine import Engine
from promptd.core.errors import ExecutionFailed, InvalidInput, PromptdError, Timeout
from promptd.core.localisation import Localizer
from promptd.core.model import Chunk
from promptd.core.ports import HttpClient
from promptd.isolation.adapter import ApartEngine, configs, without_secrets
from promptd.isolation.faults import error_of
from promptd.isolation.link import Faulted, Inlet, Lost
from promptd.isolation.processes import PluginProcess
from promptd.isolation.redaction import Redactor
from promptd.isolation.results import redacted
from promptd.isolation.wire import Writer, read_result

_log = logging.getLogger(__name__)

#: what the child is not asked for: nobody can wait for its answer
_SILENT: Final[dict[str, Any]] = {"dialects": frozenset(), "memory": None, "query_model": ""}


class SpawnedEngine(ApartEngine):
    """Runs in a child process; a crash there fails the calls in it and no others."""

    def __init__(
        self, inner: Engine[Any, Any], localizer: Localizer | None, process: PluginProcess, entry: str
    ) -> None:
        super().__init__(inner, localizer)
        self._process, self._entry = process, entry
        self._writer = Writer(inner)
        self._lasting: dict[tuple[str, str], int] = {}  #: conversations whose requests may go on after them
        process.tenants += 1

    async def apart(self, method: str, arguments: tuple[Any, ...], limit_seconds: float | None) -> Any:
        redact = Redactor(*configs(arguments))
        report = next((one for one in arguments if isinstance(one, LoadReport)), None)
        async with self._asking(method, arguments, limit_seconds, redact) as inlet:
            data = await inlet.take()
        if data is None:
            raise ExecutionFailed("the engine ended without a result")
        result = read_result(self.inner, method, data, self._process.rules.max_answer_bytes, report)
        return redacted(result, redact) if method == "test_connection" else result

    async def stream(self, call: Call[Any, Any]) -> AsyncGenerator[Chunk, None]:
        limit = None if call.deadline is None else call.deadline - monotonic()
        redact = Redactor(call.connection, call.query)
        most_bytes = self._process.rules.max_answer_bytes
        async with self._asking("run", (call,), limit, redact) as inlet:
            while (data := await inlet.take()) is not None:
                chunk = read_result(self.inner, "run", data, most_bytes, None)
                if chunk.kind == "done":
                    yield without_secrets(chunk, redact)
                    return
                yield chunk
        raise ExecutionFailed("the engine ended without a result")

    def now(self, method: str, *arguments: Any) -> Any:
        return _SILENT[method]

    def standing(self, name: str, connection: Any) -> Standing:
        if reason := self._process.unavailable:
            return Standing(state="unavailable", reason=reason)
        pid = self._process.pid
        return Standing(state="ready", detail={} if pid is None else {"pid": pid})

    def note(self, method: str, error: PromptdError) -> None:
        _log.warning("plugin %s: %s: %s", self._process.plugin, method, error.message)

    async def vacate(self) -> None:
        self._process.tenants -= 1
        if self._process.tenants <= 0:
            await self._process.close()

    async def _end(self, method: str, *arguments: Any) -> None:
        if self._process.pid is not None:  # else there is nothing to end
            await super()._end(method, *arguments)

    @asynccontextmanager
    async def _asking(
        self, method: str, arguments: tuple[Any, ...], limit: float | None, redact: Redactor
    ) -> AsyncIterator[Inlet]:
        """A conversation with the child. Its faults and its end are errors of ours."""
        loop = asyncio.get_running_loop()
        until = None if limit is None else monotonic() + max(0.0, limit)
        try:
            question = self._writer.question(self._entry, method, until, arguments)
        except OSError as error:
            raise InvalidInput("a file can't be read", detail=repr(error)) from None
        inlet: Inlet | None = None
        life: asyncio.Task[None] | None = None
        timer: asyncio.TimerHandle | None = None
        try:
            async with asyncio.timeout(limit):
                link = await self._process.link()
                life = self._process.life
            inlet = link.open(method, question)
            self._own(method, arguments, inlet.number, redact)
            if until is not None:
                timer = loop.call_later(max(0.0, until - monotonic()), inlet.fail, Timeout("the engine took too long"))
            yield inlet
        except TimeoutError:
            raise Timeout("the engine's process did not start in time") from None
        except Faulted as error:
            raise error_of(error.fault, redact) from None
        except Lost:
            raise await self._process.lost(life) from None
        finally:
            if timer is not None:
                timer.cancel()
            if inlet is not None:
                inlet.leave()
                if inlet.number not in self._lasting.values():
                    self._process.disown(inlet.number)

    def _own(self, method: str, arguments: tuple[Any, ...], number: int, redact: Redactor) -> None:
        if method in ("start", "scale"):
            before = self._lasting.pop((method, arguments[0]), None)
            if before is not None:
                self._process.disown(before)
            self._lasting[method, arguments[0]] = number
        self._process.own(number, _client(arguments), redact)


def _client(arguments: tuple[Any, ...]) -> HttpClient | None:
    for argument in arguments:
        found = argument if hasattr(argument, "disallow") else getattr(argument, "http", None)
        if found is not None:
            client: HttpClient = found
            return client
    return None
