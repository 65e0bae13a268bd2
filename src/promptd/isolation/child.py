"""The process of a plugin: `python -m promptd.isolation.child <file descriptor>`, or `--probe` for a trial import.

It keeps the socket that it inherited open, and leaves when the other end closes: killing the server alone leaves no
orphan. Inside, the plugin runs in threads as it would in the server, so that one call can't stop the others; only what
takes the whole process down is the server's business.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.metadata import EntryPoint
from time import monotonic
from typing import Any, Final

import msgspec

from promptd.core.configs import LoadReport
from promptd.core.engine import Engine
from promptd.core.errors import HandlerUnavailable, NetworkError, PromptdError
from promptd.core.ports import HttpResponse, Timeouts
from promptd.isolation.adapter import bound
from promptd.isolation.border import Answered, Asked, Head
from promptd.isolation.faults import error_of, fault
from promptd.isolation.handover import Handover
from promptd.isolation.link import Faulted, Inlet, Link, Lost, Outlet
from promptd.isolation.quarters import Quarters
from promptd.isolation.redaction import Redactor
from promptd.isolation.rules import Rules
from promptd.isolation.threaded import ThreadedEngine
from promptd.isolation.wire import Question, read_arguments, write_result

PROBE: Final = "--probe"
STUCK: Final = 75  #: exit status of a process whose threads hang
_MOST_BYTES: Final = 1 << 30  # of a frame from the server, which is trusted
_MOST_OPEN: Final = 100_000  # as for bytes
_MOST_LINES, _WINDOW = 200, 10.0  # log lines per seconds
_NOTHING: Final = Redactor()  # the server takes secrets out of what comes from here


class Orders(msgspec.Struct):
    """The first words of the server."""

    plugin: str
    path: list[str]  #: where modules are found
    rules: Rules


class Child:
    """Answers the server's questions."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._orders: asyncio.Future[Orders]
        self._engines: dict[tuple[str, str], ThreadedEngine] = {}
        self._loading = asyncio.Lock()
        self._quarters: Quarters
        self._link: Link

    async def live(self) -> None:
        """Until the server closes its end."""
        self._orders = asyncio.get_running_loop().create_future()
        reader, writer = await asyncio.open_connection(sock=self._sock)
        self._link = Link(
            reader,
            writer,
            odd=True,
            most_bytes=_MOST_BYTES,
            most_open=_MOST_OPEN,
            answer=self._answer,
            note=self._note,
        )
        handler = _ToServer(asyncio.get_running_loop(), self._link)
        logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(message)s")
        await self._link.live()

    def _note(self, kind: str, text: bytes) -> None:
        orders = msgspec.msgpack.decode(text, type=Orders)
        sys.path[:] = orders.path
        _limit(orders.rules)
        self._quarters = Quarters(orders.plugin, orders.rules)
        self._quarters.tenants = 1  # it is never given up: the process is
        self._orders.set_result(orders)

    async def _answer(self, kind: str, question: bytes, outlet: Outlet) -> None:
        await asyncio.shield(self._orders)
        if kind == "alive":
            return
        asked = msgspec.msgpack.decode(question, type=Question)
        try:
            engine = await self._engine(asked.type_id, asked.entry)
            arguments = read_arguments(engine, asked.method, asked.arguments, Client(self._link, outlet.number))
            if asked.method == "run":
                async for chunk in _stream(engine, arguments[0]):
                    await outlet.put(write_result(engine, "run", chunk, None))
                return
            report = next((one for one in arguments if isinstance(one, LoadReport)), None)
            limit = None if asked.limit_seconds is None else max(0.0, asked.limit_seconds - monotonic())
            result = await engine.apart(asked.method, arguments, limit)
            await outlet.put(write_result(engine, asked.method, result, report))
        except Exception as error:  # whatever it is, the server is to know; it tells others what it means
            raise Faulted(fault(Engine(), error, _NOTHING)) from None
        finally:
            if self._quarters.unavailable:
                await self._link.drain()
                os._exit(STUCK)

    async def _engine(self, type_id: str, entry: str) -> ThreadedEngine:
        async with self._loading:
            engine = self._engines.get((type_id, entry))
            if engine is None:
                inner = await asyncio.to_thread(load, type_id, entry)
                engine = self._engines[type_id, entry] = bound(ThreadedEngine, inner)(inner, None, self._quarters)
        return engine


class Client:
    """The port `HttpClient`, for one question: the server makes its requests."""

    def __init__(self, link: Link, owner: int) -> None:
        self._link, self._owner = link, owner

    @asynccontextmanager
    async def _request(self, asked: Asked) -> AsyncIterator[HttpResponse]:
        try:
            inlet = self._link.open("http", msgspec.msgpack.encode((self._owner, asked)))
        except Lost:
            raise NetworkError("the server is gone") from None
        pieces: Handover[Head | bytes] = Handover(asyncio.get_running_loop(), 256 * 1024)
        feeding = asyncio.create_task(_feed(inlet, pieces))
        try:
            head, *first = await pieces.take()
            assert isinstance(head, Head)
            yield Answered(head, [piece for piece in first if isinstance(piece, bytes)], pieces)
        finally:
            feeding.cancel()
            inlet.leave()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        timeouts: Timeouts = Timeouts(),
        max_bytes: int = 64 * 1024 * 1024,
    ) -> AbstractAsyncContextManager[HttpResponse]:
        return self._request(Asked(method, url, dict(headers), body, timeouts, max_bytes))

    def allow(self, url: str) -> None:
        """Never reached: the plugin's own client refuses."""

    def disallow(self, url: str) -> None:
        """As above."""


async def _feed(inlet: Inlet, pieces: Handover[Head | bytes]) -> None:
    try:
        first = await inlet.take()
        if first is None:
            raise NetworkError("there was no answer")
        await pieces.put(msgspec.msgpack.decode(first, type=Head), 0)
        while (piece := await inlet.take()) is not None:
            await pieces.put(piece, len(piece))
    except Faulted as error:
        pieces.finish(error_of(error.fault, _NOTHING))
    except Lost:
        pieces.finish(NetworkError("the server is gone"))
    except PromptdError as error:
        pieces.finish(error)
    else:
        pieces.finish()


class _ToServer(logging.Handler):
    """Log records go to the server's log, within bounds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link) -> None:
        super().__init__()
        self._loop, self._link = loop, link
        self._until, self._lines = 0.0, 0

    def emit(self, record: logging.LogRecord) -> None:
        now = monotonic()
        if now >= self._until:
            self._until, self._lines = now + _WINDOW, 0
        self._lines += 1
        if self._lines <= _MOST_LINES:
            with suppress(RuntimeError):  # the loop is closed
                text = msgspec.msgpack.encode((record.levelno, _NOTHING(self.format(record))))
                self._loop.call_soon_threadsafe(self._link.note, "log", text)


def load(type_id: str, entry: str) -> Engine[Any, Any]:
    """The engine `type_id` of an entry point. Raises `HandlerUnavailable`."""
    try:
        found: Any = EntryPoint("engine", entry, "promptd.engines").load()
        kinds: list[Any] = [found] if inspect.isclass(found) else list(found())
        engine: Engine[Any, Any] = next(kind for kind in kinds if kind.type_id == type_id)()
        return engine
    except BaseException as error:  # SystemExit of an import too: the server is to know why
        raise HandlerUnavailable(
            "the engine can't be loaded in its process", detail=f"{type(error).__name__}: {error}"
        ) from None


async def _stream(engine: ThreadedEngine, call: Any) -> AsyncIterator[Any]:
    stream = engine.stream(call)
    try:
        async for chunk in stream:
            yield chunk
    finally:
        await stream.aclose()


def _limit(rules: Rules) -> None:
    """Bounds where the system keeps them; and no core files of other people's prompts."""
    wanted = [(resource.RLIMIT_CORE, 0)]
    wanted += [(resource.RLIMIT_AS, rules.memory_bytes)] if rules.memory_bytes else []
    wanted += [(resource.RLIMIT_CPU, rules.cpu_seconds)] if rules.cpu_seconds else []
    for kind, most in wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def how_it_ended(status: int | None) -> str:
    """How a process ended, in words that fit behind "the process"."""
    if status == STUCK:
        return "had too many threads that hang"
    if status is not None and status < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"left with status {status}"


def try_import() -> None:
    """Load an entry point here, so that one that takes its process down is found out. Its path and name come by stdin."""
    path, entry = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[list[str], str])
    sys.path[:] = path
    EntryPoint("engine", entry, "promptd.engines").load()
    os._exit(0)  # what the import started has nothing to say


def main() -> None:
    if sys.argv[1] == PROBE:
        try_import()
    sock = socket.socket(fileno=int(sys.argv[1]))
    try:
        asyncio.run(Child(sock).live())
    finally:
        if os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)  # what the plugin started goes too
        os._exit(0)  # threads that hang must not keep it


if __name__ == "__main__":
    main()
