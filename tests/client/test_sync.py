"""The same for programs without an event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from promptd.client import AsyncPrompts, AsyncStream, AsyncTemplate, Client, Done, NotFound
from promptd.client.synchronous import Prompts, Stream, SyncTemplate
from tests.client.conftest import Lab

pytestmark = pytest.mark.slow


async def test_everything_works_without_a_loop(lab: Lab) -> None:
    def work() -> None:
        with lab.sync() as client:
            assert client.templates["greet"](name="Ada") == "Hello Ada!"
            assert client.templates["count"].returning(dict[str, int])(number=2) == {"a": 2}
            assert client.templates["count"].using(version=1).run(number=3).value == {"a": 3}
            assert [template.name for template in client.templates] == ["count", "greet"]
            assert client.templates["greet"].describe().version == 1
            stream = client.templates["greet"].stream(name="Bo")
            assert isinstance(list(stream)[-1], Done)
            assert (stream.result(), stream.text, stream.done is not None) == ("Hello Bo!", "Hello Bo!", True)
            with client.templates["greet"].stream(name="Bo") as left:
                next(left)
            assert client.prompts.run('[{"say": "hi"}]').answer is not None
            receipt = client.prompts.submit('[{"wait": 60}]')
            client.prompts.cancel(receipt.id)
            assert client.prompts.wait(receipt.id).status == "canceled"
            assert client.prompts.get(receipt.id).final
            assert client.prompts.stream(left.prompt_id or "").result() == "Hello Bo!"
            assert client.upload(b"x", name="x.txt").id
            with pytest.raises(NotFound):
                client.templates["nobody"]()
        with pytest.raises(RuntimeError, match="closed"):
            client.templates["greet"](name="Ada")
        client.close()

    await asyncio.to_thread(work)


async def test_threads_share_a_client(lab: Lab) -> None:
    client = lab.sync()
    names = [f"n{number}" for number in range(20)]
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(20) as pool:  # the server needs the loop's own
        calls = [loop.run_in_executor(pool, partial(client.templates["greet"], name=name)) for name in names]
        said = await asyncio.gather(*calls)
    assert said == [f"Hello {name}!" for name in names]
    await asyncio.to_thread(client.close)


async def test_a_function_keeps_its_client_alive_and_nothing_else_does(lab: Lab) -> None:
    def threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "promptd client"}

    before = threads()
    greet = Client(lab.url, lab.key).templates["greet"]
    (thread,) = threads() - before
    assert await asyncio.to_thread(greet, name="Ada") == "Hello Ada!"
    del greet
    async with asyncio.timeout(10):
        while thread.is_alive():  # the pool's own thread may still hold what it called
            await asyncio.to_thread(gc.collect)
            await asyncio.to_thread(thread.join, 0.05)


@pytest.mark.parametrize(
    ("mirror", "original"), [(SyncTemplate, AsyncTemplate), (Stream, AsyncStream), (Prompts, AsyncPrompts)]
)
def test_both_say_the_same(mirror: type, original: type) -> None:
    def words(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert words(original) <= words(mirror) | {"name"}
