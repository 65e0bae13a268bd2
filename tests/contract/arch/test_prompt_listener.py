"""Conversations of OpenAI's own client over a prompt listener, for each row of contracts/arch.md §3.8."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from promptd.core.targets import Decision
from promptd.testing.function_model import ScriptedFunctionModel
from promptd.testing.model_server import ModelServer
from promptd.testing.sockets import serve
from tests.faces.arch.ingress_lab import ASK, CALL, Listener, listener, user
from tests.service.targets.lab import Api, config, target

pytestmark = pytest.mark.e2e
GUARDED: Any = {"guard": {"checks": {"jailbreak": {"type": "rules", "blocklist": ["attack"]}}}}


@asynccontextmanager
async def talk(
    home: Path, decider: ScriptedFunctionModel, *targets: Any, era: str = "E", **sections: Any
) -> AsyncIterator[tuple[Any, Listener]]:
    api = Api()
    async with (
        serve(api.handle) as api.url,
        ModelServer() as model,
        listener(home, config(*targets, era=era), model, api, decider, **sections) as door,
        openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{door.port}/v1", api_key="-", max_retries=0) as client,
    ):
        yield client.chat.completions, door


async def chunks(completions: Any, *messages: Any) -> list[Any]:
    stream = await completions.create(model="-", messages=list(messages), stream=True)
    return [chunk async for chunk in stream]


@pytest.mark.arch("3.8.order", "3.8.end")
@pytest.mark.parametrize("era", ["A", "E"])
async def test_a_call(tmp_path: Path, era: str) -> None:
    async with talk(tmp_path, ScriptedFunctionModel(CALL, CALL), era=era) as (completions, door):
        door.api.say({"temperature": 7})
        reply = await completions.create(model="-", messages=[user("weather")])
        assert "temperature" in reply.choices[0].message.content
        assert json.loads(reply.metadata["x-arch-state"])["messages"]
        door.api.say({"temperature": 8})
        call, response, *rest = await chunks(completions, user("weather"))
        assert call.choices[0].delta.role == "assistant"
        if era == "A":
            assert call.choices[0].delta.tool_calls[0].function.name == "weather"
        assert (response.choices[0].delta.role, response.choices[0].delta.content) == ("tool", '{"temperature": 8}')
        assert "temperature" in "".join(one.choices[0].delta.content or "" for one in rest if one.choices)
        assert rest[-1].choices[0].finish_reason == "stop"


@pytest.mark.arch("3.8.order", "3.7.dialogue")
async def test_a_question_and_its_answer(tmp_path: Path) -> None:
    async with talk(tmp_path, ScriptedFunctionModel(ASK, CALL, ASK)) as (completions, door):
        first = await completions.create(model="-", messages=[user("weather")])
        message = first.choices[0].message
        assert message.content == ASK.question
        # the client's own way to send a message back, with every member that it does not know
        history = [user("weather"), message.model_dump(exclude_none=True), user("Oslo, 2 days")]
        await completions.create(model="-", messages=history)
        assert [one.asking.in_dialogue for one in door.decider.asked] == [False, True]
        role, text, last = await chunks(completions, user("weather"))
        assert role.choices[0].delta.role == "assistant"
        assert text.choices[0].delta.content == ASK.question
        assert last.choices[0].finish_reason == "stop"


@pytest.mark.arch("3.8.order")
async def test_answers_of_the_default_target(tmp_path: Path) -> None:
    said = {"model": "dev", "choices": [{"message": {"role": "assistant", "content": "from the default"}}]}
    async with talk(
        tmp_path, ScriptedFunctionModel(), target("rest", "/rest", "POST", default=True, dispatch=False)
    ) as (
        completions,
        door,
    ):
        door.api.say(said, content_type="application/json")
        reply = await completions.create(model="-", messages=[user("x")])
        assert (reply.model, reply.choices[0].message.content) == ("dev", "from the default")
        door.api.say(said)
        role, text, _ = await chunks(completions, user("x"))
        assert (role.model, text.choices[0].delta.content) == ("dev", "from the default")


@pytest.mark.arch("3.8.order", "5.1.reply")
async def test_a_refused_prompt(tmp_path: Path) -> None:
    async with talk(tmp_path, ScriptedFunctionModel(), **GUARDED) as (completions, _):
        reply = await completions.create(model="-", messages=[user("an attack")])
        assert reply.choices[0].message.content == "refrain from discussing jailbreaking."
        role, text, last = await chunks(completions, user("an attack"))
        assert role.choices[0].delta.role == "assistant"
        assert text.choices[0].delta.content == "refrain from discussing jailbreaking."
        assert last.choices[0].finish_reason == "stop"


@pytest.mark.arch("3.3.unmatched", "3.9.errors")
async def test_out_of_scope_and_failures(tmp_path: Path) -> None:
    async with talk(tmp_path, ScriptedFunctionModel(Decision(), CALL)) as (completions, door):
        reply = await completions.create(model="-", messages=[user("a joke")], temperature=0.1)
        assert reply.choices[0].message.content == "You said: a joke"
        assert reply.usage.total_tokens > 0
        door.api.say(b"broken", 500)
        with pytest.raises(openai.InternalServerError) as failed:
            await completions.create(model="-", messages=[user("weather")])
        assert "upstream application error host=api, path=/w/{city}, status=500, body=broken" in str(failed.value)
