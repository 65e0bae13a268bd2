"""Callers of llama.cpp's own APIs: their bytes go through, from a real child with the built-in model."""

from __future__ import annotations

import json
import re
from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.errors import InvalidInput
from promptd.core.model import Capability, Chunk, Native
from promptd.dialects import chat, messages
from promptd.engines.llamacpp import LlamaCpp, LlamaCppConfig
from tests.engines.llamacpp_support import MakeCall

QUESTION = "Hello, my name is Ann."
MESSAGE = {"role": "user", "content": QUESTION}
BODY: dict[str, Any] = {"model": "mine", "messages": [MESSAGE], "max_tokens": 40, "temperature": 0}


def native(call: MakeCall, dialect: str, body: dict[str, Any], *, spelled: bool = False, **settings: Any) -> Any:
    asked = Native(dialect, json.dumps(body).encode(), bool(body.get("stream")), False)
    return replace(call(QUESTION, **settings), native=asked, spelled=spelled)


async def run(llama: LlamaCpp, call: Any) -> list[Chunk]:
    async with aclosing(llama.run(call)) as chunks:
        return [chunk async for chunk in chunks]


def raw(chunks: list[Chunk]) -> bytes:
    return b"".join([chunk.raw or b"" for chunk in chunks])


async def test_a_chat_says_the_same_passed_through_and_translated(llama: LlamaCpp, call: MakeCall) -> None:
    translated = await llama.execute(call(QUESTION))
    whole = await run(llama, native(call, "openai.chat", BODY))
    stream = await run(llama, native(call, "openai.chat", BODY | {"stream": True}))
    answer = json.loads(raw(whole))
    assert answer["choices"][0]["message"]["content"] == translated.text
    assert answer["model"] == "mine"
    reader = chat.Reader()
    assert "".join([chunk.text for chunk in reader.feed(raw(stream))]) == translated.text
    assert raw(stream).count(b"data: ") > 3  # how many arrive together is up to the sockets
    assert b'"usage"' not in raw(stream)
    for done in (whole[-1], stream[-1]):
        assert done.usage is not None
        assert done.usage.output_tokens == translated.usage.output_tokens
        assert done.usage.input_tokens == translated.usage.input_tokens


async def test_messages_pass_through(llama: LlamaCpp, call: MakeCall) -> None:
    translated = await llama.execute(call(QUESTION))
    body = {"model": "mine", "messages": [MESSAGE], "max_tokens": 40, "temperature": 0}
    whole = await run(llama, native(call, messages.DIALECT, body))
    assert json.loads(raw(whole))["content"][0]["text"] == translated.text
    stream = await run(llama, native(call, messages.DIALECT, body | {"stream": True}, spelled=True))
    assert "".join([chunk.text for chunk in stream]) == translated.text
    assert b"event: message_stop" in raw(stream)
    for done in (whole[-1], stream[-1]):
        assert done.usage is not None
        assert done.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", ["openai.chat", "openai.completions", "anthropic.messages"])
@pytest.mark.parametrize("upstream", ["mine", "theirs"])
async def test_the_model_has_the_name_that_the_client_used(
    llama: LlamaCpp, call: MakeCall, dialect: str, stream: bool, upstream: str
) -> None:
    """Never the path of its file, also where the client's name is the one that the service is asked for."""
    said = {"prompt": QUESTION} if dialect == "openai.completions" else {"messages": [MESSAGE]}
    body = {"model": "mine", "max_tokens": 5, "temperature": 0, "stream": stream} | said
    told = raw(await run(llama, replace(native(call, dialect, body), model=upstream)))
    names = re.findall(rb'"model"\s*:\s*"([^"]*)"', told)
    assert set(names) == {b"mine"}
    assert b".gguf" not in told


async def test_completions_and_embeddings_pass_through(llama: LlamaCpp, call: MakeCall) -> None:
    body = {"model": "mine", "prompt": QUESTION, "max_tokens": 5, "temperature": 0}
    done = (await run(llama, native(call, "openai.completions", body, embedding=True, pooling="mean")))[-1]
    assert done.usage is not None
    assert done.usage.output_tokens > 0
    asked = native(
        call,
        "openai.embeddings",
        {"model": "mine", "input": ["red", "blue"]},
        embedding=True,
        pooling="mean",
        capability=Capability.EMBEDDING,
    )
    answer = json.loads(raw(await run(llama, asked)))
    assert [len(one["embedding"]) > 0 for one in answer["data"]] == [True, True]


async def test_what_llama_cpp_refuses_is_told_in_its_own_words(llama: LlamaCpp, call: MakeCall) -> None:
    with pytest.raises(InvalidInput) as raised:
        await run(llama, native(call, "openai.chat", BODY | {"messages": [{"role": "user", "content": 5}]}))
    assert raised.value.native is not None
    status, body = raised.value.native
    assert status == 400
    assert "error" in json.loads(body)


def test_embeddings_only_where_the_setting_is_on() -> None:
    assert "openai.embeddings" in LlamaCpp().dialects(LlamaCppConfig(embedding=True))
    assert LlamaCpp().dialects(LlamaCppConfig()) == {"openai.chat", "openai.completions", "anthropic.messages"}
