"""Strangers' engines in threads: whatever a plugin does, other runs and the process are unharmed."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from promptd.core.calls import Call
from promptd.core.engine import Engine
from promptd.core.errors import (
    ContentFiltered,
    EngineLost,
    ExecutionFailed,
    NetworkError,
    PromptExecutionError,
    RateLimited,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Chunk
from tests.isolation.conftest import Install, MakeCall
from tests.isolation.origin import Origin

pytestmark = pytest.mark.slow

BEHAVE = """
class E(Engine):
    type_id = "acme.behave"
    error_map = {KeyError: RateLimited}

    async def execute(self, call):
        text = call.messages[-1].content
        if text.startswith("say "):
            await asyncio.sleep(0)
            return Result(text=text[4:])
        if text == "exit":
            raise SystemExit(3)
        if text == "exit in a thread":
            await asyncio.to_thread(sys.exit, 3)
        if text == "interrupt":
            raise KeyboardInterrupt
        if text == "cancelled":
            raise asyncio.CancelledError
        if text == "raise":
            raise ValueError("the words of the prompt")
        if text == "mapped":
            raise KeyError("x")
        if text == "own":
            raise Own("slow down", retry_after=7)
        if text == "group":
            raise ExceptionGroup("g", [ConnectionError(), ConnectionResetError()])
        if text == "mixed":
            raise ExceptionGroup("g", [ConnectionError(), KeyError()])
        if text == "block":
            ENTERED.set()
            GO_ON.wait()
            return Result(text="too late")
        if text == "swallow":
            ENTERED.set()
            while not STOP.is_set():
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    SWALLOWED.set()
        if text == "background exit":
            async def leave():
                raise SystemExit
            asyncio.get_running_loop().call_soon(sys.exit)
            task = asyncio.create_task(leave())
            asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
            await asyncio.wait([task])
            task.exception()
            return Result(text="still here")

class Own(RateLimited):
    pass

ENTERED, GO_ON, SWALLOWED, STOP = [threading.Event() for _ in range(4)]
"""


@pytest.fixture
async def behave(plugin: Install) -> AsyncIterator[Engine[Any, Any]]:
    engine = plugin(BEHAVE, blocked_seconds=0.3)
    yield engine
    module = _module(engine)
    module.GO_ON.set()
    module.STOP.set()


def _module(engine: Engine[Any, Any]) -> Any:
    return sys.modules[type(engine).__module__]


async def _event(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


async def _collect(engine: Engine[Any, Any], call: Call[Any, Any]) -> list[Chunk]:
    async with aclosing(engine.run(call)) as chunks:
        return [chunk async for chunk in chunks]


async def _say(engine: Engine[Any, Any], make_call: MakeCall, text: str) -> str:
    return (await engine.execute(make_call(engine, f"say {text}"))).text


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("exit", ExecutionFailed, "SystemExit"),
        ("exit in a thread", ExecutionFailed, "SystemExit"),
        ("interrupt", ExecutionFailed, "KeyboardInterrupt"),
        ("cancelled", ExecutionFailed, "CancelledError"),
        ("raise", ExecutionFailed, "ValueError"),
        ("mapped", RateLimited, ""),
        ("own", RateLimited, "slow down"),
        ("group", NetworkError, ""),
        ("mixed", ExecutionFailed, ""),
    ],
)
@pytest.mark.formcycle(37, 38, 39)
async def test_what_a_plugin_raises_ends_its_own_run_only(
    behave: Engine[Any, Any], make_call: MakeCall, text: str, kind: type[PromptExecutionError], says: str
) -> None:
    neighbours = [asyncio.create_task(_say(behave, make_call, str(number))) for number in range(10)]
    with pytest.raises(PromptExecutionError) as raised:
        await behave.execute(make_call(behave, text))
    assert type(raised.value) is kind
    assert says in raised.value.message
    assert "words of the prompt" not in raised.value.message
    assert raised.value.retry_after == (7 if text == "own" else None)
    assert await asyncio.gather(*neighbours) == [str(number) for number in range(10)]
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling()


@pytest.mark.formcycle(38)
async def test_exits_outside_of_the_call_do_not_end_the_loop(behave: Engine[Any, Any], make_call: MakeCall) -> None:
    result = await behave.execute(make_call(behave, "background exit"))
    assert result.text == "still here"
    assert await _say(behave, make_call, "hello") == "hello"


async def test_a_blocked_loop_is_given_up_and_others_get_a_fresh_one(
    behave: Engine[Any, Any], make_call: MakeCall
) -> None:
    module = _module(behave)
    blocking = asyncio.create_task(behave.execute(make_call(behave, "block")))
    await _event(module.ENTERED)
    beside = asyncio.create_task(_say(behave, make_call, "beside"))
    with pytest.raises(ExecutionFailed, match="blocked its event loop"):
        await blocking
    with pytest.raises(EngineLost):
        await beside
    assert await _say(behave, make_call, "after") == "after"


async def test_too_many_blocked_loops_make_the_plugin_unavailable_until_they_end(
    plugin: Install, make_call: MakeCall
) -> None:
    engine = plugin(BEHAVE, blocked_seconds=0.1, most_stuck=2)
    module = _module(engine)
    for _ in range(2):
        with pytest.raises(ExecutionFailed, match="blocked"):
            await engine.execute(make_call(engine, "block"))
    with pytest.raises(ServiceUnavailable, match="2 threads of the plugin acme hang"):
        await _say(engine, make_call, "hello")
    standing = engine.standing("main", make_call(engine).connection)
    assert (standing.state, standing.reason) == ("unavailable", "2 threads of the plugin acme hang")
    module.GO_ON.set()
    for thread in threading.enumerate():
        if thread.name == "plugin acme":
            await asyncio.to_thread(thread.join, 5)
    assert await _say(engine, make_call, "hello") == "hello"


async def test_the_caller_is_freed_at_once_where_a_plugin_swallows_its_cancellation(
    behave: Engine[Any, Any], make_call: MakeCall
) -> None:
    module = _module(behave)
    task = asyncio.create_task(behave.execute(make_call(behave, "swallow")))
    await _event(module.ENTERED)
    task.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 5
    await _event(module.SWALLOWED)
    assert await _say(behave, make_call, "hello") == "hello"


@pytest.mark.parametrize("text", ["swallow", "block"])
@pytest.mark.formcycle(41)
async def test_past_the_deadline_a_run_ends_at_once_and_what_comes_late_is_discarded(
    behave: Engine[Any, Any], make_call: MakeCall, text: str
) -> None:
    deadline = time.monotonic() + 0.1
    with pytest.raises(Timeout):
        await _collect(behave, make_call(behave, text, deadline=deadline))
    assert time.monotonic() - deadline < 5
    module = _module(behave)
    module.GO_ON.set()
    module.STOP.set()
    assert await _say(behave, make_call, "hello") == "hello"


PLAIN = """
class E(Engine):
    type_id = "acme.plain"

    def execute(self, call):
        text = call.messages[-1].content
        if text == "exit":
            sys.exit(1)
        if text == "hang":
            ENTERED.release()
            call.cancelled.wait()
            FREED.set()
            GO_ON.wait()
            return Result(text="too late")
        if text == "fetch":
            return asyncio.run(fetch(call))
        if text == "late":
            async def late():
                return Result(text="late")
            return late()
        return Result(text=threading.current_thread().name)

async def fetch(call):
    async with call.http.request("POST", call.model + "/echo", body=b"hi") as response:
        return Result(text=(await response.read()).decode())

ENTERED, FREED, GO_ON = threading.Semaphore(0), threading.Event(), threading.Event()
"""


@pytest.mark.formcycle(38)
async def test_a_plain_method_runs_in_a_thread_and_its_exit_is_an_error(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(PLAIN)
    assert (await engine.execute(make_call(engine))).text == "plugin acme"
    with pytest.raises(ExecutionFailed, match="SystemExit"):
        await engine.execute(make_call(engine, "exit"))
    assert (await engine.execute(make_call(engine, "late"))).text == "late"


@pytest.mark.formcycle(41)
async def test_a_plain_method_that_hangs_takes_no_thread_from_others(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(PLAIN, threads=2, most_stuck=3)
    module = _module(engine)
    for _ in range(2):
        tasks = [asyncio.create_task(engine.execute(make_call(engine, "hang")))]
        await asyncio.to_thread(module.ENTERED.acquire)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        await _event(module.FREED)
    assert (await engine.execute(make_call(engine))).text == "plugin acme"
    hanging = asyncio.create_task(engine.execute(make_call(engine, "hang", deadline=time.monotonic() + 0.1)))
    with pytest.raises(Timeout):
        await hanging
    with pytest.raises(ServiceUnavailable, match="3 threads"):
        await engine.execute(make_call(engine))
    module.GO_ON.set()


async def test_a_plain_method_can_fetch_in_a_loop_of_its_own(
    plugin: Install, make_call: MakeCall, origin: Origin
) -> None:
    engine = plugin(PLAIN)
    assert (await engine.execute(make_call(engine, "fetch", model=origin.url))).text == "hi"


@pytest.mark.formcycle(45)
async def test_parallel_runs_on_one_instance_do_not_mix(plugin: Install, make_call: MakeCall) -> None:
    """Statement 45: values, locales and secrets of a hundred runs, streamed and whole."""
    engine = plugin(
        """
        class C(Config):
            key: SecretStr = SecretStr("")

        class E(Engine[C]):
            type_id = "acme.many"

            async def execute(self, call):
                before = (call.value["n"], call.locale, call.connection.key.get_secret_value())
                call.value["n"] = -1
                for _ in range(5):
                    await asyncio.sleep(0)
                if before[0] % 10 == 3:
                    raise ContentFiltered(f"no {before[2]} in {before[1]}")
                return Result(value=list(before), text=call.run_id)
        """
    )
    kind = engine.connection_config_class()

    async def one(number: int) -> tuple[Any, ...]:
        value = {"n": number}
        call = make_call(
            engine, run_id=f"r{number}", connection=kind(key=f"key-{number}"), value=value, locale=f"l{number}"
        )
        try:
            result = await engine.execute(call)
        except ContentFiltered as error:
            return (number, error.message, value["n"])
        return (*result.value, result.text, value["n"])

    got = await asyncio.gather(*[one(number) for number in range(100)])
    assert got == [
        (n, f"no *** in l{n}", n) if n % 10 == 3 else (n, f"l{n}", f"key-{n}", f"r{n}", n) for n in range(100)
    ]


HOST = """
import asyncio, sys, threading
from importlib import metadata
from promptd import registry
from promptd.core.calls import Call
from promptd.core.content import Turn
from promptd.egress import Egress
from promptd.isolation import Isolation, Rules

async def main():
    entries = [entry for dist in metadata.distributions(path=[sys.argv[1]]) for entry in dist.entry_points]
    engine = registry.load(entries, Isolation({"acme": Rules(blocked_seconds=0.2)})).engines["acme.stuck"]
    config = engine.connection_config_class()()
    for how in ("plain", "block", "to_thread"):
        call = Call(
            connection=config, connection_name="main", model=how, http=Egress(), messages=(Turn("user", ""),)
        )
        try:
            await asyncio.wait_for(engine.execute(call), 1)
        except Exception as error:
            print(how, type(error).__name__, flush=True)
    await engine.close()

asyncio.run(main())
"""


@pytest.mark.e2e
async def test_a_process_with_stuck_threads_can_leave(site: Path, write: Callable[..., None]) -> None:
    write(
        "acme",
        """
        class E(Engine):
            type_id = "acme.stuck"
            def execute(self, call):
                if call.model == "plain":
                    time.sleep(3600)
                return self.later(call.model)
            async def later(self, how):
                if how == "block":
                    time.sleep(3600)
                await asyncio.to_thread(time.sleep, 3600)
        """,
        e="E",
    )
    host = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOST, str(site)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])},
    )
    async with asyncio.timeout(30):
        out, _ = await host.communicate()
    assert out.decode().split() == ["plain", "TimeoutError", "block", "ExecutionFailed", "to_thread", "TimeoutError"]
    assert host.returncode == 0
