"""Strangers' engines in a process of their own: its end is nobody else's."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from promptd.core.calls import Call, ConnectionTestParams
from promptd.core.engine import Engine
from promptd.core.errors import (
    EngineLost,
    ExecutionFailed,
    InvalidOutput,
    PromptExecutionError,
    RateLimited,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Chunk
from promptd.core.prompt_files import PromptFile
from promptd.isolation.spawned import SpawnedEngine
from tests.isolation.conftest import Install, MakeCall
from tests.isolation.origin import Origin

pytestmark = pytest.mark.e2e

CRASH = """
class C(Config):
    key: SecretStr = SecretStr("")
    size: int = 3

class E(Engine[C]):
    type_id = "acme.crash"

    async def execute(self, call):
        text = call.messages[-1].content
        if text == "pid":
            return Result(text=str(os.getpid()))
        if text == "_exit":
            os._exit(9)
        if text == "segfault":
            ctypes.string_at(0)
        if text == "raise":
            raise RateLimited(f"no {call.connection.key.get_secret_value()}", retry_after=3)
        if text == "exit":
            sys.exit(1)
        if text == "nan":
            return Result(value=float("nan"))
        if text == "log":
            call.log.warning("the key is %s", call.connection.key.get_secret_value())
        if text == "block":
            time.sleep(3600)
        if text == "hold":
            signal_to = call.model
            open(signal_to, "w").close()
            await asyncio.sleep(3600)
        if text == "fetch":
            async with call.http.request("POST", call.model + "/echo", body=b"x" * 300_000) as response:
                body = await response.read()
                return Result(text=f"{response.status} {response.headers['x-seen']} {len(body)}")
        if text == "memory":
            return Result(text=str(len(bytearray(1 << 33))))
        if text == "files":
            (file,) = call.files["in"]
            return Result(files={"out": [PromptFile.from_bytes("out.txt", file.read() + b"!", "text/plain")]})
        if text == "spin":
            import re
            re.match("(a+)+$", "a" * 64 + "b")
        return Result(text=text, value={"n": call.value.get("n"), "size": call.connection.size, "locale": call.locale})

    async def test_connection(self, params):
        return ConnectionTestResult(ok=False, message="not with " + params.connection.key.get_secret_value())

from promptd.core.prompt_files import PromptFile
"""


async def _pid(engine: Engine[Any, Any], make_call: MakeCall) -> int:
    return int((await engine.execute(make_call(engine, "pid"))).text)


async def _readable(handle: int) -> None:
    """Wait until there is something to read, or its end; of a pidfd: until the process has ended."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, told.set)
    try:
        async with asyncio.timeout(20):
            await told.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


class _Waiting(logging.Handler):
    """Sets an event once a text is logged."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.heard = text, asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self.text in record.getMessage():
            self.heard.set()


async def test_calls_results_and_errors_cross(
    plugin: Install, make_call: MakeCall, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    engine = plugin(CRASH, mode="process")
    assert await _pid(engine, make_call) != os.getpid()
    secret = engine.connection_config_class()(key="sesame", size=7)
    call = make_call(engine, "hello", value={"n": [1, {"a": None}]}, locale="de", connection=secret)
    result = await engine.execute(call)
    assert result.text == "hello"
    assert result.value == {"n": [1, {"a": None}], "size": 7, "locale": "de"}
    with pytest.raises(RateLimited) as raised:
        await engine.execute(make_call(engine, "raise", connection=secret))
    assert (raised.value.message, raised.value.retry_after) == ("no ***", 3)
    with pytest.raises(ExecutionFailed, match="SystemExit"):
        await engine.execute(make_call(engine, "exit"))
    with pytest.raises(InvalidOutput, match="finite"):
        await engine.execute(make_call(engine, "nan"))
    assert (await engine.execute(make_call(engine, "fetch", model=origin.url))).text == "200 yes 300000"
    waiting, logger = _Waiting("the key is ***"), logging.getLogger("promptd.plugins")
    logger.addHandler(waiting)
    try:
        await engine.execute(make_call(engine, "log", connection=secret))
        await asyncio.wait_for(waiting.heard.wait(), 10)  # log lines come when they come
    finally:
        logger.removeHandler(waiting)
    assert "the key is ***" in caplog.text
    tested = await engine.test_connection(
        ConnectionTestParams(connection=secret, connection_name="main", http=call.http)
    )
    assert (tested.ok, tested.message) == (False, "not with ***")


@pytest.mark.formcycle(44)
async def test_files_cross(plugin: Install, make_call: MakeCall, tmp_path: Path) -> None:
    engine = plugin(CRASH, mode="process")
    (tmp_path / "in.txt").write_bytes(b"from disk")
    for file in (
        PromptFile.from_path(tmp_path / "in.txt"),
        PromptFile.from_bytes("in.txt", b"from disk", "text/plain"),
    ):
        result = await engine.execute(make_call(engine, "files", files={"in": (file,)}))
        assert result.files["out"][0].read() == b"from disk!"


@pytest.mark.parametrize(("text", "how"), [("_exit", "left with status 9"), ("segfault", "SIGSEGV")])
async def test_a_crash_fails_the_calls_in_it_and_the_next_ones_find_a_new_process(
    plugin: Install, make_call: MakeCall, tmp_path: Path, text: str, how: str
) -> None:
    engine = plugin(CRASH, mode="process")
    before = await _pid(engine, make_call)
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    beside = asyncio.create_task(engine.execute(make_call(engine, "hold", model=str(tmp_path / "held"))))
    await _readable(held)
    with pytest.raises(EngineLost, match=how) as raised:
        await engine.execute(make_call(engine, text))
    assert raised.value.retryable
    with pytest.raises(EngineLost):
        await beside
    assert await _pid(engine, make_call) != before


async def test_a_process_that_keeps_crashing_is_held_back(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(CRASH, mode="process")
    kinds = []
    for _ in range(5):
        with pytest.raises(ServiceUnavailable) as raised:
            await engine.execute(make_call(engine, "_exit"))
        kinds.append(type(raised.value))
    assert kinds == [EngineLost, EngineLost, ServiceUnavailable, ServiceUnavailable, ServiceUnavailable]
    assert raised.value.retry_after is not None
    standing = engine.standing("main", make_call(engine).connection)
    assert standing.state == "unavailable"
    assert "left with status 9" in standing.reason


async def test_the_caller_is_freed_at_once(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(CRASH, mode="process", blocked_seconds=30)
    await _pid(engine, make_call)
    deadline = time.monotonic() + 0.3
    with pytest.raises(Timeout):
        await engine.execute(make_call(engine, "block", deadline=deadline))
    assert time.monotonic() - deadline < 5
    task = asyncio.create_task(engine.execute(make_call(engine, "block")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_blocked_loop_and_one_that_holds_the_whole_process(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(CRASH, mode="process", blocked_seconds=0.5, start_seconds=15)
    before = await _pid(engine, make_call)
    with pytest.raises(ExecutionFailed, match="blocked its event loop"):
        await engine.execute(make_call(engine, "block"))
    assert await _pid(engine, make_call) == before
    # a regular expression holds the interpreter's lock: nothing in that process moves
    with pytest.raises(EngineLost, match="no sign of life"):
        await engine.execute(make_call(engine, "spin"))
    assert await _pid(engine, make_call) != before


async def test_a_process_whose_threads_hang_is_replaced(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(CRASH, mode="process", blocked_seconds=0.3, most_stuck=1)
    before = await _pid(engine, make_call)
    with pytest.raises(PromptExecutionError):
        await engine.execute(make_call(engine, "block"))
    async with asyncio.timeout(20):
        while True:
            try:
                after = await _pid(engine, make_call)
                break
            except ServiceUnavailable:
                continue
    assert after != before


async def test_memory_has_a_bound(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(CRASH, mode="process", memory_bytes=2 << 30)
    with pytest.raises(ExecutionFailed, match="MemoryError"):
        await engine.execute(make_call(engine, "memory"))
    assert await _pid(engine, make_call)


async def test_the_process_leaves_with_the_server_and_when_it_is_closed(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(CRASH, mode="process")
    pid = await _pid(engine, make_call)
    await engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


STREAM = """
class E(Engine):
    type_id = "acme.stream"

    async def run(self, call):
        if call.messages[-1].content == "http":
            async with call.http.request("GET", call.model + "/stream") as response:
                async for piece in response.chunks():
                    yield Chunk("progress", text=piece.decode())
        for number in range(500):
            yield Chunk("progress", text=f"{number} ")
        yield Chunk("done", finish_reason="stop", usage=Usage(1, 2), warnings=("w",))
"""


async def _collect(engine: Engine[Any, Any], call: Call[Any, Any]) -> list[Chunk]:
    async with aclosing(engine.run(call)) as chunks:
        return [chunk async for chunk in chunks]


async def test_streams_cross_side_by_side(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(STREAM, mode="process")
    runs = await asyncio.gather(*[_collect(engine, make_call(engine)) for _ in range(20)])
    for chunks in runs:
        assert "".join(chunk.text for chunk in chunks) == "".join(f"{number} " for number in range(500))
        assert chunks[-1].usage is not None
        assert chunks[-1].warnings == ("w",)


async def test_leaving_a_stream_closes_its_requests(plugin: Install, make_call: MakeCall, origin: Origin) -> None:
    engine = plugin(STREAM, mode="process")
    chunks = engine.run(make_call(engine, "http", model=origin.url))
    assert (await anext(chunks)).text == "first"
    await chunks.aclose()
    async with asyncio.timeout(5):
        await origin.gone.wait()


HOST = """
import asyncio, sys
from importlib import metadata
from promptd import registry
from promptd.core.calls import Call
from promptd.core.content import Turn
from promptd.egress import Egress
from promptd.isolation import Isolation, Rules

async def main():
    entries = [entry for dist in metadata.distributions(path=[sys.argv[1]]) for entry in dist.entry_points]
    engine = registry.load(entries, Isolation({"acme": Rules(mode="process")})).engines["acme.crash"]
    config = engine.connection_config_class()()
    call = Call(
        connection=config, connection_name="main", model="m", http=Egress(), messages=(Turn("user", "pid"),)
    )
    print((await engine.execute(call)).text, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_killing_the_server_alone_leaves_no_orphan(site: Path, write: Callable[..., None]) -> None:
    write("acme", CRASH, e="E")
    if not sys.platform.startswith("linux"):
        pytest.skip("needs a pidfd")
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOST, str(site)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])},
    )
    assert server.stdout is not None
    pid = int(await server.stdout.readline())
    plugin = os.pidfd_open(pid)
    server.kill()
    await server.wait()
    await asyncio.wait_for(_readable(plugin), 10)


HOSTILE = """
import gc, socket as sockets
from promptd.isolation.link import Link
from promptd.isolation.wire import write_result

def link():
    return next(one for one in gc.get_objects() if type(one) is Link)

def at_home(step):
    threading.Thread(target=lambda: link()._writer.transport._loop.call_soon_threadsafe(step)).start()

class E(Engine):
    type_id = "acme.hostile"

    async def execute(self, call):
        one = link()
        match call.messages[-1].content:
            case "garbage":
                at_home(lambda: one._writer.write(b"\\x00\\x00\\x00\\x05hello"))
            case "length":
                at_home(lambda: one._writer.write(b"\\xff\\xff\\xff\\xff"))
            case "questions":
                at_home(lambda: [one.open("http", b"") for _ in range(100_000)])
            case "stolen":
                at_home(lambda: one.send(0, 2, ("http", b"")))
            case "pid":
                return Result(text=str(os.getpid()))
        await asyncio.sleep(3600)

    async def run(self, call):
        one, piece = link(), write_result(self, "run", Chunk("progress", text="a"), None)
        at_home(lambda: [one.send(1, number, piece) for number in range(2, 20, 2) for _ in range(1000)])
        await asyncio.sleep(3600)
        yield
"""


async def test_a_process_that_sends_more_than_was_asked_for_is_ended(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(HOSTILE, mode="process")
    async with asyncio.timeout(20), aclosing(engine.run(make_call(engine))) as chunks:
        assert (await anext(chunks)).text == "a"
        life = cast(SpawnedEngine, engine)._process.life
        assert life is not None
        await asyncio.wait({life})  # nobody reads, and the process is ended for it
    assert await _pid(engine, make_call)


@pytest.mark.parametrize("text", ["garbage", "length", "questions", "stolen"])
async def test_a_process_that_breaks_the_rules_of_the_link_is_ended(
    plugin: Install, make_call: MakeCall, text: str
) -> None:
    engine = plugin(HOSTILE, mode="process")
    before = await _pid(engine, make_call)
    with pytest.raises(EngineLost):
        await engine.execute(make_call(engine, text))
    assert await _pid(engine, make_call) != before
