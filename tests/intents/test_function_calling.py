"""A remote function model: the wire of `/function_calling`, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from promptd.core.content import Text, ToolCall, Turn
from promptd.core.errors import (
    InvalidOutput,
    PermissionDenied,
    PromptExecutionError,
    RateLimited,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Caller
from promptd.core.targets import Asking, Decision, FunctionModel
from promptd.egress import Egress
from promptd.intents.builtin import BuiltIn
from promptd.intents.function_calling import Remote
from promptd.service.targets.standin import StandIn
from promptd.testing.function_model import ASKING, REBOOT, TARGETS, WEATHER, FunctionModelContract
from promptd.testing.sockets import Reader, Writer, head_of, serve

NOON = 1_795_003_200.0
HELLO = [Turn("user", "weather in Seattle for 2 days")]
CALL = {
    "id": "call_1234",
    "type": "function",
    "function": {"name": WEATHER.name, "arguments": {"location": "Seattle", "days": 2}},
}

Answer = tuple[int, Any]


class Server:
    """Answers each call by `answer`; bytes go out as they are, None hangs."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any]) -> None:
        self._answer = answer
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.called = asyncio.Event()

    async def handle(self, reader: Reader, writer: Writer) -> None:
        while True:
            head = (await head_of(reader)).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.asked.append((first, headers, body))
            self.called.set()
            said = self._answer(body)
            if asyncio.iscoroutine(said):
                said = await said
            if said is None:
                await reader.read()  # until the client has left
                return
            status, value = said
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            writer.write(
                f"HTTP/1.1 {status} -\r\ncontent-length: {len(data)}\r\nretry-after: 7\r\n\r\n".encode() + data
            )
            await writer.drain()


def _message(content: str | None = None, *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "tool_calls": list(calls), "model": "Arch-Function"}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "model": "Arch-Function", **more}


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    client = Egress()
    yield client
    await client.close()


async def _ask(
    egress: Egress, said: Any, turns: list[Turn] = HELLO, asking: Asking = ASKING, **options: Any
) -> Decision:
    return (await _exchange(egress, said, turns, asking, **options))[0]


async def _exchange(
    egress: Egress, said: Any, turns: list[Turn] = HELLO, asking: Asking = ASKING, **options: Any
) -> tuple[Decision, Server]:
    server = Server(lambda body: said)
    async with serve(server.handle) as url:
        egress.allow(url)
        return await Remote(egress, url, **options).decide(turns, TARGETS, asking), server


@pytest.mark.arch("9.4")
class TestRemote(FunctionModelContract):
    """Behind the wire the deterministic one decides."""

    @pytest.fixture
    async def function_model(self, egress: Egress) -> AsyncIterator[FunctionModel]:
        standin = StandIn(BuiltIn(), clock=lambda: NOON)

        async def answer(body: dict[str, Any]) -> Answer:
            turns = [
                Turn(one["role"], one["content"], extra={"model": one.get("model", "")}) for one in body["messages"]
            ]
            decision = await standin.decide(turns, TARGETS, ASKING)
            if decision.target and not decision.question:
                function = {"name": decision.target, "arguments": json.dumps(decision.arguments)}
                return 200, _message("", {"id": "call_1", "type": "function", "function": function})
            if not decision.target:
                return 200, _message("")
            asks = {"required_functions": [decision.target], "clarification": f"Please tell {decision.missing[0]}."}
            return 200, _message(json.dumps(asks))

        async with serve(Server(answer).handle) as url:
            egress.allow(url)
            yield Remote(egress, url)


async def test_what_goes_out(egress: Egress) -> None:
    turns = [
        Turn("user", "a"),
        Turn(
            "assistant",
            tool_calls=(ToolCall(id="call_1", name="x", arguments='{"a": 1}'),),
            extra={"model": "Arch-Function"},
        ),
        Turn("tool", "sunny", tool_call_id="call_1"),
        Turn("user", parts=(Text("weather in Seattle "), Text("for 2 days"))),
    ]
    asking = Asking(
        caller=Caller("somebody"),
        metadata={"mine": "1", "use_agent_orchestrator": "no"},
        headers={"traceparent": "00-1-2-01", "x-request-id": "r", "authorization": "secret"},
    )
    decision, server = await _exchange(
        egress, (200, _message(None, CALL)), turns, asking, metadata={"use_agent_orchestrator": "true"}
    )
    assert (decision.target, decision.arguments) == (WEATHER.name, {"location": "Seattle", "days": 2})
    ((first, headers, body),) = server.asked
    assert first == "POST /function_calling HTTP/1.1"
    assert headers["content-type"] == "application/json"
    assert (headers["traceparent"], headers["x-request-id"]) == ("00-1-2-01", "r")
    assert "authorization" not in headers
    assert body.pop("tools") == [target.tool() for target in TARGETS]  # the default one is offered too
    assert body == {
        "messages": [
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": "",
                "model": "Arch-Function",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "x", "arguments": '{"a": 1}'}}
                ],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
            {"role": "user", "content": "weather in Seattle for 2 days"},
        ],
        "metadata": {"mine": "1", "use_agent_orchestrator": "true"},
        "stream": False,
        "model": "Arch-Function",
    }


async def test_servers_of_the_first_eras_get_objects(egress: Egress) -> None:
    turns = [Turn("assistant", tool_calls=(ToolCall(id="c", name="x", arguments='{"a": 1}'),)), Turn("user", "b")]
    _, server = await _exchange(egress, (200, _message("")), turns, arguments="object")
    assert server.asked[0][2]["messages"][0]["tool_calls"][0]["function"]["arguments"] == {"a": 1}


@pytest.mark.parametrize("arguments", [{"location": "Seattle", "days": 2}, '{"location": "Seattle", "days": 2}'])
async def test_arguments_come_in_both_forms(egress: Egress, arguments: Any) -> None:
    call = CALL | {"function": {"name": WEATHER.name, "arguments": arguments}}
    assert (await _ask(egress, (200, _message(None, call)))).arguments == {"location": "Seattle", "days": 2}


async def test_the_models_own_words(egress: Egress) -> None:
    raw = '```json\n{"tool_calls": []}\n```'
    for told in (raw, json.dumps(raw)):
        decision = await _ask(egress, (200, _message("", CALL, metadata={"x-arch-fc-model-response": told})))
        assert decision.raw == raw
    assert WEATHER.name in (await _ask(egress, (200, _message("", CALL)))).raw


async def test_words_without_a_call_are_its_question(egress: Egress) -> None:
    decision = await _ask(egress, (200, _message("May I have the number of days?")))
    assert (decision.question, decision.missing, decision.target) == ("May I have the number of days?", ("days",), None)


@pytest.mark.parametrize(
    "said",
    [
        (200, _message("")),
        (200, _message(None)),
        (200, _message("No intent matched")),
        (200, {"result": "No intent matched", "intent_latency": 0.1}),
        (200, {"error": "No intent matched"}),
        (400, b"No intent matched"),
        (404, {"detail": "No intent matched"}),
        (200, _message("", {"function": {"name": "gone", "arguments": {}}})),
        (200, _message("", {"function": {"name": WEATHER.name, "arguments": {"unknown": 1}}})),
        (200, _message("", {"function": {}})),
    ],
)
async def test_no_intent(egress: Egress, said: Any) -> None:
    decision = await _ask(egress, said)
    assert (decision.target, decision.question, decision.arguments) == (None, "", {})


async def test_the_default_target_can_be_its_choice(egress: Egress) -> None:
    call = {"function": {"name": "everything_else", "arguments": "{}"}}
    assert (await _ask(egress, (200, _message("", call)))).target == "everything_else"


@pytest.mark.arch("5.3.ask")
async def test_missing_values_are_asked_for(egress: Egress) -> None:
    call = {"function": {"name": REBOOT.name, "arguments": "{}"}}
    decision = await _ask(egress, (200, _message("", call)))
    assert (decision.target, decision.missing) == (REBOOT.name, ("device_ids",))


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize("status", [400, 401, 404, 418, 429, 500, 503])
@pytest.mark.arch("3.9.errors")
async def test_a_refusal_to_the_letter(egress: Egress, status: int) -> None:
    with pytest.raises(PromptExecutionError) as caught:
        await _ask(egress, (status, b'{"detail": "out of luck"}'))
    text = (
        f"upstream application error host=arch_internal, path=/function_calling, status={status}, "
        'body={"detail": "out of luck"}'
    )
    assert caught.value.message == text
    assert caught.value.native == (status, text.encode())
    if status == 429:
        assert isinstance(caught.value, RateLimited)
        assert caught.value.retry_after == 7


async def test_a_long_refusal_is_cut(egress: Egress) -> None:
    with pytest.raises(PromptExecutionError) as caught:
        await _ask(egress, (500, "\N{PILE OF POO}".encode() * 50_000))
    assert len(caught.value.message) < 10_000


async def test_a_server_error_is_never_no_intent(egress: Egress) -> None:
    with pytest.raises(PromptExecutionError):
        await _ask(egress, (500, b"No intent matched"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"choices": 1}',
        b'{"choices": []}',
        b"{}",
        b'{"choices": [{"message": {"content": 3}}]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
async def test_what_can_not_be_read(egress: Egress, body: bytes) -> None:
    with pytest.raises(InvalidOutput):
        await _ask(egress, (200, body))


async def test_a_flood(egress: Egress) -> None:
    with pytest.raises(InvalidOutput):
        await _ask(egress, (200, b"x" * 2_000_000))


@pytest.mark.arch("3.9.server")
async def test_nobody_is_there(egress: Egress) -> None:
    async with serve(Server(lambda body: None).handle) as url:
        pass
    egress.allow(url)
    with pytest.raises(ServiceUnavailable) as caught:
        await Remote(egress, url).decide(HELLO, TARGETS, ASKING)
    assert caught.value.http_status == 503


@pytest.mark.arch("3.9.server")
async def test_too_slow(egress: Egress) -> None:
    server = Server(lambda body: None)
    async with serve(server.handle) as url:
        egress.allow(url)
        with pytest.raises(Timeout) as caught:
            await Remote(egress, url, timeout=0.2).decide(HELLO, TARGETS, ASKING)
    assert caught.value.http_status == 504
    assert len(server.asked) == 1


async def test_an_address_that_nobody_allowed() -> None:
    async with serve(Server(lambda body: None).handle) as url:
        client = Egress()
        with pytest.raises(PermissionDenied):
            await Remote(client, url).decide(HELLO, TARGETS, ASKING)
        await client.close()


async def test_whoever_leaves_ends_the_call(egress: Egress) -> None:
    server = Server(lambda body: None)
    async with serve(server.handle) as url:
        egress.allow(url)
        task = asyncio.create_task(Remote(egress, url).decide(HELLO, TARGETS, ASKING))
        await server.called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nobody_is_asked_about_nothing() -> None:
    remote = Remote(Egress(), "http://127.0.0.1:9")
    assert await remote.decide([], TARGETS, ASKING) == Decision()
    assert await remote.decide(HELLO, (), ASKING) == Decision()
