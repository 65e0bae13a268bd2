"""The older completions: one text and several, echo, streams, models that only chat, and callers who leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from promptd.core.engine import Call, Engine, NoConfig
from promptd.core.lifecycle import Status
from promptd.core.model import Capability, Chunk, Prompt, Usage
from tests.faces.openai.others import Place, run_place

PATIENCE = 10.0


class Talker(Engine[NoConfig]):
    """Only chats; tells what it was asked for."""

    type_id = "talker"

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        yield Chunk("progress", text=f"{call.capability}: {call.messages[-1].content}")
        yield Chunk("done", finish_reason="length", usage=Usage(2, 3))


class Slow(Engine[NoConfig]):
    """Waits for ever, and tells when it is left."""

    type_id = "slow"
    capabilities = frozenset({Capability.COMPLETION})

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.left: asyncio.Queue[str] = asyncio.Queue()

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        text = call.messages[-1].content
        self.begun.put_nowait(text)
        try:
            yield Chunk("progress", text="begin")
            await asyncio.get_running_loop().create_future()
        finally:
            self.left.put_nowait(text)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def place(tmp_path: Path, slow: Slow) -> AsyncIterator[Place]:
    names = ("scripted", "talker", "slow")
    connections: dict[str, Any] = {name: {"engine": name} for name in names}
    models = {name if name != "scripted" else "demo": {"connection": name} for name in names}
    engines: dict[str, Engine[Any, Any]] = {"talker": Talker(), "slow": slow}
    async with run_place(tmp_path, engines=engines, connections=connections, models=models) as one:
        yield one


async def test_one_text(place: Place) -> None:
    answer = await place.client().completions.create(model="demo", prompt="Once upon a time")
    assert answer.object == "text_completion"
    assert answer.model == "demo"
    assert answer.id.startswith("cmpl_")
    (choice,) = answer.choices
    assert (choice.text, choice.index, choice.finish_reason, choice.logprobs) == ("Once upon a time", 0, "stop", None)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (4, 4, 8)


async def test_several_texts_and_choices(place: Place) -> None:
    answer = await place.client().completions.create(model="demo", prompt=["one", "and two"], n=2)
    assert [(choice.index, choice.text) for choice in answer.choices] == [
        (0, "one"),
        (1, "one"),
        (2, "and two"),
        (3, "and two"),
    ]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 12


async def test_the_path_without_a_version(place: Place) -> None:
    answer = await place.http.post("/completions", {"model": "demo", "prompt": "hello"})
    assert answer.json["choices"][0]["text"] == "hello"


async def test_echo(place: Place) -> None:
    client = place.client()
    answer = await client.completions.create(model="talker", prompt=["a", "b"], echo=True)
    assert [choice.text for choice in answer.choices] == ["achat: a", "bchat: b"]
    stream = await client.completions.create(model="talker", prompt=["a", "b"], echo=True, stream=True)
    texts = {0: "", 1: ""}
    async for event in stream:
        for choice in event.choices:
            texts[choice.index] += choice.text
    assert texts == {0: "achat: a", 1: "bchat: b"}


async def test_a_model_that_only_chats_is_asked_in_a_message(place: Place) -> None:
    answer = await place.client().completions.create(model="talker", prompt="hello")
    assert answer.choices[0].text == "chat: hello"
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("prompt", ["one two three", ["one two three", "four"]])
async def test_streams(place: Place, prompt: Any) -> None:
    stream = await place.client().completions.create(
        model="demo", prompt=prompt, stream=True, stream_options={"include_usage": True}
    )
    count = 1 if isinstance(prompt, str) else 2
    texts, ends, usage = [""] * count, [], None
    async for event in stream:
        assert event.object == "text_completion"
        for choice in event.choices:
            texts[choice.index] += choice.text
            if choice.finish_reason is not None:
                ends.append((choice.index, choice.finish_reason))
        usage = event.usage or usage
    assert texts == ["one two three", "four"][:count]
    assert ends == [(0, "stop"), (1, "stop")][:count]
    assert usage is not None
    assert usage.total_tokens == (6 if count == 1 else 8)


async def test_a_stream_ends_with_one_done(place: Place) -> None:
    body = {"model": "demo", "prompt": ["a", "b"], "stream": True}
    raw = (await place.http.post("/v1/completions", body)).body
    assert raw.count(b"[DONE]") == 1
    assert raw.endswith(b"data: [DONE]\n\n")
    assert b'"usage"' not in raw


async def test_an_error_on_a_stream_is_its_last_event(place: Place) -> None:
    script = msgspec.json.encode([{"say": "so far"}, {"fail": "invalid_input", "message": "no more"}]).decode()
    stream = await place.client().completions.create(model="demo", prompt=["fine", script], stream=True)
    said: list[str] = []

    async def read() -> None:
        async for event in stream:
            said.extend(choice.text for choice in event.choices)

    with pytest.raises(openai.APIError, match="no more"):
        await read()
    assert "".join(said) == "fineso far"


async def test_one_that_fails_fails_them_all(place: Place) -> None:
    script = msgspec.json.encode([{"fail": "rate_limited", "message": "not now", "retry_after": 7}]).decode()
    with pytest.raises(openai.RateLimitError, match="not now") as limited:
        await place.client().completions.create(model="demo", prompt=["fine", script])
    assert limited.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["a", ["a", "b", "c"]])
async def test_a_caller_who_leaves_ends_every_call(
    place: Place, slow: Slow, prompt: str | list[str], stream: bool
) -> None:
    body = {"model": "slow", "prompt": prompt, "stream": stream}
    asking = asyncio.create_task(place.http.post("/v1/completions", body))
    begun = {"a"} if stream or isinstance(prompt, str) else {"a", "b", "c"}
    async with asyncio.timeout(PATIENCE):
        assert {await slow.begun.get() for _ in begun} == begun
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert {await slow.left.get() for _ in begun} == begun
        await place.house.walk.attached.flush()
        while any(busy for _, busy in place.house.walk.worker.load().values()):
            await asyncio.sleep(0)
    assert slow.begun.empty()


async def test_what_was_asked_is_in_the_ledger(place: Place) -> None:
    answer = await place.client().completions.create(model="demo", prompt=["one", "two"], user="me")
    await place.house.walk.attached.flush()
    found = await place.house.database.records.get(Prompt, answer.id)
    assert found is not None
    assert found.status is Status.COMPLETED
    assert found.answer is not None
    assert found.answer.usage == Usage(1, 1)


async def test_a_key_makes_several_one(place: Place) -> None:
    headers = {"Idempotency-Key": "once"}
    body: dict[str, Any] = {"model": "demo", "prompt": ["one", "two"]}
    first = await place.http.post("/v1/completions", body, headers=headers)
    again = await place.http.post("/v1/completions", body, headers=headers)
    assert first.status == 200
    assert first.body == again.body
    assert [choice["text"] for choice in first.json["choices"]] == ["one", "two"]
    other = await place.http.post("/v1/completions", body | {"prompt": ["one", "three"]}, headers=headers)
    assert other.status in (409, 422)
    streamed = await place.http.post("/v1/completions", body | {"stream": True}, headers={"Idempotency-Key": "x"})
    assert (streamed.status, streamed.json["error"]["param"]) == (400, "stream")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt[0]"),
        ({"prompt": [[1, 2]]}, "prompt[0]"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": ["a"] * 65, "n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
async def test_what_is_wrong_is_named(place: Place, change: dict[str, Any], param: str) -> None:
    answer = await place.http.post("/v1/completions", {"model": "demo", "prompt": "a"} | change)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
