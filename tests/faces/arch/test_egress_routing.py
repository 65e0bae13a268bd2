"""Models chosen by what they are good at, the next one where the first fails, and conversations that stay."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.testing.model_server import ModelServer
from promptd.testing.model_server.views import View
from tests.faces.arch.conftest import KEYS, Gate, Open, Says, serve_app
from tests.faces.client import Response

pytestmark = pytest.mark.slow

FILE = """
version: v0.4.0
listeners: [{{type: model, name: llm, port: 0}}]
model_providers:
  - {{model: openai/gpt-4o, access_key: $KEY, base_url: {origin}, default: true}}
  - {{model: openai/gpt-4o-mini, access_key: $KEY, base_url: {origin}}}
  - {{model: anthropic/claude-3-haiku-20240307, access_key: $KEY, base_url: {origin}}}
{more}
routing_preferences:
  - name: code generation
    description: writing new functions and programs in a programming language
    models: [gpt-4o-mini, openai/gpt-4o]
  - name: travel
    description: planning trips, flights and hotels
    models: [anthropic/claude-3-haiku-20240307]
"""
ROUTED = "  - {{model: openai/router, access_key: $KEY, base_url: {router}}}\nrouting: {{model: openai/router}}\n"
CODE = "write a program with functions in a programming language"


def file_for(upstream: ModelServer, more: str = "", router: str = "") -> str:
    return FILE.format(origin=upstream.origin, more=more.format(router=router))


def asked(upstream: ModelServer) -> list[str]:
    return [exchange.body["model"] for exchange in upstream.exchanges]


async def decide(gate: Gate, text: str, **more: Any) -> Any:
    headers = more.pop("headers", {})
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}
    answer = await gate.http.post("/routing/v1/chat/completions", body, headers=headers)
    assert answer.status == 200, answer.body
    return answer.json


@pytest.mark.arch("6.1.route", "6.1.decision")
async def test_the_built_in_matcher(serve_arch: Open, upstream: ModelServer) -> None:
    async with serve_arch(file_for(upstream), environ=KEYS) as gate:
        told = await decide(gate, CODE)
        assert told["models"] == ["openai/gpt-4o-mini", "openai/gpt-4o"]
        assert (told["route"], told["pinned"], told["switched"]) == ("code generation", False, False)
        assert len(told["trace_id"]) == 32
        assert "session_id" not in told
        none = await decide(gate, "zzz")
        assert (none["models"], none["route"]) == (["openai/gpt-4o"], None)
        for path, body in (
            ("responses", {"model": "gpt-4o", "input": "plan my trips, flights and hotels"}),
            (
                "messages",
                {
                    "model": "gpt-4o",
                    "max_tokens": 9,
                    "messages": [{"role": "user", "content": "planning trips, flights and hotels"}],
                },
            ),
        ):
            answer = await gate.http.post(f"/routing/v1/{path}", body)
            assert answer.json["route"] == "travel", answer.body
        assert upstream.exchanges == []  # decided, and nobody asked
        assert (await gate.chat(CODE, model="gpt-4o")).status == 200
        assert (await gate.chat("zzz", model="gpt-4o")).status == 200
        assert (await gate.chat(CODE, headers={"x-arch-llm-provider-hint": "default"})).status == 200
        assert asked(upstream) == ["gpt-4o-mini", "gpt-4o", "gpt-4o"]


@pytest.mark.arch("6.1.route")
async def test_a_routing_model_is_shown_the_end_of_the_conversation(serve_arch: Open, upstream: ModelServer) -> None:
    router = Says('```json\n{"route": ["nothing", "travel"]}\n```')
    async with (
        serve_app(router) as origin,
        serve_arch(file_for(upstream, ROUTED, origin), environ=KEYS) as gate,
    ):
        messages = [{"role": "system", "content": "SECRET RULES"}]
        messages += [{"role": "user", "content": f"message {n}"} for n in range(20)]
        answer = await gate.http.post("/v1/chat/completions", {"messages": messages})
        assert answer.status == 200, answer.body
        assert asked(upstream) == ["claude-3-haiku-20240307"]
        (body,) = router.bodies
        shown = body["messages"][0]["content"]
        assert "message 4" in shown
        assert 'message 3"' not in shown
        assert "SECRET" not in shown
        assert '{"name":"travel","description":"planning trips, flights and hotels"}' in shown


@pytest.mark.arch("6.1.failure")
@pytest.mark.parametrize("router", [Says("I can't say"), Says(status=500), Says('{"route": "nowhere"}')])
async def test_a_router_that_fails(
    serve_arch: Open, upstream: ModelServer, router: Says, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serve_app(router) as origin,
        serve_arch(file_for(upstream, ROUTED, origin), environ=KEYS) as gate,
    ):
        assert (await gate.chat(CODE, model="gpt-4o")).status == 200
        assert asked(upstream) == ["gpt-4o"]
        assert ("no route could be determined" in caplog.text) == ("nowhere" not in router.text)


def refusing(fault: str) -> Any:
    """The first model of a preference is in trouble."""

    def trouble(view: View) -> str:
        return fault if view.model == "gpt-4o-mini" else ""

    return trouble


@pytest.mark.arch("4.5.failover")
@pytest.mark.parametrize("fault", ["rate", "broken", "unavailable", "die"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_model_of_a_preference(serve_arch: Open, fault: str, stream: bool) -> None:
    async with (
        ModelServer(trouble=refusing(fault)) as upstream,
        serve_arch(file_for(upstream), environ=KEYS) as gate,
    ):
        answer = await gate.chat(CODE, model="gpt-4o", stream=stream)
        assert answer.status == 200, answer.body
        assert asked(upstream)[-1] == "gpt-4o"
        assert asked(upstream)[0] == "gpt-4o-mini"
        assert b"programming" in answer.body


@pytest.mark.arch("4.5.failover")
async def test_a_request_at_fault_is_not_tried_elsewhere(serve_arch: Open) -> None:
    async with (
        ModelServer(trouble=refusing("context")) as upstream,
        serve_arch(file_for(upstream), environ=KEYS) as gate,
    ):
        assert (await gate.chat(CODE, model="gpt-4o")).status == 400
        assert asked(upstream) == ["gpt-4o-mini"]


@pytest.mark.arch("6.1.route")
async def test_preferences_of_the_request(serve_arch: Open, upstream: ModelServer) -> None:
    own = [
        {"name": "poems", "description": "verses and rhymes about the sea", "models": ["unknown", "gpt-4o-mini"]},
    ]
    async with serve_arch(file_for(upstream), environ=KEYS) as gate:
        told = await decide(gate, "verses and rhymes about the sea", routing_preferences=own)
        assert (told["route"], told["models"]) == ("poems", ["openai/gpt-4o-mini"])
        answer = await gate.chat("verses and rhymes about the sea", model="gpt-4o", routing_preferences=own)
        assert answer.status == 200, answer.body
        assert asked(upstream) == ["gpt-4o-mini"]
        assert "routing_preferences" not in upstream.exchanges[-1].body
        wrong = await gate.chat("x", model="gpt-4o", routing_preferences=[{"name": 1}])
        assert wrong.status == 400
        assert b"routing_preferences[0]" in wrong.body


async def test_the_cheapest_is_the_one_that_costs_least(serve_arch: Open, upstream: ModelServer) -> None:
    models = ["groq/llama-3.3-70b-versatile", "groq/llama-3.1-8b-instant", "openai/gpt-4o"]
    policy = {"prefer": "cheapest"}
    own = [{"name": "sums", "description": "adding numbers", "models": models, "selection_policy": policy}]
    more = "  - {{model: groq/*, access_key: $KEY, base_url: {router}/v1}}"
    async with serve_arch(file_for(upstream, more, upstream.origin), environ=KEYS) as gate:
        told = await decide(gate, "adding numbers", routing_preferences=own)
        # what nobody knows the price of comes last: at an address that is not its vendor's own
        assert told["models"] == [models[1], models[0], models[2]]


async def test_the_fastest_is_the_one_that_was_fastest(serve_arch: Open, upstream: ModelServer) -> None:
    own = [{"name": "sums", "description": "adding numbers", "models": ["gpt-4o-mini", "gpt-4o"], "selection_policy": {"prefer": "fastest"}}]  # fmt: skip
    async with serve_arch(file_for(upstream), environ=KEYS) as gate:
        assert (await gate.chat("zzz", model="gpt-4o")).status == 200
        told = await decide(gate, "adding numbers", routing_preferences=own)
        assert told["models"] == ["openai/gpt-4o", "openai/gpt-4o-mini"]


async def test_a_conversation_stays_at_its_model(serve_arch: Open, upstream: ModelServer) -> None:
    session = {"X-Model-Affinity": "talk-1"}

    async def ask(gate: Gate, text: str, **headers: str) -> Response:
        return await gate.chat(text, model="gpt-4o", headers=headers)

    async with serve_arch(file_for(upstream), environ=KEYS) as gate:
        assert (await ask(gate, CODE, **session)).status == 200
        assert (await ask(gate, "zzz", **session)).status == 200
        assert (await ask(gate, "zzz", **{"X-Model-Affinity": "talk-2"})).status == 200
        assert asked(upstream) == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]
        told = await decide(gate, "zzz", headers=session)
        assert (told["pinned"], told["session_id"], told["route"]) == (True, "talk-1", "code generation")
        hinted = await gate.chat("zzz", headers={**session, "x-arch-llm-provider-hint": "openai/gpt-4o"})
        assert hinted.status == 200
        assert asked(upstream)[-1] == "gpt-4o"


async def test_what_decides_is_part_of_the_prompt(serve_arch: Open, upstream: ModelServer) -> None:
    router = Says('{"route": "travel"}')
    async with (
        serve_app(router) as origin,
        serve_arch(file_for(upstream, ROUTED, origin), environ=KEYS) as gate,
    ):
        answer = await gate.chat("hi", model="gpt-4o")
        await gate.house.walk.attached.flush()
        from promptd.core.filters import Query
        from promptd.core.model import Prompt

        found = (await gate.house.database.records.find(Prompt, Query(limit=10))).items
        parts = [prompt for prompt in found if prompt.parent is not None]
        assert [prompt.parent for prompt in parts] == [answer.headers["x-prompt-id"]]
        assert parts[0].model == "openai/router"


@pytest.mark.arch("4.5.retries")
@pytest.mark.parametrize(("retries", "calls"), [(0, 1), (2, 3)])
async def test_retries_of_a_listener(serve_arch: Open, retries: int, calls: int) -> None:
    async with ModelServer(trouble=lambda view: "unavailable") as upstream:
        text = file_for(upstream).replace("port: 0}", f"port: 0, max_retries: {retries}}}")
        async with serve_arch(text, environ=KEYS) as gate:
            answer = await gate.chat("zzz", model="gpt-4o")
            assert answer.status == 503
            assert asked(upstream) == ["gpt-4o"] * calls
