"""What the prompt listener refuses, and how it tells (contracts/arch.md §3.9, §5.1)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptd.core.content import Turn
from promptd.core.errors import InvalidRequest, ServiceUnavailable
from promptd.core.filters import Filter, Query
from promptd.core.guarding import Action, Redacted, Stage
from promptd.core.identity import ALL_PERMISSIONS
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Judgement, Prompt, Verdict
from promptd.core.targets import Decision
from promptd.core.tracing import Trace, current
from promptd.dialects.arch.config import ErrorTarget, Jailbreak
from promptd.faces.arch.ingress_request import final_body, read
from promptd.service.guarding import Check, Checks
from promptd.testing.function_model import ScriptedFunctionModel
from promptd.testing.model_server import ModelServer
from promptd.testing.sockets import serve
from tests.faces.arch.ingress_lab import CALL, NEW, PATH, called, listener, user
from tests.faces.conftest import ADMIN
from tests.service.targets.lab import Api, config

pytestmark = pytest.mark.slow

# ------------------------------------------------------------------ guards


GUARDED: Any = {"guard": {"checks": {"jailbreak": {"type": "rules", "blocklist": ["attack"], "listeners": ["prompt"]}}}}


@pytest.mark.arch("5.1.reply", "9.3", "3.8.order")
async def test_a_refused_prompt(tmp_path: Path, model: ModelServer, api: Api) -> None:
    file = config(jailbreak=Jailbreak(message="not with me"))
    async with listener(tmp_path, file, model, api, ScriptedFunctionModel(CALL, CALL, CALL), **GUARDED) as door:
        reply = await door.chat(user("an attack"))
        message = {"role": "assistant", "content": "not with me", "model": NEW}
        assert reply["choices"][0]["message"] == message
        first, second, _ = await door.events(user("an attack"))
        assert first["choices"][0]["delta"] == {"role": "assistant"}
        assert second["choices"][0]["delta"] == {"content": "not with me"}
        # an earlier turn and what an API says count as well
        await door.chat(user("an attack"), {"role": "assistant", "content": "?"}, user("weather"))
        assert not door.decider.asked
        assert not api.asked
        api.say(b"attack from behind")
        assert (await door.chat(user("weather")))["choices"][0]["message"] == message
    assert not model.exchanges


@pytest.mark.arch("5.1.reply")
async def test_a_refused_prompt_by_status(tmp_path: Path, model: ModelServer, api: Api) -> None:
    switch = {"compat": {"arch": {"guard_status": 400}}, **GUARDED}
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel(), **switch) as door:
        answer = await door.post({"messages": [user("an attack")]})
        told = b"jailbreak detected: refrain from discussing jailbreaking."
        assert (answer.status, answer.body) == (400, told)


@pytest.mark.parametrize("keep", [False, True])
async def test_a_refused_prompt_is_on_the_books(tmp_path: Path, model: ModelServer, api: Api, keep: bool) -> None:
    sections = {**GUARDED, "retention": {"keep_attached": keep}, "keys": {"admin_key": ADMIN}}
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel(CALL), **sections) as door:
        refused = await door.chat(user("an attack"))
        api.say(b"attack from behind")
        behind = await door.chat(user("weather"))
        walk = door.house.walk
        await walk.attached.flush()
        ruler = Caller("root", permissions=ALL_PERMISSIONS, admin=True)
        rows = (await walk.prompts.find(ruler, Query(filters=(Filter("status", "eq", "abandoned"),)))).items
        asked, said = sorted(rows, key=lambda row: row.created)
        assert asked.id == refused["id"]
        assert said.parent == behind["id"]
        for row, stage in ((asked, "input"), (said, "tool")):
            assert (row.user, row.error and row.error.code) == ("listener:prompt", "content_refused")
            assert row.judgements == (Judgement("jailbreak", stage, "refused", 1.0, ("blocklist",)),)
        kept = await door.house.database.records.get(Prompt, asked.id)
        assert kept is not None
        assert [turn.content for turn in kept.request.messages] == (["an attack"] if keep else [])
        if not keep:
            return
        # whoever has it tried again has it judged again
        await walk.prompts.retry(ruler, asked.id)
        async with asyncio.timeout(10):
            again = await walk.streams.finished(asked.id)
        assert again.status is Status.ABANDONED
    assert not model.exchanges


async def test_what_an_api_says_of_its_failure_is_judged_too(tmp_path: Path, model: ModelServer, api: Api) -> None:
    file = config(jailbreak=Jailbreak(message="not with me"))
    async with listener(tmp_path, file, model, api, ScriptedFunctionModel(CALL, CALL), **GUARDED) as door:
        api.say(b"out of order", status=500)
        assert b"out of order" in (await door.post({"messages": [user("weather")]})).body
        api.say(b"an attack", status=500)
        answer = await door.post({"messages": [user("weather")]})
        assert b"attack" not in answer.body
        assert answer.json["choices"][0]["message"]["content"] == "not with me"


class Blotter:
    """A guard that replaces a word, or fails."""

    broken = False

    async def inspect(self, messages: Sequence[Turn]) -> Verdict:
        if self.broken:
            raise RuntimeError("no guard")
        return Verdict(not any("secret" in turn.content for turn in messages))

    def redact(self, text: str) -> Redacted:
        count = text.count("secret")
        return Redacted(text.replace("secret", "***"), {"word": count} if count else {})


@pytest.mark.arch("5.1.closed", "5.1.turns")
async def test_what_is_redacted_reaches_nobody_and_a_broken_guard_lets_nothing_through(
    tmp_path: Path, model: ModelServer, api: Api
) -> None:
    guard = Blotter()
    stages = frozenset({Stage.INPUT, Stage.TOOL})
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel(CALL)) as door:
        door.house.walk.guarding.checks = Checks(
            [Check(name="words", guard=guard, stages=stages, action=Action.REDACT, seconds=5)]
        )
        api.say(b"the secret of the API")
        reply = await door.chat(user("a secret"), {"role": "assistant", "content": "?"}, user("my secret"))
        assert [turn.content for turn in door.decider.asked[0].turns] == ["a ***", "?", "my ***"]
        said = [one["content"] for one in door.asked["messages"]]
        assert said[0] == "a ***"
        assert said[2].startswith("my ***\ncontext: ")
        assert "the *** of the API" in said[2]
        assert "secret" not in json.dumps(reply)
        exchanges = len(model.exchanges)
        door.house.walk.guarding.checks = Checks(
            [Check(name="words", guard=guard, stages=stages, action=Action.REFUSE, seconds=5)]
        )
        guard.broken = True
        answer = await door.post({"messages": [user("hello")]})
        assert answer.status == 503
        assert len(model.exchanges) == exchanges


@pytest.mark.arch("5.1.verdict")
async def test_the_verdict_is_in_the_trace_and_no_score_in_the_reply(
    tmp_path: Path, model: ModelServer, api: Api
) -> None:
    seen: list[Trace | None] = []

    class Refuser:
        async def inspect(self, messages: Sequence[Turn]) -> Verdict:
            seen.append(current.get())
            return Verdict(False, "no", 0.875)

    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel()) as door:
        stages = frozenset({Stage.INPUT})
        door.house.walk.guarding.checks = Checks([Check(name="words", guard=Refuser(), stages=stages)])
        answer = await door.post({"messages": [user("an attack")]}, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
        assert answer.status == 200
        assert b"0.875" not in answer.body
        trace = seen[0]
        assert trace is not None
        assert trace.notes == {"guard.verdict": "refused", "guard.check": "words", "guard.stage": "input"}


# ------------------------------------------------------------------ failures


@pytest.mark.arch("3.9.errors", "3.9.json", "3.4.failure")
async def test_failures_are_text_and_json_for_those_who_ask(tmp_path: Path, model: ModelServer, api: Api) -> None:
    text = "upstream application error host=api, path=/w/{city}, status=404, body=no such city"
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel(CALL, CALL)) as door:
        api.say(b"no such city", 404)
        answer = await door.post({"messages": [user("weather")]})
        assert (answer.status, answer.body.decode()) == (404, text)
        assert answer.headers["content-type"].startswith("text/plain")
        api.say(b"no such city", 404)
        answer = await door.post({"messages": [user("weather")]}, accept="application/json")
        assert answer.status == 404
        assert answer.json["error"]["message"] == text
        assert answer.json["error"]["code"] == "upstream_error"


@pytest.mark.arch("3.9.server")
async def test_a_function_model_that_is_down(tmp_path: Path, model: ModelServer, api: Api) -> None:
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel(ServiceUnavailable("gone"))) as door:
        answer = await door.post({"messages": [user("weather")]})
        assert answer.status == 503
        assert answer.json["error"]["message"] == "gone"


@pytest.mark.arch("3.9.error_target")
async def test_the_error_target_answers_in_place_of_an_error(tmp_path: Path, model: ModelServer, api: Api) -> None:
    file = config(error_target=ErrorTarget(endpoint="api", path="/errors"))
    async with listener(tmp_path, file, model, api, ScriptedFunctionModel(CALL, CALL, Decision())) as door:
        api.say(b"no", 404)
        api.say({"sorry": True}, content_type="application/json")
        answer = await door.post({"messages": [user("weather")], "temperature": 1})
        assert (answer.status, answer.json) == (200, {"sorry": True})
        method, path, headers, body = api.last
        assert (method, path) == ("POST", "/errors")
        assert headers["x-arch-error-type"] == "upstream_error"
        assert headers["x-arch-target-prompt"] == "weather"
        assert json.loads(body)["temperature"] == 1
        api.say(b"no", 404)
        api.say(b"neither", 500)
        assert (await door.post({"messages": [user("weather")]})).status == 404
        api.say({"sorry": 2})
        answer = await door.post({"messages": [user("/fault key")]})
        assert (answer.status, answer.json) == (200, {"sorry": 2})


async def test_what_the_error_target_says_is_judged(tmp_path: Path, model: ModelServer, api: Api) -> None:
    file = config(error_target=ErrorTarget(endpoint="api", path="/errors"))
    async with listener(tmp_path, file, model, api, ScriptedFunctionModel(CALL), **GUARDED) as door:
        api.say(b"no", 404)
        api.say(b"an attack")
        answer = await door.post({"messages": [user("weather")]})
        assert answer.status == 404
        assert b"attack" not in answer.body


@pytest.mark.arch("4.5.upstream")
async def test_errors_of_the_provider(tmp_path: Path, model: ModelServer, api: Api) -> None:
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel(CALL, CALL)) as door:
        for stream in (False, True):
            answer = await door.post({"messages": [user("/fault context")], "stream": stream})
            assert answer.status == 400
            assert b"maximum context length" in answer.body
            assert b"tool" not in answer.body


@pytest.mark.arch("3.1.body", "9.6")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 5000,
        b'{"messages": 1}',
        b'{"messages": [1]}',
        b'{"messages": []}',
        b'{"messages": [{"role": "king", "content": "x"}]}',
        b'{"messages": [{"content": "x"}]}',
        b"{}",
        b'{"messages": [{"role": "user", "content": 1}]}',
        b'{"messages": [{"role": "user"}]}',
        b'{"messages": [{"role": "user", "content": ""}]}',
        b'{"messages": [{"role": "user", "content": "x"}], "stream": 1}',
        b'{"messages": [{"role": "user", "content": "x"}], "metadata": {"a": 1}}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    ],
)
async def test_bodies_that_make_no_sense(tmp_path: Path, model: ModelServer, api: Api, body: bytes) -> None:
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel()) as door:
        answer = await door.post(body)
        assert answer.status == 400
        assert answer.body
        assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.arch("3.1.path")
async def test_paths_are_exact(tmp_path: Path, model: ModelServer, api: Api) -> None:
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel()) as door:
        for path in ("/v1", f"{PATH}/", "/chat/completions", f"/x{PATH}", "/v1/models", "/v1/embeddings"):
            answer = await door.post({"messages": [user("x")]}, path)
            assert (answer.status, answer.body) == (404, b""), path
        assert (await door.http.get(PATH)).status == 404
        healthy = await door.http.get("/healthz")
        assert (healthy.status, healthy.body) == (200, b"")


async def test_a_client_that_leaves_ends_the_call_of_the_api(tmp_path: Path, model: ModelServer, api: Api) -> None:
    reached, closed = asyncio.Event(), asyncio.Event()

    async def silent(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reached.set()
        await reader.read()
        closed.set()

    async with serve(silent) as api.url, listener(tmp_path, config(), model, api, ScriptedFunctionModel(CALL)) as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        body = json.dumps({"messages": [user("weather")]})
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        async with asyncio.timeout(5):
            await reached.wait()
            writer.transport.abort()
            await closed.wait()
    assert not model.exchanges


async def test_a_client_that_leaves_in_mid_stream_ends_the_provider_s_work(
    tmp_path: Path, model: ModelServer, api: Api
) -> None:
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel(CALL)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        body = json.dumps({"messages": [user("/hold it\nmany words to say")], "stream": True})
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        async with asyncio.timeout(5):
            await model.holding("it")
            head = await reader.readuntil(b'"role":"tool"')
            identifier = head.partition(b"x-prompt-id: ")[2].partition(b"\r\n")[0].decode()
            writer.transport.abort()
            while (found := await door.house.database.records.get(Prompt, identifier)) is None:
                await door.house.walk.attached.flush()
        assert found.status is Status.CANCELED
        model.release("it")


# ------------------------------------------------------------------ headers


@pytest.mark.arch("3.9.marker")
async def test_the_marker_of_a_changed_intent(tmp_path: Path, model: ModelServer, api: Api) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [called("note", "{}")]}
    history = [user("note it"), call, {"role": "tool", "content": "ok", "tool_call_id": "call_1"}, user("weather")]
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel(CALL, CALL, CALL)) as door:
        assert "x-arch-intent-marker" not in (await door.post({"messages": history})).headers
        for stream in (False, True):
            answer = await door.post({"messages": history, "stream": stream}, x_arch_intent_marker="true")
            assert answer.status == 200
            assert answer.headers["x-arch-intent-marker"] == "weather"
            assert answer.headers["x-arch-prompt-intent-change"] == "true"


@pytest.mark.arch("7.trace", "3.4.headers")
async def test_request_id_and_trace_go_to_the_api(tmp_path: Path, model: ModelServer, api: Api) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    async with listener(tmp_path, config(), model, api, ScriptedFunctionModel(CALL, CALL)) as door:
        answer = await door.post({"messages": [user("w")]}, x_request_id="req-7", traceparent=parent)
        headers = api.last[2]
        assert headers["x-request-id"] == "req-7"
        assert headers["traceparent"].startswith(f"00-{'a' * 32}-")  # the same trace; the span may be one of ours
        assert answer.headers["x-request-id"] == "req-7"
        answer = await door.post({"messages": [user("w")]}, traceparent="garbage")
        headers = api.last[2]
        assert headers["x-request-id"] == answer.headers["x-request-id"]
        assert len(headers["traceparent"]) == 55
        assert headers["host"] == "api"


# ------------------------------------------------------------------ properties


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
_MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "system", "x"]) | _JSON,
        "content": st.text(max_size=12) | st.just('```json\n{"tool_calls": [{"name": "a"}]}\n```') | _JSON,
        "model": st.just("Arch-Function") | _JSON,
        "tool_calls": st.lists(st.fixed_dictionaries({"function": _JSON}) | _JSON, max_size=2) | _JSON,
        "tool_call_id": _JSON,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(_MESSAGE | _JSON, max_size=4) | _JSON,
    st.fixed_dictionaries({"x-arch-state": _JSON | _JSON.map(json.dumps)}) | _JSON,
    st.sampled_from("ABCDE"),
)
@pytest.mark.arch("9.6")
def test_whatever_a_client_sends_is_read_or_refused(messages: Any, metadata: Any, era: Any) -> None:
    data = json.dumps({"messages": messages, "metadata": metadata}).encode()
    try:
        asked = read(data, era)
    except InvalidRequest:
        return
    assert json.loads(final_body(asked, "system", "\ncontext: x"))["messages"][0]["role"] == "system"
