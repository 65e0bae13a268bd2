"""What strangers' engines give is checked before anybody sees it: types, JSON, finite numbers, size."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from promptd.core.calls import Call
from promptd.core.engine import Engine
from promptd.core.errors import InvalidOutput
from promptd.core.model import Chunk
from tests.isolation.conftest import Install, MakeCall

pytestmark = pytest.mark.slow


async def _collect(engine: Engine[Any, Any], call: Call[Any, Any]) -> list[Chunk]:
    async with aclosing(engine.run(call)) as chunks:
        return [chunk async for chunk in chunks]


WRONG = """
from promptd.core.prompt_files import PromptFile

class Evil(Result):
    pass

deep = []
for _ in range(300):
    deep = [deep]
cycle = {}
cycle["self"] = cycle
THINGS = {
    "none": None,
    "dict": {"text": "x"},
    "nan": Result(value={"a": [1.0, float("nan")]}),
    "inf": Result(value=float("inf")),
    "set": Result(value={"a": {1, 2}}),
    "object": Result(value=object()),
    "keys": Result(value={1: 2}),
    "deep": Result(value=deep),
    "cycle": Result(value=cycle),
    "big int": Result(value=1 << 80),
    "surrogate": Result(value="\\ud800"),
    "text": Result(text=5),
    "bytes": Result(text=b"abc"),
    "usage": Result(usage={"input_tokens": "many"}),
    "calls": Result(tool_calls=("x",)),
    "files": Result(files={"a": ["x"]}),
    "large": Result(text="x" * 100_000),
    "class": Result,
}

class E(Engine):
    type_id = "acme.wrong"
    async def execute(self, call):
        return THINGS[call.model]
"""


@pytest.mark.parametrize(
    "thing",
    [
        *("none", "dict", "nan", "inf", "set", "object", "keys", "deep", "cycle", "big int", "surrogate"),
        *("text", "bytes", "usage", "calls", "files", "large", "class"),
    ],
)
@pytest.mark.formcycle(36)
async def test_a_result_of_the_wrong_form_is_refused(plugin: Install, make_call: MakeCall, thing: str) -> None:
    engine = plugin(WRONG, max_answer_bytes=20_000)
    with pytest.raises(InvalidOutput):
        await engine.execute(make_call(engine, model=thing))


@pytest.mark.parametrize(
    "chunk",
    [
        "5",
        "Chunk('error')",
        "Chunk('restart')",
        "Chunk('progress', text=5)",
        "Chunk('progress', fraction=float('nan'))",
        "Chunk('progress', logprobs=[float('inf')])",
        "Chunk('progress', text='\\ud800')",
        "Chunk('progress', tool_calls=5)",
        "Chunk('done', value={1, 2})",
        "Chunk('done', usage=5)",
        "Chunk('done', blobs=(5,))",
        "Chunk('done', outputs={'a': [5]})",
        "Chunk('progress', text='x' * 200_000)",
    ],
)
async def test_a_chunk_of_the_wrong_form_is_refused(plugin: Install, make_call: MakeCall, chunk: str) -> None:
    engine = plugin(
        f"""
        class E(Engine):
            type_id = "acme.wrong"
            async def run(self, call):
                yield {chunk}
        """,
        max_answer_bytes=100_000,
    )
    with pytest.raises(InvalidOutput):
        await _collect(engine, make_call(engine))


async def test_an_endless_answer_is_cut_off(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(
        """
        class E(Engine):
            type_id = "acme.endless"
            async def run(self, call):
                while True:
                    yield Chunk("progress", text="x" * 1000)
        """,
        max_answer_bytes=50_000,
    )
    with pytest.raises(InvalidOutput, match="longer than 50000 bytes"):
        await _collect(engine, make_call(engine))


async def test_run_must_be_a_generator(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(
        """
        class E(Engine):
            type_id = "acme.odd"
            def run(self, call):
                return [Chunk("done")]
        """
    )
    with pytest.raises(InvalidOutput, match="generator"):
        await _collect(engine, make_call(engine))
