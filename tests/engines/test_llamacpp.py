"""llama.cpp answers: streams, schemas, grammars, templates, embeddings, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from promptd.core.content import Tool, Turn
from promptd.core.engine import ConnectionTestParams
from promptd.core.errors import (
    ConfigUnusable,
    HandlerUnavailable,
    InputTooLarge,
    InvalidInput,
    ResourceNotFound,
    UnsupportedInput,
)
from promptd.core.localisation import Key
from promptd.core.model import Capability
from promptd.egress.client import Egress
from promptd.engines.llamacpp import LlamaCpp, LlamaCppConfig
from promptd.testing.engines import EngineContract
from tests.engines.llamacpp_support import Journal, MakeCall

REVIEW = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "stars": {"type": "integer", "enum": [1, 2, 3]}},
    "required": ["name", "stars"],
    "additionalProperties": False,
}


class TestContract(EngineContract):
    """The exam of all engines, on the real thing."""

    @pytest.fixture
    def engine(self, llama: LlamaCpp) -> LlamaCpp:
        return llama

    @pytest.fixture
    def connection(self) -> LlamaCppConfig:
        return LlamaCppConfig(threads=1, context=512, slots=1, embedding=True, pooling="mean")

    @pytest.fixture
    def broken(self, tmp_path: Path) -> LlamaCppConfig:
        return LlamaCppConfig(gguf=str(tmp_path / "missing.gguf"))

    @pytest.fixture
    def http(self, egress: Egress) -> Egress:
        return egress

    @pytest.fixture
    def model(self) -> str:
        return "demo"


async def test_streams_token_by_token_and_counts_them(llama: LlamaCpp, call: MakeCall) -> None:
    chunks = [chunk async for chunk in llama.run(call("Hello, my name is Ann."))]
    *pieces, last = chunks
    assert len(pieces) > 2
    assert all(piece.kind == "progress" and piece.text for piece in pieces)
    assert last.kind == "done"
    assert last.finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.output_tokens >= len(pieces)
    whole = await llama.execute(call("Hello, my name is Ann."))
    assert whole.text == "".join(piece.text for piece in pieces)
    assert whole.usage.cached_tokens > 0


async def test_more_calls_than_slots_all_get_their_own_answer(
    llama: LlamaCpp, call: MakeCall, journal: Journal
) -> None:
    grammars = [f'root ::= "answer {n}"' for n in range(12)]
    results = await asyncio.gather(*(llama.execute(call(grammar=grammar, slots=2)) for grammar in grammars))
    assert [result.text for result in results] == [f"answer {n}" for n in range(12)]
    assert journal.count("is ready") == 1


async def test_connections_that_llama_cpp_closes_behind_streams_do_no_harm(llama: LlamaCpp, call: MakeCall) -> None:
    async def ask_again_and_again() -> None:
        for _ in range(100):
            assert (await llama.execute(call(slots=4, max_tokens=2))).text

    await asyncio.gather(*(ask_again_and_again() for _ in range(4)))


async def test_a_json_schema_holds(llama: LlamaCpp, call: MakeCall) -> None:
    result = await llama.execute(call("A review.", json_schema=REVIEW, max_tokens=200))
    answer = json.loads(result.text)
    assert set(answer) == {"name", "stars"}
    assert answer["stars"] in (1, 2, 3)


async def test_a_grammar_that_is_none_is_the_callers_mistake(llama: LlamaCpp, call: MakeCall) -> None:
    with pytest.raises(InvalidInput, match="grammar"):
        await llama.execute(call(grammar='root ::= "open'))


@pytest.mark.parametrize(
    ("field", "wish"),
    [
        ("parameters.json_schema: expected at most 500", {"json_schema": {"enum": [str(n) for n in range(501)]}}),
        (
            "parameters.json_schema: expected at most 500",
            {"json_schema": {"anyOf": [{"properties": {f"p{n}": {} for n in range(251)}} for _ in "ab"]}},
        ),
        ("parameters.json_schema: expected at most 32768", {"json_schema": {"const": "x" * 33_000}}),
        ("parameters.tools: expected at most 500", {"tools": (Tool("t", "", {"enum": list(range(501))}),)}),
        ("parameters.grammar: expected at most 32768", {"grammar": "root ::= " + '"é"' * 10_000}),
        ("parameters.extra.grammar: expected at most 32768", {"extra": {"grammar": "x" * 33_000}}),
        ("parameters.extra.response_format: expected at most 500", {"extra": {"response_format": {"enum": [1] * 501}}}),
    ],
)
async def test_schemas_and_grammars_are_bounded(
    llama: LlamaCpp, call: MakeCall, journal: Journal, field: str, wish: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput, match=field):
        await llama.execute(call(**wish))
    assert not journal.lines  # no model was started for it


async def test_a_schema_at_the_bound_is_served(llama: LlamaCpp, call: MakeCall) -> None:
    names = [f"value {n}" for n in range(500)]
    assert json.loads((await llama.execute(call(json_schema={"enum": names}))).text) in names


async def test_a_raw_template_makes_a_completion(llama: LlamaCpp, call: MakeCall) -> None:
    chat = await llama.execute(call("Hello!"))
    raw = await llama.execute(call("Hello!", template="{prompt}"))
    assert 0 < raw.usage.input_tokens < chat.usage.input_tokens


async def test_a_prompt_beyond_the_context_is_too_large(llama: LlamaCpp, call: MakeCall) -> None:
    with pytest.raises(InputTooLarge):
        await llama.execute(call("count " * 1000, context=128))


async def test_a_given_chat_template_replaces_the_files_own(llama: LlamaCpp, call: MakeCall) -> None:
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    own = await llama.execute(call("Hello!"))
    given = await llama.execute(call("Hello!", chat_template=template))
    assert given.usage.input_tokens < own.usage.input_tokens


@pytest.mark.parametrize("template", ["{% for message in", "no-such-template"])
async def test_a_useless_chat_template_is_found_at_the_start(llama: LlamaCpp, call: MakeCall, template: str) -> None:
    wrong = call(chat_template=template)
    with pytest.raises(ConfigUnusable, match="template"):
        await llama.start("local", wrong.connection, wrong.http)
    assert "template" in llama.standing("local", wrong.connection).reason


async def test_embeddings(llama: LlamaCpp, call: MakeCall) -> None:
    asked = call("a red apple", Capability.EMBEDDING, embedding=True, pooling="mean")
    asked = msgspec.structs.replace(asked, texts=("a red apple", "a red apple", "seven"))
    result = await llama.execute(asked)
    first, second, third = result.value["embeddings"]
    assert first == pytest.approx(second, abs=1e-4)
    assert first != pytest.approx(third, abs=1e-2)
    assert len(first) == len(third) > 16
    assert result.usage.input_tokens > 0
    chat = await llama.execute(call("Hello!", embedding=True, pooling="mean"))
    assert chat.text


async def test_embeddings_need_the_setting_and_a_pooling(llama: LlamaCpp, call: MakeCall) -> None:
    with pytest.raises(UnsupportedInput, match="embedding"):
        await llama.execute(call("a", Capability.EMBEDDING))
    with pytest.raises(ConfigUnusable, match="Pooling"):
        await llama.execute(call("a", Capability.EMBEDDING, embedding=True))


async def test_leaving_a_stream_frees_the_slot_at_once(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    endless = call(slots=1, context=1024, max_tokens=100_000, extra={"ignore_eos": True})
    async with aclosing(llama.run(endless)) as chunks:
        assert (await anext(chunks)).kind == "progress"
    await journal.seen("cancel task")
    assert (await llama.execute(call(slots=1, context=1024))).text


async def test_a_cancelled_call_frees_the_slot_at_once(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    endless = call(slots=1, context=1024, max_tokens=100_000, extra={"ignore_eos": True})
    flowing = asyncio.Event()

    async def read() -> None:
        async for _ in llama.run(endless):
            flowing.set()

    reader = asyncio.create_task(read())
    await flowing.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await journal.seen("cancel task")
    assert (await llama.execute(call(slots=1, context=1024))).text


async def test_check_loads_the_model_and_leaves_nothing(llama: LlamaCpp, egress: Egress, journal: Journal) -> None:
    config = LlamaCppConfig(threads=1, context=512)
    result = await llama.test_connection(ConnectionTestParams(connection=config, connection_name="draft", http=egress))
    assert result.ok
    assert result.models == ("demo",)
    assert isinstance(result.message, Key)
    assert result.message.args == {"count": 512}
    assert llama.standing("draft", config).state == "stopped"
    assert journal.count("is stopped") == 1
    missing = LlamaCppConfig(gguf="~/no/such.gguf")
    with pytest.raises(ResourceNotFound, match="gguf: there is no such model file"):
        await llama.test_connection(ConnectionTestParams(connection=missing, connection_name="draft", http=egress))


async def test_without_the_library_every_model_is_unavailable(call: MakeCall) -> None:
    engine = LlamaCpp(library="promptd_has_no_such_library")
    asked = call()
    standing = engine.standing("local", asked.connection)
    assert standing.state == "unavailable"
    assert "on this platform" in standing.reason
    with pytest.raises(HandlerUnavailable, match="on this platform"):
        await engine.execute(asked)
    with pytest.raises(HandlerUnavailable):
        await engine.start("local", asked.connection, asked.http)
    await engine.close()


async def test_a_conversation_reaches_the_model_as_a_whole(llama: LlamaCpp, call: MakeCall) -> None:
    one = call("And now?")
    turns = (Turn("user", "Hello, my name is Ann."), Turn("assistant", "Hello, Ann!"), *one.messages)
    short = await llama.execute(one)
    long = await llama.execute(msgspec.structs.replace(one, messages=turns))
    assert long.usage.input_tokens > short.usage.input_tokens + 8
