"""The prompt listener on its wire (contracts/arch.md §3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.errors import SettingsError
from promptd.core.filters import Query
from promptd.core.model import Prompt
from promptd.core.targets import Decision
from promptd.testing.function_model import ScriptedFunctionModel
from promptd.testing.model_server import ModelServer
from promptd.testing.sockets import serve
from tests.faces.arch.ingress_lab import ASK, CALL, NEW, OLD, called, listener, user
from tests.service.targets.lab import Api, config, target

pytestmark = pytest.mark.slow

# ------------------------------------------------------------------ a model answers


@pytest.mark.arch("3.5.messages", "3.1.fields", "3.7.state", "9.7")
async def test_an_answer_about_a_target(tmp_path: Path, model: ModelServer, api: Api) -> None:
    api.say({"temperature": 7})
    async with listener(
        tmp_path, config(era="E", system_prompt="Be kind."), model, api, ScriptedFunctionModel(CALL)
    ) as door:
        history = [
            {"role": "system", "content": "client's own"},
            user("hello"),
            {"role": "assistant", "content": "Hi!", "model": "Arch-Function"},
            {"role": "assistant", "content": None, "tool_calls": [called("note", {"a": 1})]},
            {"role": "tool", "content": "done", "tool_call_id": "call_1"},
        ]
        more = {"temperature": 0.5, "seed": 7, "tools": [_tool()], "metadata": {"mine": "1"}, "vendor_word": [1]}
        reply = await door.chat(*history, user("weather in Oslo"), model="unheard-of", **more)
        said = door.asked
        assert [one["role"] for one in said["messages"]] == ["system", "system", "user", "assistant", "user"]
        assert said["messages"][0]["content"] == "Be kind."
        assert said["messages"][3] == {"role": "assistant", "content": "Hi!"}
        assert said["messages"][4]["content"].startswith("weather in Oslo\ncontext: <data-")
        assert '{"temperature": 7}' in said["messages"][4]["content"]
        assert (said["temperature"], said["seed"], said["vendor_word"]) == (0.5, 7, [1])
        assert "tools" not in said
        assert "metadata" not in said
        assert said["model"] == "script"
        assert reply["choices"][0]["message"]["content"].startswith("You said: weather in Oslo")
        assert reply["usage"]["total_tokens"] > 0
        assert [turn.extra.get("model") for turn in door.decider.asked[0].turns][2] == "Arch-Function"
    assert api.last[:2] == ("GET", "/w/Oslo?days=2")


def _tool() -> dict[str, Any]:
    return {"type": "function", "function": {"name": "own", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.arch("3.7.state", "3.1.arguments", "9.2")
@pytest.mark.parametrize(("era", "name"), [("A", OLD), ("C", NEW), ("D", NEW)])
async def test_the_state_of_a_call(tmp_path: Path, model: ModelServer, api: Api, era: str, name: str) -> None:
    api.say(b"sunny")
    decision = CALL if era == "C" else Decision(target="weather", arguments={"city": "Oslo", "days": 2})
    async with listener(tmp_path, config(era=era), model, api, ScriptedFunctionModel(decision)) as door:
        metadata = (await door.chat(user("weather")))["metadata"]
    call, response = json.loads(json.loads(metadata["x-arch-state"])["messages"])
    assert call["role"] == "assistant"
    assert call["model"] == name
    assert response["role"] == "tool"
    assert response["content"] == "sunny"
    assert response["tool_call_id"].startswith("call_")
    assert 4 <= len(response["tool_call_id"].removeprefix("call_")) <= 5
    if era == "C":
        assert call["content"] == CALL.raw
        assert "tool_calls" not in call
        assert json.loads(metadata["x-arch-fc-model-response"]) == CALL.raw
        assert json.loads(metadata["x-arch-tool-call-message"]) == call
        assert json.loads(metadata["x-arch-api-response-message"]) == response
    else:
        function = call["tool_calls"][0]["function"]
        assert function["name"] == "weather"
        arguments = {"city": "Oslo", "days": 2}
        assert function["arguments"] == (arguments if era == "A" else json.dumps(arguments, separators=(",", ":")))
        assert ("x-arch-tool-call-message" in metadata) == (era == "D")


@pytest.mark.arch("3.8.order", "3.8.end", "9.8")
@pytest.mark.parametrize("era", ["A", "E"])
async def test_a_stream_about_a_target(tmp_path: Path, model: ModelServer, api: Api, era: str) -> None:
    api.say(b"sunny")
    async with listener(tmp_path, config(era=era), model, api, ScriptedFunctionModel(CALL)) as door:
        first, second, *rest = await door.events(user("weather"), stream_options={"include_usage": True})
    delta = first["choices"][0]["delta"]
    assert delta["role"] == "assistant"
    if era == "A":
        assert first["model"] == OLD
        assert delta["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Oslo", "days": 2}}
    else:
        assert first["model"] == NEW
        assert delta["content"] == CALL.raw
    assert second["choices"][0] == {"index": 0, "delta": {"role": "tool", "content": "sunny"}, "finish_reason": None}
    assert first["object"] == "chat.completion.chunk"
    assert first["id"] == second["id"] != rest[0]["id"]  # what the model says is its own
    said = "".join(one["choices"][0]["delta"].get("content") or "" for one in rest if one["choices"])
    assert said.startswith("You said: weather")
    assert rest[-1]["usage"]["prompt_tokens"] > 0


@pytest.mark.arch("3.3.provider")
@pytest.mark.parametrize(
    ("model_name", "hint", "used"),
    [
        (None, None, "script"),
        ("", None, "script"),
        ("openai/other", None, "other"),
        ("what", None, "script"),
        ("second", "lab", "script"),
        (None, "second", "other"),
        (None, "default", "script"),
        (None, "what", "script"),
    ],
)
async def test_the_provider(
    tmp_path: Path, model: ModelServer, api: Api, model_name: str | None, hint: str | None, used: str
) -> None:
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel()) as door:
        body = {"messages": [user("joke")]} | ({} if model_name is None else {"model": model_name})
        answer = await door.post(body, **({} if hint is None else {"x_arch_llm_provider_hint": hint}))
        assert answer.status == 200
        assert door.asked["model"] == used


@pytest.mark.arch("3.1.body")
async def test_without_a_user_s_message_the_model_is_asked_at_once(
    tmp_path: Path, model: ModelServer, api: Api
) -> None:
    async with listener(tmp_path, config(system_prompt="mine"), model, api, ScriptedFunctionModel(CALL)) as door:
        await door.chat({"role": "system", "content": "say hello"}, tools=[_tool()])
        assert door.asked["messages"] == [{"role": "system", "content": "say hello"}]
        assert len(door.asked["tools"]) == 1
        assert not door.decider.asked


async def test_texts_with_parts(tmp_path: Path, model: ModelServer, api: Api) -> None:
    parts = [{"type": "text", "text": "weather"}]
    async with listener(tmp_path, config(era="D"), model, api, ScriptedFunctionModel(CALL)) as door:
        await door.chat(user(parts))
        content = door.asked["messages"][-1]["content"]
        assert content[0] == parts[0]
        assert content[1]["text"].startswith("\ncontext: ")
    async with listener(tmp_path / "old", config(era="C"), model, api, ScriptedFunctionModel(CALL)) as door:
        answer = await door.post({"messages": [user(parts)]})
        assert (answer.status, answer.body) == (400, b"messages[0].content: expected a string")


# ------------------------------------------------------------------ the gateway speaks


@pytest.mark.arch("3.1.reply", "3.2.question", "3.8.order")
@pytest.mark.parametrize(("era", "name", "speaker"), [("A", OLD, OLD), ("E", NEW, "Arch-Function-Chat")])
async def test_a_question(tmp_path: Path, model: ModelServer, api: Api, era: str, name: str, speaker: str) -> None:
    async with listener(tmp_path, config(era=era), model, api, ScriptedFunctionModel(ASK, ASK)) as door:
        reply = await door.chat(user("weather"))
        assert reply["id"].startswith("chatcmpl")
        assert reply["object"] == "chat.completion"
        assert reply["created"] > 0
        choice = reply["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert choice["message"] == {"role": "assistant", "content": ASK.question, "model": name}
        first, second, last = await door.events(user("weather"))
        assert (first["model"], second["model"]) == (name, speaker)
        role: dict[str, Any] = {"role": "assistant"} | ({"content": "raw"} if era == "E" else {})
        assert first["choices"] == [{"index": 0, "delta": role, "finish_reason": None}]
        assert second["choices"][0]["delta"] == {"content": ASK.question}
        assert last["choices"][0]["finish_reason"] == "stop"
    assert not model.exchanges


@pytest.mark.arch("3.7.dialogue")
@pytest.mark.parametrize("marked", [True, False])
async def test_a_running_dialogue_is_known(tmp_path: Path, model: ModelServer, api: Api, marked: bool) -> None:
    question: dict[str, Any] = {"role": "assistant", "content": "Which one?" if marked else ASK.question}
    question |= {"model": OLD} if marked else {}
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel()) as door:
        await door.chat(user("weather in Seattle"), question, user("2 days"))
        await door.chat(user("weather in Seattle"), {"role": "assistant", "content": "Fine."}, user("2 days"))
        assert [one.asking.in_dialogue for one in door.decider.asked] == [True, False]


@pytest.mark.arch("3.4.verbatim", "3.8.order")
async def test_without_dispatch(tmp_path: Path, model: ModelServer, api: Api) -> None:
    file = config(target("weather", "/w/{city}", dispatch=False))
    async with listener(tmp_path, file, model, api, ScriptedFunctionModel(CALL, CALL)) as door:
        api.say(b'{"a": 1}', content_type="application/json")
        answer = await door.post({"messages": [user("weather")]})
        assert (answer.status, answer.body) == (200, b'{"a": 1}')
        assert answer.headers["content-type"] == "application/json"
        api.say(b'{"a": 1}')
        first, second, _ = await door.events(user("weather"))
        assert (first["model"], first["choices"][0]["delta"]) == (NEW, {"role": "assistant"})
        assert second["choices"][0]["delta"] == {"content": '{"a": 1}'}
    assert not model.exchanges


@pytest.mark.arch("3.6.default", "3.8.order")
async def test_the_default_target(tmp_path: Path, model: ModelServer, api: Api) -> None:
    said = {"model": "dev-1", "choices": [{"message": {"role": "assistant", "content": "from the default"}}]}
    rest = target("rest", "/rest", "POST", default=True, dispatch=False)
    async with listener(tmp_path, config(rest), model, api, ScriptedFunctionModel()) as door:
        api.say(said)
        assert await door.chat(user("x")) == said
        api.say(said)
        first, second, _ = await door.events(user("x"))
        assert (first["model"], second["model"]) == ("dev-1", "dev-1")
        assert second["choices"][0]["delta"] == {"content": "from the default"}
        api.say(b"no completion")
        answer = await door.post({"messages": [user("x")], "stream": True})
        assert answer.status == 502
    again = target("rest", "/rest", "POST", default=True)
    async with listener(tmp_path / "dispatch", config(again), model, api, ScriptedFunctionModel()) as door:
        api.say(said)
        reply = await door.chat(user("x"))
        assert "from the default" in door.asked["messages"][-1]["content"]
        assert "x-arch-state" not in (reply.get("metadata") or {})


# ------------------------------------------------------------------ who decides


@pytest.mark.arch("9.4", "5.4.grounded")
async def test_a_model_of_the_house_decides(tmp_path: Path, model: ModelServer, api: Api) -> None:
    api.say(b"sunny")
    sections = {"compat": {"arch": {"function_model": "second"}}}
    async with listener(tmp_path, config(), model, api, None, **sections) as door:
        reply = await door.chat(user('/call weather {"city": "Oslo", "days": 3}'))
        decided, answered = [one for one in model.exchanges if one.path.endswith("/chat/completions")]
        assert (decided.model, answered.model) == ("other", "script")
        assert [tool["function"]["name"] for tool in decided.body["tools"]] == ["weather", "note"]
        assert api.last[:2] == ("GET", "/w/Oslo?days=3")
        assert "x-arch-state" in reply["metadata"]
        await door.house.walk.attached.flush()
        found = (await door.house.database.records.find(Prompt, Query())).items
        final = next(one for one in found if one.id.startswith("chatcmpl"))
        assert sorted(one.lane for one in found) == ["endpoint:api", "llm", "llm"]
        assert {one.parent for one in found} == {None, final.id}


@pytest.mark.arch("9.4")
async def test_a_server_elsewhere_decides(tmp_path: Path, model: ModelServer, api: Api) -> None:
    server = Api()
    call = {"id": "call_1", "type": "function", "function": {"name": "note", "arguments": {"city": "Oslo"}}}
    server.say({"choices": [{"message": {"role": "assistant", "content": "", "tool_calls": [call]}}]})
    server.say(b"out of order", 500)
    async with serve(server.handle) as server.url:
        sections = {"compat": {"arch": {"function_model": server.url}}}
        async with listener(tmp_path, config(), model, api, None, **sections) as door:
            await door.chat(user("note Oslo"), metadata={"mine": "1"})
            assert json.loads(api.last[3]) == {"city": "Oslo", "days": 7}
            _, path, headers, body = server.last
            assert path == "/function_calling"
            assert json.loads(body)["metadata"]["mine"] == "1"
            assert headers["x-request-id"] == api.last[2]["x-request-id"]
            answer = await door.post({"messages": [user("note Oslo")]})
            text = (
                "upstream application error host=arch_internal, path=/function_calling, status=500, body=out of order"
            )
            assert (answer.status, answer.body.decode()) == (500, text)


async def test_a_reload_brings_other_targets(tmp_path: Path, model: ModelServer, api: Api) -> None:
    api.say({"a": 1})
    async with listener(tmp_path, config(), model, api, None) as door:
        talk = door.house.walk.conversation
        assert talk is not None
        arch = door.house.settings.arch
        assert arch is not None
        changed = replace(arch, targets=(target("weather", "/other/{city}"),), system_prompt="new")
        door.house.reload.arch(changed)
        assert talk.config is changed
        talk.configure(changed, ScriptedFunctionModel(CALL))
        await door.chat(user("weather"))
        assert door.asked["messages"][0] == {"role": "system", "content": "new"}


async def test_a_function_model_that_nobody_serves_stops_the_start(
    tmp_path: Path, model: ModelServer, api: Api
) -> None:
    sections = {"compat": {"arch": {"function_model": "nobody"}}}
    with pytest.raises(SettingsError, match="there is no model 'nobody'") as failed:
        async with listener(tmp_path, config(), model, api, None, **sections):
            pass
    assert failed.value.key == "compat.arch.function_model"
